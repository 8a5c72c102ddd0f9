"""Stored values: how the B-tree keeps an item, checksummed together with the key it is stored under.

Layout: version (1 byte, 1), CRC-32C of key and item (4 bytes, little-endian), item.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crc32c import crc32c

FORMAT_VERSION: Final = 1
VALUE_HEADER_BYTES: Final = 5

_HEADER: Final = struct.Struct("<BI")
_ROW: Final = struct.Struct("<QQQB")
_INDEX: Final = struct.Struct("<HQQ")


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


Size = tuple[int, int]
"""(items, bytes), keys included."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """What the B-tree knows of one replication group.

    `applied_slot`: the slot whose state the group's items are. `sizes`: by number of the index, 0 for the table itself;
    only of those that have something. `is_restoring`: a snapshot is being installed; the items are not those of any
    slot.
    """

    applied_slot: int = 0
    sizes: Mapping[int, Size] = field(default_factory=dict)
    is_restoring: bool = False


def encode_group_row(row: GroupRow) -> bytes:
    """Slot, and the table's items and bytes (8 bytes each, little-endian), one byte; then for each index its number (2
    bytes), items and bytes."""
    table = row.sizes.get(0, (0, 0))
    indexes = b"".join(_INDEX.pack(number, *size) for number, size in sorted(row.sizes.items()) if number)
    return _ROW.pack(row.applied_slot, *table, row.is_restoring) + indexes


def decode_group_row(data: bytes) -> GroupRow:
    """The row in `data`; raises CorruptValueError."""
    if len(data) < _ROW.size or (len(data) - _ROW.size) % _INDEX.size or data[_ROW.size - 1] > 1:
        raise CorruptValueError("a group's row is not one")
    applied_slot, items, size, is_restoring = _ROW.unpack_from(data)
    sizes = {number: (items, size) for number, items, size in _INDEX.iter_unpack(data[_ROW.size :])}
    if items or size:
        sizes[0] = (items, size)
    return GroupRow(applied_slot, sizes, bool(is_restoring))
