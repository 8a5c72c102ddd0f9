"""The cluster at one moment, as a metadata process knows it, and what has happened between two moments."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog, TableStatus
from metadata.catalog.indexes import IndexStatus
from metadata.catalog.members import Partition

TEXT_MAX = 300
"""Characters of an event."""

TOLD_ONE_BY_ONE_MAX = 3
"""Partitions of which the same is to be told at once, past which they are counted instead."""


class EventKind(StrEnum):
    """What an event is about."""

    NODE = "node"
    LEADER = "leader"
    MEMBERS = "members"
    TABLE = "table"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Event:
    """`node_id`: of a storage node, or, where it is about the metadata service, of a metadata process; it and
    `partition_id` are 0 where the event is about none, or many. `at_ms`: the time of day at which it was seen."""

    kind: EventKind
    text: str
    node_id: int = 0
    partition_id: int = 0
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A storage node. `is_alive`: None where it has not been heard of yet. `boot`: the number of its process's life; 0:
    it does not say. `troubles`: what is wrong with it, by the kind of trouble."""

    name: str
    zone: str
    is_draining: bool = False
    is_alive: bool | None = None
    boot: int = 0
    healed: int = 0
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition of a table, or of an index, `owner`. `leader`: (ballot round, node) of the newest leader that there
    was; (0, 0): it is not known. `is_served`: whether it has one now; None: it need not. `restoring`: the members that
    get the items anew."""

    owner: str
    members: Partition
    leader: tuple[int, int] = (0, 0)
    is_served: bool | None = True
    restoring: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        return f"partition {self.members.partition_id} of {self.owner}"


@dataclass(frozen=True, slots=True)
class View:
    """All that events are made of. `states`: table number, or index number, -> what it is called, and its state.
    `metadata_leader`: 0: nobody, or it is not known."""

    nodes: Mapping[int, NodeView] = field(default_factory=dict)
    partitions: Mapping[int, PartitionView] = field(default_factory=dict)
    states: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    metadata_leader: int = 0
    metadata_alive: frozenset[int] = frozenset()

    def name_of(self, node_id: int) -> str:
        """What a storage node is called."""
        node = self.nodes.get(node_id)
        return node.name if node is not None else f"storage node {node_id}"


def look(catalog: Catalog, attendance: Attendance, metadata_leader: int, metadata_alive: Iterable[int]) -> View:
    """What is now, by the catalog and the nodes' reports."""
    nodes = {}
    for node_id, node in catalog.nodes.items():
        attendee = attendance.nodes.get(node_id)
        if attendee is None:
            nodes[node_id] = NodeView(node.name, node.zone, node.is_draining)
        else:
            is_alive = attendance.is_alive(node_id)
            told = attendee.boot, attendee.healed, troubles(attendee.note)
            nodes[node_id] = NodeView(node.name, node.zone, node.is_draining, is_alive, *told)
    states = {}
    partitions = {}
    for table in catalog.tables.values():
        states[table.number] = f"table {table.name}", table.status.name
        is_active = table.status == TableStatus.ACTIVE
        owned = [(table.name, table.partitions, is_active)]
        for index in table.global_indexes:
            states[index.number] = f"index {index.name} of {table.name}", index.status.name
            is_fed = is_active and index.status in (IndexStatus.FILLING, IndexStatus.ACTIVE)
            owned.append((f"{table.name}/{index.name}", index.partitions, is_fed))
        for owner, of_owner, is_in_use in owned:
            for each in of_owner:
                partitions[each.partition_id] = _look_at(each, owner, attendance, is_in_use)
    return View(nodes, partitions, states, metadata_leader, frozenset(metadata_alive))


def _look_at(partition: Partition, owner: str, attendance: Attendance, is_in_use: bool) -> PartitionView:
    partition_id, nodes = partition.partition_id, attendance.nodes
    restoring = [each for each in partition.storage_node_ids if each in nodes and partition_id in nodes[each].restoring]
    return PartitionView(
        owner,
        partition,
        attendance.leaders.get(partition_id, (0, 0)),
        attendance.has_leader(partition_id) if is_in_use else None,
        frozenset(restoring),
    )


def troubles(note: str) -> dict[str, str]:
    """A storage node's note, by the kind of trouble: what stands before a colon, numbers aside. What stands behind
    changes all the time."""
    parts = note.split("; ") if note else []
    return {re.sub(r"\d+", "#", part.partition(":")[0]): part for part in parts}


def differences(before: View, after: View) -> Iterator[Event]:
    """What has happened between two views, as far as they tell."""
    for node_id, node in before.nodes.items():
        if node_id not in after.nodes:
            yield Event(EventKind.NODE, f"{node.name} was removed", node_id)
    for node_id, node in after.nodes.items():
        former = before.nodes.get(node_id)
        texts = [f"joined, in {node.zone}"] if former is None else _changes_of_node(former, node)
        for text in texts:
            yield Event(EventKind.NODE, f"{node.name} {text}"[:TEXT_MAX], node_id)
    yield from _of_leaders(before, after)
    yield from _of_members(before, after)
    for node_id in sorted(_emptied(before, after)):
        yield Event(EventKind.NODE, f"{after.name_of(node_id)} holds nothing any more: it can be removed", node_id)
    for number, (what, _) in before.states.items():
        if number not in after.states:
            yield Event(EventKind.TABLE, f"{what} is deleted"[:TEXT_MAX])
    for number, (what, state) in after.states.items():
        if before.states.get(number, ("", ""))[1] != state:
            yield Event(EventKind.TABLE, f"{what} is {state}"[:TEXT_MAX])


