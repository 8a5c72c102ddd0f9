"""Which entries of its log a partition carries out: not a retry of what it has, and nothing from before its time."""

from __future__ import annotations

import struct
from typing import Final

from server.paxos.ballot import ZERO, Ballot

FORMAT_VERSION: Final = 2
TOKEN_BYTES: Final = 16

AGE_MS_MAX: Final = 10_000
"""Longer than the attempts of one call are apart: a late retry finds its token."""

SLOTS_MAX: Final = 200_000
"""Bounds memory where the log's time stands still: after a leader whose clock was ahead."""

_HEADER: Final = struct.Struct("<BQQQI")
_ENTRY: Final = struct.Struct("<16sQQ")
_COMPACT_BYTES: Final = 64 * 1024


class CorruptRecentWritesError(Exception):
    """The bytes are not recent writes as they were encoded."""


class RecentWrites:
    """Tokens of writes, with the slots in which they were carried out, and the highest leader that any came from.

    A function of the group's log, so that all members decide alike:

    - An entry is not carried out if its token was, at most `AGE_MS_MAX` of the log's time and `SLOTS_MAX` slots before.
      The log's time is what leaders wrote into it; it never goes back.
    - An entry is not carried out behind one that a later leader proposed. A leader that was cut off has entries in its
      own log only; when it is elected again, those of them that lie behind what was chosen meanwhile come back, rightly
      so by the rules of Paxos. They were decided upon a state that never came to be. None was ever acknowledged: what
      was acknowledged lies before anything that a later leader proposed.
    """

    __slots__ = ("_age_ms_max", "_entries", "_now_ms", "_origin", "_slots", "_slots_max", "_start")

    def __init__(self, age_ms_max: int = AGE_MS_MAX, slots_max: int = SLOTS_MAX) -> None:
        self._age_ms_max = age_ms_max
        self._slots_max = slots_max
        self._now_ms = 0
        self._origin = ZERO
        self._slots: dict[bytes, int] = {}
        # As they are encoded, so that this costs a copy: a checkpoint must not hold up the writes of a busy partition.
        self._entries = bytearray()
        self._start = 0  # what lies before has been forgotten

    def __len__(self) -> int:
        return len(self._slots)

    def seen(self, token: bytes) -> bool:
        """Whether the write of this token has been carried out, as far as is remembered."""
        return token in self._slots

    def admit(self, token: bytes, slot: int, time_ms: int, origin: Ballot) -> bool:
        """Whether the write in `slot` is to be carried out; if so its token (16 bytes, or none) is remembered. Slots
        come in order."""
        if origin < self._origin:
            return False
        self._origin = origin
        self._now_ms = max(self._now_ms, time_ms)
        self._forget(slot)
        if token in self._slots:
            return False
        if token:
            self._slots[token] = slot
            self._entries += _ENTRY.pack(token, slot, self._now_ms)
        return True

    def _forget(self, slot: int) -> None:
        entries, start = self._entries, self._start
        oldest_ms, oldest_slot = self._now_ms - self._age_ms_max, slot - self._slots_max
        while start < len(entries):
            token, entry_slot, entry_ms = _ENTRY.unpack_from(entries, start)
            if entry_ms >= oldest_ms and entry_slot >= oldest_slot:
                break
            del self._slots[token]
            start += _ENTRY.size
        if start > _COMPACT_BYTES and start * 2 > len(entries):
            del entries[:start]
            start = 0
        self._start = start

    def encode(self) -> bytes:
        """Version, highest origin, the log's time, number of tokens; then each token with its slot and time, the oldest
        first."""
        header = _HEADER.pack(FORMAT_VERSION, *self._origin, self._now_ms, len(self._slots))
        return header + self._entries[self._start :]

    @classmethod
    def decode(cls, data: bytes) -> RecentWrites:
        """The recent writes in `data`, with the default limits; raises CorruptRecentWritesError."""
        if len(data) < _HEADER.size:
            raise CorruptRecentWritesError("recent writes are shorter than their header")
        version, round_, node_id, now_ms, count = _HEADER.unpack_from(data)
        if version != FORMAT_VERSION or len(data) != _HEADER.size + count * _ENTRY.size:
            raise CorruptRecentWritesError("recent writes have another version or length than announced")
        found = cls()
        found._now_ms = now_ms
        found._origin = Ballot(round_, node_id)
        found._entries = bytearray(data[_HEADER.size :])
        found._slots = {token: slot for token, slot, _ in _ENTRY.iter_unpack(found._entries)}
        if len(found._slots) != count:
            raise CorruptRecentWritesError("recent writes hold a token twice")
        return found
