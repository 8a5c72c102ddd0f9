"""Partitions on three nodes, under attack, on simulated clocks, logs and network: what worlds have in common that are
about what is in the partitions, and not about one group.

First chaos, then everything is healed, and as soon as nothing is left to be done it is looked whether all is as it has
to be.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from zlib import crc32

from statorpb import cluster_pb2

from server.model.key_encoding import PREFIX_BYTES
from server.paxos.quorum import Configuration, Member
from storage_node.host import NodeHost
from storage_node.nudges import Tell
from tests.simulation.clock import NodeClock, Scheduler
from tests.simulation.disk import SimulatedWal
from tests.simulation.machine import InvariantError
from tests.simulation.network import Network, NetworkFaults
from tests.simulation.storage_nodes import Broken, Life, Node

MS = 1_000_000
NODE_IDS = (1, 2, 3)
HEALED_NS = 20_000 * MS
WALL_MS = 1_700_000_000_000
"""The time of day at which a run begins."""
LOOK_NS = 50 * MS
"""How often it is looked, once everything is healed, whether all is at rest."""


class NodeWorld(ABC):
    """Everything of one seed. `directory`: empty, for the stores. `events_max`: several times what the longest seeds
    have."""

    events_max = 200_000

    def __init__(self, seed: int, directory: Path, chaos_ns: int = 3_000 * MS, broken: Broken | None = None) -> None:
        self.seed = seed
        self.chaos_ns = chaos_ns
        self.broken = broken or Broken()
        self.rng = rng = random.Random(seed)
        self.scheduler = Scheduler()
        self.is_healing = False
        self.crashes = self.restored = 0
        """Crashes of nodes; snapshots that were installed."""
        self.trace = 0
        self.nodes: dict[int, Node] = {}
        self.deaf: set[int] = set()  # partitions that what other nodes send does not reach
        self.late = 0.0  # the chance that what nodes send each other comes once more, much later
        faults = NetworkFaults(
            loss=rng.choice((0, 0.01, 0.1)),
            duplication=rng.choice((0, 0.1)),
            delay_mean_ns=rng.choice((200_000, 2 * MS)),
            spike=rng.choice((0, 0.05)),
        )
        self.network = Network(self.scheduler, rng, faults, self._host_of)
        self.descriptors = self.lay_out()
        self.configurations = {partition_id: self._members() for partition_id in self.descriptors}
        self.prepare()
        sync_ns, drift_max = rng.choice((200_000, 3 * MS)), rng.choice((0, 4_000))
        for node_id in NODE_IDS:
            clock = NodeClock(self.scheduler, rng.randrange(10**12), rng.randint(-drift_max, drift_max))
            wal = SimulatedWal(self.scheduler.schedule, rng, sync_ns=sync_ns, now_ns=clock.now_ns)
            self.nodes[node_id] = Node(node_id, clock, wal, directory / f"node-{node_id}")
        for node in self.nodes.values():
            self.boot(node)

    def _members(self) -> Configuration:
        members = [Member(node_id, f"zone-{node_id}") for node_id in NODE_IDS]
        self.rng.shuffle(members)
        return Configuration(tuple(members))

    # What the worlds differ in

    @abstractmethod
    def lay_out(self) -> dict[int, cluster_pb2.PartitionDescriptor]:
        """Decides which partitions there are."""

    def nudged(self, node: Node) -> Sequence[Tell]:
        """Whom a node tells of transactions that do not get on."""
        return ()

    @abstractmethod
    def prepare(self) -> None:
        """Decides the rest, before there are nodes."""

    @abstractmethod
    def unrest(self) -> str:
        """What is not at rest yet; empty: all is."""

    @abstractmethod
    def check(self) -> None:
        """Raises InvariantError for what must not be, at rest."""

    # Running

    def close(self) -> None:
        """Ends what still runs. To be called however a run has ended."""
        for node in self.nodes.values():
            if node.life is not None:
                self.crash(node)

    def run(self) -> None:
        """Plays the seed to its end; raises InvariantError for what must not be."""
        while self.scheduler.now_ns < self.chaos_ns:
            self._step()
        self.heal()
        deadline_ns = self.scheduler.now_ns + HEALED_NS
        while (unrest := self.unrest()) != "":
            if self.scheduler.now_ns > deadline_ns:
                raise InvariantError(f"not at rest {HEALED_NS // (1_000 * MS)} s after everything was healed: {unrest}")
            look_ns = self.scheduler.now_ns + LOOK_NS
            while self.scheduler.now_ns < look_ns:
                self._step()
        self.check()
        self.close()
        self.note(self.scheduler.now_ns, self.scheduler.events, self.crashes, self.restored)

    def _step(self) -> None:
        self.scheduler.step()
        if self.scheduler.events > self.events_max:
            raise InvariantError(f"something goes round for ever, after {self.scheduler.now_ns // MS} ms")

    def note(self, *what: object) -> None:
        """For the trace: two runs of a seed have the same."""
        self.trace = crc32(repr(what).encode(), self.trace)

    def wall_ms(self) -> int:
        """The time of day."""
        return WALL_MS + self.scheduler.now_ns // MS

    def _host_of(self, node_id: int) -> NodeHost | None:
        life = self.nodes[node_id].life
        return None if life is None else life.host

    def living(self) -> list[Life]:
        return [node.life for node in self.nodes.values() if node.life is not None]

    def leader(self, partition_id: int) -> Life | None:
        """The life that serves a partition."""
        return next((life for life in self.living() if life.host.is_serving_leader(partition_id)), None)

    def lagging(self) -> str:
        """Which replica has not got everything yet; empty: none."""
        for partition_id in self.descriptors:
            leader = self.leader(partition_id)
            if leader is None:
                return f"nobody leads partition {partition_id}"
            last_slot = leader.host.groups[partition_id].core.log.last_slot
            for life in self.living():
                if life.replicas[partition_id].is_restoring or life.store.applied_slot(partition_id) != last_slot:
                    return f"node {life.node.node_id} lags in partition {partition_id}"
        return ""

    @staticmethod
    def stored(life: Life, partition_id: int) -> dict[bytes, bytes]:
        """Range position -> item, or entry of an index."""
        replica = life.replicas[partition_id]
        return {key[PREFIX_BYTES:]: data for key, data in life.store.scan(replica.first_key, replica.end_key)}

    # Nodes

    def boot(self, node: Node) -> None:
        if node.life is None:
            node.life = Life(self, node)
            for other in self.nodes.values():
                if other is not node and other.life is not None:
                    self._connect(node.node_id, other.node_id)

    def crash(self, node: Node) -> None:
        if node.life is not None:
            node.life.end()
            node.life = None

    def _connect(self, one: int, two: int) -> None:
        for node_id, peer in ((one, two), (two, one)):
            life = self.nodes[node_id].life
            if life is not None:
                life.later(MS, partial(life.host.peer_connected, peer))

    # Faults

    def crash_for_a_while(self, node: Node) -> None:
        self.crashes += 1
        self.crash(node)
        self.scheduler.schedule(self.rng.randrange(10 * MS, 600 * MS), partial(self.boot, node))

    def crash_all(self) -> None:
        for node in self.nodes.values() if not self.is_healing else ():
            self.crash_for_a_while(node)

    def crash_leader(self, partition_id: int) -> None:
        leader = self.leader(partition_id)
        if leader is not None and not self.is_healing:
            self.crash_for_a_while(leader.node)

    def cut_off(self, node: Node) -> None:
        """It cannot talk to the others, nor they to it."""
        pairs = {(node.node_id, node_id) for node_id in NODE_IDS if node_id != node.node_id}
        self.network.cuts = pairs | {(two, one) for one, two in pairs}

    def rebuild(self, life: Life, partition_id: int, leader: Life) -> None:
        """A replica is given up, and gets the state that the leader has then."""
        leader.later(self.rng.randrange(200 * MS), leader.checkpoint)
        life.later(200 * MS + self.rng.randrange(50 * MS), partial(life.host.rebuild, partition_id))

    def note_restored(self, partition_id: int) -> None:
        """A replica has been rebuilt: often it soon leads, with what it was sent."""
        self.restored += 1
        if not self.is_healing and self.rng.random() < 0.6:
            self.scheduler.schedule(self.rng.randrange(50 * MS), partial(self.crash_leader, partition_id))

    def mend_links(self) -> None:
        self.network.cuts = set()
        for one, two in ((1, 2), (1, 3), (2, 3)):
            self._connect(one, two)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.is_healing = True
        self.network.faults = NetworkFaults()
        self.deaf.clear()
        for node in self.nodes.values():
            self.boot(node)
        self.mend_links()
