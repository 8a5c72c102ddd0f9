"""Writes that a leader has proposed and that are not committed yet, by key.

What is decided on a key's value (a condition, an update) is decided on what its newest write in flight will store, and
proposed behind it: so writes to one key need not wait for each other. Should the earlier one come to nothing, the later
one does too, since a log has no holes. An answer that only reads (a condition that does not hold) must wait until what
it has read is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class InFlight:
    """One write, and who is to be told, once it has ended, whether it was committed. `number`: in which order those of
    the partition were added."""

    __slots__ = ("_dependents", "number", "writes")

    def __init__(self, writes: Sequence[tuple[bytes, bytes | None]], number: int) -> None:
        self.writes = writes
        self.number = number
        self._dependents: list[Callable[[bool], None]] | None = None  # few have any

    def add_dependent(self, tell: Callable[[bool], None]) -> None:
        """Has `tell` called with whether the write was committed."""
        if self._dependents is None:
            self._dependents = []
        self._dependents.append(tell)

    def tell_dependents(self, *, is_committed: bool) -> None:
        for tell in self._dependents or ():
            tell(is_committed)


class InFlightWrites:
    """All writes in flight of one partition; they end in the order in which they were added, or the newest first."""

    __slots__ = ("_added", "_by_key")

    def __init__(self) -> None:
        self._added = 0
        self._by_key: dict[bytes, list[tuple[bytes | None, InFlight]]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def newest(self, key: bytes) -> tuple[bytes | None, InFlight] | None:
        """(the item that the newest write to a key stores, that write), or None if there is none."""
        chain = self._by_key.get(key)
        return chain[-1] if chain is not None else None

    def keys_between(self, start: bytes, end: bytes) -> list[bytes]:
        """The keys from `start` up to, and without, `end` that are being written, in order."""
        return sorted(key for key in self._by_key if start <= key < end)

    def add(self, writes: Sequence[tuple[bytes, bytes | None]]) -> InFlight:
        """Notes a write that is being proposed: (key, item, or None for a deletion) of each key that it writes."""
        self._added += 1
        added = InFlight(writes, self._added)
        by_key = self._by_key
        for key, item in writes:
            chain = by_key.get(key)
            if chain is None:
                by_key[key] = [(item, added)]
            else:
                chain.append((item, added))
        return added

    def end(self, write: InFlight, *, is_committed: bool) -> None:
        """Forgets a write, and tells its dependents."""
        by_key = self._by_key
        for key, _ in write.writes:
            chain = by_key[key]
            if len(chain) == 1:
                del by_key[key]
            if chain[0][1] is write:
                chain.pop(0)  # short but for a key that is written all the time, and then still a small move of memory
            else:
                _, newest = chain.pop()
                assert newest is write, "writes end in order"
        write.tell_dependents(is_committed=is_committed)
