"""A table and its global indexes, of one seed: partitions of both on three nodes, under attack, on simulated clocks,
logs and network.

What the nodes run is real: change log, back-fill, sender, taking, with the store and the consensus under them. First
chaos (crashes, cut links, messages that are lost, late or come twice, hand-overs, checkpoints with trimming, replicas
that are rebuilt), in which the table is written and indexes come and go; then everything is healed, and as soon as
nothing is left to be done each index has to be the projection of the table, on every node.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path
from zlib import crc32

from statorpb import cluster_pb2, partition_pb2

from server.model.key_encoding import CHANGES, CURSORS, PREFIX_BYTES, own_rows
from server.model.partition_map import PartitionMap
from server.model.table import GlobalIndex
from server.paxos.quorum import Configuration, Member
from server.table_codec import put_global_index
from server.wire import item_from_bytes, item_to_bytes
from storage_node.host import NodeHost
from storage_node.partition.feeds import index_entry
from storage_node.taking import SOURCE
from tests.simulation.clock import NodeClock, Scheduler
from tests.simulation.disk import SimulatedWal
from tests.simulation.index_nodes import Broken, Life, Node, replying
from tests.simulation.machine import InvariantError
from tests.simulation.network import Network, NetworkFaults
from tests.storage_node.nodes import TABLE
from tests.storage_node.test_feeds_against_a_model import LOCAL_INDEXES, SCHEMA, SHAPES, some_write

MS = 1_000_000
NODE_IDS = (1, 2, 3)
STARTS = (b"", b"\x80")
INDEX_NUMBERS = (50, 51)
HEALED_NS = 20_000 * MS
EVENTS_MAX = 200_000
"""Several times what the longest seeds have."""
LOOK_NS = 50 * MS
"""How often it is looked, once everything is healed, whether all is at rest."""


class IndexWorld:
    """Everything of one seed. `directory`: empty, for the stores."""

    def __init__(self, seed: int, directory: Path, chaos_ns: int = 3_000 * MS, broken: Broken | None = None) -> None:
        self.seed = seed
        self.chaos_ns = chaos_ns
        self.broken = broken or Broken()
        self.rng = rng = random.Random(seed)
        self.scheduler = Scheduler()
        self.is_healing = False
        self.answers: Counter[int] = Counter()  # of the table, by status
        self.crashes = self.restored = self.filled = 0
        """Crashes of nodes; snapshots that were installed; items that a back-fill has passed on."""
        self.trace = 0
        self.nodes: dict[int, Node] = {}
        self._taken: dict[bytes, int] = {}  # by a partition of an index, of one of the table: up to which slot
        self._committed: Counter[int] = Counter()  # by partition of the table: up to which slot, at least
        faults = NetworkFaults(
            loss=rng.choice((0, 0.01, 0.1)),
            duplication=rng.choice((0, 0.1)),
            delay_mean_ns=rng.choice((200_000, 2 * MS)),
            spike=rng.choice((0, 0.05)),
        )
        self.deaf: set[int] = set()  # partitions of indexes that batches do not reach
        self.late = rng.choice((0, 0, 0.2))  # the chance that a batch comes once more, much later
        self.network = Network(self.scheduler, rng, faults, self._host_of)
        self._lay_out()
        sync_ns, drift_max = rng.choice((200_000, 3 * MS)), rng.choice((0, 4_000))
        for node_id in NODE_IDS:
            clock = NodeClock(self.scheduler, rng.randrange(10**12), rng.randint(-drift_max, drift_max))
            wal = SimulatedWal(self.scheduler.schedule, rng, sync_ns=sync_ns, now_ns=clock.now_ns)
            self.nodes[node_id] = Node(node_id, clock, wal, directory / f"node-{node_id}")
        for node in self.nodes.values():
            self.boot(node)
            self._attend(node)
        self._requests: list[partition_pb2.PartitionRequest] = []  # some that have been sent
        for _ in range(rng.randint(1, 3)):
            self.scheduler.schedule(rng.randrange(200 * MS), self._client)
        self.scheduler.schedule(300 * MS, self._strike)

    def _lay_out(self) -> None:
        """Which partitions there are, and when there are to be which indexes."""
        rng = self.rng
        self.descriptors: dict[int, cluster_pb2.PartitionDescriptor] = {}
        key = cluster_pb2.KeyAttribute(name="pk", type="S")
        table_starts = STARTS[: rng.randint(1, 2)]
        self.tables = PartitionMap(table_starts, tuple(range(100, 100 + len(table_starts))))
        local_indexes = LOCAL_INDEXES if rng.random() < 0.2 else ()
        for place, partition_id in enumerate(self.tables.partition_ids):
            start, end = self.tables.range_of(place)
            self.descriptors[partition_id] = cluster_pb2.PartitionDescriptor(
                partition_id=partition_id, table_number=TABLE, partition_key=key, range_start=start, range_end=end
            )
            self.descriptors[partition_id].local_indexes.extend(local_indexes)
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
                descriptor = self.descriptors[partition_id] = cluster_pb2.PartitionDescriptor(
                    partition_id=partition_id, table_number=number, partition_key=key, range_start=start, range_end=end
                )
                put_global_index(descriptor.index, index)
        self.configurations: dict[int, Configuration] = {}
        for partition_id in self.descriptors:
            members = [Member(node_id, f"zone-{node_id}") for node_id in NODE_IDS]
            rng.shuffle(members)
            self.configurations[partition_id] = Configuration(tuple(members))
        at_ns = 0
        for number in self.indexes:
            at_ns += rng.randrange(1_500 * MS)
            self.scheduler.schedule(at_ns, partial(self._want, number))
        if len(self.indexes) > 1 and rng.random() < 0.4:
            gone = partial(self._want_no_more, rng.choice(INDEX_NUMBERS), is_named=rng.random() < 0.5)
            self.scheduler.schedule(at_ns + rng.randrange(1_000 * MS), gone)

    def close(self) -> None:
        """Ends what still runs. To be called however a run has ended."""
        for node in self.nodes.values():
            if node.life is not None:
                self.crash(node)

    # Running

    def run(self) -> None:
        """Plays the seed to its end; raises InvariantError for what must not be."""
        while self.scheduler.now_ns < self.chaos_ns:
            self._step()
        self._heal()
        deadline_ns = self.scheduler.now_ns + HEALED_NS
        while (unrest := self._unrest()) != "":
            if self.scheduler.now_ns > deadline_ns:
                raise InvariantError(f"not at rest {HEALED_NS // (1_000 * MS)} s after everything was healed: {unrest}")
            look_ns = self.scheduler.now_ns + LOOK_NS
            while self.scheduler.now_ns < look_ns:
                self._step()
        self._check()
        self.close()
        self._trace(self.scheduler.now_ns, self.scheduler.events, self.crashes, self.restored, self.filled)

    def _step(self) -> None:
        self.scheduler.step()
        if self.scheduler.events > EVENTS_MAX:
            raise InvariantError(f"something goes round for ever, after {self.scheduler.now_ns // MS} ms")

    def _trace(self, *what: object) -> None:
        """Two runs of a seed have the same."""
        self.trace = crc32(repr(what).encode(), self.trace)

    def _host_of(self, node_id: int) -> NodeHost | None:
        life = self.nodes[node_id].life
        return None if life is None else life.host

    def living(self) -> list[Life]:
        return [node.life for node in self.nodes.values() if node.life is not None]

    def leader(self, partition_id: int) -> Life | None:
        """The life that serves a partition."""
        return next((life for life in self.living() if life.host.is_serving_leader(partition_id)), None)

    def boot(self, node: Node) -> None:
        if node.life is None:
            node.life = Life(self, node)
            for other in self.nodes.values():
                if other is not node and other.life is not None:
                    self._connect(node.node_id, other.node_id)

    def crash(self, node: Node) -> None:
        if node.life is not None:
            self._note_committed(node.life)
            self.filled += node.life.feeding.back_fill.items_passed
            node.life.end()
            node.life = None

    def _connect(self, one: int, two: int) -> None:
        for node_id, peer in ((one, two), (two, one)):
            life = self.nodes[node_id].life
            if life is not None:
                life.later(MS, partial(life.host.peer_connected, peer))

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
            self._crash_for_a_while(node)
        elif roll < 0.28:
            self._cut_power()
        elif roll < 0.34 and leader is not None:
            pairs = {(leader.node.node_id, node_id) for node_id in NODE_IDS if node_id != leader.node.node_id}
            self.network.cuts = pairs | {(two, one) for one, two in pairs}
        elif roll < 0.4:
            one, two = rng.sample(NODE_IDS, 2)
            self.network.cuts.add((one, two))
        elif roll < 0.5 and leader is not None:
            leader.host.hand_over(partition_id)
        elif roll < 0.65 and leader is not None and node.life is not None:
            self._rebuild(node.life, partition_id, leader)
        elif roll < 0.75 and node.life is not None:
            node.life.checkpoint()
        elif roll < 0.9:
            self._deafen(partition_id)
        else:
            self._mend_links()
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
        self.scheduler.schedule(self.rng.randrange(150 * MS, 250 * MS), self._crash_all)

    def _crash_all(self) -> None:
        for node in self.nodes.values() if not self.is_healing else ():
            self._crash_for_a_while(node)

    def _rebuild(self, life: Life, partition_id: int, leader: Life) -> None:
        """A replica is given up, and gets the state that the leader has then: of the table, with changes in it."""
        if partition_id in self.tables.partition_ids:
            self._deafen_indexes(600 * MS)
        leader.later(self.rng.randrange(200 * MS), leader.checkpoint)
        life.later(200 * MS + self.rng.randrange(50 * MS), partial(life.host.rebuild, partition_id))

    def note_restored(self, partition_id: int) -> None:
        """A replica has been rebuilt: often it soon leads, with what it was sent."""
        self.restored += 1
        if not self.is_healing and self.rng.random() < 0.6:
            self.scheduler.schedule(self.rng.randrange(50 * MS), partial(self._crash_leader, partition_id))

    def _crash_leader(self, partition_id: int) -> None:
        leader = self.leader(partition_id)
        if leader is not None and not self.is_healing:
            self._crash_for_a_while(leader.node)

    def _crash_for_a_while(self, node: Node) -> None:
        self.crashes += 1
        self.crash(node)
        self.scheduler.schedule(self.rng.randrange(10 * MS, 600 * MS), partial(self.boot, node))

    def _mend_links(self) -> None:
        self.network.cuts = set()
        for one, two in ((1, 2), (1, 3), (2, 3)):
            self._connect(one, two)

    def _heal(self) -> None:
        self.is_healing = True
        self.network.faults = NetworkFaults()
        self.deaf.clear()
        for node in self.nodes.values():
            self.boot(node)
        self._mend_links()

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

    def _unrest(self) -> str:
        """What is not at rest yet; empty: all is."""
        for partition_id in self.descriptors:
            leader = self.leader(partition_id)
            if leader is None:
                return f"nobody leads partition {partition_id}"
            last_slot = leader.host.groups[partition_id].core.log.last_slot
            for life in self.living():
                if life.replicas[partition_id].is_restoring or life.store.applied_slot(partition_id) != last_slot:
                    return f"node {life.node.node_id} lags in partition {partition_id}"
                if life.replicas[partition_id].changes.pending_bytes:
                    return f"node {life.node.node_id} keeps changes of partition {partition_id}"
            if partition_id in self.tables.partition_ids:
                changes = leader.replicas[partition_id].changes
                complete = [each.index_number for each in changes.reports() if each.complete and not each.pending]
                if list(changes.feeds) != self.live or complete != self.live:
                    return f"partition {partition_id} feeds {list(changes.feeds)}, and all of it {complete}"
        return ""

    def _check(self) -> None:
        """Every index is the projection of the table, on every node, and nothing is kept that was taken."""
        tables: list[dict[bytes, bytes]] = []
        for life in self.living():
            items: dict[bytes, bytes] = {}
            for partition_id in self.tables.partition_ids:
                items |= self._stored(life, partition_id)
                rows = own_rows(TABLE, CHANGES, partition_id)
                if list(life.store.scan(rows, rows + b"\xff" * 9)):
                    raise InvariantError(f"node {life.node.node_id} keeps changes that were taken")
            for number in self.live:
                index = self.indexes[number]
                found: dict[bytes, bytes] = {}
                for partition_id in self.targets[number].partition_ids:
                    found |= self._stored(life, partition_id)
                entries = (index_entry(index, SCHEMA, key, item_from_bytes(item)) for key, item in items.items())
                expected = {entry[0]: item_to_bytes(entry[1]) for entry in entries if entry is not None}
                if found != expected:
                    raise InvariantError(
                        f"on node {life.node.node_id} index {number} lacks {sorted(expected.items() - found.items())} "
                        f"and has {sorted(found.items() - expected.items())} instead"
                    )
            tables.append(items)
            self._trace(sorted(items.items()))
        if any(items != tables[0] for items in tables):
            raise InvariantError("nodes at the same slots hold different items")

    @staticmethod
    def _stored(life: Life, partition_id: int) -> dict[bytes, bytes]:
        """Range position -> item or entry."""
        replica = life.replicas[partition_id]
        return {key[PREFIX_BYTES:]: data for key, data in life.store.scan(replica.first_key, replica.end_key)}
