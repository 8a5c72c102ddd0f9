"""Keys that are written again and again, to see for how long a part of a table took no writes."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import stator

from tests.demo.cities import KEY

PROBES = 48
"""So many that each of a handful of partitions holds some of their keys, all but certainly."""

_PAUSE_S = 0.1
_POLL_S = 0.02


class _Probe:
    """One key, and when its writes were acknowledged. Negative numbers are keys that no city has."""

    def __init__(self, number: int) -> None:
        self.key = -1 - number
        self.acknowledged_at: list[float] = []
        self.newest_began_at = 0.0  # of the newest acknowledged write

    async def write_for_ever(self, client: stator.AsyncClient, table: str) -> None:
        while True:
            began_at = time.monotonic()
            await client.put_item(table, {KEY: self.key, "probed": len(self.acknowledged_at)})
            self.newest_began_at = began_at
            self.acknowledged_at.append(time.monotonic())
            await asyncio.sleep(_PAUSE_S)

    def longest_gap_s(self, since: float) -> float:
        """The longest time between two acknowledged writes, the later of which came after `since`."""
        return max((two - one for one, two in pairwise(self.acknowledged_at) if two > since), default=0.0)


class Probes:
    """All of them, while the block lasts. A write that fails, after all retries of the SDK, fails the block."""

    def __init__(self, client: stator.AsyncClient, table: str) -> None:
        self._client = client
        self._table = table
        self._probes = [_Probe(number) for number in range(PROBES)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Probes:
        self._tasks = [asyncio.create_task(probe.write_for_ever(self._client, self._table)) for probe in self._probes]
        await self.wait_all_write(time.monotonic())
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_all_write(self, since: float) -> None:
        """Until a write of each key that began after `since` was acknowledged: every partition takes writes."""
        while any(probe.newest_began_at <= since for probe in self._probes):
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(_POLL_S)

    def longest_gap_s(self, since: float) -> float:
        """The longest that any key waited between two acknowledged writes, after `since`."""
        return max(probe.longest_gap_s(since) for probe in self._probes)
