"""`stator import` and `stator export`."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.cli.conftest import CommandLine
from tests.clients.conftest import BackgroundCluster
from tests.clients.fake_cluster import Refusal
from tests.clients.waiting import until_blocking


def write_lines(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps({"pk": str(n), "n": n}) + "\n" for n in range(count)))
    return path


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_what_goes_in_comes_out(stator: CommandLine, tmp_path: Path, suffix: str) -> None:
    """An import followed by an export of typed JSON loses nothing."""
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    items: list[dict[str, Any]] = [
        {"pk": {"S": str(n)}, "b": {"B": "AQI="}, "ns": {"NS": ["1", "2"]}} for n in range(45)
    ]
    is_array = suffix == "json"
    source.write_text(json.dumps(items) if is_array else "\n".join(map(json.dumps, items)))
    summary = stator("import", "music", str(source), "--dynamodb-json", "--output", "json").json
    assert (summary["items"], summary["failed"], summary["retries"]) == (45, 0, 0)
    assert "exported 45 items" in stator("export", "music", str(target), "--dynamodb-json").out
    text = target.read_text()
    found = json.loads(text) if is_array else [json.loads(line) for line in text.splitlines()]
    assert sorted(found, key=lambda item: item["pk"]["S"]) == sorted(items, key=lambda item: item["pk"]["S"])


def test_csv_in_and_out(stator: CommandLine, tmp_path: Path, cluster: BackgroundCluster) -> None:
    """Key columns take the key's type; columns that only some items have are all there on export."""
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("title,year,extra\nAlien,1979,\nHeat,1995,x\n")
    stator("import", "films", str(source), "--create", "--partition-key", "title:S", "--sort-key", "year:N")
    assert stator("get", "films", '{"title": "Alien", "year": 1979}').json == {"title": "Alien", "year": 1979}
    stator("export", "films", str(target))
    with target.open(newline="") as file:
        rows = {row["title"]: row for row in csv.DictReader(file)}
    assert rows["Alien"] == {"title": "Alien", "year:N": "1979", "extra": ""}
    assert rows["Heat"]["extra"] == "x"
    stator("export", "films", str(target), "--no-types")
    assert target.read_text().splitlines()[0] == "title,year,extra"


def test_the_table_may_be_there(stator: CommandLine, tmp_path: Path) -> None:
    """--create on a table that exists goes on with it."""
    source = write_lines(tmp_path / "in.jsonl", 3)
    done = stator("import", "music", str(source), "--create", "--partition-key", "pk:S")
    assert "there already" in done.err


def test_the_table_that_is_there_has_the_key_that_was_named(stator: CommandLine, tmp_path: Path) -> None:
    """--create with another key than the table has imports nothing."""
    source = str(write_lines(tmp_path / "in.jsonl", 3))
    for words in (["--partition-key", "n:N"], ["--partition-key", "pk:S", "--sort-key", "n:N"]):
        assert "has another key" in stator("import", "music", source, "--create", *words, code=2).err
    assert stator("export", "music", "-").out == ""


def test_standard_input_and_output(stator: CommandLine) -> None:
    """`-` in both directions; the summary of an export then goes to stderr."""
    stator("import", "music", "-", stdin='{"pk": "a"}\n{"pk": "b"}\n')
    done = stator("export", "music", "-")
    assert [json.loads(line) for line in done.out.splitlines()] == [{"pk": "a"}, {"pk": "b"}]
    assert "exported 2 items" in done.err


def test_failures_are_told_item_by_item(stator: CommandLine) -> None:
    """The rest is imported; the exit code is 1; place and reason are shown."""
    done = stator("import", "music", "-", stdin='{"pk": "a"}\n{"no": "key"}\n{"pk": \n{"pk": "b"}\n', code=1)
    assert "imported 2 items" in done.out
    assert "2 failed" in done.out
    assert "line 2: One of the required keys" in done.err
    assert "line 3: it is not JSON" in done.err


