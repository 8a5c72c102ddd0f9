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
    NESTED_TOO_DEEPLY,
    NULL_MEMBER,
    TOO_LARGE,
    nested,
    refusal,
)

VALID = {"pk": {"S": "a"}}


@dataclass(frozen=True)
class Operation:
    """One of the three. `content`: the member that holds an item or a key, `of` finds it in the request."""

    name: str
    content: str
    from_body: Callable[..., Any]
    of: Callable[[Any], Item]

    def read(self, body: dict[str, Any]) -> Any:
        """The request of a JSON body."""
        return self.from_body(body, is_json=True)


PUT = Operation("PutItem", "Item", put_item.from_body, lambda request: request.item)
GET = Operation("GetItem", "Key", get_item.from_body, lambda request: request.key)
DELETE = Operation("DeleteItem", "Key", delete_item.from_body, lambda request: request.key)

pytestmark = pytest.mark.parametrize("operation", [PUT, GET, DELETE], ids=lambda operation: operation.name)


def test_a_request(operation: Operation) -> None:
    """Holds the table's name and the item, binary values decoded and numbers canonical; both doors make the same."""
    raw = base64.b64encode(b"\x00\xff").decode()
    body = {"TableName": "music", operation.content: {"pk": {"S": "a"}, "n": {"N": "1e2"}, "b": {"B": raw}}}
    request = operation.read(body)
    assert request.table_name == "music"
    expected = {"pk": {"S": "a"}, "n": {"N": "100"}, "b": {"B": b"\x00\xff"}}
    assert operation.of(request) == expected
    message = {"TableName": "music", operation.content: {**body[operation.content], "b": {"B": b"\x00\xff"}}}  # type: ignore[dict-item]
    assert operation.from_body(message, is_json=False) == request


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (
            [],
            "SerializationException",
            "Unrecognized collection type java.util.Map<java.lang.String, "
            "com.amazonaws.dynamodb.v20120810.AttributeValue>",
        ),
        ("pk", "SerializationException", "Unexpected field type"),
        ({"pk": "a"}, "SerializationException", "Unexpected value type in payload"),
        ({"pk": {}}, "ValidationException", EMPTY_VALUE),
        ({"pk": None}, "ValidationException", EMPTY_VALUE),
        ({"pk": {"X": "a"}}, "ValidationException", EMPTY_VALUE),
        ({"pk": {"S": 7}}, "SerializationException", "NUMBER_VALUE cannot be converted to String"),
        ({"pk": {"N": 7}}, "SerializationException", "NUMBER_VALUE cannot be converted to String"),
        ({"pk": {"N": "x"}}, "ValidationException", "The parameter cannot be converted to a numeric value: x"),
        ({"pk": {"B": "****"}}, "SerializationException", "Invalid last non-pad Base64 character dectected"),
        ({"pk": nested(33)}, "ValidationException", NESTED_TOO_DEEPLY),
        ({"pk": {"S": "x" * (400 * 1024 - 1)}}, "ValidationException", TOO_LARGE),
    ],
)
def test_what_an_item_may_not_be(operation: Operation, content: Any, code: str, message: str) -> None:
    """The model's rules hold for items and keys alike, with its words."""
    body = {"TableName": "music", operation.content: content}
    assert refusal(operation.read, body) == (code, message)


def test_an_item_as_large_and_as_deep_as_may_be(operation: Operation) -> None:
    """400 KB with its names, 32 levels: at the limits nothing is refused."""
    for value in ({"S": "x" * (400 * 1024 - 2)}, nested(32)):
        body = {"TableName": "music", operation.content: {"pk": value}}
        assert operation.of(operation.read(body)) == {"pk": value}
        assert operation.of(operation.from_body(body, is_json=False)) == {"pk": value}


def test_absent_members(operation: Operation) -> None:
    """Are named as AWS names them."""
    shown = operation.content.lower()
    assert refusal(operation.read, {"TableName": "music"}) == ("ValidationException", NULL_MEMBER.format(shown))
    assert refusal(operation.read, {operation.content: VALID}) == (
        "ValidationException",
        NULL_MEMBER.format("tableName"),
    )
    both = refusal(operation.read, {})[1]
    assert both.startswith("2 validation errors detected: ") and both.count("Member must not be null") == 2


def test_what_is_not_in_the_model_is_ignored(operation: Operation) -> None:
    """A member, and a type of value; what is null is absent."""
    plain = {"TableName": "music", operation.content: VALID}
    odd = {**plain, "Nothing": {"a": [1]}, "ReturnConsumedCapacity": None}
    odd[operation.content] = {"pk": {"S": "a", "N": None, "X": 7}}
    assert operation.read(odd) == operation.read(plain)


@given(value=st.text(max_size=50), binary=st.binary(max_size=50))
def test_both_doors_agree(operation: Operation, value: str, binary: bytes) -> None:
    """Whatever the text and the bytes, JSON and message make the same request."""
    as_json = {"pk": {"S": value}, "b": {"B": base64.b64encode(binary).decode()}}
    as_model: Item = {"pk": {"S": value}, "b": {"B": binary}}
    request = operation.read({"TableName": "music", operation.content: as_json})
    assert request == operation.from_body({"TableName": "music", operation.content: as_model}, is_json=False)
    assert operation.of(request) == as_model
