"""ListEvents, asked of a process's door: its own history, led or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from statorpb import admin_pb2

from metadata.views import look
from tests.metadata.catalog.test_catalog import register
from tests.metadata.fake_group import FakeGroup
from tests.metadata.test_service import Process, failure


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(tmp_path, 1)
    process.group.found()
    await process.start()
    yield process
    await process.stop()


def observe(group: FakeGroup, now_ms: int) -> None:
    group.history.observe(look(group.machine.catalog, group.attendance, 1, [1]), now_ms / 1000, now_ms)


async def test_what_has_happened(process: Process) -> None:
    """Also where nobody leads; what comes after is told from where an answer ended."""
    group = process.group
    nothing = await process.stub.ListEvents(admin_pb2.ListEventsRequest(), timeout=5)
    assert (nothing.told_by, nothing.since_ms, len(nothing.events)) == ("metadata-1", 0, 0)
    observe(group, 1_000)
    await group.propose(register("storage-4", "zone-1", "host:4", "d4"))
    observe(group, 1_250)
    group.leads = False
    told = await process.stub.ListEvents(admin_pb2.ListEventsRequest(limit=1), timeout=5)
    event = admin_pb2.Event(at_ms=1_250, kind="node", text="storage-4 joined, in zone-1", node_id=4)
    assert (list(told.events), told.since_ms) == ([event], 1_000)
    group.leads = True
    await group.propose(register("storage-5", "zone-1", "host:5", "d5"))
    observe(group, 1_500)
    after = await process.stub.ListEvents(admin_pb2.ListEventsRequest(after=told.next, limit=4_000_000_000), timeout=5)
    assert ([each.node_id for each in after.events], after.elsewhere, after.missed) == ([5], False, 0)
    after = await process.stub.ListEvents(admin_pb2.ListEventsRequest(after="metadata-2.b/0/1400"), timeout=5)
    assert ([each.node_id for each in after.events], after.elsewhere) == ([5], True)


async def test_a_place_that_is_none(process: Process) -> None:
    code, told = await failure(process.stub.ListEvents(admin_pb2.ListEventsRequest(after="here"), timeout=5))
    assert (code, told.startswith("'here' is no place")) == ("ValidationException", True)
