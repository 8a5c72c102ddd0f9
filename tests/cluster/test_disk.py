"""A disk that fills up under real processes: writes are refused in time, everything else goes on, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stator

from tests.cluster.harness import LocalCluster, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

MIB = 1024 * 1024
RESERVE_BYTES = 192 * MIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 MiB of its own."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={512 * MIB}", "tmpfs", str(directory)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], timeout=10, check=True)


@pytest.fixture
def cluster(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    for name, value in (
        ("WAL_SEGMENT_BYTES", 16 * MIB),
        ("MEMTABLE_BYTES", MIB),
        ("DISK_RESERVE_BYTES", RESERVE_BYTES),
    ):
        monkeypatch.setenv(f"STATOR_{name}", str(value))
    with running_cluster(small_disk / "data") as running:
        yield running


def free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


async def full_for(client: stator.AsyncClient, is_full: bool) -> None:
    """Until the storage nodes have noticed, as `stator cluster status` shows it."""
    deadline = time.monotonic() + 15
    while True:
        nodes = [node for node in (await client.describe_cluster()).nodes if node.role == "storage"]
        if all(("nearly full" in node.note) == is_full for node in nodes):
            return
        assert time.monotonic() < deadline, [node.note for node in nodes]
        await asyncio.sleep(0.05)


async def test_a_disk_fills_up_under_load(cluster: LocalCluster, small_disk: Path) -> None:
    """Writers fill the disk until they are refused, with an error that may be retried; by then the disk is not full.
    Reads of both kinds and deletions go on, what was acknowledged is there, and with room again writes go on."""
    acknowledged: dict[str, bytes] = {}
    refusals: list[stator.StatorError] = []
    async with stator.AsyncClient(cluster.endpoints, timeout_s=10.0) as client:
        await client.create_table("disk", partition_key=("pk", "S"), partitions=2)
        await client.wait_until_table_active("disk")
        await wait_for_leaders(client, "disk", 2)
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free_bytes(small_disk) - RESERVE_BYTES - 96 * MIB)

        async def write(worker: int) -> None:
            number = 0
            while not refusals:
                number += 1
                name, value = f"w{worker}-{number}", os.urandom(60_000)
                try:
                    await client.put_item("disk", {"pk": name, "value": value}, timeout_s=1.0)
                    acknowledged[name] = value
                except stator.ThrottledError:
                    pass  # the disk is slower than the writers, which is another matter than its being full
                except stator.StatorError as error:
                    refusals.append(error)

        await asyncio.wait_for(asyncio.gather(*(write(worker) for worker in range(4))), 40)
        assert free_bytes(small_disk) > 0
        await full_for(client, True)
        for refusal in refusals:
            assert refusal.is_retriable, refusal
            assert "full" in str(refusal), refusal

        print(f"{len(acknowledged)} writes, then: {refusals[0]}; {free_bytes(small_disk) // MIB} MiB free")
        names = list(acknowledged)
        for name in names:
            for consistent_read in (True, False):
                item = await client.get_item("disk", {"pk": name}, consistent_read=consistent_read)
                assert consistent_read is False or (item is not None and item["value"] == acknowledged[name])
        for name in names[:20]:
            await client.delete_item("disk", {"pk": name})
            assert await client.get_item("disk", {"pk": name}, consistent_read=True) is None
        with pytest.raises(stator.StatorError, match="full"):
            await client.put_item("disk", {"pk": "refused", "value": b"x"}, timeout_s=0.5)

        filler.unlink()
        await full_for(client, False)
        await client.put_item("disk", {"pk": "again", "value": b"x"})
        assert await client.get_item("disk", {"pk": "refused"}, consistent_read=True) is None
        assert (await client.get_item("disk", {"pk": names[-1]}, consistent_read=True)) is not None
    assert [process["state"] for process in cluster.status()] == ["ready"] * 9
