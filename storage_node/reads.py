"""Reads at one replica: an item, or a slice of a range of items, filtered and projected here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from statorpb import partition_pb2

from server.expressions.codec import CorruptTreeError
from server.expressions.compiled import compiled_condition, compiled_projection
from server.model.item import Item, item_bytes
from server.model.key_encoding import encode_position, index_number, prefix
from server.model.table import KeySchema, LocalIndex
from server.runtime.replica_host import ReplicaHost
from server.wire import item_from_bytes, item_to_bytes
from storage_node.store import CorruptValueError, Store, StoreError

if TYPE_CHECKING:
    from storage_node.writes import Reply

SLICE_ITEMS = 500
"""Items looked at before others get their turn; the router asks for the rest."""

SLICE_BYTES = 1024 * 1024
RCU_BYTES = 4096


class Reads:
    """The reads of one partition. `refuse` and `answer_rotten` as for its writes."""

    def __init__(
        self,
        partition_id: int,
        store: Store,
        host: ReplicaHost,
        refuse: Callable[[int, Reply], None],
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

    def describe(self, table_number: int, schema: KeySchema, indexes: tuple[LocalIndex, ...]) -> None:
        """Tells what the table's items look like."""
        self._table_number, self._schema = table_number, schema
        self._indexes = {index.number: index for index in indexes}

    def get(self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply) -> None:
        """Answers with the item under a key."""
        try:
            item = self._store.get(key)
        except (CorruptValueError, StoreError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        # The lease is looked at after the value: if it held then, nobody else can have acknowledged a newer one.
        if request.consistent and not self._host.is_serving_leader(self._partition_id):
            self._refuse(request.id, reply)
        elif item is None:
            reply(request.id, partition_pb2.NOT_FOUND)
        elif not request.HasField("read"):
            reply(request.id, partition_pb2.OK, item)
        else:
            self._get_part(request, item, reply)

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
        result = partition_pb2.ScanResult()
        try:
            size = self._fill(result, request.key, request.scan)
        except (CorruptValueError, StoreError, DecodeError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        except CorruptTreeError as error:
            reply(request.id, partition_pb2.INVALID, message=str(error))
            return
        if request.consistent and not self._host.is_serving_leader(self._partition_id):
            self._refuse(request.id, reply)
            return
        reply(request.id, partition_pb2.OK, extra_bytes=size).scan.CopyFrom(result)

    def _fill(self, result: partition_pb2.ScanResult, low: bytes, scan: partition_pb2.ScanDetails) -> int:
        """Reads the slice; returns about how many bytes that are. Raises CorruptValueError, StoreError."""
        items_max = min(scan.items_max or SLICE_ITEMS, SLICE_ITEMS)
        bytes_max = min(scan.bytes_max or SLICE_BYTES, SLICE_BYTES)
        holds = compiled_condition(scan.filter) if scan.filter else None
        project = compiled_projection(scan.projection) if scan.projection else None
        values = item_from_bytes(scan.filter_values) if scan.filter_values else {}
        last: tuple[bytes, Item] | None = None
        evaluated = evaluated_bytes = matched = size = fetched_units = 0
        keys_to_fetch: list[tuple[bytes, Item]] = []
        is_complete = True
        for key, data in self._store.scan(low, scan.end_key, reverse=scan.backwards):
            if evaluated == items_max or evaluated_bytes >= bytes_max or size >= SLICE_BYTES:
                is_complete = False
                break
            item = item_from_bytes(data)
            last = (key, item)
            evaluated += 1
            evaluated_bytes += item_bytes(item)
            if scan.whole_items:
                keys_to_fetch.append(last)
                size += len(data)
                continue
            if holds is not None and not holds(item, values):
                continue
            matched += 1
            if not scan.count_only:
                shown = data if project is None else item_to_bytes(project(item))
                result.items.append(shown)
                size += len(shown)
        # Only now: nothing else may be read from the store while it is being scanned.
        fetched_bytes = 0
        for fetched, entry in enumerate(keys_to_fetch, 1):
            if fetched_bytes >= bytes_max:
                evaluated, last, is_complete = fetched - 1, keys_to_fetch[fetched - 2], False
                break
            whole = self._whole_item(entry[1])
            item = item_from_bytes(whole)
            item_size = item_bytes(item)
            fetched_bytes += item_size
            fetched_units += -(-item_size // RCU_BYTES)
            if holds is not None and not holds(item, values):
                continue
            matched += 1
            if not scan.count_only:
                result.items.append(whole if project is None else item_to_bytes(project(item)))
                size += len(result.items[-1])
        result.matched, result.evaluated, result.evaluated_bytes = matched, evaluated, evaluated_bytes
        result.is_complete, result.fetched_units = is_complete, fetched_units
        if last is not None:
            result.last_key = last[0]
            result.last_key_item = item_to_bytes(self._key_of(last[1], index_number(low)))
        return size

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
        return {name: item[name] for name in sorted(names)}
