"""router/storage_client.py: a read of a stream goes to the partition's leader, however long that waits for a record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from statorpb import partition_pb2

from router import storage_client
from router.storage_client import READ_STREAM
from server.model.key_encoding import prefix
from tests.router.fakes import record, stream_reply
from tests.router.test_storage_client import KEY, Router, StartNode, first, says, start_node

__all__ = ["start_node"]

Details = partition_pb2.StreamDetails


async def test_a_read_goes_to_the_leader(start_node: StartNode) -> None:
    """With what is wanted, and nothing of a write's."""
    follower = await start_node(says(partition_pb2.NOT_LEADER, leader=2))
    leader = await start_node(lambda _: stream_reply(8_000, record(8_000)))
    details = Details(number=7, sequence=7_000, records_max=10)
    async with Router(follower.address, leader.address) as router:
        reply = await router.call(READ_STREAM, details=details)
    assert [each.sequence for each in reply.stream.records] == [8_000]
    (request,) = leader.requests
    assert (request.operation, request.stream, request.key) == (READ_STREAM, details, prefix(1) + KEY)
    assert not request.token and not request.HasField("write") and not request.HasField("scan")


@pytest.mark.parametrize("status", [partition_pb2.TRIMMED, partition_pb2.NO_STREAM])
async def test_what_is_not_there_is_an_answer(start_node: StartNode, status: Any) -> None:
    """Of the stream, not of the node: nobody else is asked."""
    node = await start_node(says(status))
    async with Router(node.address) as router:
        assert (await router.call(READ_STREAM, details=Details())).status == status
    assert len(node.requests) == 1


async def test_a_node_may_wait_for_a_record(start_node: StartNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for one that says nothing."""
    monkeypatch.setattr(storage_client, "ATTEMPT_TIMEOUT_S", 0.0)
    node = await start_node(first(lambda _: None, lambda _: stream_reply(8_000)))
    async with Router(node.address) as router:
        begun = asyncio.get_running_loop().time()
        reply = await router.call(READ_STREAM, details=Details(wait_ms=300))
        assert asyncio.get_running_loop().time() - begun >= 0.3
    assert reply.stream.sequence == 8_000
    assert len(node.requests) >= 2
