"""A node in a group whose members change: who joins, who is to leave, which decisions a leader carries out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.floor_codec import put_floor
from server.paxos.ballot import Ballot
from server.paxos.quorum import NO_FLOOR, Configuration, Floor, ReplicaKind
from server.runtime.clock import now_ns
from storage_node.descriptors import configuration_of
from storage_node.node import StorageNode
from tests.storage_node.nodes import PARTITION, NodeSet, get, wait_until


class KilledAfterDescriptor(StorageNode):
    """A node that is killed when it has written down what a partition is, and nothing after that."""

    async def _keep_descriptor(self, descriptor: cluster_pb2.PartitionDescriptor) -> None:
        await super()._keep_descriptor(descriptor)
        raise RuntimeError("killed")


async def test_who_joined_and_was_killed_at_once_has_no_state(one: NodeSet) -> None:
    """What it has never been given it must not take for empty, and report as whole."""
    node = one.nodes[0]
    await node.start()
    descriptor = one.descriptor()
    other = cluster_pb2.Member(node_id=9, zone="zone-9", address="127.0.0.1:1")
    descriptor.members.append(other)
    descriptor.members[0].log_only = True
    node.node.__class__ = KilledAfterDescriptor
    with pytest.raises(RuntimeError, match="killed"):
        await node.node.assign(cluster_pb2.NodeAssignments(partitions=[descriptor]))
    await node.stop()

    await node.start()
    assert list(node.node.replicas) == [PARTITION]
    assert node.node.restoring() == [PARTITION]
    assert await node.status(get("a", consistent=False)) == partition_pb2.NOT_FRESH


async def test_a_leader_that_is_to_leave_serves_until_another_can(three: NodeSet) -> None:
    """With nobody to take over it goes on serving, rather than to hand over and come back again and again."""
    leader = await three.found()
    target = three.descriptor()
    target.members.remove(leader.member)
    target.members.add(node_id=9, zone=leader.member.zone, address="127.0.0.1:1", log_only=True)
    assigned = cluster_pb2.NodeAssignments(partitions=[target])
    group = leader.node.host.groups[PARTITION]
    in_force = group.core.configuration
    logs = tuple(
        each if each.node_id == leader.node_id else each._replace(kind=ReplicaKind.LOG) for each in in_force.members
    )
    group.core.configuration = Configuration(logs)  # as if the others had no state yet
    await leader.node.assign(assigned)
    assert leader.leads
    group.core.configuration = in_force
    await wait_until(lambda: group.core.has_successor(now_ns()))
    await leader.node.assign(assigned)
    assert not leader.leads


async def test_a_leader_does_not_carry_out_an_old_decision(three: NodeSet) -> None:
    """One that followed other members than those in force is not for this leader any more, or not yet."""
    leader = await three.found()
    core = leader.node.host.groups[PARTITION].core
    target = three.descriptor()
    changed = next(index for index, each in enumerate(three) if each is not leader)
    target.members[changed].log_only = True
    await wait_until(lambda: core.may_configure(configuration_of(target.members), now_ns()))
    put_floor(target.floor, Floor(core.log.last_slot + 1, core.promised))
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[target]))
    assert core.can_propose
    put_floor(target.floor, NO_FLOOR)
    await leader.node.assign(cluster_pb2.NodeAssignments(partitions=[target]))
    await wait_until(lambda: core.is_configuration_known and core.configuration == configuration_of(target.members))
    (told,) = leader.node.leaders()
    assert told.configuration_slot == core.configuration_slot > 0
    assert [each.log_only for each in told.members] == [index == changed for index in range(3)]
    commit_slot = core.log.commit_slot
    core.log.commit_slot = core.configuration_slot  # as if nobody else knew of it yet
    assert list(leader.node.leaders()[0].members) == []
    core.log.commit_slot = commit_slot


async def test_who_joins_keeps_where_it_began(one: NodeSet) -> None:
    """It was a member before, perhaps: what it promised then is forgotten, and must not be asked of it after a restart
    either."""
    node = one.nodes[0]
    await node.start()
    descriptor = one.descriptor()
    descriptor.members.add(node_id=9, zone="zone-9", address="127.0.0.1:1")
    descriptor.members[0].log_only = True
    floor = Floor(20, Ballot(7, 9))
    put_floor(descriptor.floor, floor)
    await node.node.assign(cluster_pb2.NodeAssignments(partitions=[descriptor]))
    await node.crash()
    await node.start()
    core = node.node.host.groups[PARTITION].core
    assert (core.floor, core.promised, core.configuration_slot) == (floor, floor.ballot, 20)


class TestDecidedAnew:
    """Members 1 to 3 of five nodes. 3 is to leave, and 4 to take its place, which is down; then 5 is, or is to take
    that of another."""

    @pytest.fixture
    async def five(self, tmp_path: Path) -> AsyncIterator[NodeSet]:
        nodes = NodeSet(tmp_path, 5)
        for each in nodes:
            await each.start()
        yield nodes
        await nodes.stop()
        assert [each.fatal for each in nodes] == [[]] * 5

    async def assign(self, nodes: NodeSet, *node_ids: int, at: tuple[int, ...], log: int = 0, slot: int = 0) -> None:
        """Tells the nodes `at` that these are to be the members, who follow those of `slot`."""
        for each in nodes:
            if each.node_id not in at:
                continue
            descriptor = nodes.descriptor()
            del descriptor.members[:]
            descriptor.members.extend(nodes.nodes[node_id - 1].member for node_id in node_ids)
            for member in descriptor.members:
                member.log_only = member.node_id == log
            descriptor.fresh = not log or each.node_id == log
            put_floor(descriptor.floor, Floor(slot, NO_FLOOR.ballot))
            await each.node.assign(cluster_pb2.NodeAssignments(partitions=[descriptor]))

    async def begin(self, nodes: NodeSet) -> None:
        await self.assign(nodes, 1, 2, 3, at=(1, 2, 3))
        await nodes.wait_for_leader()
        await nodes.nodes[3].stop()
        await self.assign(nodes, 1, 2, 4, at=(1, 2, 3), log=4)

    def members(self, nodes: NodeSet) -> list[tuple[int, ...]]:
        """In force, as the member says that leads."""
        return [each.node.host.configuration_of(PARTITION)[1].node_ids for each in nodes if each.leads]

    async def test_the_first_is_not_waited_for_any_more(self, five: NodeSet) -> None:
        """And when it comes back nobody asks it to join."""
        await self.begin(five)
        await self.assign(five, 1, 2, 5, at=(1, 2, 3, 5), log=5)
        await wait_until(lambda: self.members(five) == [(1, 2, 5)])
        await five.nodes[3].start()
        assert (await five.do(get("a"))).status == partition_pb2.NOT_FOUND
        assert self.members(five) == [(1, 2, 5)]

    async def test_another_member_leaves_instead(self, five: NodeSet) -> None:
        """It has died since; who was to leave stays."""
        await self.begin(five)
        await five.nodes[1].stop()
        await self.assign(five, 1, 5, 3, at=(1, 3, 5), log=5)
        await wait_until(lambda: self.members(five) == [(1, 5, 3)])

    async def test_what_the_first_decision_has_led_to_is_not_gone_on_from(self, five: NodeSet) -> None:
        """The leader had carried it out: the second is not for these members, until the metadata service says so."""
        await self.begin(five)
        await five.nodes[3].start()
        await self.assign(five, 1, 2, 4, at=(4,), log=4)
        await wait_until(lambda: self.members(five) == [(1, 2, 4)])
        await self.assign(five, 1, 2, 5, at=(1, 2, 3, 5), log=5)
        await wait_until(lambda: bool(five.nodes[4].node.replicas))
        leader = await five.wait_for_leader()
        leader.node._change_members()
        core = leader.node.host.groups[PARTITION].core
        assert core.leadership is not None and core.leadership.successor is None
        assert self.members(five) == [(1, 2, 4)]
        await self.assign(five, 1, 2, 5, at=(1, 2), log=5, slot=core.configuration_slot)
        await wait_until(lambda: self.members(five) == [(1, 2, 5)])
