"""Stream records: what a partition keeps, for a day, of a change of one of its items.

Layout (little-endian): version (1 byte, 1), event (1 byte), flags (1 byte: 1 = by time to live), zero (1 byte), lengths
of the keys, the old and the new image (4 bytes each; 0xFFFFFFFF: there is none; 0xFFFFFFFE, of the new image and only
inside a mutation: the item of the mutation), size (4 bytes), number of the stream, time, the log's time (8 bytes each);
then keys, old image, new image. The value or the record of the log around it carries the checksum.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

FORMAT_VERSION: Final = 1

RECORDS_MAX: Final = 1_000
"""Of one slot; sequence numbers are made of it."""

_HEADER: Final = struct.Struct("<BBBBIIIIQQQ")
_BY_TIME_TO_LIVE: Final = 1
_NONE: Final = 0xFFFF_FFFF
_SAME_ITEM: Final = 0xFFFF_FFFE


class CorruptStreamRecordError(Exception):
    """The bytes are not a stream record."""


class Event(IntEnum):
    """What happened to an item. The numbers are those of the wire, and of what is stored."""

    INSERT = 1
    MODIFY = 2
    REMOVE = 3


class StreamRecord(NamedTuple):
    """Of a change of one item. `keys` and the images are items in canonical form; of the images those are there that
    the stream's view type asks for. `time_ms`: wall clock of the leader that proposed it; `log_time_ms`: the log's time
    then, by which it grows old. `size_bytes`: of keys and images together, by DynamoDB's rules."""

    number: int
    event: Event
    time_ms: int
    log_time_ms: int
    size_bytes: int
    keys: bytes
    old: bytes | None = None
    new: bytes | None = None
    is_by_time_to_live: bool = False


def encode_stream_record(record: StreamRecord, item: bytes | None = None) -> bytes:
    """The record as bytes; `item`: what is encoded beside it, and is not written once more."""
    number, event, time_ms, log_time_ms, size_bytes, keys, old, new, is_by_time_to_live = record
    old_bytes = _NONE if old is None else len(old)
    if new is None:
        new_bytes = _NONE
    elif item is not None and new == item:
        new, new_bytes = None, _SAME_ITEM
    else:
        new_bytes = len(new)
    flags = _BY_TIME_TO_LIVE if is_by_time_to_live else 0
    header = _HEADER.pack(
        FORMAT_VERSION,
        event,
        flags,
        0,
        len(keys),
        old_bytes,
        new_bytes,
        size_bytes,
        number,
        time_ms,
        log_time_ms,
    )
    return b"".join((header, keys, old or b"", new or b""))


def decode_stream_record(data: bytes, item: bytes | None = None) -> StreamRecord:
    """The record that is all of `data`. `item`: what was encoded beside it. Raises CorruptStreamRecordError."""
    if len(data) < _HEADER.size:
        raise CorruptStreamRecordError("a stream record is shorter than its header")
    header = _HEADER.unpack_from(data)
    version, event, flags, zero, keys_bytes, old_bytes, new_bytes, size_bytes, number, time_ms, log_time_ms = header
    if version != FORMAT_VERSION:
        raise CorruptStreamRecordError(f"stream record format version {version} is not {FORMAT_VERSION}")
    if event not in _EVENTS or flags not in (0, _BY_TIME_TO_LIVE) or zero or old_bytes == _SAME_ITEM:
        raise CorruptStreamRecordError("a stream record's header has values that no stream record has")
    keys_end = _HEADER.size + keys_bytes
    old_end = keys_end + (0 if old_bytes == _NONE else old_bytes)
    end = old_end + (0 if new_bytes in (_NONE, _SAME_ITEM) else new_bytes)
    if end != len(data):
        raise CorruptStreamRecordError(f"a stream record of {len(data)} bytes says that it has {end}")
    if new_bytes == _SAME_ITEM and item is None:
        raise CorruptStreamRecordError("there is no item that a stream record could repeat")
    return StreamRecord(
        number,
        _EVENTS[event],
        time_ms,
        log_time_ms,
        size_bytes,
        data[_HEADER.size : keys_end],
        None if old_bytes == _NONE else data[keys_end:old_end],
        None if new_bytes == _NONE else item if new_bytes == _SAME_ITEM else data[old_end:],
        bool(flags),
    )


_EVENTS: Final = {int(event): event for event in Event}


def sequence_of(slot: int, place: int = 0) -> int:
    """The sequence number of a record: the one at a place (from 0) of a slot."""
    return slot * RECORDS_MAX + place
