"""Pending changes against a list of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage_node.partition import pending_changes
from storage_node.partition.pending_changes import PendingChanges

STEPS = st.lists(st.tuples(st.sampled_from(("add", "add", "forget", "clear")), st.integers(1, 9)), max_size=60)


def compare(pending: PendingChanges, model: list[tuple[int, int, int]]) -> None:
    slots = [slot for slot, _, _ in model]
    assert len(pending) == len(model)
    assert pending.bytes == sum(size for _, size, _ in model)
    assert pending.last_slot == (slots[-1] if slots else 0)
    for slot in range(max(slots, default=0) + 2):
        behind = [each for each in model if each[0] > slot]
        assert pending.count_after(slot) == len(behind)
        assert list(pending.slots_after(slot, 3)) == [each[0] for each in behind[:3]]
        assert list(pending.slots_up_to(slot, 2)) == [each for each in slots if each <= slot][:2]
        assert pending.time_ms_after(slot) == (behind[0][2] if behind else None)


@given(STEPS)
def test_against_a_list(steps: list[tuple[str, int]]) -> None:
    """Whatever is added and forgotten, and asked in between."""
    pending, model, last = PendingChanges(), [], 0
    for step, number in steps:
        if step == "add":
            last += number
            pending.add(last, number, 100 + last)
            model.append((last, number, 100 + last))
        elif step == "forget":
            until = last - number
            pending.forget(until)
            model = [each for each in model if each[0] > until]
        else:
            pending.clear()
            model.clear()
        compare(pending, model)


def test_memory_is_given_back() -> None:
    """What is forgotten does not stay in memory, while little is kept."""
    pending = PendingChanges()
    for slot in range(1, 50_000):
        pending.add(slot, 1, slot)
        pending.forget(slot - 10)
        assert len(pending._slots) <= 2 * pending_changes._COMPACT_ROWS + 10
    assert list(pending.slots_after(0, 20)) == list(range(49_990, 50_000))
    assert pending.bytes == 10
