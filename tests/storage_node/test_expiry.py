"""Expired items are deleted in the background, by the leader, and no other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.model.item import Item
from server.wire import item_to_bytes
from storage_node import expiry
from tests.storage_node.nodes import PARTITION, NodeSet, RunningNode, put, scan, wait_until


@pytest.fixture
async def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NodeSet]:
    monkeypatch.setattr(expiry, "ROUND_S", 0.02)
    monkeypatch.setattr(expiry, "SHARE", 1.0)
    nodes = NodeSet(tmp_path, 3)
    yield nodes
    await nodes.stop()
    assert [each.fatal for each in nodes] == [[], [], []]


def row(name: str, until: Any) -> Item:
    return {"pk": {"S": name}, "until": until}


async def count(node: RunningNode) -> int:
    return (await node.ask(scan())).scan.evaluated


async def test_what_has_expired_goes(three: NodeSet) -> None:
    """Many items over several slices; what has time left, or no time, stays, also when the attribute changes."""
    leader = await three.found()
    past, future = {"N": str(int(time.time()) - 5)}, {"N": str(int(time.time()) + 1000)}
    for number in range(expiry.SLICE_ITEMS + 50):
        await three.do(put(f"past{number}", item_to_bytes(row(f"past{number}", past))))
    for number in range(20):
        await three.do(put(f"future{number}", item_to_bytes(row(f"future{number}", future))))
        await three.do(put(f"text{number}", item_to_bytes(row(f"text{number}", {"S": past["N"]}))))
    assert await count(leader) == expiry.SLICE_ITEMS + 90
    for each in three:
        each.node.expiry.attributes = {PARTITION: "another"}
    rounds = leader.node.expiry.rounds
    await wait_until(lambda: leader.node.expiry.rounds > rounds + 2)
    assert await count(leader) == expiry.SLICE_ITEMS + 90
    for each in three:
        each.node.expiry.attributes = {PARTITION: "until"}
    await wait_until(lambda: leader.node.expiry.deleted == expiry.SLICE_ITEMS + 50)
    assert await count(leader) == 40
    assert [each.node.expiry.deleted for each in three if each is not leader] == [0, 0]


async def test_large_items_are_looked_at_a_few_at_a_time(three: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred of the largest would keep everybody waiting."""
    monkeypatch.setattr(expiry, "SLICE_BYTES", 3_000)
    leader = await three.found()
    past = {"N": str(int(time.time()) - 5)}
    for number in range(5):
        await three.do(put(f"{number}", item_to_bytes({**row(f"{number}", past), "b": {"B": bytes(2_000)}})))
    replica = leader.node.replicas[PARTITION]
    slices, position = [], replica.first_key
    while position:
        found, position = leader.node.expiry._slice(replica, position, "until", int(time.time()))
        slices.append(len(found))
    assert slices == [2, 2, 1]


async def test_an_item_that_got_more_time_stays(three: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deletion is decided anew, on what is stored by then."""
    leader = await three.found()
    await three.do(put("a", item_to_bytes(row("a", {"N": str(int(time.time()) + 1000)}))))
    monkeypatch.setattr(expiry, "has_expired", lambda *_: True)  # as it was when the walk came by
    leader.node.expiry.attributes = {PARTITION: "until"}
    rounds = leader.node.expiry.rounds
    await wait_until(lambda: leader.node.expiry.rounds > rounds + 2)
    assert (leader.node.expiry.deleted, await count(leader)) == (0, 1)
