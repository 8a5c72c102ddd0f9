"""Back-fill: what a new index is to have of the items that its table has had before.

A walk through the partitions that this node leads, as that of Expiry. A slice of items, as they will be once everything
in flight is committed, becomes a change in the partition's log, by an entry that moves the feed's position as well: so
it takes its place among the writes of the same items, and whoever leads next goes on where the last slice ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from heapq import merge
from itertools import groupby
from operator import itemgetter

from google.protobuf.message import DecodeError

from server.model.key_encoding import PREFIX_BYTES
from server.runtime.replica_host import Outcome, OutcomeKind
from server.wire import item_from_bytes
from storage_node.codec.change import EntryChange
from storage_node.index_entries import entry_changes
from storage_node.partition.feeds import Feed, decode_feed, encode_feed, feed_key
from storage_node.replica import PartitionReplica
from storage_node.store import CorruptValueError, Store, StoreError

SLICE_ITEMS = 100
SLICE_BYTES = 256 * 1024
"""As stored; of the items that one log entry passes on."""

SHARE = 0.1
"""Of the time in which something of a back-fill is on its way from this node. To read a slice is the least of what it
costs: it goes through the logs of the table and of the index, on three nodes each. How long that takes says how much
else these have to do."""

TAKEN_S_MAX = 1.0
"""So long an index has for a slice before others get their turn."""

REST_S_MAX = 2.0

PENDING_BYTES_MAX = 4 * 1024 * 1024
"""With more changes that an index has not taken, it is not given more."""

WAIT_S = 0.05
"""Until it is looked again whether there is something to do, or may be done now."""


class BackFill:
    """The walk through all partitions of a node. `items_passed`: in this process's life."""

    def __init__(self, store: Store, replicas: Mapping[int, PartitionReplica]) -> None:
        self.items_passed = 0
        self.slice_items = SLICE_ITEMS
        self._store = store
        self._replicas = replicas
        self._under_way: set[tuple[int, int]] = set()  # (partition id, index) of slices in flight
        self._moved = asyncio.Event()  # one of them is committed, or an index has taken something

    async def run(self) -> None:
        """Goes round for ever, a slice at a time."""
        loop = asyncio.get_running_loop()
        while True:
            self._moved.clear()
            is_idle = True
            for partition_id, replica in tuple(self._replicas.items()):
                for number in tuple(replica.changes.feeds):
                    begun_s = loop.time()
                    slice_ended = self.next_slice(partition_id, number)
                    if slice_ended is not None and not slice_ended.done():  # else it was refused: this leader goes
                        is_idle = False
                        slice_ended.add_done_callback(lambda _: self._moved.set())
                        await self._wait_taken(replica, number, slice_ended)
                        await asyncio.sleep(min(REST_S_MAX, (loop.time() - begun_s) * (1 / SHARE - 1)))
            if is_idle:
                await self._wait_moved(WAIT_S)

    async def _wait_taken(self, replica: PartitionReplica, number: int, slice_ended: asyncio.Future[bool]) -> None:
        """Returns once an index has the slice that is in flight, if that comes to something, or TAKEN_S_MAX later."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + TAKEN_S_MAX
        replica.changes.on_taken = self._moved.set
        while not slice_ended.done() or (slice_ended.result() and not replica.changes.is_fill_taken(number)):
            self._moved.clear()
            if not await self._wait_moved(end_s - loop.time()):
                return

    async def _wait_moved(self, wait_s: float) -> bool:
        """Whether something has moved within this time."""
        # Not wait_for: on Python 3.11 it can swallow a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                return await self._moved.wait()
        return False

    def next_slice(self, partition_id: int, index_number: int) -> asyncio.Future[bool] | None:
        """Proposes the next slice of one feed, as far as this node leads the partition and there is room for more; what
        it returns says whether the slice is committed, as soon as that is known. None: nothing is to be done now, or
        the last slice is in flight still."""
        replica = self._replicas.get(partition_id)
        if replica is None or not replica.is_leading or (partition_id, index_number) in self._under_way:
            return None
        if replica.schema is None:
            return None  # kept by a version that did not know it; the metadata service will say
        feed = replica.changes.feeds.get(index_number)
        if feed is None or feed.position is None or replica.changes.pending_bytes > PENDING_BYTES_MAX:
            return None
        try:
            return self._propose(replica, index_number)
        except (CorruptValueError, StoreError, DecodeError) as error:
            replica.note_rotten(str(error))
            return None

    def _propose(self, replica: PartitionReplica, index_number: int) -> asyncio.Future[bool] | None:
        key = feed_key(replica.descriptor.table_number, replica.partition_id, index_number)
        data = replica.proposals.state().get(key)
        if data is None:
            return None  # it is being removed
        feed = decode_feed(data)
        if feed.position is None:
            return None  # its last slice is in flight
        entries, items, position = self._slice(replica, feed)
        moved = replace(feed, position=position, items_passed=feed.items_passed + items)
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            is_committed = outcome.kind == OutcomeKind.COMMITTED
            self._under_way.discard((replica.partition_id, index_number))
            if is_committed:
                self.items_passed += items
                self._moved.set()
            if not ended.done():
                ended.set_result(is_committed)

        self._under_way.add((replica.partition_id, index_number))
        replica.proposals.propose_rows(((key, encode_feed(moved)),), done, entries)
        return ended

    def _slice(self, replica: PartitionReplica, feed: Feed) -> tuple[tuple[EntryChange, ...], int, bytes | None]:
        """(entries of the next few items, how many items these are, where to go on; None: that was all)."""
        assert replica.schema is not None and feed.position is not None
        end = replica.end_key
        start = max(replica.first_key[:PREFIX_BYTES] + feed.position, replica.first_key)
        newest, by_key = replica.proposals.state(), itemgetter(0)
        entries: list[EntryChange] = []
        items = size = 0
        stored: Iterator[tuple[bytes, bytes | None]] = self._store.scan(start, end)
        written = ((key, newest.get(key)) for key in replica.proposals.in_flight.keys_between(start, end))
        for key, found in groupby(merge(written, stored, key=by_key), key=by_key):
            if items == self.slice_items or size >= SLICE_BYTES:
                return tuple(entries), items, key[PREFIX_BYTES:]
            _, data = next(found)  # what is in flight comes first
            if data is not None:
                items += 1
                size += len(data)
                item = item_from_bytes(data)
                entries += entry_changes(feed.index, replica.schema, key[PREFIX_BYTES:], None, item, data)
        return tuple(entries), items, None
