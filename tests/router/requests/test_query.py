"""Query: which items, where it begins, what it returns."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import query
from router.requests.query import QueryRequest
from server.expressions.expression import parse_condition, parse_projection
from server.expressions.legacy import attributes_to_get, filter_condition
from server.expressions.placeholders import Placeholders
from tests.router.requests.failing import EMPTY_VALUE, NULL_MEMBER, refusal

EQ = {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "1.0"}]}
EQ_MODEL = {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "1"}]}
BY_EXPRESSION: dict[str, Any] = {
    "TableName": "music",
    "KeyConditionExpression": "pk = :pk",
    "ExpressionAttributeValues": {":pk": {"S": "a"}},
}
LEGACY: dict[str, Any] = {"TableName": "music", "KeyConditions": {"pk": EQ}}


def read(body: dict[str, Any]) -> QueryRequest:
    """The request of a JSON body."""
    return query.from_body(body, is_json=True)


def test_a_plain_query() -> None:
    """Forward, as many as 1 MB holds, all of each item."""
    condition = parse_condition("pk = :pk", Placeholders(None, {":pk": {"S": "a"}}), "KeyConditionExpression")
    assert read(BY_EXPRESSION) == QueryRequest(
        "music", None, condition, None, None, None, "", 0, None, True, False, "NONE"
    )


def test_a_query_with_everything() -> None:
    """Expressions share names and values."""
    body = BY_EXPRESSION | {
        "IndexName": "by-year",
        "FilterExpression": "#n > :pk",
        "ProjectionExpression": "#n, b",
        "ExpressionAttributeNames": {"#n": "name"},
        "Select": "SPECIFIC_ATTRIBUTES",
        "Limit": 7,
        "ExclusiveStartKey": {"pk": {"B": "AA=="}},
        "ScanIndexForward": False,
        "ConsistentRead": True,
        "ReturnConsumedCapacity": "INDEXES",
    }
    placeholders = Placeholders({"#n": "name"}, {":pk": {"S": "a"}})
    assert read(body) == QueryRequest(
        "music",
        "by-year",
        parse_condition("pk = :pk", placeholders, "KeyConditionExpression"),
        None,
        parse_condition("#n > :pk", placeholders, "FilterExpression"),
        parse_projection("#n, b", placeholders),
        "SPECIFIC_ATTRIBUTES",
        7,
        {"pk": {"B": b"\x00"}},
        False,
        True,
        "INDEXES",
    )


def test_a_query_of_old() -> None:
    """KeyConditions are kept for whoever knows the keys, their values in model form."""
    request = read(LEGACY | {"QueryFilter": {"a": EQ, "b": EQ}, "ConditionalOperator": "OR", "AttributesToGet": ["a"]})
    assert (request.key_condition, request.key_conditions) == (None, {"pk": EQ_MODEL})
    assert request.filter == filter_condition({"a": EQ_MODEL, "b": EQ_MODEL}, "OR", "QueryFilter")
    assert request.projection == attributes_to_get(["a"])


SPECIFIC = "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
INDEX = "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Select": "SPECIFIC_ATTRIBUTES"}, SPECIFIC),
        ({"Select": "ALL_PROJECTED_ATTRIBUTES"}, INDEX),
        (
            {"Select": "ALL_PROJECTED_ATTRIBUTES", "AttributesToGet": ["a"]},
            "Cannot specify the AttributesToGet when choosing to get ALL_PROJECTED_ATTRIBUTES",
        ),
        (
            {"Select": "ALL_ATTRIBUTES", "ProjectionExpression": "a"},
            "Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES",
        ),
        (
            {"Select": "COUNT", "ProjectionExpression": "a"},
            "Cannot specify the ProjectionExpression when choosing to get only the Count",
        ),
        (
            {"Select": "COUNT", "AttributesToGet": ["a"]},
            "Cannot specify the AttributesToGet when choosing to get only the Count",
        ),
        (
            {"Select": "SOME"},
            "1 validation error detected: Value 'SOME' at 'select' failed to satisfy constraint: Member must satisfy "
            "enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]",
        ),
    ],
)
def test_what_cannot_be_selected(change: dict[str, Any], message: str) -> None:
    """Select agrees with what else says what to return."""
    assert refusal(read, LEGACY | change) == ("ValidationException", message)


@pytest.mark.parametrize(
    "change",
    [
        {"Select": "ALL_ATTRIBUTES"},
        {"Select": "COUNT"},
        {"Select": "ALL_PROJECTED_ATTRIBUTES", "IndexName": "by-year"},
        {"Select": "SPECIFIC_ATTRIBUTES", "AttributesToGet": ["a"]},
        {"Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "a"},
    ],
)
def test_what_can_be_selected(change: dict[str, Any]) -> None:
    """And is told as it was given."""
    assert read(LEGACY | change).select == change["Select"]


TWICE = "One or more parameter values were invalid: Duplicate value in attribute name: a"
ARGUMENTS = "One or more parameter values were invalid: Invalid number of argument(s) for the EQ ComparisonOperator"
START = "The provided starting key is invalid: "
NEITHER = "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
NO_VALUES = {"ComparisonOperator": "EQ"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        # Each with what follows it as well: the first is told.
        (
            {"AttributesToGet": ["a", "b", "a"], "Select": "COUNT", "QueryFilter": {"a": NO_VALUES}},
            TWICE,
        ),
        ({"Select": "SPECIFIC_ATTRIBUTES", "QueryFilter": {"a": NO_VALUES}}, SPECIFIC),
        ({"QueryFilter": {"a": NO_VALUES}, "ExclusiveStartKey": {"pk": {}}}, ARGUMENTS),
        (
            {"QueryFilter": {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [{}]}}, "KeyConditions": {}},
            EMPTY_VALUE,
        ),
        ({"ExclusiveStartKey": {"pk": {}}}, START + EMPTY_VALUE),
        (
            {"ExclusiveStartKey": {"pk": {"NS": ["1", "1"]}}},
            "Input collection contains duplicates",
        ),
        ({}, NEITHER),
        ({"FilterExpression": ""}, NEITHER),
        (
            {"KeyConditionExpression": "", "FilterExpression": "", "ProjectionExpression": ""},
            "Invalid KeyConditionExpression: The expression can not be empty;",
        ),
        (
            {"KeyConditions": {"pk": EQ}, "FilterExpression": "", "ProjectionExpression": ""},
            "Invalid FilterExpression: The expression can not be empty;",
        ),
        (
            {"KeyConditions": {"pk": EQ}, "ProjectionExpression": "a", "ExpressionAttributeNames": {"#b": "b"}},
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}",
        ),
        (
            {"KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "x"}]}}},
            "The parameter cannot be converted to a numeric value: x",
        ),
        (
            {"KeyConditions": {"pk": {"ComparisonOperator": "EQ"}}, "FilterExpression": ""},
            "Invalid FilterExpression: The expression can not be empty;",
        ),
        ({"KeyConditions": {"pk": {"ComparisonOperator": "EQ"}}}, ARGUMENTS),
        ({"KeyConditions": {}}, "Conditions can be of length 1 or 2 only"),
        (
            {
                "KeyConditionExpression": "pk = :v OR sk = :v",
                "ExpressionAttributeValues": {":v": {"S": "a"}, ":w": {"S": "b"}},
            },
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}",
        ),
        (
            {"KeyConditionExpression": "pk = :v OR sk = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}},
            "Invalid operator used in KeyConditionExpression: OR",
        ),
        (
            {"KeyConditionExpression": "pk = :v AND pk = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}},
            "KeyConditionExpressions must only contain one condition per key",
        ),
        ({"KeyConditions": {"pk": {}}}, NULL_MEMBER.format("keyConditions.pk.member.comparisonOperator")),
        (
            {"KeyConditions": {"pk": {"ComparisonOperator": "IS"}}, "IndexName": "x"},
            "2 validation errors detected: Value 'x' at 'indexName' failed to satisfy constraint: Member must have "
            "length greater than or equal to 3; Value 'IS' at 'keyConditions.pk.member.comparisonOperator' failed to "
            "satisfy constraint: Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, "
            "NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]",
        ),
        (
            {"AttributesToGet": []},
            "1 validation error detected: Value '[]' at 'attributesToGet' failed to satisfy constraint: Member must "
            "have length greater than or equal to 1",
        ),
    ],
)
def test_what_is_refused(body: dict[str, Any], message: str) -> None:
    """What to return, filters, the start, that there are keys, expressions, whether all was used."""
    assert refusal(read, {"TableName": "music"} | body) == ("ValidationException", message)
