"""The part of the metadata service in a seed: it decides who the members are, one at a time; their log decides when."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO
from server.paxos.quorum import Configuration, Floor, Member, ReplicaKind

if TYPE_CHECKING:
    from tests.simulation.world import Node, World

MS = 1_000_000
STEP_NS = 60 * MS


class Membership:
    """Replaces a member now and then by a spare node of its zone: first by a log replica, which becomes a storage
    replica once it has the state; what the member that left still has is removed when the group has gone on.

    What it knows of the group comes from its leader, as in the real service. A member that knows of a configuration to
    be in force may be the only one: who lead before would then wait for those that the others have to ask."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.changes = 0  # configurations that came into force
        self._world = world
        self._rng = rng
        self._known: tuple[int, Configuration] = (0, world.configuration)
        self._ballot = ZERO  # of the leader that said so
        self._target = world.configuration
        self._step()

    @property
    def configuration(self) -> Configuration:
        return self._known[1]

    @property
    def is_settled(self) -> bool:
        """Whether all members are storage replicas, and nobody else has anything of the group."""
        members = self._known[1].members
        return (
            self._known[1].members == self._target.members
            and all(member.kind == ReplicaKind.STORAGE for member in members)
            and self._assigned() == set(self._known[1].node_ids)
        )

    def replace_somebody(self) -> None:
        """Begins to replace a member, dead or alive, if no change is under way and its zone has a spare node."""
        if not self.is_settled:
            return
        leaving = self._rng.choice(self._known[1].members)
        spares = [
            node
            for node in self._world.nodes.values()
            if node.member.zone == leaving.zone and not node.is_assigned and node.host is not None
        ]
        if spares:
            joining = Member(spares[0].member.node_id, leaving.zone, ReplicaKind.LOG)
            self._target = self._with(leaving.node_id, joining)
            self._world.assign(spares[0], self._target, Floor(self._known[0], self._ballot))

    def _with(self, node_id: int, successor: Member) -> Configuration:
        members = (successor if member.node_id == node_id else member for member in self._known[1].members)
        return self._world.broken.configuration(tuple(members))

    def _assigned(self) -> set[int]:
        return {node.node_id for node in self._world.nodes.values() if node.is_assigned}

    def _step(self) -> None:
        self._hear()
        if self._known[1].members != self._target.members:
            self._ask_leaders()
        else:
            self._go_on()
        self._world.scheduler.schedule(self._rng.randrange(STEP_NS // 2, STEP_NS), self._step)

    def _hear(self) -> None:
        for node in self._world.members_up():
            assert node.host is not None
            if not node.host.is_serving_leader(self._world.group):
                continue
            reported = node.host.configuration_of(self._world.group)
            is_known = node.host.groups[self._world.group].core.is_configuration_known
            if is_known and reported[0] >= self._known[0]:
                self.changes += reported[0] > self._known[0]
                self._known = reported
                self._ballot = max(self._ballot, node.host.leader_ballot(self._world.group))

    def _ask_leaders(self) -> None:
        """The leader that must go hands over first."""
        for node in self._world.members_up():
            host = node.host
            assert host is not None
            if not host.is_serving_leader(self._world.group):
                continue
            if self._target.member(node.node_id) is None:
                host.hand_over(self._world.group)
            else:
                host.configure(self._world.group, self._target)

    def _go_on(self) -> None:
        """Promotes a log replica that has the state; removes what members have left behind."""
        for member in self._known[1].members:
            node = self._world.nodes[member.node_id]
            if member.kind == ReplicaKind.LOG and node.host is not None and self._has_state(node):
                self._target = self._with(member.node_id, member._replace(kind=ReplicaKind.STORAGE))
                return
        for node_id in self._assigned() - set(self._known[1].node_ids):
            if self._world.nodes[node_id].host is not None:
                self._world.unassign(self._world.nodes[node_id])

    def _has_state(self, node: Node) -> bool:
        assert node.host is not None and node.machine is not None
        core = node.host.groups[self._world.group].core
        return not node.machine.is_restoring and not core.is_restoring and core.health == Health.WHOLE
