"""A write's options, and what is refused until somebody carries it out."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import delete_item, put_item
from router.requests.options import PLAIN, WriteOptions
from server.expressions.legacy import expected_condition

KEY = {"pk": {"S": "a"}}
EXPECTED = {"a": {"Exists": False}}
CONDITION = expected_condition(EXPECTED, None)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"ReturnValues": "NONE", "ReturnConsumedCapacity": "NONE", "ReturnItemCollectionMetrics": "NONE"}, PLAIN),
        ({"ReturnValuesOnConditionCheckFailure": "NONE", "Expected": {}}, PLAIN),
        ({"ReturnValues": "ALL_OLD"}, WriteOptions(return_values="ALL_OLD")),
        ({"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}, WriteOptions(returns_on_failure=True)),
        ({"ReturnConsumedCapacity": "INDEXES"}, WriteOptions(capacity="INDEXES")),
        ({"ReturnItemCollectionMetrics": "SIZE"}, WriteOptions(metrics=True)),
        ({"Expected": EXPECTED}, WriteOptions(CONDITION)),
        ({"ConditionExpression": "attribute_not_exists(a)"}, WriteOptions(CONDITION)),
    ],
)
def test_the_options_of_a_write(change: dict[str, Any], options: WriteOptions) -> None:
    """The same for a put and for a delete; a legacy condition and an expression make the same tree."""
    assert put_item.from_body({"TableName": "music", "Item": KEY} | change, is_json=True).options == options
    assert delete_item.from_body({"TableName": "music", "Key": KEY} | change, is_json=True).options == options
