"""Starts and fills the systems that Stator is measured beside, and Stator."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import botocore.exceptions
import stator
from botocore.config import Config
from stator.bench import dataset
from stator.bench.workload import FIELD, PARTITION_KEY, Workload, key

from tests.benchmarks import etcd_load

START_S = 30.0


@dataclass(frozen=True, slots=True)
class System:
    """One door of one system. `arrangements`: sets of endpoints to spread the clients over; the best one counts."""

    name: str
    door: str
    arrangements: tuple[tuple[str, ...], ...]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextlib.contextmanager
def running_stator(folder: Path, workload: Workload, partitions: int) -> Iterator[list[System]]:
    """A local cluster of three zones with the table filled."""
    command = [sys.executable, "-m", "stator.cli.main", "local"]
    data = ["--data", str(folder)]
    subprocess.run([*command, "up", "--detach", *data, "--http-port", "0", "--grpc-port", "0"], check=True, stdout=-3)
    try:
        status = subprocess.run([*command, "status", *data, "--output", "json"], check=True, capture_output=True)
        doors: dict[str, list[str]] = {"http": [], "grpc": []}
        for process in json.loads(status.stdout):
            for port in process["ports"] if process["role"] == "router" else ():
                doors[port["kind"]].append(f"127.0.0.1:{port['port']}")

        async def fill() -> None:
            async with stator.AsyncClient(doors["grpc"], timeout_s=60.0) as client:
                await dataset.prepare(client, workload, partitions, is_filled=True)

        asyncio.run(fill())
        yield [
            System("Stator, HTTP", "http", tuple(tuple(doors["http"][:count]) for count in (1, 2, 3))),
            System("Stator, session", "session", tuple(tuple(doors["grpc"][:count]) for count in (1, 2, 3))),
        ]
    finally:
        subprocess.run([*command, "down", *data], check=True, stdout=-3)


@contextlib.contextmanager
def running_etcd(folder: Path, workload: Workload) -> Iterator[list[System]]:
    """Three members, filled; nothing where etcd is not installed."""
    if shutil.which("etcd") is None:
        yield []
        return
    ports = free_ports(6)
    members = [f"m{index}=http://127.0.0.1:{port}" for index, port in enumerate(ports[3:])]
    processes = []
    try:
        for index in range(3):
            client, peer = f"http://127.0.0.1:{ports[index]}", f"http://127.0.0.1:{ports[3 + index]}"
            flags = {
                "name": f"m{index}",
                "data-dir": str(folder / f"m{index}"),
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": ",".join(members),
                "log-level": "error",
            }
            arguments = [part for name, value in flags.items() for part in (f"--{name}", value)]
            processes.append(subprocess.Popen(["etcd", *arguments], stderr=subprocess.DEVNULL))
        endpoints = [f"127.0.0.1:{port}" for port in ports[:3]]
        leader = _etcd_leader(endpoints)
        asyncio.run(etcd_load.fill(leader, workload))
        yield [System("etcd", "etcd", ((leader,), (leader, leader), tuple(endpoints)))]
    finally:
        _end(processes)


def _etcd_leader(endpoints: list[str]) -> str:
    """Waits until the members have elected one."""
    deadline = time.monotonic() + START_S
    while True:
        for endpoint in endpoints:
            request = urllib.request.Request(f"http://{endpoint}/v3/maintenance/status", b"{}", method="POST")
            # A member that does not listen yet, or knows no leader yet, is asked again.
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=1.0) as answer:
                status = json.load(answer)
                if status.get("leader") == status["header"]["member_id"]:
                    return endpoint
        if time.monotonic() > deadline:
            raise RuntimeError("etcd has not elected a leader")
        time.sleep(0.1)


@contextlib.contextmanager
def running_dynalite(folder: Path, workload: Workload) -> Iterator[list[System]]:
    """dynalite on disk, filled; nothing where node is not installed. It is fetched with npm into `folder`."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        yield []
        return
    folder.mkdir()
    subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "dynalite@4"], cwd=folder, check=True)
    (port,) = free_ports(1)
    script = str(folder / "node_modules" / "dynalite" / "cli.js")
    arguments = ["--port", str(port), "--path", str(folder / "data"), "--createTableMs", "0"]
    process = subprocess.Popen(["node", script, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _fill_dynalite(port, workload)
        yield [System("dynalite", "http", ((f"127.0.0.1:{port}",),))]
    finally:
        _end([process])


def _fill_dynalite(port: int, workload: Workload) -> None:
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="local",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(retries={"max_attempts": 0}),
    )
    deadline = time.monotonic() + START_S
    while True:
        try:
            table = resource.create_table(
                TableName=workload.table,
                AttributeDefinitions=[{"AttributeName": PARTITION_KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": PARTITION_KEY, "KeyType": "HASH"}],
                ProvisionedThroughput={"ReadCapacityUnits": 10_000, "WriteCapacityUnits": 10_000},
            )
            break
        except botocore.exceptions.EndpointConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for index in range(workload.items):
            batch.put_item(Item={PARTITION_KEY: key(index), FIELD: workload.value()})


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
