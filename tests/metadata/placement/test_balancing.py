"""Which replica moves so that a zone's nodes hold about as many, and that there is an end to it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.placement.balancing import Move, Placed, needs_move, next_move

ZONES = {1: "a", 2: "b", 3: "c", 4: "a", 5: "b", 6: "c", 7: "a"}


def held(placed: list[Placed]) -> Counter[int]:
    return Counter(node_id for each in placed for node_id in each.node_ids)


@pytest.mark.parametrize(
    ("placed", "zones", "move"),
    [
        ([], ZONES, None),
        ([Placed(100, (1, 2, 3), 2)], ZONES, None),  # one and none: that is even
        ([Placed(100, (1, 2, 3), 1), Placed(101, (1, 2, 3), 2)], {1: "a", 4: "a"}, Move(101, 1, 4)),  # 100 leads there
        ([Placed(100, (1, 2, 3), 1), Placed(101, (1, 2, 3), 1)], {1: "a", 4: "a"}, Move(100, 1, 4)),
        ([Placed(100, (1, 2, 3), 2), Placed(101, (1, 2, 3), 2)], {1: "a", 4: "a"}, Move(100, 1, 4)),
        ([Placed(100, (1, 2, 3), 2, {4}), Placed(101, (1, 2, 3), 2)], {1: "a", 4: "a"}, Move(101, 1, 4)),
        ([Placed(100, (1, 2, 3), 2, {4}), Placed(101, (1, 2, 3), 2, {4})], {1: "a", 4: "a"}, None),
        # What evens out most: three against one before two against none.
        (
            [
                *(Placed(100, (1, 2, 3), 2), Placed(101, (1, 2, 3), 2), Placed(102, (1, 5, 6), 5)),
                Placed(103, (1, 5, 6), 5),
            ],
            {1: "a", 2: "b", 4: "a", 8: "b"},
            Move(100, 1, 4),
        ),
        # A node that takes no part neither gets nor gives.
        ([Placed(100, (1, 2, 3), 2), Placed(101, (1, 2, 3), 2)], {2: "b", 4: "a"}, None),
    ],
)
def test_the_move_that_evens_out_most(placed: list[Placed], zones: dict[int, str], move: Move | None) -> None:
    """Within a zone, a follower rather than a leader, and not to a node that is barred."""
    assert next_move(placed, zones, held(placed)) == move


PLACEMENTS = st.lists(
    st.tuples(st.sampled_from([1, 4, 7]), st.sampled_from([2, 5]), st.sampled_from([3, 6]), st.integers(0, 7)),
    max_size=20,
)


@given(PLACEMENTS)
def test_there_is_an_end_to_it(nodes: list[tuple[int, int, int, int]]) -> None:
    """From any placement, each move keeps one replica a zone, and after no more moves than there are replicas no two
    nodes of a zone differ by more than one. Then it rests."""
    placed = [Placed(number, tuple(node_ids), leader) for number, (*node_ids, leader) in enumerate(nodes)]
    moves = 0
    while (move := next_move(placed, ZONES, held(placed))) is not None:
        assert needs_move(ZONES, held(placed))
        moves += 1
        assert moves <= 3 * len(placed)
        old = placed[move.partition_id]
        new = tuple(move.joining_node_id if each == move.leaving_node_id else each for each in old.node_ids)
        placed[move.partition_id] = Placed(old.partition_id, new, old.leader_node_id)
        assert sorted(ZONES[node_id] for node_id in new) == ["a", "b", "c"]
    assert not needs_move(ZONES, held(placed))
    for zone in "abc":
        counts = [held(placed)[node_id] for node_id in ZONES if ZONES[node_id] == zone]
        assert max(counts) - min(counts) <= 1
