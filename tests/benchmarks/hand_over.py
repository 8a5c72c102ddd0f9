"""`python -m tests.benchmarks.hand_over`: what clients notice of nodes that are drained, or stopped and started anew.

Clients read and write, strongly consistently, one request after the other each, while every storage node in turn is
stopped and started again, and the next only when the one before is ready; then the node that leads is drained; then
`stator local restart` takes every process in turn. Printed are the latencies of the requests that were under way in the
while of each, beside those of calm, and the errors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

import stator

from server.runtime.health_check import READY, serving_problem
from tests.cluster.harness import LocalCluster, leaders_of, running_cluster, wait_for_leaders

TABLE = "hand-over"
ITEM_BYTES = 900
KEYS = 10_000
WARM_UP_S = 5.0
"""Logs and connections are made meanwhile."""
CALM_S = 5.0
READY_S_MAX = 60.0
"""Until a node that has been started votes and has caught up."""
RESTART_S_MAX = 600.0
"""Of every process."""
DRAIN_S_MAX = 60.0
STOP_S_MAX = 20.0

Window = tuple[float, float]  # from, until: by the monotonic clock


class Load:
    """Clients that write and read in turn. `requests`: (began, seconds it took) each."""

    def __init__(self, client: stator.AsyncClient, clients: int) -> None:
        self.requests: list[tuple[float, float]] = []
        self.errors: list[str] = []
        self._client = client
        self._is_stopping = False
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(clients)]

    async def stop(self) -> None:
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    def took_s(self, windows: Sequence[Window]) -> list[float]:
        """Of the requests that were under way in one of the windows, the shortest first."""
        return sorted(
            took
            for began, took in self.requests
            if any(began < until and began + took >= since for since, until in windows)
        )

    async def _work(self, number: int) -> None:
        rng = random.Random(number)
        while not self._is_stopping:
            key = {"pk": f"i{rng.randrange(KEYS)}"}
            for is_write in (True, False):
                began = time.monotonic()
                try:
                    if is_write:
                        await self._client.put_item(TABLE, {**key, "value": "x" * ITEM_BYTES})
                    else:
                        await self._client.get_item(TABLE, key, consistent_read=True)
                except stator.StatorError as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                self.requests.append((began, time.monotonic() - began))


def main() -> int:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="stator-hand-over-", dir=options.folder) as name,
        running_cluster(Path(name) / "cluster", "--nodes-per-zone", "2") as cluster,
    ):
        errors = asyncio.run(_measure(cluster, options))
    for error in errors[:5]:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clients", type=int, default=16, help="requests under way at once")
    parser.add_argument("--partitions", type=int, default=3, help="of the table")
    parser.add_argument("--rounds", type=int, default=1, help="how often every storage node is restarted")
    parser.add_argument("--no-drain", action="store_true", help="drain nobody")
    parser.add_argument("--storage-only", action="store_true", help="restart storage nodes only, not every process")
    parser.add_argument("--folder", type=Path, default=None, help="where the data is kept; the default is the system's")
    return parser.parse_args()


async def _measure(cluster: LocalCluster, options: argparse.Namespace) -> list[str]:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=30.0) as client:
        await client.create_table(TABLE, partition_key=("pk", "S"), partitions=options.partitions)
        await client.wait_until_table_active(TABLE)
        await wait_for_leaders(client, TABLE, options.partitions)
        load = Load(client, options.clients)
        windows: dict[str, list[Window]] = {}
        try:
            await asyncio.sleep(WARM_UP_S)
            windows["nothing happened"] = [await _during(asyncio.sleep(CALM_S))]
            stops = windows["a node stopped"] = []
            starts = windows["it started again"] = []
            for _ in range(options.rounds):
                await _restart_storage(cluster, client, stops, starts)
            if not options.no_drain:
                await wait_for_leaders(client, TABLE, options.partitions)
                leader = next(iter((await leaders_of(client, TABLE)).values()))
                windows["a leader drained"] = [await _during(_drain(client, leader))]
            if not options.storage_only:
                restart = ("local", "restart", "all", "--data", str(cluster.data))
                restarted = asyncio.to_thread(cluster.run, *restart, timeout_s=RESTART_S_MAX)
                windows["every process restarted"] = [await _during(restarted)]
        finally:
            await load.stop()
    print(f"{options.clients} clients, {options.partitions} partitions, {len(load.errors)} errors\n")
    print("| requests under way while | n | p50 ms | p99 ms | p99.9 ms | worst ms |")
    print("| --- | --: | --: | --: | --: | --: |")
    for what, when in windows.items():
        print(_row(what, load.took_s(when)))
    return load.errors


def _row(what: str, took: Sequence[float]) -> str:
    cells = [f"{1000 * took[len(took) * rank // 1000]:.1f}" for rank in (500, 990, 999)]
    return f"| {what} | {len(took)} | {' | '.join(cells)} | {1000 * took[-1]:.1f} |"


async def _restart_storage(
    cluster: LocalCluster, client: stator.AsyncClient, stops: list[Window], starts: list[Window]
) -> None:
    for name in [each["name"] for each in await asyncio.to_thread(cluster.status) if each["role"] == "storage"]:
        leads = sum(leader == name for leader in (await leaders_of(client, TABLE)).values())
        pid = next(process["pid"] for process in await asyncio.to_thread(cluster.status) if process["name"] == name)
        await asyncio.sleep(CALM_S / 5)  # the command that was asked has taken the processors' time
        stops.append(await _during(_stop(name, pid)))
        starts.append(await _during(_start(cluster, name)))
        stopped = stops[-1][1] - stops[-1][0]
        print(
            f"{name}, which led {leads}, stopped within {stopped:.2f} s and was restarted", file=sys.stderr, flush=True
        )


async def _stop(name: str, pid: int) -> None:
    """As an orchestrator stops a process: SIGTERM, and it ends when it is done."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S_MAX
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"{name} does not stop"
        await asyncio.sleep(0.02)


async def _start(cluster: LocalCluster, name: str) -> None:
    (process,) = json.loads(await asyncio.to_thread(cluster.local, "start", name, "--output", "json"))
    deadline = time.monotonic() + READY_S_MAX
    while await serving_problem(f"127.0.0.1:{process['ports'][0]['port']}", 1_000, READY):
        assert time.monotonic() < deadline, f"{name} does not become ready"
        await asyncio.sleep(0.1)


async def _drain(client: stator.AsyncClient, name: str) -> None:
    await client.drain_node(name)
    deadline = time.monotonic() + DRAIN_S_MAX
    while True:
        described = await client.describe_cluster()
        (node_id,) = [node.node_id for node in described.nodes if node.name == name and node.role == "storage"]
        replicas = [each for partition in described.partitions for each in partition.replicas]
        if not any(node_id == each.node_id or each.state for each in replicas):
            return
        assert time.monotonic() < deadline, "the node was not drained in time"
        await asyncio.sleep(0.05)


async def _during(work: Awaitable[object]) -> Window:
    began = time.monotonic()
    await work
    return began, time.monotonic()


if __name__ == "__main__":
    sys.exit(main())
