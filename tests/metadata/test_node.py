"""A metadata process's member of the group, alone in its group, on a real log: what is on disk and what is refused."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
import structlog.testing

from metadata.catalog.catalog import Catalog
from metadata.config import Config
from metadata.node import GROUP_ID, DamagedDataError, MetadataNode
from server.codec.frame import FRAME_HEADER_BYTES
from server.model.errors import ResourceInUseError, ServiceUnavailableError
from server.paxos.acceptor import Health
from server.runtime.clock import now_ns
from server.runtime.disk_watch import Fitness
from server.runtime.identity import Identity, release
from tests.metadata.catalog.test_catalog import create, register
from tests.metadata.fake_group import FatalError, fail


def make(directory: Path, snapshot_every: int = 1_000, may_create: bool = True, members: int = 1) -> MetadataNode:
    """The only member of its group, or the only one that runs; short leases, so that it leads soon after a restart."""
    config = Config(
        name="metadata-1",
        zone="zone-1",
        node_id=1,
        data=str(directory),
        members=tuple(f"{number}@zone-{number}=127.0.0.1:{number - 1}" for number in range(1, members + 1)),
        snapshot_every=snapshot_every,
        lease_ms=150,
        heartbeat_ms=40,
        wal_segment_bytes=4 * 1024 * 1024,
    )
    assert config.problems() == []
    identity = Identity.load_or_create(directory, config.name, node_id=1, may_create=may_create)
    return MetadataNode(config, identity, fail)


async def until_serving(node: MetadataNode) -> None:
    """It leads, and has applied what its log has from before."""
    async with asyncio.timeout(10):
        await node.wait_ready()
        while not node.is_serving_leader:
            await asyncio.sleep(0.005)


async def stop(node: MetadataNode) -> None:
    await node.stop()
    release(node.identity.directory)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[MetadataNode]:
    """A running one in a new folder."""
    node = make(tmp_path / "data")
    await node.start()
    await until_serving(node)
    yield node
    await stop(node)


async def restart(node: MetadataNode, snapshot_every: int = 1_000) -> MetadataNode:
    """The same folder in a new life; stopped by the caller."""
    directory = node.identity.directory
    await stop(node)
    again = make(directory, snapshot_every, may_create=False)
    await again.start()
    await until_serving(again)
    return again


async def test_the_first_life(node: MetadataNode) -> None:
    """It leads, the cluster has an id, and the folder remembers it."""
    assert node.is_serving_leader
    assert node.is_ready
    assert node.leader_node_id == 1
    assert node.leader_address() == ""
    assert node.living_node_ids() == []
    assert node.cluster_id == node.machine.catalog.cluster_id == node.identity.cluster_id != ""


async def test_commands_change_the_catalog_or_raise(node: MetadataNode) -> None:
    """The proposer gets what the catalog made of the command."""
    await node.propose(register())
    await node.propose(create())
    with pytest.raises(ResourceInUseError):
        await node.propose(create())


async def test_its_history_begins_when_it_knows_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there before its life is no event, what comes then is."""
    monkeypatch.setattr("metadata.node.WATCH_S", 0.01)
    node = make(tmp_path)
    await node.start()
    await until_serving(node)
    await node.propose(register("storage-1"))
    node = await restart(node)
    try:
        async with asyncio.timeout(10):
            while not node.history.has_begun:
                await asyncio.sleep(0.005)
            assert node.history.newest(10).events == []
            await node.propose(register("storage-2", data_id="d2"))
            while not node.history.newest(10).events:
                await asyncio.sleep(0.005)
    finally:
        await stop(node)
    (event,) = node.history.newest(10).events
    assert event.text.startswith("storage-2 joined")


async def test_what_cannot_be_told_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what happens next is told."""
    monkeypatch.setattr("metadata.node.WATCH_S", 0.01)
    node = make(tmp_path)
    await node.start()
    await until_serving(node)
    failed = asyncio.Event()

    def look_in_vain(*_: object) -> None:
        failed.set()
        raise KeyError("a mistake of this program")

    try:
        async with asyncio.timeout(10):
            while not node.history.has_begun:
                await asyncio.sleep(0.005)
            with structlog.testing.capture_logs() as logs, monkeypatch.context() as broken:
                broken.setattr("metadata.node.look", look_in_vain)
                await failed.wait()
                await asyncio.sleep(0)
            assert "what has happened cannot be told" in {entry["event"] for entry in logs}
            await node.propose(register("storage-1"))
            while not node.history.newest(10).events:
                await asyncio.sleep(0.005)
    finally:
        await stop(node)


async def test_its_leader_is_who_has_been_seen_to_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not who was promised that, and may have lost."""
    node = make(tmp_path)
    await node.start()
    try:
        await until_serving(node)
        assert node._leader_seen() == node.config.node_id
        core = node.host.groups[GROUP_ID].core
        monkeypatch.setattr(node.host, "is_fresh", lambda _: True)
        for is_led, leader in (True, node.config.node_id), (False, 0):
            monkeypatch.setattr(core, "leadership", None)
            monkeypatch.setattr(core, "_is_led", is_led)
            assert node._leader_seen() == leader
    finally:
        monkeypatch.undo()
        await stop(node)


async def test_a_command_without_a_leader(tmp_path: Path) -> None:
    """Is refused in a sentence."""
    node = make(tmp_path)
    await node.start()
    try:
        assert not node.is_ready
        with pytest.raises(ServiceUnavailableError, match="no leader of the metadata service"):
            await node.propose(create())
    finally:
        await stop(node)


