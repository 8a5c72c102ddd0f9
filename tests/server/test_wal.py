"""The write-ahead log: its contract on a real disk and in the simulation, failures, segments, trimming."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio
import structlog
import structlog.testing

from server.codec.frame import SEGMENT_HEADER_BYTES
from server.codec.record import Record, RecordType, encode_record
from server.wal import REUSABLE_MAX, Recovery, Wal, WalError
from server.wal_segment import OpenSegment, SegmentFiles
from tests.server.wal_contract import ONE, TWO, Harness, Recovered, WalContract, entries, put
from tests.server.wal_files import MemoryFiles
from tests.simulation.clock import Scheduler
from tests.simulation.disk import SimulatedWal

SEGMENT_BYTES = 4096


def fail(error: Exception) -> None:
    raise error


class FillableFiles(SegmentFiles):
    """Real files on a disk that can be full."""

    is_full = False

    def create(self, number: int, reuse: Path | None = None) -> OpenSegment:
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().create(number, reuse)


class RealHarness:
    """A log on `files`, by default on a real disk."""

    def __init__(self, directory: Path, files: MemoryFiles | FillableFiles | None = None) -> None:
        self.directory = directory
        self.files = files or FillableFiles(directory, node_id=1, segment_bytes=SEGMENT_BYTES)
        self.errors: list[Exception] = []
        self.recovery = self.open({})

    def open(self, floors: Mapping[int, int]) -> Recovery:
        self.log = Wal(
            self.directory,
            node_id=1,
            segment_bytes=SEGMENT_BYTES,
            on_fatal=self.errors.append,
            files=self.files,
        )
        recovery = self.log.recover(floors)
        self.log.start(asyncio.get_running_loop())
        return recovery

    def fill(self) -> None:
        self.files.is_full = True

    def make_room(self) -> None:
        self.files.is_full = False

    async def stall(self) -> None:
        while not (self.log.is_full and self.log.is_idle and self.log.stalled_ns()):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        synced = asyncio.get_running_loop().create_future()
        record = encode_record(Record(RecordType.PROMISE, 999, ONE, 0, 0, ()))
        self.log.append(record, 999, 0, lambda: synced.set_result(None))
        await synced
        while not self.log.is_idle:
            await asyncio.sleep(0)

    async def restart(self, floors: dict[int, int], *, crash: bool = False) -> Mapping[int, Recovered]:
        await self.log.close()
        self.recovery = self.open(floors)
        return self.recovery.groups


class SimulatedHarness:
    def __init__(self) -> None:
        self.scheduler = Scheduler()
        rng = random.Random(1)
        self.log = SimulatedWal(self.scheduler.schedule, rng, sync_ns=1000, now_ns=lambda: self.scheduler.now_ns)

    def fill(self) -> None:
        self.log.fill(2_000)

    def make_room(self) -> None:
        self.log.make_room()

    async def stall(self) -> None:
        await self.settle()
        self.scheduler.schedule(1, lambda: None)  # a moment passes
        await self.settle()

    async def settle(self) -> None:
        while self.scheduler.step():
            pass

    async def restart(self, floors: dict[int, int], *, crash: bool = False) -> Mapping[int, Recovered]:
        if crash:
            self.log.crash()
        return self.log.recover(floors).groups


class TestOnDisk(WalContract):
    @pytest_asyncio.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[Harness]:
        harness = RealHarness(tmp_path / "wal")
        yield harness
        await harness.log.close()
        assert harness.errors == []

    async def test_what_was_written_and_not_synced_is_made_durable(self, harness: RealHarness) -> None:
        """A second restart finds what the first one found."""
        put(harness, entries(5, 1, b"a", b"b"))
        first = await harness.restart({5: 0})
        second = await harness.restart({5: 0})
        assert first[5].entries == second[5].entries == [(ONE, b"a"), (ONE, b"b")]

    async def test_an_empty_log_says_so(self, harness: RealHarness) -> None:
        """A log that was never there is told from one that holds nothing of a group."""
        first = harness.recovery
        put(harness, entries(5, 1, b"a"))
        await harness.restart({})
        second = harness.recovery
        assert (first.was_empty, first.notes) == (True, [])
        assert (second.was_empty, second.notes) == (False, [])

    async def test_segments_follow_one_another_and_are_reused(self, harness: RealHarness) -> None:
        """The log goes on from segment to segment, and trimming keeps it to a few files."""
        for slot in range(1, 60):
            put(harness, entries(5, slot, bytes([slot]) * 900))
            await harness.settle()
            harness.log.trim({5: slot - 1, 999: 0})
        await harness.settle()
        paths = list(harness.directory.glob("*"))
        assert len(paths) <= 4 + REUSABLE_MAX
        assert {path.suffix for path in paths} <= {".wal", ".tmp"}
        assert max(int(path.stem) for path in paths) >= 15
        groups = await harness.restart({5: 57, 999: 0})
        assert groups[5].entries == [(ONE, bytes([58]) * 900), (ONE, bytes([59]) * 900)]
        assert not harness.recovery.all_damaged

    async def test_a_large_batch_spans_segments(self, harness: RealHarness) -> None:
        """What is appended at once and does not fit into one segment is written in several."""
        for slot in range(1, 30):
            put(harness, entries(5, slot, bytes([slot]) * 1000))
        await harness.settle()
        groups = await harness.restart({5: 0})
        assert [payload[0] for _, payload in groups[5].entries] == list(range(1, 30))

    async def test_many_small_records_in_one_write(self, tmp_path: Path, harness: RealHarness) -> None:
        """More buffers than one system call takes are written all the same."""
        log = Wal(tmp_path / "other", node_id=1, segment_bytes=1 << 20, on_fatal=fail)
        log.recover({})
        log.start(asyncio.get_running_loop())
        for slot in range(1, 3000):
            log.append(encode_record(entries(5, slot, b"x")), 5, slot, None)
        await log.close()
        log = Wal(tmp_path / "other", node_id=1, segment_bytes=1 << 20, on_fatal=fail)
        assert len(log.recover({5: 0}).groups[5].entries) == 2999
        log.start(asyncio.get_running_loop())
        await log.close()

    async def test_another_nodes_log_is_refused(self, harness: RealHarness) -> None:
        """A data folder that was copied from another node is not taken for one's own."""
        put(harness, entries(5, 1, b"a"))
        await harness.log.close()
        other = Wal(harness.directory, node_id=2, segment_bytes=SEGMENT_BYTES, on_fatal=fail)
        with pytest.raises(WalError, match="node 1"):
            other.recover({})
        harness.open({})

    async def test_unfinished_segments_are_cleared_away(self, harness: RealHarness) -> None:
        """A segment that a crash left unfinished is nothing."""
        (harness.directory / "000000000009.tmp").write_bytes(b"abc")
        await harness.restart({})
        assert not list(harness.directory.glob("*.tmp"))


