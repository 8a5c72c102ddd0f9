"""What goes wrong in a seed, besides messages: crashes, damage, cut links, hand-overs, replaced members."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from server.paxos.acceptor import Health
from server.paxos.log import Log
from server.paxos.quorum import CONFIGURATION_MARK, Configuration, ReplicaKind, decode_configuration

if TYPE_CHECKING:
    from tests.simulation.world import Node, World

MS = 1_000_000


class Nemesis:
    """Something every 50 to 700 ms, until the world heals. `damage`: the chance that a crash costs a bit of the log."""

    def __init__(self, world: World, rng: random.Random, damage: float) -> None:
        self._world = world
        self._rng = rng
        self._damage = damage

    def strike(self) -> None:
        """Does something, and comes back."""
        world, rng = self._world, self._rng
        if world.is_healing:
            return
        roll = rng.random()
        up = [node for node in world.nodes.values() if node.host is not None]
        leaders = [node for node in up if node.host is not None and node.host.is_serving_leader(world.group)]
        if roll < 0.3 and up:
            self.crash_for_a_while(rng.choice(up))
        elif roll < 0.35:
            for node in up:
                self.crash_for_a_while(node)
        elif roll < 0.5:
            is_leader = leaders and rng.random() < 0.5
            node_id = leaders[0].node_id if is_leader else rng.randint(1, len(world.nodes))
            world.network.cuts = {pair for pair in world.pairs() if node_id in pair}
        elif roll < 0.65:
            world.network.cuts.add(rng.choice(world.pairs()))
        elif roll < 0.75:
            if leaders and leaders[0].host is not None:
                leaders[0].host.hand_over(world.group)
        elif roll < 0.82 and world.membership is not None:
            world.membership.replace_somebody()
        elif roll < 0.84:
            node = rng.choice(list(world.nodes.values()))
            if node.host is not None:
                node.host.rebuild(world.group)  # its state counts as damaged
        elif roll < 0.9:
            world.checkpoint(rng.choice(list(world.nodes.values())))
        else:
            world.mend_links()
        world.scheduler.schedule(rng.randrange(50 * MS, 700 * MS), self.strike)

    def crash_for_a_while(self, node: Node) -> None:
        """In some seeds the disk flips a bit meanwhile, or the state is lost; never of two members at once, which may
        lose what was acknowledged: both may have been the majority that had it. Who is to be a member and has opened
        nothing yet counts as one of these."""
        world = self._world
        world.crash(node)
        may_be_damaged = node.is_assigned and world.damaged_node_id in (0, node.node_id) and not world.dead_node_id
        if world.membership is not None:
            may_be_damaged &= all(world.nodes[each].is_assigned for each in world.membership.partition.holders)
        if self._rng.random() < self._damage and may_be_damaged and node.wal.damage(world.group):
            world.damaged_node_id = node.node_id
        elif (
            self._rng.random() < self._damage / 2 and may_be_damaged and world.membership is None and has_copies(world)
        ):
            world.damaged_node_id = node.node_id
            world.lose_state(node)

        def boot_again() -> None:
            if node.host is None and not node.is_dead:
                world.boot(node)

        world.scheduler.schedule(self._rng.randrange(10 * MS, 1_000 * MS), boot_again)


def has_copies(world: World) -> bool:
    """Whether nobody is without a state, for which another's has to come first: the last one is not taken away."""
    return not any(node.is_restoring for node in world.nodes.values())


def can_do_without(world: World, dead: Node) -> bool:
    """Whether the others must get along by themselves if `dead` never comes back: of the members in force, and of those
    that may be about to be, a majority lives and votes, and one that lives has the state: as of a slot behind which
    the others' logs go on. (One whose state was lost may have a log that begins further on than any other's state.)

    Who knows of the members in force, or has them in its log, may be `dead` itself: so it is asked while it runs. What
    it alone knows to be in force is for the others about to be: they need a majority of the members before, too."""
    voting: set[int] = set()
    with_state: set[int] = set()
    state_slot = trimmed_slot = 0  # of the newest state, and the last that is not in all logs any more
    known_slot = 0  # of the newest configuration that the others know to be in force
    configurations = [(0, world.configuration)]
    for node in world.nodes.values():
        if node.host is None or node.machine is None or world.group not in node.host.groups:
            continue
        core = node.host.groups[world.group].core
        slot, in_force = node.host.configuration_of(world.group)  # of who is about to join: a wish
        configurations += [(slot, in_force), *configurations_in(core.log, core.log.commit_slot + 1)]
        if node is dead:
            continue
        if core.health == Health.WHOLE:
            known_slot = max(known_slot, slot)  # who is to be healed first tells nobody what it knows
            voting.add(node.node_id)
            trimmed_slot = max(trimmed_slot, core.log.first_slot - 1)
            if not node.machine.is_restoring and not core.is_restoring:
                with_state.add(node.node_id)
                state_slot = max(state_slot, core.log.commit_slot)
    return state_slot >= trimmed_slot and all(
        configuration.is_majority(voting)
        and any(each.kind == ReplicaKind.STORAGE and each.node_id in with_state for each in configuration.members)
        for slot, configuration in configurations
        if slot >= known_slot
    )


def configurations_in(log: Log, first_slot: int) -> list[tuple[int, Configuration]]:
    """(slot, configuration) of the entries from `first_slot` on that would change the members."""
    return [
        (slot, decode_configuration(payload))
        for slot, payload in enumerate(log.payloads(first_slot, log.last_slot), first_slot)
        if payload.startswith(CONFIGURATION_MARK)
    ]
