"""The metadata service's door, over real gRPC, on a group that commits at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from statorpb import admin_pb2, cluster_pb2, cluster_pb2_grpc, tables_pb2

from metadata.assignments import assignments
from metadata.catalog.catalog import TableStatus
from metadata.catalog.commands import ActivateTable, DeleteTable, RemoveTable
from metadata.config import Config
from metadata.service import MetadataService
from server.model.table import KeyAttribute, LocalIndex
from server.runtime.grpc_server import GrpcServer, channel_options, error_of, start_server
from server.table_codec import local_indexes
from tests.metadata.catalog.test_catalog import create, register, status
from tests.metadata.fake_group import FakeGroup
from tests.metadata.test_attendance import report

NO_LEADER = ("ServiceUnavailableException", "no leader of the metadata service is available at present")


class Process:
    """A metadata process but for its log: its door, and the group behind it."""

    def __init__(self, directory: Path, node_id: int, **limits: Any) -> None:
        self.group = FakeGroup(directory)
        members = ("1@zone-1=one:1", "2@zone-2=two:2", "3@zone-3=three:3")
        config = Config(
            name=f"metadata-{node_id}", zone=f"zone-{node_id}", node_id=node_id, data=str(directory), members=members
        )
        self.service = MetadataService(config, self.group, **limits)
        self._server: GrpcServer | None = None
        self._channel: grpc.aio.Channel | None = None

    async def start(self) -> None:
        self._server = await start_server(
            "127.0.0.1:0",
            [lambda server: cluster_pb2_grpc.add_MetadataServicer_to_server(self.service, server)],
            ["stator.internal.v1.Metadata"],
        )
        self._channel = grpc.aio.insecure_channel(self.address, options=channel_options())

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.port}"

    @property
    def stub(self) -> cluster_pb2_grpc.MetadataAsyncStub:
        return cluster_pb2_grpc.MetadataStub(self._channel)  # type: ignore[arg-type]

    async def stop(self) -> None:
        if self._channel is not None and self._server is not None:
            await self._channel.close()
            await self.service.close()
            await self._server.stop(0)
            self._server = None


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


@pytest.fixture
async def follower(process: Process, tmp_path: Path) -> AsyncIterator[Process]:
    """Another process, which knows who leads."""
    follower = Process(tmp_path, 2)
    follower.group.leads = False
    follower.group.other_leader = process.address
    await follower.start()
    yield follower
    await follower.stop()


def create_request(name: str = "music", partitions: int = 2) -> tables_pb2.CreateTableRequest:
    request = tables_pb2.CreateTableRequest(table_name=name, partitions=partitions)
    request.key_schema.partition_key.name, request.key_schema.partition_key.type = "artist", tables_pb2.S
    request.key_schema.sort_key.name, request.key_schema.sort_key.type = "year", tables_pb2.N
    return request


async def failure(call: Awaitable[Any]) -> tuple[str, str]:
    """(code, message) of the model's error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert isinstance(raised.value, grpc.aio.AioRpcError)
    known = error_of(raised.value)
    assert known is not None, raised.value
    return known


class TestRegisterNode:
    async def test_registers_once(self, process: Process) -> None:
        """The same node again gets the same id, and nothing is proposed for it."""
        request = cluster_pb2.RegisterNodeRequest(name="s-9", zone="zone-1", address="h:9", data_id="d9")
        for _ in range(2):
            response = await process.stub.RegisterNode(request, timeout=5)
            assert (response.node_id, response.cluster_id) == (4, "cluster")
        assert len(process.group.commands) == 1
        request.address = "h:10"
        request.node_id = 4
        await process.stub.RegisterNode(request, timeout=5)
        assert process.group.machine.catalog.nodes[4].address == "h:10"

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"data_id": "other"}, "storage-1 is registered with another data folder"),
            ({"zone": "zone-2"}, "storage-1 is registered in zone-1, not in zone-2"),
            ({"node_id": 2}, "storage-1 says that it is node 2, which is not registered under that name"),
            ({"name": "storage-9", "node_id": 1}, "storage-9 says that it is node 1"),
            ({"name": ""}, "a storage node registers with a name, a zone, an address"),
        ],
    )
    async def test_refuses(self, process: Process, change: dict[str, Any], sentence: str) -> None:
        """Whoever cannot be who it says it is."""
        request = cluster_pb2.RegisterNodeRequest(name="storage-1", zone="zone-1", address="host:1", data_id="d1")
        for field, value in change.items():
            setattr(request, field, value)
        code, message = await failure(process.stub.RegisterNode(request, timeout=5))
        assert code == "ValidationException"
        assert message.startswith(sentence)
        assert not process.group.commands

    async def test_before_the_cluster_is_founded(self, tmp_path: Path) -> None:
        """A node is not told of a cluster that has no id yet."""
        process = Process(tmp_path, 1)
        await process.start()
        request = cluster_pb2.RegisterNodeRequest(name="s", zone="z", address="a:1", data_id="d")
        answer = await failure(process.stub.RegisterNode(request, timeout=5))
        assert answer == ("ServiceUnavailableException", "the cluster is still being founded")
        await process.stop()


