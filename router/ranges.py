"""Query and Scan on a table that is known: which range of which index they read, and what is done with its items."""

from __future__ import annotations

from collections.abc import Iterable

from statorpb import partition_pb2

from router.item_reads import PageDone, RangeRead
from router.partition_map_cache import Table
from router.requests.query import QueryRequest
from router.requests.scan import ScanRequest
from router.storage_client import StorageClient
from server.expressions.codec import encode
from server.expressions.key_condition import KeyCondition, key_condition
from server.expressions.legacy import legacy_key_condition
from server.model.errors import ValidationError
from server.model.item import AttributeValue, Item
from server.model.key_encoding import HASH_BYTES, encode_index_position, encode_position, encode_sort_key, sort_range
from server.model.table import KeyAttribute, KeySchema, LocalIndex, check_key_value, check_paths
from server.wire import item_to_bytes

_BAD_START = "The provided starting key is invalid"


def query(storage: StorageClient, request: QueryRequest, table: Table, deadline: float, done: PageDone) -> None:
    """Reads one page. Raises ValidationError."""
    index = _index(request.index_name, table)
    schema = table.schema if index is None else index.key_schema(table.schema)
    sort_name = schema.sort_key.name if schema.sort_key is not None else None
    if request.key_condition is not None:
        condition = key_condition(request.key_condition, schema.partition_key.name, sort_name)
    else:
        condition = legacy_key_condition(request.key_conditions or {}, schema.partition_key.name, sort_name)
    low, high = _range(condition, schema, is_index=index is not None)
    _check_filter(request, schema)
    if request.start_key is not None:
        position = _start_position(request.start_key, table, index)
        if position[:HASH_BYTES] != low[:HASH_BYTES]:
            raise ValidationError("The provided starting key is outside query boundaries based on provided conditions")
        if not low <= position < high:
            raise ValidationError("The provided starting key does not match the range key predicate")
        low, high = (position + b"\0", high) if request.is_forward else (low, position)
    _run(storage, request, table, index, low, high, not request.is_forward, deadline, done)


def scan(storage: StorageClient, request: ScanRequest, table: Table, deadline: float, done: PageDone) -> None:
    """Reads one page. Raises ValidationError."""
    index = _index(request.index_name, table)
    low, high = b"", b""
    if request.total_segments > 1:
        bounds = [(number << 128) // request.total_segments for number in (request.segment, request.segment + 1)]
        low = bounds[0].to_bytes(HASH_BYTES, "big") if bounds[0] else b""
        high = bounds[1].to_bytes(HASH_BYTES, "big") if bounds[1] >> 128 == 0 else b""
    if request.start_key is not None:
        position = _start_position(request.start_key, table, index)
        if position < low or (high and position >= high):
            raise ValidationError(
                f"{_BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
                f"TotalSegments: {request.total_segments} Segment: {request.segment}"
            )
        low = position + b"\0"
    _run(storage, request, table, index, low, high, False, deadline, done)


def _index(name: str | None, table: Table) -> LocalIndex | None:
    if name is None:
        return None
    index = table.indexes.get(name)
    if index is None:
        raise ValidationError(f"The table does not have the specified index: {name}")
    return index


def _range(condition: KeyCondition, schema: KeySchema, *, is_index: bool) -> tuple[bytes, bytes]:
    _check_types(schema.partition_key, (condition.partition_value,))
    hash_ = encode_position(KeySchema(schema.partition_key), {schema.partition_key.name: condition.partition_value})
    if condition.sort is None:
        return sort_range(hash_, "", (), is_index=is_index)
    sort_key = schema.sort_key
    assert sort_key is not None
    _check_types(sort_key, condition.sort.values)
    values = [
        encode_sort_key(sort_key.type, check_key_value({sort_key.name: value}, sort_key, is_partition_key=False))
        for value in condition.sort.values
    ]
    return sort_range(hash_, condition.sort.operator, values, is_index=is_index)


def _check_types(attribute: KeyAttribute, values: Iterable[AttributeValue]) -> None:
    if any(attribute.type not in value for value in values):
        raise ValidationError(
            "One or more parameter values were invalid: Condition parameter type does not match schema type"
        )


def _check_filter(request: QueryRequest, schema: KeySchema) -> None:
    for path in request.filter.paths if request.filter is not None else ():
        if path[0] in schema.names:
            what = "QueryFilter" if request.key_conditions is not None else "Filter Expression"
            raise ValidationError(
                f"{what} can only contain non-primary key attributes: Primary key attribute: {path[0]}"
            )


def _start_position(start_key: Item, table: Table, index: LocalIndex | None) -> bytes:
    """The range position of ExclusiveStartKey. Raises ValidationError."""
    names = table.schema.names if index is None else table.schema.names | {index.sort_key.name}
    if start_key.keys() != names:
        suffix = ": The provided key element does not match the schema" if index is None else ""
        raise ValidationError(_BAD_START + suffix)
    attributes = [*table.schema.attributes, *([index.sort_key] if index is not None else [])]
    if any(attribute.type not in start_key[attribute.name] for attribute in attributes):
        raise ValidationError(f"{_BAD_START}: The provided key element does not match the schema")
    position = encode_position(table.schema, start_key)
    if index is None:
        return position
    value = check_key_value(start_key, index.sort_key, is_partition_key=False)
    return encode_index_position(position, encode_sort_key(index.sort_key.type, value))


def _run(
    storage: StorageClient,
    request: QueryRequest | ScanRequest,
    table: Table,
    index: LocalIndex | None,
    low: bytes,
    high: bytes,
    is_backwards: bool,
    deadline: float,
    done: PageDone,
) -> None:
    details = partition_pb2.ScanDetails(count_only=request.select == "COUNT")
    for expression in (request.filter, request.projection):
        if expression is not None:
            check_paths(expression.paths, table.schema, table.indexes.values())
    if request.filter is not None:
        details.filter = encode(request.filter.tree)
        if request.filter.values:
            details.filter_values = item_to_bytes(request.filter.values)
    if request.projection is not None:
        details.projection = encode(request.projection.tree)
    details.whole_items = index is not None and _needs_whole_items(request, index, table.schema)
    RangeRead(
        storage,
        table,
        index,
        low,
        high,
        is_backwards,
        request.is_consistent,
        request.limit,
        details,
        request.capacity,
        deadline,
        done,
    ).ask()


def _needs_whole_items(request: QueryRequest | ScanRequest, index: LocalIndex, schema: KeySchema) -> bool:
    """Whether attributes are asked for that the index does not have."""
    if index.projection == "ALL":
        return False
    if request.select == "ALL_ATTRIBUTES":
        return True
    projected = schema.names | {index.sort_key.name, *index.non_key_attributes}
    asked = [each.paths for each in (request.filter, request.projection) if each is not None]
    return any(path[0] not in projected for paths in asked for path in paths)
