"""A stream whose writer has failed must end: whoever reads on its other end would wait for what is never written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

log = structlog.get_logger()


def end_with(writer: asyncio.Task[None], end: Callable[[], object]) -> None:
    """Calls `end` when the task `writer` has failed. The reader of the same stream learns of it only when something
    comes, and nothing may come: the other side waits for an answer."""

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a stream's writer ended", reason=str(error))
            end()

    writer.add_done_callback(done)
