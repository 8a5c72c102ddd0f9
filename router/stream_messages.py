"""Messages of operations on streams, of the gRPC door: requests as bodies of DynamoDB's API, results as messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from statorpb import partition_pb2, passthrough_pb2, streams_pb2

from router.requests.stream_names import event_id, sequence_text
from router.streams import RecordPage, Shard

Body = dict[str, Any]


def list_body(message: streams_pb2.ListStreamsRequest) -> Body:
    """Of ListStreams."""
    return _given(
        TableName=message.table_name,
        Limit=message.limit,
        ExclusiveStartStreamArn=message.exclusive_start_stream_arn,
    )


def describe_body(message: streams_pb2.DescribeStreamRequest) -> Body:
    """Of DescribeStream."""
    body = _given(
        StreamArn=message.stream_arn,
        Limit=message.limit,
        ExclusiveStartShardId=message.exclusive_start_shard_id,
    )
    if message.HasField("shard_filter"):
        kind = _name(streams_pb2.ShardFilter.Type, message.shard_filter.type)
        body["ShardFilter"] = _given(Type=kind, ShardId=message.shard_filter.shard_id)
    return body


def iterator_body(message: streams_pb2.GetShardIteratorRequest | streams_pb2.SubscribeRequest) -> Body:
    """Of GetShardIterator."""
    position = message.position
    body = _given(
        StreamArn=message.stream_arn,
        ShardId=message.shard_id,
        ShardIteratorType=_name(streams_pb2.StreamPosition.Type, position.type),
        SequenceNumber=position.sequence_number,
    )
    if position.timestamp_ms or position.type == streams_pb2.StreamPosition.AT_TIMESTAMP:
        body["Timestamp"] = position.timestamp_ms / 1000
    return body


def records_body(message: streams_pb2.GetRecordsRequest) -> Body:
    """Of GetRecords."""
    return _given(ShardIterator=message.shard_iterator, Limit=message.limit)


def records_message(page: RecordPage) -> passthrough_pb2.RawGetRecordsResponse:
    """A page of records, as it is answered."""
    response = passthrough_pb2.RawGetRecordsResponse(next_shard_iterator=page.next_iterator)
    put_records(response.records, page.shard, page.items)
    return response


def put_records(target: Any, shard: Shard, records: Iterable[partition_pb2.PartitionStreamRecord]) -> None:
    """Adds records to a list of RawStreamRecord. Their items are not looked into."""
    for record in records:
        message = target.add(
            event_id=event_id(shard.stream.number, shard.route.partition_id, record.sequence),
            event=record.event,
            created_at_ms=record.time_ms,
            sequence_number=sequence_text(record.sequence),
            keys=record.keys,
            size_bytes=record.size_bytes,
            by_time_to_live=record.by_time_to_live,
        )
        if record.HasField("new_image"):
            message.new_image = record.new_image
        if record.HasField("old_image"):
            message.old_image = record.old_image


def _given(**members: Any) -> Body:
    return {name: value for name, value in members.items() if value}


def _name(enumeration: Any, value: int) -> str:
    """The name of a value; empty: unspecified; the number itself for one that this version does not know."""
    if not value:
        return ""
    return str(enumeration.Name(value)) if value in enumeration.values() else str(value)
