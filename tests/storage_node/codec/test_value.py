"""Stored values and rows survive encoding; every flipped bit is noticed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage_node.codec.value import (
    CorruptValueError,
    GroupRow,
    decode_group_row,
    decode_value,
    encode_group_row,
    encode_value,
)

U64 = st.integers(0, 2**64 - 1)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_round_trip(key: bytes, item: bytes) -> None:
    """What is decoded is what was encoded."""
    assert decode_value(key, encode_value(key, item)) == item


@given(st.binary(min_size=1, max_size=20), st.binary(max_size=40), st.data())
def test_any_flipped_bit_is_noticed(key: bytes, item: bytes, data: st.DataObject) -> None:
    """No single bit of value or key can change unnoticed."""
    value = encode_value(key, item)
    flipped = bytearray(key + value)
    bit = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptValueError):
        decode_value(bytes(flipped[: len(key)]), bytes(flipped[len(key) :]))


@given(st.binary(max_size=20), st.binary(max_size=40), st.data())
def test_any_truncation_is_noticed(key: bytes, item: bytes, data: st.DataObject) -> None:
    """No part of a value passes for one, down to none of it."""
    value = encode_value(key, item)
    with pytest.raises(CorruptValueError):
        decode_value(key, value[: data.draw(st.integers(0, len(value) - 1))])


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20))
def test_a_value_belongs_to_its_key(one: bytes, two: bytes, item: bytes) -> None:
    """The value of another key is not returned, even if it is whole."""
    value = encode_value(one, item)
    if one == two:
        assert decode_value(two, value) == item
    else:
        with pytest.raises(CorruptValueError, match=f"key {two.hex()} does not match"):
            decode_value(two, value)


def test_a_value_of_another_version_is_refused() -> None:
    """Whatever the rest of it says."""
    with pytest.raises(CorruptValueError, match="format version 9, not"):
        decode_value(b"key", b"\x09" + encode_value(b"key", b"item")[1:])


def test_short_values_are_refused() -> None:
    """A value shorter than its header is refused."""
    with pytest.raises(CorruptValueError, match="shorter"):
        decode_value(b"key", b"\x01abc")


SIZES = st.dictionaries(st.integers(0, 2**16 - 1), st.tuples(st.integers(1, 2**64 - 1), U64), max_size=4)


@given(st.builds(GroupRow, U64, SIZES, st.booleans()))
@example(GroupRow(7, {0: (2, 300)}, True))
@example(GroupRow(7, {1: (2, 300)}))
def test_rows_round_trip(row: GroupRow) -> None:
    """What is decoded is what was encoded."""
    assert decode_group_row(encode_group_row(row)) == row


@pytest.mark.parametrize(
    "data", [b"", encode_group_row(GroupRow()) + b"\x00", encode_group_row(GroupRow())[:-1] + b"\x02"]
)
def test_other_rows_are_refused(data: bytes) -> None:
    """Bytes that no row encodes to are refused."""
    with pytest.raises(CorruptValueError):
        decode_group_row(data)
