"""Reads a node's log after a restart: what each group had on disk, what was torn off, what is damaged.

Writes are synced one after the other. So a frame whose write began at sequence number n, and likewise a sync mark
numbered n, proves that everything below n had been synced. A bad or missing record below such a proof is damage; one
without proof was torn by the crash, has never been acknowledged, and is cut off together with what follows it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from crc32c import crc32c

from server.codec.frame import (
    FORMAT_VERSION,
    FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SEGMENT_MAGIC,
    CorruptSegmentError,
    Frame,
    decode_frame,
    decode_segment_header,
    encode_sync_mark,
    find_frame,
)
from server.codec.record import CorruptRecordError, Record, RecordType, decode_record, record_crc
from server.paxos.ballot import ZERO, Ballot
from server.wal_segment import SegmentFiles

_VERSION: Final = struct.Struct("<8sI")
_CRC: Final = struct.Struct("<I")
_NEEDED: Final = (RecordType.ENTRIES, RecordType.RESET, RecordType.HEAL)
"""The records that a log needs until a checkpoint stands for them."""


class WalError(Exception):
    """The log cannot be used; a sentence for the operator."""


@dataclass(slots=True)
class RecoveredGroup:
    """What the log holds of one group.

    `entries` are those of the slots `first_slot`, `first_slot + 1` and so on, each with the ballot it was accepted at.
    `promised` is the highest ballot promised or accepted at, `commit_slot` the highest slot known to be committed.
    `is_healing`: the log had lost part of the group once, and the group has not caught up since: it must not vote yet.
    """

    promised: Ballot = ZERO
    first_slot: int = 1
    entries: list[tuple[Ballot, bytes]] = field(default_factory=list)
    commit_slot: int = 0
    is_healing: bool = False


@dataclass(slots=True)
class Recovery:
    """What the log held. A damaged group may have promised or accepted more than is found here: it must not vote.

    `all_damaged`: what was lost may have been any group's; `damaged_groups` has all that the node has then."""

    groups: dict[int, RecoveredGroup]
    damaged_groups: frozenset[int]
    all_damaged: bool
    notes: list[str]
    was_empty: bool


@dataclass(slots=True)
class SegmentContents:
    """Which slots a closed segment holds: group id -> highest slot of an entry, or of a record that says where the log
    begins; and which groups are healing since a record in it."""

    number: int
    path: Path
    last_slots: dict[int, int] = field(default_factory=dict)
    healing: set[int] = field(default_factory=set)
    is_reusable: bool = False


@dataclass(slots=True)
class Promise:
    """The highest ballot that a group is bound by, and the newest segment that says so."""

    ballot: Ballot = ZERO
    commit_slot: int = 0
    segment_number: int = 0


class LogContents:
    """What is durable in the segments, as far as removing old ones needs to know it."""

    def __init__(self) -> None:
        self.segments: list[SegmentContents] = []
        self.promises: dict[int, Promise] = {}

    def add(
        self,
        segment: SegmentContents,
        kind: int,
        group_id: int,
        ballot: Ballot,
        commit_slot: int,
        last_slot: int,
    ) -> None:
        """A record is durable in `segment`. `last_slot`: of its entries; of a reset, or where the group begins to heal,
        the slot before the log begins."""
        if kind not in (RecordType.ENTRIES, RecordType.PROMISE):
            self._make_void(segment, kind, group_id, last_slot)
        if kind == RecordType.FORGET:
            return
        if kind in _NEEDED and last_slot > segment.last_slots.get(group_id, -1):
            segment.last_slots[group_id] = last_slot
        promise = self.promises.get(group_id)
        if promise is None:
            promise = self.promises[group_id] = Promise()
        if ballot >= promise.ballot:
            promise.ballot, promise.segment_number = ballot, segment.number
        promise.commit_slot = max(promise.commit_slot, commit_slot)

    def repeated(self, group_ids: Iterable[int], number: int) -> None:
        """All that is needed of these groups' entries is in the segment of this number, or newer ones, too."""
        for segment in self.segments:
            if segment.number < number:
                for group_id in group_ids:
                    segment.last_slots.pop(group_id, None)

    def _make_void(self, segment: SegmentContents, kind: int, group_id: int, last_slot: int) -> None:
        """What a record in `segment` says of those before it."""
        is_all_void = kind in (RecordType.FORGET, RecordType.HEAL)
        for older in self.segments:
            if older.number <= segment.number:
                if is_all_void or (kind == RecordType.RESET and older.last_slots.get(group_id, 0) <= last_slot):
                    older.last_slots.pop(group_id, None)
                if kind != RecordType.RESET:
                    older.healing.discard(group_id)
        if is_all_void:
            self.promises.pop(group_id, None)
        if kind == RecordType.HEAL:
            segment.healing.add(group_id)


