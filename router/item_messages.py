"""Messages of operations on items, of the gRPC door: requests as bodies of DynamoDB's API, results as messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message
from statorpb import items_pb2, passthrough_pb2

from router.requests import (
    batch_get_item,
    batch_write_item,
    delete_item,
    get_item,
    put_item,
    query,
    scan,
    transact_get_items,
    transact_write_items,
    update_item,
)
from router.requests.put_item import PutItemRequest
from router.results import (
    NOTHING,
    BatchRead,
    BatchWritten,
    Capacity,
    CollectionMetrics,
    Page,
    ReadResult,
    TransactRead,
    TransactWritten,
    WriteResult,
)
from server.model.errors import SerializationError, ValidationError
from server.model.item import Item
from server.wire import item_from_bytes, item_to_bytes, put_value

_ITEM_FIELDS = frozenset({"item", "key", "expression_attribute_values", "exclusive_start_key"})
Body = dict[str, Any]


def item_of(data: bytes) -> Item:
    """An item or a key of a message, unchecked. Raises SerializationError."""
    try:
        return item_from_bytes(data)
    except DecodeError as error:
        raise SerializationError("An item or a key is malformed, or nested too deeply") from error


def _api_name(field_name: str) -> str:
    return "".join(part.capitalize() for part in field_name.split("_"))


def _enum_reader(field: Any) -> Callable[[Any], Any]:
    prefix = "".join(f"_{char}" if char.isupper() else char.upper() for char in field.enum_type.name).lstrip("_") + "_"
    names: dict[int, str] = {
        value.number: value.name.removeprefix(prefix) for value in field.enum_type.values if value.number
    }

    def read(number: Any) -> str:
        name = names.get(number)
        if name is None:
            raise ValidationError(f"{_api_name(field.name)} has no value {number}")
        return name

    return read


def _reader(field: Any) -> Callable[[Any], Any]:
    if field.name in _ITEM_FIELDS:
        return item_of
    if field.enum_type is not None:
        return _enum_reader(field)
    if field.message_type is not None:
        return dict  # the map of names
    return lambda value: value


def _readers(message: type[Message]) -> Mapping[str, tuple[str, Callable[[Any], Any]]]:
    return {field.name: (_api_name(field.name), _reader(field)) for field in message.DESCRIPTOR.fields}


_READERS = {
    message.DESCRIPTOR.full_name: _readers(message)
    for message in (
        passthrough_pb2.RawPutItemRequest,
        passthrough_pb2.RawGetItemRequest,
        passthrough_pb2.RawUpdateItemRequest,
        passthrough_pb2.RawDeleteItemRequest,
        passthrough_pb2.RawQueryRequest,
        passthrough_pb2.RawScanRequest,
        passthrough_pb2.RawBatchGetItemRequest,
        passthrough_pb2.RawBatchWriteItemRequest,
        passthrough_pb2.RawTableKeys,
        passthrough_pb2.RawConditionCheck,
        passthrough_pb2.RawTransactWriteItemsRequest,
        passthrough_pb2.RawTransactGetItem,
        passthrough_pb2.RawTransactGetItemsRequest,
    )
}


def body_of(message: Message) -> Body:
    """A message as the body that DynamoDB's JSON protocol has for it; binary values are bytes. Raises StatorError."""
    readers = _READERS[message.DESCRIPTOR.full_name]
    body: Body = {}
    for field, value in message.ListFields():
        name, read = readers[field.name]
        body[name] = read(value)
    return body


def _get(message: passthrough_pb2.RawGetItemRequest) -> Any:
    key = message.key
    is_plain = key and not (
        message.projection_expression or message.return_consumed_capacity or message.expression_attribute_names
    )
    if is_plain:  # what most are: looked at in the shortest way
        return get_item.plain(message.table_name, item_of(key), is_consistent=message.consistent_read)
    return get_item.from_body(body_of(message), is_json=False)


def _put(message: passthrough_pb2.RawPutItemRequest) -> Any:
    item = message.item
    if item and len(message.ListFields()) == 2:
        return put_item.plain(message.table_name, item_of(item))
    return put_item.from_body(body_of(message), is_json=False)


