"""storage_node/service.py: frames of requests, and who else gets a turn meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar, cast

import pytest
from statorpb import partition_pb2

from server.runtime.clock import now_ms
from server.runtime.frame_connection import FrameListener
from storage_node import service
from storage_node.service import SAY_S, SERVE_S, PartitionService, ReplyStream


class SlowNode:
    """Each request takes a third of what a frame may take at a time; `others` counts the turns of others."""

    def __init__(self) -> None:
        self.others = 0
        self.fails_at = -1
        self.turns: list[int] = []
        self.nudges: set[Any] = set()
        self.listener = FrameListener()

    def serve(self, request: partition_pb2.PartitionRequest, reply: Any) -> None:
        end_s = time.perf_counter() + SERVE_S / 3
        while time.perf_counter() < end_s:
            pass
        self.turns.append(self.others)
        if request.id == self.fails_at:
            raise ValueError("a bug")
        reply(request.id, partition_pb2.OK)

    async def count(self) -> None:
        while True:
            self.others += 1
            await asyncio.sleep(0)


class Stream:
    """One frame comes, then the end; what goes out is kept."""

    def __init__(self, *frames: partition_pb2.PartitionRequestFrame) -> None:
        self._frames = list(frames)
        self.ids: list[int] = []
        self.clocks_ms: list[int] = []
        self.counts: list[int] = []
        self.failed: list[int] = []
        self.is_answered = asyncio.Event()
        self._count = sum(len(frame.requests) for frame in frames)

    async def read(self) -> object:
        if self._frames:
            return self._frames.pop(0)
        await self.is_answered.wait()
        return object()

    async def write(self, frame: partition_pb2.PartitionReplyFrame) -> None:
        self.clocks_ms.append(frame.clock_ms)
        self.counts.append(len(frame.replies))
        self.ids += [each.id for each in frame.replies]
        self.failed += [each.id for each in frame.replies if each.status == partition_pb2.UNKNOWN_OUTCOME]
        if len(self.ids) == self._count:
            self.is_answered.set()


async def test_a_long_frame_gives_others_their_turn() -> None:
    """And its requests are still served in their order."""
    frame = partition_pb2.PartitionRequestFrame()
    for number in range(30):
        frame.requests.add(id=number)
    node, stream = SlowNode(), Stream(frame)
    others = asyncio.create_task(node.count())
    await PartitionService(node).Serve(None, stream)  # type: ignore[arg-type]
    others.cancel()
    assert stream.ids == list(range(30))
    assert len(set(node.turns)) >= 5


async def test_a_bug_costs_one_request() -> None:
    """Of which nobody knows how far it got; the others on the stream are answered."""
    frame = partition_pb2.PartitionRequestFrame()
    for number in range(3):
        frame.requests.add(id=number)
    node, stream = SlowNode(), Stream(frame)
    node.fails_at = 1
    await PartitionService(node).Serve(None, stream)  # type: ignore[arg-type]
    assert (stream.ids, stream.failed) == ([0, 1, 2], [1])


async def test_what_was_long_on_its_way_is_older() -> None:
    """By the node's clock, which a stream begins with and every frame of replies has."""
    frame = partition_pb2.PartitionRequestFrame(begun_ms=now_ms() - 7_000)
    frame.requests.add(id=1)
    frame.requests.add(id=2, age_ms=2_000)
    young = partition_pb2.PartitionRequestFrame(begun_ms=now_ms())
    young.requests.add(id=3, age_ms=1_000)
    unknown = partition_pb2.PartitionRequestFrame()
    unknown.requests.add(id=4)
    ages: dict[int, int] = {}

    class Node:
        nudges: ClassVar[set[Any]] = set()
        listener = FrameListener()

        def serve(self, request: partition_pb2.PartitionRequest, reply: Any) -> None:
            ages[request.id] = request.age_ms
            reply(request.id, partition_pb2.OK)

    stream = Stream(frame, young, unknown)
    began_ms = now_ms()
    await PartitionService(Node()).Serve(None, stream)  # type: ignore[arg-type]
    assert all(began_ms <= each <= now_ms() for each in stream.clocks_ms)
    assert (stream.counts[0], len(stream.counts) >= 2) == (0, True)
    passed_ms = now_ms() - began_ms + 1
    assert 7_000 <= ages[1] <= 7_000 + passed_ms
    assert 9_000 <= ages[2] <= 9_000 + passed_ms
    assert (ages[3], ages[4]) == (1_000, 0)


