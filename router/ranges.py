"""Query and Scan on a table that is known: which range of which index they read, and what is done with its items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
from server.model.key_encoding import (
    HASH_BYTES,
    encode_global_position,
    encode_index_position,
    encode_position,
    encode_sort_key,
    hash_keys,
    sort_range,
    start_with,
)
from server.model.table import (
    GlobalIndex,
    KeyAttribute,
    KeySchema,
    LocalIndex,
    check_key_value,
    check_paths,
    projected_names,
)
from server.wire import item_to_bytes

_BAD_START = "The provided starting key is invalid"


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read: a table (`index` None), or one of its indexes. `route`: where it is, which is a global index's own
    and else the table's."""

    table: Table
    route: Table
    index: LocalIndex | GlobalIndex | None = None

    @property
    def partition_keys(self) -> tuple[KeyAttribute, ...]:
        if isinstance(self.index, GlobalIndex):
            return self.index.partition_keys
        return (self.table.schema.partition_key,)

    @property
    def sort_keys(self) -> tuple[KeyAttribute, ...]:
        if isinstance(self.index, GlobalIndex):
            return self.index.sort_keys
        sort_key = self.table.schema.sort_key if self.index is None else self.index.sort_key
        return (sort_key,) if sort_key is not None else ()

    @property
    def key_names(self) -> frozenset[str]:
        """Of the attributes by which it is read."""
        return frozenset(each.name for each in self.partition_keys + self.sort_keys)


def query(storage: StorageClient, request: QueryRequest, table: Table, deadline: float, done: PageDone) -> None:
    """Reads one page. Raises ValidationError."""
    read = _read(request, table)
    names = [each.name for each in read.partition_keys], [each.name for each in read.sort_keys]
    if request.key_condition is not None:
        condition = key_condition(request.key_condition, *names)
    else:
        condition = legacy_key_condition(request.key_conditions or {}, *names)
    low, high = _range(condition, read)
    _check_filter(request, read)
    if request.start_key is not None:
        position = _start_position(request.start_key, read)
        if position[:HASH_BYTES] != low[:HASH_BYTES]:
            raise ValidationError("The provided starting key is outside query boundaries based on provided conditions")
        if not low <= position < high:
            raise ValidationError("The provided starting key does not match the range key predicate")
        low, high = (position + b"\0", high) if request.is_forward else (low, position)
    _run(storage, request, read, low, high, not request.is_forward, deadline, done)


