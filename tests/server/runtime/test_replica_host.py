"""The replica host: what it writes down, what it sends, and what it does when its surroundings fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from server.codec.record import RecordType, decode_record
from server.paxos.ballot import Ballot
from server.paxos.core import PaxosCore
from server.paxos.lease import Grant, LeaseConfig, NodeLeases
from server.paxos.messages import (
    Accept,
    Accepted,
    CatchUp,
    Commit,
    LeadershipQuery,
    LogStart,
    PeerMessage,
    PersistRecord,
    Promise,
    PromiseRecord,
    Reject,
    RejectReason,
    Release,
    Run,
)
from server.paxos.quorum import Configuration, Member
from server.runtime.disk_watch import Fitness
from server.runtime.replica_host import LOG_QUEUED_BYTES_MAX, LOG_RETAINED_BYTES, Outcome, OutcomeKind, ReplicaHost
from server.runtime.snapshot_transfer import (
    DECLINED_SEQUENCE,
    SnapshotFailedError,
    SnapshotSource,
)
from server.wal_recovery import RecoveredGroup

GROUP = 7
MEMBERS = Configuration((Member(1, "a"), Member(2, "b"), Member(3, "c")))
LEASE = LeaseConfig()
MS = 1_000_000

Done = Callable[[], None]


class FakeWal:
    """Holds records; each is durable at once, or when `sync` is called."""

    def __init__(self, *, is_instant: bool = True) -> None:
        self.on_idle: Done | None = None
        self.is_idle = True
        self.bytes_queued = 0
        self.hangs_ns = 0
        self.waits_ns = 0
        self.write_ns = 0
        self.is_instant = is_instant
        self.records: list[bytes] = []
        self.last_slots: list[int] = []
        self.flushes = 0

    def writing_ns(self) -> int:
        return self.hangs_ns

    def stalled_ns(self) -> int:
        return self.hangs_ns or self.waits_ns

    def take_write_ns(self) -> int:
        return self.write_ns

    def flush(self) -> None:
        self.flushes += 1

    def append(self, record: bytes, group_id: int, last_slot: int, done: Done | None) -> None:
        self.last_slots.append(last_slot)
        self.records.append(record)
        if self.is_instant and done is not None:
            done()
        elif not self.is_instant:
            self.bytes_queued += len(record)


class FakeTransport:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, PeerMessage]] = []
        self.chunks: list[tuple[int, int, int, bool]] = []  # snapshot id, slot, sequence, is last
        self.acknowledged: list[int] = []
        self.missing: list[int] = []  # chunks that were told to be lost
        self.committed: list[tuple[int, int]] = []
        self.asked: set[int] = set()
        self.told = Fitness(-1)  # in the last heartbeat, of the node

    def send(self, to: int, group_id: int, message: PeerMessage, record: bytes | None) -> None:
        self.messages.append((to, message))

    def send_heartbeat(self, to: int, sent_ns: int, fitness: Fitness) -> None:
        self.told = fitness
        self.asked.add(to)

    def send_grant(self, to: int, grant: Grant, duration_ns: int, committed: Sequence[tuple[int, int]]) -> None:
        self.committed = list(committed)

    def send_snapshot_chunk(
        self,
        to: int,
        group_id: int,
        snapshot_id: int,
        slot: int,
        sequence: int,
        body: bytes,
        is_last: bool,
        total_bytes: int,
    ) -> None:
        assert total_bytes == 2
        self.chunks.append((snapshot_id, slot, sequence, is_last))

    def send_snapshot_ack(self, to: int, group_id: int, snapshot_id: int, sequence: int, missing: int = 0) -> None:
        self.acknowledged.append(sequence)
        if missing:
            self.missing.append(missing)


class FakeSource:
    """A snapshot of two chunks, of a byte each."""

    total_bytes = 2

    def __init__(self, slot: int, *, is_readable: bool) -> None:
        self.slot = slot
        self.is_closed = False
        self._left = 2
        self._is_readable = is_readable

    def next_chunk(self) -> bytes | None:
        if not self._is_readable:
            raise SnapshotFailedError("a value is damaged")
        self._left -= 1
        return b"x" if self._left >= 0 else None

    def close(self) -> None:
        self.is_closed = True


class FakeMachine:
    """Remembers what was applied. Chunks of a snapshot are stored when `store` says so."""

    opening: Callable[[Ballot], bytes] | None = None

    def __init__(self) -> None:
        self.configuration: tuple[int, Configuration] | None = None
        self.is_restoring = False
        self.holds_back = False
        self.is_readable = True
        self.applied: list[tuple[int, bytes]] = []
        self.durable_slot = 0
        self.sources: list[FakeSource] = []
        self.stores: Callable[[bytes], bool] = lambda body: True
        self.restored_slots: list[int] = []
        self.progressed: Done = lambda: None

    def apply(self, slot: int, payload: bytes) -> object:
        self.applied.append((slot, payload))
        return None

    def applied_no_op(self, slot: int) -> None: ...

    def apply_configuration(self, slot: int, configuration: Configuration) -> None:
        self.configuration = (slot, configuration)

    def open_snapshot(self) -> SnapshotSource | None:
        self.sources.append(FakeSource(self.durable_slot, is_readable=self.is_readable))
        return self.sources[-1]

    def begin_restore(self, slot: int, progressed: Done) -> None:
        self.is_restoring = True
        self.progressed = progressed

    def restore_chunk(self, body: bytes, done: Done) -> None:
        if self.stores(body):
            done()

    def finish_restore(self, slot: int, done: Done) -> None:
        self.is_restoring = False
        self.restored_slots.append(slot)
        done()


class Lone:
    """Node 1 with its member of one group; the test speaks for the other two."""

    def __init__(self, machine: FakeMachine | None = None, *, is_instant: bool = True, boot: int = 1) -> None:
        self.now_ns = 0
        self.wal = FakeWal(is_instant=is_instant)
        self.transport = FakeTransport()
        self.machine = machine or FakeMachine()
        leases = NodeLeases(LEASE, boot=boot, is_first_boot=boot == 1, now_ns=0)
        self.host = ReplicaHost(
            1, self.wal, self.transport, leases, random.Random(1), lambda: self.now_ns, lambda callback: callback()
        )
        self.host.open_group(GROUP, MEMBERS, self.machine, None, 0)

    @property
    def core(self) -> PaxosCore:
        return self.host.groups[GROUP].core

    def receive(self, sender: int, message: PeerMessage) -> None:
        self.host.receive(sender, GROUP, message, None)

    def lead(self) -> Ballot:
        """Node 2 elects this member and grants to it."""
        self.host.tick()
        candidacy = self.core.candidacy
        assert candidacy is not None
        self.receive(2, Promise(candidacy.ballot, 1, 1, 0, (), True, 1))
        self.host.receive_grant(2, Grant(self.now_ns, 1), ())
        assert self.host.is_serving_leader(GROUP)
        return candidacy.ballot

    def write(self, ballot: Ballot, count: int, size: int) -> None:
        """Entries that node 2 accepts."""
        for _ in range(count):
            self.host.propose(GROUP, b"p" * size, lambda outcome: None)
            self.receive(2, Accepted(ballot, self.core.log.last_slot, 1))

    def release_at_once(self) -> None:
        self.host.flush_soon()

    def release_in_time(self) -> None:
        self.host.tick()

    def lag(self, ballot: Ballot) -> None:
        """Node 3 says that it has nothing."""
        self.receive(3, Reject(ballot, ballot, 0, RejectReason.HOLE))


class Follower(Lone):
    """Follows node 2, which has committed a and b; what may be done later has not been done."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[Done] = []
        self.host._later = self.due.append
        self.receive(2, Accept(Run(LEADER, 1, (b"a", b"b")), 0))
        self.receive(2, Commit(LEADER, 2, 0))
        assert self.machine.applied == []

    def do_what_is_due(self) -> None:
        while self.due:
            self.due.pop(0)()

    @property
    def applied(self) -> list[bytes]:
        return [payload for _, payload in self.machine.applied]


