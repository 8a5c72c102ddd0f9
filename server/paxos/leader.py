"""What a leader knows of its followers, and what it may send them next."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.paxos.ballot import Ballot
from server.paxos.lease import NodeLeases
from server.paxos.log import Log
from server.paxos.messages import Accept, CatchUp, Effect, LogStart, Promise, Run, SendMessage, SendSnapshot
from server.paxos.quorum import Configuration, ReplicaKind

if TYPE_CHECKING:
    import random

RUN_BYTES_MAX = 1024 * 1024
"""Payload bytes in one Accept or CatchUp that brings a follower up to date."""

IN_FLIGHT_BYTES_MAX = 4 * 1024 * 1024
"""Payload bytes sent to one follower and not acknowledged."""

IN_FLIGHT_MESSAGES_MAX = 64

CLOSE_SLOTS = 100
"""A follower that lacks no more of the log has as good as all of it: it gets the rest by its election."""

RETRY_NS = 500_000_000
RETRY_NS_MAX = 4_000_000_000


@dataclass(slots=True)
class Progress:
    """One follower, or one that is to join, as its leader sees it.

    Invariant: `acked_slot` <= `sent_slot`. `acked_slot` counts only what was acknowledged at the leader's ballot.
    """

    acked_slot: int
    sent_slot: int
    is_in_snapshot: bool = False
    is_log_replica: bool = False
    support_epoch: int = -1  # of the follower's grants when it last promised or accepted at this ballot; -1: never
    joined_slot: int = 0  # what acknowledges less may be of a life before it joined, whose promises are forgotten
    told_commit_slot: int = -1
    retry_at_ns: int = 0
    retry_ns: int = RETRY_NS
    hole_slot: int = -1  # the hole that is being filled; -1: none
    known_slot: int = 0  # up to where it has on disk that the log is committed
    in_flight: deque[tuple[int, int, int]] = field(default_factory=deque)  # (last slot, bytes, commit slot), ascending
    in_flight_bytes: int = 0

    def has_room(self) -> bool:
        return self.in_flight_bytes < IN_FLIGHT_BYTES_MAX and len(self.in_flight) < IN_FLIGHT_MESSAGES_MAX

    def is_behind(self, last_slot: int) -> bool:
        """Whether it has not acknowledged everything, and no snapshot is on its way to it."""
        return self.acked_slot < last_slot and not self.is_in_snapshot

    def note_sent(self, last_slot: int, size: int, commit_slot: int, now_ns: int) -> None:
        """Entries up to `last_slot` are on their way, of `size` bytes, with word that the log is committed up to
        `commit_slot`."""
        if not self.in_flight:
            self.retry_at_ns = now_ns + self.retry_ns
        self.sent_slot = last_slot
        self.in_flight.append((last_slot, size, commit_slot))
        self.in_flight_bytes += size

    def note_acked(self, slot: int, now_ns: int) -> None:
        """Takes a cumulative acknowledgement; one that is older than the last changes nothing."""
        if slot <= self.acked_slot:
            return
        self.acked_slot = slot
        self.hole_slot = -1
        self.sent_slot = max(self.sent_slot, slot)
        self.retry_ns = RETRY_NS
        self.retry_at_ns = now_ns + RETRY_NS
        while self.in_flight and self.in_flight[0][0] <= slot:
            last_slot, size, commit_slot = self.in_flight.popleft()
            self.in_flight_bytes -= size
            self.known_slot = max(self.known_slot, min(commit_slot, last_slot))

    def restart_from(self, slot: int) -> None:
        """What was sent after `slot` is taken for lost and will be sent again."""
        self.sent_slot = slot
        self.hole_slot = -1
        self.in_flight.clear()
        self.in_flight_bytes = 0


def split_run(run: Run, bytes_max: int) -> Iterator[Run]:
    """The run in pieces of at most `bytes_max` bytes of payload, and at least one entry, each."""
    first_slot, size = run.first_slot, 0
    payloads: list[bytes] = []
    for payload in run.payloads:
        if payloads and size + len(payload) > bytes_max:
            yield Run(run.ballot, first_slot, tuple(payloads))
            first_slot, size, payloads = first_slot + len(payloads), 0, []
        payloads.append(payload)
        size += len(payload)
    if payloads:
        yield Run(run.ballot, first_slot, tuple(payloads))


def begin_progress(
    configuration: Configuration, own_node_id: int, promises: Mapping[int, Promise], commit_slot: int, now_ns: int
) -> dict[int, Progress]:
    """The followers as a leader sees them that has just been elected by `promises`: it counts nothing as acknowledged
    at its ballot, and their promises as support for its lease."""
    return {
        node_id: Progress(
            acked_slot=0,
            sent_slot=commit_slot,
            is_log_replica=member.kind == ReplicaKind.LOG,
            retry_at_ns=now_ns + RETRY_NS,
            support_epoch=promises[node_id].grant_epoch if node_id in promises else -1,
        )
        for member in configuration.members
        if (node_id := member.node_id) != own_node_id
    }


def choose_successor(
    followers: Sequence[tuple[bool, int, int]],
    last_slot: int,
    avoided: Sequence[Collection[int]],
    rng: random.Random,
) -> int:
    """The node to hand a leadership over to, of `followers` (Leadership.successors); 0: there is none.

    One that supports the leadership, and that has about all of the log, which ends at `last_slot`. Of those none of
    `avoided`, the first of these above all: nodes that are slow or full; who it came from, so that every member gets
    its turn where it is given away because something is wrong with who has it. Of those who has most, and of those that
    have as much any: so leaders spread."""
    ranked = [
        (
            supports,
            acked_slot + CLOSE_SLOTS >= last_slot,
            *(node_id not in node_ids for node_ids in avoided),
            acked_slot,
            rng.random(),
            node_id,
        )
        for supports, acked_slot, node_id in followers
    ]
    return int(max(ranked)[-1]) if ranked else 0


@dataclass(slots=True)
class Leadership:
    """A leader's state for as long as it leads at `ballot`.

    `recovered_slot`: the last slot that phase 1 brought, or that of the opening entry behind it; nothing is served
    before it is committed and applied; ABOVE_ALL: nothing is served at all.
    """

    ballot: Ballot
    recovered_slot: int
    durable_slot: int
    progress: dict[int, Progress]
    flush_at_ns: int = 0  # when to tell an idle group's followers the commit slot; 0: nothing to tell
    configuration_slot: int = 0  # of the configuration entry that it has proposed and that is not committed; 0: none
    successor: Configuration | None = None  # what that entry puts in force, or is to be proposed
    expected_since_ns: int = 0  # since when `successor` is to be proposed
    reconsider_at_ns: int = 0  # when to see whether it can still be committed, if it can be withdrawn; 0: it cannot

    def end_slot(self, log: Log) -> int:
        """The last slot that this leadership proposes something in. What a log holds behind a configuration entry that
        phase 1 brought is not its to propose."""
        return self.configuration_slot or log.last_slot

    def flush_soon(self, now_ns: int) -> None:
        """Followers are told at the next tick what is committed, as far as they have not been."""
        self.flush_at_ns = self.flush_at_ns and min(self.flush_at_ns, now_ns)

    def acked_slots(self, own_node_id: int) -> dict[int, int]:
        slots = {node_id: progress.acked_slot for node_id, progress in self.progress.items()}
        slots[own_node_id] = self.durable_slot
        return slots

    def held_until_ns(self, own_node_id: int, leases: NodeLeases) -> dict[int, int]:
        """Until when each member supports this leadership, on the leader's clock: its node has granted, and promised or
        accepted at this ballot within the same epoch. The leader itself always does."""
        until_ns = {own_node_id: 1 << 62}
        for node_id, progress in self.progress.items():
            held_until_ns, epoch = leases.held(node_id)
            if epoch == progress.support_epoch:
                until_ns[node_id] = held_until_ns
        return until_ns

    def successors(
        self, own_node_id: int, configuration: Configuration, leases: NodeLeases, now_ns: int
    ) -> list[tuple[bool, int, int]]:
        """(whether it supports this leadership at the moment, last slot acknowledged, node id) of those that may lead
        next. A node that was restarted a moment ago does not support it, whatever it granted before, nor does it vote
        yet.

        Who is to be sent the state comes last, as if it had nothing (-1). It may lack no more than the knowledge of
        what is committed: where this member cannot send what it has, no other may be left to lead."""
        until_ns = self.held_until_ns(own_node_id, leases)
        return [
            (False, -1, node_id)
            if progress.is_in_snapshot
            else (until_ns.get(node_id, 0) > now_ns, progress.acked_slot, node_id)
            for node_id, _, kind in configuration.members
            if kind == ReplicaKind.STORAGE and (progress := self.progress.get(node_id)) is not None
        ]

    def send_run(self, run: Run, commit_slot: int, now_ns: int, effects: list[Effect]) -> None:
        """Sends a fresh run to every follower that has everything before it; the others get it when they caught up."""
        size = sum(map(len, run.payloads))
        message = Accept(run, commit_slot)
        for node_id, progress in self.progress.items():
            if progress.sent_slot == run.first_slot - 1 and not progress.is_in_snapshot and progress.has_room():
                progress.note_sent(run.last_slot, size, commit_slot, now_ns)
                progress.told_commit_slot = commit_slot
                effects.append(SendMessage(node_id, message))

    def begin_joining(
        self, own_node_id: int, configuration: Configuration, successor: Configuration, commit_slot: int, now_ns: int
    ) -> list[int]:
        """Whoever is to join is sent what the members are sent, and tells what it has; somebody who is not to join
        after all is let go. Returns the nodes that are new."""
        known = {*configuration.node_ids, *successor.node_ids}
        for node_id in self.progress.keys() - known:
            del self.progress[node_id]
        joining = sorted(known - self.progress.keys() - {own_node_id})
        for node_id in joining:
            self.progress[node_id] = Progress(0, commit_slot, joined_slot=commit_slot, retry_at_ns=now_ns + RETRY_NS)
        for node_id, progress in self.progress.items():
            member = successor.member(node_id) or configuration.member(node_id)
            progress.is_log_replica = member is not None and member.kind == ReplicaKind.LOG
        return joining

    def held_slot(self, configuration: Configuration, own_node_id: int) -> int:
        """Up to which slot all is on the disks of storage replicas that make a majority of a configuration, and known
        there to be committed: one that leads next must be able to go on from there alone, as what a log replica does
        not have it cannot tell."""
        slots = {node_id: progress.known_slot for node_id, progress in self.progress.items()}
        slots[own_node_id] = self.durable_slot
        return configuration.majority_value(
            {
                member.node_id: slots[member.node_id]
                for member in configuration.members
                if member.kind == ReplicaKind.STORAGE and member.node_id in slots
            }
        )

    def may_let_go(self, node_id: int, slot: int, configuration: Configuration, own_node_id: int) -> bool:
        """Whether a log replica that is about to be sent the state as of `slot` need not keep what that stands for
        until it has it: there is enough of it elsewhere, also once the next members are in force."""
        progress = self.progress.get(node_id)
        if progress is None or not progress.is_log_replica:
            return False
        configurations = (configuration, self.successor or configuration)
        return min(self.held_slot(each, own_node_id) for each in configurations) >= slot

    def send_missing(
        self,
        node_id: int,
        log: Log,
        now_ns: int,
        effects: list[Effect],
        *,
        held_slot: int = -1,
        is_joining: bool = False,
    ) -> None:
        """Sends what a follower lacks, as far as its window allows: committed entries as they are, the others at this
        ballot, or word that it needs a snapshot. A log replica's log begins where this one does if all before that is
        on the disks of enough others (`held_slot`), or if it has nothing: unless it is on its way to become a member
        (`is_joining`), since it may be needed for that."""
        progress = self.progress[node_id]
        last_slot = self.end_slot(log)
        while progress.sent_slot < last_slot and progress.has_room() and not progress.is_in_snapshot:
            first = progress.sent_slot + 1
            is_held = held_slot >= log.first_slot - 1
            if first < log.first_slot and progress.is_log_replica and (is_held or (first == 1 and not is_joining)):
                progress.sent_slot = log.first_slot - 1
                effects.append(SendMessage(node_id, LogStart(self.ballot, progress.sent_slot, is_held)))
                continue
            if first < log.first_slot:
                progress.is_in_snapshot = True
                effects.append(SendSnapshot(node_id))
                return
            message: CatchUp | Accept
            if first <= log.commit_slot:
                runs = log.runs(first, log.commit_slot, RUN_BYTES_MAX)
                message = CatchUp(self.ballot, runs, log.commit_slot)
            else:
                runs = log.runs(first, last_slot, RUN_BYTES_MAX)[:1]
                message = Accept(runs[0], log.commit_slot)
            size = sum(len(payload) for run in runs for payload in run.payloads)
            progress.note_sent(runs[-1].last_slot, size, log.commit_slot, now_ns)
            progress.told_commit_slot = log.commit_slot
            effects.append(SendMessage(node_id, message))
