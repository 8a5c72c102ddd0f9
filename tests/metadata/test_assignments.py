"""What each storage node is told to keep and to drop."""

from __future__ import annotations

import pytest

from metadata.assignments import assignments
from metadata.catalog.commands import (
    ActivateTable,
    AdoptMembers,
    DeleteTable,
    OpenIndex,
    RegisterNode,
    RemoveIndex,
    RemoveNode,
    RemoveTable,
    ReplaceMember,
    UpdateTimeToLive,
    WithdrawMember,
)
from metadata.catalog.indexes import IndexStatus
from server.paxos.ballot import ZERO
from server.paxos.quorum import Floor
from server.table_codec import global_index, key_schema, local_indexes
from tests.metadata.catalog.test_catalog import BY_YEAR, HALF, NOW_MS, SCHEMA
from tests.metadata.catalog.test_indexes import change, music_with
from tests.metadata.test_attendance import catalog_of_music


def test_everything_that_a_node_keeps() -> None:
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


def test_nothing_for_a_node_that_holds_nothing() -> None:
    """A partition is only its members' business."""
    message = assignments(catalog_of_music(), 7, 4)
    assert not message.partitions
    assert not message.removed


def test_what_is_to_be_dropped() -> None:
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


def test_nodes_that_are_no_more_are_named() -> None:
    """Whoever has them in mind stops looking for them."""
    catalog = catalog_of_music()
    catalog.apply(RegisterNode("storage-4", "zone-1", "host:4", "d4"))
    assert not assignments(catalog, 7, 1).removed_node_ids
    catalog.apply(RemoveNode("storage-4"))
    assert list(assignments(catalog, 8, 1).removed_node_ids) == [4]


def test_who_was_to_join_and_was_given_up_is_told_nothing() -> None:
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


def test_partitions_of_an_index() -> None:
    """They have the index's number, and the table's keys: positions of entries end in those. Nothing in them expires,
    and nothing is fed by them. Who has not opened them yet makes them; who lost them later does not."""
    catalog = music_with("by-label", status=IndexStatus.CREATING)
    catalog.apply(UpdateTimeToLive("music", NOW_MS, "until", True))
    definition = catalog.tables["music"].global_indexes[0].definition
    for is_fresh in (True, False):
        told = assignments(catalog, 7, 3).partitions
        assert [(each.partition_id, each.fresh) for each in told] == [
            (100, False),
            (101, False),
            (102, is_fresh),
            (103, is_fresh),
        ]
        first = told[2]
        assert (first.table_number, first.table_name, first.range_end) == (2, "music", HALF)
        assert (key_schema(first), local_indexes(first)) == (SCHEMA, ())
        assert global_index(first.index) == definition
        assert (first.time_to_live_attribute, list(first.feeds)) == ("", [])
        assert [each.node_id for each in first.members] == [3, 1, 2]
        assert not told[0].HasField("index")
        catalog.apply(OpenIndex(2))


@pytest.mark.parametrize(
    ("status", "feeds", "routes"),
    [
        (IndexStatus.CREATING, [], []),
        (IndexStatus.FILLING, [(2, False)], [2]),
        (IndexStatus.ACTIVE, [(2, False)], [2]),
        (IndexStatus.DELETING, [(2, True)], []),
    ],
)
def test_feeds(status: IndexStatus, feeds: list[tuple[int, bool]], routes: list[int]) -> None:
    """An index is fed from when all of it is open, until it is to go; who feeds it is told where it is."""
    catalog = music_with("by-label", status=status)
    message = assignments(catalog, 7, 1, {103: (8, 2)})
    for partition in message.partitions[:2]:
        assert [(each.index.number, each.removed) for each in partition.feeds] == feeds
        for feed in partition.feeds:
            assert global_index(feed.index) == catalog.tables["music"].global_indexes[0].definition
    assert [each.number for each in message.index_routes] == routes
    for route in message.index_routes:
        assert [
            (each.partition_id, each.range_start, each.leader_node_id, each.leader_round) for each in route.partitions
        ] == [
            (102, b"", 0, 0),
            (103, HALF, 2, 8),
        ]
        assert [each.address for each in route.partitions[0].members] == ["host:3", "host:1", "host:2"]
    assert message.known_below == (2 if status == IndexStatus.CREATING else 3), "one that is not fed yet is not gone"


def test_feeds_come_in_the_order_of_their_numbers() -> None:
    """Whichever index is open first: a partition knows by the highest number which there have been."""
    catalog = music_with("one", "two", "three", status=IndexStatus.CREATING)
    seen = []
    for number in (3, 2, 4):
        catalog.apply(OpenIndex(number))
        seen.append([each.index.number for each in assignments(catalog, 8, 1).partitions[0].feeds])
    assert seen == [[], [2, 3], [2, 3, 4]]


def test_routes_only_for_those_who_feed() -> None:
    """A node that holds a part of the index alone needs none; a log replica is not where to send anything."""
    catalog = music_with("by-label")
    catalog.apply(RegisterNode("storage-4", "zone-3", "host:4", "d4"))
    catalog.apply(ReplaceMember(103, 3, 4))
    told = assignments(catalog, 8, 4)
    assert [(each.partition_id, each.fresh) for each in told.partitions] == [(103, True)]
    assert not told.index_routes
    (route,) = assignments(catalog, 8, 1).index_routes
    assert [[each.node_id for each in partition.members] for partition in route.partitions] == [[3, 1, 2], [2, 1]]


def test_what_was_an_index_is_dropped() -> None:
    """With its table, or by itself; whoever feeds it still sees that it is no more: its number was given, and is in
    nobody's feeds."""
    catalog = music_with("by-label")
    catalog.apply(change(deleted_index="by-label"))
    assert not assignments(catalog, 8, 1).removed
    catalog.apply(RemoveIndex(2))
    message = assignments(catalog, 9, 1)
    assert list(message.removed) == [102, 103]
    assert [each.partition_id for each in message.partitions] == [100, 101]
    assert not any(each.feeds for each in message.partitions)
    assert message.known_below > 2
    catalog = music_with("by-label")
    catalog.apply(DeleteTable("music"))
    message = assignments(catalog, 9, 1)
    assert list(message.removed) == [100, 101, 102, 103]
    assert (list(message.partitions), list(message.index_routes)) == ([], [])
