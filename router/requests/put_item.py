"""PutItem: stores a whole item under its key, in place of whatever was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.members import check_members, required
from server.model.item import Item, check_item
from server.model.table import check_table_name

_SUPPORTED = frozenset({"TableName", "Item"})


class PutItemRequest(NamedTuple):
    """`item` has been checked by itself; its key is checked against the table's schema when it is routed."""

    table_name: str
    item: Item


def from_json(body: Mapping[str, Any]) -> PutItemRequest:
    """The request of a JSON body. Raises ValidationError or SerializationError."""
    check_members(body, "PutItem", _SUPPORTED)
    table_name = check_table_name(required(body, "TableName", str))
    item, _ = check_item(required(body, "Item", dict), is_json=True)
    return PutItemRequest(table_name, item)


def from_model(table_name: str, item: Item) -> PutItemRequest:
    """The request of a message. Raises ValidationError or SerializationError."""
    return PutItemRequest(check_table_name(table_name), check_item(item)[0])
