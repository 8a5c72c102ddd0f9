"""A write's options, and what is refused until somebody carries it out."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import delete_item, put_item
from router.requests.batch_get_item import BatchGetItemRequest
from router.requests.batch_write_item import BatchWriteItemRequest
from router.requests.get_item import GetItemRequest
from router.requests.options import PLAIN, WriteOptions, refuse_unsupported
from router.requests.put_item import PutItemRequest
from router.requests.scan import ScanRequest
from server.expressions.legacy import attributes_to_get, expected_condition
from tests.router.requests.failing import refusal

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


PUT = PutItemRequest("music", KEY)
GET = GetItemRequest("music", KEY, False)
SCAN = ScanRequest("music", 0, None, False)


@pytest.mark.parametrize(
    "request_",
    [PUT, GET, SCAN, ScanRequest("music", 0, None, False, select="ALL_ATTRIBUTES"), BatchGetItemRequest((GET,))],
)
def test_what_asks_for_nothing_more(request_: Any) -> None:
    """Is carried out."""
    refuse_unsupported(request_)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (PUT._replace(options=WriteOptions(CONDITION)), "ConditionExpression of PutItem"),
        (PUT._replace(options=WriteOptions(return_values="ALL_OLD")), "ReturnValues of PutItem"),
        (PUT._replace(options=WriteOptions(capacity="TOTAL")), "ReturnConsumedCapacity of PutItem"),
        (GET._replace(projection=attributes_to_get(["a"])), "ProjectionExpression of GetItem"),
        (ScanRequest("music", 0, None, False, "by-year"), "IndexName of Scan"),
        (ScanRequest("music", 0, None, False, select="COUNT"), "Select of Scan"),
        (ScanRequest("music", 0, None, False, segment=0, total_segments=2), "TotalSegments of Scan"),
        (BatchWriteItemRequest((PUT,), metrics=True), "ReturnItemCollectionMetrics of BatchWriteItem"),
        (
            BatchGetItemRequest((GET, GET._replace(projection=attributes_to_get(["a"])))),
            "ProjectionExpression of BatchGetItem",
        ),
    ],
)
def test_what_nobody_carries_out_yet(request_: Any, name: str) -> None:
    """Is refused by its name."""
    assert refusal(refuse_unsupported, request_) == (
        "ValidationException",
        f"The parameter {name} is not supported yet",
    )
