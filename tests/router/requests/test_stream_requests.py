"""Requests on streams, against DynamoDB Streams' own model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from router.requests import stream_requests
from router.requests.shapes import Integer, Moment, Shape, Structure, Text
from router.requests.shard_iterator import ShardIterator
from router.requests.stream_names import StreamName, sequence_text, shard_id
from router.requests.stream_requests import (
    DescribeStreamRequest,
    GetRecordsRequest,
    GetShardIteratorRequest,
    ListStreamsRequest,
    StreamPosition,
    describe_from_body,
    iterator_from_body,
    list_from_body,
    records_from_body,
)
from tests.router.requests.failing import NAME_PATTERN, NULL_MEMBER, SHORT_NAME, refusal

INVALID = "One or more parameter values were invalid: "
STREAM = StreamName("music", "2026-11-26T18:30:00.123")
ITERATOR = ShardIterator(STREAM, 7, 10, None, 250)
SHARD = shard_id(5, 10)
SEQUENCE = sequence_text(12_001)

_MODEL = boto3.client(
    "dynamodbstreams", region_name="local", aws_access_key_id="a", aws_secret_access_key="a"
).meta.service_model
_SHAPES = [each for each in vars(stream_requests).values() if isinstance(each, Structure)]
_LIMITED = {"ListStreamsInput", "DescribeStreamInput", "GetRecordsInput"}


def compare(shape: Shape, model: Any) -> None:
    """Every member has the model's type, values and bounds; the service knows more of limits than its model says."""
    if isinstance(shape, Structure):
        assert (model.type_name, list(shape.members)) == ("structure", list(model.members))
        assert shape.required == set(model.required_members)
        for name, member in shape.members.items():
            compare(member, model.members[name])
    elif isinstance(shape, Integer):
        assert (model.type_name, shape.is_long, shape.least) == ("integer", False, model.metadata["min"])
    elif isinstance(shape, Text):
        assert (model.type_name, list(shape.enum)) == ("string", model.enum)
        bounds = model.metadata.get("min", 0), model.metadata.get("max"), model.metadata.get("pattern", "")
        assert (shape.length_min, shape.length_max, shape.pattern) == bounds
    else:
        assert isinstance(shape, Moment)
        assert model.type_name == "timestamp"


@pytest.mark.parametrize("shape", _SHAPES, ids=lambda shape: shape.name)
def test_shapes_are_the_service_models(shape: Structure) -> None:
    """Nothing is called otherwise than by AWS, and nothing is left out."""
    assert len(_SHAPES) == len(_MODEL.operation_names)
    compare(shape, _MODEL.shape_for(shape.name))


def test_list() -> None:
    """Of a table, or of all."""
    assert list_from_body({}, is_json=True) == ListStreamsRequest("", 100, None)
    body = {"TableName": "music", "Limit": 3, "ExclusiveStartStreamArn": STREAM.arn}
    assert list_from_body(body, is_json=True) == ListStreamsRequest("music", 3, STREAM)


def test_describe() -> None:
    """All shards, or some."""
    body: dict[str, Any] = {"StreamArn": STREAM.arn}
    assert describe_from_body(body, is_json=True) == DescribeStreamRequest(STREAM, 100, "", "")
    body |= {"Limit": 3, "ExclusiveStartShardId": SHARD, "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": SHARD}}
    assert describe_from_body(body, is_json=True) == DescribeStreamRequest(STREAM, 3, SHARD, SHARD)


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("TRIM_HORIZON", {}, (0, 0)),
        ("LATEST", {}, (0, 0)),
        ("AT_SEQUENCE_NUMBER", {"SequenceNumber": SEQUENCE}, (12_001, 0)),
        ("AFTER_SEQUENCE_NUMBER", {"SequenceNumber": SEQUENCE}, (12_001, 0)),
        ("AT_TIMESTAMP", {"Timestamp": 1_764_181_800.123}, (0, 1_764_181_800_123)),
        ("AT_TIMESTAMP", {"Timestamp": -1e308}, (0, -9_223_372_036_854_000)),
        ("AT_TIMESTAMP", {"Timestamp": 10**30}, (0, 9_223_372_036_854_000)),
    ],
)
def test_iterator(kind: str, more: dict[str, Any], expected: tuple[int, int]) -> None:
    """Every position, with what it needs."""
    body = {"StreamArn": STREAM.arn, "ShardId": SHARD, "ShardIteratorType": kind, **more}
    position = StreamPosition(kind, *expected)
    assert iterator_from_body(body, is_json=True) == GetShardIteratorRequest(STREAM, SHARD, position)


