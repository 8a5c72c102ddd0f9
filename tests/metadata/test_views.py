"""metadata/views.py: what the difference of two views is told as."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import (
    ActivateTable,
    DeleteTable,
    DrainNode,
    MemberCommand,
    MemberReplaced,
    PromoteMember,
    RemoveTable,
    ReplaceMember,
)
from metadata.catalog.indexes import IndexStatus
from metadata.catalog.members import Partition
from metadata.views import (
    TEXT_MAX,
    TOLD_ONE_BY_ONE_MAX,
    Event,
    EventKind,
    NodeView,
    PartitionView,
    View,
    differences,
    look,
    troubles,
)
from tests.metadata.catalog.test_catalog import create, register
from tests.metadata.catalog.test_indexes import music_with
from tests.metadata.fake_group import FakeClock
from tests.metadata.test_attendance import catalog_of_music, report

NODES = {node_id: NodeView(f"storage-{node_id}", f"zone-{node_id}", is_alive=True) for node_id in range(1, 6)}
WHOLE = Partition(100, b"", b"", (1, 2, 3))
JOINING = Partition(100, b"", b"", (1, 4, 3), log_node_id=4, leaving_node_id=2)
ANEW = Partition(100, b"", b"", (1, 5, 3), log_node_id=5, leaving_node_id=2, withdrawn_node_ids=(4,))
JOINED = Partition(100, b"", b"", (1, 4, 3), log_node_id=4)
REPLACED = Partition(100, b"", b"", (1, 4, 3))
MANY = TOLD_ONE_BY_ONE_MAX + 1


def texts(before: View, after: View) -> list[str]:
    return [event.text for event in differences(before, after)]


def led(partition_id: int, ballot_round: int, node_id: int) -> PartitionView:
    return PartitionView("t", Partition(partition_id, b"", b"", (1, 2, 3)), (ballot_round, node_id))


ALIVE = {"is_alive": True}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (ALIVE, {"is_alive": False}, ["is silent"]),
        ({"is_alive": False}, ALIVE, ["is back"]),
        ({**ALIVE, "boot": 3}, {**ALIVE, "boot": 4}, ["was restarted"]),
        ({"is_alive": False, "boot": 3}, {**ALIVE, "boot": 4}, ["is back: it was restarted"]),
        ({**ALIVE, "boot": 0}, {**ALIVE, "boot": 4}, []),
        ({}, {"is_draining": True}, ["is being drained"]),
        ({**ALIVE, "is_draining": True}, ALIVE, ["is in use again"]),
        (ALIVE, {**ALIVE, "troubles": {"slow": "slow: 7 ms"}}, ["says: slow: 7 ms"]),
        ({**ALIVE, "troubles": {"slow": "slow: 7 ms"}}, {**ALIVE, "troubles": {"slow": "slow: 8 ms"}}, []),
        ({**ALIVE, "troubles": {"slow": "slow: 7 ms"}}, ALIVE, ["no longer says: slow"]),
        ({**ALIVE, "healed": 1}, {**ALIVE, "healed": 3}, ["has healed 2 damaged replicas"]),
        ({**ALIVE, "healed": 0}, {**ALIVE, "healed": 1}, ["has healed 1 damaged replica"]),
        ({**ALIVE, "healed": 3}, {**ALIVE, "healed": 0}, []),  # it has begun anew
        # What was so when this process first heard of it is no news.
        ({}, {**ALIVE, "boot": 4, "healed": 7, "troubles": {"slow": "slow: 7 ms"}}, []),
        ({}, {"is_alive": False}, []),
    ],
)
def test_a_node(before: dict[str, object], after: dict[str, object], told: list[str]) -> None:
    node = NodeView("storage-1", "zone-1")
    old, new = replace(node, **before), replace(node, **after)  # type: ignore[arg-type]
    events = list(differences(View({1: old}), View({1: new})))
    assert events == [Event(EventKind.NODE, f"storage-1 {each}", 1) for each in told]


def test_troubles() -> None:
    """By their kind: numbers and lists change all the time."""
    note = "disk nearly full, writes are refused; log damaged, being healed: partitions [7, 9]; 3 of 5 are late"
    assert troubles(note) == {
        "disk nearly full, writes are refused": "disk nearly full, writes are refused",
        "log damaged, being healed": "log damaged, being healed: partitions [7, 9]",
        "# of # are late": "3 of 5 are late",
    }
    assert troubles("") == {}


def test_no_text_is_long() -> None:
    """However many partitions a trouble is about."""
    ill = replace(NODES[1], troubles=troubles(f"log damaged: partitions {list(range(5_000))}"))
    (event,) = differences(View({1: NODES[1]}), View({1: ill}))
    assert len(event.text) == TEXT_MAX


def test_nodes_that_join_and_are_removed() -> None:
    """Who goes is told first: another may have its name."""
    again = replace(NODES[1], zone="zone-7")
    assert texts(View({1: NODES[1]}), View({2: again})) == ["storage-1 was removed", "storage-1 joined, in zone-7"]


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
        (WHOLE, replace(WHOLE), None),
        (JOINING, replace(JOINING), None),
        (JOINED, replace(JOINED), None),
    ],
)
def test_members(before: Partition, after: Partition, told: tuple[int, str] | None) -> None:
    views = [View(NODES, {100: PartitionView("t", each)}) for each in (before, after)]
    expected = [Event(EventKind.MEMBERS, f"partition 100 of t: {told[1]}", told[0], 100)] if told else []
    assert list(differences(*views)) == expected


def test_many_members_are_counted() -> None:
    """A node that many partitions leave at once does not make everything else be forgotten."""

    def view(of: Partition) -> View:
        partitions = [replace(of, partition_id=each) for each in range(MANY)]
        return View(NODES, {each.partition_id: PartitionView("t", each) for each in partitions})

    (event,) = differences(view(WHOLE), view(JOINING))
    text = f"{MANY} partitions: storage-4 is to take the place of storage-2"
    assert event == Event(EventKind.MEMBERS, text, 4)


@pytest.mark.parametrize(
    ("leaving", "why"),
    [({"is_alive": False}, ", which is silent"), ({"is_draining": True}, ", which is being drained")],
)
def test_why_a_member_leaves(leaving: dict[str, bool], why: str) -> None:
    """Where that can be seen: else its place is taken so that all hold the same."""
    nodes = {**NODES, 2: replace(NODES[2], **leaving)}  # type: ignore[arg-type]
    before, after = (View(nodes, {100: PartitionView("t", each)}) for each in (WHOLE, JOINING))
    assert texts(before, after) == [f"partition 100 of t: storage-4 is to take the place of storage-2{why}"]


def test_a_drained_node_that_holds_nothing_any_more() -> None:
    """Is told of: it can be removed. One that is in use need not hold anything."""

    def views(*, is_draining: bool) -> list[View]:
        nodes = {**NODES, 2: replace(NODES[2], is_draining=is_draining)}
        return [View(nodes, {100: PartitionView("t", each)}) for each in (JOINING, JOINED, replace(JOINED))]

    leaving, left, still = views(is_draining=True)
    assert texts(leaving, left)[1:] == ["storage-2 holds nothing any more: it can be removed"]
    assert texts(left, still) == []
    assert len(texts(*views(is_draining=False)[:2])) == 1


def test_members_without_their_items() -> None:
    """Those that stay, and were known: who has just joined gets them as a matter of course."""
    whole = PartitionView("t", WHOLE)
    lost = replace(whole, restoring=frozenset({2}))
    views = [View(NODES, {100: each}) for each in (whole, lost)]
    assert texts(*views) == ["partition 100 of t: storage-2 gets the items anew"]
    assert texts(*reversed(views)) == ["partition 100 of t: storage-2 has the items again"]
    joined = PartitionView("t", REPLACED, restoring=frozenset({4}))
    assert len(texts(views[0], View(NODES, {100: joined}))) == 1
    assert len(texts(views[1], View(NODES, {100: PartitionView("t", REPLACED)}))) == 1, "storage-2 is gone"
    unheard = View({**NODES, 2: replace(NODES[2], is_alive=None)}, views[0].partitions)
    assert texts(unheard, views[1]) == []


def test_leaders() -> None:
    """The first one is none that has changed; a few are told one by one, many are counted."""
    new = View(NODES, {100: led(100, 1, 1)})
    assert texts(View(NODES, {100: led(100, 0, 0)}), new) == texts(View(NODES), new) == []
    (event,) = differences(new, View(NODES, {100: led(100, 2, 3)}))
    text = "storage-3 leads partition 100 of t, storage-1 led before"
    assert event == Event(EventKind.LEADER, text, 3, 100)
    assert texts(new, View(NODES, {100: led(100, 3, 1)})) == ["storage-1 leads partition 100 of t, as before"]
    for count in (TOLD_ONE_BY_ONE_MAX, MANY):
        before = {each: led(each, 1, 1) for each in range(count)}
        after = {each: led(each, 2, 2) for each in range(count)} | {200: led(200, 2, 2)}
        events = list(differences(View(NODES, before), View(NODES, after)))
        assert len(events) == (count if count == TOLD_ONE_BY_ONE_MAX else 1)
    assert events == [Event(EventKind.LEADER, f"storage-2 leads {MANY} partitions, storage-1 led before", 2)]


@pytest.mark.parametrize("name", ["rack{1}", "{x}", "a{b", "{}", "{0.__class__}"])
def test_names_are_told_as_they_are(name: str) -> None:
    """Nobody keeps braces out of them."""
    named = {**NODES, 4: replace(NODES[4], name=name)}
    before, after = View(named, {100: led(100, 1, 2)}), View(named, {100: led(100, 2, 4)})
    assert texts(before, after) == [f"{name} leads partition 100 of t, storage-2 led before"]
    joined, whole = (View(named, {100: PartitionView("t", each)}) for each in (JOINED, REPLACED))
    assert texts(joined, whole) == [f"partition 100 of t: {name} has the items"]


@pytest.mark.parametrize("status", list(IndexStatus))
def test_an_index_must_have_leaders_once_changes_go_there(status: IndexStatus) -> None:
    """While its partitions are being made, and when it is deleted, it need not."""
    catalog = music_with("by-label", status=status)
    partitions = look(catalog, Attendance(3.0, FakeClock()), 0, []).partitions.values()
    served = {each.is_served for each in partitions if each.owner == "music/by-label"}
    assert served == {False if status in (IndexStatus.FILLING, IndexStatus.ACTIVE) else None}
    assert {each.is_served for each in partitions if each.owner == "music"} == {False}


def test_tables_by_their_number() -> None:
    """Another one of the same name is another one."""
    assert texts(View(states={1: ("table t", "ACTIVE")}), View(states={2: ("table t", "ACTIVE")})) == [
        "table t is deleted",
        "table t is ACTIVE",
    ]


def test_what_is_looked_at() -> None:
    """The catalog and the reports, as far as they have come."""
    clock = FakeClock()
    attendance = Attendance(3.0, clock)
    catalog = catalog_of_music()
    view = look(catalog, attendance, 1, [1, 2])
    assert (view.metadata_leader, view.metadata_alive) == (1, frozenset({1, 2}))
    assert view.nodes[1] == NodeView("storage-1", "zone-1")
    unused = PartitionView("music", catalog.tables["music"].partitions[0], is_served=None)
    assert view.partitions[100] == unused
    message = report(1, {100: 5}, opened=(100, 101))
    attendance.report(message)
    heard = look(catalog, attendance, 1, [1, 2])
    message.note, message.healed, message.boot = "disk slow: 7 ms", 2, 9
    message.restoring.append(101)
    attendance.report(message)
    catalog.apply(DrainNode("storage-1", False))
    catalog.apply(ActivateTable(1))
    after = look(catalog, attendance, 1, [1, 2])
    assert after.nodes[1] == NodeView("storage-1", "zone-1", True, True, 9, 2, {"disk slow": "disk slow: 7 ms"})
    assert (after.partitions[100].leader, after.partitions[100].is_served) == ((5, 1), True)
    assert not after.partitions[101].is_served
    assert (after.partitions[100].restoring, after.partitions[101].restoring) == (frozenset(), frozenset({1}))
    assert texts(heard, after) == [
        "storage-1 is being drained",
        "storage-1 says: disk slow: 7 ms",
        "storage-1 has healed 2 damaged replicas",
        "partition 101 of music: storage-1 gets the items anew",
        "table music is ACTIVE",
    ]
    assert texts(view, after) == ["storage-1 is being drained", "table music is ACTIVE"]
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
    assert texts(view, gone) == ["table music is deleted", "index by-label of music is deleted"]


def test_a_replacement_is_told_step_by_step() -> None:
    """By the catalog's own commands."""
    catalog = Catalog()
    for number in (1, 2, 3, 4):
        catalog.apply(register(f"storage-{number}", f"zone-{number % 3}", f"host:{number}", f"d{number}"))
    catalog.apply(create())
    catalog.apply(ActivateTable(1))
    attendance = Attendance(3.0, FakeClock())
    told = []
    commands: list[MemberCommand] = [ReplaceMember(100, 1, 4), MemberReplaced(100, 1), PromoteMember(100, 4)]
    for command in commands:
        before = look(catalog, attendance, 1, [1])
        catalog.apply(command)
        told += texts(before, look(catalog, attendance, 1, [1]))
    assert [each.removeprefix("partition 100 of music: ") for each in told] == [
        "storage-4 is to take the place of storage-1",
        "storage-4 has taken the place of storage-1: it has the log, the items come next",
        "storage-4 has the items",
    ]


def test_an_empty_catalog_has_no_history() -> None:
    assert texts(View(), look(Catalog(), Attendance(3.0, FakeClock()), 0, [])) == []
