"""Tables and nodes of the catalog, as clients are told of them."""

from __future__ import annotations

from statorpb import admin_pb2, tables_pb2

from metadata.attendance import Attendance
from metadata.catalog.catalog import Node, Table, TableStatus
from metadata.catalog.changes import decreases_today, warm_throughput
from metadata.catalog.indexes import IndexStatus, TableIndex
from metadata.catalog.members import Partition
from metadata.catalog.settings import TableSettings
from metadata.routes import INDEX_STATUS
from metadata.settings_codec import view_type_value
from server.model.table import KeyAttribute


def describe(
    table: Table, attendance: Attendance, now_ms: int, *, is_updating: bool = False
) -> tables_pb2.TableDescription:
    """`is_updating`: it has just been changed, which is told once; besides, it is while an index is being set
    up, or a stream is being switched."""
    is_updating = is_updating or any(index.status == IndexStatus.CREATING for index in table.global_indexes)
    is_updating = is_updating or any(stream.is_changing for stream in table.streams)
    status = table.status.name if not is_updating or table.status != TableStatus.ACTIVE else "UPDATING"
    description = tables_pb2.TableDescription(
        table_name=table.name,
        table_id=table.table_id,
        status=tables_pb2.TableStatus.Value(status),
        created_at_ms=table.created_at_ms,
        partitions=len(table.partitions),
    )
    _put_attribute(description.key_schema.partition_key, table.key_schema.partition_key)
    if table.key_schema.sort_key is not None:
        _put_attribute(description.key_schema.sort_key, table.key_schema.sort_key)
    for partition in table.partitions:
        items, size = attendance.sizes.get(partition.partition_id, (0, 0))
        description.items += items
        description.bytes += size
    _put_indexes(description, table, attendance)
    for index in table.global_indexes:
        _put_global_index(description.global_indexes.add(), table, index, attendance, now_ms)
    _put_stream(description, table)
    _put_settings(description, table, now_ms)
    return description


def describe_node(node: Node, attendance: Attendance, replicas: int) -> admin_pb2.NodeStatus:
    """A storage node, which holds so many replicas."""
    attendee = attendance.nodes.get(node.node_id)
    is_alive = attendance.is_alive(node.node_id)
    return admin_pb2.NodeStatus(
        node_id=node.node_id,
        name=node.name,
        role="storage",
        zone=node.zone,
        address=node.address,
        alive=is_alive,
        replicas=replicas,
        leaders=len(attendee.leads) if attendee is not None and is_alive else 0,
        note=attendee.note if attendee is not None else "",
        draining=node.is_draining,
        healed=attendee.healed if attendee is not None else 0,
    )


def describe_replica(partition: Partition, node: Node, attendance: Attendance, leads: int) -> admin_pb2.ReplicaStatus:
    """What a holder of a partition has of it. `leads`: the node that leads it; 0: none."""
    partition_id, attendee = partition.partition_id, attendance.nodes.get(node.node_id)
    status = admin_pb2.ReplicaStatus(
        node_id=node.node_id,
        zone=node.zone,
        is_leader=node.node_id == leads,
        state=partition.state_of(node.node_id),
    )
    if attendee is not None and attendance.is_alive(node.node_id):
        if not status.state and partition_id in attendee.restoring:
            status.state = "restoring"
        if (progress := attendee.snapshots.get(partition_id)) is not None:
            status.restored_bytes = progress.bytes
            status.restoring_bytes = max(progress.bytes, progress.total_bytes) if progress.total_bytes else 0
            status.bytes_per_s = progress.bytes_per_s
    return status


def _put_indexes(description: tables_pb2.TableDescription, table: Table, attendance: Attendance) -> None:
    for index in table.local_indexes:
        described = description.local_indexes.add()
        described.index.name = index.name
        _put_attribute(described.index.sort_key, index.sort_key)
        described.index.projection.type = tables_pb2.Projection.Type.Value(index.projection)
        described.index.projection.non_key_attributes.extend(index.non_key_attributes)
        for partition in table.partitions:
            sizes = attendance.index_sizes.get(partition.partition_id, {})
            items, size = sizes.get(index.number, (0, 0))
            described.items += items
            described.bytes += size


def _put_global_index(
    target: tables_pb2.GlobalIndexDescription, table: Table, index: TableIndex, attendance: Attendance, now_ms: int
) -> None:
    definition, settings, described = index.definition, index.settings, target.index
    described.name = definition.name
    for keys, attributes in (
        (described.partition_keys, definition.partition_keys),
        (described.sort_keys, definition.sort_keys),
    ):
        for attribute in attributes:
            _put_attribute(keys.add(), attribute)
    described.projection.type = tables_pb2.Projection.Type.Value(definition.projection)
    described.projection.non_key_attributes.extend(definition.non_key_attributes)
    _put_throughput(described, settings)
    target.status = INDEX_STATUS[index.status]
    target.backfilling = index.status == IndexStatus.FILLING
    target.partitions = len(index.partitions)
    for partition in index.partitions:
        items, size = attendance.sizes.get(partition.partition_id, (0, 0))
        target.items += items
        target.bytes += size
    for partition in table.partitions:
        feed = attendance.feeds(partition.partition_id).get(index.number)
        if feed is not None:
            target.items_passed += feed.items_passed
            target.pending += feed.pending
            target.lag_ms = max(target.lag_ms, feed.lag_ms)
    target.last_increase_at_ms, target.last_decrease_at_ms = settings.last_increase_ms, settings.last_decrease_ms
    target.decreases_today = decreases_today(settings, now_ms)


def _put_stream(description: tables_pb2.TableDescription, table: Table) -> None:
    """One that is off, or on its way there, is told of by its label only."""
    if table.streams:
        newest = table.streams[-1]
        description.latest_stream_label = newest.label
        if newest.is_on:
            description.stream.enabled = True
            description.stream.view_type = view_type_value(newest.view_type)


def _put_throughput(target: tables_pb2.TableDescription | tables_pb2.GlobalIndex, settings: TableSettings) -> None:
    """Of a table or of an index."""
    if not settings.is_on_demand:
        target.provisioned.read_capacity_units = settings.read_units
        target.provisioned.write_capacity_units = settings.write_units
    if settings.max_read_units or settings.max_write_units:
        target.on_demand.max_read_request_units = settings.max_read_units
        target.on_demand.max_write_request_units = settings.max_write_units
    target.warm.read_units_per_second, target.warm.write_units_per_second = warm_throughput(settings)


def _put_settings(description: tables_pb2.TableDescription, table: Table, now_ms: int) -> None:
    settings = table.settings
    _put_throughput(description, settings)
    description.last_increase_at_ms = settings.last_increase_ms
    description.last_decrease_at_ms = settings.last_decrease_ms
    description.decreases_today = decreases_today(settings, now_ms)
    if settings.on_demand_at_ms or settings.is_on_demand:
        description.on_demand_since_ms = max(settings.on_demand_at_ms, default=table.created_at_ms)
    description.table_class = tables_pb2.TableClass.Value(settings.table_class)
    description.table_class_changed_at_ms = max(settings.class_changed_ms, default=0)
    description.deletion_protection = settings.is_protected


def _put_attribute(target: tables_pb2.KeyAttribute, attribute: KeyAttribute) -> None:
    target.name = attribute.name
    target.type = tables_pb2.AttributeType.Value(attribute.type)
