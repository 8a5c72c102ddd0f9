"""A process and its exit code; logs of processes: their end, their rotation, their length."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from stator.local import child
from stator.local.child import Child, State, rotate, shorten, tail
from stator.local.layout import Port, ProcessPlan, Role


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


async def test_a_signal_to_a_process_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the exit code to who waits for it, however late that one comes."""
    waitpid, is_signalled = os.waitpid, threading.Event()

    def wait_late(pid: int, options: int) -> tuple[int, int]:
        assert is_signalled.wait(30)
        return waitpid(pid, options)

    monkeypatch.setattr(os, "waitpid", wait_late)
    plan = ProcessPlan("storage-1", Role.STORAGE, "zone-1", (Port("grpc", 1),), ())
    process = Child(plan, tmp_path / "a.log", lambda _: None)
    told, tell = os.pipe()
    try:
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        await process.start(sleep, {}, (told,), tmp_path)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.pause()
        is_signalled.set()
        await process.kill()
    finally:
        os.close(told)
        os.close(tell)
    assert (process.state, process.exit_code) == (State.STOPPED, -signal.SIGKILL)
