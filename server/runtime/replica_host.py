"""Runs the members of many replication groups on one node: carries out what their cores ask for.

Synchronous, with callbacks: it owns no socket, file or clock and starts no task, so that the deterministic simulator
runs this very code. Its surroundings are the small interfaces of host_surroundings.py.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Mapping

from server.paxos.ballot import ZERO, Ballot
from server.paxos.core import PaxosCore
from server.paxos.election import ElectionConfig
from server.paxos.lease import Grant, NodeLeases
from server.paxos.messages import (
    Accept,
    ApplyConfiguration,
    ApplyEntries,
    CatchUp,
    Effect,
    HandOverRequest,
    HealedRecord,
    LeadershipChanged,
    LogRecord,
    PeerMessage,
    PersistRecord,
    Run,
    SendMessage,
)
from server.paxos.quorum import NO_FLOOR, Configuration, Floor
from server.runtime.commit_notes import CommitNotes
from server.runtime.disk_watch import DiskWatch, Fitness
from server.runtime.freshness import Freshness
from server.runtime.group import Group, recovered_state
from server.runtime.hand_overs import HandOvers
from server.runtime.host_surroundings import (
    COMMITTED,
    OVERLOADED,
    TOO_LARGE,
    UNKNOWN,
    Done,
    LogWriter,
    Outcome,
    OutcomeKind,
    RecoveredLog,
    StateMachine,
    Transport,
)
from server.runtime.log_records import encode_log_record, last_slot_of, needed_records
from server.runtime.snapshots import Snapshots

GROUP_IN_FLIGHT_BYTES_MAX = 8 * 1024 * 1024
NODE_IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024
"""Payload bytes proposed and not yet committed; past it proposals are refused at once."""

LOG_RETAINED_BYTES = 32 * 1024 * 1024
"""Payload bytes that a node's logs keep in memory after their checkpoint, to bring lagging members up to date."""

LOG_QUEUED_BYTES_MAX = 64 * 1024 * 1024
"""With so much waiting for the disk, what others want to have written is taken for lost: they will send it again."""

APPLY_ENTRIES_MAX = 512
"""What is put off is applied so many entries at a time, some milliseconds' work, then others have their turn."""

BATCH_ENTRIES_MAX = 512
BATCH_BYTES_MAX = 1024 * 1024
"""What one Accept carries at most (at least one entry)."""