def _batch_write(message: passthrough_pb2.RawBatchWriteItemRequest) -> Any:
    tables: dict[str, list[Any]] = {}
    for table in message.tables:
        requests = tables.setdefault(table.table_name, [])
        for write in table.writes:
            kind = write.WhichOneof("write")
            if kind == "put":
                requests.append({"PutRequest": {"Item": item_of(write.put)}})
            else:
                requests.append({"DeleteRequest": {"Key": item_of(write.delete_key)}} if kind else {})
    body = _batch_body(message, tables)
    return batch_write_item.from_body(body, is_json=False)


def _batch_get(message: passthrough_pb2.RawBatchGetItemRequest) -> Any:
    tables: dict[str, Any] = {}
    for table in message.tables:
        body = {name: value for name, value in body_of(table).items() if name not in ("TableName", "Keys")}
        known = tables.setdefault(table.table_name, {"Keys": [], **body})
        known["Keys"].extend(item_of(key) for key in table.keys)
        if {name: value for name, value in known.items() if name != "Keys"} != body:
            raise ValidationError(f"a batch asks for items of {table.table_name} in different ways")
    return batch_get_item.from_body(_batch_body(message, tables), is_json=False)


def _batch_body(message: Message, tables: Mapping[str, Any]) -> Body:
    return {"RequestItems": tables, **_body_without("tables", message)}


def _body_without(field_name: str, message: Message) -> Body:
    readers = _READERS[message.DESCRIPTOR.full_name]
    body: Body = {}
    for field, value in message.ListFields():
        if field.name != field_name:
            name, read = readers[field.name]
            body[name] = read(value)
    return body


def _transact_write(message: passthrough_pb2.RawTransactWriteItemsRequest) -> Any:
    members: list[Body] = []
    for member in message.transact_items:
        kind = member.WhichOneof("action")
        members.append({} if kind is None else {_api_name(kind): body_of(getattr(member, kind))})
    body = {"TransactItems": members, **_body_without("transact_items", message)}
    return transact_write_items.from_body(body, is_json=False)


def _transact_get(message: passthrough_pb2.RawTransactGetItemsRequest) -> Any:
    members = [{"Get": body_of(member)} for member in message.transact_items]
    body = {"TransactItems": members, **_body_without("transact_items", message)}
    return transact_get_items.from_body(body, is_json=False)


_REQUESTS: Mapping[str, Callable[[Any], Any]] = {
    "put_item": _put,
    "get_item": _get,
    "update_item": lambda message: update_item.from_body(body_of(message), is_json=False),
    "delete_item": lambda message: delete_item.from_body(body_of(message), is_json=False),
    "batch_write_item": _batch_write,
    "batch_get_item": _batch_get,
    "query": lambda message: query.from_body(body_of(message), is_json=False),
    "scan": lambda message: scan.from_body(body_of(message), is_json=False),
    "transact_write_items": _transact_write,
    "transact_get_items": _transact_get,
}


def read_item_request(kind: str, message: Any) -> Any:
    """The request object of a message; `kind` is its field in SessionRequest. Raises StatorError."""
    return _REQUESTS[kind](message)


# Results


def fill_reply(reply: passthrough_pb2.RawSessionReply, kind: str, result: Any) -> int:
    """Puts a result into a session's reply; returns about how many bytes that are."""
    target = getattr(reply, kind)
    if kind == "get_item" and result[1] is None and result[0] is not None:
        target.item = result[0]  # what most are: that it is there comes with what is in it
        return len(result[0])
    target.SetInParent()
    return 0 if result is NOTHING else _FILLERS[kind](target, result)


def _fill_read(target: passthrough_pb2.RawGetItemResponse, result: ReadResult) -> int:
    item, capacity = result
    if capacity is not None:
        _put_capacity(target.consumed_capacity, capacity)
    if item is None:
        return 0
    target.item = item
    return len(item)


