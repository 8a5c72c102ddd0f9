"""Writes to items of a table that is known: what the partition's leader is asked, and its answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from statorpb import partition_pb2

from router.partition_map_cache import Table
from router.requests.delete_item import DeleteItemRequest
from router.requests.options import PLAIN, WriteOptions
from router.requests.put_item import PutItemRequest
from router.requests.transact_write_items import ConditionCheckRequest, TransactWrite
from router.requests.update_item import UpdateItemRequest
from router.results import NOTHING, Capacity, CollectionMetrics, WriteResult
from router.routing.capacity import size_range_gb, write_units
from router.storage_client import DELETE, GET, PUT, UPDATE, PartitionCall
from server.expressions.codec import encode
from server.expressions.trees import SetAction, Value
from server.model.errors import StatorError, ValidationError
from server.model.item import Item
from server.model.key_encoding import encode_position
from server.model.table import check_index_keys, check_key_only, check_paths
from server.wire import item_to_bytes

ItemWrite = PutItemRequest | UpdateItemRequest | DeleteItemRequest
WriteDone = Callable[[WriteResult | None, StatorError | None], None]

_RETURNED = {
    "ALL_OLD": partition_pb2.OLD,
    "ALL_NEW": partition_pb2.NEW,
    "UPDATED_OLD": partition_pb2.UPDATED_OLD,
    "UPDATED_NEW": partition_pb2.UPDATED_NEW,
}


class PreparedWrite(NamedTuple):
    """What a partition's leader is asked to do with one item. `operation` GET: its condition is checked, and it stays
    as it is. `position`: the key's; `item`: what is put, or the key of what is updated. `details` None: there are none.
    """

    operation: partition_pb2.PartitionOperation.ValueType
    position: bytes
    item: bytes
    details: partition_pb2.WriteDetails | None


def prepared_write(request: TransactWrite, table: Table) -> PreparedWrite:
    """Raises ValidationError for what the table's schema does not allow."""
    options = request.options
    if isinstance(request, PutItemRequest):
        position = encode_position(table.schema, request.item)
        if table.indexes or table.global_indexes:
            check_index_keys(request.item, table.all_indexes)
        operation, item = PUT, item_to_bytes(request.item)
    else:
        check_key_only(request.key, table.schema)
        position = encode_position(table.schema, request.key)
        operation, item = DELETE, b""
        if isinstance(request, UpdateItemRequest):
            _check_key_stays(request, table)
            if table.indexes or table.global_indexes:
                check_index_keys(_assigned(request), table.all_indexes, is_update=True)
            operation, item = UPDATE, item_to_bytes(request.key)
        elif isinstance(request, ConditionCheckRequest):
            operation = GET
    if options is PLAIN and operation != UPDATE:
        return PreparedWrite(operation, position, item, None)
    _check_paths(request, options, table)
    return PreparedWrite(operation, position, item, _details(request, options))


def write_call(
    request: ItemWrite, table: Table, deadline: float, token: bytes, done: WriteDone, begun: float = math.inf
) -> PartitionCall:
    """The call that carries a write out, which its client has `begun` then (loop time). Raises ValidationError for what
    the table's schema does not allow."""
    operation, position, item, details = prepared_write(request, table)
    answered = _plain(done)
    if details is not None and (details.measured or details.returned):
        answered = _measured(request, table, done)
    return PartitionCall(table, operation, position, deadline, answered, True, item, token, details, begun)


def _check_paths(request: TransactWrite, options: WriteOptions, table: Table) -> None:
    indexes = table.all_indexes
    if options.condition is not None:
        check_paths(options.condition.paths, table.schema, indexes)
    if isinstance(request, UpdateItemRequest) and request.update is not None:
        check_paths(request.update.paths, table.schema, indexes)


def _check_key_stays(request: UpdateItemRequest, table: Table) -> None:
    for path in request.update.paths if request.update is not None else ():
        if path[0] in table.schema.names and len(path) == 1:
            raise ValidationError(
                f"One or more parameter values were invalid: Cannot update attribute {path[0]}. This attribute is part "
                "of the key"
            )


