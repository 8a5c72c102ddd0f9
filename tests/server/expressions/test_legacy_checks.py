"""What the parameters from before there were expressions must be."""

from __future__ import annotations

from typing import Any

import pytest

from server.expressions.legacy import attribute_updates, expected_condition, filter_condition
from server.model.errors import ValidationError

S, N, L = {"S": "x"}, {"N": "1"}, {"L": [{"S": "x"}]}
INVALID = "One or more parameter values were invalid: "
OPERATORS = "[IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]"
BACKWARDS = "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"


def compare(operator: str, *values: Any) -> dict[str, Any]:
    return {"ComparisonOperator": operator, "AttributeValueList": list(values)}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            {"Value": S, "AttributeValueList": [S]},
            "Value and AttributeValueList cannot be used together for Attribute: a",
        ),
        (
            {"ComparisonOperator": "EQ", "Exists": True, "Value": S},
            "Exists and ComparisonOperator cannot be used together for Attribute: a",
        ),
        (
            {"ComparisonOperator": "EQ"},
            "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
        ),
        ({"AttributeValueList": [S]}, "AttributeValueList can only be used with a ComparisonOperator for Attribute: a"),
        ({}, "Value must be provided when Exists is null for Attribute: a"),
        ({"Exists": True}, "Value must be provided when Exists is true for Attribute: a"),
        ({"Exists": False, "Value": S}, "Value cannot be used when Exists is false for Attribute: a"),
        (
            {"ComparisonOperator": "NULL", "Value": S},
            "Invalid number of argument(s) for the NULL ComparisonOperator",
        ),
    ],
)
def test_expected(condition: dict[str, Any], message: str) -> None:
    """What can be said together."""
    with pytest.raises(ValidationError) as raised:
        expected_condition({"a": condition}, None)
    assert raised.value.message == INVALID + message


COUNT = INVALID + "Invalid number of argument(s) for the {} ComparisonOperator"
TYPE = INVALID + "ComparisonOperator {} is not valid for {} AttributeValue type"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (compare("EQ"), COUNT.format("EQ")),
        (compare("EQ", S, S), COUNT.format("EQ")),
        (compare("NULL", S), COUNT.format("NULL")),
        (compare("NOT_NULL", S), COUNT.format("NOT_NULL")),
        (compare("IN"), COUNT.format("IN")),
        (compare("IN", *[S] * 101), COUNT.format("IN")),
        (compare("BETWEEN", S), COUNT.format("BETWEEN")),
        (compare("CONTAINS", S, S), COUNT.format("CONTAINS")),
        (compare("IN", S, N), INVALID + "AttributeValues inside AttributeValueList must be of same type"),
        (compare("BETWEEN", S, N), INVALID + "AttributeValues inside AttributeValueList must be of same type"),
        *[(compare(operator, L), TYPE.format(operator, "L")) for operator in ("LT", "LE", "GT", "GE", "IN")],
        *[
            (compare(operator, L), TYPE.format(operator, "L"))
            for operator in ("CONTAINS", "NOT_CONTAINS", "BEGINS_WITH")
        ],
        (compare("BETWEEN", L, L), TYPE.format("BETWEEN", "L")),
        (compare("BEGINS_WITH", N), TYPE.format("BEGINS_WITH", "N")),
        (compare("BETWEEN", {"N": "10"}, {"N": "9"}), BACKWARDS),
    ],
)
def test_operators(condition: dict[str, Any], message: str) -> None:
    """How many values, of which types; in Expected as in filters."""
    with pytest.raises(ValidationError) as raised:
        expected_condition({"a": condition}, None)
    assert raised.value.message == message
    with pytest.raises(ValidationError) as raised:
        filter_condition({"a": condition}, None, "ScanFilter")
    assert raised.value.message == message


def test_a_hundred_values_are_not_too_many() -> None:
    """As in an expression."""
    assert expected_condition({"a": compare("IN", *[S] * 100)}, None) is not None


def test_unknown_operators() -> None:
    """Are named with their place."""
    constraint = f"failed to satisfy constraint: Member must satisfy enum value set: {OPERATORS}"
    with pytest.raises(ValidationError) as raised:
        expected_condition({"a": {"ComparisonOperator": "eq", "Value": S}}, None)
    assert raised.value.message == (
        f"1 validation error detected: Value 'eq' at 'expected.a.member.comparisonOperator' {constraint}"
    )
    with pytest.raises(ValidationError) as raised:
        filter_condition({"a": compare("", S)}, None, "QueryFilter")
    assert raised.value.message == (
        f"1 validation error detected: Value '' at 'queryFilter.a.member.comparisonOperator' {constraint}"
    )
    with pytest.raises(ValidationError) as raised:
        filter_condition({"a": {"AttributeValueList": [S]}}, None, "ScanFilter")
    assert raised.value.message == (
        "1 validation error detected: Value null at 'scanFilter.a.member.comparisonOperator' "
        "failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({}, INVALID + "Only DELETE action is allowed when no attribute value is specified"),
        ({"Action": "PUT"}, INVALID + "Only DELETE action is allowed when no attribute value is specified"),
        ({"Action": "ADD"}, INVALID + "Only DELETE action is allowed when no attribute value is specified"),
        ({"Action": "DELETE", "Value": S}, INVALID + "DELETE action with value is not supported for the type S"),
        ({"Action": "DELETE", "Value": L}, INVALID + "DELETE action with value is not supported for the type L"),
        ({"Action": "ADD", "Value": S}, INVALID + "ADD action is not supported for the type S"),
        ({"Action": "ADD", "Value": {"M": {}}}, INVALID + "ADD action is not supported for the type M"),
        (
            {"Action": "put", "Value": S},
            "1 validation error detected: Value 'put' at 'attributeUpdates.a.member.action' failed to satisfy "
            "constraint: Member must satisfy enum value set: [ADD, PUT, DELETE]",
        ),
    ],
)
def test_actions(update: dict[str, Any], message: str) -> None:
    """Of AttributeUpdates."""
    with pytest.raises(ValidationError) as raised:
        attribute_updates({"a": update})
    assert raised.value.message == message