class _GroupLog:
    """One group's records, put together in the order they were written."""

    def __init__(self, floor: int) -> None:
        self.promised = ZERO
        self.commit_slot = 0
        self.is_healing = False
        self.base = floor
        """Entries at or below this slot are not wanted: checkpointed, or replaced by a snapshot."""
        self.entries: dict[int, tuple[Ballot, bytes]] = {}

    def add(self, record: Record) -> None:
        self.promised = max(self.promised, record.ballot)
        self.commit_slot = max(self.commit_slot, record.commit_slot)
        if record.type in (RecordType.HEAL, RecordType.HEALED):
            self.is_healing = record.type is RecordType.HEAL
        if record.type in (RecordType.RESET, RecordType.HEAL):
            self.base = max(self.base, record.first_slot - 1)
            for slot in [slot for slot in self.entries if slot <= self.base]:
                del self.entries[slot]
        ballot, base, entries = record.ballot, self.base, self.entries
        for slot, payload in enumerate(record.payloads, record.first_slot):
            if slot > base:
                entries[slot] = (ballot, payload)

    def recovered(self) -> tuple[RecoveredGroup, bool]:
        """The group, up to the first hole, and whether there is none."""
        first_slot = self.base + 1
        found: list[tuple[Ballot, bytes]] = []
        while (entry := self.entries.get(first_slot + len(found))) is not None:
            found.append(entry)
        group = RecoveredGroup(self.promised, first_slot, found, self.commit_slot, self.is_healing)
        return group, len(found) == len(self.entries)


@dataclass(slots=True)
class _Bad:
    """Something that should have been the record `sequence`. `group_id` None: whose it was is not known."""

    sequence: int
    segment: int
    position: int
    group_id: int | None


