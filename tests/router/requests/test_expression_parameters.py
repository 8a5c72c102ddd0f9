"""What may be given together, in DynamoDB's order of checks: the same for every operation that has the parameters."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import delete_item, get_item, put_item, query, scan, update_item
from router.requests.expression_parameters import with_values
from tests.router.requests.failing import EMPTY_VALUE, NESTED_TOO_DEEPLY, SHORT_NAME, nested, refusal

KEY = {"pk": {"S": "a"}}
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "put": (put_item.from_body, {"TableName": "music", "Item": KEY}),
    "get": (get_item.from_body, {"TableName": "music", "Key": KEY}),
    "delete": (delete_item.from_body, {"TableName": "music", "Key": KEY}),
    "update": (update_item.from_body, {"TableName": "music", "Key": KEY}),
    "query": (query.from_body, {"TableName": "music"}),
    "scan": (scan.from_body, {"TableName": "music"}),
}
EQ = {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]}
ONE, TWO = {"a": EQ}, {"a": EQ, "b": EQ}
UPDATES = {"a": {"Action": "PUT", "Value": {"S": "x"}}}
VALUES = {":v": {"S": "x"}}
WITHOUT = "ConditionalOperator cannot be used without Filter or Expected"
TOO_FEW = "ConditionalOperator can only be used when Filter or Expected has two or more elements"
NAMES_ALONE = "ExpressionAttributeNames can only be specified when using expressions"
VALUES_ALONE = "ExpressionAttributeValues can only be specified when using expressions: "


def said(operation: str, change: dict[str, Any]) -> str:
    """What a body is refused with."""
    from_body, body = BODIES[operation]
    code, message = refusal(from_body, body | change, is_json=True)
    assert code == "ValidationException"
    return message


def mixed(legacy: str, expressions: str) -> str:
    """What is said of parameters of both kinds."""
    return (
        "Can not use both expression and non-expression parameters in the same request: "
        f"Non-expression parameters: {{{legacy}}} Expression parameters: {{{expressions}}}"
    )


@pytest.mark.parametrize(
    ("operation", "change", "message"),
    [
        ("put", {"Expected": ONE, "ConditionExpression": "x"}, mixed("Expected", "ConditionExpression")),
        (
            "put",
            {"ConditionalOperator": "AND", "Expected": {}, "ConditionExpression": ""},
            mixed("Expected, ConditionalOperator", "ConditionExpression"),
        ),
        (
            "delete",
            {"ConditionalOperator": "AND", "ConditionExpression": "x"},
            mixed("ConditionalOperator", "ConditionExpression"),
        ),
        (
            "update",
            {
                "ConditionalOperator": "OR",
                "Expected": ONE,
                "AttributeUpdates": UPDATES,
                "ConditionExpression": "x",
                "UpdateExpression": "y",
            },
            mixed("AttributeUpdates, Expected, ConditionalOperator", "UpdateExpression, ConditionExpression"),
        ),
        (
            "update",
            {"AttributeUpdates": UPDATES, "ConditionExpression": "x"},
            mixed("AttributeUpdates", "ConditionExpression"),
        ),
        ("update", {"Expected": ONE, "UpdateExpression": "x"}, mixed("Expected", "UpdateExpression")),
        (
            "get",
            {"AttributesToGet": ["a"], "ProjectionExpression": "a"},
            mixed("AttributesToGet", "ProjectionExpression"),
        ),
        (
            "scan",
            {
                "ConditionalOperator": "AND",
                "ScanFilter": ONE,
                "AttributesToGet": ["a"],
                "FilterExpression": "x",
                "ProjectionExpression": "a",
            },
            mixed("AttributesToGet, ScanFilter, ConditionalOperator", "ProjectionExpression, FilterExpression"),
        ),
        ("scan", {"ScanFilter": ONE, "ProjectionExpression": "b"}, mixed("ScanFilter", "ProjectionExpression")),
        (
            "query",
            {
                "KeyConditions": ONE,
                "QueryFilter": ONE,
                "ConditionalOperator": "AND",
                "AttributesToGet": ["a"],
                "KeyConditionExpression": "x",
                "FilterExpression": "x",
                "ProjectionExpression": "a",
            },
            mixed(
                "AttributesToGet, QueryFilter, ConditionalOperator, KeyConditions",
                "ProjectionExpression, FilterExpression, KeyConditionExpression",
            ),
        ),
        (
            "query",
            {"KeyConditions": ONE, "QueryFilter": ONE, "FilterExpression": "x"},
            mixed("QueryFilter", "FilterExpression"),
        ),
        ("put", {"ConditionalOperator": "AND"}, WITHOUT),
        ("put", {"ConditionalOperator": "AND", "Expected": {}}, WITHOUT),
        ("put", {"ConditionalOperator": "AND", "Expected": ONE}, TOO_FEW),
        ("delete", {"ConditionalOperator": "OR", "Expected": ONE}, TOO_FEW),
        ("update", {"ConditionalOperator": "OR", "AttributeUpdates": UPDATES}, WITHOUT),
        ("scan", {"ConditionalOperator": "OR", "AttributesToGet": ["a", "b"]}, WITHOUT),
        ("scan", {"ConditionalOperator": "OR", "ScanFilter": ONE}, TOO_FEW),
        ("query", {"ConditionalOperator": "OR", "KeyConditions": ONE}, WITHOUT),
        ("query", {"ConditionalOperator": "OR", "KeyConditions": ONE, "QueryFilter": ONE}, TOO_FEW),
        ("put", {"ExpressionAttributeNames": {"#a": "a"}}, NAMES_ALONE),
        ("get", {"ExpressionAttributeNames": {}}, NAMES_ALONE),
        ("query", {"ExpressionAttributeNames": {"#a": "a"}, "KeyConditions": ONE}, NAMES_ALONE),
        ("put", {"ExpressionAttributeValues": VALUES}, VALUES_ALONE + "ConditionExpression is null"),
        ("delete", {"ExpressionAttributeValues": {}}, VALUES_ALONE + "ConditionExpression is null"),
        (
            "update",
            {"ExpressionAttributeValues": VALUES, "AttributeUpdates": UPDATES},
            VALUES_ALONE + "UpdateExpression and ConditionExpression are null",
        ),
        (
            "query",
            {"ExpressionAttributeValues": VALUES, "KeyConditions": ONE, "ProjectionExpression": "a"},
            VALUES_ALONE + "FilterExpression and KeyConditionExpression are null",
        ),
        (
            "scan",
            {"ExpressionAttributeValues": VALUES, "ProjectionExpression": "a"},
            VALUES_ALONE + "FilterExpression is null",
        ),
    ],
)
def test_what_does_not_go_together(operation: str, change: dict[str, Any], message: str) -> None:
    """With everything that was given of either kind, in DynamoDB's order."""
    assert said(operation, change) == message


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        ("query", {"KeyConditions": ONE, "FilterExpression": "b = :v", "ExpressionAttributeValues": VALUES}),
        ("query", {"KeyConditions": ONE, "ProjectionExpression": "a"}),
        ("query", {"KeyConditions": ONE, "AttributesToGet": ["a"], "QueryFilter": TWO, "ConditionalOperator": "OR"}),
        ("scan", {"ScanFilter": TWO, "ConditionalOperator": "AND"}),
        ("scan", {"ScanFilter": ONE, "AttributesToGet": ["a"]}),
        ("put", {"Expected": TWO, "ConditionalOperator": "AND"}),
        ("update", {"Expected": ONE, "AttributeUpdates": UPDATES}),
        ("put", {"Expected": ONE, "ConditionExpression": None}),
    ],
)
def test_what_goes_together(operation: str, change: dict[str, Any]) -> None:
    """KeyConditions goes with expressions of other kinds; what is null is absent."""
    from_body, body = BODIES[operation]
    assert from_body(body | change, is_json=True).table_name == "music"


