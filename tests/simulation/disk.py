"""A simulated write-ahead log: the interface of server/wal.py on a simulated clock, losing what was not synced."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from server.codec.record import Record, RecordType, decode_record
from server.codec.record import encode_record as encode
from server.paxos.ballot import ZERO, Ballot

Done = Callable[[], None]


@dataclass
class SimulatedGroup:
    """What the log holds of one group."""

    promised: Ballot = ZERO
    first_slot: int = 1
    entries: list[tuple[Ballot, bytes]] = field(default_factory=list)
    commit_slot: int = 0
    is_healing: bool = False


@dataclass
class SimulatedRecovery:
    groups: dict[int, SimulatedGroup]
    damaged_groups: set[int]


REPEATED_BYTES = 1024 * 1024
"""Of what is written again of a group at once, at most."""

DAMAGED = b""
"""Stands where a synced record was of which a bit has flipped."""


class SimulatedWal:
    """Records become durable in batches, `sync_ns` (on average) after they were handed over."""

    def __init__(
        self,
        schedule: Callable[[int, Done], None],
        rng: random.Random,
        *,
        sync_ns: int,
        now_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self.on_idle: Done | None = None
        self.bytes_queued = 0
        self._left_bytes: int | None = None  # that still go into it; None: the disk is not full
        self._schedule = schedule
        self._rng = rng
        self.slow_ns = 0  # what a write takes on average while the disk is slow; 0: it is not
        self._sync_ns = sync_ns
        self._now_ns = now_ns
        self._began_ns = 0  # the write in flight
        self._waits_since_ns = 0  # of the queue, for room; 0: it does not
        self._shortest_ns = 0  # of the writes that have ended since this was asked; 0: none has
        self._durable: list[bytes] = []
        self._queued: list[tuple[bytes, Done | None]] = []
        self._writing: list[tuple[bytes, Done | None]] = []
        self._life = 0
        self._is_start_due = False

    @property
    def is_full(self) -> bool:
        return self._left_bytes is not None

    @property
    def is_idle(self) -> bool:
        return not self._writing

    def writing_ns(self) -> int:
        return self.stalled_ns() if self._writing else 0

    def stalled_ns(self) -> int:
        since_ns = self._began_ns if self._writing else self._waits_since_ns
        return self._now_ns() - since_ns if since_ns else 0

    def take_write_ns(self) -> int:
        shortest_ns, self._shortest_ns = self._shortest_ns, 0
        return shortest_ns

    def speed_up(self) -> None:
        """The disk is slow no more, from the next write on."""
        self.slow_ns = 0

    def fill(self, left_bytes: int) -> None:
        """The disk has no room: this many bytes still go into the segments that there are, all else waits."""
        self._left_bytes = left_bytes

    def make_room(self) -> None:
        """What has waited for room is written."""
        self._left_bytes = None
        self._start(self._life)

    def append(self, record: bytes, group_id: int, last_slot: int, done: Done | None) -> None:
        self._queued.append((record, done))
        self.bytes_queued += len(record)
        if not self._writing and not self._is_start_due:
            self._is_start_due = True
            life = self._life
            self._schedule(0, lambda: self._start(life))

    def flush(self) -> None:
        self._start(self._life)

    def _start(self, life: int) -> None:
        if life != self._life:
            return
        self._is_start_due = False
        if self._writing or not self._queued:
            return
        if not (count := self._fitting()):
            self._waits_since_ns = self._waits_since_ns or self._now_ns()
            return
        self._writing, self._queued = self._queued[:count], self._queued[count:]
        if self._left_bytes is not None:
            self._left_bytes -= sum(len(record) for record, _ in self._writing)
        self._began_ns, self._waits_since_ns = self._now_ns(), 0
        delay_ns = int((self.slow_ns or self._sync_ns) * (0.5 + self._rng.random()))
        self._schedule(delay_ns, lambda: self._synced(life))

    def _fitting(self) -> int:
        """How many of the records that wait there is room for: those behind one that does not fit wait for it."""
        if self._left_bytes is None:
            return len(self._queued)
        sizes = accumulate(len(record) for record, _ in self._queued)
        return sum(size <= self._left_bytes for size in sizes)

    def _synced(self, life: int) -> None:
        if life != self._life:
            return
        took_ns = self.writing_ns()
        self._shortest_ns = min(took_ns, self._shortest_ns or took_ns)
        batch, self._writing = self._writing, []
        self._durable.extend(record for record, _ in batch)
        self.bytes_queued -= sum(len(record) for record, _ in batch)
        for _, done in batch:
            if done is not None:
                done()
        if self.on_idle is not None and not self._writing:
            self.on_idle()
        self._start(life)

    def crash(self) -> None:
        """Loses what was not synced, but for a random part of the write that was on its way."""
        survivors = self._rng.randint(0, len(self._writing))
        self._durable.extend(record for record, _ in self._writing[:survivors])
        self._life += 1
        self._queued, self._writing, self._is_start_due, self._waits_since_ns = [], [], False, 0
        self.bytes_queued = 0

    def damage(self, group_id: int) -> bool:
        """Flips a bit in a synced record of a group, while the node is down; whether there was one."""
        places = [
            place
            for place, data in enumerate(self._durable)
            if data != DAMAGED and decode_record(data).group_id == group_id
        ]
        if places:
            self._durable[self._rng.choice(places)] = DAMAGED
        return bool(places)

    def forget_group(self, group_id: int, done: Callable[[], None] | None = None) -> None:
        """Makes all that the log says of a dropped group void; `done`: once that is durable."""
        self.append(encode(Record(RecordType.FORGET, group_id, ZERO, 0, 0, ())), group_id, 0, done)

    def trim(self, floors: Mapping[int, int]) -> None:
        """Drops entries that are checkpointed; promises stay, and so does damage that is not void."""
        kept: list[bytes] = []
        for data in self._durable:
            if data == DAMAGED:
                kept.append(data)
                continue
            record = decode_record(data)
            if record.type is RecordType.HEAL:
                kept = [data]  # there is one group here
            elif record.type is RecordType.ENTRIES and record.last_slot <= floors.get(record.group_id, 0):
                kept.append(self._without_entries(data, record.group_id))
            else:
                kept.append(data)
        self._durable = kept

    def repeat(self, records: Sequence[tuple[bytes, int]], group_id: int) -> None:
        """Writes again what the log must have. What it had before goes once that is durable, as where the real log has
        been kept from being trimmed."""

        def all_written() -> None:
            place = next((place for place, each in enumerate(self._durable) if each is records[0][0]), 0)
            older, self._durable = self._durable[:place], self._durable[place:]
            self._durable[:0] = [self._without_entries(data, group_id) for data in older]

        for record, last_slot in records[:-1]:
            self.append(record, group_id, last_slot, None)
        for record, last_slot in records[-1:]:
            self.append(record, group_id, last_slot, all_written)

    def _without_entries(self, data: bytes, group_id: int) -> bytes:
        """What is left of a record, if it is this group's: the promise."""
        record = decode_record(data) if data != DAMAGED else None
        if record is None or record.group_id != group_id or record.type not in (RecordType.ENTRIES, RecordType.RESET):
            return data
        return encode(Record(RecordType.PROMISE, record.group_id, record.ballot, 0, record.commit_slot, ()))

    def recover(self, floors: Mapping[int, int]) -> SimulatedRecovery:
        groups: dict[int, SimulatedGroup] = {}
        damaged: set[int] = set()
        for data in self._durable:
            if data == DAMAGED:
                damaged |= floors.keys()
                continue
            record = decode_record(data)
            floor = floors.get(record.group_id, 0)
            if record.type in (RecordType.FORGET, RecordType.HEAL):
                groups.pop(record.group_id, None)
                damaged.discard(record.group_id)
                floor = max(floor, record.first_slot - 1)
            if record.type is RecordType.FORGET:
                continue
            group = groups.setdefault(record.group_id, SimulatedGroup(first_slot=floor + 1))
            group.promised = max(group.promised, record.ballot)
            group.commit_slot = max(group.commit_slot, record.commit_slot)
            if record.type in (RecordType.HEAL, RecordType.HEALED):
                group.is_healing = record.type is RecordType.HEAL
            if record.type is RecordType.RESET and record.first_slot > group.first_slot + len(group.entries):
                group.entries.clear()
                group.first_slot = record.first_slot
            for slot, payload in enumerate(record.payloads, record.first_slot):
                index = slot - group.first_slot
                if 0 <= index <= len(group.entries):
                    group.entries[index : index + 1] = [(record.ballot, payload)]
        return SimulatedRecovery(groups, damaged)
