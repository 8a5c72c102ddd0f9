"""A stream to a storage node's partitions, as routers and other storage nodes open it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from statorpb import partition_pb2, partition_pb2_grpc

from server.runtime.frame_connection import OpenedStream, connected
from server.runtime.grpc_server import channel_options

CONNECT_TIMEOUT_S = 1.0
"""To be connected, and again until the node's greeting has come."""

BROKEN = (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError, ConnectionError)
"""What opening a stream, and reading from one, ends with where the other side is gone."""


@asynccontextmanager
async def partition_stream(address: str) -> AsyncIterator[tuple[OpenedStream, partition_pb2.PartitionReplyFrame]]:
    """The stream, and the frame that the node begins it with. The frames go over a connection of their own, where the
    node offers one that can be had.

    Raises TimeoutError where the node cannot be connected to, or says nothing, in CONNECT_TIMEOUT_S: it may be halted;
    and others of BROKEN."""
    async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
        await _connect(address, channel)
        call = partition_pb2_grpc.PartitionsStub(channel).Serve()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            greeting: object = await call.read()
        if not isinstance(greeting, partition_pb2.PartitionReplyFrame):
            raise ConnectionError(f"{address} ended the stream")
        offer = greeting.connection_offer if greeting.HasField("connection_offer") else None
        async with connected(call, offer, address, partition_pb2.PartitionReplyFrame, _answer) as stream:
            yield stream, greeting


def _answer(takes_connection: bool) -> partition_pb2.PartitionRequestFrame:
    return partition_pb2.PartitionRequestFrame(takes_connection=takes_connection)


async def _connect(address: str, channel: grpc.aio.Channel) -> None:
    """Returns once the channel is ready. Raises TimeoutError if it cannot be had: at once where the node's machine says
    so, unlike `channel_ready`."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        while (state := channel.get_state(try_to_connect=True)) != grpc.ChannelConnectivity.READY:
            if state == grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                raise TimeoutError(f"{address} cannot be connected to")
            await channel.wait_for_state_change(state)
