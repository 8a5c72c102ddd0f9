"""`stator cluster events`."""

from __future__ import annotations

import json
import re
from itertools import islice

from stator.cli.cluster import FOLLOW_S, followed
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
    assert (nothing.out, nothing.err) == ("", "metadata-2 has yet to learn what there is: try again in a moment.\n")
    add(cluster, 1, 2, 3)
    told = stator("cluster", "events", "--limit", "2")
    assert re.fullmatch(r"What metadata-2 has seen since 19\S+ \S+, the newest 2:\n", told.err)
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

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            add(cluster, 3, 4)

    add(cluster, 1, 2)
    with Client(cluster.endpoints) as client:
        events = followed(client, client.list_events(limit=1), wait)
        assert [event.node_id for event in islice(events, 3)] == [2, 3, 4]
    assert waits == [FOLLOW_S] * 2