LEADER = Ballot(1, 2)


def test_a_follower_applies_when_it_has_written() -> None:
    """Later, in the order of the slots, and each entry once."""
    follower = Follower()
    follower.receive(2, Accept(Run(LEADER, 3, (b"c",)), 2))
    follower.receive(2, Commit(LEADER, 3, 0))
    assert len(follower.due) == 1
    follower.do_what_is_due()
    assert follower.applied == [b"a", b"b", b"c"]
    follower.receive(2, Accept(Run(LEADER, 4, (b"d",)), 3))
    follower.receive(2, Commit(LEADER, 4, 0))
    follower.do_what_is_due()
    assert follower.applied == [b"a", b"b", b"c", b"d"]


def test_a_new_leader_has_applied_everything() -> None:
    """What it put off as a follower comes before anything that it serves."""
    follower = Follower()
    follower.now_ns = 10_000_000_000
    follower.host.tick()
    candidacy = follower.core.candidacy
    assert candidacy is not None
    follower.receive(2, Promise(candidacy.ballot, candidacy.from_slot, 1, 2, (), True, 1))
    assert follower.core.leadership is not None
    assert follower.applied == [b"a", b"b"]
    follower.do_what_is_due()
    assert follower.applied == [b"a", b"b"]


def test_what_was_put_off_is_applied_a_part_at_a_time() -> None:
    """However much it is, others have their turn in between."""
    follower = Follower()
    follower.host.apply_entries_max = 2
    follower.do_what_is_due()
    follower.receive(2, Accept(Run(LEADER, 3, (b"c", b"d", b"e", b"f", b"g")), 2))
    follower.receive(2, Commit(LEADER, 7, 0))
    seen = []
    while follower.due:
        follower.due.pop(0)()
        seen.append(b"".join(follower.applied))
    assert seen == [b"abcd", b"abcdef", b"abcdefg"]