class ReplicaHost:
    """The members of replication groups on one node.

    `defer(callback)` runs a callback soon, after what is going on now: proposals that arrive meanwhile share an entry
    batch. `later(callback)` runs one when what is urgent has had its turn, in a millisecond or so. `now_ns` is a
    monotonic clock.
    """

    def __init__(
        self,
        node_id: int,
        wal: LogWriter,
        transport: Transport,
        leases: NodeLeases,
        rng: random.Random,
        now_ns: Callable[[], int],
        defer: Callable[[Callable[[], None]], None],
        election: ElectionConfig | None = None,
        later: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.node_id = node_id
        self.leases = leases
        self.groups: dict[int, Group] = {}
        self.on_leadership: Callable[[int, bool], None] = lambda group_id, is_serving: None
        self.on_healed: Callable[[int], None] = lambda group_id: None
        self.on_configured: Callable[[int], None] = lambda group_id: None
        self.in_flight_bytes = 0
        self.freshness: Callable[[], Freshness] = Freshness
        self._wal = wal
        self._transport = transport
        self._rng = rng
        self._now_ns = now_ns
        self._defer = defer
        self._later = later or defer
        self._election = election
        self.apply_entries_max = APPLY_ENTRIES_MAX
        self._with_unapplied: dict[int, None] = {}
        self._is_apply_due = False
        self._deadlines: list[tuple[int, int]] = []
        self._groups_of_peer: dict[int, set[int]] = {}
        self._with_pending: set[int] = set()
        self._is_flush_due = False
        self._next_heartbeat_ns = 0
        self._began_ns = now_ns()
        self._records: dict[int, bytes] = {}  # id(run) -> its encoding, while one event is carried out
        self.snapshots = Snapshots(
            transport, rng, now_ns, self.groups, self._carry_out, self._apply_due, self._note_peers
        )
        self.disk = DiskWatch()
        self._commit_notes = CommitNotes(self.groups, wal)
        self.hand_overs = HandOvers(self.groups, now_ns, self._carry_out, defer, wal, transport, self.disk, leases)
        wal.on_idle = self._flush

    # Groups

    def open_group(
        self,
        group_id: int,
        configuration: Configuration,
        machine: StateMachine,
        recovered: RecoveredLog | None,
        checkpointed_slot: int,
        *,
        floor: Floor = NO_FLOOR,
        is_damaged: bool = False,
    ) -> None:
        """Starts this node's member of a group from what it has on disk (nothing: a new group).

        Requires that `machine` holds the state as of `checkpointed_slot`. `configuration`: the group's first, or whom
        it was to have, above `floor`, when this replica was made; what the machine or the log knows of a later one
        counts. A member that is restoring needs nothing of the log but what is there: that of a log replica begins
        anywhere. Another member is damaged where the log has lost something (`is_damaged`), or does not reach back to
        that slot: it takes nothing from its log and is healed by the others before it votes."""
        promised, log, health = recovered_state(recovered, checkpointed_slot, machine.is_restoring, is_damaged)
        configuration_slot = floor.configuration_slot
        if machine.configuration is not None and machine.configuration[0] > configuration_slot:
            configuration_slot, configuration = machine.configuration
        core = PaxosCore(
            self.node_id,
            configuration,
            self.leases,
            self._rng,
            self._now_ns(),
            configuration_slot=configuration_slot,
            floor=floor,
            promised=promised,
            log=log,
            health=health,
            election=self._election,
            opening=machine.opening,
        )
        core.is_restoring = machine.is_restoring
        group = Group(group_id, core, machine, log.first_slot - 1)
        group.applied_slot, group.fresh = log.first_slot - 1, self.freshness()
        self.groups[group_id] = group
        self._note_peers(group)
        # A part at a time: there may be minutes' worth of it, and what the node says of itself cannot wait.
        for effect in core.apply_effects(log.first_slot, log.commit_slot):
            self._apply_later(group, effect)
        self._schedule(group)

    def close_group(self, group_id: int) -> None:
        """Ends this node's membership; proposals in flight have an unknown outcome."""
        group = self.groups.pop(group_id, None)
        if group is None:
            return
        for peers in self._groups_of_peer.values():
            peers.discard(group_id)
        for sender in group.senders.values():
            sender.close()
        group.receiver = None
        self.hand_overs.close(group)
        self._fail_all(group, UNKNOWN)
        self._set_serving(group, False)

    def trim(self, checkpointed_slots: Mapping[int, int]) -> None:
        """The state machines' checkpoints have reached these slots (by group id): the logs let go of what nobody is
        likely to need. What a node keeps is shared by its logs as they have it: one that is written to has all of it
        where the others are at rest, so that a member that was restarted gets what it missed, and no snapshot."""
        total = sum(group.core.log.bytes for group in self.groups.values())
        for group_id, slot in checkpointed_slots.items():
            if (group := self.groups.get(group_id)) is not None:
                retained = group.core.log.bytes * LOG_RETAINED_BYTES // max(total, LOG_RETAINED_BYTES)
                self._trim(group, slot, retained)

    def _trim(self, group: Group, checkpointed_slot: int, retained: int) -> None:
        group.checkpointed_slot = max(group.checkpointed_slot, checkpointed_slot)
        log = group.core.log
        excess = log.bytes - retained
        slot = log.first_slot - 1
        # What follows a snapshot that is on its way must still be here when it has arrived.
        limit = min(group.checkpointed_slot, self.snapshots.kept_from(group))
        while excess > 0 and slot < limit:
            slot += 1
            excess -= len(log.entry(slot)[1])
        group.core.trim(slot)

    def needed_records(self, group_id: int, checkpointed_slot: int, bytes_max: int) -> list[tuple[bytes, int]]:
        """What a group's log must have, should it be written again (log_records.py)."""
        return needed_records(self.groups.get(group_id), checkpointed_slot, bytes_max)

    # What services ask

    def is_serving_leader(self, group_id: int) -> bool:
        """Whether this node leads the group and a majority's grants hold at this moment."""
        group = self.groups.get(group_id)
        if group is None or not group.is_serving:
            return False
        now_ns, core = self._now_ns(), group.core
        if group.lease_of is core.leadership and now_ns < group.lease_until_ns:
            return True
        if not core.is_serving(now_ns):
            return False
        group.lease_of, group.lease_until_ns = core.leadership, core.lease_until_ns()
        group.fresh.complete(now_ns)
        return True

    def is_fresh(self, group_id: int) -> bool:
        """Whether this member has applied all that was acknowledged `age_ns_max` (Freshness) ago."""
        group = self.groups.get(group_id)
        if group is None:
            return False
        return self._now_ns() < group.fresh.until_ns or self.is_serving_leader(group_id)

    def leader_of(self, group_id: int) -> tuple[int, int]:
        """(node id or 0, ballot round) of the group's leader as far as this node knows."""
        group = self.groups.get(group_id)
        if group is None:
            return 0, 0
        return group.core.leader_node_id, group.core.promised.round

    def leader_ballot(self, group_id: int) -> Ballot:
        """The ballot at which this node leads the group and at which the next proposal will be made; ZERO: it does
        not."""
        group = self.groups.get(group_id)
        return ZERO if group is None or group.core.leadership is None else group.core.leadership.ballot

    def propose(self, group_id: int, payload: bytes, done: Done) -> None:
        """Replicates one entry; `done` is called exactly once, unless the process ends first."""
        group = self.groups.get(group_id)
        if group is None or group.core.leadership is None or group.drain_until_ns:
            done(Outcome(OutcomeKind.NOT_LEADER, None, self.leader_of(group_id)[0]))
            return
        size = len(payload)
        if (
            group.in_flight_bytes + size > GROUP_IN_FLIGHT_BYTES_MAX
            or self.in_flight_bytes + size > NODE_IN_FLIGHT_BYTES_MAX
        ):
            done(TOO_LARGE if size > GROUP_IN_FLIGHT_BYTES_MAX else OVERLOADED)
            return
        group.in_flight_bytes += size
        self.in_flight_bytes += size
        group.pending.append((payload, done))
        self._with_pending.add(group_id)
        self.flush_soon()

    def configure(self, group_id: int, configuration: Configuration) -> bool:
        """Begins to change the group's members, if this node leads it and may do so now; whether it has. Whoever is to
        join is brought up to date first: to be called again and again. The change is over when `configuration_of` says
        so."""
        group = self.groups.get(group_id)
        if group is None:
            return False
        core, now_ns = group.core, self._now_ns()
        is_changed = core.configuration.members != configuration.members
        if is_changed or (core.leadership is not None and core.leadership.successor is not None):
            self._carry_out(group, core.expect_configuration(configuration, now_ns))
            self._note_peers(group)
        if not is_changed or not core.may_configure(configuration, now_ns):
            return False
        self._carry_out(group, core.propose_configuration(configuration, now_ns))
        return True

    def configuration_of(self, group_id: int) -> tuple[int, Configuration]:
        """(slot of its entry or 0, configuration) in force, as far as this node knows. Requires that the group is
        open."""
        core = self.groups[group_id].core
        return core.configuration_slot, core.configuration

    def hand_over(self, group_id: int, *, can_wait: bool = False, at_once: bool = False) -> None:
        """Gives the group's leadership, if this member has it, to another, once what it has proposed is committed
        (HandOvers); `can_wait`: only if one follows; `at_once`: what it has proposed cannot be waited for."""
        if (group := self.groups.get(group_id)) is not None:
            self.hand_overs.begin(group, can_wait=can_wait, at_once=at_once)

    def rebuild(self, group_id: int) -> None:
        """The state that this member has is damaged: as soon as somebody else leads, its state takes the place of this
        one. Until that comes this one is kept."""
        if (group := self.groups.get(group_id)) is not None:
            group.is_rotten = True

    # What arrives

    def receive(self, sender: int, group_id: int, message: PeerMessage, record: bytes | None) -> None:
        """A message of another member; `record` is the encoding of an Accept's run, so that it is not made again."""
        group = self.groups.get(group_id)
        if group is None:
            return
        if self._wal.bytes_queued > LOG_QUEUED_BYTES_MAX and isinstance(message, Accept | CatchUp):
            return
        if record is not None:
            self._records[id(message.run)] = record  # type: ignore[union-attr]  # only an Accept comes with a record
        if isinstance(message, HandOverRequest):
            self.hand_overs.asked(group, sender, message)
            return
        self._carry_out(group, group.core.handle(sender, message, self._now_ns()))

    def received_all(self) -> None:
        """What came together has been received: what is to be written down need not wait for more."""
        self._wal.flush()

    def receive_heartbeat(self, sender: int, sent_ns: int, fitness: Fitness) -> None:
        self.disk.note(sender, fitness, self._now_ns())
        grant = self.leases.grant(sender, sent_ns, self._now_ns())
        if grant is not None:
            self._transport.send_grant(sender, grant, self.leases.config.duration_ns, self._committed_slots(sender))

    def _committed_slots(self, node_id: int) -> list[tuple[int, int]]:
        """(group id, last slot committed) of what this node leads, with a lease, and has in common with another."""
        now_ns, slots = self._now_ns(), []
        for group_id in self._groups_of_peer.get(node_id, ()):
            if self.is_serving_leader(group_id):
                group = self.groups[group_id]
                group.fresh.complete(now_ns)
                slots.append((group_id, group.core.log.commit_slot))
        return slots

    def receive_grant(self, sender: int, grant: Grant, committed: Iterable[tuple[int, int]]) -> None:
        """`committed`: what Transport.send_grant says."""
        if self.leases.granted(sender, grant, self._now_ns()):
            self._renew(sender)
        if not self._began_ns <= grant.sent_ns <= self._now_ns():
            return  # asked for in a former life, when the clock may have been another
        for group_id, slot in committed:
            group = self.groups.get(group_id)
            if group is not None and not group.core.is_restoring:
                group.fresh.tell(slot, grant.sent_ns, group.applied_slot)

    def peer_connected(self, node_id: int) -> None:
        """A stream to a node is up: what was sent before may be lost."""
        self.hand_overs.send_heartbeats((node_id,))
        for group_id in self._groups_of_peer.get(node_id, ()):
            self.snapshots.resume(self.groups[group_id], node_id)
        self._renew(node_id)

    # Time

    def tick(self) -> None:
        """To be called every few milliseconds: heartbeats, elections, retries, transfers that have stalled."""
        now_ns = self._now_ns()
        if now_ns >= self._next_heartbeat_ns:
            self._next_heartbeat_ns = now_ns + self.leases.config.heartbeat_ns
            self.hand_overs.send_heartbeats(node_id for node_id, held in self._groups_of_peer.items() if held)
            self._commit_notes.tend()
            self.snapshots.tend()
            self.hand_overs.tend_log()
        self.snapshots.send_due()
        self.hand_overs.tick()
        self.flush_soon()  # what is not held back any more
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            deadline_ns, group_id = heapq.heappop(self._deadlines)
            group = self.groups.get(group_id)
            if group is None or group.scheduled_ns != deadline_ns:
                continue
            group.scheduled_ns = 1 << 62
            self._carry_out(group, group.core.tick(now_ns))

    # Inside

    def _note_peers(self, group: Group) -> None:
        """Exchanges heartbeats with the nodes of the group's members; of those that are to become members, too."""
        leadership = group.core.leadership
        for node_id in (*group.core.configuration.node_ids, *(leadership.progress if leadership else ())):
            if node_id != self.node_id:
                self._groups_of_peer.setdefault(node_id, set()).add(group.group_id)

    def _renew(self, node_id: int) -> None:
        for group_id in tuple(self._groups_of_peer.get(node_id, ())):
            group = self.groups[group_id]
            self._carry_out(group, group.core.peer_renewed(node_id, self._now_ns()))

    def _schedule(self, group: Group) -> None:
        deadline_ns = group.core.deadline_ns()
        if deadline_ns < group.scheduled_ns:
            group.scheduled_ns = deadline_ns
            heapq.heappush(self._deadlines, (deadline_ns, group.group_id))

    def flush_soon(self) -> None:
        """Proposes what has gathered, once the log is idle: to be called when a machine does not hold back any more."""
        if self._with_pending and self._wal.is_idle and not self._is_flush_due:
            self._is_flush_due = True
            self._defer(self._flush_deferred)

    def _flush_deferred(self) -> None:
        self._is_flush_due = False
        self._flush()

    def _flush(self) -> None:
        """Proposes what has gathered, a batch a group. The log is idle: what arrives from now on gathers until it is
        idle again."""
        group_ids = sorted(self._with_pending)
        self._with_pending.clear()
        for group_id in group_ids:
            group = self.groups.get(group_id)
            if group is not None and group.core.leadership is not None:
                self._propose_batch(group)

    def _propose_batch(self, group: Group) -> None:
        if not group.core.can_propose or group.machine.holds_back:
            self._with_pending.add(group.group_id)  # as until a new configuration is in force
            return
        payloads: list[bytes] = []
        size = 0
        slot = group.core.next_slot
        while group.pending and len(payloads) < BATCH_ENTRIES_MAX:
            payload, done = group.pending[0]
            if payloads and size + len(payload) > BATCH_BYTES_MAX:
                break
            group.pending.popleft()
            payloads.append(payload)
            size += len(payload)
            group.waiting[slot] = done
            slot += 1
        if group.pending:
            self._with_pending.add(group.group_id)
        if payloads:
            self._carry_out(group, group.core.propose(tuple(payloads), self._now_ns()))

    def _carry_out(self, group: Group, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendMessage):
                self._send(group, effect)
            elif isinstance(effect, PersistRecord):
                self._persist(group, effect)
            elif isinstance(effect, ApplyEntries | ApplyConfiguration):
                if isinstance(effect, ApplyConfiguration):
                    group.lease_until_ns = 0
                if group.core.leadership is None or group.unapplied:
                    self._apply_later(group, effect)
                else:
                    self._apply(group, effect)
            elif isinstance(effect, LeadershipChanged):
                self._apply_some(group, self.apply_entries_max)
                if not effect.is_leader:
                    self._fail_all(group, UNKNOWN)
            else:
                self.snapshots.start(group, effect.to)
        self._records.clear()
        self._note_serving(group)
        self._schedule(group)

    def _note_serving(self, group: Group) -> None:
        """A leader serves once its machine, and not only its core, is as far as phase 1 brought it."""
        leadership = group.core.leadership
        self._set_serving(group, leadership is not None and group.applied_slot >= leadership.recovered_slot)
        if group.drain_until_ns or group.held:
            self.hand_overs.proceed(group)

    def _set_serving(self, group: Group, is_serving: bool) -> None:
        if is_serving != group.is_serving:
            group.is_serving = is_serving
            self.on_leadership(group.group_id, is_serving)

    def _send(self, group: Group, effect: SendMessage) -> None:
        run = getattr(effect.message, "run", None)
        record = self._encode(group, run) if run is not None else None
        self._transport.send(effect.to, group.group_id, effect.message, record)

    def _encode(self, group: Group, record: LogRecord) -> bytes:
        """The record's bytes; a run is encoded once, for the log and for every follower."""
        encoded = self._records.get(id(record))
        if encoded is None:
            # Never ahead of what is in the log once this record is: the records behind it may be torn off.
            commit_slot = min(group.core.log.commit_slot, record.last_slot) if isinstance(record, Run) else 0
            encoded = encode_log_record(group.group_id, record, commit_slot)
            self._records[id(record)] = encoded
        return encoded

    def _persist(self, group: Group, effect: PersistRecord) -> None:
        record = effect.record
        last_slot = last_slot_of(record)
        encoded = self._encode(group, record)
        group.logged_bytes += len(encoded)
        if not effect.then and effect.event is None and not isinstance(record, HealedRecord):
            self._wal.append(encoded, group.group_id, last_slot, None)
            return
        event = effect.event
        then = effect.then

        def durable() -> None:
            if self.groups.get(group.group_id) is not group:
                return
            for send in then:
                self._send(group, send)
            if event is not None:
                self._carry_out(group, group.core.durable(event, self._now_ns()))
            if isinstance(record, HealedRecord):
                self.on_healed(group.group_id)

        self._wal.append(encoded, group.group_id, last_slot, durable)

    def _apply(self, group: Group, effect: ApplyEntries | ApplyConfiguration) -> None:
        if isinstance(effect, ApplyConfiguration):
            self._note_peers(group)
            self._defer(self._flush_deferred)  # what could not be proposed meanwhile
            self.on_configured(group.group_id)
        if group.core.is_restoring:
            return  # the snapshot that is being restored stands for these entries
        machine, waiting = group.machine, group.waiting
        if isinstance(effect, ApplyConfiguration):
            machine.apply_configuration(effect.slot, effect.configuration)
            group.applied(effect.slot)
            return
        for slot, payload in enumerate(effect.payloads, effect.first_slot):
            if payload:
                result = machine.apply(slot, payload)
            else:
                machine.applied_no_op(slot)
                result = None
            done = waiting.pop(slot, None)
            if done is not None:
                group.in_flight_bytes -= len(payload)
                self.in_flight_bytes -= len(payload)
                done(COMMITTED if result is None else Outcome(OutcomeKind.COMMITTED, result))
        group.applied(effect.first_slot + len(effect.payloads) - 1)

    def _apply_later(self, group: Group, effect: ApplyEntries | ApplyConfiguration) -> None:
        """Nobody waits for what a follower applies, but a leader waits for what it has to write down: that goes
        first."""
        size = self.apply_entries_max
        if isinstance(effect, ApplyEntries) and len(effect.payloads) > size:
            for at in range(0, len(effect.payloads), size):
                group.unapplied.append(ApplyEntries(effect.first_slot + at, effect.payloads[at : at + size]))
        else:
            group.unapplied.append(effect)
        self._with_unapplied[group.group_id] = None
        self._apply_soon()

    def _apply_soon(self) -> None:
        if not self._is_apply_due:
            self._is_apply_due = True
            self._later(self._apply_deferred)

    def _apply_deferred(self) -> None:
        """A part of what was put off, of all groups together; those that had none of it are the first next time."""
        self._is_apply_due = False
        left = self.apply_entries_max
        for group_id in tuple(self._with_unapplied):
            if left <= 0:
                break
            del self._with_unapplied[group_id]
            group = self.groups.get(group_id)
            if group is None:
                continue
            left -= self._apply_some(group, left)
            if group.unapplied:
                self._with_unapplied[group_id] = None
            self._note_serving(group)
        if self._with_unapplied:
            self._apply_soon()

    def _apply_some(self, group: Group, entries: int) -> int:
        """Applies what was put off, until it is about so many entries; returns of how many."""
        applied = 0
        while group.unapplied and applied < entries:
            effect = group.unapplied.popleft()
            applied += len(effect.payloads) if isinstance(effect, ApplyEntries) else 1
            self._apply(group, effect)
        return applied

    def _apply_due(self, group: Group) -> None:
        while group.unapplied:
            self._apply(group, group.unapplied.popleft())

    def _fail_all(self, group: Group, outcome: Outcome) -> None:
        """Ends every proposal that leadership was needed for; those not proposed yet have not been executed."""
        waiting, pending = list(group.waiting.values()), list(group.pending)
        group.waiting.clear()
        group.pending.clear()
        self.in_flight_bytes -= group.in_flight_bytes
        group.in_flight_bytes = 0
        not_executed = Outcome(OutcomeKind.NOT_LEADER, None, 0)
        for done in waiting:
            done(outcome)
        for _, done in pending:
            done(not_executed)


__all__ = ["UNKNOWN", "Group", "Outcome", "OutcomeKind", "ReplicaHost"]
