"""Feeds of real nodes: begun by what the metadata service says, filled while writes go on, and still there after all
that may happen to nodes."""

from __future__ import annotations

import asyncio

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.model.key_encoding import PREFIX_BYTES
from server.model.table import GlobalIndex, KeyAttribute, KeySchema
from server.table_codec import put_global_index
from server.wire import item_from_bytes, item_to_bytes
from storage_node import backfill, changes
from storage_node.changes import ChangeLog
from storage_node.partition.feeds import index_entry
from tests.storage_node.nodes import PARTITION, NodeSet, RunningNode, delete, put, wait_until

INDEX = GlobalIndex(50, "by-x", (KeyAttribute("x", "S"),), (KeyAttribute("n", "N"),), "INCLUDE", ("v",))
SCHEMA = KeySchema(KeyAttribute("pk", "S"))


def row(name: str, x: str, n: int) -> bytes:
    return item_to_bytes({"pk": {"S": name}, "x": {"S": x}, "n": {"N": str(n)}, "v": {"S": "v" * (n % 7 + 1)}})


def with_feed(nodes: NodeSet, *, removed: bool = False) -> cluster_pb2.PartitionDescriptor:
    described = nodes.descriptor()
    put_global_index(described.feeds.add(removed=removed).index, INDEX)
    return described


async def assign(nodes: NodeSet, *, removed: bool = False) -> None:
    """Tells every node that is there of the feed."""
    described = with_feed(nodes, removed=removed)
    for each in nodes:
        if each.is_running:
            await each.node.assign(cluster_pb2.NodeAssignments(partitions=[described]))


def log_of(node: RunningNode) -> ChangeLog:
    return node.node.replicas[PARTITION].changes


def told(node: RunningNode) -> dict[bytes, bytes]:
    """The index as it comes about from all that a node keeps."""
    entries: dict[bytes, bytes] = {}
    slot, is_more = 0, True
    while is_more:
        found, up_to = log_of(node).changes(INDEX.number, slot, 10_000)
        is_more, slot = up_to > slot, up_to
        for _, changed in found:
            for _, position, item in changed:
                if item is None:
                    entries.pop(position, None)
                else:
                    entries[position] = item
    return entries


