"""The streams of one partition: what is recorded of its writes, who reads it, and when it is trimmed.

Records are rows of the partition, written by the log entries of the items, and so are the streams: every member has the
same, a snapshot brings them along, and a new leader goes on where the last one was.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import structlog
from statorpb import cluster_pb2, partition_pb2, streams_pb2

from server.model.key_encoding import CURSORS, after_prefix, own_rows
from server.runtime.replica_host import Outcome, ReplicaHost
from storage_node.codec.mutation import Mutation, Write
from storage_node.codec.stream_record import (
    RECORDS_MAX,
    CorruptStreamRecordError,
    Event,
    StreamRecord,
    decode_stream_record,
    sequence_of,
)
from storage_node.partition.streams import (
    VIEW_TYPES,
    Stream,
    decode_stream,
    encode_stream,
    newest_stream_key,
    record_key,
    sequence_of_key,
    stream_key,
    stream_of_key,
)
from storage_node.proposals import Proposals
from storage_node.replies import Reply, Status
from storage_node.store import CorruptValueError, Store, StoreError

TRIM_ROWS_MAX: Final = 1_000
TRIM_BYTES_MAX: Final = 4 * 1024 * 1024
"""Looked at, and removed by one mutation, at most."""

TRIM_WAIT_MS: Final = 10_000
"""Until it is looked again for records that have grown too old, where there was none."""

READ_RECORDS_MAX: Final = 1_000
READ_BYTES_MAX: Final = 1024 * 1024
"""What one read gets at most, whatever it asks for: some milliseconds' work."""

READERS_MAX: Final = 1_000
"""That wait for records of one partition; more are told at once that there is none."""

WAIT_MS_MAX: Final = 10_000
"""For which one waits at most, whatever it asks for: nobody says when it does not wait any more."""

WAKE_S: Final = 0.005
WAKE_BYTES_MAX: Final = 4 * 1024 * 1024
WAKE_PAUSE_S: Final = 0.01
"""Of those who wait for the same record, some are told it at a time: for so long, then others have their turn; and so
much of it, which is given time to leave."""

log = structlog.get_logger()

_EVENTS: Final = {event: streams_pb2.StreamRecord.Event.Value(event.name) for event in Event}


@dataclass(frozen=True, slots=True)
class WantedStream:
    """What the metadata service wants of a stream: that it records the partition's changes, or (`is_closed`) does not
    any more. Records are kept for `retention_ms` of the log's time."""

    number: int
    view_type: str
    is_closed: bool
    retention_ms: int


@dataclass(frozen=True, slots=True)
class _Reader:
    request: partition_pb2.PartitionRequest
    reply: Reply
    deadline_s: float


@dataclass(frozen=True, slots=True)
class _Found:
    """(sequence number, record) of what was read, where to go on behind, and whether nothing is there any more."""

    records: list[tuple[int, StreamRecord]]
    sequence: int
    is_end: bool

    @property
    def size(self) -> int:
        """About how many bytes that are."""
        return sum(len(each.keys) + len(each.old or b"") + len(each.new or b"") for _, each in self.records)

    def put(self, target: partition_pb2.StreamResult) -> None:
        """Writes it into an answer."""
        target.sequence, target.is_end = self.sequence, self.is_end
        for sequence, record in self.records:
            _put_record(target.records.add(), sequence, record)


