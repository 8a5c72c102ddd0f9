"""Shard iterators: what is given out is what comes back, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests import shard_iterator
from router.requests.shard_iterator import ShardIterator, iterator_of
from router.requests.stream_names import StreamName
from server.model.errors import StatorError
from server.model.limits import ITERATOR_AGE_MS_MAX
from tests.router.requests.failing import refusal

INVALID = ("ValidationException", "Invalid ShardIterator")
STREAM = StreamName("music", "2026-11-26T18:30:00.123")
ITERATOR = ShardIterator(STREAM, 7, 10, 9, 250)
IDS = st.integers(0, 2**64 - 1)


@given(
    name=st.from_regex(r"[a-zA-Z0-9_.-]{3,255}", fullmatch=True),
    number=IDS,
    partition_id=IDS,
    after=st.none() | IDS,
    issued_ms=IDS,
)
def test_an_iterator_comes_back(name: str, number: int, partition_id: int, after: int | None, issued_ms: int) -> None:
    """As it was, and of the model's length."""
    iterator = ShardIterator(StreamName(name, STREAM.label), number, partition_id, after, issued_ms)
    assert iterator_of(iterator.text()) == iterator
    assert 1 <= len(iterator.text()) <= 2048


def test_the_example() -> None:
    """In the module's documentation is one."""
    assert f"`{ITERATOR.text()}`" in str(shard_iterator.__doc__)


@given(text=st.text())
def test_what_none_has_been_given(text: str) -> None:
    """Whatever a client makes up."""
    assert refusal(iterator_of, text) == INVALID


@given(position=st.integers(0, len(ITERATOR.text()) - 1), char=st.characters())
def test_what_has_been_changed(position: int, char: str) -> None:
    """One character is enough. (Some of the last one's bits mean nothing.)"""
    text = ITERATOR.text()
    changed = text[:position] + char + text[position + 1 :]
    try:
        assert iterator_of(changed) == ITERATOR
    except StatorError as error:
        assert (error.code, error.message) == INVALID
    else:
        assert changed == text or position == len(text.rstrip("=")) - 1


@pytest.mark.parametrize("text", [ITERATOR.text() + "|", ITERATOR.text()[:-2], ITERATOR.text()[:-8], "a|1|", "|1|"])
def test_what_is_not_whole(text: str) -> None:
    """Or more than that."""
    assert refusal(iterator_of, text) == INVALID


def test_an_iterator_expires() -> None:
    """After a quarter of an hour; one that another router's clock gave out in the future does not."""
    ITERATOR.check_age(0)
    ITERATOR.check_age(250 + ITERATOR_AGE_MS_MAX)
    assert refusal(ITERATOR.check_age, 2_000 + ITERATOR_AGE_MS_MAX) == (
        "ExpiredIteratorException",
        "Iterator expired. The iterator was created at time Thu Jan 01 00:00:00 UTC 1970 while right now it is Thu Jan "
        "01 00:15:02 UTC 1970 which is further in the future than the tolerated delay of 900000 milliseconds.",
    )
