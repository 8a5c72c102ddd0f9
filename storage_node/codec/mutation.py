"""Mutations: the deterministic change that one slot of a partition's log makes.

Layout (little-endian): version (1 byte, 2), flags (1 byte: 1 = deletes), token length (1 byte, 0 or 16), zero (1 byte),
key length (4 bytes), time (8 bytes), origin (round and node id, 8 bytes each), token, key, item. A deletion carries no
item. The record around it carries the checksum.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from server.paxos.ballot import ZERO, Ballot

FORMAT_VERSION: Final = 2
TOKEN_BYTES: Final = 16

_HEADER: Final = struct.Struct("<BBBBIQQQ")
_HEADER_BYTES: Final = _HEADER.size
_DELETES: Final = 1


class CorruptMutationError(Exception):
    """The bytes are not a mutation."""


class Mutation(NamedTuple):
    """Puts `item` under `key`, or deletes the key's item if `item` is None.

    `token` identifies the client's request, so that a retry of it is recognised: 16 bytes, or empty. `time_ms` is the
    wall clock of the leader that proposed it: milliseconds since 1970; `origin` is that leader's ballot, whatever
    ballot the entry was accepted at later.
    """

    token: bytes
    key: bytes
    item: bytes | None
    time_ms: int = 0
    origin: Ballot = ZERO


def encode_mutation(mutation: Mutation) -> bytes:
    """The mutation as a log payload; raises ValueError for a token of another length."""
    token, key, item = mutation.token, mutation.key, mutation.item
    if len(token) not in (0, TOKEN_BYTES):
        raise ValueError(f"a token of {len(token)} bytes is neither empty nor {TOKEN_BYTES} bytes long")
    flags = _DELETES if item is None else 0
    header = _HEADER.pack(FORMAT_VERSION, flags, len(token), 0, len(key), mutation.time_ms, *mutation.origin)
    return b"".join((header, token, key) if item is None else (header, token, key, item))


def decode_mutation(data: bytes) -> Mutation:
    """The mutation in `data`, all of it; raises CorruptMutationError."""
    if len(data) < _HEADER_BYTES:
        raise CorruptMutationError(f"a mutation of {len(data)} bytes is shorter than its header")
    version, flags, token_bytes, zero, key_bytes, time_ms, round_, node_id = _HEADER.unpack_from(data)
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
        return Mutation(token, key, data[key_end:], time_ms, Ballot(round_, node_id))
    if key_end != len(data):
        raise CorruptMutationError("a deletion carries an item")
    return Mutation(token, key, None, time_ms, Ballot(round_, node_id))
