"""PutItem, GetItem, DeleteItem: the same rules for a table's name and for an item or a key."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests import delete_item, get_item, put_item
from server.model.item import Item
from tests.router.requests.failing import (
    EMPTY_VALUE,
    NAME_LENGTH,
    NAME_PATTERN,
    NESTED_TOO_DEEPLY,
    NULL_MEMBER,
    TOO_LARGE,
    nested,
    refusal,
)

VALID = {"pk": {"S": "a"}}


@dataclass(frozen=True)
class Operation:
    """One of the three. `content`: the member that holds an item or a key; `of_json`, `of_model` read a request's."""

    name: str
    content: str
    read: Callable[[dict[str, Any]], Any]
    of_json: Callable[[dict[str, Any]], Item]
    of_model: Callable[[str, Item], Item]


PUT = Operation(
    "PutItem",
    "Item",
    put_item.from_json,
    lambda body: put_item.from_json(body).item,
    lambda table_name, item: put_item.from_model(table_name, item).item,
)
GET = Operation(
    "GetItem",
    "Key",
    get_item.from_json,
    lambda body: get_item.from_json(body).key,
    lambda table_name, item: get_item.from_model(table_name, item, True).key,
)
DELETE = Operation(
    "DeleteItem",
    "Key",
    delete_item.from_json,
    lambda body: delete_item.from_json(body).key,
    lambda table_name, item: delete_item.from_model(table_name, item).key,
)

pytestmark = pytest.mark.parametrize("operation", [PUT, GET, DELETE], ids=lambda operation: operation.name)


def test_a_request(operation: Operation) -> None:
    """Holds the table's name and the item, binary values decoded and numbers canonical; both doors make the same."""
    raw = base64.b64encode(b"\x00\xff").decode()
    body = {"TableName": "music", operation.content: {"pk": {"S": "a"}, "n": {"N": "1e2"}, "b": {"B": raw}}}
    request = operation.read(body)
    assert request.table_name == "music"
    expected = {"pk": {"S": "a"}, "n": {"N": "100"}, "b": {"B": b"\x00\xff"}}
    assert operation.of_json(body) == expected
    assert operation.of_model("music", {"pk": {"S": "a"}, "n": {"N": "1e2"}, "b": {"B": b"\x00\xff"}}) == expected


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"TableName": None}, "ValidationException", NULL_MEMBER.format("tableName")),
        ({"TableName": 7}, "SerializationException", "TableName must be a string"),
        ({"TableName": ""}, "ValidationException", NAME_LENGTH),
        ({"TableName": "ab"}, "ValidationException", NAME_LENGTH),
        ({"TableName": "a" * 256}, "ValidationException", NAME_LENGTH),
        ({"TableName": "a/b"}, "ValidationException", NAME_PATTERN.format("a/b")),
        ({"TableName": "abc\n"}, "ValidationException", NAME_PATTERN.format("abc\n")),
    ],
)
def test_what_a_table_is_called(operation: Operation, change: dict[str, Any], code: str, message: str) -> None:
    """3 to 255 letters, digits, and _ . -"""
    body = {"TableName": "music", operation.content: VALID} | change
    assert refusal(operation.read, body) == (code, message)
    name = change["TableName"]
    if isinstance(name, str):
        assert refusal(operation.of_model, name, VALID) == (code, message)


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ([], "SerializationException", "{} must be a map"),
        ("pk", "SerializationException", "{} must be a map"),
        ({"pk": "a"}, "SerializationException", "an attribute value must be a map from its type to its content"),
        ({"pk": {}}, "ValidationException", EMPTY_VALUE),
        ({"pk": {"X": "a"}}, "ValidationException", EMPTY_VALUE),
        ({"pk": {"S": 7}}, "SerializationException", "a string value must be text"),
        ({"pk": {"N": 7}}, "SerializationException", "a number value must be text"),
        ({"pk": {"N": "x"}}, "ValidationException", "The parameter cannot be converted to a numeric value: x"),
        ({"pk": {"B": "*"}}, "SerializationException", "a binary value is not valid base64"),
        ({"pk": nested(33)}, "ValidationException", NESTED_TOO_DEEPLY),
        ({"pk": {"S": "x" * (400 * 1024 - 1)}}, "ValidationException", TOO_LARGE),
    ],
)
def test_what_an_item_may_not_be(operation: Operation, content: Any, code: str, message: str) -> None:
    """The model's rules hold for items and keys alike, with its words."""
    body = {"TableName": "music", operation.content: content}
    assert refusal(operation.read, body) == (code, message.format(operation.content))


def test_an_item_as_large_and_as_deep_as_may_be(operation: Operation) -> None:
    """400 KB with its names, 32 levels: at the limits nothing is refused."""
    for value in ({"S": "x" * (400 * 1024 - 2)}, nested(32)):
        assert operation.of_json({"TableName": "music", operation.content: {"pk": value}}) == {"pk": value}
        assert operation.of_model("music", {"pk": value}) == {"pk": value}


def test_an_absent_item(operation: Operation) -> None:
    """Is named as AWS names it."""
    shown = operation.content.lower()
    assert refusal(operation.read, {"TableName": "music"}) == ("ValidationException", NULL_MEMBER.format(shown))


UNSUPPORTED = {
    "ConditionExpression": "attribute_not_exists(pk)",
    "ExpressionAttributeNames": {"#a": "a"},
    "ExpressionAttributeValues": {":a": {"S": "a"}},
    "ProjectionExpression": "a",
    "AttributesToGet": ["a"],
    "Expected": {"a": {"Exists": False}},
    "ConditionalOperator": "AND",
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_expressions_are_refused(operation: Operation, name: str) -> None:
    """A condition that nobody checks would be a lost update."""
    body = {"TableName": "music", operation.content: VALID, name: UNSUPPORTED[name]}
    sentence = f"The parameter {name} of {operation.name} is not supported yet"
    assert refusal(operation.read, body) == ("ValidationException", sentence)


@given(value=st.text(max_size=50), binary=st.binary(max_size=50))
def test_both_doors_agree(operation: Operation, value: str, binary: bytes) -> None:
    """Whatever the text and the bytes, JSON and message make the same request."""
    as_json = {"pk": {"S": value}, "b": {"B": base64.b64encode(binary).decode()}}
    as_model: Item = {"pk": {"S": value}, "b": {"B": binary}}
    body = {"TableName": "music", operation.content: as_json}
    assert operation.of_json(body) == operation.of_model("music", as_model) == as_model
