"""Writes that a leader has proposed and that are not committed yet, by key.

What is decided on a key's value (a condition, an update) is decided on what its newest write in flight will store, and
proposed behind it: so writes to one key need not wait for each other. Should the earlier one come to nothing, the later
one does too, since a log has no holes. An answer that only reads (a condition that does not hold) must wait until what
it has read is committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence


class InFlight:
    """One write. `dependents` are told, once it has ended, whether it was committed."""

    __slots__ = ("dependents", "writes")

    def __init__(self, writes: Sequence[tuple[bytes, bytes | None]]) -> None:
        self.writes = writes
        self.dependents: list[Callable[[bool], None]] = []


class InFlightWrites:
    """All writes in flight of one partition; they end in the order in which they were added, or the newest first."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[bytes, deque[tuple[bytes | None, InFlight]]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def newest(self, key: bytes) -> tuple[bytes | None, InFlight] | None:
        """(the item that the newest write to a key stores, that write), or None if there is none."""
        chain = self._by_key.get(key)
        return chain[-1] if chain is not None else None

    def add(self, writes: Sequence[tuple[bytes, bytes | None]]) -> InFlight:
        """Notes a write that is being proposed: (key, item, or None for a deletion) of each key that it writes."""
        added = InFlight(writes)
        for key, item in writes:
            chain = self._by_key.get(key)
            if chain is None:
                chain = self._by_key[key] = deque()
            chain.append((item, added))
        return added

    def end(self, write: InFlight, *, is_committed: bool) -> None:
        """Forgets a write, and tells its dependents."""
        for key, _ in write.writes:
            chain = self._by_key[key]
            if chain[0][1] is write:
                chain.popleft()
            else:
                _, newest = chain.pop()
                assert newest is write, "writes end in order"
            if not chain:
                del self._by_key[key]
        for tell in write.dependents:
            tell(is_committed)
