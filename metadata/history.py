"""What has happened to the cluster, as this metadata process has seen it: nodes that come and go, leaders that change,
members that are replaced, copies that are lost and restored.

Found by comparing what is with what was, so that nothing has to remember to tell. Every metadata process keeps a
history of its own, in memory, from when it first knew what there is; so there is one to be had also where nobody leads.
One that begins takes over what another has (metadata/other_histories.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from metadata.views import Event, EventKind, View, differences, told_of
from server.model.errors import ValidationError

EVENTS_MAX = 10_000
"""Kept in memory, of some 240 bytes each, 700 at most; the oldest go."""

_NOWHERE = "-"
"""In the place of a process, where a history has not begun: a place in none."""

LAPSE_S = 2.0
"""How long a partition, or the metadata service, has no leader before that is an event: a hand-over leaves a gap."""

UNHEARD_S = 5.0
"""How long a storage node has not been heard of, since this process knows of it, before that is an event."""

HALTED_S = 2.0
"""Between two looks, past which this process has been halted."""

SETTLE_S = 3.0
"""After which it is not looked for so long: what others had to say meanwhile has yet to come in."""


class Lapses:
    """What does not hold, for so long that it is worth telling, and what holds again after that was told."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._since_s: dict[int, float] = {}
        self._told: set[int] = set()

    def look(self, lacking: Iterable[int], now_s: float) -> tuple[list[int], list[int]]:
        """(what has come to be told, what was told and is no more), of all that are `lacking` now."""
        self._since_s = {each: self._since_s.get(each, now_s) for each in lacking}
        ended = sorted(self._told - self._since_s.keys())
        begun = [
            each
            for each, since_s in self._since_s.items()
            if each not in self._told and now_s - since_s >= self._after_s
        ]
        self._told.difference_update(ended)
        self._told.update(begun)
        return begun, ended


@dataclass(frozen=True, slots=True)
class Page:
    """Events, the oldest first. `place`: behind them. `missed`: how many were let go of before they could be told.
    `is_elsewhere`: the place that was asked for was one in another history, so that some may be repeated, some
    missing."""

    events: list[Event]
    place: str
    missed: int = 0
    is_elsewhere: bool = False


