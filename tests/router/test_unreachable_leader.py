"""A leader that this router cannot reach, and others can: who is asked instead is told, and nothing gathers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from statorpb import partition_pb2

from router import storage_client
from router.storage_client import ATTEMPT_TIMEOUT_S, GET, PUT
from server.model.errors import DeadlineExceededError, ServiceUnavailableError
from tests.router.fakes import FakeStorageNode, table_of
from tests.router.test_storage_client import Router, StartNode, ok, says, start_node

__all__ = ["start_node"]


@pytest.fixture
async def gone(start_node: StartNode) -> AsyncIterator[FakeStorageNode]:
    """Its port refuses connections."""
    node = await start_node(ok)
    await node.stop()
    yield node


def told(node: FakeStorageNode) -> list[int]:
    return [request.unreachable_leader for request in node.requests]


async def test_who_is_asked_instead_hears_of_the_leader(start_node: StartNode, gone: FakeStorageNode) -> None:
    """Of its node id, with each call that only the leader can answer; what any member answers says nothing of it."""
    other = await start_node(ok)
    async with Router(other.address, gone.address, leader=2) as router:
        assert (await router.call(PUT)).item == b"found"
        router.cache.get("music").partitions[0].leader_node_id = 2  # type: ignore[union-attr]
        assert (await router.call(GET)).item == b"found"
        assert (await router.call(GET, is_consistent=False)).item == b"found"
    assert told(other) == [0, 2, 0], "at first the router does not know who leads: it has just failed to reach that one"


async def test_a_hint_to_a_leader_that_cannot_be_reached(start_node: StartNode, gone: FakeStorageNode) -> None:
    """The call comes back to those who can be reached, and now they are told."""
    others = [await start_node(says(partition_pb2.NOT_LEADER, leader=3)) for _ in range(2)]
    async with Router(*(each.address for each in others), gone.address, leader=3) as router:
        outcome = await router.start(PUT)
        async with asyncio.timeout(5):
            while not any(3 in told(each) for each in others):
                await asyncio.sleep(0.005)
    with pytest.raises(ServiceUnavailableError, match="stopping"):
        await outcome.wait()


async def test_a_leader_that_may_be_reached_is_not_complained_of(start_node: StartNode, gone: FakeStorageNode) -> None:
    """Another member cannot be reached. And a leader of which the router does not know where it is has not been
    tried."""
    leader = await start_node(ok)
    async with Router(leader.address, gone.address) as router:
        await router.call(GET, is_consistent=False)
        router.storage._unreachable[gone.address] = asyncio.get_running_loop().time() + 60
        await router.call(PUT)
        router.cache.get("music").partitions[0].leader_node_id = 7  # type: ignore[union-attr]
        await router.call(PUT)
    assert told(leader) == [0, 0, 0]


async def test_a_leader_that_says_nothing_cannot_be_reached(start_node: StartNode) -> None:
    """Its stream lives: it is halted, or its answers are lost on their way."""
    silent, other = await start_node(lambda _: None), await start_node(ok)
    async with Router(silent.address, other.address) as router:
        async with asyncio.timeout(20 * ATTEMPT_TIMEOUT_S):
            while not router.storage.has_unreachable:
                # It is silent from when its stream began: where that took a while, longer than the first attempt.
                (await table_of(router.cache)).partitions[0].leader_node_id = 1
                assert (await router.call(PUT, timeout_s=10 * ATTEMPT_TIMEOUT_S)).item == b"found"


class Stalled(FakeStorageNode):
    """A leader that cannot commit: it says something all the time, and answers nothing. `hears`: it says that it has
    read what was sent; else what was sent is lost on its way."""

    def __init__(self, *, hears: bool) -> None:
        super().__init__(lambda _: None)
        self._hears = hears

    async def Serve(self, request_iterator: Any, context: Any) -> Any:
        frames = 0

        async def read() -> None:
            nonlocal frames
            async for frame in request_iterator:
                self.requests += frame.requests
                frames += self._hears

        reader = asyncio.create_task(read())
        try:
            while not reader.done():
                yield partition_pb2.PartitionReplyFrame(clock_ms=self._clock_ms(), frames_read=frames)
                await asyncio.sleep(0.05)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


@pytest.mark.parametrize("hears", [True, False])
async def test_a_leader_that_cannot_commit_can_be_reached(start_node: StartNode, hears: bool) -> None:
    """All calls wait for it, so that it answers none. That is no reason to lead elsewhere, unless it is not heard."""
    stalled, other = Stalled(hears=hears), await start_node(says(partition_pb2.NOT_LEADER, leader=1))
    await stalled.start()
    async with Router(stalled.address, other.address) as router:
        outcome = await router.start(PUT, timeout_s=10 * ATTEMPT_TIMEOUT_S)
        was_unreachable = False
        async with asyncio.timeout(10):
            while not (len(stalled.requests) >= 2 if hears else any(told(other))):
                was_unreachable |= router.storage.has_unreachable
                await asyncio.sleep(0.005)
            was_unreachable |= router.storage.has_unreachable
    await stalled.stop()
    assert was_unreachable != hears
    assert any(told(other)) != hears
    with pytest.raises(ServiceUnavailableError, match="stopping"):
        await outcome.wait()


async def test_a_node_that_answers_others_can_be_reached(start_node: StartNode) -> None:
    """One request gets no answer in time, and nor does one that had little time."""
    node = await start_node(lambda request: None if request.operation == PUT else ok(request))
    async with Router(node.address) as router:
        outcome = await router.start(PUT, timeout_s=1.5 * ATTEMPT_TIMEOUT_S)
        while not outcome.future.done():
            answered = await router.start(GET)
            assert (await answered.wait()).item == b"found"
            assert not router.storage.has_unreachable
            await asyncio.sleep(0.05)
        assert isinstance(outcome.future.exception(), DeadlineExceededError)
    silent = await start_node(lambda _: None)
    async with Router(silent.address) as router:
        outcome = await router.start(PUT, timeout_s=0.2)
        await asyncio.wait([outcome.future])
        assert not router.storage.has_unreachable
        assert isinstance(outcome.future.exception(), DeadlineExceededError)


async def test_what_nobody_waits_for_is_not_kept(start_node: StartNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that takes nothing, and is asked again and again, would fill the memory."""
    monkeypatch.setattr(storage_client, "FRAME_BYTES_MAX", 1)
    node = await start_node(ok)
    node.is_silent = True
    async with Router(node.address) as router:
        waiting = await router.start(PUT, timeout_s=0.9)
        soon = await router.start(PUT, timeout_s=0.1)
        with pytest.raises(DeadlineExceededError):
            await soon.wait()
        (stream,) = router.storage._streams.values()
        assert (len(stream.frames), len(stream.pending)) == (1, 1)
        with pytest.raises(DeadlineExceededError):
            await waiting.wait()
