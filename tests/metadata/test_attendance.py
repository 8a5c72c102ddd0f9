"""Attendance: who lives, who leads, and what each node is to keep."""

from __future__ import annotations

from statorpb import cluster_pb2

from metadata.attendance import Attendance, assignments
from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import (
    ActivateTable,
    AdoptMembers,
    DeleteTable,
    DrainNode,
    RegisterNode,
    RemoveNode,
    RemoveTable,
    ReplaceMember,
    WithdrawMember,
)
from server.paxos.ballot import ZERO
from server.paxos.quorum import Floor
from server.table_codec import key_schema, local_indexes
from tests.metadata.catalog.test_catalog import BY_YEAR, SCHEMA, create
from tests.metadata.fake_group import FakeClock


def report(
    node_id: int,
    leads: dict[int, int] | None = None,
    opened: tuple[int, ...] = (),
    dropped: tuple[int, ...] = (),
    sizes: dict[int, tuple[int, int]] | None = None,
) -> cluster_pb2.NodeReport:
    """`leads`: partition -> ballot round; `sizes`: partition -> (items, bytes)."""
    message = cluster_pb2.NodeReport(node_id=node_id, opened=opened, dropped=dropped, complete=True)
    for partition_id, ballot_round in (leads or {}).items():
        message.leaders.add(partition_id=partition_id, leader_node_id=node_id, ballot_round=ballot_round)
    for partition_id, (items, size) in (sizes or {}).items():
        message.sizes.add(partition_id=partition_id, items=items, bytes=size)
    return message


def catalog_of_music() -> Catalog:
    """Three nodes and a table of the partitions 100 and 101."""
    catalog = Catalog()
    for number in (1, 2, 3):
        catalog.apply(RegisterNode(f"storage-{number}", f"zone-{number}", f"host:{number}", f"d{number}"))
    catalog.apply(create())
    return catalog


class TestAttendance:
    def test_a_node_lives_while_it_reports(self) -> None:
        """Silence past the limit counts as death, the next report as life."""
        clock = FakeClock()
        attendance = Attendance(3.0, clock)
        assert not attendance.is_alive(1)
        attendance.report(report(1))
        clock.now_s += 2.9
        assert attendance.is_alive(1)
        clock.now_s += 0.2
        assert not attendance.is_alive(1)
        attendance.report(report(1))
        assert attendance.is_alive(1)

    def test_the_newer_leadership_counts(self) -> None:
        """Whichever report comes first: a deposed leader that does not know it yet changes nothing."""
        attendance = Attendance(3.0, FakeClock())
        attendance.report(report(1, {100: 5}))
        attendance.report(report(2, {100: 6}))
        attendance.report(report(1, {100: 5}))
        assert attendance.leaders[100] == (6, 2)
        attendance.report(report(3, {100: 6}))
        attendance.report(report(2, {100: 6}))
        assert attendance.leaders[100] == (6, 3)

    def test_a_leader_is_one_that_lives_and_says_so(self) -> None:
        """A leader that died or stepped down leaves the partition without one."""
        clock = FakeClock()
        attendance = Attendance(3.0, clock)
        assert not attendance.has_leader(100)
        attendance.report(report(1, {100: 5}))
        assert attendance.has_leader(100)
        clock.now_s += 5
        assert not attendance.has_leader(100)
        attendance.report(report(1, {100: 5}))
        attendance.report(report(1))
        assert not attendance.has_leader(100)

    def test_changes_wake_the_reconciler(self) -> None:
        """A report that says nothing new wakes nobody."""
        attendance = Attendance(3.0, FakeClock())
        attendance.report(report(1, opened=(100,)))
        assert attendance.changed.is_set()
        attendance.changed.clear()
        attendance.report(report(1, opened=(100,)))
        assert not attendance.changed.is_set()
        attendance.report(report(1, opened=(100,), dropped=(101,)))
        assert attendance.changed.is_set()

    def test_sizes_are_the_leaders(self) -> None:
        """A follower may lag; what the leader counted counts."""
        attendance = Attendance(3.0, FakeClock())
        attendance.report(report(1, {100: 5}, sizes={100: (3, 300)}))
        attendance.report(report(2, sizes={100: (2, 200)}))
        assert attendance.sizes == {100: (3, 300)}

    def test_partitions_that_are_gone_are_forgotten(self) -> None:
        """Memory does not grow with tables that once were."""
        attendance = Attendance(3.0, FakeClock())
        attendance.report(report(1, {100: 5, 999: 5}, sizes={100: (3, 300), 999: (1, 1)}))
        attendance.forget_partitions(catalog_of_music())
        assert attendance.leaders == {100: (5, 1)}
        assert attendance.sizes == {100: (3, 300)}
        assert attendance.index_sizes == {100: {}}

    def test_who_may_hold_a_new_table(self) -> None:
        """Who lives and is not drained; whose disk is full is told apart."""
        attendance, catalog = Attendance(3.0, FakeClock()), catalog_of_music()
        for number in (4, 5):
            catalog.apply(RegisterNode(f"storage-{number}", "zone-1", f"host:{number}", f"d{number}"))
        catalog.apply(DrainNode("storage-2"))
        for node_id in (1, 2, 3, 5):
            told = report(node_id)
            told.full = node_id in (1, 2)
            attendance.report(told)
        assert attendance.usable_nodes(catalog) == ({"zone-1": [1, 5], "zone-3": [3]}, {1})