class TestInMemory(WalContract):
    """The memory files that other tests use keep the same contract."""

    @pytest_asyncio.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[Harness]:
        harness = RealHarness(tmp_path, MemoryFiles(segment_bytes=SEGMENT_BYTES))
        yield harness
        await harness.log.close()
        assert harness.errors == []


class TestSimulated(WalContract):
    @pytest.fixture
    def harness(self) -> Harness:
        return SimulatedHarness()


@pytest_asyncio.fixture
async def memory(tmp_path: Path) -> AsyncIterator[RealHarness]:
    harness = RealHarness(tmp_path, MemoryFiles(segment_bytes=SEGMENT_BYTES))
    yield harness
    await harness.log.close()


async def test_a_failed_write_is_fatal_and_never_retried(memory: RealHarness) -> None:
    """After a failed sync no `done` is called, nothing is written again, and the node is told once."""
    files = memory.files
    assert isinstance(files, MemoryFiles)
    files.error = OSError(errno.EIO, "input/output error")
    called: list[int] = []
    put(memory, entries(5, 1, b"a"), lambda: called.append(1))
    while not memory.errors:
        await asyncio.sleep(0)
    files.error = None
    put(memory, entries(5, 2, b"b"), lambda: called.append(2))
    await asyncio.sleep(0)
    await memory.log.close()
    assert called == []
    assert files.writes == []
    assert [getattr(error, "errno", 0) for error in memory.errors] == [errno.EIO]
    memory.open({})


@pytest.mark.parametrize(("slow_write_s", "lines"), [(0.0, 1), (60.0, 0)])
async def test_a_slow_disk_is_told(tmp_path: Path, slow_write_s: float, lines: int) -> None:
    """The operator reads how long a write took, and of how many bytes; not of writes that are fast enough."""
    log = Wal(tmp_path, node_id=1, segment_bytes=SEGMENT_BYTES, on_fatal=fail, slow_write_s=slow_write_s)
    log.recover({})
    log.start(asyncio.get_running_loop())
    with structlog.testing.capture_logs() as captured:
        log.append(encode_record(entries(5, 1, b"x")), 5, 1, None)
        await log.close()
    slow = [line for line in captured if line["event"] == "the log's disk is slow"]
    assert len(slow) == lines
    assert all(line["bytes"] > 0 <= line["write_s"] for line in slow)


