"""A replica that is built from its leader's state, beside everything else that its node does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from statorpb import partition_pb2

from server.paxos.core import PaxosCore
from storage_node import replica
from storage_node.codec.snapshot import ChunkKind, encode_chunk
from tests.storage_node.nodes import PARTITION, NodeSet, get, item, key, put, scan, wait_until


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


@pytest.mark.parametrize("request_of", [get, lambda name, consistent: scan(consistent=consistent)], ids=["get", "scan"])
@pytest.mark.parametrize(("consistent", "refusal"), [(True, partition_pb2.NO_LEASE), (False, partition_pb2.NOT_FRESH)])
async def test_what_is_not_there_yet_is_not_told_to_be_missing(
    one: NodeSet, request_of: Callable[..., partition_pb2.PartitionRequest], consistent: bool, refusal: int
) -> None:
    """By the replica itself, whatever is thought of it meanwhile."""
    node = await one.found()
    await one.do(put("k", item("k")))
    machine = node.node.replicas[PARTITION]
    assert await node.status(request_of("k", consistent=consistent)) == partition_pb2.OK
    machine.begin_restore(50, lambda: None)
    assert node.leads and node.node.host.is_fresh(PARTITION)
    assert await node.status(request_of("k", consistent=consistent)) == refusal
    machine.finish_restore(50, lambda: None)
    await wait_until(lambda: not machine.is_restoring)


async def test_what_comes_together_is_stored_together(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction costs two syncs of the disk that the log writes to. Every chunk is acknowledged, in order, once
    it is stored; nothing of one transfer is stored, or acknowledged, when the next has begun."""
    machine = (node := await one.found()).node.replicas[PARTITION]
    restore_chunks, together = node.node._store.restore_chunks, []

    def restore(group_id: int, chunks: Sequence[bytes]) -> None:
        together.append(len(chunks))
        restore_chunks(group_id, chunks)

    monkeypatch.setattr(node.node._store, "restore_chunks", restore)
    progress: list[str] = []
    stored: list[int] = []

    def send(first: int, end: int) -> None:
        for number in range(first, end):
            body = encode_chunk(ChunkKind.ITEMS, [(key(f"k{number}"), b"new")])
            machine.restore_chunk(body, lambda number=number: stored.append(number))  # type: ignore[misc]

    machine.begin_restore(50, lambda: progress.append("removed"))
    await wait_until(lambda: progress == ["removed"])
    send(0, 6)
    await wait_until(lambda: len(stored) == 6)
    assert (stored, together) == ([0, 1, 2, 3, 4, 5], [1, 5])
    send(6, 9)
    machine.begin_restore(60, lambda: progress.append("removed"))
    send(9, 10)
    await wait_until(lambda: 9 in stored)
    assert stored == [0, 1, 2, 3, 4, 5, 9]
    assert together == [1, 5, 1, 1], "one was on its way, and is removed again"
    assert [number for number in range(10) if node.node._store.get(key(f"k{number}"))] == [9]


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


async def test_after_a_power_cut_nobody_gives_up_what_is_whole(three: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that leads next has a checkpoint of the last writes, and not their entries any more. The others do, and
    know that these are committed, since the group had come to rest."""
    leader = await three.found()
    for number in range(5):
        await three.do(put(f"k{number}", b"item"))
    groups = [each.node.host.groups[PARTITION] for each in three]
    await wait_until(
        lambda: len({group.noted_commit_slot for group in groups}) == 1 and groups[0].noted_commit_slot > 5
    )
    await leader.node.checkpoint()
    given_up: list[int] = []
    monkeypatch.setattr(replica.PartitionReplica, "begin_restore", lambda self, slot, done: given_up.append(slot))
    stand = PaxosCore._stand

    def stand_if_it_led(core: PaxosCore, now_ns: int) -> None:
        if core.node_id == leader.node_id:
            stand(core, now_ns)
        else:
            core._stand_at_ns = now_ns + 100_000_000

    monkeypatch.setattr(PaxosCore, "_stand", stand_if_it_led)
    for each in three:
        await each.crash()
    for each in three:
        await each.start()
    assert (await three.wait_for_leader()).node_id == leader.node_id
    await three.do(put("again", b"item"))
    assert given_up == []
