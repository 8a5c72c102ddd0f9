"""TransactGetItems: up to 100 items as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.expression_parameters import Parameters, read_placeholders, read_projection
from router.requests.get_item import GetItemRequest
from router.requests.operation_shapes import TRANSACT_GET_ITEMS
from router.requests.reading import reader, table_name_of
from router.requests.transactions import check_names
from server.model.item import check_item

_PARAMETERS = Parameters(("ProjectionExpression",), ())


@dataclass(frozen=True, slots=True)
class TransactGetItemsRequest:
    """The reads, in the order given. `capacity`: NONE, TOTAL or INDEXES."""

    reads: tuple[GetItemRequest, ...]
    capacity: str = "NONE"


def from_body(body: Mapping[str, Any], *, is_json: bool) -> TransactGetItemsRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> TransactGetItemsRequest:
    members = body["TransactItems"]
    check_names(members)
    reads = tuple([_read_of(member["Get"], is_json) for member in members])
    return TransactGetItemsRequest(reads, body.get("ReturnConsumedCapacity", "NONE"))


def _read_of(body: Mapping[str, Any], is_json: bool) -> GetItemRequest:
    _PARAMETERS.check_together(body)
    key, _ = check_item(body["Key"], is_json=is_json)
    placeholders = read_placeholders(body, is_json)
    projection = read_projection(body, placeholders)
    placeholders.check_all_used()
    return GetItemRequest(table_name_of(body["TableName"]), key, True, projection)


_read = reader(TRANSACT_GET_ITEMS, _build)
