"""Encoded keys: where an item lies in the order of its table.

`table number (u64 BE) | index (u16 BE, 0: the table itself) | BLAKE2b-128 of the typed partition key | sort key`.
Numbers as sort keys are encoded so that byte order is numeric order; strings order by UTF-8, binary by bytes.
What comes after the first ten bytes is the *range position*: partitions are ranges of it.

Four index numbers at the end are no indexes: a partition keeps rows of its own under them.

An entry of a local index has the index's number, and after the hash the index's sort key, *ended* (each zero byte
becomes 00 FF, and 00 00 follows), then the table's sort key: it lies in the same partition as its item, and entries
order by the index's key and then by the table's.

A global index has a table number of its own, and index number 0. Its entries have the hash of the index's partition
keys, then each of its sort keys ended, then the whole range position that the item has in the table.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from server.model.item import Item
from server.model.number import encode_number
from server.model.table import KEY_TYPES, GlobalIndex, KeyAttribute, KeySchema, check_key_value

_PREFIX = struct.Struct(">QH")
PREFIX_BYTES = _PREFIX.size
HASH_BYTES = 16
COLLECTIONS = 0xFFFF
"""The index number under which a table with local indexes keeps the sizes of its item collections, by hash alone."""

CHANGES = 0xFFFE
"""The index number under which a partition keeps what was changed and is still to be taken: behind it the partition's
id and the slot of the change."""

CURSORS = 0xFFFD
"""The index number under which a partition keeps how far changes have been taken: behind it the partition's id and the
name of who takes them, or whom they come from."""

RECORDS = 0xFFFC
"""The index number under which a partition keeps the records of its streams: behind it the partition's id, the number
of the stream and the sequence number of the record."""

MARKS = 0xFFFB
"""The index number under which the marks of transactions are kept, each under the range position of its item."""

TRANSACTIONS = 0xFFFA
"""The index number under which a partition keeps what else it has of transactions: behind it the partition's id, and
the name of the row."""

NO_INDEXES = frozenset((0, COLLECTIONS, CHANGES, CURSORS, RECORDS, MARKS, TRANSACTIONS))
"""The index numbers that no index has."""

_END = b"\0\0"
_AFTER_END = b"\0\1"
_HASHERS = {kind: hashlib.blake2b(kind.encode(), digest_size=HASH_BYTES) for kind in KEY_TYPES}


def prefix(table_number: int, index: int = 0) -> bytes:
    """The first ten bytes of every key of a table (or of one of its indexes)."""
    return _PREFIX.pack(table_number, index)


def table_number(key: bytes) -> int:
    """The number of the table, or of the global index, that a key belongs to."""
    return int.from_bytes(key[:8], "big")


def index_number(key: bytes) -> int:
    """Which index of its table a key belongs to; 0: the table itself."""
    return int.from_bytes(key[8:PREFIX_BYTES], "big")


def hash_key(kind: str, content: str | bytes) -> bytes:
    """The 16-byte hash of a partition key: of its type and its canonical bytes."""
    hasher = _HASHERS[kind].copy()
    hasher.update(content.encode() if isinstance(content, str) else content)
    return hasher.digest()


def encode_sort_key(kind: str, content: str | bytes) -> bytes:
    """Bytes that order as the values do."""
    if isinstance(content, bytes):
        return content
    return encode_number(content) if kind == "N" else content.encode()


def encode_position(schema: KeySchema, item: Item) -> bytes:
    """The range position of an item, or of a key. Raises ValidationError for a key that breaks the rules."""
    partition_key: KeyAttribute = schema.partition_key
    content = check_key_value(item, partition_key, is_partition_key=True)
    position = hash_key(partition_key.type, content)
    if schema.sort_key is None:
        return position
    sort_content = check_key_value(item, schema.sort_key, is_partition_key=False)
    return position + encode_sort_key(schema.sort_key.type, sort_content)


def encode_index_position(position: bytes, sort_key: bytes) -> bytes:
    """The range position of an index's entry for the item at `position`; `sort_key`: encoded, of the index."""
    return position[:HASH_BYTES] + _ended(sort_key) + position[HASH_BYTES:]


def _ended(sort_key: bytes) -> bytes:
    return sort_key.replace(b"\0", b"\0\xff") + _END


def own_rows(table_number: int, kind: int, partition_id: int) -> bytes:
    """What the keys of a partition's own rows begin with. `kind`: CHANGES, CURSORS, RECORDS or
    TRANSACTIONS."""
    return prefix(table_number, kind) + partition_id.to_bytes(8, "big")


def hash_keys(attributes: Sequence[KeyAttribute], contents: Sequence[str | bytes]) -> bytes:
    """The 16-byte hash of a partition key of one attribute or several. One hashes as that of a table does."""
    if len(attributes) == 1:
        return hash_key(attributes[0].type, contents[0])
    hasher = hashlib.blake2b(digest_size=HASH_BYTES)
    for attribute, content in zip(attributes, contents, strict=True):
        data = content.encode() if isinstance(content, str) else content
        hasher.update(attribute.type.encode() + len(data).to_bytes(4, "big") + data)
    return hasher.digest()


def encode_global_position(index: GlobalIndex, position: bytes, item: Item) -> bytes | None:
    """The range position of a global index's entry for the item at `position` of its table; None: the item has none
    there, since it lacks an attribute of the index's key, or has it with another type."""
    contents: list[str | bytes] = []
    for attribute in index.key_attributes:
        content = item.get(attribute.name, {}).get(attribute.type)
        if content is None:
            return None
        assert isinstance(content, (str, bytes))
        contents.append(content)
    count = len(index.partition_keys)
    parts = [hash_keys(index.partition_keys, contents[:count])]
    for attribute, content in zip(index.sort_keys, contents[count:], strict=True):
        parts.append(_ended(encode_sort_key(attribute.type, content)))
    return b"".join((*parts, position))


def start_with(start: bytes, sort_keys: Sequence[bytes]) -> bytes:
    """What the positions of a global index's entries begin with that begin with `start`, and go on with these encoded
    values of the next sort keys."""
    return b"".join((start, *(_ended(each) for each in sort_keys)))


def after_prefix(data: bytes) -> bytes:
    """The first bytes behind all that begin with `data`; empty if there is nothing behind."""
    stripped = data.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else b""


def sort_range(hash_: bytes, operator: str, values: Sequence[bytes], *, is_index: bool) -> tuple[bytes, bytes]:
    """The half-open range of positions, behind one hash (of a global index, also with its first sort keys), whose next
    sort keys are as asked for.

    `operator`: one of = < <= > >= BETWEEN begins_with; `values`: encoded sort keys, one or (BETWEEN) two."""
    if is_index:
        ended = [value.replace(b"\0", b"\0\xff") for value in values]
        firsts = [value + _END for value in ended]
        behinds = [value + _AFTER_END for value in ended]
    else:
        ended = list(values)
        firsts = ended
        behinds = [value + b"\0" for value in ended]
    low, high = hash_, after_prefix(hash_)
    if operator == "begins_with":
        low = hash_ + ended[0]
        high = after_prefix(low)
    if operator in ("=", ">=", "BETWEEN"):
        low = hash_ + firsts[0]
    elif operator == ">":
        low = hash_ + behinds[0]
    if operator in ("=", "<=", "BETWEEN"):
        high = hash_ + behinds[-1]
    elif operator == "<":
        high = hash_ + firsts[0]
    return low, high
