"""What has happened to the cluster, as this metadata process has seen it: nodes that come and go, leaders that change,
members that are replaced, copies that are lost and restored.

Found by comparing what is with what was, so that nothing has to remember to tell. Every metadata process keeps a
history of its own, in memory, from when it first knew what there is; so there is one to be had also where nobody leads.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog
from metadata.catalog.members import Partition
from server.model.errors import ValidationError

EVENTS_MAX = 10_000
"""Kept in memory, of some 200 bytes each; the oldest go."""

LEADERLESS_MS = 2_000
"""How long a partition has nobody who serves it before that is an event: a leader that hands over leaves a gap."""

UNSEEN_MS = 2_000
"""Between two views, past which it is said that there was nobody to see: the process was halted, say."""

TOLD_ONE_BY_ONE_MAX = 3
"""Partitions that go from one leader to another at once, past which they are counted instead of told one by one."""


class EventKind(StrEnum):
    """What an event is about."""

    NODE = "node"
    LEADER = "leader"
    MEMBERS = "members"
    TABLE = "table"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Event:
    """`at_ms`: the time of day at which it was seen. `node_id`, `partition_id`: 0 where it is about none, or many."""

    kind: EventKind
    text: str
    node_id: int = 0
    partition_id: int = 0
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A storage node. `is_alive`: None where it has not been heard of yet."""

    name: str
    zone: str
    is_draining: bool = False
    is_alive: bool | None = None
    note: str = ""
    healed: int = 0


@dataclass(frozen=True, slots=True)
class PartitionView:
    """A partition. `leader`: (ballot round, node) of the newest leader that there was; (0, 0): none yet. `restoring`:
    the members that get the items anew."""

    name: str
    members: Partition
    leader: tuple[int, int] = (0, 0)
    is_led: bool = False
    restoring: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """All that events are made of, as it is at one moment. `states`: of tables and global indexes, by what they are
    called. `metadata_leader`: 0: nobody, or it is not known."""

    nodes: Mapping[int, NodeView] = field(default_factory=dict)
    partitions: Mapping[int, PartitionView] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    metadata_leader: int = 0
    metadata_alive: frozenset[int] = frozenset()

    def name_of(self, node_id: int) -> str:
        node = self.nodes.get(node_id)
        return node.name if node is not None else f"storage node {node_id}"


def look(catalog: Catalog, attendance: Attendance, metadata_leader: int, metadata_alive: Iterable[int]) -> View:
    """What is now, by the catalog and the nodes' reports."""
    nodes = {}
    for node in catalog.nodes.values():
        attendee = attendance.nodes.get(node.node_id)
        if attendee is None:
            nodes[node.node_id] = NodeView(node.name, node.zone, node.is_draining)
        else:
            is_alive = attendance.is_alive(node.node_id)
            told = attendee.note, attendee.healed
            nodes[node.node_id] = NodeView(node.name, node.zone, node.is_draining, is_alive, *told)
    states = {}
    partitions = {}
    for table in catalog.tables.values():
        states[f"table {table.name}"] = table.status.name
        for partition in table.partitions:
            partitions[partition.partition_id] = _look_at(partition, table.name, attendance)
        for index in table.global_indexes:
            states[f"index {index.name} of {table.name}"] = index.status.name
            for partition in index.partitions:
                partitions[partition.partition_id] = _look_at(partition, f"{table.name}/{index.name}", attendance)
    return View(nodes, partitions, states, metadata_leader, frozenset(metadata_alive))


def _look_at(partition: Partition, owner: str, attendance: Attendance) -> PartitionView:
    partition_id, nodes = partition.partition_id, attendance.nodes
    restoring = [each for each in partition.storage_node_ids if each in nodes and partition_id in nodes[each].restoring]
    return PartitionView(
        f"partition {partition_id} of {owner}",
        partition,
        attendance.leaders.get(partition_id, (0, 0)),
        attendance.has_leader(partition_id),
        frozenset(restoring),
    )


