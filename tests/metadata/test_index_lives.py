"""Global indexes that are made and removed while leaders change, hear late and report late, in any order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from statorpb import cluster_pb2

from metadata.assignments import assignments
from metadata.catalog.commands import ActivateTable
from metadata.catalog.indexes import IndexStatus
from metadata.reconciler import Reconciler
from server.model.errors import StatorError
from tests.metadata.catalog.test_catalog import create
from tests.metadata.catalog.test_indexes import change, planned
from tests.metadata.fake_group import FakeGroup
from tests.metadata.test_attendance import report

NODES = (1, 2, 3)
TABLE = (100, 101)


class Cluster:
    """The table `music` of two partitions, with what their logs say of feeds: index number -> whether it is complete.
    Nodes act by what they have heard, and the metadata service by what they have reported."""

    def __init__(self) -> None:
        self.group = FakeGroup(Path("nowhere"))
        self.group.found()
        self.reconciler = Reconciler(self.group.machine, self.group.attendance, self.group.propose, failure_s=1e9)
        self.feeds: dict[int, dict[int, bool]] = {each: {} for each in TABLE}
        self.newest = dict.fromkeys(TABLE, 0)
        self.leaders = dict.fromkeys(TABLE, (1, 1))  # partition -> (ballot round, node)
        self.heard = dict.fromkeys(NODES, cluster_pb2.NodeAssignments())

    def hear(self, node_id: int) -> None:
        machine = self.group.machine
        self.heard[node_id] = assignments(machine.catalog, machine.slot, node_id)

    def elect(self, partition_id: int, node_id: int) -> None:
        self.leaders[partition_id] = (self.leaders[partition_id][0] + 1, node_id)

    def act(self, partition_id: int) -> None:
        """What the leader proposes of feeds (storage_node/changes.py)."""
        heard, feeds = self.heard[self.leaders[partition_id][1]], self.feeds[partition_id]
        wanted = {
            feed.index.number: feed.removed
            for each in heard.partitions
            if each.partition_id == partition_id
            for feed in each.feeds
        }
        for number in list(feeds):
            if wanted.get(number, number < heard.known_below):
                del feeds[number]
        for number, is_removed in sorted(wanted.items()):
            if not is_removed and number > self.newest[partition_id]:
                feeds[number] = False
        self.newest[partition_id] = max([self.newest[partition_id], *wanted])

    def fill(self, partition_id: int) -> None:
        self.feeds[partition_id] = dict.fromkeys(self.feeds[partition_id], True)

    def report(self, node_id: int) -> None:
        """All of what a node has and leads; it leads its share of the indexes' partitions."""
        heard = self.heard[node_id]
        opened = tuple(each.partition_id for each in heard.partitions)
        leads = {each: round_ for each, (round_, leader) in self.leaders.items() if leader == node_id}
        leads |= {each: 1 for each in opened if each not in TABLE and each % len(NODES) + 1 == node_id}
        message = report(node_id, leads, opened=opened, dropped=tuple(heard.removed))
        for leader in message.leaders:
            for number, complete in self.feeds.get(leader.partition_id, {}).items():
                leader.feeds.add(index_number=number, complete=complete)
        self.group.attendance.report(message)

    async def ask(self, **changes: object) -> None:
        """What a client asks for; it may be refused."""
        try:
            await self.group.propose(change(**changes))
        except StatorError as error:
            assert error.code in ("LimitExceededException", "ResourceInUseException", "ResourceNotFoundException")

    def names(self) -> set[str]:
        return {index.name for index in self.group.machine.catalog.tables["music"].global_indexes}

    def check(self) -> None:
        """An index that is read has everything: each of the table's partitions has passed on all, and goes on."""
        for index in self.group.machine.catalog.tables["music"].global_indexes:
            if index.status == IndexStatus.ACTIVE:
                assert all(self.feeds[each].get(index.number) for each in TABLE)

    async def settle(self) -> None:
        """Everybody hears and reports everything."""
        for _ in range(6):
            for node_id in NODES:
                self.hear(node_id)
            for partition_id in TABLE:
                self.act(partition_id)
                self.fill(partition_id)
            for node_id in NODES:
                self.report(node_id)
            await self.reconciler.reconcile()
            self.check()


@dataclass(frozen=True)
class Round:
    """Who hears what there is now, whose leaders then act, what is passed on, who reports; then who leads next."""

    request: tuple[str, str]
    hear: frozenset[int]
    act: frozenset[int]
    fill: frozenset[int]
    report: frozenset[int]
    elected: tuple[int, int] | None


def most_of(values: tuple[int, ...]) -> st.SearchStrategy[frozenset[int]]:
    """All more often than not: otherwise hardly any index would come far."""
    return st.just(frozenset(values)) | st.frozensets(st.sampled_from(values))


ROUNDS = st.lists(
    st.builds(
        Round,
        st.tuples(st.sampled_from(["", "", "make", "remove"]), st.sampled_from(["ix-a", "ix-b"])),
        most_of(NODES),
        most_of(TABLE),
        st.frozensets(st.sampled_from(TABLE)),
        most_of(NODES),
        st.none() | st.tuples(st.sampled_from(TABLE), st.sampled_from(NODES)),
    ),
    max_size=12,
)


async def _live(rounds: list[Round]) -> None:
    cluster = Cluster()
    await cluster.group.propose(create())
    await cluster.group.propose(ActivateTable(1))
    await cluster.settle()
    for each in rounds:
        what, name = each.request
        if what == "make" and name not in cluster.names():
            await cluster.ask(created_index=planned(name))
        elif what == "remove":
            await cluster.ask(deleted_index=name)
        for node_id in sorted(each.hear):
            cluster.hear(node_id)
        for partition_id in sorted(each.act):
            cluster.act(partition_id)
        for partition_id in sorted(each.fill):
            cluster.fill(partition_id)
        for node_id in sorted(each.report):
            cluster.report(node_id)
        await cluster.reconciler.reconcile()
        cluster.check()
        if each.elected is not None:
            cluster.elect(*each.elected)
            cluster.act(each.elected[0])
    await cluster.settle()
    catalog = cluster.group.machine.catalog
    indexes = catalog.tables["music"].global_indexes
    assert {index.status for index in indexes} <= {IndexStatus.ACTIVE}
    for partition_id in TABLE:
        assert cluster.feeds[partition_id] == {index.number: True for index in indexes}, "nothing is fed that is gone"
    assert catalog.garbage == {}


NOBODY: frozenset[int] = frozenset()
ALL_NODES, ALL_OF_TABLE = frozenset(NODES), frozenset(TABLE)
QUIET = Round(("", "ix-a"), ALL_NODES, NOBODY, NOBODY, ALL_NODES, None)
MADE = replace(QUIET, request=("make", "ix-a"))
FED_LATE = [
    MADE,
    QUIET,
    replace(QUIET, request=("remove", "ix-a"), hear=NOBODY),
    replace(QUIET, hear=NOBODY, act=ALL_OF_TABLE),
]
"""A leader begins to feed an index that is no more by then."""

FOLLOWED_BY_ONE_THAT_HEARD_LESS = [
    replace(MADE, elected=(101, 2)),
    replace(QUIET, hear=frozenset([2]), act=ALL_OF_TABLE, elected=(101, 1)),
]


@settings(max_examples=300)
@given(ROUNDS)
@example(FED_LATE)
@example(FOLLOWED_BY_ONE_THAT_HEARD_LESS)
def test_whatever_is_heard_and_reported_late(rounds: list[Round]) -> None:
    """No index is active that lacks anything, none is stuck, and what was removed is nowhere."""
    asyncio.run(_live(rounds))
