"""What a write may ask for beyond the item: a condition, and what to be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.requests.expression_parameters import read_condition, with_values
from server.expressions.expression import Condition
from server.expressions.legacy import expected_condition
from server.expressions.placeholders import Placeholders
from server.model.errors import ValidationError


class WriteOptions(NamedTuple):
    """`condition` None: unconditional. `returns_on_failure`: the item as it was, if the condition does not hold.
    `capacity`: NONE, TOTAL or INDEXES. `metrics`: the size of the item collection."""

    condition: Condition | None = None
    return_values: str = "NONE"
    returns_on_failure: bool = False
    capacity: str = "NONE"
    metrics: bool = False


PLAIN = WriteOptions()


def check_return_values(body: Mapping[str, Any]) -> None:
    """That a put or a delete asks for the old item or for nothing. Raises ValidationError."""
    if body.get("ReturnValues") not in (None, "NONE", "ALL_OLD"):
        raise ValidationError("ReturnValues can only be ALL_OLD or NONE")


def read_expected(body: Mapping[str, Any], is_json: bool) -> Condition | None:
    """The condition of Expected and ConditionalOperator; None: none is given. Raises ValidationError."""
    expected = body.get("Expected")
    if expected is None:
        return None
    return expected_condition(with_values(expected, is_json), body.get("ConditionalOperator"))


def read_options(body: Mapping[str, Any], expected: Condition | None, placeholders: Placeholders) -> WriteOptions:
    """The options of a write; `expected`: its condition, if it has a legacy one. Raises ValidationError."""
    return WriteOptions(
        condition=read_condition(body, "ConditionExpression", placeholders) or expected,
        return_values=body.get("ReturnValues", "NONE"),
        returns_on_failure=body.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD",
        capacity=body.get("ReturnConsumedCapacity", "NONE"),
        metrics=body.get("ReturnItemCollectionMetrics") == "SIZE",
    )
