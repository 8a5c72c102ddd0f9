"""What each storage node is to keep, and what it is to drop."""

from __future__ import annotations

from statorpb import cluster_pb2

from metadata.catalog.catalog import Catalog, Table, TableStatus
from metadata.catalog.indexes import IndexStatus, TableIndex
from metadata.catalog.members import Partition
from metadata.catalog.streams import RETENTION_MS
from metadata.routes import Leaders, put_index
from metadata.streams import put_wanted
from server.floor_codec import put_floor
from server.table_codec import put_global_index, put_schema


def assignments(
    catalog: Catalog,
    slot: int,
    node_id: int,
    leaders: Leaders | None = None,
    stream_retention_ms: int = RETENTION_MS,
) -> cluster_pb2.NodeAssignments:
    """Everything that a storage node is to keep, with where to find the global indexes that it feeds, and what it is to
    drop. `leaders`: hints, for those who feed. `stream_retention_ms`: how long records of streams are kept."""
    message = cluster_pb2.NodeAssignments(catalog_slot=slot, known_below=_known_below(catalog))
    for table in catalog.tables.values():
        if table.status == TableStatus.DELETING:
            message.removed.extend(each.partition_id for each in table.all_partitions if node_id in each.holders)
            continue
        is_new = table.status == TableStatus.CREATING
        own = [each for each in table.partitions if _is_told(each, node_id)]
        for partition in own:
            descriptor = message.partitions.add(table_number=table.number)
            _put_partition(descriptor, catalog, table, partition, is_fresh=is_new or node_id == partition.log_node_id)
            descriptor.time_to_live_attribute = table.settings.time_to_live
            put_schema(descriptor, table.key_schema, table.local_indexes)
            _put_feeds(descriptor, table)
            put_wanted(descriptor, table, stream_retention_ms)
        for index in table.global_indexes:
            for partition in index.partitions:
                if _is_told(partition, node_id):
                    _put_index_partition(message.partitions.add(), catalog, table, index, partition, node_id)
            if own and index.is_fed:
                put_index(message.index_routes.add(), catalog, index, leaders or {})
    message.removed_node_ids.extend(filter(catalog.is_removed, range(1, catalog.next_node_id)))
    message.removed.extend(sorted(each for each, node_ids in catalog.garbage.items() if node_id in node_ids))
    return message


def _known_below(catalog: Catalog) -> int:
    """Whoever feeds an index with a lower number that is not among the feeds that are wanted can tell that it is no
    more. Not so of an index that is not fed yet: a leader that has heard more than the next one may feed it already.
    Likewise whoever has a stream with a lower number: streams are wanted from when they have their numbers."""
    indexes = (index for table in catalog.tables.values() for index in table.global_indexes)
    new = [index.number for index in indexes if index.status == IndexStatus.CREATING]
    return min([catalog.next_table_number, *new])


def _is_told(partition: Partition, node_id: int) -> bool:
    """Who was to join and was given up keeps what it has until the group's leader has said who the members are."""
    return node_id in partition.holders and node_id not in partition.withdrawn_node_ids


def _put_partition(
    target: cluster_pb2.PartitionDescriptor, catalog: Catalog, table: Table, partition: Partition, *, is_fresh: bool
) -> None:
    target.partition_id, target.table_name = partition.partition_id, table.name
    target.range_start, target.range_end = partition.range_start, partition.range_end
    target.fresh = is_fresh
    for member_id in partition.node_ids:
        node = catalog.nodes[member_id]
        is_log = member_id == partition.log_node_id
        target.members.add(node_id=member_id, zone=node.zone, address=node.address, log_only=is_log)
    put_floor(target.floor, partition.floor)


def _put_feeds(target: cluster_pb2.PartitionDescriptor, table: Table) -> None:
    """Nothing goes to an index before all of it is open: what it is to get would only pile up. Nor before those of
    lower numbers are: a partition takes on feeds in the order of their numbers, and knows by that which have been."""
    for index in sorted(table.global_indexes, key=lambda each: each.number):
        if index.status == IndexStatus.CREATING:
            break
        feed = target.feeds.add(removed=not index.is_fed)
        put_global_index(feed.index, index.definition)


def _put_index_partition(
    target: cluster_pb2.PartitionDescriptor,
    catalog: Catalog,
    table: Table,
    index: TableIndex,
    partition: Partition,
    node_id: int,
) -> None:
    """Its entries never expire by themselves: the table's items do, and the index hears of it."""
    target.table_number = index.number
    is_fresh = index.status == IndexStatus.CREATING or node_id == partition.log_node_id
    _put_partition(target, catalog, table, partition, is_fresh=is_fresh)
    put_schema(target, table.key_schema, ())
    put_global_index(target.index, index.definition)
