"""`python -m tests.benchmarks.healing`: how long a partition lacks a member after a node has died, and what clients
notice of it.

Each trial kills (-9) the node of a follower of a table's only partition, and measures until the metadata service shows
three members again that the group itself has put in force, the new one with a log only, and until that one has the
state too. Before the next trial the node comes back and removes what it has.

The two that matter, with a partition of 1 GB that is loaded once (the first command writes it, the second finds it):

    python -m tests.benchmarks.healing --size 1000 --trials 20 --data DIR --snapshot-bytes-per-s 0
    python -m tests.benchmarks.healing --size 1000 --trials 3 --clients 64 --data DIR
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
from itertools import pairwise
from pathlib import Path

import stator
from stator.descriptions import PartitionDescription

from tests.cluster.harness import LocalCluster, running_cluster

TABLE = "healing"
ITEM_BYTES = 10_000
WRITE_BYTES = 900
LOADERS = 32
WAIT_S_MAX = 900.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Trial:
    """Seconds from the kill: until the group has three members again, and until all of them have the state. The 99th
    percentile of writes in seconds: before the kill, from the kill until there are three members, and from then on
    until all is whole; 0: nobody wrote."""

    quorum_s: float
    whole_s: float
    calm_p99_s: float
    lacking_p99_s: float
    rebuilding_p99_s: float


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
    if options.snapshot_bytes_per_s is not None:
        os.environ["STATOR_SNAPSHOT_BYTES_PER_S"] = str(options.snapshot_bytes_per_s)
    with (
        tempfile.TemporaryDirectory(prefix="stator-healing-") as name,
        running_cluster(options.data or Path(name) / "cluster", "--nodes-per-zone", "2") as cluster,
    ):
        trials, errors = asyncio.run(_measure(cluster, options))
    print(_report(trials, options))
    if errors:
        print(f"{len(errors)} writes failed, the first: {errors[0]}", file=sys.stderr)
    return 1 if errors else 0


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description as they are."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Help)
    parser.add_argument("--trials", type=int, default=3, help="how many nodes are killed, one after the other")
    parser.add_argument("--size", type=int, default=10, help="megabytes of the partition, in items of 10 kB")
    parser.add_argument("--clients", type=int, default=0, help="who write items of 900 B meanwhile")
    parser.add_argument("--failure-ms", type=int, default=10_000, help="how long a node is silent until it is given up")
    parser.add_argument("--calm-s", type=float, default=20.0, help="seconds before each kill, to compare with")
    parser.add_argument("--data", type=Path, default=None, help="a cluster's folder, kept: what is there is used again")
    rate = "bytes a second at which states are sent, 0: as fast as can be; by default the storage nodes' own default"
    parser.add_argument("--snapshot-bytes-per-s", type=int, default=None, help=rate)
    return parser.parse_args()


async def _measure(cluster: LocalCluster, options: argparse.Namespace) -> tuple[list[Trial], list[str]]:
    trials = []
    async with stator.AsyncClient(cluster.endpoints, timeout_s=30.0) as client:
        items = options.size * 1_000_000 // ITEM_BYTES
        if TABLE not in [name async for name in client.list_tables()]:
            await client.create_table(TABLE, partition_key=("pk", "S"), partitions=1)
            await client.wait_until_table_active(TABLE)
        if await client.get_item(TABLE, {"pk": f"i{items - 1}"}) is None:
            await _fill(client, items)
        load = Load(client, options.clients)
        for number in range(1, options.trials + 1):
            trials.append(await _trial(cluster, client, load, options.calm_s if options.clients else 0.0))
            print(f"trial {number}: {trials[-1]}", file=sys.stderr, flush=True)
        await load.stop()
    return trials, load.errors


async def _fill(client: stator.AsyncClient, items: int) -> None:
    async def fill(first: int) -> None:
        rng = random.Random(first)
        for number in range(first, items, LOADERS):
            await client.put_item(TABLE, {"pk": f"i{number}", "value": rng.randbytes(ITEM_BYTES)})

    await asyncio.gather(*(fill(first) for first in range(LOADERS)))


async def _trial(cluster: LocalCluster, client: stator.AsyncClient, load: Load, calm_s: float) -> Trial:
    await _wait(client, lambda found: _is_whole(found) and found.leader is not None)
    calm_from = time.monotonic()
    await asyncio.sleep(calm_s)
    partition, names = await _look(client)
    victim = next(replica.node_id for replica in partition.replicas if not replica.is_leader)
    (pid,) = [process["pid"] for process in cluster.status() if process["name"] == names[victim]]
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)

    def is_replaced(found: PartitionDescription) -> bool:
        return victim not in {replica.node_id for replica in found.replicas}

    quorum_s = await _wait(client, is_replaced) - killed_at
    whole_at = await _wait(client, lambda found: is_replaced(found) and _is_whole(found))
    quorum_at = killed_at + quorum_s
    p99s = [load.p99_s(*each) for each in pairwise((calm_from, killed_at, quorum_at, whole_at))]
    trial = Trial(quorum_s, whole_at - killed_at, *p99s)
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
        f"{len(trials)} trials, one partition of {options.size} MB, {options.clients} clients writing; a node is "
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
        columns["p99 of writes until there are three members"] = [each.lacking_p99_s for each in trials]
        columns["p99 of writes from then on until all have the state"] = [each.rebuilding_p99_s for each in trials]
    lines += [f"| {what} | {statistics.median(values):.3f} | {max(values):.3f} |" for what, values in columns.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