def test_a_new_leader_serves_once_it_has_applied_what_it_put_off() -> None:
    """Until then it leads and does not serve, and what is committed meanwhile is applied behind that."""
    follower = Follower()
    follower.do_what_is_due()
    follower.host.apply_entries_max = 1
    follower.receive(2, Accept(Run(LEADER, 3, (b"c", b"d", b"e")), 2))
    follower.receive(2, Commit(LEADER, 5, 0))
    follower.now_ns = 10_000_000_000
    follower.host.tick()
    candidacy = follower.core.candidacy
    assert candidacy is not None
    follower.receive(2, Promise(candidacy.ballot, candidacy.from_slot, 1, 5, (), True, 1))
    follower.host.receive_grant(2, Grant(follower.now_ns, 1), ())
    assert follower.core.leadership is not None
    assert follower.applied == [b"a", b"b", b"c"]
    assert not follower.host.is_serving_leader(GROUP)
    outcomes: list[Outcome] = []
    follower.host.propose(GROUP, b"f", outcomes.append)
    follower.receive(2, Accepted(candidacy.ballot, 6, 1))
    assert (follower.applied, outcomes) == ([b"a", b"b", b"c"], [])
    follower.do_what_is_due()
    assert follower.applied == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert [each.kind for each in outcomes] == [OutcomeKind.COMMITTED]
    assert follower.host.is_serving_leader(GROUP)


def test_what_a_start_finds_in_the_log_is_applied_a_part_at_a_time() -> None:
    """There may be minutes' worth of it, and the node has heartbeats to answer meanwhile; before that it is behind."""
    lone = Lone()
    due: list[Done] = []
    lone.host._later = due.append
    lone.host.apply_entries_max = 2
    entries = [(LEADER, b"%d" % slot) for slot in range(1, 6)]
    recovered = RecoveredGroup(LEADER, 1, entries, 5)
    lone.host.open_group(GROUP + 1, MEMBERS, lone.machine, recovered, 0)
    group = lone.host.groups[GROUP + 1]
    for applied in ([], [1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5]):
        assert [slot for slot, _ in lone.machine.applied] == applied
        assert group.applied_slot == len(applied)
        while due and len(lone.machine.applied) == len(applied):
            due.pop(0)()
    assert not due


