"""Items of transactions, of tables that are known: what partitions' leaders are asked, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from statorpb import partition_pb2

from router.item_writes import PreparedWrite, collection_metrics, consumed_capacity, prepared_write, sum_capacity
from router.partition_map_cache import Table
from router.requests.get_item import GetItemRequest
from router.requests.put_item import PutItemRequest
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import ConditionCheckRequest, TransactWrite, TransactWriteItemsRequest
from router.requests.transactions import check_all
from router.results import Capacity, CollectionMetrics, TransactRead, TransactWritten, table_capacity
from router.routing.capacity import read_units
from server.expressions.codec import encode
from server.model.errors import ValidationError
from server.model.item import item_bytes
from server.model.key_encoding import encode_position
from server.model.table import check_key_only, check_paths

TRANSACTION_COST = 2
"""A transaction looks at each item twice: once to prepare, once to finish or to see that it has not changed."""

R = TypeVar("R", GetItemRequest, TransactWrite)
P = TypeVar("P", "PreparedRead", PreparedWrite)
Tables = Mapping[str, Table]


class PreparedRead(NamedTuple):
    """What a partition's leader is asked for. `projection` empty: all of the item."""

    position: bytes
    projection: bytes


def prepared_writes(request: TransactWriteItemsRequest, tables: Tables) -> list[PreparedWrite]:
    """In the order of the request. Raises ValidationError or TransactionCanceledError for what the tables' schemas do
    not allow, and for an item that occurs twice."""
    is_measured = request.capacity != "NONE" or request.metrics

    def prepared(write: TransactWrite) -> PreparedWrite:
        if is_measured:
            options = write.options._replace(capacity=request.capacity, metrics=request.metrics)
            write = write._replace(options=options)
        return prepared_write(write, tables[write.table_name])

    return _prepared(request.writes, prepared)


def prepared_reads(request: TransactGetItemsRequest, tables: Tables) -> list[PreparedRead]:
    """In the order of the request; raises what `prepared_writes` does."""

    def prepared(read: GetItemRequest) -> PreparedRead:
        table = tables[read.table_name]
        check_key_only(read.key, table.schema)
        position = encode_position(table.schema, read.key)
        if read.projection is None:
            return PreparedRead(position, b"")
        check_paths(read.projection.paths, table.schema, table.all_indexes)
        return PreparedRead(position, encode(read.projection.tree))

    return _prepared(request.reads, prepared)


def _prepared(requests: Sequence[R], prepare: Callable[[R], P]) -> list[P]:
    found: list[P] = []
    errors: list[ValidationError | None] = []
    keys: list[tuple[str, bytes]] = []
    for each in requests:
        try:
            prepared = prepare(each)
        except ValidationError as error:
            errors.append(error)
        else:
            errors.append(None)
            found.append(prepared)
            keys.append((each.table_name, prepared.position))
    check_all(errors, keys)
    return found


def written(
    request: TransactWriteItemsRequest, tables: Tables, results: Sequence[partition_pb2.WriteResult]
) -> TransactWritten:
    """`results`: of the writes, in the order of the request; not looked at where nothing was asked for."""
    capacity, metrics = None, None
    if request.capacity != "NONE":
        capacities = [
            _doubled(consumed_capacity(result, request.capacity, tables[write.table_name]), "WRITE")
            for write, result in zip(request.writes, results, strict=True)
        ]
        capacity = sum_capacity(capacities)
    if request.metrics:
        collections: dict[str, CollectionMetrics] = {}
        for write, result in zip(request.writes, results, strict=True):
            table = tables[write.table_name]
            if table.indexes and not isinstance(write, ConditionCheckRequest):
                one = collection_metrics(write, table, result)
                collections[repr((one.table_name, one.key))] = one
        metrics = list(collections.values())
    return TransactWritten(capacity, metrics)


def replayed(request: TransactWriteItemsRequest) -> TransactWritten:
    """Of a request that was carried out before: it consumes reads of its items, as large as it says that they are."""
    if request.capacity == "NONE":
        return TransactWritten(None, [] if request.metrics else None)
    capacities = []
    for write in request.writes:
        size = item_bytes(write.item) if isinstance(write, PutItemRequest) else 0
        one = table_capacity(write.table_name, read_units(size, is_consistent=True), request.capacity)
        capacities.append(_doubled(one, "READ"))
    return TransactWritten(sum_capacity(capacities), [] if request.metrics else None)


def read(request: TransactGetItemsRequest, found: Sequence[partition_pb2.ItemFound]) -> TransactRead:
    """`found`: FOUND or ABSENT, in the order of the request. Of what is there, but has nothing of what was asked for,
    nothing is told."""
    items = [one.item or None if one.code == partition_pb2.ItemFound.FOUND else None for one in found]
    if request.capacity == "NONE":
        return TransactRead(items)
    capacities = []
    for asked, one in zip(request.reads, found, strict=True):
        units = read_units(one.item_bytes, is_consistent=True)
        capacities.append(_doubled(table_capacity(asked.table_name, units, request.capacity), "READ"))
    return TransactRead(items, sum_capacity(capacities))


def _doubled(one: Capacity, kind: str) -> Capacity:
    def twice(units: Mapping[str, float] | None) -> dict[str, float] | None:
        return None if units is None else {name: TRANSACTION_COST * each for name, each in units.items()}

    table = None if one.table is None else TRANSACTION_COST * one.table
    units = TRANSACTION_COST * one.units
    return Capacity(one.table_name, units, table, twice(one.indexes), twice(one.global_indexes), kind)
