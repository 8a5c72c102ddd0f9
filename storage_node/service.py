"""What request routers call: one stream each, many requests a frame, replies as they become known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import grpc
import structlog
from statorpb import partition_pb2, partition_pb2_grpc

from server.gathering import gather_arrivals
from server.runtime.clock import now_ms
from server.runtime.frame_connection import (
    ConnectionEndedError,
    FrameConnection,
    FrameStream,
)
from server.runtime.writers import end_with
from storage_node.replies import Reply
from storage_node.writes import AGE_MS_TOLD_MAX

if TYPE_CHECKING:
    from storage_node.node import StorageNode

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""A reply frame is closed once it holds this much."""

BACKLOG_BYTES_MAX = 64 * 1024 * 1024
"""With so much waiting for a router, no more requests of its stream are read: it does not read, or not fast enough."""

REPLY_OVERHEAD_BYTES = 16

SERVE_S = 0.01
"""After so long in one frame others get their turn, heartbeats above all: ten thousand requests share a frame, and one
may cost milliseconds."""

SAY_S = 0.4
"""A router hears something of the node as often as this, though there is nothing to answer."""

AGE_MS_COUNTED = 250
"""Frames that have been on their way for less are taken for new."""

log = structlog.get_logger()


class ReplyStream:
    """Replies that wait for one router. What comes while a write is on its way shares the next frame.

    `stream`: where they go; it may become another, before there is anything to reply to.
    `frames_read`: from that router, while the next is waited for; None: one is being served."""

    def __init__(self, stream: FrameStream) -> None:
        self.stream = stream
        self.frames_read: int | None = None
        self._frames: list[partition_pb2.PartitionReplyFrame] = []
        self._sizes: list[int] = []
        self._backlog_bytes = 0
        self._wake = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def reply(
        self,
        request_id: int,
        status: partition_pb2.PartitionStatusCode.ValueType,
        item: bytes = b"",
        leader_node_id: int = 0,
        message: str = "",
        extra_bytes: int = 0,
    ) -> partition_pb2.PartitionReply:
        """Adds a reply; the caller may fill in more of it before it gives up control: about `extra_bytes`."""
        size = len(item) + extra_bytes + REPLY_OVERHEAD_BYTES
        if not self._frames or self._sizes[-1] + size > FRAME_BYTES_MAX:
            self._begin_frame()
        self._sizes[-1] += size
        self._backlog_bytes += size
        reply = self._frames[-1].replies.add()  # and not with arguments, which costs more than to set them
        reply.id = request_id
        if item:
            reply.item = item
        if status:
            reply.status = status
            reply.leader_node_id = leader_node_id
            reply.message = message
        return reply

    def _begin_frame(self) -> None:
        self._frames.append(partition_pb2.PartitionReplyFrame())
        self._sizes.append(0)
        self._wake.set()

    async def say(self) -> None:
        """Says something every SAY_S, for as long as the stream lives: that the node can be reached, and reaches."""
        while True:
            await asyncio.sleep(SAY_S)
            if not self._frames:
                self._begin_frame()

    async def write_all(self) -> None:
        """Writes what waits, for as long as the stream lives."""
        while True:
            if not self._frames:
                self._wake.clear()
                await self._wake.wait()
                await gather_arrivals()
            if self._frames:
                frame, size = self._next_frame()
                await self.stream.write(frame)
                self._note_written(size)

    def send_waiting(self) -> None:
        """Writes what waits now, as far as that takes no wait: what was read is known at once, mostly, and need not go
        through turns of the loop."""
        while self._frames and isinstance(self.stream, FrameConnection) and self.stream.may_send:
            frame, size = self._next_frame()
            self.stream.send(frame)
            self._note_written(size)

    def _next_frame(self) -> tuple[partition_pb2.PartitionReplyFrame, int]:
        frame = self._frames.pop(0)
        frame.clock_ms = now_ms()
        if self.frames_read is not None:
            frame.frames_read = self.frames_read
        return frame, self._sizes.pop(0)

    def _note_written(self, size: int) -> None:
        self._backlog_bytes -= size
        self._has_room.set()

    def nudge(self, marks: Sequence[partition_pb2.StaleMark]) -> None:
        """Tells the router of marks that have been there for long, for it to see to their transactions."""
        if not self._frames or self._sizes[-1] > FRAME_BYTES_MAX:
            self._begin_frame()
        self._frames[-1].stale_marks.extend(marks)

    async def wait_room(self) -> None:
        """Returns once less than BACKLOG_BYTES_MAX waits."""
        while self._backlog_bytes > BACKLOG_BYTES_MAX:
            self._has_room.clear()
            await self._has_room.wait()