def test_what_was_put_off_does_not_follow_a_snapshot() -> None:
    """It is applied before the snapshot takes its place, not behind it."""
    follower = Follower()
    follower.host.snapshots.receive_chunk(2, GROUP, 1, 9, 0, b"x", True)
    assert follower.machine.restored_slots == [9]
    assert follower.applied == [b"a", b"b"]
    follower.do_what_is_due()
    assert follower.applied == [b"a", b"b"]


def test_a_closed_group_applies_nothing() -> None:
    follower = Follower()
    follower.host.close_group(GROUP)
    follower.do_what_is_due()
    assert follower.applied == []


def test_a_lease_that_was_looked_up_ends() -> None:
    """The host remembers until when the lease holds; not longer, and not beyond the leadership."""
    lone = Lone()
    lone.lead()
    until_ns = lone.core.lease_until_ns()
    lone.now_ns = until_ns - 1
    assert lone.host.is_serving_leader(GROUP)
    lone.now_ns = until_ns
    assert not lone.host.is_serving_leader(GROUP)
    lone.host.receive_grant(2, Grant(lone.now_ns, 1), ())
    assert lone.host.is_serving_leader(GROUP)
    lone.host.hand_over(GROUP)
    assert not lone.host.is_serving_leader(GROUP)


def test_a_lease_of_former_members_ends_with_their_membership() -> None:
    """Who is elected by the members that are in force now need not have asked those whose grants it rested on."""
    lone = Lone()
    ballot = lone.lead()
    lone.write(ballot, 1, 10)
    successor = Configuration((Member(1, "a"), Member(3, "c"), Member(4, "b")))
    lone.host.configure(GROUP, successor)
    lone.receive(4, Accepted(ballot, 1, 1))
    lone.host.receive_grant(4, Grant(lone.now_ns, 1), ())
    assert lone.host.configure(GROUP, successor)
    lone.now_ns += LEASE.held_ns - 10
    lone.receive(2, Accepted(ballot, 2, 1))
    lone.host.receive_grant(2, Grant(lone.now_ns, 1), ())
    lone.now_ns += 20
    assert lone.host.is_serving_leader(GROUP), "by the grant of node 2, that of node 4 is over"
    lone.receive(4, Accepted(ballot, 2, 1))
    assert lone.host.configuration_of(GROUP) == (2, successor)
    assert not lone.host.is_serving_leader(GROUP)


def test_what_came_together_is_written_at_once() -> None:
    lone = Lone()
    assert lone.wal.flushes == 0
    lone.host.received_all()
    assert lone.wal.flushes == 1


class Recovered:
    """What a log's records say of the group."""

    def __init__(self, records: list[bytes]) -> None:
        self.promised = Ballot(0, 0)
        self.first_slot = 1
        self.entries: list[tuple[Ballot, bytes]] = []
        self.commit_slot = 0
        self.is_healing = False
        for data in records:
            record = decode_record(data)
            self.promised = max(self.promised, record.ballot)
            self.commit_slot = max(self.commit_slot, record.commit_slot)
            if record.type is RecordType.ENTRIES:
                start = record.first_slot - 1
                new = [(record.ballot, payload) for payload in record.payloads]
                self.entries[start : start + len(new)] = new


@pytest.mark.parametrize("kept", range(1, 6))
def test_a_record_vouches_for_nothing_behind_it(kept: int) -> None:
    """Wherever a crash tears the log while a member catches up, what it then takes for committed was chosen."""
    lone = Lone()
    # These reached only this member, and were never chosen.
    lone.receive(2, Accept(Run(Ballot(1, 2), 1, (b"stale1", b"stale2", b"stale3")), 0))
    runs = (Run(Ballot(2, 3), 1, (b"new1",)), Run(Ballot(3, 3), 2, (b"new2", b"new3")))
    lone.receive(3, CatchUp(Ballot(3, 3), runs, 3))
    assert [payload for _, payload in lone.machine.applied] == [b"new1", b"new2", b"new3"]
    recovered = Recovered(lone.wal.records[:kept])
    again = FakeMachine()
    host = Lone(boot=2).host
    host.close_group(GROUP)
    host.open_group(GROUP, MEMBERS, again, recovered, 0)
    assert not [payload for _, payload in again.applied if b"stale" in payload]


