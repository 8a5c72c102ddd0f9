"""Which client requests a partition has carried out lately, so that a retry is answered instead of repeated."""

from __future__ import annotations

import struct
from typing import Final

FORMAT_VERSION: Final = 1
TOKEN_BYTES: Final = 16

_HEADER: Final = struct.Struct("<BII")


class CorruptRecentWritesError(Exception):
    """The bytes are not recent writes as they were encoded."""


class RecentWrites:
    """Tokens of writes, in two generations: the younger takes new ones, the older is dropped whole.

    Guarantees: of the last `tokens_max // 2` tokens, those remembered less than `age_ms_max` ago are known; there are
    never more than `tokens_max`. By default that is ten seconds of up to 20,000 writes a second, far above what one
    partition takes: longer than a client's attempts are apart, so that a late retry finds its token. Times are the caller's, monotonic, in milliseconds; they are not kept in what is
    encoded: after decoding, everything counts as just remembered.
    """

    __slots__ = ("_age_ms_max", "_older", "_tokens_max", "_younger", "_younger_since_ms")

    def __init__(self, tokens_max: int = 400_000, age_ms_max: int = 10_000) -> None:
        if tokens_max < 2:
            raise ValueError(f"tokens_max must be at least 2, not {tokens_max}")
        self._tokens_max = tokens_max
        self._age_ms_max = age_ms_max
        # Dicts for their order: equal histories have equal encodings.
        self._older: dict[bytes, None] = {}
        self._younger: dict[bytes, None] = {}
        self._younger_since_ms = 0

    def __len__(self) -> int:
        return len(self._older) + len(self._younger)

    def seen(self, token: bytes) -> bool:
        """Whether the write of this token has been applied, as far as is remembered."""
        return token in self._younger or token in self._older

    def remember(self, token: bytes, now_ms: int) -> None:
        """The write of this 16-byte token has been applied."""
        if now_ms - self._younger_since_ms >= self._age_ms_max or len(self._younger) >= self._tokens_max // 2:
            self._older, self._younger = self._younger, {}
            self._younger_since_ms = now_ms
        self._younger[token] = None

    def encode(self) -> bytes:
        """Version, number of older and of younger tokens, the tokens. Safe beside `remember` in another thread."""
        older, younger = b"".join(self._older), b"".join(self._younger)
        return _HEADER.pack(FORMAT_VERSION, len(older) // TOKEN_BYTES, len(younger) // TOKEN_BYTES) + older + younger

    @classmethod
    def decode(cls, data: bytes, now_ms: int = 0) -> RecentWrites:
        """The recent writes in `data`, with the default limits; raises CorruptRecentWritesError."""
        if len(data) < _HEADER.size:
            raise CorruptRecentWritesError("recent writes are shorter than their header")
        version, older, younger = _HEADER.unpack_from(data)
        if version != FORMAT_VERSION or len(data) != _HEADER.size + (older + younger) * TOKEN_BYTES:
            raise CorruptRecentWritesError("recent writes have another version or length than announced")
        found = cls()
        tokens = [data[start : start + TOKEN_BYTES] for start in range(_HEADER.size, len(data), TOKEN_BYTES)]
        found._older = dict.fromkeys(tokens[:older])
        found._younger = dict.fromkeys(tokens[older:])
        found._younger_since_ms = now_ms
        return found
