"""A load of writes at random, for tests of what follows a table: its indexes, its stream."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import stator
from stator import attr, update

WORKERS = 8
KEYS = 150


class Writers:
    """Clients that put, update and delete items of a few keys, at random."""

    def __init__(self, client: stator.AsyncClient, table: str, seed: int) -> None:
        self.writes = 0
        self.errors: list[str] = []
        self._client = client
        self._table = table
        self._is_stopping = False
        self._tasks = [asyncio.create_task(self._work(random.Random(seed + each))) for each in range(WORKERS)]

    async def stop(self) -> None:
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    async def wait(self, writes: int) -> None:
        """Until so many more have been acknowledged."""
        least = self.writes + writes
        async with asyncio.timeout(60):
            while self.writes < least:
                await asyncio.sleep(0.01)

    async def _work(self, rng: random.Random) -> None:
        while not self._is_stopping:
            key = {"pk": f"p{rng.randrange(KEYS // 3)}", "sk": rng.randrange(3)}
            try:
                await self._write(rng, key)
                self.writes += 1
            except stator.StatorError as error:
                self.errors.append(repr(error))

    async def _write(self, rng: random.Random, key: dict[str, Any]) -> None:
        g, h, x = f"g{rng.randrange(5)}", rng.randrange(10), rng.random() < 0.5
        match rng.randrange(6):
            case 0:
                await self._client.delete_item(self._table, key)
            case 1:
                await self._client.update_item(self._table, key, update().remove("g").set("x", x))
            case 2:
                await self._client.update_item(self._table, key, update().set("h", h))
            case 3:
                change = update().set("n", attr("n").if_not_exists(0) + 1)
                await self._client.update_item(self._table, key, change)
            case _:
                await self._client.put_item(self._table, {**key, "g": g, "h": h, "x": x, "y": rng.random() < 0.5})
