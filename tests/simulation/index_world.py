"""A table and its global indexes, of one seed: partitions of both on three nodes, under attack, on simulated clocks,
logs and network.

What the nodes run is real: change log, back-fill, sender, taking, with the store and the consensus under them. First
chaos (crashes, cut links, messages that are lost, late or come twice, hand-overs, checkpoints with trimming, replicas
that are rebuilt), in which the table is written and indexes come and go; then everything is healed, and as soon as
nothing is left to be done each index has to be the projection of the table, on every node.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from statorpb import cluster_pb2, partition_pb2

from server.model.key_encoding import CHANGES, CURSORS, PREFIX_BYTES, own_rows
from server.model.partition_map import PartitionMap
from server.model.table import GlobalIndex
from server.table_codec import put_global_index
from server.wire import item_from_bytes, item_to_bytes
from storage_node.partition.feeds import index_entry
from storage_node.taking import SOURCE
from tests.simulation.machine import InvariantError
from tests.simulation.node_world import NODE_IDS, NodeWorld
from tests.simulation.storage_nodes import Broken, Life, Node, replying
from tests.storage_node.nodes import TABLE
from tests.storage_node.test_feeds_against_a_model import LOCAL_INDEXES, SCHEMA, SHAPES, some_write

MS = 1_000_000
STARTS = (b"", b"\x80")
INDEX_NUMBERS = (50, 51)


class IndexWorld(NodeWorld):
    """Everything of one seed."""

    def __init__(self, seed: int, directory: Path, chaos_ns: int = 3_000 * MS, broken: Broken | None = None) -> None:
        self.answers: Counter[int] = Counter()  # of the table, by status
        self.filled = 0  # items that a back-fill has passed on
        self._taken: dict[bytes, int] = {}  # by a partition of an index, of one of the table: up to which slot
        self._committed: Counter[int] = Counter()  # by partition of the table: up to which slot, at least
        super().__init__(seed, directory, chaos_ns, broken)
        self._requests: list[partition_pb2.PartitionRequest] = []  # some that have been sent
        for _ in range(self.rng.randint(1, 3)):
            self.scheduler.schedule(self.rng.randrange(200 * MS), self._client)
        self.scheduler.schedule(300 * MS, self._strike)

    def lay_out(self) -> dict[int, cluster_pb2.PartitionDescriptor]:
        """Those of a table, and of its indexes."""
        rng = self.rng
        self.late = rng.choice((0, 0, 0.2))
        descriptors: dict[int, cluster_pb2.PartitionDescriptor] = {}
        key = cluster_pb2.KeyAttribute(name="pk", type="S")
        table_starts = STARTS[: rng.randint(1, 2)]
        self.tables = PartitionMap(table_starts, tuple(range(100, 100 + len(table_starts))))
        local_indexes = LOCAL_INDEXES if rng.random() < 0.2 else ()
        for place, partition_id in enumerate(self.tables.partition_ids):
            start, end = self.tables.range_of(place)
            descriptors[partition_id] = cluster_pb2.PartitionDescriptor(
                partition_id=partition_id, table_number=TABLE, partition_key=key, range_start=start, range_end=end
            )
            descriptors[partition_id].local_indexes.extend(local_indexes)
        self.indexes: dict[int, GlobalIndex] = {}
        self.targets: dict[int, PartitionMap] = {}
        self.wanted: dict[int, bool] = {}  # by number: whether it is to get the table's changes, or not any more
        self.next_number = 0
        for number in INDEX_NUMBERS[: rng.randint(1, 2)]:
            index = self.indexes[number] = GlobalIndex(number, f"index-{number}", *rng.choice(SHAPES))
            starts = STARTS[: rng.randint(1, 2)]
            targets = PartitionMap(starts, tuple(number * 10 + place for place in range(len(starts))))
            self.targets[number] = targets
            for place, partition_id in enumerate(targets.partition_ids):
                start, end = targets.range_of(place)
                descriptor = descriptors[partition_id] = cluster_pb2.PartitionDescriptor(
                    partition_id=partition_id, table_number=number, partition_key=key, range_start=start, range_end=end
                )
                put_global_index(descriptor.index, index)
        return descriptors

    def prepare(self) -> None:
        """When there are to be which indexes."""
        rng = self.rng
        at_ns = 0
        for number in self.indexes:
            at_ns += rng.randrange(1_500 * MS)
            self.scheduler.schedule(at_ns, partial(self._want, number))
        if len(self.indexes) > 1 and rng.random() < 0.4:
            gone = partial(self._want_no_more, rng.choice(INDEX_NUMBERS), is_named=rng.random() < 0.5)
            self.scheduler.schedule(at_ns + rng.randrange(1_000 * MS), gone)

    def boot(self, node: Node) -> None:
        is_first = node.boot == 0
        super().boot(node)
        if is_first:
            self._attend(node)

    def crash(self, node: Node) -> None:
        if node.life is not None:
            self._note_committed(node.life)
            self.filled += node.life.feeding.back_fill.items_passed
        super().crash(node)

    # The metadata service

    def _want(self, number: int) -> None:
        self.wanted[number], self.next_number = True, number + 1

    def _want_no_more(self, number: int, *, is_named: bool) -> None:
        """`is_named`: as long as it is being removed; later it is not known any more."""
        if is_named:
            self.wanted[number] = False
        else:
            del self.wanted[number]

    @property
    def live(self) -> list[int]:
        """The indexes that there are, by number."""
        return [number for number, is_fed in self.wanted.items() if is_fed]

    def _attend(self, node: Node) -> None:
        """A node hears now and then of what is wanted."""
        if node.life is not None and (self.is_healing or self.rng.random() < 0.5):
            partitions = [cluster_pb2.PartitionDescriptor(partition_id=each) for each in self.tables.partition_ids]
            for number, is_fed in self.wanted.items():
                for partition in partitions:
                    put_global_index(partition.feeds.add(removed=not is_fed).index, self.indexes[number])
            node.life.tell(partitions, self.next_number, [self._route(number) for number in self.live])
        self.scheduler.schedule(self.rng.randrange(20 * MS, 200 * MS), partial(self._attend, node))

    def _route(self, number: int) -> cluster_pb2.IndexRoute:
        """Who leads there is told by chance."""
        route = cluster_pb2.IndexRoute(number=number)
        targets = self.targets[number]
        for start, partition_id in zip(targets.starts, targets.partition_ids, strict=True):
            partition = route.partitions.add(
                partition_id=partition_id, range_start=start, leader_node_id=self.rng.randrange(len(NODE_IDS) + 1)
            )
            for node_id in NODE_IDS:
                partition.members.add(node_id=node_id, address=str(node_id))
        return route

    # Clients

    def _client(self) -> None:
        """One write after the other, where the partition seems to be led; some are sent again."""
        if self.is_healing:
            return
        rng = self.rng
        if self._requests and rng.random() < 0.2:
            request = rng.choice(self._requests[-5:])
        else:
            request = some_write(rng)
            request.token = rng.randbytes(16)
            request.partition_id = self.tables.partition_of(request.key[PREFIX_BYTES:])
            self._requests.append(request)
        life = self.nodes[rng.choice(NODE_IDS)].life
        if life is not None:
            leader = self.nodes.get(life.host.leader_of(request.partition_id)[0])
            life = leader.life if leader is not None else life
        if life is not None:
            copy = partition_pb2.PartitionRequest.FromString(request.SerializeToString())
            life.serve(copy, replying(self._answered))
        self.scheduler.schedule(rng.randrange(2 * MS, 30 * MS), self._client)

    def _answered(self, reply: partition_pb2.PartitionReply) -> None:
        self.answers[reply.status] += 1

    # Faults

    def _strike(self) -> None:
        """Something goes wrong, and something else soon."""
        if self.is_healing:
            return
        self._check_taken()
        rng, roll = self.rng, self.rng.random()
        node, partition_id = self.nodes[rng.choice(NODE_IDS)], rng.choice(list(self.descriptors))
        leader = self.leader(partition_id)
        if roll < 0.2:
            self.crash_for_a_while(node)
        elif roll < 0.28:
            self._cut_power()
        elif roll < 0.34 and leader is not None:
            self.cut_off(leader.node)
        elif roll < 0.4:
            one, two = rng.sample(NODE_IDS, 2)
            self.network.cuts.add((one, two))
        elif roll < 0.5 and leader is not None:
            leader.host.hand_over(partition_id)
        elif roll < 0.65 and leader is not None and node.life is not None:
            self.rebuild(node.life, partition_id, leader)
        elif roll < 0.75 and node.life is not None:
            node.life.checkpoint()
        elif roll < 0.9:
            self._deafen(partition_id)
        else:
            self.mend_links()
        self.scheduler.schedule(rng.randrange(50 * MS, 700 * MS), self._strike)

    def _deafen(self, *partition_ids: int, least_ns: int = 200 * MS) -> None:
        self.deaf |= set(partition_ids)
        later_ns = least_ns + self.rng.randrange(1_000 * MS)
        self.scheduler.schedule(later_ns, partial(self.deaf.difference_update, partition_ids))

    def _deafen_indexes(self, least_ns: int) -> None:
        """The table's changes gather."""
        self._deafen(*(each for targets in self.targets.values() for each in targets.partition_ids), least_ns=least_ns)

    def _cut_power(self) -> None:
        """All nodes crash, mostly with changes in what they have stored."""
        self._deafen_indexes(800 * MS)
        for life in self.living():
            life.later(self.rng.randrange(200 * MS), life.checkpoint)
        self.scheduler.schedule(self.rng.randrange(150 * MS, 250 * MS), self.crash_all)

    def rebuild(self, life: Life, partition_id: int, leader: Life) -> None:
        """Of the table, with changes in it."""
        if partition_id in self.tables.partition_ids:
            self._deafen_indexes(600 * MS)
        super().rebuild(life, partition_id, leader)

    # What must hold

    def _sources(self, number: int, partition_id: int) -> list[tuple[int, bytes]]:
        """(partition of the table, the key under which a partition of an index notes what it has of that)."""
        rows = own_rows(number, CURSORS, partition_id) + SOURCE
        return [(source, rows + source.to_bytes(8, "big")) for source in self.tables.partition_ids]

    def _note_committed(self, life: Life) -> None:
        for source in self.tables.partition_ids:
            self._committed[source] = max(self._committed[source], life.store.applied_slot(source))

    def _check_taken(self) -> None:
        """How far a partition of the table has been taken never goes back, nor beyond what is committed there."""
        for life in self.living():
            self._note_committed(life)
        for number, targets in self.targets.items():
            for partition_id in targets.partition_ids:
                leader = self.leader(partition_id)
                for source, key in self._sources(number, partition_id) if leader is not None else ():
                    slot = int.from_bytes(leader.store.get(key) or b"", "big")  # type: ignore[union-attr]
                    known = self._taken.get(key, 0)
                    if not known <= slot <= self._committed[source]:
                        raise InvariantError(f"partition {partition_id} has taken {source} up to {slot}, after {known}")
                    self._taken[key] = slot

    def unrest(self) -> str:
        if lagging := self.lagging():
            return lagging
        for partition_id in self.descriptors:
            leader = self.leader(partition_id)
            assert leader is not None
            for life in self.living():
                if life.replicas[partition_id].changes.pending_bytes:
                    return f"node {life.node.node_id} keeps changes of partition {partition_id}"
            if partition_id in self.tables.partition_ids:
                changes = leader.replicas[partition_id].changes
                complete = [each.index_number for each in changes.reports() if each.complete and not each.pending]
                if list(changes.feeds) != self.live or complete != self.live:
                    return f"partition {partition_id} feeds {list(changes.feeds)}, and all of it {complete}"
        return ""

    def check(self) -> None:
        """Every index is the projection of the table, on every node, and nothing is kept that was taken."""
        tables: list[dict[bytes, bytes]] = []
        for life in self.living():
            items: dict[bytes, bytes] = {}
            for partition_id in self.tables.partition_ids:
                items |= self.stored(life, partition_id)
                rows = own_rows(TABLE, CHANGES, partition_id)
                if list(life.store.scan(rows, rows + b"\xff" * 9)):
                    raise InvariantError(f"node {life.node.node_id} keeps changes that were taken")
            for number in self.live:
                index = self.indexes[number]
                found: dict[bytes, bytes] = {}
                for partition_id in self.targets[number].partition_ids:
                    found |= self.stored(life, partition_id)
                entries = (index_entry(index, SCHEMA, key, item_from_bytes(item)) for key, item in items.items())
                expected = {entry[0]: item_to_bytes(entry[1]) for entry in entries if entry is not None}
                if found != expected:
                    raise InvariantError(
                        f"on node {life.node.node_id} index {number} lacks {sorted(expected.items() - found.items())} "
                        f"and has {sorted(found.items() - expected.items())} instead"
                    )
            tables.append(items)
            self.note(self.filled, sorted(items.items()))
        if any(items != tables[0] for items in tables):
            raise InvariantError("nodes at the same slots hold different items")
