"""stator.v1.Streams over a real channel, with fake storage behind it: above all how subscriptions go on and end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from statorpb import cluster_pb2, partition_pb2, passthrough_pb2, streams_pb2

from router import grpc_streams
from router.dispatcher import Dispatcher
from router.grpc_streams import READ_BYTES_MAX, SUBSCRIPTIONS_MAX, WAIT_MS, StreamsService
from router.partition_map_cache import PartitionMapCache
from router.requests.stream_names import StreamName, sequence_text, shard_id
from router.storage_client import PartitionCall
from router.users import User
from server.model.errors import InternalServerError, StatorError, ThrottledError
from server.runtime.grpc_server import channel_options, error_of
from tests.clients.waiting import until
from tests.router.fakes import (
    CREATED_AT_MS,
    LABEL,
    STREAM,
    TABLE,
    FakeMetadata,
    FakeStorage,
    record,
    route,
    stream_reply,
    with_stream,
)
from tests.router.test_grpc_door import CallerIs

ARN = StreamName(TABLE, LABEL).arn
SHARD = shard_id(CREATED_AT_MS, 10)
Details = partition_pb2.StreamDetails
Position = streams_pb2.StreamPosition
FROM_HERE = streams_pb2.SubscribeRequest(stream_arn=ARN, shard_id=SHARD, position=Position(type=Position.LATEST))
TRIMMED = partition_pb2.PartitionReply(status=partition_pb2.TRIMMED)


class Rig:
    """Reads that only ask where they would begin are answered with `begins_behind`; others wait in `waiting`, or are
    answered with `replies`."""

    def __init__(self, caller: User | None = None) -> None:
        self.replies: list[partition_pb2.PartitionReply | StatorError] = []
        self.waiting: list[PartitionCall] = []
        self.begins_behind = 7_000
        self.metadata = FakeMetadata(with_stream(route()))
        self.storage = FakeStorage(self._answer)
        self.cache = PartitionMapCache(self.metadata)
        self.service = StreamsService(Dispatcher(self.cache, self.storage, self.metadata), 7.0)
        self.server = grpc.aio.server(interceptors=[] if caller is None else [CallerIs(caller)])
        self.service.add_to(self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=channel_options())

    def _answer(self, call: PartitionCall) -> partition_pb2.PartitionReply | StatorError | None:
        assert isinstance(call.details, Details)
        if not call.details.records_max:
            return stream_reply(self.begins_behind)
        if self.replies:
            return self.replies.pop(0)
        self.waiting.append(call)
        return None

    def subscribe(self, request: streams_pb2.SubscribeRequest = FROM_HERE) -> Any:
        call: Any = self.channel.unary_stream(
            "/stator.v1.Streams/Subscribe",
            request_serializer=streams_pb2.SubscribeRequest.SerializeToString,
            response_deserializer=streams_pb2.SubscribeResponse.FromString,
        )
        return call(request, timeout=20)

    async def call(self, method: str, request: Any, response: Any) -> Any:
        invoke: Any = self.channel.unary_unary(f"/stator.v1.Streams/{method}")
        return response.FromString(await invoke(request.SerializeToString(), timeout=20))

    def asked(self) -> list[partition_pb2.StreamDetails]:
        """The reads that wanted records."""
        found = [call.details for call in self.storage.calls]
        return [each for each in found if isinstance(each, Details) and each.records_max]


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    async for each in running(Rig()):
        yield each


async def running(rig: Rig) -> AsyncIterator[Rig]:
    await rig.server.start()
    yield rig
    rig.service.stop()
    await rig.channel.close()
    await rig.server.stop(0)


async def failure(call: Any) -> tuple[grpc.StatusCode, tuple[str, str] | None]:
    """What a subscription ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        while await call.read() is not grpc.aio.EOF:
            pass
    return raised.value.code(), error_of(raised.value)


