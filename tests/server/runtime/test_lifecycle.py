"""How processes end: asked to, orphaned, or at once; seen from outside, on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server.runtime.lifecycle import EXIT_DISK, PARENT_VARIABLE

_SERVE = """
import asyncio, gc
from server.runtime import lifecycle, telemetry

telemetry.configure("test", "zone-1")

async def main(stop):
    loop = asyncio.get_running_loop()
    print(type(loop).__module__, gc.get_threshold(), gc.get_freeze_count() > 0, flush=True)
    await stop.wait()
    print("stopping", flush=True)

lifecycle.run(main, name="test")
"""

_DIE = """
import threading
from server.runtime import lifecycle

threading.Thread(target=threading.Event().wait).start()
lifecycle.die(lifecycle.EXIT_DISK, "the disk is gone")
"""

_RAISE = """
from server.runtime import lifecycle

async def main(stop):
    raise ValueError("no good")

lifecycle.run(main, name="test")
"""


@contextmanager
def process(program: str, parent_fd: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `program`; ended in any case."""
    environ = {name: value for name, value in os.environ.items() if name != PARENT_VARIABLE}
    if parent_fd is not None:
        environ[PARENT_VARIABLE] = str(parent_fd)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        pass_fds=() if parent_fd is None else (parent_fd,),
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def wait_started(started: subprocess.Popen[str]) -> str:
    """The process's first line, written once it runs."""
    assert started.stdout is not None
    return started.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_clean_stop(number: signal.Signals) -> None:
    """`main` gets to finish, and the process ends with 0."""
    with process(_SERVE) as started:
        wait_started(started)
        started.send_signal(number)
        out, err = started.communicate(timeout=30)
    assert started.returncode == 0, err
    assert out == "stopping\n"


def test_it_runs_as_servers_should() -> None:
    """On uvloop, and with the garbage collector out of the way."""
    with process(_SERVE) as started:
        assert wait_started(started) == "uvloop (50000, 20, 50) True\n"


def test_the_parents_end_is_a_clean_stop() -> None:
    """Whatever way the parent ends, the pipe that it holds ends with it."""
    read_end, write_end = os.pipe()
    with process(_SERVE, read_end) as started:
        os.close(read_end)
        wait_started(started)
        os.write(write_end, b"still here")
        assert started.poll() is None
        os.close(write_end)
        out, err = started.communicate(timeout=30)
    assert started.returncode == 0, err
    assert out == "stopping\n"
    assert "the parent process has ended" in err


def test_a_parent_that_ended_before() -> None:
    """A process that is started by one that is gone already does not stay."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    with process(_SERVE, read_end) as started:
        os.close(read_end)
        _, err = started.communicate(timeout=30)
    assert started.returncode == 0, err


def test_dying_is_immediate() -> None:
    """With its exit code and a sentence, and without waiting for threads."""
    with process(_DIE) as started:
        _, err = started.communicate(timeout=30)
    assert started.returncode == EXIT_DISK
    assert err == "fatal: the disk is gone\n"


def test_an_error_nobody_foresaw() -> None:
    """Ends the process with a traceback and not with 0."""
    with process(_RAISE) as started:
        _, err = started.communicate(timeout=30)
    assert started.returncode == 1
    assert "ValueError: no good" in err
