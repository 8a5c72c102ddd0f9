"""TransactWriteItems: up to 100 writes and checks of items, all of them or none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from router.requests.delete_item import DeleteItemRequest
from router.requests.expression_parameters import Parameters, read_placeholders
from router.requests.operation_shapes import TRANSACT_WRITE_ITEMS
from router.requests.options import PLAIN, WriteOptions, read_options
from router.requests.put_item import PutItemRequest
from router.requests.reading import reader, table_name_of
from router.requests.transactions import check_names, check_size
from router.requests.update_item import UpdateItemRequest
from server.expressions.codec import encode
from server.expressions.expression import parse_update
from server.model.errors import ValidationError
from server.model.item import AttributeValue, Item, check_item, item_bytes

_NONE = "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"
_SEVERAL = "TransactItems can only contain one of Check, Put, Update or Delete"
_CONDITION = Parameters(("ConditionExpression",), ())
_UPDATE = Parameters(("UpdateExpression", "ConditionExpression"), ())

HASH_BYTES = 16


class ConditionCheckRequest(NamedTuple):
    """Leaves the item under `key` as it is; its options have a condition."""

    table_name: str
    key: Item
    options: WriteOptions = PLAIN


TransactWrite = PutItemRequest | UpdateItemRequest | DeleteItemRequest | ConditionCheckRequest


@dataclass(frozen=True, slots=True)
class TransactWriteItemsRequest:
    """The writes, in the order given; of their options, `condition` and `returns_on_failure` only. `client_token`: what
    its client calls it, so that it is carried out once however often it is sent (empty: nothing). `capacity`: NONE,
    TOTAL or INDEXES; `metrics`: the sizes of item collections."""

    writes: tuple[TransactWrite, ...]
    client_token: str = ""
    capacity: str = "NONE"
    metrics: bool = False


def from_body(body: Mapping[str, Any], *, is_json: bool) -> TransactWriteItemsRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> TransactWriteItemsRequest:
    members = body["TransactItems"]
    check_names(members)
    writes: list[TransactWrite] = []
    size = 0
    for member in members:
        write, write_size = _write(member, is_json)
        writes.append(write)
        size += write_size
    check_size(size)
    return TransactWriteItemsRequest(
        tuple(writes),
        body.get("ClientRequestToken", ""),
        body.get("ReturnConsumedCapacity", "NONE"),
        body.get("ReturnItemCollectionMetrics") == "SIZE",
    )


def _write(member: Mapping[str, Any], is_json: bool) -> tuple[TransactWrite, int]:
    """(a member's write, the bytes of the item, or of what is known of it)."""
    if len(member) != 1:
        raise ValidationError(_SEVERAL if member else _NONE)
    ((kind, body),) = member.items()
    table_name = table_name_of(body["TableName"])
    (_UPDATE if kind == "Update" else _CONDITION).check_together(body)
    item, size = check_item(body["Item" if kind == "Put" else "Key"], is_json=is_json)
    placeholders = read_placeholders(body, is_json)
    update = parse_update(body["UpdateExpression"], placeholders) if kind == "Update" else None
    options = read_options(body, None, placeholders)
    placeholders.check_all_used()
    if kind == "Put":
        return PutItemRequest(table_name, item, options), size
    if update is not None:
        return UpdateItemRequest(table_name, item, update, options), size + item_bytes(update.values)
    if kind == "Delete":
        return DeleteItemRequest(table_name, item, options), size
    return ConditionCheckRequest(table_name, item, options), size


def request_hash(request: TransactWriteItemsRequest) -> bytes:
    """16 bytes, the same for all requests that do the same in the same words, however they were written: the order of a
    map's entries or a set's members, and the form of a number, do not count. Nor does what is to be told of it: whoever
    sends it again may ask for something else."""
    content = [_content(write) for write in request.writes]
    text = orjson.dumps(content, default=bytes.hex, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=HASH_BYTES).digest()


def _content(write: TransactWrite) -> list[Any]:
    content: list[Any] = [type(write).__name__, write.table_name]
    content.append(_ordered(write.item if isinstance(write, PutItemRequest) else write.key))
    condition = write.options.condition
    if condition is not None:
        content += [encode(condition.tree), _ordered(condition.values), write.options.returns_on_failure]
    if isinstance(write, UpdateItemRequest) and write.update is not None:
        content += [encode(write.update.tree), _ordered(write.update.values)]
    return content


def _ordered(item: Item) -> Item:
    """The item with the members of its sets in order."""
    return {name: value if "S" in value else _ordered_value(value) for name, value in item.items()}


def _ordered_value(value: AttributeValue) -> AttributeValue:
    ((kind, content),) = value.items()
    if kind in ("SS", "NS", "BS"):
        return {kind: sorted(content)}
    if kind == "M":
        return {kind: _ordered(content)}
    if kind == "L":
        return {kind: [_ordered_value(each) for each in content]}
    return value


_read = reader(TRANSACT_WRITE_ITEMS, _build)
