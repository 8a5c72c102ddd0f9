"""Streams while nodes are killed: replayed onto nothing, a table's changes are the table."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import stator
from stator import Change

from tests.cluster.harness import STATOR, LocalCluster, leaders_of, running_cluster
from tests.cluster.writers import Writers

pytestmark = pytest.mark.cluster

LOAD_S = float(os.environ.get("STATOR_STREAM_LOAD_S", "15"))
PARTITIONS = 2
KILLS_MIN = 4
"""Both kinds of victims, twice, however slow the machine is."""
FOLLOWED = ["router-1", "router-2"]
END_S = 90.0
"""For whoever is behind, once nothing is written any more."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(autouse=True)
def everything_runs(cluster: LocalCluster) -> Iterator[None]:
    yield
    for process in cluster.status():
        if process["pid"] is None:
            cluster.local("start", process["name"])


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[stator.AsyncClient]:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=20.0) as opened:
        yield opened


class Replay:
    """A table made of its changes. Each has to find the item as it says that it was: so one that is lost, told twice or
    out of order is noticed at once."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, int], dict[str, Any]] = {}
        self.count = 0
        self.wrong: list[str] = []

    def apply(self, event: str, keys: dict[str, Any], old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self.count += 1
        key = (keys["pk"], keys["sk"])
        expected = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        if self.items.get(key) != old or event != expected or old == new:
            self.wrong.append(f"{event} of {key}: from {old} to {new}, where there is {self.items.get(key)}")
        if new is None:
            self.items.pop(key, None)
        else:
            self.items[key] = new


class Consumer:
    """`stator stream --follow` with a checkpoint, in a process that is killed and started again."""

    def __init__(self, cluster: LocalCluster, table: str, folder: Path) -> None:
        self.outputs: list[Path] = []
        self._folder = folder
        self._environ = {**os.environ, "STATOR_ENDPOINTS": ",".join(cluster.endpoints)}
        self._command = [STATOR, "stream", table, "--follow", "--json", "--from", "oldest"]
        self._checkpoint = folder / "checkpoint"
        self._command += ["--checkpoint", str(self._checkpoint)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.outputs.append(self._folder / f"output-{len(self.outputs)}")
        with self.outputs[-1].open("wb") as output:
            self._process = subprocess.Popen(self._command, stdout=output, env=self._environ)

    async def wait_until_saved(self) -> None:
        """Until the process has printed something, and kept how far it was."""

        def saved() -> str:
            return self._checkpoint.read_text() if self._checkpoint.exists() else ""

        before = saved()
        async with asyncio.timeout(60):
            while saved() == before or not self.outputs[-1].stat().st_size:
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(END_S)

    def told(self) -> list[dict[str, Any]]:
        """All changes that were printed, by the process that was first to do so. What was told again comes without a
        gap."""
        found: list[dict[str, Any]] = []
        last: dict[str, str] = {}
        for output in self.outputs:
            here: dict[str, str] = {}
            for line in output.read_text().splitlines(keepends=True):
                if not line.endswith("\n"):
                    break  # it was killed meanwhile
                change = json.loads(line)
                shard, number = change["shard_id"], change["sequence_number"]
                assert number > here.get(shard, ""), f"{output.name}: {number} of {shard} after {here.get(shard)}"
                here[shard] = number
                if number > last.get(shard, ""):
                    last[shard] = number
                    found.append(change)
        return found


async def follow(changes: AsyncIterator[Change[Any]], replay: Replay) -> None:
    async for change in changes:
        replay.apply(change.event, change.keys, change.old, change.new)


async def kill_in_turn(
    cluster: LocalCluster, client: stator.AsyncClient, table: str, load: Writers, consumer: Consumer
) -> int:
    """Leaders, and the routers that the iterator knows; and the consumer. How often."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LOAD_S
    turn = 0
    while loop.time() < end or turn < KILLS_MIN:
        leaders = sorted(set((await leaders_of(client, table)).values()))
        victims = FOLLOWED if turn % 2 else [leaders[turn // 2 % len(leaders)]]
        for victim in victims:
            await asyncio.to_thread(cluster.local, "kill", victim)
        await load.wait(100)
        for victim in victims:
            await asyncio.to_thread(cluster.local, "start", victim)
        await consumer.wait_until_saved()
        consumer.kill()
        consumer.start()
        turn += 1
    return turn


async def test_a_stream_is_its_table_while_leaders_and_consumers_are_killed(
    cluster: LocalCluster, client: stator.AsyncClient, tmp_path: Path
) -> None:
    """For an iterator that stays, and for a consumer with a checkpoint that is killed and goes on."""
    await client.create_table("told", ("pk", "S"), ("sk", "N"), partitions=PARTITIONS, stream="NEW_AND_OLD_IMAGES")
    await client.wait_until_table_active("told")
    consumer = Consumer(cluster, "told", tmp_path)
    consumer.start()
    replay = Replay()
    followed = [f"127.0.0.1:{port}" for name in FOLLOWED for port in cluster.grpc_ports_of(name)]
    async with stator.AsyncClient(followed) as follower, follower.changes("told") as changes:
        following = asyncio.create_task(follow(changes, replay))
        load = Writers(client, "told", 1)
        kills = await kill_in_turn(cluster, client, "told", load, consumer)
        await load.stop()
        await client.update_table("told", stream="OFF")
        async with asyncio.timeout(END_S):
            await following
    assert await asyncio.to_thread(consumer.wait) == 0
    table = {(item["pk"], item["sk"]): item async for item in client.scan("told", consistent_read=True)}
    again = Replay()
    for change in consumer.told():
        again.apply(change["event"], change["keys"], change["old"], change["new"])
    print(f"{kills} kills, {load.writes} writes, {len(load.errors)} errors, {replay.count} changes")
    for each in (replay, again):
        assert not each.wrong, each.wrong[:3]
        assert each.items == table
        assert each.count == replay.count > 0
