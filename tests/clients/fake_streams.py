"""The Streams service of the fake cluster: shards in lists, which tests write to, split and close."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf import any_pb2
from google.rpc import code_pb2, status_pb2
from stator.values import ValueEncoder
from statorpb import item_pb2, items_pb2, streams_pb2, streams_pb2_grpc, tables_pb2

if TYPE_CHECKING:
    import grpc.aio

    from tests.clients.fake_cluster import FakeRouter

RECORDS_A_MESSAGE = 3
HEARTBEAT_S = 0.05
EVENTS = {"INSERT": 1, "MODIFY": 2, "REMOVE": 3}


def numbered(sequence: int) -> str:
    return f"{sequence:021}"


def encoded(item: dict[str, Any]) -> item_pb2.Item:
    wire = item_pb2.Item()
    ValueEncoder("refuse").fill_item(wire, item)
    return wire


@dataclass
class FakeShard:
    """`first`: the sequence number of its first record, also when that is not kept any more."""

    shard_id: str
    parent: str = ""
    first: int = 1000
    records: list[streams_pb2.StreamRecord] = field(default_factory=list)
    is_closed: bool = False
    kept_from: int = 0
    subscribers: int = 0
    read_as: str = ""  # instead of records' sequence numbers, where it is subscribed to

    @property
    def last(self) -> int:
        return int(self.records[-1].sequence_number) if self.records else self.first - 1


class FakeStreams:
    """What there is of streams, by ARN; `sent` counts the messages with records that subscriptions were
    sent."""

    def __init__(self) -> None:
        self.streams: dict[str, streams_pb2.StreamDescription] = {}
        self.shards: dict[str, dict[str, FakeShard]] = {}
        self.refusals: deque[items_pb2.Error] = deque()
        self.sent = 0
        self.expired = 0  # so many iterators are too old
        self.positions: list[streams_pb2.StreamPosition] = []
        self.fails_after: int | None = None  # so many messages a subscription is sent, then it breaks
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self, table: str, *shard_ids: str, label: str = "2026-11-26T18:30:00.123") -> str:
        """A stream that is on; its ARN."""
        arn = f"arn:aws:dynamodb:local:000000000000:table/{table}/stream/{label}"
        self.streams[arn] = streams_pb2.StreamDescription(
            stream_arn=arn,
            stream_label=label,
            status=streams_pb2.ENABLED,
            view_type=tables_pb2.StreamSpecification.NEW_AND_OLD_IMAGES,
            created_at_ms=1_700_000_000_123,
            table_name=table,
            key_schema=tables_pb2.KeySchema(partition_key=tables_pb2.KeyAttribute(name="pk", type=tables_pb2.S)),
        )
        self.shards[arn] = {shard_id: FakeShard(shard_id) for shard_id in shard_ids}
        return arn

    def write(
        self, shard: FakeShard, event: str, key: str, old: Any = None, new: Any = None, *, by_ttl: bool = False
    ) -> str:
        """Another record; its sequence number. Its time is that number of milliseconds."""
        sequence = max(shard.last + 1, shard.first)
        record = streams_pb2.StreamRecord(
            event_id=f"{shard.shard_id}{sequence}",
            event=streams_pb2.StreamRecord.Event.ValueType(EVENTS[event]),
            created_at_ms=sequence,
            sequence_number=numbered(sequence),
            keys=encoded({"pk": key}),
            size_bytes=7,
            by_time_to_live=by_ttl,
        )
        for image, item in ((record.old_image, old), (record.new_image, new)):
            if item is not None:
                image.CopyFrom(encoded({"pk": key, **item}))
        shard.records.append(record)
        self.notify()
        return record.sequence_number

    def close(self, arn: str, shard: FakeShard, *children: FakeShard) -> None:
        """A shard has ended; others follow it."""
        shard.is_closed = True
        self.shards[arn].update({child.shard_id: child for child in children})
        self.notify()

    def turn_off(self, arn: str) -> None:
        self.streams[arn].status = streams_pb2.DISABLED
        for shard in self.shards[arn].values():
            shard.is_closed = True
        self.notify()

    def notify(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self) -> None:
        """Until something has changed, or for a heartbeat."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait({waiting}, timeout=HEARTBEAT_S)
        finally:
            self._waiting.discard(waiting)


def error(code: str, message: str, *, retriable: bool = False) -> items_pb2.Error:
    return items_pb2.Error(code=code, message=message, retriable=retriable)


