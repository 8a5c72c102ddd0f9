"""`python -m tests.benchmarks.transactions`: what transactions cost beside single operations, and under contention.

Uncontended: clients do one thing at a time, at a steady rate that is the same for each kind of thing, in turns so that
whatever else the machine does meets all of them: PutItem, a transaction of three puts in three partitions, one of three
puts in one partition, GetItem, a transaction of three reads in three partitions. Every item is touched by nobody else.

Contended: clients move amounts between two items of a few, as fast as they can and without trying again; the fewer
items, the more transactions are cancelled. With --plot, a picture of committed transactions a second against the number
of items.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import stator
from stator.bench.plot import load_pyplot

from tests.benchmarks.stream_lag import at
from tests.cluster.harness import running_cluster, wait_for_leaders

TABLE = "transactions"
PARTITIONS = 3
WARM_UP = 50
"""Of each kind, not counted."""

Do = Callable[[], Awaitable[object]]


@dataclass
class Figures:
    """Milliseconds of each, and how many were refused."""

    ms: list[float] = field(default_factory=list)
    cancelled: int = 0


def main() -> int:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="stator-transactions-", dir=options.folder) as name,
        running_cluster(Path(name) / "cluster") as cluster,
    ):
        return asyncio.run(_measure(cluster.endpoints, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clients", type=int, default=4, help="uncontended: who do one thing after the other each")
    parser.add_argument("--rate", type=float, default=60.0, help="uncontended: things a second, all clients together")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each kind in a round, and of each contention")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--movers", type=int, default=16, help="contended: clients")
    parser.add_argument("--items", type=int, nargs="*", default=[2, 4, 8, 16, 64, 256, 4096], help="contended")
    parser.add_argument("--plot", type=Path, default=None, help="a picture of it, by its name .png or .svg")
    parser.add_argument("--folder", type=Path, default=None, help="where the data is kept; the default is the system's")
    return parser.parse_args()


async def _measure(endpoints: list[str], options: argparse.Namespace) -> int:
    async with stator.AsyncClient(endpoints, timeout_s=30.0) as client:
        await client.create_table(TABLE, ("pk", "S"), ("sk", "N"), partitions=PARTITIONS)
        await client.wait_until_table_active(TABLE)
        await wait_for_leaders(client, TABLE, PARTITIONS)
        await _uncontended(client, options)
        if options.items:
            await _contended(client, options)
    return 0


# Uncontended


class Kinds:
    """The things to do, each time with items of their own."""

    def __init__(self, client: stator.AsyncClient) -> None:
        self._client = client
        self._count = 0
        self._places = _one_a_partition()
        self.all: dict[str, Do] = {
            "PutItem": self._put,
            "transaction of 3 puts, 3 partitions": self._put_three,
            "transaction of 3 puts, 1 partition": self._put_three_near,
            "GetItem": self._get,
            "transaction of 3 reads, 3 partitions": self._get_three,
        }

    def _next(self) -> int:
        self._count += 1
        return self._count

    async def _put(self) -> None:
        number = self._next()
        await self._client.put_item(TABLE, {"pk": self._places[number % PARTITIONS], "sk": number, "v": "v" * 100})

    async def _put_three(self) -> None:
        await self._put_all(self._places)

    async def _put_three_near(self) -> None:
        await self._put_all([self._places[self._next() % PARTITIONS]] * 3)

    async def _put_all(self, places: Sequence[str]) -> None:
        writes = [stator.TransactPut(TABLE, {"pk": place, "sk": self._next(), "v": "v" * 100}) for place in places]
        await self._client.transact_write_items(writes)

    async def _get(self) -> None:
        number = self._next()
        key = {"pk": self._places[number % PARTITIONS], "sk": number % 100}
        await self._client.get_item(TABLE, key, consistent_read=True)

    async def _get_three(self) -> None:
        number = self._next() % 100
        await self._client.transact_get_items([(TABLE, {"pk": place, "sk": number}) for place in self._places])


def _one_a_partition() -> list[str]:
    """Partition keys of items in three different partitions."""
    # As the cluster hashes them; the hash space is divided evenly.
    from server.model.key_encoding import hash_key

    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        name = f"place-{number}"
        found.setdefault(hash_key("S", name)[0] * PARTITIONS // 256, name)
        number += 1
    return list(found.values())


async def _uncontended(client: stator.AsyncClient, options: argparse.Namespace) -> None:
    kinds = Kinds(client).all
    for do in kinds.values():
        for _ in range(WARM_UP):
            await do()
    found = {name: Figures() for name in kinds}
    for _ in range(options.rounds):
        for name, do in kinds.items():
            await _steadily(do, found[name], options)
    print(
        f"{options.clients} clients, {options.rate:.0f} a second, {options.rounds} rounds of {options.seconds:.0f} s\n"
    )
    print("| uncontended | count | p50 ms | p99 ms | p50, times the single one |")
    print("| --- | --: | --: | --: | --: |")
    single = {"put": "PutItem", "get": "GetItem"}
    for name, figures in found.items():
        figures.ms.sort()
        beside = sorted(found[single["get" if "Get" in name or "read" in name else "put"]].ms)
        ratio = at(figures.ms, 500) / at(beside, 500)
        print(
            f"| {name} | {len(figures.ms)} | {at(figures.ms, 500):.2f} | {at(figures.ms, 990):.2f} | {ratio:.2f} |",
            flush=True,
        )


async def _steadily(do: Do, figures: Figures, options: argparse.Namespace) -> None:
    """Each client begins something at each of its times, or as soon as it can."""
    begun = time.perf_counter()
    count = int(options.seconds * options.rate / options.clients)

    async def client(number: int) -> None:
        for index in range(count):
            due = begun + (index * options.clients + number) / options.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            since = time.perf_counter()
            await do()
            figures.ms.append((time.perf_counter() - since) * 1000)

    await asyncio.gather(*(client(number) for number in range(options.clients)))


# Contended


async def _contended(client: stator.AsyncClient, options: argparse.Namespace) -> None:
    print(f"\n{options.movers} clients that move amounts between two items, {options.seconds:.0f} s each\n")
    print("| items | committed/s | cancelled/s | p50 ms | p99 ms |")
    print("| --: | --: | --: | --: | --: |")
    rows: list[tuple[int, float, float]] = []
    for items in options.items:
        for index in range(items):
            await client.put_item(TABLE, {"pk": f"account-{index}", "sk": 0, "balance": 10**6})
        figures = Figures()
        end = time.perf_counter() + options.seconds
        await asyncio.gather(*(_move(client, items, end, figures) for _ in range(options.movers)))
        figures.ms.sort()
        rows.append((items, len(figures.ms) / options.seconds, figures.cancelled / options.seconds))
        times = " | ".join(f"{at(figures.ms, rank):.1f}" for rank in (500, 990)) if figures.ms else "- | -"
        print(f"| {items} | {rows[-1][1]:.0f} | {rows[-1][2]:.0f} | {times} |", flush=True)
        total = sum(
            [
                each["balance"]
                async for each in client.scan(TABLE, consistent_read=True)
                if each["pk"].startswith("account-")
            ]
        )
        assert total == 10**6 * items, f"{total} is not what there was"
        for index in range(items):
            await client.delete_item(TABLE, {"pk": f"account-{index}", "sk": 0})
    if options.plot is not None:
        _draw(options.plot, rows)


async def _move(client: stator.AsyncClient, items: int, end: float, figures: Figures) -> None:
    while time.perf_counter() < end:
        giver, taker = random.sample(range(items), 2)
        amount = random.randint(1, 9)
        since = time.perf_counter()
        transfer = client.transaction(conflict_attempts=1)
        for index, change in ((giver, -amount), (taker, amount)):
            transfer.update(
                TABLE, {"pk": f"account-{index}", "sk": 0}, "ADD balance :change", values={":change": change}
            )
        try:
            await transfer.commit()
        except stator.TransactionCanceledError:
            figures.cancelled += 1
        else:
            figures.ms.append((time.perf_counter() - since) * 1000)


def _draw(path: Path, rows: Sequence[tuple[int, float, float]]) -> None:
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    items = [row[0] for row in rows]
    axes.plot(items, [row[1] for row in rows], marker="o", label="committed")
    axes.plot(items, [row[2] for row in rows], marker="x", label="cancelled")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("items that the clients choose two of")
    axes.set_ylabel("transactions a second")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    axes.set_title("Transactions of two updates against contention")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
