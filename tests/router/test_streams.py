"""router/streams.py: what streams there are, and what is in them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from statorpb import cluster_pb2, partition_pb2, streams_pb2, tables_pb2

from router.dispatcher import Dispatcher
from router.partition_map_cache import PartitionMapCache
from router.requests.shard_iterator import ShardIterator, iterator_of
from router.requests.stream_names import StreamName, sequence_text, shard_id
from router.requests.stream_requests import (
    DescribeStreamRequest,
    GetRecordsRequest,
    GetShardIteratorRequest,
    ListStreamsRequest,
    StreamPosition,
)
from router.storage_client import READ_STREAM, PartitionCall
from router.streams import RecordPage, Streams
from server.model.errors import ResourceNotFoundError, ServiceUnavailableError, StatorError
from server.model.limits import ITERATOR_AGE_MS_MAX, PAGE_BYTES_MAX
from server.model.partition_map import even_starts
from tests.clients.waiting import until
from tests.router.fakes import (
    CREATED_AT_MS,
    LABEL,
    STREAM,
    TABLE,
    FakeMetadata,
    FakeStorage,
    Outcome,
    record,
    route,
    stream_reply,
    with_stream,
)

NAME = StreamName(TABLE, LABEL)
SHARDS = [shard_id(CREATED_AT_MS, 10 + index) for index in range(3)]
Details = partition_pb2.StreamDetails
NO_STREAM = partition_pb2.PartitionReply(status=partition_pb2.NO_STREAM)
TRIMMED = partition_pb2.PartitionReply(status=partition_pb2.TRIMMED)


class Rig:
    """A dispatcher on a fake metadata service and a storage that answers with `replies`, one after the other."""

    def __init__(self, table: cluster_pb2.TableRoute, *replies: partition_pb2.PartitionReply | StatorError) -> None:
        self.replies = list(replies)
        self.metadata = FakeMetadata(table)
        self.storage = FakeStorage(lambda _: self.replies.pop(0))
        self.cache = PartitionMapCache(self.metadata)
        self.dispatcher = Dispatcher(self.cache, self.storage, self.metadata)
        self.now_ms = 1_000_000
        self.dispatcher.streams = Streams(self.cache, self.storage, self.metadata, lambda: self.now_ms)

    async def ask(self, request: Any, timeout_s: float = 5.0) -> Any:
        outcome = Outcome()
        self.dispatcher.submit_streams(request, asyncio.get_running_loop().time() + timeout_s, outcome.done)
        return await outcome.wait()

    async def refusal(self, request: Any) -> tuple[str, str]:
        with pytest.raises(StatorError) as raised:
            await self.ask(request)
        return raised.value.code, raised.value.message

    @property
    def details(self) -> list[partition_pb2.StreamDetails]:
        found = [call.details for call in self.storage.calls]
        assert all(isinstance(each, Details) for each in found)
        return found  # type: ignore[return-value]


def table(**stream: Any) -> cluster_pb2.TableRoute:
    return with_stream(route(partitions=3), **stream)


def iterator_request(kind: str, sequence: int = 0, time_ms: int = 0, shard: str = SHARDS[1]) -> GetShardIteratorRequest:
    return GetShardIteratorRequest(NAME, shard, StreamPosition(kind, sequence, time_ms))


def iterator(**members: Any) -> ShardIterator:
    given = {"stream_number": STREAM, "partition_id": 11, "after": 7_000, "issued_ms": 1_000_000, **members}
    return ShardIterator(NAME, **given)


MISSING = ("ResourceNotFoundException", f"Requested resource not found: Stream: {NAME.arn} not found")
NO_SHARD = ("ResourceNotFoundException", "Requested resource not found: Shard does not exist")


# What there is


async def test_streams_are_listed() -> None:
    """By the metadata service's leader, page by page."""
    rig = Rig(table())
    names = [cluster_pb2.LookUpStreamsResponse.Stream(table_name=name, label=LABEL) for name in ("music", "words")]
    rig.metadata.answers["LookUpStreams"] = cluster_pb2.LookUpStreamsResponse(streams=names, more=True)
    response = await rig.ask(ListStreamsRequest("", 2, StreamName("lists", "x")))
    assert rig.metadata.stream_look_ups == [
        cluster_pb2.LookUpStreamsRequest(limit=2, after_table_name="lists", after_label="x", linearizable=True)
    ]
    assert [(each.stream_arn, each.table_name, each.stream_label) for each in response.streams] == [
        (StreamName(name, LABEL).arn, name, LABEL) for name in ("music", "words")
    ]
    assert response.last_evaluated_stream_arn == StreamName("words", LABEL).arn
    rig.metadata.answers["LookUpStreams"] = cluster_pb2.LookUpStreamsResponse(streams=names[:1])
    response = await rig.ask(ListStreamsRequest("music", 100, None))
    assert rig.metadata.stream_look_ups[1].table_name == "music"
    assert not response.last_evaluated_stream_arn
    rig.metadata.answers["LookUpStreams"] = cluster_pb2.LookUpStreamsResponse(unknown=True)
    assert await rig.refusal(ListStreamsRequest("nothing", 100, None)) == (
        "ResourceNotFoundException",
        "Requested resource not found: Table: nothing not found",
    )


