"""Partitions of an index take changes exactly once, and only from their table's partitions."""

from __future__ import annotations

import asyncio

import pytest
from statorpb import cluster_pb2, partition_pb2, tables_pb2

from server.model.key_encoding import CURSORS, own_rows, prefix
from storage_node.codec.index_batch import BatchEntry, IndexBatch, encode_batch
from storage_node.store import Store
from storage_node.taking import SOURCE as SOURCE_NAME
from tests.storage_node.nodes import PARTITION, NodeSet, RunningNode, delete, flip_all, get, put

OK = partition_pb2.OK
NUMBER = 7
SOURCE = 50


def index_descriptor(nodes: NodeSet, start: bytes = b"", end: bytes = b"") -> cluster_pb2.PartitionDescriptor:
    """Partition 100, of index 7."""
    descriptor = nodes.descriptor(table=NUMBER)
    descriptor.range_start, descriptor.range_end = start, end
    x = cluster_pb2.KeyAttribute(name="x", type="S")
    descriptor.index.CopyFrom(cluster_pb2.GlobalIndex(number=NUMBER, name="by-x", partition_keys=[x]))
    descriptor.index.projection.type = tables_pb2.Projection.ALL
    return descriptor


def batch(
    up_to_slot: int, *entries: tuple[int, bytes, bytes | None], source: int = SOURCE
) -> partition_pb2.PartitionRequest:
    made = IndexBatch(source, up_to_slot, tuple(BatchEntry(*each) for each in entries))
    return raw(encode_batch(made))


def raw(data: bytes) -> partition_pb2.PartitionRequest:
    return partition_pb2.PartitionRequest(
        id=7, operation=partition_pb2.TAKE_CHANGES, partition_id=PARTITION, key=prefix(NUMBER) + b"m", item=data
    )


def store_of(node: RunningNode) -> Store:
    return node.node._store


def entries(node: RunningNode) -> dict[bytes, bytes]:
    start = prefix(NUMBER)
    return {key[len(start) :]: item for key, item in store_of(node).scan(start, prefix(NUMBER, 1))}


def source_key(source: int) -> bytes:
    return own_rows(NUMBER, CURSORS, PARTITION) + SOURCE_NAME + source.to_bytes(8, "big")


def cursor(node: RunningNode, source: int = SOURCE) -> int:
    return int.from_bytes(store_of(node).get(source_key(source)) or b"", "big")


async def test_what_is_taken_is_there_once(one: NodeSet) -> None:
    """The last entry of a position counts; what is told again, alone or with more, is passed over."""
    leader = await one.found(index_descriptor(one))
    first = batch(4, (2, b"a", b"old"), (3, b"b", b"gone"), (4, b"a", b"new"), (4, b"b", None), (4, b"c", b"c"))
    assert await leader.status(first) == OK
    assert (entries(leader), cursor(leader)) == ({b"a": b"new", b"c": b"c"}, 4)
    assert await leader.status(batch(9, (8, b"a", None), (9, b"d", b"d"))) == OK
    applied = store_of(leader).applied_slot(PARTITION)
    for again in (first, batch(9, (2, b"a", b"old"), (9, b"d", b"d")), batch(9)):
        assert await leader.status(again) == OK
    assert store_of(leader).applied_slot(PARTITION) == applied, "nothing was written for it"
    assert (entries(leader), cursor(leader)) == ({b"c": b"c", b"d": b"d"}, 9)
    assert await leader.status(batch(10, (3, b"b", b"gone"), (8, b"c", b"late"), (10, b"e", b"e"))) == OK
    assert (entries(leader), cursor(leader)) == ({b"c": b"c", b"d": b"d", b"e": b"e"}, 10)


async def test_each_source_has_a_cursor_of_its_own(one: NodeSet) -> None:
    """Slots of one partition say nothing about those of another."""
    leader = await one.found(index_descriptor(one))
    assert await leader.status(batch(9, (9, b"a", b"a"))) == OK
    assert await leader.status(batch(3, (2, b"b", b"b"), source=51)) == OK
    assert (cursor(leader), cursor(leader, 51), cursor(leader, 52)) == (9, 3, 0)
    assert entries(leader) == {b"a": b"a", b"b": b"b"}


async def test_batches_in_flight(one: NodeSet) -> None:
    """What comes while the same is being written waits for that, and adds only what is new."""
    leader = await one.found(index_descriptor(one))
    asked = [
        leader.ask(batch(5, (5, b"a", b"5"))),
        leader.ask(batch(5, (5, b"a", b"5"))),
        leader.ask(batch(6, (5, b"a", b"never"), (6, b"b", b"6"))),
        leader.ask(batch(4, (4, b"a", b"late"))),
    ]
    assert not any(each.done() for each in asked), "nothing is answered before it is committed"
    slots = store_of(leader).applied_slot(PARTITION)
    assert {(await asyncio.wait_for(each, 20)).status for each in asked} == {OK}
    assert store_of(leader).applied_slot(PARTITION) == slots + 2
    assert (entries(leader), cursor(leader)) == ({b"a": b"5", b"b": b"6"}, 6)


