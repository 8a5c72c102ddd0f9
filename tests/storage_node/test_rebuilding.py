"""A replica that is built from its leader's state, beside everything else that its node does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage_node import replica
from storage_node.codec.snapshot import ChunkKind, encode_chunk
from tests.storage_node.nodes import PARTITION, NodeSet, key, put, wait_until


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[NodeSet]:
    nodes = NodeSet(tmp_path, 1, lease_ms=40, heartbeat_ms=20)
    yield nodes
    await nodes.stop()
    assert nodes.nodes[0].fatal == []


async def test_the_former_state_goes_between_other_work(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """All partitions share the thread that writes: a checkpoint need not wait until minutes' worth of items is removed.
    What the snapshot brings waits until then."""
    monkeypatch.setattr(replica, "REMOVE_SLICE_ITEMS", 3)
    machine = (node := await one.found()).node.replicas[PARTITION]
    for number in range(10):
        await one.do(put(f"k{number}", b"item"))
    await node.node.checkpoint()
    events: list[str] = []
    machine.begin_restore(50, lambda: events.append("removed some"))
    body = encode_chunk(ChunkKind.ITEMS, [(key("k1"), b"new")])
    machine.restore_chunk(body, lambda: events.append("stored"))
    machine.finish_restore(50, lambda: events.append("finished"))
    machine._run(lambda: None, lambda: events.append("other work"))
    await wait_until(lambda: "finished" in events)
    assert events[:2] == ["other work", "removed some"]
    assert events[2:] == ["removed some"] * 3 + ["stored", "finished"]
    assert node.node._store.get(key("k1")) == b"new"
    assert node.node._store.get(key("k2")) is None


async def test_a_replica_that_is_dropped_meanwhile_leaves_nothing_behind(one: NodeSet) -> None:
    """A chunk that waited must not be stored behind the removal: it would be there for ever."""
    machine = (node := await one.found()).node.replicas[PARTITION]
    machine.begin_restore(50, lambda: None)
    stored: list[str] = []
    machine.restore_chunk(encode_chunk(ChunkKind.ITEMS, [(key("k1"), b"new")]), lambda: stored.append("stored"))
    await node.node._drop(PARTITION)
    machine._run(lambda: None, lambda: stored.append("all is done"))
    await wait_until(lambda: bool(stored))
    assert stored == ["all is done"]
    assert node.node._store.get(key("k1")) is None
