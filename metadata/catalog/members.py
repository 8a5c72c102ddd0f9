"""Who holds a partition, and how that changes: one member at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from metadata.catalog.commands import (
    AdoptMembers,
    MemberCommand,
    MemberReplaced,
    NoteFloor,
    PromoteMember,
    WithdrawMember,
)
from server.paxos.quorum import NO_FLOOR, Floor


@dataclass(frozen=True, slots=True)
class Partition:
    """A half-open range of range positions, and the nodes that are to hold it.

    `log_node_id`: of those, the one that has a log only, since it joined of late; 0: none. `leaving_node_id`: whose
    place another has taken, and that has to be taken for a member until the group's leader says otherwise; 0: none.
    `withdrawn_node_ids`: who was to join before, and was given up; each may have become a member nevertheless, until
    the leader says otherwise. Invariant: there are none where nobody leaves.
    The group's own log decides when any of this comes true. `floor`: what the group had reached when these were last
    decided on. A leader changes its members to them only from those of then, so that one who has missed a decision does
    not carry out an old one; and what a leader of before says is not listened to."""

    partition_id: int
    range_start: bytes
    range_end: bytes
    node_ids: tuple[int, ...]
    log_node_id: int = 0
    leaving_node_id: int = 0
    floor: Floor = NO_FLOOR
    withdrawn_node_ids: tuple[int, ...] = ()

    @property
    def holders(self) -> tuple[int, ...]:
        """The nodes that may have something of it."""
        leaving = (self.leaving_node_id,) if self.leaving_node_id else ()
        return (*self.node_ids, *leaving, *self.withdrawn_node_ids)

    @property
    def former_node_ids(self) -> tuple[int, ...]:
        """Whom the last decision was to change: the members, where it has not come true and no earlier one has."""
        if not self.leaving_node_id:
            return self.node_ids
        return _with(self.node_ids, self.log_node_id, self.leaving_node_id)

    @property
    def storage_node_ids(self) -> tuple[int, ...]:
        """The nodes that have, or are about to have, its state: who may be asked for items."""
        return tuple(node_id for node_id in self.node_ids if node_id != self.log_node_id)

    def state_of(self, node_id: int) -> str:
        """What a holder is besides a storage replica: "log", "leaving", or empty."""
        if node_id == self.leaving_node_id or node_id in self.withdrawn_node_ids:
            return "leaving"
        return "log" if node_id == self.log_node_id else ""


def with_member(partition: Partition, command: MemberCommand, owing: Collection[int]) -> Partition | None:
    """The partition as a command changes it; None where that is not, or no longer, to be.

    A member is replaced only when no other is on its way in or out, but for one that has a log only: that may be
    replaced by another, since it may have died before it had the state. `owing`: nodes that have yet to remove what
    they have of the partition: they cannot join it."""
    floor = partition.floor.raised_to(command.floor) if not isinstance(command, PromoteMember) else partition.floor
    match command:
        case PromoteMember():
            is_due = command.node_id == partition.log_node_id and not partition.leaving_node_id
            return replace(partition, log_node_id=0) if is_due else None
        case NoteFloor():
            is_news = floor != partition.floor and not partition.withdrawn_node_ids
            return replace(partition, floor=floor) if is_news else None
        case MemberReplaced():
            # With another decision since, it need not be those that are wanted now that are in force.
            is_due = command.left_node_id == partition.leaving_node_id and not partition.withdrawn_node_ids
            return replace(partition, leaving_node_id=0, floor=floor) if is_due else None
        case AdoptMembers():
            return _adopted(partition, command)
        case WithdrawMember():
            return _withdrawn(partition, command, owing)
    leaving, joining = command.leaving_node_id, command.joining_node_id
    if partition.leaving_node_id or leaving not in partition.node_ids or joining in (*partition.node_ids, *owing):
        return None
    if partition.log_node_id not in (0, leaving):
        return None
    node_ids = _with(partition.node_ids, leaving, joining)
    return replace(partition, node_ids=node_ids, log_node_id=joining, leaving_node_id=leaving, floor=floor)


def _withdrawn(partition: Partition, command: WithdrawMember, owing: Collection[int]) -> Partition | None:
    """A decision is withdrawn only by another that begins at the same members: of the two, the group carries out one.
    Requires that who says what it has reached knew of nothing later than the catalog does."""
    former, withdrawn = partition.former_node_ids, command.withdrawn_node_id
    leaving, joining = command.leaving_node_id, command.joining_node_id
    is_due = partition.leaving_node_id and withdrawn == partition.log_node_id
    is_of_now = command.floor.configuration_slot == partition.floor.configuration_slot
    if not is_due or not is_of_now or leaving not in former or joining in (*partition.holders, *owing):
        return None
    return replace(
        partition,
        node_ids=_with(former, leaving, joining),
        log_node_id=joining,
        leaving_node_id=leaving,
        floor=partition.floor.raised_to(command.floor),
        withdrawn_node_ids=(*partition.withdrawn_node_ids, withdrawn),
    )


def _adopted(partition: Partition, command: AdoptMembers) -> Partition | None:
    """What a leader says that knows of more than every decision so far was based on: none of those can be carried out
    any more, so that nobody else is, or comes to be, a member."""
    is_news = command.floor.configuration_slot > partition.floor.configuration_slot
    if not partition.leaving_node_id or not is_news or not set(command.node_ids) <= set(partition.holders):
        return None
    floor = partition.floor.raised_to(command.floor)
    return Partition(
        partition.partition_id,
        partition.range_start,
        partition.range_end,
        command.node_ids,
        command.log_node_id,
        floor=floor,
    )


def _with(node_ids: tuple[int, ...], leaving: int, joining: int) -> tuple[int, ...]:
    return tuple(joining if node_id == leaving else node_id for node_id in node_ids)
