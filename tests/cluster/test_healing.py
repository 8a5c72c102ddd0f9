"""A storage node that is gone is replaced, on real processes under load: every partition has three members again, and
nothing acknowledged is lost, whichever node is killed next."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest
import pytest_asyncio
import stator
from stator.descriptions import PartitionDescription

from tests.cluster.harness import LocalCluster, Workload, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

FAILURE_MS = 3_000
PARTITIONS = 3
FILLED_MB = 36
EXIT_REMOVED = 6
HEALED_WITHIN_S = 60.0
"""Far above what it takes (that is printed), for machines that do much else."""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Two storage nodes a zone; one that is silent for three seconds is given up."""
    monkeypatch.setenv("STATOR_MEMBER_FAILURE_MS", str(FAILURE_MS))
    with running_cluster(tmp_path_factory.mktemp("cluster"), "--nodes-per-zone", "2") as running:
        yield running


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[stator.AsyncClient]:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as opened:
        yield opened


class Members:
    """Who holds the partitions of a table, by the names of their nodes."""

    def __init__(self, client: stator.AsyncClient, table: str) -> None:
        self._client = client
        self._table = table

    async def partitions(self) -> list[tuple[PartitionDescription, dict[str, str]]]:
        """Each partition, with the name of each holder's node and its state (empty: a storage replica)."""
        described = await self._client.describe_cluster()
        names = {node.node_id: node.name for node in described.nodes if node.role == "storage"}
        return [
            (partition, {names[replica.node_id]: replica.state for replica in partition.replicas})
            for partition in described.partitions
            if partition.table_name == self._table
        ]

    async def wait(self, holds: Callable[[dict[str, str]], bool], what: str) -> float:
        """Until it holds of every partition's holders, and each has a leader; how long that took."""
        began = time.monotonic()
        while True:
            found = await self.partitions()
            if len(found) == PARTITIONS and all(p.leader is not None and holds(names) for p, names in found):
                return time.monotonic() - began
            assert time.monotonic() < began + HEALED_WITHIN_S, f"{what}: {[names for _, names in found]}"
            await asyncio.sleep(0.05)

    async def wait_whole_without(self, *gone: str) -> float:
        """Until three storage replicas hold every partition, none of them on these nodes."""

        def holds(names: dict[str, str]) -> bool:
            return len(names) == 3 and not any(names.values()) and not names.keys() & set(gone)

        return await self.wait(holds, f"not healed without {gone}")

    async def wait_change(self, gone: str, state: str) -> str:
        """Until a node that takes the place of the one that is gone, or that one, has this state; which it is."""
        deadline = time.monotonic() + HEALED_WITHIN_S
        while True:
            for _, names in await self.partitions():
                for name, found in names.items():
                    if found == state and (state == "log" or name == gone):
                        return name
            assert time.monotonic() < deadline, f"{gone} is not replaced"
            await asyncio.sleep(0.005)

    async def wait_until_used(self, name: str) -> None:
        """Until a node holds something."""
        deadline = time.monotonic() + HEALED_WITHIN_S
        while not any(name in names for _, names in await self.partitions()):
            assert time.monotonic() < deadline, f"{name} is of no use"
            await asyncio.sleep(0.1)

    async def wait_events(self, *texts: str) -> None:
        """Until each of these has been told of."""
        deadline = time.monotonic() + HEALED_WITHIN_S
        while True:
            told = "\n".join(event.text for event in (await self._client.list_events()).events)
            if all(text in told for text in texts):
                return
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.1)

    async def busiest(self, not_beside: Sequence[str] = ()) -> str:
        """The node that leads most of the partitions, of those in zones without a node of `not_beside`."""
        zones = {node.name: node.zone for node in (await self._client.describe_cluster()).nodes}
        led = [name for name in await self._leaders() if zones[name] not in {zones[each] for each in not_beside}]
        return max(sorted(set(led)), key=led.count)

    async def _leaders(self) -> list[str]:
        described = await self._client.describe_cluster()
        names = {node.node_id: node.name for node in described.nodes if node.role == "storage"}
        return [names[each.leader.node_id] for each in described.partitions if each.leader is not None]


async def kill(cluster: LocalCluster, name: str) -> None:
    await asyncio.to_thread(cluster.local, "kill", name)


