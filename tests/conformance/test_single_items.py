"""PutItem, GetItem and DeleteItem through boto3: what is done, and what is returned."""

from __future__ import annotations

from typing import Any

import pytest
from statorpb import items_pb2

from tests.conformance.conftest import Tables
from tests.conformance.doors import VALIDATION, Doors, item_message, unique

pytestmark = pytest.mark.cluster

EVERY_TYPE: dict[str, Any] = {
    "s": {"S": "text"},
    "n": {"N": "-1.5"},
    "b": {"B": b"\x00\xff"},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "2"]},
    "bs": {"BS": [b"\x00", b"\xff"]},
    "m": {"M": {"inner": {"L": [{"S": "x"}, {"NULL": True}]}}},
    "l": {"L": [{"N": "1"}, {"M": {}}]},
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
}


def get(doors: Doors, table: str, key: dict[str, Any], **parameters: Any) -> dict[str, Any] | None:
    answer = doors.boto.get_item(TableName=table, Key=key, **{"ConsistentRead": True, **parameters})
    item: dict[str, Any] | None = answer.get("Item")
    return item


def test_an_item_comes_back_whole(doors: Doors, tables: Tables) -> None:
    """Every type of value, by either kind of read once it has spread."""
    item = {"pk": {"S": unique()}, **EVERY_TYPE}
    answer = doors.boto.put_item(TableName=tables.plain, Item=item)
    assert answer.keys() == {"ResponseMetadata"}
    assert get(doors, tables.plain, {"pk": item["pk"]}) == item


def test_both_doors_lead_to_the_same_item(doors: Doors, tables: Tables) -> None:
    """What one has stored the other reads."""
    item = {"pk": {"S": unique()}, "v": {"B": "AP8="}}
    doors.call("Items/PutItem", items_pb2.PutItemRequest(table_name=tables.plain, item=item_message(item)))
    assert get(doors, tables.plain, {"pk": item["pk"]}) == {"pk": item["pk"], "v": {"B": b"\x00\xff"}}
    request = items_pb2.SessionRequest()
    request.get_item.table_name = tables.plain
    request.get_item.consistent_read = True
    request.get_item.key.CopyFrom(item_message({"pk": item["pk"]}))
    assert doors.converse(request)[0].get_item.item == item_message(item)


def test_a_put_replaces_the_whole_item(doors: Doors, tables: Tables) -> None:
    """Nothing of the former one is left."""
    key = {"pk": {"S": unique()}}
    doors.boto.put_item(TableName=tables.plain, Item={**key, "one": {"S": "1"}})
    doors.boto.put_item(TableName=tables.plain, Item={**key, "two": {"S": "2"}})
    assert get(doors, tables.plain, key) == {**key, "two": {"S": "2"}}


def test_what_is_not_there_is_no_item(doors: Doors, tables: Tables) -> None:
    """The answer has no member Item; deleting it again is no error."""
    key = {"pk": {"S": unique()}}
    for parameters in ({}, {"ConsistentRead": True}, {"ConsistentRead": False}):
        answer = doors.boto.get_item(TableName=tables.plain, Key=key, **parameters)
        assert answer.keys() == {"ResponseMetadata"}
    assert doors.boto.delete_item(TableName=tables.plain, Key=key).keys() == {"ResponseMetadata"}
    message = items_pb2.GetItemRequest(table_name=tables.plain, key=item_message(key))
    assert doors.call("Items/GetItem", message) == b""


def test_a_deleted_item_is_gone(doors: Doors, tables: Tables) -> None:
    """And only that one."""
    keys = [{"pk": {"S": "same" + unique()}, "sk": {"S": sort_key}} for sort_key in ("a", "b")]
    for key in keys:
        doors.boto.put_item(TableName=tables.sorted, Item=key)
    doors.boto.delete_item(TableName=tables.sorted, Key=keys[0])
    assert [get(doors, tables.sorted, key) for key in keys] == [None, keys[1]]


@pytest.mark.parametrize(
    ("operation", "body", "member"),
    [
        ("PutItem", {"Item": {"pk": {"S": "a"}}}, "tableName"),
        ("PutItem", {"TableName": "plain"}, "item"),
        ("GetItem", {"TableName": "plain"}, "key"),
        ("DeleteItem", {"TableName": "plain", "Key": None}, "key"),
        ("Scan", {}, "tableName"),
        ("DescribeTable", {}, "tableName"),
        ("DeleteTable", {}, "tableName"),
        ("BatchGetItem", {}, "requestItems"),
        ("BatchWriteItem", {}, "requestItems"),
        (
            "CreateTable",
            {"TableName": "abc", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}]},
            "attributeDefinitions",
        ),
    ],
    ids=str,
)
def test_a_parameter_that_is_missing(doors: Doors, operation: str, body: dict[str, Any], member: str) -> None:
    """The error names it, as DynamoDB's does."""
    assert doors.post(operation, body).error == (
        400,
        VALIDATION,
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null",
    )
