"""router/transaction_items.py: what is asked about the items of a transaction, and what their answers come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from statorpb import partition_pb2

from router.partition_map_cache import Table
from router.requests import transact_get_items, transact_write_items
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import TransactWriteItemsRequest
from router.results import Capacity, CollectionMetrics, TransactRead, TransactWritten
from router.storage_client import DELETE, GET, PUT, UPDATE
from router.transaction_items import prepared_reads, prepared_writes, read, replayed, written
from server.model.errors import (
    NO_REASON,
    TransactionCanceledError,
    ValidationError,
    validation_reason,
)
from server.model.key_encoding import encode_position
from server.model.table import KeyAttribute, KeySchema, LocalIndex
from server.wire import item_to_bytes
from tests.router.fakes import TABLE
from tests.router.test_global_indexes import MANY, SCHEMA, table

KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
OTHER = {"pk": {"S": "p"}, "sk": {"S": "t"}}
TABLES = {TABLE: table(MANY), "plain": replace(table(), name="plain", schema=KeySchema(KeyAttribute("pk", "S"), None))}
CHECKED = {"ConditionExpression": "attribute_exists(a)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
UPDATE_A = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}
NO_KEY = "The provided key element does not match the schema"
EMPTY = (
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string "
    "value. Key: "
)


def writes(*members: dict[str, Any], **others: Any) -> TransactWriteItemsRequest:
    """A request of members such as {"Put": {"Item": ...}}; of TABLE where they do not say."""
    named = [{kind: {"TableName": TABLE, **body} for kind, body in member.items()} for member in members]
    return transact_write_items.from_body({"TransactItems": named, **others}, is_json=True)


def reads(*keys: dict[str, Any], **others: Any) -> TransactGetItemsRequest:
    named = [{"Get": {"TableName": TABLE, **body}} for body in keys]
    return transact_get_items.from_body({"TransactItems": named, **others}, is_json=True)


def put(item: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"Put": {"Item": item, **others}}


def test_what_is_asked_of_the_leaders() -> None:
    """Where each item is, what is to be done with it, and under which condition. A check changes nothing."""
    other = {"TableName": "plain", "Key": {"pk": {"S": "p"}}}
    request = writes(
        put(KEY, **CHECKED), {"Update": {"Key": OTHER, **UPDATE_A}}, {"Delete": other},
        {"ConditionCheck": {"Key": {**KEY, "sk": {"S": "u"}}, **CHECKED}},
    )  # fmt: skip
    first, second, third, fourth = prepared_writes(request, TABLES)
    assert (first.operation, first.position, first.item) == (PUT, encode_position(SCHEMA, KEY), item_to_bytes(KEY))
    assert first.details is not None and first.details.condition and first.details.returned_on_failure
    assert not first.details.measured
    assert (second.operation, second.item) == (UPDATE, item_to_bytes(OTHER))
    assert second.details is not None and second.details.update and second.details.update_values
    assert (third.operation, third.item, third.details) == (DELETE, b"", partition_pb2.WriteDetails())
    assert third.position == encode_position(TABLES["plain"].schema, {"pk": {"S": "p"}})
    assert (fourth.operation, fourth.item) == (GET, b"")
    assert fourth.details is not None and fourth.details.condition == first.details.condition


@pytest.mark.parametrize("asked", [{"ReturnConsumedCapacity": "TOTAL"}, {"ReturnItemCollectionMetrics": "SIZE"}])
def test_what_is_to_be_told_is_measured(asked: dict[str, str]) -> None:
    """Of every item."""
    for each in prepared_writes(writes(put(KEY), {"Delete": {"Key": OTHER}}, **asked), TABLES):
        assert each.details is not None and each.details.measured


def test_what_is_read() -> None:
    """Where each item is, and what of it."""
    request = reads({"Key": KEY}, {"Key": OTHER, "ProjectionExpression": "a, b.c"})
    first, second = prepared_reads(request, TABLES)
    assert first == (encode_position(SCHEMA, KEY), b"")
    assert second.position == encode_position(SCHEMA, OTHER)
    assert second.projection.endswith(b'["P",["a"],["b","c"]]]')


MISMATCH = "One or more parameter values were invalid: Type mismatch for "


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (put({**KEY, "pk": {"N": "5"}}), MISMATCH + "key pk expected: S actual: N"),
        (put({**KEY, "pk": {"L": [{"S": "x"}]}}), MISMATCH + "key pk expected: S actual: L"),
        (put({"pk": {"S": "p"}}), "One or more parameter values were invalid: Missing the key sk in the item"),
        (put({**KEY, "k1": {"N": "5"}}), MISMATCH + "Index Key k1 Expected: S Actual: N IndexName: many"),
        ({"Delete": {"Key": {**KEY, "pk": {"N": "5"}}}}, NO_KEY),
        ({"Delete": {"Key": {}}}, NO_KEY),
        ({"Update": {"Key": {**KEY, "a": {"S": "x"}}, **UPDATE_A}}, NO_KEY),
        ({"ConditionCheck": {"Key": {**KEY, "pk": {"L": []}}, **CHECKED}}, NO_KEY),
        (
            {"Update": {"Key": KEY, **UPDATE_A, "UpdateExpression": "SET pk = :a"}},
            "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key",
        ),
        (
            {"ConditionCheck": {"Key": KEY, **CHECKED, "ConditionExpression": "attribute_exists(sk.a)"}},
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: sk",
        ),
    ],
)
def test_an_item_that_does_not_fit_its_table_cancels_the_transaction(member: dict[str, Any], message: str) -> None:
    """For that reason, which is told in its place."""
    with pytest.raises(TransactionCanceledError) as raised:
        prepared_writes(writes(put(OTHER), member), TABLES)
    assert raised.value.reasons == (NO_REASON, validation_reason(message))
    assert raised.value.message.endswith("[None, ValidationError]")


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (put({**KEY, "pk": {"S": ""}}), EMPTY + "pk"),
        ({"Delete": {"Key": {**KEY, "sk": {"S": ""}}}}, EMPTY + "sk"),
        ({"Update": {"Key": {**KEY, "pk": {"S": ""}}, **UPDATE_A}}, EMPTY + "pk"),
        ({"ConditionCheck": {"Key": {**KEY, "pk": {"S": ""}}, **CHECKED}}, EMPTY + "pk"),
        (
            put({**KEY, "k1": {"S": ""}}),
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
            "The AttributeValue for a key attribute cannot contain an empty string value. IndexName: many, "
            "IndexKey: k1",
        ),
        (put(OTHER, TableName=TABLE), "Transaction request cannot include multiple operations on one item"),
    ],
)
def test_what_is_wrong_with_the_request_as_a_whole(member: dict[str, Any], message: str) -> None:
    """Before it is asked whether each item fits its table."""
    unfit = put({**KEY, "pk": {"N": "5"}})
    with pytest.raises(ValidationError) as raised:
        prepared_writes(writes(put(OTHER), unfit, member), TABLES)
    assert raised.value.message == message


def test_the_same_key_in_two_tables_is_two_items() -> None:
    """And so are two keys in one."""
    one = {"pk": {"S": "p"}}
    plain = put(one, TableName="plain")
    assert len(prepared_writes(writes(plain, {"Delete": {"Key": KEY}}, put(OTHER)), TABLES)) == 3
    same = {**TABLES, TABLE: replace(TABLES["plain"], name=TABLE)}
    assert len(prepared_writes(writes(plain, put(one)), same)) == 2


def test_a_read_of_what_cannot_be() -> None:
    """Is cancelled, or refused, as writes are."""
    with pytest.raises(TransactionCanceledError) as cancelled:
        prepared_reads(reads({"Key": KEY}, {"Key": {}}), TABLES)
    assert cancelled.value.reasons == (NO_REASON, validation_reason(NO_KEY))
    with pytest.raises(ValidationError, match="multiple operations on one item"):
        prepared_reads(reads({"Key": KEY}, {"Key": OTHER}, {"Key": KEY}), TABLES)
    with pytest.raises(TransactionCanceledError):
        prepared_reads(reads({"Key": KEY, "ProjectionExpression": "pk.a"}), TABLES)


def result(old_bytes: int, new_bytes: int, **others: Any) -> partition_pb2.WriteResult:
    return partition_pb2.WriteResult(old_bytes=old_bytes, new_bytes=new_bytes, **others)


def test_writes_consume_twice_as_much() -> None:
    """By table, and by index where that was asked for; a check as much as a write."""
    members = (put(KEY), put({"pk": {"S": "p"}}, TableName="plain"), {"ConditionCheck": {"Key": OTHER, **CHECKED}})
    results = [
        result(0, 1500, global_indexes=[partition_pb2.IndexUnits(number=9, units=3)]),
        result(10, 20),
        result(10, 10),
    ]
    total = written(writes(*members, ReturnConsumedCapacity="TOTAL"), TABLES, results)
    assert total.capacity == [Capacity(TABLE, 12.0, kind="WRITE"), Capacity("plain", 2.0, kind="WRITE")]
    split = written(writes(*members, ReturnConsumedCapacity="INDEXES"), TABLES, results)
    assert split.capacity == [
        Capacity(TABLE, 12.0, 6.0, None, {"many": 6.0}, "WRITE"),
        Capacity("plain", 2.0, 2.0, kind="WRITE"),
    ]
    assert written(writes(*members), TABLES, []) == TransactWritten()


def test_the_collections_that_were_written_to() -> None:
    """Once each, of tables with local indexes; not of what was only looked at."""
    indexed = replace(table(), indexes={"local": LocalIndex(1, "local", KeyAttribute("l", "S"), "ALL")})
    tables: dict[str, Table] = {**TABLES, TABLE: indexed}
    checked = {"ConditionCheck": {"Key": {"pk": {"S": "q"}, "sk": {"S": "s"}}, **CHECKED}}
    members = (put(KEY), {"Delete": {"Key": OTHER}}, checked, put({"pk": {"S": "p"}}, TableName="plain"))
    results = [result(0, 1, collection_bytes=3 << 30), *[result(1, 1, collection_bytes=3 << 30)] * 3]
    found = written(writes(*members, ReturnItemCollectionMetrics="SIZE"), tables, results)
    assert found == TransactWritten(None, [CollectionMetrics(TABLE, {"pk": {"S": "p"}}, 3.0, 4.0)])


def test_a_request_that_was_carried_out_before_consumes_reads() -> None:
    """Of items as large as it says; it has changed no collection."""
    members = (put({**KEY, "a": {"S": "x" * 5000}}), {"Delete": {"Key": OTHER}})
    found = replayed(writes(*members, ReturnConsumedCapacity="INDEXES", ReturnItemCollectionMetrics="SIZE"))
    assert found == TransactWritten([Capacity(TABLE, 6.0, 6.0, kind="READ")], [])
    assert replayed(writes(*members, ReturnItemCollectionMetrics="SIZE")) == TransactWritten(None, [])
    assert replayed(writes(*members)) == TransactWritten()


def test_what_was_read() -> None:
    """In the order of the request. What is not there costs as well, and what has nothing of what was asked for is as if
    it were not."""
    found = [
        partition_pb2.ItemFound(code=partition_pb2.ItemFound.FOUND, item=b"item", item_bytes=5000),
        partition_pb2.ItemFound(code=partition_pb2.ItemFound.ABSENT),
        partition_pb2.ItemFound(code=partition_pb2.ItemFound.FOUND, item_bytes=10),
    ]
    keys = ({"Key": KEY}, {"Key": OTHER}, {"Key": {"pk": {"S": "p"}}, "TableName": "plain"})
    assert read(reads(*keys), found) == TransactRead([b"item", None, None])
    told = read(reads(*keys, ReturnConsumedCapacity="INDEXES"), found)
    assert told == TransactRead(
        [b"item", None, None], [Capacity(TABLE, 6.0, 6.0, kind="READ"), Capacity("plain", 2.0, 2.0, kind="READ")]
    )
