"""Requests from this node to the partitions of others: one stream a node, many requests a frame.

Nothing is tried again here: who asks knows what to make of a request that came to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from statorpb import partition_pb2

from server.gathering import gather_arrivals
from server.runtime.frame_connection import OpenedStream
from server.runtime.partition_stream import BROKEN, partition_stream
from server.runtime.writers import end_with

ANSWER_TIMEOUT_S = 2.0
SWEEP_S = 0.1

FRAME_BYTES_MAX = 4 * 1024 * 1024

log = structlog.get_logger()

Answered: TypeAlias = Callable[[partition_pb2.PartitionReply | None], None]


@dataclass(slots=True)
class _Stream:
    """To one node. `pending`: request id -> (when its time is over, whom to tell)."""

    pending: dict[int, tuple[float, Answered]] = field(default_factory=dict)
    requests: list[partition_pb2.PartitionRequest] = field(default_factory=list)  # not sent yet
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class PartitionClient:
    """Belongs to the event loop that it is made in."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._next_id = 1
        self._loop = asyncio.get_running_loop()
        self._sweeper: asyncio.Task[None] | None = None
        self._is_closed = False

    async def close(self) -> None:
        """Ends the streams; what has no answer yet is told so."""
        self._is_closed = True
        running = (self._sweeper, *(stream.task for stream in self._streams.values()))
        tasks = [task for task in running if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in self._streams.values():  # those that were over before they began
            self._give_back(stream)

    def ask(self, address: str, request: partition_pb2.PartitionRequest, answered: Answered) -> None:
        """Sends a request, whose id is set here. `answered` is called later and once: with the reply, or with None
        where none came within ANSWER_TIMEOUT_S or the node cannot be reached; it may have been carried out then."""
        if self._is_closed:
            self._loop.call_soon(answered, None)
            return
        if self._sweeper is None:
            self._sweeper = self._loop.create_task(self._sweep_forever())
        stream = self._streams.get(address)
        if stream is None:
            stream = self._streams[address] = _Stream()
            stream.task = self._loop.create_task(self._run(address, stream))
        request.id = self._next_id
        self._next_id += 1
        stream.pending[request.id] = (self._loop.time() + ANSWER_TIMEOUT_S, answered)
        stream.requests.append(request)
        stream.wake.set()

    async def _run(self, address: str, stream: _Stream) -> None:
        """Carries frames both ways until the stream breaks, and gives back what had no answer."""
        try:
            async with partition_stream(address) as (frames, greeting):
                frame: object = greeting
                writer = self._loop.create_task(self._write(stream, frames))
                end_with(writer, frames.cancel)
                try:
                    while isinstance(frame, partition_pb2.PartitionReplyFrame) and not writer.done():
                        for reply in frame.replies:
                            if (pending := stream.pending.pop(reply.id, None)) is not None:
                                self._tell(pending[1], reply)
                        frame = await frames.read()
                finally:
                    writer.cancel()
                    await asyncio.gather(writer, return_exceptions=True)
        except BROKEN as error:
            log.debug("stream to another storage node broke", address=address, reason=str(error))
        finally:
            if self._streams.get(address) is stream:
                del self._streams[address]
            self._give_back(stream)

    def _give_back(self, stream: _Stream) -> None:
        """Says of what has no answer that none will come."""
        pending = list(stream.pending.values())
        stream.pending.clear()
        for _, answered in pending:
            self._tell(answered, None)

    @staticmethod
    async def _write(stream: _Stream, frames: OpenedStream) -> None:
        while True:
            if not stream.requests:
                stream.wake.clear()
                await stream.wake.wait()
                await gather_arrivals()
            frame, size = partition_pb2.PartitionRequestFrame(), 0
            while stream.requests and size < FRAME_BYTES_MAX:
                request = stream.requests.pop(0)
                if request.id in stream.pending:  # else its time was over before it could be sent
                    frame.requests.append(request)
                    size += len(request.item)
            if frame.requests:
                await frames.write(frame)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self._loop.time()
            for stream in tuple(self._streams.values()):
                overdue = [each for each, (end, _) in stream.pending.items() if end <= now]
                ended = [stream.pending.pop(each)[1] for each in overdue]
                if ended:
                    # A node that does not read, and is asked again and again, must not fill the memory.
                    stream.requests[:] = [each for each in stream.requests if each.id in stream.pending]
                for answered in ended:
                    self._tell(answered, None)

    @staticmethod
    def _tell(answered: Answered, reply: partition_pb2.PartitionReply | None) -> None:
        try:
            answered(reply)
        except Exception:
            # A bug in what is made of one answer must not break the stream that others wait on.
            log.exception("a storage node's answer could not be used")