def test_records() -> None:
    """From an iterator on."""
    assert records_from_body({"ShardIterator": ITERATOR.text()}, is_json=True) == GetRecordsRequest(ITERATOR, 1000)
    body = {"ShardIterator": ITERATOR.text(), "Limit": 1}
    assert records_from_body(body, is_json=True) == GetRecordsRequest(ITERATOR, 1)


def length(value: str, path: str, relation: str) -> str:
    return (
        f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: Member must have "
        f"length {relation}"
    )


def most(value: int, limit: int) -> str:
    return (
        f"1 validation error detected: Value '{value}' at 'limit' failed to satisfy constraint: Member must have value "
        f"less than or equal to {limit}"
    )


@pytest.mark.parametrize(
    ("read", "body", "message"),
    [
        (list_from_body, {"TableName": "ab"}, SHORT_NAME.format("ab")),
        (list_from_body, {"TableName": "a+b"}, NAME_PATTERN.format("a+b")),
        (list_from_body, {"Limit": 101}, most(101, 100)),
        (
            list_from_body,
            {"ExclusiveStartStreamArn": "arn"},
            length("arn", "exclusiveStartStreamArn", "greater than or equal to 37"),
        ),
        (list_from_body, {"ExclusiveStartStreamArn": "a" * 37}, f"Invalid StreamArn: {'a' * 37}"),
        (describe_from_body, {}, NULL_MEMBER.format("streamArn")),
        (describe_from_body, {"StreamArn": "a" * 37}, f"Invalid StreamArn: {'a' * 37}"),
        (describe_from_body, {"StreamArn": STREAM.arn, "Limit": 101}, most(101, 100)),
        (
            describe_from_body,
            {"StreamArn": STREAM.arn, "ExclusiveStartShardId": "short"},
            length("short", "exclusiveStartShardId", "greater than or equal to 28"),
        ),
        (
            describe_from_body,
            {"StreamArn": STREAM.arn, "ShardFilter": {"Type": "ALL", "ShardId": SHARD}},
            "1 validation error detected: Value 'ALL' at 'shardFilter.type' failed to satisfy constraint: Member must "
            "satisfy enum value set: [CHILD_SHARDS]",
        ),
        (
            describe_from_body,
            {"StreamArn": STREAM.arn, "ShardFilter": {"Type": "CHILD_SHARDS"}},
            INVALID + "ShardFilter needs both Type and ShardId",
        ),
        (records_from_body, {}, NULL_MEMBER.format("shardIterator")),
        (records_from_body, {"ShardIterator": ""}, length("", "shardIterator", "greater than or equal to 1")),
        (records_from_body, {"ShardIterator": "made up"}, "Invalid ShardIterator"),
        (records_from_body, {"ShardIterator": ITERATOR.text(), "Limit": 1001}, most(1001, 1000)),
    ],
)
def test_what_is_refused(read: Callable[..., Any], body: dict[str, Any], message: str) -> None:
    """In the words of the other operations."""
    assert refusal(read, body, is_json=True) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"StreamArn": None}, NULL_MEMBER.format("streamArn")),
        ({"ShardId": None}, NULL_MEMBER.format("shardId")),
        ({"ShardIteratorType": None}, NULL_MEMBER.format("shardIteratorType")),
        (
            {"ShardIteratorType": "bulle"},
            "1 validation error detected: Value 'bulle' at 'shardIteratorType' failed to satisfy constraint: Member "
            "must satisfy enum value set: [TRIM_HORIZON, LATEST, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, "
            "AT_TIMESTAMP]",
        ),
        ({"ShardId": "x" * 66}, length("x" * 66, "shardId", "less than or equal to 65")),
        (
            {"SequenceNumber": SEQUENCE},
            INVALID + "SequenceNumber must not be specified when ShardIteratorType is LATEST",
        ),
        ({"Timestamp": 1}, INVALID + "Timestamp must not be specified when ShardIteratorType is LATEST"),
        (
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
            INVALID + "ShardIteratorType AT_SEQUENCE_NUMBER requires SequenceNumber",
        ),
        (
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"},
            INVALID + "ShardIteratorType AFTER_SEQUENCE_NUMBER requires SequenceNumber",
        ),
        ({"ShardIteratorType": "AT_TIMESTAMP"}, INVALID + "ShardIteratorType AT_TIMESTAMP requires Timestamp"),
        (
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "7"},
            length("7", "sequenceNumber", "greater than or equal to 21"),
        ),
        (
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "x" * 21},
            f"Invalid SequenceNumber: {'x' * 21}",
        ),
    ],
)
def test_an_iterator_that_cannot_be(change: dict[str, Any], message: str) -> None:
    """Whatever the stream is like."""
    body = {"StreamArn": STREAM.arn, "ShardId": SHARD, "ShardIteratorType": "LATEST", **change}
    assert refusal(iterator_from_body, body, is_json=True) == ("ValidationException", message)
