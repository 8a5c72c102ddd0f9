"""Who is replaced by whom, and when each step is due, by what the nodes report."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog
from statorpb import cluster_pb2

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog, Node
from metadata.catalog.commands import (
    ActivateTable,
    AdoptMembers,
    DrainNode,
    MemberCommand,
    MemberReplaced,
    NoteFloor,
    PartitionsDropped,
    PromoteMember,
    RegisterNode,
    RemoveNode,
    ReplaceMember,
    WithdrawMember,
)
from metadata.catalog.indexes import IndexStatus
from metadata.healing import Healing
from server.paxos.ballot import Ballot
from server.paxos.quorum import NO_FLOOR, Floor
from tests.metadata.catalog.test_catalog import create
from tests.metadata.catalog.test_indexes import music_with
from tests.metadata.fake_group import FakeClock
from tests.metadata.test_attendance import report


class Cluster:
    """Nodes 1 to 3 in a zone each hold the partitions 100 (led by 1) and 101 (led by 2) of a table that is in use; 4
    and 5 are spare nodes in the zones of 1 and 2, if there are any. More tables have two partitions like that each."""

    def __init__(self, *, spares: bool = True, tables: int = 1) -> None:
        self.clock = FakeClock()
        self.attendance = Attendance(3.0, self.clock)
        self.catalog = Catalog()
        self.healing = Healing(self.attendance, 10.0)
        for node_id, zone in enumerate((1, 2, 3, 1, 2)[: 5 if spares else 3], 1):
            self.catalog.apply(RegisterNode(f"storage-{node_id}", f"zone-{zone}", f"a:{node_id}", f"d{node_id}"))
        for number in range(1, tables + 1):
            self.catalog.apply(create(f"music-{number}"))
            self.catalog.apply(ActivateTable(number))
        self.restoring: dict[int, set[int]] = {}
        self.unopened: dict[int, set[int]] = {}
        self.full: set[int] = set()
        self.in_force = {100 + each: {1: False, 2: False, 3: False} for each in range(2 * tables)}
        self.slots = dict.fromkeys(self.in_force, 0)
        self.leaders = {100 + each: each % 2 + 1 for each in range(2 * tables)}
        self._reported = dict(self.in_force)
        self.report(1, 2, 3, 4, 5)

    def report(self, *node_ids: int) -> None:
        for partition_id, in_force in self.in_force.items():
            if in_force != self._reported[partition_id]:
                self._reported[partition_id] = dict(in_force)
                self.slots[partition_id] += 10  # each configuration has an entry of its own in the group's log
        for node_id in node_ids:
            leads = {partition: 1 for partition, leader in self.leaders.items() if leader == node_id}
            message = report(node_id, leads, opened=self._opened(node_id))
            message.restoring.extend(sorted(self.restoring.get(node_id, ())))
            message.unopened.extend(sorted(self.unopened.get(node_id, ())))
            message.full = node_id in self.full
            for leader in message.leaders:
                members = self.in_force[leader.partition_id].items()
                leader.configuration_slot = self.slots[leader.partition_id]
                leader.members.extend(cluster_pb2.Member(node_id=one, log_only=log) for one, log in members)
            self.attendance.report(message)

    def _opened(self, node_id: int) -> tuple[int, ...]:
        unopened = self.unopened.get(node_id, ())
        return tuple(each for each, members in self.in_force.items() if node_id in members and each not in unopened)

    def pass_without(self, *silent: int, seconds: float = 11.0) -> None:
        """Time passes, in which all but these nodes report."""
        for _ in range(int(seconds)):
            self.clock.now_s += 1.0
            self.report(*(node_id for node_id in range(1, 6) if node_id not in silent))

    def follow(self) -> None:
        """The groups do at once what the catalog wants, led by another where the leader leaves; all report."""
        for table in self.catalog.tables.values():
            for partition in table.partitions:
                partition_id = partition.partition_id
                self.in_force[partition_id] = {each: each == partition.log_node_id for each in partition.node_ids}
                if self.leaders[partition_id] not in partition.storage_node_ids:
                    self.leaders[partition_id] = partition.storage_node_ids[0]
        self.report(1, 2, 3, 4, 5)

    def due(self) -> list[MemberCommand]:
        """What is due, without what the groups have reached."""
        return [bare(command) for command in self.healing.due(self.catalog)]

    def step(self) -> list[MemberCommand]:
        """What is due, carried out."""
        commands = self.healing.due(self.catalog)
        for command in commands:
            self.catalog.apply(command)
        return [bare(command) for command in commands]


def bare(command: MemberCommand) -> MemberCommand:
    if isinstance(command, PromoteMember | NoteFloor):
        return command
    return replace(command, floor=NO_FLOOR)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_nothing_is_due_while_all_live() -> None:
    """Nor when a node has been silent for less than the time after which it is given up."""
    cluster = Cluster(spares=False)
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


def test_a_promotion_comes_into_force_before_another_member_is_replaced(cluster: Cluster) -> None:
    """The one that is to leave may lead: with the third dead, and the second a log replica as far as the group's log
    says, it has nobody to hand over to, and the group never gets to the members that it is to have."""
    cluster.leaders[100] = 3
    cluster.pass_without(1)
    cluster.step()
    cluster.in_force[100] = {4: True, 2: False, 3: False}
    cluster.report(3, 4)
    assert cluster.step() == [MemberReplaced(100, 1)]
    assert cluster.step() == [PromoteMember(100, 4)]
    cluster.pass_without(1, 2)
    assert [each for each in cluster.step() if each.partition_id == 100] == []
    cluster.in_force[100] = {4: False, 2: False, 3: False}
    cluster.report(3)
    assert [each for each in cluster.step() if each.partition_id == 100] == [ReplaceMember(100, 2, 5)]


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


def test_what_the_group_has_reached_goes_with_each_decision(cluster: Cluster) -> None:
    """So that who joins takes no part in what was before, and who leads does not carry out an old decision."""
    cluster.pass_without(3)
    cluster.catalog.apply(RegisterNode("storage-6", "zone-3", "a:6", "d6"))
    cluster.report(6)
    first, _ = cluster.healing.due(cluster.catalog)
    assert first == ReplaceMember(100, 3, 6, Floor(0, Ballot(1, 1)))
    cluster.catalog.apply(first)
    cluster.in_force[100] = {1: False, 2: False, 6: True}
    cluster.report(1)
    second, _ = cluster.healing.due(cluster.catalog)
    assert second == MemberReplaced(100, 3, Floor(10, Ballot(1, 1)))
    cluster.catalog.apply(second)
    _, partition = cluster.catalog.partition_of(100) or (None, None)
    assert partition is not None
    assert partition.floor == Floor(10, Ballot(1, 1))


def test_a_leader_of_before_says_nothing_of_now(cluster: Cluster) -> None:
    """Its members are those that are wanted, but it is before they have been others: who is to leave is a member."""
    cluster.catalog.apply(ReplaceMember(100, 2, 5, Floor(20, Ballot(5, 2))))
    cluster.in_force[100] = {1: False, 5: True, 3: False}
    cluster.slots[100] = 5
    cluster.report(1)
    assert cluster.due() == []
    cluster.slots[100] = 20
    cluster.report(1)
    assert cluster.due() == [], "these members are those of the decision, not those that it has led to"
    cluster.slots[100] = 21
    cluster.report(1)
    assert cluster.due() == [MemberReplaced(100, 2)]


def test_nothing_is_decided_by_a_leader_of_before(cluster: Cluster) -> None:
    """Whom it takes for members need not be any more."""
    cluster.catalog.apply(NoteFloor(100, Floor(20, Ballot(5, 1))))
    cluster.pass_without(2)
    assert [each.partition_id for each in cluster.due()] == []
    cluster.slots[100] = 20
    cluster.report(1)
    assert cluster.due() == [ReplaceMember(100, 2, 5)]


def test_the_way_to_other_members_begins_anew_where_the_group_has_gone_elsewhere(cluster: Cluster) -> None:
    """A leader that knew of an older decision only has carried that out."""
    cluster.catalog.apply(ReplaceMember(100, 2, 5))
    cluster.in_force[100] = {1: False, 4: True, 3: False}
    cluster.report(1)
    assert cluster.step() == [NoteFloor(100, Floor(10, Ballot(1, 1)))]
    assert cluster.due() == [], "its leader will be told"
    cluster.in_force[100] = {1: False, 5: True, 3: False}
    cluster.report(1)
    assert cluster.due() == [MemberReplaced(100, 2)]


def test_a_metadata_process_gives_nobody_up_before_it_has_listened(cluster: Cluster) -> None:
    """It knows nothing of what was before."""
    attendance = Attendance(3.0, cluster.clock)
    cluster.clock.now_s += 9.0
    assert attendance.silent_s(1) == 9.0


def test_who_joins_and_cannot_is_replaced(cluster: Cluster) -> None:
    """Its disk is full, say: it lives, and would be waited for without end. Not at the first word of it: there may be
    room again soon."""
    cluster.catalog.apply(RegisterNode("storage-6", "zone-3", "a:6", "d6"))
    cluster.catalog.apply(RegisterNode("storage-7", "zone-3", "a:7", "d7"))
    for node_id in (6, 7):
        cluster.report(node_id)
    cluster.pass_without(3)
    for node_id in (6, 7):
        cluster.report(node_id)
    assert cluster.step() == [ReplaceMember(100, 3, 6), ReplaceMember(101, 3, 7)]
    cluster.unopened[6] = {100}
    cluster.restoring[7] = {101}
    cluster.follow()
    cluster.report(6, 7)
    assert cluster.step() == [MemberReplaced(100, 3), MemberReplaced(101, 3)]

    def wait(seconds: int) -> None:
        for _ in range(seconds):
            cluster.clock.now_s += 1.0
            cluster.report(1, 2, 4, 5, 6, 7)

    wait(9)
    assert cluster.due() == []
    cluster.unopened[6] = set()
    wait(1)
    cluster.unopened[6] = {100}
    wait(10)
    assert cluster.due() == [], "it had room in between"
    wait(2)
    assert cluster.due() == [ReplaceMember(100, 6, 7)]
    cluster.full = {7}
    wait(1)
    assert cluster.due() == [], "there is nobody who could"


def test_a_replica_that_is_lost_on_a_node_that_lives_is_replaced(cluster: Cluster) -> None:
    """As if the node were silent; and not while another member is."""
    cluster.unopened[2] = {100}
    cluster.pass_without(3, seconds=12)
    assert cluster.due() == []
    cluster.report(3)
    assert cluster.due() == [ReplaceMember(100, 2, 5)]


class TestDraining:
    def drained(self, cluster: Cluster, *names: str) -> None:
        for name in names:
            cluster.catalog.apply(DrainNode(name))

    def test_a_drained_nodes_replicas_go_as_a_dead_ones_do(self, cluster: Cluster) -> None:
        """Though it lives, and leads; each step waits for what the leader, and the new node, report."""
        self.drained(cluster, "storage-1")
        assert cluster.step() == [ReplaceMember(100, 1, 4), ReplaceMember(101, 1, 4)]
        assert cluster.step() == []
        cluster.leaders[100] = 2
        cluster.follow()
        assert cluster.step() == [MemberReplaced(100, 1), MemberReplaced(101, 1)]
        cluster.catalog.apply(PartitionsDropped(1, (100, 101)))
        assert cluster.step() == [PromoteMember(100, 4), PromoteMember(101, 4)]
        cluster.follow()
        assert cluster.catalog.held_by(1) == 0
        assert isinstance(cluster.catalog.apply(RemoveNode("storage-1")), Node)

    @pytest.mark.parametrize("flaw", ["a dead member", "a member without the state", "no leader", "in force: another"])
    def test_who_is_drained_is_needed_while_another_is_not_whole(self, cluster: Cluster, flaw: str) -> None:
        """Taking the one that has everything away would leave too few."""
        self.drained(cluster, "storage-1")
        if flaw == "a dead member":
            cluster.pass_without(3)
        elif flaw == "a member without the state":
            cluster.restoring[3] = {100, 101}
            cluster.report(3)
        elif flaw == "no leader":
            cluster.leaders = {}
            cluster.report(1, 2)
        else:
            cluster.in_force = {each: {1: False, 2: False, 3: True} for each in (100, 101)}
            cluster.report(1, 2)
        assert not [each for each in cluster.due() if isinstance(each, ReplaceMember)]

    def test_the_dead_come_first(self, cluster: Cluster) -> None:
        """And a node that is drained takes nobody's place."""
        self.drained(cluster, "storage-1", "storage-5")
        cluster.leaders = {100: 3, 101: 3}
        cluster.report(3)
        cluster.pass_without(2)
        assert cluster.due() == [], "5 could have taken its place"
        cluster.catalog.apply(DrainNode("storage-5", is_cancelled=True))
        assert cluster.due() == [ReplaceMember(100, 2, 5), ReplaceMember(101, 2, 5)]

    def test_nowhere_to_go(self) -> None:
        """A zone of one node keeps it as a member until there is another; it is told once."""
        cluster = Cluster(spares=False)
        self.drained(cluster, "storage-3")
        with structlog.testing.capture_logs() as logs:
            assert cluster.due() == cluster.due() == []
        assert [each["event"] for each in logs] == ["no node can take over from one that is drained"] * 2
        cluster.catalog.apply(RegisterNode("storage-6", "zone-3", "a:6", "d6"))
        cluster.report(4)
        assert cluster.due() == [ReplaceMember(100, 3, 4), ReplaceMember(101, 3, 4)]

    def test_a_few_at_a_time(self) -> None:
        """So that the snapshots that one node asks for do not pile up; and the rest when those have arrived."""
        cluster = Cluster(tables=5)
        self.drained(cluster, "storage-1")
        first = cluster.step()
        assert [each.partition_id for each in first] == [100, 101, 102, 103]
        cluster.leaders = dict.fromkeys(cluster.leaders, 2)
        cluster.follow()
        assert all(isinstance(each, MemberReplaced) for each in cluster.step())
        cluster.restoring[4] = {101, 102, 103}
        cluster.report(4)
        assert cluster.step() == [PromoteMember(100, 4)]
        assert cluster.step() == [ReplaceMember(104, 1, 4)]
        assert cluster.step() == []


