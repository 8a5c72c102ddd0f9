"""Reads at one replica: an item, or a slice of a range of items, filtered and projected here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from statorpb import partition_pb2

from server.expressions.codec import CorruptTreeError
from server.expressions.compiled import compiled_condition, compiled_projection
from server.model.item import Item, item_bytes
from server.model.key_encoding import encode_position, index_number, prefix
from server.model.table import GlobalIndex, KeySchema, LocalIndex
from server.runtime.replica_host import ReplicaHost
from server.wire import item_from_bytes, item_to_bytes
from storage_node.store import CorruptValueError, Store, StoreError

if TYPE_CHECKING:
    from storage_node.replies import Reply

SLICE_ITEMS = 500
"""Items looked at before others get their turn; the router asks for the rest."""

SLICE_BYTES = 1024 * 1024
SLICE_CPU_S = 0.005
"""Of work, after which a slice ends with what it has: a filter can cost a thousand times as much as an item without."""

RCU_BYTES = 4096


class _Found:
    """What a slice answers with, so far. `size`: about how many bytes that are."""

    def __init__(self, scan: partition_pb2.ScanDetails) -> None:
        """Raises CorruptTreeError, DecodeError."""
        self.result = partition_pb2.ScanResult()
        self.size = 0
        self._holds = compiled_condition(scan.filter) if scan.filter else None
        self._project = compiled_projection(scan.projection) if scan.projection else None
        self._values = item_from_bytes(scan.filter_values) if scan.filter_values else {}
        self._count_only = scan.count_only

    def look_at(self, item: Item, data: bytes) -> None:
        """Takes in what is wanted of an item, if the filter lets it pass."""
        if self._holds is not None and not self._holds(item, self._values):
            return
        self.result.matched += 1
        if not self._count_only:
            shown = data if self._project is None else item_to_bytes(self._project(item))
            self.result.items.append(shown)
            self.size += len(shown)


class Reads:
    """The reads of one partition. `refuse` and `answer_rotten` as for its writes; `cpu_s()`: the processor
    time used so far."""

    cpu_s: Callable[[], float] = staticmethod(time.thread_time)

    def __init__(
        self,
        partition_id: int,
        store: Store,
        host: ReplicaHost,
        refuse: Callable[[partition_pb2.PartitionRequest, Reply], None],
        answer_rotten: Callable[[partition_pb2.PartitionRequest, str, Reply], None],
    ) -> None:
        self._partition_id = partition_id
        self._store = store
        self._host = host
        self._refuse = refuse
        self._answer_rotten = answer_rotten
        self._table_number = 0
        self._schema: KeySchema | None = None
        self._indexes: dict[int, LocalIndex] = {}
        self._index: GlobalIndex | None = None

    def describe(
        self,
        table_number: int,
        schema: KeySchema,
        indexes: tuple[LocalIndex, ...],
        index: GlobalIndex | None = None,
    ) -> None:
        """Tells what the table's items look like; `index`: and that this is a partition of that index."""
        self._table_number, self._schema, self._index = table_number, schema, index
        self._indexes = {index.number: index for index in indexes}

    def get(self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply) -> None:
        """Answers with the item under a key."""
        try:
            item = self._store.get(key)
        except (CorruptValueError, StoreError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        # The lease is looked at after the value: if it held then, nobody else can have acknowledged a newer one.
        if not self._may_answer(request):
            self.refuse(request, reply)
        elif item is None:
            reply(request.id, partition_pb2.NOT_FOUND)
        elif not request.HasField("read"):
            reply(request.id, partition_pb2.OK, item)
        else:
            self._get_part(request, item, reply)

    def _may_answer(self, request: partition_pb2.PartitionRequest) -> bool:
        if request.consistent:
            return self._host.is_serving_leader(self._partition_id)
        return self._host.is_fresh(self._partition_id)

    def refuse(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Another replica has to answer."""
        if request.consistent:
            self._refuse(request, reply)
        else:
            reply(request.id, partition_pb2.NOT_FRESH)

    def _get_part(self, request: partition_pb2.PartitionRequest, data: bytes, reply: Reply) -> None:
        try:
            item = item_from_bytes(data)
            size = item_bytes(item) if request.read.measured else 0
            if request.read.projection:
                data = item_to_bytes(compiled_projection(request.read.projection)(item))
        except DecodeError as error:
            self._answer_rotten(request, str(error), reply)
        except CorruptTreeError as error:
            reply(request.id, partition_pb2.INVALID, message=str(error))
        else:
            reply(request.id, partition_pb2.OK, data).item_bytes = size

    def scan(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Answers with a slice of a range of keys, within the partition."""
        try:
            found = self._found(request.key, request.scan)
        except (CorruptValueError, StoreError, DecodeError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        except CorruptTreeError as error:
            reply(request.id, partition_pb2.INVALID, message=str(error))
            return
        if not self._may_answer(request):
            self.refuse(request, reply)
            return
        reply(request.id, partition_pb2.OK, extra_bytes=found.size).scan.CopyFrom(found.result)

    def _found(self, low: bytes, scan: partition_pb2.ScanDetails) -> _Found:
        """Reads the slice. Raises CorruptValueError, StoreError, DecodeError, CorruptTreeError."""
        items_max = min(scan.items_max or SLICE_ITEMS, SLICE_ITEMS)
        bytes_max = min(scan.bytes_max or SLICE_BYTES, SLICE_BYTES)
        began_s = self.cpu_s()
        found = _Found(scan)
        # What it took to get ready is spent again with every slice, and should not be most of the work.
        slice_s = max(SLICE_CPU_S, self.cpu_s() - began_s)
        result = found.result
        result.is_complete = True
        last: tuple[bytes, Item] | None = None
        evaluated = evaluated_bytes = 0
        entries: list[tuple[bytes, Item, int]] = []
        end_s = self.cpu_s() + slice_s
        for key, data in self._store.scan(low, scan.end_key, reverse=scan.backwards):
            is_full = evaluated == items_max or evaluated_bytes >= bytes_max or found.size >= SLICE_BYTES
            if is_full or (evaluated and self.cpu_s() > end_s):
                result.is_complete = False
                break
            item = item_from_bytes(data)
            last = (key, item)
            evaluated += 1
            size = item_bytes(item)
            evaluated_bytes += size
            if scan.whole_items:
                entries.append((key, item, size))
            else:
                found.look_at(item, data)
        if entries:
            # Only now: nothing else may be read from the store while it is being scanned.
            fetched = self._look_at_whole(found, [item for _, item, _ in entries], bytes_max)
            if fetched < evaluated:
                result.is_complete = False
                evaluated, last = fetched, entries[fetched - 1][:2]
                evaluated_bytes = sum(size for _, _, size in entries[:fetched])
        result.evaluated, result.evaluated_bytes = evaluated, evaluated_bytes
        if last is not None:
            result.last_key = last[0]
            result.last_key_item = item_to_bytes(self._key_of(last[1], index_number(low)))
        return found

    def _look_at_whole(self, found: _Found, entries: list[Item], bytes_max: int) -> int:
        """Looks at the table's items that an index has these entries of; returns of how many, one at least."""
        fetched_bytes = 0
        end_s = self.cpu_s() + SLICE_CPU_S
        for fetched, entry in enumerate(entries):
            if fetched and (fetched_bytes >= bytes_max or self.cpu_s() > end_s):
                return fetched
            data = self._whole_item(entry)
            item = item_from_bytes(data)
            size = item_bytes(item)
            fetched_bytes += size
            found.result.fetched_units += -(-size // RCU_BYTES)
            found.look_at(item, data)
        return len(entries)

    def _whole_item(self, entry: Item) -> bytes:
        """The table's item that an index has an entry of. Raises CorruptValueError, also where it is not there."""
        assert self._schema is not None
        key = prefix(self._table_number) + encode_position(self._schema, entry)
        item = self._store.get(key)
        if item is None:
            raise CorruptValueError(f"an index has an entry for the key {key.hex()}, and there is no such item")
        return item

    def _key_of(self, item: Item, number: int) -> Item:
        """The attributes by which a client names an item's place in the table, or in an index."""
        assert self._schema is not None
        names = set(self._schema.names)
        if number:
            names.add(self._indexes[number].sort_key.name)
        if self._index is not None:
            names.update(each.name for each in self._index.key_attributes)
        return {name: item[name] for name in sorted(names)}
