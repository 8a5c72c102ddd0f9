"""A leader's part in transactions: items are marked, and what was marked is carried out or not; or all of it at once.

A mark is a row of the partition, as is what else is kept of transactions: so every member has the same, a snapshot
brings them along, and a new leader goes on where the last one was. While an item has a mark no other write of it is
decided, so what the transaction has found it to be, it still is when it is carried out. Reads do not wait for marks.

Transactions come in the order of their timestamps, for which the partition has a clock: the log's time, put ahead by
the transactions that come from clocks which are ahead of it. The source is "Distributed Transactions at Scale in Amazon
DynamoDB" (ATC 2023), sections 3 and 4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from google.protobuf.message import DecodeError
from statorpb import partition_pb2

from server.expressions.codec import CorruptTreeError
from server.expressions.compiled import compiled_projection
from server.model.item import item_bytes
from server.model.key_encoding import MARKS, PREFIX_BYTES, TRANSACTIONS, after_prefix, own_rows, prefix
from server.model.limits import TRANSACTION_BYTES_MAX
from server.runtime.replica_host import Outcome, OutcomeKind, ReplicaHost
from server.wire import item_from_bytes, item_to_bytes
from storage_node.codec.change import Change, EntryChange
from storage_node.codec.mark import ID_BYTES, CorruptMarkError, Mark, MarkKind, decode_mark, encode_mark
from storage_node.codec.mutation import Mutation, Write, encode_mutation
from storage_node.codec.stream_record import StreamRecord
from storage_node.decisions import NO_DETAILS, Decided, Decisions, Unwritten, check
from storage_node.partition.item_versions import NEVER, ItemVersions, Version
from storage_node.proposals import Proposals, State
from storage_node.replies import Reply
from storage_node.store import CorruptValueError, Store, StoreError

STALE_MS: Final = 2_000
"""Of the log's time. With a mark that is older somebody is told to see to its transaction."""

STALE_MAX: Final = 100
"""Marks that are told of at once."""

NOTED_MS: Final = 60_000
"""For so long after a transaction has asked it is noted when items are written."""

TOKEN_KEPT_MS: Final = 600_000
"""What clients call their transactions is remembered for ten minutes (API reference, "TransactWriteItems")."""

TRIM_ROWS_MAX: Final = 500
TRIM_WAIT_MS: Final = 5_000
"""Of the names that clients gave so many are looked at, so often, to find those that are to be forgotten."""

MUTATION_BYTES_MAX: Final = 7 * 1024 * 1024
"""What one log entry of a transaction has at most: somewhat less than there is room for, since what goes with an item
may have grown until its mark is seen to."""

FINISHED_BYTES: Final = 1024 * 1024
"""What was marked is carried out in log entries of about so much."""

READ_BYTES_MAX: Final = TRANSACTION_BYTES_MAX
READ_DATA_BYTES_MAX: Final = 12 * 1024 * 1024
"""Of items that are read: as DynamoDB counts them (API reference, "TransactGetItems"), and as they are stored, which a
message has room for. Of more it is only told that it is too much."""

_CLOCK_ROW: Final = b"\0"
_TOKEN_ROW: Final = b"\1"
_AHEAD: Final = struct.Struct("<q")
_TOKEN: Final = struct.Struct("<16sQ?")  # hash of the request, the log's time, whether it went over marks

_OK = partition_pb2.OK
_GET = partition_pb2.GET
_OUTCOMES: Final = {
    partition_pb2.CONDITION_FAILED: partition_pb2.ItemOutcome.CONDITION_FAILED,
    partition_pb2.INVALID_UPDATE: partition_pb2.ItemOutcome.INVALID,
    partition_pb2.COLLECTION_FULL: partition_pb2.ItemOutcome.COLLECTION_FULL,
}
_TOO_LARGE: Final = "The item is too large together with its entries in all secondary indexes"
_ALL_TOO_LARGE: Final = "The items that the transaction makes of those of one partition are too large together"


def clock_range(table_number: int, partition_id: int) -> tuple[bytes, bytes]:
    """The key of the row that says how far ahead of the log the partition's clock is, and the first behind it."""
    rows = own_rows(table_number, TRANSACTIONS, partition_id)
    return rows + _CLOCK_ROW, rows + _TOKEN_ROW


