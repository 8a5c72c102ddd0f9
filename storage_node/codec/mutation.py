"""Mutations: the deterministic change that one slot of a partition's log makes.

Layout (little-endian): version (1 byte, 3; 4 with a change; 5 with stream records), flags (1 byte: 1 = deletes, 2 = has
more, 4 = has a result, 8 = has a change, 16 = has stream records), token length (1 byte, 0 or 16), zero (1 byte), key
length (4 bytes), time (8 bytes), origin (round and node id, 8 bytes each), token, key. Then the item, to the end; a
deletion has none. With flag 2 the item is preceded by its length, the result's and the number of further writes (4
bytes each) and followed by the result and the writes: key length and item length (4 bytes each; 0xFFFFFFFF: deletes;
0xFFFFFFFE: the item of the first write), key, item; then, with flag 16, by the number of stream records (4 bytes) and
each one's length (4 bytes) and bytes (codec/stream_record.py); and then, with flag 8, by a change (codec/change.py), to
the end. The record around it carries the checksum.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from server.paxos.ballot import ZERO, Ballot
from storage_node.codec.change import Change, CorruptChangeError, decode_change, encode_change
from storage_node.codec.stream_record import (
    RECORDS_MAX,
    CorruptStreamRecordError,
    StreamRecord,
    decode_stream_record,
    encode_stream_record,
)

FORMAT_VERSION: Final = 5
"""Of mutations with stream records. Others are written as they were before there were such, or changes: so members of
the versions before can apply what one of this version proposes, as long as the table has neither stream nor index."""
_CHANGING_VERSION: Final = 4
_UNCHANGING_VERSION: Final = 3
_PLAIN_VERSION: Final = 2
"""Before there was more than one write in a mutation; read, and never written any more."""
TOKEN_BYTES: Final = 16

_HEADER: Final = struct.Struct("<BBBBIQQQ")
_HEADER_BYTES: Final = _HEADER.size
_PLAIN_PUT: Final = bytes((_UNCHANGING_VERSION, 0, TOKEN_BYTES, 0))
_PLAIN_PUT_BYTES_MIN: Final = _HEADER_BYTES + TOKEN_BYTES
_EXTENSION: Final = struct.Struct("<III")
_WRITE: Final = struct.Struct("<II")
_DELETES: Final = 1
_HAS_MORE: Final = 2
_HAS_RESULT: Final = 4
_HAS_CHANGE: Final = 8
_HAS_RECORDS: Final = 16
_COUNT: Final = struct.Struct("<I")
_DELETED: Final = 0xFFFF_FFFF
_SAME_ITEM: Final = 0xFFFF_FFFE

Write = tuple[bytes, bytes | None]
"""A key and the item to be put under it; None deletes what is there."""


class CorruptMutationError(Exception):
    """The bytes are not a mutation."""


class Mutation(NamedTuple):
    """Puts `item` under `key`, or deletes the key's item if `item` is None, and carries out `more` with it.

    `token` identifies the client's request, so that a retry of it is recognised: 16 bytes, or empty. `time_ms` is the
    log's time: milliseconds that leaders have spent, each going on from where the last one's writes left it; `origin`
    is the ballot of the leader that proposed it, whatever ballot the entry was accepted at later. `more`: writes that
    belong to it, those of indexes. `result`: what the client is answered, also where it asks again with the same token;
    None: nothing but that it was carried out. `change`: what is to be passed on of it; None: nothing. `records`: what
    the table's stream is to keep of it.
    """

    token: bytes
    key: bytes
    item: bytes | None
    time_ms: int = 0
    origin: Ballot = ZERO
    more: tuple[Write, ...] = ()
    result: bytes | None = None
    change: Change | None = None
    records: tuple[StreamRecord, ...] = ()


def encode_mutation(mutation: Mutation) -> bytes:
    """The mutation as a log payload; raises ValueError for a token of another length."""
    token, key, item, time_ms, origin, more, result, change, records = mutation
    if len(token) not in (0, TOKEN_BYTES):
        raise ValueError(f"a token of {len(token)} bytes is neither empty nor {TOKEN_BYTES} bytes long")
    flags = _DELETES if item is None else 0
    if not more and result is None and change is None and not records:
        header = _HEADER.pack(_UNCHANGING_VERSION, flags, len(token), 0, len(key), time_ms, *origin)
        return b"".join((header, token, key) if item is None else (header, token, key, item))
    flags |= _HAS_MORE | (0 if result is None else _HAS_RESULT) | (0 if change is None else _HAS_CHANGE)
    version = _UNCHANGING_VERSION if change is None else _CHANGING_VERSION
    if records:
        flags |= _HAS_RECORDS
        version = FORMAT_VERSION
    header = _HEADER.pack(version, flags, len(token), 0, len(key), time_ms, *origin)
    first, answer = item or b"", result or b""
    parts = [header, token, key, _EXTENSION.pack(len(first), len(answer), len(more)), first, answer]
    for other_key, other in more:
        if other is None:
            parts += (_WRITE.pack(len(other_key), _DELETED), other_key)
        elif item is not None and other == item:
            parts += (_WRITE.pack(len(other_key), _SAME_ITEM), other_key)
        else:
            parts += (_WRITE.pack(len(other_key), len(other)), other_key, other)
    if records:
        parts.append(_COUNT.pack(len(records)))
        for record in records:
            data = encode_stream_record(record, item)
            parts += (_COUNT.pack(len(data)), data)
    if change is not None:
        parts.append(encode_change(change, item))
    return b"".join(parts)


def decode_mutation(data: bytes) -> Mutation:
    """The mutation in `data`, all of it; raises CorruptMutationError."""
    if data[:4] == _PLAIN_PUT and len(data) >= _PLAIN_PUT_BYTES_MIN:
        # What most are, in the shortest way.
        _, _, _, _, key_bytes, time_ms, round_, node_id = _HEADER.unpack_from(data)
        key_end = _PLAIN_PUT_BYTES_MIN + key_bytes
        if key_end <= len(data):
            token, key = data[_HEADER_BYTES:_PLAIN_PUT_BYTES_MIN], data[_PLAIN_PUT_BYTES_MIN:key_end]
            return Mutation(token, key, data[key_end:], time_ms, Ballot(round_, node_id))
    if len(data) < _HEADER_BYTES:
        raise CorruptMutationError(f"a mutation of {len(data)} bytes is shorter than its header")
    version, flags, token_bytes, zero, key_bytes, time_ms, round_, node_id = _HEADER.unpack_from(data)
    allowed = _FLAGS.get(version)
    if allowed is None:
        raise CorruptMutationError(f"mutation format version {version} is not {FORMAT_VERSION}")
    if flags not in allowed or token_bytes not in (0, TOKEN_BYTES) or zero != 0:
        raise CorruptMutationError("a mutation's header has values that no mutation has")
    key_start = _HEADER_BYTES + token_bytes
    key_end = key_start + key_bytes
    if key_end > len(data):
        raise CorruptMutationError("the mutation ends inside its key")
    token, key, origin = data[_HEADER_BYTES:key_start], data[key_start:key_end], Ballot(round_, node_id)
    if flags & _HAS_MORE:
        rest = _decode_more(data, key_end, flags)
        return rest._replace(token=token, key=key, time_ms=time_ms, origin=origin)
    if not flags:
        return Mutation(token, key, data[key_end:], time_ms, origin)
    if key_end != len(data):
        raise CorruptMutationError("a deletion carries an item")
    return Mutation(token, key, None, time_ms, origin)


_MORE_FLAGS: Final = tuple(_HAS_MORE | more for more in (0, _DELETES, _HAS_RESULT, _DELETES | _HAS_RESULT))
_FLAGS: Final = {
    _PLAIN_VERSION: (0, _DELETES),
    _UNCHANGING_VERSION: (0, _DELETES, *_MORE_FLAGS),
    _CHANGING_VERSION: tuple(_HAS_CHANGE | flags for flags in _MORE_FLAGS),
    FORMAT_VERSION: tuple(_HAS_RECORDS | change | flags for flags in _MORE_FLAGS for change in (0, _HAS_CHANGE)),
}
"""By version."""


def _decode_more(data: bytes, start: int, flags: int) -> Mutation:
    """What begins behind the key, in a mutation without token and key."""
    reader = _Reader(data, start)
    item_bytes, result_bytes, count = _EXTENSION.unpack(reader.take(_EXTENSION.size))
    if not count and not flags & (_HAS_RESULT | _HAS_CHANGE | _HAS_RECORDS):
        raise CorruptMutationError("the mutation announces more, and there is nothing more")
    item: bytes | None = reader.take(item_bytes)
    if flags & _DELETES:
        if item:
            raise CorruptMutationError("a deletion carries an item")
        item = None
    result: bytes | None = reader.take(result_bytes)
    if not flags & _HAS_RESULT:
        if result:
            raise CorruptMutationError("the mutation carries a result that it does not announce")
        result = None
    more: list[Write] = []
    for _ in range(count):
        key_bytes, other_bytes = _WRITE.unpack(reader.take(_WRITE.size))
        key = reader.take(key_bytes)
        if other_bytes == _DELETED:
            more.append((key, None))
        elif other_bytes != _SAME_ITEM:
            more.append((key, reader.take(other_bytes)))
        elif item is not None:
            more.append((key, item))
        else:
            raise CorruptMutationError("a deletion has no item that another write could repeat")
    records = _decode_records(reader, item) if flags & _HAS_RECORDS else ()
    change: Change | None = None
    if flags & _HAS_CHANGE:
        try:
            change = decode_change(data, reader.position, item)
        except CorruptChangeError as error:
            raise CorruptMutationError(str(error)) from error
    elif reader.position != len(data):
        raise CorruptMutationError("the mutation goes on behind its last part")
    return Mutation(b"", b"", item, more=tuple(more), result=result, change=change, records=records)


def _decode_records(reader: _Reader, item: bytes | None) -> tuple[StreamRecord, ...]:
    (count,) = _COUNT.unpack(reader.take(_COUNT.size))
    if not 0 < count <= RECORDS_MAX:
        raise CorruptMutationError(f"the mutation announces stream records, and has {count}")
    try:
        return tuple(
            decode_stream_record(reader.take(_COUNT.unpack(reader.take(_COUNT.size))[0]), item) for _ in range(count)
        )
    except CorruptStreamRecordError as error:
        raise CorruptMutationError(str(error)) from error


class _Reader:
    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self.position = position

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise CorruptMutationError("the mutation ends inside one of its parts")
        part = self._data[self.position : end]
        self.position = end
        return part
