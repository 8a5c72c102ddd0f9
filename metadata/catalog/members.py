"""Who holds a partition, and how that changes: one member at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from metadata.catalog.commands import MemberCommand, MemberReplaced, NoteFloor, PromoteMember
from server.paxos.quorum import NO_FLOOR, Floor


@dataclass(frozen=True, slots=True)
class Partition:
    """A half-open range of range positions, and the nodes that are to hold it.

    `log_node_id`: of those, the one that has a log only, since it joined of late; 0: none. `leaving_node_id`: whose
    place another has taken, and that has to be taken for a member until the group's leader says otherwise; 0: none.
    The group's own log decides when either comes true. `floor`: what the group had reached when these were last decided
    on. A leader changes its members to them only from those of then, so that one who has missed a decision does not
    carry out an old one; and what a leader of before says is not listened to."""

    partition_id: int
    range_start: bytes
    range_end: bytes
    node_ids: tuple[int, ...]
    log_node_id: int = 0
    leaving_node_id: int = 0
    floor: Floor = NO_FLOOR

    @property
    def holders(self) -> tuple[int, ...]:
        """The nodes that may have something of it."""
        return (*self.node_ids, self.leaving_node_id) if self.leaving_node_id else self.node_ids

    @property
    def storage_node_ids(self) -> tuple[int, ...]:
        """The nodes that have, or are about to have, its state: who may be asked for items."""
        return tuple(node_id for node_id in self.node_ids if node_id != self.log_node_id)

    def state_of(self, node_id: int) -> str:
        """What a holder is besides a storage replica: "log", "leaving", or empty."""
        if node_id == self.leaving_node_id:
            return "leaving"
        return "log" if node_id == self.log_node_id else ""


def with_member(partition: Partition, command: MemberCommand, owing: Collection[int]) -> Partition | None:
    """The partition as a command changes it; None where that is not, or no longer, to be.

    A member is replaced only when no other is on its way in or out, but for one that has a log only: that may be
    replaced by another, since it may have died before it had the state. `owing`: nodes that have yet to remove what
    they have of the partition: they cannot join it."""
    if isinstance(command, PromoteMember):
        is_due = command.node_id == partition.log_node_id and not partition.leaving_node_id
        return replace(partition, log_node_id=0) if is_due else None
    floor = partition.floor.raised_to(command.floor)
    if isinstance(command, NoteFloor):
        return replace(partition, floor=floor) if floor != partition.floor else None
    if isinstance(command, MemberReplaced):
        is_due = command.left_node_id == partition.leaving_node_id
        return replace(partition, leaving_node_id=0, floor=floor) if is_due else None
    leaving, joining = command.leaving_node_id, command.joining_node_id
    if partition.leaving_node_id or leaving not in partition.node_ids or joining in (*partition.node_ids, *owing):
        return None
    if partition.log_node_id not in (0, leaving):
        return None
    node_ids = tuple(joining if node_id == leaving else node_id for node_id in partition.node_ids)
    return replace(partition, node_ids=node_ids, log_node_id=joining, leaving_node_id=leaving, floor=floor)
