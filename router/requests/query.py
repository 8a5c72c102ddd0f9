"""Query: a page of the items that share a partition key, in the order of their sort keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.expression_parameters import (
    Parameters,
    check_attributes_to_get,
    read_condition,
    read_placeholders,
    read_projection,
    with_values,
)
from router.requests.operation_shapes import QUERY
from router.requests.pages import check_select, read_start_key
from router.requests.reading import reader, table_name_of
from server.expressions.expression import Condition, Projection
from server.expressions.key_condition import check_count, conditions_by_key
from server.expressions.legacy import filter_condition, legacy_conditions_by_key
from server.model.errors import ValidationError
from server.model.item import Item
from server.model.limits import INDEX_KEYS_MAX

_PARAMETERS = Parameters(
    ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"),
    ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"),
    "QueryFilter",
)


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """Exactly one of `key_condition` and `key_conditions` (KeyConditions, its values in model form) is given.

    `limit`: items that are looked at, at most; 0: as many as 1 MB holds. `start_key` None: from the beginning.
    `select`: ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES, SPECIFIC_ATTRIBUTES, COUNT, or empty where it was not given.
    `filter`, `projection` None: none. `capacity`: NONE, TOTAL or INDEXES."""

    table_name: str
    index_name: str | None
    key_condition: Condition | None
    key_conditions: Mapping[str, Any] | None
    filter: Condition | None
    projection: Projection | None
    select: str
    limit: int
    start_key: Item | None
    is_forward: bool
    is_consistent: bool
    capacity: str


def from_body(body: Mapping[str, Any], *, is_json: bool) -> QueryRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> QueryRequest:
    table_name = table_name_of(body["TableName"])
    _PARAMETERS.check_together(body)
    check_attributes_to_get(body.get("AttributesToGet"))
    check_select(body)
    conditions = body.get("QueryFilter")
    filter_ = None
    if conditions is not None:
        filter_ = filter_condition(with_values(conditions, is_json), body.get("ConditionalOperator"), "QueryFilter")
    start_key = read_start_key(body, is_json)
    key_conditions = body.get("KeyConditions")
    if key_conditions is None and body.get("KeyConditionExpression") is None:
        raise ValidationError(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
        )
    placeholders = read_placeholders(body, is_json)
    key_condition = read_condition(body, "KeyConditionExpression", placeholders)
    filter_ = read_condition(body, "FilterExpression", placeholders) or filter_
    projection = read_projection(body, placeholders)
    placeholders.check_all_used()
    # The keys are not known here; that these could be conditions on keys is.
    keys_max = 2 if body.get("IndexName") is None else INDEX_KEYS_MAX
    if key_condition is not None:
        check_count(conditions_by_key(key_condition), keys_max)
    if key_conditions is not None:
        key_conditions = with_values(key_conditions, is_json)
        check_count(legacy_conditions_by_key(key_conditions), keys_max)
    return QueryRequest(
        table_name,
        body.get("IndexName"),
        key_condition,
        key_conditions,
        filter_,
        projection,
        body.get("Select", ""),
        body.get("Limit", 0),
        start_key,
        body.get("ScanIndexForward", True),
        body.get("ConsistentRead", False),
        body.get("ReturnConsumedCapacity", "NONE"),
    )


_read = reader(QUERY, _build)
