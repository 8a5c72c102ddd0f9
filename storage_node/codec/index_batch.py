"""Batches of changes on their way from a partition of a table to one of an index.

Layout (little-endian): version (1 byte, 1), zero (3 bytes), number of entries (4 bytes), the source's partition id,
the slot up to which the batch goes (8 bytes each); then each entry: the slot it comes from (8 bytes), length of the
position and of the item (4 bytes each; 0xFFFFFFFF: deletes), position, item. Only sent, never stored.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

FORMAT_VERSION: Final = 1

_HEADER: Final = struct.Struct("<B3xIQQ")
_ENTRY: Final = struct.Struct("<QII")
_DELETED: Final = 0xFFFF_FFFF


class CorruptBatchError(Exception):
    """The bytes are not a batch."""


class BatchEntry(NamedTuple):
    """From the change in `slot`: the index is to have `item` at a position; None: nothing."""

    slot: int
    position: bytes
    item: bytes | None


class IndexBatch(NamedTuple):
    """All that is behind what the target has, up to `up_to_slot` of the source's log, and concerns the target, in the
    order of slots."""

    source: int
    up_to_slot: int
    entries: tuple[BatchEntry, ...]


def entry_bytes(entry: BatchEntry) -> int:
    """How long an entry is when it is encoded."""
    return _ENTRY.size + len(entry.position) + len(entry.item or b"")


def encode_batch(batch: IndexBatch) -> bytes:
    """The batch as bytes."""
    parts = [_HEADER.pack(FORMAT_VERSION, len(batch.entries), batch.source, batch.up_to_slot)]
    for slot, position, item in batch.entries:
        if item is None:
            parts += (_ENTRY.pack(slot, len(position), _DELETED), position)
        else:
            parts += (_ENTRY.pack(slot, len(position), len(item)), position, item)
    return b"".join(parts)


def decode_batch(data: bytes) -> IndexBatch:
    """The batch that is all of `data`. Raises CorruptBatchError."""
    if len(data) < _HEADER.size:
        raise CorruptBatchError("a batch is shorter than its header")
    version, count, source, up_to_slot = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise CorruptBatchError(f"batch format version {version} is not {FORMAT_VERSION}")
    entries: list[BatchEntry] = []
    place, last_slot = _HEADER.size, 0
    for _ in range(count):
        if place + _ENTRY.size > len(data):
            raise CorruptBatchError("the batch ends inside an entry")
        slot, position_bytes, item_bytes = _ENTRY.unpack_from(data, place)
        start = place + _ENTRY.size
        end = start + position_bytes
        place = end if item_bytes == _DELETED else end + item_bytes
        if place > len(data):
            raise CorruptBatchError("the batch ends inside an entry")
        if not last_slot <= slot <= up_to_slot:
            raise CorruptBatchError(f"an entry of slot {slot} is out of order")
        last_slot = slot
        entries.append(BatchEntry(slot, data[start:end], None if item_bytes == _DELETED else data[end:place]))
    if place != len(data):
        raise CorruptBatchError("the batch goes on behind its last entry")
    return IndexBatch(source, up_to_slot, tuple(entries))
