"""Log records: what one Accept carries, as bytes.

A record is encoded once, by the leader; the same bytes go to its log, to its followers and into theirs. Layout, all
integers little-endian (storage_node/FORMATS.md shows an example):

    0   u32  CRC-32C of everything after this field
    4   u8   format version, 1
    5   u8   type (RecordType)
    6   u16  0
    8   u64  group id
    16  u64  ballot: round
    24  u64  ballot: node id
    32  u64  first slot
    40  u64  commit slot
    48  u32  number of entries
    52  each entry: u32 length, payload
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import crc32c

from server.paxos.ballot import Ballot

RECORD_VERSION = 1
_HEADER = struct.Struct("<BBHQQQQQI")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
HEADER_BYTES = _CRC.size + _HEADER.size


class CorruptRecordError(Exception):
    """Bytes that are not a record as it was written; the sentence says what is wrong."""


class RecordType(IntEnum):
    """What a record says."""

    ENTRIES = 1  # entries of consecutive slots, accepted at one ballot
    PROMISE = 2  # no ballot below this one will be accepted
    RESET = 3  # a snapshot as of first slot - 1 is installed: earlier entries are void, later ones stay
    FORGET = 4  # the replica was dropped: what the log says of the group before this is void
    HEAL = 5  # part of the log is lost: what it says of the group before this is void; it does not vote, until
    HEALED = 6  # it has everything again


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `commit_slot` is what its writer knew to be committed; a hint that shortens recovery."""

    type: RecordType
    group_id: int
    ballot: Ballot
    first_slot: int
    commit_slot: int
    payloads: tuple[bytes, ...]

    @property
    def last_slot(self) -> int:
        """The slot of the last payload; before the first slot if there is none."""
        return self.first_slot + len(self.payloads) - 1


def encode_record(record: Record) -> bytes:
    """The record's bytes."""
    ballot = record.ballot
    payloads = record.payloads
    header = _HEADER.pack(
        RECORD_VERSION,
        record.type,
        0,
        record.group_id,
        ballot.round,
        ballot.node_id,
        record.first_slot,
        record.commit_slot,
        len(payloads),
    )
    pack = _LENGTH.pack
    parts = [header]
    for payload in payloads:
        parts.append(pack(len(payload)))
        parts.append(payload)
    body = b"".join(parts)
    return _CRC.pack(crc32c.crc32c(body)) + body


def decode_record(data: bytes) -> Record:
    """The record that `data` is, exactly. Raises CorruptRecordError."""
    if len(data) < HEADER_BYTES:
        raise CorruptRecordError(f"a record has at least {HEADER_BYTES} bytes, not {len(data)}")
    (crc,) = _CRC.unpack_from(data)
    if crc32c.crc32c(memoryview(data)[_CRC.size :]) != crc:
        raise CorruptRecordError("the record's checksum does not match")
    version, kind, _, group_id, round_, node_id, first_slot, commit_slot, count = _HEADER.unpack_from(data, _CRC.size)
    if version != RECORD_VERSION:
        raise CorruptRecordError(f"format version {version} is not known")
    try:
        record_type = RecordType(kind)
    except ValueError as error:
        raise CorruptRecordError(f"record type {kind} is not known") from error
    payloads: list[bytes] = []
    offset = HEADER_BYTES
    unpack = _LENGTH.unpack_from
    for _ in range(count):
        if offset + 4 > len(data):
            raise CorruptRecordError("an entry is cut off")
        start = offset + 4
        offset = start + unpack(data, offset)[0]
        payloads.append(data[start:offset])
    if offset != len(data):
        raise CorruptRecordError("the entries do not fill the record")
    return Record(record_type, group_id, Ballot(round_, node_id), first_slot, commit_slot, tuple(payloads))


def record_crc(data: bytes) -> int:
    """The checksum at the start of an encoded record: an identity of its bytes."""
    crc: int = _CRC.unpack_from(data)[0]
    return crc


def peek_record(data: bytes) -> tuple[int, Ballot, int]:
    """(type, ballot, commit slot) of an encoded record, unchecked: for a record just encoded or decoded."""
    _, kind, _, _, round_, node_id, _, commit_slot, _ = _HEADER.unpack_from(data, _CRC.size)
    return kind, Ballot(round_, node_id), commit_slot