class StreamLog:
    """Every member has one and keeps it up to date; what changes it is proposed where this member leads.

    `streams`: those that there are, by number. `on_streams()` is called after one came, went, or was closed; `refuse`
    answers a request that only the leader serves, `answer_rotten` one for which what is stored is damaged."""

    def __init__(
        self,
        partition_id: int,
        table_number: int,
        store: Store,
        host: ReplicaHost,
        proposals: Proposals,
        refuse: Callable[[partition_pb2.PartitionRequest, Reply], None],
        answer_rotten: Callable[[partition_pb2.PartitionRequest, str, Reply], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.streams: dict[int, Stream] = {}
        self.recording: Stream | None = None
        """The stream that a write decided now is recorded in."""
        self.on_streams: Callable[[], None] = lambda: None
        self._partition_id = partition_id
        self._table_number = table_number
        self._store = store
        self._host = host
        self._proposals = proposals
        self._refuse = refuse
        self._answer_rotten = answer_rotten
        self._now_s = now_s
        self._cursors = own_rows(table_number, CURSORS, partition_id)
        self._newest_key = newest_stream_key(table_number, partition_id)
        self._newest = 0  # the highest number of a stream that ever was here
        self._wanted: Mapping[int, WantedStream] = {}
        self._known_below = 0  # whatever stream has a lower number, and is not wanted, is no more
        self._closing: set[int] = set()  # their end is in flight
        self._is_settling = False
        self._is_trimming = False
        self._trim_from_ms = 0  # of the log's time: nothing is to be trimmed before
        self._readers: list[_Reader] = []
        self._woken: deque[tuple[_Reader, bool]] = deque()  # to be answered soon, and whether their time is up
        self._is_waking = False

    # What the log says

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes what is stored: the partition's own rows. Raises CorruptStreamError."""
        self.forget()
        for key, data in rows:
            self._take_row(key, data)
        self._choose()

    def forget(self) -> None:
        """There is no state any more."""
        self.streams.clear()
        self.recording = None
        self._newest = self._trim_from_ms = 0

    def applied(self, mutation: Mutation) -> None:
        """Takes note of a mutation with records or with further writes that was carried out."""
        is_news = bool(mutation.records)
        for key, data in mutation.more:
            if key.startswith(self._cursors) and self._take_row(key, data):
                is_news = True
                self._choose()
                self.on_streams()
        if is_news:
            self.wake()

    def _take_row(self, key: bytes, data: bytes | None) -> bool:
        """Whether that changes which streams there are, or are closed."""
        if key == self._newest_key and data is not None:
            self._newest = int.from_bytes(data, "big")
        number = stream_of_key(self._cursors, key)
        if number is None:
            return False
        old = self.streams.get(number)
        if data is None:
            self.streams.pop(number, None)
            return old is not None
        new = self.streams[number] = decode_stream(data)
        return old is None or old.is_closed != new.is_closed

    def _choose(self) -> None:
        """There is one open stream at most: the catalog opens none before the last one is closed everywhere."""
        is_open = [each for each in self.streams.values() if not each.is_closed and each.number not in self._closing]
        self.recording = max(is_open, key=lambda each: each.number, default=None)

    # Upkeep

    def want(self, streams: Sequence[WantedStream], known_below: int) -> None:
        """Takes the streams that the metadata service wants. Of those that it does not speak of, the ones with numbers
        below `known_below` are no more, and go; others it may not have known yet: they stay."""
        self._wanted = {each.number: each for each in streams}
        self._known_below = known_below

    @property
    def needs_tending(self) -> bool:
        """Whether `tend` may have something to do."""
        return bool(self._wanted or self.streams)

    def tend(self) -> None:
        """Proposes what is due, where this member leads. To be called a few times a second. Raises CorruptValueError,
        StoreError, CorruptStreamError, CorruptStreamRecordError."""
        if self.needs_tending and self._host.is_serving_leader(self._partition_id):
            self._settle()
            self._trim()

    def _is_gone(self, number: int) -> bool:
        return number not in self._wanted and number < self._known_below

    def _settle(self) -> None:
        """Proposes that streams that are wanted begin, and that those that are not wanted any more end. One that ever
        was does not begin again, so that a leader that has not heard of its end does not bring it back: numbers of new
        streams are higher than those of all before."""
        if self._is_settling:
            return
        begun = [each for number, each in sorted(self._wanted.items()) if number > self._newest]
        ended = [each.number for each in self.streams.values() if not each.is_closed and self._is_to_close(each.number)]
        if not begun and not ended:
            return
        rows: list[Write] = []
        if begun:
            rows.append((self._newest_key, begun[-1].number.to_bytes(8, "big")))
        for wanted in begun:
            # All writes that are in flight were decided without it.
            first = sequence_of(self._store.applied_slot(self._partition_id))
            stream = Stream(wanted.number, wanted.view_type, first, wanted.is_closed)
            rows.append((self._key(wanted.number), encode_stream(stream)))
        state = self._proposals.state()
        for number in ended:
            data = state.get(self._key(number))
            if data is not None:
                rows.append((self._key(number), encode_stream(replace(decode_stream(data), is_closed=True))))

        def done(outcome: Outcome) -> None:
            self._is_settling = False
            self._closing.difference_update(ended)
            self._choose()

        # What is decided from now on lies behind the end in the log.
        self._is_settling = True
        self._closing.update(ended)
        self._choose()
        self._proposals.propose_rows(tuple(rows), done)

    def _is_to_close(self, number: int) -> bool:
        wanted = self._wanted.get(number)
        return wanted.is_closed if wanted is not None else self._is_gone(number)

    def _trim(self) -> None:
        """Proposes that records go which have grown too old, and all of a stream that is no more, and then its row."""
        now_ms = self._proposals.log_time_ms(self._host.leader_ballot(self._partition_id))
        if self._is_trimming or (now_ms < self._trim_from_ms and not any(map(self._is_gone, self.streams))):
            return
        self._trim_from_ms = now_ms + TRIM_WAIT_MS
        for number in sorted(self.streams):
            wanted = self._wanted.get(number)
            if wanted is not None:
                self._trim_from_ms = min(self._trim_from_ms, now_ms + max(1, wanted.retention_ms // 4))
                old_ms = now_ms - wanted.retention_ms
            elif self._is_gone(number) and self.streams[number].is_closed:
                old_ms = now_ms
            else:
                continue
            rows = self._trimmed(number, old_ms, is_gone=wanted is None)
            if rows:
                self._propose_trimmed(rows)
                return

    def _trimmed(self, number: int, old_ms: int, *, is_gone: bool) -> list[Write]:
        """The rows that remove records from the log's time `old_ms` or before; or the stream, if it is gone and has no
        record."""
        row_key = self._key(number)
        data = self._proposals.state().get(row_key)
        if data is None:
            return []
        stream = decode_stream(data)
        rows: list[Write] = []
        last = size = 0
        for key, record in islice(self._stored(number, stream.trimmed_sequence), TRIM_ROWS_MAX):
            if decode_stream_record(record).log_time_ms > old_ms and not is_gone:
                break
            rows.append((key, None))
            last = sequence_of_key(key)
            size += len(record)
            if size > TRIM_BYTES_MAX:
                break
        if rows:
            rows.append((row_key, encode_stream(replace(stream, trimmed_sequence=last))))
        elif is_gone:
            rows.append((row_key, None))
        return rows

    def _propose_trimmed(self, rows: list[Write]) -> None:
        def done(outcome: Outcome) -> None:
            self._is_trimming = False
            self._trim_from_ms = 0  # there may be more

        self._is_trimming = True
        self._proposals.propose_rows(tuple(rows), done)

    def _key(self, number: int) -> bytes:
        return stream_key(self._table_number, self._partition_id, number)

    def _stored(self, number: int, after: int) -> Iterable[tuple[bytes, bytes]]:
        """(key, record) of what lies behind a sequence number."""
        key = record_key(self._table_number, self._partition_id, number, after)
        return self._store.scan(key + b"\0", after_prefix(key[:-8]))

    # Reading

    def read(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Answers a READ_STREAM, now, or once there is a record or its time is up."""
        wait_ms = min(request.stream.wait_ms, WAIT_MS_MAX)
        self._answer(_Reader(request, reply, self._now_s() + wait_ms / 1000), is_late=not wait_ms)

    def wake(self) -> None:
        """Has those who wait look again soon: there is a record, or an end, or this member does not lead any more."""
        if not self._readers:
            return
        self._woken.extend((reader, False) for reader in self._readers)
        self._readers.clear()
        if not self._is_waking:
            # What is committed together is told together.
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._answer_woken)

    def expire(self, now_s: float) -> None:
        """Answers those who have waited long enough."""
        late = [(each, True) for each in self._readers if each.deadline_s <= now_s]
        if late:
            self._readers = [each for each in self._readers if each.deadline_s > now_s]
            self._woken.extend(late)
            if not self._is_waking:
                self._answer_woken()

    def _answer_woken(self) -> None:
        size, end_s = 0, self._now_s() + WAKE_S
        while self._woken and size < WAKE_BYTES_MAX and self._now_s() <= end_s:
            reader, is_late = self._woken.popleft()
            try:
                size += self._answer(reader, is_late=is_late)
            except Exception:
                # A bug costs one request, not those that wait beside it.
                log.exception("a request failed", partition_id=self._partition_id)
                reader.reply(reader.request.id, partition_pb2.UNKNOWN_OUTCOME)
        self._is_waking = bool(self._woken)
        if self._woken:
            pause_s = WAKE_PAUSE_S if size >= WAKE_BYTES_MAX else 0
            asyncio.get_running_loop().call_later(pause_s, self._answer_woken)

    def _answer(self, reader: _Reader, *, is_late: bool) -> int:
        """Returns how many bytes were told."""
        request, reply = reader.request, reader.reply
        if not self._host.is_serving_leader(self._partition_id):
            self._refuse(request, reply)
            return 0
        try:
            result = self._result(request.stream)
        except (CorruptValueError, StoreError, CorruptStreamRecordError) as error:
            self._answer_rotten(request, str(error), reply)
            return 0
        # As with a read, the lease is looked at after what was read: if it held then, that is the newest.
        if not self._host.is_serving_leader(self._partition_id):
            self._refuse(request, reply)
        elif not isinstance(result, _Found):
            reply(request.id, result)
        elif result.records or result.is_end or is_late or not self._may_wait(request.stream):
            answer = reply(request.id, partition_pb2.OK, extra_bytes=result.size).stream
            result.put(answer)
            return result.size
        else:
            if request.stream.start != partition_pb2.StreamDetails.AFTER:
                request.stream.start, request.stream.sequence = partition_pb2.StreamDetails.AFTER, result.sequence
            self._readers.append(reader)
        return 0

    def _may_wait(self, details: partition_pb2.StreamDetails) -> bool:
        return bool(details.records_max) and len(self._readers) + len(self._woken) < READERS_MAX

    def _result(self, details: partition_pb2.StreamDetails) -> _Found | Status:
        """What there is to tell. Raises CorruptValueError, StoreError, CorruptStreamRecordError."""
        stream = self.streams.get(details.number)
        if stream is None:
            return partition_pb2.NO_STREAM
        if details.start == partition_pb2.StreamDetails.AFTER and details.sequence < stream.trimmed_sequence:
            return partition_pb2.TRIMMED
        after = self._beginning(stream, details)
        records = self._read(stream.number, after, details) if details.records_max else []
        last = records[-1][0] if records else after
        is_end = stream.is_closed and not any(islice(self._stored(stream.number, last), 1))
        return _Found(records, last, is_end)

    def _beginning(self, stream: Stream, details: partition_pb2.StreamDetails) -> int:
        """The sequence number behind which a read begins."""
        start = details.start
        if start == partition_pb2.StreamDetails.LATEST:
            return self._newest_sequence(stream)
        if start == partition_pb2.StreamDetails.HORIZON:
            return stream.horizon
        if start == partition_pb2.StreamDetails.AT_TIME:
            return self._before(stream, details.time_ms)
        return details.sequence

    def _before(self, stream: Stream, time_ms: int) -> int:
        """The sequence number behind which the records are not older than a time, as far as leaders' clocks agree:
        found by halves."""
        low = stream.horizon
        high = sequence_of(self._store.applied_slot(self._partition_id), RECORDS_MAX - 1)
        while low < high:
            middle = (low + high) // 2
            first = next(iter(self._stored(stream.number, middle)), None)
            if first is None or sequence_of_key(first[0]) > high:
                high = middle
            elif decode_stream_record(first[1]).time_ms < time_ms:
                low = sequence_of_key(first[0])
            else:
                high = middle
        return low

    def _read(self, number: int, after: int, details: partition_pb2.StreamDetails) -> list[tuple[int, StreamRecord]]:
        bytes_max = min(details.bytes_max or READ_BYTES_MAX, READ_BYTES_MAX)
        found: list[tuple[int, StreamRecord]] = []
        size = 0
        for key, data in islice(self._stored(number, after), min(details.records_max, READ_RECORDS_MAX)):
            size += len(data)
            if found and size > bytes_max:
                break
            found.append((sequence_of_key(key), decode_stream_record(data)))
        return found

    # Reports

    def reports(self) -> list[cluster_pb2.StreamReport]:
        """What the metadata service is told of the streams. Raises CorruptValueError, StoreError."""
        found = []
        for number, stream in sorted(self.streams.items()):
            report = cluster_pb2.StreamReport(
                number=number, first_sequence=stream.first_sequence, closed=stream.is_closed
            )
            if stream.is_closed:
                report.last_sequence = max(stream.first_sequence, self._newest_sequence(stream))
            found.append(report)
        return found

    def _newest_sequence(self, stream: Stream) -> int:
        """The sequence number of the newest record, or that behind which the first one will be. Not one that is above
        both: it would lie outside the shard of a stream that is closed then, and nobody could go on from it."""
        # Of what was trimmed the memtable may have thousands of deletions.
        start = record_key(self._table_number, self._partition_id, stream.number, stream.trimmed_sequence) + b"\0"
        newest = next(self._store.scan(start, after_prefix(start[:-9]), reverse=True), None)
        return sequence_of_key(newest[0]) if newest is not None else stream.horizon


def wanted_streams(descriptor: cluster_pb2.PartitionDescriptor) -> list[WantedStream]:
    """The streams that a partition is to have."""
    return [
        WantedStream(each.number, VIEW_TYPES[each.view_type - 1], each.closed, each.retention_ms)
        for each in descriptor.streams
    ]


def _put_record(target: partition_pb2.PartitionStreamRecord, sequence: int, record: StreamRecord) -> None:
    target.sequence, target.time_ms = sequence, record.time_ms
    target.event = _EVENTS[record.event]
    target.by_time_to_live = record.is_by_time_to_live
    target.keys, target.size_bytes = record.keys, record.size_bytes
    if record.old is not None:
        target.old_image = record.old
    if record.new is not None:
        target.new_image = record.new
