"""Who lives and who leads, as the storage nodes report it: in memory, in every metadata process, led or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from statorpb import cluster_pb2

from metadata.catalog.catalog import Catalog
from metadata.catalog.members import Partition
from server.paxos.ballot import Ballot
from server.paxos.quorum import Floor


@dataclass(slots=True)
class Attendee:
    """A storage node, as of its last report."""

    reported_at_s: float
    leads: set[int] = field(default_factory=set)
    opened: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    restoring: set[int] = field(default_factory=set)
    members: dict[int, dict[int, bool]] = field(default_factory=dict)
    """Of the partitions that it leads: node id -> whether it has a log only."""
    feeds: dict[int, dict[int, cluster_pb2.FeedReport]] = field(default_factory=dict)
    """Likewise, of the global indexes that the partition's changes go to: by the index's number."""
    streams: dict[int, dict[int, cluster_pb2.StreamReport]] = field(default_factory=dict)
    """Likewise, of the streams that the partition's log has: by the stream's number."""
    configured: dict[int, int] = field(default_factory=dict)
    """Likewise, of the log entry that put those in force: its slot."""
    unopened: dict[int, float] = field(default_factory=dict)
    """Partitions that it should have and has not: since when it has said so."""
    is_full: bool = False
    healed: int = 0
    boot: int = 0
    snapshots: dict[int, cluster_pb2.SnapshotProgress] = field(default_factory=dict)
    note: str = ""

    def state(self) -> tuple[object, ...]:
        """What changes only when something has happened."""
        lists = self.opened, self.dropped, self.restoring, set(self.unopened)
        feeds = {(each, number, feed.complete) for each, of in self.feeds.items() for number, feed in of.items()}
        return self.leads, *lists, self.members, self.configured, self.is_full, feeds, self.streams


class Attendance:
    """What the nodes report. `clock` is a monotonic time in seconds.

    Of two reports on a partition's leader the one of the higher ballot counts, whichever came first."""

    def __init__(self, silence_s: float, clock: Callable[[], float]) -> None:
        self.nodes: dict[int, Attendee] = {}
        self.leaders: dict[int, tuple[int, int]] = {}  # partition -> (ballot round, node)
        self.sizes: dict[int, tuple[int, int]] = {}  # partition -> (items, bytes), of its leader
        self.index_sizes: dict[int, dict[int, tuple[int, int]]] = {}  # partition -> index number -> likewise
        self.changed = asyncio.Event()
        self._silence_s = silence_s
        self._clock = clock
        self._began_at_s = clock()

    def report(self, report: cluster_pb2.NodeReport) -> None:
        """Takes a node's report (complete, not a difference)."""
        attendee = self.nodes.get(report.node_id)
        if attendee is None:
            attendee = self.nodes[report.node_id] = Attendee(0.0)
        before = attendee.state()
        attendee.reported_at_s = self._clock()
        attendee.note = report.note
        attendee.leads = {leader.partition_id for leader in report.leaders}
        attendee.opened = set(report.opened)
        attendee.dropped = set(report.dropped)
        attendee.restoring = set(report.restoring)
        now_s = attendee.reported_at_s
        attendee.unopened = {each: attendee.unopened.get(each, now_s) for each in report.unopened}
        attendee.is_full, attendee.healed, attendee.boot = report.full, report.healed, report.boot
        attendee.snapshots = {each.partition_id: each for each in report.snapshots}
        attendee.members = {
            leader.partition_id: {member.node_id: member.log_only for member in leader.members}
            for leader in report.leaders
        }
        attendee.feeds = {
            leader.partition_id: {feed.index_number: feed for feed in leader.feeds} for leader in report.leaders
        }
        attendee.streams = {
            leader.partition_id: {stream.number: stream for stream in leader.streams} for leader in report.leaders
        }
        attendee.configured = {leader.partition_id: leader.configuration_slot for leader in report.leaders}
        for leader in report.leaders:
            ballot = (leader.ballot_round, leader.leader_node_id)
            self.leaders[leader.partition_id] = max(ballot, self.leaders.get(leader.partition_id, (0, 0)))
        for size in report.sizes:
            if self.leaders.get(size.partition_id, (0, 0))[1] == report.node_id:
                self.sizes[size.partition_id] = (size.items, size.bytes)
                self.index_sizes[size.partition_id] = {each.number: (each.items, each.bytes) for each in size.indexes}
        if before != attendee.state():
            self.changed.set()

    def is_alive(self, node_id: int) -> bool:
        attendee = self.nodes.get(node_id)
        return attendee is not None and self._clock() - attendee.reported_at_s < self._silence_s

    def silent_s(self, node_id: int) -> float:
        """For how long a node has not reported, as far as this process can tell: it has not listened for longer than it
        has run."""
        attendee = self.nodes.get(node_id)
        return self._clock() - (self._began_at_s if attendee is None else attendee.reported_at_s)

    def lacking_s(self, partition_id: int, node_id: int) -> float:
        """For how long a node that should have a partition has been silent, or has said that it has not."""
        attendee = self.nodes.get(node_id)
        since_s = None if attendee is None else attendee.unopened.get(partition_id)
        return max(self.silent_s(node_id), 0.0 if since_s is None else self._clock() - since_s)

    def has_room(self, node_id: int) -> bool:
        """Whether a node lives, and has not said that its disk is full."""
        return self.is_alive(node_id) and not self.nodes[node_id].is_full

    def usable_nodes(self, catalog: Catalog) -> tuple[dict[str, list[int]], set[int]]:
        """Zone -> the nodes that may hold a new table, and those of them whose disk is full: live ones that are not
        drained."""
        zones: dict[str, list[int]] = {}
        for node in catalog.nodes.values():
            if self.is_alive(node.node_id) and not node.is_draining:
                zones.setdefault(node.zone, []).append(node.node_id)
        return zones, {each for node_ids in zones.values() for each in node_ids if not self.has_room(each)}

    def members_in_force(self, partition: Partition) -> dict[int, bool]:
        """Node id -> whether it has a log only, of a partition whose leader lives and serves; empty: there is none, or
        none that knows as much as the catalog's last decision was based on."""
        partition_id, slot = partition.partition_id, partition.floor.configuration_slot
        if not self.has_leader(partition_id) or self.floor(partition_id).configuration_slot < slot:
            return {}
        return self.nodes[self.leaders[partition_id][1]].members.get(partition_id, {})

    def floor(self, partition_id: int) -> Floor:
        """What the group of a partition has reached. Requires `has_leader`."""
        ballot = Ballot(*self.leaders[partition_id])
        return Floor(self.nodes[ballot.node_id].configured[partition_id], ballot)

    def has_leader(self, partition_id: int) -> bool:
        """Whether a live node has reported that it leads the partition and serves it."""
        _, node_id = self.leaders.get(partition_id, (0, 0))
        attendee = self.nodes.get(node_id)
        return attendee is not None and partition_id in attendee.leads and self.is_alive(node_id)

    def feeds(self, partition_id: int) -> Mapping[int, cluster_pb2.FeedReport]:
        """Index number -> how far that global index has been fed, of a partition whose leader lives and serves; empty:
        there is none, or it feeds none."""
        if not self.has_leader(partition_id):
            return {}
        return self.nodes[self.leaders[partition_id][1]].feeds.get(partition_id, {})

    def streams(self, partition_id: int) -> Mapping[int, cluster_pb2.StreamReport]:
        """Stream number -> what the log of a partition whose leader lives and serves has of it; empty: there is no such
        leader, or no stream in its log."""
        if not self.has_leader(partition_id):
            return {}
        return self.nodes[self.leaders[partition_id][1]].streams.get(partition_id, {})

    def forget_partitions(self, catalog: Catalog) -> None:
        """Lets go of what is known of partitions that are no more."""
        known = {each.partition_id for table in catalog.tables.values() for each in table.all_partitions}
        for partition_id in [each for each in self.leaders if each not in known]:
            del self.leaders[partition_id]
            self.sizes.pop(partition_id, None)
            self.index_sizes.pop(partition_id, None)
