"""What decisions are made on."""

from __future__ import annotations

from typing import cast

from storage_node.partition.in_flight import InFlightWrites
from storage_node.proposals import State
from storage_node.store import Store


class Stored:
    def get(self, key: bytes) -> bytes | None:
        return b"stored " + key


def test_a_decision_depends_on_the_newest_of_what_it_was_made_on() -> None:
    """In whatever order that was read: once that is committed, all before it are."""
    in_flight = InFlightWrites()
    in_flight.add([(b"a", b"1")])
    newer = in_flight.add([(b"b", None)])
    state = State(cast(Store, Stored()), in_flight)
    assert (state.get(b"c"), state.basis) == (b"stored c", None)
    assert (state.get(b"b"), state.basis) == (None, newer)
    assert (state.get(b"a"), state.basis) == (b"1", newer)


def test_what_is_decided_is_seen_by_what_is_decided_next() -> None:
    state = State(cast(Store, Stored()), InFlightWrites())
    state.put(((b"a", b"1"), (b"b", None)))
    assert (state.get(b"a"), state.get(b"b"), state.get(b"c")) == (b"1", None, b"stored c")
    assert state.basis is None
