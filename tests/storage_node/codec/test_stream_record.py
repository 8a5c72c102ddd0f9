"""Stream records survive encoding, and malformed bytes are refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage_node.codec.stream_record import (
    CorruptStreamRecordError,
    Event,
    StreamRecord,
    decode_stream_record,
    encode_stream_record,
    sequence_of,
)

NUMBERS = st.integers(0, 2**64 - 1)
IMAGES = st.none() | st.sampled_from((b"", b"item")) | st.binary(max_size=9)
STREAM_RECORDS = st.builds(
    StreamRecord,
    NUMBERS,
    st.sampled_from(Event),
    NUMBERS,
    NUMBERS,
    st.integers(0, 2**32 - 1),
    st.binary(max_size=9),
    IMAGES,
    IMAGES,
    st.booleans(),
)


@given(STREAM_RECORDS, IMAGES)
@example(StreamRecord(5, Event.MODIFY, 7, 8, 9, b"k", b"old", b"item", is_by_time_to_live=True), b"item")
def test_round_trip(record: StreamRecord, item: bytes | None) -> None:
    """What is decoded is what was encoded, beside whatever item."""
    assert decode_stream_record(encode_stream_record(record, item), item) == record


@given(STREAM_RECORDS, st.data())
def test_a_record_that_ends_early_is_noticed(record: StreamRecord, data: st.DataObject) -> None:
    """Wherever it is cut off."""
    encoded = encode_stream_record(record)
    with pytest.raises(CorruptStreamRecordError):
        decode_stream_record(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(st.binary(max_size=70))
@example(encode_stream_record(StreamRecord(1, Event.INSERT, 2, 3, 4, b"k", new=b"n")))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Bytes from anywhere are a record, or an error."""
    try:
        record = decode_stream_record(data)
    except CorruptStreamRecordError:
        return
    assert encode_stream_record(record) == data


ENCODED = encode_stream_record(StreamRecord(1, Event.INSERT, 2, 3, 4, b"k", b"old", b"new"))


@pytest.mark.parametrize(
    ("offset", "value", "sentence"),
    [
        (0, b"\x02", "format version 2 is not 1"),
        (1, b"\x00", "values that no stream record has"),
        (1, b"\x04", "values that no stream record has"),
        (2, b"\x02", "values that no stream record has"),
        (3, b"\x01", "values that no stream record has"),
        (8, b"\xfe\xff\xff\xff", "values that no stream record has"),
        (12, b"\x02\0\0\0", "says that it has 50"),
        (12, b"\xfe\xff\xff\xff", "says that it has 48"),
    ],
)
def test_what_no_record_has_is_refused(offset: int, value: bytes, sentence: str) -> None:
    with pytest.raises(CorruptStreamRecordError, match=sentence):
        decode_stream_record(ENCODED[:offset] + value + ENCODED[offset + len(value) :])


def test_an_item_that_is_not_there_cannot_be_repeated() -> None:
    encoded = encode_stream_record(StreamRecord(1, Event.INSERT, 2, 3, 4, b"k", new=b"item"), b"item")
    with pytest.raises(CorruptStreamRecordError, match="no item"):
        decode_stream_record(encoded)


def test_an_item_beside_is_not_written_again() -> None:
    record = StreamRecord(1, Event.INSERT, 2, 3, 4, b"k", new=bytes(10_000))
    assert len(encode_stream_record(record, bytes(10_000))) < 100


def test_sequence_numbers_order_by_slot_and_then_by_place() -> None:
    assert sorted([sequence_of(2), sequence_of(1, 999), sequence_of(1)]) == [1_000, 1_999, 2_000]
