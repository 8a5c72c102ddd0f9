"""One shard of a stream, read by a task of its own, which puts what it reads into a queue that readers share."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from google.protobuf.message import Message
from statorpb import passthrough_pb2, streams_pb2

from stator.errors import ExpiredIteratorError
from stator.stream_descriptions import StreamDescription, wire_position
from stator.transport import ResponseT, ResponseType, Transport

STREAMS = "/stator.v1.Streams/"


@dataclass(slots=True)
class Batch:
    """Records of a shard, the earliest first. Behind them everything up to `sequence_number` has been told (empty: not
    known). `is_end`: of the shard. `is_rest`: at present there are no more."""

    shard_id: str
    records: deque[passthrough_pb2.RawStreamRecord] = field(default_factory=deque)
    sequence_number: str = ""
    is_end: bool = False
    is_rest: bool = False


Arrival = Batch | StreamDescription | Exception
"""What comes through the queue: records, news of the stream, or why there will be none."""


class ShardReader:
    """Subscribes to a shard, again where that breaks, or (not `follow`) reads what is there by GetRecords.

    It holds one message at most while the queue is full, so that whoever takes little from the queue is sent little.
    """

    def __init__(
        self,
        transport: Callable[[], Transport],
        stream_arn: str,
        shard_id: str,
        position: streams_pb2.StreamPosition,
        queue: "asyncio.Queue[Arrival]",
        timeout_s: float,
        *,
        follow: bool,
    ) -> None:
        self._transport = transport
        self._stream_arn = stream_arn
        self.shard_id = shard_id
        self._position = position
        self._queue = queue
        self._timeout_s = timeout_s
        self.began_at: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The sequence number behind which it reads, as the first message tells; cancelled if there is none."""
        work = self._subscribe() if follow else self._fetch()
        self.task = asyncio.create_task(self._run(work), name=f"stator shard {shard_id}")

    @property
    def is_done(self) -> bool:
        """It has put everything into the queue."""
        return self.task.done()

    async def _run(self, batches: AsyncGenerator[Batch, None]) -> None:
        try:
            async with aclosing(batches):
                async for batch in batches:
                    await self._queue.put(batch)
        except Exception as error:  # noqa: BLE001 (nobody is to wait for ever for what a bug ended)
            # Whoever waits for this does not look into the queue meanwhile.
            self.began_at.cancel()
            await self._queue.put(error)

    async def _subscribe(self) -> AsyncGenerator[Batch, None]:
        answers = self._transport().stream(
            STREAMS + "Subscribe", self._request, passthrough_pb2.RawSubscribeResponse, self._timeout_s
        )
        async with aclosing(answers):
            async for answer in answers:
                if not self.began_at.done():
                    self.began_at.set_result(_before(answer))
                self._position = wire_position("AFTER_SEQUENCE_NUMBER", answer.sequence_number)
                yield Batch(self.shard_id, deque(answer.records), answer.sequence_number, answer.ended)
                if answer.ended:
                    return

    def _request(self) -> streams_pb2.SubscribeRequest:
        return streams_pb2.SubscribeRequest(
            stream_arn=self._stream_arn, shard_id=self.shard_id, position=self._position
        )

    async def _fetch(self) -> AsyncGenerator[Batch, None]:
        """Until there are no more for the time being."""
        iterator, is_replaced = await self._iterator(), False
        while True:
            try:
                page = await self._unary(
                    "GetRecords",
                    streams_pb2.GetRecordsRequest(shard_iterator=iterator),
                    passthrough_pb2.RawGetRecordsResponse,
                )
            except ExpiredIteratorError:
                if is_replaced:
                    raise  # routers' clocks are that far apart
                # Whoever takes the records took long.
                iterator, is_replaced = await self._iterator(), True
                continue
            last = ""
            if page.records:
                last = page.records[-1].sequence_number
                self._position = wire_position("AFTER_SEQUENCE_NUMBER", last)
            iterator, is_replaced = page.next_shard_iterator, False
            is_rest = not page.records
            yield Batch(self.shard_id, deque(page.records), last, not iterator, is_rest)
            if not iterator or is_rest:
                return

    async def _iterator(self) -> str:
        request = streams_pb2.GetShardIteratorRequest(
            stream_arn=self._stream_arn, shard_id=self.shard_id, position=self._position
        )
        return (await self._unary("GetShardIterator", request, streams_pb2.GetShardIteratorResponse)).shard_iterator

    async def _unary(self, method: str, request: Message, response: ResponseType[ResponseT]) -> ResponseT:
        return await self._transport().unary(STREAMS + method, request, response, self._timeout_s)


def _before(answer: passthrough_pb2.RawSubscribeResponse) -> str:
    """The sequence number behind which a first answer begins."""
    if not answer.records:
        return answer.sequence_number
    first = answer.records[0].sequence_number
    return f"{int(first) - 1:0{len(first)}}"
