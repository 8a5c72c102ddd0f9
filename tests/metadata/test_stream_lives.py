"""Streams that are switched on and off while leaders change, hear late and report late, in any order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from statorpb import cluster_pb2

from metadata.assignments import assignments
from metadata.attendance import Attendance
from metadata.catalog.catalog import TableStatus
from metadata.catalog.commands import OpenIndex, Shard
from metadata.catalog.streams import StreamStatus
from metadata.catalog_codec import decode_snapshot, encode_snapshot
from metadata.reconciler import Reconciler
from server.model.errors import StatorError
from tests.metadata.catalog.test_catalog import create
from tests.metadata.catalog.test_indexes import change, planned
from tests.metadata.fake_group import FakeGroup
from tests.metadata.test_attendance import report

NODES = (1, 2, 3)
TABLE = (100, 101)
RETENTION_MS = 1_000


@dataclass
class Recorded:
    """What a partition's log has of a stream. `last` 0: it is not closed."""

    first: int
    last: int = 0


class Cluster:
    """The table `music` of two partitions, made with a stream, and what their logs say of its streams. Nodes act by
    what they have heard, and the metadata service by what they have reported."""

    def __init__(self) -> None:
        self.group = FakeGroup(Path("nowhere"))
        self.group.found()
        self.now_ms = create().created_at_ms
        self.reconciler = self._reconciler()
        self.streams: dict[int, dict[int, Recorded]] = {each: {} for each in TABLE}
        self.newest = dict.fromkeys(TABLE, 0)
        self.slots = dict.fromkeys(TABLE, 0)
        self.leaders = dict.fromkeys(TABLE, (1, 1))  # partition -> (ballot round, node)
        self.heard = dict.fromkeys(NODES, cluster_pb2.NodeAssignments())
        self.told: dict[int, tuple[Shard, ...]] = {}  # by stream, what the catalog has said of its sequence numbers
        self.ended: dict[int, tuple[Shard, ...]] = {}

    def _reconciler(self) -> Reconciler:
        return Reconciler(
            self.group.machine, self.group.attendance, self.group.propose, 1e9, RETENTION_MS, lambda: self.now_ms
        )

    def restart(self) -> None:
        """Another metadata process leads: it knows the catalog, and of the nodes what they report to it."""
        self.group.machine.catalog = decode_snapshot(encode_snapshot(self.group.machine.catalog))
        self.group.attendance = Attendance(3.0, self.group.clock)
        self.reconciler = self._reconciler()

    def hear(self, node_id: int) -> None:
        machine = self.group.machine
        self.heard[node_id] = assignments(machine.catalog, machine.slot, node_id, None, RETENTION_MS)

    def elect(self, partition_id: int, node_id: int) -> None:
        self.leaders[partition_id] = (self.leaders[partition_id][0] + 1, node_id)
        self.slots[partition_id] += 1

    def act(self, partition_id: int) -> None:
        """What the leader proposes of streams, by what it has heard."""
        heard, streams = self.heard[self.leaders[partition_id][1]], self.streams[partition_id]
        told = [each for each in heard.partitions if each.partition_id == partition_id]
        wanted = {stream.number: stream.closed for each in told for stream in each.streams}
        self.slots[partition_id] += 1
        sequence = self.slots[partition_id] * 1000
        for number in list(streams):
            if number not in wanted and number < heard.known_below:
                del streams[number]
            elif wanted.get(number) and not streams[number].last:
                streams[number].last = sequence
        for number, is_closed in sorted(wanted.items()):
            if not is_closed and number > self.newest[partition_id]:
                streams[number] = Recorded(sequence)
                self.newest[partition_id] = number

    def report(self, node_id: int) -> None:
        """All of what a node has and leads."""
        heard = self.heard[node_id]
        leads = {each: round_ for each, (round_, leader) in self.leaders.items() if leader == node_id}
        message = report(node_id, leads, opened=tuple(each.partition_id for each in heard.partitions))
        for leader in message.leaders:
            for number, stream in self.streams[leader.partition_id].items():
                leader.streams.add(
                    number=number,
                    first_sequence=stream.first,
                    closed=stream.last > 0,
                    last_sequence=stream.last,
                )
        self.group.attendance.report(message)

    async def ask(self, **changes: object) -> None:
        """What a client asks for; it may be refused."""
        try:
            await self.group.propose(change(**changes))
        except StatorError as error:
            assert error.code in ("LimitExceededException", "ResourceInUseException", "ValidationException")

    def check(self) -> None:
        """What the catalog says of sequence numbers is what the logs have, and stays."""
        table = self.group.machine.catalog.tables["music"]
        for stream in table.streams:
            logs = [self.streams[each].get(stream.number) for each in TABLE]
            if stream.status == StreamStatus.ENABLING:
                assert stream.shards == ()
                continue
            assert [(each.partition_id, each.first_sequence) for each in stream.shards] == [
                (partition_id, log.first) for partition_id, log in zip(TABLE, logs, strict=True) if log is not None
            ]
            first = tuple(replace(each, last_sequence=0) for each in stream.shards)
            assert self.told.setdefault(stream.number, first) == first
            if stream.status == StreamStatus.DISABLED:
                assert [each.last_sequence for each in stream.shards] == [log.last for log in logs if log is not None]
                assert all(each.last_sequence for each in stream.shards)
                assert self.ended.setdefault(stream.number, stream.shards) == stream.shards
            else:
                assert not any(each.last_sequence for each in stream.shards)
        if table.status == TableStatus.ACTIVE:
            assert self.told, "a table that was made with a stream is not to be used without it"

    async def settle(self) -> None:
        """Everybody hears and reports everything."""
        for _ in range(4):
            for node_id in NODES:
                self.hear(node_id)
            for partition_id in TABLE:
                self.act(partition_id)
            for node_id in NODES:
                self.report(node_id)
            await self.reconciler.reconcile()
            self.check()


