"""Who is replaced by whom, and when each step is due, by what the nodes report."""

from __future__ import annotations

import pytest
from statorpb import cluster_pb2

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import (
    ActivateTable,
    MemberCommand,
    MemberReplaced,
    PartitionsDropped,
    PromoteMember,
    RegisterNode,
    ReplaceMember,
)
from metadata.healing import Healing
from tests.metadata.catalog.test_catalog import create
from tests.metadata.fake_group import FakeClock
from tests.metadata.test_attendance import report


class Cluster:
    """Nodes 1 to 3 in a zone each hold the partitions 100 (led by 1) and 101 (led by 2) of a table that is in use; 4
    and 5 are spare nodes in the zones of 1 and 2."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.attendance = Attendance(3.0, self.clock)
        self.catalog = Catalog()
        self.healing = Healing(self.attendance, 10.0)
        for node_id, zone in enumerate((1, 2, 3, 1, 2), 1):
            self.catalog.apply(RegisterNode(f"storage-{node_id}", f"zone-{zone}", f"a:{node_id}", f"d{node_id}"))
        self.catalog.apply(create())
        self.catalog.apply(ActivateTable(1))
        self.restoring: dict[int, set[int]] = {}
        self.in_force = {100: {1: False, 2: False, 3: False}, 101: {1: False, 2: False, 3: False}}
        self.leaders = {100: 1, 101: 2}
        self.report(1, 2, 3, 4, 5)

    def report(self, *node_ids: int) -> None:
        for node_id in node_ids:
            leads = {partition: 1 for partition, leader in self.leaders.items() if leader == node_id}
            message = report(node_id, leads, opened=tuple(p for p, m in self.in_force.items() if node_id in m))
            message.restoring.extend(sorted(self.restoring.get(node_id, ())))
            for leader in message.leaders:
                members = self.in_force[leader.partition_id].items()
                leader.members.extend(cluster_pb2.Member(node_id=one, log_only=log) for one, log in members)
            self.attendance.report(message)

    def pass_without(self, *silent: int, seconds: float = 11.0) -> None:
        """Time passes, in which all but these nodes report."""
        for _ in range(int(seconds)):
            self.clock.now_s += 1.0
            self.report(*(node_id for node_id in range(1, 6) if node_id not in silent))

    def due(self) -> list[MemberCommand]:
        return self.healing.due(self.catalog)

    def step(self) -> list[MemberCommand]:
        """What is due, carried out."""
        commands = self.due()
        for command in commands:
            self.catalog.apply(command)
        return commands


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_nothing_is_due_while_all_live(cluster: Cluster) -> None:
    """Nor when a node has been silent for less than the time after which it is given up."""
    assert cluster.due() == []
    cluster.pass_without(3, seconds=9)
    assert cluster.due() == []


def test_a_member_is_replaced_and_its_successor_promoted(cluster: Cluster) -> None:
    """By a node of its zone; each step waits for what the leader, and the new node, report."""
    cluster.leaders[100] = 3
    cluster.report(1, 3)
    cluster.pass_without(1)
    assert cluster.step() == [ReplaceMember(100, 1, 4), ReplaceMember(101, 1, 4)]
    assert cluster.step() == [], "the leaders have not said so"
    cluster.in_force[100] = {4: True, 2: False, 3: False}
    cluster.restoring[4] = {100}
    cluster.report(3, 4)
    assert cluster.step() == [MemberReplaced(100, 1)]
    assert cluster.step() == [], "it has no state yet"
    cluster.restoring[4] = set()
    cluster.report(4)
    assert cluster.step() == [PromoteMember(100, 4)]
    cluster.in_force[100] = {4: False, 2: False, 3: False}
    cluster.report(3)
    assert cluster.step() == []


def test_the_node_that_has_least_joins(cluster: Cluster) -> None:
    """Counted with what is on its way to it."""
    cluster.catalog.apply(RegisterNode("storage-6", "zone-3", "a:6", "d6"))
    cluster.catalog.apply(RegisterNode("storage-7", "zone-3", "a:7", "d7"))
    for _ in range(11):
        cluster.clock.now_s += 1.0
        cluster.report(1, 2, 4, 5, 6, 7)
    assert cluster.step() == [ReplaceMember(100, 3, 6), ReplaceMember(101, 3, 7)]


def test_another_zone_without_a_member_will_do(cluster: Cluster) -> None:
    """If the zone itself has no other node; one that has a member already will not."""
    cluster.pass_without(3)
    assert cluster.due() == []
    cluster.catalog.apply(RegisterNode("storage-6", "zone-4", "a:6", "d6"))
    cluster.report(6)
    assert cluster.due() == [ReplaceMember(100, 3, 6), ReplaceMember(101, 3, 6)]


def test_nobody_is_replaced_without_a_leader(cluster: Cluster) -> None:
    """It would have to propose that: nothing is gained by deciding on it before."""
    cluster.pass_without(1)
    assert cluster.due() == [ReplaceMember(101, 1, 4)]


def test_two_that_have_failed_are_not_replaced(cluster: Cluster) -> None:
    """What a majority had may be on no other disk: one of them has to come back."""
    cluster.leaders = {100: 2, 101: 2}
    cluster.report(2)
    cluster.pass_without(1, 3)
    assert cluster.due() == []


def test_a_log_replica_that_dies_is_replaced_too(cluster: Cluster) -> None:
    """It had no state, and nothing is lost with it; another member waits until that is over."""
    cluster.leaders = {100: 2, 101: 2}
    cluster.report(2)
    cluster.catalog.apply(ReplaceMember(100, 1, 4))
    cluster.in_force[100] = {4: True, 2: False, 3: False}
    cluster.report(2)
    assert cluster.step() == [MemberReplaced(100, 1)]
    cluster.catalog.apply(PartitionsDropped(1, (100,)))
    cluster.restoring[4] = {100}
    cluster.pass_without(3)
    assert [each for each in cluster.due() if each.partition_id == 100] == []
    cluster.report(3)
    cluster.pass_without(4)
    assert cluster.due() == [ReplaceMember(100, 4, 1)]


def test_who_owes_a_removal_does_not_join(cluster: Cluster) -> None:
    """It still has what it was told to remove."""
    cluster.leaders = {100: 2, 101: 2}
    cluster.catalog.garbage[100] = {4}
    cluster.report(2)
    cluster.pass_without(1)
    assert cluster.due() == [ReplaceMember(101, 1, 4)]


def test_a_metadata_process_gives_nobody_up_before_it_has_listened(cluster: Cluster) -> None:
    """It knows nothing of what was before."""
    attendance = Attendance(3.0, cluster.clock)
    cluster.clock.now_s += 9.0
    assert attendance.silent_s(1) == 9.0
