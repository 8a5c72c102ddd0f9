"""The command as a whole: help, speed, exit codes."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise, takewhile

import pytest
from stator.cli.main import app

from tests.clients.cli.conftest import CommandLine

COMMANDS = [
    ["local", "up"],
    ["local", "down"],
    ["local", "status"],
    ["local", "logs"],
    ["local", "kill"],
    ["local", "pause"],
    ["local", "resume"],
    ["local", "start"],
    ["table", "create"],
    ["table", "describe"],
    ["table", "list"],
    ["table", "delete"],
    ["put"],
    ["get"],
    ["update"],
    ["query"],
    ["scan"],
    ["delete"],
    ["transact"],
    ["import"],
    ["export"],
    ["cluster", "status"],
    ["gameday"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(offline: CommandLine, words: list[str]) -> None:
    """`--help` works without a cluster and shows a command line to copy."""
    text = offline(*words, "--help").out
    assert f"stator {' '.join(words)}" in " ".join(text.split())


def test_help_is_quick() -> None:
    """Nothing is imported for it that only some commands need: imports are most of the time before any of them begins.
    (The SDK itself, and gRPC with it, comes with the package.)"""
    line = [sys.executable, "-X", "importtime", "-m", "stator.cli.main", "--help"]
    told = subprocess.run(line, check=True, capture_output=True, text=True).stderr
    imported = {row.rpartition("|")[2].strip() for row in told.splitlines()}
    assert "typer" in imported
    assert not imported & {
        "uvloop",
        "pydantic",
        "orjson",
        "stator.local.supervisor",
        "stator.bench.runner",
        "stator.gameday.run",
    }


def test_version(offline: CommandLine) -> None:
    """For reports of bugs."""
    assert offline("--version").out == f"stator {version('stator')}\n"


def test_long_paragraphs_of_help_fill_the_width(offline: CommandLine) -> None:
    """The lines of the docstring are not those of the terminal."""
    lines = [line.strip() for line in offline("import", "--help").out.splitlines()]
    first = next(index for index, line in enumerate(lines) if line.startswith("Failures of nodes"))
    for line, following in pairwise(takewhile(bool, lines[first:])):
        assert len(line) + 1 + len(following.split()[0]) > 76


def test_help_tells_the_exit_codes(offline: CommandLine) -> None:
    """Scripts need them."""
    assert "Exit codes" in offline("--help").out


@pytest.mark.parametrize(
    "words",
    [["put", "t", "{}"], ["table", "list"], ["cluster", "status"], ["export", "t", "-"], ["import", "t", "-"]],
    ids=" ".join,
)
def test_no_cluster(offline: CommandLine, words: list[str]) -> None:
    """Exit code 3 at once, with what to do next and without a traceback."""
    ended = offline(*words, code=3, stdin="")
    assert "no cluster answers at 127.0.0.1:1" in ended.err
    assert "stator local up" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["put", "t"],
        ["dance"],
        ["put", "t", "{}", "--endpoint", "nowhere"],
        ["local", "up", "--http-port", "99999"],
        ["table", "create", "t"],
        ["local", "status", "--output", "xml"],
        ["table", "create", "music", "--partition-key", "pk:S", "--partitions", "-1"],
        ["bench", "--plot", "/nowhere/x.png"],
        ["bench", "--plot", "x.gif"],
        ["bench", "--json", "/"],
    ],
    ids=" ".join,
)
def test_wrong_usage(offline: CommandLine, words: list[str]) -> None:
    """Exit code 2."""
    offline(*words, code=2)


def test_output_may_be_cut_off() -> None:
    """A reader that goes away early, as `head` does, is no error."""
    line = f"{sys.executable} -m stator.cli.main --help | head -1; echo ${{PIPESTATUS[0]}}"
    shown = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("name", ["put", "get", "update", "delete", "query", "scan", "export"])
def test_the_example_in_the_help_is_a_command(offline: CommandLine, name: str) -> None:
    """It gets as far as the cluster, which is not there."""
    commands = {
        command.name or getattr(command.callback, "__name__", ""): command for command in app.registered_commands
    }
    text = " ".join((commands[name].help or "").split())
    words = shlex.split(text.partition("Example: stator ")[2])
    assert words[0] == name
    offline(*words, code=3)
