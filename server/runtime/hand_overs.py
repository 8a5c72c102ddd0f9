"""Leaderships that go to another member on purpose: what is under way ends first, what comes meanwhile waits.

A hand-over is: no further proposals; those that were made are committed (DRAIN_NS at most); the core releases its
ballot to a successor; the successor is elected, and serves. Whoever asks meanwhile for what only a leader may do can be
told nothing of use: so such a request may be held (HELD_NS at most) until it is known who serves, here or elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from server.paxos.acceptor import Health
from server.paxos.lease import NodeLeases
from server.paxos.messages import Effect, HandOverRequest
from server.runtime.disk_watch import AGAIN_NS, DiskWatch, Fitness
from server.runtime.group import Group
from server.runtime.host_surroundings import LogWriter, Transport

DRAIN_NS = 100_000_000
"""How long a leader that is to hand over waits for what it has proposed."""

HELD_NS = 500_000_000
"""Less than a router gives an attempt."""

HELD_BYTES_MAX = 64 * 1024 * 1024
"""Of requests that are held on a node; past it they are answered at once."""


ASKED_AGAIN_NS = 30_000_000_000
"""A leader that has handed over since it was asked to, and leads again, is not asked in vain for so long."""


def _others(group: Group, node_id: int) -> frozenset[int]:
    return frozenset(group.core.configuration.node_ids) - {node_id}


log = structlog.get_logger()


class HandOvers:
    """Of all groups of a host. `carry_out` and `defer` are the host's own."""

    def __init__(
        self,
        groups: Mapping[int, Group],
        now_ns: Callable[[], int],
        carry_out: Callable[[Group, Iterable[Effect]], None],
        defer: Callable[[Callable[[], None]], None],
        wal: LogWriter,
        transport: Transport,
        disk: DiskWatch,
        leases: NodeLeases,
    ) -> None:
        self.again_ns = AGAIN_NS
        self._groups = groups
        self._now_ns = now_ns
        self._carry_out = carry_out
        self._defer = defer
        self._wal = wal
        self._transport = transport
        self._disk = disk
        self._leases = leases
        self._held_bytes = 0
        self._active: dict[int, None] = {}

    def begin(self, group: Group, *, can_wait: bool = False, at_once: bool = False) -> None:
        """Gives the group's leadership away, if this member has it; `can_wait`: only if a member follows that may take
        it; `at_once`: what is under way cannot be waited for."""
        if group.core.leadership is None or (can_wait and not self._has_successor(group)):
            return
        self._active[group.group_id] = None
        if at_once:
            self._release(group)
            return
        if not group.drain_until_ns:
            group.drain_until_ns = self._now_ns() + DRAIN_NS
        self.proceed(group)

    def tend_log(self) -> None:
        """To be called with each heartbeat. A leader whose disk hangs answers nothing, while its grants keep others
        from leading: it lets go. One whose disk is slow or full, and others' are not, gives away what they may have."""
        writing_ns, now_ns = self._wal.writing_ns(), self._now_ns()
        self._disk.sample(self._wal.take_write_ns(), writing_ns)
        if writing_ns > self._leases.config.duration_ns:
            for group in tuple(self._groups.values()):
                self.begin(group, at_once=True)
        elif self._disk.is_unwell:
            worse = self._disk.worse_node_ids() | self._disk.silent_node_ids(now_ns - self._leases.config.duration_ns)
            for group in tuple(self._groups.values()):
                if now_ns >= group.given_away_ns + self.again_ns and self._has_successor(group, worse):
                    group.given_away_ns = now_ns
                    self.begin(group)

    def send_heartbeats(self, node_ids: Iterable[int]) -> None:
        """Asks other nodes for grants, and tells them what this node says of itself.

        Where the log has written nothing for the time of a lease, though something waits, this node can neither come to
        lead nor let go of a ballot of its own: grants would keep all others from leading for as long as that lasts.
        So it asks for none, unless it leads something: others may be no better, and then reads go on here."""
        now_ns, fitness = self._now_ns(), self.fitness()
        self._leases.may_stand = self._wal.stalled_ns() <= self._leases.config.duration_ns
        if self._leases.may_stand or any(group.core.leadership is not None for group in self._groups.values()):
            for node_id in node_ids:
                self._transport.send_heartbeat(node_id, now_ns, fitness)

    def fitness(self) -> Fitness:
        """What this node tells the others of itself."""
        unfit = frozenset(
            group_id
            for group_id, group in self._groups.items()
            if group.is_rotten or group.core.is_restoring or group.core.health != Health.WHOLE
        )
        return Fitness(self._disk.write_ns, self._disk.is_full, unfit)

    def _has_successor(self, group: Group, avoided: frozenset[int] = frozenset()) -> bool:
        unfit = self._disk.unfit_node_ids(group.group_id)
        return group.core.has_successor(self._now_ns(), avoided | unfit)

    def ask_for(self, group_id: int) -> bool:
        """Routers reach this node and not the group's leader: asks that one to hand over to here, if this member could
        lead. Returns whether it has been asked now, and not a moment ago."""
        group, now_ns = self._groups[group_id], self._now_ns()
        core = group.core
        may_lead = core.health == Health.WHOLE and not core.is_restoring and not core.is_log_replica
        may_lead = may_lead and self._leases.may_stand
        if core.leader_node_id in (0, core.node_id) or not may_lead or now_ns < self._leases.votes_from_ns:
            return False
        if now_ns < group.asked_until_ns and core.promised == group.asked_ballot:
            return False
        group.asked_until_ns, group.asked_ballot = now_ns + HELD_NS, core.promised
        self._transport.send(core.leader_node_id, group_id, HandOverRequest(core.promised), None)
        return True

    def asked(self, group: Group, sender: int, message: HandOverRequest) -> None:
        """Another member asks for the leadership. It gets it, if it follows; but leaderships that are asked for from
        here and from there must not go round all the time."""
        core, now_ns = group.core, self._now_ns()
        if core.leadership is None or core.leadership.ballot != message.ballot or now_ns < group.asked_not_before_ns:
            return
        if self._has_successor(group, _others(group, sender)):
            group.asked_not_before_ns = now_ns + ASKED_AGAIN_NS
            log.warning("routers cannot reach this node, another is to lead", group_id=group.group_id, node_id=sender)
            group.successor_node_id = sender
            self.begin(group)

    def is_under_way(self, group_id: int) -> bool:
        """Whether nobody is known to serve the group, because this member hands it over, did so a moment ago, or is
        about to take it over."""
        group, now_ns = self._groups.get(group_id), self._now_ns()
        if group is None:
            return False
        core = group.core
        if core.leadership is not None:
            return bool(group.drain_until_ns) or group.applied_slot < core.leadership.recovered_slot
        if core.candidacy is not None and core.candidacy.is_promising_itself:
            return True
        if now_ns < group.asked_until_ns and core.promised == group.asked_ballot:
            return True
        return now_ns < group.handed_over_ns + HELD_NS and not core.is_led

    def hold(self, group_id: int, size: int, again: Callable[[], None]) -> bool:
        """Keeps a request of `size` bytes, if there is room, and calls `again` when what is under way has come about,
        or has not in time. Requires `is_under_way`."""
        if self._held_bytes + size > HELD_BYTES_MAX:
            return False
        self._held_bytes += size
        self._groups[group_id].held.append((self._now_ns() + HELD_NS, size, again))
        self._active[group_id] = None
        return True

    def proceed(self, group: Group) -> None:
        """Something has happened in a group that hands over or has requests held, or time has passed."""
        now_ns = self._now_ns()
        if group.drain_until_ns:
            is_drained = not group.waiting and not group.pending
            if group.core.leadership is None:
                group.drain_until_ns = 0  # it was lost before it could be given
            elif is_drained or now_ns >= group.drain_until_ns:
                self._release(group)
        if group.held:
            self._let_go(group, now_ns if self.is_under_way(group.group_id) else 1 << 62)

    def _release(self, group: Group) -> None:
        now_ns = self._now_ns()
        group.drain_until_ns = 0
        group.handed_over_ns = now_ns
        avoided = self._disk.worse_node_ids()
        if group.successor_node_id:
            avoided, group.successor_node_id = _others(group, group.successor_node_id), 0
        self._carry_out(group, group.core.hand_over(now_ns, avoided, self._disk.unfit_node_ids(group.group_id)))

    def tick(self) -> None:
        """To be called every few milliseconds."""
        for group_id in tuple(self._active):
            group = self._groups.get(group_id)
            if group is not None:
                self.proceed(group)
            if group is None or not (group.drain_until_ns or group.held):
                self._active.pop(group_id, None)

    def close(self, group: Group) -> None:
        """The group is closed: what is held for it is answered."""
        self._let_go(group, 1 << 62)

    def _let_go(self, group: Group, until_ns: int) -> None:
        """Of those that are held what is to be held no longer than `until_ns`."""
        due = [each for each in group.held if each[0] <= until_ns]
        if not due:
            return
        group.held = group.held[len(due) :]
        self._held_bytes -= sum(size for _, size, _ in due)

        def run() -> None:
            for _, _, again in due:
                again()

        self._defer(run)
