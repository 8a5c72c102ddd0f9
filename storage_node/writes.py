"""A leader's writes: decided on the newest value of the item, proposed, answered once they are committed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from statorpb import partition_pb2

from server.expressions.codec import CorruptTreeError
from server.expressions.compiled import compiled_condition, compiled_update
from server.model.errors import ValidationError
from server.model.item import Item, item_bytes
from server.model.key_encoding import COLLECTIONS, HASH_BYTES, PREFIX_BYTES, prefix
from server.model.limits import ITEM_BYTES_MAX, WRITE_AGE_S_MAX
from server.model.table import GlobalIndex, KeySchema, LocalIndex, check_index_keys
from server.runtime.replica_host import UNKNOWN, Outcome, OutcomeKind, ReplicaHost
from server.wire import item_from_bytes, item_to_bytes
from storage_node.changes import ChangeLog
from storage_node.codec.change import EntryChange
from storage_node.codec.mutation import Mutation, Write, encode_mutation
from storage_node.codec.stream_record import StreamRecord
from storage_node.index_entries import entry_changes, entry_units
from storage_node.partition.local_indexes import index_changes
from storage_node.partition.recent_writes import RecentWrites
from storage_node.proposals import Proposals, State
from storage_node.replies import Reply, Status
from storage_node.store import CorruptValueError, Store, StoreError
from storage_node.stream_log import StreamLog
from storage_node.stream_records import stream_record

TOKEN_BYTES = 16
WRITE_AGE_MS_MAX = WRITE_AGE_S_MAX * 1000
AGE_MS_TOLD_MAX = 2**31
COLLECTION_BYTES_MAX = 10 * 1024**3
"""Of an item collection in a table with local indexes: its items and their entries (developer guide, "Quotas")."""

_OK = partition_pb2.OK
_PUT = partition_pb2.PUT
_UPDATE = partition_pb2.UPDATE
_NOTHING = partition_pb2.WriteDetails()
_ITEM_TOO_LARGE = "Item size to update has exceeded the maximum allowed size"

_ALL_TOO_LARGE = "The item is too large together with its entries in all secondary indexes"

_UNSUPPORTED_KEY = "The update expression attempted to update the secondary index key to unsupported type"


@dataclass(frozen=True, slots=True)
class _Unwritten:
    """A write that stores nothing: it is refused, or (OK) there is nothing to change. `item`: what its condition did
    not hold for, if that is wanted."""

    status: Status
    item: bytes = b""
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Decided:
    """A write that is: everything it stores, the item first, what it answers (None: only that it was done), what is to
    be passed on to global indexes, and what the table's stream keeps of it."""

    writes: tuple[Write, ...]
    result: partition_pb2.WriteResult | None
    entries: tuple[EntryChange, ...]
    records: tuple[StreamRecord, ...]


