"""`python -m tests.benchmarks.healing`: how long a partition lacks a member after a node has died.

Each trial kills (-9) the node of a follower of a table's only partition, and measures until the metadata service shows
three members again that the group itself has put in force, the new one with a log only, and until that one has the
state too. Before the next trial the node comes back and removes what it has.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import stator
from stator.descriptions import PartitionDescription

from tests.cluster.harness import LocalCluster, running_cluster

TABLE = "healing"
ITEM_BYTES = 10_000
WRITE_BYTES = 900
LOADERS = 32
CALM_S = 5.0
WAIT_S_MAX = 900.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Trial:
    """Seconds from the kill: until the group has three members again, and until all of them have the state. The 99th
    percentile of writes in seconds: before the kill, and from the kill until all is whole; 0: nobody wrote."""

    quorum_s: float
    whole_s: float
    calm_p99_s: float
    healing_p99_s: float


class Load:
    """`clients` at once, each writing items of a kilobyte, one after the other. `writes`: when each began, and how long
    it took, in seconds."""

    def __init__(self, client: stator.AsyncClient, clients: int) -> None:
        self.writes: list[tuple[float, float]] = []
        self.errors: list[str] = []
        self._client = client
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(clients)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def p99_s(self, since: float, until: float) -> float:
        """Of the writes that began in between; 0: there were none."""
        took = sorted(took for began, took in self.writes if since <= began < until)
        return took[len(took) * 99 // 100] if took else 0.0

    async def _write(self, number: int) -> None:
        rng = random.Random(number)
        while True:
            began = time.monotonic()
            try:
                item = {"pk": f"w{rng.randrange(100_000)}", "value": "x" * WRITE_BYTES}
                await self._client.put_item(TABLE, item)
                self.writes.append((began, time.monotonic() - began))
            except stator.StatorError as error:
                self.errors.append(f"{type(error).__name__}: {error}")


def main() -> int:
    options = _options()
    os.environ["STATOR_MEMBER_FAILURE_MS"] = str(options.failure_ms)
    with (
        tempfile.TemporaryDirectory(prefix="stator-healing-", dir=options.folder) as name,
        running_cluster(Path(name) / "cluster", "--nodes-per-zone", "2") as cluster,
    ):
        trials, errors = asyncio.run(_measure(cluster, options))
    print(_report(trials, options))
    if errors:
        print(f"{len(errors)} writes failed, the first: {errors[0]}", file=sys.stderr)
    return 1 if errors else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--trials", type=int, default=3, help="how many nodes are killed, one after the other")
    parser.add_argument("--megabytes", type=int, default=10, help="size of the partition, in items of 10 kB")
    parser.add_argument("--clients", type=int, default=0, help="who write items of 900 B meanwhile")
    parser.add_argument("--failure-ms", type=int, default=10_000, help="how long a node is silent until it is given up")
    parser.add_argument("--folder", type=Path, default=None, help="where the data is kept; the default is the system's")
    return parser.parse_args()


async def _measure(cluster: LocalCluster, options: argparse.Namespace) -> tuple[list[Trial], list[str]]:
    trials = []
    async with stator.AsyncClient(cluster.endpoints, timeout_s=30.0) as client:
        await client.create_table(TABLE, partition_key=("pk", "S"), partitions=1)
        await client.wait_until_table_active(TABLE)
        await _fill(client, options.megabytes * 1_000_000 // ITEM_BYTES)
        load = Load(client, options.clients)
        for number in range(1, options.trials + 1):
            trials.append(await _trial(cluster, client, load))
            print(f"trial {number}: {trials[-1]}", file=sys.stderr, flush=True)
        await load.stop()
    return trials, load.errors


async def _fill(client: stator.AsyncClient, items: int) -> None:
    async def fill(first: int) -> None:
        rng = random.Random(first)
        for number in range(first, items, LOADERS):
            await client.put_item(TABLE, {"pk": f"i{number}", "value": rng.randbytes(ITEM_BYTES)})

    await asyncio.gather(*(fill(first) for first in range(LOADERS)))


async def _trial(cluster: LocalCluster, client: stator.AsyncClient, load: Load) -> Trial:
    await _wait(client, lambda found: _is_whole(found) and found.leader is not None)
    calm_from = time.monotonic()
    await asyncio.sleep(CALM_S)
    partition, names = await _look(client)
    victim = next(replica.node_id for replica in partition.replicas if not replica.is_leader)
    (pid,) = [process["pid"] for process in cluster.status() if process["name"] == names[victim]]
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)

    def is_replaced(found: PartitionDescription) -> bool:
        return victim not in {replica.node_id for replica in found.replicas}

    quorum_s = await _wait(client, is_replaced) - killed_at
    whole_at = await _wait(client, lambda found: is_replaced(found) and _is_whole(found))
    trial = Trial(quorum_s, whole_at - killed_at, load.p99_s(calm_from, killed_at), load.p99_s(killed_at, whole_at))
    log = cluster.data / "logs" / f"{names[victim]}.log"
    dropped = log.read_text().count("replica dropped")
    await asyncio.to_thread(cluster.local, "start", names[victim])
    while log.read_text().count("replica dropped") == dropped:
        await asyncio.sleep(0.1)
    return trial


def _is_whole(partition: PartitionDescription) -> bool:
    return len(partition.replicas) == 3 and not any(replica.state for replica in partition.replicas)


async def _look(client: stator.AsyncClient) -> tuple[PartitionDescription, dict[int, str]]:
    """The partition, and the names of the storage nodes."""
    described = await client.describe_cluster()
    (partition,) = described.partitions
    return partition, {node.node_id: node.name for node in described.nodes if node.role == "storage"}


async def _wait(client: stator.AsyncClient, holds: Callable[[PartitionDescription], bool]) -> float:
    """When it was first seen that it holds, by the monotonic clock."""
    deadline = time.monotonic() + WAIT_S_MAX
    while True:
        partition, _ = await _look(client)
        now = time.monotonic()
        if holds(partition):
            return now
        assert now < deadline, f"it did not come about: {partition}"
        await asyncio.sleep(POLL_S)


def _report(trials: list[Trial], options: argparse.Namespace) -> str:
    lines = [
        f"{len(trials)} trials, one partition of {options.megabytes} MB, {options.clients} clients writing; a node is "
        f"given up after {options.failure_ms / 1000:g} s of silence, which is part of the times",
        "",
        "| seconds from kill -9 | median | worst |",
        "| --- | --: | --: |",
    ]
    columns = {
        "until three members make the quorum (a log replica among them)": [each.quorum_s for each in trials],
        "until all three have the state": [each.whole_s for each in trials],
    }
    if options.clients:
        columns["p99 of writes before"] = [each.calm_p99_s for each in trials]
        columns["p99 of writes until all have the state"] = [each.healing_p99_s for each in trials]
    lines += [f"| {what} | {statistics.median(values):.3f} | {max(values):.3f} |" for what, values in columns.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
