"""A table's partition and two of its index on real nodes: the index is the table's projection, whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from statorpb import cluster_pb2, partition_pb2, tables_pb2

from server.model.item import Item
from server.model.key_encoding import PREFIX_BYTES, prefix
from server.model.table import GlobalIndex, KeyAttribute, KeySchema
from server.table_codec import global_index
from server.wire import item_from_bytes, item_to_bytes
from storage_node.partition.feeds import index_entry
from tests.storage_node.nodes import PARTITION, TABLE, NodeSet, RunningNode, delete, put, wait_until

INDEX_NUMBER = 7
LOW, HIGH = 201, 202
MIDDLE = b"\x80"
SCHEMA = KeySchema(KeyAttribute("pk", "S"))
PROJECTION = tables_pb2.Projection(type=tables_pb2.Projection.INCLUDE, non_key_attributes=["v"])
INDEX = cluster_pb2.GlobalIndex(
    number=INDEX_NUMBER,
    name="by-x",
    partition_keys=[cluster_pb2.KeyAttribute(name="x", type="S")],
    projection=PROJECTION,
)


class Indexed:
    """Partition 100, and the partitions 201 and 202 of its index, on all nodes."""

    def __init__(self, nodes: NodeSet) -> None:
        self.nodes = nodes
        self.index: GlobalIndex = global_index(INDEX)

    def assignments(self, *, has_index: bool = True) -> cluster_pb2.NodeAssignments:
        base = self.nodes.descriptor()
        made = cluster_pb2.NodeAssignments(partitions=[base])
        if not has_index:
            return made
        made.partitions[0].feeds.add(index=INDEX)
        route = made.index_routes.add(number=INDEX_NUMBER)
        for partition_id, start, end in ((LOW, b"", MIDDLE), (HIGH, MIDDLE, b"")):
            descriptor = self.nodes.descriptor(partition_id, INDEX_NUMBER)
            descriptor.range_start, descriptor.range_end = start, end
            descriptor.index.CopyFrom(INDEX)
            made.partitions.append(descriptor)
            route.partitions.add(partition_id=partition_id, range_start=start, members=descriptor.members)
        return made

    async def found(self, *, has_index: bool = True) -> None:
        for each in self.nodes:
            await each.start()
        await self.assign(has_index=has_index)

    async def assign(self, *, has_index: bool = True) -> None:
        for each in self.nodes:
            await each.node.assign(self.assignments(has_index=has_index))

    async def restart(self, node: RunningNode) -> None:
        await node.crash()
        await node.start()
        await node.node.assign(self.assignments())

    def leader(self, partition_id: int) -> RunningNode | None:
        return next((each for each in self.nodes if each.node.host.is_serving_leader(partition_id)), None)

    async def wait_for_leader(self, partition_id: int) -> RunningNode:
        found: list[RunningNode | None] = [None]

        def look() -> bool:
            found[0] = self.leader(partition_id)
            return found[0] is not None

        await wait_until(look)
        assert found[0] is not None
        return found[0]

    async def hand_over(self, partition_id: int) -> None:
        leader = await self.wait_for_leader(partition_id)
        leader.node.host.hand_over(partition_id)

    def stored(self, node: RunningNode, table: int) -> Mapping[bytes, bytes]:
        """What a node by itself has of a table or an index, by range position."""
        scanned = node.node._store.scan(prefix(table), prefix(table, 1))
        return {key[PREFIX_BYTES:]: data for key, data in scanned}

    def projection(self, node: RunningNode) -> Mapping[bytes, Item]:
        found = {}
        for position, data in self.stored(node, TABLE).items():
            entry = index_entry(self.index, SCHEMA, position, item_from_bytes(data))
            if entry is not None:
                found[entry[0]] = entry[1]
        return found

    def is_quiet(self) -> bool:
        leader = self.leader(PARTITION)
        if leader is None:
            return False
        reports = leader.node.replicas[PARTITION].changes.reports()
        return [(each.complete, each.pending) for each in reports] == [(True, 0)]

    async def settle(self) -> Mapping[bytes, Item]:
        """The index, once nothing is on its way any more and all members have the same."""
        await wait_until(self.is_quiet, 30)
        leader = await self.wait_for_leader(PARTITION)
        expected = self.projection(leader)

        def index(node: RunningNode) -> Mapping[bytes, Item]:
            return {position: item_from_bytes(data) for position, data in self.stored(node, INDEX_NUMBER).items()}

        await wait_until(lambda: all(index(each) == expected for each in self.nodes), 30)
        return expected


def some_item(rng: random.Random, name: str) -> bytes:
    item: Item = {"pk": {"S": name}, "v": {"N": str(rng.randrange(1000))}, "w": {"S": "not projected"}}
    if rng.random() < 0.9:
        item["x"] = {"S": f"x{rng.randrange(40)}"}
    return item_to_bytes(item)


def some_write(rng: random.Random, names: int) -> partition_pb2.PartitionRequest:
    name = f"k{rng.randrange(names)}"
    return delete(name) if rng.random() < 0.2 else put(name, some_item(rng, name))


async def do(indexed: Indexed, request: partition_pb2.PartitionRequest) -> None:
    """As a router does it: until it is done, and again where no answer comes, since nodes crash."""
    status = partition_pb2.UNKNOWN_OUTCOME
    while status not in (partition_pb2.OK, partition_pb2.NOT_FOUND):
        leader = await indexed.nodes.wait_for_leader()
        answered = leader.ask(request)
        await asyncio.wait([answered], timeout=1)
        if answered.done():
            status = answered.result().status
        await asyncio.sleep(0)


async def write_some(indexed: Indexed, rng: random.Random, count: int, names: int = 60) -> None:
    async def client(share: int) -> None:
        for _ in range(share):
            await do(indexed, some_write(rng, names))

    await asyncio.gather(*(client(count // 8) for _ in range(8)))


async def test_an_index_follows_its_table(three: NodeSet) -> None:
    """Both of its partitions have what is theirs, of every item as it is; what it lacks, or has lost, is not there."""
    indexed = Indexed(three)
    await indexed.found()
    await write_some(indexed, random.Random(1), 400)
    entries = await indexed.settle()
    assert {position < MIDDLE for position in entries} == {True, False}
    assert all(item.keys() == {"pk", "x", "v"} for item in entries.values())
    leader = await three.wait_for_leader()
    changes = leader.node.replicas[PARTITION].changes
    await wait_until(lambda: changes.pending_bytes == 0, 10)


async def test_what_was_there_before(three: NodeSet) -> None:
    """An index that comes later has it too, though it changes meanwhile."""
    indexed = Indexed(three)
    await indexed.found(has_index=False)
    rng = random.Random(2)
    await write_some(indexed, rng, 400, names=300)
    await indexed.assign()
    await write_some(indexed, rng, 200, names=300)
    assert len(await indexed.settle()) > 100


async def test_leaders_change_and_nodes_crash(three: NodeSet) -> None:
    """On both sides, in the midst of writes, of batches and of their answers."""
    indexed = Indexed(three)
    await indexed.found()
    rng = random.Random(3)
    is_over = asyncio.Event()

    async def disturb() -> None:
        count = 0
        while not is_over.is_set() or count < 6:
            victim = [PARTITION, LOW, HIGH][count % 3]
            if count % 4 == 3:
                await indexed.restart(await indexed.wait_for_leader(victim))
            else:
                await indexed.hand_over(victim)
            count += 1
            await asyncio.sleep(0.2)

    disturbing = asyncio.create_task(disturb())
    await write_some(indexed, rng, 1_200)
    is_over.set()
    await disturbing
    assert await indexed.settle()


async def test_an_index_that_cannot_be_reached(three: NodeSet) -> None:
    """Changes wait for it, and it gets them once it is there."""
    indexed = Indexed(three)
    await indexed.found()
    without = indexed.assignments()
    del without.index_routes[:]
    for each in three:
        await each.node.assign(without)
    await wait_until(lambda: all(each.node.replicas[PARTITION].changes.feeds for each in three))
    await write_some(indexed, random.Random(4), 200)
    leader = await three.wait_for_leader()
    (report,) = leader.node.replicas[PARTITION].changes.reports()
    assert report.pending > 50
    assert report.lag_ms > 0
    await indexed.assign()
    assert await indexed.settle()
