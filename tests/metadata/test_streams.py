"""Streams: what routers, storage nodes and clients are told of them, and when their steps are due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from statorpb import cluster_pb2, streams_pb2, tables_pb2

from metadata.assignments import assignments
from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog, TableStatus
from metadata.catalog.commands import (
    ActivateTable,
    DeleteTable,
    DisableStream,
    EnableStream,
    RemoveStream,
    Shard,
)
from metadata.catalog.streams import RETENTION_MS, StreamStatus
from metadata.descriptions import describe
from metadata.reconciler import Reconciler
from metadata.streams import look_up_streams
from tests.metadata.catalog.test_catalog import NOW_MS, create, status
from tests.metadata.catalog.test_indexes import planned
from tests.metadata.catalog.test_streams import BEGUN, ENDED, music_with_stream, switch
from tests.metadata.fake_group import FakeClock, FakeGroup
from tests.metadata.test_attendance import report
from tests.metadata.test_service import Process, create_request, failure

ALL = (100, 101)
KEYS_ONLY = tables_pb2.StreamSpecification.KEYS_ONLY
NEW_IMAGE = tables_pb2.StreamSpecification.NEW_IMAGE
LABEL = "2023-11-14T22:13:20.001"


def recorded(message: cluster_pb2.NodeReport, shards: tuple[Shard, ...], number: int = 2) -> cluster_pb2.NodeReport:
    """The report, in which the partitions that the node leads have this of a stream; closed where there is a last
    sequence number."""
    for leader in message.leaders:
        for shard in shards:
            if shard.partition_id == leader.partition_id:
                leader.streams.add(
                    number=number,
                    first_sequence=shard.first_sequence,
                    closed=shard.last_sequence > 0,
                    last_sequence=shard.last_sequence,
                )
    return message


class TestTold:
    @pytest.mark.parametrize("status", list(StreamStatus))
    def test_storage_nodes(self, status: StreamStatus) -> None:
        """Whether to record is told from when a stream has its number until it is removed; then it is missing, and
        `known_below` says that it is no more. A partition of an index has none."""
        catalog = music_with_stream(status)
        message = assignments(catalog, 7, 1, None, 5_000)
        wanted = cluster_pb2.PartitionStream(
            number=2, view_type=NEW_IMAGE, closed=status >= StreamStatus.DISABLING, retention_ms=5_000
        )
        assert [list(each.streams) for each in message.partitions] == [[wanted], [wanted]]
        assert message.known_below == 3
        assert assignments(catalog, 7, 1).partitions[0].streams[0].retention_ms == RETENTION_MS
        if status == StreamStatus.DISABLED:
            catalog.apply(switch("KEYS_ONLY", created_index=planned()))
            message = assignments(catalog, 8, 1)
            assert [[each.number for each in told.streams] for told in message.partitions] == [[2, 4], [2, 4], [], []]
            assert message.known_below == 3, "of the index nobody can tell yet whether it is gone"
            catalog.apply(RemoveStream(2))
            message = assignments(catalog, 9, 1)
            assert [[each.number for each in told.streams] for told in message.partitions] == [[4], [4], [], []]
            assert message.known_below > 2

    @pytest.mark.parametrize("status", list(StreamStatus))
    async def test_routers(self, process: Process, status: StreamStatus) -> None:
        """Shards are told when there are some, and closed when all are."""
        process.group.machine.catalog = music_with_stream(status)
        request = cluster_pb2.LookUpTablesRequest(table_names=["music"])
        (route,) = (await process.stub.LookUpTables(request, timeout=5)).tables
        expected = cluster_pb2.StreamRoute(
            number=2,
            label=LABEL,
            status=streams_pb2.StreamStatus.Value(status.name),
            view_type=NEW_IMAGE,
            created_at_ms=NOW_MS + 1,
        )
        is_closed = status == StreamStatus.DISABLED
        for shard in () if status == StreamStatus.ENABLING else ENDED if is_closed else BEGUN:
            expected.shards.add(
                partition_id=shard.partition_id,
                first_sequence=shard.first_sequence,
                closed=is_closed,
                last_sequence=shard.last_sequence,
            )
        assert list(route.streams) == [expected]

    @pytest.mark.parametrize(
        ("status", "told", "is_on"),
        [
            (StreamStatus.ENABLING, tables_pb2.UPDATING, True),
            (StreamStatus.ENABLED, tables_pb2.ACTIVE, True),
            (StreamStatus.DISABLING, tables_pb2.UPDATING, False),
            (StreamStatus.DISABLED, tables_pb2.ACTIVE, False),
        ],
    )
    def test_clients(self, status: StreamStatus, told: tables_pb2.TableStatus.ValueType, is_on: bool) -> None:
        """A table whose stream is being switched is being updated; what is off is known by its label only."""
        attendance = Attendance(3.0, FakeClock())
        catalog = music_with_stream(status)
        description = describe(catalog.tables["music"], attendance, NOW_MS)
        assert (description.status, description.latest_stream_label) == (told, LABEL)
        assert description.HasField("stream") == is_on
        if is_on:
            assert description.stream == tables_pb2.StreamSpecification(enabled=True, view_type=NEW_IMAGE)
        if status == StreamStatus.DISABLED:
            catalog.apply(switch("KEYS_ONLY", NOW_MS + 9))
            description = describe(catalog.tables["music"], attendance, NOW_MS)
            assert (description.latest_stream_label, description.stream.view_type) == (LABEL[:-1] + "9", KEYS_ONLY)

    def test_a_table_without_one(self) -> None:
        """Nothing is told of it."""
        catalog = music_with_stream(StreamStatus.DISABLED)
        catalog.apply(RemoveStream(2))
        description = describe(catalog.tables["music"], Attendance(3.0, FakeClock()), NOW_MS)
        assert (description.latest_stream_label, description.HasField("stream")) == ("", False)


class TestLookUpStreams:
    def catalog(self) -> Catalog:
        """The table `blues` without streams, `films` with two, `music` with one."""
        catalog = music_with_stream()
        catalog.apply(create("blues"))
        catalog.apply(replace(create("films"), stream_view_type="KEYS_ONLY"))
        number = catalog.tables["films"].streams[0].number
        partitions = [each.partition_id for each in catalog.tables["films"].partitions]
        catalog.apply(EnableStream(number, tuple(Shard(each, 1000) for each in partitions)))
        catalog.apply(ActivateTable(catalog.tables["films"].number))
        catalog.apply(replace(switch(""), table_name="films"))
        catalog.apply(DisableStream(number, tuple(Shard(each, 1000, 2000) for each in partitions), NOW_MS))
        catalog.apply(replace(switch("NEW_IMAGE"), table_name="films"))
        return catalog

    @pytest.mark.parametrize("name", ["", "films", "music", "blues"])
    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 1000])
    def test_pages(self, name: str, limit: int) -> None:
        """In order, each once, whatever the size of the pages; the last one says that it is."""
        everything = [("films", LABEL[:-1] + "0"), ("films", LABEL), ("music", LABEL)]
        request = cluster_pb2.LookUpStreamsRequest(table_name=name, limit=limit)
        seen: list[tuple[str, str]] = []
        for _ in range(4):
            response = look_up_streams(self.catalog(), request)
            assert not response.unknown
            page = [(each.table_name, each.label) for each in response.streams]
            seen += page
            if not response.more:
                break
            assert len(page) == limit
            request.after_table_name, request.after_label = page[-1]
        assert seen == [each for each in everything if name in ("", each[0])]

    def test_pages_have_an_end(self) -> None:
        """Without a limit, and with one that is too high."""
        catalog = Catalog()
        for number in range(101):
            catalog.apply(replace(create(f"t{number}"), stream_view_type="KEYS_ONLY"))
        for limit in (0, 1000):
            response = look_up_streams(catalog, cluster_pb2.LookUpStreamsRequest(limit=limit))
            assert (len(response.streams), response.more) == (100, True)

    @pytest.mark.parametrize("linearizable", [False, True])
    async def test_the_door(self, process: Process, linearizable: bool) -> None:
        """From memory, or at the leader; a table that is not there is told apart from one that has none."""
        process.group.machine.catalog = self.catalog()
        request = cluster_pb2.LookUpStreamsRequest(table_name="music", linearizable=linearizable)
        response = await process.stub.LookUpStreams(request, timeout=5)
        assert [(each.table_name, each.label) for each in response.streams] == [("music", LABEL)]
        request.table_name = "nothing"
        response = await process.stub.LookUpStreams(request, timeout=5)
        assert (list(response.streams), response.unknown) == ([], True)
        process.group.leads = False
        if linearizable:
            assert (await failure(process.stub.LookUpStreams(request, timeout=5)))[0] == "ServiceUnavailableException"
        else:
            assert (await process.stub.LookUpStreams(request, timeout=5)).unknown


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    """A leader with three storage nodes that live."""
    process = Process(tmp_path, 1)
    process.group.found()
    for node_id in (1, 2, 3):
        process.group.attendance.report(report(node_id))
    await process.start()
    yield process
    await process.stop()


async def test_requests(process: Process) -> None:
    """A table is made with a stream, which is switched off; the answers show what is under way."""
    stub, group = process.stub, process.group
    request = create_request()
    request.stream.enabled = True
    no_view_type = ("ValidationException", "a stream that is enabled has a view type")
    assert await failure(stub.CreateTable(request, timeout=5)) == no_view_type
    request.stream.view_type = KEYS_ONLY
    created = (await stub.CreateTable(request, timeout=5)).table
    assert (created.status, created.stream) == (tables_pb2.CREATING, request.stream)
    assert created.latest_stream_label == group.machine.catalog.tables["music"].streams[0].label
    await group.propose(EnableStream(2, BEGUN))
    await group.propose(ActivateTable(1))
    update = tables_pb2.UpdateTableRequest(table_name="music")
    update.stream.enabled = True
    assert await failure(stub.UpdateTable(update, timeout=5)) == no_view_type
    update.stream.view_type = NEW_IMAGE
    on_already = ("ValidationException", "Table already has an enabled stream: TableName: music")
    assert await failure(stub.UpdateTable(update, timeout=5)) == on_already
    update.stream.Clear()
    update.stream.SetInParent()
    updated = (await stub.UpdateTable(update, timeout=5)).table
    assert (updated.status, updated.HasField("stream")) == (tables_pb2.UPDATING, False)
    assert updated.latest_stream_label == created.latest_stream_label
    assert (await failure(stub.UpdateTable(update, timeout=5)))[0] == "ResourceInUseException"
    without = create_request("films")
    without.stream.view_type = KEYS_ONLY
    assert not (await stub.CreateTable(without, timeout=5)).table.HasField("stream"), "it is not enabled"


class TestSteps:
    @pytest.fixture
    def group(self, tmp_path: Path) -> FakeGroup:
        """A founded cluster of three storage nodes, all silent."""
        group = FakeGroup(tmp_path)
        group.found()
        return group

    @pytest.fixture
    def now_ms(self) -> list[int]:
        """The time of day, which the test changes."""
        return [NOW_MS]

    @pytest.fixture
    def reconciler(self, group: FakeGroup, now_ms: list[int]) -> Reconciler:
        return Reconciler(group.machine, group.attendance, group.propose, 10.0, 1_000, lambda: now_ms[0])

    def stream_status(self, group: FakeGroup) -> StreamStatus:
        return group.machine.catalog.tables["music"].streams[0].status

    async def test_a_table_is_active_when_its_stream_is_enabled(self, group: FakeGroup, reconciler: Reconciler) -> None:
        """And its stream is enabled when every partition records; a report that lacks one is not enough."""
        await group.propose(replace(create(), stream_view_type="KEYS_ONLY"))
        for node_id in (2, 3):
            group.attendance.report(report(node_id, opened=ALL))
        for shards in ((), BEGUN[:1], BEGUN[1:]):
            group.attendance.report(recorded(report(1, dict.fromkeys(ALL, 3), opened=ALL), shards))
            await reconciler.reconcile()
            assert (self.stream_status(group), status(group.machine.catalog)) == (
                StreamStatus.ENABLING,
                TableStatus.CREATING,
            )
        group.attendance.report(recorded(report(1, dict.fromkeys(ALL, 3), opened=ALL), BEGUN))
        await reconciler.reconcile()
        assert group.commands[1:] == [EnableStream(2, BEGUN), ActivateTable(1)]
        assert status(group.machine.catalog) == TableStatus.ACTIVE
        await reconciler.reconcile()
        assert len(group.commands) == 3

    async def test_the_stream_may_be_first(self, group: FakeGroup, reconciler: Reconciler) -> None:
        """Where a member has not opened its replica yet, the table waits for it."""
        await group.propose(replace(create(), stream_view_type="KEYS_ONLY"))
        group.attendance.report(recorded(report(1, dict.fromkeys(ALL, 3), opened=ALL), BEGUN))
        await reconciler.reconcile()
        assert (self.stream_status(group), status(group.machine.catalog)) == (
            StreamStatus.ENABLED,
            TableStatus.CREATING,
        )

    async def test_a_leader_that_is_no_more(self, group: FakeGroup, reconciler: Reconciler) -> None:
        """What it reported counts no more, though it still reports; what the next one has not said is waited for."""
        await group.propose(create())
        await group.propose(ActivateTable(1))
        await group.propose(switch("NEW_IMAGE"))
        group.attendance.report(recorded(report(1, {100: 3, 101: 3}), BEGUN[:1]))
        group.attendance.report(report(2, {100: 4}))
        group.attendance.report(recorded(report(1, {100: 3, 101: 3}), BEGUN))
        await reconciler.reconcile()
        assert self.stream_status(group) == StreamStatus.ENABLING
        group.clock.now_s += 5
        group.attendance.report(recorded(report(2, {100: 4}), BEGUN))
        await reconciler.reconcile()
        assert self.stream_status(group) == StreamStatus.ENABLING, "101 has no leader that lives"
        group.attendance.report(recorded(report(3, {101: 9}), BEGUN))
        await reconciler.reconcile()
        assert self.stream_status(group) == StreamStatus.ENABLED

    async def test_from_enabled_to_nothing(self, group: FakeGroup, reconciler: Reconciler, now_ms: list[int]) -> None:
        """Disabled when all are closed, at that time; removed when what it has has been kept for long enough."""
        group.machine.catalog = replace(music_with_stream(StreamStatus.DISABLING), cluster_id="cluster")
        for shards in ((), BEGUN, (BEGUN[0], ENDED[1]), (ENDED[0], BEGUN[1]), ENDED[:1]):
            group.attendance.report(recorded(report(1, dict.fromkeys(ALL, 3)), shards))
            await reconciler.reconcile()
            assert self.stream_status(group) == StreamStatus.DISABLING
        group.attendance.report(recorded(report(1, dict.fromkeys(ALL, 3)), ENDED))
        await reconciler.reconcile()
        assert group.commands == [DisableStream(2, ENDED, NOW_MS)]
        now_ms[0] += 999
        await reconciler.reconcile()
        assert self.stream_status(group) == StreamStatus.DISABLED
        now_ms[0] += 1
        await reconciler.reconcile()
        assert group.commands[1:] == [RemoveStream(2)]
        assert group.machine.catalog.tables["music"].streams == ()

    async def test_a_deleted_tables_stream(self, group: FakeGroup, reconciler: Reconciler) -> None:
        """Nothing is done about it."""
        group.machine.catalog = replace(music_with_stream(StreamStatus.DISABLING), cluster_id="cluster")
        await group.propose(DeleteTable("music"))
        group.commands.clear()
        group.attendance.report(recorded(report(1, dict.fromkeys(ALL, 3)), ENDED))
        await reconciler.reconcile()
        assert group.commands == []

    def test_every_word_of_a_stream_is_noticed(self) -> None:
        """That it is there, and that it is closed: the next pass need not be waited for."""
        attendance = Attendance(3.0, FakeClock())
        for shards, is_news in (((), True), (BEGUN, True), (BEGUN, False), (ENDED, True), (ENDED, False)):
            attendance.changed.clear()
            attendance.report(recorded(report(1, dict.fromkeys(ALL, 3)), shards))
            assert attendance.changed.is_set() == is_news
        assert attendance.streams(100)[2].last_sequence == ENDED[0].last_sequence
        assert attendance.streams(102) == {}
