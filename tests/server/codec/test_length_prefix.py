"""server/codec/length_prefix.py: frames out of pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.codec.length_prefix import LENGTH_BYTES, FrameReader, FrameTooLargeError


def framed(content: bytes) -> bytes:
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 60), max_size=20))
def test_frames_come_out_whole_however_they_are_cut(contents: list[bytes], lengths: list[int]) -> None:
    """In their order, each as soon as its last byte has come; an empty frame is one, too."""
    data = b"".join(framed(each) for each in contents)
    ends = [sum(LENGTH_BYTES + len(each) for each in contents[: count + 1]) for count in range(len(contents))]
    reader, found, at = FrameReader(), list[bytes](), 0
    for length in [*lengths, len(data)]:
        found += reader.feed(data[at : at + length])
        at = min(at + length, len(data))
        assert len(found) == sum(end <= at for end in ends)
    assert found == contents


def test_a_frame_that_is_too_large() -> None:
    """Nothing of it is waited for; one of the greatest length is a frame."""
    reader = FrameReader(bytes_max=10)
    assert reader.feed(framed(b"x" * 10)) == [b"x" * 10]
    with pytest.raises(FrameTooLargeError, match="11 bytes; at most 10"):
        reader.feed(framed(b"x" * 11)[:LENGTH_BYTES])


def test_a_frame_in_three_pieces() -> None:
    """Nothing comes out before the last of them, wherever the cuts are."""
    reader = FrameReader()
    data = framed(b"a frame") + framed(b"")
    assert [reader.feed(each) for each in (data[:2], data[2:3], data[3:6], data[6:9])] == [[], [], [], []]
    assert reader.feed(data[9:]) == [b"a frame", b""]
