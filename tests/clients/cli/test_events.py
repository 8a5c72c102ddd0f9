"""`stator cluster events`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import islice

from stator.cli.cluster import FOLLOW_S, followed
from stator.descriptions import ClusterEvent, ClusterEvents
from stator.errors import DeadlineExceededError, UnavailableError
from stator.sync_client import Client
from statorpb import admin_pb2

from tests.clients.cli.conftest import CommandLine
from tests.clients.conftest import BackgroundCluster


def add(cluster: BackgroundCluster, *numbers: int) -> None:
    cluster.state.events += [
        admin_pb2.Event(at_ms=1_000 * number + 5, kind="node", text=f"storage-{number} is silent", node_id=number)
        for number in numbers
    ]


def test_the_newest_are_shown(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """Who tells them goes to standard error; with nothing to tell that says so."""
    nothing = stator("cluster", "events")
    assert (nothing.out, "metadata-2 has yet to learn what there is" in nothing.err) == ("", True)
    add(cluster, 1, 2, 3)
    told = stator("cluster", "events", "--limit", "2")
    assert re.fullmatch(r"What metadata-2 knows of, since 19\S+ \S+, the newest 2 \(--limit\):\n", told.err)
    first, second = told.out.splitlines()
    assert re.fullmatch(r"19\d\d-\d\d-\d\d \d\d:\d\d:02\.005  node      storage-2 is silent", first)
    assert second.endswith("storage-3 is silent")
    assert "newest" not in stator("cluster", "events").err


def test_as_json(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """A document a line, and nothing else."""
    add(cluster, 1, 2)
    told = stator("cluster", "events", "--output", "json")
    assert told.err == ""
    assert [json.loads(line) for line in told.out.splitlines()] == [
        {
            "at": f"1970-01-01T00:00:0{number}.005+00:00",
            "kind": "node",
            "text": f"storage-{number} is silent",
            "node_id": number,
            "partition_id": None,
        }
        for number in (1, 2)
    ]


def test_what_comes_is_followed(cluster: BackgroundCluster) -> None:
    """Each event once; it waits only where there was none."""
    waits: list[float] = []
    notes: list[str] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            add(cluster, 3, 4)
        assert len(waits) < 10

    add(cluster, 1, 2)
    with Client(cluster.endpoints) as client:
        events = followed(client, client.list_events(limit=1), notes.append, wait)
        assert [event.node_id for event in islice(events, 3)] == [2, 3, 4]
    assert (waits, notes) == ([FOLLOW_S] * 2, [])


def told(*numbers: int, place: str = "1", missed: int = 0, is_elsewhere: bool = False) -> ClusterEvents:
    events = tuple(ClusterEvent(datetime.fromtimestamp(each, UTC), "node", "", each) for each in numbers)
    return ClusterEvents(events, place, "metadata-1", None, missed, is_elsewhere)


class ScriptedClient:
    """Answers, or raises, what the test has written down."""

    def __init__(self, *answers: ClusterEvents | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def list_events(self, after: str) -> ClusterEvents:
        self.asked.append(after)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_who_follows_is_told_what_is_missing() -> None:
    """That nobody answers, once, and that somebody does; that another tells; how many have been let go of."""
    client = ScriptedClient(
        UnavailableError("nobody"),
        DeadlineExceededError("nobody"),
        told(3, place="2"),
        told(4, place="3", is_elsewhere=True),
        told(9, place="4", missed=4),
    )
    notes: list[str] = []
    events = followed(client, told(2), notes.append, lambda _: None)  # type: ignore[arg-type]
    assert [event.node_id for event in islice(events, 4)] == [2, 3, 4, 9]
    assert client.asked == ["1", "1", "1", "2", "3"]
    assert notes == [
        "Nobody answers. It is asked again until somebody does.",
        "metadata-1 answers again.",
        "metadata-1 tells from here: some may have been told already, and some be missing.",
        "4 events came too fast to be told: metadata-1 keeps only the newest.",
    ]


def test_a_cluster_that_keeps_no_history(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """Of an older version."""
    cluster.state.events.is_unknown = True
    assert "is of an older version" in stator("cluster", "events", code=1).err
