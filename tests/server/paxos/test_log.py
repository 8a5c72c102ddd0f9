"""The log in memory: without a hole, its committed part unchanged, its size known."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.ballot import Ballot
from server.paxos.log import Log
from server.paxos.messages import Run

ONE, TWO, THREE = Ballot(1, 1), Ballot(2, 2), Ballot(3, 3)


def log(*entries: tuple[Ballot, bytes], first_slot: int = 1, commit_slot: int | None = None) -> Log:
    return Log(first_slot, entries, first_slot - 1 if commit_slot is None else commit_slot)


def contents(found: Log) -> list[tuple[Ballot, bytes]]:
    return [found.entry(slot) for slot in range(found.first_slot, found.last_slot + 1)]


def check(found: Log) -> None:
    assert found.first_slot - 1 <= found.commit_slot <= found.last_slot
    assert found.bytes == sum(len(payload) for _, payload in contents(found))


@pytest.mark.parametrize(("first_slot", "commit_slot"), [(1, 2), (1, -1), (5, 3), (5, 6)])
def test_what_cannot_be_is_refused(first_slot: int, commit_slot: int) -> None:
    """Trimmed but not committed, or committed but not there."""
    with pytest.raises(AssertionError):
        Log(first_slot, [(ONE, b"x")], commit_slot)


def test_a_trimmed_entry_is_not_there() -> None:
    """Asking for it is the caller's mistake, never another entry."""
    with pytest.raises(AssertionError):
        log((ONE, b"x"), first_slot=5).entry(4)


def test_a_run_replaces_what_is_there_and_leaves_what_follows() -> None:
    """An acceptor forgets nothing that it has accepted: it may be the one that an acknowledged entry is on."""
    found = log((ONE, b"a"), (ONE, b"bb"), (ONE, b"ccc"), (ONE, b"dddd"))
    found.write(Run(TWO, 2, (b"B", b"C")))
    assert contents(found) == [(ONE, b"a"), (TWO, b"B"), (TWO, b"C"), (ONE, b"dddd")]
    check(found)
    found.write(Run(THREE, 4, (b"D", b"E")))
    assert contents(found)[3:] == [(THREE, b"D"), (THREE, b"E")]
    check(found)


@pytest.mark.parametrize("first_slot", [2, 6])
def test_a_run_changes_nothing_committed_and_leaves_no_hole(first_slot: int) -> None:
    """Slot 2 is committed; slot 5 is the next one."""
    with pytest.raises(AssertionError):
        log((ONE, b"a"), (ONE, b"b"), (ONE, b"c"), (ONE, b"d"), commit_slot=2).write(Run(TWO, first_slot, (b"x",)))


def test_runs_end_where_the_ballot_changes_or_the_bytes_do() -> None:
    """At least one entry comes, however large; a range without entries has no runs."""
    found = log((ONE, b"aa"), (ONE, b"bb"), (TWO, b"cc"), (ONE, b"dd"), first_slot=11)

    def runs(first: int, last: int, bytes_max: int) -> list[tuple[Ballot, int, tuple[bytes, ...]]]:
        return [(run.ballot, run.first_slot, run.payloads) for run in found.runs(first, last, bytes_max)]

    assert runs(11, 14, 100) == [(ONE, 11, (b"aa", b"bb")), (TWO, 13, (b"cc",)), (ONE, 14, (b"dd",))]
    assert runs(12, 13, 100) == [(ONE, 12, (b"bb",)), (TWO, 13, (b"cc",))]
    assert runs(11, 14, 6) == [(ONE, 11, (b"aa", b"bb")), (TWO, 13, (b"cc",))]
    assert runs(11, 14, 5) == [(ONE, 11, (b"aa", b"bb"))]
    assert runs(11, 14, 1) == [(ONE, 11, (b"aa",))]
    assert runs(15, 14, 100) == []


def test_trimming_forgets_only_what_is_committed() -> None:
    """Twice the same slot, or an older one, changes nothing."""
    found = log((ONE, b"a"), (ONE, b"bb"), (ONE, b"ccc"), commit_slot=2)
    found.trim(2)
    for slot in (2, 1, 0):
        found.trim(slot)
        assert (found.first_slot, found.bytes, contents(found)) == (3, 3, [(ONE, b"ccc")])
    with pytest.raises(AssertionError):
        found.trim(3)


@pytest.mark.parametrize(("slot", "kept"), [(2, [b"ccc"]), (3, []), (7, [])])
def test_a_snapshot_stands_for_everything_up_to_it(slot: int, kept: list[bytes]) -> None:
    """What was accepted after it stays."""
    found = log((ONE, b"a"), (ONE, b"bb"), (ONE, b"ccc"))
    found.reset(slot)
    assert (found.first_slot, found.commit_slot) == (slot + 1, slot)
    assert [payload for _, payload in contents(found)] == kept
    check(found)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "commit", "trim", "reset"]),
        st.integers(0, 6),
        st.lists(st.binary(max_size=4), min_size=1, max_size=4),
    ),
    max_size=30,
)


@given(STEPS)
def test_a_log_is_what_was_written_to_it(steps: list[tuple[str, int, list[bytes]]]) -> None:
    """Against a plain dictionary of slots: same entries, no hole, sizes right, the committed part unchanged."""
    found, model, committed = log(), dict[int, tuple[Ballot, bytes]](), dict[int, bytes]()
    for number, (kind, offset, payloads) in enumerate(steps):
        ballot = Ballot(number + 1, 1)
        if kind == "write":
            first_slot = min(found.commit_slot + 1 + offset, found.last_slot + 1)
            found.write(Run(ballot, first_slot, tuple(payloads)))
            model.update({slot: (ballot, payload) for slot, payload in enumerate(payloads, first_slot)})
        elif kind == "commit":
            found.commit_slot = min(found.commit_slot + offset, found.last_slot)
        elif kind == "trim":
            found.trim(min(found.first_slot + offset, found.commit_slot))
        else:
            found.reset(found.commit_slot + 1 + offset)
        model = {slot: entry for slot, entry in model.items() if slot >= found.first_slot}
        assert dict(enumerate(contents(found), found.first_slot)) == model
        assert found.payloads(found.first_slot, found.last_slot) == tuple(payload for _, payload in contents(found))
        check(found)
        for slot in range(found.first_slot, found.commit_slot + 1):
            assert committed.setdefault(slot, found.entry(slot)[1]) == found.entry(slot)[1]


@given(
    st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.binary(max_size=5)), max_size=12),
    st.integers(1, 13),
    st.integers(0, 30),
)
def test_runs_are_the_entries(entries: list[tuple[Ballot, bytes]], first_slot: int, bytes_max: int) -> None:
    """Put together, they are a prefix of what was asked for, as long as the bytes allow; no two that could be one."""
    found = log(*entries)
    first_slot = min(first_slot, found.last_slot + 1)
    runs = found.runs(first_slot, found.last_slot, bytes_max)
    flat = [(run.ballot, payload) for run in runs for payload in run.payloads]
    assert flat == entries[first_slot - 1 :][: len(flat)]
    assert [run.first_slot for run in runs[1:]] == [run.last_slot + 1 for run in runs[:-1]]
    assert all(one.ballot != two.ballot for one, two in pairwise(runs))
    size = sum(len(payload) for _, payload in flat)
    assert size <= bytes_max or len(flat) == 1
    rest = entries[first_slot - 1 + len(flat) :]
    assert not rest or (flat and size + len(rest[0][1]) > bytes_max)
