"""Feeds: the global indexes that a partition's changes go to, as the partition's own log has them.

Layout of a feed's row (little-endian): version (1 byte, 1), flags (1 byte: 1 = the back-fill goes on, 2 = the index has
everything), zero (2 bytes), length of the position (4 bytes), the slot up to which the index has all changes, items
passed on by the back-fill, the index's number (8 bytes each), kind of the projection (1 byte: its place in
PROJECTION_TYPES), number of partition keys, of sort keys, of further attributes (1 byte each); then the position; then
the index's name, each attribute of its key (type, 1 byte, before the name), each further attribute: length (2 bytes),
UTF-8.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from server.model.errors import ValidationError
from server.model.item import Item
from server.model.key_encoding import CURSORS, encode_global_position, own_rows
from server.model.table import PROJECTION_TYPES, GlobalIndex, KeyAttribute, KeySchema, check_index_keys, projected_names

FORMAT_VERSION: Final = 1
NEWEST_FEED: Final = b"n"
"""Name of the row with the highest number of an index that ever was a feed (8 bytes, big-endian)."""

_FEED: Final = b"f"
_HEADER: Final = struct.Struct("<BBHIQQQBBBB")
_LENGTH: Final = struct.Struct("<H")
_IS_FILLING: Final = 1
_IS_COMPLETE: Final = 2


class CorruptFeedError(Exception):
    """The bytes are not a feed."""


@dataclass(frozen=True, slots=True)
class Feed:
    """That changes go to `index`, and how far they have.

    `taken_slot`: the index has all changes up to there. `position`: where in the table's range the back-fill goes on;
    None: it has been everywhere. `items_passed`: items that it has passed on. `is_complete`: the index has everything
    that the back-fill passed on; only when that is over.
    """

    index: GlobalIndex
    taken_slot: int = 0
    position: bytes | None = b""
    items_passed: int = 0
    is_complete: bool = False


def feed_key(table_number: int, partition_id: int, index_number: int) -> bytes:
    """Under which a partition keeps a feed."""
    return own_rows(table_number, CURSORS, partition_id) + _FEED + index_number.to_bytes(8, "big")


def newest_feed_key(table_number: int, partition_id: int) -> bytes:
    """Under which a partition keeps the highest number of its feeds, also of those that are no more."""
    return own_rows(table_number, CURSORS, partition_id) + NEWEST_FEED


def feed_of_key(rows: bytes, key: bytes) -> int | None:
    """The number of the index whose feed is kept under a key; None: none is. `rows`: what the keys of the partition's
    cursors begin with."""
    start = len(rows) + len(_FEED)
    if len(key) != start + 8 or not key.startswith(rows + _FEED):
        return None
    return int.from_bytes(key[start:], "big")


def index_entry(index: GlobalIndex, schema: KeySchema, position: bytes, item: Item) -> tuple[bytes, Item] | None:
    """(position, content) of what an index has of the item at a range position of the table; None where the item lacks
    an attribute of the index's key, or has a value there that could not be written any more."""
    entry_position = encode_global_position(index, position, item)
    if entry_position is None:
        return None
    try:
        check_index_keys(item, (index,))
    except ValidationError:
        return None  # it was written before there was the index
    names = projected_names(index, schema)
    if names is None:
        return entry_position, item
    return entry_position, {name: value for name, value in item.items() if name in names}


def encode_feed(feed: Feed) -> bytes:
    """The row of a feed."""
    index, position = feed.index, feed.position
    flags = (0 if position is None else _IS_FILLING) | (_IS_COMPLETE if feed.is_complete else 0)
    counts = len(index.partition_keys), len(index.sort_keys), len(index.non_key_attributes)
    header = _HEADER.pack(
        FORMAT_VERSION,
        flags,
        0,
        len(position or b""),
        feed.taken_slot,
        feed.items_passed,
        index.number,
        PROJECTION_TYPES.index(index.projection),
        *counts,
    )
    names = (index.name, *(each.type + each.name for each in index.key_attributes), *index.non_key_attributes)
    return b"".join((header, position or b"", *map(_encode_text, names)))


def _encode_text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


def decode_feed(data: bytes) -> Feed:
    """The feed in a row. Raises CorruptFeedError."""
    if len(data) < _HEADER.size:
        raise CorruptFeedError("a feed is shorter than its header")
    version, flags, zero, position_bytes, taken_slot, items_passed, number, kind, *counts = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise CorruptFeedError(f"feed format version {version} is not {FORMAT_VERSION}")
    if flags not in (0, _IS_FILLING, _IS_COMPLETE) or zero or kind >= len(PROJECTION_TYPES):
        raise CorruptFeedError("a feed's header has values that no feed has")
    end = _HEADER.size + position_bytes
    position = data[_HEADER.size : end]
    if not flags & _IS_FILLING and position:
        raise CorruptFeedError("a feed has a position, and no back-fill that goes on")
    (name, *names), end = _decode_texts(data, end, 1 + sum(counts))
    if end != len(data):
        raise CorruptFeedError("a feed goes on behind its last name")
    partition_count, sort_count, _ = counts
    keys = tuple(KeyAttribute(each[1:], each[:1]) for each in names[: partition_count + sort_count])
    index = GlobalIndex(
        number,
        name,
        keys[:partition_count],
        keys[partition_count:],
        PROJECTION_TYPES[kind],
        tuple(names[partition_count + sort_count :]),
    )
    is_filling = bool(flags & _IS_FILLING)
    return Feed(index, taken_slot, position if is_filling else None, items_passed, bool(flags & _IS_COMPLETE))


def _decode_texts(data: bytes, start: int, count: int) -> tuple[list[str], int]:
    texts: list[str] = []
    for _ in range(count):
        begin = start + _LENGTH.size
        if begin > len(data):
            raise CorruptFeedError("a feed ends inside a name")
        start = begin + _LENGTH.unpack_from(data, begin - _LENGTH.size)[0]
        if start > len(data):
            raise CorruptFeedError("a feed ends inside a name")
        try:
            texts.append(data[begin:start].decode())
        except UnicodeDecodeError as error:
            raise CorruptFeedError("a name of a feed is not UTF-8") from error
    return texts, start
