"""What a replica host keeps of one group's member on its node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO, Ballot
from server.paxos.core import PaxosCore
from server.paxos.leader import Leadership
from server.paxos.log import Log
from server.paxos.messages import ApplyConfiguration, ApplyEntries
from server.runtime.freshness import Freshness
from server.runtime.host_surroundings import Done, RecoveredLog, StateMachine
from server.runtime.snapshot_transfer import SnapshotReceiver, SnapshotSender

SNAPSHOTS_RECEIVED_MAX = 2
"""Snapshots on their way to a node at once because it asked for them. (A leader may send others unasked.)"""

SNAPSHOT_REQUEST_NS = 1_000_000_000
"""When to ask again for a snapshot of which nothing has come."""


@dataclass(slots=True)
class Group:
    """One group's member on this node."""

    group_id: int
    core: PaxosCore
    machine: StateMachine
    checkpointed_slot: int
    pending: deque[tuple[bytes, Done]] = field(default_factory=deque)
    waiting: dict[int, Done] = field(default_factory=dict)
    in_flight_bytes: int = 0
    scheduled_ns: int = 1 << 62
    is_serving: bool = False
    lease_of: Leadership | None = None
    lease_until_ns: int = 0
    """The lease of this leadership holds at least until then: grants are never taken back. But those of former members
    count no more."""
    fresh: Freshness = field(default_factory=Freshness)
    applied_slot: int = 0
    """Up to where the machine has carried the log out; the core's own counts what it has given out for that."""
    unapplied: deque[ApplyEntries | ApplyConfiguration] = field(default_factory=deque)
    seen_commit_slot: int = 0
    """What was committed at the last heartbeat."""
    noted_commit_slot: int = 0
    """Up to where the log has been told so, when nothing more came."""
    drain_until_ns: int = 0
    """Until when this leader waits for what it has proposed, and takes nothing more, before it hands over; 0: it does
    not."""
    handed_over_ns: int = -(1 << 62)
    """When it did so last."""
    given_away_ns: int = -(1 << 62)
    """When it did so last because of its disk."""
    successor_node_id: int = 0
    """Who asked for the leadership that is being handed over; 0: nobody."""
    asked_not_before_ns: int = -(1 << 62)
    """When this leader may be asked to hand over again."""
    asked_until_ns: int = 0
    asked_ballot: Ballot = ZERO
    """Until when, and at which ballot, this follower waits for the leadership that it has asked for."""
    held: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    """(until when, bytes, what to call then) of the requests that wait for a leader, in the order of their coming."""
    senders: dict[int, SnapshotSender] = field(default_factory=dict)
    logged_bytes: int = 0
    """Of all entries that were written down in this life."""
    haste: dict[int, float] = field(default_factory=dict)
    """To whom snapshots took too long: how many times the pace the next one may have from the beginning."""
    receiver: SnapshotReceiver | None = None
    is_rotten: bool = False
    """The machine's state is damaged: the leader's is to take its place, though the log lacks nothing."""
    request_snapshot_at_ns: int = 0
    """When a snapshot may be asked for again; 0: none has been asked for."""

    def applied(self, slot: int) -> None:
        """The machine has carried the log out up to there."""
        self.applied_slot = slot
        if self.fresh.told_slot:
            self.fresh.applied(slot)

    def is_receiving(self, now_ns: int) -> bool:
        """Whether a snapshot is on its way here, as far as can be told."""
        return self.receiver is not None and not self.receiver.is_silent(now_ns)


def due_snapshot_requests(groups: Iterable[Group], now_ns: int) -> list[Group]:
    """The groups for which this node, which lacks their state or has a damaged one, should ask the leader for a
    snapshot now.

    Only so many are under way at once: each takes the disk's and the network's time from the others, and all would
    arrive late. Who has waited longest comes first, so that a leader without one does not hold up the rest."""
    waiting, under_way = [], 0
    for group in groups:
        core, is_lacking = group.core, group.core.is_restoring or group.is_rotten
        if group.is_receiving(now_ns):
            under_way += 1
        elif is_lacking and now_ns < group.request_snapshot_at_ns:
            under_way += 1  # the answer to the request may be on its way
        elif is_lacking and core.leader_node_id not in (0, core.node_id):
            waiting.append(group)
    waiting.sort(key=lambda group: group.request_snapshot_at_ns)
    return waiting[: max(0, SNAPSHOTS_RECEIVED_MAX - under_way)]


def recovered_state(
    recovered: RecoveredLog | None, checkpointed_slot: int, is_restoring: bool, is_damaged: bool
) -> tuple[Ballot, Log, Health]:
    """(promised ballot, log, health) of a member, from what its node's log held of it (None: nothing) and the slot of
    its state. What ReplicaHost.open_group says of damage and of log replicas is decided here.

    Entries that the state has are left out, though others may lack them: a commit can be applied, and be in a
    checkpoint, before the entry that it is about is on this member's disk. What the log has in its slot then was
    accepted at a lower ballot, and is not what was committed."""
    if recovered is None:
        health = Health.DAMAGED if is_damaged else Health.WHOLE
        return ZERO, Log(checkpointed_slot + 1, (), checkpointed_slot), health
    if is_restoring:
        checkpointed_slot = max(checkpointed_slot, recovered.first_slot - 1)
    if is_damaged or (recovered.entries and recovered.first_slot > checkpointed_slot + 1):
        return recovered.promised, Log(checkpointed_slot + 1, (), checkpointed_slot), Health.DAMAGED
    entries = recovered.entries[checkpointed_slot + 1 - recovered.first_slot :]
    commit_slot = max(checkpointed_slot, min(recovered.commit_slot, checkpointed_slot + len(entries)))
    health = Health.HEALING if recovered.is_healing else Health.WHOLE
    return recovered.promised, Log(checkpointed_slot + 1, entries, commit_slot), health
