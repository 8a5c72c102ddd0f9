"""Global secondary indexes: what comes to be in them, their order and pages, what they project, what they refuse."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.database import (
    INVALID,
    Database,
    Native,
    invalid,
    natives,
    placeholders,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

Item = dict[str, Native]

HALF = Decimal("0.5")
SETTLED_S_MAX = 20.0
"""Until an index has what was written; it takes hundredths of a second."""


def entries(database: Database, index: str, condition: str, values: Item, **parameters: Any) -> list[Item]:
    """Everything that a condition on the index's key holds for, page by page."""
    found: list[Item] = []
    start: dict[str, Any] = {}
    while True:
        answer = database.client.query(
            TableName=database.searched,
            IndexName=index,
            KeyConditionExpression=condition,
            **placeholders(values),
            **parameters,
            **start,
        )
        found += natives(answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return found
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def wait_for(database: Database, index: str, condition: str, values: Item, expected: list[Item]) -> None:
    """Until the index has these entries, in this order."""
    end = time.monotonic() + SETTLED_S_MAX
    while (found := entries(database, index, condition, values)) != expected:
        if time.monotonic() > end:
            assert found == expected
        time.sleep(0.01)


def test_entries_follow_their_items(database: Database) -> None:
    """There, changed, moved when a key attribute changes, gone when it does, and when the item is deleted."""
    pk, g, other = unique(), unique("g"), unique("g")
    item = {"pk": pk, "sk": "s", "g": g, "h": 1, "x": "old"}
    database.put(database.searched, item)
    wait_for(database, "by-g", "g = :g", {"g": g}, [item])
    database.update(database.searched, item, "SET x = :x", x="new")
    wait_for(database, "by-g", "g = :g", {"g": g}, [{**item, "x": "new"}])
    database.update(database.searched, item, "SET g = :g", g=other)
    wait_for(database, "by-g", "g = :g", {"g": other}, [{**item, "x": "new", "g": other}])
    assert entries(database, "by-g", "g = :g", {"g": g}) == []
    database.update(database.searched, item, "REMOVE h")
    wait_for(database, "by-g", "g = :g", {"g": other}, [])
    wait_for(database, "by-g-alone", "g = :g", {"g": other}, [{"pk": pk, "sk": "s", "g": other}])
    database.client.delete_item(TableName=database.searched, Key=typed({"pk": pk, "sk": "s"}))
    wait_for(database, "by-g-alone", "g = :g", {"g": other}, [])


def test_order(database: Database) -> None:
    """By the index's sort key; items that share it are all there. Forward and backward, in pages of any size."""
    g = unique("g")
    items = [{"pk": unique(), "sk": str(n), "g": g, "h": h} for n, h in enumerate((3, -1, 20, HALF, 3, 7))]
    database.put(database.searched, *items)
    expected = [-1, HALF, 3, 3, 7, 20]
    end = time.monotonic() + SETTLED_S_MAX
    while len(found := entries(database, "by-g", "g = :g", {"g": g})) < len(items) and time.monotonic() < end:
        time.sleep(0.01)
    assert [item["h"] for item in found] == expected
    assert {str(item["sk"]): item for item in found} == {str(item["sk"]): item for item in items}
    assert entries(database, "by-g", "g = :g", {"g": g}, ScanIndexForward=False) == found[::-1]
    for limit in (1, 2, 4, 6, 7):
        assert entries(database, "by-g", "g = :g", {"g": g}, Limit=limit) == found
        assert entries(database, "by-g", "g = :g", {"g": g}, Limit=limit, ScanIndexForward=False) == found[::-1]
    for condition, chosen in (
        ("h = :h", [3, 3]),
        ("h > :h", [7, 20]),
        ("h >= :h", [3, 3, 7, 20]),
        ("h < :h", [-1, HALF]),
        ("h BETWEEN :h AND :i", [3, 3, 7]),
    ):
        values = {"g": g, "h": 3, **({"i": 7} if ":i" in condition else {})}
        assert [each["h"] for each in entries(database, "by-g", f"g = :g AND {condition}", values)] == chosen


def test_projections(database: Database) -> None:
    """All, the keys of both, or these and some more; an item without a key attribute has no entry."""
    pk, g, h = unique(), unique("g"), int(unique("")[1:9], 16)
    whole = {"pk": pk, "sk": "s", "g": g, "h": h, "b": b"b", "x": "x", "z": [1, {"deep": None}]}
    database.put(database.searched, whole, {"pk": pk, "sk": "t", "h": h}, {"pk": pk, "sk": "u", "b": b"b"})
    wait_for(database, "by-g", "g = :g", {"g": g}, [whole])
    wait_for(database, "by-g-alone", "g = :g", {"g": g}, [{"pk": pk, "sk": "s", "g": g}])
    included = {name: value for name, value in whole.items() if name in ("pk", "sk", "h", "b", "x")}
    wait_for(database, "by-h", "h = :h", {"h": h}, [included])


def test_a_key_of_several_attributes(database: Database) -> None:
    """All that is hashed has to be given; what orders, from the left."""
    g, c = unique("g"), unique("c")
    items = [{"pk": unique(), "sk": "s", "g": g, "c": c, "d": d, "h": h} for d in ("a", "b") for h in (1, 2, 3)]
    database.put(database.searched, *items, {"pk": unique(), "sk": "s", "g": g, "c": "other", "d": "a", "h": 1})
    wait_for(database, "by-many", "g = :g AND c = :c", {"g": g, "c": c}, items)
    chosen = entries(
        database, "by-many", "g = :g AND c = :c AND d = :d AND h >= :h", {"g": g, "c": c, "d": "b", "h": 2}
    )
    assert chosen == items[4:]
    refusal = database.refusal(
        "query",
        TableName=database.searched,
        IndexName="by-many",
        KeyConditionExpression="g = :g AND c = :c AND h = :h",
        **placeholders({"g": g, "c": c, "h": 1}),
    )
    assert refusal == invalid("Query condition missed key schema element: d")


def test_a_scan_of_an_index(database: Database) -> None:
    """What has an entry, in segments as well, filtered."""
    g = unique("g")
    items = [{"pk": unique(), "sk": "s", "g": g, "h": h} for h in range(5)]
    database.put(database.searched, *items, {"pk": unique(), "sk": "s", "c": g})
    wait_for(database, "by-g", "g = :g", {"g": g}, items)
    found: list[Item] = []
    for segment in range(3):
        pages = database.client.get_paginator("scan").paginate(
            TableName=database.searched,
            IndexName="by-g",
            FilterExpression="g = :g OR c = :g",
            **placeholders({"g": g}),
            Segment=segment,
            TotalSegments=3,
            PaginationConfig={"PageSize": 7},
        )
        found += [item for page in pages for item in natives(page["Items"])]
    assert {str(item["pk"]): item for item in found} == {str(item["pk"]): item for item in items}


INDEX_KEY = (
    "A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot"
)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"g": 1}, INVALID + "Type mismatch for Index Key g Expected: S Actual: N IndexName: by-g"),
        ({"h": "1"}, INVALID + "Type mismatch for Index Key h Expected: N Actual: S IndexName: by-g"),
        (
            {"g": ""},
            f"One or more parameter values are not valid. {INDEX_KEY} contain an empty string value. IndexName: by-g, "
            "IndexKey: g",
        ),
        ({"g": "g" * 2049}, INVALID + "Size of hashkey has exceeded the maximum size limit of2048 bytes"),
    ],
    ids=["a string", "a number", "empty", "too long"],
)
def test_values_that_cannot_be_keys(database: Database, attributes: Item, message: str) -> None:
    """Refused, whatever writes them."""
    key = {"pk": unique(), "sk": "s"}
    assert database.refusal("put_item", TableName=database.searched, Item=typed({**key, **attributes})) == invalid(
        message
    )
    database.put(database.searched, key)
    with pytest.raises(database.client.exceptions.ClientError):
        database.update(database.searched, key, f"SET {next(iter(attributes))} = :v", v=next(iter(attributes.values())))
    assert database.get(database.searched, key) == key


