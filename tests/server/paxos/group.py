"""One replication group whose network, disks and clock do what a test says, and nothing else.

After each step the invariants of consensus are checked (`check`): one payload a slot, no promise forgotten, at most one
member that serves, and that one has everything that was ever acknowledged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO, Ballot
from server.paxos.core import PaxosCore
from server.paxos.election import ElectionConfig
from server.paxos.lease import LeaseConfig, NodeLeases
from server.paxos.log import Log
from server.paxos.messages import (
    ApplyConfiguration,
    ApplyEntries,
    Effect,
    HealedRecord,
    HealRecord,
    LogRecord,
    Message,
    PersistRecord,
    Promise,
    ResetRecord,
    Run,
    SendMessage,
    SendSnapshot,
)
from server.paxos.quorum import (
    CONFIGURATION_MARK,
    Configuration,
    Member,
    decode_configuration,
    encode_configuration,
)

LEASES = LeaseConfig()
ELECTION = ElectionConfig(jitter_ns=1)
"""Without jitter: every time in a test can be worked out."""


@dataclass
class Node:
    """A member. `records` (each with the commit slot that it tells), `checkpoint`, `boot`, `is_damaged` and
    `is_restoring` survive a crash; the rest is what runs, if it is up."""

    member: Member
    configuration: Configuration  # the first it was told of
    is_restoring: bool = False  # it has no state yet: a log only
    records: list[tuple[LogRecord, int]] = field(default_factory=list)
    checkpoint: list[bytes] = field(default_factory=list)
    boot: int = 0
    is_damaged: bool = False  # part of the records is lost, and no HealRecord has made that void
    promised_told: Ballot = ZERO
    core: PaxosCore | None = None
    leases: NodeLeases | None = None
    unsynced: list[tuple[PersistRecord, int]] = field(default_factory=list)
    state: list[bytes] = field(default_factory=list)  # the payload of each applied slot, from slot 1 on

    def running(self) -> tuple[PaxosCore, NodeLeases]:
        if self.core is None or self.leases is None:
            raise ValueError(f"node {self.member.node_id} is down")
        return self.core, self.leases

    def recovered_log(self) -> tuple[Ballot, Log, Health]:
        """What a restart finds on disk, by the rules of the write-ahead log."""
        promised, commit_slot, base, health = ZERO, 0, len(self.checkpoint), Health.WHOLE
        if self.is_damaged:
            return promised, Log(base + 1, (), base), Health.DAMAGED
        entries: dict[int, tuple[Ballot, bytes]] = {}
        for record, known_commit_slot in self.records:
            promised = max(promised, record.ballot)
            commit_slot = max(commit_slot, known_commit_slot)
            if isinstance(record, Run):
                for slot, payload in enumerate(record.payloads, record.first_slot):
                    entries[slot] = (record.ballot, payload)
            elif isinstance(record, HealedRecord):
                health = Health.WHOLE
            elif isinstance(record, (ResetRecord, HealRecord)):
                base = max(base, record.slot)
            if isinstance(record, HealRecord):
                promised, commit_slot, health = record.ballot, record.slot, Health.HEALING
                entries.clear()
        found: list[tuple[Ballot, bytes]] = []
        while (entry := entries.get(base + 1 + len(found))) is not None:
            found.append(entry)
        return promised, Log(base + 1, found, max(base, min(commit_slot, base + len(found)))), health


def last_configuration(state: Sequence[bytes]) -> tuple[int, Configuration] | None:
    """(slot, configuration) of the last configuration entry in a state; None: there is none."""
    slots = [slot for slot, payload in enumerate(state, 1) if payload.startswith(CONFIGURATION_MARK)]
    return (slots[-1], decode_configuration(state[slots[-1] - 1])) if slots else None


class Group:
    """The members, what is in flight between them, and the time. `trace` is told of every effect."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.configuration = Configuration(tuple(members))
        self.nodes = {member.node_id: Node(member, self.configuration) for member in members}
        self.now_ns = 0
        self.in_flight: dict[tuple[int, int], list[Message]] = {}
        self.cuts: set[tuple[int, int]] = set()
        self.snapshots_due: list[tuple[int, int]] = []
        self.trace: Callable[[int, Effect], None] = lambda node_id, effect: None
        self._chosen: dict[int, bytes] = {}
        self._acknowledged_slot = 0
        for node_id in self.nodes:
            self.boot(node_id)

    # Nodes

    def boot(self, node_id: int) -> None:
        """Starts a member from what is on its disk."""
        node = self.nodes[node_id]
        assert node.core is None
        node.boot += 1
        promised, log, health = node.recovered_log()
        assert node.is_damaged or promised >= node.promised_told, (
            f"node {node_id} has forgotten its promise of {node.promised_told}"
        )
        leases = NodeLeases(LEASES, boot=node.boot, is_first_boot=node.boot == 1, now_ns=self.now_ns)
        node.leases = leases
        rng = random.Random(0)
        slot, configuration = last_configuration(node.checkpoint) or (0, node.configuration)
        node.core = PaxosCore(
            node_id,
            configuration,
            leases,
            rng,
            self.now_ns,
            configuration_slot=slot,
            promised=promised,
            log=log,
            health=health,
            election=ELECTION,
        )
        node.core.is_restoring = node.is_restoring
        node.state = list(node.checkpoint)
        for effect in node.core.apply_effects(log.first_slot, log.commit_slot):
            self._apply(node, effect)

    def join(self, member: Member, configuration: Configuration) -> None:
        """A node that has nothing begins as a log replica of the group; `configuration` is what it is told of it."""
        known = self.nodes.get(member.node_id)
        boot = known.boot if known is not None else 0  # its node has lived before, whatever it had of the group
        self.nodes[member.node_id] = Node(member, configuration, is_restoring=True, boot=boot)
        self.boot(member.node_id)

    def crash(self, node_id: int) -> None:
        """Loses what was not synced, and what was on its way to the node."""
        node = self.nodes[node_id]
        node.running()
        node.core = node.leases = None
        node.unsynced.clear()
        self.snapshots_due = [each for each in self.snapshots_due if node_id not in each]
        for link in self.in_flight:
            if link[1] == node_id:
                self.in_flight[link] = []

    def damage(self, node_id: int) -> None:
        """All that is in the log of a node that is down is lost."""
        node = self.nodes[node_id]
        assert node.core is None
        node.records.clear()
        node.is_damaged = True

    def core(self, node_id: int) -> PaxosCore:
        return self.nodes[node_id].running()[0]

    def is_up(self, node_id: int) -> bool:
        return self.nodes[node_id].core is not None

    # Steps

    def carry_out(self, node_id: int, effects: Iterable[Effect]) -> None:
        node = self.nodes[node_id]
        for effect in effects:
            self.trace(node_id, effect)
            if isinstance(effect, SendMessage):
                self._send(node_id, effect)
            elif isinstance(effect, PersistRecord):
                record = effect.record
                commit_slot = (
                    min(self.core(node_id).log.commit_slot, record.last_slot) if isinstance(record, Run) else 0
                )
                node.unsynced.append((effect, commit_slot))
            elif isinstance(effect, ApplyEntries | ApplyConfiguration):
                self._apply(node, effect)
            elif isinstance(effect, SendSnapshot):
                self.snapshots_due.append((node_id, effect.to))
        self.check()

    def sync(self, node_id: int) -> None:
        """Everything written so far reaches the disk."""
        node = self.nodes[node_id]
        core, _ = node.running()
        batch, node.unsynced = node.unsynced, []
        node.is_damaged &= not any(isinstance(effect.record, HealRecord) for effect, _ in batch)
        node.records.extend((effect.record, commit_slot) for effect, commit_slot in batch)
        for effect, _ in batch:
            for send in effect.then:
                self.trace(node_id, send)
                self._send(node_id, send)
            if effect.event is not None:
                self.carry_out(node_id, core.durable(effect.event, self.now_ns))

    def deliver(self, sender: int, to: int) -> None:
        """The oldest message of a link arrives."""
        message = self.in_flight[sender, to].pop(0)
        if self.is_up(to):
            self.carry_out(to, self.core(to).handle(sender, message, self.now_ns))

    def heartbeat(self, grantee: int, grantor: int) -> bool:
        """Asks for a grant; the answer comes at once, if there is one."""
        if {(grantee, grantor), (grantor, grantee)} & self.cuts or not (self.is_up(grantee) and self.is_up(grantor)):
            return False
        grant = self.nodes[grantor].running()[1].grant(grantee, self.now_ns, self.now_ns)
        if grant is None:
            return False
        if self.nodes[grantee].running()[1].granted(grantor, grant, self.now_ns):
            self.carry_out(grantee, self.core(grantee).peer_renewed(grantor, self.now_ns))
        return True

    def connect(self, one: int, two: int) -> None:
        """A stream between two nodes is up; what was on its way on the former one is lost."""
        self.in_flight[one, two] = []
        self.in_flight[two, one] = []
        for node_id, peer in ((one, two), (two, one)):
            if self.is_up(node_id):
                self.carry_out(node_id, self.core(node_id).peer_renewed(peer, self.now_ns))

    def checkpoint(self, node_id: int, slot: int) -> None:
        """The state as of `slot` becomes durable and the log up to there goes."""
        node = self.nodes[node_id]
        core, _ = node.running()
        assert slot <= core.applied_slot
        node.checkpoint = node.state[:slot]
        core.trim(slot)

    def transfer_snapshot(self, sender: int, to: int) -> int:
        """The sender's checkpoint is installed at `to`; returns its slot."""
        self.snapshots_due.remove((sender, to))
        state = self.nodes[sender].checkpoint
        slot = len(state)
        node = self.nodes[to]
        node.checkpoint = list(state)
        node.state = list(state)
        core, _ = node.running()
        node.is_restoring = False
        self.carry_out(to, core.snapshot_restored(slot, last_configuration(state)))
        self.carry_out(sender, self.core(sender).snapshot_sent(to, slot, self.now_ns))
        return slot

    def settle(self) -> None:
        """Syncs and delivers until nothing is left to do; only time stands still."""
        while True:
            busy = [node_id for node_id, node in self.nodes.items() if node.core is not None and node.unsynced]
            links = [link for link, messages in sorted(self.in_flight.items()) if messages]
            if not busy and not links:
                return
            for node_id in busy:
                self.sync(node_id)
            for link in links:
                self.deliver(*link)

    def live(self, duration_ns: int, step_ns: int = 5_000_000) -> None:
        """Time passes with everything working that is not cut or down: heartbeats, deadlines, disks, links."""
        end_ns = self.now_ns + duration_ns
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + step_ns)
            if self.now_ns % LEASES.heartbeat_ns < step_ns:
                for one in self.nodes:
                    for two in self.nodes:
                        if one != two:
                            self.heartbeat(one, two)
            for node_id, node in self.nodes.items():
                if node.core is not None and node.core.deadline_ns() <= self.now_ns:
                    self.carry_out(node_id, node.core.tick(self.now_ns))
            self.settle()

    # What has to hold

    def serving(self) -> list[int]:
        return [
            node_id
            for node_id, node in self.nodes.items()
            if node.core is not None and node.core.is_serving(self.now_ns)
        ]

    def check(self) -> None:
        serving = self.serving()
        assert len(serving) <= 1, f"nodes {serving} serve at the same time"
        for node_id in serving:
            assert len(self.nodes[node_id].state) >= self._acknowledged_slot, f"node {node_id} serves what is stale"

    def _send(self, node_id: int, send: SendMessage) -> None:
        if isinstance(send.message, Promise):
            node = self.nodes[node_id]
            node.promised_told = max(node.promised_told, send.message.ballot)
        if (node_id, send.to) not in self.cuts:
            self.in_flight.setdefault((node_id, send.to), []).append(send.message)

    def _apply(self, node: Node, effect: ApplyEntries | ApplyConfiguration) -> None:
        node_id = node.member.node_id
        core, _ = node.running()
        if core.is_restoring and node.is_restoring:
            return
        if isinstance(effect, ApplyEntries):
            first_slot, payloads = effect.first_slot, effect.payloads
        else:
            first_slot, payloads = effect.slot, (encode_configuration(effect.configuration),)
        assert first_slot == len(node.state) + 1, f"node {node_id} applies {first_slot} after {len(node.state)}"
        for slot, payload in enumerate(payloads, first_slot):
            chosen = self._chosen.setdefault(slot, payload)
            assert chosen == payload, f"slot {slot} holds {chosen!r}, node {node_id} applies {payload!r}"
            node.state.append(payload)
        if core.leadership is not None:
            self._acknowledged_slot = max(self._acknowledged_slot, len(node.state))
