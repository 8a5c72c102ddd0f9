"""Recent writes: a retry is recognised, by every member alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.ballot import ZERO, Ballot
from storage_node.partition.recent_writes import (
    AGE_MS_MAX,
    SLOTS_MAX,
    CorruptRecentWritesError,
    RecentWrites,
)


def token(number: int) -> bytes:
    return number.to_bytes(16, "big")


LOGS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 400)), max_size=60)
"""(token, time) of each slot; times may go back, where an earlier leader's entry lies behind a later one's."""


@given(LOGS, st.integers(1, 200), st.integers(1, 20))
def test_an_entry_is_carried_out_unless_its_token_was_within_the_window(
    log: list[tuple[int, int]], age_ms_max: int, slots_max: int
) -> None:
    """Against the rule itself, spelled out slowly: so many slots, so much of the log's time, which never goes back."""
    recent = RecentWrites(age_ms_max, slots_max)
    carried_out: list[tuple[int, int, int]] = []  # token, slot, log time
    now_ms = 0
    for slot, (number, clock_ms) in enumerate(log, 1):
        now_ms = max(now_ms, clock_ms)
        expected = not any(
            known == number and at_slot >= slot - slots_max and at_ms >= now_ms - age_ms_max
            for known, at_slot, at_ms in carried_out
        )
        assert recent.admit(token(number), slot, clock_ms, ZERO) is expected
        if expected:
            carried_out.append((number, slot, now_ms))
        assert recent.seen(token(number))
        assert len(recent) <= slots_max + 1
        assert recent.now_ms == now_ms


