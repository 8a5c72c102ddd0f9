"""A game day of a few seconds on real processes, judged, tampered with, and judged again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stator.gameday.disks import why_not as why_no_disks
from stator.gameday.links import why_not as why_no_links

from tests.cluster.harness import STATOR

pytestmark = pytest.mark.cluster

SCENARIO = """
duration = 7
partitions = 1
[[fault]]
at = 2
do = "kill"
process = "leader"
for = 3
"""


def gameday(folder: Path, *arguments: str) -> tuple[int, str]:
    """Runs the command in `folder`; its exit code and everything that it printed."""
    done = subprocess.run(
        [STATOR, "gameday", *arguments], cwd=folder, capture_output=True, text=True, timeout=150, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which a scenario was played; `out` has its report."""
    folder = tmp_path_factory.mktemp("gameday")
    (folder / "short.toml").write_text(SCENARIO)
    code, text = gameday(folder, "short.toml", "--report", "out")
    print(text)
    assert code == 0
    yield folder


def test_a_leader_killed_is_a_pass(played: Path) -> None:
    """The report says so, shows what was done and is made from a history that is there; the cluster is gone."""
    report = (played / "out" / "report.md").read_text()
    assert "**PASS: short: 0 lost, 0 wrong, linearizable.**" in report
    assert "kill storage-" in report
    assert "start storage-" in report
    assert not (played / "out" / "cluster").exists()
    assert gameday(played, "--check", "out")[0] == 0


def lines_of(played: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (played / "out" / "history.jsonl").read_text().splitlines()]


def check_again(played: Path, name: str, lines: list[dict[str, object]]) -> tuple[int, str]:
    folder = played / name
    folder.mkdir()
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return gameday(played, "--check", name)


def test_a_write_that_is_gone_is_found_in_the_history(played: Path) -> None:
    """One value of the reading back is replaced by an older one of its key: lost, and told with its key."""
    lines = lines_of(played)
    last = next(line for line in reversed(lines) if line.get("router") == "any" and line["value"] is not None)
    older = [line["value"] for line in lines if line.get("call") == "put" and line["key"] == last["key"]]
    last["value"] = older[0]
    code, text = check_again(played, "lost", lines)
    assert code == 1
    assert f"lost: {last['key']}" in text
    assert "NO PASS: short: 1 lost" in text


def test_a_stale_strong_read_is_found_in_the_history(played: Path) -> None:
    """A read in the middle of the load that returns the key's first value."""
    lines = lines_of(played)
    reads = [line for line in lines if line.get("call") == "read" and "router" not in line and line["value"]]
    late = reads[-1]
    late["value"] = next(line["value"] for line in reads if line["key"] == late["key"])
    code, text = check_again(played, "stale", lines)
    assert code == 1
    assert f"not linearizable: {late['key']}" in text


def test_a_history_that_breaks_off_is_no_pass(played: Path) -> None:
    """As after a crash of the machine that recorded it."""
    code, text = check_again(played, "broken", lines_of(played)[:-1])
    assert code == 1
    assert "breaks off" in text


def test_a_link_is_cut_one_way(played: Path) -> None:
    """Where that can be done: the leader's messages to a follower vanish, and two of three go on, while others are late
    or lost; else it is said why not, before anything starts."""
    cut = 'duration = 5\npartitions = 1\n[[fault]]\nat = 1\ndo = "cut"\nprocess = "leader"\nto = "follower"\n'
    cut += "one_way = true\nfor = 3\n"
    for do in ("delay", "lose"):
        amount = "ms = 10" if do == "delay" else "percent = 5"
        cut += f'[[fault]]\nat = 0.5\ndo = "{do}"\nprocess = "router"\nto = "storage"\n{amount}\nfor = 2\n'
    (played / "cut.toml").write_text(cut + "[expect]\nerrors = 0\n")
    code, text = gameday(played, "cut.toml", "--report", "cut")
    why_not = why_no_links()
    if why_not:
        assert (code, why_not in text) == (6, True), text
        pytest.skip(why_not)
    print(text)
    assert code == 0
    assert re.search(r"fault +cut storage-\d to storage-\d", text)
    assert re.search(r"undone +mend storage-\d to storage-\d", text)
    assert re.search(r"fault +lose 5 % router from storage", text)
    assert re.search(r"undone +mend router from storage.* packets late", text)


def test_a_disk_fails(played: Path) -> None:
    """Where that can be done: the leader ends, another leads, and it comes back with what it had synced."""
    fail = 'duration = 7\npartitions = 1\n[[fault]]\nat = 1\ndo = "fail-disk"\nprocess = "leader"\nfor = 2\n'
    (played / "fail.toml").write_text(fail + "[expect]\nerrors = 0\n")
    code, text = gameday(played, "fail.toml", "--report", "fail")
    why_not = why_no_disks()
    if why_not:
        assert (code, why_not in text) == (6, True), text
        pytest.skip(why_not)
    print(text)
    assert code == 0
    assert re.search(r"fault +fail the disk of storage-\d, which ended at once", text)
    assert re.search(r"undone +another disk, with what was synced, and start storage-\d", text)
    assert not (played / "fail" / "cluster").exists()


def test_what_is_wrong_with_the_command_line_is_said(played: Path) -> None:
    """In a sentence, and with the exit code of wrong usage."""
    (played / "own.toml").write_text("duration = 7\n[[fault]]\nat = 1\ndo = 'fill-disk'\nprocess = 'leader'\n")
    (played / "wrong.toml").write_text("duration = 7\n[[fault]]\nat = 8\ndo = 'kill'\nprocess = 'all'\n")
    for arguments, said in (
        (("wrong.toml",), "wrong.toml: fault 1: it comes at 8 s, and the run ends at 7 s."),
        (("leader-kill",), "did you mean leader-killed?"),
        (("--check", "nowhere"), "nowhere/history.jsonl cannot be read"),
        ((), "say one of SCENARIO"),
        (("own.toml", "--data", "any"), "own needs a cluster that it starts itself: leave out --data."),
        (("short.toml", "--report", "out"), "out is there already"),
        (("--show", "none"), "there is no shipped scenario 'none'"),
    ):
        code, text = gameday(played, *arguments)
        assert (code, said in text) == (2, True), text
