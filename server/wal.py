"""The write-ahead log of a node, shared by all its groups: append with group commit, recover, trim."""

from __future__ import annotations

import asyncio
import errno
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import structlog

from server.codec.frame import FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, encode_frame, encode_sync_mark
from server.codec.record import Record, RecordType, encode_record, peek_record, record_crc
from server.gathering import call_gathered
from server.paxos.ballot import ZERO
from server.wal_recovery import LogContents, LogReader, RecoveredGroup, Recovery, SegmentContents, WalError
from server.wal_segment import OpenSegment, SegmentFiles

__all__ = ["RecoveredGroup", "Recovery", "Wal", "WalError"]

log = structlog.get_logger()

BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""A write takes no more records once it is this large, so that none waits long behind another's bytes."""

QUIET_S: Final = 0.05
"""After this long without a write a sync mark vouches for the last one."""

REUSABLE_MAX: Final = 3
"""Files kept for segments to come: to write one full anew costs as much of the disk as to fill it with records."""

REPEAT_SEGMENTS: Final = 4
"""With more segments than these behind it, what a few groups still need is written again, so that they can go."""

REPEAT_BYTES_MAX: Final = 10 * 1024 * 1024
"""What is written again at a trim, at most, nor more than a quarter of a segment: it is made in one go, on the loop.
More than what a leader may have proposed and not committed."""

SPARE_RETRY_S: Final = 1.0
"""How long to wait before trying again to make a segment for which there was no room."""

SLOW_WRITE_S: Final = 0.5
"""A write that takes this long is worth a line for the operator: every acknowledgement on the node waits for it."""

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
"""With these errors the disk is full; with any other it has failed."""

Done = Callable[[], None]
_Queued = tuple[bytes, int, int, Done | None]
Needed = Callable[[int, int, int], Sequence[tuple[bytes, int]]]
"""(group id, checkpointed slot, bytes) -> all that its log must have above that slot, as (record, last slot); nothing:
it is more than so many bytes, or cannot be said."""


def _keepers(segments: Iterable[SegmentContents], floors: Mapping[int, int]) -> Iterator[int]:
    """The groups that need entries of segments, those of the oldest first; up to a segment that no copy can stand for,
    as a group heals since a record in it."""
    found: set[int] = set()
    for segment in segments:
        if not segment.healing.isdisjoint(floors):
            return
        keeping = {group_id for group_id, slot in segment.last_slots.items() if slot > floors.get(group_id, slot)}
        yield from sorted(keeping - found)
        found |= keeping


@dataclass(slots=True)
class _Batch:
    """One write: frames back to back in one segment. No buffers: a sync mark, for which nobody waits."""

    segment: OpenSegment
    position: int
    buffers: list[bytes]
    records: list[_Queued]
    size: int
    took_s: float = 0.0