def test_what_a_machine_holds_back_gathers() -> None:
    """It is proposed together when the machine does not any more: when that is said, or a moment later."""
    for release in (Lone.release_at_once, Lone.release_in_time):
        lone = Lone()
        ballot = lone.lead()
        lone.machine.holds_back = True
        done: list[Outcome] = []
        last_slot = lone.core.log.last_slot
        for _ in range(3):
            lone.host.propose(GROUP, b"p", done.append)
        lone.host.tick()
        assert lone.core.log.last_slot == last_slot
        lone.machine.holds_back = False
        release(lone)
        assert lone.core.log.last_slot == last_slot + 3
        assert not done
        lone.receive(2, Accepted(ballot, last_slot + 3, 1))
        assert [each.kind for each in done] == [OutcomeKind.COMMITTED] * 3


def test_a_ballot_that_was_let_go_is_never_used_again() -> None:
    """A member that has forgotten a ballot, as it died before its promise was on disk, and is asked about it: it lets
    go of it only once that is on disk, and stands above it."""
    lone = Lone(is_instant=False)
    lone.receive(2, LeadershipQuery(Ballot(5, 1)))
    assert not [message for _, message in lone.transport.messages if isinstance(message, Release)]
    effects = lone.core.handle(2, LeadershipQuery(Ballot(6, 1)), 0)
    assert isinstance(effects[0], PersistRecord)
    assert effects[0].record == PromiseRecord(Ballot(6, 1))
    assert [send.message for send in effects[0].then] == [Release(Ballot(6, 1))]
    lone.now_ns = 10_000 * MS
    lone.host.tick()
    assert lone.core.candidacy is not None
    assert lone.core.candidacy.ballot > Ballot(6, 1)


def test_an_entry_is_handed_to_the_log_before_another_is_applied() -> None:
    """Applying may fail; what was accepted in the same step must have been written by then."""

    class Failing(FakeMachine):
        def apply(self, slot: int, payload: bytes) -> object:
            raise ValueError("of a newer version")

    lone = Lone(Failing())
    lone.receive(2, Accept(Run(Ballot(1, 2), 1, (b"one",)), 0))
    with pytest.raises(ValueError, match="newer version"):
        lone.receive(2, Accept(Run(Ballot(1, 2), 2, (b"two",)), 1))
    assert [decode_record(record).first_slot for record in lone.wal.records] == [1, 2]


def test_the_log_is_not_trimmed_past_the_checkpoint() -> None:
    """However much memory it takes: what no checkpoint stands for is nowhere else on this node."""
    lone = Lone()
    lone.write(lone.lead(), 40, 1024 * 1024)
    lone.host.trim({GROUP: 3})
    assert lone.core.log.first_slot == 4


def test_a_node_keeps_the_logs_that_are_written_to() -> None:
    """In memory, for members that lag, whatever else it has: what is kept in all is shared as the logs have it."""
    lone = Lone()
    for group_id in range(GROUP + 1, GROUP + 101):
        lone.host.open_group(group_id, MEMBERS, lone.machine, None, 0)
    ballot = lone.lead()
    lone.write(ballot, 30, 1024 * 1024)
    lone.host.trim({GROUP: 30})
    assert lone.core.log.first_slot == 1
    core = lone.host.groups[GROUP + 1].core
    other = core.log
    other.write(Run(ballot, 1, (bytes(1024 * 1024),) * 30))
    other.commit_slot = core.applied_slot = 30
    lone.host.trim({GROUP: 30, GROUP + 1: 30})
    kept = [lone.core.log.bytes, other.bytes]
    assert kept == [16 * 1024 * 1024] * 2 and sum(kept) == LOG_RETAINED_BYTES


