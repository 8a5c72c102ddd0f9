"""Storage nodes for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage_node.reads import Reads
from tests.storage_node.nodes import NodeSet


@pytest.fixture(autouse=True)
def processor_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still, so that a slice is not cut where the collector of garbage took the time of it."""
    monkeypatch.setattr(Reads, "cpu_s", staticmethod(lambda: 0.0))


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[NodeSet]:
    """A group of three members in three zones; no node may have ended by itself."""
    nodes = NodeSet(tmp_path, 3)
    yield nodes
    await nodes.stop()
    assert [each.fatal for each in nodes] == [[], [], []]


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[NodeSet]:
    """A group of a single member, which leads as soon as it may vote."""
    nodes = NodeSet(tmp_path, 1, lease_ms=150, heartbeat_ms=40)
    yield nodes
    await nodes.stop()
    assert nodes.nodes[0].fatal == []
