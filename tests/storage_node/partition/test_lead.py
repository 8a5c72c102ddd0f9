"""How far writes may get ahead of indexes."""

from __future__ import annotations

import pytest

from storage_node.partition.lead import CHANGES_MAX, HOLD_S_MAX, Lead


def test_few_writers_are_never_held() -> None:
    lead = Lead()
    assert not any(lead.is_too_long(CHANGES_MAX - 1, each / 10) for each in range(10))


def test_many_gather_until_the_index_has_taken_enough() -> None:
    """However often it takes something: as long as it does, and is too far behind, they are held."""
    lead = Lead()
    for number in range(5):
        now_s = number * HOLD_S_MAX * 0.9
        assert lead.is_too_long(CHANGES_MAX + 10, now_s)
        assert lead.is_too_long(CHANGES_MAX, now_s + HOLD_S_MAX / 2)
        lead.taken()
    assert not lead.is_too_long(CHANGES_MAX - 1, 1.0)


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
