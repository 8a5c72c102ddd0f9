"""What Query and Scan have in common: where they begin, and what of the items they return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.model.errors import ValidationError
from server.model.item import Item, check_item

_SAID_ALONE = (
    "contains duplicates",
    "number set",
    "numeric value",
    "significant digits",
    "number with magnitude",
)
"""What DynamoDB says of a start key's values without saying where they are."""


def check_select(body: Mapping[str, Any]) -> None:
    """That Select agrees with what else says what to return. Raises ValidationError."""
    select = body.get("Select")
    if select is None:
        return
    projecting = [name for name in ("AttributesToGet", "ProjectionExpression") if body.get(name) is not None]
    if select == "SPECIFIC_ATTRIBUTES":
        if not projecting:
            raise ValidationError(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
            )
        return
    if projecting:
        what = "only the Count" if select == "COUNT" else select
        raise ValidationError(f"Cannot specify the {projecting[0]} when choosing to get {what}")
    if select == "ALL_PROJECTED_ATTRIBUTES" and body.get("IndexName") is None:
        raise ValidationError("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")


def read_start_key(body: Mapping[str, Any], is_json: bool) -> Item | None:
    """ExclusiveStartKey; None: from the beginning. Raises ValidationError."""
    key = body.get("ExclusiveStartKey")
    if key is None:
        return None
    try:
        return check_item(key, is_json=is_json)[0]
    except ValidationError as error:
        if any(phrase in error.message for phrase in _SAID_ALONE):
            raise
        raise ValidationError(f"The provided starting key is invalid: {error.message}") from error
