"""Where a request has two mistakes, which of them is told: what the request alone shows before what the table shows,
before what the item shows."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance.database import (
    CONDITION_FAILED,
    FAILED,
    INVALID,
    KEY_MISMATCH,
    NO_TABLE,
    VALIDATION,
    Database,
    Refusal,
    invalid,
    placeholders,
    typed,
)

pytestmark = pytest.mark.cluster

NOWHERE = "no-such-table"
ABSENT = Refusal("ResourceNotFoundException", NO_TABLE)
SYNTAX = "Syntax error; token: "
LARGE = {"S": "x" * 400 * 1024}
KEY, A = {"pk": {"S": "a"}}, {"a": {"N": "1"}}
V = placeholders({"v": 1})
QUERY = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}

BEFORE_THE_TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("put_item", {"Item": {**KEY, "v": {"SS": []}}}, f"{INVALID}An string set  may not be empty"),
    ("put_item", {"Item": {**KEY, "v": LARGE}}, "Item size has exceeded the maximum allowed size"),
    ("put_item", {"Item": KEY, "ReturnValues": "ALL_NEW"}, "ReturnValues can only be ALL_OLD or NONE"),
    ("put_item", {"Item": KEY, "ConditionExpression": "a ="}, f"Invalid ConditionExpression: {SYNTAX}"),
    (
        "put_item",
        {"Item": KEY, "ConditionExpression": "a = :v"},
        "Invalid ConditionExpression: An expression attribute",
    ),
    ("delete_item", {"Key": KEY, "ConditionExpression": "dog(a)"}, "Invalid ConditionExpression: Invalid function"),
    ("get_item", {"Key": KEY, "ProjectionExpression": "a,"}, f"Invalid ProjectionExpression: {SYNTAX}"),
    ("get_item", {"Key": {"pk": {"N": "x"}}}, "The parameter cannot be converted to a numeric value: x"),
    ("update_item", {"Key": KEY, "UpdateExpression": "SET"}, f"Invalid UpdateExpression: {SYNTAX}"),
    (
        "update_item",
        {"Key": KEY, "UpdateExpression": "SET a = :v", **placeholders({"v": 1, "u": 1})},
        "Value provided in",
    ),
    ("query", {**QUERY, "FilterExpression": "a ="}, f"Invalid FilterExpression: {SYNTAX}"),
    ("query", {}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
    (
        "query",
        {"KeyConditionExpression": "pk = :v OR a = :v", **V},
        "Invalid operator used in KeyConditionExpression: OR",
    ),
    ("scan", {"FilterExpression": "a ="}, f"Invalid FilterExpression: {SYNTAX}"),
    ("scan", {"Segment": 3, "TotalSegments": 2}, "The Segment parameter is zero-based"),
]


@pytest.mark.parametrize(
    ("operation", "parameters", "message"), BEFORE_THE_TABLE, ids=[f"{c[0]}: {c[2]}" for c in BEFORE_THE_TABLE]
)
def test_a_wrong_request_to_a_table_that_is_not_there(
    database: Database, operation: str, parameters: dict[str, Any], message: str
) -> None:
    """It is the request that is wrong."""
    refused = database.refusal(operation, TableName=NOWHERE, **parameters)
    assert refused is not None and refused.code == VALIDATION
    assert refused.message.startswith(message)


AFTER_THE_TABLE: list[tuple[str, dict[str, Any]]] = [
    ("put_item", {"Item": A}),
    ("put_item", {"Item": {"pk": {"S": ""}}}),
    ("get_item", {"Key": A}),
    ("get_item", {"Key": {"pk": {"S": "x" * 2049}}}),
    ("delete_item", {"Key": {**KEY, **A}}),
    ("update_item", {"Key": KEY, "UpdateExpression": "SET pk = :v", **V}),
    ("query", {"KeyConditionExpression": "a = :v", **V}),
    ("query", {**QUERY, "IndexName": "nowhere"}),
    ("scan", {"IndexName": "nowhere"}),
    ("scan", {"ExclusiveStartKey": A}),
]


@pytest.mark.parametrize(("operation", "parameters"), AFTER_THE_TABLE, ids=str)
def test_what_only_a_table_shows(database: Database, operation: str, parameters: dict[str, Any]) -> None:
    """That there is none comes first."""
    assert database.refusal(operation, TableName=NOWHERE, **parameters) == ABSENT


ENUM = "Member must satisfy enum value set"
FIRST: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "a constraint before an expression",
        "put_item",
        {"Item": KEY, "ReturnConsumedCapacity": "X", "ConditionExpression": ""},
        ENUM,
    ),
    (
        "a constraint before a value",
        "put_item",
        {"Item": {**KEY, "v": {"SS": []}}, "ReturnConsumedCapacity": "X"},
        ENUM,
    ),
    (
        "mixing before expressions",
        "update_item",
        {"Key": KEY, "UpdateExpression": "SET", "AttributeUpdates": {}},
        "Can not use both expression and non-expression parameters",
    ),
    (
        "names without expressions before a value",
        "put_item",
        {"Item": {**KEY, "v": {"SS": []}}, "ExpressionAttributeNames": {"#a": "a"}},
        "ExpressionAttributeNames can only be specified when using expressions",
    ),
    (
        "an item's values before expressions",
        "put_item",
        {"Item": {**KEY, "v": {"SS": []}}, "ConditionExpression": "a ="},
        f"{INVALID}An string set  may not be empty",
    ),
    (
        "an item's size before expressions",
        "put_item",
        {"Item": {**KEY, "v": LARGE}, "ConditionExpression": "a ="},
        "Item size has exceeded the maximum allowed size",
    ),
    (
        "names before values",
        "update_item",
        {
            "Key": KEY,
            "UpdateExpression": "SET",
            "ExpressionAttributeNames": {"a": "a"},
            "ExpressionAttributeValues": {},
        },
        'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"',
    ),
    (
        "placeholders before expressions",
        "update_item",
        {"Key": KEY, "UpdateExpression": "SET", "ExpressionAttributeValues": {"v": {"N": "1"}}},
        'ExpressionAttributeValues contains invalid key: Syntax error; key: "v"',
    ),
    (
        "the update before the condition",
        "update_item",
        {"Key": KEY, "UpdateExpression": "SET", "ConditionExpression": ""},
        "Invalid UpdateExpression: ",
    ),
    (
        "expressions before what is unused",
        "update_item",
        {"Key": KEY, "UpdateExpression": "REMOVE a", "ConditionExpression": "b =", **V},
        "Invalid ConditionExpression: ",
    ),
    (
        "unused names before unused values",
        "update_item",
        {"Key": KEY, "UpdateExpression": "REMOVE a", "ExpressionAttributeNames": {"#a": "a"}, **V},
        "Value provided in ExpressionAttributeNames unused in expressions",
    ),
    (
        "the key condition before the filter",
        "query",
        {"KeyConditionExpression": "", "FilterExpression": "a ="},
        "Invalid KeyConditionExpression: ",
    ),
    (
        "the filter before the projection",
        "query",
        {**QUERY, "FilterExpression": "a =", "ProjectionExpression": "a,"},
        "Invalid FilterExpression: ",
    ),
    (
        "parentheses before names",
        "scan",
        {"FilterExpression": "((name = :v))"},
        "Invalid FilterExpression: The expression has redundant",
    ),
    (
        "functions before names",
        "scan",
        {"FilterExpression": "dog(name)"},
        "Invalid FilterExpression: Invalid function name",
    ),
    (
        "words before values",
        "scan",
        {"FilterExpression": "a = :v AND name = :w"},
        "Invalid FilterExpression: Attribute name is a reserved",
    ),
    (
        "the key's schema before an update of the key",
        "update_item",
        {"Key": A, "UpdateExpression": "SET pk = :v", **V},
        KEY_MISMATCH,
    ),
    (
        "an update of the key before the condition",
        "update_item",
        {"Key": {"pk": {"S": "gone"}}, "UpdateExpression": "SET pk = :v", "ConditionExpression": "a = :v", **V},
        f"{INVALID}Cannot update attribute pk. This attribute is part of the key",
    ),
    (
        "the index before its key conditions",
        "query",
        {"KeyConditionExpression": "a = :v", "IndexName": "nowhere", **V},
        "The table does not have the specified index: nowhere",
    ),
    (
        "key conditions before the filter's keys",
        "query",
        {"KeyConditionExpression": "a = :v", "FilterExpression": "pk = :v", **V},
        "Query condition missed key schema element: pk",
    ),
]


@pytest.mark.parametrize(("operation", "parameters", "message"), [c[1:] for c in FIRST], ids=[c[0] for c in FIRST])
def test_which_comes_first(database: Database, operation: str, parameters: dict[str, Any], message: str) -> None:
    """Of two mistakes in one request."""
    refused = database.refusal(operation, TableName=database.plain, **parameters)
    assert refused is not None and refused.code == VALIDATION
    assert message in refused.message


def test_a_failed_condition_before_an_update_that_fails(database: Database) -> None:
    """What the update would have met is not looked at."""
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed({"pk": "gone"}),
        UpdateExpression="SET a.b.c = absent",
        ConditionExpression="attribute_exists(pk)",
    )
    assert refused == Refusal(FAILED, CONDITION_FAILED)


def test_every_request_of_a_batch_before_the_tables(database: Database) -> None:
    """A wrong value in the last request wins over a table that is not there in the first."""
    writes = {
        NOWHERE: [{"DeleteRequest": {"Key": KEY}}],
        database.plain: [{"PutRequest": {"Item": {**KEY, "v": {"NS": []}}}}],
    }
    refused = database.refusal("batch_write_item", RequestItems=writes)
    assert refused == invalid(f"{INVALID}An number set  may not be empty")
    reads = {NOWHERE: {"Keys": [KEY]}, database.plain: {"Keys": [KEY], "ProjectionExpression": "a,"}}
    refused = database.refusal("batch_get_item", RequestItems=reads)
    assert refused is not None and refused.message.startswith(f"Invalid ProjectionExpression: {SYNTAX}")


EMPTY_SET = {**KEY, "v": {"SS": []}}
ENVELOPE = "1 validation error detected: "
ENVELOPED: list[tuple[str, dict[str, Any], bool]] = [
    ("put_item", {"Item": KEY, "ConditionExpression": "((attribute_exists(a)))"}, True),
    ("put_item", {"Item": EMPTY_SET}, True),
    ("put_item", {"Item": KEY, "Expected": {}, "ConditionExpression": "attribute_exists(a)"}, True),
    ("put_item", {"Item": A}, False),
    ("delete_item", {"Key": KEY, "ConditionExpression": "a ="}, True),
    ("delete_item", {"Key": A}, False),
    ("update_item", {"Key": KEY, "UpdateExpression": ""}, True),
    ("update_item", {"Key": KEY, "UpdateExpression": "SET a = :v", **placeholders({"v": 1, "u": 1})}, True),
    ("update_item", {"Key": KEY, "UpdateExpression": "SET pk = :v", **V}, False),
    ("update_item", {"Key": {"pk": {"S": "gone"}}, "UpdateExpression": "SET a = b"}, False),
    ("get_item", {"Key": KEY, "ProjectionExpression": "a,"}, False),
    ("scan", {"FilterExpression": "a ="}, False),
]


@pytest.mark.parametrize(("operation", "parameters", "has_one"), ENVELOPED, ids=str)
def test_the_envelope_of_a_single_write(
    database: Database, endpoint: str | None, operation: str, parameters: dict[str, Any], has_one: bool
) -> None:
    """What a put, an update or a delete of one item shows by itself to be wrong comes in an envelope, and nothing else.
    So it is since 2026, in nearly all regions."""
    if endpoint:
        pytest.skip("other servers may be older")
    with pytest.raises(ClientError) as raised:
        getattr(database.client, operation)(TableName=database.plain, **parameters)
    assert raised.value.response["Error"]["Message"].startswith(ENVELOPE) == has_one
