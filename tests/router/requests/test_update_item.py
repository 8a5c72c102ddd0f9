"""UpdateItem: what is to be changed, by an expression or in the way from before there were any."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import update_item
from router.requests.options import PLAIN, WriteOptions
from router.requests.update_item import UpdateItemRequest
from server.expressions.expression import parse_update
from server.expressions.legacy import attribute_updates
from server.expressions.placeholders import Placeholders
from tests.router.requests.failing import EMPTY_VALUE, NULL_MEMBER, refusal

BODY: dict[str, Any] = {"TableName": "music", "Key": {"pk": {"N": "1.0"}}}
KEY = {"pk": {"N": "1"}}
INVALID = "One or more parameter values were invalid: "


def read(change: dict[str, Any]) -> UpdateItemRequest:
    """The request of a JSON body."""
    return update_item.from_body(BODY | change, is_json=True)


def test_nothing_to_change() -> None:
    """The item is made if there is none."""
    assert read({}) == read({"AttributeUpdates": {}}) == UpdateItemRequest("music", KEY, None, PLAIN)


def test_an_expression() -> None:
    """With its names and values, which a condition may share."""
    change = {
        "UpdateExpression": "SET #a = :v",
        "ConditionExpression": "#a <> :v",
        "ExpressionAttributeNames": {"#a": "size"},
        "ExpressionAttributeValues": {":v": {"B": "AA=="}},
        "ReturnValues": "UPDATED_NEW",
    }
    request = read(change)
    assert request.update == parse_update("SET #a = :v", Placeholders({"#a": "size"}, {":v": {"B": b"\x00"}}))
    assert request.options.condition is not None and request.options.condition.paths == {("size",)}
    assert request.options.return_values == "UPDATED_NEW"


def test_attribute_updates() -> None:
    """The same as an engine's tree, values in model form."""
    updates = {"a": {"Value": {"N": "1.50"}}, "b": {"Action": "DELETE"}}
    request = read({"AttributeUpdates": updates, "Expected": {"c": {"Exists": False}}, "ReturnValues": "ALL_OLD"})
    assert request.update == attribute_updates({"a": {"Value": {"N": "1.5"}}, "b": {"Action": "DELETE"}})
    assert request.options == WriteOptions(request.options.condition, "ALL_OLD")
    assert request.options.condition is not None and request.options.condition.paths == {("c",)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Key": None}, NULL_MEMBER.format("key")),
        ({"Key": {"pk": {}}, "AttributeUpdates": {"a": {"Value": {}}}}, EMPTY_VALUE),
        ({"AttributeUpdates": {"a": {"Value": {}}}, "Expected": {"b": {}}}, EMPTY_VALUE),
        (
            {"AttributeUpdates": {"a": {"Action": "PUT"}}, "Expected": {"b": {}}},
            INVALID + "Only DELETE action is allowed when no attribute value is specified",
        ),
        (
            {"AttributeUpdates": {"a": {"Action": "DROP"}}},
            "1 validation error detected: Value 'DROP' at 'attributeUpdates.a.member.action' failed to satisfy "
            "constraint: Member must satisfy enum value set: [DELETE, PUT, ADD]",
        ),
        ({"AttributeUpdates": {"a": None}}, NULL_MEMBER.format("attributeUpdates.a.member")),
        (
            {"UpdateExpression": "", "ConditionExpression": ""},
            "Invalid UpdateExpression: The expression can not be empty;",
        ),
        (
            {"UpdateExpression": "REMOVE a", "ConditionExpression": ""},
            "Invalid ConditionExpression: The expression can not be empty;",
        ),
        (
            {"UpdateExpression": "REMOVE a", "ExpressionAttributeNames": {"#b": "b"}},
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}",
        ),
        (
            {"ReturnConsumedCapacity": "x", "ReturnValues": "y"},
            "2 validation errors detected: Value 'x' at 'returnConsumedCapacity' failed to satisfy constraint: Member "
            "must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'y' at 'returnValues' failed to satisfy "
            "constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]",
        ),
    ],
)
def test_what_is_refused(change: dict[str, Any], message: str) -> None:
    """Key, updates, Expected, then expressions."""
    assert refusal(read, change) == ("ValidationException", message)
