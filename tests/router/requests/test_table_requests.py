"""DescribeTable, DeleteTable, ListTables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.requests.table_requests import (
    DeleteTableRequest,
    DescribeTableRequest,
    ListTablesRequest,
    delete_from_json,
    describe_from_json,
    list_from_json,
    list_from_model,
)
from tests.router.requests.failing import NAME_LENGTH, NAME_PATTERN, NULL_MEMBER, refusal

LIMIT = "1 validation error detected: Value '{}' at 'limit' failed to satisfy constraint: Member must have value {}"
NAMED = [
    pytest.param(describe_from_json, DescribeTableRequest, "DescribeTable", id="DescribeTable"),
    pytest.param(delete_from_json, DeleteTableRequest, "DeleteTable", id="DeleteTable"),
]


@pytest.mark.parametrize(("read", "request_class", "operation"), NAMED)
def test_a_name(read: Callable[[dict[str, Any]], Any], request_class: type, operation: str) -> None:
    """Is all there is to them, and it is checked."""
    assert read({"TableName": "music"}) == request_class("music")
    assert refusal(read, {}) == ("ValidationException", NULL_MEMBER.format("tableName"))
    assert refusal(read, {"TableName": "ab"}) == ("ValidationException", NAME_LENGTH)
    assert refusal(read, {"TableName": "a b"}) == ("ValidationException", NAME_PATTERN.format("a b"))
    assert refusal(read, {"TableName": ["music"]}) == ("SerializationException", "TableName must be a string")
    assert refusal(read, {"TableName": "music", "Force": True}) == (
        "ValidationException",
        f"The parameter Force of {operation} is not supported yet",
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ListTablesRequest("", 100)),
        ({"Limit": 1}, ListTablesRequest("", 1)),
        ({"Limit": 100, "ExclusiveStartTableName": "music"}, ListTablesRequest("music", 100)),
    ],
)
def test_a_list(body: dict[str, Any], expected: ListTablesRequest) -> None:
    """A hundred names from the first on, unless less or later is asked for."""
    assert list_from_json(body) == expected
    assert list_from_model(expected.start_name, expected.limit) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"Limit": 0}, ("ValidationException", LIMIT.format(0, "greater than or equal to 1"))),
        ({"Limit": 101}, ("ValidationException", LIMIT.format(101, "less than or equal to 100"))),
        ({"Limit": 1.0}, ("SerializationException", "Limit must be an integer")),
        ({"ExclusiveStartTableName": "ab"}, ("ValidationException", NAME_LENGTH)),
        ({"ExclusiveStartTableName": 7}, ("SerializationException", "ExclusiveStartTableName must be a string")),
        ({"Filter": "x"}, ("ValidationException", "The parameter Filter of ListTables is not supported yet")),
    ],
)
def test_what_is_refused(body: dict[str, Any], expected: tuple[str, str]) -> None:
    """A page of none or of more than a hundred, and a start that no table can be called."""
    assert refusal(list_from_json, body) == expected
