"""`python -m tests.benchmarks.index_lag`: how far a global index is behind its table, and what it costs the writers.

A table without an index and one with an index that has everything (ALL) are written by the same clients, through the
SDK's sessions: as fast as they are answered, and at a steady rate, by default half of what the table with the index
has taken in a short time before. Lag is what a user sees of it: from the acknowledgement of a put until a query of the
index has brought the item, through each of three routers in turn, and so in each zone. It includes that query. Beside
it stands the lag that the storage nodes report (DescribeTable's neighbour, `stator table describe`), as often as it
was looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import stator

from tests.benchmarks.index_load import INDEX, Child, Figures, LoadPlan, ProbePlan, cpu_seconds
from tests.cluster.harness import LocalCluster, running_cluster, wait_for_leaders

PLAIN: Final = "plain"
INDEXED: Final = "indexed"
WARM_UP_S = 1.5
LOOK_S = 0.5
"""Between two looks at the lag that is reported."""


def main() -> int:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="stator-index-lag-", dir=options.folder) as name,
        running_cluster(Path(name) / "cluster") as cluster,
    ):
        errors = asyncio.run(_measure(cluster, options))
    if errors:
        print(f"errors: {errors}", file=sys.stderr)
    return 1 if errors else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clients", type=int, default=64, help="who put items, one after the other each")
    parser.add_argument("--rate", type=float, default=0.0, help="steady puts a second; 0: half of what is sustained")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured in turn")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--partitions", type=int, default=3, help="of each table; the index has as many")
    parser.add_argument("--items", type=int, default=10_000, help="different items that are put")
    parser.add_argument("--item-bytes", type=int, default=900, help="of an item, names and values")
    parser.add_argument("--moves", type=float, default=0.1, help="the part of puts that change the index's key")
    parser.add_argument("--probe-pause-ms", type=float, default=20.0, help="between two looks through one router")
    parser.add_argument("--folder", type=Path, default=None, help="where the data is kept; the default is the system's")
    return parser.parse_args()


class Measurements:
    """On one cluster. `reported_ms`: the lags that storage nodes told while somebody probed."""

    def __init__(self, cluster: LocalCluster, client: stator.AsyncClient, options: argparse.Namespace) -> None:
        self.reported_ms: dict[str, list[int]] = {}
        self._endpoints = cluster.endpoints
        self._storage_pids = [each["pid"] for each in cluster.status() if each["role"] == "storage"]
        self._client = client
        self._options = options
        self._seed = 0

    async def load(self, table: str, rate: float = 0.0) -> Figures:
        """A load by itself."""
        child = await Child.start(self._plan(table, rate))
        await asyncio.sleep(WARM_UP_S)
        await child.take()
        cpu_s = cpu_seconds(self._storage_pids)
        await asyncio.sleep(self._options.seconds)
        figures = replace(await child.take(), storage_cpu_s=cpu_seconds(self._storage_pids) - cpu_s)
        await child.end()
        return figures

    async def lag(self, name: str, rate: float) -> Figures:
        """A load on the indexed table, while the index is looked at."""
        load = await Child.start(self._plan(INDEXED, rate))
        plan = ProbePlan(self._endpoints, INDEXED, self._options.probe_pause_ms / 1000, self._seed)
        probe = await Child.start(plan)
        await asyncio.sleep(WARM_UP_S)
        await asyncio.gather(load.take(), probe.take())
        looks = asyncio.create_task(self._look(self.reported_ms.setdefault(name, [])))
        cpu_s = cpu_seconds(self._storage_pids)
        await asyncio.sleep(self._options.seconds)
        figures = replace(await load.take(), storage_cpu_s=cpu_seconds(self._storage_pids) - cpu_s)
        figures = figures.beside(await probe.take())
        looks.cancel()
        await asyncio.gather(looks, return_exceptions=True)
        await asyncio.gather(load.end(), probe.end())
        return figures

    def _plan(self, table: str, rate: float) -> LoadPlan:
        options = self._options
        self._seed += 1
        size = options.items, options.item_bytes, options.moves
        return LoadPlan(self._endpoints, table, options.clients, rate, *size, self._seed)

    async def _look(self, reported_ms: list[int]) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            (index,) = (await self._client.describe_table(INDEXED)).global_indexes
            reported_ms.append(index.lag_ms)


async def _measure(cluster: LocalCluster, options: argparse.Namespace) -> dict[str, int]:
    index = stator.GlobalIndex(INDEX, ("owner", "S"))
    async with stator.AsyncClient(cluster.endpoints, timeout_s=30.0) as client:
        for table, indexes in ((PLAIN, ()), (INDEXED, (index,))):
            await client.create_table(table, ("pk", "S"), global_indexes=indexes, partitions=options.partitions)
            await client.wait_until_table_active(table)
            await wait_for_leaders(client, table, options.partitions * (1 + len(indexes)))
        measurements = Measurements(cluster, client, options)
        found: dict[str, list[Figures]] = {}
        for _ in range(options.rounds):
            await _round(measurements, found, options.rate)
    _print(found, measurements.reported_ms, options)
    everything = [each for rounds in found.values() for each in rounds]
    return {name: count for each in everything for name, count in each.errors.items()}


_PLAIN = "without an index"
_ALONE = "with an index"
_CLOSED = "the same, looked at"
_STEADY = "at a steady rate, looked at"


async def _round(measurements: Measurements, found: dict[str, list[Figures]], rate: float) -> None:
    found.setdefault(_PLAIN, []).append(await measurements.load(PLAIN))
    found.setdefault(_ALONE, []).append(await measurements.load(INDEXED))
    found.setdefault(_CLOSED, []).append(await measurements.lag(_CLOSED, 0.0))
    rate = rate or statistics.median(each.per_s("put") for each in found[_ALONE]) / 2
    found.setdefault(_STEADY, []).append(await measurements.lag(_STEADY, rate))
    for name, rounds in found.items():
        print(f"{name}: {_cells(rounds[-1])}", file=sys.stderr, flush=True)


def _cells(figures: Figures) -> str:
    lags = [figures.ms("lag", each) for each in (0.5, 0.99, 1.0)] if figures.count("lag") else []
    query = [figures.ms("query", 0.5)] if lags else []
    puts = f"{figures.per_s('put'):.0f} | {figures.ms('put', 0.5):.1f} | {figures.ms('put', 0.99):.1f}"
    puts += f" | {1e6 * figures.storage_cpu_s / max(1, figures.count('put')):.0f}"
    return " | ".join([puts, str(figures.count("lag") or ""), *(f"{each:.1f}" for each in (*lags, *query))])


def _print(found: dict[str, list[Figures]], reported_ms: dict[str, list[int]], options: argparse.Namespace) -> None:
    print(
        f"{options.clients} clients, {options.item_bytes} B items, {options.partitions} partition(s);"
        f" {options.rounds} rounds of {options.seconds:g} s, load average {os.getloadavg()[0]:.1f}\n"
    )
    heads = "put/s|p50 ms|p99 ms|storage µs/put|looks|lag p50 ms|lag p99 ms|lag max ms|query p50 ms|reported ms"
    print(f"| | {heads.replace('|', ' | ')} |")
    print(f"| --- |{' --: |' * len(heads.split('|'))}")
    for name, rounds in found.items():
        together = rounds[0]
        for each in rounds[1:]:
            together = together.then(each)
        print(f"| {name} | {_cells(together)}{_reported(reported_ms.get(name, []), together)} |")
    ratios = [
        with_index.per_s("put") / without.per_s("put")
        for with_index, without in zip(found[_ALONE], found[_PLAIN], strict=True)
    ]
    print(f"\nput/s with an index to without: {_spread(ratios)}")
    costs = [
        (with_index.storage_cpu_s / with_index.count("put")) / (without.storage_cpu_s / without.count("put"))
        for with_index, without in zip(found[_ALONE], found[_PLAIN], strict=True)
    ]
    print(f"the storage nodes' processor time for a put, with to without: {_spread(costs)}")
    for name in (_CLOSED, _STEADY):
        medians, worst = ([each.ms("lag", rank) for each in found[name]] for rank in (0.5, 0.99))
        print(f"lag {name}, round by round: p50 {_spread(medians, 1)} ms, p99 {_spread(worst, 1)} ms")


def _reported(reported_ms: Sequence[int], figures: Figures) -> str:
    if not figures.count("lag"):
        return " |" * 5
    return f" | {statistics.median(reported_ms):.0f}, {max(reported_ms)} at most" if reported_ms else " |"


def _spread(values: Sequence[float], digits: int = 2) -> str:
    low, middle, high = (f"{each:.{digits}f}" for each in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
