"""Snapshot chunks survive encoding; every flipped bit is noticed."""

from __future__ import annotations

import struct

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from storage_node.codec.snapshot import ChunkKind, CorruptChunkError, decode_chunk, encode_chunk

PAIRS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=4)


@given(st.sampled_from(ChunkKind), PAIRS)
def test_round_trip(kind: ChunkKind, pairs: list[tuple[bytes, bytes]]) -> None:
    """What is decoded is what was encoded."""
    assert decode_chunk(encode_chunk(kind, pairs)) == (kind, pairs)


@given(st.sampled_from(ChunkKind), PAIRS, st.data())
def test_any_flipped_bit_is_noticed(kind: ChunkKind, pairs: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """No single bit can change unnoticed, the kind included."""
    chunk = bytearray(encode_chunk(kind, pairs))
    bit = data.draw(st.integers(0, len(chunk) * 8 - 1))
    chunk[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptChunkError):
        decode_chunk(bytes(chunk))


@given(st.sampled_from(ChunkKind), PAIRS, st.data())
def test_any_truncation_is_noticed(kind: ChunkKind, pairs: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """No part of a chunk passes for a chunk, nor does one with something behind it."""
    chunk = encode_chunk(kind, pairs)
    with pytest.raises(CorruptChunkError):
        decode_chunk(chunk[: data.draw(st.integers(0, len(chunk) - 1))])
    with pytest.raises(CorruptChunkError):
        decode_chunk(chunk + data.draw(st.binary(min_size=1, max_size=5)))


@given(st.binary(max_size=30))
def test_any_bytes_are_refused_or_decoded(data: bytes) -> None:
    """Bytes from anywhere never raise anything else."""
    try:
        decode_chunk(data)
    except CorruptChunkError:
        pass


def test_structure_is_checked_beyond_the_checksum() -> None:
    """A chunk whose pairs do not fill it exactly is refused even where the checksum matches."""

    def sealed(body: bytes) -> bytes:
        return struct.pack("<BBHI", 1, 1, 0, crc32c(body, 1)) + body

    for body, message in (
        (b"\x01\x00\x00\x00", "inside a pair"),
        (b"\x00\x00\x00\x00x", "do not fill"),
        (b"\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00", "do not fill"),
    ):
        with pytest.raises(CorruptChunkError, match=message):
            decode_chunk(sealed(body))
