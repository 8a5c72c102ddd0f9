"""metadata/history.py: what the difference of two views is told as, and who has missed what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import ActivateTable, DeleteTable, DrainNode, RemoveTable, ReplaceMember
from metadata.catalog.indexes import IndexStatus
from metadata.catalog.members import Partition
from metadata.history import (
    LEADERLESS_MS,
    TOLD_ONE_BY_ONE_MAX,
    UNSEEN_MS,
    Event,
    EventKind,
    History,
    NodeView,
    PartitionView,
    View,
    differences,
    look,
)
from server.model.errors import ValidationError
from tests.metadata.catalog.test_catalog import register
from tests.metadata.catalog.test_indexes import music_with
from tests.metadata.fake_group import FakeClock
from tests.metadata.test_attendance import catalog_of_music, report

NODES = {node_id: NodeView(f"storage-{node_id}", f"zone-{node_id}", is_alive=True) for node_id in range(1, 6)}
WHOLE = Partition(100, b"", b"", (1, 2, 3))
JOINING = Partition(100, b"", b"", (1, 4, 3), log_node_id=4, leaving_node_id=2)
ANEW = Partition(100, b"", b"", (1, 5, 3), log_node_id=5, leaving_node_id=2, withdrawn_node_ids=(4,))
JOINED = Partition(100, b"", b"", (1, 4, 3), log_node_id=4)
REPLACED = Partition(100, b"", b"", (1, 4, 3))


def texts(before: View, after: View) -> list[str]:
    return [event.text for event in differences(before, after)]


def led(partition_id: int, ballot_round: int, node_id: int, *, is_led: bool = True) -> PartitionView:
    partition = Partition(partition_id, b"", b"", (1, 2, 3))
    return PartitionView(f"partition {partition_id} of t", partition, (ballot_round, node_id), is_led)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"is_alive": True}, {"is_alive": False}, ["is silent"]),
        ({"is_alive": False}, {"is_alive": True}, ["is back"]),
        # Of which this process had not heard before: that need not be news.
        ({"is_alive": None}, {"is_alive": True}, []),
        ({"is_alive": None}, {"is_alive": False}, []),
        ({}, {"is_draining": True}, ["is being drained"]),
        ({"is_draining": True}, {}, ["is in use again"]),
        ({}, {"note": "disk nearly full"}, ["says: disk nearly full"]),
        ({"note": "disk nearly full"}, {}, ["no longer says: disk nearly full"]),
        ({"healed": 1}, {"healed": 3}, ["has healed 2 damaged replicas"]),
        ({"healed": 0}, {"healed": 1}, ["has healed 1 damaged replica"]),
        # It has begun anew.
        ({"healed": 3}, {"healed": 0}, []),
    ],
)
def test_a_node(before: dict[str, object], after: dict[str, object], told: list[str]) -> None:
    node = NodeView("storage-1", "zone-1")
    old, new = replace(node, **before), replace(node, **after)  # type: ignore[arg-type]
    events = list(differences(View({1: old}), View({1: new})))
    assert events == [Event(EventKind.NODE, f"storage-1 {each}", 1) for each in told]


def test_nodes_that_join_and_are_removed() -> None:
    both = View({1: NODES[1], 2: NODES[2]})
    assert texts(View({1: NODES[1]}), both) == ["storage-2 joined, in zone-2"]
    assert texts(both, View({1: NODES[1]})) == ["storage-2 was removed"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (WHOLE, JOINING, (4, "storage-4 is to take the place of storage-2")),
        (JOINING, JOINED, (4, "storage-4 has taken the place of storage-2: it has the log, the items come next")),
        (WHOLE, JOINED, (4, "storage-4 has taken the place of storage-2: it has the log, the items come next")),
        (JOINED, REPLACED, (4, "storage-4 has the items")),
        (WHOLE, REPLACED, (4, "storage-4 has taken the place of storage-2: it has the items")),
        (JOINING, ANEW, (5, "storage-5 is to take the place of storage-2")),
        # The decision before it has come true after all, or none of them.
        (ANEW, JOINED, (4, "storage-4 has taken the place of storage-2: it has the log, the items come next")),
        (JOINING, WHOLE, (4, "storage-4 leaves again, the members are those of before")),
        (WHOLE, WHOLE, None),
        (JOINING, JOINING, None),
        (JOINED, JOINED, None),
    ],
)
def test_members(before: Partition, after: Partition, told: tuple[int, str] | None) -> None:
    views = [View(NODES, {100: PartitionView("partition 100 of t", each)}) for each in (before, after)]
    expected = [Event(EventKind.MEMBERS, f"partition 100 of t: {told[1]}", told[0], 100)] if told else []
    assert list(differences(*views)) == expected


def test_members_without_their_items() -> None:
    """Those that stay: who has just joined gets them as a matter of course."""
    whole = PartitionView("partition 100 of t", WHOLE)
    lost = replace(whole, restoring=frozenset({2}))
    views = [View(NODES, {100: each}) for each in (whole, lost)]
    assert texts(*views) == ["partition 100 of t: storage-2 gets the items anew"]
    assert texts(*reversed(views)) == ["partition 100 of t: storage-2 has the items again"]
    joined = PartitionView("partition 100 of t", REPLACED, restoring=frozenset({4}))
    assert len(texts(views[0], View(NODES, {100: joined}))) == 1


def test_leaders() -> None:
    """The first one is none that has changed; a few are told one by one, many are counted."""
    new = View(NODES, {100: led(100, 1, 1)})
    assert texts(View(NODES, {100: led(100, 0, 0)}), new) == texts(View(NODES), new) == []
    (event,) = differences(new, View(NODES, {100: led(100, 2, 3)}))
    text = "storage-3 leads partition 100 of t (ballot 2), storage-1 led before"
    assert event == Event(EventKind.LEADER, text, 3, 100)
    assert texts(new, View(NODES, {100: led(100, 3, 1)})) == [
        "storage-1 leads partition 100 of t (ballot 3), as before"
    ]
    for count in (TOLD_ONE_BY_ONE_MAX, TOLD_ONE_BY_ONE_MAX + 1):
        before = {each: led(each, 1, 1) for each in range(count)}
        after = {each: led(each, 2, 2) for each in range(count)} | {200: led(200, 2, 2)}
        events = list(differences(View(NODES, before), View(NODES, after)))
        assert len(events) == (count if count == TOLD_ONE_BY_ONE_MAX else 1)
    assert events == [Event(EventKind.LEADER, f"storage-2 leads {count} partitions, storage-1 led before", 2)]


def test_metadata_processes() -> None:
    one, two = View(metadata_leader=1, metadata_alive=frozenset({1, 2})), View(metadata_alive=frozenset({2, 3}))
    assert texts(one, two) == ["metadata-1 is silent", "metadata-3 is heard of"]
    assert texts(two, replace(two, metadata_leader=2)) == ["metadata-2 leads the metadata service"]


def test_what_is_looked_at() -> None:
    """The catalog and the reports, as far as they have come."""
    clock = FakeClock()
    attendance = Attendance(3.0, clock)
    catalog = catalog_of_music()
    view = look(catalog, attendance, 1, [1, 2])
    assert (view.metadata_leader, view.metadata_alive) == (1, frozenset({1, 2}))
    assert view.nodes[1] == NodeView("storage-1", "zone-1")
    assert view.partitions[100] == PartitionView("partition 100 of music", catalog.tables["music"].partitions[0])
    message = report(1, {100: 5}, opened=(100, 101))
    message.note, message.healed = "the disk is slow", 2
    message.restoring.append(101)
    attendance.report(message)
    catalog.apply(DrainNode("storage-1", False))
    catalog.apply(ActivateTable(1))
    after = look(catalog, attendance, 1, [1, 2])
    assert after.nodes[1] == NodeView("storage-1", "zone-1", True, True, "the disk is slow", 2)
    assert (after.partitions[100].leader, after.partitions[100].is_led) == ((5, 1), True)
    assert (after.partitions[100].restoring, after.partitions[101].restoring) == (frozenset(), frozenset({1}))
    assert texts(view, after) == [
        "storage-1 is being drained",
        "storage-1 says: the disk is slow",
        "storage-1 has healed 2 damaged replicas",
        "partition 101 of music: storage-1 gets the items anew",
        "table music is ACTIVE",
    ]
    clock.now_s += 4
    assert texts(after, look(catalog, attendance, 1, [1, 2])) == ["storage-1 is silent"]


def test_tables_and_indexes_come_and_go() -> None:
    """Their partitions are told of under the name that they have."""
    attendance = Attendance(3.0, FakeClock())
    catalog = music_with("by-label", status=IndexStatus.FILLING)
    view = look(catalog, attendance, 0, [])
    assert {each.name for each in view.partitions.values()} >= {
        "partition 100 of music",
        "partition 102 of music/by-label",
    }
    assert texts(View(view.nodes), view) == ["table music is ACTIVE", "index by-label of music is FILLING"]
    catalog.apply(DeleteTable("music"))
    catalog.apply(RemoveTable(1, ()))
    gone = look(catalog, attendance, 0, [])
    assert sorted(texts(view, gone)) == ["index by-label of music is deleted", "table music is deleted"]


def test_a_replacement_is_told_step_by_step() -> None:
    """By the catalog's own commands."""
    catalog = catalog_of_music()
    catalog.apply(ActivateTable(1))
    catalog.apply(register("storage-4", "zone-2", "host:4", "d4"))
    attendance = Attendance(3.0, FakeClock())
    history = History("metadata-1", 1)
    history.observe(look(catalog, attendance, 1, [1]), 1_000)
    (leaving,) = [node_id for node_id in catalog.tables["music"].partitions[0].node_ids if node_id == 2]
    catalog.apply(ReplaceMember(100, leaving, 4))
    history.observe(look(catalog, attendance, 1, [1]), 1_250)
    (event,) = history.newest(10)[0]
    text = "partition 100 of music: storage-4 is to take the place of storage-2"
    assert event == Event(EventKind.MEMBERS, text, 4, 100, 1_250)


