"""PutItem, GetItem and DeleteItem: what conditions and ReturnValues make of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import (
    CONDITION_FAILED,
    FAILED,
    NO_TABLE,
    VALIDATION,
    Database,
    Refusal,
    invalid,
    native,
    placeholders,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

ABSENT = {"ConditionExpression": "attribute_not_exists(pk)"}
PRESENT = {"ConditionExpression": "attribute_exists(pk)"}


def test_a_put_on_condition_that_nothing_is_there(database: Database) -> None:
    """The first one makes the item, the second one fails and changes nothing."""
    key = {"pk": unique()}
    answer = database.client.put_item(TableName=database.plain, Item=typed({**key, "v": 1}), **ABSENT)
    assert answer.keys() == {"ResponseMetadata"}
    refused = database.refusal("put_item", TableName=database.plain, Item=typed({**key, "v": 2}), **ABSENT)
    assert refused == Refusal(FAILED, CONDITION_FAILED)
    assert database.get(database.plain, key) == {**key, "v": 1}


def test_a_put_on_condition_that_something_is_there(database: Database) -> None:
    """It makes no item, and replaces one."""
    key = {"pk": unique()}
    parameters: dict[str, Any] = {"TableName": database.plain, "Item": typed({**key, "v": 2}), **PRESENT}
    assert database.refusal("put_item", **parameters) == Refusal(FAILED, CONDITION_FAILED)
    assert database.get(database.plain, key) is None
    database.put(database.plain, {**key, "v": 1, "w": 1})
    assert database.refusal("put_item", **parameters) is None
    assert database.get(database.plain, key) == {**key, "v": 2}


def test_a_condition_is_about_the_item_with_this_key(database: Database) -> None:
    """Not about others with the same partition key: attribute_not_exists(pk) means that this item is not there."""
    pk = unique()
    database.put(database.sorted, {"pk": pk, "sk": "a"})
    item = typed({"pk": pk, "sk": "b"})
    assert database.refusal("put_item", TableName=database.sorted, Item=item, **ABSENT) is None
    assert database.refusal("put_item", TableName=database.sorted, Item=item, **ABSENT) is not None


def test_a_condition_is_about_the_old_item(database: Database) -> None:
    """Not about the one that is put."""
    key = {"pk": unique()}
    database.put(database.plain, {**key, "version": 1})
    change: dict[str, Any] = {
        "TableName": database.plain,
        "Item": typed({**key, "version": 2}),
        "ConditionExpression": "version = :old",
        **placeholders({"old": 1}),
    }
    assert database.refusal("put_item", **change) is None
    assert database.refusal("put_item", **change) == Refusal(FAILED, CONDITION_FAILED)


@pytest.mark.parametrize("return_values", [None, "NONE", "ALL_OLD"])
def test_what_a_put_returns(database: Database, return_values: str | None) -> None:
    """ALL_OLD: the item that was replaced; nothing if there was none."""
    parameters = {} if return_values is None else {"ReturnValues": return_values}
    old = {"pk": unique(), "v": 1, "nested": {"l": [1, {"s"}]}}
    first = database.client.put_item(TableName=database.plain, Item=typed(old), **parameters)
    assert "Attributes" not in first
    second = database.client.put_item(TableName=database.plain, Item=typed({"pk": old["pk"]}), **parameters)
    assert second.get("Attributes") == (typed(old) if return_values == "ALL_OLD" else None)


@pytest.mark.parametrize("return_values", [None, "NONE", "ALL_OLD"])
def test_what_a_delete_returns(database: Database, return_values: str | None) -> None:
    """ALL_OLD: the item that was deleted; nothing if there was none."""
    parameters = {} if return_values is None else {"ReturnValues": return_values}
    old = {"pk": unique(), "v": b"\x00"}
    database.put(database.plain, old)
    key = typed({"pk": old["pk"]})
    first = database.client.delete_item(TableName=database.plain, Key=key, **parameters)
    assert first.get("Attributes") == (typed(old) if return_values == "ALL_OLD" else None)
    second = database.client.delete_item(TableName=database.plain, Key=key, **parameters)
    assert "Attributes" not in second


@pytest.mark.parametrize("operation", ["put_item", "delete_item"])
@pytest.mark.parametrize("return_values", ["ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"])
def test_return_values_that_only_updates_have(database: Database, operation: str, return_values: str) -> None:
    """Refused, and nothing is done. (The message is known of PutItem only.)"""
    key = {"pk": unique()}
    database.put(database.plain, key)
    name = "Item" if operation == "put_item" else "Key"
    parameters: dict[str, Any] = {"TableName": database.plain, name: typed(key), "ReturnValues": return_values}
    refused = database.refusal(operation, **parameters)
    if operation == "put_item":
        assert refused == invalid("ReturnValues can only be ALL_OLD or NONE")
    assert refused is not None and refused.code == VALIDATION
    assert database.get(database.plain, key) == key


def test_a_delete_on_a_condition(database: Database) -> None:
    """It deletes what fulfils it, and nothing else."""
    item = {"pk": unique(), "v": 1}
    database.put(database.plain, item)
    parameters: dict[str, Any] = {
        "TableName": database.plain,
        "Key": typed({"pk": item["pk"]}),
        "ConditionExpression": "v = :v",
    }
    refused = database.refusal("delete_item", **parameters, **placeholders({"v": 2}))
    assert refused == Refusal(FAILED, CONDITION_FAILED)
    assert database.get(database.plain, item) == item
    assert database.refusal("delete_item", **parameters, **placeholders({"v": 1})) is None
    assert database.get(database.plain, item) is None
    assert database.refusal("delete_item", **parameters, **placeholders({"v": 1})) == Refusal(FAILED, CONDITION_FAILED)


@pytest.mark.parametrize("operation", ["put_item", "delete_item", "update_item"])
@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("wanted", [None, "NONE", "ALL_OLD"])
def test_what_a_failed_condition_returns(
    database: Database, operation: str, is_there: bool, wanted: str | None
) -> None:
    """ALL_OLD: the item that is there, beside the message; nothing if there is none."""
    key, item = {"pk": unique()}, {"v": [1, {"a": b"\x00"}]}
    if is_there:
        database.put(database.plain, {**key, **item})
    parameters: dict[str, Any] = {
        "TableName": database.plain,
        ("Item" if operation == "put_item" else "Key"): typed(key),
        "ConditionExpression": "v = :no",
        **placeholders({"no": "no"}),
    }
    if wanted:
        parameters["ReturnValuesOnConditionCheckFailure"] = wanted
    with pytest.raises(database.client.exceptions.ConditionalCheckFailedException) as raised:
        getattr(database.client, operation)(**parameters)
    response = raised.value.response
    assert response["Error"] == {"Code": FAILED, "Message": CONDITION_FAILED}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    if wanted == "ALL_OLD" and is_there:
        assert native(response["Item"]) == {**key, **item}
    else:
        assert "Item" not in response


def test_a_condition_that_holds_returns_no_item(database: Database) -> None:
    """ReturnValuesOnConditionCheckFailure is about failures alone."""
    key = {"pk": unique()}
    answer = database.client.put_item(
        TableName=database.plain, Item=typed(key), ReturnValuesOnConditionCheckFailure="ALL_OLD", **ABSENT
    )
    assert answer.keys() == {"ResponseMetadata"}


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("put_item", {"Item": {"pk": {"S": "a"}}}),
        ("get_item", {"Key": {"pk": {"S": "a"}}}),
        ("delete_item", {"Key": {"pk": {"S": "a"}}}),
        ("update_item", {"Key": {"pk": {"S": "a"}}}),
        ("scan", {}),
        ("query", {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}),
        ("batch_get_item", {"RequestItems": {"no-such-table": {"Keys": [{"pk": {"S": "a"}}]}}}),
        ("batch_write_item", {"RequestItems": {"no-such-table": [{"DeleteRequest": {"Key": {"pk": {"S": "a"}}}}]}}),
    ],
)
def test_a_table_that_is_not_there(database: Database, operation: str, parameters: dict[str, Any]) -> None:
    """The same words from every operation."""
    named = {} if operation.startswith("batch") else {"TableName": "no-such-table"}
    assert database.refusal(operation, **named, **parameters) == Refusal("ResourceNotFoundException", NO_TABLE)


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("a" * 256, "Member must have length less than or equal to 255"),
        ("bad name!", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
    ],
    ids=["long", "characters"],
)
def test_a_name_that_no_table_can_have(database: Database, name: str, constraint: str) -> None:
    """It is refused as such, before it is looked for. (Some versions also demand three characters at least.)"""
    refused = database.refusal("get_item", TableName=name, Key=typed({"pk": "a"}))
    assert refused is not None
    assert refused.code == VALIDATION
    assert constraint in refused.message


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"S": ""}, {"S": ""}),
        ({"B": b""}, {"B": b""}),
        ({"L": []}, {"L": []}),
        ({"M": {}}, {"M": {}}),
        ({"SS": [""]}, {"SS": [""]}),
        ({"N": "0042.1200"}, {"N": "42.12"}),
        ({"N": "-0"}, {"N": "0"}),
        ({"N": "1E3"}, {"N": "1000"}),
        ({"N": " 1"}, None),
        ({"S": "\u0000\ud7ff\U0001f600"}, {"S": "\u0000\ud7ff\U0001f600"}),
        ({"NS": ["1", "2.50"]}, {"NS": ["1", "2.5"]}),
        ({"M": {"": {"S": "empty name"}}}, {"M": {"": {"S": "empty name"}}}),
    ],
    ids=str,
)
def test_how_values_come_back(database: Database, value: dict[str, Any], stored: dict[str, Any] | None) -> None:
    """Numbers in their canonical form; empty strings, binaries, lists and maps as they are."""
    key = typed({"pk": unique()})
    refused = database.refusal("put_item", TableName=database.plain, Item={**key, "v": value})
    if stored is None:
        assert refused is not None and refused.code == VALIDATION
        return
    assert refused is None
    found = database.client.get_item(TableName=database.plain, Key=key, ConsistentRead=True)["Item"]["v"]
    ((kind, content),) = found.items()
    assert {kind: sorted(content) if kind in ("SS", "NS", "BS") else content} == stored


def test_null_is_null(database: Database) -> None:
    """{"NULL": false} means NULL, too; it is {"NULL": true} that comes back. (The original refused it until 2026.)"""
    key = typed({"pk": unique()})
    database.client.put_item(TableName=database.plain, Item={**key, "v": {"NULL": False}})
    found = database.client.get_item(TableName=database.plain, Key=key, ConsistentRead=True)
    assert found["Item"]["v"] == {"NULL": True}


def test_a_table_may_be_given_by_its_arn(database: Database) -> None:
    """Instead of its name, by any operation; answers have its name."""
    client, item = database.client, {"pk": unique(), "v": 1}
    arn = client.describe_table(TableName=database.plain)["Table"]["TableArn"]
    client.put_item(TableName=arn, Item=typed(item))
    assert database.get(arn, item) == item
    answer = database.query(arn, "pk = :p", {"p": item["pk"]}, ReturnConsumedCapacity="TOTAL")
    assert (answer["Count"], answer["ConsumedCapacity"]["TableName"]) == (1, database.plain)
    wanted = {arn: {"Keys": [typed({"pk": item["pk"]})], "ConsistentRead": True}}
    responses = client.batch_get_item(RequestItems=wanted)["Responses"]
    # Under which of both names the original answers is not documented.
    assert [native(found) for found in next(iter(responses.values()))] == [item]
    update = {"UpdateExpression": "SET v = :v", **placeholders({"v": 2})}
    client.update_item(TableName=arn, Key=typed({"pk": item["pk"]}), **update)
    assert database.get(database.plain, item) == {**item, "v": 2}
    client.delete_item(TableName=arn, Key=typed({"pk": item["pk"]}))
    assert database.get(database.plain, item) is None
