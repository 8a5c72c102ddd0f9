"""metadata/history.py: what is worth telling, when it was seen, and who has missed what."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from metadata.catalog.members import Partition
from metadata.history import HALTED_S, LAPSE_S, SETTLE_S, UNHEARD_S, History, Lapses, Page
from metadata.views import TOLD_ONE_BY_ONE_MAX, Event, EventKind, NodeView, PartitionView, View
from server.model.errors import ValidationError

LOOK_S = 0.5


def nodes(count: int, *, is_alive: bool | None = True) -> View:
    """So many have joined."""
    joined = {each: NodeView(f"storage-{each}", "z", is_alive=is_alive) for each in range(1, count + 1)}
    return View(joined, metadata_leader=1)


def ids(page: Page) -> list[int]:
    return [event.node_id for event in page.events]


@dataclass
class Watch:
    """Looks from time to time, and returns what is new."""

    history: History
    now_s: float = 50.0
    now_ms: int = 1_000_000
    seen: int = 0

    def see(self, view: View, after_s: float = LOOK_S) -> list[str]:
        self.now_s += after_s
        self.now_ms += int(after_s * 1000)
        self.history.observe(view, self.now_s, self.now_ms)
        events = self.history.newest(1_000).events
        self.seen, before = len(events), self.seen
        return [event.text for event in events[before:]]

    def see_for(self, view: View, for_s: float) -> list[str]:
        """Looks again and again for so long."""
        return [text for _ in range(round(for_s / LOOK_S)) for text in self.see(view)]


@pytest.fixture
def watch() -> Watch:
    return Watch(History("metadata-1", "a", 999_000))


def test_it_begins_with_what_there_is(watch: Watch) -> None:
    """Which is no event."""
    history = watch.history
    assert (history.has_begun, history.since_ms, history.newest(10)) == (False, 0, Page([], "-/0/999000"))
    assert watch.see(nodes(5)) == []
    assert (history.has_begun, history.since_ms) == (True, 1_000_500)
    assert watch.see(nodes(6)) == ["storage-6 joined, in z"]
    (event,) = history.newest(10).events
    assert event == Event(EventKind.NODE, "storage-6 joined, in z", 6, 0, 1_001_000)


def test_it_goes_on_from_what_another_has_seen(watch: Watch) -> None:
    """Since when that was."""
    event = Event(EventKind.NODE, "storage-1 joined, in z", 1, 0, 500_000)
    watch.history.inherit([event], 400_000)
    assert watch.see(nodes(1)) == ["storage-1 joined, in z"], "the one there is"
    assert watch.see(nodes(2)) == ["storage-2 joined, in z"]
    assert (watch.history.since_ms, watch.history.newest(10).place) == (400_000, "metadata-1.a/2/1001000")


@pytest.mark.parametrize("asks", [True, False])
def test_who_asks_before_it_has_begun_is_not_told_all_of_it_again(watch: Watch, asks: bool) -> None:
    """What it goes on from has yet to come; what the other has told of that is known by its time."""
    history = watch.history
    known, new = (Event(EventKind.NODE, "storage-1 joined, in z", 1, 0, at_ms) for at_ms in (500_000, 999_500))
    place = history.after("metadata-2.a/700/600000", 10).place if asks else history.newest(10).place
    with pytest.raises(ValidationError):
        history.after("nowhere", 10)
    history.inherit([known, new], 400_000)
    watch.see(nodes(1))
    assert history.after(place, 10) == Page([new], "metadata-1.a/2/999500", is_elsewhere=True)


class TestPages:
    def make(self, events: int, events_max: int = 100) -> History:
        history = History("metadata-1", "a", 0, events_max)
        for number in range(events + 1):
            history.observe(nodes(number), number, 1_000 + number)
        return history

    def test_the_newest_and_what_comes_after(self) -> None:
        """Page by page, without a gap."""
        history = self.make(10)
        assert ids(history.newest(3)) == [8, 9, 10]
        assert ids(history.newest(30)) == list(range(1, 11))
        place = history.newest(3).place
        assert history.after(place, 10) == Page([], place)
        history.observe(nodes(15), 11.0, 2_000)
        first = history.after(place, 2)
        assert ids(first) == [11, 12]
        assert ids(history.after(first.place, 10)) == [13, 14, 15]

    def test_what_has_been_let_go_of(self) -> None:
        """Is counted."""
        small = self.make(10, events_max=4)
        assert ids(small.newest(100)) == [7, 8, 9, 10]
        told = small.after("metadata-1.a/2/1002", 2)
        assert (ids(told), told.missed) == ([7, 8], 4)
        told = small.after(told.place, 2)
        assert (ids(told), told.missed) == ([9, 10], 0)
        assert small.after("metadata-1.a/99/1009", 2).events == []

    def test_a_place_in_another_history(self) -> None:
        """Of another process or another life: what is later by the time of day, and that it is so."""
        history = self.make(10)
        told = history.after("metadata-2.a/2/1007", 100)
        assert (ids(told), told.place, told.is_elsewhere) == ([8, 9, 10], "metadata-1.a/10/1010", True)
        assert ids(history.after("metadata-1.b/2/1007", 2)) == [8, 9]
        assert history.after("metadata-2.a/2/5000", 100) == Page([], "metadata-1.a/10/5000", is_elsewhere=True)
        assert not history.after(told.place, 100).is_elsewhere

    @pytest.mark.parametrize(
        "place", ["x", "a/b", "a/1", "a/1/b", "a//", "a/-1/1", "a/1/1/1", "a/²/1", "a/1/" + "9" * 20]
    )
    def test_what_is_no_place(self, place: str) -> None:
        with pytest.raises(ValidationError, match="is no place in a history"):
            self.make(1).after(place, 1)


def test_who_was_halted_waits_for_what_others_had_to_say(watch: Watch) -> None:
    """They seem silent until it has come in; only then it is compared."""
    watch.see(nodes(3))
    halted_s = HALTED_S + 5
    told = watch.see(nodes(3, is_alive=False), halted_s)
    assert told == [f"metadata-1 was halted for {halted_s:.1f} s: what came about meanwhile is told later"]
    assert watch.see_for(nodes(3, is_alive=False), SETTLE_S - LOOK_S) == []
    assert watch.see_for(nodes(4), 2 * LOOK_S) == ["storage-4 joined, in z"]


def test_the_time_of_day_may_jump(watch: Watch) -> None:
    """What takes how long is not measured by it."""
    watch.see(nodes(3))
    watch.now_ms += 3_600_000
    assert watch.see(nodes(3)) == []
    watch.now_ms -= 7_200_000
    unserved = replace(nodes(3), partitions={100: partition(100, is_served=False)})
    assert watch.see_for(unserved, LAPSE_S + LOOK_S) == ["there is no leader: partition 100 of t"]


def partition(partition_id: int, *, is_served: bool | None = True) -> PartitionView:
    return PartitionView("t", Partition(partition_id, b"", b"", (1, 2, 3)), (1, 1), is_served)


def test_partitions_that_nobody_serves(watch: Watch) -> None:
    """For some time; once; until somebody does. A gap that is no longer is the change of a leader."""

    def of(*partitions: PartitionView) -> View:
        return replace(nodes(3), partitions={each.members.partition_id: each for each in partitions})

    whole, lost = of(partition(100)), of(partition(100, is_served=False))
    watch.see(whole)
    assert watch.see_for(lost, LAPSE_S) == []
    assert watch.see_for(whole, 2 * LAPSE_S) == []
    assert watch.see_for(lost, LAPSE_S + LOOK_S) == ["there is no leader: partition 100 of t"]
    assert watch.see_for(lost, 5 * LAPSE_S) == []
    assert watch.see(whole) == ["there is a leader again: partition 100 of t"]
    assert watch.see(whole) == []
    # One that is deleted meanwhile is told of no more.
    watch.see_for(lost, LAPSE_S + LOOK_S)
    assert watch.see_for(of(), LAPSE_S) == []
    assert watch.see_for(lost, LAPSE_S) == []
    # Nor one that need not have a leader any more.
    watch.see_for(lost, 2 * LAPSE_S)
    assert watch.see_for(of(partition(100, is_served=None)), 2 * LAPSE_S) == []
    many = [partition(number, is_served=False) for number in range(TOLD_ONE_BY_ONE_MAX + 1)]
    assert watch.see_for(of(*many), LAPSE_S + LOOK_S) == [f"there is no leader: {len(many)} partitions"]
    served = of(*(replace(each, is_served=True) for each in many))
    assert watch.see(served) == [f"there is a leader again: {len(many)} partitions"]


def test_nodes_that_are_not_heard_of(watch: Watch) -> None:
    """Since this process began: they may be dead. Who is heard of in time is no news."""
    watch.see(nodes(2, is_alive=None))
    assert watch.see_for(nodes(2, is_alive=None), UNHEARD_S / 2) == []
    half = replace(nodes(1), nodes={1: nodes(1).nodes[1], 2: nodes(2, is_alive=None).nodes[2]})
    assert watch.see_for(half, UNHEARD_S) == ["storage-2 has not been heard of yet"]
    assert watch.see_for(nodes(2), UNHEARD_S) == ["storage-2 is heard of"]


def test_a_node_that_is_removed_unheard(watch: Watch) -> None:
    """Was not heard of."""
    unheard = replace(nodes(1), nodes={1: nodes(1).nodes[1], 2: nodes(2, is_alive=None).nodes[2]})
    watch.see(unheard)
    watch.see_for(unheard, UNHEARD_S)
    assert watch.see(unheard) == ["storage-2 has not been heard of yet"]
    assert watch.see_for(nodes(1), UNHEARD_S) == ["storage-2 was removed"]


def test_metadata_processes(watch: Watch) -> None:
    """Who is silent and comes back; who leads, and for some time nobody."""

    def of(leader: int, *alive: int) -> View:
        return View(metadata_leader=leader, metadata_alive=frozenset(alive))

    watch.see(of(1, 1))
    assert watch.see(of(1, 1, 2, 3)) == [], "they have only now been heard of"
    assert watch.see(of(0, 2, 3)) == ["metadata-1 is silent"]
    assert watch.see(of(2, 2, 3)) == ["metadata-2 leads the metadata service"]
    assert watch.see_for(of(0, 2, 3), LAPSE_S) == [], "that may be a change of the leader"
    assert watch.see(of(2, 2, 3)) == []
    assert watch.see_for(of(0, 2), 2 * LAPSE_S) == [
        "metadata-3 is silent",
        "metadata-1 knows of no leader of the metadata service",
    ]
    assert watch.see(of(2, 2, 3)) == ["metadata-3 is back", "metadata-2 leads the metadata service"]
    assert {event.kind for event in watch.history.newest(100).events} == {EventKind.METADATA}


def test_lapses() -> None:
    """Each is told of when it has lasted, and when it ends after that."""
    lapses = Lapses(1.0)
    assert lapses.look([1, 2], 0.0) == ([], [])
    assert lapses.look([1], 0.9) == ([], [])
    assert lapses.look([2, 1], 1.0) == ([1], [])
    assert lapses.look([2, 1], 2.0) == ([2], [])
    assert lapses.look([1], 3.0) == ([], [2])
    assert lapses.look([], 4.0) == ([], [1])
    assert lapses.look([], 5.0) == ([], [])
