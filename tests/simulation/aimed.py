"""Faults that strike in the very milliseconds of a change of members, which those that strike at random hardly hit."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from server.paxos.messages import Accept, PeerMessage
from server.paxos.quorum import CONFIGURATION_MARK, Configuration, decode_configuration
from tests.simulation.nemesis import can_do_without

if TYPE_CHECKING:
    from tests.simulation.members import Membership
    from tests.simulation.world import Node, World

MS = 1_000_000

AIMS = ("links", "one after the other", "leader", "joiner", "stayer", "leaver", "return", "return")
"""What a seed's aimed faults do when a configuration entry is sent: cut the leader off; cut it off from those who stay,
and a moment later from who leaves; crash one of them. `return`: see Returns."""


class Aimed:
    """Replaces members as often as can be, and strikes when a leader proposes to."""

    def __init__(self, world: World, membership: Membership, rng: random.Random, aim: str) -> None:
        self.struck = 0
        self._world = world
        self._membership = membership
        self._rng = rng
        self._aim = aim
        self._seen: set[tuple[int, int]] = set()
        world.scheduler.schedule(400 * MS, self._replace)

    def _replace(self) -> None:
        if not self._world.is_healing:
            self._membership.replace_somebody()
            self._world.scheduler.schedule(self._rng.randrange(30 * MS, 300 * MS), self._replace)

    def assigned(self, node: Node) -> None:
        """A node is about to open a replica."""

    def sent(self, sender: Node, message: PeerMessage) -> None:
        """A node sends a message to another."""
        if not isinstance(message, Accept) or not message.run.payloads[-1].startswith(CONFIGURATION_MARK):
            return
        change = (message.run.last_slot, message.run.ballot.round)
        if change in self._seen or self._world.is_healing or sender.host is None:
            return
        self._seen.add(change)
        _, old = sender.host.configuration_of(self._world.group)
        self._strike(sender.node_id, old, decode_configuration(message.run.payloads[-1]))

    def _strike(self, leader: int, old: Configuration, new: Configuration) -> None:
        joining = sorted(set(new.node_ids) - set(old.node_ids))
        leaving = sorted(set(old.node_ids) - set(new.node_ids))
        staying = [node_id for node_id in old.survivors(new) if node_id != leader]
        if not joining or not staying:
            return
        self.struck += 1
        soon, later = self._rng.randrange(40 * MS), self._rng.randrange(3 * MS, 60 * MS)
        match self._aim:
            case "links":
                self._cut(soon, leader, old.node_ids)
            case "one after the other":
                self._cut(0, leader, staying)
                self._cut(later, leader, leaving)
            case _:
                aims = {"leader": leader, "joiner": joining[0], "stayer": staying[0], "leaver": leaving[0]}
                self._world.scheduler.schedule(soon, partial(self._crash, self._world.nodes[aims[self._aim]]))
                return
        self._world.scheduler.schedule(self._rng.randrange(100 * MS, 1_500 * MS), self._mend)

    def _cut(self, delay_ns: int, leader: int, others: list[int] | tuple[int, ...]) -> None:
        links = {link for other in others if other != leader for link in ((leader, other), (other, leader))}

        def cut() -> None:
            if not self._world.is_healing:
                self._world.network.cuts |= links

        self._world.scheduler.schedule(delay_ns, cut)

    def _mend(self) -> None:
        if not self._world.is_healing:
            self._world.mend_links()

    def _crash(self, node: Node) -> None:
        """Some never come back."""
        world = self._world
        if world.is_healing or node.host is None:
            return
        if self._rng.random() < 0.3 and not world.dead_node_id and can_do_without(world, node):
            world.bury(node)
        else:
            world.nemesis.crash_for_a_while(node)


class Returns(Aimed):
    """A leader is cut off. Meanwhile another member is replaced, emptied, and becomes a member again; and before it
    hears anybody else of this life, it hears the leader that was cut off, which knows it of the former one."""

    def __init__(self, world: World, membership: Membership, rng: random.Random) -> None:
        self._cut_off = 0
        super().__init__(world, membership, rng, "return")

    def _strike(self, leader: int, old: Configuration, new: Configuration) -> None:
        """Nothing: who returns is struck."""

    def _replace(self) -> None:
        world = self._world
        if world.is_healing:
            return
        leaders = [node for node in world.members_up() if node.host and node.host.is_serving_leader(world.group)]
        if not self._cut_off and leaders and self._membership.is_settled:
            self._cut_off = leaders[0].node_id
            world.network.cuts = {link for link in world.pairs() if self._cut_off in link}
            world.scheduler.schedule(5_000 * MS, partial(self._begin_anew, self._cut_off))
        elif self._cut_off:
            zone = world.nodes[self._cut_off].member.zone
            others = [
                node_id for node_id in self._membership.partition.node_ids if world.nodes[node_id].member.zone != zone
            ]
            self._membership.replace_somebody(*(each for each in others if self._membership.spares(each)))
        world.scheduler.schedule(self._rng.randrange(20 * MS, 100 * MS), self._replace)

    def assigned(self, node: Node) -> None:
        """Who has been a member before is alone with the one that was cut off, for a moment."""
        world = self._world
        if not self._cut_off or not node.was_member or world.is_healing:
            return
        self.struck += 1
        pair = {self._cut_off, node.node_id}
        world.network.cuts = {link for link in world.pairs() if pair & set(link) and set(link) != pair}
        world.connect(self._cut_off, node.node_id)
        delay_ns = self._rng.randrange(100 * MS, 1_000 * MS)
        world.scheduler.schedule(delay_ns, partial(self._begin_anew, self._cut_off))

    def _begin_anew(self, cut_off: int) -> None:
        if self._cut_off == cut_off and not self._world.is_healing:
            self._cut_off = 0
            self._world.mend_links()


def aimed_at(world: World, membership: Membership, rng: random.Random) -> Aimed | None:
    """What a seed has of this: nothing in two of three."""
    if rng.random() < 2 / 3:
        return None
    aim = rng.choice(AIMS)
    return Returns(world, membership, rng) if aim == "return" else Aimed(world, membership, rng, aim)
