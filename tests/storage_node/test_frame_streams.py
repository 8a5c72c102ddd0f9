"""A storage node's streams as others open them: over a connection of their own, or over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from statorpb import partition_pb2, partition_pb2_grpc

from server.runtime import frame_connection
from server.runtime.frame_connection import FrameConnection, FrameListener, OpenedStream
from server.runtime.grpc_server import start_server
from server.runtime.partition_stream import BROKEN, partition_stream
from storage_node.node import StorageNode
from storage_node.service import PartitionService

Frame = partition_pb2.PartitionRequestFrame


class Node:
    """Answers what has an even id, at once."""

    def __init__(self) -> None:
        self.nudges: set[Any] = set()
        self.address = ""
        self.listener = FrameListener()

    def serve(self, request: partition_pb2.PartitionRequest, reply: Any) -> None:
        if request.id % 2 == 0:
            reply(request.id, partition_pb2.OK, request.item)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    started = Node()
    await started.listener.start("127.0.0.1:0")
    served = PartitionService(cast(StorageNode, started))
    server = await start_server(
        "127.0.0.1:0", [lambda server: partition_pb2_grpc.add_PartitionsServicer_to_server(served, server)], []
    )
    started.address = f"127.0.0.1:{server.port}"
    yield started
    started.listener.stop()
    await server.stop(0)
    assert not started.nudges  # every stream has ended


async def answers(stream: OpenedStream, first: int, count: int) -> list[int]:
    """The ids of the replies to requests that are sent now, in frames of ten."""
    for begin in range(first, first + count, 10):
        ids = range(begin, begin + 10)
        await stream.write(Frame(requests=[partition_pb2.PartitionRequest(id=each, item=bytes(1_000)) for each in ids]))
    found: list[int] = []
    while len(found) < count // 2:
        frame = await stream.read()
        assert isinstance(frame, partition_pb2.PartitionReplyFrame)
        found += [reply.id for reply in frame.replies]
    return found


async def counted(stream: OpenedStream) -> int:
    """How many frames of requests the node says that it has read, by the next frame that says so."""
    while True:
        frame = await stream.read()
        assert isinstance(frame, partition_pb2.PartitionReplyFrame)
        if frame.HasField("frames_read"):
            return frame.frames_read


async def test_frames_go_over_a_connection(node: Node) -> None:
    """In order, and counted from its first on."""
    async with partition_stream(node.address) as (stream, greeting):
        assert greeting.clock_ms
        assert isinstance(stream, FrameConnection)
        assert await answers(stream, 0, 1_000) == list(range(0, 1_000, 2))
        assert await counted(stream) == 100


async def test_grpc_carries_them_where_there_is_no_connection(node: Node) -> None:
    """Behind a firewall, say."""
    port = node.listener.port
    node.listener.stop()
    await asyncio.sleep(0)
    node.listener.port = port
    async with partition_stream(node.address) as (stream, _):
        assert not isinstance(stream, FrameConnection)
        assert await answers(stream, 0, 1_000) == list(range(0, 1_000, 2))
        assert await counted(stream) == 100


@pytest.mark.parametrize("is_offered", [True, False])
async def test_who_knows_of_no_offers_is_served(node: Node, is_offered: bool) -> None:
    """An older version on either side."""
    if not is_offered:
        node.listener.port = 0
        async with partition_stream(node.address) as (stream, greeting):
            assert not greeting.HasField("connection_offer")
            assert await answers(stream, 0, 100) == list(range(0, 100, 2))
        return
    async with grpc.aio.insecure_channel(node.address) as channel:
        call = partition_pb2_grpc.PartitionsStub(channel).Serve()
        await call.read()
        assert await answers(call, 0, 100) == list(range(0, 100, 2))
        assert await counted(call) == 10


async def test_a_connection_that_was_taken_and_does_not_come(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream ends, and whoever opened it opens another."""
    monkeypatch.setattr(frame_connection, "ARRIVAL_S", 0.05)
    async with grpc.aio.insecure_channel(node.address) as channel:
        call = partition_pb2_grpc.PartitionsStub(channel).Serve()
        await call.read()
        await call.write(Frame(takes_connection=True))
        with pytest.raises(grpc.aio.AioRpcError, match="the connection that was taken did not come"):
            while await call.read() is not grpc.aio.EOF:
                pass


async def test_the_connection_ends_with_the_stream(node: Node, connections: list[FrameConnection[Any]]) -> None:
    """Wherever the stream's end comes from, both sides know."""
    async with grpc.aio.insecure_channel(node.address) as channel:
        call = partition_pb2_grpc.PartitionsStub(channel).Serve()
        greeting = await call.read()
        assert isinstance(greeting, partition_pb2.PartitionReplyFrame)
        connection = await frame_connection.take(
            node.address, greeting.connection_offer, partition_pb2.PartitionReplyFrame.FromString
        )
        assert connection is not None
        await call.write(Frame(takes_connection=True))
        assert await answers(connection, 0, 100) == list(range(0, 100, 2))
        call.cancel()
        async with asyncio.timeout(10):
            while await connection.read() is not None:
                pass
    assert len(connections) == 2


@pytest.mark.parametrize("side", [0, 1])
async def test_the_stream_ends_with_the_connection(
    node: Node, side: int, connections: list[FrameConnection[Any]]
) -> None:
    """Whichever side the connection breaks on: nothing is waited for that cannot come."""
    async with partition_stream(node.address) as (stream, _):
        assert await answers(stream, 0, 100) == list(range(0, 100, 2))
        connections[side].cancel()
        async with asyncio.timeout(10):
            while isinstance(await stream.read(), partition_pb2.PartitionReplyFrame):
                pass
            while node.nudges:
                await asyncio.sleep(0.01)


async def test_a_node_that_ends_the_stream_at_once() -> None:
    """Instead of a greeting."""

    class Ended(partition_pb2_grpc.PartitionsServicer):
        async def Serve(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
            """Nothing."""

    server = await start_server(
        "127.0.0.1:0", [lambda server: partition_pb2_grpc.add_PartitionsServicer_to_server(Ended(), server)], []
    )
    with pytest.raises(BROKEN, match="ended the stream"):
        async with partition_stream(f"127.0.0.1:{server.port}"):
            raise AssertionError("there is no stream")
    await server.stop(0)
