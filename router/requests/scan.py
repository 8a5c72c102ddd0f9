"""Scan: a page of a table's items, in the order of their keys' hashes, or of an index's."""

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
from router.requests.operation_shapes import SCAN
from router.requests.pages import check_select, read_start_key
from router.requests.reading import reader, table_name_of
from server.expressions.expression import Condition, Projection
from server.expressions.legacy import filter_condition
from server.model.errors import ValidationError
from server.model.item import Item

_PARAMETERS = Parameters(
    ("ProjectionExpression", "FilterExpression"), ("AttributesToGet", "ScanFilter", "ConditionalOperator"), "ScanFilter"
)


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """`limit`: items that are looked at, at most; 0: as many as 1 MB holds. `start_key` None: from the beginning.

    `select`: ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES, SPECIFIC_ATTRIBUTES, COUNT, or empty where it was not given.
    `segment` of `total_segments`: both 0 where the scan is not one of several. `filter`, `projection` None: none.
    `capacity`: NONE, TOTAL or INDEXES."""

    table_name: str
    limit: int
    start_key: Item | None
    is_consistent: bool
    index_name: str | None = None
    filter: Condition | None = None
    projection: Projection | None = None
    select: str = ""
    segment: int = 0
    total_segments: int = 0
    capacity: str = "NONE"


def from_body(body: Mapping[str, Any], *, is_json: bool) -> ScanRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    return _read(body, is_json)


def _build(body: Mapping[str, Any], is_json: bool) -> ScanRequest:
    table_name = table_name_of(body["TableName"])
    _PARAMETERS.check_together(body)
    check_attributes_to_get(body.get("AttributesToGet"))
    check_select(body)
    conditions = body.get("ScanFilter")
    filter_ = None
    if conditions is not None:
        filter_ = filter_condition(with_values(conditions, is_json), body.get("ConditionalOperator"), "ScanFilter")
    start_key = read_start_key(body, is_json)
    segment, total_segments = _segments(body)
    placeholders = read_placeholders(body, is_json)
    filter_ = read_condition(body, "FilterExpression", placeholders) or filter_
    projection = read_projection(body, placeholders)
    placeholders.check_all_used()
    return ScanRequest(
        table_name,
        body.get("Limit", 0),
        start_key,
        body.get("ConsistentRead", False),
        body.get("IndexName"),
        filter_,
        projection,
        body.get("Select", ""),
        segment,
        total_segments,
        body.get("ReturnConsumedCapacity", "NONE"),
    )


def _segments(body: Mapping[str, Any]) -> tuple[int, int]:
    segment, total = body.get("Segment"), body.get("TotalSegments")
    if segment is None and total is None:
        return 0, 0
    if total is None:
        raise ValidationError(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is "
            "present"
        )
    if segment is None:
        raise ValidationError(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is "
            "present"
        )
    if segment >= total:
        raise ValidationError(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return segment, total


_read = reader(SCAN, _build)
