"""The command that tells a container's engine whether the process inside serves."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.runtime.grpc_server import start_server
from server.runtime.health_check import READY, SERVES, SERVES_NOT, serving_problem

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_MS = 5_000


async def test_a_process_that_serves_has_no_problem() -> None:
    """Not serving, serving, not serving again: each is seen."""
    server = await start_server("127.0.0.1:0", [], [])
    address = f"127.0.0.1:{server.port}"
    assert await serving_problem(address, TIMEOUT_MS) == f"{address} answers, and is NOT_SERVING."
    await server.set_serving(True)
    assert await serving_problem(address, TIMEOUT_MS) == ""
    assert await serving_problem(address, TIMEOUT_MS, READY) == f"{address} answers, and is NOT_SERVING."
    await server.set_ready(True)
    assert await serving_problem(address, TIMEOUT_MS, READY) == ""
    await server.set_serving(False)
    assert "NOT_SERVING" in await serving_problem(address, TIMEOUT_MS)
    await server.stop(0)


async def test_a_process_that_hangs_is_given_up() -> None:
    """Something listens and never answers, as a paused process does: the time-out ends the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert (await serving_problem(address, 200)).startswith(f"{address} does not answer: ")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "server.runtime.health_check", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=30)


async def test_the_exit_code_says_it() -> None:
    """0 is what a container's engine calls healthy."""
    server = await start_server("127.0.0.1:0", [], [])
    await server.set_serving(True)
    done = await asyncio.to_thread(run, f"127.0.0.1:{server.port}")
    assert (done.returncode, done.stderr) == (SERVES, "")
    done = await asyncio.to_thread(run, f"127.0.0.1:{server.port}", "--ready")
    assert done.returncode == SERVES_NOT
    await server.stop(0)


def test_nobody_there_is_a_sentence_and_a_code() -> None:
    """No traceback: the sentence ends up in the engine's record of failed checks."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run(f"127.0.0.1:{port}")
    assert done.returncode == SERVES_NOT
    assert done.stderr.startswith(f"127.0.0.1:{port} does not answer: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("127.0.0.1:1", "--timeout-ms", "soon")])
def test_wrong_usage_is_told_apart(arguments: tuple[str, ...]) -> None:
    """2 says that the check itself is wrong, not the process."""
    assert run(*arguments).returncode == 2
