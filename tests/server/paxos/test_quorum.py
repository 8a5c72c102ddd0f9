"""Majorities: every one of 3 and of 5 members, however they are spread over zones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.quorum import Configuration, Member, ReplicaKind


def spreads(members: int) -> Iterator[tuple[int, ...]]:
    """Every way to spread members over zones, zones being named in the order in which they are first used."""
    if members == 0:
        yield ()
        return
    for shorter in spreads(members - 1):
        for zone in range(max(shorter, default=-1) + 2):
            yield (*shorter, zone)


def configuration(spread: tuple[int, ...]) -> Configuration:
    return Configuration(tuple(Member(node_id, f"zone-{zone}") for node_id, zone in enumerate(spread, 1)))


def subsets(node_ids: tuple[int, ...]) -> list[frozenset[int]]:
    return [frozenset(chosen) for count in range(len(node_ids) + 1) for chosen in combinations(node_ids, count)]


SPREADS = [spread for members in (1, 2, 3, 4, 5) for spread in spreads(members)]


def test_the_spreads_are_all_there() -> None:
    """As many as there are partitions of a set: 1, 2, 5, 15, 52."""
    assert [sum(len(spread) == members for spread in SPREADS) for members in (1, 2, 3, 4, 5)] == [1, 2, 5, 15, 52]


@pytest.mark.parametrize("spread", SPREADS, ids=str)
def test_any_two_majorities_share_a_member(spread: tuple[int, ...]) -> None:
    """What one majority has accepted or promised, every other one knows of."""
    group = configuration(spread)
    majorities = [chosen for chosen in subsets(group.node_ids) if group.is_majority(chosen)]
    for one in majorities:
        for two in majorities:
            assert one & two
    distinct = len(set(spread)) > len(spread) // 2
    assert bool(majorities) == distinct, "all members together are a majority if they are in enough zones"


@pytest.mark.parametrize("spread", SPREADS, ids=str)
def test_a_majority_is_more_than_half_and_never_in_one_zone(spread: tuple[int, ...]) -> None:
    """No zone that is lost can take a majority with it; more members never make it less."""
    group = configuration(spread)
    for chosen in subsets(group.node_ids):
        zones = {spread[node_id - 1] for node_id in chosen}
        if group.is_majority(chosen):
            assert len(chosen) * 2 > len(spread)
            assert len(zones) > 1 or len(spread) == 1
            assert group.is_majority(set(group.node_ids))
        else:
            assert len(zones) * 2 <= len(spread)


@pytest.mark.parametrize(
    ("zones", "node_ids", "expected"),
    [
        ("a", {1}, True),
        ("a", set(), False),
        ("abc", {1, 2}, True),
        ("abc", {3}, False),
        ("abc", {1, 7}, False),
        ("aab", {1, 2}, False),
        ("aab", {2, 3}, True),
        ("aaa", {1, 2, 3}, False),
        ("abcde", {1, 5}, False),
        ("abcde", {1, 3, 5}, True),
        ("aabbc", {1, 2, 3, 4}, False),
        ("aabbc", {1, 4, 5}, True),
        ("ab", {1}, False),
        ("ab", {1, 2}, True),
    ],
)
def test_is_majority(zones: str, node_ids: set[int], expected: bool) -> None:
    """Known cases; nodes that are not members do not count."""
    members = tuple(Member(node_id, zone) for node_id, zone in enumerate(zones, 1))
    assert Configuration(members).is_majority(node_ids) is expected


@given(
    st.sampled_from(SPREADS).flatmap(
        lambda spread: st.tuples(
            st.just(spread), st.dictionaries(st.integers(1, len(spread) + 1), st.integers(-1, 4), max_size=6)
        )
    )
)
def test_majority_value_is_the_highest_that_a_majority_has_reached(
    case: tuple[tuple[int, ...], dict[int, int]],
) -> None:
    """The same as trying every value; -1 counts as nothing, and so do nodes that are not members."""
    spread, values = case
    group = configuration(spread)
    reached = [
        value for value in range(5) if group.is_majority({node_id for node_id in values if values[node_id] >= value})
    ]
    assert group.majority_value(values) == max(reached, default=-1)


def test_members_are_found_by_their_node() -> None:
    """A member knows its zone and its kind; other nodes are not members."""
    group = Configuration((Member(4, "a"), Member(9, "b", ReplicaKind.LOG)))
    assert group.node_ids == (4, 9)
    assert group.member(9) == Member(9, "b", ReplicaKind.LOG)
    assert group.member(4) == Member(4, "a", ReplicaKind.STORAGE)
    assert group.member(5) is None


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ((), "a configuration needs at least one member"),
        ((Member(1, "a"), Member(2, "b"), Member(1, "c")), r"a node is a member twice: \(1, 2, 1\)"),
    ],
)
def test_what_is_no_configuration_is_refused(members: tuple[Member, ...], sentence: str) -> None:
    """Nobody, or somebody twice."""
    with pytest.raises(ValueError, match=sentence):
        Configuration(members)
