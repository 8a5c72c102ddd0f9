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
    waits = [aim.missed(aim.node_id, failures, 3 if failures % 2 else 2) for failures in (1, 2, 3, 4)]
    assert aim.node_id == 2
    assert waits[:3] == [0.0] * 3
    assert waits[3] > 0


def test_without_a_hint_the_next_one_is_asked() -> None:
    """After a while that grows; or the same one, where that is the one to ask."""
    aim = Aim((1, 2, 3), 2)
    steps = [(2, 0, 3, 0.02), (3, 2, 2, 0.0), (2, 9, 3, 0.08), (3, 3, 1, 0.16)]
    for failures, (asked, hint, then, wait) in enumerate(steps, 1):
        assert aim.node_id == asked
        assert (aim.missed(asked, failures, hint), aim.node_id) == (wait, then)
    assert (aim.missed(1, 5, may_be_another=False), aim.node_id) == (0.32, 1)
    assert aim.missed(aim.node_id, 30) == BACKOFF_S_MAX
    assert aim.missed(aim.node_id, 10_000) == BACKOFF_S_MAX
    aim.hit(aim.node_id)
    assert aim.missed(aim.node_id, 1) == 2 * BACKOFF_S_MIN


def test_those_who_asked_the_same_one_do_not_turn_twice() -> None:
    """The second asks whom the first was told of, at once, though it was told of nobody; so does who was late."""
    aim = Aim((1, 2, 3), 1)
    assert (aim.missed(1, 1, 2), aim.node_id) == (0.0, 2)
    assert (aim.missed(1, 1, 2), aim.node_id) == (0.0, 2)
    assert (aim.missed(1, 1), aim.node_id) == (0.0, 2)
    assert (aim.missed(1, 1, 3), aim.node_id) == (0.0, 2)
    assert aim.missed(1, 9) > 0


def test_who_did_it_leads() -> None:
    """Whatever others have made of it meanwhile; unless it is no member any more."""
    aim = Aim((1, 2, 3), 1)
    aim.missed(1, 1)
    aim.hit(1)
    assert aim.node_id == 1
    aim.hit(9)
    assert aim.node_id == 1


def test_members_change() -> None:
    """Who was asked goes on being asked if it is still one; what is reported counts where all were asked in vain."""
    aim = Aim((1, 2, 3), 2)
    aim.move((2, 3, 4), 4)
    assert aim.node_id == 2
    aim.move((3, 4, 5), 5)
    assert aim.node_id == 5
    aim.move((3, 4), 9)
    assert aim.node_id == 3
    for failures in (1, 2, 3):
        aim.missed(3, failures, may_be_another=False)
    aim.move((3, 4), 4)
    assert aim.node_id == 4


def test_who_was_named_by_a_member_is_asked_before_what_is_reported_counts() -> None:
    """What is reported may be wrong for long, and come more often than anybody is asked."""
    aim = Aim((1, 2, 3), 1)
    for failures in (1, 2, 3, 4):
        aim.missed(1, failures, may_be_another=False)
    assert aim.missed(1, 5, 2) > 0
    aim.move((1, 2, 3), 3)
    assert aim.node_id == 2
    aim.missed(2, 6)
    aim.move((1, 2, 3), 1)
    assert aim.node_id == 1
    aim.missed(1, 7, 2)
    aim.move((1, 3), 3)
    assert aim.node_id == 3