class TestHistory:
    """`view(n)`: n nodes have joined."""

    def make(self, events: int, events_max: int = 100) -> History:
        history = History("metadata-1", 3, events_max)
        for number in range(events + 1):
            history.observe(self.view(number), 1_000 + number)
        return history

    def view(self, number: int) -> View:
        return View({node_id: NodeView(f"storage-{node_id}", "z") for node_id in range(1, number + 1)})

    def ids(self, told: tuple[list[Event], str]) -> list[int]:
        return [event.node_id for event in told[0]]

    def test_it_begins_with_what_there_is(self) -> None:
        """Which is no event."""
        history = History("metadata-1", 3)
        assert (history.has_begun, history.since_ms, history.newest(10)[0]) == (False, 0, [])
        history.observe(self.view(5), 1_000)
        assert (history.has_begun, history.since_ms, history.newest(10)[0]) == (True, 1_000, [])

    def test_the_newest_and_what_comes_after(self) -> None:
        """Page by page, without a gap, also past what has been let go of."""
        history = self.make(10)
        assert self.ids(history.newest(3)) == [8, 9, 10]
        assert self.ids(history.newest(30)) == list(range(1, 11))
        place = history.newest(3)[1]
        assert history.after(place, 10) == ([], place)
        history.observe(self.view(15), 2_000)
        first = history.after(place, 2)
        assert self.ids(first) == [11, 12]
        assert self.ids(history.after(first[1], 10)) == [13, 14, 15]
        small = self.make(10, events_max=4)
        assert self.ids(small.newest(100)) == [7, 8, 9, 10]
        assert self.ids(small.after("metadata-1.3/2/1002", 2)) == [7, 8]
        assert self.ids(small.after("metadata-1.3/9/1009", 2)) == [10]
        assert self.ids(small.after("metadata-1.3/99/1009", 2)) == []

    def test_a_place_in_another_history(self) -> None:
        """Of another process or another life: what is later by the time of day."""
        history = self.make(10)
        told = history.after("metadata-2.3/2/1007", 100)
        assert self.ids(told) == [8, 9, 10]
        assert self.ids(history.after("metadata-1.2/2/1007", 2)) == [8, 9]
        assert told[1] == "metadata-1.3/10/1010"
        assert history.after("metadata-2.3/2/5000", 100) == ([], "metadata-1.3/10/5000")

    @pytest.mark.parametrize(
        "place", ["x", "a/b", "a/1", "a/1/b", "a//", "a/-1/1", "a/1/1/1", "a/²/1", "a/1/" + "9" * 20]
    )
    def test_what_is_no_place(self, place: str) -> None:
        with pytest.raises(ValidationError, match="is no place in a history"):
            self.make(1).after(place, 1)

    def test_a_gap_in_looking_is_told_of(self) -> None:
        """If something has happened meanwhile."""
        history = self.make(1)
        history.observe(self.view(1), 1_001 + UNSEEN_MS + 500)
        assert len(history.newest(10)[0]) == 1
        history.observe(self.view(2), 1_001 + 2 * (UNSEEN_MS + 500))
        _, gap, event = history.newest(10)[0]
        assert gap.text == "metadata-1 has not looked for 2.5 s: what follows may be older than it says"
        assert (gap.kind, event.node_id) == (EventKind.METADATA, 2)

    def test_partitions_that_nobody_serves(self) -> None:
        """For some time; once; until somebody does. A gap that is no longer is the change of a leader."""

        def observe(now_ms: int, *partitions: PartitionView) -> list[str]:
            before = len(history.newest(100)[0])
            history.observe(View(NODES, {each.members.partition_id: each for each in partitions}), now_ms)
            return [event.text for event in history.newest(100)[0][before:]]

        history = History("metadata-1", 1)
        lost, new = led(100, 1, 1, is_led=False), led(101, 0, 0, is_led=False)
        observe(0, led(100, 1, 1), new)
        assert observe(1_000, lost, new) == []
        assert observe(999 + LEADERLESS_MS, lost, new) == []
        assert observe(1_000 + LEADERLESS_MS, lost, new) == ["partition 100 of t has no leader"]
        assert observe(1_500 + LEADERLESS_MS, lost, new) == []
        assert observe(1_501 + LEADERLESS_MS, led(100, 1, 1), new) == ["partition 100 of t has a leader again"]
        assert observe(1_502 + LEADERLESS_MS, led(100, 1, 1), new) == []
        # A short one is forgotten, and so is a partition that is no more.
        observe(10_000, lost)
        observe(10_500, led(100, 1, 1))
        assert observe(10_500 + LEADERLESS_MS - 1, lost) == []
        assert observe(11_000 + LEADERLESS_MS) == []
        assert observe(11_100 + LEADERLESS_MS, lost) == []
        many = [led(number, 1, 1, is_led=False) for number in range(TOLD_ONE_BY_ONE_MAX + 1)]
        history = History("metadata-1", 1)
        observe(0, *many)
        observe(1, *many)
        assert observe(1 + LEADERLESS_MS, *many) == [f"{len(many)} partitions have no leader"]


def test_an_empty_catalog_has_no_history() -> None:
    assert texts(View(), look(Catalog(), Attendance(3.0, FakeClock()), 0, [])) == []