class Writes:
    """The writes of one partition, while this member leads it.

    `refuse` answers that this member does not serve, or lets the request wait for who will; `answer_rotten` that what
    is stored is damaged."""

    def __init__(
        self,
        partition_id: int,
        store: Store,
        host: ReplicaHost,
        proposals: Proposals,
        changes: ChangeLog,
        streams: StreamLog,
        refuse: Callable[[partition_pb2.PartitionRequest, Reply], None],
        answer_rotten: Callable[[partition_pb2.PartitionRequest, str, Reply], None],
    ) -> None:
        self.recent: RecentWrites = store.recent_writes(partition_id)
        self._partition_id = partition_id
        self._store = store
        self._host = host
        self._proposals = proposals
        self._changes = changes
        self._feeds = changes.feeds
        self._streams = streams
        self._refuse = refuse
        self._answer_rotten = answer_rotten
        self._schema: KeySchema | None = None
        self._indexes: tuple[LocalIndex, ...] = ()
        self._table_number = 0
        self._waiting: dict[bytes, list[tuple[float, Callable[[Outcome], None]]]] = {}
        """Token of a write -> (deadline, whom to tell) of the requests that wait for it."""

    def describe(self, table_number: int, schema: KeySchema, indexes: tuple[LocalIndex, ...]) -> None:
        """Tells what the table's items look like."""
        self._table_number, self._schema, self._indexes = table_number, schema, indexes

    def serve(
        self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply, has_no_room: bool = False
    ) -> None:
        """Answers a put, an update or a deletion: now, or once it is committed. `has_no_room`: only what has been
        carried out already is told so."""
        request_id, token = request.id, request.token
        if len(token) != TOKEN_BYTES:
            reply(request_id, partition_pb2.INVALID, message=f"a write's token has {TOKEN_BYTES} bytes")
        elif not self._host.is_serving_leader(self._partition_id):
            self._refuse(request, reply)
        elif self.recent.seen(token):
            self._repeat(request, reply)
        elif (waiting := self._waiting.get(token)) is not None:
            waiting.append(self._waiter(request, reply, None))
        elif request.age_ms > WRITE_AGE_MS_MAX:
            reply(request_id, partition_pb2.TOO_OLD)
        elif has_no_room:
            reply(request_id, partition_pb2.STORAGE_FULL, message="the storage node's disk is nearly full")
        elif self._store.is_overloaded:
            reply(request_id, partition_pb2.THROTTLED)
        elif self._feeds:
            if self._changes.is_overloaded:
                reply(request_id, partition_pb2.THROTTLED, message="global secondary indexes do not keep up")
            else:
                self._decide_and_propose(request, key, reply)
        elif self._streams.recording or self._indexes or request.operation == _UPDATE or request.HasField("write"):
            self._decide_and_propose(request, key, reply)
        else:
            self._propose_plain(request, key, request.item if request.operation == _PUT else None, reply)

    def expire(self, now_s: float) -> None:
        """Answers the writes whose time is up: they may or may not be carried out."""
        for waiting in self._waiting.values():
            expired = [done for deadline_s, done in waiting if deadline_s <= now_s]
            if expired:
                waiting[:] = [each for each in waiting if each[0] > now_s]
                for done in expired:
                    done(UNKNOWN)

    # Deciding

    def _decide_and_propose(self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply) -> None:
        state = self._proposals.state()
        try:
            decided = self._decide(request, key, state)
        except (CorruptValueError, StoreError, DecodeError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        except CorruptTreeError as error:
            reply(request.id, partition_pb2.INVALID, message=str(error))
            return
        if isinstance(decided, _Decided):
            self._propose(request, reply, decided)
        elif state.basis is None:
            self._answer_unwritten(request, reply, decided)
        else:
            # It was decided on what is not committed yet, and may never be.
            def ended(is_committed: bool) -> None:
                if is_committed:
                    _reply_unwritten(request.id, reply, decided)
                else:
                    self._refuse(request, reply)

            state.basis.add_dependent(ended)

    def _answer_unwritten(self, request: partition_pb2.PartitionRequest, reply: Reply, unwritten: _Unwritten) -> None:
        # As with a read, the lease is looked at after the value.
        if self._host.is_serving_leader(self._partition_id):
            _reply_unwritten(request.id, reply, unwritten)
        else:
            self._refuse(request, reply)

    def _decide(self, request: partition_pb2.PartitionRequest, key: bytes, state: State) -> _Decided | _Unwritten:
        details = request.write if request.HasField("write") else _NOTHING
        old_bytes = state.get(key)
        feeds, is_recorded = self._feeds, self._streams.recording is not None
        is_passed_on = bool(feeds or self._indexes or is_recorded)
        is_looked_at = details.condition or request.operation == _UPDATE or details.measured or is_passed_on
        old = item_from_bytes(old_bytes) if is_looked_at and old_bytes is not None else None
        if details.condition and not _holds(details, old):
            shown = old_bytes if details.returned_on_failure and old_bytes is not None else b""
            return _Unwritten(partition_pb2.CONDITION_FAILED, shown)
        is_update_of_nothing = request.operation == _UPDATE and old is None and details.update
        if is_update_of_nothing and not compiled_update(details.update).creates_item:
            return _Unwritten(_OK)
        new, new_bytes = None, None
        try:
            if request.operation == _UPDATE:
                new = self._updated(request.item, details, old)
                new_bytes = item_to_bytes(new)
                # What is stored of an item is never smaller than its size by DynamoDB's rules.
                if len(new_bytes) > ITEM_BYTES_MAX and item_bytes(new) > ITEM_BYTES_MAX:
                    raise ValidationError(_ITEM_TOO_LARGE)
            elif request.operation == _PUT:
                new_bytes = request.item
                if details.measured or is_passed_on:
                    new = item_from_bytes(new_bytes)
                    # The router may not have heard of an index yet.
                    check_index_keys(new, [feed.index for feed in feeds.values()])
            result = self._result(details, old, old_bytes, new, new_bytes)
            more = self._index_writes(key, old, new, state, result) if self._indexes else ()
            if details.measured:
                for feed in feeds.values():
                    units = entry_units(feed.index, self._key_schema, key[PREFIX_BYTES:], old, new)
                    result.global_indexes.add(number=feed.index.number, units=units)
        except ValidationError as error:
            return _Unwritten(partition_pb2.INVALID_UPDATE, message=error.message)
        if more is None:
            return _Unwritten(partition_pb2.COLLECTION_FULL)
        wants_more = details.returned or details.measured
        writes: tuple[Write, ...] = ((key, new_bytes), *more)
        entries = self._entries(key, old, new, new_bytes)
        records = self._records(details, old, old_bytes, new, new_bytes) if is_recorded else ()
        return _Decided(writes, result if wants_more else None, entries, records)

    def _updated(self, key_item: bytes, details: partition_pb2.WriteDetails, old: Item | None) -> Item:
        """The item after an update. Raises ValidationError."""
        base = old if old is not None else item_from_bytes(key_item)
        if not details.update:
            return base
        values = item_from_bytes(details.update_values) if details.update_values else {}
        new = compiled_update(details.update).apply(base, values)
        indexes: list[LocalIndex | GlobalIndex] = [*self._indexes, *(feed.index for feed in self._feeds.values())]
        for index in indexes:
            # What the request gives by itself was looked at by the router; this is what the update has made.
            if any(each.type not in new.get(each.name, {each.type: None}) for each in index.key_attributes):
                raise ValidationError(_UNSUPPORTED_KEY)
        check_index_keys(new, indexes)
        return new

    @staticmethod
    def _result(
        details: partition_pb2.WriteDetails,
        old: Item | None,
        old_bytes: bytes | None,
        new: Item | None,
        new_bytes: bytes | None,
    ) -> partition_pb2.WriteResult:
        result = partition_pb2.WriteResult()
        returned = details.returned
        if returned == partition_pb2.OLD:
            shown = old_bytes
        elif returned == partition_pb2.NEW:
            shown = new_bytes
        elif returned in (partition_pb2.UPDATED_OLD, partition_pb2.UPDATED_NEW):
            item = old if returned == partition_pb2.UPDATED_OLD else new
            touched = compiled_update(details.update).touched(item) if item and details.update else {}
            shown = item_to_bytes(touched) if touched else None
        else:
            shown = None
        if shown is not None:
            result.item = shown
        if details.measured:
            result.old_bytes = item_bytes(old) if old is not None else 0
            result.new_bytes = item_bytes(new) if new is not None else 0
        return result

    def _index_writes(
        self, key: bytes, old: Item | None, new: Item | None, state: State, result: partition_pb2.WriteResult
    ) -> tuple[Write, ...] | None:
        """What the table's local indexes and the collection's size become; None: the collection would be too large.
        Raises ValidationError for an item that is too large together with its entries."""
        assert self._schema is not None
        writes: list[Write] = []
        new_bytes = item_bytes(new) if new is not None else 0
        growth = new_bytes - (item_bytes(old) if old is not None else 0)
        for change in index_changes(self._indexes, self._schema, key[PREFIX_BYTES:], old, new):
            growth += change.growth
            result.indexes.add(number=change.index.number, units=change.write_units)
            key_prefix = prefix(self._table_number, change.index.number)
            if change.old is not None and (change.new is None or change.new.position != change.old.position):
                writes.append((key_prefix + change.old.position, None))
            new_bytes += change.new.size if change.new is not None else 0
            if change.new is not None and change.new != change.old:
                writes.append((key_prefix + change.new.position, item_to_bytes(change.new.item)))
        if new_bytes > ITEM_BYTES_MAX:
            raise ValidationError("Item size has exceeded the maximum allowed size")
        size_key = prefix(self._table_number, COLLECTIONS) + key[PREFIX_BYTES : PREFIX_BYTES + HASH_BYTES]
        # Never below nothing, whatever a version before may have measured in another way.
        size = max(0, int.from_bytes(state.get(size_key) or b"", "big") + growth)
        if growth > 0 and size > COLLECTION_BYTES_MAX:
            return None
        result.collection_bytes = size
        if growth:
            writes.append((size_key, size.to_bytes(8, "big") if size else None))
        return tuple(writes)

    def _entries(
        self, key: bytes, old: Item | None, new: Item | None, new_bytes: bytes | None
    ) -> tuple[EntryChange, ...]:
        """What a write means for the global indexes that the partition feeds."""
        if not self._feeds:
            return ()
        found: list[EntryChange] = []
        for feed in self._feeds.values():
            found += entry_changes(feed.index, self._key_schema, key[PREFIX_BYTES:], old, new, new_bytes)
        return tuple(found)

    def _records(
        self,
        details: partition_pb2.WriteDetails,
        old: Item | None,
        old_bytes: bytes | None,
        new: Item | None,
        new_bytes: bytes | None,
    ) -> tuple[StreamRecord, ...]:
        """What the stream that is on keeps of a write."""
        stream, proposals = self._streams.recording, self._proposals
        assert stream is not None
        record = stream_record(
            stream,
            self._key_schema,
            (old, old_bytes) if old is not None and old_bytes is not None else None,
            (new, new_bytes) if new is not None and new_bytes is not None else None,
            is_by_time_to_live=details.by_time_to_live,
            time_ms=proposals.wall_ms(),
            log_time_ms=proposals.log_time_ms(self._host.leader_ballot(self._partition_id)),
        )
        return (record,) if record is not None else ()

    @property
    def _key_schema(self) -> KeySchema:
        assert self._schema is not None, (
            "only of tables that versions before 0.2 made it is not known, and those have no index"
        )
        return self._schema

    # Proposing

    def _propose_plain(
        self, request: partition_pb2.PartitionRequest, key: bytes, item: bytes | None, reply: Reply
    ) -> None:
        """As `_propose` for a write of one item that answers only its outcome: what most are, in the shortest way."""
        token, request_id = request.token, request.id

        def done(outcome: Outcome) -> None:
            if outcome.kind == OutcomeKind.COMMITTED:
                reply(request_id, _OK)
            else:
                self._answer_uncommitted(request, reply, outcome)

        timeout_ms = request.timeout_ms
        deadline_s = time.monotonic() + timeout_ms / 1000 if timeout_ms else math.inf
        waiting = self._waiting[token] = [(deadline_s, done)]
        proposals = self._proposals
        in_flight = proposals.in_flight.add(((key, item),))

        def finish(outcome: Outcome) -> None:
            del self._waiting[token]
            for _, each in waiting:
                each(outcome)
            proposals.in_flight.end(in_flight, is_committed=outcome.kind == OutcomeKind.COMMITTED)

        origin = self._host.leader_ballot(self._partition_id)
        mutation = Mutation(token, key, item, proposals.log_time_ms(origin), origin)
        self._host.propose(self._partition_id, encode_mutation(mutation), finish)

    def _propose(self, request: partition_pb2.PartitionRequest, reply: Reply, decided: _Decided) -> None:
        token = request.token
        waiting = self._waiting[token] = [self._waiter(request, reply, decided.result)]

        def done(outcome: Outcome) -> None:
            del self._waiting[token]
            for _, each in waiting:
                each(outcome)

        result = None if decided.result is None else decided.result.SerializeToString()
        self._proposals.propose(
            decided.writes, done, token=token, result=result, entries=decided.entries, records=decided.records
        )

    def _waiter(
        self, request: partition_pb2.PartitionRequest, reply: Reply, result: partition_pb2.WriteResult | None
    ) -> tuple[float, Callable[[Outcome], None]]:
        """(deadline, what to call with the write's outcome). `result` None: where more than the outcome is wanted, it
        is remembered by then."""

        def done(outcome: Outcome) -> None:
            if outcome.kind == OutcomeKind.COMMITTED:
                if result is None:
                    self._repeat(request, reply)
                else:
                    answer = reply(request.id, _OK, extra_bytes=len(result.item))
                    answer.write.CopyFrom(result)
            else:
                self._answer_uncommitted(request, reply, outcome)

        return time.monotonic() + request.timeout_ms / 1000 if request.timeout_ms else math.inf, done

    def _answer_uncommitted(self, request: partition_pb2.PartitionRequest, reply: Reply, outcome: Outcome) -> None:
        """Answers a write that is not known to be committed."""
        if outcome.kind == OutcomeKind.NOT_LEADER:
            self._refuse(request, reply)
        elif outcome.kind == OutcomeKind.OVERLOADED:
            reply(request.id, partition_pb2.THROTTLED)
        elif outcome.kind == OutcomeKind.TOO_LARGE:
            reply(request.id, partition_pb2.INVALID_UPDATE, message=_ALL_TOO_LARGE)
        else:
            reply(request.id, partition_pb2.UNKNOWN_OUTCOME)

    def _repeat(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Answers a write that has been carried out, perhaps for an earlier attempt."""
        if not request.HasField("write") or not (request.write.returned or request.write.measured):
            reply(request.id, _OK)
            return
        result = self.recent.result(request.token)
        if result is None:
            reply(request.id, partition_pb2.RESULT_FORGOTTEN)
        else:
            reply(request.id, _OK, extra_bytes=len(result)).write.ParseFromString(result)


def _holds(details: partition_pb2.WriteDetails, old: Item | None) -> bool:
    values = item_from_bytes(details.condition_values) if details.condition_values else {}
    return compiled_condition(details.condition)(old or {}, values)


def _reply_unwritten(request_id: int, reply: Reply, unwritten: _Unwritten) -> None:
    reply(request_id, unwritten.status, unwritten.item, message=unwritten.message)
