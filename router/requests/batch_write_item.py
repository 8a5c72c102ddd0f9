"""BatchWriteItem: up to 25 puts and deletes, each by itself; not a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.requests.delete_item import DeleteItemRequest
from router.requests.operation_shapes import BATCH_WRITE_ITEM
from router.requests.put_item import PutItemRequest
from router.requests.reading import reader, table_name_of
from server.model.errors import ValidationError
from server.model.item import check_item
from server.model.limits import BATCH_WRITE_REQUESTS_MAX

Write = PutItemRequest | DeleteItemRequest

_NOT_ONE = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)
"""DynamoDB's words for a write request that is neither, or both."""


@dataclass(frozen=True, slots=True)
class BatchWriteItemRequest:
    """The writes, in the order given. `capacity`: NONE, TOTAL or INDEXES; `metrics`: the sizes of item collections."""

    writes: tuple[Write, ...]
    capacity: str = "NONE"
    metrics: bool = False


def from_body(body: Mapping[str, Any], *, is_json: bool) -> BatchWriteItemRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> BatchWriteItemRequest:
    tables = body["RequestItems"]
    if not tables:
        raise ValidationError("The requestItems parameter is required for BatchWriteItem")
    names = [table_name_of(name) for name in tables]
    if sum(map(len, tables.values())) > BATCH_WRITE_REQUESTS_MAX:
        raise ValidationError("Too many items requested for the BatchWriteItem call")
    writes = [
        _write(name, request, is_json)
        for name, requests in zip(names, tables.values(), strict=True)
        for request in requests
    ]
    return BatchWriteItemRequest(
        tuple(writes), body.get("ReturnConsumedCapacity", "NONE"), body.get("ReturnItemCollectionMetrics") == "SIZE"
    )


def _write(table_name: str, request: Mapping[str, Any], is_json: bool) -> Write:
    if len(request) != 1:
        raise ValidationError(_NOT_ONE)
    put = request.get("PutRequest")
    if put is not None:
        return PutItemRequest(table_name, check_item(put["Item"], is_json=is_json)[0])
    return DeleteItemRequest(table_name, check_item(request["DeleteRequest"]["Key"], is_json=is_json)[0])


def check_distinct(keys: Sequence[tuple[str, bytes]]) -> None:
    """That no (table, range position) occurs twice. Raises ValidationError."""
    if len(set(keys)) != len(keys):
        raise ValidationError("Provided list of item keys contains duplicates")


_read = reader(BATCH_WRITE_ITEM, _build)
