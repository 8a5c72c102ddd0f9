"""Runs the demonstration: `python -m tests.demo`. Ends with 0 if not an item was lost or changed, with 1 otherwise."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import stator

from tests.cluster.harness import STATOR, LocalCluster, running_cluster, wait_for_leaders
from tests.demo.cities import KEY, compare, write_cities
from tests.demo.probes import Probes

TABLE = "cities"
PARTITIONS = 9
KILL_AT = 0.25
MILESTONES = 40
"""The import's progress is seen in parts of this size: whether the city that ends each part can be read."""

_POLL_S = 0.05
_TIMEOUT_S = 30.0
_IMPORT_TIMEOUT_S = 300.0
_SHOWN_MAX = 10


class DemoFailed(Exception):  # noqa: N818 (an outcome)
    """The demonstration did not show what it is for; the sentence says why."""


class Import:
    """`stator import` as a process of its own, and how far it has come."""

    def __init__(self, client: stator.AsyncClient, cities: Sequence[stator.Item]) -> None:
        self._client = client
        self._cities = cities
        self._process: asyncio.subprocess.Process | None = None
        self._milestones = [len(cities) * part // MILESTONES - 1 for part in range(1, MILESTONES + 1)]
        self._began_at = 0.0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_at

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, file: Path, endpoints: Sequence[str]) -> None:
        command = [STATOR, "import", TABLE, str(file), "--output", "json"]
        for endpoint in endpoints:
            command += ["--endpoint", endpoint]
        self._began_at = time.monotonic()
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)

    async def items_in(self) -> int:
        """About how many items are in the table: up to the last milestone that can be read, less what is under way."""
        keys = [{KEY: self._cities[milestone][KEY]} for milestone in self._milestones]
        found = await self._client.batch_get_item(TABLE, keys, consistent_read=True)
        return max((at + 1 for at, item in zip(self._milestones, found, strict=True) if item is not None), default=0)

    async def wait_items_in(self, items: int) -> int:
        """Until so many are in; how many that is then."""
        while (count := await self.items_in()) < items:
            if not self.is_running:
                raise DemoFailed(f"the import ended with {count:,} items in:\n{await self._output()}")
            await asyncio.sleep(_POLL_S)
        return count

    async def wait_end(self) -> dict[str, Any]:
        """The summary that the command printed. Raises DemoFailed if it did not import everything."""
        assert self._process is not None
        try:
            async with asyncio.timeout(_IMPORT_TIMEOUT_S):
                output = await self._output()
        except TimeoutError:
            raise DemoFailed(f"the import was not done within {_IMPORT_TIMEOUT_S:g} s") from None
        if self._process.returncode != 0:
            raise DemoFailed(f"`stator import` ended with {self._process.returncode}:\n{output}")
        summary: dict[str, Any] = json.loads(output)
        return summary

    async def stop(self) -> None:
        """Ends it, if it runs still: the demonstration was interrupted, or has failed."""
        if self._process is not None and self.is_running:
            self._process.kill()
            await self._process.wait()

    async def _output(self) -> str:
        assert self._process is not None
        out, errors = await self._process.communicate()
        return out.decode() + errors.decode()


def tell(sentence: str) -> None:
    print(sentence, flush=True)


async def in_thread(cluster: LocalCluster, command: str, *names: str) -> None:
    """A `stator local` command, while the load goes on here."""
    await asyncio.to_thread(cluster.local, command, *names)


async def create_table(client: stator.AsyncClient) -> tuple[str, int]:
    """Makes the table; the storage node that leads most of its partitions, and how many that is."""
    await client.create_table(TABLE, partition_key=(KEY, "N"), partitions=PARTITIONS)
    await client.wait_until_table_active(TABLE)
    led = Counter((await wait_for_leaders(client, TABLE, PARTITIONS)).values())
    leads = ", ".join(f"{name} leads {count}" for name, count in sorted(led.items()))
    tell(f"The table {TABLE!r} has {PARTITIONS} partitions of three replicas each: {leads}.")
    return led.most_common(1)[0]


