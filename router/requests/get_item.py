"""GetItem: reads the item under a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.members import check_members, member, required
from server.model.item import Item, check_item
from server.model.table import check_table_name

_SUPPORTED = frozenset({"TableName", "Key", "ConsistentRead"})


class GetItemRequest(NamedTuple):
    """`is_consistent`: the read reflects every write acknowledged before it began."""

    table_name: str
    key: Item
    is_consistent: bool


def from_json(body: Mapping[str, Any]) -> GetItemRequest:
    """The request of a JSON body. Raises ValidationError or SerializationError."""
    check_members(body, "GetItem", _SUPPORTED)
    table_name = check_table_name(required(body, "TableName", str))
    key, _ = check_item(required(body, "Key", dict), is_json=True)
    return GetItemRequest(table_name, key, bool(member(body, "ConsistentRead", bool)))


def from_model(table_name: str, key: Item, is_consistent: bool) -> GetItemRequest:
    """The request of a message. Raises ValidationError or SerializationError."""
    return GetItemRequest(check_table_name(table_name), check_item(key)[0], is_consistent)
