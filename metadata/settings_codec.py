"""The settings of tables, and the commands that change them, as protobuf."""

from __future__ import annotations

from typing import TypeAlias

from statorpb import cluster_pb2, tables_pb2

from metadata.catalog.commands import (
    IndexUpdate,
    PlannedIndex,
    PlannedPartition,
    TagTable,
    UntagTable,
    UpdateTable,
    UpdateTimeToLive,
)
from metadata.catalog.settings import TableSettings
from server.table_codec import global_index, put_global_index

Change = UpdateTable | TagTable | UntagTable | UpdateTimeToLive


def put_settings(target: cluster_pb2.TableSettings, settings: TableSettings) -> None:
    """Writes all but the read and write units."""
    target.last_increase_at_ms = settings.last_increase_ms
    target.last_decrease_at_ms = settings.last_decrease_ms
    target.decreases = settings.decreases
    target.on_demand_at_ms.extend(settings.on_demand_at_ms)
    target.max_read_units, target.max_write_units = settings.max_read_units, settings.max_write_units
    target.warm_read_units, target.warm_write_units = settings.warm_read_units, settings.warm_write_units
    target.table_class = tables_pb2.TableClass.Value(settings.table_class)
    target.table_class_at_ms.extend(settings.class_changed_ms)
    target.deletion_protection = settings.is_protected
    for key, value in settings.tags:
        target.tags.add(key=key, value=value)
    target.time_to_live_attribute = settings.time_to_live
    target.time_to_live_at_ms = settings.time_to_live_changed_ms


Settled: TypeAlias = (
    cluster_pb2.CatalogTable | cluster_pb2.CreateTableCommand | cluster_pb2.CatalogIndex | cluster_pb2.PlannedIndex
)
"""Messages with `read_units`, `write_units` and `settings`."""


def settings_of(source: Settled) -> TableSettings:
    """The settings in a message; those that a version before did not write are what they were then."""
    message = source.settings
    return TableSettings(
        read_units=source.read_units,
        write_units=source.write_units,
        last_increase_ms=message.last_increase_at_ms,
        last_decrease_ms=message.last_decrease_at_ms,
        decreases=message.decreases,
        on_demand_at_ms=tuple(message.on_demand_at_ms),
        max_read_units=message.max_read_units,
        max_write_units=message.max_write_units,
        warm_read_units=message.warm_read_units,
        warm_write_units=message.warm_write_units,
        table_class=tables_pb2.TableClass.Name(message.table_class or tables_pb2.STANDARD),
        class_changed_ms=tuple(message.table_class_at_ms),
        is_protected=message.deletion_protection,
        tags=tuple((tag.key, tag.value) for tag in message.tags),
        time_to_live=message.time_to_live_attribute,
        time_to_live_changed_ms=message.time_to_live_at_ms,
    )


def put_change(message: cluster_pb2.CatalogCommand, command: Change) -> None:
    """Writes a command that changes settings."""
    match command:
        case UpdateTable():
            message.update_table.time_ms = command.time_ms
            _put_update(message.update_table.request, command)
            if command.created_index is not None:
                put_planned_index(message.update_table.create_index, command.created_index)
        case TagTable():
            message.tag_table.table_name = command.table_name
            for key, value in command.tags:
                message.tag_table.tags.add(key=key, value=value)
        case UntagTable():
            message.untag_table.table_name = command.table_name
            message.untag_table.tag_keys.extend(command.tag_keys)
        case UpdateTimeToLive():
            update = message.update_time_to_live
            update.table_name, update.time_ms = command.table_name, command.time_ms
            update.time_to_live.attribute_name = command.attribute
            update.time_to_live.enabled = command.is_enabled


def change_in(message: cluster_pb2.CatalogCommand) -> Change | None:
    """The command that changes settings; None: it is another kind of command."""
    kind = message.WhichOneof("command")
    if kind == "update_table":
        update_table = message.update_table
        created = planned_index_in(update_table.create_index) if update_table.HasField("create_index") else None
        return update_command(update_table.request, update_table.time_ms, created)
    if kind == "tag_table":
        tags = tuple((tag.key, tag.value) for tag in message.tag_table.tags)
        return TagTable(message.tag_table.table_name, tags)
    if kind == "untag_table":
        return UntagTable(message.untag_table.table_name, tuple(message.untag_table.tag_keys))
    if kind == "update_time_to_live":
        update = message.update_time_to_live
        specified = update.time_to_live
        return UpdateTimeToLive(update.table_name, update.time_ms, specified.attribute_name, specified.enabled)
    return None


