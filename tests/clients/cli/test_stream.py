"""`stator stream`, and streams in `stator table`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stator.cli.exits import INTERRUPTED, UsageError
from stator.cli.stream import as_line, parse_start
from stator.stream_descriptions import Change

from tests.clients.cli.conftest import CommandLine
from tests.clients.conftest import BackgroundCluster
from tests.clients.fake_streams import FakeShard
from tests.clients.waiting import until_blocking


@pytest.fixture
def shard(cluster: BackgroundCluster) -> FakeShard:
    """Of the stream of "music"."""
    cluster.state.tables["music"].description.latest_stream_label = "2026-11-26T18:30:00.123"
    arn = cluster.state.streams.add("music", "a")
    return cluster.state.streams.shards[arn]["a"]


def write(cluster: BackgroundCluster, shard: FakeShard, *arguments: Any) -> None:
    async def run() -> None:
        cluster.state.streams.write(shard, *arguments)

    cluster.call(run)


def test_a_stream_of_a_table(stator: CommandLine) -> None:
    """Is made with it, or later; it is shown, turned off and on again."""
    made = stator(
        "table", "create", "films", "--partition-key", "t:S", "--stream", "new_image", "--output", "json"
    ).json
    assert (made["stream"], made["latest_stream_label"]) == ("NEW_IMAGE", "2026-11-26T18:30:00.123")
    assert "NEW_IMAGE, arn:aws:dynamodb:" in stator("table", "describe", "films").out
    assert "off, arn:aws:dynamodb:" in stator("table", "update", "films", "--no-stream").out
    updated = stator("table", "update", "films", "--stream", "KEYS_ONLY", "--output", "json").json
    assert (updated["stream"], updated["status"]) == ("KEYS_ONLY", "ACTIVE")
    assert "already has" in stator("table", "update", "films", "--stream", "KEYS_ONLY", code=1).err
    assert "not both" in stator("table", "update", "films", "--stream", "KEYS_ONLY", "--no-stream", code=2).err
    said = stator("table", "update", "films", "--stream", "ALL", code=2).err
    assert "'ALL' is not what a stream can tell" in said and "NEW_AND_OLD_IMAGES" in said


def test_what_is_there_is_printed(stator: CommandLine, cluster: BackgroundCluster, shard: FakeShard) -> None:
    """For people, and as JSON lines."""
    write(cluster, shard, "INSERT", "x", None, {"plays": 1})
    write(cluster, shard, "MODIFY", "x", {"plays": 1}, {"plays": 2})
    write(cluster, shard, "REMOVE", "x", {"plays": 2})
    lines = stator("stream", "music").out.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        'INSERT  {"pk": "x"}  {"plays": 1}',
        'MODIFY  {"pk": "x"}  plays: 1 -> 2',
        'REMOVE  {"pk": "x"}  was {"plays": 2}',
    ]
    (line,) = stator("stream", "music", "--json", "--limit", "1").out.splitlines()
    assert json.loads(line) == {
        "event": "INSERT",
        "keys": {"pk": "x"},
        "old": None,
        "new": {"pk": "x", "plays": 1},
        "created_at": "1970-01-01T00:00:01.000+00:00",
        "by_time_to_live": False,
        "sequence_number": f"{1000:021}",
        "shard_id": "a",
        "event_id": "a1000",
    }
    typed = [json.loads(line) for line in stator("stream", "music", "--dynamodb-json").out.splitlines()]
    assert typed[1]["old"] == {"pk": {"S": "x"}, "plays": {"N": "1"}}
    assert len(stator("stream", "music", "--from", "1970-01-01T00:00:01.001Z").out.splitlines()) == 2


def test_a_checkpoint(stator: CommandLine, cluster: BackgroundCluster, shard: FakeShard, tmp_path: Path) -> None:
    """What was printed is not printed again; everything else is."""
    for number in range(7):
        write(cluster, shard, "INSERT", f"x{number}")
    arguments = ("stream", "music", "--checkpoint", str(tmp_path / "here"), "--json")
    assert [json.loads(line)["keys"]["pk"] for line in stator(*arguments, "--limit", "2").out.splitlines()] == [
        "x0",
        "x1",
    ]
    assert len(stator(*arguments).out.splitlines()) == 5
    assert stator(*arguments).out == ""
    (tmp_path / "bad").write_text("{}")
    assert "holds no checkpoint" in stator("stream", "music", "--checkpoint", str(tmp_path / "bad"), code=1).err
    nowhere = str(tmp_path / "no" / "where")
    assert "cannot be kept: No such" in stator("stream", "music", "--checkpoint", nowhere, code=1).err


def test_a_stream_that_is_off(
    stator: CommandLine, cluster: BackgroundCluster, shard: FakeShard, tmp_path: Path
) -> None:
    """Who follows is told why nothing more comes, and where the table's changes are now; not on the output."""
    arguments = ("stream", "music", "--from", "oldest", "--checkpoint", str(tmp_path / "here"), "--json")
    write(cluster, shard, "INSERT", "x0")
    (first,) = cluster.state.streams.streams
    assert stator(*arguments).err == ""
    cluster.call(turning_off(cluster, first))
    over = stator(*arguments, "--follow")
    assert (over.out, over.err) == ("", "The stream of music was turned off, and all that was in it has been told.\n")
    cluster.state.tables["music"].description.latest_stream_label = "2026-11-27T09:00:00.000"
    cluster.state.streams.add("music", "b", label="2026-11-27T09:00:00.000")
    for more in ((), ("--follow",)):
        old = stator(*arguments, *more)
        assert old.out == "" and "stream of 2026-11-26T18:30:00.123. music has a newer one" in old.err
    assert stator("stream", "music").err == ""


