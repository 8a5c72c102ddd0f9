"""BatchGetItem: up to 100 reads, each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.requests.get_item import GetItemRequest
from router.requests.members import check_members, member, required
from server.model.errors import SerializationError, ValidationError
from server.model.item import Item, check_item
from server.model.limits import BATCH_GET_KEYS_MAX
from server.model.table import check_table_name

_SUPPORTED = frozenset({"RequestItems"})
_TABLE_SUPPORTED = frozenset({"Keys", "ConsistentRead"})


@dataclass(frozen=True, slots=True)
class BatchGetItemRequest:
    """The reads, in the order given."""

    reads: tuple[GetItemRequest, ...]


def from_json(body: Mapping[str, Any]) -> BatchGetItemRequest:
    """The request of a JSON body. Raises ValidationError or SerializationError."""
    check_members(body, "BatchGetItem", _SUPPORTED)
    tables = required(body, "RequestItems", dict)
    reads: list[GetItemRequest] = []
    for table_name, request in tables.items():
        check_table_name(table_name)
        if not isinstance(request, dict):
            raise SerializationError("RequestItems must map table names to maps")
        check_members(request, "BatchGetItem", _TABLE_SUPPORTED)
        keys = required(request, "Keys", list)
        is_consistent = bool(member(request, "ConsistentRead", bool))
        _check_count(len(reads) + len(keys))
        reads.extend(GetItemRequest(table_name, check_item(key, is_json=True)[0], is_consistent) for key in keys)
    _check_any(reads)
    return BatchGetItemRequest(tuple(reads))


def from_model(reads: Sequence[tuple[str, Item, bool]]) -> BatchGetItemRequest:
    """The request of a message: (table name, key, whether consistent). Raises ValidationError."""
    _check_count(len(reads))
    checked = [GetItemRequest(check_table_name(name), check_item(key)[0], is_ok) for name, key, is_ok in reads]
    _check_any(checked)
    return BatchGetItemRequest(tuple(checked))


def _check_count(count: int) -> None:
    if count > BATCH_GET_KEYS_MAX:
        raise ValidationError("Too many items requested for the BatchGetItem call")


def _check_any(reads: Sequence[GetItemRequest]) -> None:
    if not reads:
        raise ValidationError("The list of keys in BatchGetItem is required and cannot be empty")
