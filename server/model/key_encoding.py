"""Encoded keys: where an item lies in the order of its table.

`table number (u64 BE) | index (u16 BE, 0: the table itself) | BLAKE2b-128 of the typed partition key | sort key`.
Numbers as sort keys are encoded so that byte order is numeric order; strings order by UTF-8, binary by bytes.
What comes after the first ten bytes is the *range position*: partitions are ranges of it.
"""

from __future__ import annotations

import hashlib
import struct

from server.model.item import Item
from server.model.number import encode_number
from server.model.table import KEY_TYPES, KeyAttribute, KeySchema, check_key_value

_PREFIX = struct.Struct(">QH")
PREFIX_BYTES = _PREFIX.size
HASH_BYTES = 16
_HASHERS = {kind: hashlib.blake2b(kind.encode(), digest_size=HASH_BYTES) for kind in KEY_TYPES}


def prefix(table_number: int, index: int = 0) -> bytes:
    """The first ten bytes of every key of a table (or of one of its indexes)."""
    return _PREFIX.pack(table_number, index)


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