@pytest.mark.parametrize(
    ("index", "parameters", "message"),
    [
        ("by-g", {"ConsistentRead": True}, "Consistent reads are not supported on global secondary indexes"),
        ("none", {}, "The table does not have the specified index: none"),
        (
            "by-g-alone",
            {"Select": "ALL_ATTRIBUTES"},
            INVALID + "Select type ALL_ATTRIBUTES is not supported for global secondary index by-g-alone because its "
            "projection type is not ALL",
        ),
        (
            "by-g-alone",
            {"ProjectionExpression": "pk, x"},
            INVALID + "Global secondary index by-g-alone does not project [x]",
        ),
    ],
)
def test_what_a_query_is_refused(database: Database, index: str, parameters: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    asked = {"TableName": database.searched, "IndexName": index, "KeyConditionExpression": "g = :g", **parameters}
    assert database.refusal("query", **asked, **placeholders({"g": "x"})) == invalid(message)


def test_what_a_query_takes(database: Database) -> None:
    """Of the index's throughput, not of the table's; its last key names a place in both."""
    g = unique("g")
    items = [{"pk": unique(), "sk": "s", "g": g, "h": h, "x": "x" * 5_000} for h in (1, 2)]
    database.put(database.searched, *items)
    wait_for(database, "by-g", "g = :g", {"g": g}, items)
    answer = database.client.query(
        TableName=database.searched,
        IndexName="by-g",
        KeyConditionExpression="g = :g",
        Limit=1,
        ReturnConsumedCapacity="INDEXES",
        **placeholders({"g": g}),
    )
    assert answer["ConsumedCapacity"] == {
        "TableName": database.searched,
        "CapacityUnits": 1.0,
        "Table": {"CapacityUnits": 0.0},
        "GlobalSecondaryIndexes": {"by-g": {"CapacityUnits": 1.0}},
    }
    assert answer["LastEvaluatedKey"] == typed({name: items[0][name] for name in ("pk", "sk", "g", "h")})


def test_what_a_write_takes(database: Database) -> None:
    """Of the table, and of each index whose entry changes."""
    key = {"pk": unique(), "sk": "s"}
    item = {**key, "g": unique("g"), "x": "x" * 1_500}
    answer = database.client.put_item(TableName=database.searched, Item=typed(item), ReturnConsumedCapacity="INDEXES")
    assert answer["ConsumedCapacity"] == {
        "TableName": database.searched,
        "CapacityUnits": 3.0,
        "Table": {"CapacityUnits": 2.0},
        "GlobalSecondaryIndexes": {"by-g-alone": {"CapacityUnits": 1.0}},
    }