async def test_a_stream_is_described() -> None:
    """As the metadata service's leader has it, whatever is known here."""
    rig = Rig(route(partitions=3, has_sort_key=True))
    await rig.cache.fetch(TABLE, 5)
    assert await rig.refusal(DescribeStreamRequest(NAME, 100, "", "")) == MISSING
    with_stream(rig.metadata.routes[TABLE], status=streams_pb2.ENABLING)
    stream = (await rig.ask(DescribeStreamRequest(NAME, 100, "", ""))).stream
    assert (stream.status, list(stream.shards)) == (streams_pb2.ENABLING, [])
    assert all(each.linearizable for each in rig.metadata.look_ups[1:])
    del rig.metadata.routes[TABLE].streams[:]
    with_stream(rig.metadata.routes[TABLE], status=streams_pb2.DISABLED, last_sequence=9_001)
    stream = (await rig.ask(DescribeStreamRequest(NAME, 100, "", ""))).stream
    assert stream.key_schema == tables_pb2.KeySchema(
        partition_key=tables_pb2.KeyAttribute(name="pk", type=tables_pb2.S),
        sort_key=tables_pb2.KeyAttribute(name="sk", type=tables_pb2.S),
    )
    assert (stream.stream_arn, stream.stream_label, stream.table_name) == (NAME.arn, LABEL, TABLE)
    assert (stream.view_type, stream.created_at_ms) == (
        tables_pb2.StreamSpecification.NEW_AND_OLD_IMAGES,
        CREATED_AT_MS,
    )
    assert list(stream.shards) == [
        streams_pb2.Shard(
            shard_id=shard,
            starting_sequence_number=sequence_text(5_000),
            ending_sequence_number=sequence_text(9_001),
        )
        for shard in SHARDS
    ]


async def test_shards_come_in_pages() -> None:
    """In the order of their ids; those behind one that is not there too, as DynamoDB has it."""
    rig = Rig(table())

    async def page(limit: int, start: str) -> tuple[list[str], str]:
        stream = (await rig.ask(DescribeStreamRequest(NAME, limit, start, ""))).stream
        return [shard.shard_id for shard in stream.shards], stream.last_evaluated_shard_id

    assert await page(2, "") == (SHARDS[:2], SHARDS[1])
    assert await page(2, SHARDS[1]) == (SHARDS[2:], "")
    assert await page(3, "") == (SHARDS, "")
    assert await page(3, SHARDS[2]) == ([], "")
    assert await page(3, "z" * 28) == ([], "")


