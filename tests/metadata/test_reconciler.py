"""The reconciler: a table's way from CREATING to ACTIVE and from DELETING to nothing, whatever is missing or dead."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from statorpb import cluster_pb2

from metadata.catalog.catalog import TableStatus
from metadata.catalog.commands import (
    ActivateIndex,
    ActivateTable,
    Command,
    DeleteTable,
    FoundCluster,
    OpenIndex,
    PartitionsDropped,
    RemoveTable,
)
from metadata.catalog.indexes import IndexStatus
from metadata.reconciler import Reconciler
from server.model.errors import ServiceUnavailableError
from tests.metadata.catalog.test_catalog import create, status
from tests.metadata.catalog.test_indexes import change, create_indexed, planned
from tests.metadata.fake_group import FakeGroup
from tests.metadata.test_attendance import fed, report

ALL = (100, 101)


@pytest.fixture
def group(tmp_path: Path) -> FakeGroup:
    """A founded cluster of three storage nodes, all silent."""
    group = FakeGroup(tmp_path)
    group.found()
    return group


@pytest.fixture
def reconciler(group: FakeGroup) -> Reconciler:
    return Reconciler(group.machine, group.attendance, group.propose, failure_s=10.0)


async def make_active(group: FakeGroup) -> None:
    """The table `music`, with nothing left in `group.commands`."""
    await group.propose(create())
    await group.propose(ActivateTable(1))
    group.commands.clear()


async def test_the_first_leader_founds_the_cluster(tmp_path: Path) -> None:
    """Once; afterwards there is nothing to do."""
    group = FakeGroup(tmp_path)
    reconciler = Reconciler(group.machine, group.attendance, group.propose, failure_s=10.0)
    await reconciler.reconcile()
    assert [type(command) for command in group.commands] == [FoundCluster]
    await reconciler.reconcile()
    assert len(group.commands) == 1


async def test_a_table_becomes_active_when_all_have_opened_it(group: FakeGroup, reconciler: Reconciler) -> None:
    """Not before each member has each partition on disk and each partition has a leader that serves it."""
    await group.propose(create())
    group.attendance.report(report(1, {100: 1}, opened=ALL))
    group.attendance.report(report(2, {101: 1}, opened=ALL))
    await reconciler.reconcile()
    assert status(group.machine.catalog) == TableStatus.CREATING
    group.attendance.report(report(3, opened=(100,)))
    await reconciler.reconcile()
    assert status(group.machine.catalog) == TableStatus.CREATING
    group.attendance.report(report(2, opened=ALL))
    group.attendance.report(report(3, opened=ALL))
    await reconciler.reconcile()
    assert status(group.machine.catalog) == TableStatus.CREATING, "101 has no leader any more"
    group.attendance.report(report(3, {101: 2}, opened=ALL))
    await reconciler.reconcile()
    assert status(group.machine.catalog) == TableStatus.ACTIVE
    assert group.commands[-1] == ActivateTable(1)


async def test_a_deleted_table_goes_when_all_have_dropped_it(group: FakeGroup, reconciler: Reconciler) -> None:
    """As long as one live member still has a replica, the table is DELETING."""
    await make_active(group)
    await group.propose(DeleteTable("music"))
    group.attendance.report(report(1, dropped=ALL))
    group.attendance.report(report(2, dropped=ALL))
    group.attendance.report(report(3, dropped=(100,)))
    await reconciler.reconcile()
    assert list(group.machine.catalog.tables) == ["music"]
    group.attendance.report(report(3, dropped=ALL))
    await reconciler.reconcile()
    assert group.commands[-1] == RemoveTable(1, ((100, ()), (101, ())))
    assert not group.machine.catalog.tables
    assert not group.machine.catalog.garbage


async def test_dead_members_owe_the_removal(group: FakeGroup, reconciler: Reconciler) -> None:
    """A node that is away does not hold up a deletion; when it is back and has dropped its replicas, it is free."""
    await make_active(group)
    await group.propose(DeleteTable("music"))
    group.attendance.report(report(3, dropped=(100,)))
    group.clock.now_s += 10
    group.attendance.report(report(1, dropped=ALL))
    await reconciler.reconcile()
    assert group.machine.catalog.garbage == {100: {2}, 101: {2, 3}}
    group.attendance.report(report(2, dropped=ALL))
    await reconciler.reconcile()
    assert group.commands[-1] == PartitionsDropped(2, ALL)
    assert group.machine.catalog.garbage == {101: {3}}
    count = len(group.commands)
    await reconciler.reconcile()
    assert len(group.commands) == count, "what has been noted is not proposed again"


async def test_interrupted_after_any_step(group: FakeGroup, reconciler: Reconciler) -> None:
    """A leader that is deposed between two commands leaves nothing half done: the next one goes on from there."""
    for name in ("books", "films", "music"):
        await group.propose(create(name))
    ids = tuple(range(100, 106))
    group.attendance.report(report(1, dict.fromkeys(ids, 1), opened=ids))
    group.attendance.report(report(2, opened=ids))
    group.attendance.report(report(3, opened=ids))
    steps_left = 1

    def depose(command: Command) -> None:
        nonlocal steps_left
        if steps_left == 0:
            raise ServiceUnavailableError("deposed")
        steps_left -= 1

    group.on_propose = depose
    for active in (1, 2):
        with pytest.raises(ServiceUnavailableError):
            await reconciler.reconcile()
        statuses = [table.status for table in group.machine.catalog.tables.values()]
        assert statuses.count(TableStatus.ACTIVE) == active
        steps_left = 1
    await reconciler.reconcile()
    assert {table.status for table in group.machine.catalog.tables.values()} == {TableStatus.ACTIVE}


INDEXED = (*ALL, 102, 103)


def report_all(group: FakeGroup, feeds: dict[int, bool] | None = None, opened: tuple[int, ...] = INDEXED) -> None:
    """All nodes have these partitions on disk; node 1 leads them, and its table's partitions feed these indexes."""
    for node_id in (2, 3):
        group.attendance.report(report(node_id, opened=opened))
    message = report(1, dict.fromkeys(ALL, 3), opened=opened)
    fed(message, feeds or {})
    for leader in report(1, dict.fromkeys(opened[2:], 3)).leaders:
        message.leaders.append(leader)
    group.attendance.report(message)


