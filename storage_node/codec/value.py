"""Stored values: how the B-tree keeps an item, checksummed together with the key it is stored under.

Layout: version (1 byte, 1), CRC-32C of key and item (4 bytes, little-endian), item.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from crc32c import crc32c

FORMAT_VERSION: Final = 1
VALUE_HEADER_BYTES: Final = 5

_HEADER: Final = struct.Struct("<BI")
_ROW: Final = struct.Struct("<QQQB")


class CorruptValueError(Exception):
    """What the B-tree returned is not what was stored; never served, never silently repaired."""


def encode_value(key: bytes, item: bytes) -> bytes:
    """The bytes to store under `key`."""
    return _HEADER.pack(FORMAT_VERSION, crc32c(item, crc32c(key))) + item


def decode_value(key: bytes, value: bytes) -> bytes:
    """The item in a stored value; raises CorruptValueError if a bit of key or value differs from what was stored."""
    if len(value) < VALUE_HEADER_BYTES:
        raise CorruptValueError(f"the value of key {key.hex()} is shorter than its header")
    version, crc = _HEADER.unpack_from(value)
    if version != FORMAT_VERSION:
        raise CorruptValueError(f"the value of key {key.hex()} has format version {version}, not {FORMAT_VERSION}")
    item = value[VALUE_HEADER_BYTES:]
    if crc32c(item, crc32c(key)) != crc:
        raise CorruptValueError(f"the checksum of the value of key {key.hex()} does not match")
    return item


@dataclass(frozen=True, slots=True)
class GroupRow:
    """What the B-tree knows of one replication group.

    `applied_slot`: the slot whose state the group's items are. `items`, `bytes`: how many they are and how large, keys
    included. `is_restoring`: a snapshot is being installed; the items are not those of any slot.
    """

    applied_slot: int = 0
    items: int = 0
    bytes: int = 0
    is_restoring: bool = False


def encode_group_row(row: GroupRow) -> bytes:
    """The row: three 8-byte little-endian numbers and one byte."""
    return _ROW.pack(row.applied_slot, row.items, row.bytes, row.is_restoring)


def decode_group_row(data: bytes) -> GroupRow:
    """The row in `data`; raises CorruptValueError."""
    if len(data) != _ROW.size or data[-1] > 1:
        raise CorruptValueError("a group's row is not one")
    applied_slot, items, size, is_restoring = _ROW.unpack(data)
    return GroupRow(applied_slot, items, size, bool(is_restoring))
