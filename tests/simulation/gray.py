"""Faults of something that is neither up nor down: slow disks, leaders that only routers cannot reach, links that stop
one after the other and go on in another order."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World

MS = 1_000_000

KINDS = ("disks", "routers", "links")
SLOW_WRITES_NS = (60 * MS, 150 * MS, 700 * MS)
"""Of a disk that is slow, and of one on which a write hangs for longer than a lease lasts."""


class Gray:
    """In a seed of its share: one kind of this, every 100 to 900 ms."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.struck = 0
        self._world = world
        self._rng = rng
        self._kind = rng.choice(KINDS)
        world.scheduler.schedule(rng.randrange(300 * MS, 900 * MS), self._strike)

    def _strike(self) -> None:
        if self._world.is_healing:
            return
        self.struck += 1
        match self._kind:
            case "disks":
                self._slow_down()
            case "routers":
                self._ask_for_leadership()
            case _:
                self._swizzle()
        self._world.scheduler.schedule(self._rng.randrange(100 * MS, 900 * MS), self._strike)

    def _slow_down(self) -> None:
        """A node's disk, the leader's half of the time, for up to two seconds."""
        nodes = list(self._world.nodes.values())
        leaders = [node for node in nodes if node.host is not None and node.host.is_serving_leader(self._world.group)]
        node = leaders[0] if leaders and self._rng.random() < 0.5 else self._rng.choice(nodes)
        node.wal.slow_ns = self._rng.choice(SLOW_WRITES_NS)
        self._world.scheduler.schedule(self._rng.randrange(200 * MS, 2_000 * MS), node.wal.speed_up)

    def _ask_for_leadership(self) -> None:
        """Of a node that routers reach, as it does where they tell it that they do not reach the leader."""
        node = self._rng.choice(list(self._world.nodes.values()))
        if node.host is not None and self._world.group in node.host.groups:
            node.host.hand_overs.ask_for(self._world.group)

    def _swizzle(self) -> None:
        """Swizzled clogging: some nodes' links stop, one after the other, and are let go in another order."""
        world, rng = self._world, self._rng
        node_ids = [node_id for node_id in world.nodes if rng.random() < 0.6]
        links = [link for link in world.pairs() if link[0] in node_ids]
        for link in links:
            world.scheduler.schedule(rng.randrange(300 * MS), partial(self._clog, link))
            world.scheduler.schedule(rng.randrange(300 * MS, 900 * MS), partial(world.network.let_go, link))

    def _clog(self, link: tuple[int, int]) -> None:
        if not self._world.is_healing:
            self._world.network.clog(link)


def gray_in(world: World, rng: random.Random) -> Gray | None:
    """What a seed has of this: nothing in three of four."""
    return Gray(world, rng) if rng.random() < 1 / 4 else None
