"""DynamoDB's JSON of the operations on streams: how each is read, and how its result is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
from statorpb import partition_pb2, streams_pb2, tables_pb2

from router.requests import stream_requests
from router.requests.stream_names import event_id, sequence_text
from router.streams import RecordPage, Shard
from router.table_json import Operation, key_schema_to_json
from server.model.table import ARN_REGION
from server.wire import item_bytes_to_json

_EVENT_VERSION = "1.1"
_EVENT_SOURCE = "aws:dynamodb"
_TIME_TO_LIVE = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
"""Who deletes items whose time is over."""

_view_type_name = tables_pb2.StreamSpecification.ViewType.Name


def record_to_json(shard: Shard, record: partition_pb2.PartitionStreamRecord) -> dict[str, Any]:
    """A record of a shard."""
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": record.time_ms // 1000,
        "Keys": item_bytes_to_json(record.keys),
        "SequenceNumber": sequence_text(record.sequence),
        "SizeBytes": record.size_bytes,
        "StreamViewType": _view_type_name(shard.stream.view_type),
    }
    if record.HasField("new_image"):
        change["NewImage"] = item_bytes_to_json(record.new_image)
    if record.HasField("old_image"):
        change["OldImage"] = item_bytes_to_json(record.old_image)
    body: dict[str, Any] = {
        "eventID": event_id(shard.stream.number, shard.route.partition_id, record.sequence),
        "eventName": streams_pb2.StreamRecord.Event.Name(record.event),
        "eventVersion": _EVENT_VERSION,
        "eventSource": _EVENT_SOURCE,
        "awsRegion": ARN_REGION,
        "dynamodb": change,
    }
    if record.by_time_to_live:
        body["userIdentity"] = _TIME_TO_LIVE
    return body


def rendered_records(shard: Shard, records: Sequence[partition_pb2.PartitionStreamRecord]) -> list[orjson.Fragment]:
    """Records as JSON that is not looked at any more."""
    return [orjson.Fragment(orjson.dumps(record_to_json(shard, record))) for record in records]


def _records(page: RecordPage) -> dict[str, Any]:
    records = page.items if page.is_rendered else [record_to_json(page.shard, record) for record in page.items]
    body: dict[str, Any] = {"Records": records}
    if page.next_iterator:
        body["NextShardIterator"] = page.next_iterator
    return body


def _streams(result: streams_pb2.ListStreamsResponse) -> dict[str, Any]:
    body: dict[str, Any] = {
        "Streams": [
            {"StreamArn": each.stream_arn, "TableName": each.table_name, "StreamLabel": each.stream_label}
            for each in result.streams
        ]
    }
    if result.last_evaluated_stream_arn:
        body["LastEvaluatedStreamArn"] = result.last_evaluated_stream_arn
    return body


def _stream(result: streams_pb2.DescribeStreamResponse) -> dict[str, Any]:
    stream = result.stream
    description: dict[str, Any] = {
        "StreamArn": stream.stream_arn,
        "StreamLabel": stream.stream_label,
        "StreamStatus": streams_pb2.StreamStatus.Name(stream.status),
        "StreamViewType": _view_type_name(stream.view_type),
        "CreationRequestDateTime": stream.created_at_ms / 1000,
        "TableName": stream.table_name,
        "KeySchema": key_schema_to_json(stream.key_schema),
        "Shards": [_shard(shard) for shard in stream.shards],
    }
    if stream.last_evaluated_shard_id:
        description["LastEvaluatedShardId"] = stream.last_evaluated_shard_id
    return {"StreamDescription": description}


def _shard(shard: streams_pb2.Shard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": shard.starting_sequence_number}
    if shard.ending_sequence_number:
        numbers["EndingSequenceNumber"] = shard.ending_sequence_number
    body: dict[str, Any] = {"ShardId": shard.shard_id, "SequenceNumberRange": numbers}
    if shard.parent_shard_id:
        body["ParentShardId"] = shard.parent_shard_id
    return body


def _iterator(result: streams_pb2.GetShardIteratorResponse) -> dict[str, Any]:
    return {"ShardIterator": result.shard_iterator}


def _operation(name: str, read: Callable[..., Any], write: Callable[[Any], dict[str, Any]]) -> Operation:
    return Operation(name, partial(read, is_json=True), write)


OPERATIONS = (
    _operation("ListStreams", stream_requests.list_from_body, _streams),
    _operation("DescribeStream", stream_requests.describe_from_body, _stream),
    _operation("GetShardIterator", stream_requests.iterator_from_body, _iterator),
    _operation("GetRecords", stream_requests.records_from_body, _records),
)
