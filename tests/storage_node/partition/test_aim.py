"""Who is asked next."""

from __future__ import annotations

import pytest

from storage_node.partition.aim import BACKOFF_S_MAX, BACKOFF_S_MIN, Aim


@pytest.mark.parametrize(("leader", "asked"), [(0, 1), (2, 2), (9, 1)])
def test_the_reported_leader_is_asked_first(leader: int, asked: int) -> None:
    assert Aim((1, 2, 3), leader).node_id == asked


def test_hints_are_followed_at_once() -> None:
    """Unless two members name each other for ever."""
    aim = Aim((1, 2, 3), 1)
    waits = [aim.missed(3), aim.missed(2), aim.missed(3), aim.missed(2)]
    assert aim.node_id == 2
    assert waits[:3] == [0.0] * 3
    assert waits[3] > 0


def test_without_a_hint_the_next_one_is_asked() -> None:
    """After a while that grows; or the same one, where that is the one to ask."""
    aim = Aim((1, 2, 3), 2)
    waits = [aim.missed(), aim.missed(2), aim.missed(9), aim.missed(may_be_another=False)]
    assert aim.node_id == 3
    assert waits == [0.02, 0.0, 0.08, 0.16]
    assert [aim.missed() for _ in range(30)][-1] == BACKOFF_S_MAX
    aim.hit()
    assert aim.missed() == 2 * BACKOFF_S_MIN


def test_members_change() -> None:
    """Who was asked goes on being asked if it is still one; what is reported counts where all were asked in vain."""
    aim = Aim((1, 2, 3), 2)
    aim.move((2, 3, 4), 4)
    assert aim.node_id == 2
    aim.move((3, 4, 5), 5)
    assert aim.node_id == 5
    aim.move((3, 4), 9)
    assert aim.node_id == 3
    for _ in range(3):
        aim.missed(may_be_another=False)
    aim.move((3, 4), 4)
    assert aim.node_id == 4
