"""The metadata service of a seed: its real catalog, attendance and healing, as far as they are about members.

It decides who the members are, one at a time, by what the nodes report; their log decides when. Nodes report now and
then, and are told what they are to keep, some milliseconds later; of what they are told leaders carry out what was
decided on the configuration that they are at.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from statorpb import cluster_pb2

from metadata.assignments import assignments
from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import (
    ActivateTable,
    Command,
    CreateTable,
    PartitionsDropped,
    PlannedPartition,
    RegisterNode,
    ReplaceMember,
)
from metadata.catalog.members import Partition
from metadata.catalog.settings import TableSettings
from metadata.healing import Healing
from server.floor_codec import floor_of
from server.model.table import KeyAttribute, KeySchema
from server.paxos.quorum import ReplicaKind
from storage_node.descriptors import members_in_force, target_of

if TYPE_CHECKING:
    from tests.simulation.world import Node, World

MS = 1_000_000
STEP_NS = 60 * MS
DELAY_NS_MAX = STEP_NS // 3  # of a report, and of an answer: none overtakes another
SILENCE_S = 0.4
FAILURE_S = (0.8, 2.0)
TROUBLE_NS = 3_000 * MS


class Membership:
    """Members are replaced where they have been silent for too long, and now and then by `replace_somebody`."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.changes = 0  # configurations that came into force
        self.catalog = Catalog(next_partition_id=world.group)
        self._world = world
        self._rng = rng
        self._failure_s = rng.choice(FAILURE_S)
        self._unheard: set[int] = set()  # nodes whose links to the metadata service are cut
        self._commands = 0
        self._known_slot = 0
        for node in world.nodes.values():
            self._apply(RegisterNode(str(node.node_id), node.member.zone, f"a:{node.node_id}", f"d{node.node_id}"))
            world.scheduler.schedule(rng.randrange(STEP_NS), partial(self._attend, node))
        planned = PlannedPartition(b"", b"", world.configuration.node_ids)
        schema = KeySchema(KeyAttribute("key", "S"))
        self._apply(CreateTable("table", schema, TableSettings(), "table", 0, (planned,)))
        self._apply(ActivateTable(1))
        self._lead()
        self._step()
        world.scheduler.schedule(rng.randrange(TROUBLE_NS), self._trouble)

    def _lead(self) -> None:
        """Another metadata process leads: it knows of the nodes what they say from now on."""
        self._attendance = Attendance(SILENCE_S, lambda: self._world.scheduler.now_ns / 1e9)
        self._healing = Healing(self._attendance, self._failure_s)

    def _trouble(self) -> None:
        self._unheard = set()
        if not self._world.is_healing:
            if self._rng.random() < 0.3:
                self._lead()
            elif self._rng.random() < 0.5:
                self._unheard = {self._rng.randint(1, len(self._world.nodes))}
            self._world.scheduler.schedule(self._rng.randrange(TROUBLE_NS), self._trouble)

    def heal(self) -> None:
        """From now on it hears everybody that lives."""
        self._unheard = set()

    @property
    def partition(self) -> Partition:
        return self.catalog.tables["table"].partitions[0]

    @property
    def is_settled(self) -> bool:
        """Whether all members are storage replicas and live, if there is a node for it; and whether nobody else that
        lives has anything of the group, but who was given up and may yet turn out to have become a member."""
        partition, nodes = self.partition, self._world.nodes
        owing = self.catalog.garbage.get(partition.partition_id, set())
        if partition.leaving_node_id and nodes[partition.log_node_id].is_dead:
            in_force = self._attendance.members_in_force(partition)
            # Who leaves stays until somebody is there in its place.
            return in_force.keys() == set(partition.former_node_ids) and not self.spares(partition.log_node_id)
        for node_id in partition.node_ids:
            if nodes[node_id].is_dead and self.spares(node_id):
                return False
        assigned = {node.node_id for node in nodes.values() if node.is_assigned and not node.is_dead}
        is_at_rest = not partition.leaving_node_id and not partition.log_node_id
        is_clean = not any(not nodes[node_id].is_dead for node_id in owing) and assigned <= set(partition.node_ids)
        return is_at_rest and is_clean and self._is_whole()

    @property
    def given_up(self) -> tuple[int, ...]:
        """Who was to join, and is kept as it is: nobody sends it anything unless it has become a member after all."""
        return self.partition.withdrawn_node_ids

    def spares(self, node_id: int) -> list[Node]:
        """The nodes that may take the place of one."""
        partition, nodes = self.partition, self._world.nodes
        taken = (*partition.holders, *self.catalog.garbage.get(partition.partition_id, set()))
        zone = nodes[node_id].member.zone
        return [
            each
            for each in nodes.values()
            if each.member.zone == zone and each.node_id not in taken and not each.is_dead
        ]

    def _is_whole(self) -> bool:
        in_force = self._attendance.members_in_force(self.partition)
        return in_force == dict.fromkeys(self.partition.node_ids, False)

    def replace_somebody(self, *leaving: int) -> None:
        """Begins to replace a member, of `leaving` if there are any, dead or alive, if no change is under way and its
        zone has a spare node."""
        partition = self.partition
        if partition.leaving_node_id or partition.log_node_id or not self._is_whole():
            return
        chosen = self._rng.choice(leaving or partition.node_ids)
        for node in self.spares(chosen):
            if self._attendance.is_alive(node.node_id):
                floor = self._attendance.floor(partition.partition_id)
                self._apply(ReplaceMember(partition.partition_id, chosen, node.node_id, floor))
                return

    def _apply(self, command: Command) -> None:
        self._commands += 1
        self.catalog.apply(command)

    def _step(self) -> None:
        for command in self._healing.due(self.catalog):
            self._apply(command)
        group = self._world.group
        for node_id, attendee in self._attendance.nodes.items():
            if group in attendee.dropped and node_id in self.catalog.garbage.get(group, ()):
                self._apply(PartitionsDropped(node_id, (group,)))
        self._world.scheduler.schedule(self._rng.randrange(STEP_NS // 2, STEP_NS), self._step)

    # The nodes

    def _attend(self, node: Node) -> None:
        """A node reports, and hears what it is to keep; where it leads, it does what it has heard of its group."""
        if node.host is not None:
            self._change_members(node)
            if node.node_id not in self._unheard:
                report = self._report(node)
                boot = node.boot
                self._world.scheduler.schedule(self._delay_ns(), lambda: self._hear(node, boot, report))
        self._world.scheduler.schedule(self._rng.randrange(STEP_NS, 2 * STEP_NS), partial(self._attend, node))

    def _delay_ns(self) -> int:
        return self._rng.randrange(DELAY_NS_MAX)

    def _report(self, node: Node) -> cluster_pb2.NodeReport:
        """As StorageNode.leaders, and what StorageNode says beside."""
        assert node.host is not None and node.machine is not None
        report = cluster_pb2.NodeReport(node_id=node.node_id, complete=True)
        if node.is_dropped:
            report.dropped.append(self._world.group)
        group = node.host.groups.get(self._world.group)
        if group is not None:
            report.opened.append(group.group_id)
            if node.machine.is_restoring or group.core.is_restoring:
                report.restoring.append(group.group_id)
            if group.is_serving:
                report.leaders.add(
                    partition_id=group.group_id,
                    leader_node_id=node.node_id,
                    ballot_round=group.core.promised.round,
                    configuration_slot=group.core.configuration_slot,
                    members=members_in_force(group.core.configuration) if group.core.is_configuration_known else (),
                )
        return report

    def _hear(self, node: Node, boot: int, report: cluster_pb2.NodeReport) -> None:
        if node.node_id in self._unheard:
            return
        self._attendance.report(report)
        for leader in report.leaders:
            self.changes += leader.configuration_slot > self._known_slot
            self._known_slot = max(self._known_slot, leader.configuration_slot)
        told = assignments(self.catalog, self._commands, node.node_id)
        self._world.scheduler.schedule(self._delay_ns(), lambda: self._tell(node, boot, told))

    def _tell(self, node: Node, boot: int, told: cluster_pb2.NodeAssignments) -> None:
        """As StorageNode.assign."""
        if node.host is None or node.boot != boot or node.node_id in self._unheard:
            return
        if self._world.group in told.removed:
            if not node.is_dropped:
                self._world.unassign(node)
            return
        node.is_dropped = False
        for descriptor in told.partitions:
            target, decided_on = target_of(descriptor)
            configuration = self._world.broken.configuration(target.members)
            if node.is_assigned:
                node.target = (configuration, decided_on)
            elif descriptor.fresh:
                self._world.assign(node, configuration, floor_of(descriptor.floor))

    def _change_members(self, node: Node) -> None:
        """As StorageNode._change_members."""
        host, group = node.host, self._world.group
        assert host is not None
        if node.target is None or not host.is_serving_leader(group):
            return
        target, decided_on = node.target
        slot, in_force = host.configuration_of(group)
        if in_force.members != target.members and decided_on not in (None, slot):
            return
        own = target.member(node.node_id)
        if own is None or own.kind == ReplicaKind.LOG:
            host.hand_over(group, can_wait=True)
        else:
            host.configure(group, target)