async def test_the_children_of_a_shard() -> None:
    """What it was split into; nothing but these is asked for."""
    rig = Rig(table())
    rig.metadata.routes[TABLE].streams[0].shards[2].parent_partition_id = 10
    stream = (await rig.ask(DescribeStreamRequest(NAME, 100, "", SHARDS[0]))).stream
    assert [(shard.shard_id, shard.parent_shard_id) for shard in stream.shards] == [(SHARDS[2], SHARDS[0])]
    stream = (await rig.ask(DescribeStreamRequest(NAME, 100, "", SHARDS[1]))).stream
    assert not stream.shards


async def test_what_is_known_is_described_where_nobody_answers() -> None:
    """Consumers look for new shards now and then, and need not notice that the metadata service is away."""
    rig = Rig(table())
    await rig.cache.fetch(TABLE, 5)
    rig.metadata.is_up.clear()
    described = await rig.ask(DescribeStreamRequest(NAME, 100, "", ""), timeout_s=0.2)
    assert len(described.stream.shards) == 3
    with pytest.raises(ServiceUnavailableError):
        await rig.ask(DescribeStreamRequest(StreamName("words", LABEL), 100, "", ""), timeout_s=0.2)


async def test_what_may_have_begun_since_is_not_denied_where_nobody_answers() -> None:
    """That a stream is not there, or has no shards yet, may be old news: a consumer that is told so gives up."""
    for known in (route(partitions=3), with_stream(route(partitions=3), status=streams_pb2.ENABLING)):
        rig = Rig(known)
        await rig.cache.fetch(TABLE, 5)
        rig.metadata.is_up.clear()
        for request in (DescribeStreamRequest(NAME, 100, "", ""), iterator_request("LATEST")):
            with pytest.raises(ServiceUnavailableError, match="no metadata process answers"):
                await rig.ask(request, timeout_s=0.2)


# Places


@pytest.mark.parametrize(
    ("kind", "sequence", "time_ms", "asked", "after"),
    [
        ("LATEST", 0, 0, Details(number=STREAM, start=Details.LATEST), 7_000),
        ("AT_TIMESTAMP", 0, 99, Details(number=STREAM, start=Details.AT_TIME, time_ms=99), 7_000),
        ("AT_SEQUENCE_NUMBER", 5_000, 0, Details(number=STREAM, sequence=4_999), 4_999),
        ("AT_SEQUENCE_NUMBER", 9_000, 0, Details(number=STREAM, sequence=8_999), 8_999),
        ("AFTER_SEQUENCE_NUMBER", 5_000, 0, Details(number=STREAM, sequence=5_000), 5_000),
        ("AFTER_SEQUENCE_NUMBER", 4_999, 0, Details(number=STREAM, sequence=4_999), 4_999),
    ],
)
async def test_a_place_is_asked_for(
    kind: str, sequence: int, time_ms: int, asked: partition_pb2.StreamDetails, after: int
) -> None:
    """At the partition's leader, and without its records: where it is, or whether it is still kept."""
    rig = Rig(table(), stream_reply(7_000))
    response = await rig.ask(iterator_request(kind, sequence, time_ms))
    assert iterator_of(response.shard_iterator) == iterator(after=after)
    (call,) = rig.storage.calls
    assert (call.operation, call.is_consistent, call.position) == (READ_STREAM, True, even_starts(3)[1])
    assert rig.details == [asked]


async def test_an_iterator_has_the_time_of_day() -> None:
    """Another router tells how old it is, on a machine that was started at another time."""
    rig = Rig(table())
    rig.dispatcher.streams = Streams(rig.cache, rig.storage, rig.metadata)
    before_ms = int(time.time() * 1000)
    response = await rig.ask(iterator_request("TRIM_HORIZON"))
    assert before_ms <= iterator_of(response.shard_iterator).issued_ms <= time.time() * 1000


async def test_the_oldest_record_is_where_it_is_when_it_is_read() -> None:
    """Nobody has to be asked where that is."""
    rig = Rig(table())
    response = await rig.ask(iterator_request("TRIM_HORIZON"))
    assert iterator_of(response.shard_iterator) == iterator(after=None)
    assert not rig.storage.calls


