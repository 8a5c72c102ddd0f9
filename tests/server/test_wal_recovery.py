"""What recovery makes of logs that a power cut tore or a disk damaged.

The promise: whatever part of an unsynced write reached the disk, everything synced comes back, and of the rest a
prefix; whatever bit of a synced record flipped, it is reported, and nothing but what was written ever comes back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.codec.frame import SEGMENT_HEADER_BYTES
from server.codec.record import Record, RecordType, decode_record, encode_record
from server.paxos.ballot import Ballot
from server.wal import REUSABLE_MAX, Recovery, Wal, WalError
from server.wal_recovery import LogReader, RecoveredGroup
from server.wal_segment import OpenSegment
from tests.server.wal_files import MemoryFiles

GROUPS = (5, 6, 7)
FLOORS = dict.fromkeys(GROUPS, 0)
SECTOR_BYTES = 64
"""Smaller than any disk's, to tear writes at more places."""


class RecordingFiles(MemoryFiles):
    """Keeps what the files were before each synced write."""

    def __init__(self, *, segment_bytes: int) -> None:
        super().__init__(segment_bytes=segment_bytes)
        self.images: list[MemoryFiles] = []

    def write_synced(self, fd: int, buffers: Sequence[bytes], position: int) -> None:
        self.images.append(self.copy())
        super().write_synced(fd, buffers, position)


class History:
    """A log as it was written: each write synced before the next, a sync mark at the end."""

    def __init__(self, seed: int, batches: int, segment_bytes: int = 2048) -> None:
        self.files = RecordingFiles(segment_bytes=segment_bytes)
        self._rng = random.Random(seed)
        self._next_slots = dict.fromkeys(GROUPS, 1)
        asyncio.run(self._write(batches))
        self.writes = [write for write in self.files.writes if write.is_synced]

    async def _write(self, batches: int) -> None:
        wal = Wal(Path("log"), node_id=1, segment_bytes=self.files.segment_bytes, on_fatal=_fail, files=self.files)
        wal.recover({})
        wal.start(asyncio.get_running_loop())
        for _ in range(batches):
            for _ in range(self._rng.randint(1, 4)):
                record = self._record()
                wal.append(encode_record(record), record.group_id, record.last_slot, None)
            synced = asyncio.Event()
            record = self._record()
            wal.append(encode_record(record), record.group_id, record.last_slot, synced.set)
            await synced.wait()
        await wal.close()

    def _record(self) -> Record:
        group_id = self._rng.choice(GROUPS)
        ballot = Ballot(self._rng.randint(1, 9), group_id)
        if self._rng.random() < 0.2:
            return Record(RecordType.PROMISE, group_id, ballot, 0, 0, ())
        payloads = tuple(self._rng.randbytes(self._rng.randint(0, 90)) for _ in range(self._rng.randint(1, 3)))
        slot = self._next_slots[group_id]
        self._next_slots[group_id] += len(payloads)
        return Record(RecordType.ENTRIES, group_id, ballot, slot, slot - 1, payloads)

    def entries(self) -> dict[int, list[tuple[Ballot, bytes]]]:
        """Group -> every entry ever written, in the order of slots: none is ever replaced in these logs."""
        found: dict[int, list[tuple[Ballot, bytes]]] = {group_id: [] for group_id in GROUPS}
        recovery = read(self.files.copy())
        for group_id, group in recovery.groups.items():
            found[group_id] = group.entries
        return found


def _fail(error: Exception) -> None:
    raise error


def read(files: MemoryFiles, floors: dict[int, int] | None = None) -> Recovery:
    return LogReader(files, FLOORS if floors is None else floors).read()


def assert_prefix(part: Recovery, whole: dict[int, list[tuple[Ballot, bytes]]]) -> None:
    for group_id, group in part.groups.items():
        assert group.first_slot == 1
        assert group.entries == whole[group_id][: len(group.entries)]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.data())
