"""BatchGetItem and BatchWriteItem: projections and consistency a table, what is left over, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import (
    INVALID,
    KEY_MISMATCH,
    VALIDATION,
    Database,
    Native,
    invalid,
    natives,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster


def in_order(items: list[dict[str, Native]]) -> list[dict[str, Native]]:
    return sorted(items, key=lambda item: str(sorted(item.items(), key=str)))


def test_projections_are_a_table_s_own(database: Database) -> None:
    """Each has its expression, its names and its consistency."""
    one, two, three = (
        {"pk": unique(), "a": 1, "b": {"c": 2}},
        {"pk": unique(), "a": 3},
        {"pk": unique(), "sk": "x", "a": 4},
    )
    database.put(database.plain, one, two)
    database.put(database.sorted, three)
    answer = database.client.batch_get_item(
        RequestItems={
            database.plain: {
                "Keys": [typed({"pk": one["pk"]}), typed({"pk": two["pk"]}), typed({"pk": unique()})],
                "ProjectionExpression": "#x.c, pk",
                "ExpressionAttributeNames": {"#x": "b"},
                "ConsistentRead": True,
            },
            database.sorted: {
                "Keys": [typed({"pk": three["pk"], "sk": "x"})],
                "ProjectionExpression": "a",
                "ConsistentRead": True,
            },
        }
    )
    assert in_order(natives(answer["Responses"][database.plain])) == in_order(
        [{"pk": one["pk"], "b": {"c": 2}}, {"pk": two["pk"]}]
    )
    assert natives(answer["Responses"][database.sorted]) == [{"a": 4}]
    assert answer["UnprocessedKeys"] == {}


def test_a_table_of_which_nothing_is_found(database: Database) -> None:
    """It has an empty list."""
    answer = database.client.batch_get_item(RequestItems={database.plain: {"Keys": [typed({"pk": unique()})]}})
    assert answer["Responses"] == {database.plain: []}


def test_reads_of_more_than_16_mb(database: Database) -> None:
    """What does not fit is left over, as it was asked for, and can be asked for again."""
    keys = [typed({"pk": unique("large"), "sk": 1}) for _ in range(45)]
    for start in range(0, 45, 15):
        writes = [{"PutRequest": {"Item": {**key, "v": {"S": "x" * 400_000}}}} for key in keys[start : start + 15]]
        assert database.client.batch_write_item(RequestItems={database.numbered: writes})["UnprocessedItems"] == {}
    wanted: Any = {database.numbered: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "pk, sk, v"}}
    found: list[Any] = []
    rounds = 0
    while wanted:
        answer = database.client.batch_get_item(RequestItems=wanted)
        assert answer["Responses"][database.numbered]
        found += [{"pk": item["pk"], "sk": item["sk"]} for item in answer["Responses"][database.numbered]]
        wanted = answer["UnprocessedKeys"]
        if wanted:
            left = wanted[database.numbered]
            assert left["ConsistentRead"] is True and left["ProjectionExpression"] == "pk, sk, v"
        rounds += 1
    assert rounds >= 2
    assert sorted(found, key=str) == sorted(keys, key=str)
    for key in keys:
        database.client.delete_item(TableName=database.numbered, Key=key)


def test_puts_and_deletes_together(database: Database) -> None:
    """In several tables; a put replaces the whole item, a delete of nothing is fine."""
    old, gone = {"pk": unique(), "v": 1}, {"pk": unique()}
    database.put(database.plain, old, gone)
    answer = database.client.batch_write_item(
        RequestItems={
            database.plain: [
                {"PutRequest": {"Item": typed({"pk": old["pk"], "w": 2})}},
                {"DeleteRequest": {"Key": typed(gone)}},
                {"DeleteRequest": {"Key": typed({"pk": unique()})}},
            ],
            database.sorted: [{"PutRequest": {"Item": typed({**gone, "sk": "a"})}}],
        }
    )
    assert answer["UnprocessedItems"] == {}
    assert database.get(database.plain, old) == {"pk": old["pk"], "w": 2}
    assert database.get(database.plain, gone) is None
    assert database.get(database.sorted, {**gone, "sk": "a"}) == {**gone, "sk": "a"}


DUPLICATES = "Provided list of item keys contains duplicates"
KEY = {"pk": {"S": "a"}}
PUT, DELETE = {"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": KEY}}
WRITES_REFUSED: list[tuple[list[Any], str]] = [
    ([PUT, DELETE], DUPLICATES),
    ([PUT, {"PutRequest": {"Item": {**KEY, "v": {"N": "1"}}}}], DUPLICATES),
    ([{"PutRequest": {"Item": {"pk": {"N": "1"}}}}], KEY_MISMATCH),
    ([{"PutRequest": {"Item": {"pk": {"L": []}}}}], KEY_MISMATCH),
    ([{"PutRequest": {"Item": {"v": {"N": "1"}}}}], KEY_MISMATCH),
    ([{"DeleteRequest": {"Key": {"pk": {"N": "1"}}}}], KEY_MISMATCH),
    ([{"DeleteRequest": {"Key": {**KEY, "v": {"N": "1"}}}}], KEY_MISMATCH),
    ([{"PutRequest": {"Item": {**KEY, "v": {"SS": []}}}}], f"{INVALID}An string set  may not be empty"),
    (
        [{"PutRequest": {"Item": {"pk": {"S": ""}}}}],
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty "
        "string value. Key: pk",
    ),
]


@pytest.mark.parametrize(("writes", "message"), WRITES_REFUSED, ids=str)
def test_writes_that_are_refused(database: Database, writes: list[Any], message: str) -> None:
    """Nothing is done of the batch."""
    other = {"pk": unique()}
    requests = {database.plain: [*writes, {"PutRequest": {"Item": typed(other)}}]}
    assert database.refusal("batch_write_item", RequestItems=requests) == invalid(message)
    assert database.get(database.plain, other) is None


READS_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"Keys": [KEY, KEY]}, DUPLICATES),
    ({"Keys": [{"pk": {"N": "1"}}]}, KEY_MISMATCH),
    ({"Keys": [{}]}, KEY_MISMATCH),
    ({"Keys": [{**KEY, "sk": {"S": "a"}}]}, KEY_MISMATCH),
    ({"Keys": [KEY], "AttributesToGet": ["a", "a"]}, f"{INVALID}Duplicate value in attribute name: a"),
    (
        {"Keys": [KEY], "AttributesToGet": ["a"], "ProjectionExpression": "a"},
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: "
        "{AttributesToGet} Expression parameters: {ProjectionExpression}",
    ),
    (
        {"Keys": [KEY], "ExpressionAttributeNames": {"#a": "a"}},
        "ExpressionAttributeNames can only be specified when using expressions",
    ),
    (
        {"Keys": [KEY], "ProjectionExpression": "a", "ExpressionAttributeNames": {"#a": "a"}},
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}",
    ),
]


@pytest.mark.parametrize(("reads", "message"), READS_REFUSED, ids=str)
def test_reads_that_are_refused(database: Database, reads: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    assert database.refusal("batch_get_item", RequestItems={database.plain: reads}) == invalid(message)


@pytest.mark.parametrize("operation", ["batch_get_item", "batch_write_item"])
def test_empty_batches(database: Database, operation: str) -> None:
    """An error. (Its words have changed: newer ones name the parameter.)"""
    refused = database.refusal(operation, RequestItems={})
    assert refused is not None and refused.code == VALIDATION
    empty: Any = {"Keys": []} if operation == "batch_get_item" else []
    refused = database.refusal(operation, RequestItems={database.plain: empty})
    assert refused is not None and refused.code == VALIDATION
