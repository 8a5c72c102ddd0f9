"""Waiting for a condition, with a deadline: never for a time."""

import asyncio
import threading
import time
from collections.abc import Callable

_POLL_S = 0.01
TIMEOUT_S = 20.0


async def until(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Returns once the condition holds; AssertionError when it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        assert loop.time() < deadline, f"not so within {timeout_s:g} s"
        await asyncio.wait([loop.create_future()], timeout=_POLL_S)


def until_blocking(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """The same where there is no event loop."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not so within {timeout_s:g} s"
        pause.wait(_POLL_S)
