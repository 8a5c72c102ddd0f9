"""The reconciler: a table's way from CREATING to ACTIVE and from DELETING to nothing, whatever is missing or dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from metadata.catalog.catalog import TableStatus
from metadata.catalog.commands import (
    ActivateTable,
    Command,
    DeleteTable,
    FoundCluster,
    PartitionsDropped,
    RemoveTable,
)
from metadata.reconciler import Reconciler
from server.model.errors import ServiceUnavailableError
from tests.metadata.catalog.test_catalog import create, status
from tests.metadata.fake_group import FakeGroup
from tests.metadata.test_attendance import report

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
