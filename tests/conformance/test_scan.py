"""Scan: pages, their limits, and going on from a key."""

from __future__ import annotations

from typing import Any

import pytest
from statorpb import items_pb2, tables_pb2

from tests.conformance.conftest import Tables, create_table
from tests.conformance.doors import VALIDATION, Doors, GrpcError, invalid, item_message, unique

pytestmark = pytest.mark.cluster

COUNT = 23
Item = dict[str, Any]


@pytest.fixture(scope="module")
def filled(doors: Doors) -> str:
    """A table of four partitions with COUNT items."""
    name = unique("scanned")
    create_table(doors, name, sort_type=tables_pb2.S, partitions=4)
    for number in range(COUNT):
        doors.boto.put_item(TableName=name, Item=item(number))
    return name


def item(number: int) -> Item:
    return {"pk": {"S": f"p{number // 3}"}, "sk": {"S": f"s{number}"}, "v": {"N": str(number)}}


def pages(doors: Doors, table: str, **parameters: Any) -> list[dict[str, Any]]:
    found = [doors.boto.scan(TableName=table, ConsistentRead=True, **parameters)]
    while "LastEvaluatedKey" in found[-1]:
        assert len(found) < 100
        start = found[-1]["LastEvaluatedKey"]
        found.append(doors.boto.scan(TableName=table, ConsistentRead=True, ExclusiveStartKey=start, **parameters))
    return found


def test_a_scan_returns_every_item_once(doors: Doors, filled: str) -> None:
    """The items of one partition key together, in the order of their sort keys."""
    (page,) = pages(doors, filled)
    assert sorted(int(each["v"]["N"]) for each in page["Items"]) == list(range(COUNT))
    assert (page["Count"], page["ScannedCount"]) == (COUNT, COUNT)
    for partition_key in {each["pk"]["S"] for each in page["Items"]}:
        at = [index for index, each in enumerate(page["Items"]) if each["pk"]["S"] == partition_key]
        assert at == list(range(at[0], at[0] + len(at)))
        sort_keys = [page["Items"][index]["sk"]["S"] for index in at]
        assert sort_keys == sorted(sort_keys)


@pytest.mark.parametrize("limit", [1, 2, 5, COUNT - 1, COUNT, COUNT + 1])
def test_pages_of_any_length_are_the_same_scan(doors: Doors, filled: str, limit: int) -> None:
    """A full page names its last key, even where nothing follows."""
    (whole,) = pages(doors, filled)
    found = pages(doors, filled, Limit=limit)
    assert [each for page in found for each in page["Items"]] == whole["Items"]
    for page in found[:-1]:
        assert page["Count"] == limit
        assert page["LastEvaluatedKey"] == {name: page["Items"][-1][name] for name in ("pk", "sk")}
    assert len(found) == COUNT // limit + 1


def test_boto3s_paginator(doors: Doors, filled: str) -> None:
    """Reads all pages."""
    paginator = doors.boto.get_paginator("scan").paginate(TableName=filled, PaginationConfig={"PageSize": 4})
    assert sum(page["Count"] for page in paginator) == COUNT


def test_the_grpc_door_scans_alike(doors: Doors, filled: str) -> None:
    """The same items in the same order, the same key to go on from."""
    (whole,) = pages(doors, filled)
    request = items_pb2.ScanRequest(table_name=filled, limit=20, consistent_read=True)
    first = items_pb2.ScanResponse.FromString(doors.call("Items/Scan", request))
    request.exclusive_start_key.CopyFrom(first.last_evaluated_key)
    second = items_pb2.ScanResponse.FromString(doors.call("Items/Scan", request))
    assert [*first.items, *second.items] == [item_message(each) for each in whole["Items"]]
    assert not second.HasField("last_evaluated_key")


def test_a_key_that_is_not_there_is_a_place_all_the_same(doors: Doors, filled: str) -> None:
    """A scan goes on after an item that has been deleted meanwhile."""
    (whole,) = pages(doors, filled)
    before = whole["Items"][4]
    start = {"pk": before["pk"], "sk": {"S": before["sk"]["S"] + "-"}}
    page = doors.boto.scan(TableName=filled, ConsistentRead=True, ExclusiveStartKey=start)
    assert page["Items"] == whole["Items"][5:]


def test_an_empty_table(doors: Doors) -> None:
    """One page, without items."""
    name = unique("empty")
    create_table(doors, name, partitions=3)
    answer = doors.post("Scan", {"TableName": name})
    assert answer.json == {"Items": [], "Count": 0, "ScannedCount": 0}


def test_a_page_holds_a_megabyte(doors: Doors) -> None:
    """The item that passes it is the last."""
    name = unique("large")
    create_table(doors, name)
    for number in range(4):
        doors.boto.put_item(TableName=name, Item={"pk": {"S": str(number)}, "v": {"S": "x" * 400_000}})
    assert [page["Count"] for page in pages(doors, name)] == [3, 1]


@pytest.mark.parametrize(
    ("limit", "relation"),
    [
        (0, "greater than or equal to 1"),
        (-1, "greater than or equal to 1"),
    ],
)
def test_a_limit_is_positive(doors: Doors, tables: Tables, limit: int, relation: str) -> None:
    """And fits DynamoDB's integers."""
    assert doors.post("Scan", {"TableName": tables.plain, "Limit": limit}).error == (
        400,
        VALIDATION,
        f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value "
        f"{relation}",
    )


@pytest.mark.parametrize(
    "key", [{}, {"pk": {"N": "1"}}, {"pk": {"S": "a"}, "sk": {"S": "a"}}], ids=["empty", "type", "more"]
)
def test_a_start_key_is_a_key(doors: Doors, tables: Tables, key: Item) -> None:
    """Just the table's."""
    expected = invalid("The provided starting key is invalid: The provided key element does not match the schema")
    answer = doors.post("Scan", {"TableName": tables.plain, "ExclusiveStartKey": key})
    assert answer.error == (400, VALIDATION, expected.message)
    request = items_pb2.ScanRequest(table_name=tables.plain, exclusive_start_key=item_message(key))
    error = doors.call("Items/Scan", request)
    assert isinstance(error, GrpcError) and error.refusal == expected