@dataclass(slots=True)
class _Part:
    """What a transaction's items come to, so far."""

    outcomes: list[partition_pb2.ItemOutcome]
    decided: list[tuple[bytes, Decided | None]]  # by item key; None: the item stays as it is
    late_us: int = 0
    is_accepted: bool = True

    @property
    def result(self) -> partition_pb2.TransactionResult:
        return partition_pb2.TransactionResult(items=self.outcomes, stamp_us=self.late_us)


class Transactions:
    """Of one partition. Every member has one and keeps it up to date; what it decides is the leader's.

    `marks`: those in force, by the item's key, without what is put. `stale_ms`, `token_kept_ms`: STALE_MS and
    TOKEN_KEPT_MS. `refuse` and `answer_rotten` as for single writes."""

    def __init__(
        self,
        partition_id: int,
        table_number: int,
        key_range: tuple[bytes, bytes],
        store: Store,
        host: ReplicaHost,
        proposals: Proposals,
        decisions: Decisions,
        refuse: Callable[[partition_pb2.PartitionRequest, Reply], None],
        answer_rotten: Callable[[partition_pb2.PartitionRequest, str, Reply], None],
    ) -> None:
        self.marks: dict[bytes, Mark] = {}
        self.versions = ItemVersions()
        self.stale_ms = STALE_MS
        self.token_kept_ms = TOKEN_KEPT_MS
        self._partition_id = partition_id
        self._first_key, self._end_key = key_range
        self._store = store
        self._host = host
        self._proposals = proposals
        self._decisions = decisions
        self._refuse = refuse
        self._answer_rotten = answer_rotten
        self._items = prefix(table_number)
        self._marks = prefix(table_number, MARKS)
        self._rows = own_rows(table_number, TRANSACTIONS, partition_id)
        self._clock_key, _ = clock_range(table_number, partition_id)
        self._ahead_us = 0  # the partition's clock less the log's time
        self._noted_until_ms = 0  # by the node's clock; 0: nobody takes note of versions
        self._marking = 0  # proposals in flight that make marks
        self._trim_from_ms = 0  # of the log's time
        self._trim_after = b""
        self._is_trimming = False
        self._stale_from = 0

    # What the log says

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes what is stored: the partition's own rows. Raises CorruptMarkError."""
        self.forget()
        for key, data in rows:
            self._take_row(key, data)

    def forget(self) -> None:
        """There is no state any more."""
        self.marks.clear()
        self._ahead_us = self._trim_from_ms = self._noted_until_ms = 0

    def applied(self, slot: int, mutation: Mutation) -> None:
        """Takes note of a mutation that was carried out."""
        if mutation.more:
            for key, data in mutation.more:
                self._take_row(key, data)
        if not self._noted_until_ms:
            return
        if (now_ms := self._proposals.now_ms()) > self._noted_until_ms:
            self._noted_until_ms = 0
            self.versions.begin(NEVER)
            return
        time_ms, note = mutation.time_ms, self.versions.note
        version = Version(slot, time_ms * 1000 + self._ahead_us, now_ms)
        items, marks = self._items, self._marks
        if mutation.key.startswith(items):
            note(mutation.key, version, time_ms)
        for key, _ in mutation.more:
            if key.startswith(items):
                note(key, version, time_ms)
            elif key.startswith(marks):
                note(items + key[PREFIX_BYTES:], version, time_ms)

    def _note_versions(self) -> None:
        """Sees to it that it is known from here on when items are written. Where nobody asks, nobody takes note: what a
        partition without transactions does costs nothing more for their sake."""
        now_ms = self._proposals.now_ms()
        if now_ms > self._noted_until_ms:
            time_ms = self._store.recent_writes(self._partition_id).now_ms
            slot = self._store.applied_slot(self._partition_id)
            self.versions.begin(Version(slot, time_ms * 1000 + self._ahead_us, now_ms))
        self._noted_until_ms = now_ms + NOTED_MS

    def _take_row(self, key: bytes, data: bytes | None) -> None:
        if key.startswith(self._marks):
            item_key = self._items + key[PREFIX_BYTES:]
            if data is None:
                self.marks.pop(item_key, None)
            else:
                self.marks[item_key] = decode_mark(data)._replace(item=b"")
        elif key == self._clock_key and data is not None:
            (self._ahead_us,) = _AHEAD.unpack(data)

    def _mark_key(self, item_key: bytes) -> bytes:
        return self._marks + item_key[PREFIX_BYTES:]

    # Whether an item is marked

    @property
    def may_be_marked(self) -> bool:
        """Whether any item of the partition may have a mark, as the leader knows."""
        return bool(self.marks) or self._marking > 0

    def is_marked(self, key: bytes) -> bool:
        """Whether an item has a mark, or will have one once everything in flight is committed."""
        return self.may_be_marked and self._mark(key) is not None

    def _mark(self, key: bytes) -> Mark | None:
        newest = self._proposals.in_flight.newest(self._mark_key(key))
        if newest is None:
            return self.marks.get(key)
        data, _ = newest
        return None if data is None else decode_mark(data)

    # To prepare, and to do all at once

    def decide(self, request: partition_pb2.PartitionRequest, state: State) -> Decided | Unwritten:
        """What a PREPARE or a TRANSACT comes to. Raises as Decisions.decide does, and CorruptMarkError."""
        details = request.transaction
        if len(details.ledger_id) != ID_BYTES or len(details.attempt) != ID_BYTES or not details.items:
            return Unwritten(partition_pb2.INVALID, message="a transaction has two ids of 16 bytes, and items")
        if not all(self._first_key <= item.key < self._end_key for item in details.items):
            return Unwritten(partition_pb2.NOT_MINE)
        if request.operation == partition_pb2.TRANSACT:
            known = self._known(details, state)
            if known is not None:
                return known
        self._note_versions()
        part = self._look_at(details, state)
        if not part.is_accepted:
            return Unwritten(partition_pb2.CANCELLED, result=part.result)
        is_measured = any(item.write.measured for item in details.items)
        result = part.result if is_measured else None
        if request.operation == partition_pb2.PREPARE:
            marking = Decided(self._marking_writes(details, part), result, makes_marks=True)
            if _weight(marking) <= MUTATION_BYTES_MAX:
                return marking
            part.outcomes[-1].code, part.outcomes[-1].message = partition_pb2.ItemOutcome.INVALID, _ALL_TOO_LARGE
            return Unwritten(partition_pb2.CANCELLED, result=part.result)
        return self._all_at_once(details, part, result)

    def marking(self, change: int) -> None:
        """A proposal that makes marks has begun (1), or has ended (-1)."""
        self._marking += change

    def _known(self, details: partition_pb2.TransactionDetails, state: State) -> Unwritten | None:
        """What a client is told that has given this name to a transaction before; None: it has not."""
        row = state.get(self._token_key(details))
        if row is None:
            return None
        request_hash, time_ms, is_over_marks = _TOKEN.unpack(row)
        if time_ms < self._log_time_ms() - self.token_kept_ms:
            return None
        if details.client_token and request_hash != details.request_hash:
            return Unwritten(partition_pb2.TOKEN_MISMATCH)
        if is_over_marks:
            return Unwritten(partition_pb2.TOO_LARGE)  # what has become of it the ledger knows
        return Unwritten(_OK, result=partition_pb2.TransactionResult(is_replay=True))

    def _look_at(self, details: partition_pb2.TransactionDetails, state: State) -> _Part:
        """All items are looked at, whatever the others come to: a client is told of all of them."""
        part = _Part([], [])
        for item in details.items:
            outcome = partition_pb2.ItemOutcome()
            part.outcomes.append(outcome)
            last_us = self._last_us(item.key)
            if (mark := self._mark(item.key)) is not None:
                # Nothing that is not committed is told by this: that a write is refused claims nothing.
                outcome.code = partition_pb2.ItemOutcome.CONFLICT
                outcome.is_own = mark.ledger_id == details.ledger_id
            else:
                self._look_at_one(item, outcome, part, state)
                if details.stamp_us <= last_us and outcome.code == partition_pb2.ItemOutcome.ACCEPTED:
                    # What does not hold now is said, late or not: the client may be told of it as it stands.
                    outcome.code = partition_pb2.ItemOutcome.LATE
                    part.late_us = max(part.late_us, last_us)
            part.is_accepted &= outcome.code == partition_pb2.ItemOutcome.ACCEPTED
        return part

    def _look_at_one(
        self,
        item: partition_pb2.TransactionItem,
        outcome: partition_pb2.ItemOutcome,
        part: _Part,
        state: State,
    ) -> None:
        write, old_bytes = item.write, state.get(item.key)
        if item.operation == _GET:
            decided: Decided | Unwritten = check(write, old_bytes)
        else:
            decided = self._decisions.decide(item.operation, item.item, write, item.key, state)
        if isinstance(decided, Decided):
            if _weight(decided) > MUTATION_BYTES_MAX:
                outcome.code, outcome.message = partition_pb2.ItemOutcome.INVALID, _TOO_LARGE
                return
            state.put(decided.writes)
            part.decided.append((item.key, decided))
            if write.measured and isinstance(decided.result, partition_pb2.WriteResult):
                outcome.write.CopyFrom(decided.result)
        elif decided.status == _OK:
            part.decided.append((item.key, None))
            if write.measured and old_bytes is not None:
                outcome.write.old_bytes = outcome.write.new_bytes = item_bytes(item_from_bytes(old_bytes))
        else:
            outcome.code = _OUTCOMES[decided.status]
            outcome.item, outcome.message = decided.item, decided.message

    def _last_us(self, key: bytes) -> int:
        """The partition's clock when an item was last written, at the latest."""
        if self._proposals.in_flight.newest(key) is not None:
            return self._clock_us()
        return self.versions.last(key).stamp_us

    def _log_time_ms(self) -> int:
        return self._proposals.log_time_ms(self._host.leader_ballot(self._partition_id))

    def _clock_us(self) -> int:
        newest = self._proposals.in_flight.newest(self._clock_key)
        if newest is None or newest[0] is None:
            return self._log_time_ms() * 1000 + self._ahead_us
        return self._log_time_ms() * 1000 + int(_AHEAD.unpack(newest[0])[0])

    def _clock_writes(self, stamp_us: int) -> tuple[Write, ...]:
        """What puts the partition's clock ahead to a transaction's stamp."""
        if stamp_us <= self._clock_us():
            return ()
        return ((self._clock_key, _AHEAD.pack(stamp_us - self._log_time_ms() * 1000)),)

    def _marking_writes(self, details: partition_pb2.TransactionDetails, part: _Part) -> tuple[Write, ...]:
        ledger_id, attempt, stamp_us, name = details.ledger_id, details.attempt, details.stamp_us, details.table_name
        time_ms = self._log_time_ms()
        writes: list[Write] = [self._proposals.nothing, *self._clock_writes(stamp_us)]
        for key, decided in part.decided:
            kind, item = MarkKind.STAYS, b""
            if decided is not None:
                _, new = decided.writes[0]
                kind, item = (MarkKind.DELETED, b"") if new is None else (MarkKind.PUT, new)
            mark = Mark(ledger_id, attempt, stamp_us, time_ms, name, kind, item)
            writes.append((self._mark_key(key), encode_mark(mark)))
        return tuple(writes)

    def _all_at_once(
        self,
        details: partition_pb2.TransactionDetails,
        part: _Part,
        result: partition_pb2.TransactionResult | None,
    ) -> Decided | Unwritten:
        whole = _Gathered()
        for key, decided in part.decided:
            if decided is None:
                # There is no mark to be removed; but so it is known that the item has been looked at.
                whole.rows[self._mark_key(key)] = None
            else:
                whole.add(decided)
        whole.rows.update(self._clock_writes(details.stamp_us))
        if details.client_token:
            whole.rows.update(self._token_writes(details, is_over_marks=False))
        decided = whole.decided(self._proposals.nothing, result)
        if _weight(decided) <= MUTATION_BYTES_MAX:
            return decided
        # Noted before anything of it is done: asked for again, it might fit, or its conditions not hold any more.
        noted = self._token_writes(details, is_over_marks=True)
        return Decided((self._proposals.nothing, *noted), None, status=partition_pb2.TOO_LARGE)

    def _token_writes(self, details: partition_pb2.TransactionDetails, *, is_over_marks: bool) -> tuple[Write, ...]:
        """What remembers the name that a client has given to a transaction."""
        row = _TOKEN.pack(details.request_hash, self._log_time_ms(), is_over_marks)
        return ((self._token_key(details), row),)

    def _token_key(self, details: partition_pb2.TransactionDetails) -> bytes:
        """By the client's own name, or else by its library's: by that it sends the same, and nothing else, again."""
        return self._rows + _TOKEN_ROW + (details.client_token or details.ledger_id)

    # To finish

    def finish(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Carries out what is marked, or takes the marks away, and answers once that is committed. What has no mark of
        this attempt is finished."""
        details = request.transaction
        if not all(self._first_key <= item.key < self._end_key for item in details.items):
            reply(request.id, partition_pb2.NOT_MINE)
            return
        state = self._proposals.state()
        try:
            parts = self._finished_parts(details, state)
        except (CorruptValueError, StoreError, DecodeError, CorruptMarkError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        if not self._host.is_serving_leader(self._partition_id):
            self._refuse(request, reply)
        elif parts:
            tell = _Finish(len(parts), lambda kind: self._answer_finished(request, kind, reply)).tell
            for each in parts:
                self._proposals.propose(each.writes, tell, entries=each.entries, records=each.records)
        elif state.basis is not None:
            # Somebody else is finishing it.
            def ended(is_committed: bool) -> None:
                kind = OutcomeKind.COMMITTED if is_committed else OutcomeKind.NOT_LEADER
                self._answer_finished(request, kind, reply)

            state.basis.add_dependent(ended)
        else:
            reply(request.id, _OK)

    def _finished_parts(self, details: partition_pb2.TransactionDetails, state: State) -> list[Decided]:
        """What is to be proposed for the marks of an attempt, in parts that are not too large."""
        parts: list[Decided] = []
        whole, size = _Gathered(), 0
        for item in details.items:
            data = state.get(self._mark_key(item.key)) if self.may_be_marked else None
            if data is None or (mark := decode_mark(data)).attempt != details.attempt:
                continue
            if details.is_committed and mark.kind != MarkKind.STAYS:
                operation = partition_pb2.PUT if mark.kind == MarkKind.PUT else partition_pb2.DELETE
                decided = self._decisions.decide(operation, mark.item, NO_DETAILS, item.key, state, is_final=True)
                assert isinstance(decided, Decided), "what has been prepared can be carried out"
                state.put(decided.writes)
                weight = _weight(decided)
                if size and size + weight > FINISHED_BYTES:
                    parts.append(whole.decided(self._proposals.nothing))
                    whole, size = _Gathered(), 0
                whole.add(decided)
                size += weight
            whole.rows[self._mark_key(item.key)] = None
        if whole.rows:
            parts.append(whole.decided(self._proposals.nothing))
        return parts

    def _answer_finished(self, request: partition_pb2.PartitionRequest, kind: OutcomeKind, reply: Reply) -> None:
        if kind == OutcomeKind.COMMITTED:
            reply(request.id, _OK)
        elif kind == OutcomeKind.NOT_LEADER:
            self._refuse(request, reply)
        elif kind == OutcomeKind.OVERLOADED:
            reply(request.id, partition_pb2.THROTTLED)
        else:
            reply(request.id, partition_pb2.UNKNOWN_OUTCOME)

    def stale(self) -> Iterator[partition_pb2.StaleMark]:
        """The marks that have been there for long; none where this member does not lead."""
        if not self.marks or not self._host.is_serving_leader(self._partition_id):
            return
        stale_ms = self._log_time_ms() - self.stale_ms
        stale = [(key, mark) for key, mark in self.marks.items() if mark.time_ms <= stale_ms]
        # Others' turn comes where some cannot be seen to.
        self._stale_from = self._stale_from + STALE_MAX if self._stale_from + STALE_MAX < len(stale) else 0
        for key, mark in stale[self._stale_from :][:STALE_MAX]:
            yield partition_pb2.StaleMark(
                ledger_id=mark.ledger_id, attempt=mark.attempt, table_name=mark.table_name, key=key
            )

    # To read

    def read(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Answers with items as they are now, or with whether they are as they were."""
        wanted = request.items
        if not wanted.items or not all(self._first_key <= item.key < self._end_key for item in wanted.items):
            reply(request.id, partition_pb2.NOT_MINE)
            return
        self._note_versions()
        result = partition_pb2.ItemsResult(slot=self._store.applied_slot(self._partition_id))
        try:
            if wanted.unchanged_since:
                for item in wanted.items:
                    self._compare(item.key, wanted.unchanged_since, result.items.add())
                size = 0
            else:
                size = self._read(wanted.items, result)
        except (CorruptValueError, StoreError, DecodeError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        except CorruptTreeError as error:
            reply(request.id, partition_pb2.INVALID, message=str(error))
            return
        # As with any read, the lease is looked at after the values.
        if self._host.is_serving_leader(self._partition_id):
            reply(request.id, _OK, extra_bytes=size).items.CopyFrom(result)
        else:
            self._refuse(request, reply)

    def _compare(self, key: bytes, slot: int, found: partition_pb2.ItemFound) -> None:
        if key in self.marks:
            found.code = partition_pb2.ItemFound.MARKED
        elif self.versions.last(key).slot > slot:
            found.code = partition_pb2.ItemFound.CHANGED

    def _read(self, wanted: Sequence[partition_pb2.ItemRead], result: partition_pb2.ItemsResult) -> int:
        """Returns about how many bytes the answer has."""
        size = data_bytes = 0
        now_ms, last = self._proposals.now_ms(), self.versions.last
        # Both times are whole milliseconds, so the difference may be one too many.
        result.unchanged_ms = max(0, min(now_ms - last(item.key).seen_ms for item in wanted) - 1)
        for item in wanted:
            found = result.items.add()
            if item.key in self.marks:
                found.code = partition_pb2.ItemFound.MARKED
                continue
            data = self._store.get(item.key)
            if data is None:
                found.code = partition_pb2.ItemFound.ABSENT
                continue
            data_bytes += len(data)
            if size <= READ_BYTES_MAX and data_bytes <= READ_DATA_BYTES_MAX:
                content = item_from_bytes(data)
                found.item_bytes = item_bytes(content)
                size += found.item_bytes
            if size > READ_BYTES_MAX or data_bytes > READ_DATA_BYTES_MAX:
                found.item_bytes = READ_BYTES_MAX + 1  # by which nothing is told of any of them
                continue
            project = compiled_projection(item.projection) if item.projection else None
            found.item = data if project is None else item_to_bytes(project(content))
        return data_bytes

    # To forget

    @property
    def needs_tending(self) -> bool:
        """Whether there may be something to forget by now."""
        if self._is_trimming or not self._ahead_us or not self._host.is_serving_leader(self._partition_id):
            return False  # without a transaction ever the clock would not be ahead
        return self._log_time_ms() >= self._trim_from_ms

    def tend(self) -> None:
        """Looks at some of the names that clients gave, and proposes that the old ones are forgotten. Raises
        CorruptValueError, StoreError."""
        if not self.needs_tending:
            return
        now_ms = self._log_time_ms()
        start = max(self._trim_after, self._rows + _TOKEN_ROW)
        rows = list(islice(self._store.scan(start, after_prefix(self._rows + _TOKEN_ROW)), TRIM_ROWS_MAX))
        is_last = len(rows) < TRIM_ROWS_MAX
        self._trim_after = b"" if is_last else rows[-1][0] + b"\0"
        self._trim_from_ms = now_ms + TRIM_WAIT_MS if is_last else now_ms
        old = [(key, None) for key, data in rows if _TOKEN.unpack(data)[1] < now_ms - self.token_kept_ms]
        if not old:
            return

        def done(outcome: Outcome) -> None:
            self._is_trimming = False

        self._is_trimming = True
        self._proposals.propose_rows(tuple(old), done)


class _Gathered:
    """What several items come to, for one log entry."""

    def __init__(self) -> None:
        self.writes: dict[bytes, bytes | None] = {}
        self.rows: dict[bytes, bytes | None] = {}  # what is not about items
        self._entries: list[EntryChange] = []
        self._records: list[StreamRecord] = []

    def add(self, decided: Decided) -> None:
        self.writes.update(decided.writes)
        self._entries += decided.entries
        self._records += decided.records

    def decided(self, nothing: Write, result: partition_pb2.TransactionResult | None = None) -> Decided:
        """`nothing`: what is written first where no item is."""
        items = tuple(self.writes.items()) or (nothing,)
        return Decided((*items, *self.rows.items()), result, tuple(self._entries), tuple(self._records))


class _Finish:
    """The parts of a FINISH that are not committed yet. `done` is called once with the worst of their outcomes."""

    def __init__(self, left: int, done: Callable[[OutcomeKind], None]) -> None:
        self._left = left
        self._done = done
        self._kind = OutcomeKind.COMMITTED

    def tell(self, outcome: Outcome) -> None:
        self._left -= 1
        if outcome.kind != OutcomeKind.COMMITTED:
            self._kind = outcome.kind
        if not self._left:
            self._done(self._kind)


def _weight(decided: Decided) -> int:
    """About how many bytes a log entry of it has."""
    size = sum(len(key) + len(item or b"") for key, item in decided.writes)
    if size < FINISHED_BYTES and not decided.entries and not decided.records:
        return size
    (key, item), *more = decided.writes
    change = Change(0, decided.entries) if decided.entries else None
    return len(encode_mutation(Mutation(b"", key, item, more=tuple(more), change=change, records=decided.records)))