async def test_the_other_operations(rig: Rig) -> None:
    """Their messages become requests, and their results messages."""
    name = cluster_pb2.LookUpStreamsResponse.Stream(table_name=TABLE, label=LABEL)
    rig.metadata.answers["LookUpStreams"] = cluster_pb2.LookUpStreamsResponse(streams=[name])
    listed = await rig.call("ListStreams", streams_pb2.ListStreamsRequest(), streams_pb2.ListStreamsResponse)
    assert [each.stream_arn for each in listed.streams] == [ARN]
    described = await rig.call(
        "DescribeStream", streams_pb2.DescribeStreamRequest(stream_arn=ARN), streams_pb2.DescribeStreamResponse
    )
    assert [shard.shard_id for shard in described.stream.shards] == [SHARD]
    placed = await rig.call(
        "GetShardIterator",
        streams_pb2.GetShardIteratorRequest(stream_arn=ARN, shard_id=SHARD, position=FROM_HERE.position),
        streams_pb2.GetShardIteratorResponse,
    )
    rig.replies.append(stream_reply(8_000, record(8_000)))
    request = streams_pb2.GetRecordsRequest(shard_iterator=placed.shard_iterator)
    read = await rig.call("GetRecords", request, streams_pb2.GetRecordsResponse)
    assert [each.sequence_number for each in read.records] == [sequence_text(8_000)]
    assert read.next_shard_iterator.startswith(ARN)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await rig.call("GetRecords", streams_pb2.GetRecordsRequest(shard_iterator="x"), streams_pb2.GetRecordsResponse)
    assert error_of(raised.value) == ("ValidationException", "Invalid ShardIterator")


async def test_records_are_pushed_until_the_shard_ends(rig: Rig) -> None:
    """The first message says where that begins. Each read begins behind the one before."""
    rig.replies = [stream_reply(8_000, record(8_000), record(8_000 - 1)), stream_reply(9_000, is_end=True)]
    messages = [message async for message in rig.subscribe()]
    assert [message.sequence_number for message in messages] == [sequence_text(each) for each in (7_000, 8_000, 9_000)]
    assert [len(message.records) for message in messages] == [0, 2, 0]
    assert [message.ended for message in messages] == [False, False, True]
    assert rig.asked() == [
        Details(number=STREAM, sequence=after, records_max=1000, bytes_max=READ_BYTES_MAX, wait_ms=WAIT_MS)
        for after in (7_000, 8_000)
    ]
    assert rig.service.subscriptions == 0


async def test_items_are_not_looked_into(rig: Rig) -> None:
    """They may nest deeper than a message that holds them can be parsed."""
    rig.replies = [stream_reply(8_000, record(8_000, new_image=b"no item at all"), is_end=True)]
    invoke: Any = rig.channel.unary_stream("/stator.v1.Streams/Subscribe")
    messages = [
        passthrough_pb2.RawSubscribeResponse.FromString(data)
        async for data in invoke(FROM_HERE.SerializeToString(), timeout=20)
    ]
    assert messages[1].records[0].new_image == b"no item at all"


async def test_a_subscription_from_the_oldest_record(rig: Rig) -> None:
    """Where that is, is found out first: no more than the rest is told when the partition fails meanwhile."""
    request = streams_pb2.SubscribeRequest(
        stream_arn=ARN, shard_id=SHARD, position=Position(type=Position.TRIM_HORIZON)
    )
    rig.replies = [stream_reply(8_000, is_end=True)]
    messages = [message async for message in rig.subscribe(request)]
    assert messages[0].sequence_number == sequence_text(7_000)
    first = rig.storage.calls[0].details
    assert isinstance(first, Details) and first.start == Details.HORIZON


