"""Changes: what one slot of a partition's log means for those who take the partition's changes.

Layout (little-endian): version (1 byte, 1), flags (1 byte, 0), zero (2 bytes), number of entries (4 bytes), time (8
bytes); then each entry: the index's number (8 bytes), length of the position and of the item (4 bytes each; 0xFFFFFFFF:
deletes; 0xFFFFFFFD: the item that was written out last, once more; 0xFFFFFFFE, only inside a mutation: the item of the
mutation), position, item. The value around it carries the checksum.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

FORMAT_VERSION: Final = 1

_HEADER: Final = struct.Struct("<BBHIQ")
_ENTRY: Final = struct.Struct("<QII")
_DELETED: Final = 0xFFFF_FFFF
_SAME_ITEM: Final = 0xFFFF_FFFE
_REPEATED: Final = 0xFFFF_FFFD


class CorruptChangeError(Exception):
    """The bytes are not a change."""


class EntryChange(NamedTuple):
    """An index is to have `item` at a range position of its own; None: it is to have nothing there."""

    index_number: int
    position: bytes
    item: bytes | None


class Change(NamedTuple):
    """What is to be passed on of one slot. `time_ms`: wall clock of the leader when it proposed the change. At most one
    entry for each index and position, in any order."""

    time_ms: int
    entries: tuple[EntryChange, ...]


def encode_change(change: Change, item: bytes | None = None) -> bytes:
    """The change as bytes; `item`: what is encoded beside it, and is not written once more."""
    time_ms, entries = change
    parts = [_HEADER.pack(FORMAT_VERSION, 0, 0, len(entries), time_ms)]
    last: bytes | None = None
    for number, position, content in entries:
        if content is None:
            parts += (_ENTRY.pack(number, len(position), _DELETED), position)
        elif item is not None and content == item:
            parts += (_ENTRY.pack(number, len(position), _SAME_ITEM), position)
        elif content == last:
            parts += (_ENTRY.pack(number, len(position), _REPEATED), position)
        else:
            last = content
            parts += (_ENTRY.pack(number, len(position), len(content)), position, content)
    return b"".join(parts)


def decode_change(data: bytes, start: int = 0, item: bytes | None = None, index_number: int | None = None) -> Change:
    """The change that is all of `data` from `start` on. `item`: what was encoded beside it. `index_number`: entries of
    other indexes are left out. Raises CorruptChangeError."""
    position = start + _HEADER.size
    count, time_ms = _header(data, start)
    entries: list[EntryChange] = []
    last_start = last_end = 0  # of the item that was written out last
    for _ in range(count):
        if position + _ENTRY.size > len(data):
            raise CorruptChangeError("the change ends inside an entry")
        number, key_bytes, item_bytes = _ENTRY.unpack_from(data, position)
        key_start = position + _ENTRY.size
        item_start = position = key_start + key_bytes
        if (item_bytes == _SAME_ITEM and item is None) or (item_bytes == _REPEATED and not last_end):
            raise CorruptChangeError("there is no item that the change could repeat")
        if item_bytes < _REPEATED:
            position += item_bytes
            last_start, last_end = item_start, position
        if position > len(data):
            raise CorruptChangeError("the change ends inside an entry")
        if index_number is not None and number != index_number:
            continue
        if item_bytes == _DELETED:
            content = None
        elif item_bytes == _SAME_ITEM:
            content = item
        else:
            content = data[last_start:last_end]
        entries.append(EntryChange(number, data[key_start:item_start], content))
    if position != len(data):
        raise CorruptChangeError("the change goes on behind its last entry")
    return Change(time_ms, tuple(entries))


def change_time_ms(data: bytes) -> int:
    """When a change was proposed. Raises CorruptChangeError."""
    return _header(data, 0)[1]


def _header(data: bytes, start: int) -> tuple[int, int]:
    """(number of entries, time)."""
    if len(data) < start + _HEADER.size:
        raise CorruptChangeError("a change is shorter than its header")
    version, flags, zero, count, time_ms = _HEADER.unpack_from(data, start)
    if version != FORMAT_VERSION:
        raise CorruptChangeError(f"change format version {version} is not {FORMAT_VERSION}")
    if flags or zero:
        raise CorruptChangeError("a change's header has values that no change has")
    return count, time_ms


def change_bytes(change: Change) -> int:
    """How long a change is when it is encoded by itself."""
    size = _HEADER.size + _ENTRY.size * len(change.entries)
    last: bytes | None = None
    for _, position, item in change.entries:
        size += len(position)
        if item is not None and item != last:
            size += len(item)
            last = item
    return size