@pytest.fixture(autouse=True)
def nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no index here: nothing is waited for."""
    monkeypatch.setattr(backfill, "TAKEN_S_MAX", 0.01)


def expected(node: RunningNode) -> dict[bytes, bytes]:
    """The index as the items make it."""
    replica = node.node.replicas[PARTITION]
    entries: dict[bytes, bytes] = {}
    for key, data in node.node._store.scan(replica.first_key, replica.end_key):
        entry = index_entry(INDEX, SCHEMA, key[PREFIX_BYTES:], item_from_bytes(data))
        if entry is not None:
            entries[entry[0]] = item_to_bytes(entry[1])
    return entries


def is_filled(node: RunningNode) -> bool:
    feed = log_of(node).feeds.get(INDEX.number)
    return feed is not None and feed.position is None


async def test_a_feed_is_filled_while_writes_go_on_and_outlives_its_leaders(three: NodeSet) -> None:
    """Whoever leads tells the same; so does a node after a restart, and one that was rebuilt from a snapshot."""
    await three.found()
    for begin in range(0, 1200, 200):
        puts = [put(f"k{each}", row(f"k{each}", "a", each)) for each in range(begin, begin + 200)]
        await asyncio.gather(*map(three.do, puts))
    await assign(three)
    for number in range(150):
        await three.do(put(f"k{number * 5}", row(f"k{number * 5}", "b", number)))
        await three.do(delete(f"k{number * 7 + 1}"))
    leader = await three.wait_for_leader()
    await wait_until(lambda: is_filled(leader))
    assert told(leader) == expected(leader)
    assert len(expected(leader)) > 1000
    (report,) = leader.node.leaders()
    assert [(each.index_number, each.complete) for each in report.feeds] == [(INDEX.number, False)]
    assert report.feeds[0].items_passed > 1000
    assert report.feeds[0].pending > 10

    away = next(each for each in three if not each.leads)
    await away.stop()
    for number in range(300):
        await three.do(put(f"k{number}", row(f"k{number}", "c", number)))
    for each in three:
        if each.is_running:
            await each.node.checkpoint()
            core = each.node.host.groups[PARTITION].core
            core.trim(core.log.commit_slot)
    await away.start()
    await three.wait_for_leader()
    await wait_until(lambda: told(away) == expected(leader))
    assert away.node.replicas[PARTITION]._restores >= 1  # more than once where the snapshot was too slow

    for each in three:
        await each.crash()
    for each in three:
        await each.start()
    leader = await three.wait_for_leader()
    assert told(leader) == expected(leader)
    log_of(leader).taken(INDEX.number, 10**6)
    await wait_until(lambda: [each.complete for each in leader.node.leaders()[0].feeds] == [True])
    await wait_until(lambda: log_of(leader).pending_bytes == 0)
    assert told(leader) == {}


async def test_a_new_leader_goes_on_with_the_back_fill(three: NodeSet) -> None:
    """From where the last one was; and a feed that is not wanted any more ends everywhere."""
    await three.found()
    for begin in range(0, 2000, 200):
        await asyncio.gather(
            *(three.do(put(f"k{each}", row(f"k{each}", "a", each))) for each in range(begin, begin + 200))
        )
    leader = await three.wait_for_leader()
    await assign(three)
    await wait_until(lambda: any(feed.items_passed for feed in log_of(leader).feeds.values()))
    leader.node.host.hand_over(PARTITION)
    await wait_until(lambda: any(each.leads for each in three if each is not leader))
    second = next(each for each in three if each.leads)
    await wait_until(lambda: is_filled(second))
    assert told(second) == expected(second)
    assert log_of(second).feeds[INDEX.number].items_passed == 2000
    await assign(three, removed=True)
    for each in three:
        await wait_until(lambda each=each: not log_of(each).feeds and not log_of(each).pending_bytes)  # type: ignore[misc]
    assert [list(each.feeds) for each in second.node.leaders()] == [[]]


async def test_an_index_that_does_not_keep_up_is_told(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes are refused, and whoever asks the node how it is hears why; what is wanted is not on disk, and is not
    needed there: the log has the feed."""
    monkeypatch.setattr(changes, "PENDING_ROWS_MAX", 0)
    node = await one.found(with_feed(one))
    await wait_until(lambda: is_filled(node))
    assert node.node.note == ""
    assert await node.status(put("a", row("a", "x", 1))) == partition_pb2.OK
    assert await node.status(put("b", row("b", "x", 1))) == partition_pb2.THROTTLED
    assert node.node.note == "global secondary indexes do not keep up, writes are refused: partitions [100]"
    (kept,) = node.node._store.all_descriptors().values()
    assert not cluster_pb2.PartitionDescriptor.FromString(kept).feeds
    await node.crash()
    await node.start()
    await one.wait_for_leader()
    assert await node.status(put("b", row("b", "x", 1))) == partition_pb2.THROTTLED
    log_of(node).taken(INDEX.number, 10**6)
    await wait_until(lambda: not node.node.note)
    assert await node.status(put("b", row("b", "x", 1))) == partition_pb2.OK


async def test_an_item_is_too_large_for_all_of_its_indexes_together(one: NodeSet) -> None:
    """Each has another part of it, and all of that is in one log entry. What will never go through is not told to be
    tried again; what is smaller goes through."""
    leader = await one.found()
    described = one.descriptor()
    for number in range(50, 70):
        key, further = (KeyAttribute("x", "S"),), ("large", f"a{number}")
        put_global_index(described.feeds.add().index, GlobalIndex(number, f"by-{number}", key, (), "INCLUDE", further))
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[described]))
    await wait_until(lambda: len(log_of(leader).feeds) == 20)

    def request(size: int) -> partition_pb2.PartitionRequest:
        parts = {f"a{number}": {"S": "a"} for number in range(50, 70)}
        return put("k", item_to_bytes({"pk": {"S": "k"}, "x": {"S": "x"}, "large": {"S": "l" * size}, **parts}))

    refused = await leader.ask(request(409_000))
    assert refused.status == partition_pb2.INVALID_UPDATE
    assert refused.message == "The item is too large together with its entries in all secondary indexes"
    assert await leader.status(request(380_000)) == partition_pb2.OK
