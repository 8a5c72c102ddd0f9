"""BatchGetItem: up to 100 reads, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.requests.expression_parameters import (
    Parameters,
    check_attributes_to_get,
    read_placeholders,
    read_projection,
)
from router.requests.get_item import GetItemRequest
from router.requests.operation_shapes import BATCH_GET_ITEM
from router.requests.reading import reader, table_name_of
from server.model.errors import ValidationError
from server.model.item import check_item
from server.model.limits import BATCH_GET_KEYS_MAX

_ASKED = frozenset({"ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames", "AttributesToGet"})
_PARAMETERS = Parameters(("ProjectionExpression",), ("AttributesToGet",))


@dataclass(frozen=True, slots=True)
class BatchGetItemRequest:
    """The reads, in the order given. `capacity`: NONE, TOTAL or INDEXES. `asked`: by table, how its items were asked
    for: the members of the request beside its keys, for what is to be asked again."""

    reads: tuple[GetItemRequest, ...]
    capacity: str = "NONE"
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def from_body(body: Mapping[str, Any], *, is_json: bool) -> BatchGetItemRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> BatchGetItemRequest:
    tables = body["RequestItems"]
    if not tables:
        raise ValidationError("The requestItems parameter is required for BatchGetItem")
    names = [table_name_of(name) for name in tables]
    _PARAMETERS.check_together(*tables.values())
    reads: list[GetItemRequest] = []
    for name, request in zip(names, tables.values(), strict=True):
        check_attributes_to_get(request.get("AttributesToGet"))
        placeholders = read_placeholders(request, is_json)
        projection = read_projection(request, placeholders)
        placeholders.check_all_used()
        is_consistent = request.get("ConsistentRead", False)
        for key in request["Keys"]:
            reads.append(GetItemRequest(name, check_item(key, is_json=is_json)[0], is_consistent, projection))
            if len(reads) > BATCH_GET_KEYS_MAX:
                raise ValidationError("Too many items requested for the BatchGetItem call")
    asked = {
        name: {member: value for member, value in request.items() if member in _ASKED and value is not None}
        for name, request in zip(names, tables.values(), strict=True)
    }
    return BatchGetItemRequest(tuple(reads), body.get("ReturnConsumedCapacity", "NONE"), asked)


_read = reader(BATCH_GET_ITEM, _build)
