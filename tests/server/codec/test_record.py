"""Records survive encoding, and nothing else passes for one."""

from __future__ import annotations

import struct

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from server.codec.record import (
    HEADER_BYTES,
    CorruptRecordError,
    Record,
    RecordType,
    decode_record,
    encode_record,
    peek_record,
    record_crc,
)
from server.paxos.ballot import Ballot

U64 = st.integers(0, 2**64 - 1)
RECORDS = st.builds(
    Record,
    st.sampled_from(RecordType),
    U64,
    st.builds(Ballot, U64, U64),
    U64,
    U64,
    st.lists(st.binary(max_size=40), max_size=5).map(tuple),
)


def sealed(data: bytes) -> bytes:
    """The bytes with a checksum that matches them."""
    return struct.pack("<I", crc32c(data[4:])) + data[4:]


@given(RECORDS)
def test_round_trip(record: Record) -> None:
    """What is decoded is what was encoded; peeking agrees."""
    data = encode_record(record)
    assert decode_record(data) == record
    assert peek_record(data) == (record.type, record.ballot, record.commit_slot)
    assert record_crc(data) == crc32c(data[4:])


@given(RECORDS, st.data())
def test_any_flipped_bit_is_noticed(record: Record, data: st.DataObject) -> None:
    """No single bit can change unnoticed."""
    encoded = bytearray(encode_record(record))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptRecordError):
        decode_record(bytes(encoded))


@given(RECORDS, st.data())
def test_any_truncation_is_noticed(record: Record, data: st.DataObject) -> None:
    """No part of a record passes for a record."""
    encoded = encode_record(record)
    with pytest.raises(CorruptRecordError):
        decode_record(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(st.binary(max_size=120))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Bytes from anywhere raise nothing else, also where the checksum is made to match: what is decoded keeps what was
    there to the last entry."""
    for each in (data, sealed(b"\0\0\0\0\x01\x01\0\0" + data)):
        try:
            record = decode_record(each)
        except CorruptRecordError:
            continue
        assert encode_record(record) == each


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (4, b"\x02", "version 2"),
        (5, b"\x09", "type 9"),
        (HEADER_BYTES - 4, b"\x03\x00\x00\x00", "cut off"),
        (HEADER_BYTES - 4, b"\x01\x00\x00\x00", "do not fill"),
        (HEADER_BYTES, b"\xff\x00\x00\x00", "cut off"),
        (HEADER_BYTES + 6, b"\x01\x00\x00\x00", "do not fill"),
    ],
)
def test_what_a_matching_checksum_does_not_excuse(position: int, value: bytes, message: str) -> None:
    """A record of another version, type or structure is refused, whatever its checksum says."""
    data = encode_record(Record(RecordType.ENTRIES, 7, Ballot(1, 2), 3, 2, (b"ab", b"")))
    with pytest.raises(CorruptRecordError, match=message):
        decode_record(sealed(data[:position] + value + data[position + len(value) :]))


def test_last_slot() -> None:
    """The last slot is that of the last payload, or the one before the first slot."""
    assert Record(RecordType.ENTRIES, 7, Ballot(1, 2), 3, 2, (b"a", b"b")).last_slot == 4
    assert Record(RecordType.RESET, 7, Ballot(1, 2), 3, 2, ()).last_slot == 2
