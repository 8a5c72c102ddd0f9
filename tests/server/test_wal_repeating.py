"""The write-ahead log of a node with a group that gets nowhere: what that needs is written again, so the log ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.codec.record import Record, RecordType, decode_record, encode_record
from server.paxos.ballot import Ballot
from server.paxos.log import Log
from server.paxos.messages import Accept, HealedRecord, HealRecord, LogRecord, LogStart, ResetRecord, Run
from server.runtime.log_records import ENTRY_BYTES, encode_log_record, last_slot_of, needed_records
from server.wal import REPEAT_SEGMENTS, REUSABLE_MAX, Wal
from server.wal_recovery import LogReader, RecoveredGroup
from tests.server.runtime.test_replica_host import GROUP, Lone
from tests.server.wal_contract import ONE
from tests.server.wal_files import MemoryFiles

STUCK, BUSY = 5, 6
SEGMENT_BYTES = 8192


def fail(error: Exception) -> None:
    raise error


class WatchedFiles(MemoryFiles):
    """Notes at each write what a crash would leave on the disk, and what of STUCK has been acknowledged by then."""

    def __init__(self, acknowledged: dict[int, tuple[Ballot, bytes]]) -> None:
        super().__init__(segment_bytes=SEGMENT_BYTES)
        self.acknowledged = acknowledged
        self.crashes: list[tuple[MemoryFiles, dict[int, tuple[Ballot, bytes]]]] = []

    def write_synced(self, fd: int, buffers: Sequence[bytes], position: int) -> None:
        super().write_synced(fd, buffers, position)
        self.crashes.append((self.copy(), dict(self.acknowledged)))


class Member:
    """STUCK's member: a log that nothing of is ever committed. `base`: a snapshot that stands for what is before."""

    def __init__(self, base: int = 0) -> None:
        self.acknowledged: dict[int, tuple[Ballot, bytes]] = {}
        self.files = WatchedFiles(self.acknowledged)
        self.log = Log(base + 1, (), base)
        self.busy_slot = 0
        self.wal = Wal(Path("log"), node_id=1, segment_bytes=SEGMENT_BYTES, on_fatal=fail, files=self.files)
        self.wal.recover({STUCK: 0, BUSY: 0})
        self.wal.start(asyncio.get_running_loop())
        if base:
            reset = Record(RecordType.RESET, STUCK, ONE, base + 1, base, ())
            self.wal.append(encode_record(reset), STUCK, base, None)

    def accept(self, slot: int, ballot: Ballot, payload: bytes) -> None:
        self.log.write(Run(ballot, slot, (payload,)))
        record = Record(RecordType.ENTRIES, STUCK, ballot, slot, 0, (payload,))

        def done() -> None:
            self.acknowledged[slot] = (ballot, payload)

        self.wal.append(encode_record(record), STUCK, slot, done)

    def write_beside(self, size: int) -> None:
        self.busy_slot += 1
        record = Record(RecordType.ENTRIES, BUSY, ONE, self.busy_slot, self.busy_slot - 1, (bytes(size),))
        self.wal.append(encode_record(record), BUSY, self.busy_slot, None)

    async def settle(self) -> None:
        while not self.wal.is_idle or self.wal.bytes_queued:
            await asyncio.sleep(0)

    def trim(self) -> None:
        self.wal.trim({STUCK: 0, BUSY: self.busy_slot}, self.needed)

    def needed(self, group_id: int, checkpointed_slot: int, bytes_max: int) -> list[tuple[bytes, int]]:
        assert (group_id, checkpointed_slot) == (STUCK, 0)
        lone = Lone()
        lone.core.log = self.log
        lone.host.groups[GROUP].group_id = STUCK
        return needed_records(lone.host.groups[GROUP], checkpointed_slot, bytes_max)


def read(files: MemoryFiles) -> RecoveredGroup:
    recovery = LogReader(files.copy(), {STUCK: 0, BUSY: 0}).read()
    assert STUCK not in recovery.damaged_groups
    return recovery.groups.get(STUCK, RecoveredGroup())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from((0, 7)))
