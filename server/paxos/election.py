"""Phase 1: when a member stands, what a candidate gathers, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from server.paxos.ballot import ZERO, Ballot
from server.paxos.log import Log
from server.paxos.messages import NO_OP, Promise
from server.paxos.quorum import Configuration

PROMISE_BYTES_MAX = 12 * 1024 * 1024
"""Payload bytes in one Promise; above the bytes a leader may have in flight, below the largest message."""


class Role(IntEnum):
    """What a member is at the moment."""

    FOLLOWER = 1
    CANDIDATE = 2
    LEADER = 3


@dataclass(frozen=True, slots=True)
class ElectionConfig:
    """Durations in nanoseconds. `rank_ns`: at a group's birth, members stand in the order of its configuration.

    `join_wait_ns`: for how long a change of members waits for those who are to join, where the others could carry it
    through alone. `held_wait_ns`: for how long a node that is to join is not sent a snapshot, which it may not need:
    the log that the leader still has is enough as soon as those who stay have told what is on their disks."""

    jitter_ns: int = 200_000_000
    retry_ns: int = 400_000_000
    rank_ns: int = 150_000_000
    flush_ns: int = 40_000_000
    join_wait_ns: int = 5_000_000_000
    held_wait_ns: int = 1_000_000_000


@dataclass(slots=True)
class Candidacy:
    """One attempt to lead. `from_slot` is the first slot the candidate does not know to be committed."""

    ballot: Ballot
    from_slot: int
    is_promising_itself: bool = False  # its own promise is on the way to disk
    promises: dict[int, Promise] = field(default_factory=dict)
    has_asked_joining: bool = False  # the members of a configuration that phase 1 has brought were asked, too

    def telling(self, own_node_id: int) -> dict[int, Promise]:
        """The promises that say all that was accepted from `from_slot` on. The others come from members that have
        trimmed some of it, or had too much to tell in one message. The candidate's own always counts: what it has
        trimmed it has applied."""
        return {
            node_id: promise
            for node_id, promise in self.promises.items()
            if node_id == own_node_id or (promise.log_first_slot <= self.from_slot and promise.is_complete)
        }

    def silent_voter(self, own_node_id: int, configuration: Configuration) -> int:
        """Whom to catch up with where a majority has promised and too few of it tell all: of those that do not, the
        member that knows most to be committed. 0: it has not come to that."""
        if not configuration.is_majority(self.promises):
            return 0
        silent = set(configuration.node_ids) & self.promises.keys() - self.telling(own_node_id).keys()
        return max(silent, key=lambda node_id: (self.promises[node_id].commit_slot, node_id), default=0)


def promise_of(
    log: Log, ballot: Ballot, from_slot: int, grant_epoch: int, bytes_max: int = PROMISE_BYTES_MAX
) -> Promise:
    """What a member that promises `ballot` tells the candidate: all that it has accepted from `from_slot` on, as far as
    `bytes_max` bytes of payload hold it."""
    first = max(from_slot, log.first_slot)
    runs = log.runs(first, log.last_slot, bytes_max)
    is_complete = not runs or runs[-1].last_slot == log.last_slot
    return Promise(ballot, from_slot, log.first_slot, log.commit_slot, runs, is_complete, grant_epoch)


def choose_payloads(from_slot: int, promises: list[Promise]) -> tuple[bytes, ...]:
    """For each slot from `from_slot` on, the payload accepted at the highest ballot by any of a majority (that is the
    one which may have been chosen); a no-op where none of them accepted anything."""
    best: dict[int, tuple[Ballot, bytes]] = {}
    last_slot = from_slot - 1
    for promise in promises:
        for run in promise.runs:
            last_slot = max(last_slot, run.last_slot)
            for slot, payload in enumerate(run.payloads, run.first_slot):
                if slot >= from_slot and run.ballot > best.get(slot, (ZERO, NO_OP))[0]:
                    best[slot] = (run.ballot, payload)
    return tuple(best.get(slot, (ZERO, NO_OP))[1] for slot in range(from_slot, last_slot + 1))
