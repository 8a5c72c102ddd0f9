"""Streams: which of them record the changes of a partition, as the partition's own log has them.

Layout of a stream's row (little-endian): version (1 byte, 1), view type (1 byte: its place in VIEW_TYPES, from 1),
flags (1 byte: 1 = closed), zero (1 byte), number of the stream, first sequence number, last one that was trimmed (8
bytes each).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from server.model.key_encoding import CURSORS, RECORDS, own_rows

FORMAT_VERSION: Final = 1
VIEW_TYPES: Final = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")

_STREAM: Final = b"S"
_NEWEST_STREAM: Final = b"N"
_ROW: Final = struct.Struct("<BBBBQQQ")
_IS_CLOSED: Final = 1


class CorruptStreamError(Exception):
    """The bytes are not a stream."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of the partition's changes. No record of it has a sequence number below `first_sequence`; those up to
    `trimmed_sequence` have been removed, and before the first one is there is nothing to remove. `is_closed`: nothing
    is recorded any more."""

    number: int
    view_type: str
    first_sequence: int
    is_closed: bool = False
    trimmed_sequence: int = 0

    @property
    def horizon(self) -> int:
        """The sequence number behind which all is that can be read."""
        return max(self.first_sequence - 1, self.trimmed_sequence)

    @property
    def has_new_images(self) -> bool:
        """Whether records have the item as it is after the change."""
        return self.view_type in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")

    @property
    def has_old_images(self) -> bool:
        """Whether records have the item as it was before the change."""
        return self.view_type in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES")


def stream_key(table_number: int, partition_id: int, stream_number: int) -> bytes:
    """Under which a partition keeps a stream."""
    return own_rows(table_number, CURSORS, partition_id) + _STREAM + stream_number.to_bytes(8, "big")


def newest_stream_key(table_number: int, partition_id: int) -> bytes:
    """Under which a partition keeps the highest number of its streams, also of those that are no more (8 bytes,
    big-endian)."""
    return own_rows(table_number, CURSORS, partition_id) + _NEWEST_STREAM


def stream_of_key(rows: bytes, key: bytes) -> int | None:
    """The number of the stream that is kept under a key; None: none is. `rows`: what the keys of the partition's
    cursors begin with."""
    start = len(rows) + len(_STREAM)
    if len(key) != start + 8 or not key.startswith(rows + _STREAM):
        return None
    return int.from_bytes(key[start:], "big")


def record_key(table_number: int, partition_id: int, stream_number: int, sequence: int) -> bytes:
    """Under which a record of a stream is stored."""
    rows = own_rows(table_number, RECORDS, partition_id)
    return rows + stream_number.to_bytes(8, "big") + sequence.to_bytes(8, "big")


def sequence_of_key(key: bytes) -> int:
    """The sequence number of the record that is stored under a key."""
    return int.from_bytes(key[-8:], "big")


def encode_stream(stream: Stream) -> bytes:
    """The row of a stream."""
    return _ROW.pack(
        FORMAT_VERSION,
        VIEW_TYPES.index(stream.view_type) + 1,
        _IS_CLOSED if stream.is_closed else 0,
        0,
        stream.number,
        stream.first_sequence,
        stream.trimmed_sequence,
    )


def decode_stream(data: bytes) -> Stream:
    """The stream in a row. Raises CorruptStreamError."""
    if len(data) != _ROW.size:
        raise CorruptStreamError(f"a stream of {len(data)} bytes has not {_ROW.size}")
    version, view_type, flags, zero, number, first_sequence, trimmed_sequence = _ROW.unpack(data)
    if version != FORMAT_VERSION:
        raise CorruptStreamError(f"stream format version {version} is not {FORMAT_VERSION}")
    if not 0 < view_type <= len(VIEW_TYPES) or flags not in (0, _IS_CLOSED) or zero:
        raise CorruptStreamError("a stream has values that no stream has")
    return Stream(number, VIEW_TYPES[view_type - 1], first_sequence, bool(flags), trimmed_sequence)
