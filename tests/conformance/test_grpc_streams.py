"""stator.v1.Streams: the same streams as through the other door, and records that are pushed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from statorpb import item_pb2, items_pb2, streams_pb2, tables_pb2

from tests.conformance.doors import TIMEOUT_S, Doors, GrpcError, grpc_error, unique
from tests.conformance.streams import until

pytestmark = pytest.mark.cluster

NESTING_MAX = 32
Position = streams_pb2.StreamPosition


def create_table(doors: Doors, partitions: int = 1) -> str:
    """A table with a stream, key pk (S); its name."""
    name = unique("pushed")
    request = tables_pb2.CreateTableRequest(
        table_name=name,
        partitions=partitions,
        stream=tables_pb2.StreamSpecification(
            enabled=True, view_type=tables_pb2.StreamSpecification.NEW_AND_OLD_IMAGES
        ),
    )
    request.key_schema.partition_key.name, request.key_schema.partition_key.type = "pk", tables_pb2.S
    reply = doors.call("Tables/CreateTable", request)
    assert isinstance(reply, bytes), reply
    doors.boto.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    return name


def answer(doors: Doors, method: str, request: Any, response: Any) -> Any:
    reply = doors.call(f"Streams/{method}", request)
    assert isinstance(reply, bytes), reply
    return response.FromString(reply)


def describe(doors: Doors, table: str, **members: Any) -> streams_pb2.StreamDescription:
    (listed,) = answer(
        doors, "ListStreams", streams_pb2.ListStreamsRequest(table_name=table), streams_pb2.ListStreamsResponse
    ).streams
    request = streams_pb2.DescribeStreamRequest(stream_arn=listed.stream_arn, **members)
    stream: streams_pb2.StreamDescription = answer(
        doors, "DescribeStream", request, streams_pb2.DescribeStreamResponse
    ).stream
    return stream


def subscribe(
    doors: Doors, stream: streams_pb2.StreamDescription, timeout_s: float = TIMEOUT_S, **position: Any
) -> Any:
    """The messages of the stream's first shard."""
    call: Any = doors.channel.unary_stream(
        "/stator.v1.Streams/Subscribe",
        request_serializer=streams_pb2.SubscribeRequest.SerializeToString,
        response_deserializer=streams_pb2.SubscribeResponse.FromString,
    )
    request = streams_pb2.SubscribeRequest(
        stream_arn=stream.stream_arn, shard_id=stream.shards[0].shard_id, position=Position(**position)
    )
    return call(request, timeout=timeout_s)


def records_of(messages: Iterator[streams_pb2.SubscribeResponse], count: int) -> list[streams_pb2.StreamRecord]:
    """The next `count` records, of which no more come with them."""
    found: list[streams_pb2.StreamRecord] = []
    while len(found) < count:
        found += next(messages).records
    assert len(found) == count
    return found


def put(doors: Doors, table: str, *keys: str) -> None:
    for key in keys:
        doors.boto.put_item(TableName=table, Item={"pk": {"S": key}})


def key_of(record: streams_pb2.StreamRecord) -> str:
    return record.keys.attributes["pk"].s


def test_a_shard_a_partition(doors: Doors) -> None:
    """Through either door the same, in pages too; together they tell of every item."""
    table = create_table(doors, partitions=3)
    stream = describe(doors, table)
    assert (stream.status, stream.table_name) == (streams_pb2.ENABLED, table)
    assert stream.key_schema.partition_key == tables_pb2.KeyAttribute(name="pk", type=tables_pb2.S)
    shards = [shard.shard_id for shard in stream.shards]
    assert len(shards) == 3 and shards == sorted(shards)
    page = describe(doors, table, limit=2)
    assert [shard.shard_id for shard in page.shards] == shards[:2]
    rest = describe(doors, table, limit=2, exclusive_start_shard_id=page.last_evaluated_shard_id)
    assert ([shard.shard_id for shard in rest.shards], rest.last_evaluated_shard_id) == (shards[2:], "")
    by_http = doors.post("DescribeStream", {"StreamArn": stream.stream_arn}, target_prefix="DynamoDBStreams_20120810.")
    assert [shard["ShardId"] for shard in by_http.json["StreamDescription"]["Shards"]] == shards

    keys = [f"key-{number}" for number in range(30)]
    put(doors, table, *keys)
    told: list[list[str]] = []
    for shard in shards:
        place = streams_pb2.GetShardIteratorRequest(
            stream_arn=stream.stream_arn, shard_id=shard, position=Position(type=Position.TRIM_HORIZON)
        )
        iterator = answer(doors, "GetShardIterator", place, streams_pb2.GetShardIteratorResponse).shard_iterator
        read = answer(
            doors, "GetRecords", streams_pb2.GetRecordsRequest(shard_iterator=iterator), streams_pb2.GetRecordsResponse
        )
        assert read.next_shard_iterator
        told.append([key_of(record) for record in read.records])
    assert all(told)
    assert sorted(key for each in told for key in each) == sorted(keys)


