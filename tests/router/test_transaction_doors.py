"""Transactions through either door: as boto3 asks for them and reads what becomes of them, and as messages."""

from __future__ import annotations

import asyncio
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from google.protobuf.message import Message
from statorpb import items_pb2, passthrough_pb2

from router.item_messages import fill_reply, read_item_request
from router.requests import transact_get_items, transact_write_items
from router.requests.transact_write_items import TransactWriteItemsRequest
from router.results import Capacity, CollectionMetrics, TransactRead, TransactWritten
from server.model.errors import (
    CONFLICT_REASON,
    NO_REASON,
    IdempotentParameterMismatchError,
    StatorError,
    TransactionCanceledError,
    TransactionConflictError,
    TransactionInProgressError,
    ValidationError,
    condition_reason,
)
from server.wire import item_to_bytes
from tests.router import test_grpc_door
from tests.router.test_http_door import Rig

ITEM = {"pk": {"S": "a"}, "n": {"N": "1"}}
KEY = {"pk": {"S": "a"}}
VALUES = {":v": {"S": "x"}}
WRITES = [
    {"Put": {"TableName": "music", "Item": ITEM, "ConditionExpression": "attribute_not_exists(pk)"}},
    {
        "Update": {
            "TableName": "music",
            "Key": KEY,
            "UpdateExpression": "SET #a = :v",
            "ExpressionAttributeNames": {"#a": "a"},
            "ExpressionAttributeValues": VALUES,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    },
    {"Delete": {"TableName": "music", "Key": KEY}},
    {
        "ConditionCheck": {
            "TableName": "films",
            "Key": KEY,
            "ConditionExpression": "a = :v",
            "ExpressionAttributeValues": VALUES,
        }
    },
]
READS = [
    {"Get": {"TableName": "music", "Key": KEY}},
    {
        "Get": {
            "TableName": "films",
            "Key": KEY,
            "ProjectionExpression": "#a",
            "ExpressionAttributeNames": {"#a": "a"},
        }
    },
]
CAPACITY = [
    Capacity("music", 8.0, 4.0, {"local": 2.0}, {"global": 2.0}, "WRITE"),
    Capacity("films", 2.0, 2.0, kind="READ"),
]
METRICS = [CollectionMetrics("music", KEY, 0.0, 1.0), CollectionMetrics("music", {"pk": {"S": "b"}}, 1.0, 2.0)]


async def ask(answer: Any, operation: str, **parameters: Any) -> tuple[Any, Any]:
    """(what the dispatcher was asked, what boto3 makes of its answer)."""
    rig = Rig()
    rig.answer = lambda _: answer
    port = await rig.door.start("127.0.0.1", 0)
    client = boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="local",
        aws_access_key_id="a",
        aws_secret_access_key="a",
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        found = await asyncio.to_thread(getattr(client, operation), **parameters)
    finally:
        client.close()
        await rig.stop()
    return rig.dispatcher.requests[0], found


async def error_of(error: StatorError) -> Any:
    """What boto3 raises for an error: the response."""
    with pytest.raises(ClientError) as raised:
        await ask(error, "transact_write_items", TransactItems=WRITES)
    return raised.value


async def test_writes_as_boto3_asks_for_them() -> None:
    """It gives each a token of its own. What they consumed says of which kind it was."""
    asked, found = await ask(
        TransactWritten(CAPACITY, METRICS),
        "transact_write_items",
        TransactItems=WRITES,
        ReturnConsumedCapacity="INDEXES",
        ReturnItemCollectionMetrics="SIZE",
    )
    assert isinstance(asked, TransactWriteItemsRequest) and len(asked.client_token) == 36
    body = {"TransactItems": WRITES, "ClientRequestToken": asked.client_token}
    others = {"ReturnConsumedCapacity": "INDEXES", "ReturnItemCollectionMetrics": "SIZE"}
    assert asked == transact_write_items.from_body({**body, **others}, is_json=True)
    del found["ResponseMetadata"]
    assert found == {
        "ConsumedCapacity": [
            {
                "TableName": "music",
                "CapacityUnits": 8.0,
                "WriteCapacityUnits": 8.0,
                "Table": {"CapacityUnits": 4.0, "WriteCapacityUnits": 4.0},
                "LocalSecondaryIndexes": {"local": {"CapacityUnits": 2.0, "WriteCapacityUnits": 2.0}},
                "GlobalSecondaryIndexes": {"global": {"CapacityUnits": 2.0, "WriteCapacityUnits": 2.0}},
            },
            {
                "TableName": "films",
                "CapacityUnits": 2.0,
                "ReadCapacityUnits": 2.0,
                "Table": {"CapacityUnits": 2.0, "ReadCapacityUnits": 2.0},
            },
        ],
        "ItemCollectionMetrics": {
            "music": [
                {"ItemCollectionKey": KEY, "SizeEstimateRangeGB": [0.0, 1.0]},
                {"ItemCollectionKey": {"pk": {"S": "b"}}, "SizeEstimateRangeGB": [1.0, 2.0]},
            ]
        },
    }
    _, found = await ask(TransactWritten(), "transact_write_items", TransactItems=WRITES)
    assert found.keys() == {"ResponseMetadata"}


async def test_reads_as_boto3_asks_for_them() -> None:
    """The items are in the order of the request; an entry without one is one that is not there."""
    asked, found = await ask(TransactRead([item_to_bytes(ITEM), None]), "transact_get_items", TransactItems=READS)
    assert asked == transact_get_items.from_body({"TransactItems": READS}, is_json=True)
    assert found["Responses"] == [{"Item": ITEM}, {}]
    assert "ConsumedCapacity" not in found
    capacity = [Capacity("music", 4.0, kind="READ")]
    _, found = await ask(TransactRead([None], capacity), "transact_get_items", TransactItems=READS[:1])
    assert found["Responses"] == [{}]
    assert found["ConsumedCapacity"] == [{"TableName": "music", "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0}]


async def test_a_cancelled_transaction_as_boto3_raises_it() -> None:
    """With the reasons, in order, and the items that were asked for."""
    reasons = [condition_reason(item_to_bytes(ITEM)), NO_REASON, CONFLICT_REASON, condition_reason()]
    error = await error_of(TransactionCanceledError(reasons))
    assert type(error).__name__ == "TransactionCanceledException"
    message = (
        "Transaction cancelled, please refer cancellation reasons for specific reasons "
        "[ConditionalCheckFailed, None, TransactionConflict, ConditionalCheckFailed]"
    )
    assert error.response["Error"] == {"Code": "TransactionCanceledException", "Message": message}
    assert error.response["Message"] == message
    assert error.response["CancellationReasons"] == [
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": ITEM},
        {"Code": "None"},
        {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"},
    ]


@pytest.mark.parametrize(
    "raised", [TransactionConflictError(), TransactionInProgressError(), IdempotentParameterMismatchError()]
)
async def test_the_other_errors_of_transactions(raised: StatorError) -> None:
    """boto3 has a class for each, and finds the message."""
    error = await error_of(raised)
    assert type(error).__name__ == raised.code
    assert error.response["Error"] == {"Code": raised.code, "Message": raised.message}
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def write_message() -> passthrough_pb2.RawTransactWriteItemsRequest:
    """WRITES as a message."""
    message = passthrough_pb2.RawTransactWriteItemsRequest()
    values = item_to_bytes(VALUES)
    put = message.transact_items.add().put
    put.table_name, put.item = "music", item_to_bytes(ITEM)
    put.condition_expression = "attribute_not_exists(pk)"
    update = message.transact_items.add().update
    update.table_name, update.key = "music", item_to_bytes(KEY)
    update.update_expression, update.expression_attribute_values = "SET #a = :v", values
    update.expression_attribute_names["#a"] = "a"
    update.return_values_on_condition_check_failure = items_pb2.RETURN_VALUES_ALL_OLD
    delete = message.transact_items.add().delete
    delete.table_name, delete.key = "music", item_to_bytes(KEY)
    check = message.transact_items.add().condition_check
    check.table_name, check.key = "films", item_to_bytes(KEY)
    check.condition_expression, check.expression_attribute_values = "a = :v", values
    return message


def read_message() -> passthrough_pb2.RawTransactGetItemsRequest:
    """READS as a message."""
    message = passthrough_pb2.RawTransactGetItemsRequest()
    message.transact_items.add(table_name="music", key=item_to_bytes(KEY))
    projected = message.transact_items.add(table_name="films", key=item_to_bytes(KEY), projection_expression="#a")
    projected.expression_attribute_names["#a"] = "a"
    return message


def test_messages_are_the_same_requests() -> None:
    """As JSON makes them."""
    message = write_message()
    message.client_request_token = "mine"
    message.return_consumed_capacity = items_pb2.RETURN_CONSUMED_CAPACITY_TOTAL
    message.return_item_collection_metrics = items_pb2.RETURN_ITEM_COLLECTION_METRICS_SIZE
    body = {
        "TransactItems": WRITES,
        "ClientRequestToken": "mine",
        "ReturnConsumedCapacity": "TOTAL",
        "ReturnItemCollectionMetrics": "SIZE",
    }
    assert read_item_request("transact_write_items", message) == transact_write_items.from_body(body, is_json=True)
    found = read_item_request("transact_get_items", read_message())
    assert found == transact_get_items.from_body({"TransactItems": READS}, is_json=True)


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("transact_write_items", passthrough_pb2.RawTransactWriteItemsRequest(), "at 'transactItems' failed"),
        (
            "transact_write_items",
            passthrough_pb2.RawTransactWriteItemsRequest(transact_items=[passthrough_pb2.RawTransactWriteItem()]),
            "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
        ),
        (
            "transact_get_items",
            passthrough_pb2.RawTransactGetItemsRequest(transact_items=[passthrough_pb2.RawTransactGetItem()]),
            "Value null at 'transactItems.1.member.get.key' failed",
        ),
    ],
)
def test_messages_that_ask_for_nothing(kind: str, message: Message, said: str) -> None:
    """Are refused in the same words."""
    with pytest.raises(ValidationError) as raised:
        read_item_request(kind, message)
    assert said in raised.value.message


def test_results_as_messages() -> None:
    """An item that is not there is an entry without one."""
    reply = passthrough_pb2.RawSessionReply()
    assert fill_reply(reply, "transact_get_items", TransactRead([b"item", None, b""], CAPACITY[1:])) == 4
    read = reply.transact_get_items
    assert [each.item if each.HasField("item") else None for each in read.responses] == [b"item", None, b""]
    assert [(each.table_name, each.kind) for each in read.consumed_capacity] == [
        ("films", items_pb2.ConsumedCapacity.READ)
    ]
    reply = passthrough_pb2.RawSessionReply()
    assert fill_reply(reply, "transact_write_items", TransactWritten(CAPACITY, METRICS)) == 0
    written = reply.transact_write_items
    assert [(each.capacity_units, each.kind) for each in written.consumed_capacity] == [
        (8.0, items_pb2.ConsumedCapacity.WRITE),
        (2.0, items_pb2.ConsumedCapacity.READ),
    ]
    assert [each.table_name for each in written.item_collection_metrics] == ["music", "music"]
    reply = passthrough_pb2.RawSessionReply()
    fill_reply(reply, "transact_write_items", TransactWritten())
    assert reply.WhichOneof("result") == "transact_write_items"


async def test_calls_and_sessions() -> None:
    """One call at a time or many together, under the names that clients give."""
    rig = test_grpc_door.Rig()
    await rig.server.start()
    results = {transact_write_items: TransactWritten(), transact_get_items: TransactRead([item_to_bytes(ITEM)])}
    rig.answer = lambda request: results[
        transact_write_items if isinstance(request, TransactWriteItemsRequest) else transact_get_items
    ]
    channel: Any = rig.channel
    written = await channel.unary_unary("/stator.v1.Items/TransactWriteItems")(
        write_message().SerializeToString(), timeout=20, metadata=[("stator-token", "mine")]
    )
    assert items_pb2.TransactWriteItemsResponse.FromString(written) == items_pb2.TransactWriteItemsResponse()
    read = await channel.unary_unary("/stator.v1.Items/TransactGetItems")(
        read_message().SerializeToString(), timeout=20
    )
    (response,) = items_pb2.TransactGetItemsResponse.FromString(read).responses
    assert response.item.attributes["n"].n == "1"
    frame = passthrough_pb2.RawSessionRequestFrame()
    frame.requests.add(id=1, transact_write_items=write_message(), token=b"other")
    frame.requests.add(id=2, transact_get_items=read_message())
    call = rig.converse()
    await call.write(frame.SerializeToString())
    await call.done_writing()
    assert await test_grpc_door.replies(call) == {1: "transact_write_items", 2: "transact_get_items"}
    assert rig.dispatcher.token_seeds == [b"mine", b"", b"other", b""]
    await rig.channel.close()
    await rig.server.stop(0)


async def test_a_cancelled_transaction_as_a_call_ends() -> None:
    """With the reasons in its details."""
    reasons = [condition_reason(item_to_bytes(ITEM)), NO_REASON]
    rig = test_grpc_door.Rig()
    await rig.server.start()
    rig.answer = lambda _: TransactionCanceledError(reasons)
    frame = passthrough_pb2.RawSessionRequestFrame()
    frame.requests.add(id=1, transact_write_items=write_message())
    call = rig.converse()
    await call.write(frame.SerializeToString())
    await call.done_writing()
    found = [reply async for data in call for reply in items_pb2.SessionReplyFrame.FromString(data).replies]
    (first, second) = found[0].error.cancellation_reasons
    assert (first.code, first.item, second.code, second.HasField("item")) == (
        "ConditionalCheckFailed",
        item_to_bytes(ITEM),
        "None",
        False,
    )
    assert found[0].error.not_carried_out
    await rig.channel.close()
    await rig.server.stop(0)