async def test_how_long_writes_take(tmp_path: Path) -> None:
    """The shortest that has ended since somebody asked; nothing where none has."""

    class SlowFiles(SegmentFiles):
        waits_s: ClassVar[list[float]] = [0.001, 0.5, 0.02]

        def write_synced(self, fd: int, buffers: Sequence[bytes], position: int) -> None:
            time.sleep(self.waits_s.pop(0))
            super().write_synced(fd, buffers, position)

    files = SlowFiles(tmp_path, node_id=1, segment_bytes=SEGMENT_BYTES)
    log = Wal(tmp_path, node_id=1, segment_bytes=SEGMENT_BYTES, on_fatal=fail, files=files)
    log.recover({})
    log.start(asyncio.get_running_loop())

    async def write() -> None:
        durable = asyncio.Event()
        log.append(encode_record(entries(5, 1, b"x")), 5, 1, durable.set)
        await durable.wait()

    assert log.take_write_ns() == 0
    await write()
    await write()
    assert 1_000_000 <= log.take_write_ns() < 500_000_000
    assert log.take_write_ns() == 0
    await write()
    assert log.take_write_ns() >= 20_000_000
    await log.close()


def is_full(harness: RealHarness) -> bool:
    return harness.log.is_full


async def test_a_full_disk_is_told_and_lived_with(memory: RealHarness) -> None:
    """Without room for another segment the current one is still used; with room again the log goes on."""
    files = memory.files
    assert isinstance(files, MemoryFiles)
    files.is_full = True
    slot = 0
    while not is_full(memory):
        if sum(len(write.data) for write in files.writes) * 2 < files.segment_bytes:
            slot += 1
            put(memory, entries(5, slot, bytes(400)))
            await memory.settle()
        await asyncio.sleep(0)  # from the middle of a segment on, the thread for files tries to make the next
    room = files.segment_bytes - SEGMENT_HEADER_BYTES - sum(len(write.data) for write in files.writes)
    assert room > 500
    slot += 1
    put(memory, entries(5, slot, bytes(400)))
    await memory.settle()
    files.is_full = False
    for more in range(slot + 1, slot + 12):
        put(memory, entries(5, more, bytes(400)))
    await memory.settle()
    assert not is_full(memory)
    assert len((await memory.restart({5: 0}))[5].entries) == slot + 11


