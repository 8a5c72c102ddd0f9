"""metadata/other_histories.py: one that begins takes over what the others have seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from metadata.history import History
from metadata.other_histories import longest_history
from metadata.views import Event, NodeView, View
from tests.metadata.test_service import Process


def seen(events: int, since_ms: int) -> History:
    """A history of so many nodes that have joined, and of nobody who leads."""
    history = History("metadata-1", "a", since_ms)
    history.observe(View(), 0.0, since_ms)
    joined = {each: NodeView(f"storage-{each}", "z") for each in range(1, events + 1)}
    history.observe(View(joined), 0.5, since_ms + 500)
    return history


@pytest.mark.parametrize("count", [0, 3, 2_500])
async def test_the_longest_is_taken_over(tmp_path: Path, count: int) -> None:
    """All of it, page by page; who has none, or is down, does not count."""
    histories = [seen(count, 5_000), seen(1, 7_000), History("metadata-3", "c", 1)]
    processes = [Process(tmp_path / str(number), number + 1) for number in range(3)]
    for process, history in zip(processes, histories, strict=True):
        process.group.history = history
        await process.start()
    addresses = [process.address for process in processes]
    events, since_ms = await longest_history([*addresses, "127.0.0.1:1"])
    assert (len(events), since_ms) == (count, 5_000)
    assert events == histories[0].newest(max(1, count)).events
    for process in processes:
        await process.stop()


async def test_nobody_has_one(tmp_path: Path) -> None:
    process = Process(tmp_path, 1)
    await process.start()
    assert await longest_history([process.address, "127.0.0.1:1"]) == ([], 0)
    assert await longest_history([]) == ([], 0)
    await process.stop()


async def test_one_of_another_version_has_none(tmp_path: Path) -> None:
    """It tells of what is not known here."""
    process = Process(tmp_path, 1)
    history = seen(1, 5_000)
    history.inherit([Event("weather", "it rains")], 5_000)  # type: ignore[arg-type]
    process.group.history = history
    await process.start()
    assert await longest_history([process.address]) == ([], 0)
    await process.stop()
