"""ExpressionAttributeNames and ExpressionAttributeValues: their names, that all are used, what values may be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import VALIDATION, Database, invalid, native, placeholders, typed, unique

pytestmark = pytest.mark.cluster

UPDATE = {"Key": {"pk": {"S": "a"}}, "UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {":v": {"N": "1"}}}
ONE = {"N": "1"}
UNUSED_NAMES = "Value provided in ExpressionAttributeNames unused in expressions: keys: "
UNUSED_VALUES = "Value provided in ExpressionAttributeValues unused in expressions: keys: "

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("update_item", {**UPDATE, "ExpressionAttributeNames": {"#u": "b"}}, UNUSED_NAMES + "{#u}"),
    ("update_item", {**UPDATE, "ExpressionAttributeValues": {":v": ONE, ":u": ONE}}, UNUSED_VALUES + "{:u}"),
    ("update_item", {**UPDATE, "ExpressionAttributeNames": {}}, "ExpressionAttributeNames must not be empty"),
    ("update_item", {**UPDATE, "ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
    *(
        (
            "update_item",
            {**UPDATE, "ExpressionAttributeNames": {name: "b"}},
            f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{name}"',
        )
        for name in ("a", "#", "#a-b", "#a b", "##", ":a", "", "#é")
    ),
    *(
        (
            "update_item",
            {**UPDATE, "ExpressionAttributeValues": {":v": ONE, name: ONE}},
            f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{name}"',
        )
        for name in ("a", ":", ":a-b", ":a.b", "#a", "")
    ),
    (
        "get_item",
        {"Key": {"pk": {"S": "a"}}, "ExpressionAttributeNames": {"#a": "a"}},
        "ExpressionAttributeNames can only be specified when using expressions",
    ),
    (
        "scan",
        {"ExpressionAttributeNames": {"#a": "a"}},
        "ExpressionAttributeNames can only be specified when using expressions",
    ),
    (
        "scan",
        {"ProjectionExpression": "a", "ExpressionAttributeNames": {"#a": "a"}},
        UNUSED_NAMES + "{#a}",
    ),
    (
        "query",
        {
            "KeyConditionExpression": "pk = :p",
            "ExpressionAttributeValues": {":p": {"S": "a"}},
            "ExpressionAttributeNames": {"#unused": "a"},
        },
        UNUSED_NAMES + "{#unused}",
    ),
]


@pytest.mark.parametrize(("operation", "parameters", "message"), REFUSED, ids=[str(each[2]) for each in REFUSED])
def test_what_is_refused(database: Database, operation: str, parameters: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    assert database.refusal(operation, TableName=database.plain, **parameters) == invalid(message)


@pytest.mark.parametrize(
    ("operation", "parameters", "expressions"),
    [
        ("put_item", {"Item": {"pk": {"S": "a"}}}, "ConditionExpression is null"),
        ("delete_item", {"Key": {"pk": {"S": "a"}}}, "ConditionExpression is null"),
        ("update_item", {"Key": {"pk": {"S": "a"}}}, "UpdateExpression and ConditionExpression are null"),
        ("scan", {}, "FilterExpression is null"),
        ("query", {"KeyConditions": {}}, "FilterExpression and KeyConditionExpression are null"),
    ],
)
def test_values_without_expressions(
    database: Database, operation: str, parameters: dict[str, Any], expressions: str
) -> None:
    """The newest versions leave out which expressions are missing."""
    refused = database.refusal(operation, TableName=database.plain, ExpressionAttributeValues={":v": ONE}, **parameters)
    bare = "ExpressionAttributeValues can only be specified when using expressions"
    assert refused in (invalid(bare), invalid(f"{bare}: {expressions}"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"SS": []}, "One or more parameter values were invalid: An string set  may not be empty"),
        ({"NS": []}, "One or more parameter values were invalid: An number set  may not be empty"),
        ({"N": "x"}, "The parameter cannot be converted to a numeric value: x"),
        ({"NS": ["1", "1.0"]}, "Input collection"),
        ({}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        (
            {"S": "a", "N": "1"},
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
            "datatypes",
        ),
    ],
    ids=str,
)
def test_a_value_that_none_can_be(database: Database, value: dict[str, Any], message: str) -> None:
    """The error says which."""
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed({"pk": "a"}),
        UpdateExpression="SET a = :v",
        ExpressionAttributeValues={":v": value},
    )
    assert refused is not None and refused.code == VALIDATION
    assert message in refused.message


@pytest.mark.parametrize("name", ["#a", "#1", "#_", "#A1_b", "#name", "#" + "n" * 254])
def test_names_of_names(database: Database, name: str) -> None:
    """Letters, digits and underscores after the hash."""
    key = {"pk": unique()}
    answer = database.client.update_item(
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression=f"SET {name} = :v",
        ExpressionAttributeNames={name: "3can include any character!.#="},
        ReturnValues="UPDATED_NEW",
        **placeholders({"v": 1}),
    )
    assert native(answer["Attributes"]) == {"3can include any character!.#=": 1}


@pytest.mark.parametrize("name", [":a", ":1", ":_", ":A1_b", ":" + "v" * 254])
def test_names_of_values(database: Database, name: str) -> None:
    """Letters, digits and underscores after the colon."""
    key = {"pk": unique()}
    database.client.update_item(
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression=f"SET a = {name}",
        ExpressionAttributeValues={name: {"S": "x"}},
    )
    assert database.get(database.plain, key) == {**key, "a": "x"}


@pytest.mark.parametrize("prefix", ["#", ":"])
def test_a_name_that_is_too_long(database: Database, prefix: str) -> None:
    """255 characters with the hash or the colon, and no more."""
    name = prefix + "n" * 255
    parameters: dict[str, Any] = {"UpdateExpression": f"SET {name} = :v", **placeholders({"v": 1})}
    if prefix == "#":
        parameters["ExpressionAttributeNames"] = {name: "a"}
        which = "ExpressionAttributeNames"
    else:
        parameters = {"UpdateExpression": f"SET a = {name}", "ExpressionAttributeValues": {name: ONE}}
        which = "ExpressionAttributeValues"
    refused = database.refusal("update_item", TableName=database.plain, Key=typed({"pk": "a"}), **parameters)
    assert refused is not None and refused.code == VALIDATION
    assert refused.message.startswith(
        f"{which} contains invalid key: The expression attribute map contains a key that is too long"
    )


def test_one_name_and_one_value_in_several_expressions(database: Database) -> None:
    """They are the request's, not an expression's; one that a single expression uses is used."""
    item = {"pk": unique(), "a": 1, "name": 1}
    database.put(database.plain, item)
    answer = database.client.update_item(
        TableName=database.plain,
        Key=typed({"pk": item["pk"]}),
        UpdateExpression="SET #n = #n + :one",
        ConditionExpression="#n = :one AND #m = :old",
        ExpressionAttributeNames={"#n": "name", "#m": "a"},
        ReturnValues="UPDATED_NEW",
        **placeholders({"one": 1, "old": 1}),
    )
    assert native(answer["Attributes"]) == {"name": 2}


def test_a_dot_in_a_name_is_no_path(database: Database) -> None:
    """A placeholder stands for one step."""
    key = {"pk": unique()}
    database.client.update_item(
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression="SET #n = :v",
        ExpressionAttributeNames={"#n": "a.b[0]"},
        **placeholders({"v": 1}),
    )
    assert database.get(database.plain, key) == {**key, "a.b[0]": 1}
