"""Histories on disk: what was written is read, and what is none is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stator.gameday.history import Call, Event, EventKind, HistoryError, HistoryWriter, Kind, Outcome, read_history
from stator.gameday.scenario import load_scenario

SCENARIO = load_scenario("leader-killed")
CALLS = [
    Call(0, Kind.PUT, "k0.1", "a", 5, 9, Outcome.OK),
    Call(1, Kind.PUT_IF, "k0.1", "b", 5, 9, Outcome.REFUSED, expected=None, found="ä"),
    Call(2, Kind.DELETE, "k0.1", None, 6, None, Outcome.UNKNOWN, error="DeadlineExceededError: no", gave_up_ns=12),
    Call(3, Kind.READ_EVENTUAL, "k0.1", None, 20, 21, Outcome.OK, router="router-1"),
    Call(4, Kind.READ, "k0.1", None, 20, 21, Outcome.FAILED, error="UnavailableError: no"),
]
EVENT = Event(EventKind.FAULT, 7, "kill storage-1", 8)


def written(path: Path) -> list[str]:
    with HistoryWriter(path, SCENARIO, {"table": "t", "seed": 3}) as writer:
        for call in CALLS:
            writer.call(call)
        writer.event(EVENT)
        writer.end()
    return path.read_text(encoding="utf-8").splitlines()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """With its scenario, so that it can be judged without anything else."""
    written(tmp_path / "h")
    history = read_history(tmp_path / "h")
    assert (history.scenario, history.about) == (SCENARIO, {"table": "t", "seed": 3})
    assert (history.calls, history.events, history.is_complete) == (CALLS, [EVENT], True)


def test_a_history_that_breaks_off_says_so(tmp_path: Path) -> None:
    """Without its last line, or with fewer calls than that says, it is not complete."""
    lines = written(tmp_path / "h")
    for rest in (lines[:-1], [*lines[:1], *lines[2:]]):
        (tmp_path / "h").write_text("\n".join(rest) + "\n")
        assert not read_history(tmp_path / "h").is_complete


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (1, "{}", "is not the history of a game day"),
        (1, '{"history":"stator gameday","version":2}', "has version 2; this version of Stator reads 1"),
        (2, "{", "line 2 is not a line of a history"),
        (2, '{"call":"steal"}', "line 2 is not a line of a history"),
        (2, '{"x":1}', "line 2 is not a line of a history: 'end'"),
        (2, '{"end":false}', "neither a call nor an event nor the end"),
        (2, json.dumps({"call": "put", "client": 1, "key": "k", "value": 5, "from": 1, "to": 2, "outcome": "ok"}), "5"),
        (2, '{"call":"put","client":1,"key":"k","value":"a","from":1,"to":null,"outcome":"ok"}', "outcome is known"),
        (2, '{"call":"put","client":1,"key":"k","value":"a","from":3,"to":2,"outcome":"ok"}', "before it was called"),
        (8, '{"end":true,"calls":5}\n{"end":true,"calls":5}', "line 9 is not a line of a history: it comes after the"),
    ],
)
def test_what_is_no_history(tmp_path: Path, line: int, text: str, said: str) -> None:
    """The sentence names the file, and the line where there is one."""
    lines = written(tmp_path / "h")
    lines[line - 1] = text
    (tmp_path / "h").write_text("\n".join(lines) + "\n")
    with pytest.raises(HistoryError, match=said) as raised:
        read_history(tmp_path / "h")
    assert str(tmp_path / "h") in str(raised.value)


def test_no_file(tmp_path: Path) -> None:
    """Nor is a folder one, or an empty file."""
    with pytest.raises(HistoryError, match=r"cannot be read: No such file or directory\."):
        read_history(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(HistoryError, match="is empty"):
        read_history(tmp_path / "empty")
