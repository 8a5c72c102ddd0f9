"""Rows of streams survive encoding, malformed ones are refused, and keys say what they are of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model.key_encoding import CURSORS, own_rows
from storage_node.partition.feeds import feed_key, newest_feed_key
from storage_node.partition.streams import (
    VIEW_TYPES,
    CorruptStreamError,
    Stream,
    decode_stream,
    encode_stream,
    newest_stream_key,
    record_key,
    sequence_of_key,
    stream_key,
    stream_of_key,
)

NUMBERS = st.integers(0, 2**64 - 1)
STREAMS = st.builds(Stream, NUMBERS, st.sampled_from(VIEW_TYPES), NUMBERS, st.booleans(), NUMBERS)
ENCODED = encode_stream(Stream(5, "NEW_IMAGE", 7_000))


@given(STREAMS)
def test_round_trip(stream: Stream) -> None:
    assert decode_stream(encode_stream(stream)) == stream


@given(st.binary(min_size=28, max_size=28))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Bytes from anywhere are a stream, or an error."""
    try:
        stream = decode_stream(data)
    except CorruptStreamError:
        return
    assert encode_stream(stream) == data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (ENCODED[:-1], "of 27 bytes has not 28"),
        (b"\x02" + ENCODED[1:], "version 2 is not 1"),
        (b"\x01\x00" + ENCODED[2:], "values that no stream has"),
        (b"\x01\x05" + ENCODED[2:], "values that no stream has"),
        (b"\x01\x01\x02" + ENCODED[3:], "values that no stream has"),
        (b"\x01\x01\x00\x01" + ENCODED[4:], "values that no stream has"),
    ],
)
def test_malformed(data: bytes, sentence: str) -> None:
    with pytest.raises(CorruptStreamError, match=sentence):
        decode_stream(data)


@pytest.mark.parametrize(
    ("view_type", "has_old", "has_new"),
    [
        ("KEYS_ONLY", False, False),
        ("NEW_IMAGE", False, True),
        ("OLD_IMAGE", True, False),
        ("NEW_AND_OLD_IMAGES", True, True),
    ],
)
def test_images(view_type: str, has_old: bool, has_new: bool) -> None:
    stream = Stream(5, view_type, 0)
    assert (stream.has_old_images, stream.has_new_images) == (has_old, has_new)


def test_only_a_streams_key_is_one() -> None:
    """Whatever else a partition keeps there is none."""
    rows = own_rows(1, CURSORS, 2)
    assert stream_of_key(rows, stream_key(1, 2, 5)) == 5
    others = (newest_stream_key(1, 2), newest_feed_key(1, 2), feed_key(1, 2, 5), rows + b"s" + bytes(8))
    assert [stream_of_key(rows, key) for key in (*others, stream_key(1, 3, 5))] == [None] * 5
    assert len({stream_key(1, 2, 5), *others}) == 5


def test_records_lie_in_the_order_of_their_sequence_numbers() -> None:
    keys = [record_key(1, 2, number, sequence) for number in (5, 6) for sequence in (1_000, 1_001, 2_000)]
    assert keys == sorted(keys)
    assert sequence_of_key(keys[1]) == 1_001


def test_the_horizon() -> None:
    """All that is kept lies behind it, and nothing of before the stream."""
    assert Stream(5, "NEW_IMAGE", 0).horizon == 0
    assert Stream(5, "NEW_IMAGE", 7_000).horizon == 6_999
    assert Stream(5, "NEW_IMAGE", 7_000, trimmed_sequence=9_000).horizon == 9_000
