"""A flipped bit in the log or the B-tree of a stopped storage node: reported, never served, healed, nothing lost."""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stator

from server.codec.frame import SEGMENT_HEADER_BYTES
from server.model.key_encoding import hash_key
from tests.cluster.harness import LocalCluster, leaders_of, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

ITEMS = 200
LMDB_LEAF, LMDB_OF_NO_KIND = 0x02, 0x40  # what a page says that it is


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATOR_CHECKPOINT_INTERVAL_MS", "1000")
        with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
            yield running


async def filled(client: stator.AsyncClient, table: str, partitions: int = 1) -> str:
    """A table with known items; the storage node that leads its first partition."""
    await client.create_table(table, partition_key=("pk", "S"), partitions=partitions)
    await client.wait_until_table_active(table)
    await asyncio.gather(*(client.put_item(table, {"pk": f"{n}", "value": f"{table} {n}."}) for n in range(ITEMS)))
    return next(iter((await wait_for_leaders(client, table, partitions)).values()))


async def verify(client: stator.AsyncClient, table: str) -> None:
    for n in range(ITEMS):
        item = await client.get_item(table, {"pk": f"{n}"}, consistent_read=True)
        assert item is not None
        assert item["value"] == f"{table} {n}."


def flip(path: Path, needle: bytes) -> None:
    """A bit in every copy of something in a file that nobody has open."""
    data = bytearray(path.read_bytes())
    position = data.find(needle, SEGMENT_HEADER_BYTES)
    assert position >= 0
    while position >= 0:
        data[position] ^= 1
        position = data.find(needle, position + 1)
    path.write_bytes(data)


async def note_of(client: stator.AsyncClient, name: str, wanted: str) -> str:
    """What the cluster says is wrong with a node, once that contains `wanted` (empty: nothing is wrong)."""
    deadline = time.monotonic() + 15
    while True:
        note = next(node.note for node in (await client.describe_cluster()).nodes if node.name == name)
        if wanted in note and bool(wanted) == bool(note):
            return note
        assert time.monotonic() < deadline, f"the note is {note!r}"
        await asyncio.sleep(0.05)


async def test_a_flipped_bit_in_the_log(cluster: LocalCluster) -> None:
    """The node starts, takes no part in the partition touched, says so to the whole cluster, and is healed by the two
    other zones; all other partitions live on it as before. Then a zone less does no harm."""
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as client:
        victim = await filled(client, "log")
        await filled(client, "other")
        partition_id = next(iter(await leaders_of(client, "log")))
        await asyncio.to_thread(cluster.local, "kill", "storage")
        segments = sorted((cluster.data / victim / "wal").glob("*.wal"))
        flip(next(path for path in segments if b"log 77." in path.read_bytes()), b"log 77.")
        await asyncio.to_thread(cluster.local, "start", victim)
        note = await note_of(client, victim, "log damaged")
        assert note == f"log damaged, being healed: partitions [{partition_id}]"
        await asyncio.to_thread(cluster.local, "start", "storage")
        await note_of(client, victim, "")
        print(f"{victim}: {note}; healed")
        await verify(client, "log")
        await verify(client, "other")
        other = "storage-1" if victim != "storage-1" else "storage-2"
        await asyncio.to_thread(cluster.local, "kill", other)
        await client.put_item("log", {"pk": "1", "value": "log 1."})
        await verify(client, "log")
        await asyncio.to_thread(cluster.local, "start", other)
        await wait_for_leaders(client, "log", 1)


async def test_flipped_bits_in_the_b_tree(cluster: LocalCluster) -> None:
    """Every item that one node has on disk is damaged. No read of either kind returns any of it: where that node leads
    it lets another member lead, and asked for what may be stale it is passed over. The whole cluster is told, until
    all of it has been rebuilt from the others."""
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as client:
        await filled(client, "tree", partitions=6)
        victim = "storage-1"
        btree = cluster.data / victim / "btree" / "data.mdb"
        deadline = time.monotonic() + 20
        while len(set(re.findall(rb"tree \d+\.", btree.read_bytes()))) < ITEMS:
            assert time.monotonic() < deadline, "no checkpoint"
            await asyncio.sleep(0.1)
        await asyncio.to_thread(cluster.local, "kill", "storage")
        flip(btree, b"tree ")
        await asyncio.to_thread(cluster.local, "start", "storage")
        await wait_for_leaders(client, "tree", 6)
        await verify(client, "tree")
        for endpoint in cluster.endpoints:
            async with stator.AsyncClient([endpoint], timeout_s=15.0) as neighbour:  # of one of the members
                for n in range(ITEMS):
                    item = await neighbour.get_item("tree", {"pk": f"{n}"})
                    assert item is None or item["value"] == f"tree {n}."
        deadline = time.monotonic() + 60
        while True:
            node = next(each for each in (await client.describe_cluster()).nodes if each.name == victim)
            if node.healed and not node.note:
                break
            assert time.monotonic() < deadline, f"it is not rebuilt: {node}"
            await asyncio.sleep(0.1)
        print(f"{victim}: {node.healed} replicas of 6 were rebuilt")
        await verify(client, "tree")


