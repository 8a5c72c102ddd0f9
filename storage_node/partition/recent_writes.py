"""Which entries of its log a partition carries out: not a retry of what it has, and nothing from before its time."""

from __future__ import annotations

import struct
from typing import Final

from server.paxos.ballot import ZERO, Ballot

FORMAT_VERSION: Final = 3
TOKEN_BYTES: Final = 16

AGE_MS_MAX: Final = 10_000
"""Longer than any attempt of a write comes after its first (WRITE_AGE_S_MAX): a late retry finds its token."""

SLOTS_MAX: Final = 200_000
"""Bounds memory, whatever the log's time does."""

RESULT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bounds the memory for what writes have returned; past it the oldest results are forgotten before their tokens are."""

_HEADER: Final = struct.Struct("<BQQQII")
_ENTRY: Final = struct.Struct("<16sQQ")
_RESULT: Final = struct.Struct("<16sI")
_PLAIN_VERSION: Final = b"\x02"
_COUNT_BYTES: Final = 4
_SUPERSEDED: Final = 1 << 63
_COMPACT_BYTES: Final = 64 * 1024


class CorruptRecentWritesError(Exception):
    """The bytes are not recent writes as they were encoded."""


class RecentWrites:
    """Tokens of writes, with the slots in which they were carried out and what they returned, where that was more than
    that they were; and the highest leader that any came from.

    A function of the group's log, so that all members decide alike:

    - An entry is not carried out if its token was, at most `AGE_MS_MAX` of the log's time and `SLOTS_MAX` slots before.
      The log's time is what leaders wrote into it; it never goes back.
    - An entry is not carried out behind one that a later leader proposed. A leader that was cut off has entries in its
      own log only; when it is elected again, those of them that lie behind what was chosen meanwhile come back, rightly
      so by the rules of Paxos. They were decided upon a state that never came to be. None was ever acknowledged: what
      was acknowledged lies before anything that a later leader proposed.
    - Neither is one behind an earlier leader's that came between its own leader's entries: what it was decided upon may
      have lain in that slot.

    Each leadership begins with an entry of its own that changes nothing, and decides nothing before that is applied.
    So what earlier leaders have left behind is not carried out any more once it has answered, were it only to refuse.
    """

    __slots__ = (
        "_age_ms_max",
        "_entries",
        "_is_superseded",
        "_now_ms",
        "_origin",
        "_result_bytes",
        "_result_bytes_max",
        "_results",
        "_slots",
        "_slots_max",
        "_start",
    )

    def __init__(
        self, age_ms_max: int = AGE_MS_MAX, slots_max: int = SLOTS_MAX, result_bytes_max: int = RESULT_BYTES_MAX
    ) -> None:
        self._result_bytes_max = result_bytes_max
        self._result_bytes = 0
        self._results: dict[bytes, bytes] = {}  # the oldest first
        self._age_ms_max = age_ms_max
        self._slots_max = slots_max
        self._now_ms = 0
        self._origin = ZERO
        self._is_superseded = False  # an entry of that leader's was replaced by an earlier one's: no more of it count
        self._slots: dict[bytes, int] = {}
        # As they are encoded, so that this costs a copy: a checkpoint must not hold up the writes of a busy partition.
        self._entries = bytearray()
        self._start = 0  # what lies before has been forgotten

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def now_ms(self) -> int:
        """The log's time: that of the last entry carried out."""
        return self._now_ms

    def seen(self, token: bytes) -> bool:
        """Whether the write of this token has been carried out, as far as is remembered."""
        return token in self._slots

    def result(self, token: bytes) -> bytes | None:
        """What the write of this token returned; None if that was nothing, or is not remembered any more."""
        return self._results.get(token)

    def admit(self, token: bytes, slot: int, time_ms: int, origin: Ballot, result: bytes | None = None) -> bool:
        """Whether the write in `slot` is to be carried out; if so its token (16 bytes, or none) and its result are
        remembered. Slots come in order."""
        if origin < self._origin or (self._is_superseded and origin == self._origin):
            self._is_superseded = True
            return False
        self._is_superseded = False
        self._origin = origin
        self._now_ms = max(self._now_ms, time_ms)
        self._forget(slot)
        if token in self._slots:
            return False
        if token:
            self._slots[token] = slot
            self._entries += _ENTRY.pack(token, slot, self._now_ms)
            if result is not None:
                self._remember(token, result)
        return True

    def _remember(self, token: bytes, result: bytes) -> None:
        self._results[token] = result
        self._result_bytes += len(result) + _RESULT.size
        while self._result_bytes > self._result_bytes_max:
            self._forget_result(next(iter(self._results)))

    def _forget_result(self, token: bytes) -> None:
        result = self._results.pop(token, None)
        if result is not None:
            self._result_bytes -= len(result) + _RESULT.size

    def _forget(self, slot: int) -> None:
        entries, start = self._entries, self._start
        oldest_ms, oldest_slot = self._now_ms - self._age_ms_max, slot - self._slots_max
        while start < len(entries):
            token, entry_slot, entry_ms = _ENTRY.unpack_from(entries, start)
            if entry_ms >= oldest_ms and entry_slot >= oldest_slot:
                break
            del self._slots[token]
            if self._results:
                self._forget_result(token)
            start += _ENTRY.size
        if start > _COMPACT_BYTES and start * 2 > len(entries):
            del entries[:start]
            start = 0
        self._start = start

    def encode(self) -> bytes:
        """Version, highest origin, the log's time, number of tokens, number of results; then each token with its slot
        and time, then each result with its token and length, the oldest first."""
        round_, node_id = self._origin
        if self._is_superseded:
            node_id |= _SUPERSEDED
        header = _HEADER.pack(FORMAT_VERSION, round_, node_id, self._now_ms, len(self._slots), len(self._results))
        results = b"".join(
            part for token, result in self._results.items() for part in (_RESULT.pack(token, len(result)), result)
        )
        return b"".join((header, self._entries[self._start :], results))

    @classmethod
    def decode(cls, data: bytes) -> RecentWrites:
        """The recent writes in `data`, with the default limits; raises CorruptRecentWritesError."""
        if data[:1] == _PLAIN_VERSION and len(data) >= _HEADER.size - _COUNT_BYTES:
            # Before there were results; read, and never written any more.
            position = _HEADER.size - _COUNT_BYTES
            data = b"".join((bytes((FORMAT_VERSION,)), data[1:position], bytes(_COUNT_BYTES), data[position:]))
        if len(data) < _HEADER.size:
            raise CorruptRecentWritesError("recent writes are shorter than their header")
        version, round_, node_id, now_ms, count, result_count = _HEADER.unpack_from(data)
        position = _HEADER.size + count * _ENTRY.size
        if version != FORMAT_VERSION or len(data) < position:
            raise CorruptRecentWritesError("recent writes have another version or length than announced")
        found = cls()
        found._now_ms = now_ms
        found._origin = Ballot(round_, node_id & ~_SUPERSEDED)
        found._is_superseded = bool(node_id & _SUPERSEDED)
        found._entries = bytearray(data[_HEADER.size : position])
        found._slots = {token: slot for token, slot, _ in _ENTRY.iter_unpack(found._entries)}
        if len(found._slots) != count:
            raise CorruptRecentWritesError("recent writes hold a token twice")
        for _ in range(result_count):
            if position + _RESULT.size > len(data):
                raise CorruptRecentWritesError("recent writes have another version or length than announced")
            token, size = _RESULT.unpack_from(data, position)
            position += _RESULT.size
            if token not in found._slots or token in found._results:
                raise CorruptRecentWritesError("recent writes hold a result without its token, or twice")
            found._results[token] = data[position : position + size]
            position += size
        if position != len(data):
            raise CorruptRecentWritesError("recent writes have another version or length than announced")
        found._result_bytes = sum(len(result) + _RESULT.size for result in found._results.values())
        return found
