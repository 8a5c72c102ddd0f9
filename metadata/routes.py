"""Where partitions are, as routers and storage nodes are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from statorpb import cluster_pb2, tables_pb2

from metadata.catalog.catalog import Catalog, Table
from metadata.catalog.indexes import IndexStatus, TableIndex
from metadata.catalog.members import Partition
from metadata.streams import put_streams
from server.table_codec import put_global_index, put_schema

Leaders = Mapping[int, tuple[int, int]]
"""Partition id -> (ballot round, node id)."""

INDEX_STATUS: Mapping[IndexStatus, tables_pb2.IndexStatus.ValueType] = {
    IndexStatus.CREATING: tables_pb2.INDEX_CREATING,
    IndexStatus.FILLING: tables_pb2.INDEX_CREATING,
    IndexStatus.ACTIVE: tables_pb2.INDEX_ACTIVE,
    IndexStatus.DELETING: tables_pb2.INDEX_DELETING,
}
"""As clients are told of it."""


class _Routes(Protocol):
    def add(self) -> cluster_pb2.PartitionRoute: ...


def put_table(target: cluster_pb2.TableRoute, catalog: Catalog, table: Table, leaders: Leaders) -> None:
    """Writes a table's route, with those of its global indexes and its streams, into an empty message."""
    target.table_name, target.table_number = table.name, table.number
    target.status = tables_pb2.TableStatus.Value(table.status.name)
    target.time_to_live_attribute = table.settings.time_to_live
    target.is_provisioned = not table.settings.is_on_demand
    put_schema(target, table.key_schema, table.local_indexes)
    put_streams(target, table)
    _put_partitions(target.partitions, catalog, table.partitions, leaders)
    for index in table.global_indexes:
        route = target.global_indexes.add(status=INDEX_STATUS[index.status])
        put_global_index(route.index, index.definition)
        _put_partitions(route.partitions, catalog, index.partitions, leaders)


def put_index(target: cluster_pb2.IndexRoute, catalog: Catalog, index: TableIndex, leaders: Leaders) -> None:
    """Writes where a global index is, for those who feed it, into an empty message."""
    target.number = index.number
    _put_partitions(target.partitions, catalog, index.partitions, leaders)


def _put_partitions(target: _Routes, catalog: Catalog, partitions: Iterable[Partition], leaders: Leaders) -> None:
    for partition in partitions:
        entry = target.add()
        entry.partition_id, entry.range_start = partition.partition_id, partition.range_start
        entry.leader_round, entry.leader_node_id = leaders.get(partition.partition_id, (0, 0))
        for node_id in partition.storage_node_ids:
            node = catalog.nodes[node_id]
            entry.members.add(node_id=node_id, zone=node.zone, address=node.address)
