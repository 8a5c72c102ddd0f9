"""UpdateItem: every clause and function of an update expression, and what comes back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.database import (
    CONDITION_FAILED,
    FAILED,
    INVALID,
    Database,
    Native,
    Refusal,
    invalid,
    key_of,
    native,
    placeholders,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

BAD_PATH = "The document path provided in the update expression is invalid for update"
BAD_TYPE = "An operand in the update expression has an incorrect data type"
NO_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"

Item = dict[str, Native]

CHANGES: list[tuple[str, Item, str, Item, Item]] = [
    # SET
    ("set", {}, "SET a = :v", {"v": 1}, {"a": 1}),
    ("replace", {"a": "x", "b": 2}, "SET a = :v", {"v": [1]}, {"a": [1], "b": 2}),
    ("several", {"a": 1}, "SET a = :v, b = :w", {"v": 2, "w": {"x"}}, {"a": 2, "b": {"x"}}),
    ("lower case", {}, "set a = :v remove b", {"v": 1}, {"a": 1}),
    ("copy", {"a": {"x": 1}}, "SET b = a", {}, {"a": {"x": 1}, "b": {"x": 1}}),
    ("copy a part", {"a": {"x": [1, 2]}}, "SET b = a.x[1]", {}, {"a": {"x": [1, 2]}, "b": 2}),
    ("swap", {"a": 1, "b": 2}, "SET a = b, b = a", {}, {"a": 2, "b": 1}),
    ("old values are read", {"a": 1}, "SET a = :v, b = a", {"v": 9}, {"a": 9, "b": 1}),
    ("copy what is removed", {"a": 1}, "SET b = a REMOVE a", {}, {"b": 1}),
    ("plus", {"a": 1}, "SET a = a + :v", {"v": 2}, {"a": 3}),
    ("minus", {"a": 1}, "SET a = a - :v", {"v": 2}, {"a": -1}),
    ("value minus path", {"a": 1}, "SET a = :v - a", {"v": Decimal("0.5")}, {"a": Decimal("-0.5")}),
    ("two values", {}, "SET a = :v + :w", {"v": 1, "w": 2}, {"a": 3}),
    ("two paths", {"a": 1, "b": 2}, "SET c = a + b", {}, {"a": 1, "b": 2, "c": 3}),
    ("no blanks", {"a": 1}, "SET a=a+:v,b=:v", {"v": 1}, {"a": 2, "b": 1}),
    ("parentheses", {"a": 1}, "SET a = (a + :v)", {"v": 1}, {"a": 2}),
    # if_not_exists
    ("if_not_exists, absent", {}, "SET a = if_not_exists(a, :v)", {"v": 1}, {"a": 1}),
    ("if_not_exists, present", {"a": 0}, "SET a = if_not_exists(a, :v)", {"v": 1}, {"a": 0}),
    ("if_not_exists, another", {"b": 5}, "SET a = if_not_exists(b, :v)", {"v": 1}, {"a": 5, "b": 5}),
    ("if_not_exists, two paths", {"c": 7}, "SET a = if_not_exists(b, c)", {}, {"a": 7, "c": 7}),
    (
        "if_not_exists, nested path",
        {"m": {"x": 1}},
        "SET a = if_not_exists(m.x, :v)",
        {"v": 2},
        {"m": {"x": 1}, "a": 1},
    ),
    ("counter", {}, "SET a = if_not_exists(a, :z) + :v", {"z": 0, "v": 5}, {"a": 5}),
    ("counter, again", {"a": 5}, "SET a = :v + if_not_exists(a, :z)", {"z": 0, "v": 5}, {"a": 10}),
    # list_append
    ("append", {"a": [1]}, "SET a = list_append(a, :v)", {"v": [2, "x"]}, {"a": [1, 2, "x"]}),
    ("prepend", {"a": [1]}, "SET a = list_append(:v, a)", {"v": [2]}, {"a": [2, 1]}),
    ("append two values", {}, "SET a = list_append(:v, :w)", {"v": [1], "w": []}, {"a": [1]}),
    ("append to itself", {"a": [1, 2]}, "SET a = list_append(a, a)", {}, {"a": [1, 2, 1, 2]}),
    (
        "append or begin",
        {},
        "SET a = list_append(if_not_exists(a, :none), :v)",
        {"none": [], "v": [1]},
        {"a": [1]},
    ),
    # paths
    ("in a map", {"m": {"x": 1, "y": 2}}, "SET m.x = :v", {"v": 9}, {"m": {"x": 9, "y": 2}}),
    ("new in a map", {"m": {}}, "SET m.x = :v", {"v": 9}, {"m": {"x": 9}}),
    ("in a list", {"l": [1, 2, 3]}, "SET l[1] = :v", {"v": 9}, {"l": [1, 9, 3]}),
    ("past a list's end", {"l": [1]}, "SET l[7] = :v", {"v": 9}, {"l": [1, 9]}),
    ("two past a list's end", {"l": [1]}, "SET l[9] = :v, l[7] = :w", {"v": 9, "w": 7}, {"l": [1, 7, 9]}),
    ("first of an empty list", {"l": []}, "SET l[0] = :v", {"v": 1}, {"l": [1]}),
    ("deep", {"m": {"l": [{"x": 1}]}}, "SET m.l[0].x = m.l[0].x + :v", {"v": 1}, {"m": {"l": [{"x": 2}]}}),
    ("list in a list", {"l": [[1, 2]]}, "SET l[0][1] = :v", {"v": 9}, {"l": [[1, 9]]}),
    ("siblings", {"m": {"x": 1}}, "SET m.x = :v, m.y = :w", {"v": 2, "w": 3}, {"m": {"x": 2, "y": 3}}),
    # REMOVE
    ("remove", {"a": 1, "b": 2}, "REMOVE a", {}, {"b": 2}),
    ("remove several", {"a": 1, "b": 2, "c": 3}, "REMOVE a, c", {}, {"b": 2}),
    ("remove what is absent", {"a": 1}, "REMOVE b", {}, {"a": 1}),
    ("remove in a map", {"m": {"x": 1, "y": 2}}, "REMOVE m.x", {}, {"m": {"y": 2}}),
    ("remove the last in a map", {"m": {"x": 1}}, "REMOVE m.x", {}, {"m": {}}),
    ("remove in a list", {"l": [1, 2, 3]}, "REMOVE l[1]", {}, {"l": [1, 3]}),
    ("remove several in a list", {"l": [0, 1, 2, 3, 4]}, "REMOVE l[1], l[3]", {}, {"l": [0, 2, 4]}),
    ("an index is that of before", {"l": [2, 3, 4, 5]}, "REMOVE l[1] SET l[3] = :v", {"v": 9}, {"l": [2, 4, 9]}),
    ("remove what is absent in a map", {"m": {"x": 1}}, "REMOVE m.y", {}, {"m": {"x": 1}}),
    ("remove the last of a list", {"l": [1]}, "REMOVE l[0]", {}, {"l": []}),
    ("remove past a list's end", {"l": [1]}, "REMOVE l[5]", {}, {"l": [1]}),
    ("set and remove in a list", {"l": [0, 1, 2]}, "SET l[0] = :v REMOVE l[1]", {"v": 9}, {"l": [9, 2]}),
    # ADD
    ("add to a number", {"a": 1}, "ADD a :v", {"v": Decimal("-2.5")}, {"a": Decimal("-1.5")}),
    ("add to nothing", {}, "ADD a :v", {"v": 5}, {"a": 5}),
    ("add to a set", {"a": {"x"}}, "ADD a :v", {"v": {"x", "y"}}, {"a": {"x", "y"}}),
    ("a set where nothing is", {}, "ADD a :v", {"v": {1, 2}}, {"a": {1, 2}}),
    ("add to binaries", {"a": {b"\x00"}}, "ADD a :v", {"v": {b"\x01"}}, {"a": {b"\x00", b"\x01"}}),
    ("add inside", {"m": {"n": 1}}, "ADD m.n :v", {"v": 1}, {"m": {"n": 2}}),
    ("add inside, new", {"m": {}}, "ADD m.n :v, m.s :w", {"v": 1, "w": {"x"}}, {"m": {"n": 1, "s": {"x"}}}),
    ("add in a list", {"l": [1]}, "ADD l[0] :v", {"v": 1}, {"l": [2]}),
    # DELETE
    ("delete from a set", {"a": {"x", "y"}}, "DELETE a :v", {"v": {"x", "z"}}, {"a": {"y"}}),
    ("delete all of a set", {"a": {1, 2}, "b": 1}, "DELETE a :v", {"v": {1, 2, 3}}, {"b": 1}),
    ("delete where nothing is", {"b": 1}, "DELETE a :v", {"v": {"x"}}, {"b": 1}),
    ("delete inside", {"m": {"s": {1, 2}}}, "DELETE m.s :v", {"v": {1}}, {"m": {"s": {2}}}),
    # together
    (
        "every clause",
        {"a": 1, "b": 2, "c": 3, "d": {"x", "y"}},
        "SET a = :v REMOVE b ADD c :v DELETE d :w",
        {"v": 10, "w": {"x"}},
        {"a": 10, "c": 13, "d": {"y"}},
    ),
    (
        "clauses in another order",
        {"a": 1, "b": 2, "d": {"x", "y"}},
        "DELETE d :w ADD c :v REMOVE b SET a = :v",
        {"v": 10, "w": {"x"}},
        {"a": 10, "c": 10, "d": {"y"}},
    ),
    (
        "types are kept",
        {},
        "SET a = :v",
        {"v": [None, True, b"\x00", "", {"m": {1}}]},
        {"a": [None, True, b"\x00", "", {"m": {1}}]},
    ),
]


@pytest.mark.parametrize(
    ("item", "expression", "values", "after"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
def test_a_change(database: Database, item: Item, expression: str, values: Item, after: Item) -> None:
    """What is there afterwards."""
    key = {"pk": unique()}
    database.put(database.plain, {**key, **item})
    database.update(database.plain, key, expression, **values)
    assert database.get(database.plain, key) == {**key, **after}


FAILURES: list[tuple[Item, str, Item, str]] = [
    ({}, "SET m.x = :v", {"v": 1}, BAD_PATH),
    ({"m": {}}, "SET m.x.y = :v", {"v": 1}, BAD_PATH),
    ({"m": 1}, "SET m.x = :v", {"v": 1}, BAD_PATH),
    ({"m": [1]}, "SET m.x = :v", {"v": 1}, BAD_PATH),
    ({"m": {}}, "SET m[0] = :v", {"v": 1}, BAD_PATH),
    ({"m": {"a"}}, "SET m[0] = :v", {"v": 1}, BAD_PATH),
    ({}, "REMOVE m.x", {}, BAD_PATH),
    ({"m": 1}, "REMOVE m.x", {}, BAD_PATH),
    ({}, "REMOVE l[0]", {}, BAD_PATH),
    ({}, "ADD m.x :v", {"v": 1}, BAD_PATH),
    ({}, "DELETE m.x :v", {"v": {1}}, BAD_PATH),
    ({}, "SET a = b", {}, NO_ATTRIBUTE),
    ({"m": {}}, "SET a = m.x", {}, NO_ATTRIBUTE),
    ({"l": [1]}, "SET a = l[1]", {}, NO_ATTRIBUTE),
    ({}, "SET a = a + :v", {"v": 1}, NO_ATTRIBUTE),
    ({}, "SET a = list_append(a, :v)", {"v": [1]}, NO_ATTRIBUTE),
    ({}, "SET a = if_not_exists(b, c)", {}, NO_ATTRIBUTE),
    ({"a": "x"}, "SET a = a + :v", {"v": 1}, BAD_TYPE),
    ({"a": 1}, "SET a = list_append(a, :v)", {"v": [1]}, BAD_TYPE),
    ({"a": {"x"}}, "SET a = list_append(a, :v)", {"v": [1]}, BAD_TYPE),
    ({"a": "x"}, "ADD a :v", {"v": 1}, BAD_TYPE),
    ({"a": 1}, "ADD a :v", {"v": {1}}, BAD_TYPE),
    ({"a": {"x"}}, "ADD a :v", {"v": {1}}, BAD_TYPE),
    ({"a": [1]}, "ADD a :v", {"v": 1}, BAD_TYPE),
    ({"a": 1}, "DELETE a :v", {"v": {1}}, BAD_TYPE),
    ({"a": {"x"}}, "DELETE a :v", {"v": {1}}, BAD_TYPE),
]


@pytest.mark.parametrize(
    ("item", "expression", "values", "message"), FAILURES, ids=[str(each[:3]) for each in FAILURES]
)
def test_a_change_that_this_item_does_not_allow(
    database: Database, item: Item, expression: str, values: Item, message: str
) -> None:
    """An error, and nothing is changed."""
    key = {"pk": unique()}
    database.put(database.plain, {**key, **item})
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression=f"{expression}",
        **placeholders(values),
    )
    assert refused == invalid(message)
    assert database.get(database.plain, key) == {**key, **item}


def test_a_change_fails_as_a_whole(database: Database) -> None:
    """What was in order is not done either."""
    item = {"pk": unique(), "a": 1, "s": "x"}
    database.put(database.plain, item)
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed(key_of(item)),
        UpdateExpression="SET a = :v, b = :v ADD s :v",
        **placeholders({"v": 2}),
    )
    assert refused == invalid(BAD_TYPE)
    assert database.get(database.plain, item) == item


def test_an_item_that_is_not_there_is_made(database: Database) -> None:
    """With its key and what is set; also by an update that says nothing."""
    first, second = ({"pk": unique(), "sk": "a"} for _ in range(2))
    database.update(database.sorted, first, "SET a = :v", v=1)
    assert database.get(database.sorted, first) == {**first, "a": 1}
    database.client.update_item(TableName=database.sorted, Key=typed(second))
    assert database.get(database.sorted, second) == second


@pytest.mark.parametrize("expression", ["REMOVE a", "REMOVE a.b", "REMOVE a[0]", "DELETE a :v"])
def test_a_removal_makes_no_item(database: Database, expression: str) -> None:
    """There is nothing to remove, whatever the path is, and nothing is returned."""
    key = {"pk": unique()}
    answer = database.client.update_item(
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression=expression,
        ReturnValues="ALL_NEW",
        **placeholders({"v": {1}} if ":v" in expression else {}),
    )
    assert "Attributes" not in answer
    assert database.get(database.plain, key) is None


def test_an_update_without_expression_changes_nothing(database: Database) -> None:
    """And returns the item if it is asked to."""
    item = {"pk": unique(), "a": 1}
    database.put(database.plain, item)
    answer = database.client.update_item(TableName=database.plain, Key=typed(key_of(item)), ReturnValues="ALL_NEW")
    assert native(answer["Attributes"]) == item


RETURNED: list[tuple[str, Item | None, str, Item, dict[str, Item | None]]] = [
    (
        "set",
        {"a": 1, "b": 2},
        "SET a = :v",
        {"v": 9},
        {
            "ALL_OLD": {"a": 1, "b": 2},
            "ALL_NEW": {"a": 9, "b": 2},
            "UPDATED_OLD": {"a": 1},
            "UPDATED_NEW": {"a": 9},
        },
    ),
    (
        "an item that was not there",
        None,
        "SET a = :v",
        {"v": 9},
        {"ALL_OLD": None, "ALL_NEW": {"a": 9}, "UPDATED_OLD": None, "UPDATED_NEW": {"a": 9}},
    ),
    (
        "a new attribute",
        {"b": 2},
        "SET a = :v",
        {"v": 9},
        {"ALL_OLD": {"b": 2}, "ALL_NEW": {"a": 9, "b": 2}, "UPDATED_OLD": None, "UPDATED_NEW": {"a": 9}},
    ),
    (
        "remove",
        {"a": 1, "b": 2},
        "REMOVE a",
        {},
        {"ALL_OLD": {"a": 1, "b": 2}, "ALL_NEW": {"b": 2}, "UPDATED_OLD": {"a": 1}, "UPDATED_NEW": None},
    ),
    (
        "set and remove",
        {"a": 1, "b": 2, "c": 3},
        "SET a = :v REMOVE b",
        {"v": 9},
        {
            "ALL_OLD": {"a": 1, "b": 2, "c": 3},
            "ALL_NEW": {"a": 9, "c": 3},
            "UPDATED_OLD": {"a": 1, "b": 2},
            "UPDATED_NEW": {"a": 9},
        },
    ),
    (
        "a part of a map",
        {"m": {"x": 1, "y": 2}},
        "SET m.x = :v",
        {"v": 9},
        {
            "ALL_OLD": {"m": {"x": 1, "y": 2}},
            "ALL_NEW": {"m": {"x": 9, "y": 2}},
            "UPDATED_OLD": {"m": {"x": 1}},
            "UPDATED_NEW": {"m": {"x": 9}},
        },
    ),
    (
        "two parts of a map",
        {"m": {"x": 1, "y": 2, "z": 3}},
        "SET m.x = :v, m.z = :v",
        {"v": 9},
        {
            "ALL_OLD": {"m": {"x": 1, "y": 2, "z": 3}},
            "ALL_NEW": {"m": {"x": 9, "y": 2, "z": 9}},
            "UPDATED_OLD": {"m": {"x": 1, "z": 3}},
            "UPDATED_NEW": {"m": {"x": 9, "z": 9}},
        },
    ),
    (
        "elements of a list",
        {"l": [0, 1, 2, 3]},
        "SET l[1] = :v, l[3] = :v",
        {"v": 9},
        {
            "ALL_OLD": {"l": [0, 1, 2, 3]},
            "ALL_NEW": {"l": [0, 9, 2, 9]},
            "UPDATED_OLD": {"l": [1, 3]},
            "UPDATED_NEW": {"l": [9, 9]},
        },
    ),
    (
        "add",
        {"n": 1, "s": {"x"}},
        "ADD n :n, s :s",
        {"n": 2, "s": {"y"}},
        {
            "ALL_OLD": {"n": 1, "s": {"x"}},
            "ALL_NEW": {"n": 3, "s": {"x", "y"}},
            "UPDATED_OLD": {"n": 1, "s": {"x"}},
            "UPDATED_NEW": {"n": 3, "s": {"x", "y"}},
        },
    ),
    (
        "delete all of a set",
        {"s": {"x"}},
        "DELETE s :s",
        {"s": {"x"}},
        {"ALL_OLD": {"s": {"x"}}, "ALL_NEW": {}, "UPDATED_OLD": {"s": {"x"}}, "UPDATED_NEW": None},
    ),
]
RETURNED += [
    # What is at the expression's paths afterwards, whoever it is: what moved up, and nothing past the end.
    ("remove from a list", {"l": [1, 2, 3]}, "REMOVE l[1]", {}, {"UPDATED_OLD": {"l": [2]}, "UPDATED_NEW": {"l": [3]}}),
    ("past a list's end", {"l": [1]}, "SET l[9] = :v", {"v": 2}, {"UPDATED_OLD": None, "UPDATED_NEW": None}),
    ("the same again", {"a": 1}, "SET a = :v", {"v": 1}, {"UPDATED_OLD": {"a": 1}, "UPDATED_NEW": {"a": 1}}),
    (
        "remove what is absent",
        {"a": 1},
        "REMOVE b",
        {},
        {"ALL_NEW": {"a": 1}, "UPDATED_OLD": None, "UPDATED_NEW": None},
    ),
]
_CASES = [
    pytest.param(item, expression, values, kind, expected, id=f"{name}-{kind}")
    for name, item, expression, values, by_kind in RETURNED
    for kind, expected in {**by_kind, "NONE": None}.items()
]


@pytest.mark.parametrize(("item", "expression", "values", "return_values", "expected"), _CASES)
def test_what_an_update_returns(
    database: Database, item: Item | None, expression: str, values: Item, return_values: str, expected: Item | None
) -> None:
    """ALL_OLD and ALL_NEW have the whole item with its key, UPDATED_OLD and UPDATED_NEW what the expression named."""
    key = {"pk": unique()}
    if item is not None:
        database.put(database.plain, {**key, **item})
    answer = database.client.update_item(
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression=expression,
        ReturnValues=return_values,
        **placeholders(values),
    )
    if expected is None:
        assert "Attributes" not in answer
    else:
        whole = key if return_values.startswith("ALL") else {}
        assert native(answer["Attributes"]) == {**whole, **expected}


def test_an_update_on_a_condition(database: Database) -> None:
    """It is about the item before the update; a failure changes nothing and makes no item."""
    item = {"pk": unique(), "a": 1}
    database.put(database.plain, item)
    parameters: dict[str, Any] = {
        "TableName": database.plain,
        "UpdateExpression": "SET a = a + :one",
        "ConditionExpression": "a < :top",
        **placeholders({"one": 1, "top": 2}),
    }
    assert database.refusal("update_item", Key=typed(key_of(item)), **parameters) is None
    assert database.refusal("update_item", Key=typed(key_of(item)), **parameters) == Refusal(FAILED, CONDITION_FAILED)
    assert database.get(database.plain, item) == {**item, "a": 2}
    other = {"pk": unique()}
    assert database.refusal("update_item", Key=typed(other), **parameters) == Refusal(FAILED, CONDITION_FAILED)
    assert database.get(database.plain, other) is None


def test_a_failed_condition_comes_before_a_failed_update(database: Database) -> None:
    """The update of an item whose condition fails is not even tried."""
    key = {"pk": unique()}
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression="SET a = b",
        ConditionExpression="attribute_exists(pk)",
    )
    assert refused == Refusal(FAILED, CONDITION_FAILED)


@pytest.mark.parametrize("expression", ["SET pk = :v", "SET sk = :v", "REMOVE pk", "ADD sk :v", "SET a = :v REMOVE sk"])
def test_a_key_cannot_be_changed(database: Database, expression: str) -> None:
    """Not even to what it is."""
    name = "pk" if "pk" in expression else "sk"
    key = {"pk": unique(), "sk": 1}
    values = placeholders({"v": 1}) if ":v" in expression else {}
    refused = database.refusal(
        "update_item", TableName=database.numbered, Key=typed(key), UpdateExpression=expression, **values
    )
    assert refused == invalid(f"{INVALID}Cannot update attribute {name}. This attribute is part of the key")


@pytest.mark.parametrize("expression", ["SET a = pk", "SET a = if_not_exists(pk, :v)"])
def test_a_key_can_be_read(database: Database, expression: str) -> None:
    """Of an item that is there."""
    key = {"pk": unique()}
    database.put(database.plain, key)
    database.update(database.plain, key, expression, **({"v": 1} if ":v" in expression else {}))
    assert database.get(database.plain, key) == {**key, "a": key["pk"]}


def test_an_update_that_makes_an_item_too_large(database: Database) -> None:
    """It is refused with words of its own; the item stays."""
    item = {"pk": unique(), "a": "x" * 300_000}
    database.put(database.plain, item)
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed(key_of(item)),
        UpdateExpression="SET b = :v",
        **placeholders({"v": "x" * 200_000}),
    )
    assert refused == invalid("Item size to update has exceeded the maximum allowed size")
    assert database.get(database.plain, item) == item