async def test_a_subscription_to_a_shard_of_which_nothing_was_removed(rig: Rig) -> None:
    """Begins just before its first number: that is a place from which one may go on."""
    rig.begins_behind = 0
    rig.replies = [stream_reply(8_000, is_end=True)]
    request = streams_pb2.SubscribeRequest(
        stream_arn=ARN, shard_id=SHARD, position=Position(type=Position.TRIM_HORIZON)
    )
    call = rig.subscribe(request)
    begun = (await call.read()).sequence_number
    assert begun == sequence_text(4_999)
    again = Position(type=Position.AFTER_SEQUENCE_NUMBER, sequence_number=begun)
    rig.replies = [stream_reply(8_000, is_end=True)]
    other = rig.subscribe(streams_pb2.SubscribeRequest(stream_arn=ARN, shard_id=SHARD, position=again))
    assert (await other.read()).sequence_number == begun
    call.cancel()
    other.cancel()


async def test_a_partition_that_fails_only_delays(rig: Rig) -> None:
    """Whoever reads from it then goes on where the last answer ended."""
    rig.replies = [stream_reply(8_000, record(8_000)), InternalServerError("its leader died"), ThrottledError("later")]
    rig.replies.append(stream_reply(9_000, record(9_000), is_end=True))
    messages = [message async for message in rig.subscribe()]
    told = [each.sequence_number for message in messages for each in message.records]
    assert told == [sequence_text(8_000), sequence_text(9_000)]
    assert [each.sequence for each in rig.asked()] == [7_000, 8_000, 8_000, 8_000]


async def test_who_leads_now_is_asked(rig: Rig) -> None:
    """A subscription lives longer than what was known when it began; its table is kept up to date for it."""
    call = rig.subscribe()
    await call.read()
    await until(lambda: rig.waiting)
    known = rig.waiting[0].table
    known.is_used = False
    rig.metadata.routes[TABLE].partitions[0].leader_node_id = 3
    rig.metadata.routes[TABLE].partitions[0].leader_round += 1
    await rig.cache.fetch(TABLE, 5, is_known=True)
    rig.waiting[0].done(stream_reply(8_000, record(8_000)), None)
    await until(lambda: len(rig.waiting) == 2)
    renewed = rig.waiting[1].table
    assert (renewed.partitions[0].leader_node_id, renewed.is_used) == (3, True)
    call.cancel()


