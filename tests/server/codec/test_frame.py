"""Frames and segment headers survive encoding, and nothing else passes for one."""

from __future__ import annotations

import struct

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from server.codec.frame import (
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    SEGMENT_HEADER_BYTES,
    CorruptSegmentError,
    Frame,
    SegmentHeader,
    decode_frame,
    decode_segment_header,
    encode_frame,
    encode_segment_header,
    encode_sync_mark,
    find_frame,
)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
FRAMES = st.builds(Frame, U32, U64, U64, U64, U32)
HEADERS = st.builds(SegmentHeader, U64, U64, U64, U64)


@given(FRAMES, U32, st.binary(max_size=20))
def test_frames_round_trip(frame: Frame, seed: int, before: bytes) -> None:
    """What is decoded is what was encoded, wherever it stands."""
    data = before + encode_frame(*frame, seed)
    assert decode_frame(data, len(before), seed) == frame
    assert len(data) == len(before) + FRAME_HEADER_BYTES


@given(FRAMES, U32, st.integers(0, FRAME_HEADER_BYTES * 8 - 1))
def test_a_frame_with_a_flipped_bit_is_none(frame: Frame, seed: int, bit: int) -> None:
    """No single bit of a frame header can change unnoticed."""
    data = bytearray(encode_frame(*frame, seed))
    data[bit // 8] ^= 1 << bit % 8
    assert decode_frame(bytes(data), 0, seed) is None


@given(FRAMES, U32, U32)
def test_a_frame_of_another_segment_is_none(frame: Frame, seed: int, other: int) -> None:
    """A frame counts only with the salt of its own segment."""
    decoded = decode_frame(encode_frame(*frame, seed), 0, other)
    assert (decoded is None) == (seed != other)


@given(FRAMES, U32, st.integers(0, FRAME_HEADER_BYTES - 1))
def test_a_frame_that_is_cut_off_is_none(frame: Frame, seed: int, length: int) -> None:
    """No part of a frame header passes for one, wherever it ends."""
    data = encode_frame(*frame, seed)[:length]
    assert decode_frame(data, 0, seed) is None
    assert find_frame(data, 0, seed) == -1


def test_a_frame_that_lacks_a_zero_is_none() -> None:
    """What is not there is not taken for zeros, also where zeros would complete it."""
    data = next(mark for mark in (encode_sync_mark(number, 2) for number in range(5000)) if mark[-1] == 0)
    assert decode_frame(data, 0, 2) is not None
    assert decode_frame(data[:-1], 0, 2) is None


def test_finding_frames() -> None:
    """The next valid header is found behind anything, also behind what only begins like one."""
    data = b"ab" + FRAME_MAGIC * 2 + bytes(50) + encode_frame(1, 2, 3, 4, 5, 6) + b"end" + encode_sync_mark(9, 6)
    assert find_frame(data, 0, 6) == 60
    assert find_frame(data, 61, 6) == 60 + FRAME_HEADER_BYTES + 3
    assert find_frame(data, 104, 6) == -1
    assert decode_frame(data, 103, 6) == Frame(0, 9, 9, 0, 0)


@given(HEADERS)
def test_segment_headers_round_trip(header: SegmentHeader) -> None:
    """What is decoded is what was encoded."""
    data = encode_segment_header(header)
    assert len(data) == SEGMENT_HEADER_BYTES
    assert decode_segment_header(data + b"frames") == header
    assert header.seed == crc32c(struct.pack("<QQ", header.salt, header.number))


@given(HEADERS, st.integers(0, SEGMENT_HEADER_BYTES * 8 - 1))
def test_a_segment_header_with_a_flipped_bit_is_refused(header: SegmentHeader, bit: int) -> None:
    """No single bit of a segment header can change unnoticed."""
    data = bytearray(encode_segment_header(header))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptSegmentError):
        decode_segment_header(bytes(data))


@given(HEADERS, st.integers(0, SEGMENT_HEADER_BYTES - 1))
def test_a_segment_header_that_is_cut_off_is_refused(header: SegmentHeader, length: int) -> None:
    """The sentence says how little there is."""
    with pytest.raises(CorruptSegmentError, match=f"^{length} bytes are less than a segment header"):
        decode_segment_header(encode_segment_header(header)[:length])


def test_a_file_of_another_kind_is_refused() -> None:
    """Another magic is, also where the checksum matches."""
    other = b"STATRWAX" + encode_segment_header(SegmentHeader(1, 2, 3, 4))[8:-4]
    with pytest.raises(CorruptSegmentError):
        decode_segment_header(other + struct.pack("<I", crc32c(other)))


def test_other_segment_headers_are_refused() -> None:
    """A short header, and one of another version, are refused with a sentence."""
    data = encode_segment_header(SegmentHeader(1, 2, 3, 4))
    with pytest.raises(CorruptSegmentError, match="63 bytes"):
        decode_segment_header(data[:-1])
    other = data[:8] + b"\x02" + data[9:-4]
    with pytest.raises(CorruptSegmentError, match="version 2"):
        decode_segment_header(other + struct.pack("<I", crc32c(other)))
