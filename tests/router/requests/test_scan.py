"""Scan: a limit, a key to go on after, and nothing that filters yet."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import scan
from router.requests.scan import ScanRequest
from tests.router.requests.failing import EMPTY_VALUE, NAME_LENGTH, NULL_MEMBER, refusal

KEY = {"pk": {"S": "a"}}
LIMIT = "1 validation error detected: Value '{}' at 'limit' failed to satisfy constraint: Member must have value {}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ScanRequest("music", 0, None, False)),
        ({"Limit": 1}, ScanRequest("music", 1, None, False)),
        ({"Limit": 2**31 - 1}, ScanRequest("music", 2**31 - 1, None, False)),
        ({"ExclusiveStartKey": KEY, "ConsistentRead": True}, ScanRequest("music", 0, KEY, True)),
    ],
)
def test_a_request(change: dict[str, Any], expected: ScanRequest) -> None:
    """Without a limit it is as many as 1 MB holds; without a start it begins at the beginning."""
    assert scan.from_json({"TableName": "music"} | change) == expected
    assert scan.from_model("music", expected.limit, expected.start_key, expected.is_consistent) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("ValidationException", NULL_MEMBER.format("tableName"))),
        ({"TableName": "a"}, ("ValidationException", NAME_LENGTH)),
        ({"Limit": 0}, ("ValidationException", LIMIT.format(0, "greater than or equal to 1"))),
        ({"Limit": -5}, ("ValidationException", LIMIT.format(-5, "greater than or equal to 1"))),
        ({"Limit": 2**31}, ("ValidationException", LIMIT.format(2**31, "less than or equal to 2147483647"))),
        ({"Limit": "7"}, ("SerializationException", "Limit must be an integer")),
        ({"Limit": True}, ("SerializationException", "Limit must be an integer")),
        ({"ExclusiveStartKey": []}, ("SerializationException", "ExclusiveStartKey must be a map")),
        ({"ExclusiveStartKey": {"pk": {}}}, ("ValidationException", EMPTY_VALUE)),
        (
            {"FilterExpression": "a"},
            ("ValidationException", "The parameter FilterExpression of Scan is not supported yet"),
        ),
        ({"Segment": 0}, ("ValidationException", "The parameter Segment of Scan is not supported yet")),
        ({"Select": "COUNT"}, ("ValidationException", "The parameter Select of Scan is not supported yet")),
    ],
)
def test_what_is_refused(body: dict[str, Any], expected: tuple[str, str]) -> None:
    """A limit that no page can have, a start that is no key, and what would have to be ignored."""
    assert refusal(scan.from_json, ({"TableName": "music"} if body else {}) | body) == expected


def test_messages_are_checked_alike() -> None:
    """The name and the key."""
    assert refusal(scan.from_model, "a", 0, None, False) == ("ValidationException", NAME_LENGTH)
    assert refusal(scan.from_model, "music", 0, {"pk": {}}, False) == ("ValidationException", EMPTY_VALUE)