class TestTables:
    async def test_a_tables_life(self, process: Process) -> None:
        """Created, described, listed, deleted; each answer says what the catalog says."""
        stub, group = process.stub, process.group
        created = (await stub.CreateTable(create_request(), timeout=5)).table
        assert created.status == tables_pb2.CREATING
        assert (created.table_name, created.partitions, created.key_schema.sort_key.name) == ("music", 2, "year")
        assert not created.HasField("provisioned")
        group.attendance.report(report(1, {100: 1, 101: 1}, sizes={100: (3, 300), 101: (4, 400)}))
        await group.propose(ActivateTable(1))
        described = (await stub.DescribeTable(tables_pb2.DescribeTableRequest(table_name="music"), timeout=5)).table
        assert described.status == tables_pb2.ACTIVE
        assert (described.table_id, described.items, described.bytes) == (created.table_id, 7, 700)
        listed = await stub.ListTables(tables_pb2.ListTablesRequest(), timeout=5)
        assert list(listed.table_names) == ["music"]
        deleted = (await stub.DeleteTable(tables_pb2.DeleteTableRequest(table_name="music"), timeout=5)).table
        assert deleted.status == tables_pb2.DELETING

    async def test_throughput_decides_on_partitions(self, process: Process) -> None:
        """Where none are asked for; and it is described as it was given."""
        request = create_request(partitions=0)
        request.key_schema.ClearField("sort_key")
        request.provisioned.read_capacity_units, request.provisioned.write_capacity_units = 3_000, 1_500
        table = (await process.stub.CreateTable(request, timeout=5)).table
        assert table.partitions == 3
        assert table.provisioned == request.provisioned
        assert not table.key_schema.HasField("sort_key")

    async def test_local_indexes_are_numbered_and_reach_everybody(self, process: Process) -> None:
        """They are described, and routers and storage nodes are told of them, under numbers from 1."""
        request = create_request()
        request.local_indexes.add(
            name="by-label",
            sort_key=tables_pb2.KeyAttribute(name="label", type=tables_pb2.S),
            projection=tables_pb2.Projection(type=tables_pb2.Projection.KEYS_ONLY),
        )
        some = tables_pb2.Projection(type=tables_pb2.Projection.INCLUDE, non_key_attributes=["title", "length"])
        by_sales = tables_pb2.KeyAttribute(name="sales", type=tables_pb2.N)
        request.local_indexes.add(name="by-sales", sort_key=by_sales, projection=some)
        created = (await process.stub.CreateTable(request, timeout=5)).table
        assert [each.index for each in created.local_indexes] == list(request.local_indexes)
        looked_up = cluster_pb2.LookUpTablesRequest(table_names=["music"])
        route = (await process.stub.LookUpTables(looked_up, timeout=5)).tables[0]
        expected = (
            LocalIndex(1, "by-label", KeyAttribute("label", "S"), "KEYS_ONLY"),
            LocalIndex(2, "by-sales", KeyAttribute("sales", "N"), "INCLUDE", ("title", "length")),
        )
        assert local_indexes(route) == expected
        told = assignments(process.group.machine.catalog, 1, 1).partitions[0]
        assert local_indexes(told) == expected

    async def test_changes(self, process: Process) -> None:
        """A change is described as one that is under way, but for deletion protection; then it is there."""
        stub = process.stub
        await process.group.propose(create())
        request = tables_pb2.UpdateTableRequest(table_name="music", deletion_protection=True)
        in_use = "Attempt to change a resource which is still in use: Table is being created: music"
        assert await failure(stub.UpdateTable(request, timeout=5)) == ("ResourceInUseException", in_use)
        await process.group.propose(ActivateTable(1))
        protected = (await stub.UpdateTable(request, timeout=5)).table
        assert (protected.status, protected.deletion_protection) == (tables_pb2.ACTIVE, True)
        request = tables_pb2.UpdateTableRequest(table_name="music", table_class=tables_pb2.STANDARD_INFREQUENT_ACCESS)
        request.provisioned.read_capacity_units, request.provisioned.write_capacity_units = 7, 8
        request.warm.read_units_per_second = 70
        updated = (await stub.UpdateTable(request, timeout=5)).table
        assert (updated.status, updated.deletion_protection) == (tables_pb2.UPDATING, True)
        described = await stub.DescribeTable(tables_pb2.DescribeTableRequest(table_name="music"), timeout=5)
        assert described.table.status == tables_pb2.ACTIVE
        assert described.table.provisioned == request.provisioned
        assert described.table.warm.read_units_per_second == 70
        assert described.table.table_class == tables_pb2.STANDARD_INFREQUENT_ACCESS
        request = tables_pb2.UpdateTableRequest(table_name="music", billing_mode=tables_pb2.PAY_PER_REQUEST)
        request.on_demand.max_read_request_units = 9
        on_demand = (await stub.UpdateTable(request, timeout=5)).table
        assert not on_demand.HasField("provisioned")
        assert on_demand.on_demand.max_read_request_units == 9

    async def test_tags(self, process: Process) -> None:
        """They are set, listed and removed by the table's ARN; one that names no table is not found."""
        stub, arn = process.stub, "arn:aws:dynamodb:local:000000000000:table/music"
        tag = tables_pb2.TagResourceRequest(resource_arn=arn)
        tag.tags.add(key="stage", value="test")
        tag.tags.add(key="owner", value="me")
        untag = tables_pb2.UntagResourceRequest(resource_arn=arn, tag_keys=["stage"])
        listed = tables_pb2.ListTagsOfResourceRequest(resource_arn=arn)
        not_found = ("ResourceNotFoundException", f"Requested resource not found: ResourcArn: {arn} not found")
        assert await failure(stub.TagResource(tag, timeout=5)) == not_found
        assert await failure(stub.UntagResource(untag, timeout=5)) == not_found
        assert await failure(stub.ListTagsOfResource(listed, timeout=5)) == not_found
        await process.group.propose(create())
        await process.group.propose(ActivateTable(1))
        await stub.TagResource(tag, timeout=5)
        response = await stub.ListTagsOfResource(listed, timeout=5)
        assert [(each.key, each.value) for each in response.tags] == [("owner", "me"), ("stage", "test")]
        assert response.next_token == ""
        await stub.UntagResource(untag, timeout=5)
        assert [each.key for each in (await stub.ListTagsOfResource(listed, timeout=5)).tags] == ["owner"]

    async def test_how_items_expire(self, process: Process) -> None:
        """Routers and storage nodes are told; it is described, and refused, in DynamoDB's words."""
        stub = process.stub
        describe = tables_pb2.DescribeTimeToLiveRequest(table_name="music")
        not_found = ("ResourceNotFoundException", "Requested resource not found: Table: music not found")
        assert await failure(stub.DescribeTimeToLive(describe, timeout=5)) == not_found
        await process.group.propose(create())
        await process.group.propose(ActivateTable(1))
        assert (await stub.DescribeTimeToLive(describe, timeout=5)).time_to_live == tables_pb2.TimeToLive()
        update = tables_pb2.UpdateTimeToLiveRequest(table_name="music")
        update.time_to_live.attribute_name, update.time_to_live.enabled = "until", True
        assert (await stub.UpdateTimeToLive(update, timeout=5)).time_to_live == update.time_to_live
        assert (await stub.DescribeTimeToLive(describe, timeout=5)).time_to_live == update.time_to_live
        again = await failure(stub.UpdateTimeToLive(update, timeout=5))
        assert again == ("ValidationException", "TimeToLive is already enabled")
        looked_up = cluster_pb2.LookUpTablesRequest(table_names=["music"])
        assert (await stub.LookUpTables(looked_up, timeout=5)).tables[0].time_to_live_attribute == "until"
        told = assignments(process.group.machine.catalog, 1, 1).partitions
        assert [each.time_to_live_attribute for each in told] == ["until", "until"]

    async def test_many_at_once_are_balanced(self, process: Process) -> None:
        """Tables created together are placed one after the other, each on what the last one left."""
        group = process.group
        group.found(6)
        for node_id in range(1, 7):
            group.attendance.report(report(node_id))
        names = [f"table-{number}" for number in range(8)]
        await asyncio.gather(*(process.stub.CreateTable(create_request(name), timeout=5) for name in names))
        loads = dict.fromkeys(range(1, 7), 0)
        for table in group.machine.catalog.tables.values():
            for partition in table.partitions:
                for node_id in partition.node_ids:
                    loads[node_id] += 1
        assert set(loads.values()) == {8}

    async def test_pages_of_names(self, process: Process) -> None:
        """In order, from after the given name, with where to go on; the system's own tables are not among them."""
        for name in ("ddd", "bbb", "aaa", "ccc", "stator.a", "stator.b"):
            await process.group.propose(create(name))
        request = tables_pb2.ListTablesRequest(limit=2, exclusive_start_table_name="aaa")
        page = await process.stub.ListTables(request, timeout=5)
        assert (list(page.table_names), page.last_evaluated_table_name) == (["bbb", "ccc"], "ccc")
        request.exclusive_start_table_name = "ccc"
        page = await process.stub.ListTables(request, timeout=5)
        assert (list(page.table_names), page.last_evaluated_table_name) == (["ddd"], "")

    async def test_unknown_and_known_names(self, process: Process) -> None:
        """DynamoDB's errors in DynamoDB's words."""
        not_found = ("ResourceNotFoundException", "Requested resource not found: Table: music not found")
        stub = process.stub
        describe = tables_pb2.DescribeTableRequest(table_name="music")
        delete = tables_pb2.DeleteTableRequest(table_name="music")
        assert await failure(stub.DescribeTable(describe, timeout=5)) == not_found
        assert await failure(stub.DeleteTable(delete, timeout=5)) == not_found
        await stub.CreateTable(create_request(), timeout=5)
        in_use = await failure(stub.CreateTable(create_request(), timeout=5))
        assert in_use == ("ResourceInUseException", "Table already exists: music")
        assert (await failure(stub.DeleteTable(delete, timeout=5)))[0] == "ResourceInUseException"

    async def test_nonsense_is_refused(self, process: Process) -> None:
        """Even from a router that should have known better; nothing reaches the log."""
        no_type = create_request()
        no_type.key_schema.partition_key.type = 77  # type: ignore[assignment]
        no_key = create_request()
        no_key.ClearField("key_schema")
        nameless, unprojected = create_request(), create_request()
        for request, name, kind in ((nameless, "", 1), (unprojected, "by-x", 0)):
            index = request.local_indexes.add(name=name, projection=tables_pb2.Projection(type=kind))  # type: ignore[arg-type]
            index.sort_key.name, index.sort_key.type = "x", tables_pb2.S
        bad = (create_request("x"), create_request(partitions=257), no_type, no_key, nameless, unprojected)
        for request in bad:
            code, _ = await failure(process.stub.CreateTable(request, timeout=5))
            assert code == "ValidationException"
        assert not process.group.commands

    async def test_a_zone_without_a_live_node(self, process: Process) -> None:
        """No table is made that could not be kept in three zones; a full node will do, and is the last to lead."""
        process.group.attendance.nodes[1].is_full = True
        await process.stub.CreateTable(create_request("full"), timeout=5)
        assert process.group.machine.catalog.tables["full"].partitions[0].node_ids[2] == 1
        process.group.clock.now_s += 10
        process.group.attendance.report(report(1))
        code, message = await failure(process.stub.CreateTable(create_request(), timeout=5))
        assert code == "ServiceUnavailableException"
        told = "a table needs live storage nodes in 3 zones; there are nodes in 1 (those that are drained do not count)"
        assert message == told


