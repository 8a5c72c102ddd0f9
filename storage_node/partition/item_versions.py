"""When items were last written: by slot, for reads that have to know whether an item has changed; and by the
partition's clock, for transactions, which come in the order of their timestamps.

Nothing of it is stored. What was written of late is remembered item by item; of all before only the latest is, and an
item that is not remembered may have been written then. A deletion is remembered like any write, so there are no
tombstones. The paper keeps a timestamp with each item and the latest one of a deletion with the partition: here the
partition has one for all that was not written within the last seconds, and a transaction is never that old.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

KEPT_MS: Final = 2_000
"""Of the log's time. A transaction's timestamp is taken some milliseconds before it is looked at, and the two looks at
what it reads are as far apart."""

KEPT_MAX: Final = 20_000
"""Bounds memory."""


class Version(NamedTuple):
    """The slot that an item was last written in, the partition's clock then, in microseconds, and since when that is to
    be seen here, by this node's clock."""

    slot: int
    stamp_us: int
    seen_ms: int


NEVER: Final = Version(0, 0, 0)


class ItemVersions:
    """Of one partition, from `begin` on."""

    __slots__ = ("_by_key", "_floor", "_kept_max", "_kept_ms", "_order")

    def __init__(self, kept_ms: int = KEPT_MS, kept_max: int = KEPT_MAX) -> None:
        self._kept_ms = kept_ms
        self._kept_max = kept_max
        self._by_key: dict[bytes, Version] = {}
        self._order: deque[tuple[bytes, int, int]] = deque()  # (key, slot, time), as they were written
        self._floor = NEVER

    def __len__(self) -> int:
        return len(self._by_key)

    def begin(self, floor: Version) -> None:
        """All that is known: nothing was written later than that."""
        self._by_key.clear()
        self._order.clear()
        self._floor = floor

    def note(self, key: bytes, version: Version, time_ms: int) -> None:
        """An item was written. Versions come in order; `time_ms`: the log's time."""
        by_key, order, slot = self._by_key, self._order, version[0]
        by_key[key] = version
        order.append((key, slot, time_ms))
        if order[0][2] < time_ms - self._kept_ms or len(order) > self._kept_max:
            self._forget(time_ms - self._kept_ms)

    def _forget(self, oldest_ms: int) -> None:
        by_key, order = self._by_key, self._order
        while len(order) > self._kept_max or order[0][2] < oldest_ms:
            key, slot, _ = order.popleft()
            last = by_key.get(key)
            if last is not None and last[0] == slot:  # else it was written again, or twice in one slot
                del by_key[key]
                self._floor = last

    def last(self, key: bytes) -> Version:
        """When the item was last written, at the latest."""
        return self._by_key.get(key, self._floor)