def differences(before: View, after: View) -> Iterator[Event]:
    """What has happened between two views, as far as they tell."""
    yield from _of_metadata(before, after)
    yield from _of_nodes(before, after)
    yield from _of_leaders(before, after)
    for partition_id, partition in after.partitions.items():
        former = before.partitions.get(partition_id)
        if former is not None:
            yield from _of_members(former, partition, after)
    for what, state in after.states.items():
        if before.states.get(what) != state:
            yield Event(EventKind.TABLE, f"{what} is {state}")
    for what in before.states.keys() - after.states.keys():
        yield Event(EventKind.TABLE, f"{what} is deleted")


def _of_metadata(before: View, after: View) -> Iterator[Event]:
    for node_id in sorted(before.metadata_alive - after.metadata_alive):
        yield Event(EventKind.METADATA, f"metadata-{node_id} is silent", node_id)
    for node_id in sorted(after.metadata_alive - before.metadata_alive):
        yield Event(EventKind.METADATA, f"metadata-{node_id} is heard of", node_id)
    leader = after.metadata_leader
    if leader not in (0, before.metadata_leader):
        yield Event(EventKind.METADATA, f"metadata-{leader} leads the metadata service", leader)


def _of_nodes(before: View, after: View) -> Iterator[Event]:
    for node_id, node in after.nodes.items():
        former = before.nodes.get(node_id)
        texts = [f"joined, in {node.zone}"] if former is None else _changes_of_node(former, node)
        for text in texts:
            yield Event(EventKind.NODE, f"{node.name} {text}", node_id)
    for node_id in before.nodes.keys() - after.nodes.keys():
        yield Event(EventKind.NODE, f"{before.nodes[node_id].name} was removed", node_id)


def _changes_of_node(former: NodeView, node: NodeView) -> list[str]:
    texts = []
    if former.is_alive and not node.is_alive:
        texts.append("is silent")
    elif former.is_alive is False and node.is_alive:
        texts.append("is back")
    if node.is_draining != former.is_draining:
        texts.append("is being drained" if node.is_draining else "is in use again")
    if node.note != former.note:
        texts.append(f"says: {node.note}" if node.note else f"no longer says: {former.note}")
    if node.healed > former.healed:
        number = node.healed - former.healed
        texts.append(f"has healed {number} damaged replica{'s' if number > 1 else ''}")
    return texts


def _of_leaders(before: View, after: View) -> Iterator[Event]:
    moved: defaultdict[tuple[int, int], list[PartitionView]] = defaultdict(list)
    for partition_id, partition in after.partitions.items():
        former = before.partitions.get(partition_id)
        if former is not None and former.leader[0] and partition.leader != former.leader:
            moved[former.leader[1], partition.leader[1]].append(partition)
    for (old, new), partitions in moved.items():
        was = "as before" if old == new else f"{after.name_of(old)} led before"
        if len(partitions) > TOLD_ONE_BY_ONE_MAX:
            yield Event(EventKind.LEADER, f"{after.name_of(new)} leads {len(partitions)} partitions, {was}", new)
            continue
        for each in partitions:
            text = f"{after.name_of(new)} leads {each.name} (ballot {each.leader[0]}), {was}"
            yield Event(EventKind.LEADER, text, new, each.members.partition_id)


def _of_members(former: PartitionView, partition: PartitionView, view: View) -> Iterator[Event]:
    was, now = former.members, partition.members
    texts: list[tuple[str, int]] = []
    if now.leaving_node_id:
        if (now.leaving_node_id, now.log_node_id) != (was.leaving_node_id, was.log_node_id):
            texts.append((f"is to take the place of {view.name_of(now.leaving_node_id)}", now.log_node_id))
    elif was.leaving_node_id or now.node_ids != was.node_ids:
        left = [view.name_of(node_id) for node_id in was.former_node_ids if node_id not in now.node_ids]
        has = "has the log, the items come next" if now.log_node_id else "has the items"
        joined = [node_id for node_id in now.node_ids if node_id not in was.former_node_ids]
        texts += [(f"has taken the place of {' and '.join(left)}: it {has}", node_id) for node_id in joined]
        if not joined:
            texts.append(("leaves again, the members are those of before", was.log_node_id))
    elif was.log_node_id and not now.log_node_id:
        texts.append(("has the items", was.log_node_id))
    stayed = set(was.storage_node_ids) & set(now.storage_node_ids)
    texts += [("gets the items anew", each) for each in sorted((partition.restoring - former.restoring) & stayed)]
    texts += [("has the items again", each) for each in sorted((former.restoring - partition.restoring) & stayed)]
    for text, node_id in texts:
        yield Event(EventKind.MEMBERS, f"{partition.name}: {view.name_of(node_id)} {text}", node_id, now.partition_id)