class TestLeadership:
    async def test_a_follower_passes_on(self, process: Process, follower: Process) -> None:
        """What changes the catalog or must be up to date comes from the leader, errors and all."""
        await follower.stub.CreateTable(create_request(), timeout=5)
        assert list(process.group.machine.catalog.tables) == ["music"]
        assert not follower.group.machine.catalog.tables
        in_use = await failure(follower.stub.CreateTable(create_request(), timeout=5))
        assert in_use == ("ResourceInUseException", "Table already exists: music")
        request = cluster_pb2.LookUpTablesRequest(table_names=["music"], linearizable=True)
        assert len((await follower.stub.LookUpTables(request, timeout=5)).tables) == 1
        request.linearizable = False
        assert list((await follower.stub.LookUpTables(request, timeout=5)).unknown) == ["music"]

    async def test_without_a_quorum_look_ups_go_on(self, process: Process) -> None:
        """Static stability: only what needs the leader fails, and says why."""
        await process.group.propose(create())
        process.group.lapses_after = 0
        stub = process.stub
        described = await stub.DescribeCluster(admin_pb2.DescribeClusterRequest(), timeout=5)
        assert described.partitions and not any(node.is_leader for node in described.nodes)
        look_up = cluster_pb2.LookUpTablesRequest(table_names=["music"])
        assert len((await stub.LookUpTables(look_up, timeout=5)).tables) == 1
        look_up.linearizable = True
        for call in (
            stub.LookUpTables(look_up, timeout=5),
            stub.CreateTable(create_request("books"), timeout=5),
            stub.DescribeTable(tables_pb2.DescribeTableRequest(table_name="music"), timeout=5),
            stub.ListTables(tables_pb2.ListTablesRequest(), timeout=5),
        ):
            assert await failure(call) == NO_LEADER

    async def test_two_that_think_the_other_leads(self, process: Process, follower: Process) -> None:
        """A call is passed on once and then ends: it never goes round in circles."""
        process.group.leads = False
        process.group.other_leader = follower.address
        assert await failure(follower.stub.CreateTable(create_request(), timeout=5)) == NO_LEADER

    async def test_a_leader_that_is_gone(self, process: Process, follower: Process) -> None:
        """Where nobody listens any more nothing was carried out, and that is what the caller is told."""
        await process.stop()
        assert await failure(follower.stub.CreateTable(create_request(), timeout=5)) == NO_LEADER

    async def test_a_leader_that_goes_away_meanwhile(self, process: Process, follower: Process) -> None:
        """The outcome is unknown then, and the error does not claim otherwise."""
        process.group.is_stuck = True
        proposed = asyncio.Event()
        process.group.on_propose = lambda command: proposed.set()
        call = asyncio.ensure_future(failure(follower.stub.CreateTable(create_request(), timeout=5)))
        await proposed.wait()
        await process.stop()
        code, message = await call
        assert code == "InternalServerError"
        assert message.endswith("the request may or may not have been carried out")

    async def test_a_lease_that_ends_while_the_answer_is_made(self, process: Process) -> None:
        """Leadership is looked at after the answer as well as before."""
        process.group.lapses_after = 1
        request = cluster_pb2.LookUpTablesRequest(linearizable=True)
        assert await failure(process.stub.LookUpTables(request, timeout=5)) == NO_LEADER

    async def test_deadlines_hold(self, tmp_path: Path) -> None:
        """A call that cannot be finished ends in time, with or without a deadline of its caller's."""
        process = Process(tmp_path, 1, timeout_s_default=0.05)
        process.group.is_stuck = True
        await process.start()
        request = tables_pb2.DeleteTableRequest(table_name="music")
        code, message = await failure(process.stub.DeleteTable(request))
        assert code == "InternalServerError"
        assert message == "the metadata service could not finish in time"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await process.stub.DeleteTable(request, timeout=0.05)
        assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await process.stop()

    async def test_no_more_than_so_many(self, tmp_path: Path) -> None:
        """Calls under way are bounded; the next is refused at once and may be tried again."""
        process = Process(tmp_path, 1, calls_max=1)
        process.group.is_stuck = True
        proposed = asyncio.Event()
        process.group.on_propose = lambda command: proposed.set()
        await process.start()
        request = tables_pb2.DeleteTableRequest(table_name="music")
        first = asyncio.ensure_future(process.stub.DeleteTable(request, timeout=5))
        await proposed.wait()
        code, _ = await failure(process.stub.ListTables(tables_pb2.ListTablesRequest(), timeout=5))
        assert code == "RequestLimitExceeded"
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        await process.stop()


