"""Committed writes that the B-tree does not have yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sortedcontainers import SortedList

from storage_node.codec.value import Size
from storage_node.partition.recent_writes import RecentWrites

ENTRY_BYTES: Final = 160
"""What an entry costs in memory beyond its key and item, about."""


class GroupState:
    """What the store knows of one group. `is_void`: dropped or restored, its memtable entries no longer count."""

    __slots__ = ("applied_slot", "checkpointed_slot", "configuration", "is_restoring", "is_void", "recent", "sizes")

    def __init__(
        self, applied_slot: int = 0, sizes: Mapping[int, Size] | None = None, is_restoring: bool = False
    ) -> None:
        self.applied_slot = applied_slot
        self.checkpointed_slot = applied_slot
        self.sizes: Mapping[int, Size] = sizes or {}  # as of the checkpoint, by index
        self.is_restoring = is_restoring
        self.is_void = False
        self.recent: RecentWrites | None = None
        self.configuration = b""  # what was last applied of the group's members; empty: nothing was


Entry = tuple[GroupState, bytes | None]
"""The group that wrote, and the item, or None for a deletion."""


class Memtable:
    """A map from keys to their newest entries. Sorted only when it is scanned, so that a put is a dictionary's."""

    __slots__ = ("_sorted", "_unsorted", "bytes", "entries")

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.bytes = 0
        self._sorted: SortedList = SortedList()
        self._unsorted: list[bytes] = []

    def put(self, group: GroupState, key: bytes, item: bytes | None) -> None:
        """`item` None deletes."""
        old = self.entries.get(key)
        if old is None:
            self._unsorted.append(key)
            self.bytes += len(key) + ENTRY_BYTES
        elif old[1] is not None:
            self.bytes -= len(old[1])
        if item is not None:
            self.bytes += len(item)
        self.entries[key] = (group, item)

    def scan(self, start: bytes, end: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes | None]]:
        """(key, item or None) of every `start` <= key < `end` in order."""
        if self._unsorted:
            self._sorted.update(self._unsorted)
            self._unsorted.clear()
        entries = self.entries
        for key in self._sorted.irange(start, end, (True, False), reverse):
            group, item = entries[key]
            if not group.is_void:
                yield key, item
