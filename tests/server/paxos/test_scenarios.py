"""The scenarios in testdata/: each prints what its file says (scenario.py describes the commands).

After a change of the core that is meant to change them, `STATOR_REWRITE=1 pytest tests/server/paxos` writes what the
commands print now into the files. Read the difference: it is the change of the protocol.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.server.paxos.scenario import Block, Scenario, parse, render

FILES = sorted((Path(__file__).parent / "testdata").glob("*.txt"))
REWRITE = os.environ.get("STATOR_REWRITE") == "1"


def play(blocks: list[Block]) -> list[Block]:
    """The blocks with what they print now."""
    scenario = Scenario()
    return [
        Block(block.comments, block.commands, scenario.run(block.commands) if block.commands else [])
        for block in blocks
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_goes_as_written(path: Path) -> None:
    """Messages, records, leadership and state are those of the file, and the invariants hold after every step."""
    expected = path.read_text(encoding="utf-8")
    found = render(play(parse(expected)))
    if REWRITE:
        path.write_text(found, encoding="utf-8")
    else:
        assert found == expected


def test_a_scenario_that_goes_otherwise_is_noticed() -> None:
    """What is compared is what was printed, line by line, and a file is what its blocks are."""
    text = "# A group.\n\n# It begins.\ncluster zones=a\n----\nnothing of this kind\n"
    blocks = parse(text)
    assert render(blocks) == text
    assert render(play(blocks)) == text.replace(
        "nothing of this kind",
        "at 0ms\n1: follower promised - log 1..0 commit 0 state [] follows nobody, deadline 0ms",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cluster zones=a\n", "a block needs commands and ----"),
        ("----\nat 0ms\n", "a block needs commands and ----"),
        ("cluster zones=a sides=b\n----\n", "unknown options"),
        ("dance 1\n----\n", "no such command"),
        ("cluster zones=a\nadvance 5h\n----\n", "not a duration"),
        ("cluster zones=a\ncrash 1\ncrash 1\n----\n", "node 1 is down"),
    ],
)
def test_what_is_no_scenario_is_refused(text: str, sentence: str) -> None:
    """A slip of the pen must not pass for an empty step."""
    with pytest.raises(ValueError, match=sentence):
        play(parse(text))