def _put_update(target: tables_pb2.UpdateTableRequest, command: UpdateTable) -> None:
    target.table_name = command.table_name
    if command.billing_mode:
        target.billing_mode = tables_pb2.BillingMode.Value(command.billing_mode)
    if command.table_class:
        target.table_class = tables_pb2.TableClass.Value(command.table_class)
    if command.is_protected is not None:
        target.deletion_protection = command.is_protected
    target.provisioned.read_capacity_units = command.read_units
    target.provisioned.write_capacity_units = command.write_units
    target.on_demand.max_read_request_units = command.max_read_units
    target.on_demand.max_write_request_units = command.max_write_units
    target.warm.read_units_per_second = command.warm_read_units
    target.warm.write_units_per_second = command.warm_write_units
    target.delete_index = command.deleted_index
    if command.stream is not None:
        target.stream.enabled = bool(command.stream)
        target.stream.view_type = view_type_value(command.stream)
    for update in command.index_updates:
        entry = target.update_indexes.add(name=update.name)
        entry.provisioned.read_capacity_units = update.read_units
        entry.provisioned.write_capacity_units = update.write_units
        entry.on_demand.max_read_request_units = update.max_read_units
        entry.on_demand.max_write_request_units = update.max_write_units
        entry.warm.read_units_per_second = update.warm_read_units
        entry.warm.write_units_per_second = update.warm_write_units


def put_planned_index(target: cluster_pb2.PlannedIndex, planned: PlannedIndex) -> None:
    """Writes a new global index into an empty message."""
    put_global_index(target.index, planned.definition)
    target.read_units, target.write_units = planned.settings.read_units, planned.settings.write_units
    put_settings(target.settings, planned.settings)
    for each in planned.partitions:
        target.partitions.add(range_start=each.range_start, range_end=each.range_end, node_ids=each.node_ids)


def planned_index_in(source: cluster_pb2.PlannedIndex) -> PlannedIndex:
    """The new global index in a message."""
    partitions = tuple(
        PlannedPartition(each.range_start, each.range_end, tuple(each.node_ids)) for each in source.partitions
    )
    return PlannedIndex(global_index(source.index), settings_of(source), partitions)


def update_command(
    request: tables_pb2.UpdateTableRequest, time_ms: int, created_index: PlannedIndex | None = None
) -> UpdateTable:
    """The command for a request that comes at `time_ms`; `created_index`: the index that it asks for, as planned."""
    return UpdateTable(
        request.table_name,
        time_ms,
        tables_pb2.BillingMode.Name(request.billing_mode) if request.billing_mode else "",
        request.provisioned.read_capacity_units,
        request.provisioned.write_capacity_units,
        request.on_demand.max_read_request_units,
        request.on_demand.max_write_request_units,
        request.warm.read_units_per_second,
        request.warm.write_units_per_second,
        tables_pb2.TableClass.Name(request.table_class) if request.table_class else "",
        request.deletion_protection if request.HasField("deletion_protection") else None,
        created_index,
        request.delete_index,
        tuple(
            IndexUpdate(
                update.name,
                update.provisioned.read_capacity_units,
                update.provisioned.write_capacity_units,
                update.on_demand.max_read_request_units,
                update.on_demand.max_write_request_units,
                update.warm.read_units_per_second,
                update.warm.write_units_per_second,
            )
            for update in request.update_indexes
        ),
        _stream_switch(request),
    )


def _stream_switch(request: tables_pb2.UpdateTableRequest) -> str | None:
    if not request.HasField("stream"):
        return None
    return view_type_name(request.stream.view_type) if request.stream.enabled else ""


def view_type_name(value: tables_pb2.StreamSpecification.ViewType.ValueType) -> str:
    """A stream's view type; empty: unspecified."""
    return tables_pb2.StreamSpecification.ViewType.Name(value) if value else ""


def view_type_value(name: str) -> tables_pb2.StreamSpecification.ViewType.ValueType:
    """The inverse of `view_type_name`."""
    return tables_pb2.StreamSpecification.ViewType.Value(name or "VIEW_TYPE_UNSPECIFIED")
