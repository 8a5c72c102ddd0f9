"""How far writes may get ahead of indexes."""

from __future__ import annotations

import pytest

from storage_node.partition.lead import CHANGES_MAX, HOLD_S_MAX, Lead


def test_few_writers_are_never_held() -> None:
    lead = Lead()
    assert not any(lead.is_too_long(CHANGES_MAX - 1, each / 10) for each in range(10))


def test_many_gather_until_the_index_has_taken_enough() -> None:
    lead = Lead()
    assert lead.is_too_long(CHANGES_MAX + 10, 1.0)
    lead.taken()
    assert lead.is_too_long(CHANGES_MAX, 1.0 + HOLD_S_MAX / 2)
    lead.taken()
    assert not lead.is_too_long(CHANGES_MAX - 1, 1.0 + HOLD_S_MAX * 0.9)


def test_an_index_that_catches_up_holds_nothing_for_long() -> None:
    """However often it takes something of the many that wait."""
    lead = Lead()
    held = []
    for each in range(1000):
        lead.taken()
        held.append(lead.is_too_long(10**6 - each, each * HOLD_S_MAX / 10))
    assert held.count(False) >= 80
    assert any(held)


@pytest.mark.parametrize("waiting", [CHANGES_MAX, 10**6])
def test_an_index_that_does_not_take_anything_is_not_waited_for(waiting: int) -> None:
    """Writes are held once, for a moment; and again when it has taken something."""
    lead = Lead()
    assert lead.is_too_long(waiting, 1.0)
    assert not lead.is_too_long(waiting, 1.0 + 2 * HOLD_S_MAX)
    assert not lead.is_too_long(waiting, 2.0)
    assert not lead.is_too_long(waiting, 3.0)
    lead.taken()
    assert lead.is_too_long(waiting, 4.0)
    assert not lead.is_too_long(waiting, 4.0 + 2 * HOLD_S_MAX)


def test_a_hold_begins_anew_where_it_was_short_enough_before() -> None:
    """What was held a second ago, and has been let go, counts for nothing."""
    lead = Lead()
    assert lead.is_too_long(CHANGES_MAX, 1.0)
    assert not lead.is_too_long(CHANGES_MAX - 1, 1.0)
    assert lead.is_too_long(CHANGES_MAX, 2.0)