class FakeStreamServices(streams_pb2_grpc.StreamsServicer):
    """Of one router."""

    def __init__(self, router: FakeRouter) -> None:
        self._router = router
        self._streams = router.state.streams

    async def ListStreams(self, request: streams_pb2.ListStreamsRequest, context: Any) -> Any:
        """Two a page."""
        found = [
            each
            for arn, each in sorted(self._streams.streams.items())
            if request.table_name in ("", each.table_name) and arn > request.exclusive_start_stream_arn
        ]
        response = streams_pb2.ListStreamsResponse(
            last_evaluated_stream_arn=found[1].stream_arn if len(found) > 2 else ""
        )
        for each in found[:2]:
            response.streams.add(stream_arn=each.stream_arn, table_name=each.table_name, stream_label=each.stream_label)
        return response

    async def DescribeStream(self, request: streams_pb2.DescribeStreamRequest, context: Any) -> Any:
        """Two shards a page."""
        await self._refuse_if_due(context)
        if request.stream_arn not in self._streams.streams:
            message = f"Requested resource not found: Stream: {request.stream_arn} not found"
            await self._refuse(context, error("ResourceNotFoundException", message))
        response = streams_pb2.DescribeStreamResponse(stream=self._streams.streams[request.stream_arn])
        shards = [
            shard
            for shard_id, shard in sorted(self._streams.shards[request.stream_arn].items())
            if shard_id > request.exclusive_start_shard_id
        ]
        for shard in shards[:2]:
            response.stream.shards.add(
                shard_id=shard.shard_id,
                starting_sequence_number=numbered(shard.first),
                ending_sequence_number=numbered(shard.last) if shard.is_closed else "",
                parent_shard_id=shard.parent,
            )
        response.stream.last_evaluated_shard_id = shards[1].shard_id if len(shards) > 2 else ""
        return response

    async def GetShardIterator(self, request: streams_pb2.GetShardIteratorRequest, context: Any) -> Any:
        shard, after = await self._begin(request.stream_arn, request.shard_id, request.position, context)
        return streams_pb2.GetShardIteratorResponse(shard_iterator=f"{request.stream_arn}|{shard.shard_id}|{after}")

    async def GetRecords(self, request: streams_pb2.GetRecordsRequest, context: Any) -> Any:
        if self._streams.expired:
            self._streams.expired -= 1
            await self._refuse(context, error("ExpiredIteratorException", "Iterator expired"))
        arn, shard_id, after = request.shard_iterator.split("|")
        shard = self._streams.shards[arn][shard_id]
        found = [each for each in shard.records if int(each.sequence_number) > int(after)]
        found = found[: min(request.limit or RECORDS_A_MESSAGE, RECORDS_A_MESSAGE)]
        last = int(found[-1].sequence_number) if found else int(after)
        is_end = shard.is_closed and last >= shard.last
        following = "" if is_end else f"{arn}|{shard_id}|{last}"
        return streams_pb2.GetRecordsResponse(records=found, next_shard_iterator=following)

    async def Subscribe(
        self, request: streams_pb2.SubscribeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[streams_pb2.SubscribeResponse]:
        if self._router.is_full:
            await self._refuse(context, error("RequestLimitExceeded", "Too many subscriptions", retriable=True))
        shard, after = await self._begin(request.stream_arn, request.shard_id, request.position, context)
        shard.subscribers += 1
        sent = 0
        try:
            while True:
                if self._router.is_hung:
                    await asyncio.Event().wait()
                if self._streams.fails_after is not None and sent >= self._streams.fails_after:
                    return
                found = [each for each in shard.records if int(each.sequence_number) > after][:RECORDS_A_MESSAGE]
                after = int(found[-1].sequence_number) if found else after
                is_end = shard.is_closed and after >= shard.last
                answer = streams_pb2.SubscribeResponse(records=found, ended=is_end, sequence_number=numbered(after))
                for record in answer.records:
                    record.sequence_number = shard.read_as or record.sequence_number
                yield answer
                self._streams.sent += bool(found)
                sent += 1
                if is_end:
                    return
                if after >= shard.last:
                    await self._streams.wait()
        finally:
            shard.subscribers -= 1

    async def _begin(
        self, arn: str, shard_id: str, position: streams_pb2.StreamPosition, context: Any
    ) -> tuple[FakeShard, int]:
        await self._refuse_if_due(context)
        self._streams.positions.append(position)
        shard = self._streams.shards[arn][shard_id]
        kind = streams_pb2.StreamPosition.Type
        oldest = max(shard.first, shard.kept_from) - 1
        if position.type == kind.TRIM_HORIZON:
            return shard, oldest
        if position.type == kind.LATEST:
            return shard, shard.last
        if position.type == kind.AT_TIMESTAMP:
            later = (each for each in shard.records if each.created_at_ms >= position.timestamp_ms)
            first = next(later, None)
            return shard, int(first.sequence_number) - 1 if first is not None else shard.last
        after = int(position.sequence_number) - (position.type == kind.AT_SEQUENCE_NUMBER)
        if after < oldest:
            message = "The requested sequence number is beyond the trim horizon"
            await self._refuse(context, error("TrimmedDataAccessException", message))
        return shard, after

    async def _refuse_if_due(self, context: Any) -> None:
        if self._streams.refusals:
            await self._refuse(context, self._streams.refusals.popleft())

    async def _refuse(self, context: Any, refused: items_pb2.Error) -> None:
        import grpc

        detail = any_pb2.Any()
        detail.Pack(refused)
        status = status_pb2.Status(code=code_pb2.INTERNAL, message=refused.message, details=[detail])
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.INTERNAL, refused.message, trailing)
