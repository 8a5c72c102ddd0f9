"""Marks, encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_node.codec.mark import CorruptMarkError, Mark, MarkKind, decode_mark, encode_mark

MARK = Mark(b"l" * 16, b"a" * 16, 1_700_000_000_000_001, 77, "täble", MarkKind.PUT, b"item")

marks = st.builds(
    lambda mark, kind: mark._replace(kind=kind, item=mark.item if kind == MarkKind.PUT else b""),
    st.builds(
        Mark,
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=16, max_size=16),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        st.text(max_size=255),
        st.just(MarkKind.PUT),
        st.binary(),
    ),
    st.sampled_from(MarkKind),
)


@given(marks)
def test_a_mark_comes_back(mark: Mark) -> None:
    assert decode_mark(encode_mark(mark)) == mark


@given(st.binary())
def test_anything_else_is_refused_or_a_mark(data: bytes) -> None:
    try:
        mark = decode_mark(data)
    except CorruptMarkError:
        return
    assert encode_mark(mark) == data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "shorter than its header"),
        (encode_mark(MARK)[:51], "shorter than its header"),
        (b"\2" + encode_mark(MARK)[1:], "version 2 is not 1"),
        (b"\1\3" + encode_mark(MARK)[2:], "kind 3"),
        (encode_mark(MARK)[:54], "inside its table's name"),
        (b"\1\2" + encode_mark(MARK)[2:], "puts nothing has an item"),
        (encode_mark(MARK._replace(table_name="t", item=b"")).replace(b"t", b"\xff"), "not UTF-8"),
    ],
)
def test_what_is_wrong_with_it(data: bytes, says: str) -> None:
    with pytest.raises(CorruptMarkError, match=says):
        decode_mark(data)


def test_ids_have_their_length() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        encode_mark(MARK._replace(attempt=b"short"))
