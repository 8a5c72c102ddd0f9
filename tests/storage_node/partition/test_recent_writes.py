"""Recent writes: what is remembered, for how long, and that it survives encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_node.partition.recent_writes import CorruptRecentWritesError, RecentWrites


def token(number: int) -> bytes:
    return number.to_bytes(16, "big")


@given(st.integers(2, 9), st.lists(st.integers(0, 30), max_size=60))
def test_the_last_half_is_known_and_no_more_than_all(tokens_max: int, numbers: list[int]) -> None:
    """The last tokens_max // 2 tokens are known; there are never more than tokens_max."""
    recent = RecentWrites(tokens_max=tokens_max, age_ms_max=10**9)
    for count, number in enumerate(numbers, 1):
        recent.remember(token(number), now_ms=count)
        assert len(recent) <= tokens_max
        assert all(recent.seen(token(n)) for n in numbers[max(0, count - tokens_max // 2) : count])
    assert not recent.seen(token(99))


@given(st.lists(st.integers(0, 300), max_size=40).map(sorted))
def test_the_young_are_known_and_the_old_go(times_ms: list[int]) -> None:
    """A token is known for age_ms_max; after twice that, the next one drops it."""
    recent = RecentWrites(tokens_max=1000, age_ms_max=50)
    for number, now_ms in enumerate(times_ms):
        recent.remember(token(number), now_ms)
        for older, then_ms in enumerate(times_ms[: number + 1]):
            if now_ms - then_ms < 50:
                assert recent.seen(token(older))
    recent.remember(token(400), 1_000)
    recent.remember(token(401), 1_050)
    assert not any(recent.seen(token(number)) for number in range(len(times_ms)))


@given(st.lists(st.integers(0, 50), max_size=50))
def test_round_trip(numbers: list[int]) -> None:
    """What is decoded knows what was encoded, and encodes to the same."""
    recent = RecentWrites(tokens_max=20)
    for number in numbers:
        recent.remember(token(number), 0)
    decoded = RecentWrites.decode(recent.encode(), now_ms=5)
    assert decoded.encode() == recent.encode()
    assert all(decoded.seen(token(n)) == recent.seen(token(n)) for n in range(51))


def test_other_bytes_are_refused() -> None:
    """Bytes of another version or length are refused, and a limit that remembers nothing."""
    data = RecentWrites().encode()
    for other in (data[:-1], data + b"x", b"\x02" + data[1:]):
        with pytest.raises(CorruptRecentWritesError):
            RecentWrites.decode(other)
    with pytest.raises(ValueError, match="at least 2"):
        RecentWrites(tokens_max=1)
