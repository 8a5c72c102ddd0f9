"""Whether this node's log is written so slowly that others had better lead.

A leader proposes what has gathered when its log is free again: where each write takes half a second, so does each
batch, although two others could have it on their disks in a moment. A write that hangs for longer than a lease lasts is
another matter (HandOvers lets go of everything at once); a disk that is slow and answers, nobody would notice.

What counts is the shortest write between two heartbeats: that one write takes long proves nothing. Each node tells its
own in its heartbeats; so a leader knows whether others are any faster. Where the whole machine room is slow nobody is.
"""

from __future__ import annotations

from collections.abc import Callable

SLOW_NS = 250_000_000

SAMPLES = 4
"""So many heartbeats in a row, in each of which every write was slow, and the disk is."""

FASTER = 4
"""Others had better lead if their writes take less than this part of the time."""

AGAIN_NS = 30_000_000_000
"""Leaderships that were given away and came back stay at least so long: they must not go round in circles."""


class DiskWatch:
    """Of one node. `slow_ns`: of a write; 0: no disk is slow."""

    def __init__(self, slow_ns: int = SLOW_NS) -> None:
        self.slow_ns = slow_ns
        self.write_ns = 0
        """The shortest write of the last interval that had any: what others are told."""
        self.on_change: Callable[[bool], None] = lambda is_slow: None
        self.is_slow = False
        self._slow_samples = 0
        self._not_before_ns = 0
        self._told_ns: dict[int, int] = {}

    def sample(self, shortest_ns: int, in_flight_ns: int) -> None:
        """Once a heartbeat: the shortest write that has ended since the last (0: none has), and for how long the one in
        flight has been (0: there is none)."""
        if not shortest_ns and in_flight_ns >= self.slow_ns:
            shortest_ns = in_flight_ns
        if not shortest_ns or not self.slow_ns:
            return
        self.write_ns = shortest_ns
        self._slow_samples = self._slow_samples + 1 if shortest_ns >= self.slow_ns else 0
        if self.is_slow != (self._slow_samples >= SAMPLES):
            self.is_slow = not self.is_slow
            self.on_change(self.is_slow)

    def note(self, node_id: int, write_ns: int) -> None:
        """Another node's shortest write, as it says itself; 0: it does not, or has written nothing yet."""
        self._told_ns[node_id] = write_ns

    def slow_node_ids(self) -> frozenset[int]:
        """The other nodes that would be no better leaders than this one; where this one's disk is well, those whose is
        not."""
        bound_ns = min(self.slow_ns, self.write_ns // FASTER) if self.is_slow else self.slow_ns
        return frozenset(node_id for node_id, told_ns in self._told_ns.items() if 0 < bound_ns <= told_ns)

    def may_hand_over(self, now_ns: int) -> bool:
        """Whether this node should give away what it leads, to those that are better."""
        return self.is_slow and now_ns >= self._not_before_ns

    def handed_over(self, now_ns: int) -> None:
        """It has."""
        self._not_before_ns = now_ns + AGAIN_NS
