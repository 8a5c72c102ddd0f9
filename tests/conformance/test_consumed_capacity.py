"""ReturnConsumedCapacity: the units of every operation, to the byte where they are counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.conformance.database import Database, Native, key_of, placeholders, typed, unique

pytestmark = pytest.mark.cluster

KB = 1024
Item = dict[str, Native]


def sized(item: Item, item_bytes: int) -> Item:
    """`item`, of strings, with an attribute that makes it so large."""
    used = sum(len(name) + len(value) for name, value in item.items()) + len("fill")
    return {**item, "fill": "x" * (item_bytes - used)}


def units(answer: Any, table: str) -> float:
    """Of an answer to a request for TOTAL."""
    consumed = answer["ConsumedCapacity"]
    assert consumed.keys() == {"TableName", "CapacityUnits"}
    assert consumed["TableName"] == table
    number: float = consumed["CapacityUnits"]
    return number


def eventually(read: Callable[[], Any], is_complete: Callable[[Any], bool]) -> Any:
    """The first answer that has everything of an eventually consistent read."""
    deadline = time.monotonic() + 10
    while not is_complete(answer := read()):
        assert time.monotonic() < deadline, answer
    return answer


TOTAL: dict[str, Any] = {"ReturnConsumedCapacity": "TOTAL"}
INDEXES: dict[str, Any] = {"ReturnConsumedCapacity": "INDEXES"}


@pytest.mark.parametrize("wanted", [None, "NONE"])
def test_nobody_asked(database: Database, wanted: str | None) -> None:
    """No member ConsumedCapacity."""
    client, table, key = database.client, database.sorted, {"pk": unique(), "sk": "a"}
    asked = {"TableName": table, **({"ReturnConsumedCapacity": wanted} if wanted else {})}
    answers = [
        client.put_item(Item=typed(key), **asked),
        client.get_item(Key=typed(key), **asked),
        client.update_item(Key=typed(key), **asked),
        client.query(KeyConditionExpression="pk = :p", **placeholders({"p": "a"}), **asked),
        client.scan(Limit=1, **asked),
        client.delete_item(Key=typed(key), **asked),
    ]
    assert not any("ConsumedCapacity" in answer for answer in answers)


@pytest.mark.parametrize(
    ("item_bytes", "expected"), [(100, 1), (KB, 1), (KB + 1, 2), (10 * KB, 10), (10 * KB + 1, 11), (400 * KB, 400)]
)
def test_writes(database: Database, item_bytes: int, expected: int) -> None:
    """A unit a KB, rounded up, of the larger of the old item and the new one."""
    client, table = database.client, database.plain
    key = {"pk": unique()}
    item = sized(key, item_bytes)
    assert units(client.put_item(TableName=table, Item=typed(item), **TOTAL), table) == expected
    assert units(client.put_item(TableName=table, Item=typed(key), **TOTAL), table) == expected
    update = {"UpdateExpression": "SET fill = :v", **placeholders({"v": item["fill"]})}
    assert units(client.update_item(TableName=table, Key=typed(key), **update, **TOTAL), table) == expected
    update = {"UpdateExpression": "REMOVE fill"}
    assert units(client.update_item(TableName=table, Key=typed(key), **update, **TOTAL), table) == expected
    client.put_item(TableName=table, Item=typed(item))
    assert units(client.delete_item(TableName=table, Key=typed(key), **TOTAL), table) == expected
    assert units(client.delete_item(TableName=table, Key=typed(key), **TOTAL), table) == 1


@pytest.mark.parametrize("item_bytes", [100, 4 * KB, 4 * KB + 1, 8 * KB, 400 * KB])
def test_reads_of_one_item(database: Database, item_bytes: int) -> None:
    """A unit 4 KB, rounded up; half of that if it need not be strongly consistent. A projection saves nothing."""
    client, table = database.client, database.plain
    item = sized({"pk": unique()}, item_bytes)
    database.put(table, item)
    expected = -(-item_bytes // (4 * KB))
    for parameters in ({}, {"ProjectionExpression": "pk"}):
        asked = {"TableName": table, "Key": typed(key_of(item)), **parameters, **TOTAL}
        assert units(client.get_item(ConsistentRead=True, **asked), table) == expected
        answer = eventually(partial(client.get_item, **asked), lambda answer: "Item" in answer)
        assert units(answer, table) == expected / 2


def test_a_read_of_nothing(database: Database) -> None:
    """It costs what a small item does."""
    asked = {"TableName": database.plain, "Key": typed({"pk": unique()}), **TOTAL}
    assert units(database.client.get_item(ConsistentRead=True, **asked), database.plain) == 1
    assert units(database.client.get_item(**asked), database.plain) == 0.5


@pytest.mark.parametrize("operation", ["put_item", "get_item", "update_item", "delete_item"])
def test_indexes_of_a_table_that_has_none(database: Database, operation: str) -> None:
    """INDEXES: the table's part is said, and no maps of indexes."""
    name = "Item" if operation == "put_item" else "Key"
    named = {"TableName": database.plain, name: typed({"pk": unique()})}
    answer = getattr(database.client, operation)(**named, **INDEXES)
    expected = 0.5 if operation == "get_item" else 1.0
    assert answer["ConsumedCapacity"] == {
        "TableName": database.plain,
        "CapacityUnits": expected,
        "Table": {"CapacityUnits": expected},
    }