async def test_a_partition_that_fails_for_long(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another router may reach it."""
    monkeypatch.setattr(grpc_streams, "PATIENCE_S", 0.2)
    rig.replies = [InternalServerError("its leader died") for _ in range(10)]
    assert await failure(rig.subscribe()) == (
        grpc.StatusCode.UNAVAILABLE,
        ("ServiceUnavailableException", "The partition cannot be read: its leader died"),
    )


async def test_a_client_that_was_too_slow(rig: Rig) -> None:
    """Is told that something is missing."""
    rig.replies = [TRIMMED]
    code, error = await failure(rig.subscribe())
    assert (code, error and error[0]) == (grpc.StatusCode.OUT_OF_RANGE, "TrimmedDataAccessException")


async def test_what_cannot_be_subscribed_to(rig: Rig) -> None:
    """Is refused as the other operations refuse it."""
    code, error = await failure(rig.subscribe(streams_pb2.SubscribeRequest(stream_arn=ARN, shard_id=SHARD)))
    assert (code, error and error[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "ValidationException")
    request = streams_pb2.SubscribeRequest()
    request.CopyFrom(FROM_HERE)
    request.shard_id = shard_id(CREATED_AT_MS, 77)
    assert await failure(rig.subscribe(request)) == (
        grpc.StatusCode.NOT_FOUND,
        ("ResourceNotFoundException", "Requested resource not found: Shard does not exist"),
    )
    invoke: Any = rig.channel.unary_stream("/stator.v1.Streams/Subscribe")
    code, error = await failure(invoke(b"\xff", timeout=20))
    assert (code, error and error[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "SerializationException")


async def test_a_silent_stream_says_how_far_it_is(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client can tell it from a dead one, and what it has read does not become too old."""
    monkeypatch.setattr(grpc_streams, "SILENCE_S", 0.05)
    call = rig.subscribe()
    told = [await call.read() for _ in range(3)]  # also while the partition says nothing
    await until(lambda: rig.waiting)
    rig.waiting[0].done(stream_reply(7_500), None)
    while told[-1].sequence_number == sequence_text(7_000):
        told.append(await call.read())
    assert told[-1].sequence_number == sequence_text(7_500)
    assert not any(message.records or message.ended for message in told)
    call.cancel()


async def test_a_node_that_does_not_wait_is_not_asked_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many wait there; a subscription must not spin."""
    monkeypatch.setattr(grpc_streams, "RETRY_S", 1000.0)
    call = rig.subscribe()
    await call.read()
    await until(lambda: rig.waiting)
    rig.waiting[0].done(stream_reply(7_500), None)
    rig.service.stop()
    assert (await failure(call))[0] == grpc.StatusCode.UNAVAILABLE
    assert len(rig.asked()) == 1


async def test_a_client_that_has_had_enough(rig: Rig) -> None:
    """Its subscription ends while it waits; an answer that comes then is nobody's."""
    call = rig.subscribe()
    await call.read()
    await until(lambda: rig.waiting)
    assert rig.service.subscriptions == 1
    call.cancel()
    await until(lambda: rig.service.subscriptions == 0)
    rig.waiting[0].done(stream_reply(8_000, record(8_000)), None)
    assert len(rig.asked()) == 1


async def test_a_router_that_stops_ends_its_subscriptions(rig: Rig) -> None:
    """At once, also one that begins then: their clients go on elsewhere."""
    call = rig.subscribe()
    await call.read()
    await until(lambda: rig.waiting)
    rig.service.stop()
    stopping = (grpc.StatusCode.UNAVAILABLE, ("ServiceUnavailableException", "The router is stopping"))
    assert await failure(call) == stopping
    assert await failure(rig.subscribe()) == stopping
    rig.service.stop()


async def test_subscriptions_have_a_limit(rig: Rig) -> None:
    """Past it they are refused, and may be tried elsewhere."""
    rig.service.subscriptions = SUBSCRIPTIONS_MAX
    assert await failure(rig.subscribe()) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        ("RequestLimitExceeded", "Too many subscriptions are open at this router"),
    )
    rig.service.subscriptions -= 1
    call = rig.subscribe()
    await call.read()
    call.cancel()
    await until(lambda: rig.service.subscriptions == SUBSCRIPTIONS_MAX - 1)


async def test_a_slow_client_holds_back_reading(rig: Rig) -> None:
    """Nothing more is read for it than is under way to it."""
    large = stream_reply(8_000, record(8_000, new_image=bytes(READ_BYTES_MAX)))
    rig.replies = [large for _ in range(1000)]
    call = rig.subscribe()
    await until(rig.asked)
    for _ in range(200):
        with pytest.raises(grpc.aio.AioRpcError):
            await rig.call("GetRecords", streams_pb2.GetRecordsRequest(), streams_pb2.GetRecordsResponse)
    assert len(rig.asked()) < 100
    for _ in range(500):
        await call.read()
    call.cancel()


async def test_a_user_who_was_disabled() -> None:
    """Is told nothing more, also of what comes while a read is under way."""
    user = User("AKIA1", "ann", "secret", is_disabled=False)
    async for rig in running(Rig(user)):
        call = rig.subscribe()
        await call.read()
        await until(lambda: rig.waiting)  # noqa: B023
        user.is_disabled = True
        rig.waiting[0].done(stream_reply(8_000, record(8_000)), None)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            assert await call.read() is grpc.aio.EOF
        code, error = raised.value.code(), error_of(raised.value)
        assert (code, error and error[0]) == (grpc.StatusCode.UNAUTHENTICATED, "UnrecognizedClientException")


async def test_a_deadline_ends_a_subscription(rig: Rig) -> None:
    """If the client gives it one."""
    call: Any = rig.channel.unary_stream("/stator.v1.Streams/Subscribe")
    started = call(FROM_HERE.SerializeToString(), timeout=0.5)
    assert (await failure(started))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: rig.service.subscriptions == 0)
