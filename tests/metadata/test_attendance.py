"""Attendance: who lives, who leads, and what each node is to keep."""

from __future__ import annotations

from statorpb import cluster_pb2

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import (
    DrainNode,
    RegisterNode,
)
from tests.metadata.catalog.test_catalog import create
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


def fed(message: cluster_pb2.NodeReport, feeds: dict[int, bool], items_passed: int = 0) -> cluster_pb2.NodeReport:
    """The report, in which each partition that the node leads feeds these indexes: number -> whether completely."""
    for leader in message.leaders:
        for number, complete in feeds.items():
            leader.feeds.add(
                index_number=number, complete=complete, items_passed=items_passed, pending=number, lag_ms=10 * number
            )
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

    def test_feeds_are_the_leaders(self) -> None:
        """Of the newest leadership that lives; when one is complete, or is there no more, the reconciler looks."""
        clock = FakeClock()
        attendance = Attendance(3.0, clock)
        attendance.report(fed(report(1, {100: 5}), {7: False}))
        attendance.report(fed(report(2, {100: 4}), {7: True}))
        assert {number: feed.complete for number, feed in attendance.feeds(100).items()} == {7: False}
        attendance.changed.clear()
        for complete, wakes in ((False, False), (True, True), (True, False)):
            attendance.report(fed(report(1, {100: 5}), {7: complete}, items_passed=9))
            assert attendance.changed.is_set() == wakes
            attendance.changed.clear()
        assert attendance.feeds(100)[7].items_passed == 9
        attendance.report(report(1, {100: 5}))
        assert attendance.changed.is_set()
        assert attendance.feeds(100) == {}
        attendance.report(fed(report(1, {100: 5}), {7: True}))
        clock.now_s += 5
        assert attendance.feeds(100) == {}
        assert attendance.feeds(999) == {}

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