def test_the_log_is_not_trimmed_past_a_snapshot_under_way() -> None:
    """A member that is sent a snapshot finds what follows it in the log, however much was written meanwhile."""
    lone = Lone()
    ballot = lone.lead()

    def write_and_checkpoint() -> None:
        lone.write(ballot, 100, 1024 * 1024)
        lone.machine.durable_slot = lone.core.applied_slot
        lone.host.trim({GROUP: lone.core.applied_slot})

    write_and_checkpoint()
    lone.lag(ballot)
    snapshot_id, slot, sequence, is_last = lone.transport.chunks[-1]
    assert (slot, is_last) == (100, True)
    write_and_checkpoint()
    assert lone.core.log.first_slot <= slot + 1
    lone.host.snapshots.receive_ack(3, GROUP, snapshot_id, sequence)
    lone.host.trim({GROUP: lone.core.applied_slot})
    assert lone.core.log.first_slot > slot + 1


class LogReplica(Follower):
    """Node 1 has a log and no state; snapshots are stored when `store` is called."""

    def __init__(self) -> None:
        Lone.__init__(self, FakeMachine())
        self.host.close_group(GROUP)
        self.machine.is_restoring = True
        self.host.open_group(GROUP, MEMBERS, self.machine, None, 0)
        self.due = []
        self.host._later = self.due.append
        self.receive(2, LogStart(LEADER, 4, True))
        self.receive(2, Accept(Run(LEADER, 5, (b"e", b"f")), 4))


def test_what_was_committed_while_restoring_is_applied_behind_the_snapshot() -> None:
    """Once, in order, and nothing of it while there is no state."""
    replica = LogReplica()
    replica.receive(2, Commit(LEADER, 5, 0))
    replica.do_what_is_due()
    replica.host.snapshots.receive_chunk(2, GROUP, 1, 4, 0, b"x", False)
    replica.receive(2, Commit(LEADER, 6, 0))
    assert replica.applied == []
    replica.host.snapshots.receive_chunk(2, GROUP, 1, 4, 1, b"x", True)
    replica.do_what_is_due()
    assert replica.machine.restored_slots == [4]
    assert replica.machine.applied == [(5, b"e"), (6, b"f")]


def test_a_snapshot_that_the_log_does_not_reach_back_to_is_declined() -> None:
    """What lies between would be missing."""
    replica = LogReplica()
    replica.host.snapshots.receive_chunk(2, GROUP, 1, 3, 0, b"x", True)
    assert replica.transport.acknowledged == [DECLINED_SEQUENCE]
    replica.host.snapshots.receive_chunk(2, GROUP, 2, 4, 0, b"x", True)
    assert replica.machine.restored_slots == [4]


def test_what_waits_for_a_full_disk_is_bounded() -> None:
    """A leader sends again what was not acknowledged; a member whose disk takes nothing drops it past a bound."""
    lone = Lone(is_instant=False)
    for _ in range(200):
        lone.receive(2, Accept(Run(Ballot(1, 2), 1, (b"x" * 1_000_000,)), 0))
    assert lone.wal.bytes_queued < LOG_QUEUED_BYTES_MAX + 2_000_000


def test_a_leader_whose_disk_hangs_lets_go() -> None:
    """Its grants would keep everybody else from leading, and it can acknowledge nothing."""
    lone = Lone()
    lone.lead()
    lone.wal.is_instant = False
    outcomes: list[Outcome] = []
    lone.host.propose(GROUP, b"w", outcomes.append)
    lone.wal.hangs_ns = LEASE.duration_ns + 1
    lone.now_ns += LEASE.heartbeat_ns
    lone.host.tick()
    assert not lone.host.is_serving_leader(GROUP)
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.UNKNOWN]
    assert any(isinstance(message, Release) for _, message in lone.transport.messages)
