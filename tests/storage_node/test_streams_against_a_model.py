"""What a stream tells is what has happened to the table: every change once, in the order of the log, between a
beginning and an end that all members agree upon; whatever is written, retried, lost, led, restarted, rebuilt and
trimmed."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from statorpb import cluster_pb2, partition_pb2, streams_pb2

from server.expressions.codec import encode
from server.expressions.expression import parse_condition, parse_update
from server.expressions.placeholders import Placeholders
from server.model.item import Item, item_bytes
from server.model.key_encoding import RECORDS, own_rows
from server.paxos.ballot import Ballot
from server.wire import item_from_bytes, item_to_bytes
from storage_node import proposals, stream_log
from storage_node.codec.mutation import decode_mutation
from storage_node.partition.streams import (
    VIEW_TYPES,
    Stream,
    decode_stream,
    sequence_of_key,
    stream_key,
    stream_of_key,
)
from storage_node.stream_log import StreamLog, WantedStream
from tests.storage_node.members import Group, Member
from tests.storage_node.nodes import PARTITION, TABLE, delete, put

SEEDS = 30
STEPS = 250
RETENTION_MS = 2_000
NAMES = [f"k{number}" for number in range(6)]
CURSOR_ROWS = stream_key(TABLE, PARTITION, 0)[:-9]
RECORD_ROWS = own_rows(TABLE, RECORDS, PARTITION)
LOCAL_INDEXES = [
    cluster_pb2.LocalIndex(number=1, name="local", sort_key=cluster_pb2.KeyAttribute(name="v", type="N")),
]
"""Of some of the tables: what is recorded must be the same."""

AFTER, HORIZON = partition_pb2.StreamDetails.AFTER, partition_pb2.StreamDetails.HORIZON
LATEST, AT_TIME = partition_pb2.StreamDetails.LATEST, partition_pb2.StreamDetails.AT_TIME
_EVENT = streams_pb2.StreamRecord.Event


class Decision(NamedTuple):
    """What was so when a leader decided a write."""

    stream: int | None
    time_ms: int
    is_expired: bool


class Change(NamedTuple):
    """What a stream has to tell of one slot."""

    sequence: int
    name: str
    old: Item | None
    new: Item | None
    time_ms: int
    is_expired: bool
    log_time_ms: int

    def is_told_by(self, record: partition_pb2.PartitionStreamRecord, view_type: str) -> bool:
        """Whether a record says that, and nothing else."""
        shown = [
            plain(item_from_bytes(getattr(record, field))) if record.HasField(field) else None
            for field in ("old_image", "new_image")
        ]
        wanted = [self.old if "OLD" in view_type else None, self.new if "NEW" in view_type else None]
        keys: Item = {"pk": {"S": self.name}}
        event = _EVENT.INSERT if self.old is None else _EVENT.REMOVE if self.new is None else _EVENT.MODIFY
        size = item_bytes(keys) + sum(item_bytes(each) for each in wanted if each is not None)
        told = (record.sequence, record.event, record.time_ms, record.by_time_to_live, record.size_bytes)
        return (
            told == (self.sequence, event, self.time_ms, self.is_expired, size)
            and item_from_bytes(record.keys) == keys
            and shown == wanted
        )


def plain(item: Any) -> Any:
    """An item in which sets that are equal look so."""
    if isinstance(item, dict):
        return {name: sorted(each) if name in ("SS", "NS") else plain(each) for name, each in item.items()}
    return [plain(each) for each in item] if isinstance(item, list) else item


class Observer:
    """Follows the log entry by entry, and looks at what each has done to a member that never leads. `decisions`: of the
    writes that were proposed, by token and leadership."""

    def __init__(self, group: Group, member: Member) -> None:
        self.decisions: dict[tuple[bytes, Ballot], Decision] = {}
        self.tables: list[dict[str, Item]] = [{}]  # as of each slot
        self.changes: dict[int, list[Change]] = {}  # by stream, all that ever were
        self.removed: dict[int, int] = {}  # by stream: up to which sequence number
        self.streams: dict[int, Stream] = {}
        self.gone: set[int] = set()
        self.ended: set[int] = set()  # what the metadata service has removed
        self._kept: set[tuple[int, int]] = set()
        self._group = group
        self._member = member

    def look(self) -> None:
        """At what was committed meanwhile."""
        for slot in range(len(self.tables), len(self._group.log) + 1):
            self._member.catch_up(slot)
            self._look_at(slot)

    def _look_at(self, slot: int) -> None:
        mutation = decode_mutation(self._group.log[slot - 1])
        first, end = self._member.replica.first_key, self._member.replica.end_key
        items = [plain(item_from_bytes(data)) for _, data in self._member.store.scan(first, end)]
        before, after = self.tables[-1], {item["pk"]["S"]: item for item in items}
        self.tables.append(after)
        changed = [name for name in NAMES if before.get(name) != after.get(name)]
        expected: set[tuple[int, int]] = set()
        for name in changed:
            assert len(changed) == 1
            number, time_ms, is_expired = self.decisions[mutation.token, mutation.origin]
            if number is not None:
                assert number in self.streams and not self.streams[number].is_closed, "only between the two"
                change = Change(
                    slot * 1_000, name, before.get(name), after.get(name), time_ms, is_expired, mutation.time_ms
                )
                self.changes.setdefault(number, []).append(change)
                expected.add((number, change.sequence))
        rows = self._member.store.scan(RECORD_ROWS, RECORD_ROWS + b"\xff" * 17)
        kept = {(int.from_bytes(key[-16:-8], "big"), sequence_of_key(key)) for key, _ in rows}
        assert kept - self._kept == expected
        self._look_at_removed(sorted(self._kept - kept), mutation.time_ms)
        self._kept = kept
        self._look_at_streams()

    def _look_at_removed(self, removed: list[tuple[int, int]], time_ms: int) -> None:
        """The oldest go first, and none that is young, unless its stream is no more."""
        for number, sequence in removed:
            change = next(each for each in self.changes[number] if each.sequence > self.removed.get(number, 0))
            assert change.sequence == sequence
            assert number in self.ended or change.log_time_ms <= time_ms - RETENTION_MS
            self.removed[number] = sequence

    def _look_at_streams(self) -> None:
        """They are closed for good, and do not come back."""
        rows = self._member.store.scan(CURSOR_ROWS, CURSOR_ROWS + b"\xff" * 17)
        found = {stream_of_key(CURSOR_ROWS, key): data for key, data in rows}
        streams = {number: decode_stream(data) for number, data in found.items() if number is not None}
        self.gone |= self.streams.keys() - streams.keys()
        assert not self.gone & streams.keys()
        assert self.gone <= self.ended
        assert not any(number in self.gone for number, _ in self._kept)
        for number, former in self.streams.items():
            stream = streams.get(number, former)
            assert stream.is_closed >= former.is_closed
            assert (stream.view_type, stream.first_sequence) == (former.view_type, former.first_sequence)
            assert stream.trimmed_sequence == self.removed.get(number, 0)
        assert sum(not each.is_closed for each in streams.values()) <= 1
        self.streams = streams

    def recording(self) -> int | None:
        """The stream that a write decided now belongs to: one whose beginning is applied and whose end is not proposed
        yet."""
        is_open = {number for number, stream in self.streams.items() if not stream.is_closed}
        for payload, _ in self._group.proposed:
            for key, data in decode_mutation(payload).more:
                number = stream_of_key(CURSOR_ROWS, key)
                if number is not None and data is not None and decode_stream(data).is_closed:
                    is_open.discard(number)
        return next(iter(is_open), None)

    def left(self, number: int, position: int) -> list[Change]:
        """What a stream still has behind a position."""
        position = max(position, self.removed.get(number, 0))
        return [each for each in self.changes.get(number, ()) if each.sequence > position]


class Consumer:
    """Reads a stream from somewhere on, from whoever leads; and puts the table together as it goes."""

    def __init__(self, observer: Observer, number: int, view_type: str, rng: random.Random) -> None:
        self.number = number
        self.has_ended = False
        self._observer = observer
        self._view_type = view_type
        self._rng = rng
        self._position: int | None = None
        self._table: dict[str, Item] | None = None
        self._asked: tuple[partition_pb2.StreamDetails, list[partition_pb2.PartitionReply]] | None = None

    def ask(self, group: Group, now_ms: int) -> None:
        """Unless it still waits for an answer."""
        if self._asked is not None or self.has_ended:
            return
        rng = self._rng
        request = partition_pb2.PartitionRequest(id=1, partition_id=PARTITION, operation=partition_pb2.READ_STREAM)
        request.key, request.consistent = group.leading.replica.first_key, True
        details = request.stream
        details.number, details.records_max = self.number, rng.choice((0, 1, 2, 5, 1_000))
        details.bytes_max, details.wait_ms = rng.choice((0, 1, 300)), rng.choice((0, 0, 50))
        if self._position is None:
            details.start, details.time_ms = rng.choice((HORIZON, LATEST, AT_TIME)), now_ms - rng.randrange(1_000)
        else:
            details.start, details.sequence = AFTER, self._position
        asked = partition_pb2.StreamDetails()
        asked.CopyFrom(details)
        self._asked = asked, group.ask(request)
        self.hear(is_at_once=True)

    def hear(self, *, is_at_once: bool = False) -> None:
        """The answer, if it has come."""
        if self._asked is None or not self._asked[1]:
            return
        (details, (answer,)), self._asked = self._asked, None
        observer = self._observer
        if answer.status == partition_pb2.NO_STREAM:
            assert self.number in observer.gone
            self.has_ended = True
        elif answer.status == partition_pb2.TRIMMED:
            # Also of where one has waited, for a record that has come and gone in the same moment.
            assert details.start == AFTER or not is_at_once
            assert details.start != AFTER or details.sequence < observer.removed[self.number]
            self._position = self._table = None
        elif answer.status != partition_pb2.NOT_LEADER or is_at_once:
            assert answer.status == partition_pb2.OK, answer
            self._take(details, answer.stream, is_at_once=is_at_once)

    def _beginning(self, details: partition_pb2.StreamDetails, sequence: int) -> int:
        """Behind which the answer has to begin."""
        observer = self._observer
        stream = observer.streams[self.number]
        horizon = max(stream.first_sequence - 1, observer.removed.get(self.number, 0))
        if details.start == HORIZON:
            return horizon
        if details.start == AT_TIME:
            young = [each for each in observer.left(self.number, 0) if each.time_ms >= details.time_ms]
            return young[0].sequence - 1 if young else sequence
        if details.start == LATEST:
            return max([horizon, *(each.sequence for each in observer.left(self.number, 0))])
        assert details.sequence >= observer.removed.get(self.number, 0)
        return details.sequence

    def _take(
        self, details: partition_pb2.StreamDetails, result: partition_pb2.StreamResult, *, is_at_once: bool
    ) -> None:
        observer, records = self._observer, result.records
        if is_at_once:
            start = self._beginning(details, result.sequence)
            left = observer.left(self.number, start)
            assert records or details.start == AT_TIME or result.sequence == start
            assert records or observer.left(self.number, result.sequence) == left
            assert bool(records) == bool(left and details.records_max)
            is_closed = observer.streams[self.number].is_closed
            assert result.is_end == (is_closed and not observer.left(self.number, result.sequence))
        elif details.start == AFTER or records:
            start = details.sequence if details.start == AFTER else records[0].sequence - 1
            left = observer.left(self.number, start)
        else:
            start, left = result.sequence, []
        assert len(records) <= (details.records_max if details.bytes_max != 1 else 1)
        for record, change in zip(records, left, strict=False):
            assert change.is_told_by(record, self._view_type), (record, change)
        assert len(records) <= len(left)
        if self._table is None and records:
            self._table = dict(observer.tables[records[0].sequence // 1_000 - 1])
        for change, _ in zip(left, records, strict=False):
            assert self._table is not None
            assert self._table.pop(change.name, None) == change.old
            if change.new is not None:
                self._table[change.name] = change.new
        self._position = result.sequence
        if records:
            assert result.sequence == records[-1].sequence
            assert self._table == observer.tables[result.sequence // 1_000]
        elif details.start == AFTER:
            assert result.sequence == details.sequence
        self.has_ended = result.is_end


class Play:
    """One history, drawn from `rng`."""

    def __init__(self, rng: random.Random, directory: Path) -> None:
        self.rng = rng
        self.now_ms = 1_000_000
        self.group = Group(directory, 3, local_indexes=LOCAL_INDEXES if rng.random() < 0.3 else ())
        *self.members, observed = self.group.members
        self.observer = Observer(self.group, observed)
        self.asked: list[partition_pb2.PartitionRequest] = []
        self.wanted: dict[int, WantedStream] = {}
        self.next_number = 50
        self.assignments: list[tuple[list[WantedStream], int]] = [([], 50)]
        self.consumers: list[Consumer] = []
        self.reported: dict[int, tuple[int, bool, int]] = {}
        self.observer.look()

    @property
    def log(self) -> StreamLog:
        return self.group.leading.replica.streams

    def some_item(self, name: str) -> Item:
        rng = self.rng
        item: dict[str, Any] = {"pk": {"S": name}}
        if rng.random() < 0.7:
            item["v"] = {"N": rng.choice("12")}
        if rng.random() < 0.7:
            item["s"] = {"SS": rng.sample(["x", "y", "z"], rng.randrange(1, 4))}
        if rng.random() < 0.3:
            item["long"] = {"L": [{"S": "w" * rng.randrange(200)}]}
        return item

    def some_write(self) -> partition_pb2.PartitionRequest:
        rng = self.rng
        name, kind = rng.choice(NAMES), rng.random()
        if self.asked and kind < 0.1:
            again = partition_pb2.PartitionRequest()
            again.CopyFrom(rng.choice(self.asked[-10:]))
            return again
        if kind < 0.3:
            request = delete(name)
            request.write.by_time_to_live = rng.random() < 0.3
            return request
        request = put(name, item_to_bytes(self.some_item(name)))
        if kind < 0.5:
            parsed = parse_condition(rng.choice(("attribute_exists(v)", "v = s")), Placeholders(None, None))
            request.write.condition, request.write.condition_values = encode(parsed.tree), item_to_bytes(parsed.values)
            request.write.returned = partition_pb2.OLD
        elif kind < 0.75:
            text = rng.choice(("SET v = v + v", "REMOVE v", "REMOVE nothing", "SET w = pk", "SET w = v"))
            request.operation, request.item = partition_pb2.UPDATE, item_to_bytes({"pk": {"S": name}})
            changed = parse_update(text, Placeholders(None, None))
            request.write.update, request.write.update_values = encode(changed.tree), item_to_bytes(changed.values)
        return request

    def write(self) -> None:
        group, request = self.group, self.some_write()
        self.asked.append(request)
        decision = Decision(self.observer.recording(), self.now_ms, request.write.by_time_to_live)
        in_flight = len(group.proposed)
        group.ask(request)
        if len(group.proposed) > in_flight:
            self.observer.decisions[request.token, group.ballot] = decision

    def want(self) -> None:
        """As the metadata service does it: the next one once the last one is closed."""
        rng = self.rng
        found = {number: is_closed for number, (_, is_closed, _) in self.reported.items()}
        last = max(self.wanted.values(), key=lambda each: each.number, default=None)
        if last is not None and not last.is_closed:
            if last.number in found and rng.random() < 0.5:
                self.wanted[last.number] = _closed(last)
        elif last is None or found.get(last.number, False):
            self.wanted[self.next_number] = WantedStream(self.next_number, rng.choice(VIEW_TYPES), False, RETENTION_MS)
            self.next_number += rng.randrange(1, 3)
        # Sometimes, as though the table's stream had been forgotten, one that is still open.
        can_go = [each.is_closed and found.get(number) for number, each in self.wanted.items()]
        old = [number for number, may in zip(self.wanted, can_go, strict=True) if may or rng.random() < 0.05]
        if old and rng.random() < 0.3:
            self.observer.ended.add(old[0])
            del self.wanted[old[0]]
        self.assignments.append((list(self.wanted.values()), self.next_number))
        self.tell(rng.sample(self.members, rng.randrange(1, 3)))

    def tell(self, members: list[Member], late: int = 0) -> None:
        """The last assignment, or an older one: `late` assignments before it."""
        for each in members:
            each.replica.streams.want(*self.assignments[max(0, len(self.assignments) - 1 - late)])

    def look_at_reports(self) -> None:
        """What was told once stays so."""
        for report in self.log.reports():
            told = report.first_sequence, report.closed, report.last_sequence
            former = self.reported.get(report.number, (report.first_sequence, False, 0))
            assert report.number not in self.observer.gone
            assert told[0] == former[0]
            if former[1]:
                assert told == former
            self.reported[report.number] = told
            changes = self.observer.changes.get(report.number, [])
            assert all(each.sequence >= told[0] for each in changes)
            if report.closed:
                assert told[2] == (changes[-1].sequence if changes else told[0])

    def change_leader(self) -> None:
        group, rng = self.group, self.rng
        revived = rng.sample(group.lost, rng.randrange(min(len(group.lost), 3) + 1)) if rng.random() < 0.5 else ()
        group.lead(rng.choice(self.members), rng.randrange(len(group.proposed) + 1), revived)

    def restart(self) -> None:
        group, rng = self.group, self.rng
        member = rng.choice(self.members)
        if member is group.leading:
            others = [each for each in self.members if each is not member]
            group.lead(rng.choice(others), rng.randrange(len(group.proposed) + 1))
        if rng.random() < 0.3:
            group.leading.checkpoint()
            member.restore_from(group.leading)
        else:
            member.crash()
        self.tell([member], rng.randrange(4))

    def consume(self) -> None:
        rng = self.rng
        self.consumers = [each for each in self.consumers if not each.has_ended]
        if self.observer.streams and len(self.consumers) < 5 and rng.random() < 0.3:
            number = rng.choice(list(self.observer.streams))
            view_type = self.observer.streams[number].view_type
            self.consumers.append(Consumer(self.observer, number, view_type, rng))
        for each in self.consumers:
            each.ask(self.group, self.now_ms)

    def step(self) -> None:
        group, rng = self.group, self.rng
        kind = rng.random()
        self.now_ms += rng.choice((0, 1, 40))
        if kind < 0.5:
            self.write()
        elif kind < 0.65:
            group.commit(rng.randrange(1, 6))
        elif kind < 0.68:
            self.change_leader()
        elif kind < 0.7:
            self.restart()
        elif kind < 0.74:
            self.want()
        elif kind < 0.76:
            self.tell([rng.choice(self.members)], rng.randrange(4))
        elif kind < 0.79:
            rng.choice(self.members).checkpoint()
        elif kind < 0.81:
            rng.choice(self.members).catch_up(rng.randrange(len(group.log) + 1))
        elif kind < 0.83:
            self.now_ms += rng.randrange(RETENTION_MS)
        elif kind < 0.9:
            self.log.tend()
        elif kind < 0.92:
            for each in self.members:
                each.replica.streams.expire(float("inf"))
        else:
            self.consume()

    async def play(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            self.observer.look()
            self.look_at_reports()
            await asyncio.sleep(0)  # for those who wait
            for each in self.consumers:
                each.hear()

    def settle(self) -> None:
        """All members know all, and what is old is gone."""
        self.tell(self.members)
        for _ in range(60):
            self.now_ms += RETENTION_MS
            self.log.tend()
            self.group.commit()
        self.observer.look()
        self.look_at_reports()

    def check(self) -> None:
        wanted = {number: each.is_closed for number, each in self.wanted.items()}
        assert {number: each.is_closed for number, each in self.log.streams.items()} == wanted
        for each in self.group.members:
            each.catch_up(len(self.group.log))
            assert not list(each.store.scan(RECORD_ROWS, RECORD_ROWS + b"\xff" * 17))
            assert each.replica.streams.streams == self.log.streams == self.observer.streams
            assert not each.rotten


def _closed(wanted: WantedStream) -> WantedStream:
    return WantedStream(wanted.number, wanted.view_type, True, wanted.retention_ms)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_a_stream_tells_is_what_happened(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every moment, whoever leads; and nothing of it is kept for longer than it should be."""
    rng = random.Random(seed)
    plays: list[Play] = []

    def now_ms() -> int:
        return plays[0].now_ms if plays else 0

    monkeypatch.setattr(proposals, "now_ms", now_ms)
    monkeypatch.setattr(proposals, "wall_ms", now_ms)
    monkeypatch.setattr(stream_log, "TRIM_ROWS_MAX", rng.choice((2, 5, 1_000)))
    monkeypatch.setattr(stream_log, "TRIM_BYTES_MAX", rng.choice((300, 1_000_000)))
    monkeypatch.setattr(stream_log, "TRIM_WAIT_MS", rng.choice((1, 500)))
    monkeypatch.setattr(stream_log, "READERS_MAX", rng.choice((1, 3, 1_000)))
    plays.append(Play(rng, tmp_path))
    for _ in range(3):
        await plays[0].play(STEPS)
        plays[0].settle()
        plays[0].check()
    plays[0].group.close()
