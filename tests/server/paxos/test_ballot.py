"""Ballots are a total order in which no two nodes meet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.paxos.ballot import ZERO, Ballot

BALLOTS = st.builds(Ballot, st.integers(0, 2**63), st.integers(1, 2**63))


@given(BALLOTS, st.integers(1, 2**63))
def test_the_next_ballot_is_above(ballot: Ballot, node_id: int) -> None:
    """Whoever stands next, it outbids; and it owns what it stands with."""
    following = ballot.next_for(node_id)
    assert following > ballot > ZERO
    assert following.node_id == node_id
    assert following.round == ballot.round + 1


@given(BALLOTS, st.integers(1, 9), st.integers(1, 9))
def test_two_nodes_never_share_a_ballot(ballot: Ballot, one: int, two: int) -> None:
    """Nodes that outbid the same ballot at the same time do so with different ones, unless they are one node."""
    assert (ballot.next_for(one) == ballot.next_for(two)) == (one == two)


def test_the_round_decides_before_the_node() -> None:
    """A later attempt wins against a higher node id."""
    assert sorted([Ballot(2, 1), Ballot(1, 3), Ballot(1, 2), ZERO]) == [ZERO, Ballot(1, 2), Ballot(1, 3), Ballot(2, 1)]