@example(1, 0)
@example(2, 7)
def test_nothing_is_lost_and_the_log_ends(seed: int, base: int) -> None:
    """At whatever moment the power goes: all that was acknowledged is there, in the newest version."""

    async def run() -> tuple[WatchedFiles, int]:
        rng = random.Random(seed)
        member = Member(base)
        most = 0
        for step in range(150):
            slot = member.log.last_slot + 1
            if step < 3 or (rng.random() < 0.2 and slot < base + 6):
                member.accept(slot, Ballot(step + 1, 2), rng.randbytes(50))
            elif rng.random() < 0.2:  # another leader's word for a slot that there is
                slot = rng.randrange(base + 1, slot)
                member.accept(slot, Ballot(step + 1, 3), rng.randbytes(rng.choice((0, 100))))
            member.write_beside(rng.choice((200, 3000)))
            if rng.random() < 0.7:
                await member.settle()
            if rng.random() < 0.5:
                member.trim()
            most = max(most, len(member.wal._contents.segments))
        await member.settle()
        await member.wal.close()
        return member.files, most

    files, most = asyncio.run(run())
    for crashed, acknowledged in files.crashes:
        found = read(crashed)
        entries = dict(enumerate(found.entries, found.first_slot))
        for slot, (ballot, payload) in acknowledged.items():
            assert slot in entries
            assert entries[slot] == (ballot, payload) or entries[slot][0] > ballot
            assert found.promised >= ballot
        assert found.first_slot == base + 1 or not acknowledged
    assert most <= REPEAT_SEGMENTS + 8


async def until_as_few(member: Member, segments: int) -> None:
    for _ in range(4 * REPEAT_SEGMENTS):
        for _ in range(3):
            member.write_beside(3000)
            await member.settle()
        member.trim()
        await member.settle()
    assert len(member.wal._contents.segments) <= segments
    assert len(member.files.contents) <= segments + REUSABLE_MAX + 1


async def test_the_old_counts_until_the_new_is_on_the_disk() -> None:
    """Whatever else is trimmed meanwhile."""
    member = Member()
    member.accept(1, ONE, b"one")
    while len(member.wal._contents.segments) <= REPEAT_SEGMENTS + 2:
        member.write_beside(3000)
        await member.settle()
    for _ in range(2):
        member.trim()
        assert member.wal._is_repeating
        assert STUCK in member.wal._contents.segments[0].last_slots
    await member.settle()
    assert not member.wal._is_repeating
    assert [STUCK in each.last_slots for each in member.wal._contents.segments].count(True) == 1
    member.trim()
    await member.settle()
    assert len(member.wal._contents.segments) <= REPEAT_SEGMENTS
    await member.wal.close()
    assert read(member.files).entries == [(ONE, b"one")]


async def test_a_group_that_gets_nowhere_is_carried_on() -> None:
    member = Member()
    member.accept(1, ONE, b"one")
    await until_as_few(member, REPEAT_SEGMENTS + 4)
    await member.wal.close()
    assert read(member.files).entries == [(ONE, b"one")]