CONDITION = {"ConditionExpression": "#a = :v"}
NAME_KEY = "ExpressionAttributeNames contains invalid key: Syntax error; key: "
VALUE_KEY = "ExpressionAttributeValues contains invalid key: Syntax error; key: "
VALUE = "ExpressionAttributeValues contains invalid value: "
NOT_USED = "Value provided in {} unused in expressions: keys: {{{}}}"


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        ({}, VALUES, "ExpressionAttributeNames must not be empty"),
        ({"#a": "a"}, {}, "ExpressionAttributeValues must not be empty"),
        ({"a": "a"}, VALUES, NAME_KEY + '"a"'),
        ({"#": "a"}, VALUES, NAME_KEY + '"#"'),
        ({"#a b": "a"}, VALUES, NAME_KEY + '"#a b"'),
        ({"#a": "a"}, {"v": {"S": "x"}}, VALUE_KEY + '"v"'),
        ({"#a": "a"}, {":v": {}}, VALUE + EMPTY_VALUE + " for key :v"),
        ({"#a": "a"}, {":v": None}, VALUE + EMPTY_VALUE + " for key :v"),
        (
            {"#a": "a"},
            {":v": {"SS": []}},
            VALUE + "One or more parameter values were invalid: An string set  may not be empty for key :v",
        ),
        (
            {"#a": "a"},
            {":v": {"N": "x"}},
            VALUE + "The parameter cannot be converted to a numeric value: x for key :v",
        ),
        ({"#a": "a", "#b": "b", "#c": "c"}, VALUES, NOT_USED.format("ExpressionAttributeNames", "#b, #c")),
        ({"#a": "a"}, {**VALUES, ":w": {"S": "x"}}, NOT_USED.format("ExpressionAttributeValues", ":w")),
        # Where two compete:
        ({}, {}, "ExpressionAttributeNames must not be empty"),
        ({"a": "a"}, {}, NAME_KEY + '"a"'),
        ({"a": "a"}, {":v": {}}, NAME_KEY + '"a"'),
        ({"#a": "a"}, {":v": {}, "w": {"S": "x"}}, VALUE_KEY + '"w"'),
        ({"#a": "a", "#b": "b"}, {":v": {}}, VALUE + EMPTY_VALUE + " for key :v"),
        ({"#a": "a", "#b": "b"}, {**VALUES, ":w": {"S": "x"}}, NOT_USED.format("ExpressionAttributeNames", "#b")),
        (
            {"#b": "b"},
            VALUES,
            "Invalid ConditionExpression: An expression attribute name used in the document path is not defined; "
            "attribute name: #a",
        ),
        ({"#a": None, "#b": "b"}, VALUES, NOT_USED.format("ExpressionAttributeNames", "#b")),
    ],
)
@pytest.mark.parametrize("operation", ["put", "delete", "update"])
def test_names_and_values(operation: str, names: Any, values: Any, message: str) -> None:
    """Their keys, then the values, then the expressions, then whether all were used."""
    change = CONDITION | {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    if names == {"#a": None, "#b": "b"}:
        change["ConditionExpression"] = "a = :v"
    assert said(operation, change) == message


def test_values_may_nest_as_deep_as_an_items() -> None:
    """32 levels."""
    deep = CONDITION | {"ExpressionAttributeNames": {"#a": "a"}}
    _, body = BODIES["put"]
    put_item.from_body(body | deep | {"ExpressionAttributeValues": {":v": nested(32)}}, is_json=True)
    refused = said("put", deep | {"ExpressionAttributeValues": {":v": nested(33)}})
    assert refused in (NESTED_TOO_DEEPLY, f"{VALUE}{NESTED_TOO_DEEPLY} for key :v")


LONG = {"Item": {"pk": {"S": "a"}, "long": {"S": "x" * 400 * 1024}}}
SIZE = "Item size has exceeded the maximum allowed size"
RETURN_VALUES = "ReturnValues can only be ALL_OLD or NONE"
EMPTY_EXPRESSION = "Invalid ConditionExpression: The expression can not be empty;"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Each with all that follows it as well: the first is told.
        ({"TableName": "ab", "ConditionalOperator": "AND"}, SHORT_NAME.format("ab")),
        ({"ConditionalOperator": "AND", "ExpressionAttributeNames": {}}, NAMES_ALONE),
        ({"ExpressionAttributeNames": {}, "ExpressionAttributeValues": {}}, NAMES_ALONE),
        ({"ConditionalOperator": "AND", "Item": {"a": {}}}, WITHOUT),
        ({"Item": {"a": {}}, "ReturnValues": "ALL_NEW"}, EMPTY_VALUE),
        ({**LONG, "ReturnValues": "ALL_NEW"}, RETURN_VALUES),
        ({**LONG, "Expected": {"a": {}}}, SIZE),
        (
            {"Expected": {"a": {}, "b": EQ}, "ReturnValues": "UPDATED_OLD"},
            RETURN_VALUES,
        ),
        (
            {"Expected": {"a": {}}},
            "One or more parameter values were invalid: Value must be provided when Exists is null for Attribute: a",
        ),
        ({**LONG, "ConditionExpression": ""}, SIZE),
        ({"ConditionExpression": "", "ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
        ({"ConditionExpression": "", "ExpressionAttributeValues": VALUES}, EMPTY_EXPRESSION),
    ],
)
def test_the_order_for_a_put(change: dict[str, Any], message: str) -> None:
    """Table, what goes together, the item, ReturnValues, the item's size, Expected, expressions."""
    assert said("put", change) == message


@pytest.mark.parametrize("operation", ["put", "delete"])
@pytest.mark.parametrize("value", ["ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"])
def test_what_a_put_and_a_delete_cannot_return(operation: str, value: str) -> None:
    """They have the old item or none."""
    assert said(operation, {"ReturnValues": value}) == RETURN_VALUES


def test_stages_in_their_order() -> None:
    """Types before constraints, constraints before names, names before everything else."""
    everything = {
        "TableName": "ab",
        "ReturnConsumedCapacity": "SOME",
        "ConditionalOperator": "AND",
        "Item": {"pk": {"S": 1}},
    }
    from_body, body = BODIES["put"]
    assert refusal(from_body, body | everything, is_json=True) == (
        "SerializationException",
        "NUMBER_VALUE cannot be converted to String",
    )
    everything["Item"] = {"pk": {}}
    assert said("put", everything) == (
        "1 validation error detected: Value 'SOME' at 'returnConsumedCapacity' failed to satisfy constraint: Member "
        "must satisfy enum value set: [INDEXES, TOTAL, NONE]"
    )
    everything["ReturnConsumedCapacity"] = "TOTAL"
    assert said("put", everything) == SHORT_NAME.format("ab")
    everything["TableName"] = "music"
    assert said("put", everything) == WITHOUT


def test_several_enumerations_at_once() -> None:
    """As DynamoDB tells them of a put."""
    wrong = {"ReturnConsumedCapacity": "x", "ReturnItemCollectionMetrics": "y", "ReturnValues": "z", "TableName": ""}
    assert said("put", wrong) == (
        "4 validation errors detected: "
        "Value 'z' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: "
        "[ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]; "
        "Value 'x' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: "
        "[INDEXES, TOTAL, NONE]; "
        "Value 'y' at 'returnItemCollectionMetrics' failed to satisfy constraint: Member must satisfy enum value set: "
        "[SIZE, NONE]; "
        "Value '' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 1"
    )


def test_legacy_conditions_in_model_form() -> None:
    """Their values are, and nothing else is changed."""
    given: dict[str, dict[str, Any]] = {
        "a": {"Value": {"N": "1.0"}, "Exists": True},
        "b": {"AttributeValueList": [{"B": "AA=="}]},
    }
    expected = {"a": {"Value": {"N": "1"}, "Exists": True}, "b": {"AttributeValueList": [{"B": b"\x00"}]}}
    assert with_values(given, True) == expected