async def test_what_belongs_elsewhere_is_not_taken(one: NodeSet) -> None:
    """Not in part either."""
    leader = await one.found(index_descriptor(one, b"g", b"q"))
    for position in (b"f", b"q", b"z"):
        assert await leader.status(batch(5, (4, b"h", b"h"), (5, position, b"x"))) == partition_pb2.NOT_MINE
    assert (entries(leader), cursor(leader)) == ({}, 0)
    assert await leader.status(batch(5, (4, b"g", b"g"), (5, b"p\xff", b"x"))) == OK


async def test_no_room(one: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk and a store that does not keep up take nothing, and say so; what was taken is told all the same."""
    leader = await one.found(index_descriptor(one))
    assert await leader.status(batch(5, (5, b"a", b"a"))) == OK
    leader.node.host.disk.is_full = True
    assert await leader.status(batch(6, (6, b"b", b"b"))) == partition_pb2.STORAGE_FULL
    assert await leader.status(batch(5, (5, b"a", b"a"))) == OK
    leader.node.host.disk.is_full = False
    monkeypatch.setattr(store_of(leader), "memtable_bytes_max", -1)
    assert await leader.status(batch(6, (6, b"a", None))) == partition_pb2.THROTTLED
    assert await leader.status(batch(5, (5, b"a", b"a"))) == OK
    monkeypatch.undo()
    monkeypatch.setattr("server.runtime.replica_host.NODE_IN_FLIGHT_BYTES_MAX", 10)
    assert await leader.status(batch(6, (6, b"a", None))) == partition_pb2.THROTTLED
    assert entries(leader) == {b"a": b"a"}


async def test_who_may_write_what(one: NodeSet) -> None:
    """Clients do not write to an index, nor is a table told changes; and what is no batch is refused."""
    leader = await one.found(index_descriptor(one))
    for request in (put("a", b"a"), delete("a")):
        request.key = prefix(NUMBER) + b"a"
        answer = await leader.ask(request)
        assert (answer.status, answer.message) == (
            partition_pb2.INVALID,
            "an index is written by the changes of its table alone",
        )
    assert await leader.status(raw(b"?")) == partition_pb2.INVALID
    of_another = batch(5, (5, b"a", b"a"))
    of_another.key = prefix(NUMBER + 1) + b"m"
    assert await leader.status(of_another) == partition_pb2.NOT_MINE
    assert entries(leader) == {}
    read = get("a")
    read.key = prefix(NUMBER) + b"a"
    assert await leader.status(read) == partition_pb2.NOT_FOUND


async def test_a_table_takes_no_changes(one: NodeSet) -> None:
    """Its partition is no partition of an index."""
    leader = await one.found()
    request = batch(1, (1, b"a", b"a"))
    request.key = prefix(1) + b"a"
    answer = await leader.ask(request)
    assert answer.status == partition_pb2.INVALID


async def test_time_to_live_leaves_indexes_alone(one: NodeSet) -> None:
    """What expires is deleted from the table, and from there the index hears of it."""
    descriptor = index_descriptor(one)
    descriptor.time_to_live_attribute = "until"
    leader = await one.found(descriptor)
    assert leader.node.expiry.attributes == {}


async def test_leaders_change(three: NodeSet) -> None:
    """Who does not lead says who does; the next leader knows what has been taken, as does one that was restarted."""
    leader = await three.found(index_descriptor(three))
    assert await leader.status(batch(5, (5, b"a", b"5"))) == OK
    asked = leader.ask(batch(6, (6, b"b", b"6")))
    leader.node.host.hand_over(PARTITION)
    assert (await asyncio.wait_for(asked, 20)).status == OK
    answer = await asyncio.wait_for(leader.ask(batch(7, (7, b"c", b"7"))), 20)
    successor = await three.wait_for_leader()
    assert (answer.status, answer.leader_node_id) == (partition_pb2.NOT_LEADER, successor.node_id)
    assert cursor(successor) == 6
    assert (await three.do(batch(7, (5, b"a", b"late"), (7, b"c", b"7")))).status == OK
    await successor.crash()
    await successor.start()
    assert (await three.do(batch(8, (8, b"d", b"8")))).status == OK
    leader = await three.wait_for_leader()
    assert entries(leader) == {b"a": b"5", b"b": b"6", b"c": b"7", b"d": b"8"}


async def test_damage(one: NodeSet) -> None:
    """A cursor that is not what was stored is not believed: nothing is taken on it."""
    leader = await one.found(index_descriptor(one))
    up_to_slot = 0x1122334455667788
    assert await leader.status(batch(up_to_slot, (5, b"a", b"5"))) == OK
    await leader.node.checkpoint()
    assert flip_all(leader.directory / "btree" / "data.mdb", up_to_slot.to_bytes(8, "big")) == 1
    assert await leader.status(batch(up_to_slot + 1, (6, b"a", b"6"))) == partition_pb2.CORRUPT
    assert leader.node.rotten == {PARTITION}
