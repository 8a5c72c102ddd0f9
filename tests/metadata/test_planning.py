"""What new tables and new global indexes are planned to be like, through the metadata service's door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from statorpb import admin_pb2, cluster_pb2, tables_pb2

from metadata.catalog.commands import ActivateIndex, ActivateTable, OpenIndex
from tests.metadata.test_attendance import report
from tests.metadata.test_service import Process, create_request, failure


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


def global_index(name: str) -> tables_pb2.GlobalIndex:
    """An index on `label`."""
    return tables_pb2.GlobalIndex(
        name=name,
        partition_keys=[tables_pb2.KeyAttribute(name="label", type=tables_pb2.S)],
        projection=tables_pb2.Projection(type=tables_pb2.Projection.KEYS_ONLY),
    )


async def test_global_indexes_from_their_making_to_their_end(process: Process) -> None:
    """Made with the table and later; routers learn where each is, clients how far it is; and each is placed on what
    was placed before."""
    stub, group = process.stub, process.group
    request = create_request()
    request.global_indexes.append(global_index("by-label"))
    response = await stub.CreateTable(request, timeout=5)
    (described,) = response.table.global_indexes
    assert (described.index.name, described.status, described.partitions) == (
        "by-label",
        tables_pb2.INDEX_CREATING,
        2,
    )
    assert response.table.status == tables_pb2.CREATING
    table = group.machine.catalog.tables["music"]
    assert [each.node_ids[0] for each in table.all_partitions] == [1, 2, 3, 1]
    for command in (OpenIndex(2), ActivateIndex(2), ActivateTable(1)):
        await group.propose(command)
    update = tables_pb2.UpdateTableRequest(table_name="music", create_index=global_index("by-name"))
    response_ = await stub.UpdateTable(update, timeout=5)
    assert [each.status for each in response_.table.global_indexes] == [
        tables_pb2.INDEX_ACTIVE,
        tables_pb2.INDEX_CREATING,
    ]
    code, message = await failure(stub.UpdateTable(update, timeout=5))
    assert (code, message) == ("ValidationException", "Attempting to create an index which already exists")
    look_up = cluster_pb2.LookUpTablesRequest(table_names=["music"])
    (route,) = (await stub.LookUpTables(look_up, timeout=5)).tables
    assert [(each.index.number, each.status) for each in route.global_indexes] == [
        (2, tables_pb2.INDEX_ACTIVE),
        (3, tables_pb2.INDEX_CREATING),
    ]
    assert [each.partition_id for each in route.global_indexes[1].partitions] == [104, 105]
    cluster = await stub.DescribeCluster(admin_pb2.DescribeClusterRequest(), timeout=5)
    assert [each.index_name for each in cluster.partitions] == ["", "", *["by-label"] * 2, *["by-name"] * 2]
    describe = tables_pb2.DescribeTableRequest(table_name="music")
    assert (await stub.DescribeTable(describe, timeout=5)).table.status == tables_pb2.UPDATING
    await group.propose(OpenIndex(3))
    told = (await stub.DescribeTable(describe, timeout=5)).table
    assert (told.status, told.global_indexes[1].backfilling) == (tables_pb2.ACTIVE, True)
    deletion = tables_pb2.UpdateTableRequest(table_name="music", delete_index="by-name")
    deleted = (await stub.UpdateTable(deletion, timeout=5)).table.global_indexes
    assert [each.status for each in deleted] == [tables_pb2.INDEX_ACTIVE, tables_pb2.INDEX_DELETING]


async def test_an_index_gets_partitions_for_its_throughput(process: Process) -> None:
    """Or, without any of its own, as many as its table."""
    request = create_request(partitions=3)
    units = tables_pb2.Throughput(read_capacity_units=1, write_capacity_units=1)
    request.provisioned.CopyFrom(units)
    for name, write_units in (("by-a", 1), ("by-b", 1_500)):
        index = global_index(name)
        index.provisioned.read_capacity_units, index.provisioned.write_capacity_units = 1, write_units
        request.global_indexes.append(index)
    described = (await process.stub.CreateTable(request, timeout=5)).table.global_indexes
    assert [each.partitions for each in described] == [1, 2]
    assert [each.index.provisioned.write_capacity_units for each in described] == [1, 1_500]


async def test_how_a_table_is_billed(process: Process) -> None:
    """Routers are told, as what is said to who is throttled differs; also when it changes."""
    stub = process.stub
    looked_up = cluster_pb2.LookUpTablesRequest(table_names=["music"])
    request = create_request()
    request.provisioned.read_capacity_units = request.provisioned.write_capacity_units = 5
    await stub.CreateTable(request, timeout=5)
    assert (await stub.LookUpTables(looked_up, timeout=5)).tables[0].is_provisioned
    await process.group.propose(ActivateTable(1))
    change = tables_pb2.UpdateTableRequest(table_name="music", billing_mode=tables_pb2.PAY_PER_REQUEST)
    await stub.UpdateTable(change, timeout=5)
    assert not (await stub.LookUpTables(looked_up, timeout=5)).tables[0].is_provisioned
