"""The change log of one partition: which feeds it has, what they have not taken yet, and what becomes of it.

Changes are rows of the partition, written by the log entries that made them, as are the feeds: so every member has the
same, a snapshot brings them along, and a new leader goes on where the last one was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from statorpb import cluster_pb2

from server.model.key_encoding import CHANGES, CURSORS, own_rows
from server.model.table import GlobalIndex
from server.paxos.ballot import ZERO
from server.runtime.replica_host import Outcome, OutcomeKind, ReplicaHost
from storage_node.codec.change import EntryChange, change_bytes, change_time_ms, decode_change
from storage_node.codec.mutation import Mutation, Write
from storage_node.partition.feeds import Feed, decode_feed, encode_feed, feed_key, feed_of_key, newest_feed_key
from storage_node.partition.lead import Lead
from storage_node.partition.pending_changes import PendingChanges
from storage_node.proposals import Proposals
from storage_node.store import Store

PENDING_BYTES_MAX = 64 * 1024 * 1024
PENDING_ROWS_MAX = 100_000
"""With more changes not taken, writes of the table are to be refused: indexes do not keep up."""

MOVE_ROWS_MIN = 300
MOVE_WAIT_S = 0.2
"""What was taken is removed, and written into the feeds' rows, when so much has gathered or after so long."""

MOVE_ROWS_MAX = 1_000
"""Removed by one mutation at most."""

LOOKED_AT_ROWS_MAX = 500
LOOKED_AT_BYTES_MAX = 2 * 1024 * 1024
"""What `changes` goes through at most: some milliseconds' work."""


@dataclass(frozen=True, slots=True)
class WantedFeed:
    """What the metadata service wants of an index: that it gets the partition's changes, or (`is_removed`) does not."""

    index: GlobalIndex
    is_removed: bool = False


