"""Requests to other storage nodes are answered, or it is said that they are not; whatever the node does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from statorpb import partition_pb2

from storage_node import partition_client
from storage_node.partition_client import PartitionClient
from tests.router.fakes import FakeStorageNode
from tests.storage_node.nodes import wait_until

Answer = Callable[[partition_pb2.PartitionRequest], partition_pb2.PartitionReply | None]
Replies = list[partition_pb2.PartitionReply | None]


def echo(request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply | None:
    return partition_pb2.PartitionReply(item=request.item) if request.item != b"silent" else None


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Answer], Awaitable[FakeStorageNode]]]:
    """Starts fake nodes, which end with the test."""
    nodes: list[FakeStorageNode] = []

    async def begin(answer: Answer) -> FakeStorageNode:
        nodes.append(await FakeStorageNode(answer).start())
        return nodes[-1]

    yield begin
    for each in nodes:
        await each.stop()


@pytest.fixture
async def client() -> AsyncIterator[PartitionClient]:
    made = PartitionClient()
    yield made
    await made.close()


def ask(client: PartitionClient, address: str, item: bytes, replies: Replies) -> None:
    client.ask(address, partition_pb2.PartitionRequest(item=item), replies.append)


Start = Callable[[Answer], Awaitable[FakeStorageNode]]


async def test_each_request_has_its_answer(client: PartitionClient, start: Start) -> None:
    """Of several nodes, many requests at once; a mistake in what is made of one answer costs no other."""
    nodes = [await start(echo), await start(echo)]
    replies: Replies = []

    def broken(reply: partition_pb2.PartitionReply | None) -> None:
        raise RuntimeError("a bug")

    client.ask(nodes[0].address, partition_pb2.PartitionRequest(item=b"broken"), broken)
    for number in range(50):
        ask(client, nodes[number % 2].address, b"%d" % number, replies)
    await wait_until(lambda: len(replies) == 50)
    assert {each.item for each in replies if each} == {b"%d" % number for number in range(50)}
    assert len(client._streams) == 2


async def test_no_answer_in_time(client: PartitionClient, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once that there is none; others on the stream are answered."""
    monkeypatch.setattr(partition_client, "ANSWER_TIMEOUT_S", 0.2)
    node = await start(echo)
    replies: Replies = []
    ask(client, node.address, b"silent", replies)
    await wait_until(lambda: replies == [None])
    ask(client, node.address, b"a", replies)
    await wait_until(lambda: len(replies) == 2)
    assert replies[1] is not None
    assert [each.item for each in node.requests] == [b"silent", b"a"]


async def test_a_node_that_cannot_be_reached(client: PartitionClient, start: Start) -> None:
    """What was asked of it comes back at once, and it is tried anew with the next request."""
    node = await start(echo)
    replies: Replies = []
    ask(client, node.address, b"silent", replies)
    await node.was_asked.wait()
    await node.stop()
    await wait_until(lambda: replies == [None])
    ask(client, node.address, b"a", replies)
    await wait_until(lambda: replies == [None, None])
    await node.start(node.address)
    while replies[-1] is None:
        ask(client, node.address, b"b", replies)
        count = len(replies)
        await wait_until(lambda count=count: len(replies) > count)  # type: ignore[misc]
    assert replies[-1].item == b"b"


async def test_a_node_that_does_not_greet(
    client: PartitionClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is halted, say: nothing is sent to it, and what it was to be sent does not pile up."""
    monkeypatch.setattr(partition_client, "ANSWER_TIMEOUT_S", 0.1)
    node = await start(echo)
    node.is_silent = True
    replies: Replies = []
    for _ in range(5):
        ask(client, node.address, b"a", replies)
    await wait_until(lambda: replies == [None] * 5)
    (stream,) = client._streams.values()
    assert stream.requests == []
    monkeypatch.setattr(partition_client, "ANSWER_TIMEOUT_S", 30.0)
    ask(client, node.address, b"a", replies)
    await wait_until(lambda: len(replies) == 6)
    assert (replies, node.requests, client._streams) == ([None] * 6, [], {})


class CountingNode(FakeStorageNode):
    """Counts the requests of each frame."""

    async def Serve(
        self, request_iterator: AsyncIterator[partition_pb2.PartitionRequestFrame], context: Any
    ) -> AsyncIterator[partition_pb2.PartitionReplyFrame]:
        self.counts: list[int] = []

        async def counted() -> AsyncIterator[partition_pb2.PartitionRequestFrame]:
            async for frame in request_iterator:
                self.counts.append(len(frame.requests))
                yield frame

        async for each in super().Serve(counted(), context):
            yield each


async def test_frames_are_bounded(client: PartitionClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit goes with the next one."""
    monkeypatch.setattr(partition_client, "FRAME_BYTES_MAX", 20)
    node = CountingNode(echo)
    await node.start()
    replies: Replies = []
    for number in range(9):
        ask(client, node.address, b"1234567%d" % number, replies)
    await wait_until(lambda: len(replies) == 9)
    await node.stop()
    assert node.counts == [3, 3, 3]
    assert [each.item for each in replies if each] == [b"1234567%d" % number for number in range(9)]


@pytest.mark.parametrize("is_under_way", [False, True])
async def test_closing(start: Start, is_under_way: bool) -> None:
    """Everybody is told, also who asks afterwards."""
    client = PartitionClient()
    node = await start(echo)
    replies: Replies = []
    ask(client, node.address, b"silent", replies)
    if is_under_way:
        await asyncio.wait_for(node.was_asked.wait(), 10)
    await client.close()
    assert replies == [None]
    ask(client, node.address, b"a", replies)
    assert replies == [None]
    await asyncio.sleep(0)
    assert replies == [None, None]
