"""Marks: what a transaction that is under way has done to an item so far, and is going to.

Layout (little-endian): version (1 byte, 1), kind (1 byte: 0 = the item stays, 1 = it is put, 2 = it is deleted), length
of the table's name (2 bytes), stamp and time (8 bytes each), ledger id and attempt (16 bytes each), the table's name,
and then the item that is put, to the end.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

FORMAT_VERSION: Final = 1
ID_BYTES: Final = 16

_HEADER: Final = struct.Struct("<BBHQQ16s16s")


class CorruptMarkError(Exception):
    """The bytes are not a mark."""


class MarkKind(IntEnum):
    """What becomes of the item if the transaction is committed."""

    STAYS = 0
    PUT = 1
    DELETED = 2


class Mark(NamedTuple):
    """`ledger_id`: under which the ledger has the transaction; `attempt`: which of its attempts it is; 16 bytes each.
    `stamp_us`: its timestamp; `time_ms`: the log's time at which the mark was made; `item`: what is put."""

    ledger_id: bytes
    attempt: bytes
    stamp_us: int
    time_ms: int
    table_name: str
    kind: MarkKind
    item: bytes = b""


def encode_mark(mark: Mark) -> bytes:
    """The mark as a row's content; raises ValueError for ids of another length."""
    if len(mark.ledger_id) != ID_BYTES or len(mark.attempt) != ID_BYTES:
        raise ValueError(f"a transaction's ids have {ID_BYTES} bytes each")
    name = mark.table_name.encode()
    header = _HEADER.pack(
        FORMAT_VERSION, mark.kind, len(name), mark.stamp_us, mark.time_ms, mark.ledger_id, mark.attempt
    )
    return b"".join((header, name, mark.item))


def decode_mark(data: bytes) -> Mark:
    """The mark in `data`, all of it; raises CorruptMarkError."""
    if len(data) < _HEADER.size:
        raise CorruptMarkError(f"a mark of {len(data)} bytes is shorter than its header")
    version, kind, name_bytes, stamp_us, time_ms, ledger_id, attempt = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise CorruptMarkError(f"mark format version {version} is not {FORMAT_VERSION}")
    if kind not in (MarkKind.STAYS, MarkKind.PUT, MarkKind.DELETED):
        raise CorruptMarkError(f"a mark has the kind {kind}")
    end = _HEADER.size + name_bytes
    if end > len(data):
        raise CorruptMarkError("the mark ends inside its table's name")
    item = data[end:]
    if item and kind != MarkKind.PUT:
        raise CorruptMarkError("a mark that puts nothing has an item")
    try:
        name = data[_HEADER.size : end].decode()
    except UnicodeDecodeError as error:
        raise CorruptMarkError("a mark's table has a name that is not UTF-8") from error
    return Mark(ledger_id, attempt, stamp_us, time_ms, name, MarkKind(kind), item)
