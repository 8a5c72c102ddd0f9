"""A cluster of one seed: hosts with the real cores, on simulated clocks, disks and network, under attack.

Two phases: chaos (crashes that drop unsynced writes, flipped bits, cut links, message loss, clock-rate drift,
hand-overs, checkpoints with trimming), then everything is healed and the groups have to become available again and
agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO, Ballot
from server.paxos.election import ElectionConfig
from server.paxos.lease import LeaseConfig, NodeLeases
from server.paxos.messages import PeerMessage, Promise
from server.paxos.quorum import NO_FLOOR, Configuration, Floor, Member
from server.runtime.freshness import Freshness
from server.runtime.replica_host import Outcome, OutcomeKind, ReplicaHost
from storage_node.codec.mutation import Mutation, encode_mutation
from storage_node.partition.in_flight import InFlightWrites
from tests.simulation.ages import Ages
from tests.simulation.aimed import Aimed, Returns, aimed_at
from tests.simulation.checkers import ANYTHING, NEVER_NS, Operation, is_linearizable
from tests.simulation.clock import NodeClock, Scheduler
from tests.simulation.disk import REPEATED_BYTES, SimulatedWal
from tests.simulation.full_disks import full_disks_in
from tests.simulation.gray import gray_in
from tests.simulation.machine import EMPTY, InvariantError, Machine
from tests.simulation.members import Membership
from tests.simulation.nemesis import Nemesis, can_do_without
from tests.simulation.network import Network, NetworkFaults, SimulatedTransport

MS = 1_000_000
GROUP = 7
GRAY = 1 << 42
FULL = 1 << 40
AIMED = 1 << 41  # each concern has a generator of its own
LEASES = LeaseConfig(duration_ns=400 * MS, heartbeat_ns=100 * MS, drift_ppm=10_000)
ELECTION = ElectionConfig(
    jitter_ns=50 * MS,
    retry_ns=60 * MS,
    rank_ns=30 * MS,
    flush_ns=10 * MS,
    join_wait_ns=1_000 * MS,
    held_wait_ns=200 * MS,
)
"""Leases, and what is waited for, last a fifth of what they do in real life."""
ATTEMPT_NS = 300 * MS
SLOW_DISK_NS = 50 * MS
PROBE_NS = LEASES.duration_ns + 100 * MS
EVENTUAL_AGE_NS = 700 * MS


@dataclass
class Broken:
    """Deliberate breakages, one at a time: the checks below must catch each."""

    wal: type[SimulatedWal] = SimulatedWal
    leases: type[NodeLeases] = NodeLeases
    configuration: type[Configuration] = Configuration
    freshness: type[Freshness] = Freshness
    forgets_boots: bool = False
    overlooks_in_flight: bool = False
    tells_at_once: bool = False
    overlooks_origins: bool = False
    opens_nothing: bool = False
    ignores_floors: bool = False


@dataclass
class Node:
    """One simulated node: what survives a crash, and what runs if it is up."""

    member: Member
    clock: NodeClock
    wal: SimulatedWal
    is_assigned: bool = False  # to keep a replica of the group
    assigned: Configuration | None = None  # the members it was told of then,
    floor: Floor = NO_FLOOR  # ... and how far the group had come
    is_dropped: bool = (
        False  # what it had was removed, and that is on its disk; it says so until it is told it may rest
    )
    target: tuple[Configuration, int | None] | None = None  # whom the group is to have as members, as it was told
    durable: tuple[int, bytes] = EMPTY
    is_restoring: bool = False
    was_member: bool = False  # in a life before what it had was removed
    is_lost: bool = False  # its state is gone, and it has not been healed since
    is_dead: bool = False  # it never runs again
    boot: int = 0
    promised_told: Ballot = ZERO
    host: ReplicaHost | None = None
    machine: Machine | None = None
    in_flight: InFlightWrites = field(default_factory=InFlightWrites)

    @property
    def node_id(self) -> int:
        return self.member.node_id


@dataclass
class World:
    """Everything of one seed."""

    seed: int
    chaos_ns: int = 5_000 * MS
    broken: Broken = field(default_factory=Broken)

    def __post_init__(self) -> None:
        self.group = GROUP
        self.rng = random.Random(self.seed)
        self.scheduler = Scheduler()
        self.chosen: dict[int, bytes] = {}
        self.acknowledged_slot = 0
        self.ages = Ages(EVENTUAL_AGE_NS, LEASES)
        self.history: dict[str, list[Operation]] = {}
        self.nodes: dict[int, Node] = {}
        self.is_healing = False
        self.has_written = False  # after everything was healed
        self._probe_from_ns = 0
        self.outcomes = dict.fromkeys(OutcomeKind, 0)
        self.reads = 0
        self.healed = 0
        self.damaged_node_id = 0  # whose log is damaged, until it is healed
        self.dead_node_id = 0  # who does not come back, once everything else is healed; 0: everybody does
        self.trace = 0
        self._values = 0
        rng = self.rng
        faults = NetworkFaults(
            loss=rng.choice((0, 0, 0.01, 0.1)),
            duplication=rng.choice((0, 0.05)),
            delay_mean_ns=rng.choice((200_000, 2 * MS)),
            spike=rng.choice((0, 0.02)),
        )
        self.network = Network(self.scheduler, rng, faults, lambda node_id: self.nodes[node_id].host)
        sync_ns = rng.choice((200_000, 3 * MS, 15 * MS))
        damage = rng.choice((0, 0, 0.3))
        drift_max = rng.choice((0, 4_000))
        members = [Member(node_id, f"zone-{node_id}") for node_id in (1, 2, 3)]
        self.configuration = self.broken.configuration(tuple(members))
        # In half of the seeds two zones have spare nodes, and members are replaced.
        spares = [Member(4, "zone-1"), Member(5, "zone-2"), Member(6, "zone-1")] if rng.random() < 0.5 else []
        if self.seed % 3:
            del spares[2:]
        for member in (*members, *spares):
            clock = NodeClock(self.scheduler, rng.randrange(10**12), rng.randint(-drift_max, drift_max))
            wal = self.broken.wal(self.scheduler.schedule, rng, sync_ns=sync_ns, now_ns=clock.now_ns)
            node = self.nodes[member.node_id] = Node(member, clock, wal)
            node.is_assigned = member in members
        self.aimed: Aimed | None = None
        for node in self.nodes.values():
            self.boot(node)
        self.membership = Membership(self, rng) if spares else None
        self.aimed = aimed_at(self, self.membership, random.Random(self.seed ^ AIMED)) if self.membership else None
        for client in range(rng.randint(1, 4)):
            self.scheduler.schedule(rng.randrange(200 * MS), partial(self._client, client))
        self.gray = gray_in(self, random.Random(self.seed ^ GRAY))
        self.full_disks = full_disks_in(self, random.Random(self.seed ^ FULL))
        self.nemesis = Nemesis(self, rng, damage)
        if not isinstance(self.aimed, Returns):  # which takes time in which nothing else happens
            self.scheduler.schedule(500 * MS, self.nemesis.strike)

    # Running

    def run(self) -> None:
        """Plays the seed to its end; raises InvariantError for what must not be."""
        while self.scheduler.now_ns < self.chaos_ns and self.scheduler.step():
            self._check_leases()
        self._heal()
        healed_ns = 12_000 * MS if self.dead_node_id else 6_000 * MS
        deadline_ns = self.scheduler.now_ns + healed_ns
        while not self._has_converged():
            if self.scheduler.now_ns > deadline_ns:
                others = f" but node {self.dead_node_id}" if self.dead_node_id else ""
                flaw = f"not available again, or not in agreement, {healed_ns // (1_000 * MS)} s after everything"
                raise InvariantError(f"{flaw}{others} was healed")
            self.scheduler.step()
            self._check_leases()
        for key, operations in sorted(self.history.items()):
            if not is_linearizable(operations):
                raise InvariantError(f"key {key}: no order explains {operations}")

    def later(self, node_id: int, callback: Callable[[], None]) -> None:
        """Runs a callback of a node's soon, if that life of the node still lasts."""
        boot = self.nodes[node_id].boot
        self.scheduler.schedule(100_000, lambda: self._if_alive(node_id, boot, callback))

    def _if_alive(self, node_id: int, boot: int, callback: Callable[[], None]) -> None:
        node = self.nodes[node_id]
        if node.host is not None and node.boot == boot:
            callback()

    # Nodes

    def boot(self, node: Node) -> None:
        if not self.broken.forgets_boots or node.boot == 0:
            node.boot += 1
        is_first = node.boot == 1
        now_ns = node.clock.now_ns()
        leases = self.broken.leases(LEASES, boot=node.boot, is_first_boot=is_first, now_ns=now_ns)
        transport = SimulatedTransport(node.node_id, self.network)
        transport.on_send = lambda message: self._note_sent(node, message)
        recovery = node.wal.recover({GROUP: node.durable[0]})
        is_damaged = GROUP in recovery.damaged_groups or node.is_lost
        boot = node.boot
        host = ReplicaHost(
            node.node_id,
            node.wal,
            transport,
            leases,
            self.rng,
            node.clock.now_ns,
            lambda callback: self.scheduler.schedule(0, lambda: self._if_alive(node.node_id, boot, callback)),
            ELECTION,
            lambda callback: self.scheduler.schedule(
                self.rng.randrange(2 * MS), lambda: self._if_alive(node.node_id, boot, callback)
            ),
        )
        host.disk.slow_ns, host.hand_overs.again_ns = SLOW_DISK_NS, LEASES.duration_ns
        host.apply_entries_max = (512, 2, 1)[self.seed % 3]
        host.snapshots.logged_bytes_max = (1 << 30, 1_500)[self.seed % 2]
        host.freshness = partial(self.broken.freshness, EVENTUAL_AGE_NS)
        node.machine = Machine(self, node.node_id, node.durable)
        node.in_flight = InFlightWrites()
        node.machine.is_restoring = node.is_restoring
        node.host = host
        host.on_leadership = lambda group_id, is_serving: self._check_leader(node, is_serving)
        host.on_healed = lambda group_id: self._healed(node)
        recovered = recovery.groups.get(GROUP)
        if node.is_assigned:
            configuration = node.assigned or self.configuration
            slot, floor = node.durable[0], node.floor
            host.open_group(GROUP, configuration, node.machine, recovered, slot, floor=floor, is_damaged=is_damaged)
            if not is_damaged and host.groups[GROUP].core.promised < node.promised_told:
                raise InvariantError(f"node {node.node_id} promised {node.promised_told} and forgot it in a crash")
        self._tick(node.node_id, boot)
        for other in self.nodes.values():
            if other is not node and other.host is not None:
                self.connect(node.node_id, other.node_id)

    def assign(self, node: Node, configuration: Configuration, floor: Floor) -> None:
        """The node is to become a member: it opens a replica that has nothing."""
        assert node.host is not None and node.machine is not None
        if self.aimed is not None:
            self.aimed.assigned(node)
        floor = NO_FLOOR if self.broken.ignores_floors else floor
        node.is_assigned, node.assigned, node.floor = True, configuration, floor
        node.is_restoring = node.machine.is_restoring = True
        node.promised_told = ZERO
        node.host.open_group(GROUP, configuration, node.machine, None, 0, floor=floor)

    def unassign(self, node: Node) -> None:
        """The group has gone on without the node: what it has of it is removed."""
        assert node.host is not None
        node.is_assigned, node.assigned, node.target = False, None, None
        node.was_member = True
        node.host.close_group(GROUP)
        boot = node.boot

        def forgotten() -> None:
            node.is_dropped = node.boot == boot

        node.wal.forget_group(GROUP, forgotten)
        node.durable, node.is_restoring, node.is_lost = EMPTY, False, False
        node.machine = Machine(self, node.node_id, EMPTY)
        if self.damaged_node_id == node.node_id:
            self.damaged_node_id = 0

    def members_up(self) -> list[Node]:
        """The nodes that run and have a replica of the group, members or not."""
        return [node for node in self.nodes.values() if node.host is not None and GROUP in node.host.groups]

    def _tick(self, node_id: int, boot: int) -> None:
        node = self.nodes[node_id]
        if node.host is not None and node.boot == boot:
            node.host.tick()
            self.scheduler.schedule(5 * MS, lambda: self._tick(node_id, boot))

    def crash(self, node: Node) -> None:
        node.host = None
        node.machine = None
        node.target, node.is_dropped = None, False
        node.wal.crash()
        if self.broken.forgets_boots:
            return
        node.boot += 1

    def connect(self, one: int, two: int) -> None:
        for node_id, peer in ((one, two), (two, one)):
            boot = self.nodes[node_id].boot

            def connected(node_id: int = node_id, peer: int = peer) -> None:
                host = self.nodes[node_id].host
                assert host is not None
                host.peer_connected(peer)

            self.scheduler.schedule(MS, partial(self._if_alive, node_id, boot, connected))

    # Faults

    def pairs(self) -> list[tuple[int, int]]:
        return [(one, two) for one in self.nodes for two in self.nodes if one != two]

    def _healed(self, node: Node) -> None:
        self.healed += 1
        node.is_lost = False
        if self.damaged_node_id == node.node_id:
            self.damaged_node_id = 0

    def lose_state(self, node: Node) -> None:
        """The state of a node that is down is gone; its log is not."""
        node.durable, node.is_restoring, node.is_lost = EMPTY, True, True

    def checkpoint(self, node: Node) -> None:
        """The machine's state becomes durable as of now, if it has room; the log lets go of what it stands for."""
        if node.host is None or GROUP not in node.host.groups or node.machine is None or node.machine.is_restoring:
            return
        if node.wal.is_full:
            return
        node.durable = (node.machine.slot, node.machine.dump())
        node.host.groups[GROUP].checkpointed_slot = node.durable[0]
        node.host.groups[GROUP].core.trim(node.durable[0])
        node.wal.trim({GROUP: node.durable[0]})
        if node.boot % 2:
            node.wal.repeat(node.host.needed_records(GROUP, node.durable[0], REPEATED_BYTES), GROUP)

    def mend_links(self) -> None:
        mended, self.network.cuts = self.network.cuts, set()
        for one, two in sorted(mended):
            if one < two or (two, one) not in mended:
                self.connect(one, two)

    def _heal(self) -> None:
        self.is_healing = True
        self.network.faults = NetworkFaults()
        self.network.cuts = set()
        self.network.let_all_go()
        for node in self.nodes.values():
            node.wal.speed_up()
            if node.host is None and not node.is_dead:
                self.boot(node)
        self._leave_one_dead(random.Random(~self.seed))
        if self.full_disks is not None:
            self.full_disks.heal()
        if self.membership is not None:
            self.membership.heal()
        self._probe_from_ns = self.scheduler.now_ns + PROBE_NS
        self.scheduler.schedule(PROBE_NS, self._probe)
        for node in self.nodes.values():
            self.scheduler.schedule(1_000 * MS, partial(self.checkpoint, node))  # as from time to time in real life
        # Streams lose messages only when they break: after a time of losses every pair connects anew.
        for one, two in self.pairs():
            if one < two:
                self.connect(one, two)

    def _leave_one_dead(self, rng: random.Random) -> None:
        """In a third of the seeds one node never comes back: any that the others can do without."""
        nodes = [node for node in self.nodes.values() if not node.is_dead]
        rng.shuffle(nodes)
        if self.dead_node_id:
            dead = self.nodes[self.dead_node_id]
            if not can_do_without(self, dead):
                dead.is_dead, self.dead_node_id = False, 0
                self.boot(dead)
        elif rng.random() < 1 / 3:
            for node in nodes:
                if can_do_without(self, node):
                    self.bury(node)
                    break

    def bury(self, node: Node) -> None:
        """The node never runs again."""
        if node.host is not None:
            self.crash(node)
        node.is_dead, self.dead_node_id = True, node.node_id

    def _probe(self) -> None:
        """A write until one is committed: leases of before have run out by now."""
        for node in self.members_up():
            host = node.host
            if not self.has_written and host is not None and host.is_serving_leader(GROUP) and not host.disk.is_full:
                self._write(0, node, host, "k0", ANYTHING)
        if not self.has_written:
            self.scheduler.schedule(100 * MS, self._probe)

    def _has_converged(self) -> bool:
        if not self.has_written:
            return False
        if self.membership is not None and not self.membership.is_settled:
            return False
        slots = set()
        is_served = False
        for node in self._replicas():
            if node.host is None or node.machine is None or node.machine.is_restoring:
                return False
            if node.host.groups[GROUP].core.health != Health.WHOLE or not node.host.is_fresh(GROUP):
                return False
            slots.add(node.machine.slot)
            is_served = is_served or node.host.is_serving_leader(GROUP)
        pending = any(op.returned_ns == -1 for ops in self.history.values() for op in ops)
        if len(slots) > 1 or not is_served or pending or slots.pop() < self.acknowledged_slot:
            return False
        states = [node.machine.dump() for node in self._replicas() if node.machine is not None]
        if any(state != states[0] for state in states):
            raise InvariantError("replicas at the same slot hold different items")
        return True

    def _replicas(self) -> list[Node]:
        """Who is to have the state, once the members are settled."""
        given_up = () if self.membership is None else self.membership.given_up
        nodes = [node for node in self.nodes.values() if node.node_id not in given_up]
        return [node for node in nodes if node.is_assigned and not node.is_dead]

    # Clients

    def _client(self, client: int) -> None:
        """One operation after the other, on few keys, at any node or where the leader seems to be."""
        if self.scheduler.now_ns > self.chaos_ns - 400 * MS or self.is_healing:
            return
        for each in self.nodes.values():
            if flaw := self.ages.flaw(each, GROUP, self.scheduler.now_ns):
                raise InvariantError(flaw)
        rng = self.rng
        key = f"k{rng.randrange(3)}"
        node = self.nodes[rng.randint(1, len(self.nodes))]
        if node.host is not None and rng.random() < 0.9:
            node = self.nodes.get(node.host.leader_of(GROUP)[0], node)
        if node.host is None or node.machine is None:
            self._think(client)
        elif (roll := rng.random()) < 0.5:
            self._read(client, node, key)
        elif node.host.disk.is_full:
            self._think(client)  # it is refused
        elif roll < 0.7:
            self._write(client, node, node.host, key, ANYTHING)
        else:
            self._update(client, node, node.host, key, is_put_if_absent=roll < 0.8)

    def _think(self, client: int) -> None:
        self.scheduler.schedule(self.rng.randrange(5 * MS, 40 * MS), lambda: self._client(client))

    def _read(self, client: int, node: Node, key: str) -> None:
        assert node.host is not None and node.machine is not None
        if not node.machine.is_restoring:
            value = node.machine.items.get(key)
            if node.host.is_serving_leader(GROUP):
                now_ns = self.scheduler.now_ns
                self.reads += 1
                self.history.setdefault(key, []).append(Operation(now_ns, now_ns, False, value))
        self._think(client)

    def _update(self, client: int, node: Node, host: ReplicaHost, key: str, *, is_put_if_absent: bool) -> None:
        """As UpdateItem, decided by the leader on the newest value, which it returns; or a put if there is no item, of
        which the refusal shows the item."""
        assert node.machine is not None
        if not host.is_serving_leader(GROUP):
            self._think(client)
            return
        newest = None if self.broken.overlooks_in_flight else node.in_flight.newest(key.encode())
        if newest is not None and newest[0] is not None:
            old: str | None = newest[0].decode()
        else:
            old = node.machine.items.get(key)
        if not is_put_if_absent or old is None:
            self._write(client, node, host, key, old)
            return
        invoked_ns, history = self.scheduler.now_ns, self.history.setdefault(key, [])

        def refused(is_committed: bool) -> None:
            if is_committed:
                history.append(Operation(invoked_ns, self.scheduler.now_ns, False, old))

        if newest is None or self.broken.tells_at_once:
            refused(host.is_serving_leader(GROUP))
        else:
            newest[1].add_dependent(refused)
        self._think(client)

    def _write(self, client: int, node: Node, host: ReplicaHost, key: str, found: str | None) -> None:
        """`found`: the value that it replaces, as its client is told."""
        self._values += 1
        operation = Operation(self.scheduler.now_ns, -1, True, f"v{self._values}", found)
        history = self.history.setdefault(key, [])
        history.append(operation)
        assert operation.value is not None
        new = operation.value.encode()
        in_flight = node.in_flight.add([(key.encode(), new)])

        def done(outcome: Outcome) -> None:
            node.in_flight.end(in_flight, is_committed=outcome.kind == OutcomeKind.COMMITTED)
            if operation.returned_ns != -1:
                return
            self.outcomes[outcome.kind] += 1
            if outcome.kind == OutcomeKind.COMMITTED:
                operation.returned_ns = self.scheduler.now_ns
                self.has_written = self.is_healing and operation.invoked_ns >= self._probe_from_ns
                if self.has_written and self.full_disks is not None:
                    self.full_disks.end()
                assert node.machine is not None
                self.acknowledged_slot = max(self.acknowledged_slot, node.machine.slot)
                self.ages.acknowledged(self.acknowledged_slot, self.scheduler.now_ns)
            elif outcome.kind == OutcomeKind.UNKNOWN:
                operation.returned_ns = NEVER_NS
            else:
                history.remove(operation)
                operation.returned_ns = NEVER_NS
            self._think(client)

        def give_up() -> None:
            if operation.returned_ns == -1:
                operation.returned_ns = NEVER_NS
                self._think(client)

        self.scheduler.schedule(ATTEMPT_NS, give_up)
        token = self._values.to_bytes(16, "big")
        origin = host.leader_ballot(GROUP)
        mutation = Mutation(token, key.encode(), new, node.clock.now_ns() // MS, origin)
        host.propose(GROUP, encode_mutation(mutation), done)

    # Invariants

    def _note_sent(self, node: Node, message: PeerMessage) -> None:
        if self.aimed is not None:
            self.aimed.sent(node, message)
        if isinstance(message, Promise):
            node.promised_told = max(node.promised_told, message.ballot)

    def _check_leader(self, node: Node, is_serving: bool) -> None:
        assert node.host is not None
        applied_slot = node.machine.slot if node.machine is not None else 0
        if is_serving and applied_slot < self.acknowledged_slot:
            raise InvariantError(
                f"node {node.node_id} leads with slot {applied_slot} applied, "
                f"slot {self.acknowledged_slot} was acknowledged"
            )

    def _check_leases(self) -> None:
        holders = []
        for node in self.nodes.values():  # after each event: in a form that takes little time
            host = node.host
            group = None if host is None else host.groups.get(GROUP)
            if host is not None and group is not None and group.is_serving and host.is_serving_leader(GROUP):
                holders.append(node.node_id)
        self.trace = (self.trace * 1_000_003 + self.scheduler.now_ns + len(holders)) & 0xFFFFFFFFFFFF
        if len(holders) > 1:
            raise InvariantError(f"nodes {holders} hold a lease for the same group at the same time")