@given(LOGS, st.integers(0, 60))
def test_a_member_that_starts_from_a_checkpoint_decides_as_the_others(log: list[tuple[int, int]], at: int) -> None:
    """What is encoded holds all that later decisions depend on."""
    straight, restarted = RecentWrites(), RecentWrites()
    for slot, (number, clock_ms) in enumerate(log, 1):
        if slot == at:
            restarted = RecentWrites.decode(restarted.encode())
        decided = straight.admit(token(number), slot, clock_ms * 100, Ballot(number // 4, 1))
        assert restarted.admit(token(number), slot, clock_ms * 100, Ballot(number // 4, 1)) is decided
    assert restarted.encode() == straight.encode()


def test_nothing_is_carried_out_behind_a_later_leaders() -> None:
    """What a leader that was cut off proposed, and an election brought back, was decided on a state that never was."""
    recent = RecentWrites()
    assert recent.admit(token(1), 1, 5, Ballot(1, 1))
    assert recent.admit(token(2), 2, 5, Ballot(2, 2))
    assert not recent.admit(token(3), 3, 5, Ballot(1, 1))
    assert not recent.seen(token(3))
    assert not recent.admit(b"", 4, 5, Ballot(2, 1))
    assert recent.admit(token(3), 5, 5, Ballot(3, 1))
    assert recent.admit(b"", 6, 5, Ballot(3, 1))
    assert len(recent) == 3


def test_what_rests_on_an_entry_that_was_replaced_is_not_carried_out() -> None:
    """Between two entries of one leader lies one of an earlier leader's: it took the place of what the second was
    decided upon. Nothing more of that leader counts, also after a restart; the next leader's does."""
    recent = RecentWrites()
    assert recent.admit(b"", 1, 5, Ballot(2, 2))
    assert not recent.admit(token(1), 2, 5, Ballot(1, 3))
    for each in (recent, RecentWrites.decode(recent.encode())):
        assert not each.admit(token(2), 3, 5, Ballot(2, 2))
        assert not each.admit(token(2), 4, 5, Ballot(2, 1))
        assert each.admit(token(2), 5, 5, Ballot(2, 3))
        assert each.admit(token(3), 6, 5, Ballot(2, 3))
        assert RecentWrites.decode(each.encode()).admit(token(4), 7, 5, Ballot(2, 3))


def test_the_limits() -> None:
    """Ten seconds of the log's time, and as many slots: the last that counts does, one further does not."""
    for ms, slots, is_repeat in ((AGE_MS_MAX, 1, True), (AGE_MS_MAX + 1, 1, False)):
        recent = RecentWrites()
        assert recent.admit(token(1), 1, 5, ZERO)
        assert recent.admit(token(1), 1 + slots, 5 + ms, ZERO) is not is_repeat
    for slots, is_repeat in ((SLOTS_MAX, True), (SLOTS_MAX + 1, False)):
        recent = RecentWrites()
        assert recent.admit(token(1), 1, 5, ZERO)
        assert recent.admit(token(1), 1 + slots, 5, ZERO) is not is_repeat


def test_what_is_forgotten_takes_no_room() -> None:
    """The encoding holds what is remembered and nothing else, however long it goes on."""
    recent = RecentWrites(age_ms_max=10**9, slots_max=100)
    for slot in range(1, 20_000):
        assert recent.admit(token(slot), slot, slot, ZERO)
    assert len(recent) == 101
    assert len(recent.encode()) == 33 + 101 * 32
    assert len(recent._entries) < 3 * 64 * 1024


@given(st.integers(0, 5), st.data())
def test_any_truncation_is_noticed(count: int, data: st.DataObject) -> None:
    """A part of what was encoded would forget writes, and have their retries carried out."""
    recent = RecentWrites()
    for number in range(count):
        recent.admit(token(number), number + 1, 1, Ballot(2, 3))
    encoded = recent.encode()
    with pytest.raises(CorruptRecentWritesError):
        RecentWrites.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@pytest.mark.parametrize("change", ["", "short", "version", "count", "long", "twice"])
def test_what_is_not_as_it_was_encoded_is_refused(change: str) -> None:
    """Another version, another length, a token twice."""
    recent = RecentWrites()
    recent.admit(token(1), 1, 1, Ballot(2, 3))
    recent.admit(token(2), 2, 1, Ballot(2, 3))
    data = recent.encode()
    changed = {
        "": data,
        "short": data[:28],
        "version": b"\x01" + data[1:],
        "count": data[:25] + b"\x03" + data[26:],
        "long": data + b"\0",
        "twice": data[:29] + data[29:61] * 2,
    }[change]
    if not change:
        assert RecentWrites.decode(changed).encode() == data
    else:
        with pytest.raises(CorruptRecentWritesError):
            RecentWrites.decode(changed)


def test_results_are_remembered_with_their_tokens() -> None:
    """A retry gets what the first attempt returned, for as long as it is recognised; also after a restart."""
    recent = RecentWrites(100, 50)
    assert recent.admit(token(1), 1, 5, ZERO, b"one")
    assert recent.admit(token(2), 2, 5, ZERO)
    assert not recent.admit(token(1), 3, 5, ZERO, b"another")
    for each in (recent, RecentWrites.decode(recent.encode())):
        assert (each.result(token(1)), each.result(token(2)), each.result(token(3))) == (b"one", None, None)
        assert each.encode() == recent.encode()
    assert recent.admit(token(3), 4, 50, ZERO, b"three")
    assert recent.admit(token(4), 5, 500, ZERO)
    assert recent.result(token(1)) is None
    assert len(recent.encode()) == len(RecentWrites().encode()) + 32


def test_results_have_a_bound_of_their_own() -> None:
    """The oldest results go first; the tokens stay."""
    recent = RecentWrites(result_bytes_max=250)
    for number in range(10):
        assert recent.admit(token(number), number + 1, 5, ZERO, bytes(80))
    assert [recent.result(token(number)) is not None for number in range(10)] == [False] * 8 + [True] * 2
    assert all(recent.seen(token(number)) for number in range(10))
    assert recent.admit(token(10), 11, 5, ZERO, bytes(300))
    assert recent.result(token(10)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:29] + b"\x02" + data[30:] + b"short",
        lambda data: data[:-3] + b"x",
        lambda data: data[:-23] + bytes(20) + data[-3:],
        lambda data: data[:29] + b"\x02" + data[30:],
        lambda data: data[:29] + b"\x02" + data[30:] + data[-23:],
    ],
)
def test_results_that_are_not_what_was_encoded(damage: Callable[[bytes], bytes]) -> None:
    """Lengths, and that each result has its token once, are looked at."""
    recent = RecentWrites()
    recent.admit(token(1), 1, 5, ZERO, b"one")
    with pytest.raises(CorruptRecentWritesError):
        RecentWrites.decode(damage(recent.encode()))


def test_a_token_is_remembered_once() -> None:
    """Twice is damage."""
    recent = RecentWrites()
    recent.admit(token(1), 1, 5, ZERO)
    data = recent.encode()
    with pytest.raises(CorruptRecentWritesError, match="twice"):
        RecentWrites.decode(data[:25] + b"\x02" + data[26:33] + data[33:] * 2)


def test_what_the_version_before_wrote() -> None:
    """Is read: it had tokens, and no results."""
    recent = RecentWrites()
    recent.admit(token(1), 1, 5, ZERO)
    new = recent.encode()
    old = b"\x02" + new[1:29] + new[33:]
    assert RecentWrites.decode(old).encode() == new
    with pytest.raises(CorruptRecentWritesError):
        RecentWrites.decode(old[:-1])
    with pytest.raises(CorruptRecentWritesError):
        RecentWrites.decode(b"\x02" + bytes(20))
