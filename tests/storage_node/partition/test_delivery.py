"""What is on its way to an index's partitions: everything once, in order, whatever is lost or comes twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model.partition_map import PartitionMap
from storage_node.codec.change import EntryChange
from storage_node.codec.index_batch import BatchEntry, IndexBatch
from storage_node.partition import delivery as module
from storage_node.partition.delivery import Delivery

MAP = PartitionMap((b"", b"h", b"p"), (10, 11, 12))
INDEX = 5


def change(slot: int, *entries: tuple[str, str | None]) -> tuple[int, tuple[EntryChange, ...]]:
    made = [EntryChange(INDEX, name.encode(), None if item is None else item.encode()) for name, item in entries]
    return slot, tuple(made)


def entry(slot: int, name: str, item: str | None) -> BatchEntry:
    return BatchEntry(slot, name.encode(), None if item is None else item.encode())


def test_each_target_gets_what_is_its() -> None:
    """In one batch, of which one is under way at a time; all have everything up to where the first one lacks some."""
    delivery = Delivery(1, MAP, 4)
    assert (delivery.taken_slot, delivery.idle()) == (4, [])
    delivery.read([change(5, ("a", "1"), ("z", "1")), change(7, ("a", None), ("b", "2"))], 9)
    assert (delivery.taken_slot, delivery.idle()) == (4, [10, 12])
    assert delivery.next_batch(10) == IndexBatch(1, 7, (entry(5, "a", "1"), entry(7, "a", None), entry(7, "b", "2")))
    delivery.read([change(11, ("c", "3"), ("i", "3"))], 11)
    assert delivery.idle() == [11, 12]
    delivery.ended(10, is_taken=True)
    assert delivery.taken_slot == 4
    delivery.next_batch(12)
    delivery.ended(12, is_taken=True)
    assert delivery.taken_slot == 10
    for target in delivery.idle():
        delivery.next_batch(target)
        delivery.ended(target, is_taken=True)
    assert (delivery.taken_slot, delivery.idle()) == (11, [])


def test_what_was_not_taken_is_sent_again() -> None:
    """With what has come meanwhile."""
    delivery = Delivery(1, MAP, 0)
    delivery.read([change(1, ("a", "1"))], 1)
    first = delivery.next_batch(10)
    delivery.read([change(2, ("a", "2"))], 2)
    delivery.ended(10, is_taken=False)
    again = delivery.next_batch(10)
    assert again.entries[: len(first.entries)] == first.entries
    assert again.up_to_slot == 2


def test_a_batch_and_what_waits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends between two slots; a slot is not divided."""
    monkeypatch.setattr(module, "BATCH_BYTES_MAX", 40)
    monkeypatch.setattr(module, "WAITING_BYTES_MAX", 100)
    delivery = Delivery(1, MAP, 0)
    rooms = [delivery.has_room]
    delivery.read([change(slot, ("a", "12345"), ("b", "12345"), ("c", "12345")) for slot in (1, 2)], 2)
    rooms.append(delivery.has_room)
    assert [each.slot for each in delivery.next_batch(10).entries] == [1, 1, 1]
    delivery.ended(10, is_taken=True)
    assert [*rooms, delivery.has_room] == [True, False, True]
    assert delivery.taken_slot == 1


class Target:
    """A partition of the index, as storage_node/taking.py has it."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.taken_slot = 0

    def take(self, batch: IndexBatch) -> None:
        for slot, position, item in batch.entries:
            if slot <= self.taken_slot:
                continue
            if item is None:
                self.entries.pop(position, None)
            else:
                self.entries[position] = item
        self.taken_slot = max(self.taken_slot, batch.up_to_slot)


POSITIONS = st.sampled_from("abhiqz")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.tuples(POSITIONS, st.none() | st.sampled_from("xyz")), max_size=3)),
        st.tuples(st.sampled_from(["read", "lead", "old leader sends", "trim"]), st.none()),
        st.tuples(
            st.just("send"), st.sampled_from([(taken, told) for taken in (True, False) for told in (True, False)])
        ),
    ),
    max_size=60,
)


@given(STEPS)
def test_an_index_has_every_change_once(steps: list[tuple[str, object]]) -> None:
    """Batches and answers are lost, batches of former leaders come late, leaders begin where the log says."""
    log: list[tuple[int, tuple[EntryChange, ...]]] = []
    targets = {each: Target() for each in MAP.partition_ids}
    logged_taken = 0  # what the feed's row says
    delivery = Delivery(1, MAP, 0)
    late: list[tuple[int, IndexBatch]] = []

    def read() -> None:
        last = log[-1][0] if log else 0
        delivery.read([each for each in log if each[0] > delivery.read_slot], max(last, delivery.read_slot))

    for kind, argument in steps:
        if kind == "write":
            assert isinstance(argument, list)
            log.append(change(len(log) + 1, *dict(argument).items()))
        elif kind == "read":
            read()
        elif kind == "trim":
            assert delivery.taken_slot >= logged_taken
            logged_taken = delivery.taken_slot
        elif kind == "lead":
            late += [(target, delivery.next_batch(target)) for target in delivery.idle()]
            delivery = Delivery(1, MAP, logged_taken)
        elif kind == "old leader sends" and late:
            target, batch = late.pop()
            targets[target].take(batch)
        elif kind == "send":
            assert isinstance(argument, tuple)
            is_taken, is_told = argument
            for target in delivery.idle():
                batch = delivery.next_batch(target)
                if is_taken:
                    targets[target].take(batch)
                delivery.ended(target, is_taken=is_taken and is_told)
    read()
    while idle := delivery.idle():
        for target in idle:
            targets[target].take(delivery.next_batch(target))
            delivery.ended(target, is_taken=True)
    for target, batch in late:
        targets[target].take(batch)
    expected: dict[int, dict[bytes, bytes]] = {each: {} for each in targets}
    for _, entries in log:
        for _, position, item in entries:
            held = expected[MAP.partition_of(position)]
            if item is None:
                held.pop(position, None)
            else:
                held[position] = item
    assert {each: target.entries for each, target in targets.items()} == expected
    assert delivery.taken_slot == (log[-1][0] if log else delivery.read_slot)