class ChangeLog:
    """Every member has one and keeps it up to date; what changes it is proposed where this member leads.

    `feeds`: those in force, by number of the index. `on_new()` is called after changes were applied, where this member
    leads; `on_taken()` after an index has taken more; `on_feeds()` after feeds came, went, or were completed.
    `now_s()`: what waits is timed by it."""

    def __init__(
        self,
        partition_id: int,
        table_number: int,
        store: Store,
        host: ReplicaHost,
        proposals: Proposals,
    ) -> None:
        self.feeds: dict[int, Feed] = {}
        self.on_new: Callable[[], None] = lambda: None
        self.on_taken: Callable[[], None] = lambda: None
        self.on_feeds: Callable[[], None] = lambda: None
        self.now_s: Callable[[], float] = time.monotonic
        self._partition_id = partition_id
        self._table_number = table_number
        self._store = store
        self._host = host
        self._proposals = proposals
        self._cursors = own_rows(table_number, CURSORS, partition_id)
        self._changes = own_rows(table_number, CHANGES, partition_id)
        self._newest_key = newest_feed_key(table_number, partition_id)
        self._newest = 0  # the highest number of an index that ever was a feed here
        self._pending = PendingChanges()
        self._wanted: Mapping[int, WantedFeed] = {}
        self._next_number = 0  # of an index: whatever has a lower one, and is not wanted, is no more
        self._taken: dict[int, int] = {}  # by index: more than its feed says so far
        self._filled_slots: dict[int, int] = {}  # by index: the last slot that may have something of its back-fill
        self._is_moving = False
        self._is_settling = False
        self._due_since_s: float | None = None
        self.lead = Lead()

    # What the log says

    def load(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes what is stored: the partition's own rows, in their order. Raises CorruptFeedError,
        CorruptChangeError."""
        self.forget()
        for key, data in rows:
            if key.startswith(self._changes):
                slot = int.from_bytes(key[len(self._changes) :], "big")
                self._pending.add(slot, len(data), change_time_ms(data))
            else:
                self._take_row(key, data)
        for number in self.feeds:
            self._filled_slots[number] = self._pending.last_slot

    def forget(self) -> None:
        """There is no state any more."""
        self.feeds.clear()
        self._pending.clear()
        self._taken.clear()
        self._filled_slots.clear()
        self._newest = 0

    def applied(self, slot: int, mutation: Mutation) -> None:
        """Takes note of a mutation with a change or with further writes that was carried out."""
        for key, data in mutation.more:
            if key.startswith(self._changes):
                self._pending.forget(int.from_bytes(key[len(self._changes) :], "big"))
            elif key.startswith(self._cursors):
                self._take_row(key, data, slot)
        if mutation.change is not None:
            self._pending.add(slot, change_bytes(mutation.change), mutation.change.time_ms)
            if self._host.leader_ballot(self._partition_id) != ZERO:
                self.on_new()

    def _take_row(self, key: bytes, data: bytes | None, slot: int = 0) -> None:
        if key == self._newest_key and data is not None:
            self._newest = int.from_bytes(data, "big")
        number = feed_of_key(self._cursors, key)
        if number is None:
            return
        old = self.feeds.get(number)
        if data is None:
            self.feeds.pop(number, None)
            self._taken.pop(number, None)
            self._filled_slots.pop(number, None)
            self.on_feeds()
            return
        feed = self.feeds[number] = decode_feed(data)
        if old is None or old.position is not None:
            self._filled_slots[number] = slot  # the back-fill's entries are in this slot, or before
        if old is None or old.is_complete != feed.is_complete:
            self.on_feeds()

    # For those who pass changes on

    def changes(
        self, index_number: int, after_slot: int, bytes_max: int
    ) -> tuple[list[tuple[int, tuple[EntryChange, ...]]], int]:
        """((slot, entries) of one index in the order of slots, the slot up to which these are all behind
        `after_slot`). About `bytes_max` bytes, or one change; what is there now, as far as it is committed. Where
        nothing is left the slot is that of the last change, or `after_slot`. Raises CorruptValueError, StoreError,
        CorruptChangeError."""
        found: list[tuple[int, tuple[EntryChange, ...]]] = []
        size = looked_at = 0
        for slot in self._pending.slots_after(after_slot, LOOKED_AT_ROWS_MAX):
            data = self._store.get(self._changes + slot.to_bytes(8, "big"))
            assert data is not None, "a pending change is stored"
            entries = decode_change(data, index_number=index_number).entries
            looked_at += len(data)
            if entries:
                size += sum(len(position) + len(item or b"") for _, position, item in entries)
                if found and size > bytes_max:
                    break
                found.append((slot, entries))
            after_slot = slot
            if looked_at >= LOOKED_AT_BYTES_MAX:
                break
        return found, after_slot

    def taken(self, index_number: int, slot: int) -> None:
        """Every change of an index up to a slot, which `changes` has told, is in the index, for ever."""
        feed = self.feeds.get(index_number)
        if feed is not None and slot > max(feed.taken_slot, self._taken.get(index_number, 0)):
            self._taken[index_number] = slot
            self.lead.taken()
            self._host.flush_soon()
            self.on_taken()
            self.tend()

    def is_fill_taken(self, index_number: int) -> bool:
        """Whether an index has all that its back-fill has passed on so far; also where there is no such feed."""
        feed = self.feeds.get(index_number)
        return feed is None or self._is_fill_taken(feed, max(feed.taken_slot, self._taken.get(index_number, 0)))

    @property
    def holds_back(self) -> bool:
        """Whether writes are to gather until the indexes have come closer (partition/lead.py)."""
        if not self.feeds:
            return False
        taken_slot = min(max(feed.taken_slot, self._taken.get(number, 0)) for number, feed in self.feeds.items())
        return self.lead.is_too_long(self._pending.count_after(taken_slot), self.now_s())

    # Upkeep

    @property
    def is_overloaded(self) -> bool:
        """So much has not been taken that nothing more should be written."""
        return self._pending.bytes > PENDING_BYTES_MAX or len(self._pending) > PENDING_ROWS_MAX

    @property
    def pending_bytes(self) -> int:
        """Of all changes that are kept."""
        return self._pending.bytes

    def want(self, feeds: Sequence[WantedFeed], next_number: int = 0) -> None:
        """Takes the feeds that the metadata service wants. Of those that it does not speak of, the ones with numbers
        below `next_number` are of indexes that are no more, and go; others it may not have known yet: they stay."""
        self._wanted = {each.index.number: each for each in feeds}
        self._next_number = next_number

    @property
    def needs_tending(self) -> bool:
        """Whether `tend` may have something to do."""
        return bool(self._wanted or self.feeds or len(self._pending))

    def tend(self) -> None:
        """Proposes what is due, where this member leads. To be called a few times a second. Raises CorruptValueError,
        StoreError, CorruptFeedError."""
        if self.needs_tending and self._host.is_serving_leader(self._partition_id):
            self._settle()
            self._move()

    def _settle(self) -> None:
        """Proposes feeds that are wanted, and that those that are not any more go. An index that ever was a feed does
        not become one again, so that a leader who has not heard of its end does not bring it back: numbers of new
        indexes are higher than those of all before."""
        gone = [number for number in self.feeds if number < self._next_number and number not in self._wanted]
        is_settled = not gone and all(self._is_settled(number, wanted) for number, wanted in self._wanted.items())
        if self._is_settling or is_settled:
            return
        state = self._proposals.state()
        newest = first = int.from_bytes(state.get(self._newest_key) or b"", "big")
        rows: list[Write] = []
        for number in sorted(self._wanted):
            wanted = self._wanted[number]
            key = feed_key(self._table_number, self._partition_id, number)
            if wanted.is_removed:
                if state.get(key) is not None:
                    rows.append((key, None))
            elif number > first:
                rows.append((key, encode_feed(Feed(wanted.index))))
            newest = max(newest, number)
        for number in gone:
            key = feed_key(self._table_number, self._partition_id, number)
            if state.get(key) is not None:
                rows.append((key, None))
        if newest > first:
            rows.append((self._newest_key, newest.to_bytes(8, "big")))
        if not rows:
            return

        def done(outcome: Outcome) -> None:
            self._is_settling = False

        self._is_settling = True
        self._proposals.propose_rows(tuple(rows), done)

    def _is_settled(self, number: int, wanted: WantedFeed) -> bool:
        return number <= self._newest and not (wanted.is_removed and number in self.feeds)

    def _move(self) -> None:
        """Proposes that changes go which every feed has taken, and that the feeds' rows say how far that is."""
        if self._is_moving:
            return
        taken = {number: max(feed.taken_slot, self._taken.get(number, 0)) for number, feed in self.feeds.items()}
        gone = self._pending.slots_up_to(min(taken.values(), default=self._pending.last_slot), MOVE_ROWS_MAX)
        completed = {number for number, feed in self.feeds.items() if self._is_completed(feed, taken[number])}
        moved = [number for number, feed in self.feeds.items() if taken[number] > feed.taken_slot]
        if not (gone or completed or moved):
            self._due_since_s = None
            return
        now_s = self.now_s()
        if self._due_since_s is None:
            self._due_since_s = now_s
        if len(gone) < MOVE_ROWS_MIN and not completed and now_s - self._due_since_s < MOVE_WAIT_S:
            return
        state = self._proposals.state()
        rows: list[Write] = []
        for number in {*moved, *completed}:
            key = feed_key(self._table_number, self._partition_id, number)
            data = state.get(key)
            if data is None:
                continue  # it is being removed
            feed = decode_feed(data)
            is_complete = feed.is_complete or number in completed
            rows.append((key, encode_feed(replace(feed, taken_slot=taken[number], is_complete=is_complete))))
        rows += [(self._changes + slot.to_bytes(8, "big"), None) for slot in gone]
        if not rows:
            return

        def done(outcome: Outcome) -> None:
            self._is_moving = False
            if outcome.kind == OutcomeKind.COMMITTED:
                self._due_since_s = None
                self._move()

        self._is_moving = True
        self._proposals.propose_rows(tuple(rows), done)

    def _is_completed(self, feed: Feed, taken_slot: int) -> bool:
        return not feed.is_complete and feed.position is None and self._is_fill_taken(feed, taken_slot)

    def _is_fill_taken(self, feed: Feed, taken_slot: int) -> bool:
        waiting = self._pending.slots_after(taken_slot, 1)
        return not waiting or waiting[0] > self._filled_slots[feed.index.number]

    # Reports

    def reports(self) -> list[cluster_pb2.FeedReport]:
        """What the metadata service is told of the feeds."""
        now_ms = self._proposals.wall_ms()
        found = []
        for number, feed in sorted(self.feeds.items()):
            taken_slot = max(feed.taken_slot, self._taken.get(number, 0))
            oldest_ms = self._pending.time_ms_after(taken_slot)
            found.append(
                cluster_pb2.FeedReport(
                    index_number=number,
                    complete=feed.is_complete,
                    items_passed=feed.items_passed,
                    pending=self._pending.count_after(taken_slot),
                    lag_ms=0 if oldest_ms is None else max(1, now_ms - oldest_ms),
                )
            )
        return found