class History:
    """The newest events that one life of a metadata process, named by `life`, has seen. `now_ms`: the time of day.

    A place in one history means nothing in another but for its time."""

    def __init__(self, process: str, life: str, now_ms: int, events_max: int = EVENTS_MAX) -> None:
        self.process = process
        self.since_ms = 0
        self._source = f"{process}.{life}"
        self._began_ms = now_ms
        self._view: View | None = None
        self._looked_s = 0.0
        self._not_before_s = 0.0
        self._events: deque[Event] = deque(maxlen=events_max)
        self._count = 0  # of all events so far
        self._leaderless = Lapses(LAPSE_S)
        self._unheard = Lapses(UNHEARD_S)
        self._unled = Lapses(LAPSE_S)
        self._silent_metadata: set[int] = set()
        self._metadata_leader = 0

    @property
    def has_begun(self) -> bool:
        """Whether there is a view to compare with."""
        return self._view is not None

    def inherit(self, events: list[Event], since_ms: int) -> None:
        """Goes on from what another process has seen since then (0: nobody has). Requires that it has not begun."""
        self._events.extend(events)
        self._count += len(events)
        self.since_ms = since_ms

    def observe(self, view: View, now_s: float, now_ms: int) -> None:
        """Adds what has happened since the view before. The first is only what is. `now_s`: monotonic, `now_ms`: the
        time of day."""
        if self._view is None:
            self.since_ms = self.since_ms or now_ms
            self._metadata_leader = view.metadata_leader
        elif now_s - self._looked_s > HALTED_S:
            text = (
                f"{self.process} was halted for {now_s - self._looked_s:.1f} s: what came about meanwhile is told later"
            )
            self._add([Event(EventKind.METADATA, text)], now_ms)
            self._not_before_s = now_s + SETTLE_S
        self._looked_s = now_s
        if now_s < self._not_before_s:
            return
        before, self._view = self._view, view
        if before is not None:
            found = [*self._of_metadata(before, view, now_s), *differences(before, view)]
            self._add([*found, *self._lapses(view, now_s)], now_ms)

    def _add(self, events: list[Event], now_ms: int) -> None:
        self._events.extend(replace(event, at_ms=now_ms) for event in events)
        self._count += len(events)

    def _of_metadata(self, before: View, view: View, now_s: float) -> Iterator[Event]:
        for node_id in sorted(before.metadata_alive - view.metadata_alive):
            self._silent_metadata.add(node_id)
            yield Event(EventKind.METADATA, f"metadata-{node_id} is silent", node_id)
        for node_id in sorted(self._silent_metadata & view.metadata_alive):
            self._silent_metadata.discard(node_id)
            yield Event(EventKind.METADATA, f"metadata-{node_id} is back", node_id)
        begun, ended = self._unled.look([] if view.metadata_leader else [0], now_s)
        if begun:
            yield Event(EventKind.METADATA, f"{self.process} knows of no leader of the metadata service")
        leader = view.metadata_leader
        if leader and (ended or leader != self._metadata_leader):
            self._metadata_leader = leader
            yield Event(EventKind.METADATA, f"metadata-{leader} leads the metadata service", leader)

    def _lapses(self, view: View, now_s: float) -> Iterator[Event]:
        unheard = [node_id for node_id, node in view.nodes.items() if node.is_alive is None]
        begun, ended = self._unheard.look(unheard, now_s)
        for node_ids, text in (begun, "has not been heard of yet"), (ended, "is heard of"):
            for node_id in node_ids:
                if node_id in view.nodes:
                    yield Event(EventKind.NODE, f"{view.name_of(node_id)} {text}", node_id)
        unserved = [partition_id for partition_id, each in view.partitions.items() if each.is_served is False]
        begun, ended = self._leaderless.look(unserved, now_s)
        for partition_ids, is_served, text in (begun, False, "no leader"), (ended, True, "a leader again"):
            partitions = [view.partitions[each] for each in partition_ids if each in view.partitions]
            of_these = [each for each in partitions if each.is_served is is_served]
            yield from told_of(EventKind.LEADER, of_these, f"there is {text}: ")

    def newest(self, limit: int) -> Page:
        """The newest events."""
        events = list(islice(self._events, max(0, len(self._events) - limit), None))
        if not self.has_begun:
            return Page(events, f"{_NOWHERE}/0/{self._began_ms}")
        return Page(events, self._place(self._count, events[-1].at_ms if events else self._began_ms))

    def after(self, place: str, limit: int) -> Page:
        """The events behind a place that was told before, the first so many. Behind one in the history of another
        process, or of another life, come those of a later time. Raises ValidationError."""
        source, number, at_ms = _parsed(place)
        if not self.has_begun:  # what it will go on from has yet to come, and has places of its own then
            return Page([], place)
        first = self._count - len(self._events)
        is_elsewhere = source != self._source
        if is_elsewhere:
            number = first + sum(event.at_ms <= at_ms for event in self._events)
        missed = max(0, first - number)
        skipped = min(number + missed - first, len(self._events))
        events = list(islice(self._events, skipped, skipped + limit))
        place = self._place(first + skipped + len(events), events[-1].at_ms if events else at_ms)
        return Page(events, place, missed, is_elsewhere)

    def _place(self, number: int, at_ms: int) -> str:
        return f"{self._source}/{number}/{at_ms}"


def _parsed(place: str) -> tuple[str, int, int]:
    parts = place.split("/")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts[1:]):
        raise ValidationError(f"{place[:100]!r} is no place in a history of events: it is what an answer called `next`")
    return parts[0], int(parts[1]), int(parts[2])