def _changes_of_node(former: NodeView, node: NodeView) -> list[str]:
    """What was so before this process first heard of it is no news."""
    texts = []
    if former.is_draining != node.is_draining:
        texts.append("is being drained" if node.is_draining else "is in use again")
    if former.is_alive is None:
        return texts
    if former.is_alive and not node.is_alive:
        texts.append("is silent")
    is_restarted = former.boot not in (0, node.boot)
    if node.is_alive and not former.is_alive:
        texts.append("is back" + (": it was restarted" if is_restarted else ""))
    elif is_restarted:
        texts.append("was restarted")
    texts += [f"says: {node.troubles[kind]}" for kind in node.troubles if kind not in former.troubles]
    texts += [f"no longer says: {kind}" for kind in former.troubles if kind not in node.troubles]
    if node.healed > former.healed:
        number = node.healed - former.healed
        texts.append(f"has healed {number} damaged replica{'s' if number > 1 else ''}")
    return texts


def told_of(
    kind: EventKind, partitions: list[PartitionView], before: str, behind: str = "", node_id: int = 0
) -> Iterator[Event]:
    """One event for each partition, or one for all of many, whose names stand between the two texts."""
    if len(partitions) > TOLD_ONE_BY_ONE_MAX:
        yield Event(kind, f"{before}{len(partitions):,} partitions{behind}"[:TEXT_MAX], node_id)
        return
    for each in partitions:
        yield Event(kind, f"{before}{each.name}{behind}"[:TEXT_MAX], node_id, each.members.partition_id)


def _emptied(before: View, after: View) -> set[int]:
    """Nodes that are drained, and that the last partition has left."""
    draining = {node_id for node_id, node in after.nodes.items() if node.is_draining}
    if not draining:
        return draining
    held, holding = (
        {node_id for each in view.partitions.values() for node_id in each.members.holders} for view in (before, after)
    )
    return draining & (held - holding)


def _of_leaders(before: View, after: View) -> Iterator[Event]:
    moved: defaultdict[tuple[int, int], list[PartitionView]] = defaultdict(list)
    for partition_id, partition in after.partitions.items():
        former = before.partitions.get(partition_id)
        if former is not None and former.leader[0] and partition.leader != former.leader:
            moved[former.leader[1], partition.leader[1]].append(partition)
    for (old, new), partitions in moved.items():
        was = "as before" if old == new else f"{after.name_of(old)} led before"
        yield from told_of(EventKind.LEADER, partitions, f"{after.name_of(new)} leads ", f", {was}", new)


def _of_members(before: View, after: View) -> Iterator[Event]:
    changed: defaultdict[tuple[str, int], list[PartitionView]] = defaultdict(list)
    for partition_id, partition in after.partitions.items():
        former = before.partitions.get(partition_id)
        if former is None:
            continue
        if former.members is not partition.members:
            for text, node_id in _changes_of_members(former.members, partition.members, after):
                changed[text, node_id].append(partition)
        if former.restoring != partition.restoring:
            for text, node_id in _changes_of_items(former, partition, before):
                changed[text, node_id].append(partition)
    for (text, node_id), partitions in changed.items():
        yield from told_of(EventKind.MEMBERS, partitions, "", f": {after.name_of(node_id)} {text}", node_id)


def _changes_of_members(was: Partition, now: Partition, view: View) -> Iterator[tuple[str, int]]:
    if now.leaving_node_id:
        if (now.leaving_node_id, now.log_node_id) != (was.leaving_node_id, was.log_node_id):
            yield f"is to take the place of {_named_with_reason(now.leaving_node_id, view)}", now.log_node_id
    elif was.leaving_node_id or now.node_ids != was.node_ids:
        left = [view.name_of(node_id) for node_id in was.former_node_ids if node_id not in now.node_ids]
        has = "has the log, the items come next" if now.log_node_id else "has the items"
        joined = [node_id for node_id in now.node_ids if node_id not in was.former_node_ids]
        for node_id in joined:
            yield f"has taken the place of {' and '.join(left)}: it {has}", node_id
        if not joined:
            yield "leaves again, the members are those of before", was.log_node_id
    elif was.log_node_id and not now.log_node_id:
        yield "has the items", was.log_node_id


def _named_with_reason(node_id: int, view: View) -> str:
    """Who is to leave, and why, where that can be seen."""
    node = view.nodes.get(node_id)
    if node is not None and node.is_alive is False:
        return f"{node.name}, which is silent"
    return f"{node.name}, which is being drained" if node is not None and node.is_draining else view.name_of(node_id)


def _changes_of_items(former: PartitionView, partition: PartitionView, before: View) -> Iterator[tuple[str, int]]:
    """Of members that stay, and that this process had heard of: who has just joined gets them as a matter of course."""
    stayed = set(former.members.storage_node_ids) & set(partition.members.storage_node_ids)
    heard = {each for each in stayed if each in before.nodes and before.nodes[each].is_alive is not None}
    for node_id in sorted((partition.restoring - former.restoring) & heard):
        yield "gets the items anew", node_id
    for node_id in sorted((former.restoring - partition.restoring) & heard):
        yield "has the items again", node_id