class TestLookUp:
    async def test_everything_a_router_needs(self, process: Process) -> None:
        """Schema, ranges in order, members with addresses, the leader as last reported; unknown names apart."""
        await process.group.propose(create())
        process.group.attendance.report(report(2, {101: 6}))
        request = cluster_pb2.LookUpTablesRequest(table_names=["music", "nothing"])
        response = await process.stub.LookUpTables(request, timeout=5)
        assert list(response.unknown) == ["nothing"]
        assert response.catalog_slot == process.group.machine.slot
        (route,) = response.tables
        assert (route.table_number, route.status) == (1, tables_pb2.CREATING)
        assert (route.partition_key.name, route.partition_key.type) == ("artist", "S")
        assert (route.sort_key.name, route.sort_key.type) == ("song", "S")
        assert [each.partition_id for each in route.partitions] == [100, 101]
        assert route.partitions[0].range_start == b""
        assert [(each.leader_node_id, each.leader_round) for each in route.partitions] == [(0, 0), (2, 6)]
        assert [member.address for member in route.partitions[1].members] == ["host:2", "host:1", "host:3"]


class TestDescribeCluster:
    async def test_nodes_and_partitions(self, process: Process) -> None:
        """Who is there, who lives, who leads what."""
        group = process.group
        await group.propose(create())
        group.clock.now_s += 10
        group.attendance.report(report(2, {101: 6}, opened=(100, 101)))
        response = await process.stub.DescribeCluster(admin_pb2.DescribeClusterRequest(), timeout=5)
        metadata = [node for node in response.nodes if node.role == "metadata"]
        assert [(node.node_id, node.address, node.alive, node.is_leader) for node in metadata] == [
            (1, "one:1", True, True),
            (2, "two:2", True, False),
            (3, "three:3", False, False),
        ]
        storage = [node for node in response.nodes if node.role == "storage"]
        assert [(node.name, node.zone, node.alive, node.replicas, node.leaders) for node in storage] == [
            ("storage-1", "zone-1", False, 2, 0),
            ("storage-2", "zone-2", True, 2, 1),
            ("storage-3", "zone-3", False, 2, 0),
        ]
        assert [each.partition_id for each in response.partitions] == [100, 101]
        leaders = [[each.node_id for each in one.replicas if each.is_leader] for one in response.partitions]
        assert leaders == [[], [2]]