class Pids:
    """The processes, looked up before it matters: to kill one takes no time then."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._pids = {process["name"]: process["pid"] for process in cluster.status()}

    def kill(self, name: str) -> None:
        os.kill(self._pids[name], signal.SIGKILL)


async def fill(client: stator.AsyncClient, table: str, megabytes: int) -> None:
    """Items of 10 kB, so that it takes a while to build a replica."""

    async def put(first: int) -> None:
        for number in range(first, megabytes * 100, 32):
            await client.put_item(table, {"pk": f"filler-{number}", "value": os.urandom(10_000)})

    await asyncio.gather(*(put(first) for first in range(32)))


async def test_a_node_that_is_gone_is_replaced_and_removes_what_it_has(
    cluster: LocalCluster, client: stator.AsyncClient
) -> None:
    """Two nodes that led, one after the other, for good; each time the partitions become whole before the next. Then
    the first comes back: it has nothing to do with them any more, and what it still has is removed. Then it is put to
    use as a new node is: its neighbour has three replicas, and it has none."""
    await client.create_table("healed", partition_key=("pk", "S"), partitions=PARTITIONS)
    await client.wait_until_table_active("healed")
    await wait_for_leaders(client, "healed", PARTITIONS)
    members = Members(client, "healed")
    async with Workload(client, "healed", workers=16) as load:
        gone: list[str] = []
        for _ in range(2):
            name = await members.busiest(not_beside=gone)
            await kill(cluster, name)
            gone.append(name)
            took_s = await members.wait_whole_without(*gone)
            print(f"{name} killed: whole again after {took_s:.2f} s, of which {FAILURE_MS / 1000} s to give it up")
            await load.wait_writes(100)
        assert load.errors == []
        for name in gone:
            await members.wait_events(f"{name} is silent", f"has taken the place of {name}: it has")
        await asyncio.to_thread(cluster.local, "start", gone[0])
        await load.wait_writes(500)
    await load.verify(client)
    log = cluster.data / "logs" / f"{gone[0]}.log"
    deadline = time.monotonic() + HEALED_WITHIN_S
    # It has opened what it has twice, once in each of its lives.
    while (text := log.read_text()).count("replica dropped") < text.count("replica opened") // 2:
        assert time.monotonic() < deadline, "it has not removed what it had"
        await asyncio.sleep(0.1)
    await members.wait_until_used(gone[0])
    await members.wait_whole_without(gone[1])


async def test_a_node_is_drained_under_load_and_removed(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """One that leads: no client sees an error, what it held is whole elsewhere, and its process ends. Its data folder
    is refused from then on; with an empty one it is a new node, which is put to use."""
    await client.create_table("drained", partition_key=("pk", "S"), partitions=PARTITIONS)
    await client.wait_until_table_active("drained")
    await wait_for_leaders(client, "drained", PARTITIONS)
    members = Members(client, "drained")
    async with Workload(client, "drained", workers=16) as load:
        await load.wait_writes(200)
        name = await members.busiest()
        with pytest.raises(stator.ResourceInUseError, match="drain it"):
            await client.remove_node(name)
        began = time.monotonic()
        await client.drain_node(name)
        took_s = await members.wait_whole_without(name)
        print(f"{name} drained: whole without it after {took_s:.2f} s, longest gap {load.longest_gap_s(began):.2f} s")
        await load.wait_writes(100)
        await remove(client, name)
        assert await exit_code(cluster, name) == EXIT_REMOVED
        await load.wait_writes(100)
        assert load.errors == []
    await load.verify(client)
    with contextlib.suppress(AssertionError):  # the command fails if it ends at once
        await asyncio.to_thread(cluster.local, "start", name)
    assert await exit_code(cluster, name) == EXIT_REMOVED
    shutil.rmtree(cluster.data / name)
    await asyncio.to_thread(cluster.local, "start", name)
    await members.wait_until_used(name)
    await members.wait_whole_without()


async def remove(client: stator.AsyncClient, name: str) -> None:
    """As soon as it has deleted what it had."""
    deadline = time.monotonic() + HEALED_WITHIN_S
    while True:
        try:
            await client.remove_node(name)
            return
        except stator.ResourceInUseError as error:
            assert "still deleting" in str(error) and time.monotonic() < deadline, error
        await asyncio.sleep(0.1)


async def exit_code(cluster: LocalCluster, name: str) -> int:
    """Of a process, once it has ended."""
    deadline = time.monotonic() + HEALED_WITHIN_S
    while True:
        (entry,) = [each for each in await asyncio.to_thread(cluster.status) if each["name"] == name]
        if entry["exit_code"] is not None and entry["pid"] is None:
            return int(entry["exit_code"])
        assert time.monotonic() < deadline, f"{name} goes on"
        await asyncio.sleep(0.1)


async def test_who_joins_dies_on_the_way(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """As soon as the log replica is a member, it is killed, and started again: it goes on where it was."""
    await client.create_table("joined", partition_key=("pk", "S"), partitions=PARTITIONS)
    await client.wait_until_table_active("joined")
    await wait_for_leaders(client, "joined", PARTITIONS)
    await fill(client, "joined", FILLED_MB)
    members, pids = Members(client, "joined"), Pids(cluster)
    async with Workload(client, "joined", workers=16) as load:
        name = await members.busiest()
        pids.kill(name)
        joining = await members.wait_change(name, "log")
        pids.kill(joining)
        assert any(names.get(joining) == "log" for _, names in await members.partitions()), "it was whole already"
        await load.wait_writes(100)
        await asyncio.to_thread(cluster.local, "start", joining)
        took_s = await members.wait_whole_without(name)
        print(f"{joining} killed on the way: whole {took_s:.2f} s after its start")
        await load.wait_writes(100)
    assert load.errors == []
    await load.verify(client)


async def test_the_leader_dies_as_soon_as_the_change_began(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """A second member is lost in the middle of the change. Nothing is lost, and all is whole once that node is back,
    whether the others have heard of the new members or not."""
    await client.create_table("changed", partition_key=("pk", "S"), partitions=PARTITIONS)
    await client.wait_until_table_active("changed")
    await wait_for_leaders(client, "changed", PARTITIONS)
    await fill(client, "changed", FILLED_MB)
    members, pids = Members(client, "changed"), Pids(cluster)
    async with Workload(client, "changed", workers=16) as load:
        leader = await members.busiest()
        name = next(each for _, names in await members.partitions() for each in names if each != leader)
        pids.kill(name)
        await members.wait_change(name, "leaving")
        pids.kill(leader)
        assert not all(len(names) == 3 and not any(names.values()) for _, names in await members.partitions())
        await asyncio.to_thread(cluster.local, "start", leader)
        took_s = await members.wait_whole_without(name)
        print(f"{leader} killed when {name} was being replaced: whole {took_s:.2f} s after its start")
        await load.wait_writes(100)
    await load.verify(client)