async def test_what_waits_behind_others_in_its_frame_grows_older() -> None:
    """Each time that others had their turn."""
    ages: list[int] = []
    frame = partition_pb2.PartitionRequestFrame(begun_ms=now_ms() - 200)
    for number in range(12):
        frame.requests.add(id=number)

    class Node(SlowNode):
        def serve(self, request: partition_pb2.PartitionRequest, reply: Any) -> None:
            ages.append(request.age_ms)
            time.sleep(0.02)
            super().serve(request, reply)

    await PartitionService(Node()).Serve(None, Stream(frame))  # type: ignore[arg-type]
    assert (ages[0], ages[-1] > 350) == (0, True)


class Router:
    """Sends one frame a moment after the other; `heard`: of each frame of the node's, the requests that it answers and
    how many frames the node says it has read (None: nothing)."""

    def __init__(self, *frames: partition_pb2.PartitionRequestFrame) -> None:
        self._frames = list(frames)
        self.heard: list[tuple[list[int], int | None]] = []
        self.has_heard = asyncio.Condition()

    async def read(self) -> object:
        count = len(self.heard)
        async with self.has_heard:
            await self.has_heard.wait_for(lambda: len(self.heard) >= count + 2)
        return self._frames.pop(0) if self._frames else object()

    async def write(self, frame: partition_pb2.PartitionReplyFrame) -> None:
        assert frame.clock_ms
        read = frame.frames_read if frame.HasField("frames_read") else None
        async with self.has_heard:
            self.heard.append(([each.id for each in frame.replies], read))
            self.has_heard.notify_all()


class WaitingNode(SlowNode):
    """Answers nothing."""

    def serve(self, request: partition_pb2.PartitionRequest, reply: Any) -> None:
        pass


async def test_something_is_said_though_nothing_can_be_answered() -> None:
    """A router that has sent a frame, and hears no answer, hears that it was read."""
    request = partition_pb2.PartitionRequestFrame(requests=[partition_pb2.PartitionRequest(id=1)])
    router = Router(request, request)
    begun_s = time.monotonic()
    await PartitionService(WaitingNode()).Serve(None, router)  # type: ignore[arg-type]
    assert time.monotonic() - begun_s >= 5 * SAY_S
    assert router.heard == [([], read) for read in (0, 0, 0, 1, 1, 2, 2)]


async def test_while_a_frame_is_served_it_is_not_said_that_another_is_waited_for() -> None:
    """What comes behind a long one cannot have been read."""
    frame = partition_pb2.PartitionRequestFrame()
    for number in range(200):
        frame.requests.add(id=number)
    router = Router(frame)
    await PartitionService(SlowNode()).Serve(None, router)  # type: ignore[arg-type]
    assert {read for answered, read in router.heard if answered and answered[-1] < 199} == {None}
    assert router.heard[-1][1] == 1


async def test_what_is_large_does_not_share_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies that are each within the limit might be beyond it together, and no router would take the frame."""
    monkeypatch.setattr(service, "FRAME_BYTES_MAX", 1_000)
    sizes: list[int] = []

    class Context:
        async def write(self, frame: partition_pb2.PartitionReplyFrame) -> None:
            sizes.append(frame.ByteSize())
            if len(sizes) == 4:
                raise asyncio.CancelledError

    replies = ReplyStream(cast(Any, Context()))
    for number, length in enumerate((10, 10, 700, 700, 2_000, 10)):
        replies.reply(number, partition_pb2.OK, bytes(length))
    with pytest.raises(asyncio.CancelledError):
        await replies.write_all()
    assert sorted(sizes)[-2] < 1_000