def test_records_are_pushed(doors: Doors) -> None:
    """As they are written; whoever goes on elsewhere begins behind the last one, and misses nothing."""
    table = create_table(doors)
    stream = describe(doors, table)
    put(doors, table, "before")
    call = subscribe(doors, stream, type=Position.LATEST)
    begun = next(call)
    assert not begun.records and begun.sequence_number.isdecimal()
    put(doors, table, "a")
    (first,) = records_of(call, 1)
    assert (key_of(first), first.event, first.by_time_to_live) == ("a", streams_pb2.StreamRecord.INSERT, False)
    assert first.new_image == first.keys and not first.HasField("old_image")
    put(doors, table, "b", "c")
    records_of(call, 2)
    call.cancel()
    for sequence, keys in ((first.sequence_number, ["b", "c"]), (begun.sequence_number, ["a", "b", "c"])):
        again = subscribe(doors, stream, type=Position.AFTER_SEQUENCE_NUMBER, sequence_number=sequence)
        assert [key_of(record) for record in records_of(again, len(keys))] == keys
        again.cancel()
    everything = subscribe(doors, stream, type=Position.TRIM_HORIZON)
    oldest = next(everything).sequence_number
    assert len(records_of(everything, 4)) == 4
    everything.cancel()
    from_oldest = subscribe(doors, stream, type=Position.AFTER_SEQUENCE_NUMBER, sequence_number=oldest)
    assert len(records_of(from_oldest, 4)) == 4
    from_oldest.cancel()


def test_the_end_of_a_shard(doors: Doors) -> None:
    """Is told, and ends the call; also to one who comes afterwards."""
    table = create_table(doors)
    stream = describe(doors, table)
    call = subscribe(doors, stream, type=Position.TRIM_HORIZON)
    next(call)
    put(doors, table, "a")
    doors.boto.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    for messages in (list(call), list(subscribe(doors, stream, type=Position.TRIM_HORIZON))):
        assert [key_of(record) for message in messages for record in message.records] == ["a"]
        assert [message.ended for message in messages] == [False] * (len(messages) - 1) + [True]


def test_the_end_of_a_shard_without_records(doors: Doors) -> None:
    """Is told to who goes on from what was the latest, too."""
    table = create_table(doors)
    stream = describe(doors, table)
    call = subscribe(doors, stream, type=Position.LATEST)
    begun = next(call).sequence_number
    doors.boto.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    assert [message.ended for message in call][-1]
    until(lambda: describe(doors, table).status == streams_pb2.DISABLED)
    again = list(subscribe(doors, stream, type=Position.AFTER_SEQUENCE_NUMBER, sequence_number=begun))
    assert [message.ended for message in again] == [False, True]


def test_a_silent_stream(doors: Doors) -> None:
    """Says now and then how far it is."""
    stream = describe(doors, create_table(doors))
    call = subscribe(doors, stream, type=Position.LATEST)
    begun, later = next(call), next(call)
    assert not later.records and not later.ended
    assert later.sequence_number >= begun.sequence_number
    call.cancel()


def test_records_reach_many(doors: Doors) -> None:
    """Who all subscribe to the same shard."""
    table = create_table(doors)
    stream = describe(doors, table)
    calls = [subscribe(doors, stream, type=Position.LATEST) for _ in range(20)]
    for call in calls:
        next(call)
    writer = threading.Thread(target=put, args=(doors, table, *map(str, range(50))))
    writer.start()
    for call in calls:
        assert [key_of(record) for record in records_of(call, 50)] == [str(number) for number in range(50)]
        call.cancel()
    writer.join()


def test_an_item_that_is_nested_as_deeply_as_may_be(doors: Doors) -> None:
    """Comes through both images, pushed and asked for."""
    table = create_table(doors)
    stream = describe(doors, table)
    item = item_pb2.Item()
    item.attributes["pk"].s = "deep"
    inner = item.attributes["a"]
    for _ in range(NESTING_MAX - 1):
        inner = inner.m.entries["a"]
    inner.s = "x"
    for note in ("one", "two"):
        item.attributes["note"].s = note
        reply = doors.call("Items/PutItem", items_pb2.PutItemRequest(table_name=table, item=item))
        assert isinstance(reply, bytes), reply
    invoke: Any = doors.channel.unary_stream("/stator.v1.Streams/Subscribe")
    request = streams_pb2.SubscribeRequest(
        stream_arn=stream.stream_arn,
        shard_id=stream.shards[0].shard_id,
        position=Position(type=Position.TRIM_HORIZON),
    )
    call = invoke(request.SerializeToString(), timeout=TIMEOUT_S)
    canonical = item.SerializeToString(deterministic=True)
    found = b""
    while found.count(canonical) < 1:
        found += next(call)
    call.cancel()


def test_what_is_refused(doors: Doors) -> None:
    """With the same words as through the other door."""
    stream = describe(doors, create_table(doors))
    for position, message in (
        (
            Position(),
            "1 validation error detected: Value null at 'shardIteratorType' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            Position(type=Position.AFTER_SEQUENCE_NUMBER),
            "One or more parameter values were invalid: ShardIteratorType AFTER_SEQUENCE_NUMBER requires "
            "SequenceNumber",
        ),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            call: Any = doors.channel.unary_stream("/stator.v1.Streams/Subscribe")
            request = streams_pb2.SubscribeRequest(
                stream_arn=stream.stream_arn, shard_id=stream.shards[0].shard_id, position=position
            )
            next(call(request.SerializeToString(), timeout=TIMEOUT_S))
        error = grpc_error(raised.value)
        assert (error.status, error.message) == (grpc.StatusCode.INVALID_ARGUMENT, message)
    reply = doors.call("Streams/GetRecords", streams_pb2.GetRecordsRequest(shard_iterator="made up"))
    assert isinstance(reply, GrpcError)
    assert (reply.status, reply.message) == (grpc.StatusCode.INVALID_ARGUMENT, "Invalid ShardIterator")