async def test_a_b_tree_that_cannot_be_read(cluster: LocalCluster) -> None:
    """The node starts with a new one and is healed by the others, without anybody's doing; what is left of the damaged
    one goes. Then it is as good as any: with another node gone everything is served, and can be written."""
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as client:
        await filled(client, "garbled", partitions=6)
        victim = "storage-2"
        await asyncio.to_thread(cluster.local, "kill", victim)
        path = cluster.data / victim / "btree" / "data.mdb"
        path.write_bytes(b"no B-tree at all" * 10_000)
        await asyncio.to_thread(cluster.local, "start", victim)
        aside = cluster.data / victim / "btree-damaged"
        deadline = time.monotonic() + 60
        while True:
            description = await client.describe_cluster()
            node = next(each for each in description.nodes if each.name == victim)
            states = [replica.state for partition in description.partitions for replica in partition.replicas]
            if node.is_alive and node.healed and not node.note and not any(states) and not aside.exists():
                break
            assert time.monotonic() < deadline, f"it is not healed: {node}, {states}, {aside.exists()}"
            await asyncio.sleep(0.1)
        await asyncio.to_thread(cluster.local, "kill", "storage-1")
        await verify(client, "garbled")
        await client.put_item("garbled", {"pk": "after", "value": "written"})
        await asyncio.to_thread(cluster.local, "start", "storage-1")
        await wait_for_leaders(client, "garbled", 6)


async def test_a_page_that_ends_the_process(cluster: LocalCluster) -> None:
    """LMDB trusts its pages: of a damaged one it may end the whole process, no exception is raised. The next life finds
    out why the last one ended, and is rebuilt. Clients see nothing wrong meanwhile."""
    victim = "storage-3"
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as client:
        await filled(client, "fatal")
        await asyncio.gather(
            *(client.put_item("fatal", {"pk": f"long-{n}", "value": "long" * 500}) for n in range(100))
        )
        path = cluster.data / victim / "btree" / "data.mdb"
        deadline = time.monotonic() + 20
        while (
            len(set(re.findall(rb"fatal \d+\.", path.read_bytes()))) < ITEMS or path.read_bytes().count(b"long-") < 100
        ):
            assert time.monotonic() < deadline, "no checkpoint"
            await asyncio.sleep(0.1)
        await asyncio.to_thread(cluster.local, "kill", victim)
        data = bytearray(path.read_bytes())
        # Where a table begins and ends is read at the start already, on the way to what its partitions keep of changes.
        hashes = sorted(hash_key("S", key) for key in [*map(str, range(ITEMS)), *(f"long-{n}" for n in range(100))])
        for found in re.finditer(rb"fatal \d+\.", path.read_bytes()):  # in every copy: some are of former versions
            page = found.start() // 4096 * 4096
            flags, _, used_from = struct.unpack_from("<HHH", data, page + 10)
            # What is before is left from when the page was another's, and it may be one that is read at the start now.
            is_of_items = flags == LMDB_LEAF and found.start() >= page + used_from
            if is_of_items and not any(each in data[page : page + 4096] for each in (hashes[0], hashes[-1])):
                struct.pack_into("<H", data, page + 10, LMDB_OF_NO_KIND)
        path.write_bytes(data)
        await asyncio.to_thread(cluster.local, "start", victim)
        (neighbour,) = [each["zone"] for each in cluster.status() if each["name"] == victim]
        router = next(each for each in cluster.status() if each["role"] == "router" and each["zone"] == neighbour)
        port = next(each["port"] for each in router["ports"] if each["kind"] == "grpc")
        deadline = time.monotonic() + 30
        async with stator.AsyncClient([f"127.0.0.1:{port}"], timeout_s=15.0) as beside:
            while any(each["name"] == victim and each["state"] != "exited" for each in cluster.status()):
                assert len([item async for item in beside.scan("fatal")]) == ITEMS + 100
                assert time.monotonic() < deadline, "the page is read, and ends nothing"
        await verify(client, "fatal")
        await asyncio.to_thread(cluster.local, "start", victim)
        deadline = time.monotonic() + 60
        while True:
            node = next(each for each in (await client.describe_cluster()).nodes if each.name == victim)
            if node.is_alive and node.healed and not node.note:
                break
            assert time.monotonic() < deadline, f"it is not healed: {node}"
            await asyncio.sleep(0.1)
        await asyncio.to_thread(cluster.local, "kill", "storage-1")
        await verify(client, "fatal")
        await asyncio.to_thread(cluster.local, "start", "storage-1")
        await wait_for_leaders(client, "fatal", 1)
