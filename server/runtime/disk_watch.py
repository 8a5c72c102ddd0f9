"""Whether this node's log is written so slowly, or its disk so full, that others had better lead.

A leader proposes what has gathered when its log is free again: where each write takes half a second, so does each
batch, although two others could have it on their disks in a moment. A write that hangs for longer than a lease lasts is
another matter (HandOvers lets go of everything at once); a disk that is slow and answers, nobody would notice.

What counts is the shortest write between two heartbeats: that one write takes long proves nothing. Each node tells its
own in its heartbeats; so a leader knows whether others are any faster. Where the whole machine room is slow nobody is.

On a full disk a leader refuses writes, which another, that has room, could take: one of three that has none is no more
than a follower that is behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

SLOW_NS = 250_000_000

SAMPLES = 4
"""So many heartbeats in a row, in each of which every write was slow, and the disk is."""

FASTER = 4
"""Others had better lead if their writes take less than this part of the time."""

AGAIN_NS = 30_000_000_000
"""Leaderships that were given away and came back stay at least so long: they must not go round in circles."""


class Fitness(NamedTuple):
    """What a node says of itself in its heartbeats, so that others know whether it had better lead.

    `write_ns`: the shortest write of its log of late; 0: unknown. `is_full`: its disk is. `unfit_group_ids`: the groups
    that it must not lead, though it is a member: it has no state, or one that is damaged, or damage in its log."""

    write_ns: int = 0
    is_full: bool = False
    unfit_group_ids: frozenset[int] = frozenset()


class DiskWatch:
    """Of one node. `slow_ns`: of a write; 0: no disk is slow. `is_full`: to be kept by who looks at the disk."""

    def __init__(self, slow_ns: int = SLOW_NS) -> None:
        self.slow_ns = slow_ns
        self.write_ns = 0
        """The shortest write of the last interval that had any: what others are told."""
        self.on_change: Callable[[bool], None] = lambda is_slow: None
        self.is_slow = False
        self.is_full = False
        self._slow_samples = 0
        self._told: dict[int, Fitness] = {}
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

    def note(self, node_id: int, fitness: Fitness, now_ns: int) -> None:
        """What another node says of itself."""
        self._told[node_id], self._told_ns[node_id] = fitness, now_ns

    def silent_node_ids(self, since_ns: int) -> frozenset[int]:
        """The other nodes that have said nothing since then, though they had before: their logs may stand still."""
        return frozenset(node_id for node_id, told_ns in self._told_ns.items() if told_ns < since_ns)

    def worse_node_ids(self) -> frozenset[int]:
        """The other nodes that would be no better leaders than this one; where this one's disk is well, those whose is
        not. Who is full is worse than who is slow."""
        if self.is_full:
            return frozenset(node_id for node_id, told in self._told.items() if told.is_full)
        bound_ns = min(self.slow_ns, self.write_ns // FASTER) if self.is_slow else self.slow_ns
        return frozenset(
            node_id for node_id, told in self._told.items() if told.is_full or 0 < bound_ns <= told.write_ns
        )

    def unfit_node_ids(self, group_id: int) -> frozenset[int]:
        """The other nodes that must not lead a group."""
        return frozenset(node_id for node_id, told in self._told.items() if group_id in told.unfit_group_ids)

    @property
    def is_unwell(self) -> bool:
        """Whether this node should give away what it leads, to those that are better."""
        return self.is_slow or self.is_full
