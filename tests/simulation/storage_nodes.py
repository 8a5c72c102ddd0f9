"""Storage nodes of a simulation: in each life the real replicas over the real store, the real sender and back-fill,
and the real replica host under them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from statorpb import cluster_pb2, partition_pb2

from server.paxos.lease import NodeLeases
from server.paxos.quorum import Configuration
from storage_node.backfill import BackFill
from storage_node.btree import StoreFullError
from storage_node.feeding import Feeding
from storage_node.host import NodeHost
from storage_node.index_sender import IndexSender
from storage_node.nudges import Nudges
from storage_node.partition.lead import CHANGES_MAX
from storage_node.partition_client import Answered, PartitionClient
from storage_node.replica import PartitionReplica
from storage_node.replies import Reply, Status
from storage_node.store import Store
from tests.simulation.clock import NodeClock, Scheduler
from tests.simulation.disk import REPEATED_BYTES, SimulatedWal
from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.machine import InvariantError
from tests.simulation.network import SimulatedTransport
from tests.simulation.world import ELECTION, LEASES

if TYPE_CHECKING:
    from tests.simulation.node_world import NodeWorld

MS = 1_000_000
MIB = 1024 * 1024
TICK_NS = 5 * MS
HOUSEKEEPING_NS = 50 * MS
ANSWER_NS = 250 * MS
"""For how long a batch is waited for."""
LATE_NS = 1_000 * MS
CHECKPOINT_NS = 1_000 * MS


class Client:
    """A sender's way to the nodes of an index, as PartitionClient."""

    def __init__(self, world: NodeWorld, life: Life) -> None:
        self._world = world
        self._life = life

    def ask(self, address: str, request: partition_pb2.PartitionRequest, answered: Answered) -> None:
        """`answered` is called once, if the node that asks lives for so long."""
        own, to = self._life.node.node_id, int(address)
        data = request.SerializeToString()  # it may come twice
        waiting = [answered]

        def tell(answer: partition_pb2.PartitionReply | None) -> None:
            if waiting and not self._life.is_over:
                waiting.pop()(answer)

        def answer(reply: partition_pb2.PartitionReply) -> None:
            self._world.network.send(to, own, lambda host: tell(reply))

        def arrive() -> None:
            target = self._world.nodes[to].life
            if target is not None and request.partition_id not in self._world.deaf:
                target.serve(partition_pb2.PartitionRequest.FromString(data), replying(answer))

        world = self._world
        world.network.send(own, to, lambda host: arrive())
        if world.rng.random() < world.late and not world.is_healing:
            late_ns = world.rng.randrange(LATE_NS)
            world.scheduler.schedule(late_ns, lambda: world.network.send(own, to, lambda host: arrive()))
        world.scheduler.schedule(ANSWER_NS, lambda: tell(None))


def replying(answer: Callable[[partition_pb2.PartitionReply], None]) -> Reply:
    """What a replica answers with."""

    def reply(
        request_id: int,
        status: Status,
        item: bytes = b"",
        leader_node_id: int = 0,
        message: str = "",
        extra_bytes: int = 0,
    ) -> partition_pb2.PartitionReply:
        told = partition_pb2.PartitionReply(
            id=request_id, status=status, item=item, leader_node_id=leader_node_id, message=message
        )
        answer(told)
        return told

    return reply


@dataclass
class Broken:
    """Deliberate breakages, one at a time."""

    store: type[Store] = Store
    replica: type[PartitionReplica] = PartitionReplica
    back_fill: type[BackFill] = BackFill
    client: type[Client] = Client


