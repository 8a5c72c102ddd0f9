"""DescribeTable, DeleteTable, ListTables, DescribeLimits, DescribeEndpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.requests.table_requests import (
    DeleteTableRequest,
    DescribeEndpointsRequest,
    DescribeLimitsRequest,
    DescribeTableRequest,
    ListTablesRequest,
    delete_from_body,
    describe_from_body,
    endpoints_from_body,
    limits_from_body,
    list_from_body,
)
from tests.router.requests.failing import NAME_LENGTH, NAME_PATTERN, NULL_MEMBER, refusal

ERROR = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must {}"


@pytest.mark.parametrize(
    ("from_body", "request_class"), [(describe_from_body, DescribeTableRequest), (delete_from_body, DeleteTableRequest)]
)
def test_a_name(from_body: Callable[..., Any], request_class: type) -> None:
    """Is all there is to them, and it is checked; an ARN stands for it."""

    def read(body: dict[str, Any]) -> Any:
        return from_body(body, is_json=True)

    assert read({"TableName": "music"}) == request_class("music")
    assert read({"TableName": "arn:aws:dynamodb:eu-west-1:123456789012:table/music"}) == request_class("music")
    assert refusal(read, {}) == ("ValidationException", NULL_MEMBER.format("tableName"))
    assert refusal(read, {"TableName": "ab"}) == ("ValidationException", NAME_LENGTH)
    assert refusal(read, {"TableName": "a b"}) == ("ValidationException", NAME_PATTERN.format("a b"))
    code, _ = refusal(read, {"TableName": ["music"]})
    assert code == "SerializationException"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ListTablesRequest("", 100)),
        ({"Limit": 1}, ListTablesRequest("", 1)),
        ({"Limit": 100, "ExclusiveStartTableName": "music"}, ListTablesRequest("music", 100)),
    ],
)
def test_a_list(body: dict[str, Any], expected: ListTablesRequest) -> None:
    """A hundred names from the first, if nothing else is said."""
    assert list_from_body(body, is_json=True) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Limit": 0}, ERROR.format(0, "limit", "have value greater than or equal to 1")),
        ({"Limit": 101}, ERROR.format(101, "limit", "have value less than or equal to 100")),
        (
            {"ExclusiveStartTableName": "ab"},
            ERROR.format("ab", "exclusiveStartTableName", "have length greater than or equal to 3"),
        ),
        (
            {"ExclusiveStartTableName": "a;b"},
            ERROR.format("a;b", "exclusiveStartTableName", "satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
        ),
    ],
)
def test_a_list_that_cannot_be(body: dict[str, Any], message: str) -> None:
    """Bounds of the page, and where it begins."""
    assert refusal(lambda: list_from_body(body, is_json=True)) == ("ValidationException", message)


def test_what_has_no_parameters() -> None:
    """Is read whatever it holds."""
    assert limits_from_body({"a": 1}, is_json=True) == DescribeLimitsRequest()
    assert endpoints_from_body({}, is_json=True) == DescribeEndpointsRequest()
