"""The parameters from before there were expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given

from server.expressions.codec import encode
from server.expressions.compiled import compiled_condition, compiled_projection, compiled_update
from server.expressions.key_condition import KeyCondition, SortCondition
from server.expressions.legacy import (
    attribute_updates,
    attributes_to_get,
    expected_condition,
    filter_condition,
    legacy_key_condition,
)
from server.model.errors import ValidationError
from server.model.item import AttributeValue, Item
from tests.server.expressions.reference import native
from tests.server.expressions.strategies import attribute_values

ITEM: Item = {
    "num": {"N": "10"},
    "str": {"S": "banana"},
    "tags": {"SS": ["a", "b"]},
    "list": {"L": [{"S": "a"}, {"N": "1"}]},
    "map": {"M": {"x": {"N": "1"}}},
    "nil": {"NULL": True},
    "a.b": {"S": "dotted"},
}


def s(text: str) -> AttributeValue:
    return {"S": text}


def n(number: int) -> AttributeValue:
    return {"N": str(number)}


def is_met(expected: Mapping[str, Any], operator: str | None = None, item: Item = ITEM) -> bool:
    condition = expected_condition(expected, operator)
    assert condition is not None
    assert condition.paths == {(name,) for name in expected}
    met = compiled_condition(encode(condition.tree))(item, condition.values)
    if all("ComparisonOperator" in each and "Value" not in each for each in expected.values()):
        same = filter_condition(expected, operator, "ScanFilter")
        assert same == condition
    return met


def compare(operator: str, *values: AttributeValue) -> dict[str, Any]:
    return {"ComparisonOperator": operator, "AttributeValueList": list(values)}


@pytest.mark.parametrize(
    ("name", "condition", "met"),
    [
        ("num", {"Value": n(10)}, True),
        ("num", {"Value": n(11)}, False),
        ("num", {"Value": n(10), "Exists": True}, True),
        ("gone", {"Value": n(10), "Exists": True}, False),
        ("gone", {"Exists": False}, True),
        ("num", {"Exists": False}, False),
        ("nil", {"Exists": False}, False),
        ("a.b", {"Value": s("dotted")}, True),
        ("num", {"ComparisonOperator": "EQ", "Value": n(10)}, True),
        ("num", compare("EQ", n(10)), True),
        ("tags", compare("EQ", {"SS": ["b", "a"]}), True),
        ("list", compare("EQ", ITEM["list"]), True),
        ("gone", compare("EQ", n(10)), False),
        ("num", compare("NE", n(10)), False),
        ("num", compare("NE", s("10")), True),
        ("gone", compare("NE", n(10)), True),
        ("num", compare("LT", n(11)), True),
        ("num", compare("LE", n(10)), True),
        ("num", compare("GT", n(10)), False),
        ("num", compare("GE", n(10)), True),
        ("num", compare("LT", s("x")), False),
        ("gone", compare("LT", n(11)), False),
        ("num", compare("BETWEEN", n(9), n(10)), True),
        ("num", compare("BETWEEN", n(11), n(12)), False),
        ("num", compare("IN", n(9), n(10)), True),
        ("num", compare("IN", s("10")), False),
        ("str", compare("BEGINS_WITH", s("ban")), True),
        ("str", compare("CONTAINS", s("nan")), True),
        ("tags", compare("CONTAINS", s("a")), True),
        ("list", compare("CONTAINS", n(1)), True),
        ("str", compare("NOT_CONTAINS", s("nan")), False),
        ("str", compare("NOT_CONTAINS", s("x")), True),
        ("num", compare("NOT_CONTAINS", s("x")), True),
        ("gone", compare("NOT_CONTAINS", s("x")), False),
        ("num", {"ComparisonOperator": "NOT_NULL"}, True),
        ("nil", {"ComparisonOperator": "NOT_NULL"}, True),
        ("gone", compare("NOT_NULL"), False),
        ("num", {"ComparisonOperator": "NULL"}, False),
        ("gone", compare("NULL"), True),
    ],
)
def test_conditions(name: str, condition: dict[str, Any], met: bool) -> None:
    """Of the item above."""
    assert is_met({name: condition}) is met


@given(attribute_values, attribute_values)
def test_equal_or_not(value: AttributeValue, other: AttributeValue) -> None:
    """EQ and NE are opposites."""
    equal = native(value) == native(other)
    assert is_met({"a": compare("EQ", other)}, item={"a": value}) is equal
    assert is_met({"a": compare("NE", other)}, item={"a": value}) is not equal


def test_several_attributes() -> None:
    """All of them, or with OR one."""
    right, wrong = {"Value": n(10)}, {"Value": s("x")}
    assert is_met({"num": right, "gone": {"Exists": False}})
    assert not is_met({"num": right, "str": wrong}, "AND")
    assert is_met({"str": wrong, "num": right}, "OR")
    assert not is_met({"str": wrong, "num": wrong}, "OR")
    assert expected_condition({}, None) is None
    assert filter_condition({}, "OR", "QueryFilter") is None


def updated(updates: Mapping[str, Any], item: Item = ITEM) -> Item:
    update = attribute_updates(updates)
    assert update is not None
    assert update.paths == {(name,) for name in updates}
    return compiled_update(encode(update.tree)).apply(item, update.values)


@pytest.mark.parametrize(
    ("name", "update", "value"),
    [
        ("num", {"Value": s("x")}, s("x")),
        ("num", {"Value": s("x"), "Action": "PUT"}, s("x")),
        ("a.b", {"Value": s("x"), "Action": "PUT"}, s("x")),
        ("new", {"Value": s("x"), "Action": "PUT"}, s("x")),
        ("num", {"Value": n(5), "Action": "ADD"}, n(15)),
        ("new", {"Value": n(5), "Action": "ADD"}, n(5)),
        ("tags", {"Value": {"SS": ["b", "c"]}, "Action": "ADD"}, {"SS": ["a", "b", "c"]}),
        ("new", {"Value": {"NS": ["1"]}, "Action": "ADD"}, {"NS": ["1"]}),
        ("list", {"Value": {"L": [n(1)]}, "Action": "ADD"}, {"L": [s("a"), n(1), n(1)]}),
        ("new", {"Value": {"L": [n(1)]}, "Action": "ADD"}, {"L": [n(1)]}),
        ("num", {"Action": "DELETE"}, None),
        ("new", {"Action": "DELETE"}, None),
        ("tags", {"Value": {"SS": ["b", "c"]}, "Action": "DELETE"}, {"SS": ["a"]}),
        ("tags", {"Value": {"SS": ["b", "a"]}, "Action": "DELETE"}, None),
        ("new", {"Value": {"SS": ["b", "a"]}, "Action": "DELETE"}, None),
    ],
)
def test_updates(name: str, update: dict[str, Any], value: AttributeValue | None) -> None:
    """Of the item above; None: there is no such attribute then."""
    changed = updated({name: update})
    assert changed.get(name) == value
    assert {other: each for other, each in changed.items() if other != name} == {
        other: each for other, each in ITEM.items() if other != name
    }


@pytest.mark.parametrize(
    "update",
    [
        {"Value": n(5), "Action": "ADD"},
        {"Value": {"NS": ["1"]}, "Action": "ADD"},
        {"Value": {"L": []}, "Action": "ADD"},
        {"Value": {"SS": ["a"]}, "Action": "DELETE"},
    ],
)
def test_updates_of_another_type(update: dict[str, Any]) -> None:
    """Have words of their own."""
    with pytest.raises(ValidationError) as raised:
        updated({"str": update})
    assert raised.value.message == "Type mismatch for attribute to update"


def test_no_updates() -> None:
    """Are none; and deletions do not make an item."""
    assert attribute_updates({}) is None
    update = attribute_updates({"a": {"Action": "DELETE"}, "b": {"Action": "DELETE", "Value": {"SS": ["a"]}}})
    assert update is not None
    assert not compiled_update(encode(update.tree)).creates_item


@pytest.mark.parametrize(
    ("conditions", "sort"),
    [
        ({"pk": compare("EQ", s("p"))}, None),
        ({"pk": compare("EQ", s("p")), "sk": compare("EQ", n(1))}, SortCondition("=", (n(1),))),
        ({"sk": compare("LT", n(1)), "pk": compare("EQ", s("p"))}, SortCondition("<", (n(1),))),
        ({"pk": compare("EQ", s("p")), "sk": compare("LE", n(1))}, SortCondition("<=", (n(1),))),
        ({"pk": compare("EQ", s("p")), "sk": compare("GT", n(1))}, SortCondition(">", (n(1),))),
        ({"pk": compare("EQ", s("p")), "sk": compare("GE", n(1))}, SortCondition(">=", (n(1),))),
        ({"pk": compare("EQ", s("p")), "sk": compare("BETWEEN", n(1), n(2))}, SortCondition("BETWEEN", (n(1), n(2)))),
        ({"pk": compare("EQ", s("p")), "sk": compare("BEGINS_WITH", s("x"))}, SortCondition("begins_with", (s("x"),))),
    ],
)
def test_key_conditions(conditions: dict[str, Any], sort: SortCondition | None) -> None:
    """As those of expressions."""
    expected = KeyCondition((s("p"),), (sort,) if sort is not None else ())
    assert legacy_key_condition(conditions, ["pk"], ["sk"]) == expected


NOT_INDEXABLE = "Attempted conditional constraint is not an indexable operation"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({}, "Conditions can be of length 1 or 2 only"),
        ({name: compare("EQ", s("p")) for name in ("pk", "sk", "x")}, "Conditions can be of length 1 or 2 only"),
        ({"sk": compare("EQ", s("p"))}, "Query condition missed key schema element: pk"),
        ({"pk": compare("EQ", s("p")), "x": compare("EQ", n(1))}, "Query condition missed key schema element: sk"),
        ({"pk": compare("LT", s("p"))}, "Query key condition not supported"),
        ({"pk": compare("NE", s("p"))}, NOT_INDEXABLE),
        ({"pk": compare("IN", s("p"))}, NOT_INDEXABLE),
        ({"pk": compare("EQ", s("p")), "sk": compare("NULL")}, NOT_INDEXABLE),
        ({"pk": compare("EQ", s("p")), "sk": compare("NOT_NULL")}, NOT_INDEXABLE),
        ({"pk": compare("EQ", s("p")), "sk": compare("CONTAINS", n(1))}, NOT_INDEXABLE),
        ({"pk": compare("EQ", s("p")), "sk": compare("NOT_CONTAINS", n(1))}, NOT_INDEXABLE),
    ],
)
def test_wrong_key_conditions(conditions: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    with pytest.raises(ValidationError) as raised:
        legacy_key_condition(conditions, ["pk"], ["sk"])
    assert raised.value.message == message


def test_attributes_to_get() -> None:
    """Names, each once, which are no paths."""
    projection = attributes_to_get(["num", "a.b", "gone"])
    assert compiled_projection(encode(projection.tree))(ITEM) == {"num": n(10), "a.b": s("dotted")}
    assert projection.paths == {("num",), ("a.b",), ("gone",)}
    with pytest.raises(ValidationError) as raised:
        attributes_to_get(["a", "b", "a"])
    assert raised.value.message == "One or more parameter values were invalid: Duplicate value in attribute name: a"


def test_there_are_limits() -> None:
    """On conditions, on the bytes of their values, on names that are asked for: just so many are taken."""
    condition = compare("EQ", s("x" * 1000))
    just, many = ({f"a{number}": condition for number in range(count)} for count in (300, 301))
    assert expected_condition(just, None) is not None
    assert filter_condition(just, None, "ScanFilter") is not None
    with pytest.raises(ValidationError, match="invalid: Expected has at most 300 entries, not 301"):
        expected_condition(many, None)
    with pytest.raises(ValidationError, match="invalid: ScanFilter has at most 300 entries, not 301"):
        filter_condition(many, None, "ScanFilter")
    with pytest.raises(ValidationError, match="ScanFilter exceeds max size"):
        filter_condition({f"a{number}": compare("EQ", s("x" * 10_000)) for number in range(250)}, None, "ScanFilter")
    assert len(attributes_to_get([f"a{number}" for number in range(2000)]).paths) == 2000
    with pytest.raises(ValidationError, match="AttributesToGet has at most 2000 entries, not 2001"):
        attributes_to_get([f"a{number}" for number in range(2001)])
