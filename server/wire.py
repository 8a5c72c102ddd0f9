"""Messages <-> model, the only place: items as protobuf bytes, as the model's dictionaries, as DynamoDB's JSON."""

from __future__ import annotations

import base64
from typing import Any

from statorpb import item_pb2, items_pb2

from server.model.errors import (
    CancellationReason,
    ConditionalCheckFailedError,
    StatorError,
    TransactionCanceledError,
    error_by_code,
)
from server.model.item import AttributeValue, Item


def item_to_bytes(item: Item) -> bytes:
    """An item's canonical form: serialized stator.v1.Item with its map keys in order."""
    message = item_pb2.Item()
    attributes = message.attributes
    for name, value in item.items():
        text = value.get("S")
        if text is None:
            put_value(attributes[name], value)
        else:
            attributes[name].s = text  # what most values are
    return message.SerializeToString(deterministic=True)


def put_value(target: item_pb2.AttributeValue, value: AttributeValue) -> None:
    """Puts a value of the model into an empty message."""
    ((kind, content),) = value.items()
    if kind == "S":
        target.s = content
    elif kind == "N":
        target.n = content
    elif kind == "B":
        target.b = content
    elif kind == "BOOL":
        target.boolean = content
    elif kind == "NULL":
        target.null = True
    elif kind == "M":
        target.m.SetInParent()
        entries = target.m.entries
        for name, each in content.items():
            put_value(entries[name], each)
    elif kind == "L":
        target.l.SetInParent()
        values = target.l.values
        for each in content:
            put_value(values.add(), each)
    elif kind == "SS":
        target.ss.values.extend(content)
    elif kind == "NS":
        target.ns.values.extend(content)
    else:
        target.bs.values.extend(content)


def item_from_message(message: item_pb2.Item) -> Item:
    """A public message's item, unchecked: a value without content becomes an empty map, which the model refuses."""
    return _attributes(message, is_json=False)


def _attributes(message: item_pb2.Item, *, is_json: bool) -> Item:
    # Most values are text, and looking at the text costs less than asking of which kind a value is.
    # `items()` of a message's map is a generator in Python; its look-up is not.
    attributes = message.attributes
    item: Item = {}
    for name in attributes:
        value = attributes[name]
        text = value.s
        item[name] = {"S": text} if text else _value(value, is_json=is_json)
    return item


def item_from_bytes(data: bytes) -> Item:
    """An item in canonical form, as the model has it."""
    return item_from_message(item_pb2.Item.FromString(data))


def item_bytes_to_json(data: bytes) -> dict[str, Any]:
    """An item in canonical form, as DynamoDB's JSON has it (binary values as base64 text)."""
    return _attributes(item_pb2.Item.FromString(data), is_json=True)


def item_to_json(item: Item) -> dict[str, Any]:
    """A model's item as DynamoDB's JSON has it."""
    return item_bytes_to_json(item_to_bytes(item))


def _value(message: item_pb2.AttributeValue, *, is_json: bool) -> AttributeValue:
    kind = message.WhichOneof("value")
    if kind == "s":
        return {"S": message.s}
    if kind == "n":
        return {"N": message.n}
    if kind == "b":
        return {"B": _binary(message.b) if is_json else message.b}
    if kind == "boolean":
        return {"BOOL": message.boolean}
    if kind == "null":
        return {"NULL": message.null}
    if kind == "m":
        return {"M": {name: _value(each, is_json=is_json) for name, each in message.m.entries.items()}}
    if kind == "l":
        return {"L": [_value(each, is_json=is_json) for each in message.l.values]}
    if kind == "ss":
        return {"SS": list(message.ss.values)}
    if kind == "ns":
        return {"NS": list(message.ns.values)}
    if kind == "bs":
        return {"BS": [_binary(each) if is_json else each for each in message.bs.values]}
    return {}


def _binary(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def error_to_message(error: StatorError) -> items_pb2.Error:
    """An error as the public API has it."""
    message = items_pb2.Error(
        code=error.code,
        message=error.message,
        retriable=error.is_retriable,
        not_carried_out=error.is_not_carried_out,
    )
    if isinstance(error, ConditionalCheckFailedError) and error.item is not None:
        message.item = error.item
    if isinstance(error, TransactionCanceledError):
        for reason in error.reasons:
            message.cancellation_reasons.add(code=reason.code, message=reason.message, item=reason.item)
    return message


def error_from_message(message: items_pb2.Error) -> StatorError:
    """The model's error of a public one."""
    if message.code == TransactionCanceledError.code:
        return TransactionCanceledError(
            [
                CancellationReason(reason.code, reason.message, reason.item if reason.HasField("item") else None)
                for reason in message.cancellation_reasons
            ]
        )
    error = error_by_code(message.code)(message.message)
    if isinstance(error, ConditionalCheckFailedError) and message.HasField("item"):
        error.item = message.item
    error.is_not_carried_out = message.not_carried_out
    return error


__all__ = [
    "error_from_message",
    "error_to_message",
    "item_bytes_to_json",
    "item_from_bytes",
    "item_from_message",
    "item_to_bytes",
    "item_to_json",
    "put_value",
]