def _assigned(request: UpdateItemRequest) -> Item:
    """The attributes that an update sets to values of the request, as they are."""
    if request.update is None:
        return {}
    return {
        str(action.path[0]): request.update.values[action.value.name]
        for action in request.update.tree.actions
        if isinstance(action, SetAction) and isinstance(action.value, Value) and len(action.path) == 1
    }


def _details(request: TransactWrite, options: WriteOptions) -> partition_pb2.WriteDetails:
    details = partition_pb2.WriteDetails()  # and not with arguments, which costs more than to set them
    if options.return_values != "NONE":
        details.returned = _RETURNED[options.return_values]
    if options.returns_on_failure:
        details.returned_on_failure = True
    if options.capacity != "NONE" or options.metrics:
        details.measured = True
    if options.condition is not None:
        details.condition = encode(options.condition.tree)
        if options.condition.values:
            details.condition_values = item_to_bytes(options.condition.values)
    if isinstance(request, UpdateItemRequest) and request.update is not None:
        details.update = encode(request.update.tree)
        if request.update.values:
            details.update_values = item_to_bytes(request.update.values)
    return details


def _plain(done: WriteDone) -> Callable[[partition_pb2.PartitionReply | None, StatorError | None], None]:
    def answered(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
        done(NOTHING if error is None else None, error)

    return answered


def _measured(
    request: ItemWrite, table: Table, done: WriteDone
) -> Callable[[partition_pb2.PartitionReply | None, StatorError | None], None]:
    options = request.options

    def answered(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
        if reply is None:
            done(None, error)
            return
        written = reply.write
        attributes = written.item if written.HasField("item") else None
        capacity = consumed_capacity(written, options.capacity, table) if options.capacity != "NONE" else None
        metrics = collection_metrics(request, table, written) if options.metrics and table.indexes else None
        done(WriteResult(attributes, capacity, metrics), None)

    return answered


def collection_metrics(request: TransactWrite, table: Table, written: partition_pb2.WriteResult) -> CollectionMetrics:
    """Of the item collection that a write to a table with local indexes concerns."""
    key = request.item if isinstance(request, PutItemRequest) else request.key
    name = table.schema.partition_key.name
    return CollectionMetrics(table.name, {name: key[name]}, *size_range_gb(written.collection_bytes))


def consumed_capacity(written: partition_pb2.WriteResult, wanted: str, table: Table) -> Capacity:
    """Of a write with this result; `wanted`: TOTAL or INDEXES."""
    names = {index.number: index.name for index in table.indexes.values()}
    indexes = {names[each.number]: float(each.units) for each in written.indexes if each.units}
    # One that is being made, or has gone, may be known to only one of both.
    global_names = {index.number: name for name, index in table.global_indexes.items()}
    global_indexes = {
        global_names[each.number]: float(each.units)
        for each in written.global_indexes
        if each.units and each.number in global_names
    }
    own = write_units(written.old_bytes, written.new_bytes)
    units = own + sum(indexes.values()) + sum(global_indexes.values())
    if wanted != "INDEXES":
        return Capacity(table.name, units)
    return Capacity(table.name, units, own, indexes or None, global_indexes or None)


def sum_capacity(capacities: Sequence[Capacity]) -> list[Capacity]:
    """The sums by table, in the order in which the tables come first."""
    sums: dict[str, Capacity] = {}
    for one in capacities:
        known = sums.get(one.table_name)
        if known is None:
            sums[one.table_name] = one
            continue
        table = None if one.table is None else one.table + (known.table or 0.0)
        indexes = _sum(known.indexes, one.indexes)
        global_indexes = _sum(known.global_indexes, one.global_indexes)
        units = one.units + known.units
        sums[one.table_name] = Capacity(one.table_name, units, table, indexes, global_indexes, one.kind)
    return list(sums.values())


def _sum(one: Mapping[str, float] | None, other: Mapping[str, float] | None) -> dict[str, float] | None:
    total = dict(one or {})
    for name, units in (other or {}).items():
        total[name] = total.get(name, 0.0) + units
    return total or None