@dataclass(frozen=True)
class Round:
    """Who hears what there is now, whose leaders then act, who reports; then who leads next."""

    request: str
    hear: frozenset[int]
    act: frozenset[int]
    report: frozenset[int]
    elected: tuple[int, int] | None
    passed_ms: int = 0


def most_of(values: tuple[int, ...]) -> st.SearchStrategy[frozenset[int]]:
    """All more often than not: otherwise hardly any stream would come far."""
    return st.just(frozenset(values)) | st.frozensets(st.sampled_from(values))


ROUNDS = st.lists(
    st.builds(
        Round,
        st.sampled_from(["", "", "on", "off", "index", "open", "restart"]),
        most_of(NODES),
        most_of(TABLE),
        most_of(NODES),
        st.none() | st.tuples(st.sampled_from(TABLE), st.sampled_from(NODES)),
        st.sampled_from([0, 1, RETENTION_MS]),
    ),
    max_size=12,
)


async def _ask(cluster: Cluster, request: str) -> None:
    match request:
        case "on" | "off":
            await cluster.ask(stream="NEW_IMAGE" if request == "on" else "")
        case "index":
            await cluster.ask(created_index=planned(f"ix-{cluster.group.machine.slot}"))
        case "open":
            for index in cluster.group.machine.catalog.tables["music"].global_indexes:
                await cluster.group.propose(OpenIndex(index.number))
        case "restart":
            cluster.restart()


async def _live(rounds: list[Round]) -> None:
    cluster = Cluster()
    await cluster.group.propose(replace(create(), stream_view_type="KEYS_ONLY"))
    for each in rounds:
        cluster.now_ms += each.passed_ms
        await _ask(cluster, each.request)
        for node_id in sorted(each.hear):
            cluster.hear(node_id)
        for partition_id in sorted(each.act):
            cluster.act(partition_id)
        for node_id in sorted(each.report):
            cluster.report(node_id)
        await cluster.reconciler.reconcile()
        cluster.check()
        if each.elected is not None:
            cluster.elect(*each.elected)
            cluster.act(each.elected[0])
            cluster.check()
    await cluster.settle()
    table = cluster.group.machine.catalog.tables["music"]
    assert table.status == TableStatus.ACTIVE
    for stream in table.streams:
        assert not stream.is_changing
    await _ask(cluster, "open")
    await cluster.settle()
    cluster.now_ms += RETENTION_MS
    await cluster.settle()
    kept = {stream.number for stream in cluster.group.machine.catalog.tables["music"].streams}
    assert len(kept) <= 1, "what was disabled is no more"
    for partition_id in TABLE:
        assert cluster.streams[partition_id].keys() == kept, "nothing is left of what is no more"


ALL_NODES, ALL_OF_TABLE = frozenset(NODES), frozenset(TABLE)
QUIET = Round("", ALL_NODES, ALL_OF_TABLE, ALL_NODES, None)
BEGUN_AGAIN_LATE = [
    QUIET,
    replace(QUIET, request="off", hear=frozenset([1])),
    replace(QUIET, passed_ms=RETENTION_MS, hear=frozenset([1])),
    replace(QUIET, hear=frozenset([1]), elected=(100, 2)),
]
"""A leader that has heard only of the beginning follows when the stream is gone."""

FOLLOWED_BY_ONE_THAT_HEARD_LESS = [
    QUIET,
    replace(QUIET, request="off"),
    QUIET,
    replace(QUIET, request="on", hear=frozenset([1]), elected=(100, 2)),
]
"""And that knows of the stream before only: the new one is not gone because of that."""


@settings(max_examples=300)
@given(ROUNDS)
@example(BEGUN_AGAIN_LATE)
@example(FOLLOWED_BY_ONE_THAT_HEARD_LESS)
def test_whatever_is_heard_and_reported_late(rounds: list[Round]) -> None:
    """No stream is enabled that a partition does not record for, none disabled that one does; what was said of sequence
    numbers stays; none is stuck, and what was removed is nowhere."""
    asyncio.run(_live(rounds))