def index_statuses(group: FakeGroup) -> list[IndexStatus]:
    return [index.status for index in group.machine.catalog.tables["music"].global_indexes]


async def test_a_table_is_active_when_its_indexes_are(group: FakeGroup, reconciler: Reconciler) -> None:
    """Which are open first, then fed by all of the table's partitions, then complete."""
    await group.propose(create_indexed(planned()))
    report_all(group, opened=ALL)
    await reconciler.reconcile()
    assert (index_statuses(group), status(group.machine.catalog)) == ([IndexStatus.CREATING], TableStatus.CREATING)
    report_all(group)
    await reconciler.reconcile()
    await reconciler.reconcile()
    assert (index_statuses(group), status(group.machine.catalog)) == ([IndexStatus.FILLING], TableStatus.CREATING)
    report_all(group, {2: False})
    await reconciler.reconcile()
    assert (index_statuses(group), status(group.machine.catalog)) == ([IndexStatus.FILLING], TableStatus.CREATING)
    report_all(group, {2: True})
    await reconciler.reconcile()
    assert (index_statuses(group), status(group.machine.catalog)) == ([IndexStatus.ACTIVE], TableStatus.ACTIVE)
    assert group.commands[1:] == [OpenIndex(2), ActivateIndex(2), ActivateTable(1)]
    count = len(group.commands)
    await reconciler.reconcile()
    assert len(group.commands) == count


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
async def test_an_index_of_a_live_table_whoever_reports_first(
    group: FakeGroup, reconciler: Reconciler, order: tuple[int, ...]
) -> None:
    """Node 1 leads 100 and 103, node 2 leads 101, node 3 leads 102. Each report makes all steps that it completes, and
    none before."""
    await make_active(group)
    await group.propose(change(created_index=planned()))
    assert index_statuses(group) == [IndexStatus.CREATING]
    leads = {1: (100, 103), 2: (101,), 3: (102,)}

    async def pass_round(feeds: dict[int, bool], before: IndexStatus, after: IndexStatus) -> None:
        for node_id in order:
            assert index_statuses(group) == [before]
            message = report(node_id, dict.fromkeys(leads[node_id], 3), opened=INDEXED)
            for leader in message.leaders:
                if leader.partition_id in ALL:
                    leader.feeds.extend(
                        cluster_pb2.FeedReport(index_number=number, complete=complete)
                        for number, complete in feeds.items()
                    )
            group.attendance.report(message)
            await reconciler.reconcile()
            if node_id == order[-1] or (feeds and {1, 2} <= set(order[: order.index(node_id) + 1])):
                break
        assert index_statuses(group) == [after]

    await pass_round({}, IndexStatus.CREATING, IndexStatus.FILLING)
    await pass_round({2: False}, IndexStatus.FILLING, IndexStatus.FILLING)
    await pass_round({2: True}, IndexStatus.FILLING, IndexStatus.ACTIVE)