class TestNodes:
    async def test_a_node_is_drained_and_removed(self, process: Process, follower: Process) -> None:
        """At the leader, whoever is asked. It gets no new table's replicas, and is removed once it has none."""
        group = process.group
        await group.propose(register("storage-4", "zone-1", "host:4", "d4"))
        group.attendance.report(report(4))
        drained = await follower.stub.DrainNode(admin_pb2.DrainNodeRequest(name="storage-1"), timeout=5)
        assert (drained.node.name, drained.node.draining, drained.node.alive) == ("storage-1", True, True)
        await process.stub.CreateTable(create_request(), timeout=5)
        placed = group.machine.catalog.tables["music"].partitions
        assert {node_id for partition in placed for node_id in partition.node_ids} == {2, 3, 4}
        code, told = await failure(process.stub.RemoveNode(admin_pb2.RemoveNodeRequest(name="storage-2"), timeout=5))
        assert code == "ResourceInUseException"
        assert told.startswith("storage-2 still has 2 replicas: drain it")
        removed = await follower.stub.RemoveNode(admin_pb2.RemoveNodeRequest(name="storage-1"), timeout=5)
        assert (removed.node.node_id, removed.node.draining) == (1, True)
        code, _ = await failure(process.stub.RemoveNode(admin_pb2.RemoveNodeRequest(name="storage-1"), timeout=5))
        assert code == "ResourceNotFoundException"
        request = cluster_pb2.RegisterNodeRequest(name="storage-1", zone="zone-1", address="host:1", data_id="d1")
        for request.node_id in (0, 1):  # as it says who it is when it starts again
            code, told = await failure(process.stub.RegisterNode(request, timeout=5))
            assert code == "ResourceNotFoundException" and "may join anew with an empty data folder" in told

    async def test_draining_is_cancelled(self, process: Process) -> None:
        """And told in the description of the cluster until then."""
        for cancel in (False, True):
            await process.stub.DrainNode(admin_pb2.DrainNodeRequest(name="storage-2", cancel=cancel), timeout=5)
            response = await process.stub.DescribeCluster(admin_pb2.DescribeClusterRequest(), timeout=5)
            assert [node.name for node in response.nodes if node.draining] == ([] if cancel else ["storage-2"])

    async def test_what_is_being_deleted_is_waited_for(self, process: Process) -> None:
        """As long as the node lives; what a dead one owes goes with it."""
        group = process.group
        group.machine.catalog.garbage |= {100: {3}, 101: {2, 3}}
        request = admin_pb2.RemoveNodeRequest(name="storage-3")
        code, told = await failure(process.stub.RemoveNode(request, timeout=5))
        assert code == "ResourceInUseException"
        assert told.startswith("storage-3 is still deleting what it had of 2 partitions")
        group.machine.catalog.garbage[100].clear()
        assert "of 1 partition:" in (await failure(process.stub.RemoveNode(request, timeout=5)))[1]
        group.clock.now_s += 10
        await process.stub.RemoveNode(request, timeout=5)
        assert group.machine.catalog.garbage == {101: {2}}


