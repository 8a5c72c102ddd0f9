"""Streams of storage nodes at a metadata process: nobody is waited for without end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from statorpb import cluster_pb2

from metadata.catalog.catalog import Catalog
from tests.metadata.test_attendance import report
from tests.metadata.test_service import Process


@pytest.mark.parametrize("reports", [0, 1])
async def test_a_node_that_does_not_report_is_given_up(tmp_path: Path, reports: int) -> None:
    """It has nothing to say for so long only when it is halted, or the way to it is cut."""
    process = Process(tmp_path, 1, report_timeout_s=0.05)
    process.group.found()
    await process.start()
    call = process.stub.Attend()
    for _ in range(reports):
        await call.write(report(1))
        assert isinstance(await call.read(), cluster_pb2.NodeAssignments)
    with pytest.raises(grpc.aio.AioRpcError, match="no report came in time"):
        await asyncio.wait_for(call.read(), 10)
    await process.stop()


async def test_there_is_always_an_answer(tmp_path: Path) -> None:
    """Though the process knows of nothing yet: the node waits for it."""
    process = Process(tmp_path, 1)
    process.group.machine.catalog = Catalog()
    process.group.machine.slot = 0
    await process.start()
    call = process.stub.Attend()
    await call.write(report(1))
    assert await asyncio.wait_for(call.read(), 10) == cluster_pb2.NodeAssignments(known_below=1)
    await process.stop()
