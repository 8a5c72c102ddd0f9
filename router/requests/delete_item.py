"""DeleteItem: removes the item under a key, if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.members import check_members, required
from server.model.item import Item, check_item
from server.model.table import check_table_name

_SUPPORTED = frozenset({"TableName", "Key"})


class DeleteItemRequest(NamedTuple):
    """Deletes what is under `key`."""

    table_name: str
    key: Item


def from_json(body: Mapping[str, Any]) -> DeleteItemRequest:
    """The request of a JSON body. Raises ValidationError or SerializationError."""
    check_members(body, "DeleteItem", _SUPPORTED)
    table_name = check_table_name(required(body, "TableName", str))
    key, _ = check_item(required(body, "Key", dict), is_json=True)
    return DeleteItemRequest(table_name, key)


def from_model(table_name: str, key: Item) -> DeleteItemRequest:
    """The request of a message. Raises ValidationError or SerializationError."""
    return DeleteItemRequest(check_table_name(table_name), check_item(key)[0])