class Engine:
    """The thread of a life that blocks: one piece of work after the other, each with what is to follow it."""

    def __init__(self, scheduler: Scheduler, rng: random.Random) -> None:
        self.is_over = False
        self._scheduler = scheduler
        self._rng = rng
        self._free_ns = 0

    def run(self, work: Callable[[], None], done: Callable[[], object]) -> None:
        """As StorageNode._run."""
        now_ns = self._scheduler.now_ns
        self._free_ns = max(self._free_ns, now_ns) + self._rng.randrange(MS // 10, 8 * MS)
        self._scheduler.schedule(self._free_ns - now_ns, partial(self._carry_out, work, done))

    def _carry_out(self, work: Callable[[], None], done: Callable[[], object]) -> None:
        def tell() -> None:
            if not self.is_over:
                done()

        if self.is_over:
            return
        try:
            work()
        except StoreFullError:
            return  # it will be tried again
        self._scheduler.schedule(MS // 10, tell)


class Life:
    """Of a node, from a start to a crash. Takes what is on the node's disk, and begins."""

    def __init__(self, world: NodeWorld, node: Node) -> None:
        self.node = node
        self.replicas: dict[int, PartitionReplica] = {}
        self._world = world
        self._scheduler = world.scheduler
        self._is_checkpointing = False
        self._checkpoint_ns = 0
        broken = world.broken
        node.boot += 1
        now_ns = node.clock.now_ns
        self.store = broken.store(node.directory, map_bytes=4 * MIB, memtable_bytes=64 * MIB)
        self.store.open()
        self.loop = SimulatedLoop(self._scheduler)
        self.engine = Engine(self._scheduler, world.rng)
        leases = NodeLeases(LEASES, boot=node.boot, is_first_boot=node.boot == 1, now_ns=now_ns())
        self.host = NodeHost(
            node.node_id,
            node.wal,
            SimulatedTransport(node.node_id, world.network),
            leases,
            world.rng,
            now_ns,
            partial(self.later, 0),
            ELECTION,
            lambda callback: self.later(world.rng.randrange(2 * MS), callback),
        )
        self.host.snapshots.logged_bytes_max = (1 << 30, 4_000)[world.seed % 2]
        self.host.apply_entries_max = (512, 2, 1)[world.seed % 3]
        self.host.snapshots.on_restored = world.note_restored
        self.host.on_leadership = lambda group_id, is_serving: self.sender.tend()
        self.feeding = Feeding(self.store, self.replicas)
        self.feeding.back_fill = broken.back_fill(self.store, self.replicas)
        self.feeding.back_fill.slice_items = 2
        self.nudges = Nudges(self.replicas)
        for tell in world.nudged(node):
            self.nudges.add(tell)
        client = cast(PartitionClient, broken.client(world, self))
        self.sender = self.loop.inside(lambda: IndexSender(self.host.leader_ballot, self._rotten, client))
        floors = {group_id: self.store.checkpointed_slot(group_id) for group_id in world.descriptors}
        recovered = node.wal.recover(floors).groups
        for group_id, descriptor in world.descriptors.items():
            self._open(descriptor, world.configurations[group_id], recovered.get(group_id))
        self.loop.start(self.feeding.run())
        self.loop.start(self.feeding.back_fill.run())
        self.loop.start(self.nudges.run())
        self._tick()
        self._keep_house()

    def _open(self, descriptor: cluster_pb2.PartitionDescriptor, configuration: Configuration, recovered: Any) -> None:
        group_id = descriptor.partition_id
        slot = self.store.checkpointed_slot(group_id)
        replica = self._world.broken.replica(descriptor, self.store, self.host, self.engine.run, self._rotten)
        replica.changes.now_s = self.loop.time
        replica.changes.lead.changes_max = (1, 4, CHANGES_MAX)[self.node.boot % 3]
        replica.proposals.now_ms = lambda: self.node.clock.now_ns() // MS
        replica.proposals.wall_ms = self._world.wall_ms
        replica.reads.cpu_s = self.loop.time
        replica.again = self.serve
        self.sender.keep(group_id, replica.changes)
        self.host.open_group(group_id, configuration, replica, recovered, slot)
        self.replicas[group_id] = replica

    def end(self) -> None:
        """In a crash: what is not on the disk is gone."""
        self.engine.is_over = True
        self.loop.end()
        self.node.wal.crash()
        self.store.close()

    @property
    def is_over(self) -> bool:
        return self.engine.is_over

    def later(self, delay_ns: int, callback: Callable[[], None]) -> None:
        """Calls it then, in this life or not at all."""
        self._scheduler.schedule(delay_ns, lambda: None if self.is_over else callback())

    def serve(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """As StorageNode.serve."""
        self.replicas[request.partition_id].serve(request, reply, is_full=False)

    def tell(self, partitions: Iterable[cluster_pb2.PartitionDescriptor], next_number: int, routes: Any) -> None:
        """What StorageNode.assign tells of indexes."""
        self.feeding.want(partitions, next_number)
        self.sender.set_routes(routes)

    def checkpoint(self) -> None:
        """As StorageNode.checkpoint; one at a time."""
        checkpoint = None if self._is_checkpointing else self.store.freeze_for_checkpoint()
        if checkpoint is None:
            return

        def written() -> None:
            self.store.finish_checkpoint(checkpoint)
            floors = {group_id: self.store.checkpointed_slot(group_id) for group_id in self.replicas}
            self.host.trim(floors)
            self.node.wal.trim(floors)
            if self.node.boot % 2:
                for group_id, floor in floors.items():
                    self.node.wal.repeat(self.host.needed_records(group_id, floor, REPEATED_BYTES), group_id)
            self._is_checkpointing = False

        self._is_checkpointing = True
        self.engine.run(lambda: self.store.write_checkpoint(checkpoint), written)

    def _tick(self) -> None:
        self.host.tick()
        self.later(TICK_NS, self._tick)

    def _keep_house(self) -> None:
        self.sender.tend()
        if self._world.is_healing and self._scheduler.now_ns >= self._checkpoint_ns:
            self._checkpoint_ns = self._scheduler.now_ns + CHECKPOINT_NS
            self.checkpoint()  # as from time to time in real life
        self.later(HOUSEKEEPING_NS, self._keep_house)

    def _rotten(self, partition_id: int, sentence: str) -> None:
        raise InvariantError(f"node {self.node.node_id}, partition {partition_id}: {sentence}")


@dataclass
class Node:
    """What of a node survives a crash, and its life if it has one."""

    node_id: int
    clock: NodeClock
    wal: SimulatedWal
    directory: Path
    boot: int = 0
    life: Life | None = None
