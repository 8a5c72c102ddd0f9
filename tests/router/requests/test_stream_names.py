"""Names of streams, shards, records: they lead back, are ordered, and have the model's lengths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests.stream_names import (
    SEQUENCE_MAX,
    StreamName,
    event_id,
    name_of_stream,
    no_shard,
    no_stream,
    partition_of_shard,
    sequence_of,
    sequence_text,
    shard_id,
)
from server.model.table import table_arn
from tests.router.requests.failing import refusal

LABEL = "2026-11-26T18:30:00.123"
TIMES = st.integers(0, 10**15)
IDS = st.integers(0, 2**64 - 1)


@given(name=st.from_regex(r"[a-zA-Z0-9_.-]{3,255}", fullmatch=True))
def test_an_arn_leads_back_to_its_stream(name: str) -> None:
    """Whatever the table is called; it has the model's length."""
    stream = StreamName(name, LABEL)
    assert name_of_stream(stream.arn) == stream
    assert 37 <= len(stream.arn) <= 1024


def test_an_arn_of_elsewhere() -> None:
    """Region and account are whatever the client believes them to be."""
    arn = f"arn:aws-cn:dynamodb:us-east-1:123456789012:table/music/stream/{LABEL}"
    assert name_of_stream(arn) == StreamName("music", LABEL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kossapaaaasdafsdaasdasdasdasasdasfadfadfasdasdas",
        table_arn("music"),
        table_arn("music") + "/stream/",
        table_arn("music") + "/stream/a/b",
        table_arn("music") + "/index/a",
        table_arn("music") + "/stream/a\n",
        f"{table_arn('music')}/index/a/stream/{LABEL}",
        f"arn:aws:s3:::music/stream/{LABEL}",
        f"music/stream/{LABEL}",
    ],
)
def test_what_is_no_arn(text: str) -> None:
    """Is said to be none."""
    assert refusal(name_of_stream, text) == ("ValidationException", f"Invalid StreamArn: {text}")


@given(time_ms=TIMES, one=IDS, two=IDS)
def test_shards_are_named_by_partitions(time_ms: int, one: int, two: int) -> None:
    """In their order, of the model's length; a shard of another stream is none of this one's."""
    name = shard_id(time_ms, one)
    assert 28 <= len(name) <= 65
    assert partition_of_shard(name, time_ms) == one
    assert partition_of_shard(name, time_ms + 1) is None
    assert (name < shard_id(time_ms, two)) == (one < two)


@pytest.mark.parametrize(
    "text", ["", "shardId-00000001446500994480-a69421f6", shard_id(5, 3) + "0", shard_id(5, 175).upper()]
)
def test_what_is_no_shard(text: str) -> None:
    """No partition records it."""
    assert partition_of_shard(text, 5) is None


@given(one=IDS, two=IDS)
def test_sequence_numbers_are_ordered(one: int, two: int) -> None:
    """As text too, which is of the model's length."""
    text = sequence_text(one)
    assert sequence_of(text) == one
    assert 21 <= len(text) <= 40
    assert (text < sequence_text(two)) == (one < two)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "0x1", " 1", "1\n", "٣", str(SEQUENCE_MAX + 1), "9" * 40])
def test_what_is_no_sequence_number(text: str) -> None:
    """Digits, and not more than 64 bits."""
    assert refusal(sequence_of, text) == ("ValidationException", f"Invalid SequenceNumber: {text}")
    assert sequence_of("0" * 39 + "7") == 7


@given(one=st.tuples(IDS, IDS, IDS), two=st.tuples(IDS, IDS, IDS))
def test_events_have_names_of_their_own(one: tuple[int, int, int], two: tuple[int, int, int]) -> None:
    """The same record has the same one each time that it is told."""
    assert (event_id(*one) == event_id(*two)) == (one == two)
    assert len(event_id(*one)) == 32 and int(event_id(*one), 16) >= 0


def test_what_is_not_there() -> None:
    """In DynamoDB's words."""
    stream = StreamName("music", LABEL)
    assert no_stream(stream).message == f"Requested resource not found: Stream: {stream.arn} not found"
    assert no_shard().message == "Requested resource not found: Shard does not exist"
