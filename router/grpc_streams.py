"""stator.v1.Streams at the gRPC door. Subscribe pushes what the others are asked for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from statorpb import partition_pb2, passthrough_pb2, streams_pb2, streams_pb2_grpc

from router import stream_messages
from router.authentication import CALLER
from router.dispatcher import Dispatcher
from router.grpc_door import Context, UnaryService
from router.requests import stream_requests
from router.requests.stream_names import sequence_text
from router.requests.stream_requests import GetShardIteratorRequest
from router.signature.claim import UNKNOWN_CLIENT
from router.streams import Shard
from server.model.errors import (
    RequestLimitExceededError,
    ServiceUnavailableError,
    StatorError,
    UnrecognizedClientError,
)
from server.model.limits import STREAM_RECORDS_MAX
from server.runtime.grpc_server import abort

SUBSCRIPTIONS_MAX = 1_000
READ_BYTES_MAX = 128 * 1024
"""Of the records in one message; one that is larger by itself comes alone. A subscription holds one message, which its
client has to take before anything more is read for it."""

WAIT_MS = 1_000
"""How long a storage node waits for a record before it says that there is none."""

READ_S = 10.0
PATIENCE_S = 30.0
"""How long a partition that cannot be read is waited for. Another router may reach it: its client is to go there."""

RETRY_S = 0.1
SILENCE_S = 2.0
"""Where there are no records, or the partition cannot be read at present, the client is told how far it is after so
long: it would take a router that says nothing for one that is dead (STREAM_SILENCE_S in
clients/stator/transport.py)."""

_NOTHING = partition_pb2.StreamResult()
_STOPPING = "The router is stopping"
_Result = TypeVar("_Result")


class StreamsService(UnaryService, streams_pb2_grpc.StreamsServicer):
    """stator.v1.Streams."""

    service = streams_pb2.DESCRIPTOR.services_by_name["Streams"]

    def __init__(self, dispatcher: Dispatcher, request_timeout_s: float) -> None:
        super().__init__(dispatcher, request_timeout_s)
        self.subscriptions = 0
        self._begin_s = request_timeout_s
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Ends the subscriptions: their clients go on elsewhere."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def _answer(self, context: Context, from_body: Callable[..., Any], body: dict[str, Any]) -> Any:
        """The answer to what `from_body` makes of a body."""
        read = partial(from_body, body, is_json=False)
        return await self.call(context, lambda deadline, done: self.dispatcher.submit_streams(read(), deadline, done))

    async def ListStreams(self, request: streams_pb2.ListStreamsRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, stream_requests.list_from_body, stream_messages.list_body(request))

    async def DescribeStream(self, request: streams_pb2.DescribeStreamRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, stream_requests.describe_from_body, stream_messages.describe_body(request))

    async def GetShardIterator(  # noqa: N802
        self, request: streams_pb2.GetShardIteratorRequest, context: Context
    ) -> Any:
        return await self._answer(context, stream_requests.iterator_from_body, stream_messages.iterator_body(request))

    async def GetRecords(self, request: streams_pb2.GetRecordsRequest, context: Context) -> Any:  # noqa: N802
        page = await self._answer(context, stream_requests.records_from_body, stream_messages.records_body(request))
        return stream_messages.records_message(page)

    async def Subscribe(self, request: streams_pb2.SubscribeRequest, context: Context) -> None:  # type: ignore[override]  # noqa: N802
        """Until the shard has been told to its end, the client has had enough, or the router stops."""
        if self.subscriptions >= SUBSCRIPTIONS_MAX:
            await abort(context, RequestLimitExceededError("Too many subscriptions are open at this router"))
        self.subscriptions += 1
        try:
            body = stream_messages.iterator_body(request)
            await self._push(stream_requests.iterator_from_body(body, is_json=False), context)
        except StatorError as error:
            await abort(context, error)
        finally:
            self.subscriptions -= 1

    async def _push(self, request: GetShardIteratorRequest, context: Context) -> None:
        loop, caller = asyncio.get_running_loop(), CALLER.get()
        beginning = self.dispatcher.streams.begin(request, loop.time() + self._begin_s)
        shard, after = await self._unless_stopped(beginning)
        await context.write(_message(shard, after, _NOTHING))
        told_at = loop.time()
        while True:
            asked_at = loop.time()
            reading = asyncio.ensure_future(self._next(shard, after))
            try:
                while not await self._is_done(reading, told_at + SILENCE_S):
                    await context.write(_message(shard, after, _NOTHING))
                    told_at = loop.time()
                shard, result = reading.result()
            finally:
                reading.cancel()
            if caller is not None and caller.is_disabled:
                raise UnrecognizedClientError(UNKNOWN_CLIENT)
            after = result.sequence
            if result.records or result.is_end:
                await context.write(_message(shard, after, result))
                told_at = loop.time()
            elif loop.time() - asked_at < RETRY_S:
                await self._unless_stopped(asyncio.sleep(RETRY_S))  # too many wait at the node: it did not
            if result.is_end:
                return

    async def _next(self, shard: Shard, after: int) -> tuple[Shard, partition_pb2.StreamResult]:
        """What comes next, or that nothing has come for WAIT_MS. A partition that cannot be read at present is asked
        again. Raises StatorError."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        while True:
            details = partition_pb2.StreamDetails(
                sequence=after, records_max=STREAM_RECORDS_MAX, bytes_max=READ_BYTES_MAX, wait_ms=WAIT_MS
            )
            try:
                return await self.dispatcher.streams.read(shard, details, min(end, loop.time() + READ_S))
            except StatorError as error:
                if not error.is_retriable:
                    raise
                if loop.time() + RETRY_S >= end:
                    raise ServiceUnavailableError(f"The partition cannot be read: {error.message}") from error
            await asyncio.sleep(RETRY_S)

    async def _unless_stopped(self, work: Awaitable[_Result]) -> _Result:
        """The result of `work`. Raises ServiceUnavailableError, and ends it, when the router stops."""
        task = asyncio.ensure_future(work)
        try:
            await self._is_done(task, math.inf)
            return task.result()
        finally:
            task.cancel()

    async def _is_done(self, task: asyncio.Future[_Result], due: float) -> bool:
        """Waits for a task; whether it has ended before it is `due` (loop time). Raises ServiceUnavailableError when
        the router stops."""
        awaited: set[asyncio.Future[Any]] = {task, self._stopped}
        left_s = None if due == math.inf else max(0.0, due - asyncio.get_running_loop().time())
        await asyncio.wait(awaited, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.done() and not task.done():
            raise ServiceUnavailableError(_STOPPING)
        return task.done()


def _message(shard: Shard, after: int, result: partition_pb2.StreamResult) -> passthrough_pb2.RawSubscribeResponse:
    message = passthrough_pb2.RawSubscribeResponse(ended=result.is_end, sequence_number=sequence_text(max(after, 0)))
    stream_messages.put_records(message.records, shard, result.records)
    return message
