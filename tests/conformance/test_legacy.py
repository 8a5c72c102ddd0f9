"""The parameters of before expressions: the same conditions, updates, filters and projections in other words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import (
    CONDITION_FAILED,
    FAILED,
    INVALID,
    VALIDATION,
    Database,
    Native,
    Refusal,
    invalid,
    native,
    natives,
    typed,
    typed_value,
    unique,
)

pytestmark = pytest.mark.cluster

Item = dict[str, Native]

ITEM: Item = {
    "s": "hello",
    "n": 5,
    "b": b"\x01\x80",
    "t": True,
    "l": [1, "two"],
    "m": {"x": 1},
    "ss": {"a", "b"},
    "ns": {1, 2},
    "empty": "",
    "nothing": None,
}


def condition(operator: str, *values: Native) -> dict[str, Any]:
    return {
        "ComparisonOperator": operator,
        **({"AttributeValueList": [typed_value(value) for value in values]} if values else {}),
    }


TRUE: list[tuple[str, str, tuple[Native, ...]]] = [
    *((name, "EQ", (value,)) for name, value in ITEM.items()),
    ("ss", "EQ", ({"b", "a"},)),
    ("n", "NE", (6,)),
    ("n", "NE", ("5",)),
    ("absent", "NE", (5,)),
    ("n", "LE", (5,)),
    ("n", "LT", (6,)),
    ("n", "GE", (5,)),
    ("n", "GT", (4,)),
    ("s", "LT", ("help",)),
    ("b", "GT", (b"\x01\x7f",)),
    ("n", "NOT_NULL", ()),
    ("nothing", "NOT_NULL", ()),
    ("absent", "NULL", ()),
    ("s", "CONTAINS", ("ell",)),
    ("b", "CONTAINS", (b"\x80",)),
    ("ss", "CONTAINS", ("a",)),
    ("ns", "CONTAINS", (2,)),
    ("l", "CONTAINS", ("two",)),
    ("s", "NOT_CONTAINS", ("xyz",)),
    ("ss", "NOT_CONTAINS", ("c",)),
    ("s", "BEGINS_WITH", ("he",)),
    ("b", "BEGINS_WITH", (b"\x01",)),
    ("n", "IN", (1, 5)),
    ("s", "IN", ("hello",)),
    ("n", "BETWEEN", (5, 6)),
    ("s", "BETWEEN", ("a", "z")),
]
FALSE: list[tuple[str, str, tuple[Native, ...]]] = [
    ("n", "EQ", ("5",)),
    ("n", "EQ", (6,)),
    ("absent", "EQ", (5,)),
    ("n", "NE", (5,)),
    ("n", "LE", (4,)),
    ("n", "LT", ("6",)),
    ("absent", "LT", (6,)),
    ("n", "GE", (6,)),
    ("n", "GT", (5,)),
    ("absent", "NOT_NULL", ()),
    ("nothing", "NULL", ()),
    ("s", "CONTAINS", ("xyz",)),
    ("n", "CONTAINS", (5,)),
    ("absent", "CONTAINS", ("x",)),
    ("s", "NOT_CONTAINS", ("ell",)),
    ("s", "BEGINS_WITH", ("lo",)),
    ("n", "BEGINS_WITH", ("5",)),
    ("n", "IN", (1, 2)),
    ("absent", "IN", (1, 2)),
    ("n", "BETWEEN", (6, 7)),
    ("n", "BETWEEN", ("4", "6")),
]
CASES = [(*case, True) for case in TRUE] + [(*case, False) for case in FALSE]
IDS = [f"{'true' if holds else 'false'}: {name} {operator} {values}" for name, operator, values, holds in CASES]


@pytest.fixture(scope="module")
def item(database: Database) -> Item:
    stored = {"pk": unique("legacy"), "sk": "only", **ITEM}
    database.put(database.sorted, stored)
    return stored


@pytest.mark.parametrize(("name", "operator", "values", "holds"), CASES, ids=IDS)
def test_expected(
    database: Database, item: Item, name: str, operator: str, values: tuple[Native, ...], holds: bool
) -> None:
    """A condition of a write."""
    refused = database.refusal(
        "put_item", TableName=database.sorted, Item=typed(item), Expected={name: condition(operator, *values)}
    )
    assert refused == (None if holds else Refusal(FAILED, CONDITION_FAILED))


@pytest.mark.parametrize(("name", "operator", "values", "holds"), CASES, ids=IDS)
def test_query_filter(
    database: Database, item: Item, name: str, operator: str, values: tuple[Native, ...], holds: bool
) -> None:
    """A filter, with the older key conditions."""
    answer = database.client.query(
        TableName=database.sorted,
        ConsistentRead=True,
        KeyConditions={"pk": condition("EQ", item["pk"])},
        QueryFilter={name: condition(operator, *values)},
    )
    assert natives(answer["Items"]) == ([item] if holds else [])
    assert (answer["Count"], answer["ScannedCount"]) == (int(holds), 1)


@pytest.mark.parametrize(
    ("operator", "names", "holds"),
    [
        (None, ("yes", "yes"), True),
        (None, ("yes", "no"), False),
        ("AND", ("yes", "no"), False),
        ("OR", ("yes", "no"), True),
        ("OR", ("no", "yes"), True),
        ("OR", ("no", "no"), False),
    ],
)
def test_several_conditions(database: Database, operator: str | None, names: tuple[str, ...], holds: bool) -> None:
    """All of them, unless ConditionalOperator is OR: of Expected, QueryFilter and ScanFilter."""
    stored = {"pk": unique(), "sk": "a", "v0": 1, "v1": 1}
    database.put(database.sorted, stored)
    conditions = {f"v{number}": condition("EQ", 1 if name == "yes" else 2) for number, name in enumerate(names)}
    combined = {} if operator is None else {"ConditionalOperator": operator}
    refused = database.refusal(
        "put_item", TableName=database.sorted, Item=typed(stored), Expected=conditions, **combined
    )
    assert (refused is None) == holds
    answer = database.client.query(
        TableName=database.sorted,
        ConsistentRead=True,
        KeyConditions={"pk": condition("EQ", stored["pk"])},
        QueryFilter=conditions,
        **combined,
    )
    assert answer["Count"] == int(holds)


def test_scan_filter(database: Database) -> None:
    """Keys may be in it."""
    table, mark = database.numbered, unique()
    database.put(table, *({"pk": mark, "sk": number, "v": number % 2} for number in range(4)))
    found: list[Native] = []
    start: dict[str, Any] = {}
    while True:
        answer = database.client.scan(
            TableName=table,
            ConsistentRead=True,
            ScanFilter={"pk": condition("EQ", mark), "v": condition("EQ", 1), "sk": condition("LT", 3)},
            AttributesToGet=["sk"],
            **start,
        )
        found += natives(answer["Items"])
        if "LastEvaluatedKey" not in answer:
            break
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    assert found == [{"sk": 1}]


@pytest.mark.parametrize(
    ("expected", "holds"),
    [
        ({"v": {"Value": {"N": "1"}}}, True),
        ({"v": {"Value": {"N": "2"}}}, False),
        ({"v": {"Value": {"N": "1"}, "Exists": True}}, True),
        ({"v": {"Exists": False}}, False),
        ({"absent": {"Exists": False}}, True),
        ({"absent": {"Value": {"N": "1"}}}, False),
        ({"v": {"ComparisonOperator": "GT", "Value": {"N": "0"}}}, True),
        ({}, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("operation", ["put_item", "delete_item", "update_item"])
def test_exists_and_value(database: Database, operation: str, expected: dict[str, Any], holds: bool) -> None:
    """The oldest form of a condition, of every write."""
    item = {"pk": unique(), "v": 1}
    database.put(database.plain, item)
    named = {"Item": typed(item)} if operation == "put_item" else {"Key": typed({"pk": item["pk"]})}
    refused = database.refusal(operation, TableName=database.plain, Expected=expected, **named)
    assert refused == (None if holds else Refusal(FAILED, CONDITION_FAILED))


def test_expected_returns_the_item_that_failed(database: Database) -> None:
    """ReturnValuesOnConditionCheckFailure is not bound to expressions. (Not documented either way.)"""
    item = {"pk": unique(), "v": 1}
    database.put(database.plain, item)
    with pytest.raises(database.client.exceptions.ConditionalCheckFailedException) as raised:
        database.client.put_item(
            TableName=database.plain,
            Item=typed(item),
            Expected={"v": {"Value": {"N": "2"}}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert native(raised.value.response["Item"]) == item


PUT = "PUT"
UPDATES: list[tuple[Item, dict[str, tuple[str | None, Native]], Item]] = [
    ({}, {"a": (PUT, 1)}, {"a": 1}),
    ({}, {"a": (None, 1)}, {"a": 1}),
    ({"a": "x", "b": 1}, {"a": (PUT, [1])}, {"a": [1], "b": 1}),
    ({"a": 1, "b": 2}, {"a": ("DELETE", ...)}, {"b": 2}),
    ({"b": 2}, {"a": ("DELETE", ...)}, {"b": 2}),
    ({"a": {"x", "y"}}, {"a": ("DELETE", {"x", "z"})}, {"a": {"y"}}),
    ({"a": {"x"}}, {"a": ("DELETE", {"x"})}, {}),
    ({}, {"a": ("DELETE", {"x"})}, {}),
    ({"a": 1}, {"a": ("ADD", 2)}, {"a": 3}),
    ({}, {"a": ("ADD", -2)}, {"a": -2}),
    ({"a": {1}}, {"a": ("ADD", {2})}, {"a": {1, 2}}),
    ({}, {"a": ("ADD", {b"x"})}, {"a": {b"x"}}),
    ({"a": [1]}, {"a": ("ADD", [2, 1])}, {"a": [1, 2, 1]}),
    ({"a": 1, "c": {"x"}}, {"a": ("ADD", 1), "b": (PUT, 2), "c": ("DELETE", ...)}, {"a": 2, "b": 2}),
    ({}, {"a.b": (PUT, 1)}, {"a.b": 1}),
    ({"name": 1}, {"name": ("ADD", 1)}, {"name": 2}),
]


def updates(changes: dict[str, tuple[str | None, Native]]) -> dict[str, Any]:
    return {
        name: {
            **({"Action": action} if action else {}),
            **({"Value": typed_value(value)} if value is not ... else {}),
        }
        for name, (action, value) in changes.items()
    }


@pytest.mark.parametrize(("before", "changes", "after"), UPDATES, ids=str)
def test_attribute_updates(
    database: Database, before: Item, changes: dict[str, tuple[str | None, Native]], after: Item
) -> None:
    """What is there afterwards, and what comes back of it."""
    key = {"pk": unique()}
    database.put(database.plain, {**key, **before})
    answer = database.client.update_item(
        TableName=database.plain, Key=typed(key), AttributeUpdates=updates(changes), ReturnValues="UPDATED_NEW"
    )
    assert database.get(database.plain, key) == {**key, **after}
    changed = {name: value for name, value in after.items() if name in changes}
    assert native(answer.get("Attributes", {})) == changed


def test_attribute_updates_of_nothing(database: Database) -> None:
    """An item of its key alone is made, by no update; a DELETE makes none."""
    made, not_made = {"pk": unique()}, {"pk": unique()}
    answer = database.client.update_item(
        TableName=database.plain, Key=typed(made), AttributeUpdates={}, ReturnValues="ALL_NEW"
    )
    assert native(answer["Attributes"]) == made == database.get(database.plain, made)
    database.client.update_item(
        TableName=database.plain, Key=typed(not_made), AttributeUpdates={"a": {"Action": "DELETE"}}
    )
    assert database.get(database.plain, not_made) is None


MISMATCH = "Type mismatch for attribute to update"


@pytest.mark.parametrize(
    ("before", "changes", "message"),
    [
        ({"a": "x"}, {"a": ("ADD", 1)}, MISMATCH),
        ({"a": 1}, {"a": ("ADD", {1})}, MISMATCH),
        ({"a": {"x"}}, {"a": ("DELETE", {1})}, MISMATCH),
        ({}, {"a": ("ADD", "x")}, f"{INVALID}ADD action is not supported for the type S"),
        ({}, {"a": ("DELETE", "x")}, f"{INVALID}DELETE action with value is not supported for the type S"),
        ({}, {"a": (PUT, ...)}, f"{INVALID}Only DELETE action is allowed when no attribute value is specified"),
        ({}, {"a": ("ADD", ...)}, f"{INVALID}Only DELETE action is allowed when no attribute value is specified"),
        ({}, {"pk": (PUT, "x")}, f"{INVALID}Cannot update attribute pk. This attribute is part of the key"),
    ],
    ids=str,
)
def test_attribute_updates_that_are_refused(
    database: Database, before: Item, changes: dict[str, tuple[str | None, Native]], message: str
) -> None:
    """Nothing is changed."""
    key = {"pk": unique()}
    database.put(database.plain, {**key, **before})
    refused = database.refusal(
        "update_item", TableName=database.plain, Key=typed(key), AttributeUpdates=updates(changes)
    )
    assert refused == invalid(message)
    assert database.get(database.plain, key) == {**key, **before}


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("EQ", (3,), [3]),
        ("LT", (2,), [0, 1]),
        ("LE", (1,), [0, 1]),
        ("GT", (3,), [4]),
        ("GE", (3,), [3, 4]),
        ("BETWEEN", (1, 3), [1, 2, 3]),
    ],
)
def test_key_conditions(database: Database, operator: str, values: tuple[int, ...], expected: list[int]) -> None:
    """Of the sort key."""
    pk = unique()
    database.put(database.numbered, *({"pk": pk, "sk": number} for number in range(5)))
    answer = database.client.query(
        TableName=database.numbered,
        ConsistentRead=True,
        KeyConditions={"pk": condition("EQ", pk), "sk": condition(operator, *values)},
    )
    assert [item["sk"] for item in natives(answer["Items"])] == expected


def test_begins_with(database: Database) -> None:
    """Of a sort key that is a string."""
    pk = unique()
    database.put(database.sorted, *({"pk": pk, "sk": sort_key} for sort_key in ("a", "ab", "b")))
    answer = database.client.query(
        TableName=database.sorted,
        ConsistentRead=True,
        KeyConditions={"pk": condition("EQ", pk), "sk": condition("BEGINS_WITH", "a")},
        AttributesToGet=["sk", "absent"],
        ScanIndexForward=False,
    )
    assert natives(answer["Items"]) == [{"sk": "ab"}, {"sk": "a"}]


def test_attributes_to_get(database: Database) -> None:
    """Whole attributes, whatever their names; of every read."""
    item = {"pk": unique(), "sk": "a", "a.b": 1, "name": 2, "m": {"x": 1}, "n": 3}
    database.put(database.sorted, item)
    key, wanted = typed({"pk": item["pk"], "sk": "a"}), ["a.b", "name", "m", "absent"]
    expected = {name: item[name] for name in wanted if name in item}
    parameters: dict[str, Any] = {"AttributesToGet": wanted, "ConsistentRead": True}
    answer = database.client.get_item(TableName=database.sorted, Key=key, **parameters)
    assert native(answer["Item"]) == expected
    batch = database.client.batch_get_item(RequestItems={database.sorted: {"Keys": [key], **parameters}})
    assert natives(batch["Responses"][database.sorted]) == [expected]
    answer = database.client.query(
        TableName=database.sorted, KeyConditions={"pk": condition("EQ", item["pk"])}, **parameters
    )
    assert natives(answer["Items"]) == [expected]


BOTH = "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
EXPECTED = {"a": {"Exists": False}}
UPDATE = {"a": {"Action": "DELETE"}}
KEY, KEYS = {"Key": {"pk": {"S": "a"}}}, {"pk": condition("EQ", "a")}
QUERY = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}

MIXED: list[tuple[str, dict[str, Any], str]] = [
    (
        "put_item",
        {"Item": {"pk": {"S": "a"}}, "Expected": EXPECTED, "ConditionExpression": "attribute_exists(a)"},
        "{Expected} Expression parameters: {ConditionExpression}",
    ),
    (
        "delete_item",
        {**KEY, "Expected": EXPECTED, "ConditionExpression": "attribute_exists(a)"},
        "{Expected} Expression parameters: {ConditionExpression}",
    ),
    (
        "update_item",
        {**KEY, "AttributeUpdates": UPDATE, "UpdateExpression": "REMOVE a"},
        "{AttributeUpdates} Expression parameters: {UpdateExpression}",
    ),
    (
        "update_item",
        {**KEY, "Expected": EXPECTED, "UpdateExpression": "REMOVE a"},
        "{Expected} Expression parameters: {UpdateExpression}",
    ),
    (
        "update_item",
        {**KEY, "AttributeUpdates": UPDATE, "ConditionExpression": "attribute_exists(a)"},
        "{AttributeUpdates} Expression parameters: {ConditionExpression}",
    ),
    (
        "get_item",
        {**KEY, "AttributesToGet": ["a"], "ProjectionExpression": "a"},
        "{AttributesToGet} Expression parameters: {ProjectionExpression}",
    ),
    (
        "scan",
        {"ScanFilter": {"a": condition("NULL")}, "FilterExpression": "attribute_exists(a)"},
        "{ScanFilter} Expression parameters: {FilterExpression}",
    ),
    (
        "scan",
        {"AttributesToGet": ["a"], "FilterExpression": "attribute_exists(a)"},
        "{AttributesToGet} Expression parameters: {FilterExpression}",
    ),
    (
        "query",
        {**QUERY, "KeyConditions": KEYS},
        "{KeyConditions} Expression parameters: {KeyConditionExpression}",
    ),
    (
        "query",
        {**QUERY, "QueryFilter": {"a": condition("NULL")}},
        "{QueryFilter} Expression parameters: {KeyConditionExpression}",
    ),
    (
        "query",
        {**QUERY, "AttributesToGet": ["a"]},
        "{AttributesToGet} Expression parameters: {KeyConditionExpression}",
    ),
]


@pytest.mark.parametrize(("operation", "parameters", "message"), MIXED, ids=[f"{each[0]} {each[2]}" for each in MIXED])
def test_the_two_languages_do_not_mix(
    database: Database, operation: str, parameters: dict[str, Any], message: str
) -> None:
    """In one request."""
    assert database.refusal(operation, TableName=database.plain, **parameters) == invalid(BOTH + message)


def expected(**content: Any) -> dict[str, Any]:
    return {"a": content}


ONE, TWO = {"N": "1"}, {"N": "2"}
EXPECTED_REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        expected(Value=ONE, AttributeValueList=[ONE]),
        "Value and AttributeValueList cannot be used together for Attribute: a",
    ),
    (
        expected(Exists=True, ComparisonOperator="NULL"),
        "Exists and ComparisonOperator cannot be used together for Attribute: a",
    ),
    (
        expected(ComparisonOperator="EQ"),
        "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
    ),
    (
        expected(AttributeValueList=[ONE]),
        "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
    ),
    (expected(), "Value must be provided when Exists is null for Attribute: a"),
    (expected(Exists=True), "Value must be provided when Exists is true for Attribute: a"),
    (expected(Exists=False, Value=ONE), "Value cannot be used when Exists is false for Attribute: a"),
]


@pytest.mark.parametrize(("given", "message"), EXPECTED_REFUSED, ids=[each[1] for each in EXPECTED_REFUSED])
def test_expected_that_is_refused(database: Database, given: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    refused = database.refusal("put_item", TableName=database.plain, Item=typed({"pk": "a"}), Expected=given)
    assert refused == invalid(INVALID + message)


ARGUMENTS = "Invalid number of argument(s) for the {} ComparisonOperator"
CONDITIONS_REFUSED: list[tuple[str, tuple[Native, ...], str]] = [
    ("EQ", (), INVALID + ARGUMENTS.format("EQ")),
    ("EQ", (1, 2), INVALID + ARGUMENTS.format("EQ")),
    ("NULL", (1,), INVALID + ARGUMENTS.format("NULL")),
    ("NOT_NULL", (1,), INVALID + ARGUMENTS.format("NOT_NULL")),
    ("BETWEEN", (1,), INVALID + ARGUMENTS.format("BETWEEN")),
    ("BETWEEN", (1, 2, 3), INVALID + ARGUMENTS.format("BETWEEN")),
    ("IN", (), INVALID + ARGUMENTS.format("IN")),
    ("BETWEEN", (1, "a"), INVALID + "AttributeValues inside AttributeValueList must be of same type"),
    ("IN", (1, "a"), INVALID + "AttributeValues inside AttributeValueList must be of same type"),
    ("BEGINS_WITH", (1,), INVALID + "ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type"),
    ("LT", ({1},), INVALID + "ComparisonOperator LT is not valid for NS AttributeValue type"),
    ("IN", ({1},), INVALID + "ComparisonOperator IN is not valid for NS AttributeValue type"),
    ("CONTAINS", ({1},), INVALID + "ComparisonOperator CONTAINS is not valid for NS AttributeValue type"),
    (
        "BETWEEN",
        (2, 1),
        "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
    ),
]


@pytest.mark.parametrize(("operator", "values", "message"), CONDITIONS_REFUSED, ids=str)
def test_a_condition_that_is_refused(
    database: Database, operator: str, values: tuple[Native, ...], message: str
) -> None:
    """Of a filter."""
    conditions = {"a": condition(operator, *values)}
    assert database.refusal("scan", TableName=database.plain, ScanFilter=conditions) == invalid(message)


QUERY_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "Conditions can be of length 1 or 2 only"),
    ({"sk": condition("EQ", 1)}, "Query condition missed key schema element: pk"),
    ({"pk": condition("EQ", "a"), "a": condition("EQ", 1)}, "Query condition missed key schema element: sk"),
    ({"pk": condition("GT", "a")}, "Query key condition not supported"),
    (
        {"pk": condition("EQ", "a"), "sk": condition("NE", 1)},
        "Attempted conditional constraint is not an indexable operation",
    ),
    (
        {"pk": condition("EQ", "a"), "sk": condition("IN", 1)},
        "Attempted conditional constraint is not an indexable operation",
    ),
    ({"pk": condition("EQ", 1)}, INVALID + "Condition parameter type does not match schema type"),
]


@pytest.mark.parametrize(("conditions", "message"), QUERY_REFUSED, ids=str)
def test_key_conditions_that_are_refused(database: Database, conditions: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    refused = database.refusal("query", TableName=database.numbered, KeyConditions=conditions)
    assert refused == invalid(message)


def test_what_else_is_refused(database: Database) -> None:
    """Keys in a QueryFilter, an attribute twice, an operator that nobody knows, an empty list of attributes."""
    query: dict[str, Any] = {"TableName": database.numbered, "KeyConditions": {"pk": condition("EQ", "a")}}
    for name in ("pk", "sk"):
        refused = database.refusal("query", **query, QueryFilter={name: condition("NOT_NULL")})
        assert refused == invalid(
            f"QueryFilter can only contain non-primary key attributes: Primary key attribute: {name}"
        )
    refused = database.refusal("query", **query, AttributesToGet=["a", "b", "a"])
    assert refused == invalid(f"{INVALID}Duplicate value in attribute name: a")
    rest: list[dict[str, Any]] = [
        {"QueryFilter": {"a": condition("LIKE", "x")}},
        {"AttributesToGet": []},
        {"ConditionalOperator": "NOR"},
    ]
    for parameters in rest:
        refused = database.refusal("query", **query, **parameters)
        assert refused is not None and refused.code == VALIDATION, parameters


def test_a_conditional_operator_alone(database: Database) -> None:
    """There is nothing that it combines."""
    refused = database.refusal("put_item", TableName=database.plain, Item=typed({"pk": "a"}), ConditionalOperator="OR")
    # "ConditionalOperator cannot be used without Filter or Expected", as far as is known.
    assert refused is not None and refused.code == VALIDATION
    assert "ConditionalOperator cannot be used without" in refused.message