def test_retriable_errors_are_ridden_out(stator: CommandLine, cluster: BackgroundCluster, tmp_path: Path) -> None:
    """They are counted as retries, and nothing fails."""
    cluster.state.refusals.extend(Refusal("ThrottlingException", "slow down", retriable=True) for _ in range(20))
    summary = stator("import", "music", str(write_lines(tmp_path / "in.jsonl", 50)), "--output", "json").json
    assert (summary["items"], summary["failed"], summary["retries"]) == (50, 0, 20)


def test_an_import_without_hope_stops(stator: CommandLine, cluster: BackgroundCluster, tmp_path: Path) -> None:
    """When the time for one item is over, the other thousands are not tried as well."""
    cluster.state.refusals.extend(
        Refusal("ServiceUnavailableException", "no leader", retriable=True) for _ in range(100_000)
    )
    source = write_lines(tmp_path / "in.jsonl", 1000)
    done = stator("import", "music", str(source), "--timeout", "0.3", "--concurrency", "4", code=3)
    assert "stopped early: no leader" in done.err
    assert "4 failed" in done.out


def test_an_import_that_stopped_early_goes_on(stator: CommandLine, cluster: BackgroundCluster, tmp_path: Path) -> None:
    """With the rows that it says, nothing is left out, and little is done twice."""
    source = str(write_lines(tmp_path / "in.jsonl", 300))
    cluster.state.refusals.extend(Refusal("ValidationException", "no") for _ in range(3))
    cluster.state.refuse_after = 100
    done = stator("import", "music", source, "--concurrency", "8", code=1)
    assert "stopped early" in done.err
    skip = int(done.err.partition("--skip ")[2].split(":")[0])
    assert 95 <= skip <= 103  # three of those that are done with were refused
    cluster.state.refuse_after = None
    assert f"imported {300 - skip} items" in stator("import", "music", source, "--skip", str(skip)).out
    assert len(cluster.state.tables["music"].items) == 297


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv"])
def test_an_export_is_an_import(stator: CommandLine, tmp_path: Path, suffix: str) -> None:
    """Typed JSON and CSV bring everything back, and nothing needs to be said about them."""
    typed = (
        '{"pk": {"S": "t"}, "b": {"B": "AQI="}, "ss": {"SS": ["x", "y"]}, "ns": {"NS": ["1", "2.5"]}, '
        '"z": {"NULL": true}, "bs": {"BS": ["AQ=="]}, "n": {"N": "1"}, '
        '"m": {"M": {"l": {"L": [{"NULL": true}, {"BOOL": false}]}}}}'
    )
    stator("put", "music", typed, "--dynamodb-json")
    file = str(tmp_path / f"out.{suffix}")
    stator("export", "music", file, *([] if suffix == "csv" else ["--dynamodb-json"]))
    stator("import", "copy", file, "--create", "--partition-key", "pk:S")
    assert stator("get", "copy", "--pk", "t", "--dynamodb-json").json == json.loads(typed)


def test_what_aws_prints_is_read_from_a_pipe(stator: CommandLine) -> None:
    """As it is: `aws dynamodb scan ... | stator import music -`."""
    items = [{"pk": {"S": str(n)}, "n": {"N": str(n)}} for n in range(3)]
    scan = {"Items": items, "Count": 3, "ScannedCount": 3, "ConsumedCapacity": None}
    stator("import", "music", "-", stdin=json.dumps(scan, indent=4))
    assert stator("get", "music", "--pk", "2").json == {"pk": "2", "n": 2}


