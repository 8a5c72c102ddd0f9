"""What surrounds records in a node's log files: a segment header, and a frame header before each record.

All fields are little-endian; storage_node/FORMATS.md shows an example of each.

Segment header, 64 bytes:

    0   8   magic
    8   4   format version (1)
    12  8   node id
    20  8   segment number
    28  8   salt
    36  8   segment size in bytes
    44  16  zero
    60  4   CRC-32C of bytes 0 to 59

Frame header, 40 bytes, then the record:

    0   4   magic
    4   4   record length in bytes; 0 in a sync mark
    8   8   sequence number
    16  8   sequence number of the first frame of the same write
    24  8   group id
    32  4   the record's own CRC-32C, repeated: binds the header to the record behind it
    36  4   CRC-32C of bytes 0 to 35, seeded with the segment's salt

The salt is random, so neither what clients write nor what a reused file still holds can pass for a frame of this
segment. A sync mark says that every frame with a lower sequence number has been synced; it takes no number itself and
the next write overwrites it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from crc32c import crc32c

FORMAT_VERSION: Final = 1
SEGMENT_MAGIC: Final = b"STATRWAL"
SEGMENT_HEADER_BYTES: Final = 64
FRAME_MAGIC: Final = b"\xb5\x1eWf"
FRAME_HEADER_BYTES: Final = 40

_SEGMENT: Final = struct.Struct("<8sIQQQQ16s")
_FRAME: Final = struct.Struct("<4sIQQQI")
_SALT: Final = struct.Struct("<QQ")
_CRC: Final = struct.Struct("<I")
_ZEROS: Final = bytes(16)


class CorruptSegmentError(Exception):
    """The bytes are not a segment header that this version can read."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Which node's log, and which part of it, a file holds."""

    node_id: int
    number: int
    salt: int
    segment_bytes: int

    @property
    def seed(self) -> int:
        """Where the checksum of each frame header of this segment starts."""
        return crc32c(_SALT.pack(self.salt, self.number))


class Frame(NamedTuple):
    """A frame header. `record_bytes` is 0 in a sync mark."""

    record_bytes: int
    sequence: int
    first_sequence: int
    group_id: int
    record_crc: int


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The first 64 bytes of a segment."""
    start = _SEGMENT.pack(
        SEGMENT_MAGIC, FORMAT_VERSION, header.node_id, header.number, header.salt, header.segment_bytes, _ZEROS
    )
    return start + _CRC.pack(crc32c(start))


def decode_segment_header(data: bytes) -> SegmentHeader:
    """The header at the start of `data`; raises CorruptSegmentError."""
    if len(data) < SEGMENT_HEADER_BYTES:
        raise CorruptSegmentError(f"{len(data)} bytes are less than a segment header")
    magic, version, node_id, number, salt, segment_bytes, _ = _SEGMENT.unpack_from(data)
    if _CRC.unpack_from(data, _SEGMENT.size)[0] != crc32c(data[: _SEGMENT.size]):
        raise CorruptSegmentError("the checksum of the segment header does not match")
    if magic != SEGMENT_MAGIC or version != FORMAT_VERSION:
        raise CorruptSegmentError(f"segment format version {version} is not {FORMAT_VERSION}")
    return SegmentHeader(node_id, number, salt, segment_bytes)


def encode_frame(
    record_bytes: int, sequence: int, first_sequence: int, group_id: int, record_crc: int, seed: int
) -> bytes:
    """The 40 bytes before a record of `record_bytes`."""
    start = _FRAME.pack(FRAME_MAGIC, record_bytes, sequence, first_sequence, group_id, record_crc)
    return start + _CRC.pack(crc32c(start, seed))


def encode_sync_mark(sequence: int, seed: int) -> bytes:
    """A frame header that vouches for every sequence number below `sequence`."""
    return encode_frame(0, sequence, sequence, 0, 0, seed)


def decode_frame(data: bytes, position: int, seed: int) -> Frame | None:
    """The frame header at `position`, or None if there is none of this segment."""
    end = position + FRAME_HEADER_BYTES
    if end > len(data):
        return None
    magic, record_bytes, sequence, first_sequence, group_id, record_crc = _FRAME.unpack_from(data, position)
    if magic != FRAME_MAGIC:
        return None
    if crc32c(data[position : end - 4], seed) != _CRC.unpack_from(data, end - 4)[0]:
        return None
    return Frame(record_bytes, sequence, first_sequence, group_id, record_crc)


def find_frame(data: bytes, position: int, seed: int) -> int:
    """Where the next frame header at or after `position` is; -1 if there is none."""
    while (position := data.find(FRAME_MAGIC, position)) >= 0:
        if decode_frame(data, position, seed) is not None:
            return position
        position += 1
    return -1