class History:
    """The newest events that one life of a metadata process has seen.

    A place in one history means nothing in another but for its time."""

    def __init__(self, process: str, boot: int, events_max: int = EVENTS_MAX) -> None:
        self.process = process
        self.since_ms = 0
        self._source = f"{process}.{boot}"
        self._seen_ms = 0
        self._view: View | None = None
        self._events: deque[Event] = deque(maxlen=events_max)
        self._count = 0  # of all events so far
        self._leaderless: dict[int, int] = {}  # partition -> since when nobody serves it; 0: it has been told

    @property
    def has_begun(self) -> bool:
        """Whether there is a view to compare with."""
        return self._view is not None

    def observe(self, view: View, now_ms: int) -> None:
        """Adds what has happened since the view before. The first is only what is."""
        if self._view is None:
            self.since_ms = now_ms
        else:
            events = [*differences(self._view, view), *self._led(view, now_ms)]
            if events and now_ms - self._seen_ms > UNSEEN_MS:
                unseen_s = (now_ms - self._seen_ms) / 1000
                text = f"{self.process} has not looked for {unseen_s:.1f} s: what follows may be older than it says"
                events.insert(0, Event(EventKind.METADATA, text))
            for event in events:
                self._events.append(replace(event, at_ms=now_ms))
            self._count += len(events)
        self._view, self._seen_ms = view, now_ms

    def _led(self, view: View, now_ms: int) -> Iterator[Event]:
        """Of partitions that nobody serves for some time, and of those that are served again."""
        for partition_id in self._leaderless.keys() - view.partitions.keys():
            del self._leaderless[partition_id]
        lost, found = [], []
        for partition_id, partition in view.partitions.items():
            since_ms = self._leaderless.get(partition_id)
            if partition.is_led:
                if self._leaderless.pop(partition_id, None) == 0:
                    found.append(partition)
            elif partition.leader[0] and since_ms is None:
                self._leaderless[partition_id] = now_ms
            elif since_ms and now_ms - since_ms >= LEADERLESS_MS:
                self._leaderless[partition_id] = 0
                lost.append(partition)
        for partitions, text in (lost, "no leader"), (found, "a leader again"):
            if len(partitions) > TOLD_ONE_BY_ONE_MAX:
                yield Event(EventKind.LEADER, f"{len(partitions)} partitions have {text}")
            else:
                for each in partitions:
                    yield Event(EventKind.LEADER, f"{each.name} has {text}", 0, each.members.partition_id)

    def newest(self, limit: int) -> tuple[list[Event], str]:
        """The newest events, in order, and the place behind them."""
        events = list(islice(self._events, max(0, len(self._events) - limit), None))
        return events, self._place(self._count, events[-1].at_ms if events else self.since_ms)

    def after(self, place: str, limit: int) -> tuple[list[Event], str]:
        """The events behind a place that was told before, the first so many, and the place behind those. Behind one in
        the history of another process, or of another life, come those of a later time. Raises ValidationError."""
        source, number, at_ms = _parsed(place)
        first = self._count - len(self._events)
        if source == self._source:
            skipped = min(max(0, number - first), len(self._events))
        else:
            skipped = sum(event.at_ms <= at_ms for event in self._events)
        events = list(islice(self._events, skipped, skipped + limit))
        return events, self._place(first + skipped + len(events), events[-1].at_ms if events else at_ms)

    def _place(self, number: int, at_ms: int) -> str:
        return f"{self._source}/{number}/{at_ms}"


def _parsed(place: str) -> tuple[str, int, int]:
    parts = place.split("/")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts[1:]):
        raise ValidationError(f"{place[:100]!r} is no place in a history of events: it is what an answer called `next`")
    return parts[0], int(parts[1]), int(parts[2])