@pytest.mark.parametrize("reason", ["much", "damaged", "healing"])
async def test_what_cannot_be_carried_on_keeps_the_log(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is more than half a segment, or not known, or the log has to say that the group heals."""
    member = Member()
    if reason == "healing":
        heal = Record(RecordType.HEAL, STUCK, ONE, 1, 0, ())
        member.wal.append(encode_record(heal), STUCK, 0, None)
    member.accept(1, ONE, bytes(3_000) if reason == "much" else b"one")
    if reason == "damaged":
        monkeypatch.setattr(Member, "needed", lambda *_: [])
    with pytest.raises(AssertionError):
        await until_as_few(member, REPEAT_SEGMENTS + 4)
    await member.wal.close()
    found = read(member.files)
    assert (len(found.entries), found.is_healing) == (1, reason == "healing")


async def test_many_are_carried_on_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many at a trim as is little together."""
    member = Member()
    stuck = range(100, 106)
    for group_id in stuck:
        record = Record(RecordType.ENTRIES, group_id, ONE, 1, 0, (bytes(900),))
        member.wal.append(encode_record(record), group_id, 1, None)
    asked: list[int] = []

    def needed(group_id: int, checkpointed_slot: int, bytes_max: int) -> list[tuple[bytes, int]]:
        record = encode_record(Record(RecordType.ENTRIES, group_id, ONE, 1, 0, (bytes(900),)))
        asked.append(group_id)
        return [(record, 1)] if bytes_max >= len(record) else []

    floors = dict.fromkeys(stuck, 0)
    monkeypatch.setattr(member, "trim", lambda: member.wal.trim({**floors, BUSY: member.busy_slot}, needed))
    await until_as_few(member, REPEAT_SEGMENTS + 6)
    assert set(asked) == set(stuck)
    await member.wal.close()
    recovery = LogReader(member.files.copy(), {**floors, BUSY: member.busy_slot}).read()
    assert [recovery.groups[each].entries for each in stuck] == [[(ONE, bytes(900))]] * len(stuck)
    assert not recovery.damaged_groups


@pytest.mark.parametrize("first", [HealRecord(ONE, 500), ResetRecord(ONE, 500)])
async def test_where_a_log_begins_is_kept_until_a_checkpoint_says_so(first: LogRecord) -> None:
    """Also where it began anew to heal, and has healed since, while the snapshot it goes on from has yet to come."""
    member = Member()

    def log(record: LogRecord) -> None:
        member.wal.append(encode_log_record(STUCK, record, 0), STUCK, last_slot_of(record), None)

    async def fill() -> None:
        for _ in range(10):
            member.write_beside(3000)
            await member.settle()

    log(first)
    await fill()
    for each in (Run(Ballot(2, 2), 501, (b"one",)), HealedRecord(Ballot(2, 2))):
        log(each)
    await fill()
    for _ in range(3):
        member.wal.trim({STUCK: 0, BUSY: member.busy_slot})
        await fill()
    await member.wal.close()
    found = read(member.files)
    assert (found.first_slot, found.entries, found.is_healing) == (501, [(Ballot(2, 2), b"one")], False)


async def test_a_snapshot_that_has_not_come_keeps_its_record() -> None:
    """The entries of a log replica begin behind it: without the record that says so they would be behind a hole."""
    lone = Lone()
    lone.core.is_restoring = True
    lone.receive(2, LogStart(Ballot(1, 2), 500, is_held=True))
    lone.receive(2, Accept(Run(Ballot(1, 2), 501, (b"one",)), 500))
    types = [decode_record(data).type for data in lone.wal.records]
    last_slots = dict(zip(types, lone.wal.last_slots, strict=True))
    assert (last_slots[RecordType.RESET], last_slots[RecordType.ENTRIES]) == (500, 501)


async def test_on_a_full_disk_nothing_waits_in_front_of_what_makes_room() -> None:
    """Where there may be no room for what is written again, another segment is made first."""
    member = Member()
    member.accept(1, ONE, b"one")
    while len(member.wal._contents.segments) <= REPEAT_SEGMENTS + 2:
        member.write_beside(3000)
        await member.settle()
    member.files.is_full = True
    while not member.wal.is_full:
        member.write_beside(100)
        await asyncio.sleep(0)
    member.trim()
    assert not member.wal._is_repeating
    member.files.is_full = False
    await member.settle()
    await until_as_few(member, REPEAT_SEGMENTS + 4)
    await member.wal.close()


def test_what_a_log_must_have() -> None:
    """The entries above the checkpoint, at the ballots that they were accepted at, and what is known to be committed;
    nothing where the log is damaged."""
    lone = Lone()
    lone.receive(2, Accept(Run(Ballot(1, 2), 1, (b"one", b"two")), 0))
    group = lone.host.groups[GROUP]
    group.core.log.write(Run(Ballot(2, 3), 2, (b"2", b"3")))
    group.core.log.commit_slot = 1

    def shown(checkpointed_slot: int, bytes_max: int = 1_000) -> list[tuple[Ballot, int, int, tuple[bytes, ...], int]]:
        found = []
        for data, last_slot in lone.host.needed_records(GROUP, checkpointed_slot, bytes_max):
            record = decode_record(data)
            assert (record.type, record.group_id) == (RecordType.ENTRIES, GROUP)
            found.append((record.ballot, record.first_slot, record.commit_slot, record.payloads, last_slot))
        return found

    latter = (Ballot(2, 3), 2, 1, (b"2", b"3"), 3)
    assert shown(0) == [(Ballot(1, 2), 1, 1, (b"one",), 1), latter]
    assert shown(1) == [latter]
    size = ENTRY_BYTES + 1
    assert (shown(0, 3 * size + 2), shown(0, 3 * size + 1), shown(1, 2 * size)) == (shown(0), [], [latter])
    assert (shown(3), lone.host.needed_records(GROUP + 1, 0, 1_000)) == ([], [])
    group.core.health = type(group.core.health).DAMAGED
    assert shown(0) == []