class LogReader:
    """Reads all segments once. Afterwards `next_sequence`, `next_number` and `contents` say where the log goes on.

    `empty_paths`: segments at the end that hold nothing. They may go once there is a new one: a folder without any
    segment is that of a log which was lost.
    """

    def __init__(self, files: SegmentFiles, floors: Mapping[int, int]) -> None:
        self.next_sequence = 1
        self.contents = LogContents()
        self.empty_paths: list[Path] = []
        self._files = files
        self._floors = floors
        self._paths = files.segments()
        self.next_number = self._paths[-1][0] + 1 if self._paths else 1
        self._logs: dict[int, _GroupLog] = {}
        self._notes: list[str] = []
        self._damaged: set[int] = set()
        self._all_damaged = False
        self._mended: set[int] = set()
        """Groups for which all damage so far means nothing any more."""
        self._is_first = True  # no frame was read: any sequence number may come
        self._ends: list[int] = []
        """Where each segment's frames end."""
        self._seeds: list[int | None] = []
        """What each segment's frames are checked with; None where the header is damaged."""
        self._undecided: deque[_Bad | tuple[int, Record]] = deque()
        """Empty, or a bad record for which there is no proof yet and (segment, record) of all that came after it."""

    def read(self) -> Recovery:
        """Reads the log, cuts off what was torn, and makes the rest durable. Raises WalError for another node's log."""
        was_empty = not self._paths
        for index, (number, path) in enumerate(self._paths):
            self._ends.append(SEGMENT_HEADER_BYTES)
            self._seeds.append(None)
            self.contents.segments.append(SegmentContents(number, path))
            self._read_segment(index, self._files.read(path))
        cut = self._undecided[0] if self._undecided else None
        if isinstance(cut, _Bad):
            self.next_sequence = cut.sequence
            self._ends[cut.segment] = cut.position
            number, _ = self._paths[cut.segment]
            self._notes.append(
                f"segment {number} was torn at byte {cut.position}: what followed was never acknowledged and is cut off"
            )
        self._end_log()
        groups = self._recovered_groups()
        wanted = self._floors.keys()
        if self._all_damaged:
            self._damaged |= wanted - self._mended
        all_damaged = self._all_damaged and not (wanted and wanted <= self._mended)
        return Recovery(groups, frozenset(self._damaged), all_damaged, self._notes, was_empty)

    def _damage_all(self) -> None:
        self._all_damaged = True
        self._mended.clear()

    def _read_segment(self, index: int, data: bytes) -> None:
        number, path = self._paths[index]
        try:
            header = decode_segment_header(data)
        except CorruptSegmentError as error:
            if (version := _written_version(data)) not in (None, FORMAT_VERSION):
                raise WalError(
                    f"{path} has format version {version}, this program knows version {FORMAT_VERSION}: "
                    "another version of it has written the data folder"
                ) from error
            self._damage_all()
            self._notes.append(f"{path.name}: {error}; its records are lost")
            self._ends[index] = len(data)
            return
        if header.node_id != self._files.node_id:
            raise WalError(
                f"{path} belongs to node {header.node_id}, this is node {self._files.node_id}: "
                "it is another node's data folder"
            )
        if header.number != number:
            self._damage_all()
            self._notes.append(f"{path.name} says that it is segment {header.number}")
        self._seeds[index] = header.seed
        self._read_frames(index, data, header.seed)

    def _read_frames(self, index: int, data: bytes, seed: int) -> None:
        position = SEGMENT_HEADER_BYTES
        unreadable_from = -1
        while True:
            frame = decode_frame(data, position, seed)
            if frame is None:
                unreadable_from = position if unreadable_from < 0 else unreadable_from
                position = find_frame(data, position + 1, seed)
                if position < 0:
                    return
                continue
            bad_position = unreadable_from if unreadable_from >= 0 else position
            if self._is_first:
                self._is_first = False
                # A segment begins with a write: before a frame that is the first of one, another write was here.
                is_lost = unreadable_from >= 0 and frame.sequence == frame.first_sequence
                self.next_sequence = frame.first_sequence - is_lost
            unreadable_from = -1
            self._settle(frame.first_sequence)
            if frame.sequence > self.next_sequence:
                self._undecided.append(_Bad(self.next_sequence, index, bad_position, None))
                self._settle(frame.first_sequence)
            start = position + FRAME_HEADER_BYTES
            if frame.record_bytes:
                position = start + frame.record_bytes
                self._ends[index] = min(position, len(data))
                self._take(index, data[start:position], frame)
                self.next_sequence = frame.sequence + 1
            else:
                # What lies behind a sync mark is what a torn write left: it proves no more than the mark does.
                self._ends[index] = max(self._ends[index], position)
                position = start
                self.next_sequence = max(self.next_sequence, frame.sequence)

    def _take(self, index: int, body: bytes, frame: Frame) -> None:
        """One frame with a valid header."""
        if frame.sequence < self.next_sequence:
            self._damage_all()
            self._notes.append(f"record {frame.sequence} comes after record {self.next_sequence - 1}")
        try:
            if len(body) != frame.record_bytes or record_crc(body) != frame.record_crc:
                raise CorruptRecordError("not the record that its frame announces")
            record = decode_record(body)
        except CorruptRecordError as error:
            self._notes.append(f"record {frame.sequence} of group {frame.group_id} is bad: {error}")
            position = self._ends[index] - len(body) - FRAME_HEADER_BYTES
            self._undecided.append(_Bad(frame.sequence, index, position, frame.group_id))
            return
        if self._undecided:
            self._undecided.append((index, record))
        else:
            self._deliver(index, record)

    def _settle(self, synced_sequence: int) -> None:
        """Everything below `synced_sequence` is now known to have been synced: what is bad there is damage."""
        undecided = self._undecided
        while undecided:
            head = undecided[0]
            if isinstance(head, _Bad):
                if head.sequence >= synced_sequence:
                    return
                number = self._paths[head.segment][0]
                self._notes.append(f"segment {number} is damaged at byte {head.position}: synced records are lost")
                if head.group_id is None:
                    self._damage_all()
                else:
                    self._damaged.add(head.group_id)
            else:
                self._deliver(*head)
            undecided.popleft()

    def _deliver(self, index: int, record: Record) -> None:
        group_id = record.group_id
        if record.type in (RecordType.FORGET, RecordType.HEAL):
            self._logs.pop(group_id, None)
            self._damaged.discard(group_id)
            self._mended.add(group_id)
        if record.type is not RecordType.FORGET:
            log = self._logs.get(group_id)
            if log is None:
                log = self._logs[group_id] = _GroupLog(self._floors.get(group_id, 0))
            log.add(record)
        segment = self.contents.segments[index]
        self.contents.add(segment, record.type, group_id, record.ballot, record.commit_slot, record.last_slot)

    def _end_log(self) -> None:
        """Leaves empty segments at the end out; ends the last other one with a sync mark, and syncs it."""
        segments = self.contents.segments
        while segments and self._ends[len(segments) - 1] == SEGMENT_HEADER_BYTES:
            self.empty_paths.append(segments.pop().path)
            self._files.cut(self.empty_paths[-1], SEGMENT_HEADER_BYTES, b"")
        if segments:
            last = len(segments) - 1
            seed = self._seeds[last]
            mark = encode_sync_mark(self.next_sequence, seed) if seed is not None else b""
            self._files.cut(segments[-1].path, self._ends[last], mark)

    def _recovered_groups(self) -> dict[int, RecoveredGroup]:
        groups = {}
        for group_id, log in self._logs.items():
            groups[group_id], is_whole = log.recovered()
            # A group that is not wanted may have lost its first segments to a trim that took it for dropped.
            if not is_whole and group_id in self._floors:
                self._damaged.add(group_id)
                self._notes.append(f"group {group_id} has holes in its log: the entries behind them are left out")
        return groups


def _written_version(data: bytes) -> int | None:
    """The format version in a segment header whose checksum holds; None where it does not."""
    if len(data) < SEGMENT_HEADER_BYTES or not data.startswith(SEGMENT_MAGIC):
        return None
    end = SEGMENT_HEADER_BYTES - _CRC.size
    if crc32c(data[:end]) != _CRC.unpack_from(data, end)[0]:
        return None
    version: int = _VERSION.unpack_from(data)[1]
    return version
