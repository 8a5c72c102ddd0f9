"""GetItem, and the pages of Query and Scan, on a table that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from statorpb import partition_pb2

from router.partition_map_cache import Table
from router.requests.get_item import GetItemRequest
from router.results import Capacity, Page, ReadResult, table_capacity
from router.routing.capacity import RCU_BYTES, read_units
from router.storage_client import GET, SCAN, PartitionCall, StorageClient
from server.expressions.codec import encode
from server.model.errors import StatorError
from server.model.key_encoding import PREFIX_BYTES, encode_position
from server.model.limits import PAGE_BYTES_MAX
from server.model.table import LocalIndex, check_key_only, check_paths

ReadDone = Callable[[ReadResult | None, StatorError | None], None]
PageDone = Callable[[Page | None, StatorError | None], None]


def get_call(request: GetItemRequest, table: Table, deadline: float, done: ReadDone) -> PartitionCall:
    """The call that reads an item. Raises ValidationError for a key that is not the table's."""
    check_key_only(request.key, table.schema)
    position = encode_position(table.schema, request.key)
    if request.projection is None and request.capacity == "NONE":

        def answered(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            done(None if reply is None else ReadResult(reply.item or None), error)

        return PartitionCall(table, GET, position, deadline, answered, request.is_consistent)
    details = partition_pb2.ReadDetails(measured=request.capacity != "NONE")
    if request.projection is not None:
        check_paths(request.projection.paths, table.schema, table.all_indexes)
        details.projection = encode(request.projection.tree)

    def measured(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
        if reply is None:
            done(None, error)
            return
        capacity = None
        if request.capacity != "NONE":
            units = read_units(reply.item_bytes, is_consistent=request.is_consistent)
            capacity = table_capacity(table.name, units, request.capacity)
        is_found = reply.status == partition_pb2.OK
        done(ReadResult(reply.item if is_found else None, capacity), None)

    return PartitionCall(table, GET, position, deadline, measured, request.is_consistent, details=details)


@dataclass(slots=True)
class RangeRead:
    """One page of Query or Scan: of what lies from `low` up to `high` (range positions; empty: no bound), gathered from
    as many slices, and of as many partitions, as it takes.

    `table`: or one of its global indexes; `index`: a local one. `details`: what the nodes are to do with the items;
    `limit` 0: none; `wanted`: ReturnConsumedCapacity."""

    storage: StorageClient
    table: Table
    index: LocalIndex | None
    low: bytes
    high: bytes
    is_backwards: bool
    is_consistent: bool
    limit: int
    details: partition_pb2.ScanDetails
    wanted: str
    deadline: float
    done: PageDone
    _items: list[bytes] = field(default_factory=list)
    _matched: int = 0
    _evaluated: int = 0
    _evaluated_bytes: int = 0
    _page_bytes: int = 0
    _fetched_units: int = 0

    def ask(self) -> None:
        """Asks for the next slice."""
        details = partition_pb2.ScanDetails()
        details.CopyFrom(self.details)
        details.items_max = self.limit - self._evaluated if self.limit else 0
        details.bytes_max = PAGE_BYTES_MAX - self._page_bytes
        call = PartitionCall(
            self.table,
            SCAN,
            self.low,
            self.deadline,
            lambda reply, error: self._answered(call, reply, error),
            self.is_consistent,
            details=details,
            index=self.index.number if self.index is not None else 0,
            end=self.high,
            is_backwards=self.is_backwards,
        )
        self.storage.submit(call)

    def _answered(
        self, call: PartitionCall, reply: partition_pb2.PartitionReply | None, error: StatorError | None
    ) -> None:
        if reply is None:
            self.done(None, error)
            return
        slice_ = reply.scan
        self._items.extend(slice_.items)
        self._matched += slice_.matched
        self._evaluated += slice_.evaluated
        self._evaluated_bytes += slice_.evaluated_bytes
        self._page_bytes += max(slice_.evaluated_bytes, slice_.fetched_units * RCU_BYTES)
        self._fetched_units += slice_.fetched_units
        is_full = self._page_bytes >= PAGE_BYTES_MAX or (self.limit and self._evaluated >= self.limit)
        if slice_.is_complete:
            low, high = call.covered
            is_last = low == self.low if self.is_backwards else high == self.high
            if is_last and not (self.limit and self._evaluated >= self.limit):
                self._finish(None)
                return
            self._go_on_after(low if self.is_backwards else high)
        elif slice_.last_key:
            position = slice_.last_key[PREFIX_BYTES:]
            self._go_on_after(position if self.is_backwards else position + b"\0")
        if is_full:
            self._finish(slice_.last_key_item)
        else:
            self.ask()

    def _go_on_after(self, position: bytes) -> None:
        if self.is_backwards:
            self.high = position
        else:
            self.low = position

    def _finish(self, last_key: bytes | None) -> None:
        capacity = self._capacity() if self.wanted != "NONE" else None
        count_only = self.details.count_only
        self.done(Page(self._items, self._matched, self._evaluated, last_key, capacity, count_only), None)

    def _capacity(self) -> Capacity:
        units = read_units(self._evaluated_bytes, is_consistent=self.is_consistent)
        if self.table.index is not None:
            if self.wanted != "INDEXES":
                return Capacity(self.table.name, units)
            return Capacity(self.table.name, units, 0.0, global_indexes={self.table.index.name: units})
        if self.index is None:
            return table_capacity(self.table.name, units, self.wanted)
        fetched = self._fetched_units if self.is_consistent else self._fetched_units / 2
        if self.wanted == "INDEXES":
            return Capacity(self.table.name, units + fetched, fetched, {self.index.name: units})
        return Capacity(self.table.name, units + fetched)