class Wal:
    """Records of many groups in one log, made durable a batch at a time by one thread.

    Requires `recover`, then `start`, then all other calls on the event loop's thread. A record's `done` is called on
    the loop once it is on the disk, in the order of the appends. After a failed write or sync nothing is written any
    more and no `done` is called: `on_fatal` is called once, on the loop, and the process must end.
    """

    def __init__(
        self,
        directory: Path,
        *,
        node_id: int,
        segment_bytes: int,
        on_fatal: Callable[[Exception], None],
        files: SegmentFiles | None = None,
        slow_write_s: float = SLOW_WRITE_S,
    ) -> None:
        self.on_idle: Done | None = None
        self.bytes_queued = 0
        """Bytes of records that are not durable yet."""
        self.is_full = False
        """No room for another segment on the disk; what is left of the current one can still be written."""
        self._files = files or SegmentFiles(directory, node_id=node_id, segment_bytes=segment_bytes)
        self._segment_bytes = segment_bytes
        self._room_bytes = segment_bytes - FRAME_HEADER_BYTES
        """Where the records of a segment end at the latest: a sync mark always finds room behind them."""
        self._on_fatal = on_fatal
        self._slow_write_s = slow_write_s
        self._queue: deque[_Queued] = deque()
        self._writing: _Batch | None = None
        self._write_began_s = 0.0
        self._waits_since_s = 0.0  # of the queue, for another segment; 0: it does not
        self._shortest_s = math.inf  # of the writes that have ended since somebody asked
        self._is_flush_due = False
        self._has_failed = False
        self._contents = LogContents()
        self._next_sequence = 1
        self._active: OpenSegment | None = None
        self._spare: OpenSegment | None = None
        self._is_spare_due = False
        self._spare_retry: asyncio.TimerHandle | None = None
        self._is_trimming = False
        self._is_repeating = False
        self._unhealed: set[int] = set()
        """Groups whose damage nothing in the log makes void yet."""
        self._reusable: deque[Path] = deque()
        """Files of removed segments, the oldest first. They keep their names, and so follow one another up to those in
        use: a gap between segments means that one was lost."""
        self._marked_sequence = 0
        self._quiet: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._close_waiter: asyncio.Future[None] | None = None
        self._batches: SimpleQueue[_Batch | OpenSegment | None] = SimpleQueue()
        self._chores: SimpleQueue[tuple[Callable[[], object], Callable[[object], None]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    # Start and stop

    def recover(self, floors: Mapping[int, int], *, may_be_new: bool = True) -> Recovery:
        """Reads the log; blocking; once, before `start`.

        `floors`: group id -> the slot up to which its state machine's checkpoint stands for the log; entries at or
        below are not returned. Cuts off a torn end; reports damage and leaves it in place. Raises OSError, and WalError
        for what cannot be this node's log: another node's, another version's, none where one must be.
        """
        self._files.prepare()
        if not may_be_new and not self._files.segments():
            # Nothing is made in its place: at the next start it would pass for a log.
            raise WalError(f"the log in {self._files.directory} is gone: what was promised in it is forgotten")
        reader = LogReader(self._files, floors)
        recovery = reader.read()
        self._unhealed = set(recovery.damaged_groups & floors.keys())
        self._contents = reader.contents
        self._next_sequence = reader.next_sequence
        self._active = self._files.create(reader.next_number)
        self._files.remove(reader.empty_paths)
        segments = self._contents.segments
        segments.append(SegmentContents(self._active.number, self._active.path))
        return recovery

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the writer thread, and one for the slow work on files."""
        self._loop = loop
        for target, name in ((self._write_batches, "wal-writer"), (self._do_chores, "wal-files")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    async def close(self) -> None:
        """Waits until all that was appended is durable, as far as there is room for it, then stops the threads."""
        assert self._loop is not None
        if self._quiet is not None:
            self._quiet.cancel()
        if not self._has_failed and (self._queue or self._writing is not None):
            self._close_waiter = self._loop.create_future()
            self._start_write()
            await self._close_waiter
        if not self._has_failed:
            self._write_mark()
        self._has_failed = True  # nothing is written after the mark
        self._batches.put(None)
        self._chores.put(None)
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join)
        for segment in (self._active, self._spare):
            if segment is not None:
                self._files.close(segment)

    # Append

    @property
    def is_idle(self) -> bool:
        """Nothing is being written: what is appended now goes to the disk within a few turns of the event loop."""
        return self._writing is None

    def writing_ns(self) -> int:
        """For how long the write in flight has been; 0: there is none."""
        return self.stalled_ns() if self._writing is not None else 0

    def stalled_ns(self) -> int:
        """For how long the write in flight has been, or what is to be written has waited for room; 0: neither is."""
        since_s = self._waits_since_s if self._writing is None else self._write_began_s
        return int((self._loop.time() - since_s) * 1e9) if since_s and self._loop is not None else 0

    def take_write_ns(self) -> int:
        """What the shortest write has taken that has ended since this was asked last; 0: none has."""
        shortest_s, self._shortest_s = self._shortest_s, math.inf
        return 0 if shortest_s == math.inf else max(1, int(shortest_s * 1e9))

    @property
    def log_bytes(self) -> int:
        """Bytes of the segments that hold the log."""
        return len(self._contents.segments) * self._segment_bytes

    def append(self, record: bytes, group_id: int, last_slot: int, done: Done | None) -> None:
        """Queues an encoded record. `last_slot`: of its entries; any number for the other types.

        The write starts a few turns of the event loop later (what arrives meanwhile shares it), or when the one in
        flight ends.
        """
        self._queue.append((record, group_id, last_slot, done))
        self.bytes_queued += len(record)
        if self._writing is None and not self._is_flush_due:
            self._is_flush_due = True
            assert self._loop is not None
            call_gathered(self._loop, self._flush)

    def flush(self) -> None:
        """Begins to write what was appended at once, unless a write is in flight."""
        self._start_write()

    def _flush(self) -> None:
        self._is_flush_due = False
        self._start_write()

    def _start_write(self) -> None:
        """Hands as much of the queue as fits into one write to the writer thread."""
        if self._writing is not None or not self._queue or self._has_failed:
            return
        segment = self._active
        assert segment is not None
        assert self._loop is not None
        if segment.end + FRAME_HEADER_BYTES + len(self._queue[0][0]) > self._room_bytes:
            size = SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + len(self._queue[0][0])
            if size > self._room_bytes:
                raise ValueError(f"a record of {size} bytes does not fit into a segment of {self._segment_bytes}")
            if self._spare is None:
                self._waits_since_s = self._waits_since_s or self._loop.time()
                self._make_spare()
                return
            segment = self._switch()
        batch = self._form_batch(segment)
        self._writing = batch
        self._write_began_s, self._waits_since_s = self._loop.time(), 0.0
        self._batches.put(batch)
        if segment.end * 2 > self._segment_bytes:
            self._make_spare()

    def _form_batch(self, segment: OpenSegment) -> _Batch:
        queue, seed = self._queue, segment.seed
        first_sequence = sequence = self._next_sequence
        buffers: list[bytes] = []
        records: list[_Queued] = []
        size = 0
        room = min(BATCH_BYTES_MAX, self._room_bytes - segment.end)
        while queue:
            record = queue[0][0]
            framed_bytes = FRAME_HEADER_BYTES + len(record)
            if size + framed_bytes > room and (buffers or framed_bytes > self._room_bytes - segment.end):
                break
            records.append(queue.popleft())
            buffers.append(
                encode_frame(len(record), sequence, first_sequence, records[-1][1], record_crc(record), seed)
            )
            buffers.append(record)
            size += framed_bytes
            sequence += 1
        batch = _Batch(segment, segment.end, buffers, records, size)
        self._next_sequence = sequence
        segment.end += size
        return batch

    def _write_batches(self) -> None:
        """The writer thread."""
        assert self._loop is not None
        while (batch := self._batches.get()) is not None:
            try:
                if isinstance(batch, OpenSegment):
                    self._files.close(batch)
                    continue
                if batch.records:
                    began_s = time.monotonic()
                    self._files.write_synced(batch.segment.fd, batch.buffers, batch.position)
                    batch.took_s = time.monotonic() - began_s
                else:
                    self._files.write_unsynced(batch.segment.fd, batch.buffers[0], batch.position)
            except Exception as error:  # noqa: BLE001 (whatever it was, this thread is gone and the log with it)
                self._loop.call_soon_threadsafe(self._fail, error)
                return
            if batch.records:
                self._loop.call_soon_threadsafe(self._written, batch)

    def _written(self, batch: _Batch) -> None:
        """A batch is durable."""
        self._shortest_s = min(self._shortest_s, batch.took_s)
        if batch.took_s >= self._slow_write_s:
            log.warning("the log's disk is slow", write_s=round(batch.took_s, 3), bytes=batch.size)
        contents = self._contents
        segment = contents.segments[-1]
        for record, group_id, last_slot, _ in batch.records:
            kind, ballot, commit_slot = peek_record(record)
            contents.add(segment, kind, group_id, ballot, commit_slot, last_slot)
            if kind in (RecordType.HEAL, RecordType.FORGET):
                self._unhealed.discard(group_id)
            self.bytes_queued -= len(record)
        self._writing = None
        # What the callbacks append goes into the next write, which starts when all have been called.
        self._is_flush_due = True
        try:
            for _, _, _, done in batch.records:
                if done is not None:
                    done()
            if self.on_idle is not None:
                self.on_idle()
        except Exception as error:
            # Whoever waits for this record has a state now that nobody can vouch for.
            log.exception("what follows a durable record went wrong")
            self._fail(error)
            return
        self._is_flush_due = False
        self._start_write()
        if self._writing is None and not self._queue:
            if self._close_waiter is not None and not self._close_waiter.done():
                self._close_waiter.set_result(None)
            elif self._quiet is None:
                assert self._loop is not None
                self._quiet = self._loop.call_later(QUIET_S, self._fell_quiet)

    def _fell_quiet(self) -> None:
        self._quiet = None
        if self._writing is None and not self._has_failed:
            self._write_mark()

    def _write_mark(self) -> None:
        """Vouches for all that was written; the next write overwrites the mark."""
        segment = self._active
        assert segment is not None
        if segment.end > SEGMENT_HEADER_BYTES and self._marked_sequence != self._next_sequence:
            self._marked_sequence = self._next_sequence
            mark = encode_sync_mark(self._next_sequence, segment.seed)
            self._batches.put(_Batch(segment, segment.end, [mark], [], len(mark)))

    def _fail(self, error: Exception) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        if self._close_waiter is not None and not self._close_waiter.done():
            self._close_waiter.set_result(None)
        self._on_fatal(error)

    # Segments

    def _do_chores(self) -> None:
        """The thread for making and removing files: results, or OSErrors, go back to the loop."""
        assert self._loop is not None
        while (chore := self._chores.get()) is not None:
            work, done = chore
            result: object
            try:
                result = work()
            except OSError as error:
                result = error
            self._loop.call_soon_threadsafe(done, result)

    def _switch(self) -> OpenSegment:
        """Goes on in the spare segment; requires that nothing is being written."""
        assert self._active is not None
        assert self._spare is not None
        full, self._active, self._spare = self._active, self._spare, None
        self._contents.segments[-1].is_reusable = True
        self._contents.segments.append(SegmentContents(self._active.number, self._active.path))
        # By the writer itself: a mark for the full segment may still wait there.
        self._batches.put(full)
        return self._active

    def _make_spare(self) -> None:
        if self._spare is not None or self._is_spare_due or self._has_failed or self._spare_retry is not None:
            return
        self._is_spare_due = True
        assert self._active is not None
        number, reuse = self._active.number + 1, self._reusable.popleft() if self._reusable else None
        self._chores.put((lambda: self._files.create(number, reuse), self._spare_made))

    def _spare_made(self, result: object) -> None:
        assert self._loop is not None
        self._is_spare_due = False
        if isinstance(result, OpenSegment):
            self._spare = result
            self.is_full = False
            self._start_write()
        elif isinstance(result, OSError) and result.errno not in NO_ROOM:
            self._fail(result)
        else:
            self.is_full = True
            if self._close_waiter is not None and not self._close_waiter.done():
                self._close_waiter.set_result(None)
            self._spare_retry = self._loop.call_later(SPARE_RETRY_S, self._retry_spare)

    def _retry_spare(self) -> None:
        self._spare_retry = None
        self._make_spare()

    # Trim

    def trim(self, floors: Mapping[int, int], needed: Needed = lambda *_: ()) -> None:
        """Removes the oldest segments in which nothing is needed any more.

        `floors`: group id -> checkpointed slot, of every group that the node has; the entries of any other group are
        void. Promises that only a removed segment holds are written again first. Does nothing while an earlier trim
        is at work, nor where damage is not void yet: without it the log would pass for whole.

        A group that gets nowhere, having no majority say, would keep every segment since; with `needed` the little that
        it needs is written again instead, and a later trim removes them.
        """
        self._remove_what_is_void(floors)
        # Behind the promises that go on: where there is no room, these are what makes room.
        self._repeat(floors, needed)

    def _remove_what_is_void(self, floors: Mapping[int, int]) -> None:
        segments = self._contents.segments
        count = 0
        for segment in segments[:-1]:
            is_needed = any(slot > floors.get(group_id, slot) for group_id, slot in segment.last_slots.items())
            if is_needed or not segment.healing.isdisjoint(floors):
                break
            count += 1
        if count == 0 or self._is_trimming or self._has_failed or self._unhealed:
            return
        self._is_trimming = True
        last_number = segments[count - 1].number
        promises = self._contents.promises
        carried = []
        for group_id, promise in list(promises.items()):
            if promise.segment_number <= last_number:
                if group_id in floors:
                    record = Record(RecordType.PROMISE, group_id, promise.ballot, 0, promise.commit_slot, ())
                    carried.append((group_id, encode_record(record)))
                else:
                    del promises[group_id]
        for group_id, encoded in carried[:-1]:
            self.append(encoded, group_id, 0, None)
        if carried:
            group_id, encoded = carried[-1]
            self.append(encoded, group_id, 0, lambda: self._remove_oldest(count))
        else:
            self._remove_oldest(count)

    def _remove_oldest(self, count: int) -> None:
        """Removes `count` segments, some of them to be used again; everything in them is void or repeated in a newer
        one, durably."""
        removed, self._contents.segments = self._contents.segments[:count], self._contents.segments[count:]
        kept = next((place for place, each in enumerate(reversed(removed)) if not each.is_reusable), count)
        paths = [each.path for each in removed[: count - kept]]
        if paths:
            paths = [*self._reusable, *paths]
            self._reusable.clear()
        self._reusable.extend(each.path for each in removed[count - kept :])
        while len(self._reusable) > REUSABLE_MAX:
            paths.append(self._reusable.popleft())
        self._chores.put((lambda: self._files.remove(paths), self._removed))

    def _removed(self, result: object) -> None:
        self._is_trimming = False
        if isinstance(result, OSError):
            self._fail(result)

    def _repeat(self, floors: Mapping[int, int], needed: Needed) -> None:
        """Writes again what keeps the segments that should have gone by now, of as many groups as is little; the others
        have their turn at the next trim."""
        old = self._contents.segments[:-REPEAT_SEGMENTS]
        if not old or self._is_repeating or self._unhealed or self._has_failed:
            return
        bytes_max = min(REPEAT_BYTES_MAX, self._segment_bytes // 4)
        assert self._active is not None
        if self._spare is None and self._active.end + self.bytes_queued + 2 * bytes_max > self._room_bytes:
            self._make_spare()  # first: what waits for room on a full disk would hold up what makes room
            return
        group_ids: set[int] = set()
        records: list[tuple[bytes, int, int]] = []
        left = bytes_max
        for group_id in _keepers(old, floors):
            of_group = needed(group_id, floors[group_id], left)
            left -= sum(FRAME_HEADER_BYTES + len(record) for record, _ in of_group)
            if not of_group or left < 0:
                break
            group_ids.add(group_id)
            records += [(record, group_id, last_slot) for record, last_slot in of_group]
        if not records:
            return
        self._is_repeating = True
        first: list[int] = []

        def written() -> None:
            first.append(self._contents.segments[-1].number)

        def all_written() -> None:
            written()
            self._is_repeating = False
            self._contents.repeated(group_ids, first[0])

        for record, group_id, last_slot in records[:-1]:
            self.append(record, group_id, last_slot, written)
        self.append(*records[-1], all_written)

    def forget_group(self, group_id: int, done: Done | None = None) -> None:
        """Makes all that the log says of a dropped group void; what is appended for it later counts again. `done` is
        called once that is on the disk: before, a crash brings the group's records back."""
        self.append(encode_record(Record(RecordType.FORGET, group_id, ZERO, 0, 0, ())), group_id, 0, done)
