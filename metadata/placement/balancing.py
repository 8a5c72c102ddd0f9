"""Which replica to move so that a zone's nodes hold about as many: a new node is put to use, one at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

IMBALANCE_MIN = 2
"""How many replicas more than another a node must hold for one of them to move. With 1 the two would only change
places, for ever."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A partition that may move now. `leader_node_id`: 0 if unknown. `barred`: nodes that it may not move to."""

    partition_id: int
    node_ids: tuple[int, ...]
    leader_node_id: int
    barred: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """A replica of a partition is to go from one node to another of the same zone."""

    partition_id: int
    leaving_node_id: int
    joining_node_id: int


def next_move(placed: Iterable[Placed], zones: Mapping[int, str], replicas: Mapping[int, int]) -> Move | None:
    """The move that evens out most, or None where no zone needs one.

    `zones`: node id -> zone, of the nodes that may get and give replicas. `replicas`: how many a node holds. A replica
    that leads stays where another can go; ties go by ids, so that everybody would decide the same. Each move lowers the
    sum of the squares of what the nodes hold: with nothing else going on there is an end to them."""
    if not needs_move(zones, replicas):
        return None
    best: tuple[tuple[int, bool, int, int, int], Move] | None = None
    for each in placed:
        for leaving in each.node_ids:
            zone = zones.get(leaving)
            for joining in zones:
                gain = replicas.get(leaving, 0) - replicas.get(joining, 0)
                if zones[joining] != zone or gain < IMBALANCE_MIN or joining in (*each.node_ids, *each.barred):
                    continue
                rank = (-gain, leaving == each.leader_node_id, each.partition_id, leaving, joining)
                if best is None or rank < best[0]:
                    best = rank, Move(each.partition_id, leaving, joining)
    return best[1] if best is not None else None


def needs_move(zones: Mapping[int, str], replicas: Mapping[int, int]) -> bool:
    """Whether two nodes of a zone hold so different numbers of replicas that one should move."""
    by_zone: dict[str, list[int]] = {}
    for node_id, zone in zones.items():
        by_zone.setdefault(zone, []).append(replicas.get(node_id, 0))
    return any(max(held) - min(held) >= IMBALANCE_MIN for held in by_zone.values())
