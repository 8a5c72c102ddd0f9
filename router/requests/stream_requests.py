"""ListStreams, DescribeStream, GetShardIterator and GetRecords, against DynamoDB Streams' service model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.constraints import check_constraints
from router.requests.deserialisation import normalise
from router.requests.operation_shapes import NAME
from router.requests.shapes import LONG_MAX, Integer, Moment, Structure, Text
from router.requests.shard_iterator import ShardIterator, iterator_of
from router.requests.stream_names import StreamName, name_of_stream, sequence_of
from router.requests.table_shapes import INVALID, no_table
from server.model.errors import ValidationError
from server.model.limits import DESCRIBE_SHARDS_MAX, LIST_STREAMS_MAX, STREAM_RECORDS_MAX
from server.model.table import is_reserved

_STREAM_ARN = Text(length_min=37, length_max=1024)
_SHARD_ID = Text(length_min=28, length_max=65)
_TIME_S_MAX = LONG_MAX // 10**6
"""What is beyond, either way, is taken for the last time or the first."""

_POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP")

LIST_STREAMS = Structure(
    "ListStreamsInput",
    {
        "TableName": NAME,
        "Limit": Integer(least=1, most=LIST_STREAMS_MAX),
        "ExclusiveStartStreamArn": _STREAM_ARN,
    },
)
DESCRIBE_STREAM = Structure(
    "DescribeStreamInput",
    {
        "StreamArn": _STREAM_ARN,
        "Limit": Integer(least=1, most=DESCRIBE_SHARDS_MAX),
        "ExclusiveStartShardId": _SHARD_ID,
        "ShardFilter": Structure("ShardFilter", {"Type": Text(enum=("CHILD_SHARDS",)), "ShardId": _SHARD_ID}),
    },
    frozenset({"StreamArn"}),
)
GET_SHARD_ITERATOR = Structure(
    "GetShardIteratorInput",
    {
        "StreamArn": _STREAM_ARN,
        "ShardId": _SHARD_ID,
        "ShardIteratorType": Text(enum=_POSITIONS),
        "SequenceNumber": Text(length_min=21, length_max=40),
        "Timestamp": Moment(),
    },
    frozenset({"StreamArn", "ShardId", "ShardIteratorType"}),
)
GET_RECORDS = Structure(
    "GetRecordsInput",
    {
        "ShardIterator": Text(length_min=1, length_max=2048),
        "Limit": Integer(least=1, most=STREAM_RECORDS_MAX),
    },
    frozenset({"ShardIterator"}),
)


@dataclass(frozen=True, slots=True)
class ListStreamsRequest:
    """Asks for at most `limit` streams, of one table or of all (`table_name` empty), after `start`."""

    table_name: str
    limit: int
    start: StreamName | None


@dataclass(frozen=True, slots=True)
class DescribeStreamRequest:
    """Asks for a stream and at most `limit` of its shards: those after `start_shard_id` (empty: from the first), and
    only the children of `parent_shard_id` where there is one."""

    stream: StreamName
    limit: int
    start_shard_id: str
    parent_shard_id: str


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where in a shard to begin. `kind`: ShardIteratorType; `sequence` where that names a sequence number, `time_ms`
    (since 1970) where it names a time."""

    kind: str
    sequence: int = 0
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class GetShardIteratorRequest:
    """Asks for an iterator, or, at the gRPC door, for everything from there on."""

    stream: StreamName
    shard_id: str
    position: StreamPosition


@dataclass(frozen=True, slots=True)
class GetRecordsRequest:
    """Asks for at most `limit` records."""

    iterator: ShardIterator
    limit: int


StreamRequest = ListStreamsRequest | DescribeStreamRequest | GetShardIteratorRequest | GetRecordsRequest


def list_from_body(body: Mapping[str, Any], *, is_json: bool) -> ListStreamsRequest:
    """Raises ValidationError or SerializationError."""
    content = _read(LIST_STREAMS, body, is_json=is_json)
    arn = content.get("ExclusiveStartStreamArn")
    start = None if arn is None else name_of_stream(arn)
    table_name = content.get("TableName", "")
    if is_reserved(table_name):
        raise no_table(table_name)
    return ListStreamsRequest(table_name, content.get("Limit", LIST_STREAMS_MAX), start)


def describe_from_body(body: Mapping[str, Any], *, is_json: bool) -> DescribeStreamRequest:
    """Raises ValidationError or SerializationError."""
    content = _read(DESCRIBE_STREAM, body, is_json=is_json)
    asked = content.get("ShardFilter", {})
    if len(asked) == 1:
        raise ValidationError(INVALID + "ShardFilter needs both Type and ShardId")
    return DescribeStreamRequest(
        name_of_stream(content["StreamArn"]),
        content.get("Limit", DESCRIBE_SHARDS_MAX),
        content.get("ExclusiveStartShardId", ""),
        asked.get("ShardId", ""),
    )


def iterator_from_body(body: Mapping[str, Any], *, is_json: bool) -> GetShardIteratorRequest:
    """Raises ValidationError or SerializationError."""
    content = _read(GET_SHARD_ITERATOR, body, is_json=is_json)
    return GetShardIteratorRequest(name_of_stream(content["StreamArn"]), content["ShardId"], _position(content))


def records_from_body(body: Mapping[str, Any], *, is_json: bool) -> GetRecordsRequest:
    """Raises ValidationError or SerializationError."""
    content = _read(GET_RECORDS, body, is_json=is_json)
    return GetRecordsRequest(iterator_of(content["ShardIterator"]), content.get("Limit", STREAM_RECORDS_MAX))


def _read(shape: Structure, body: Mapping[str, Any], *, is_json: bool) -> Mapping[str, Any]:
    content = normalise(shape, body, is_json=is_json)
    check_constraints(shape, content)
    return content


def _position(content: Mapping[str, Any]) -> StreamPosition:
    kind = content["ShardIteratorType"]
    for name, needs_it in (
        ("SequenceNumber", kind.endswith("_SEQUENCE_NUMBER")),
        ("Timestamp", kind == "AT_TIMESTAMP"),
    ):
        if needs_it and name not in content:
            raise ValidationError(f"{INVALID}ShardIteratorType {kind} requires {name}")
        if not needs_it and name in content:
            raise ValidationError(f"{INVALID}{name} must not be specified when ShardIteratorType is {kind}")
    sequence = sequence_of(content["SequenceNumber"]) if "SequenceNumber" in content else 0
    time_s = max(-_TIME_S_MAX, min(content.get("Timestamp", 0), _TIME_S_MAX))
    return StreamPosition(kind, sequence, round(time_s * 1000))