def turning_off(cluster: BackgroundCluster, arn: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        cluster.state.streams.turn_off(arn)

    return run


def test_wrong_input(stator: CommandLine, shard: FakeShard) -> None:
    """Gets a sentence each."""
    assert "oldest, latest, or a time" in stator("stream", "music", "--from", "yesterday", code=2).err
    assert "add --follow" in stator("stream", "music", "--from", "latest", code=2).err
    assert "films not found" in stator("stream", "films", code=1).err
    assert "update_table" not in stator("stream", "--help").out


def test_a_table_without_a_stream(stator: CommandLine) -> None:
    """The command that makes one is said."""
    assert "stator table update music --stream NEW_AND_OLD_IMAGES" in stator("stream", "music", code=1).err


def test_following(cluster: BackgroundCluster, shard: FakeShard, tmp_path: Path) -> None:
    """Changes are printed as they come; Ctrl-C ends it without a word, and the checkpoint has all that was printed."""
    path = tmp_path / "here"
    command = ("stream", "music", "--follow", "--json", "--from", "oldest", "--checkpoint", str(path))
    process = started(cluster, *command)
    assert process.stdout is not None and process.stderr is not None
    for number in range(3):
        write(cluster, shard, "INSERT", f"x{number}")
        assert json.loads(process.stdout.readline())["keys"] == {"pk": f"x{number}"}
    until_blocking(lambda: shard.subscribers == 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (INTERRUPTED, "", "")
    assert json.loads(path.read_text())["shards"] == {"a": f"{1002:021}"}


def test_a_closed_pipe(cluster: BackgroundCluster, shard: FakeShard) -> None:
    """Ends it without a word."""
    process = started(cluster, "stream", "music", "--follow", "--from", "oldest")
    assert process.stdout is not None
    write(cluster, shard, "INSERT", "x0")
    assert process.stdout.readline()
    process.stdout.close()
    write(cluster, shard, "INSERT", "x1")
    assert process.wait(20) == 0
    assert process.stderr is not None and process.stderr.read() == ""
    process.stderr.close()


def started(cluster: BackgroundCluster, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "STATOR_ENDPOINTS": ",".join(cluster.endpoints)}
    return subprocess.Popen(
        [sys.executable, "-m", "stator.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


def test_places() -> None:
    """A time without a zone is this machine's."""
    assert parse_start("2026-11-26T18:30:00Z") == datetime(2026, 11, 26, 18, 30, tzinfo=UTC)
    assert parse_start("2026-11-26T18:30") == datetime(2026, 11, 26, 18, 30).astimezone()
    for text in ("", "0001-01-01T00:00:00+23:00", "18:30"):
        with pytest.raises(UsageError):
            parse_start(text)


@pytest.mark.parametrize(
    ("event", "old", "new", "line"),
    [
        ("MODIFY", {"k": 1, "a": 1, "b": 2}, {"k": 1, "a": 2, "c": True}, "a: 1 -> 2, b: removed, c: true"),
        ("MODIFY", {"k": 1, "a": [1]}, {"k": 1, "a": {1}}, "a: [1] -> [1]"),
        ("MODIFY", None, {"k": 1, "a": 2}, '{"a": 2}'),
        ("MODIFY", {"k": 1, "a": 2}, None, 'was {"a": 2}'),
        ("MODIFY", {"k": 1}, {"k": 1, "a\n": 2}, "a\\n: 2"),
        ("REMOVE", None, None, "(its time was over)"),
    ],
)
def test_a_line(event: Any, old: Any, new: Any, line: str) -> None:
    """What became of the attributes, as far as is known."""
    by_ttl = event == "REMOVE"
    change = Change(event, {"k": 1}, old, new, datetime(2026, 1, 1, tzinfo=UTC), "1", "s", by_ttl, "e", 1)
    assert as_line(change).split("  ", 2)[2].removeprefix('{"k": 1}  ') == line
