"""BatchWriteItem: up to 25 puts and deletes, each by itself; not a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.requests.delete_item import DeleteItemRequest
from router.requests.members import check_members, required
from router.requests.put_item import PutItemRequest
from server.model.errors import SerializationError, ValidationError
from server.model.item import Item, check_item
from server.model.limits import BATCH_WRITE_REQUESTS_MAX
from server.model.table import check_table_name

_SUPPORTED = frozenset({"RequestItems"})
Write = PutItemRequest | DeleteItemRequest


@dataclass(frozen=True, slots=True)
class BatchWriteItemRequest:
    """The writes, in the order given."""

    writes: tuple[Write, ...]


def from_json(body: Mapping[str, Any]) -> BatchWriteItemRequest:
    """The request of a JSON body. Raises ValidationError or SerializationError."""
    check_members(body, "BatchWriteItem", _SUPPORTED)
    tables = required(body, "RequestItems", dict)
    count = sum(len(requests) for requests in tables.values() if isinstance(requests, list))
    _check_count(count)
    writes: list[Write] = []
    for table_name, requests in tables.items():
        check_table_name(table_name)
        if not isinstance(requests, list):
            raise SerializationError("RequestItems must map table names to lists")
        if not requests:
            raise ValidationError("The batch write request list for a table cannot be null or empty")
        writes.extend(_write(table_name, request) for request in requests)
    return BatchWriteItemRequest(tuple(writes))


def _write(table_name: str, request: Any) -> Write:
    if not isinstance(request, dict):
        raise SerializationError("a write request must be a map")
    given = {name: content for name, content in request.items() if content is not None}
    if given.keys() == {"PutRequest"}:
        content, name = given["PutRequest"], "Item"
    elif given.keys() == {"DeleteRequest"}:
        content, name = given["DeleteRequest"], "Key"
    else:
        raise ValidationError(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
            "datatypes: a write request is either a PutRequest or a DeleteRequest"
        )
    if not isinstance(content, dict):
        raise SerializationError(f"{next(iter(given))} must be a map")
    check_members(content, "a write request", frozenset({name}))
    checked, _ = check_item(required(content, name, dict), is_json=True)
    return PutItemRequest(table_name, checked) if name == "Item" else DeleteItemRequest(table_name, checked)


def from_model(writes: Sequence[tuple[str, Item, bool]]) -> BatchWriteItemRequest:
    """The request of a message: (table name, item or key, whether it is a put). Raises ValidationError."""
    _check_count(len(writes))
    checked: list[Write] = []
    for table_name, item, is_put in writes:
        check_table_name(table_name)
        content, _ = check_item(item)
        checked.append(PutItemRequest(table_name, content) if is_put else DeleteItemRequest(table_name, content))
    return BatchWriteItemRequest(tuple(checked))


def _check_count(count: int) -> None:
    if count == 0:
        raise ValidationError("The batch write request list for a table cannot be null or empty")
    if count > BATCH_WRITE_REQUESTS_MAX:
        raise ValidationError("Too many items requested for the BatchWriteItem call")


def check_distinct(keys: Sequence[tuple[str, bytes]]) -> None:
    """That no (table, range position) occurs twice. Raises ValidationError."""
    if len(set(keys)) != len(keys):
        raise ValidationError("Provided list of item keys contains duplicates")
