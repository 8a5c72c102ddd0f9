"""Local secondary indexes: what is in them and when, their order and pages, what they project, what is fetched."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import (
    INVALID,
    Database,
    Native,
    invalid,
    key_of,
    natives,
    placeholders,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

Item = dict[str, Native]


def entries(database: Database, index: str, pk: str, **parameters: Any) -> list[Item]:
    """Everything of an item collection in an index, strongly consistent."""
    found: list[Item] = []
    start: dict[str, Any] = {}
    while True:
        answer = database.query(
            database.indexed, "pk = :p", {"p": pk}, IndexName=index, ConsistentRead=True, **parameters, **start
        )
        found += natives(answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return found
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def sort_keys(items: list[Item]) -> list[Native]:
    return [item["sk"] for item in items]


def test_order(database: Database) -> None:
    """By the index's sort key, then by the table's; forward and backward."""
    pk = unique()
    items = [
        {"pk": pk, "sk": sk, "a": a}
        for a, sk in (("b", "1"), ("a", "2"), ("c", "0"), ("a", "10"), ("b", "3"), ("B", "9"))
    ]
    database.put(database.indexed, *items)
    expected = sorted(items, key=lambda item: (item["a"], item["sk"]))
    assert entries(database, "by-a", pk) == expected
    assert entries(database, "by-a", pk, ScanIndexForward=False) == expected[::-1]
    for limit in (1, 2, 5, 6, 7):
        assert entries(database, "by-a", pk, Limit=limit) == expected
        assert entries(database, "by-a", pk, Limit=limit, ScanIndexForward=False) == expected[::-1]


def test_order_of_numbers_and_binaries(database: Database) -> None:
    """As in tables."""
    pk = unique()
    numbers, binaries = [-10, -9, 0, 2, 10, 100], [b"\x00", b"\x7f", b"\x80", b"\xff", b"\xff\x00", b"\xff\xff"]
    for number, (n, b) in enumerate(zip(numbers, reversed(binaries), strict=True)):
        database.put(database.indexed, {"pk": pk, "sk": str(number), "n": n, "b": b})
    assert [item["n"] for item in entries(database, "by-n", pk)] == numbers
    assert [item["b"] for item in entries(database, "by-b", pk)] == binaries


CONDITIONS: list[tuple[str, dict[str, Native], Any]] = [
    ("n = :v", {"v": 3}, lambda n: n == 3),
    ("n < :v", {"v": 3}, lambda n: n < 3),
    ("n <= :v", {"v": 3}, lambda n: n <= 3),
    ("n > :v", {"v": 3}, lambda n: n > 3),
    ("n >= :v", {"v": 3}, lambda n: n >= 3),
    ("n BETWEEN :v AND :w", {"v": 1, "w": 3}, lambda n: 1 <= n <= 3),
]


@pytest.fixture(scope="module")
def collection(database: Database) -> str:
    """The partition key of items with n = number // 2, a = "a" + number."""
    pk = unique("collection")
    database.put(
        database.indexed,
        *({"pk": pk, "sk": f"{number:02}", "n": number // 2, "a": f"a{number}"} for number in range(10)),
    )
    return pk


@pytest.mark.parametrize(("condition", "values", "holds"), CONDITIONS, ids=[each[0] for each in CONDITIONS])
@pytest.mark.parametrize("is_forward", [True, False])
@pytest.mark.parametrize("limit", [None, 1, 3])
def test_key_conditions(
    database: Database,
    collection: str,
    condition: str,
    values: dict[str, Native],
    holds: Any,
    is_forward: bool,
    limit: int | None,
) -> None:
    """On the index's sort key; in pages, too, though several items have the same."""
    expected = [f"{number:02}" for number in range(10) if holds(number // 2)]
    parameters: dict[str, Any] = {"ScanIndexForward": is_forward, **({"Limit": limit} if limit else {})}
    found: list[Native] = []
    start: dict[str, Any] = {}
    while True:
        answer = database.query(
            database.indexed,
            f"pk = :p AND {condition}",
            {"p": collection, **values},
            IndexName="by-n",
            ConsistentRead=True,
            **parameters,
            **start,
        )
        found += sort_keys(natives(answer["Items"]))
        if "LastEvaluatedKey" not in answer:
            break
        assert answer["LastEvaluatedKey"].keys() == {"pk", "sk", "n"}
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    assert found == (expected if is_forward else expected[::-1])


def test_begins_with(database: Database, collection: str) -> None:
    """On an index's sort key that is a string."""
    answer = database.query(
        database.indexed, "pk = :p AND begins_with(a, :v)", {"p": collection, "v": "a1"}, IndexName="by-a"
    )
    assert [item["a"] for item in natives(answer["Items"])] == ["a1"]


def test_only_items_with_the_attribute_are_in_an_index(database: Database) -> None:
    """Others are in the table alone."""
    pk = unique()
    database.put(
        database.indexed, {"pk": pk, "sk": "1", "a": "x"}, {"pk": pk, "sk": "2"}, {"pk": pk, "sk": "3", "n": 1}
    )
    assert sort_keys(entries(database, "by-a", pk)) == ["1"]
    assert sort_keys(entries(database, "by-n", pk)) == ["3"]
    assert entries(database, "by-b", pk) == []
    answer = database.query(database.indexed, "pk = :p", {"p": pk}, ConsistentRead=True)
    assert answer["Count"] == 3


def test_an_index_follows_every_kind_of_write(database: Database) -> None:
    """At once: what a strongly consistent read finds is what was written."""
    client, table, key = database.client, database.indexed, {"pk": unique(), "sk": "1"}
    pk = key["pk"]

    def in_index() -> list[Item]:
        return entries(database, "by-a", pk)

    database.put(table, {**key, "a": "m", "v": 1})
    assert in_index() == [{**key, "a": "m", "v": 1}]
    database.put(table, {**key, "a": "m", "v": 2})
    assert in_index() == [{**key, "a": "m", "v": 2}]
    database.put(table, {**key, "a": "z"})
    assert in_index() == [{**key, "a": "z"}]
    database.update(table, key, "SET a = :v", v="b")
    assert in_index() == [{**key, "a": "b"}]
    database.update(table, key, "SET v = :v", v=3)
    assert in_index() == [{**key, "a": "b", "v": 3}]
    database.update(table, key, "REMOVE a")
    assert in_index() == []
    database.update(table, key, "SET a = :v", v="c")
    assert in_index() == [{**key, "a": "c", "v": 3}]
    database.put(table, key)
    assert in_index() == []
    client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": typed({**key, "a": "d"})}}]})
    assert in_index() == [{**key, "a": "d"}]
    refused = database.refusal(
        "delete_item", TableName=table, Key=typed(key), ConditionExpression="a = :v", **placeholders({"v": "no"})
    )
    assert refused is not None and in_index() == [{**key, "a": "d"}]
    client.delete_item(TableName=table, Key=typed(key))
    assert in_index() == []
    database.put(table, {**key, "a": "e"})
    client.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": typed(key)}}]})
    assert in_index() == []


FULL: Item = {"a": "1", "n": 1, "b": b"\x01", "x": "X", "y": {"deep": [1]}, "z": "Z"}
PROJECTED: dict[str, set[str]] = {
    "by-a": {"pk", "sk", *FULL},
    "by-n": {"pk", "sk", "n"},
    "by-b": {"pk", "sk", "b", "x", "y"},
}


@pytest.fixture(scope="module")
def full(database: Database) -> Item:
    stored = {"pk": unique("full"), "sk": "1", **FULL}
    database.put(database.indexed, stored)
    return stored


def part(item: Item, names: set[str]) -> Item:
    return {name: value for name, value in item.items() if name in names}


@pytest.mark.parametrize("index", PROJECTED)
def test_projections(database: Database, full: Item, index: str) -> None:
    """What the index has is what comes back, unless more is asked for: then it is fetched from the table."""
    projected = part(full, PROJECTED[index])

    def query(**parameters: Any) -> Any:
        return database.query(database.indexed, "pk = :p", {"p": full["pk"]}, IndexName=index, **parameters)

    assert natives(query()["Items"]) == [projected]
    assert natives(query(Select="ALL_PROJECTED_ATTRIBUTES")["Items"]) == [projected]
    assert natives(query(Select="ALL_ATTRIBUTES")["Items"]) == [full]
    assert natives(query(ProjectionExpression="x, z")["Items"]) == [part(full, {"x", "z"})]
    assert natives(query(ProjectionExpression="y.deep[0], z")["Items"]) == [{"y": {"deep": [1]}, "z": "Z"}]
    assert natives(query(ProjectionExpression="sk")["Items"]) == [{"sk": "1"}]
    assert natives(query(Select="SPECIFIC_ATTRIBUTES", ProjectionExpression="z")["Items"]) == [{"z": "Z"}]
    counted = query(Select="COUNT")
    assert counted["Count"] == 1 and "Items" not in counted


def test_large_items_are_fetched_in_pages(database: Database) -> None:
    """However small an index's entries are, a page of whole items is no larger than a response may be."""
    pk = unique("large")
    for number in range(50):
        database.put(database.indexed, {"pk": pk, "sk": f"{number:02}", "n": number, "z": "x" * 390_000})
    found, pages = [], 0
    start: dict[str, Any] = {}
    while True:
        answer = database.query(
            database.indexed, "pk = :p", {"p": pk}, IndexName="by-n", Select="ALL_ATTRIBUTES", **start
        )
        assert all(len(item["z"]["S"]) == 390_000 for item in answer["Items"])
        found += sort_keys(natives(answer["Items"]))
        pages += 1
        if "LastEvaluatedKey" not in answer:
            break
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    assert found == [f"{number:02}" for number in range(50)]
    assert pages > 1
    for number in range(50):
        key = typed({"pk": pk, "sk": f"{number:02}"})
        database.client.delete_item(TableName=database.indexed, Key=key)


@pytest.mark.parametrize("index", PROJECTED)
def test_legacy_projections(database: Database, full: Item, index: str) -> None:
    """AttributesToGet fetches as well."""
    conditions = {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": full["pk"]}]}}
    answer = database.client.query(
        TableName=database.indexed,
        IndexName=index,
        ConsistentRead=True,
        KeyConditions=conditions,
        AttributesToGet=["z", "sk"],
    )
    assert natives(answer["Items"]) == [{"z": "Z", "sk": "1"}]


@pytest.mark.parametrize(
    ("index", "expression", "found"),
    [
        ("by-a", "z = :v", True),
        ("by-a", "z <> :v", False),
        ("by-b", "x <> :v", True),
        ("by-b", "sk <> :v", True),
        ("by-n", "sk = :v", False),
    ],
)
def test_filters(database: Database, full: Item, index: str, expression: str, found: bool) -> None:
    """On what the index has; the table's sort key is no key of the index, and may be in a filter."""
    answer = database.query(
        database.indexed,
        "pk = :p",
        {"p": full["pk"], "v": "Z"},
        IndexName=index,
        FilterExpression=expression,
        ConsistentRead=True,
    )
    assert (answer["Count"], answer["ScannedCount"]) == (int(found), 1)


def test_a_filter_may_not_have_the_keys_of_the_index(database: Database) -> None:
    """Of the index that is read."""
    message = "Filter Expression can only contain non-primary key attributes: Primary key attribute: "
    for name, value in (("pk", "x"), ("a", "x")):
        refused = database.refusal(
            "query",
            TableName=database.indexed,
            IndexName="by-a",
            KeyConditionExpression="pk = :p",
            FilterExpression=f"{name} = :v",
            **placeholders({"p": "x", "v": value}),
        )
        assert refused == invalid(message + name)


def test_scan(database: Database, full: Item) -> None:
    """An index can be scanned: it has the items that have its attribute, as they are projected."""
    for index, names in PROJECTED.items():
        found: list[Item] = []
        start: dict[str, Any] = {}
        while True:
            answer = database.client.scan(
                TableName=database.indexed, IndexName=index, ConsistentRead=True, Limit=5, **start
            )
            found += natives(answer["Items"])
            if "LastEvaluatedKey" not in answer:
                break
            assert answer["LastEvaluatedKey"].keys() == {"pk", "sk", index[-1]}
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        assert [item for item in found if item["pk"] == full["pk"]] == [part(full, names)]
        assert all(index[-1] in item for item in found)
        keys = [(item["pk"], item["sk"]) for item in found]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("segments", "limit"), [(1, None), (3, None), (3, 2)])
def test_segments(database: Database, collection: str, segments: int, limit: int | None) -> None:
    """Of an index, with a filter and in pages."""
    found: list[Native] = []
    for segment in range(segments):
        start: dict[str, Any] = {}
        while True:
            answer = database.client.scan(
                TableName=database.indexed,
                IndexName="by-n",
                Segment=segment,
                TotalSegments=segments,
                ConsistentRead=True,
                FilterExpression="pk = :p",
                **placeholders({"p": collection}),
                **({"Limit": limit} if limit else {}),
                **start,
            )
            found += sort_keys(natives(answer["Items"]))
            if "LastEvaluatedKey" not in answer:
                break
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    assert found == [f"{number:02}" for number in range(10)]


def test_item_collection_metrics(database: Database) -> None:
    """By every write that asks for them, of the item's collection; never where there are no local indexes."""
    client, key = database.client, {"pk": unique(), "sk": "1"}
    expected = {"ItemCollectionKey": {"pk": {"S": key["pk"]}}, "SizeEstimateRangeGB": [0.0, 1.0]}
    asked = {"ReturnItemCollectionMetrics": "SIZE"}
    for table, metrics in ((database.indexed, expected), (database.sorted, None)):
        named: dict[str, Any] = {"TableName": table, **asked}
        assert client.put_item(Item=typed(key), **named).get("ItemCollectionMetrics") == metrics
        update = {"UpdateExpression": "SET v = :v", **placeholders({"v": 1})}
        assert client.update_item(Key=typed(key), **update, **named).get("ItemCollectionMetrics") == metrics
        assert client.delete_item(Key=typed(key), **named).get("ItemCollectionMetrics") == metrics
        assert "ItemCollectionMetrics" not in client.put_item(TableName=table, Item=typed(key))
        write = {table: [{"PutRequest": {"Item": typed(key)}}]}
        answer = client.batch_write_item(RequestItems=write, **asked)
        batch = answer.get("ItemCollectionMetrics", {})
        assert batch == ({table: [metrics]} if metrics else {})


TYPE_MISMATCH = "Type mismatch for Index Key {} Expected: {} Actual: {} IndexName: by-{}"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a", 1, INVALID + TYPE_MISMATCH.format("a", "S", "N", "a")),
        ("a", ["x"], INVALID + TYPE_MISMATCH.format("a", "S", "L", "a")),
        ("a", None, INVALID + TYPE_MISMATCH.format("a", "S", "NULL", "a")),
        ("n", "1", INVALID + TYPE_MISMATCH.format("n", "N", "S", "n")),
        ("b", "x", INVALID + TYPE_MISMATCH.format("b", "B", "S", "b")),
        (
            "a",
            "",
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
            "The AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-a, IndexKey: a",
        ),
        (
            "b",
            b"",
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
            "The AttributeValue for a key attribute cannot contain an empty binary value. IndexName: by-b, IndexKey: b",
        ),
    ],
    ids=str,
)
def test_an_attribute_that_cannot_be_a_key(database: Database, name: str, value: Native, message: str) -> None:
    """It is no key of the table, but the index needs its type."""
    item = typed({"pk": "a", "sk": "b", name: value})
    assert database.refusal("put_item", TableName=database.indexed, Item=item) == invalid(message)
    write = {database.indexed: [{"PutRequest": {"Item": item}}]}
    assert database.refusal("batch_write_item", RequestItems=write) == invalid(message)
    key = {"pk": unique(), "sk": "b"}
    refused = database.refusal(
        "update_item",
        TableName=database.indexed,
        Key=typed(key),
        UpdateExpression=f"SET {name} = :v",
        **placeholders({"v": value}),
    )
    if "cannot contain an empty" in message:
        kind = "binary" if name == "b" else "string"
        message = (
            "One or more parameter values are not valid. The update expression attempted to update a secondary index "
            "key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty "
            f"{kind} value."
        )
    assert refused == invalid(message)
    assert database.get(database.indexed, key) is None


def test_an_update_that_computes_a_wrong_type(database: Database) -> None:
    """It is noticed when it is applied; the item stays."""
    item = {"pk": unique(), "sk": "1", "v": 5}
    database.put(database.indexed, item)
    refused = database.refusal(
        "update_item", TableName=database.indexed, Key=typed(key_of(item)), UpdateExpression="SET a = v"
    )
    assert refused == invalid("The update expression attempted to update the secondary index key to unsupported type")
    assert database.get(database.indexed, item) == item


def test_two_sort_keys_of_a_kilobyte(database: Database) -> None:
    """Each has its own limit; one byte more is refused."""
    item = {"pk": unique(), "sk": "x" * 1024, "a": "y" * 1024}
    database.put(database.indexed, item)
    assert entries(database, "by-a", item["pk"]) == [item]
    refused = database.refusal("put_item", TableName=database.indexed, Item=typed({**item, "a": "y" * 1025}))
    assert refused is not None and refused.code == "ValidationException"
    assert "1024" in refused.message


REFUSED: list[tuple[dict[str, Any], dict[str, Native], str]] = [
    (
        {"KeyConditionExpression": "pk = :p AND sk = :v"},
        {"p": "x", "v": "y"},
        "Query condition missed key schema element: a",
    ),
    ({"KeyConditionExpression": "a = :v"}, {"v": "y"}, "Query condition missed key schema element: pk"),
    (
        {"KeyConditionExpression": "pk = :p AND a = :v"},
        {"p": "x", "v": 1},
        f"{INVALID}Condition parameter type does not match schema type",
    ),
    (
        {"KeyConditionExpression": "pk = :p", "ExclusiveStartKey": typed({"pk": "x", "sk": "y"})},
        {"p": "x"},
        "The provided starting key is invalid",
    ),
    (
        {"KeyConditionExpression": "pk = :p", "ExclusiveStartKey": typed({"pk": "z", "sk": "y", "a": "a"})},
        {"p": "x"},
        "The provided starting key is outside query boundaries based on provided conditions",
    ),
    (
        {"KeyConditionExpression": "pk = :p", "Select": "ALL_PROJECTED_ATTRIBUTES", "ProjectionExpression": "a"},
        {"p": "x"},
        "Cannot specify the ProjectionExpression when choosing to get ALL_PROJECTED_ATTRIBUTES",
    ),
]


@pytest.mark.parametrize(("parameters", "values", "message"), REFUSED, ids=[each[2] for each in REFUSED])
def test_what_is_refused(
    database: Database, parameters: dict[str, Any], values: dict[str, Native], message: str
) -> None:
    """In DynamoDB's words."""
    refused = database.refusal(
        "query", TableName=database.indexed, IndexName="by-a", **placeholders(values), **parameters
    )
    assert refused == invalid(message)