@pytest.fixture(scope="module")
def partition(database: Database) -> str:
    """The partition key of ten items of 1,000 bytes."""
    pk = unique("capacity")
    for number in range(10):
        database.put(database.sorted, sized({"pk": pk, "sk": str(number), "even": str(number % 2)}, 1000))
    return pk


@pytest.mark.parametrize(
    ("parameters", "read_bytes"),
    [
        ({}, 10_000),
        ({"FilterExpression": "even = :v"}, 10_000),
        ({"FilterExpression": "absent = :v"}, 10_000),
        ({"ProjectionExpression": "sk"}, 10_000),
        ({"Select": "COUNT"}, 10_000),
        ({"Limit": 4}, 4_000),
        ({"Limit": 5}, 5_000),
        ({"Limit": 1, "ScanIndexForward": False}, 1_000),
    ],
    ids=str,
)
def test_queries(database: Database, partition: str, parameters: dict[str, Any], read_bytes: int) -> None:
    """The sum of all items that are looked at, then rounded up: filters and projections save nothing."""
    values = {"p": partition, **({"v": "1"} if "FilterExpression" in parameters else {})}
    expected = -(-read_bytes // (4 * KB))
    for is_consistent, factor in ((True, 1.0), (False, 0.5)):
        asked = {**parameters, **TOTAL, "ConsistentRead": is_consistent}
        answer = eventually(
            partial(database.query, database.sorted, "pk = :p", values, **asked),
            lambda answer: answer["ScannedCount"] * 1000 == read_bytes,
        )
        assert units(answer, database.sorted) == expected * factor


def test_a_query_that_finds_nothing(database: Database) -> None:
    """It costs the least there is. (Not documented: none, or half a unit.)"""
    answer = database.query(database.sorted, "pk = :p", {"p": unique()}, ConsistentRead=False, **TOTAL)
    assert units(answer, database.sorted) in (0.0, 0.5)


def test_scans(database: Database) -> None:
    """As queries; each page is rounded up by itself."""
    table = database.table("capacity", pk="S", sk="S")
    for number in range(10):
        database.put(table, sized({"pk": str(number % 3), "sk": str(number), "even": str(number % 2)}, 1000))
    for parameters in ({}, {"FilterExpression": "even = :v", **placeholders({"v": "1"})}, {"Select": "COUNT"}):
        answer = database.client.scan(TableName=table, ConsistentRead=True, **parameters, **TOTAL)
        assert units(answer, table) == 3
        answer = eventually(
            partial(database.client.scan, TableName=table, **parameters, **TOTAL),
            lambda answer: answer["ScannedCount"] == 10,
        )
        assert units(answer, table) == 1.5
    answer = database.client.scan(TableName=table, ConsistentRead=True, Limit=5, **INDEXES)
    assert answer["ConsumedCapacity"] == {
        "TableName": table,
        "CapacityUnits": 2.0,
        "Table": {"CapacityUnits": 2.0},
    }


def test_batches(database: Database) -> None:
    """Every item is rounded up by itself; an entry a table."""
    client, tables = database.client, (database.plain, database.sorted)
    keys = [{"pk": unique()}, {"pk": unique(), "sk": "a"}]
    small = [{"PutRequest": {"Item": typed(sized(key, 100))}} for key in keys]
    large = {"PutRequest": {"Item": typed(sized({"pk": unique()}, KB + 1))}}
    gone = {"DeleteRequest": {"Key": typed({"pk": unique()})}}
    answer = client.batch_write_item(RequestItems={tables[0]: [small[0], large, gone], tables[1]: [small[1]]}, **TOTAL)
    assert sorted(answer["ConsumedCapacity"], key=lambda each: each["CapacityUnits"]) == [
        {"TableName": tables[1], "CapacityUnits": 1.0},
        {"TableName": tables[0], "CapacityUnits": 4.0},
    ]
    wanted: dict[str, Any] = {
        tables[0]: {
            "Keys": [typed(keys[0]), {"pk": large["PutRequest"]["Item"]["pk"]}, typed({"pk": unique()})],
            "ConsistentRead": True,
        },
        tables[1]: {"Keys": [typed(keys[1])]},
    }
    answer = client.batch_get_item(RequestItems=wanted, **INDEXES)
    assert sorted(answer["ConsumedCapacity"], key=lambda each: each["CapacityUnits"]) == [
        {"TableName": tables[1], "CapacityUnits": 0.5, "Table": {"CapacityUnits": 0.5}},
        {"TableName": tables[0], "CapacityUnits": 3.0, "Table": {"CapacityUnits": 3.0}},
    ]
    assert "ConsumedCapacity" not in client.batch_get_item(RequestItems=wanted)


def parts(answer: Any) -> tuple[float, float, dict[str, float]]:
    """(the sum, the table's, by index those of local indexes) of an answer to a request for INDEXES."""
    consumed = answer["ConsumedCapacity"]
    indexes = {name: each["CapacityUnits"] for name, each in consumed.get("LocalSecondaryIndexes", {}).items()}
    assert "GlobalSecondaryIndexes" not in consumed
    assert consumed.keys() >= {"TableName", "CapacityUnits"}
    return consumed["CapacityUnits"], consumed.get("Table", {}).get("CapacityUnits", 0.0), indexes


CHANGES: list[tuple[str, str, Item, dict[str, float]]] = [
    ("SET other1 = :v", "unprojected", {"v": "x"}, {"by-a": 1.0}),
    ("SET x = :v", "projected by two", {"v": "new"}, {"by-a": 1.0, "by-b": 1.0}),
    ("SET a = :v", "a key", {"v": "moved"}, {"by-a": 2.0}),
    ("SET n = :v", "another key", {"v": 9}, {"by-a": 1.0, "by-n": 2.0}),
    ("REMOVE a", "out of one", {}, {"by-a": 1.0}),
    ("REMOVE a, n, b", "out of all", {}, {"by-a": 1.0, "by-n": 1.0, "by-b": 1.0}),
    ("SET a = :v", "nothing", {"v": "A"}, {}),
]


@pytest.mark.parametrize(
    ("expression", "values", "expected"), [(c[0], *c[2:]) for c in CHANGES], ids=[c[1] for c in CHANGES]
)
def test_writes_of_indexes(database: Database, expression: str, values: Item, expected: dict[str, float]) -> None:
    """An entry that is made, changed or removed is a write; one that moves is two; one that stays as it is, none."""
    key = {"pk": unique(), "sk": "1"}
    database.put(database.indexed, {**key, "a": "A", "n": 1, "b": b"\x01", "x": "X", "z": "Z"})
    answer = database.client.update_item(
        TableName=database.indexed,
        Key=typed(key),
        UpdateExpression=expression,
        **placeholders(values),
        **INDEXES,
    )
    assert parts(answer) == (1.0 + sum(expected.values()), 1.0, expected)


def test_puts_and_deletes_of_indexes(database: Database) -> None:
    """Only of the indexes that the item is in; the same item once more costs them nothing."""
    client, table = database.client, database.indexed
    key = {"pk": unique(), "sk": "1"}
    item = {**key, "a": "A", "n": 1}
    both = {"by-a": 1.0, "by-n": 1.0}
    assert parts(client.put_item(TableName=table, Item=typed(item), **INDEXES)) == (3.0, 1.0, both)
    assert parts(client.put_item(TableName=table, Item=typed(item), **INDEXES)) == (1.0, 1.0, {})
    answer = client.put_item(TableName=table, Item=typed({**item, "a": "B"}), **TOTAL)
    assert answer["ConsumedCapacity"] == {"TableName": table, "CapacityUnits": 3.0}
    assert parts(client.delete_item(TableName=table, Key=typed(key), **INDEXES)) == (3.0, 1.0, both)
    assert parts(client.delete_item(TableName=table, Key=typed(key), **INDEXES)) == (1.0, 1.0, {})
    assert parts(client.put_item(TableName=table, Item=typed(key), **INDEXES)) == (1.0, 1.0, {})


def test_large_entries_of_indexes(database: Database) -> None:
    """Each entry's size is that of what it projects."""
    key = {"pk": unique(), "sk": "1"}
    item = {**key, "a": "A", "n": 1, "z": "x" * (5 * KB)}
    answer = database.client.put_item(TableName=database.indexed, Item=typed(item), **INDEXES)
    assert parts(answer) == (13.0, 6.0, {"by-a": 6.0, "by-n": 1.0})


def test_queries_of_indexes(database: Database) -> None:
    """By the size of the entries; an item that is fetched from the table is a read of its own."""
    pk, table = unique(), database.indexed
    for number in range(5):
        database.put(table, {"pk": pk, "sk": str(number), "n": number, "a": "A", "z": "x" * 2000})

    def query(index: str, **parameters: Any) -> tuple[float, float, dict[str, float]]:
        return parts(
            database.query(table, "pk = :p", {"p": pk}, IndexName=index, ConsistentRead=True, **parameters, **INDEXES)
        )

    assert query("by-n") == (1.0, 0.0, {"by-n": 1.0})
    assert query("by-a") == (3.0, 0.0, {"by-a": 3.0})
    assert query("by-n", Select="ALL_ATTRIBUTES") == (6.0, 5.0, {"by-n": 1.0})
    assert query("by-n", ProjectionExpression="z") == (6.0, 5.0, {"by-n": 1.0})
    assert query("by-n", ProjectionExpression="sk, n") == (1.0, 0.0, {"by-n": 1.0})
    assert query("by-a", Select="ALL_ATTRIBUTES") == (3.0, 0.0, {"by-a": 3.0})
    answer = eventually(
        lambda: database.query(table, "pk = :p", {"p": pk}, IndexName="by-n", ConsistentRead=False, **TOTAL),
        lambda answer: answer["Count"] == 5,
    )
    assert answer["ConsumedCapacity"] == {"TableName": table, "CapacityUnits": 0.5}


def test_a_failed_write_says_nothing(database: Database) -> None:
    """An error has no ConsumedCapacity."""
    with pytest.raises(database.client.exceptions.ConditionalCheckFailedException) as raised:
        database.client.put_item(
            TableName=database.plain,
            Item=typed({"pk": unique()}),
            ConditionExpression="attribute_exists(pk)",
            **TOTAL,
        )
    assert "ConsumedCapacity" not in raised.value.response


@pytest.mark.parametrize("operation", ["put_item", "get_item", "scan"])
def test_a_value_that_nobody_knows(database: Database, operation: str) -> None:
    """The error has those that there are."""
    named: dict[str, Any] = {"put_item": {"Item": typed({"pk": "a"})}, "get_item": {"Key": typed({"pk": "a"})}}.get(
        operation, {}
    )
    refused = database.refusal(operation, TableName=database.plain, ReturnConsumedCapacity="ALL", **named)
    assert refused is not None and refused.code == "ValidationException"
    assert "[INDEXES, TOTAL, NONE]" in refused.message
