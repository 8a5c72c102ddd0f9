"""Requests for new tables, as commands of the catalog. Routers have checked DynamoDB's rules; here it is made sure that
nothing enters the catalog that makes no sense in it."""

from __future__ import annotations

from statorpb import tables_pb2

from metadata.catalog.commands import CreateTable, PlannedPartition
from metadata.catalog.settings import TableSettings
from server.model.errors import ValidationError
from server.model.table import KEY_TYPES, KeyAttribute, KeySchema, LocalIndex


def create_command(
    request: tables_pb2.CreateTableRequest, table_id: str, now_ms: int, partitions: tuple[PlannedPartition, ...]
) -> CreateTable:
    """The command that makes a table. Raises ValidationError."""
    schema = request.key_schema
    sort_key = _key_attribute(schema.sort_key) if schema.HasField("sort_key") else None
    units, limits = request.provisioned, request.on_demand
    if (units.read_capacity_units == 0) != (units.write_capacity_units == 0):
        raise ValidationError("read and write capacity units are given together, or neither is")
    settings = TableSettings(
        read_units=units.read_capacity_units,
        write_units=units.write_capacity_units,
        on_demand_at_ms=() if units.read_capacity_units else (now_ms,),
        max_read_units=max(0, limits.max_read_request_units),
        max_write_units=max(0, limits.max_write_request_units),
        warm_read_units=request.warm.read_units_per_second,
        warm_write_units=request.warm.write_units_per_second,
        table_class=tables_pb2.TableClass.Name(request.table_class or tables_pb2.STANDARD),
        is_protected=request.deletion_protection,
        tags=tuple(sorted((tag.key, tag.value) for tag in request.tags)),
    )
    return CreateTable(
        request.table_name,
        KeySchema(_key_attribute(schema.partition_key), sort_key),
        settings,
        table_id,
        now_ms,
        partitions,
        tuple(_local_index(number, index) for number, index in enumerate(request.local_indexes, 1)),
    )


def _key_attribute(message: tables_pb2.KeyAttribute) -> KeyAttribute:
    """Raises ValidationError for a type that is none of a key's."""
    names = {value: name for name, value in tables_pb2.AttributeType.items() if name in KEY_TYPES}
    if message.type not in names or not message.name:
        raise ValidationError("a key attribute has a name and the type S, N or B")
    return KeyAttribute(message.name, names[message.type])


def _local_index(number: int, message: tables_pb2.LocalIndex) -> LocalIndex:
    projection = message.projection
    if projection.type == tables_pb2.Projection.TYPE_UNSPECIFIED or not message.name:
        raise ValidationError("a local index has a name and a projection")
    kind = tables_pb2.Projection.Type.Name(projection.type)
    sort_key = _key_attribute(message.sort_key)
    return LocalIndex(number, message.name, sort_key, kind, tuple(projection.non_key_attributes))