async def test_who_is_silent_does_not_count_as_living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was halted keeps its connections."""
    node = make(tmp_path, members=3)
    monkeypatch.setattr(node.peers, "connected_node_ids", lambda: [2, 3])
    silence_ns = node.config.node_silence_ms * 1_000_000
    node.host.disk.note(2, Fitness(), now_ns())
    node.host.disk.note(3, Fitness(), now_ns() - silence_ns - 1)
    assert node.living_node_ids() == [2]
    node.config = replace(node.config, heartbeat_ms=2_000)
    assert node.living_node_ids() == [2, 3], "who says something every two seconds may say nothing for three"
    release(node.identity.directory)


async def test_everything_is_there_again(tmp_path: Path) -> None:
    """After a clean stop from the snapshot, and in either case the catalog is what it was."""
    node = make(tmp_path)
    await node.start()
    await until_serving(node)
    await node.propose(register())
    await node.propose(create())
    before = node.machine.catalog
    again = await restart(node)
    assert again.machine.catalog == before
    assert again.identity.boot == 2
    assert again.identity.cluster_id == before.cluster_id
    await again.propose(create("books"))
    await stop(again)


async def test_after_a_crash_the_log_is_enough(node: MetadataNode, tmp_path: Path) -> None:
    """Without any snapshot: what was acknowledged is in the log."""
    await node.propose(register())
    await node.propose(create())
    crashed = tmp_path / "crashed"
    shutil.copytree(node.identity.directory, crashed)
    again = make(crashed, may_create=False)
    await again.start()
    await until_serving(again)
    assert again.machine.catalog == node.machine.catalog
    await stop(again)


async def test_snapshots_every_so_many_commands(tmp_path: Path) -> None:
    """One is written while the process runs; a restart from it and the log gives the same catalog."""
    node = make(tmp_path, snapshot_every=5)
    await node.start()
    await until_serving(node)
    for number in range(20):
        await node.propose(create(f"table-{number}"))
    while not any(tmp_path.glob("catalog-*.snapshot")):  # not read: that is for who starts, and tidies up
        change = node.catalog_changes.next()
        await node.propose(register())
        await change.wait()
    assert all(5 <= int(each.stem[8:]) <= node.machine.slot for each in tmp_path.glob("catalog-*.snapshot"))
    before = node.machine.catalog
    again = await restart(node)
    assert again.machine.catalog == before
    await stop(again)


async def test_an_empty_folder_is_refused_without_bootstrap(tmp_path: Path) -> None:
    """A member that has lost its data is never a fresh one by accident."""
    with pytest.raises(Exception, match="is empty, but the cluster exists already"):
        make(tmp_path, may_create=False)


async def test_a_lost_log_is_refused(tmp_path: Path) -> None:
    """A member that has forgotten its promises must not vote, however often it is started."""
    node = make(tmp_path)
    await node.start()
    await until_serving(node)
    await stop(node)
    shutil.rmtree(tmp_path / "wal")
    for _ in range(2):
        again = make(tmp_path)
        with pytest.raises(DamagedDataError, match=r"wal is gone: what was promised in it is forgotten"):
            await again.start()
        release(tmp_path)


async def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    """With a sentence that names it."""
    node = make(tmp_path)
    await node.start()
    await until_serving(node)
    await stop(node)
    (path,) = tmp_path.glob("catalog-*.snapshot")
    path.write_bytes(path.read_bytes()[:-1])
    again = make(tmp_path)
    with pytest.raises(DamagedDataError, match=rf"{path.name} is damaged"):
        await again.start()
    release(tmp_path)


async def test_a_damaged_log_that_nobody_can_heal(tmp_path: Path) -> None:
    """The only member is told of what it may have forgotten, and does not start."""
    await _damage_the_log(tmp_path)
    again = make(tmp_path, may_create=False)
    with pytest.raises(DamagedDataError, match=r"is bad.*; the others are no majority that could heal it"):
        await again.start()
    release(tmp_path)


async def test_a_damaged_log_waits_to_be_healed(tmp_path: Path) -> None:
    """One of three runs, and does not lead a group whose decisions it may have forgotten."""
    await _damage_the_log(tmp_path)
    again = make(tmp_path, may_create=False, members=3)
    await again.start()
    assert again.host.groups[GROUP_ID].core.health == Health.DAMAGED
    await asyncio.sleep(0.5)
    assert not again.leader_node_id
    await stop(again)


async def _damage_the_log(directory: Path) -> None:
    """A node has lived, and a bit of a record of its log has flipped since."""
    node = make(directory)
    await node.start()
    await until_serving(node)
    await node.propose(create())
    await stop(node)
    path = next(path for path in sorted((directory / "wal").glob("*.wal")) if b"\xb5\x1eWf" in path.read_bytes())
    data = bytearray(path.read_bytes())
    data[data.find(b"\xb5\x1eWf") + FRAME_HEADER_BYTES + 8] ^= 1
    path.write_bytes(data)


async def test_another_clusters_folder_ends_the_process(node: MetadataNode) -> None:
    """Two clusters' members never work on one catalog."""
    node.machine.catalog = Catalog(cluster_id="another")
    with pytest.raises(FatalError, match=r"belongs to the cluster .* but the catalog is that of another"):
        await node._note_cluster("another")
    node.machine.catalog = Catalog(cluster_id=node.identity.cluster_id)
