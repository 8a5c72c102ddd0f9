"""Logs of processes: their end, their rotation, their length."""

from pathlib import Path

import pytest
from stator.local import child
from stator.local.child import rotate, shorten, tail


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    """The last lines, also of a long log and of one that is not there."""
    log = tmp_path / "a.log"
    assert tail(log, 3) == []
    log.write_text("".join(f"line {number}\n" for number in range(20_000)))
    assert tail(log, 2) == ["line 19998", "line 19999"]


def test_rotation_keeps_one_earlier_log(tmp_path: Path) -> None:
    """An empty or missing log does not push the earlier one out."""
    log = tmp_path / "a.log"
    log.write_text("first")
    rotate(log)
    assert (tmp_path / "a.log.1").read_text() == "first"
    rotate(log)
    log.touch()
    rotate(log)
    assert (tmp_path / "a.log.1").read_text() == "first"


def test_a_long_log_is_cut_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written moves to the earlier log; the writer goes on in the file that it has open."""
    monkeypatch.setattr(child, "LOG_BYTES_MAX", 10)
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        shorten(log)
        assert log.stat().st_size == 10
        writer.write(b"x")
        shorten(log)
        writer.write(b"new")
    assert log.read_bytes() == b"new"
    assert (tmp_path / "a.log.1").read_bytes() == b"0123456789x"
