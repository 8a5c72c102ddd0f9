"""What the metadata service tells a node of its registration, and what becomes of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from statorpb import cluster_pb2, cluster_pb2_grpc

from server.model.errors import ResourceNotFoundError, ServiceUnavailableError, StatorError, ValidationError
from server.runtime.grpc_server import GrpcServer, abort, start_server
from storage_node.attendance import Attendance, NodeRemovedError, RegistrationRefusedError, register
from tests.storage_node.nodes import RunningNode, wait_until


class FakeMetadata(cluster_pb2_grpc.MetadataServicer):
    """Answers with the errors given, one a call, then takes the node; `ends`: how its stream ends after a report."""

    def __init__(self) -> None:
        self.errors: list[StatorError] = []
        self.ends: list[StatorError] = []
        self.streams = 0
        self.server: GrpcServer

    async def start(self) -> None:
        self.server = await start_server(
            "127.0.0.1:0", [lambda server: cluster_pb2_grpc.add_MetadataServicer_to_server(self, server)], []
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def RegisterNode(self, request: cluster_pb2.RegisterNodeRequest, context: Any) -> Any:
        if self.errors:
            await abort(context, self.errors.pop(0))
        return cluster_pb2.RegisterNodeResponse(node_id=4, cluster_id="cluster")

    async def Attend(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        self.streams += 1
        await context.read()
        if self.ends:
            await abort(context, self.ends.pop(0))
        await asyncio.Event().wait()


@pytest.fixture
async def metadata() -> AsyncIterator[FakeMetadata]:
    metadata = FakeMetadata()  # type: ignore[abstract]  # two calls are enough for it
    await metadata.start()
    yield metadata
    await metadata.server.stop(0)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValidationError("in zone-1"), RegistrationRefusedError),
        (ResourceNotFoundError("was removed"), NodeRemovedError),
    ],
)
async def test_a_refusal_is_final(metadata: FakeMetadata, error: StatorError, raised: type[Exception]) -> None:
    """With the sentence; what only cannot be answered now is asked again."""
    metadata.errors = [ServiceUnavailableError("nobody leads"), error]
    with pytest.raises(raised, match=error.message):
        await register((metadata.address,), "storage-1", "zone-1", "a:1", "d1", 0)
    metadata.errors = [ServiceUnavailableError("nobody leads")]
    response = await register((metadata.address,), "storage-1", "zone-1", "a:1", "d1", 0)
    assert (response.node_id, response.cluster_id) == (4, "cluster")


async def test_a_node_that_is_removed_hears_of_it(metadata: FakeMetadata, tmp_path: Path) -> None:
    """On its stream; a stream that breaks for another reason is opened again."""
    node = RunningNode(tmp_path, 1)
    await node.start()
    metadata.ends = [ServiceUnavailableError("it stops"), ResourceNotFoundError("this node was removed")]
    sentences: asyncio.Queue[str] = asyncio.Queue()
    attendance = Attendance(node.node, (metadata.address,), sentences.put_nowait)
    attendance.start()
    async with asyncio.timeout(15):
        assert await sentences.get() == "this node was removed"
    assert metadata.ends == [] and sentences.empty()
    await attendance.stop()
    await node.stop()


async def test_a_metadata_process_that_does_not_answer_is_asked_anew(metadata: FakeMetadata, tmp_path: Path) -> None:
    """It may have been halted since the node found it, and nobody may ever say so."""
    node = RunningNode(tmp_path, 1)
    await node.start()
    attendance = Attendance(node.node, (metadata.address,), lambda sentence: None, 0.05)
    attendance.start()
    await wait_until(lambda: metadata.streams > 1)
    await attendance.stop()
    await node.stop()