class TestDecidingAnew:
    """Node 2 leaves both partitions, and 5 is to take its place: it dies before it has."""

    @pytest.fixture
    def cluster(self) -> Cluster:
        cluster = Cluster()
        for node_id, zone in ((6, 2), (7, 3)):
            cluster.catalog.apply(RegisterNode(f"storage-{node_id}", f"zone-{zone}", f"a:{node_id}", f"d{node_id}"))
        cluster.catalog.apply(DrainNode("storage-6"))
        cluster.catalog.apply(DrainNode("storage-2"))
        self.pass_without(cluster, seconds=1)
        assert cluster.step() == [ReplaceMember(100, 2, 5), ReplaceMember(101, 2, 5)]
        cluster.catalog.apply(DrainNode("storage-6", is_cancelled=True))
        return cluster

    def pass_without(self, cluster: Cluster, *silent: int, seconds: int = 11) -> None:
        for _ in range(seconds):
            cluster.clock.now_s += 1.0
            cluster.report(*(node_id for node_id in range(1, 8) if node_id not in silent))

    def test_another_joins_instead(self, cluster: Cluster) -> None:
        """Not before the first is given up; and when it is a member all is as if it had been the first."""
        self.pass_without(cluster, 5, seconds=9)
        assert cluster.step() == []
        self.pass_without(cluster, 5, seconds=2)
        assert cluster.step() == [WithdrawMember(100, 5, 2, 6), WithdrawMember(101, 5, 2, 6)]
        assert cluster.step() == [], "neither has become a member"
        cluster.in_force[100] = {1: False, 6: True, 3: False}
        cluster.report(1)
        assert cluster.step() == [AdoptMembers(100, (1, 6, 3), 6)]
        assert cluster.catalog.garbage == {100: {2, 5}}
        cluster.report(6)
        assert cluster.step() == [PromoteMember(100, 6)]

    def test_the_first_may_have_become_a_member_after_all(self, cluster: Cluster) -> None:
        """It came back, and the leader had not heard of the second decision."""
        self.pass_without(cluster, 5)
        assert len(cluster.step()) == 2
        cluster.in_force[100] = {1: False, 5: True, 3: False}
        cluster.report(1, 5)
        assert cluster.step() == [AdoptMembers(100, (1, 3, 5), 5)]
        assert cluster.catalog.garbage == {100: {2, 6}}

    def test_members_that_were_never_decided_on_change_nothing(self, cluster: Cluster) -> None:
        """That would be a fault in the group; nobody is told to remove anything."""
        self.pass_without(cluster, 5)
        assert len(cluster.step()) == 2
        cluster.in_force[100] = {1: False, 9: True, 3: False}
        cluster.report(1)
        cluster.step()
        assert cluster.catalog.garbage == {}

    def test_it_may_be_decided_anew_again(self, cluster: Cluster) -> None:
        """Who was given up is not asked a second time; and it is told once that there is nobody."""
        self.pass_without(cluster, 5)
        cluster.step()
        self.pass_without(cluster, 6)
        with structlog.testing.capture_logs() as logs:
            assert cluster.due() == cluster.due() == []
        expected = "no node can take the place of one that was to join and is gone"
        assert [each["event"] for each in logs] == [expected] * 2
        cluster.catalog.apply(RegisterNode("storage-8", "zone-2", "a:8", "d8"))
        cluster.report(8)
        assert cluster.due() == [WithdrawMember(100, 6, 2, 8), WithdrawMember(101, 6, 2, 8)]

    def test_where_another_member_dies_it_is_that_which_is_replaced(self, cluster: Cluster) -> None:
        """Who was to leave has everything, and stays."""
        self.pass_without(cluster, 3, 5)
        assert cluster.step() == [WithdrawMember(100, 5, 3, 7), WithdrawMember(101, 5, 3, 7)]
        _, partition = cluster.catalog.partition_of(100) or (None, None)
        assert partition is not None
        assert (partition.node_ids, partition.leaving_node_id, partition.log_node_id) == ((1, 2, 7), 3, 7)

    def test_who_cannot_open_it_is_given_up_too(self, cluster: Cluster) -> None:
        """Its disk is full, say."""
        cluster.unopened[5] = {100}
        cluster.full = {5}
        self.pass_without(cluster, seconds=12)
        assert cluster.due() == [WithdrawMember(100, 5, 2, 6)]

    @pytest.mark.parametrize(
        "flaw", ["who leaves is dead", "two more are dead", "no leader", "another is no member yet"]
    )
    def test_not_where_it_would_not_help(self, cluster: Cluster, flaw: str) -> None:
        """If who is to leave is dead as well the leader goes on without it; of two of three nobody takes the place."""
        silent = {5, *({2} if flaw == "who leaves is dead" else {2, 3} if flaw == "two more are dead" else ())}
        self.pass_without(cluster, *silent)
        if flaw == "no leader":
            cluster.leaders = {}
            cluster.report(1, 2)
        elif flaw == "another is no member yet":
            for members in cluster.in_force.values():
                members[3] = True  # in force since the same slot
            cluster.report(1, 2)
        assert cluster.due() == []