class TestAssignments:
    def test_everything_that_a_node_keeps(self) -> None:
        """The whole list, with what is needed to open a replica; fresh while the table is being made."""
        catalog = catalog_of_music()
        message = assignments(catalog, 7, 2)
        assert message.catalog_slot == 7
        assert [each.partition_id for each in message.partitions] == [100, 101]
        first = message.partitions[0]
        assert (first.table_name, first.table_number, first.range_start) == ("music", 1, b"")
        assert first.range_end == message.partitions[1].range_start
        assert first.fresh
        assert (key_schema(first), local_indexes(first)) == (SCHEMA, (BY_YEAR,))
        assert [(each.node_id, each.zone, each.address) for each in first.members] == [
            (1, "zone-1", "host:1"),
            (2, "zone-2", "host:2"),
            (3, "zone-3", "host:3"),
        ]
        catalog.apply(ActivateTable(1))
        assert not any(each.fresh for each in assignments(catalog, 8, 2).partitions)

    def test_nothing_for_a_node_that_holds_nothing(self) -> None:
        """A partition is only its members' business."""
        message = assignments(catalog_of_music(), 7, 4)
        assert not message.partitions
        assert not message.removed

    def test_what_is_to_be_dropped(self) -> None:
        """Partitions of a table that is being deleted, and of one that was deleted while the node was away."""
        catalog = catalog_of_music()
        catalog.apply(ActivateTable(1))
        catalog.apply(DeleteTable("music"))
        message = assignments(catalog, 9, 1)
        assert not message.partitions
        assert list(message.removed) == [100, 101]
        catalog.apply(RemoveTable(1, ((101, (1,)),)))
        assert list(assignments(catalog, 10, 1).removed) == [101]
        assert not assignments(catalog, 10, 2).removed

    def test_nodes_that_are_no_more_are_named(self) -> None:
        """Whoever has them in mind stops looking for them."""
        catalog = catalog_of_music()
        catalog.apply(RegisterNode("storage-4", "zone-1", "host:4", "d4"))
        assert not assignments(catalog, 7, 1).removed_node_ids
        catalog.apply(RemoveNode("storage-4"))
        assert list(assignments(catalog, 8, 1).removed_node_ids) == [4]

    def test_who_was_to_join_and_was_given_up_is_told_nothing(self) -> None:
        """Until somebody says who the members are. It need not have a replica, and keeps the one that it may have; who
        leaves instead of it is told whom the group is to have."""
        catalog = catalog_of_music()
        for number in (4, 5):
            catalog.apply(RegisterNode(f"storage-{number}", "zone-2", f"host:{number}", f"d{number}"))
        catalog.apply(ActivateTable(1))
        catalog.apply(ReplaceMember(100, 2, 4))
        assert [each.partition_id for each in assignments(catalog, 8, 4).partitions] == [100]
        catalog.apply(WithdrawMember(100, 4, 2, 5))
        for node_id in (1, 2, 5):
            told = next(each for each in assignments(catalog, 9, node_id).partitions if each.partition_id == 100)
            assert {each.node_id: each.log_only for each in told.members} == {1: False, 5: True, 3: False}
            assert told.fresh == (node_id == 5)
        message = assignments(catalog, 9, 4)
        assert (list(message.partitions), list(message.removed)) == ([], [])
        catalog.apply(AdoptMembers(100, (1, 5, 3), 5, Floor(9, ZERO)))
        assert list(assignments(catalog, 10, 4).removed) == [100]
        assert list(assignments(catalog, 10, 2).removed) == [100]
        catalog.apply(DeleteTable("music"))
        assert list(assignments(catalog, 11, 5).removed) == [100]