class TestAttend:
    async def test_a_node_that_is_removed_is_told(self, process: Process) -> None:
        """On the stream that it has, and on any that it begins."""
        call = process.stub.Attend()
        await call.write(report(3))
        assert isinstance(await call.read(), cluster_pb2.NodeAssignments)
        await process.stub.RemoveNode(admin_pb2.RemoveNodeRequest(name="storage-3"), timeout=5)
        await call.write(report(3))
        told = ("ResourceNotFoundException", "this storage node was removed from the cluster")
        assert await failure(_read(call)) == told
        call = process.stub.Attend()
        await call.write(report(3))
        assert await failure(_read(call)) == told
        assert process.group.attendance.nodes.keys() == {1, 2, 3}

    async def test_assignments_whenever_they_change(self, process: Process) -> None:
        """The whole list at once, and again with every change of the catalog."""
        call = process.stub.Attend()
        await call.write(cluster_pb2.NodeReport(node_id=2, opened=[7], complete=True))
        first = await call.read()
        assert isinstance(first, cluster_pb2.NodeAssignments)
        assert not first.partitions
        assert process.group.attendance.nodes[2].opened == {7}
        await process.stub.CreateTable(create_request(), timeout=5)
        second = await call.read()
        assert isinstance(second, cluster_pb2.NodeAssignments)
        assert second.catalog_slot > first.catalog_slot
        assert [each.partition_id for each in second.partitions] == [100, 101]
        await process.group.propose(ActivateTable(1))
        await process.group.propose(DeleteTable("music"))
        await process.group.propose(RemoveTable(1, ((100, (2,)),)))
        while True:
            latest = await call.read()
            assert isinstance(latest, cluster_pb2.NodeAssignments)
            if latest.catalog_slot == process.group.machine.slot:
                break
        assert list(latest.removed) == [100]
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF

    async def test_reports_count(self, process: Process) -> None:
        """A report on the stream reaches the attendance, and with it the look-ups."""
        await process.group.propose(create())
        process.group.attendance.changed.clear()
        call = process.stub.Attend()
        await call.write(report(1))
        await call.write(report(1, {100: 4}, opened=(100, 101)))
        while process.group.attendance.leaders.get(100) is None:
            await asyncio.wait_for(process.group.attendance.changed.wait(), 5)
            process.group.attendance.changed.clear()
        request = cluster_pb2.LookUpTablesRequest(table_names=["music"])
        response = await process.stub.LookUpTables(request, timeout=5)
        assert response.tables[0].partitions[0].leader_node_id == 1
        call.cancel()

    async def test_a_node_without_an_id(self, process: Process) -> None:
        """Must register first."""
        call = process.stub.Attend()
        await call.write(cluster_pb2.NodeReport())
        code, message = await failure(_read(call))
        assert code == "ValidationException"
        assert message == "a storage node attends under the id that it was registered with"

    async def test_a_stream_without_a_report(self, process: Process) -> None:
        """Ends quietly."""
        call = process.stub.Attend()
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF


async def _read(call: Any) -> Any:
    return await call.read()


async def test_registering_moves_an_address(process: Process) -> None:
    """A node's new address reaches routers with the next look-up."""
    await process.group.propose(create())
    await process.group.propose(register("storage-1", "zone-1", "elsewhere:1", "d1"))
    request = cluster_pb2.LookUpTablesRequest(table_names=["music"])
    route = (await process.stub.LookUpTables(request, timeout=5)).tables[0]
    assert route.partitions[0].members[0].address == "elsewhere:1"
    assert status(process.group.machine.catalog) == TableStatus.CREATING