async def test_a_full_disk_is_not_tried_at_each_record(memory: RealHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another segment is asked for once in a while, however much waits for it."""
    files = memory.files
    assert isinstance(files, MemoryFiles)
    files.is_full = True
    create = files.create
    tried: list[int] = []

    def trying(number: int, reuse: Path | None = None) -> OpenSegment:
        tried.append(number)
        return create(number, reuse)

    monkeypatch.setattr(files, "create", trying)
    monkeypatch.setattr("server.wal.SPARE_RETRY_S", 3600.0)
    slot = 0
    while not is_full(memory):
        slot += 1
        put(memory, entries(5, slot, bytes(400)))
        await asyncio.sleep(0)
    for _ in range(30):
        slot += 1
        put(memory, entries(5, slot, bytes(400)))
        for _ in range(20):
            await asyncio.sleep(0)
    assert tried == [2]
    files.is_full = False
    retry = memory.log._spare_retry
    assert retry is not None
    retry.cancel()
    memory.log._retry_spare()
    await memory.settle()
    assert tried.count(2) == 2
    assert len((await memory.restart({5: 0}))[5].entries) == slot


async def test_records_that_can_never_fit_are_refused(memory: RealHarness) -> None:
    """A record larger than a segment is the programmer's mistake."""
    memory.log._queue.append((encode_record(entries(5, 1, bytes(SEGMENT_BYTES))), 5, 1, None))
    with pytest.raises(ValueError, match="does not fit"):
        memory.log._start_write()
    memory.log._queue.clear()


async def test_quiet_logs_vouch_for_their_last_write(memory: RealHarness) -> None:
    """A while after the last write a sync mark is written, once."""
    put(memory, entries(5, 1, b"a"))
    await memory.settle()
    files = memory.files
    assert isinstance(files, MemoryFiles)
    while len(files.writes) < 3 and not any(not write.is_synced for write in files.writes):
        await asyncio.sleep(0)
    assert [write.is_synced for write in files.writes].count(False) == 1


async def test_trimming_spares_what_is_needed(memory: RealHarness) -> None:
    """A segment stays while any group needs an entry in it; groups that are not named need none."""
    files = memory.files
    assert isinstance(files, MemoryFiles)
    put(memory, entries(5, 1, bytes(1500)))
    for slot in range(1, 20):
        put(memory, entries(6, slot, bytes(1500)))
        await memory.settle()
    memory.log.trim({5: 0, 6: 19})
    await memory.settle()
    assert 1 in files.contents
    memory.log.trim({6: 19, 999: 0})
    while len(files.contents) > 4 + REUSABLE_MAX:
        await asyncio.sleep(0)
    groups = await memory.restart({6: 19, 999: 0})
    assert 5 not in groups
    assert groups[6].promised == ONE


async def test_a_promise_is_not_trimmed_before_its_copy_is_durable(memory: RealHarness) -> None:
    """At every moment of a trim the files on the disk hold the highest promise."""
    files = memory.files
    assert isinstance(files, MemoryFiles)
    put(memory, Record(RecordType.PROMISE, 5, TWO, 0, 0, ()))
    for slot in range(1, 12):
        put(memory, entries(6, slot, bytes(1500)))
        await memory.settle()
    files.error = OSError(errno.EIO, "input/output error")
    memory.log.trim({5: 0, 6: 11, 999: 0})
    while not memory.errors:
        await asyncio.sleep(0)
    await memory.log.close()
    files.error = None
    assert memory.open({5: 0, 6: 11}).groups[5].promised == TWO


async def test_a_disk_that_fails_is_not_taken_for_full(memory: RealHarness) -> None:
    """Any error but that of no room, while a segment is made, ends the log as a failed sync does; and once only."""
    files = memory.files
    assert isinstance(files, MemoryFiles)
    files.create_error = OSError(errno.EIO, "input/output error")
    slot = 0
    while not memory.errors:
        slot += 1
        put(memory, entries(5, slot, bytes(400)))
        await asyncio.sleep(0)
    assert not memory.log.is_full
    files.error = OSError(errno.EIO, "input/output error")
    memory.log._fail(files.error)
    await memory.log.close()
    assert [getattr(error, "errno", 0) for error in memory.errors] == [errno.EIO]
    files.error = files.create_error = None
    memory.open({})


async def test_a_log_that_must_be_there_is_not_made_anew(tmp_path: Path) -> None:
    """Where a log must be and is none, nothing is put in its place: the next start would take it for the log."""
    for _ in range(2):
        log = Wal(tmp_path / "wal", node_id=1, segment_bytes=SEGMENT_BYTES, on_fatal=fail)
        with pytest.raises(WalError, match="is gone"):
            log.recover({}, may_be_new=False)
    assert list((tmp_path / "wal").iterdir()) == []


async def test_a_folder_is_never_without_a_segment(tmp_path: Path) -> None:
    """Empty segments go only after there is a new one: a crash in between leaves a log, not a folder that lost one."""
    left: list[int] = []

    class WatchedFiles(FillableFiles):
        def remove(self, paths: Sequence[Path]) -> None:
            super().remove(paths)
            left.append(len(self.segments()))

    files = WatchedFiles(tmp_path / "wal", node_id=1, segment_bytes=SEGMENT_BYTES)
    for _ in range(3):
        harness = RealHarness(tmp_path / "wal", files)
        await harness.log.close()
    assert left == [1, 1, 1]
    assert [path.stem for _, path in files.segments()] == ["000000000003"]


async def test_a_segment_is_written_to_before_it_is_closed(tmp_path: Path) -> None:
    """The mark of a quiet log may still wait for the writer when its segment is full, and the next one's file made:
    by then the segment's descriptor may be another file's."""
    marking, may_mark, made = threading.Event(), threading.Event(), threading.Semaphore(0)
    seen: list[str] = []

    class SlowMarks(FillableFiles):
        def write_unsynced(self, fd: int, data: bytes, position: int) -> None:
            marking.set()
            assert may_mark.wait(20)
            super().write_unsynced(fd, data, position)
            seen.append("marked")

        def close(self, segment: OpenSegment) -> None:
            super().close(segment)
            seen.append("closed")

        def create(self, number: int, reuse: Path | None = None) -> OpenSegment:
            segment = super().create(number, reuse)
            made.release()
            return segment

    harness = RealHarness(tmp_path / "wal", SlowMarks(tmp_path / "wal", node_id=1, segment_bytes=SEGMENT_BYTES))
    put(harness, entries(1, 1, bytes(2500)))
    for _ in range(2):
        assert await asyncio.to_thread(made.acquire, timeout=20)
    assert await asyncio.to_thread(marking.wait, 20)
    put(harness, entries(1, 2, bytes(2500)))
    assert await asyncio.to_thread(made.acquire, timeout=20)
    may_mark.set()
    await harness.settle()
    assert seen[:2] == ["marked", "closed"]
    await harness.log.close()
    assert harness.errors == []
