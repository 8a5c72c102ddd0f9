"""What a storage node is told to keep and to drop, on a disk that has no room for all of it."""

from __future__ import annotations

import pytest
from statorpb import cluster_pb2

from storage_node.store import StoreFullError
from tests.storage_node.nodes import PARTITION, NodeSet, RunningNode, key, put


class Disk:
    """Takes no descriptor of some partitions, and deletes nothing while it is full."""

    def __init__(self, node: RunningNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: set[int] = set()
        self.is_full = False
        store = node.node._store
        put_descriptor, delete_range = store.put_descriptor, store.delete_range

        def put(group_id: int, descriptor: bytes) -> None:
            if group_id in self.refused:
                raise StoreFullError("no space left on device")
            put_descriptor(group_id, descriptor)

        def delete(start: bytes, end: bytes, items_max: int) -> bool:
            if self.is_full:
                raise StoreFullError("no space left on device")
            return delete_range(start, end, items_max)

        monkeypatch.setattr(store, "put_descriptor", put)
        monkeypatch.setattr(store, "delete_range", delete)


async def test_what_there_is_no_room_for_keeps_nothing_else_waiting(
    one: NodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be dropped goes first, and makes room; every other partition is opened. The one that is not is told,
    and tried again."""
    node = await one.found()
    disk = Disk(node, monkeypatch)
    disk.refused = {PARTITION + 1}
    more = [one.descriptor(PARTITION + number, table=1 + number) for number in (1, 2)]
    assigned = cluster_pb2.NodeAssignments(partitions=more, removed=[PARTITION])
    with pytest.raises(StoreFullError):
        await node.node.assign(assigned)
    assert node.node.dropped == {PARTITION}
    assert list(node.node.replicas) == [PARTITION + 2]
    assert node.node.without_room == {PARTITION + 1}
    disk.refused = set()
    await node.node.assign(assigned)
    assert sorted(node.node.replicas) == [PARTITION + 1, PARTITION + 2]
    assert node.node.without_room == set()


async def test_a_drop_that_finds_no_room_is_no_drop(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """To delete takes room, too. Until all is gone, also from the next start's point of view, nothing is reported."""
    node = await one.found()
    await one.do(put("a", b"item"))
    await node.node.checkpoint()
    disk = Disk(node, monkeypatch)
    disk.is_full = True
    removed = cluster_pb2.NodeAssignments(removed=[PARTITION])
    for _ in range(2):
        with pytest.raises(StoreFullError):
            await node.node.assign(removed)
        assert node.node.dropped == set()
        assert node.node._store.get(key("a")) is not None
    disk.is_full = False
    await node.node.assign(removed)
    assert node.node.dropped == {PARTITION}
    assert node.node._store.get(key("a")) is None
    assert node.node._store.all_descriptors() == {}
