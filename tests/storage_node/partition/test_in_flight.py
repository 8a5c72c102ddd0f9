"""Writes in flight: the newest value of a key, and who waits for what it was read from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_node.partition.in_flight import InFlight, InFlightWrites

WRITES = st.lists(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(max_size=2)),
                           min_size=1, max_size=3, unique_by=lambda write: write[0]), max_size=8)  # fmt: skip


@given(WRITES, st.data())
def test_the_newest_value_wins(writes: list[list[tuple[bytes, bytes | None]]], data: st.DataObject) -> None:
    """Against a list of all writes in flight; they end in the order in which they came, or the newest first."""
    in_flight = InFlightWrites()
    model: list[tuple[InFlight, dict[bytes, bytes | None]]] = []
    for write in writes:
        model.append((in_flight.add(write), dict(write)))
        while len(model) > 0 and data.draw(st.booleans()):
            ended, _ = model.pop(data.draw(st.sampled_from([0, -1])))
            in_flight.end(ended, is_committed=True)
        for key in (b"a", b"b", b"c"):
            expected = next(((each[key], write) for write, each in reversed(model) if key in each), None)
            assert in_flight.newest(key) == expected
    for ended, _ in model:
        in_flight.end(ended, is_committed=True)
    assert len(in_flight) == 0


@pytest.mark.parametrize("is_committed", [True, False])
def test_dependents_are_told(is_committed: bool) -> None:
    """Each once, of what became of the write that they had read from."""
    in_flight = InFlightWrites()
    first, second = in_flight.add([(b"k", b"1")]), in_flight.add([(b"k", b"2")])
    told: list[tuple[str, bool]] = []
    first.add_dependent(lambda outcome: told.append(("first", outcome)))
    second.add_dependent(lambda outcome: told.append(("second", outcome)))
    second.add_dependent(lambda outcome: told.append(("another", outcome)))
    in_flight.end(first, is_committed=True)
    assert told == [("first", True)]
    in_flight.end(second, is_committed=is_committed)
    assert told == [("first", True), ("second", is_committed), ("another", is_committed)]


def test_writes_do_not_end_in_the_middle() -> None:
    """That would be a log with a hole."""
    in_flight = InFlightWrites()
    _, middle, _ = (in_flight.add([(b"k", bytes((number,)))]) for number in range(3))
    with pytest.raises(AssertionError, match="in order"):
        in_flight.end(middle, is_committed=True)


def test_the_keys_in_a_range() -> None:
    """In order, once each, as long as something of them is in flight."""
    in_flight = InFlightWrites()
    first = in_flight.add([(b"c", b"1"), (b"a", b"1"), (b"d", b"1")])
    in_flight.add([(b"c", None), (b"b", b"2")])
    assert in_flight.keys_between(b"b", b"d") == [b"b", b"c"]
    in_flight.end(first, is_committed=True)
    assert in_flight.keys_between(b"", b"z") == [b"b", b"c"]
