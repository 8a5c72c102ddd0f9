"""Mutations: the deterministic change that one slot of a partition's log makes.

Layout (little-endian): version (1 byte, 1), flags (1 byte: 1 = deletes), token length (1 byte, 0 or 16), zero (1 byte),
key length (4 bytes), token, key, item. A deletion carries no item. The record around it carries the checksum.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

FORMAT_VERSION: Final = 1
TOKEN_BYTES: Final = 16

_HEADER: Final = struct.Struct("<BBBBI")
_HEADER_BYTES: Final = _HEADER.size
_DELETES: Final = 1


class CorruptMutationError(Exception):
    """The bytes are not a mutation."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """Puts `item` under `key`, or deletes the key's item if `item` is None.

    `token` identifies the client's request, so that a retry of it is recognised: 16 bytes, or empty.
    """

    token: bytes
    key: bytes
    item: bytes | None


def encode_mutation(mutation: Mutation) -> bytes:
    """The mutation as a log payload; raises ValueError for a token of another length."""
    token, key, item = mutation.token, mutation.key, mutation.item
    if len(token) not in (0, TOKEN_BYTES):
        raise ValueError(f"a token of {len(token)} bytes is neither empty nor {TOKEN_BYTES} bytes long")
    if item is None:
        return b"".join((_HEADER.pack(FORMAT_VERSION, _DELETES, len(token), 0, len(key)), token, key))
    return b"".join((_HEADER.pack(FORMAT_VERSION, 0, len(token), 0, len(key)), token, key, item))


def decode_mutation(data: bytes) -> Mutation:
    """The mutation in `data`, all of it; raises CorruptMutationError."""
    if len(data) < _HEADER_BYTES:
        raise CorruptMutationError(f"a mutation of {len(data)} bytes is shorter than its header")
    version, flags, token_bytes, zero, key_bytes = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise CorruptMutationError(f"mutation format version {version} is not {FORMAT_VERSION}")
    if flags > _DELETES or token_bytes not in (0, TOKEN_BYTES) or zero != 0:
        raise CorruptMutationError("a mutation's header has values that no mutation has")
    key_start = _HEADER_BYTES + token_bytes
    key_end = key_start + key_bytes
    if key_end > len(data):
        raise CorruptMutationError("the mutation ends inside its key")
    token, key = data[_HEADER_BYTES:key_start], data[key_start:key_end]
    if not flags:
        return Mutation(token, key, data[key_end:])
    if key_end != len(data):
        raise CorruptMutationError("a deletion carries an item")
    return Mutation(token, key, None)