def test_a_broken_file_stops_after_what_was_good(stator: CommandLine, tmp_path: Path) -> None:
    """What came before the mistake is imported, and the mistake is told."""
    source = tmp_path / "in.json"
    source.write_text('[{"pk": "a"}, {"pk": "b"}, {"pk"')
    done = stator("import", "music", str(source), "--concurrency", "1", code=1)
    assert "imported 2 items" in done.out
    assert "item 3 is not JSON" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "music", "missing.jsonl"], "cannot be read"),
        (["import", "music", "x.txt"], "--format"),
        (["import", "music", "-", "--create"], "--partition-key"),
        (["import", "music", "-", "--type", "a:Z"], "not a column's type"),
        (["export", "music", "x.json.gz"], "is not packed"),
        (["export", "music", "/nowhere/x.jsonl"], "cannot be written"),
        (["export", "music", "/", "--format", "json"], "/ cannot be written: Is a directory"),
        (["export", "music", "x.csv", "--dynamodb-json"], "in the header"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(stator: CommandLine, words: list[str], said: str) -> None:
    """Exit code 2, and what to write instead."""
    assert said in stator(*words, code=2, stdin="").err


def test_an_export_appears_only_when_complete(stator: CommandLine, tmp_path: Path) -> None:
    """A failed export leaves neither a part of the file nor a temporary one."""
    target = tmp_path / "out.jsonl"
    stator("export", "films", str(target), code=1)
    assert list(tmp_path.iterdir()) == []


def test_an_export_through_a_link_or_into_a_device(stator: CommandLine, tmp_path: Path) -> None:
    """A symbolic link stays one; what is no file is written to, never replaced."""
    target, link, pipe = tmp_path / "out.jsonl", tmp_path / "link.jsonl", tmp_path / "pipe.jsonl"
    stator("put", "music", '{"pk": "a"}')
    target.write_text("old")
    link.symlink_to(target)
    stator("export", "music", str(link))
    assert link.is_symlink()
    assert target.read_text() == '{"pk": "a"}\n'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        stator("export", "music", str(pipe))
        assert pipe.is_fifo()
        assert os.read(reader, 100) == b'{"pk": "a"}\n'
    finally:
        os.close(reader)


def test_a_file_that_is_not_there_leaves_no_table(stator: CommandLine) -> None:
    """--create creates nothing for a name that is wrong."""
    stator("import", "films", "missing.jsonl", "--create", "--partition-key", "pk:S", code=2)
    assert "films" not in stator("table", "list").out


@contextlib.contextmanager
def importing(stator: CommandLine, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """`stator import music -` as a process of its own, whose input stays open."""
    environ = {**os.environ, **{name: value for name, value in stator.environ.items() if value is not None}}
    command = [sys.executable, "-m", "stator.cli.main", "import", "music", "-", *words]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, env=environ) as process:
        try:
            yield process
        finally:
            process.kill()


def give(process: subprocess.Popen[bytes], keys: range) -> None:
    assert process.stdin is not None
    process.stdin.write(b"".join(b'{"pk": "%d"}\n' % key for key in keys))
    process.stdin.flush()


def until_written(cluster: BackgroundCluster, count: int) -> None:
    until_blocking(lambda: cluster.state.writes_carried_out == count)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """(exit code, standard output, standard error), while the input is still open."""
    assert process.stdout is not None
    assert process.stderr is not None
    return process.wait(10), process.stdout.read(), process.stderr.read()


def test_rows_are_written_as_they_come(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """A pipe that gives one line and then nothing has that line written."""
    with importing(stator) as process:
        for key in range(3):
            give(process, range(key, key + 1))
            until_written(cluster, key + 1)


def test_an_import_that_is_interrupted_tells_how_far_it_got(stator: CommandLine, cluster: BackgroundCluster) -> None:
    """Ctrl-C while more may come: what was written is counted, and the exit code is Ctrl-C's."""
    with importing(stator) as process:
        give(process, range(64))
        until_written(cluster, 64)
        process.send_signal(signal.SIGINT)
        code, out, err = ended(process)
    assert code == 130
    assert re.match(rb"imported \d+ items", out)
    assert b"stopped early: interrupted" in err
    assert b"Traceback" not in err
    assert b"Fatal" not in err


def test_an_import_that_cannot_go_on_does_not_wait_for_its_input(
    stator: CommandLine, cluster: BackgroundCluster
) -> None:
    """The table is gone: the command ends, though nobody has closed its input."""
    with importing(stator) as process:
        give(process, range(1))
        until_written(cluster, 1)
        cluster.state.refusals.append(Refusal("ResourceNotFoundException", "Requested resource not found"))
        give(process, range(1, 2))
        code, _, err = ended(process)
    assert code == 1
    assert b"stopped early: Requested resource not found" in err
