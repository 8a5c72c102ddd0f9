"""GetItem: reads the item under a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.expression_parameters import (
    Parameters,
    check_attributes_to_get,
    read_placeholders,
    read_projection,
)
from router.requests.operation_shapes import GET_ITEM
from router.requests.reading import reader, table_name_of
from server.expressions.expression import Projection
from server.model.errors import StatorError
from server.model.item import Item, check_item

_PARAMETERS = Parameters(("ProjectionExpression",), ("AttributesToGet",))
_PLAIN = frozenset({"TableName", "Key", "ConsistentRead"})


class GetItemRequest(NamedTuple):
    """`is_consistent`: the read reflects every write acknowledged before it began. `projection` None: all of the item.
    `capacity`: NONE, TOTAL or INDEXES."""

    table_name: str
    key: Item
    is_consistent: bool
    projection: Projection | None = None
    capacity: str = "NONE"


def from_body(body: Mapping[str, Any], *, is_json: bool) -> GetItemRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    consistent = body.get("ConsistentRead", False)
    if type(name := body.get("TableName")) is str and type(consistent) is bool and body.keys() <= _PLAIN:
        try:
            return GetItemRequest(table_name_of(name), check_item(body["Key"], is_json=is_json)[0], consistent)
        except (StatorError, KeyError):
            pass  # the reader knows what to say
    return _read(body, is_json)


def plain(table_name: str, key: Item, *, is_consistent: bool) -> GetItemRequest:
    """The request of nothing but these, as `from_body` makes it of a body (in model form)."""
    try:
        return GetItemRequest(table_name_of(table_name), check_item(key)[0], is_consistent)
    except StatorError:
        return _read({"TableName": table_name, "Key": key, "ConsistentRead": is_consistent}, False)


def _build(body: Mapping[str, Any], is_json: bool) -> GetItemRequest:
    table_name = table_name_of(body["TableName"])
    _PARAMETERS.check_together(body)
    key, _ = check_item(body["Key"], is_json=is_json)
    check_attributes_to_get(body.get("AttributesToGet"))
    placeholders = read_placeholders(body, is_json)
    projection = read_projection(body, placeholders)
    placeholders.check_all_used()
    return GetItemRequest(
        table_name, key, body.get("ConsistentRead", False), projection, body.get("ReturnConsumedCapacity", "NONE")
    )


_read = reader(GET_ITEM, _build)
