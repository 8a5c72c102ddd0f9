"""Scan: a limit, a key to go on after, one segment of several."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import scan
from router.requests.scan import ScanRequest
from tests.router.requests.failing import EMPTY_VALUE, NULL_MEMBER, refusal

KEY = {"pk": {"S": "a"}}
VALUE = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must have value {}"


def read(body: dict[str, Any]) -> ScanRequest:
    """The request of a JSON body."""
    return scan.from_body(body, is_json=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ScanRequest("music", 0, None, False)),
        ({"Limit": 1}, ScanRequest("music", 1, None, False)),
        ({"Limit": 2**31 - 1}, ScanRequest("music", 2**31 - 1, None, False)),
        ({"Limit": 2**40}, ScanRequest("music", 2**31 - 1, None, False)),
        ({"Limit": 7.9}, ScanRequest("music", 7, None, False)),
        ({"ExclusiveStartKey": KEY, "ConsistentRead": True}, ScanRequest("music", 0, KEY, True)),
        ({"IndexName": "by-year"}, ScanRequest("music", 0, None, False, "by-year")),
        ({"Segment": 2, "TotalSegments": 3}, ScanRequest("music", 0, None, False, segment=2, total_segments=3)),
        ({"Select": "COUNT"}, ScanRequest("music", 0, None, False, select="COUNT")),
        ({"ReturnConsumedCapacity": "TOTAL"}, ScanRequest("music", 0, None, False, capacity="TOTAL")),
    ],
)
def test_a_request(change: dict[str, Any], expected: ScanRequest) -> None:
    """Without a limit it is as many as 1 MB holds; without a start it begins at the beginning."""
    assert read({"TableName": "music"} | change) == expected


START = "The provided starting key is invalid: "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"TableName": None}, NULL_MEMBER.format("tableName")),
        ({"Limit": 0}, VALUE.format(0, "limit", "greater than or equal to 1")),
        ({"Limit": -5}, VALUE.format(-5, "limit", "greater than or equal to 1")),
        ({"Segment": -1}, VALUE.format(-1, "segment", "greater than or equal to 0")),
        ({"Segment": 10**6}, VALUE.format(10**6, "segment", "less than or equal to 999999")),
        ({"TotalSegments": 0}, VALUE.format(0, "totalSegments", "greater than or equal to 1")),
        ({"TotalSegments": 10**6 + 1}, VALUE.format(10**6 + 1, "totalSegments", "less than or equal to 1000000")),
        ({"ExclusiveStartKey": {"pk": {}}}, START + EMPTY_VALUE),
        (
            {"ExclusiveStartKey": {"pk": {"N": "x"}}},
            "The parameter cannot be converted to a numeric value: x",
        ),
        (
            {"Segment": 0},
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is "
            "present",
        ),
        (
            {"TotalSegments": 4},
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is "
            "present",
        ),
        (
            {"Segment": 5, "TotalSegments": 5},
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 5 is not "
            "less than TotalSegments: 5",
        ),
    ],
)
def test_what_is_refused(body: dict[str, Any], message: str) -> None:
    """A limit that no page can have, a start that is no key, a segment that there is not."""
    assert refusal(read, {"TableName": "music"} | body) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Limit": "7"}, "STRING_VALUE cannot be converted to Integer"),
        ({"Limit": True}, "TRUE_VALUE cannot be converted to Integer"),
        ({"Limit": False}, "FALSE_VALUE cannot be converted to Integer"),
        ({"Limit": []}, "Unrecognized collection type class java.lang.Integer"),
        ({"Limit": {}}, "Start of structure or map found where not expected"),
        ({"ExclusiveStartKey": 1}, "Unexpected field type"),
    ],
)
def test_what_is_not_of_its_type(body: dict[str, Any], message: str) -> None:
    """In the words of DynamoDB's reader of JSON."""
    assert refusal(read, {"TableName": "music"} | body) == ("SerializationException", message)