@pytest.mark.parametrize(
    ("kind", "sequence"),
    [
        ("AT_SEQUENCE_NUMBER", 4_999),
        ("AT_SEQUENCE_NUMBER", 9_002),
        ("AFTER_SEQUENCE_NUMBER", 4_998),
        ("AFTER_SEQUENCE_NUMBER", 9_002),
        ("AFTER_SEQUENCE_NUMBER", 0),
        ("AT_SEQUENCE_NUMBER", 0),
    ],
)
async def test_what_is_outside_the_shard(kind: str, sequence: int) -> None:
    """Is no place in it."""
    rig = Rig(table(last_sequence=9_001))
    assert await rig.refusal(iterator_request(kind, sequence)) == (
        "ValidationException",
        f"Invalid SequenceNumber: {sequence_text(sequence)} is not within the shard's range",
    )


async def test_a_closed_shard_without_records() -> None:
    """Can be read from where it began."""
    rig = Rig(table(first_sequence=5_000, last_sequence=4_000), stream_reply(4_999, is_end=True))
    response = await rig.ask(iterator_request("AT_SEQUENCE_NUMBER", 5_000))
    assert iterator_of(response.shard_iterator).after == 4_999


async def test_a_place_that_is_not_kept_any_more() -> None:
    """Is told at once."""
    rig = Rig(table(), TRIMMED)
    told = "The data you are trying to access has been trimmed"
    request = iterator_request("AFTER_SEQUENCE_NUMBER", 5_000)
    assert await rig.refusal(request) == ("TrimmedDataAccessException", told)


@pytest.mark.parametrize("shard", [shard_id(CREATED_AT_MS, 13), shard_id(CREATED_AT_MS + 1, 11), "x" * 28])
async def test_a_shard_that_is_not_there(shard: str) -> None:
    """The metadata service's leader is asked before that is said."""
    rig = Rig(table())
    await rig.cache.fetch(TABLE, 5)
    assert await rig.refusal(iterator_request("LATEST", shard=shard)) == NO_SHARD
    assert [each.linearizable for each in rig.metadata.look_ups] == [False, True]


async def test_a_stream_that_has_just_been_enabled() -> None:
    """What is known here of its table is older."""
    rig = Rig(route(partitions=3), stream_reply(7_000))
    await rig.cache.fetch(TABLE, 5)
    with_stream(rig.metadata.routes[TABLE])
    assert (await rig.ask(iterator_request("LATEST"))).shard_iterator


async def test_a_stream_that_is_not_there() -> None:
    """Its table has none, or there is no such table."""
    rig = Rig(route())
    assert await rig.refusal(iterator_request("LATEST")) == MISSING
    del rig.metadata.routes[TABLE]
    assert await rig.refusal(iterator_request("LATEST")) == MISSING
    assert await rig.refusal(GetRecordsRequest(iterator(), 1)) == MISSING


# Records


async def test_records_are_read() -> None:
    """From the partition's leader, as many as fit; what comes next is behind them."""
    rig = Rig(table(), stream_reply(9_000, record(8_000), record(9_000)))
    page = await rig.ask(GetRecordsRequest(iterator(), 10))
    assert isinstance(page, RecordPage)
    assert [each.sequence for each in page.items] == [8_000, 9_000]
    assert iterator_of(page.next_iterator) == iterator(after=9_000)
    (call,) = rig.storage.calls
    assert (call.operation, call.is_consistent, call.position) == (READ_STREAM, True, even_starts(3)[1])
    assert rig.details == [Details(number=STREAM, sequence=7_000, records_max=10, bytes_max=PAGE_BYTES_MAX)]
    assert not any(each.linearizable for each in rig.metadata.look_ups)


