"""What clients are told of a table: all of it, in the wire's words."""

from __future__ import annotations

import pytest
from statorpb import cluster_pb2, tables_pb2

from metadata.attendance import Attendance
from metadata.catalog.catalog import Table
from metadata.catalog.commands import ActivateTable
from metadata.catalog.indexes import IndexStatus
from metadata.catalog.settings import TableSettings
from metadata.descriptions import describe, describe_node, describe_replica
from tests.metadata.catalog.test_catalog import NOW_MS
from tests.metadata.catalog.test_indexes import music_with
from tests.metadata.fake_group import FakeClock
from tests.metadata.test_attendance import catalog_of_music, fed, report


def described(settings: TableSettings | None = None) -> tables_pb2.TableDescription:
    """The table of `catalog_of_music` with other settings, if need be."""
    catalog = catalog_of_music()
    table = catalog.table_named("music")
    if settings is not None:
        table.settings = settings
    return describe(table, Attendance(3.0, FakeClock()), NOW_MS)


def test_keys_and_indexes() -> None:
    """As the table was made."""
    description = described()
    assert description.table_name == "music"
    assert description.partitions == 2
    assert description.created_at_ms == NOW_MS
    assert description.key_schema.sort_key == tables_pb2.KeyAttribute(name="song", type=tables_pb2.S)
    (index,) = description.local_indexes
    assert index.index == tables_pb2.LocalIndex(
        name="by-year",
        sort_key=tables_pb2.KeyAttribute(name="year", type=tables_pb2.N),
        projection=tables_pb2.Projection(type=tables_pb2.Projection.INCLUDE, non_key_attributes=["label"]),
    )


def test_sizes_are_the_sums_of_what_leaders_report() -> None:
    """Of the table, and of each index."""
    attendance = Attendance(3.0, FakeClock())
    message = report(1, {100: 5, 101: 5}, sizes={100: (3, 300), 101: (4, 400)})
    message.sizes[0].indexes.append(cluster_pb2.IndexSize(number=1, items=2, bytes=20))
    message.sizes[1].indexes.append(cluster_pb2.IndexSize(number=1, items=1, bytes=10))
    message.sizes[1].indexes.append(cluster_pb2.IndexSize(number=7, items=1000, bytes=1000))
    attendance.report(message)
    description = describe(catalog_of_music().table_named("music"), attendance, NOW_MS)
    assert (description.items, description.bytes) == (7, 700)
    (index,) = description.local_indexes
    assert (index.items, index.bytes) == (3, 30)


def test_global_indexes() -> None:
    """What leaders of their own partitions say of their size, and what those of the table's say of how far they are."""
    attendance = Attendance(3.0, FakeClock())
    attendance.report(report(1, {102: 1, 103: 1}, sizes={102: (3, 300), 103: (4, 400)}))
    attendance.report(fed(report(2, {100: 1, 101: 1}), {2: False}, items_passed=9))
    catalog = music_with("by-label", status=IndexStatus.FILLING)
    description = describe(catalog.tables["music"], attendance, NOW_MS)
    assert description.status == tables_pb2.ACTIVE
    assert (description.items, description.partitions) == (0, 2)
    (index,) = description.global_indexes
    assert index == tables_pb2.GlobalIndexDescription(
        index=tables_pb2.GlobalIndex(
            name="by-label",
            partition_keys=[tables_pb2.KeyAttribute(name="label", type=tables_pb2.S)],
            sort_keys=[tables_pb2.KeyAttribute(name="year", type=tables_pb2.N)],
            projection=tables_pb2.Projection(type=tables_pb2.Projection.ALL),
            provisioned=tables_pb2.Throughput(read_capacity_units=1, write_capacity_units=2),
            warm=tables_pb2.WarmThroughput(read_units_per_second=1, write_units_per_second=2),
        ),
        status=tables_pb2.INDEX_CREATING,
        backfilling=True,
        items=7,
        bytes=700,
        items_passed=18,
        pending=4,
        lag_ms=20,
        partitions=2,
    )
    catalog = music_with("by-label", status=IndexStatus.CREATING)
    description = describe(catalog.tables["music"], attendance, NOW_MS)
    assert (description.status, description.global_indexes[0].backfilling) == (tables_pb2.UPDATING, False)


