"""What a replica host keeps of one group's member on its node."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO, Ballot
from server.paxos.core import PaxosCore
from server.paxos.leader import Leadership
from server.paxos.log import Log
from server.paxos.messages import ApplyConfiguration, ApplyEntries
from server.runtime.host_surroundings import Done, RecoveredLog, StateMachine
from server.runtime.snapshot_transfer import SnapshotReceiver, SnapshotSender


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
    """The lease of this leadership holds at least until then: grants are never taken back."""
    unapplied: list[ApplyEntries | ApplyConfiguration] = field(default_factory=list)
    senders: dict[int, SnapshotSender] = field(default_factory=dict)
    receiver: SnapshotReceiver | None = None
    request_snapshot_at_ns: int = 0


def recovered_state(
    recovered: RecoveredLog | None, checkpointed_slot: int, is_restoring: bool, is_damaged: bool
) -> tuple[Ballot, Log, Health]:
    """(promised ballot, log, health) of a member, from what its node's log held of it (None: nothing) and the slot of
    its state. What ReplicaHost.open_group says of damage and of log replicas is decided here."""
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
