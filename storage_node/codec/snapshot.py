"""Snapshot chunks: pieces of a partition's state on their way to another replica.

Layout (little-endian): version (1 byte, 1), kind (1 byte), zero (2 bytes), CRC-32C of all else (4 bytes), number of
pairs (4 bytes), then each pair: key length and value length (4 bytes each), key, value. Each chunk stands alone.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from crc32c import crc32c

FORMAT_VERSION: Final = 1

_START: Final = struct.Struct("<BBHI")
_COUNT: Final = struct.Struct("<I")
_PAIR: Final = struct.Struct("<II")


class CorruptChunkError(Exception):
    """The bytes are not a snapshot chunk as it was encoded."""


class ChunkKind(IntEnum):
    """What a chunk's pairs are."""

    ITEMS = 1
    """Keys and items, in key order."""
    RECENT_WRITES = 2
    """One pair: an empty key, and RecentWrites.encode()."""
    CONFIGURATION = 3
    """One pair: an empty key, and the row of the group's members (storage_node/store.py)."""


_KINDS: Final = frozenset(ChunkKind)


def encode_chunk(kind: ChunkKind, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The chunk as bytes."""
    parts = [_COUNT.pack(len(pairs))]
    for key, value in pairs:
        parts += (_PAIR.pack(len(key), len(value)), key, value)
    body = b"".join(parts)
    return _START.pack(FORMAT_VERSION, kind, 0, crc32c(body, kind)) + body


def decode_chunk(data: bytes) -> tuple[ChunkKind, list[tuple[bytes, bytes]]]:
    """Kind and pairs of a chunk; raises CorruptChunkError if a single bit differs from what was encoded."""
    position = _START.size + _COUNT.size
    if len(data) < position:
        raise CorruptChunkError(f"a chunk of {len(data)} bytes is shorter than its header")
    version, kind, zero, crc = _START.unpack_from(data)
    if version != FORMAT_VERSION or zero != 0 or kind not in _KINDS:
        raise CorruptChunkError(f"chunk format version {version}, kind {kind} is unknown")
    if crc32c(memoryview(data)[_START.size :], kind) != crc:
        raise CorruptChunkError("the chunk's checksum does not match")
    (count,) = _COUNT.unpack_from(data, _START.size)
    pairs = []
    for _ in range(count):
        key_start = position + _PAIR.size
        if key_start > len(data):
            raise CorruptChunkError("the chunk ends inside a pair")
        key_bytes, value_bytes = _PAIR.unpack_from(data, position)
        value_start = key_start + key_bytes
        position = value_start + value_bytes
        pairs.append((data[key_start:value_start], data[value_start:position]))
    if position != len(data):
        raise CorruptChunkError("the chunk's pairs do not fill it")
    return ChunkKind(kind), pairs
