"""Requests for new tables, as commands of the catalog. Routers have checked DynamoDB's rules; here it is made sure that
nothing enters the catalog that makes no sense in it."""

from __future__ import annotations

from statorpb import tables_pb2

from metadata.catalog.commands import CreateTable, PlannedIndex, PlannedPartition
from metadata.catalog.settings import TableSettings
from metadata.settings_codec import view_type_name
from server.model.errors import ValidationError
from server.model.limits import HASHED_KEYS_MAX, ORDERING_KEYS_MAX
from server.model.table import KEY_TYPES, GlobalIndex, KeyAttribute, KeySchema, LocalIndex

_VIEW_TYPES = tables_pb2.StreamSpecification.ViewType.values()[1:]


def create_command(
    request: tables_pb2.CreateTableRequest,
    table_id: str,
    now_ms: int,
    partitions: tuple[PlannedPartition, ...],
    global_indexes: tuple[PlannedIndex, ...] = (),
) -> CreateTable:
    """The command that makes a table. Raises ValidationError."""
    schema = request.key_schema
    sort_key = _key_attribute(schema.sort_key) if schema.HasField("sort_key") else None
    units, limits = request.provisioned, request.on_demand
    _check_units(units)
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
        global_indexes,
        _stream_view_type(request.stream),
    )


def check_stream(stream: tables_pb2.StreamSpecification) -> None:
    """That one that is to be on says what its records have. Raises ValidationError."""
    if stream.enabled and stream.view_type not in _VIEW_TYPES:
        raise ValidationError("a stream that is enabled has a view type")


def _stream_view_type(stream: tables_pb2.StreamSpecification) -> str:
    check_stream(stream)
    return view_type_name(stream.view_type) if stream.enabled else ""


def planned_index(message: tables_pb2.GlobalIndex, partitions: tuple[PlannedPartition, ...]) -> PlannedIndex:
    """A new global index in these partitions. Raises ValidationError."""
    _check_units(message.provisioned)
    hashed, ordering = message.partition_keys, message.sort_keys
    if not 1 <= len(hashed) <= HASHED_KEYS_MAX or len(ordering) > ORDERING_KEYS_MAX:
        raise ValidationError(
            f"a global index has 1 to {HASHED_KEYS_MAX} partition keys and at most {ORDERING_KEYS_MAX} sort keys"
        )
    projection = message.projection
    if projection.type == tables_pb2.Projection.TYPE_UNSPECIFIED or not message.name:
        raise ValidationError("a global index has a name and a projection")
    definition = GlobalIndex(
        0,
        message.name,
        tuple(map(_key_attribute, hashed)),
        tuple(map(_key_attribute, ordering)),
        tables_pb2.Projection.Type.Name(projection.type),
        tuple(projection.non_key_attributes),
    )
    settings = TableSettings(
        read_units=message.provisioned.read_capacity_units,
        write_units=message.provisioned.write_capacity_units,
        max_read_units=max(0, message.on_demand.max_read_request_units),
        max_write_units=max(0, message.on_demand.max_write_request_units),
        warm_read_units=message.warm.read_units_per_second,
        warm_write_units=message.warm.write_units_per_second,
    )
    return PlannedIndex(definition, settings, partitions)


def _check_units(units: tables_pb2.Throughput) -> None:
    if (units.read_capacity_units == 0) != (units.write_capacity_units == 0):
        raise ValidationError("read and write capacity units are given together, or neither is")


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
