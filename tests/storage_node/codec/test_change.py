"""Changes survive encoding, and malformed bytes are refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage_node.codec.change import (
    Change,
    CorruptChangeError,
    EntryChange,
    change_bytes,
    change_time_ms,
    decode_change,
    encode_change,
)

NUMBERS = st.integers(0, 2**64 - 1)
ITEMS = st.none() | st.sampled_from((b"", b"item")) | st.binary(max_size=9)
ENTRIES = st.builds(EntryChange, st.integers(1, 3) | NUMBERS, st.binary(max_size=20), ITEMS)
CHANGES = st.builds(Change, NUMBERS, st.lists(ENTRIES, max_size=4).map(tuple))


@given(CHANGES, ITEMS, st.binary(max_size=5))
@example(Change(7, (EntryChange(1, b"p", b"item"), EntryChange(2, b"q", None))), b"item", b"before")
def test_round_trip(change: Change, item: bytes | None, before: bytes) -> None:
    """What is decoded is what was encoded, whatever it lies behind, and beside whatever item."""
    data = before + encode_change(change, item)
    assert decode_change(data, len(before), item) == change
    assert change_time_ms(encode_change(change, item)) == change.time_ms
    assert change_bytes(change) == len(encode_change(change))


@given(CHANGES, st.integers(1, 3))
def test_one_index(change: Change, number: int) -> None:
    """The entries of one index, in their order."""
    expected = tuple(entry for entry in change.entries if entry.index_number == number)
    assert decode_change(encode_change(change), index_number=number) == Change(change.time_ms, expected)


@given(CHANGES, st.data())
def test_a_change_that_ends_early_is_noticed(change: Change, data: st.DataObject) -> None:
    """Wherever it is cut off."""
    encoded = encode_change(change)
    with pytest.raises(CorruptChangeError):
        decode_change(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(st.binary(max_size=60))
@example(b"\x01\0\0\0" + bytes(12))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Bytes from anywhere are a change, or an error."""
    try:
        change = decode_change(data)
    except CorruptChangeError:
        return
    assert decode_change(encode_change(change)) == change


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(15), "shorter"),
        (b"\x02" + bytes(15), "version 2"),
        (b"\x01\x01" + bytes(14), "values"),
        (b"\x01\0\x01" + bytes(13), "values"),
        (b"\x01\0\0\0\x01" + bytes(11) + bytes(15), "inside an entry"),
        (b"\x01\0\0\0\x01" + bytes(11) + bytes(8) + b"\x01" + bytes(7), "inside an entry"),
        (b"\x01\0\0\0\x01" + bytes(11) + bytes(12) + b"\xfe\xff\xff\xff", "repeat"),
        (b"\x01\0\0\0\x01" + bytes(11) + bytes(12) + b"\xfd\xff\xff\xff", "repeat"),
        (b"\x01" + bytes(16), "behind its last entry"),
    ],
)
def test_malformed(data: bytes, message: str) -> None:
    """Each way to be malformed has its sentence."""
    with pytest.raises(CorruptChangeError, match=message):
        decode_change(data)


def test_an_item_that_is_there_already_is_not_written_again() -> None:
    """An index that has whole items costs its position, not another copy."""
    change = Change(1, tuple(EntryChange(number, b"position", bytes(10_000)) for number in range(20)))
    assert len(encode_change(change, bytes(10_000))) < 500
    assert len(encode_change(change)) < 10_500
