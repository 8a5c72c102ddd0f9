"""BatchWriteItem and BatchGetItem: their limits, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest
from statorpb import items_pb2

from tests.conformance.conftest import Tables
from tests.conformance.doors import VALIDATION, Doors, GrpcError, Refusal, invalid, item_message, unique

pytestmark = pytest.mark.cluster

DUPLICATES = invalid("Provided list of item keys contains duplicates")
Item = dict[str, Any]


def keys(count: int) -> list[Item]:
    prefix = unique()
    return [{"pk": {"S": f"{prefix}-{number}"}} for number in range(count)]


def write(doors: Doors, table: str, puts: list[Item], deletes: list[Item]) -> Refusal | None:
    """By both doors, which say the same."""
    requests = [{"PutRequest": {"Item": item}} for item in puts] + [{"DeleteRequest": {"Key": key}} for key in deletes]
    answer = doors.post("BatchWriteItem", {"RequestItems": {table: requests}})
    message = items_pb2.BatchWriteItemRequest()
    writes = message.tables.add(table_name=table).writes
    for item in puts:
        writes.add(put=item_message(item))
    for key in deletes:
        writes.add(delete_key=item_message(key))
    reply = doors.call("Items/BatchWriteItem", message)
    if answer.status == 200:
        assert answer.json == {"UnprocessedItems": {}}
        assert reply == b""
        return None
    status, type_, said = answer.error
    assert (status, type_) == (400, VALIDATION)
    assert isinstance(reply, GrpcError) and reply.refusal == invalid(said)
    return reply.refusal


def read(doors: Doors, table: str, wanted: list[Item]) -> list[Item] | Refusal:
    """By both doors, which say the same."""
    answer = doors.post("BatchGetItem", {"RequestItems": {table: {"Keys": wanted, "ConsistentRead": True}}})
    message = items_pb2.BatchGetItemRequest()
    asked = message.tables.add(table_name=table, consistent_read=True)
    asked.keys.extend(item_message(key) for key in wanted)
    reply = doors.call("Items/BatchGetItem", message)
    if answer.status == 200:
        found: list[Item] = answer.json["Responses"][table]
        assert answer.json == {"Responses": {table: found}, "UnprocessedKeys": {}}
        tables = items_pb2.BatchGetItemResponse.FromString(reply).tables
        by_grpc = [each.SerializeToString(deterministic=True) for each_table in tables for each in each_table.items]
        assert sorted(by_grpc) == sorted(item_message(item).SerializeToString(deterministic=True) for item in found)
        return sorted(found, key=str)
    status, type_, said = answer.error
    assert (status, type_) == (400, VALIDATION)
    assert isinstance(reply, GrpcError) and reply.refusal == invalid(said)
    return invalid(said)


def test_25_writes_are_carried_out(doors: Doors, tables: Tables) -> None:
    """Puts and deletes; one more is refused, and nothing of it is done."""
    items = keys(26)
    refused = write(doors, tables.plain, items, [])
    assert refused is not None and "Member must have length less than or equal to 25," in refused.message
    assert read(doors, tables.plain, items) == []
    assert write(doors, tables.plain, items[:25], []) is None
    assert read(doors, tables.plain, items) == sorted(items[:25], key=str)
    assert write(doors, tables.plain, items[25:], items[:24]) is None
    assert read(doors, tables.plain, items) == sorted(items[24:], key=str)


def test_100_keys_are_read(doors: Doors, tables: Tables) -> None:
    """One more is refused; what is not there is left out."""
    items = keys(101)
    assert write(doors, tables.plain, items[:3], []) is None
    assert read(doors, tables.plain, items[:100]) == sorted(items[:3], key=str)
    refused = read(doors, tables.plain, items)
    assert isinstance(refused, Refusal)
    assert refused.message.endswith("Member must have length less than or equal to 100")


def test_no_key_twice(doors: Doors, tables: Tables) -> None:
    """Neither read nor written, and nothing is done of a batch that has one."""
    (key,) = keys(1)
    assert write(doors, tables.plain, [key, {**key, "v": {"S": "a"}}], []) == DUPLICATES
    assert write(doors, tables.plain, [key], [key]) == DUPLICATES
    assert read(doors, tables.plain, [key, key]) == DUPLICATES
    assert read(doors, tables.plain, [key]) == []


def test_a_number_twice_is_the_same_key(doors: Doors, tables: Tables) -> None:
    """However it is written."""
    one, same = ({"pk": {"S": "a"}, "sk": {"N": written}} for written in ("1", "1.0"))
    assert write(doors, tables.number, [one], [same]) == DUPLICATES


def test_an_empty_batch(doors: Doors, tables: Tables) -> None:
    """There is nothing to do: an error."""
    no_writes = "The requestItems parameter is required for BatchWriteItem"
    no_keys = "The requestItems parameter is required for BatchGetItem"
    refused = write(doors, tables.plain, [], [])
    assert refused is not None and "Member must have length greater than or equal to 1]" in refused.message
    refused_read = read(doors, tables.plain, [])
    assert isinstance(refused_read, Refusal)
    assert refused_read.message.endswith("Member must have length greater than or equal to 1")
    assert doors.post("BatchWriteItem", {"RequestItems": {}}).error == (400, VALIDATION, no_writes)
    assert doors.post("BatchGetItem", {"RequestItems": {}}).error == (400, VALIDATION, no_keys)


@pytest.mark.parametrize("request_", [{}, {"PutRequest": {"Item": {}}, "DeleteRequest": {"Key": {}}}, {"Other": {}}])
def test_a_write_request_is_a_put_or_a_delete(doors: Doors, tables: Tables, request_: Any) -> None:
    """Just one of them."""
    status, type_, message = doors.post("BatchWriteItem", {"RequestItems": {tables.plain: [request_]}}).error
    assert (status, type_) == (400, VALIDATION)
    assert message.startswith("Supplied AttributeValue has more than one datatypes set")


def test_a_member_that_breaks_a_rule_fails_the_batch(doors: Doors, tables: Tables) -> None:
    """Nothing is done of it."""
    (good,) = keys(1)
    for bad in ({"pk": {"N": "1"}}, {"pk": {"S": ""}}, {"v": {"S": "a"}}, {**good, "v": {"SS": []}}):
        assert write(doors, tables.plain, [good, bad], []) is not None
    large = {"pk": {"S": "large"}, "v": {"S": "x" * 400 * 1024}}
    assert write(doors, tables.plain, [good, large], []) == invalid("Item size has exceeded the maximum allowed size")
    assert read(doors, tables.plain, [good]) == []


def test_a_batch_over_several_tables(doors: Doors, tables: Tables) -> None:
    """Each table's items come back under its name; a table that is not there fails the batch."""
    (plain,), sort_key = keys(1), {"sk": {"S": "a"}}
    answer = doors.boto.batch_write_item(
        RequestItems={
            tables.plain: [{"PutRequest": {"Item": plain}}],
            tables.sorted: [{"PutRequest": {"Item": {**plain, **sort_key}}}],
        }
    )
    assert answer["UnprocessedItems"] == {}
    wanted: dict[str, Any] = {
        tables.plain: {"Keys": [plain], "ConsistentRead": True},
        tables.sorted: {"Keys": [{**plain, **sort_key}], "ConsistentRead": True},
    }
    answer = doors.boto.batch_get_item(RequestItems=wanted)
    assert answer["Responses"] == {tables.plain: [plain], tables.sorted: [{**plain, **sort_key}]}
    with pytest.raises(doors.boto.exceptions.ResourceNotFoundException):
        doors.boto.batch_get_item(RequestItems={**wanted, "nowhere": {"Keys": [plain]}})


def test_a_large_batch(doors: Doors, tables: Tables) -> None:
    """25 items of 400 KB: 10 MB in one request, and in one answer."""
    items = [{**key, "v": {"S": "x" * 409_500}} for key in keys(25)]
    requests = [{"PutRequest": {"Item": item}} for item in items]
    left = doors.boto.batch_write_item(RequestItems={tables.plain: requests})["UnprocessedItems"]
    assert left == {}
    wanted = {tables.plain: {"Keys": [{"pk": item["pk"]} for item in items], "ConsistentRead": True}}
    found = doors.boto.batch_get_item(RequestItems=wanted)
    assert found["UnprocessedKeys"] == {}
    assert sorted(found["Responses"][tables.plain], key=str) == sorted(items, key=str)
    for item in items:
        doors.boto.delete_item(TableName=tables.plain, Key={"pk": item["pk"]})
