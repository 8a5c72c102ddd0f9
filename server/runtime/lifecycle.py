"""How a process begins and ends: event loop, signals, its parent's death, exit codes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
import uvloop

EXIT_CONFIGURATION = 2
EXIT_DAMAGED = 3
EXIT_ADDRESS_IN_USE = 4
EXIT_DISK = 5
EXIT_REMOVED = 6

PARENT_VARIABLE = "STATOR_PARENT_FD"
"""Names an inherited file descriptor, the read end of a pipe that the parent holds open: when it ends, so do we."""

log = structlog.get_logger()


def die(exit_code: int, sentence: str) -> NoReturn:
    """Ends the process at once, saying why. For what must not be survived: a disk that fails, data that is damaged."""
    sys.stderr.write(f"fatal: {sentence}\n")
    sys.stderr.flush()
    os._exit(exit_code)


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, name: str) -> NoReturn:
    """Runs `main(stop)` until it returns; `stop` is set by SIGTERM, SIGINT or the parent's end. Exits with 0."""

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        watch_parent(loop, stop)
        # What start-up made lives for ever: keep the collector from walking it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        await main(stop)

    uvloop.run(supervised())
    log.info("stopped", name=name)
    sys.stderr.flush()
    # Not sys.exit: worker threads of libraries must not delay the end, and nothing is left to flush.
    os._exit(0)


def watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Sets `stop` when the pipe that the parent holds ends; does nothing where there is none."""
    text = os.environ.get(PARENT_VARIABLE, "")
    if not text:
        return
    descriptor = int(text)

    def readable() -> None:
        if os.read(descriptor, 1) == b"":
            loop.remove_reader(descriptor)
            log.warning("the parent process has ended")
            stop.set()

    loop.add_reader(descriptor, readable)
