"""Scan: a page of a table's items, in the order of their keys' hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.members import check_members, member, required
from server.model.errors import ValidationError
from server.model.item import Item, check_item
from server.model.table import check_table_name

_SUPPORTED = frozenset({"TableName", "Limit", "ExclusiveStartKey", "ConsistentRead"})
_LIMIT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """`limit`: items on the page at most, 0: as many as 1 MB holds. `start_key` None: from the beginning."""

    table_name: str
    limit: int
    start_key: Item | None
    is_consistent: bool


def from_json(body: Mapping[str, Any]) -> ScanRequest:
    """The request of a JSON body. Raises ValidationError or SerializationError."""
    check_members(body, "Scan", _SUPPORTED)
    table_name = check_table_name(required(body, "TableName", str))
    limit = member(body, "Limit", int)
    if limit is not None and not 1 <= limit <= _LIMIT_MAX:
        relation = "greater than or equal to 1" if limit < 1 else f"less than or equal to {_LIMIT_MAX}"
        raise ValidationError(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            f"Member must have value {relation}"
        )
    start = member(body, "ExclusiveStartKey", dict)
    start_key = check_item(start, is_json=True)[0] if start is not None else None
    return ScanRequest(table_name, limit or 0, start_key, bool(member(body, "ConsistentRead", bool)))


def from_model(table_name: str, limit: int, start_key: Item | None, is_consistent: bool) -> ScanRequest:
    """The request of a message. Raises ValidationError or SerializationError."""
    checked = check_item(start_key)[0] if start_key is not None else None
    return ScanRequest(check_table_name(table_name), limit, checked, is_consistent)