class TestBalancing:
    def test_a_new_node_is_put_to_use_and_then_it_rests(self) -> None:
        """One replica at a time in the whole cluster, each step carried out before the next; in the end no node of a
        zone holds two more than another, and nothing moves any more."""
        cluster = Cluster(tables=4)
        moves = 0
        for _ in range(100):
            commands = cluster.step()
            assert len(commands) <= 1
            moves += sum(isinstance(each, ReplaceMember) for each in commands)
            cluster.follow()
            for partition_id, node_ids in cluster.catalog.garbage.copy().items():
                for node_id in tuple(node_ids):
                    cluster.catalog.apply(PartitionsDropped(node_id, (partition_id,)))
        assert cluster.step() == []
        assert moves == 8
        assert [cluster.catalog.held_by(node_id) for node_id in (1, 2, 3, 4, 5)] == [4, 4, 8, 4, 4]

    def test_not_while_anything_is_amiss(self, cluster: Cluster) -> None:
        """A member that is silent, or has no state; nor to or from a node that does not live."""
        assert cluster.due() == [ReplaceMember(100, 2, 5)], "1 leads it"
        cluster.restoring[3] = {101}
        cluster.report(3)
        assert cluster.due() == []
        cluster.restoring[3] = set()
        cluster.report(3)
        cluster.pass_without(3, seconds=4)
        assert cluster.due() == []
        cluster.report(3)
        cluster.pass_without(4, 5, seconds=4)
        assert cluster.due() == []

    def test_nodes_that_cannot_take_it(self, cluster: Cluster) -> None:
        """They have yet to remove what they had of it."""
        cluster.catalog.garbage |= {100: {4, 5}, 101: {4, 5}}
        assert cluster.due() == []

    def test_what_was_drained_does_not_go_back(self, cluster: Cluster) -> None:
        """Until that is cancelled."""
        for name in ("storage-4", "storage-5"):
            cluster.catalog.apply(DrainNode(name))
        assert cluster.due() == []
        cluster.catalog.apply(DrainNode("storage-4", is_cancelled=True))
        assert cluster.due() == [ReplaceMember(101, 1, 4)]

    def test_not_to_a_full_disk(self, cluster: Cluster) -> None:
        """It would only have to go elsewhere again."""
        cluster.full = {4, 5}
        cluster.report(4, 5)
        assert cluster.due() == []


def test_members_of_a_global_index_are_replaced() -> None:
    """As those of its table are; while the index is being opened, or is on its way out, it is left alone."""
    for status, partitions in ((IndexStatus.CREATING, 2), (IndexStatus.FILLING, 4), (IndexStatus.DELETING, 2)):
        clock = FakeClock()
        attendance, catalog = Attendance(3.0, clock), music_with("by-label", status=status)
        catalog.apply(RegisterNode("storage-4", "zone-3", "a:4", "d4"))
        for _ in range(11):
            clock.now_s += 1.0
            leads = report(1, dict.fromkeys((100, 101, 102, 103), 1), opened=(100, 101, 102, 103))
            for leader in leads.leaders:
                leader.members.extend(cluster_pb2.Member(node_id=each) for each in (1, 2, 3))
            attendance.report(leads)
            attendance.report(report(2, opened=(100, 101, 102, 103)))
            attendance.report(report(4))
        due = Healing(attendance, 10.0).due(catalog)
        assert [bare(command) for command in due] == [ReplaceMember(100 + each, 3, 4) for each in range(partitions)]