async def test_the_oldest_records() -> None:
    """Where that is, the node knows."""
    rig = Rig(table(), stream_reply(6_000))
    page = await rig.ask(GetRecordsRequest(iterator(after=None), 10))
    assert [(each.start, each.sequence) for each in rig.details] == [(Details.HORIZON, 0)]
    assert iterator_of(page.next_iterator).after == 6_000


async def test_the_end_of_a_shard() -> None:
    """There is nothing behind it."""
    rig = Rig(table(), stream_reply(9_000, is_end=True))
    page = await rig.ask(GetRecordsRequest(iterator(), 10))
    assert (list(page.items), page.next_iterator) == ([], "")


async def test_records_that_are_not_kept_any_more() -> None:
    """The client has been too slow."""
    code, _ = await Rig(table(), TRIMMED).refusal(GetRecordsRequest(iterator(), 10))
    assert code == "TrimmedDataAccessException"


async def test_an_iterator_that_is_too_old() -> None:
    """Is refused before anybody is asked; one that is nearly so is not."""
    rig = Rig(table(), stream_reply(7_000))
    rig.now_ms += ITERATOR_AGE_MS_MAX
    page = await rig.ask(GetRecordsRequest(iterator(), 10))
    assert iterator_of(page.next_iterator).issued_ms == rig.now_ms
    rig.now_ms += 1
    code, _ = await rig.refusal(GetRecordsRequest(iterator(), 10))
    assert (code, len(rig.storage.calls)) == ("ExpiredIteratorException", 1)


async def test_a_stream_that_the_node_does_not_know() -> None:
    """It may have gone since it was looked up: that is found out, once."""
    gone = Rig(table(), NO_STREAM)
    await gone.cache.fetch(TABLE, 5)
    del gone.metadata.routes[TABLE].streams[:]
    assert await gone.refusal(GetRecordsRequest(iterator(), 10)) == MISSING
    there = Rig(table(), NO_STREAM, stream_reply(7_000))
    assert iterator_of((await there.ask(GetRecordsRequest(iterator(), 10))).next_iterator).after == 7_000
    unclear = Rig(table(), NO_STREAM, NO_STREAM)
    assert await unclear.refusal(GetRecordsRequest(iterator(), 10)) == MISSING
    assert len(unclear.storage.calls) == 2


async def test_a_partition_that_is_gone() -> None:
    """With it the shard is."""
    rig = Rig(table(), NO_STREAM)
    await rig.cache.fetch(TABLE, 5)
    del rig.metadata.routes[TABLE].streams[0].shards[1]
    assert await rig.refusal(GetRecordsRequest(iterator(), 10)) == NO_SHARD


async def test_a_table_that_goes_while_its_stream_is_read() -> None:
    """What is not there any more is told by name."""
    rig = Rig(table(), ResourceNotFoundError("Requested resource not found"))
    assert await rig.refusal(GetRecordsRequest(iterator(), 10)) == MISSING


async def test_an_iterator_of_another_stream_of_the_same_name() -> None:
    """The table has been made anew within a millisecond: nothing is told of the wrong one."""
    assert await Rig(table()).refusal(GetRecordsRequest(iterator(stream_number=8), 10)) == MISSING


async def test_what_a_node_fails_at() -> None:
    """Is told, as it is of items."""
    rig = Rig(table(), ServiceUnavailableError("nobody"))
    assert await rig.refusal(GetRecordsRequest(iterator(), 10)) == ("ServiceUnavailableException", "nobody")


async def test_a_caller_that_has_gone() -> None:
    """An answer that comes too late is nobody's."""
    rig = Rig(table())
    waiting: list[PartitionCall] = []
    streams = Streams(rig.cache, FakeStorage(waiting.append), rig.metadata, lambda: 0)
    carrying_out = streams.carry_out(GetRecordsRequest(iterator(), 10), asyncio.get_running_loop().time() + 5)
    task = asyncio.create_task(carrying_out)
    await until(lambda: waiting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiting[0].done(stream_reply(7_000), None)