async def disturb(cluster: LocalCluster, running: Import, probes: Probes, victim: str, led: int, cities: int) -> None:
    """Kills the victim in the middle of the import, waits until its partitions take writes, starts it again."""
    count = await running.wait_items_in(int(cities * KILL_AT))
    killing_at = time.monotonic()
    tell(
        f"{running.elapsed_s:6.1f} s  About {count:,} items are in: {victim}, which leads {led} partitions, is killed "
        "with SIGKILL."
    )
    await in_thread(cluster, "kill", victim)
    if not running.is_running:
        raise DemoFailed("the import had ended before the node was killed")
    await probes.wait_all_write(time.monotonic())
    tell(
        f"{running.elapsed_s:6.1f} s  Every partition takes writes again; no key had to wait longer than "
        f"{probes.longest_gap_s(killing_at):.2f} s."
    )
    await in_thread(cluster, "start", victim)
    goes_on = f"about {await running.items_in():,} items are in" if running.is_running else "the import has ended"
    tell(f"{running.elapsed_s:6.1f} s  {victim} runs again; {goes_on}.")


async def read_back(client: stator.AsyncClient, cities: Sequence[stator.Item]) -> bool:
    """Reads every item back strongly consistently and compares it; whether all are there and right."""
    began = time.monotonic()
    found = await client.batch_get_item(TABLE, [{KEY: city[KEY]} for city in cities], consistent_read=True)
    duration_s = time.monotonic() - began
    result = compare(cities, found)
    tell(
        f"Read back strongly consistently: {len(found):,} items in {duration_s:.1f} s "
        f"({len(found) / duration_s:,.0f} a second), every value compared."
    )
    tell(f"{len(result.lost):,} lost, {len(result.wrong):,} wrong")
    for what, keys in (("lost", result.lost), ("wrong", result.wrong)):
        for key in keys[:_SHOWN_MAX]:
            tell(f"  {what}: {KEY} {key}")
    return result.is_perfect


async def play(cluster: LocalCluster, file: Path) -> bool:
    """The story, from the empty cluster to the comparison."""
    cities = write_cities(file)
    endpoints = cluster.endpoints
    async with stator.AsyncClient(endpoints, timeout_s=_TIMEOUT_S) as client:
        victim, led = await create_table(client)
        running = Import(client, cities)
        try:
            async with Probes(client, TABLE) as probes:
                tell(f"`stator import` begins with {len(cities):,} cities, {file.stat().st_size / 1e6:.1f} MB of JSON.")
                await running.start(file, endpoints)
                await disturb(cluster, running, probes, victim, led, len(cities))
                summary = await running.wait_end()
        finally:
            await running.stop()
        tell(
            f"{running.elapsed_s:6.1f} s  The import is done: {summary['items']:,} items in "
            f"{summary['duration_s']:.1f} s ({summary['items_per_second']:,.0f} a second), "
            f"{summary['retries']:,} retries, {summary['failed']} failed."
        )
        return await read_back(client, cities)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.parse_args()
    # The cluster outlives whoever starts it: being told to end must stop it as Ctrl-C does. A shell that starts this in
    # the background has Ctrl-C ignored, hence the first line.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="stator-demo-") as folder:
        began = time.monotonic()
        with running_cluster(Path(folder) / "data") as cluster:
            processes = len(cluster.status())
            tell(f"A cluster of {processes} processes in three zones is up after {time.monotonic() - began:.1f} s.")
            try:
                is_perfect = asyncio.run(play(cluster, Path(folder) / "cities.jsonl"))
            except (DemoFailed, stator.StatorError) as error:
                tell(f"FAILED: {error}")
                is_perfect = False
            except KeyboardInterrupt:
                tell("Interrupted.")
                is_perfect = False
        tell("The cluster is stopped, its data removed.")
    return 0 if is_perfect else 1


if __name__ == "__main__":
    sys.exit(main())
