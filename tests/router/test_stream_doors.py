"""Streams as either door writes them, and as the gRPC door reads them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import pytest_asyncio
from statorpb import passthrough_pb2, streams_pb2, tables_pb2

from router import stream_messages
from router.http_json import STREAM_OPERATIONS
from router.partition_map_cache import PartitionMapCache
from router.requests import stream_requests
from router.requests.get_item import GetItemRequest
from router.requests.shard_iterator import ShardIterator
from router.requests.stream_names import StreamName, event_id, sequence_text, shard_id
from router.requests.stream_requests import (
    DescribeStreamRequest,
    GetRecordsRequest,
    GetShardIteratorRequest,
    ListStreamsRequest,
    StreamPosition,
)
from router.stream_json import rendered_records
from router.streams import RecordPage, Shard
from server.model.errors import ValidationError
from server.wire import item_to_bytes
from tests.router.fakes import CREATED_AT_MS, LABEL, STREAM, TABLE, FakeMetadata, record, route, table_of, with_stream
from tests.router.test_http_door import Rig, call

NAME = StreamName(TABLE, LABEL)
SHARD = shard_id(CREATED_AT_MS, 10)
ITERATOR = ShardIterator(NAME, STREAM, 10, None, 250)
OLD, NEW = {"pk": {"S": "a"}, "n": {"N": "1"}}, {"pk": {"S": "a"}, "n": {"N": "2"}}
CHANGED = record(
    9_001,
    event=streams_pb2.StreamRecord.MODIFY,
    old_image=item_to_bytes(OLD),
    new_image=item_to_bytes(NEW),
    size_bytes=12,
)
EXPIRED = record(9_002, event=streams_pb2.StreamRecord.REMOVE, time_ms=1_999, by_time_to_live=True)


def write(operation: str, result: Any) -> Any:
    """The JSON of a result."""
    return orjson.loads(orjson.dumps(STREAM_OPERATIONS[f"DynamoDBStreams_20120810.{operation}".encode()].write(result)))


@pytest_asyncio.fixture
async def shard() -> Shard:
    table = await table_of(PartitionMapCache(FakeMetadata(with_stream(route()))))
    stream = table.streams[LABEL]
    return Shard(NAME, table, stream, stream.shards[0], b"")


JSON = [
    {
        "eventID": event_id(STREAM, 10, 9_001),
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "local",
        "dynamodb": {
            "ApproximateCreationDateTime": 1,
            "Keys": {"pk": {"S": "a"}},
            "OldImage": OLD,
            "NewImage": NEW,
            "SequenceNumber": "000000000000000009001",
            "SizeBytes": 12,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    },
    {
        "eventID": event_id(STREAM, 10, 9_002),
        "eventName": "REMOVE",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "local",
        "dynamodb": {
            "ApproximateCreationDateTime": 1,
            "Keys": {"pk": {"S": "a"}},
            "SequenceNumber": "000000000000000009002",
            "SizeBytes": 3,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
    },
]


def test_records_as_json(shard: Shard) -> None:
    """Of an item that was changed, and of one whose time was over; times in whole seconds."""
    records = [CHANGED, EXPIRED]
    assert write("GetRecords", RecordPage(shard, records, "next")) == {"Records": JSON, "NextShardIterator": "next"}
    assert write("GetRecords", RecordPage(shard, records, "")) == {"Records": JSON}
    rendered = RecordPage(shard, rendered_records(shard, records), "", is_rendered=True)
    assert write("GetRecords", rendered) == {"Records": JSON}


@pytest.mark.parametrize("count", [1, 166, 167, 1000])
async def test_a_page_of_any_length(shard: Shard, count: int) -> None:
    """A long one is made into JSON bit by bit; requests of others are answered in between."""
    rig = Rig()
    page = RecordPage(shard, [record(number) for number in range(count)], "next")
    rig.answer = lambda request: b"" if isinstance(request, GetItemRequest) else page
    client, other = await rig.connect(), await rig.connect()
    body = orjson.dumps({"ShardIterator": ITERATOR.text()})
    client.send(call(body, "GetRecords").replace(b"DynamoDB_2012", b"DynamoDBStreams_2012"))
    other.send(call())
    assert (await other.response()).status == 200
    response = (await client.response()).json
    told = [each["dynamodb"]["SequenceNumber"] for each in response["Records"]]
    assert told == [sequence_text(number) for number in range(count)]
    assert response["NextShardIterator"] == "next"
    assert GetRecordsRequest(ITERATOR, 1000) in rig.dispatcher.requests
    await rig.stop()


def test_records_as_messages(shard: Shard) -> None:
    """The public message is read from what is written, and an image that is there is not taken for none."""
    empty = record(9_003, new_image=b"")
    written = stream_messages.records_message(RecordPage(shard, [CHANGED, EXPIRED, empty], "next"))
    response = streams_pb2.GetRecordsResponse.FromString(written.SerializeToString())
    assert response.next_shard_iterator == "next"
    changed, expired, last = response.records
    assert (changed.event_id, changed.sequence_number) == (event_id(STREAM, 10, 9_001), sequence_text(9_001))
    assert (changed.event, changed.created_at_ms) == (streams_pb2.StreamRecord.MODIFY, 1_234)
    assert (changed.size_bytes, changed.by_time_to_live) == (12, False)
    assert changed.old_image.attributes["n"].n == "1" and changed.new_image.attributes["n"].n == "2"
    assert changed.keys.attributes["pk"].s == "a"
    assert expired.by_time_to_live and not expired.HasField("old_image") and not expired.HasField("new_image")
    assert last.HasField("new_image") and not last.HasField("old_image")
    assert isinstance(written, passthrough_pb2.RawGetRecordsResponse)


def test_streams_as_json() -> None:
    """What there are."""
    stream = streams_pb2.StreamSummary(stream_arn=NAME.arn, table_name=TABLE, stream_label=LABEL)
    listed = {"StreamArn": NAME.arn, "TableName": TABLE, "StreamLabel": LABEL}
    assert write("ListStreams", streams_pb2.ListStreamsResponse()) == {"Streams": []}
    response = streams_pb2.ListStreamsResponse(streams=[stream], last_evaluated_stream_arn=NAME.arn)
    assert write("ListStreams", response) == {"Streams": [listed], "LastEvaluatedStreamArn": NAME.arn}
    iterator = streams_pb2.GetShardIteratorResponse(shard_iterator="x")
    assert write("GetShardIterator", iterator) == {"ShardIterator": "x"}


def test_a_stream_as_json() -> None:
    """And its shards: open, closed, children of others."""
    description = streams_pb2.StreamDescription(
        stream_arn=NAME.arn,
        stream_label=LABEL,
        status=streams_pb2.DISABLING,
        view_type=tables_pb2.StreamSpecification.KEYS_ONLY,
        created_at_ms=1_500,
        table_name=TABLE,
        shards=[
            streams_pb2.Shard(shard_id="a", starting_sequence_number="1"),
            streams_pb2.Shard(
                shard_id="b", starting_sequence_number="2", ending_sequence_number="3", parent_shard_id="a"
            ),
        ],
    )
    description.key_schema.partition_key.name = "pk"
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
    written = {
        "StreamArn": NAME.arn,
        "StreamLabel": LABEL,
        "StreamStatus": "DISABLING",
        "StreamViewType": "KEYS_ONLY",
        "CreationRequestDateTime": 1.5,
        "TableName": TABLE,
        "KeySchema": keys,
        "Shards": [
            {"ShardId": "a", "SequenceNumberRange": {"StartingSequenceNumber": "1"}},
            {
                "ShardId": "b",
                "SequenceNumberRange": {"StartingSequenceNumber": "2", "EndingSequenceNumber": "3"},
                "ParentShardId": "a",
            },
        ],
    }
    assert write("DescribeStream", streams_pb2.DescribeStreamResponse(stream=description)) == {
        "StreamDescription": written
    }
    description.key_schema.sort_key.name = "sk"
    description.last_evaluated_shard_id = "b"
    again = write("DescribeStream", streams_pb2.DescribeStreamResponse(stream=description))["StreamDescription"]
    assert again == {
        **written,
        "KeySchema": [*keys, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "LastEvaluatedShardId": "b",
    }


def test_messages_are_bodies() -> None:
    """What is empty is not given."""
    listed = streams_pb2.ListStreamsRequest(table_name="music", limit=3, exclusive_start_stream_arn=NAME.arn)
    for message, expected in (
        (streams_pb2.ListStreamsRequest(), ListStreamsRequest("", 100, None)),
        (listed, ListStreamsRequest("music", 3, NAME)),
    ):
        body = stream_messages.list_body(message)
        assert stream_requests.list_from_body(body, is_json=False) == expected
    described = streams_pb2.DescribeStreamRequest(stream_arn=NAME.arn)
    body = stream_messages.describe_body(described)
    assert stream_requests.describe_from_body(body, is_json=False) == DescribeStreamRequest(NAME, 100, "", "")
    described.limit, described.exclusive_start_shard_id = 3, SHARD
    described.shard_filter.type, described.shard_filter.shard_id = streams_pb2.ShardFilter.CHILD_SHARDS, SHARD
    body = stream_messages.describe_body(described)
    assert stream_requests.describe_from_body(body, is_json=False) == DescribeStreamRequest(NAME, 3, SHARD, SHARD)
    body = stream_messages.records_body(streams_pb2.GetRecordsRequest(shard_iterator=ITERATOR.text(), limit=5))
    assert stream_requests.records_from_body(body, is_json=False) == GetRecordsRequest(ITERATOR, 5)


Position = streams_pb2.StreamPosition


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (Position(type=Position.LATEST), StreamPosition("LATEST")),
        (
            Position(type=Position.AFTER_SEQUENCE_NUMBER, sequence_number=sequence_text(7)),
            StreamPosition("AFTER_SEQUENCE_NUMBER", 7),
        ),
        (
            Position(type=Position.AT_TIMESTAMP, timestamp_ms=1_764_181_800_123),
            StreamPosition("AT_TIMESTAMP", time_ms=1_764_181_800_123),
        ),
        (Position(type=Position.AT_TIMESTAMP), StreamPosition("AT_TIMESTAMP")),
    ],
)
def test_positions(position: streams_pb2.StreamPosition, expected: StreamPosition) -> None:
    """With what they need; the time 0 is one."""
    message = streams_pb2.SubscribeRequest(stream_arn=NAME.arn, shard_id=SHARD, position=position)
    request = stream_requests.iterator_from_body(stream_messages.iterator_body(message), is_json=False)
    assert request == GetShardIteratorRequest(NAME, SHARD, expected)


def test_what_no_version_knows_is_refused() -> None:
    """Numbers of enumerations that a newer client may send; and a filter that says nothing."""
    placed = streams_pb2.GetShardIteratorRequest(stream_arn=NAME.arn, shard_id=SHARD)
    placed.position.type = 77  # type: ignore[assignment]
    with pytest.raises(ValidationError, match="Value '77' at 'shardIteratorType' failed to satisfy constraint"):
        stream_requests.iterator_from_body(stream_messages.iterator_body(placed), is_json=False)
    described = streams_pb2.DescribeStreamRequest(stream_arn=NAME.arn)
    described.shard_filter.shard_id = SHARD
    with pytest.raises(ValidationError, match="ShardFilter needs both Type and ShardId"):
        stream_requests.describe_from_body(stream_messages.describe_body(described), is_json=False)
