"""The changes that a partition keeps, in the order of their slots, without their content."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

_COMPACT_ROWS: Final = 4096


class PendingChanges:
    """Slot, length and time of each; added behind the last one, forgotten from the first one on.

    `bytes`: lengths of all of them together."""

    __slots__ = ("_sizes", "_slots", "_start", "_times_ms", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._slots: list[int] = []
        self._sizes: list[int] = []
        self._times_ms: list[int] = []
        self._start = 0  # what lies before has been forgotten

    def __len__(self) -> int:
        return len(self._slots) - self._start

    def add(self, slot: int, size: int, time_ms: int) -> None:
        """Notes a change. Requires that `slot` is behind all others."""
        self._slots.append(slot)
        self._sizes.append(size)
        self._times_ms.append(time_ms)
        self.bytes += size

    def forget(self, slot: int) -> None:
        """Forgets the changes up to a slot."""
        start = self._index_after(slot)
        self.bytes -= sum(self._sizes[self._start : start])
        self._start = start
        if start >= _COMPACT_ROWS and start * 2 > len(self._slots):
            del self._slots[:start], self._sizes[:start], self._times_ms[:start]
            self._start = 0

    def clear(self) -> None:
        """Forgets all."""
        self._slots.clear()
        self._sizes.clear()
        self._times_ms.clear()
        self._start = self.bytes = 0

    def count_after(self, slot: int) -> int:
        """How many lie behind a slot."""
        return len(self._slots) - self._index_after(slot)

    def slots_after(self, slot: int, count_max: int) -> Sequence[int]:
        """The first few behind a slot."""
        start = self._index_after(slot)
        return self._slots[start : start + count_max]

    def slots_up_to(self, slot: int, count_max: int) -> Sequence[int]:
        """The first few, as far as they do not lie behind a slot."""
        return self._slots[self._start : min(self._index_after(slot), self._start + count_max)]

    def time_ms_after(self, slot: int) -> int | None:
        """The time of the first behind a slot; None: there is none."""
        start = self._index_after(slot)
        return self._times_ms[start] if start < len(self._times_ms) else None

    @property
    def last_slot(self) -> int:
        """Of the last change; 0: there is none."""
        return self._slots[-1] if len(self) else 0

    def _index_after(self, slot: int) -> int:
        return bisect_right(self._slots, slot, self._start)
