"""Disks without room: at first for another segment of the log, then for another record."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.nemesis import can_do_without

if TYPE_CHECKING:
    from tests.simulation.world import Node, World

MS = 1_000_000

LEFT_BYTES = (0, 300, 3_000, 100_000)
"""What still goes into the segments that there are."""
LOOK_NS = 100 * MS


class FullDisks:
    """In a seed of its share: the disk of a node, of the leader's half of the time, or of all nodes, every 200 to
    1,200 ms. Once everything else is healed one stays full until a write has been acknowledged nevertheless, if the
    others can do without it."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.filled = 0
        self._world = world
        self._rng = rng
        world.scheduler.schedule(rng.randrange(200 * MS, 800 * MS), self._strike)
        world.scheduler.schedule(LOOK_NS, self._look)

    def _strike(self) -> None:
        world, rng = self._world, self._rng
        if world.is_healing:
            return
        self.filled += 1
        nodes = list(world.nodes.values())
        leaders = [node for node in nodes if node.host is not None and node.host.is_serving_leader(world.group)]
        if rng.random() < 0.8:
            nodes = [leaders[0] if leaders and rng.random() < 0.5 else rng.choice(nodes)]
        for node in nodes:
            node.wal.fill(rng.choice(LEFT_BYTES))
            world.scheduler.schedule(rng.randrange(100 * MS, 2_000 * MS), partial(self._make_room, node))
        world.scheduler.schedule(rng.randrange(200 * MS, 1_200 * MS), self._strike)

    def _make_room(self, node: Node) -> None:
        if not self._world.is_healing:  # from then on whoever is full stays so
            node.wal.make_room()

    def _look(self) -> None:
        """As StorageNode._keep_house."""
        for node in self._world.nodes.values():
            if node.host is not None:
                node.host.disk.is_full = node.wal.is_full
        self._world.scheduler.schedule(LOOK_NS, self._look)

    def heal(self) -> None:
        """There is room again but for one node."""
        nodes = list(self._world.nodes.values())
        for node in nodes:
            node.wal.make_room()
        stays = self._rng.choice(nodes)
        groups = [node.host.groups.get(self._world.group) for node in nodes if node.host is not None]
        # Who has a damaged state waits for the leader's next checkpoint, and cannot lead until then.
        is_rotten = any(group is not None and group.is_rotten for group in groups)
        if not self._world.dead_node_id and not is_rotten and can_do_without(self._world, stays):
            stays.wal.fill(self._rng.choice(LEFT_BYTES))

    def end(self) -> None:
        """A write has been acknowledged: there is room everywhere."""
        for node in self._world.nodes.values():
            node.wal.make_room()


def full_disks_in(world: World, rng: random.Random) -> FullDisks | None:
    """What a seed has of this: nothing in four of five."""
    return FullDisks(world, rng) if rng.random() < 1 / 5 else None