async def test_a_leader_that_changes_during_the_back_fill(group: FakeGroup, reconciler: Reconciler) -> None:
    """What the former one said counts no more, though it still says so; nor does the silence of the new one."""
    await group.propose(create())
    await group.propose(ActivateTable(1))
    await group.propose(change(created_index=planned()))
    report_all(group)
    await reconciler.reconcile()
    group.attendance.report(fed(report(1, {100: 3, 101: 3, 102: 3, 103: 3}, opened=INDEXED), {2: True}))
    group.attendance.report(fed(report(2, {101: 4}, opened=INDEXED), {2: False}))
    await reconciler.reconcile()
    assert index_statuses(group) == [IndexStatus.FILLING]
    group.clock.now_s += 5
    group.attendance.report(fed(report(1, {100: 3, 101: 3, 102: 3, 103: 3}, opened=INDEXED), {2: True}))
    await reconciler.reconcile()
    assert index_statuses(group) == [IndexStatus.FILLING], "101 has no leader that lives"
    group.attendance.report(fed(report(3, {101: 5}, opened=INDEXED), {2: True}))
    await reconciler.reconcile()
    assert index_statuses(group) == [IndexStatus.ACTIVE]


@pytest.mark.parametrize("feeds", [{}, {2: False}, {2: True}])
async def test_an_index_is_removed_when_nobody_feeds_it(
    group: FakeGroup, reconciler: Reconciler, feeds: dict[int, bool]
) -> None:
    """In the middle of its back-fill, too. Nodes then remove what they have, whether they live now or come later."""
    await make_active(group)
    await group.propose(change(created_index=planned()))
    report_all(group)
    await reconciler.reconcile()
    report_all(group, feeds)
    await group.propose(change(deleted_index="by-label"))
    await reconciler.reconcile()
    assert index_statuses(group) == ([IndexStatus.DELETING] if feeds else [])
    report_all(group)
    group.clock.now_s += 5
    group.attendance.report(report(2, {101: 4}))
    if feeds:
        await reconciler.reconcile()
        assert index_statuses(group) == [IndexStatus.DELETING], "whoever leads 100 now might feed it"
    group.attendance.report(report(1, {100: 4}, dropped=(102, 103)))
    await reconciler.reconcile()
    assert index_statuses(group) == []
    await reconciler.reconcile()
    assert group.machine.catalog.garbage == {102: {2, 3}, 103: {2, 3}}
    for node_id in (2, 3):
        group.attendance.report(report(node_id, dropped=(102, 103)))
    await reconciler.reconcile()
    assert group.machine.catalog.garbage == {}
    assert status(group.machine.catalog) == TableStatus.ACTIVE


async def test_a_table_goes_with_its_indexes(group: FakeGroup, reconciler: Reconciler) -> None:
    """When all have dropped everything of both."""
    await group.propose(create_indexed(planned()))
    await group.propose(OpenIndex(2))
    await group.propose(ActivateTable(1))
    await group.propose(DeleteTable("music"))
    for node_id in (1, 2, 3):
        group.attendance.report(report(node_id, dropped=INDEXED if node_id < 3 else ALL))
    await reconciler.reconcile()
    assert list(group.machine.catalog.tables) == ["music"]
    group.attendance.report(report(3, dropped=INDEXED))
    await reconciler.reconcile()
    assert group.commands[-1] == RemoveTable(1, tuple((each, ()) for each in INDEXED))
    assert not group.machine.catalog.tables
