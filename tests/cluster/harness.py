"""A local cluster for tests, driven through the command line as a user drives it, and a workload with a memory."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import stator
from botocore.config import Config

STATOR = str(Path(sys.executable).parent / "stator")
VALUE_BYTES = 200


class LocalCluster:
    """One `stator local` cluster in `data`, on ports chosen by itself."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def run(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Runs a `stator` command; its output. Raises with what it printed if it fails."""
        done = subprocess.run([STATOR, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
        if done.returncode != 0:
            raise AssertionError(f"stator {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def local(self, command: str, *arguments: str) -> str:
        return self.run("local", command, *arguments, "--data", str(self.data))

    def up(self, *arguments: str) -> None:
        self.local("up", "--detach", "--http-port", "0", "--grpc-port", "0", *arguments)

    def status(self) -> list[dict[str, Any]]:
        processes: list[dict[str, Any]] = json.loads(self.local("status", "--output", "json"))
        return processes

    def ports(self, kind: str, role: str) -> list[int]:
        return [
            port["port"]
            for process in self.status()
            if process["role"] == role
            for port in process["ports"]
            if port["kind"] == kind
        ]

    def grpc_ports_of(self, name: str) -> list[int]:
        """Of one process."""
        (process,) = [each for each in self.status() if each["name"] == name]
        return [port["port"] for port in process["ports"] if port["kind"] == "grpc"]

    @property
    def endpoints(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.ports("grpc", "router")]

    @property
    def http_endpoints(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports("http", "router")]

    def dynamodb(self, **config: Any) -> Any:
        """A boto3 client of the first router; `config`: what botocore's Config takes."""
        return boto3.client(
            "dynamodb",
            endpoint_url=self.http_endpoints[0],
            region_name="local",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(**config),
        )

    def logs(self) -> str:
        """The end of every process's log, for a failing test."""
        parts = []
        for path in sorted((self.data / "logs").glob("*.log")):
            parts.append(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(parts)


@contextmanager
def running_cluster(data: Path, *arguments: str) -> Iterator[LocalCluster]:
    """A cluster that is up, and gone afterwards whatever happens."""
    cluster = LocalCluster(data)
    cluster.up(*arguments)
    try:
        yield cluster
    except BaseException:
        print(cluster.logs())
        raise
    finally:
        cluster.local("down")


async def leaders_of(client: stator.AsyncClient, table: str) -> dict[int, str]:
    """Partition id -> name of the storage node that leads it."""
    description = await client.describe_cluster()
    names = {node.node_id: node.name for node in description.nodes if node.role == "storage"}
    return {
        partition.partition_id: names[replica.node_id]
        for partition in description.partitions
        if partition.table_name == table
        for replica in partition.replicas
        if replica.is_leader
    }


async def wait_for_leaders(client: stator.AsyncClient, table: str, partitions: int) -> dict[int, str]:
    """As `leaders_of`, once every partition has one."""
    deadline = time.monotonic() + 20
    while len(leaders := await leaders_of(client, table)) < partitions:
        assert time.monotonic() < deadline, f"only {leaders} lead"
        await asyncio.sleep(0.05)
    return leaders


@dataclass
class Workload:
    """`workers` clients at once, each on its own keys: write the next number, read it back strongly consistently.

    `acknowledged[key]` is the highest number whose write was acknowledged; what a read returns may not be below it, nor
    above what was attempted. `acknowledged_at`: when, by this process's monotonic clock, each write was."""

    client: stator.AsyncClient
    table: str
    workers: int = 64
    keys_each: int = 4
    acknowledged: dict[str, int] = field(default_factory=dict)
    attempted: dict[str, int] = field(default_factory=dict)
    acknowledged_at: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    reads: int = 0
    _stop: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Workload:
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in range(self.workers)]
        await self.wait_writes(self.workers)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stop = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), 40)

    async def wait_writes(self, count: int, timeout_s: float = 30.0) -> None:
        """Until `count` more writes have been acknowledged."""
        target = len(self.acknowledged_at) + count
        deadline = time.monotonic() + timeout_s
        while len(self.acknowledged_at) < target:
            assert time.monotonic() < deadline, f"writes stand still; errors: {self.errors[:3]}"
            await asyncio.sleep(0.01)

    async def run_for(self, seconds: float) -> None:
        """Lets the load go on; it is the load that takes time, not a wait for something to have happened."""
        await asyncio.sleep(seconds)

    async def _work(self, worker: int) -> None:
        number = 0
        while not self._stop:
            number += 1
            key = f"w{worker}-{number % self.keys_each}"
            self.attempted[key] = number
            try:
                await self.client.put_item(self.table, {"pk": key, "number": number, "value": "x" * VALUE_BYTES})
                self.acknowledged[key] = number
                self.acknowledged_at.append(time.monotonic())
                if number % 4 == 0:
                    await self._read(key)
            except stator.StatorError as error:
                self.errors.append(f"{type(error).__name__}: {error}")

    async def _read(self, key: str) -> None:
        least = self.acknowledged.get(key, 0)
        item = await self.client.get_item(self.table, {"pk": key}, consistent_read=True)
        self.reads += 1
        self._judge(key, item, least)

    def _judge(self, key: str, item: dict[str, Any] | None, least: int) -> None:
        found = int(item["number"]) if item is not None else 0
        if not least <= found <= self.attempted[key]:
            self.violations.append(f"{key}: read {found}, acknowledged {least}, attempted {self.attempted[key]}")

    def longest_gap_s(self, after: float) -> float:
        """The longest time without an acknowledged write from the moment `after` on."""
        times = [after, *(each for each in self.acknowledged_at if each > after)]
        return max((two - one for one, two in pairwise(times)), default=0.0)

    async def verify(self, client: stator.AsyncClient) -> None:
        """Reads every key back strongly consistently: nothing acknowledged is lost, nothing was invented."""
        for key, least in self.acknowledged.items():
            self._judge(key, await client.get_item(self.table, {"pk": key}, consistent_read=True), least)
        assert not self.violations, self.violations[:5]