def _fill_written(target: Any, result: WriteResult) -> int:
    attributes, capacity, metrics = result
    if capacity is not None:
        _put_capacity(target.consumed_capacity, capacity)
    if metrics is not None:
        _put_metrics(target.item_collection_metrics, metrics)
    if attributes is None:
        return 0
    target.attributes = attributes
    return len(attributes)


def _fill_page(target: Any, result: Page) -> int:
    target.items.extend(result.items)
    target.count, target.scanned_count = result.count, result.scanned_count
    if result.last_key is not None:
        target.last_evaluated_key = result.last_key
    if result.capacity is not None:
        _put_capacity(target.consumed_capacity, result.capacity)
    return sum(map(len, result.items))


def _fill_batch_written(target: passthrough_pb2.RawBatchWriteItemResponse, result: BatchWritten) -> int:
    for write in result.unprocessed:
        table = target.unprocessed.add(table_name=write.table_name)
        if isinstance(write, PutItemRequest):
            table.writes.add(put=item_to_bytes(write.item))
        else:
            table.writes.add(delete_key=item_to_bytes(write.key))
    return _fill_consumed(target, result)


def _fill_consumed(target: Any, result: BatchWritten | TransactWritten) -> int:
    for capacity in result.capacity or ():
        _put_capacity(target.consumed_capacity.add(), capacity)
    for metrics in result.metrics or ():
        _put_metrics(target.item_collection_metrics.add(table_name=metrics.table_name).metrics.add(), metrics)
    return 0


def _fill_batch_read(target: passthrough_pb2.RawBatchGetItemResponse, result: BatchRead) -> int:
    tables: dict[str, passthrough_pb2.RawTableItems] = {}
    for name, item in result.found:
        table = tables.get(name)
        if table is None:
            table = tables[name] = target.tables.add(table_name=name)
        table.items.append(item)
    for read in result.unprocessed:
        asked = result.asked.get(read.table_name, {})
        target.unprocessed.add(
            table_name=read.table_name,
            keys=[item_to_bytes(read.key)],
            consistent_read=read.is_consistent,
            projection_expression=asked.get("ProjectionExpression", ""),
            expression_attribute_names=asked.get("ExpressionAttributeNames", {}),
        )
    for capacity in result.capacity or ():
        _put_capacity(target.consumed_capacity.add(), capacity)
    return sum(len(item) for _, item in result.found)


def _fill_transact_read(target: passthrough_pb2.RawTransactGetItemsResponse, result: TransactRead) -> int:
    for item in result.items:
        target.responses.add(item=item)
    for capacity in result.capacity or ():
        _put_capacity(target.consumed_capacity.add(), capacity)
    return sum(len(item) for item in result.items if item is not None)


def _put_capacity(target: items_pb2.ConsumedCapacity, capacity: Capacity) -> None:
    target.table_name, target.capacity_units = capacity.table_name, capacity.units
    if capacity.kind:
        target.kind = items_pb2.ConsumedCapacity.Kind.Value(capacity.kind)
    if capacity.table is not None:
        target.table = capacity.table
    for name, units in (capacity.indexes or {}).items():
        target.local_secondary_indexes[name] = units
    for name, units in (capacity.global_indexes or {}).items():
        target.global_secondary_indexes[name] = units


def _put_metrics(target: items_pb2.ItemCollectionMetrics, metrics: CollectionMetrics) -> None:
    for name, value in metrics.key.items():
        put_value(target.item_collection_key[name], value)
    target.size_estimate_lower_gb, target.size_estimate_upper_gb = metrics.lower_gb, metrics.upper_gb


_FILLERS: Mapping[str, Callable[[Any, Any], int]] = {
    "put_item": _fill_written,
    "update_item": _fill_written,
    "delete_item": _fill_written,
    "get_item": _fill_read,
    "query": _fill_page,
    "scan": _fill_page,
    "batch_write_item": _fill_batch_written,
    "batch_get_item": _fill_batch_read,
    "transact_write_items": _fill_consumed,
    "transact_get_items": _fill_transact_read,
}
