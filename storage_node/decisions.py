"""What a leader decides of a write: what it stores, and all that goes with it, on what the item is by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from statorpb import partition_pb2

from server.expressions.compiled import compiled_condition, compiled_update
from server.model.errors import ValidationError
from server.model.item import Item, item_bytes
from server.model.key_encoding import COLLECTIONS, HASH_BYTES, PREFIX_BYTES, prefix
from server.model.limits import COLLECTION_BYTES_MAX, ITEM_BYTES_MAX
from server.model.table import GlobalIndex, KeySchema, LocalIndex, check_index_keys
from server.runtime.replica_host import ReplicaHost
from server.wire import item_from_bytes, item_to_bytes
from storage_node.codec.change import EntryChange
from storage_node.codec.mutation import Write
from storage_node.codec.stream_record import StreamRecord
from storage_node.index_entries import entry_changes, entry_units
from storage_node.partition.feeds import Feed
from storage_node.partition.local_indexes import index_changes
from storage_node.proposals import Proposals, State
from storage_node.replies import Status
from storage_node.stream_log import StreamLog
from storage_node.stream_records import stream_record

NO_DETAILS = partition_pb2.WriteDetails()

_PUT = partition_pb2.PUT
_UPDATE = partition_pb2.UPDATE
_OK = partition_pb2.OK
_ITEM_TOO_LARGE = "Item size to update has exceeded the maximum allowed size"
_UNSUPPORTED_KEY = "The update expression attempted to update the secondary index key to unsupported type"

Result = partition_pb2.WriteResult | partition_pb2.TransactionResult


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A write that stores nothing: it is refused, or (OK) there is nothing to change. `item`: what its condition did
    not hold for, if that is wanted. `result`: of a transaction."""

    status: Status
    item: bytes = b""
    message: str = ""
    result: partition_pb2.TransactionResult | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A write that is: everything it stores, the item first, what it answers (None: only that it was done), what is to
    be passed on to global indexes, and what the table's stream keeps of it. `makes_marks`: of a transaction.
    `status`: what is answered once it is written; if not OK, then anew to who asks again."""

    writes: tuple[Write, ...]
    result: Result | None
    entries: tuple[EntryChange, ...] = ()
    records: tuple[StreamRecord, ...] = ()
    makes_marks: bool = False
    status: Status = _OK


class Decisions:
    """Of one partition."""

    def __init__(
        self, partition_id: int, host: ReplicaHost, proposals: Proposals, feeds: Mapping[int, Feed], streams: StreamLog
    ) -> None:
        self._partition_id = partition_id
        self._host = host
        self._proposals = proposals
        self._feeds = feeds
        self._streams = streams
        self._schema: KeySchema | None = None
        self._indexes: tuple[LocalIndex, ...] = ()
        self._table_number = 0
        self.collection_bytes_max = COLLECTION_BYTES_MAX

    def describe(self, table_number: int, schema: KeySchema, indexes: tuple[LocalIndex, ...]) -> None:
        """Tells what the table's items look like."""
        self._table_number, self._schema, self._indexes = table_number, schema, indexes

    def decide(
        self,
        operation: partition_pb2.PartitionOperation.ValueType,
        item: bytes,
        details: partition_pb2.WriteDetails,
        key: bytes,
        state: State,
        *,
        is_final: bool = False,
    ) -> Decided | Unwritten:
        """What a put, an update or a deletion comes to. `item`: what is put, or the key's attributes. `is_final`: that
        it may be done was decided before, and it is done whatever has changed about the table since. Raises
        CorruptValueError, StoreError, DecodeError and CorruptTreeError."""
        old_bytes = state.get(key)
        feeds, is_recorded = self._feeds, self._streams.recording is not None
        is_passed_on = bool(feeds or self._indexes or is_recorded)
        is_looked_at = details.condition or operation == _UPDATE or details.measured or is_passed_on
        old = item_from_bytes(old_bytes) if is_looked_at and old_bytes is not None else None
        if details.condition and not _holds(details, old):
            shown = old_bytes if details.returned_on_failure and old_bytes is not None else b""
            return Unwritten(partition_pb2.CONDITION_FAILED, shown)
        is_update_of_nothing = operation == _UPDATE and old is None and details.update
        if is_update_of_nothing and not compiled_update(details.update).creates_item:
            return Unwritten(_OK)
        new, new_bytes = None, None
        try:
            if operation == _UPDATE:
                new = self._updated(item, details, old)
                new_bytes = item_to_bytes(new)
                # What is stored of an item is never smaller than its size by DynamoDB's rules.
                if len(new_bytes) > ITEM_BYTES_MAX and item_bytes(new) > ITEM_BYTES_MAX:
                    raise ValidationError(_ITEM_TOO_LARGE)
            elif operation == _PUT:
                new_bytes = item
                if details.measured or is_passed_on:
                    new = item_from_bytes(new_bytes)
                    if not is_final:
                        # The router may not have heard of an index yet.
                        check_index_keys(new, [feed.index for feed in feeds.values()])
            result = self._result(details, old, old_bytes, new, new_bytes)
            more = self._index_writes(key, old, new, state, result, is_final=is_final) if self._indexes else ()
            if details.measured:
                for feed in feeds.values():
                    units = entry_units(feed.index, self._key_schema, key[PREFIX_BYTES:], old, new)
                    result.global_indexes.add(number=feed.index.number, units=units)
        except ValidationError as error:
            return Unwritten(partition_pb2.INVALID_UPDATE, message=error.message)
        if more is None:
            return Unwritten(partition_pb2.COLLECTION_FULL)
        wants_more = details.returned or details.measured
        writes: tuple[Write, ...] = ((key, new_bytes), *more)
        entries = self._entries(key, old, new, new_bytes)
        records = self._records(details, old, old_bytes, new, new_bytes) if is_recorded else ()
        return Decided(writes, result if wants_more else None, entries, records)

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
        self,
        key: bytes,
        old: Item | None,
        new: Item | None,
        state: State,
        result: partition_pb2.WriteResult,
        *,
        is_final: bool,
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
        if new_bytes > ITEM_BYTES_MAX and not is_final:
            raise ValidationError("Item size has exceeded the maximum allowed size")
        size_key = prefix(self._table_number, COLLECTIONS) + key[PREFIX_BYTES : PREFIX_BYTES + HASH_BYTES]
        # Never below nothing, whatever a version before may have measured in another way.
        size = max(0, int.from_bytes(state.get(size_key) or b"", "big") + growth)
        if growth > 0 and size > self.collection_bytes_max and not is_final:
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


def _holds(details: partition_pb2.WriteDetails, old: Item | None) -> bool:
    values = item_from_bytes(details.condition_values) if details.condition_values else {}
    return compiled_condition(details.condition)(old or {}, values)


def check(details: partition_pb2.WriteDetails, old_bytes: bytes | None) -> Unwritten:
    """What a write comes to that only checks a condition, on the item as it is: CONDITION_FAILED, or OK. Raises
    DecodeError and CorruptTreeError."""
    if _holds(details, item_from_bytes(old_bytes) if old_bytes is not None else None):
        return Unwritten(_OK)
    shown = old_bytes if details.returned_on_failure and old_bytes is not None else b""
    return Unwritten(partition_pb2.CONDITION_FAILED, shown)
