"""Ballots: who may propose, in a total order."""

from __future__ import annotations

from typing import NamedTuple


class Ballot(NamedTuple):
    """One attempt of one node to lead. Orders by round, then node id; no two nodes ever share one."""

    round: int
    node_id: int

    def next_for(self, node_id: int) -> Ballot:
        """The lowest ballot of `node_id` above this one's round."""
        return Ballot(self.round + 1, node_id)


ZERO = Ballot(0, 0)
"""Below every ballot that a node can hold: nothing promised, nobody leads."""

ABOVE_ALL = (1 << 63) - 1
"""A round that no ballot ever reaches."""
