"""`python -m tests.benchmarks.back_fill`: how long it takes to give a table an index, and what its writers notice.

A table is filled; then clients put items at a steady rate, for a while with nothing else going on, then while an index
of everything (ALL) is made for the table by UpdateTable, then beside the finished index. Progress is what DescribeTable
tells. With --kill the storage node that leads the first partition of the table is killed (-9) half way, and started
again. In the end the clients stop, and table and index are compared, item by item.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import stator
from stator.bench.workload import key
from stator.index_check import ClientSource, IndexCheck, definition_of
from stator.indexes import GlobalIndexDescription

from tests.benchmarks.index_load import INDEX, Child, Figures, LoadPlan, cpu_seconds, owner
from tests.cluster.harness import LocalCluster, leaders_of, running_cluster, wait_for_leaders

TABLE: Final = "filled"
FILLERS: Final = 4
"""Who fill the table, several requests at a time each."""

WARM_UP_S = 2.0
LOOK_S = 0.25
SHOW_S = 2.0
FILL_S_MAX = 3600.0
SETTLE_S = 30.0
DOWN_S = 2.0
"""For how long a node that was killed stays away."""


def main() -> int:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="stator-back-fill-", dir=options.folder) as name,
        running_cluster(Path(name) / "cluster") as cluster,
    ):
        return asyncio.run(_measure(cluster, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000, help="that the table has before")
    parser.add_argument("--item-bytes", type=int, default=150, help="of an item, names and values")
    parser.add_argument("--partitions", type=int, default=3, help="of the table; the index has as many")
    parser.add_argument("--clients", type=int, default=16, help="who put items, one after the other each")
    parser.add_argument("--rate", type=float, default=300.0, help="puts a second, all together")
    parser.add_argument("--moves", type=float, default=0.1, help="the part of puts that change the index's key")
    parser.add_argument("--calm-s", type=float, default=10.0, help="seconds before and after, to compare with")
    parser.add_argument("--kill", action="store_true", help="kill a leader half way")
    parser.add_argument("--no-check", action="store_true", help="count items and entries only")
    parser.add_argument("--folder", type=Path, default=None, help="where the data is kept; the default is the system's")
    return parser.parse_args()


async def _measure(cluster: LocalCluster, options: argparse.Namespace) -> int:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=30.0) as client:
        await client.create_table(TABLE, ("pk", "S"), partitions=options.partitions)
        await client.wait_until_table_active(TABLE)
        await wait_for_leaders(client, TABLE, options.partitions)
        began = time.monotonic()
        await asyncio.gather(*(_fill(client, options, first) for first in range(FILLERS)))
        _tell(f"{options.items} items written in {time.monotonic() - began:.1f} s")
        found: dict[str, Figures] = {}
        size = options.items, options.item_bytes, options.moves
        plan = LoadPlan(cluster.endpoints, TABLE, options.clients, options.rate, *size, 1)
        async with _loaded(plan) as load:
            await asyncio.sleep(WARM_UP_S)
            looks = Looks(cluster, load)
            await looks.take()
            await asyncio.sleep(options.calm_s)
            found["before"] = await looks.take()
            took_s = await _make_index(cluster, client, options)
            found["while it is filled"] = await looks.take()
            await asyncio.sleep(options.calm_s)
            found["with the index"] = await looks.take()
        _print(found, took_s, options)
        wrong = await _count(client) if options.no_check else await _check(client)
    errors = {name: count for each in found.values() for name, count in each.errors.items()}
    if errors:
        print(f"errors: {errors}", file=sys.stderr)
    return 1 if wrong or errors else 0


async def _fill(client: stator.AsyncClient, options: argparse.Namespace, first: int) -> None:
    def items() -> Iterator[dict[str, Any]]:
        for index in range(first, options.items, FILLERS):
            item = {"pk": key(index), "owner": owner(index)}
            yield {
                **item,
                "filler": "f" * (options.item_bytes - sum(len(name + value) for name, value in item.items())),
            }

    await client.batch_write_item(TABLE, put=items())


@asynccontextmanager
async def _loaded(plan: LoadPlan) -> AsyncIterator[Child]:
    child = await Child.start(plan)
    try:
        yield child
    finally:
        await child.end()


class Looks:
    """At a load and at what the storage nodes spend, since the look before."""

    def __init__(self, cluster: LocalCluster, load: Child) -> None:
        self._cluster = cluster
        self._load = load
        self._cpu_s: dict[int, float] = {}

    async def take(self) -> Figures:
        figures = await self._load.take()
        status = await asyncio.to_thread(self._cluster.status)
        pids = [each["pid"] for each in status if each["role"] == "storage" and each["pid"]]
        before, self._cpu_s = self._cpu_s, {pid: cpu_seconds([pid]) for pid in pids}
        # What a process that was killed has used nobody knows any more.
        spent_s = sum(used_s - before.get(pid, 0.0) for pid, used_s in self._cpu_s.items())
        return replace(figures, storage_cpu_s=spent_s)


async def _make_index(cluster: LocalCluster, client: stator.AsyncClient, options: argparse.Namespace) -> float:
    """Returns how many seconds it took until the index was ACTIVE."""
    began = shown = time.monotonic()
    victim = sorted((await leaders_of(client, TABLE)).items())[0][1] if options.kill else ""
    await client.update_table(TABLE, create_index=stator.GlobalIndex(INDEX, ("owner", "S")))
    while (index := await _index(client)).status != "ACTIVE":
        now = time.monotonic()
        assert now - began < FILL_S_MAX, "the index does not become ACTIVE"
        if victim and index.items_passed >= options.items // 2:
            await _kill(cluster, victim)
            victim = ""
        if now - shown >= SHOW_S:
            shown = now
            _tell(f"{now - began:6.1f} s: {_progress(index)}")
        await asyncio.sleep(LOOK_S)
    took_s = time.monotonic() - began
    _tell(f"{took_s:6.1f} s: {_progress(index)}")
    assert not victim, "the index was ACTIVE before anybody could be killed: there are too few items"
    return took_s


async def _index(client: stator.AsyncClient) -> GlobalIndexDescription:
    (index,) = (await client.describe_table(TABLE)).global_indexes
    return index


def _progress(index: GlobalIndexDescription) -> str:
    return (
        f"{index.status}{', back-filling' if index.is_backfilling else ''}, {index.items_passed} items passed on,"
        f" {index.pending} changes behind, {index.lag_ms} ms"
    )


async def _kill(cluster: LocalCluster, victim: str) -> None:
    """Returns when the node runs again; what it led is led by others by then, or soon."""
    _tell(f"{victim}, which leads, is killed")
    await asyncio.to_thread(cluster.local, "kill", victim)
    await asyncio.sleep(DOWN_S)
    await asyncio.to_thread(cluster.local, "start", victim)


def _print(found: dict[str, Figures], took_s: float, options: argparse.Namespace) -> None:
    print(
        f"{options.items} items of {options.item_bytes} B, {options.partitions} partition(s),"
        f" {options.clients} clients; ACTIVE after {took_s:.1f} s, load average {os.getloadavg()[0]:.1f}\n"
    )
    print("| puts | put/s | p50 ms | p99 ms | max ms | storage nodes, processors |")
    print("| --- | --: | --: | --: | --: | --: |")
    for name, figures in found.items():
        times = " | ".join(f"{figures.ms('put', rank):.1f}" for rank in (0.5, 0.99, 1.0))
        print(f"| {name} | {figures.per_s('put'):.0f} | {times} | {figures.storage_cpu_s / figures.duration_s:.2f} |")
    ratio = found["while it is filled"].ms("put", 0.99) / found["before"].ms("put", 0.99)
    print(f"\np99 while it is filled to before: {ratio:.2f}")


async def _check(client: stator.AsyncClient) -> int:
    """Returns of how many items the index has not what it should."""
    definition = definition_of(await client.describe_table(TABLE), INDEX)
    check = IndexCheck(ClientSource(client, TABLE, INDEX, definition), definition, SETTLE_S)
    wrong = [each async for each in check.differences()]
    print(f"{check.items} items, {check.entries} entries, {len(wrong)} differences {wrong[:3] or ''}")
    return len(wrong)


async def _count(client: stator.AsyncClient) -> int:
    items = await client.scan_count(TABLE, consistent_read=True)
    deadline = time.monotonic() + SETTLE_S
    while (entries := await client.scan_count(TABLE, index=INDEX)) != items and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_S)
    print(f"{items} items, {entries} entries")
    return abs(items - entries)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
