"""A stream to a storage node's partitions, as routers and other storage nodes open it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from statorpb import partition_pb2, partition_pb2_grpc

from server.runtime.frame_connection import OpenedStream, end_with_stream, take
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
        if not greeting.HasField("connection_offer"):
            yield call, greeting
            return
        offer = greeting.connection_offer
        connection = await take(address, offer.port, offer.ticket, partition_pb2.PartitionReplyFrame.FromString)
        if connection is None:
            await call.write(partition_pb2.PartitionRequestFrame(takes_connection=False))
            yield call, greeting
            return
        ending = asyncio.create_task(end_with_stream(call.read, partition_pb2.PartitionReplyFrame, connection))
        try:
            await call.write(partition_pb2.PartitionRequestFrame(takes_connection=True))
            yield connection, greeting
        finally:
            connection.cancel()
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)


async def _connect(address: str, channel: grpc.aio.Channel) -> None:
    """Returns once the channel is ready. Raises TimeoutError if it cannot be had: at once where the node's machine says
    so, unlike `channel_ready`."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        while (state := channel.get_state(try_to_connect=True)) != grpc.ChannelConnectivity.READY:
            if state == grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                raise TimeoutError(f"{address} cannot be connected to")
            await channel.wait_for_state_change(state)