def _age_ms(frame: partition_pb2.PartitionRequestFrame) -> int:
    """How old what is still in the frame is by now; 0: new, or nobody knows."""
    age_ms = now_ms() - frame.begun_ms if frame.HasField("begun_ms") else 0
    return age_ms if age_ms > AGE_MS_COUNTED else 0


class PartitionService(partition_pb2_grpc.PartitionsServicer):
    """The node's side of the streams."""

    def __init__(self, node: StorageNode) -> None:
        self._node = node

    async def Serve(  # type: ignore[override]  # noqa: N802 (the generated type knows only generators)
        self,
        request_iterator: AsyncIterator[partition_pb2.PartitionRequestFrame],
        context: grpc.aio.ServicerContext[partition_pb2.PartitionRequestFrame, partition_pb2.PartitionReplyFrame],
    ) -> None:
        greeting = partition_pb2.PartitionReplyFrame(clock_ms=now_ms(), frames_read=0)
        replies = ReplyStream(context)
        with self._node.listener.offer(partition_pb2.PartitionRequestFrame.FromString) as offer:
            if (offered := offer.message()) is not None:
                greeting.connection_offer.CopyFrom(offered)
            await context.write(greeting)
            writer = asyncio.create_task(replies.write_all())
            speaker = asyncio.create_task(replies.say())
            task = asyncio.current_task()
            assert task is not None
            end_with(writer, task.cancel)
            try:
                replies.frames_read = 0
                frame: object = await context.read()
                if isinstance(frame, partition_pb2.PartitionRequestFrame) and frame.HasField("takes_connection"):
                    if frame.takes_connection:
                        replies.stream = await offer.arrival()
                    frame = await replies.stream.read()
                self._node.nudges.add(replies.nudge)
                await self._serve_all(frame, replies, writer)
            except ConnectionEndedError as error:
                log.debug("a router's connection ended", reason=str(error))
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the connection that was taken did not come")
            finally:
                self._node.nudges.discard(replies.nudge)
                writer.cancel()
                speaker.cancel()
                await asyncio.gather(writer, speaker, return_exceptions=True)

    async def _serve_all(self, frame: object, replies: ReplyStream, writer: asyncio.Task[None]) -> None:
        """Serves frame after frame, from this one on."""
        frames_read = 0
        while isinstance(frame, partition_pb2.PartitionRequestFrame) and not writer.done():
            replies.frames_read = None
            frames_read += 1
            await self._serve_frame(frame, replies.reply)
            await replies.wait_room()
            replies.frames_read = frames_read
            replies.send_waiting()
            frame = await replies.stream.read()

    async def _serve_frame(self, frame: partition_pb2.PartitionRequestFrame, reply: Reply) -> None:
        serve = self._node.serve
        time_s = asyncio.get_running_loop().time
        age_ms = _age_ms(frame)
        end_s = time_s() + SERVE_S
        for request in frame.requests:
            if age_ms:
                request.age_ms = min(request.age_ms + age_ms, AGE_MS_TOLD_MAX)
            try:
                serve(request, reply)
            except Exception:
                # A bug costs one request, not the stream and all that wait on it.
                log.exception("a request failed", partition_id=request.partition_id)
                reply(request.id, partition_pb2.UNKNOWN_OUTCOME)
            if time_s() > end_s:
                await asyncio.sleep(0)
                age_ms = _age_ms(frame)
                end_s = time_s() + SERVE_S
