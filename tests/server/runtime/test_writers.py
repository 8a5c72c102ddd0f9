"""A failed writer ends its stream."""

from __future__ import annotations

import asyncio

import pytest

from server.runtime.writers import end_with


async def fail() -> None:
    raise ConnectionResetError("gone")


async def test_a_stream_ends_with_its_writer() -> None:
    """Its reader would wait for ever."""
    reader = asyncio.create_task(asyncio.Event().wait())
    end_with(asyncio.create_task(fail()), reader.cancel)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(reader, 10)


async def test_a_writer_that_is_done_ends_nothing() -> None:
    """Neither where it was cancelled, nor where it has written all."""
    ended: list[str] = []
    complete = asyncio.create_task(asyncio.sleep(0))
    cancelled = asyncio.create_task(asyncio.sleep(100))
    for writer in (complete, cancelled):
        end_with(writer, lambda: ended.append("ended"))
    cancelled.cancel()
    await asyncio.wait([complete, cancelled])
    await asyncio.sleep(0)
    assert ended == []