def test_a_torn_write_costs_nothing_that_was_synced(seed: int, batches: int, data: st.DataObject) -> None:
    """Whatever sectors of the last write reached the disk: all synced comes back, a prefix of the rest, no damage.

    A second recovery finds the same."""
    history = History(seed, batches)
    synced, last = history.files.images[-1], history.writes[-1]
    before = read(synced.copy())
    torn = synced.copy()
    keep = data.draw(st.integers(0, 2**24), label="sectors")
    end = last.position + len(last.data)
    after = bytearray(torn.contents[last.number])
    after[last.position : end] = last.data
    first_sector = last.position // SECTOR_BYTES
    for sector in range(first_sector, end // SECTOR_BYTES + 1):
        if keep >> (sector - first_sector) & 1:
            part = slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
            torn.contents[last.number][part] = after[part]
    recovery = read(torn)
    assert not recovery.all_damaged
    assert recovery.damaged_groups == frozenset()
    assert_prefix(recovery, history.entries())
    for group_id, group in before.groups.items():
        assert recovery.groups[group_id].entries[: len(group.entries)] == group.entries
        assert recovery.groups[group_id].promised >= group.promised
    again = read(torn)
    assert again.groups == recovery.groups
    assert again.notes == []


def test_any_truncation_of_an_unsynced_tail() -> None:
    """Cut anywhere in the last write, the log comes back up to a record's end, without damage."""
    history = History(seed=3, batches=6, segment_bytes=8192)
    before, last, whole = history.files.images[-1], history.writes[-1], history.entries()
    floor = sum(len(group.entries) for group in read(before.copy()).groups.values())
    for size in range(last.position, last.position + len(last.data)):
        files = history.files.copy()
        del files.contents[last.number][size:]
        recovery = read(files)
        assert not recovery.all_damaged
        assert not recovery.damaged_groups
        assert_prefix(recovery, whole)
        assert sum(len(group.entries) for group in recovery.groups.values()) >= floor


def test_every_flipped_bit_of_a_synced_log_is_reported() -> None:
    """One flipped bit anywhere in what a sync mark vouches for is damage: reported, and nothing false is returned."""
    history = History(seed=8, batches=14)
    assert len(history.files.contents) >= 2
    whole = history.entries()
    ends = {write.number: write.position + len(write.data) for write in history.writes}
    rng = random.Random(4)
    for number, end in ends.items():
        for position in range(end):
            files = history.files.copy()
            files.contents[number][position] ^= 1 << rng.randrange(8)
            recovery = read(files)
            assert recovery.all_damaged or recovery.damaged_groups, (number, position)
            assert recovery.notes
            for group_id, group in recovery.groups.items():
                assert group.entries == whole[group_id][: len(group.entries)]
                complete = len(group.entries) == len(whole[group_id])
                assert complete or recovery.all_damaged or group_id in recovery.damaged_groups


def test_damage_in_a_record_touches_its_group_only() -> None:
    """Where the frame header is intact, only the group of the bad record is damaged."""
    history = History(seed=8, batches=6)
    first = history.files.writes[0]
    record = decode_record(_record_bytes(first.data))
    files = history.files.copy()
    files.contents[first.number][first.position + 40 + 10] ^= 1
    recovery = read(files)
    assert recovery.damaged_groups == {record.group_id}
    assert not recovery.all_damaged


def _short_history(writes: int) -> MemoryFiles:
    """Writes of one record each, in one segment, with a sync mark behind them."""

    async def run() -> MemoryFiles:
        files = MemoryFiles(segment_bytes=8192)
        wal = Wal(Path("log"), node_id=1, segment_bytes=8192, on_fatal=_fail, files=files)
        wal.recover({})
        wal.start(asyncio.get_running_loop())
        for number in range(writes):
            synced = asyncio.Event()
            record = Record(RecordType.PROMISE, 5, Ballot(number + 1, 1), 0, 0, ())
            wal.append(encode_record(record), 5, 0, synced.set)
            await synced.wait()
        await wal.close()
        return files

    return asyncio.run(run())


@pytest.mark.parametrize("writes", [1, 2, 5])
def test_the_first_record_of_the_log_is_not_missed_silently(writes: int) -> None:
    """Whatever bit of its frame flips: nothing comes before it, so only its place shows that there was one. Reported at
    every start, not only at the first."""
    whole = _short_history(writes)
    for bit in range(40 * 8):
        files = whole.copy()
        files.contents[1][SEGMENT_HEADER_BYTES + bit // 8] ^= 1 << bit % 8
        for _ in range(2):
            recovery = read(files)
            assert recovery.all_damaged or 5 in recovery.damaged_groups, bit


@pytest.mark.parametrize("place", ["frame", "record"])
def test_the_last_record_before_a_mark_is_not_forgotten(place: str) -> None:
    """Damage at the end, which the sync mark proves, is reported at every start."""
    files = _short_history(4)
    end = SEGMENT_HEADER_BYTES + 4 * (40 + 52)
    files.contents[1][end - (90 if place == "frame" else 10)] ^= 1
    for _ in range(3):
        recovery = read(files)
        assert recovery.all_damaged or 5 in recovery.damaged_groups
        assert recovery.groups[5].promised <= Ballot(3, 1)


def test_a_log_of_another_version_is_not_touched() -> None:
    """A segment that another version of the program wrote is no damage: the log is refused as it is."""
    files = _short_history(2)
    header = bytearray(files.contents[1][:60])
    header[8] = 2
    files.contents[1][:64] = header + crc32c.crc32c(bytes(header)).to_bytes(4, "little")
    before = files.copy().contents
    with pytest.raises(WalError, match="format version 2, this program knows version 1"):
        read(files)
    assert files.contents == before


def test_a_version_that_rotted_is_damage() -> None:
    """The same byte without its checksum is a flipped bit, not another version."""
    files = _short_history(2)
    files.contents[1][8] ^= 3
    assert read(files).all_damaged


def _record_bytes(write: bytes) -> bytes:
    size = int.from_bytes(write[4:8], "little")
    return write[40 : 40 + size]


def test_a_flip_in_the_last_unvouched_write_is_taken_for_a_tear() -> None:
    """Without anything after it, a bad last record cannot be told from a torn one: it is cut off, with a note."""
    history = History(seed=8, batches=6, segment_bytes=8192)
    files, last = history.files, history.writes[-1]
    del files.contents[last.number][last.position + len(last.data) :]
    files.contents[last.number][last.position + 50] ^= 1
    recovery = read(files)
    assert not recovery.all_damaged
    assert not recovery.damaged_groups
    assert any("torn" in note for note in recovery.notes)


def test_a_missing_segment_is_damage() -> None:
    """A segment that somebody removed from the middle of the log is noticed."""
    history = History(seed=9, batches=40)
    numbers = sorted(history.files.contents)
    assert len(numbers) >= 4
    files = history.files.copy()
    del files.contents[numbers[1]]
    assert read(files).all_damaged


def test_a_missing_first_segment_is_damage_to_those_who_need_it() -> None:
    """Trimming removes first segments, so only a hole above a group's floor shows that one is missing."""
    history = History(seed=9, batches=40)
    files = history.files.copy()
    del files.contents[min(files.contents)]
    recovery = read(files)
    assert recovery.damaged_groups == set(GROUPS)
    assert not recovery.all_damaged
    floors = {group_id: len(entries) for group_id, entries in history.entries().items()}
    assert not read(files, floors).damaged_groups


def test_a_swapped_segment_is_damage() -> None:
    """A file under another segment's name is not read as that segment."""
    history = History(seed=9, batches=40)
    files = history.files.copy()
    one, two = sorted(files.contents)[1:3]
    files.contents[one], files.contents[two] = files.contents[two], files.contents[one]
    assert read(files).all_damaged


def test_the_last_record_of_a_full_segment_is_vouched_for() -> None:
    """Once the log is quiet there is a sync mark, however full the segment is: damage to the last write is told."""
    for size in range(20, 400):
        files = MemoryFiles(segment_bytes=1024)
        fill = Record(RecordType.ENTRIES, 5, HEAL, 1, 0, (bytes(500),))
        last = Record(RecordType.ENTRIES, 5, HEAL, 2, 0, (b"n" * size,))
        asyncio.run(write(files, [fill, last], FLOORS))
        content = next(each for each in files.contents.values() if b"n" * size in each)
        content[content.find(b"n" * size)] ^= 1
        assert read(files).damaged_groups == {5}, size


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_garbage_never_passes_for_records(seed: int, data: st.DataObject) -> None:
    """Overwritten with anything, the log returns only what was written, and reports what is missing below its end."""
    history = History(seed, 8)
    files = history.files.copy()
    number = data.draw(st.sampled_from(sorted(files.contents)))
    content = files.contents[number]
    start = data.draw(st.integers(0, len(content) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=200))
    content[start : start + len(garbage)] = garbage
    del content[history.files.segment_bytes :]
    recovery = read(files)
    whole = history.entries()
    for group_id, group in recovery.groups.items():
        assert group.entries == whole[group_id][: len(group.entries)]
    is_reported = recovery.all_damaged or bool(recovery.damaged_groups) or bool(recovery.notes)
    got = {group_id: len(recovery.groups[group_id].entries) for group_id in recovery.groups}
    assert is_reported or got == {group_id: len(entries) for group_id, entries in whole.items() if group_id in got}


def promise(group_id: int, ballot: Ballot) -> Record:
    return Record(RecordType.PROMISE, group_id, ballot, 0, 0, ())


def heal(group_id: int, slot: int) -> Record:
    return Record(RecordType.HEAL, group_id, HEAL, slot + 1, slot, ())


def healed(group_id: int) -> Record:
    return Record(RecordType.HEALED, group_id, Ballot(HEAL.round + 1, 2), 0, 0, ())


HEAL = Ballot(1000, 1)


async def write(files: MemoryFiles, records: Sequence[Record], floors: dict[int, int]) -> None:
    """One life of a log: recovers, writes, trims, closes."""
    wal = Wal(Path("log"), node_id=1, segment_bytes=files.segment_bytes, on_fatal=_fail, files=files)
    wal.recover(FLOORS)
    wal.start(asyncio.get_running_loop())
    for record in records:
        synced = asyncio.Event()
        wal.append(encode_record(record), record.group_id, record.last_slot, synced.set)
        await synced.wait()
    wal.trim(floors)
    await wal.close()


def damaged_log(is_all: bool) -> MemoryFiles:
    """In the first segment something is bad: a record of one group, or a frame, which may be of any."""
    files = History(8, 14).files.copy()
    first = min(files.contents)
    files.contents[first][SEGMENT_HEADER_BYTES + (4 if is_all else 60)] ^= 1
    return files


ABOVE = dict.fromkeys(GROUPS, 10**6)
"""Checkpoints that stand for everything."""


@pytest.mark.parametrize("is_all", [False, True])
def test_healing_makes_damage_void(is_all: bool) -> None:
    """Group by group; what the log said of it before is not returned, what it says afterwards is."""
    files = damaged_log(is_all)
    damaged = read(files.copy()).damaged_groups
    assert damaged == (set(GROUPS) if is_all else damaged)
    assert damaged
    group_id = min(damaged)
    entry = Record(RecordType.ENTRIES, group_id, Ballot(1001, 2), 41, 40, (b"after",))
    asyncio.run(write(files, [heal(group_id, 40), entry], FLOORS))
    recovery = read(files.copy())
    assert recovery.damaged_groups == damaged - {group_id}
    group = recovery.groups[group_id]
    assert group == RecoveredGroup(Ballot(1001, 2), 41, [(Ballot(1001, 2), b"after")], 40, is_healing=True)
    asyncio.run(write(files, [healed(group_id)], FLOORS))
    assert not read(files.copy()).groups[group_id].is_healing
    asyncio.run(write(files, [heal(other, 0) for other in damaged - {group_id}], FLOORS))
    recovery = read(files)
    assert (recovery.damaged_groups, recovery.all_damaged) == (frozenset(), False)


@pytest.mark.parametrize("is_all", [False, True])
def test_a_damaged_log_is_not_trimmed(is_all: bool) -> None:
    """Trimming would remove the damage and with it the knowledge of it; as long as any group may be hurt by it."""
    files = damaged_log(is_all)
    first = min(files.contents)
    damaged = sorted(read(files.copy()).damaged_groups)
    asyncio.run(write(files, [], ABOVE))
    for group_id in damaged:
        assert first in files.contents
        asyncio.run(write(files, [heal(group_id, 10**6)], ABOVE))
    assert first not in files.contents
    recovery = read(files)
    assert (recovery.damaged_groups, recovery.all_damaged) == (frozenset(), False)
    assert {group_id for group_id, group in recovery.groups.items() if group.is_healing} == set(damaged)


def test_that_a_group_is_not_healed_yet_is_not_trimmed() -> None:
    """However often the promise is carried over to newer segments: the record that says so stays until it is void."""
    files = damaged_log(is_all=False)
    (group_id,) = read(files.copy()).damaged_groups
    asyncio.run(write(files, [heal(group_id, 10**6)], ABOVE))
    others = [other for other in GROUPS if other != group_id]
    for round_ in range(1, 30):
        asyncio.run(write(files, [promise(other, Ballot(2000 + round_, 3)) for other in others], ABOVE))
    group = read(files.copy()).groups[group_id]
    assert (group.is_healing, group.promised) == (True, HEAL)
    asyncio.run(write(files, [healed(group_id)], ABOVE))
    asyncio.run(write(files, [promise(others[0], Ballot(3000, 3))], ABOVE))
    assert len(files.contents) <= 3 + REUSABLE_MAX
    group = read(files).groups[group_id]
    assert (group.is_healing, group.promised) == (False, Ballot(HEAL.round + 1, 2))


class CountingFiles(MemoryFiles):
    """Counts the files that were made, and not used again."""

    made = 0

    def create(self, number: int, reuse: Path | None = None) -> OpenSegment:
        self.made += reuse is None
        return super().create(number, reuse)


def test_files_are_used_again_and_leave_no_gap() -> None:
    """Whenever something is trimmed, a restart would find no damage; and once there are enough files, none is made."""
    files = CountingFiles(segment_bytes=1024)

    async def run() -> None:
        wal = Wal(Path("log"), node_id=1, segment_bytes=1024, on_fatal=_fail, files=files)
        wal.recover(FLOORS)
        wal.start(asyncio.get_running_loop())
        for slot in range(1, 101):
            record = Record(RecordType.ENTRIES, 5, HEAL, slot, slot - 1, (bytes(700),))
            synced = asyncio.Event()
            wal.append(encode_record(record), 5, slot, synced.set)
            await synced.wait()
            if slot % 3 == 0:
                wal.trim({**FLOORS, 5: slot})
                while wal._is_trimming:
                    await asyncio.sleep(0)
                assert not read(files.copy(), {**FLOORS, 5: slot}).damaged_groups
            numbers = sorted(files.contents)
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
        await wal.close()

    asyncio.run(run())
    assert files.made <= 2 + 3 + REUSABLE_MAX


@pytest.mark.parametrize("is_all", [False, True])
def test_damage_after_the_healing_counts(is_all: bool) -> None:
    """A bad record, or a bad frame, behind the record that made earlier damage void is new damage."""
    files = damaged_log(is_all=False)
    (group_id,) = read(files.copy()).damaged_groups
    entries = [Record(RecordType.ENTRIES, group_id, HEAL, slot, slot - 1, (b"needle",)) for slot in (1, 2)]
    asyncio.run(write(files, [heal(group_id, 0), *entries, healed(group_id)], FLOORS))
    number = next(number for number, content in files.contents.items() if b"needle" in content)
    content = files.contents[number]
    place = content.rfind(b"needle")
    content[content.rfind(b"\xb5\x1eWf", 0, place) if is_all else place] ^= 1
    assert read(files).damaged_groups == (set(GROUPS) if is_all else {group_id})