def test_a_provisioned_table() -> None:
    """It has units, and what was done to them."""
    description = described(
        TableSettings(
            read_units=5,
            write_units=6,
            last_increase_ms=NOW_MS - 2,
            last_decrease_ms=NOW_MS - 1,
            decreases=3,
            on_demand_at_ms=(NOW_MS - 9, NOW_MS - 8),
            warm_write_units=60,
            table_class="STANDARD_INFREQUENT_ACCESS",
            class_changed_ms=(NOW_MS - 5, NOW_MS - 4),
            is_protected=True,
        )
    )
    assert description.provisioned == tables_pb2.Throughput(read_capacity_units=5, write_capacity_units=6)
    assert (description.last_increase_at_ms, description.last_decrease_at_ms) == (NOW_MS - 2, NOW_MS - 1)
    assert description.decreases_today == 3
    assert description.on_demand_since_ms == NOW_MS - 8
    assert description.warm == tables_pb2.WarmThroughput(read_units_per_second=5, write_units_per_second=60)
    assert description.table_class == tables_pb2.STANDARD_INFREQUENT_ACCESS
    assert description.table_class_changed_at_ms == NOW_MS - 4
    assert description.deletion_protection
    assert not description.HasField("on_demand")


@pytest.mark.parametrize("since_ms", [(), (NOW_MS,)], ids=["of an older version", "of this one"])
def test_an_on_demand_table(since_ms: tuple[int, ...]) -> None:
    """It has no units; it has been so since it was made, if nothing else is known; limits are told if there are any."""
    description = described(TableSettings(on_demand_at_ms=since_ms, max_write_units=9))
    assert not description.HasField("provisioned")
    assert description.on_demand_since_ms == NOW_MS
    assert description.on_demand == tables_pb2.OnDemandThroughput(max_write_request_units=9)
    assert description.warm == tables_pb2.WarmThroughput(read_units_per_second=12_000, write_units_per_second=4_000)


def test_a_change_is_told_once() -> None:
    """Of a table that is active otherwise."""
    catalog, attendance = catalog_of_music(), Attendance(3.0, FakeClock())
    table: Table = catalog.table_named("music")
    assert describe(table, attendance, NOW_MS, is_updating=True).status == tables_pb2.CREATING
    catalog.apply(ActivateTable(1))
    assert describe(table, attendance, NOW_MS, is_updating=True).status == tables_pb2.UPDATING
    assert describe(table, attendance, NOW_MS).status == tables_pb2.ACTIVE


def test_a_replica_on_its_way() -> None:
    """As its node tells it, while it lives: what has come of its items, and whether it has any."""
    clock = FakeClock()
    attendance, catalog = Attendance(3.0, clock), catalog_of_music()
    partition, node = catalog.table_named("music").partitions[0], catalog.nodes[2]
    assert describe_replica(partition, node, attendance, 1).state == ""
    message = report(2, opened=(100,))
    message.restoring.append(100)
    message.snapshots.add(partition_id=100, bytes=30, total_bytes=20, bytes_per_s=10)
    message.healed = 3
    attendance.report(message)
    status = describe_replica(partition, node, attendance, 2)
    assert (status.state, status.is_leader) == ("restoring", True)
    assert (status.restored_bytes, status.restoring_bytes, status.bytes_per_s) == (30, 30, 10), "never more than all"
    assert describe_node(node, attendance, 2).healed == 3
    message.snapshots[0].total_bytes = 0
    attendance.report(message)
    status = describe_replica(partition, node, attendance, 0)
    assert (status.restored_bytes, status.restoring_bytes, status.is_leader) == (30, 0, False), (
        "nobody knows of how much"
    )
    clock.now_s += 4
    status = describe_replica(partition, node, attendance, 0)
    assert (status.state, status.restored_bytes) == ("", 0)