def scan(storage: StorageClient, request: ScanRequest, table: Table, deadline: float, done: PageDone) -> None:
    """Reads one page. Raises ValidationError."""
    read = _read(request, table)
    low, high = b"", b""
    if request.total_segments > 1:
        bounds = [(number << 128) // request.total_segments for number in (request.segment, request.segment + 1)]
        low = bounds[0].to_bytes(HASH_BYTES, "big") if bounds[0] else b""
        high = bounds[1].to_bytes(HASH_BYTES, "big") if bounds[1] >> 128 == 0 else b""
    if request.start_key is not None:
        position = _start_position(request.start_key, read)
        if position < low or (high and position >= high):
            raise ValidationError(
                f"{_BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
                f"TotalSegments: {request.total_segments} Segment: {request.segment}"
            )
        low = position + b"\0"
    _run(storage, request, read, low, high, False, deadline, done)


def _read(request: QueryRequest | ScanRequest, table: Table) -> _Read:
    """What a request reads. Raises ValidationError where it cannot be read so."""
    name = request.index_name
    if name is None:
        return _Read(table, table)
    route = table.global_indexes.get(name)
    if route is None:
        if name not in table.indexes:
            raise ValidationError(f"The table does not have the specified index: {name}")
        return _Read(table, table, table.indexes[name])
    assert route.index is not None
    if request.is_consistent:
        raise ValidationError("Consistent reads are not supported on global secondary indexes")
    if not route.is_active:
        raise ValidationError(f"Cannot read from backfilling global secondary index: {name}")
    _check_projected(request, route.index, table.schema)
    return _Read(table, route, route.index)


def _check_projected(request: QueryRequest | ScanRequest, index: GlobalIndex, schema: KeySchema) -> None:
    """That a global index has what is wanted of it: nothing is fetched from the table. Raises ValidationError."""
    projected = projected_names(index, schema)
    if projected is None:
        return
    invalid = "One or more parameter values were invalid: "
    if request.select == "ALL_ATTRIBUTES":
        raise ValidationError(
            f"{invalid}Select type ALL_ATTRIBUTES is not supported for global secondary index {index.name} because its "
            "projection type is not ALL"
        )
    for expression, told in (
        (request.projection, f"Global secondary index {index.name} does not project"),
        (request.filter, f"Secondary index {index.name} does not project one or more filter attributes:"),
    ):
        names = sorted({str(path[0]) for path in expression.paths}) if expression is not None else []
        lacking = [name for name in names if name not in projected]
        if lacking:
            raise ValidationError(f"{invalid}{told} [{', '.join(lacking)}]")


def _range(condition: KeyCondition, read: _Read) -> tuple[bytes, bytes]:
    for attribute, value in zip(read.partition_keys, condition.partition_values, strict=True):
        _check_types(attribute, (value,))
    contents = [
        check_key_value({attribute.name: value}, attribute, is_partition_key=True)
        for attribute, value in zip(read.partition_keys, condition.partition_values, strict=True)
    ]
    start = hash_keys(read.partition_keys, contents)
    operator, values = "", list[bytes]()
    for attribute, sort in zip(read.sort_keys, condition.sort, strict=False):
        start = start_with(start, values)  # of the one before, which is given by its value
        _check_types(attribute, sort.values)
        operator = sort.operator
        values = [
            encode_sort_key(attribute.type, check_key_value({attribute.name: value}, attribute, is_partition_key=False))
            for value in sort.values
        ]
    return sort_range(start, operator, values, is_index=read.index is not None)


def _check_types(attribute: KeyAttribute, values: Iterable[AttributeValue]) -> None:
    if any(attribute.type not in value for value in values):
        raise ValidationError(
            "One or more parameter values were invalid: Condition parameter type does not match schema type"
        )


def _check_filter(request: QueryRequest, read: _Read) -> None:
    for path in request.filter.paths if request.filter is not None else ():
        if path[0] in read.key_names:
            what = "QueryFilter" if request.key_conditions is not None else "Filter Expression"
            raise ValidationError(
                f"{what} can only contain non-primary key attributes: Primary key attribute: {path[0]}"
            )


def _start_position(start_key: Item, read: _Read) -> bytes:
    """The range position of ExclusiveStartKey. Raises ValidationError."""
    schema, index = read.table.schema, read.index
    if start_key.keys() != schema.names | read.key_names:
        suffix = ": The provided key element does not match the schema" if index is None else ""
        raise ValidationError(_BAD_START + suffix)
    attributes = {*schema.attributes, *read.partition_keys, *read.sort_keys}
    if any(attribute.type not in start_key[attribute.name] for attribute in attributes):
        raise ValidationError(f"{_BAD_START}: The provided key element does not match the schema")
    position = encode_position(schema, start_key)
    if index is None:
        return position
    for attribute in read.partition_keys:
        check_key_value(start_key, attribute, is_partition_key=True)
    contents = [check_key_value(start_key, attribute, is_partition_key=False) for attribute in read.sort_keys]
    if isinstance(index, LocalIndex):
        return encode_index_position(position, encode_sort_key(index.sort_key.type, contents[0]))
    entry = encode_global_position(index, position, start_key)
    assert entry is not None, "all keys are there, and of their types"
    return entry


def _run(
    storage: StorageClient,
    request: QueryRequest | ScanRequest,
    read: _Read,
    low: bytes,
    high: bytes,
    is_backwards: bool,
    deadline: float,
    done: PageDone,
) -> None:
    table, index = read.table, read.index if isinstance(read.index, LocalIndex) else None
    details = partition_pb2.ScanDetails(count_only=request.select == "COUNT")
    for expression in (request.filter, request.projection):
        if expression is not None:
            check_paths(expression.paths, table.schema, table.all_indexes)
    if request.filter is not None:
        details.filter = encode(request.filter.tree)
        if request.filter.values:
            details.filter_values = item_to_bytes(request.filter.values)
    if request.projection is not None:
        details.projection = encode(request.projection.tree)
    details.whole_items = index is not None and _needs_whole_items(request, index, table.schema)
    RangeRead(
        storage,
        read.route,
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
    projected = projected_names(index, schema)
    if projected is None:
        return False
    if request.select == "ALL_ATTRIBUTES":
        return True
    asked = [each.paths for each in (request.filter, request.projection) if each is not None]
    return any(path[0] not in projected for paths in asked for path in paths)
