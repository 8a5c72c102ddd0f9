"""`python -m tests.benchmarks.stream_lag`: how soon a change is told after its write was acknowledged.

Clients put items into a table with a stream, and another process follows that with `table.changes()`. Lag is what a
user sees of it: from the moment at which a put has returned to the one at which the iterator gives its change, by the
clock that both processes have in common. It is negative where the change is the faster. Measured are one client that
puts now and then; many at a steady rate, by default half of what they could do; and as many as fast as they can.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import stator

from tests.cluster.harness import running_cluster, wait_for_leaders

TABLE = "stream-lag"
WARM_UP_S = 1.5
LONE_RATE = 20.0
"""Puts a second of a client by itself: each finds everybody idle."""
REST_S_MAX = 60.0
"""Until the last change has come."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one measurement: puts a second, and in milliseconds, the shortest first, how long puts took, and lags."""

    per_s: float
    put_ms: Sequence[float]
    lag_ms: Sequence[float]

    def row(self, what: str) -> str:
        cells = [f"{self.per_s:.0f}", *(f"{at(self.put_ms, rank):.1f}" for rank in (500, 990))]
        cells += [str(len(self.lag_ms)), *(f"{at(self.lag_ms, rank):.1f}" for rank in (500, 990, 1000))]
        return f"| {what} | {' | '.join(cells)} |"


def at(values: Sequence[float], per_mille: int) -> float:
    return values[min(len(values) - 1, len(values) * per_mille // 1000)]


class Follower:
    """A process that follows the table, and notes when each change came."""

    def __init__(self, endpoints: list[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=follow, args=(endpoints, theirs))
        self._process.start()
        theirs.close()

    async def wait_until_ready(self) -> None:
        await asyncio.to_thread(self._connection.recv)

    async def arrivals(self, count: int) -> dict[int, float]:
        """When each of so many changes came, by its number. Ends the process."""
        self._connection.send(count)
        found: dict[int, float] = await asyncio.to_thread(self._connection.recv)
        await asyncio.to_thread(self._process.join)
        return found


def follow(endpoints: list[str], connection: Connection) -> None:
    """In a process of its own."""
    asyncio.run(_follow(endpoints, connection))


async def _follow(endpoints: list[str], connection: Connection) -> None:
    arrivals: dict[int, float] = {}
    expected = asyncio.create_task(asyncio.to_thread(connection.recv))
    async with stator.AsyncClient(endpoints) as client, client.changes(TABLE, "latest") as changes:
        connection.send(None)

        async def note() -> None:
            async for change in changes:
                assert change.new is not None
                arrivals[int(change.new["number"])] = time.monotonic()

        noting = asyncio.create_task(note())
        count = await expected
        deadline = time.monotonic() + REST_S_MAX
        while len(arrivals) < count and not noting.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)
    connection.send(arrivals)


class Load:
    """Clients that put items, at a rate together (0: as fast as they are answered). `puts`: number, began, ended."""

    def __init__(self, client: stator.AsyncClient, clients: int, rate: float, item_bytes: int, keys: int) -> None:
        self.puts: list[tuple[int, float, float]] = []
        self.errors: list[str] = []
        self._client = client
        self._interval_s = clients / rate if rate else 0.0
        self._value = "x" * item_bytes
        self._keys = keys
        # No put is as one of another load, which would change nothing.
        self._number = time.monotonic_ns()
        self._is_stopping = False
        self._tasks = [asyncio.create_task(self._work(random.Random(number))) for number in range(clients)]

    async def stop(self) -> None:
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    async def _work(self, rng: random.Random) -> None:
        due = time.monotonic() + rng.random() * self._interval_s
        while not self._is_stopping:
            if self._interval_s:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due += self._interval_s
            self._number += 1
            number, began = self._number, time.monotonic()
            item = {"pk": f"i{rng.randrange(self._keys)}", "number": number, "value": self._value}
            try:
                await self._client.put_item(TABLE, item)
            except stator.StatorError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                continue
            self.puts.append((number, began, time.monotonic()))


def main() -> int:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="stator-stream-lag-", dir=options.folder) as name,
        running_cluster(Path(name) / "cluster") as cluster,
    ):
        errors = asyncio.run(_measure(cluster.endpoints, options))
    for error in errors[:5]:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clients", type=int, default=64, help="who put items, one after the other each")
    parser.add_argument("--rate", type=float, default=0.0, help="steady puts a second; 0: half of what is sustained")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--partitions", type=int, default=3, help="of the table")
    parser.add_argument("--item-bytes", type=int, default=900, help="of an item's value")
    parser.add_argument("--items", type=int, default=10_000, help="different items that are put")
    parser.add_argument("--folder", type=Path, default=None, help="where the data is kept; the default is the system's")
    return parser.parse_args()


async def _measure(endpoints: list[str], options: argparse.Namespace) -> list[str]:
    errors: list[str] = []
    async with stator.AsyncClient(endpoints, timeout_s=30.0) as client:
        await client.create_table(TABLE, partitions=options.partitions, stream="NEW_AND_OLD_IMAGES")
        await client.wait_until_table_active(TABLE)
        await wait_for_leaders(client, TABLE, options.partitions)

        async def measured(clients: int, rate: float) -> Figures:
            return await _one(client, endpoints, options, clients, rate, errors)

        lone = await measured(1, LONE_RATE)
        full = await measured(options.clients, 0.0)
        steady = await measured(options.clients, options.rate or full.per_s / 2)
    print(
        f"{options.item_bytes} B items, {options.partitions} partition(s), {options.seconds:g} s each,"
        f" load average {os.getloadavg()[0]:.1f}\n"
    )
    print("| | put/s | put p50 ms | put p99 ms | changes | lag p50 ms | lag p99 ms | lag max ms |")
    print(f"| --- |{' --: |' * 7}")
    print(lone.row("one client, now and then"))
    print(steady.row(f"{options.clients} clients at a steady rate"))
    print(full.row(f"{options.clients} clients as fast as they can"))
    return errors


async def _one(
    client: stator.AsyncClient,
    endpoints: list[str],
    options: argparse.Namespace,
    clients: int,
    rate: float,
    errors: list[str],
) -> Figures:
    follower = Follower(endpoints)
    await follower.wait_until_ready()
    load = Load(client, clients, rate, options.item_bytes, options.items)
    await asyncio.sleep(WARM_UP_S)
    since = time.monotonic()
    await asyncio.sleep(options.seconds)
    until = time.monotonic()
    await load.stop()
    arrivals = await follower.arrivals(len(load.puts))
    errors += load.errors
    measured = [put for put in load.puts if since <= put[2] < until]
    errors += [f"the change of put {number} did not come" for number, _, _ in measured if number not in arrivals]
    return Figures(
        len(measured) / (until - since),
        sorted(1000 * (ended - began) for _, began, ended in measured),
        sorted(1000 * (arrivals[number] - ended) for number, _, ended in measured if number in arrivals),
    )


if __name__ == "__main__":
    sys.exit(main())
