"""What is told of a cluster that is looked at from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stator.descriptions import ClusterDescription, NodeDescription, PartitionDescription, ReplicaDescription
from stator.errors import UnavailableError
from stator.gameday.history import EventKind
from stator.gameday.watcher import Watcher


def node(number: int, role: str = "storage") -> NodeDescription:
    name = f"{role}-{number}"
    return NodeDescription(number, name, role, f"zone-{number}", "", True, role == "metadata", 1, 0, "")


def led_by(leader: int) -> PartitionDescription:
    replicas = tuple(ReplicaDescription(number, f"zone-{number}", number == leader) for number in (1, 2, 3))
    return PartitionDescription(7, "t", b"", b"", replicas)


WHOLE = ClusterDescription((node(1), node(2), node(3), node(1, "metadata")), (led_by(1),))


class FakeCluster:
    """A cluster that is what a test says."""

    def __init__(self) -> None:
        self.description: ClusterDescription | None = WHOLE
        self.states = {"storage-1": "ready", "storage-2": "ready"}

    async def describe_cluster(self, *, timeout_s: float | None = None) -> ClusterDescription:
        if self.description is None:
            raise UnavailableError("nobody answers")
        return self.description

    async def command(self, word: str, names: Sequence[str]) -> list[dict[str, Any]]:
        assert (word, list(names)) == ("status", ["all"])
        return [
            {"name": name, "state": state, "exit_code": 5, "log": f"{name}.log"} for name, state in self.states.items()
        ]


class Told:
    """A watcher of a fake cluster, and what it told since it was last asked."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self._events: list[tuple[EventKind, str]] = []
        self.watcher = Watcher(self.cluster, self.cluster, "t", lambda kind, text: self._events.append((kind, text)))

    async def look(self) -> list[tuple[EventKind, str]]:
        self._events.clear()
        await self.watcher.look()
        return list(self._events)


async def test_only_what_changes_is_told() -> None:
    """Leaders, who lives, and what nodes complain of."""
    told = Told()
    assert await told.look() == []
    assert await told.look() == []
    changed = replace(node(3), is_alive=False, note="log damaged")
    told.cluster.description = ClusterDescription((node(1), node(2), changed, node(1, "metadata")), (led_by(2),))
    assert await told.look() == [
        (EventKind.SEEN, "storage-1: alive, leads 0 of t"),
        (EventKind.SEEN, "storage-2: alive, leads 1 of t"),
        (EventKind.SEEN, "storage-3: NOT ALIVE, leads 0 of t, log damaged"),
        (EventKind.ELECTED, "partition 7 is led by storage-2, no longer by storage-1"),
    ]
    assert await told.look() == []


async def test_another_leader_is_told_also_after_a_time_without_one() -> None:
    """The same one again is none."""
    told = Told()
    await told.look()
    for leader, expected in ((0, 0), (1, 0), (0, 0), (3, 1), (3, 0)):
        told.cluster.description = replace(WHOLE, partitions=(led_by(leader), replace(led_by(2), table_name="other")))
        events = await told.look()
        assert sum(kind is EventKind.ELECTED for kind, _ in events) == expected


async def test_silence_is_told_once() -> None:
    """And what was seen last is kept: faults need it."""
    told = Told()
    await told.look()
    told.cluster.description = None
    assert await told.look() == [(EventKind.SEEN, "nobody describes the cluster: UnavailableError")]
    assert await told.look() == []
    assert told.watcher.seen == WHOLE
    told.cluster.description = WHOLE
    assert await told.look() == [(EventKind.SEEN, "the cluster is described again")]


async def test_a_process_that_ends_by_itself_is_a_problem() -> None:
    """Once for each time; one that was killed as the scenario says is `stopped`."""
    told = Told()
    told.cluster.states |= {"storage-1": "exited", "storage-2": "stopped"}
    problem = (EventKind.PROBLEM, "storage-1 ended by itself (code 5); see storage-1.log.")
    assert await told.look() == [problem]
    assert await told.look() == []
    told.cluster.states["storage-1"] = "ready"
    assert await told.look() == []
    told.cluster.states["storage-1"] = "exited"
    assert await told.look() == [problem]


async def test_a_process_that_has_to_end_is_no_problem() -> None:
    """As one whose disk fails; it is told all the same."""
    told = Told()
    may_end: set[str] = set()
    told.watcher.may_end = may_end
    may_end.add("storage-1")
    told.cluster.states |= {"storage-1": "exited", "storage-2": "exited"}
    assert await told.look() == [
        (EventKind.SEEN, "storage-1 ended by itself (code 5); see storage-1.log."),
        (EventKind.PROBLEM, "storage-2 ended by itself (code 5); see storage-2.log."),
    ]
