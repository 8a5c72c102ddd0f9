"""Whom faults mean, and what a flipped bit is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stator.descriptions import ClusterDescription, NodeDescription, PartitionDescription
from stator.errors import UnavailableError
from stator.gameday.cluster import GamedayCluster, Tools
from stator.gameday.disks import Disks
from stator.gameday.faults import FaultError, Injection, Site, flip_bit, inject, resolve
from stator.gameday.scenario import Fault
from stator.local.folder import ClusterFile, DataFolder

from tests.clients.gameday.test_watcher import WHOLE, led_by


def led(*leaders: int) -> ClusterDescription:
    """Partitions of the table, each led by one of three nodes (0: by nobody), and one of another table."""
    other = replace(led_by(3), table_name="other")
    partitions: list[PartitionDescription] = [led_by(leader) for leader in leaders]
    return ClusterDescription(WHOLE.nodes, (*partitions, other, other))


@pytest.mark.parametrize(
    ("word", "leaders", "expected"),
    [
        ("leader", (1,), "storage-1"),
        ("leader", (1, 2, 2), "storage-2"),
        ("leader", (1, 2, 3), "storage-3"),
        ("follower", (1,), "storage-2"),
        ("follower", (2, 1, 1), "storage-3"),
        ("leader", (0, 2), "storage-2"),
        ("router-1", (1,), "router-1"),
        ("zone-2", (1,), "zone-2"),
    ],
)
def test_whom_a_word_means(word: str, leaders: tuple[int, ...], expected: str) -> None:
    """The node that leads most partitions of the table, or fewest; other tables do not count."""
    assert resolve(word, led(*leaders), "t") == expected


def test_the_leader_of_the_index() -> None:
    """Is another than the table's; and none where the table has no index."""
    index = replace(led_by(2), partition_id=8, index_name="by-value")
    both = ClusterDescription(WHOLE.nodes, (led_by(1), index))
    assert [resolve(word, both, "t") for word in ("leader", "index-leader")] == ["storage-1", "storage-2"]
    with pytest.raises(FaultError, match="nobody leads a partition of the index of t"):
        resolve("index-leader", led(1), "t")


@pytest.mark.parametrize(("index_leader", "expected"), [(1, "storage-2"), (2, "storage-3"), (3, "storage-2")])
def test_a_follower_that_leads_the_index_is_left_alone(index_leader: int, expected: str) -> None:
    """Where there is another: an election of the index would be taken for one that should not have been."""
    index = replace(led_by(index_leader), partition_id=8, index_name="by-value")
    assert resolve("follower", ClusterDescription(WHOLE.nodes, (led_by(1), index)), "t") == expected


def test_nobody_is_meant() -> None:
    """Then the fault cannot happen, which is told."""
    with pytest.raises(FaultError, match="nobody leads"):
        resolve("leader", led(0), "t")
    with pytest.raises(FaultError, match="nobody leads"):
        resolve("follower", led(), "t")
    with pytest.raises(FaultError, match="has not been seen"):
        resolve("leader", None, "t")


def test_one_bit_flips_in_the_newest_segment_that_has_enough(tmp_path: Path) -> None:
    """In a value of this run, with others behind it that prove that it had been synced."""
    (tmp_path / "1.wal").write_bytes(b"head" + b"".join(b"..ab.3.%d.." % number for number in range(50)))
    (tmp_path / "2.wal").write_bytes(b"head" + b"".join(b"..ab.4.%d.." % number for number in range(30)))
    (tmp_path / "3.wal").write_bytes(b"head" + b"..ab.5.1.." * 3 + b"..cd.5.1.." * 30)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    text = flip_bit(tmp_path, "ab")
    changed = [path for path, content in before.items() if path.read_bytes() != content]
    assert [path.name for path in changed] == ["2.wal"]
    old, new = before[changed[0]], changed[0].read_bytes()
    places = [place for place in range(len(old)) if old[place] != new[place]]
    assert len(old) == len(new)
    assert [(old[place] ^ new[place]).bit_count() for place in places] == [1]
    assert text == f"2.wal, byte {places[0]}"
    assert old[: places[0] + 1].endswith(b"..ab.4.15")


def test_what_a_file_held_in_a_former_life_is_left_alone(tmp_path: Path) -> None:
    """The files of the log are used again: what is behind the end of one, and all of the next one that is only ready,
    is of long ago."""

    def values(client: int, numbers: range) -> bytes:
        return b"".join(b"..ab.%d.%d.." % (client, number) for number in numbers)

    (tmp_path / "1.wal").write_bytes(values(3, range(100, 200)))
    (tmp_path / "2.wal").write_bytes(values(3, range(200, 225)) + values(4, range(40)) + values(3, range(30, 90)))
    (tmp_path / "3.wal").write_bytes(values(4, range(9)) + values(3, range(100)))
    before = (tmp_path / "2.wal").read_bytes()
    assert flip_bit(tmp_path, "ab").startswith("2.wal, byte ")
    (place,) = [at for at, byte in enumerate((tmp_path / "2.wal").read_bytes()) if byte != before[at]]
    assert place < before.index(b"ab.3.30.")


def test_too_little_to_flip(tmp_path: Path) -> None:
    """A log that has hardly anything of this run proves nothing."""
    (tmp_path / "1.wal").write_bytes(b"ab.1.1 " * 5)
    with pytest.raises(FaultError, match="too little"):
        flip_bit(tmp_path, "ab")


class FakeDisks(Disks):
    """Disks of which it is only written down what is done to them. `done` has that, also what the cluster is told."""

    def __init__(self, done: list[str]) -> None:
        super().__init__(["metadata-1", "storage-1", "storage-2"])
        self.loses_what_was_not_synced = True
        self._done = done

    def fill(self, name: str) -> None:
        self._done.append(f"fill {name}")

    def make_room(self, name: str) -> None:
        self._done.append(f"make room {name}")

    def freeze(self, name: str) -> None:
        self._done.append(f"freeze {name}")

    def thaw(self, name: str) -> None:
        self._done.append(f"thaw {name}")

    def shut_down(self, name: str) -> None:
        self._done.append(f"shut down {name}")

    def mount_anew(self, name: str) -> bool:
        self._done.append(f"mount {name}")
        return self.loses_what_was_not_synced


class FakeClient:
    """A client that writes down what it is told. `replicas`: what each storage node has at the end."""

    def __init__(self, done: list[str]) -> None:
        self.replicas = 0
        self._done = done

    async def describe_cluster(self, *, timeout_s: float | None = None) -> ClusterDescription:
        return replace(led(1), nodes=tuple(replace(each, replicas=self.replicas) for each in WHOLE.nodes))

    async def drain_node(self, name: str, *, cancel: bool = False, timeout_s: float | None = None) -> NodeDescription:
        self._done.append(f"{'undrain' if cancel else 'drain'} {name}")
        if name == "storage-3":
            raise UnavailableError("nobody answers")
        return WHOLE.nodes[0]


class FakeCluster(GamedayCluster):
    """A cluster without processes: all of them are in one state."""

    def __init__(self, path: Path) -> None:
        folder = DataFolder(path)
        folder.prepare()
        folder.write(ClusterFile(nodes_per_zone=1))
        self.done: list[str] = []
        self.client = FakeClient(self.done)
        self.state = ("ready", 0)
        super().__init__(folder, Tools(disks=FakeDisks(self.done)))
        for name in ("metadata-1", "storage-1", "storage-2", "storage-3", "router-1"):
            folder.log_path(name).write_text("disk nearly full, long ago\n")

    async def command(self, word: str, names: Sequence[str]) -> list[dict[str, Any]]:
        if word != "status":
            self.done.append(" ".join([word, *names]))
        zones = {"metadata-1": "zone-1", "storage-1": "zone-1", "storage-2": "zone-2", "storage-3": "zone-3"}
        zones["router-1"] = "zone-1"
        state, code = self.state
        return [
            {"name": name, "role": name.partition("-")[0], "zone": zone, "state": state, "exit_code": code}
            for name, zone in zones.items()
            if name in names or "all" in names
        ]

    def write_log(self, name: str, text: str) -> None:
        with self.folder.log_path(name).open("a") as log:
            log.write(text)


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    return FakeCluster(tmp_path)


async def begin(cluster: FakeCluster, do: str, word: str) -> tuple[Injection, str, Site]:
    site = Site(cluster, cluster.client, "ab")
    injection, text = await inject(site, Fault(0, do, (word,)), led(1), "t")
    return injection, text, site


async def test_a_disk_is_filled(cluster: FakeCluster) -> None:
    """Of storage processes only, whatever else a word means; and whoever has it must say since then that it is full."""
    injection, text, _ = await begin(cluster, "fill-disk", "zone-1")
    assert text == "fill the disk of storage-1"
    cluster.write_log("storage-1", "warning disk nearly full: writes are refused\n")
    assert await injection.end() == "room on the disk of storage-1"
    assert cluster.done == ["fill storage-1", "make room storage-1"]


async def test_a_full_disk_that_nobody_notices_is_told(cluster: FakeCluster) -> None:
    """Then there is room all the same."""
    injection, _, _ = await begin(cluster, "fill-disk", "zone-2")
    cluster.write_log("storage-1", "warning disk nearly full: writes are refused\n")
    with pytest.raises(FaultError, match="storage-2 has not noticed that its disk was full"):
        await injection.end()
    assert cluster.done == ["fill storage-2", "make room storage-2"]


async def test_a_disk_hangs(cluster: FakeCluster) -> None:
    """And goes on."""
    injection, text, _ = await begin(cluster, "hang-disk", "zone-1")
    assert text == "hang the disk of metadata-1, storage-1"
    assert await injection.end() == "the disk of metadata-1, storage-1 goes on"
    assert cluster.done == ["freeze metadata-1", "freeze storage-1", "thaw metadata-1", "thaw storage-1"]


async def test_whoever_has_a_failed_disk_ends(cluster: FakeCluster) -> None:
    """By itself, which is no problem then; and starts on what had been synced."""
    cluster.state = ("exited", 5)
    injection, text, site = await begin(cluster, "fail-disk", "leader")
    assert text == "fail the disk of storage-1, which ended at once (leader of t)"
    assert site.may_end == {"storage-1"}
    await injection.end()
    assert site.may_end == set()
    assert cluster.done == ["shut down storage-1", "mount storage-1", "start storage-1"]


async def test_ending_for_another_reason_is_told(cluster: FakeCluster) -> None:
    """Only the exit code of a failed disk proves that it was noticed."""
    cluster.state = ("exited", -6)
    with pytest.raises(FaultError, match="storage-1 ended with code -6, not 5"):
        await begin(cluster, "fail-disk", "leader")


async def test_power_is_cut(cluster: FakeCluster) -> None:
    """Nobody does anything between the moment that counts and its end; routers have no disk, but need power."""
    injection, text, _ = await begin(cluster, "cut-power", "zone-1")
    assert text == "cut the power of metadata-1, storage-1, router-1"
    await injection.end()
    names = "metadata-1 storage-1 router-1"
    shut, mounted = ([f"{word} {name}" for name in ("metadata-1", "storage-1")] for word in ("shut down", "mount"))
    assert cluster.done == [f"pause {names}", *shut, f"kill {names}", *mounted, f"start {names}"]


async def test_a_power_cut_that_loses_nothing_is_told(cluster: FakeCluster) -> None:
    """It would prove nothing."""
    assert isinstance(cluster.tools.disks, FakeDisks)
    cluster.tools.disks.loses_what_was_not_synced = False
    injection, _, _ = await begin(cluster, "cut-power", "storage-2")
    with pytest.raises(FaultError, match="storage-2 had not synced has survived"):
        await injection.end()


@pytest.mark.parametrize("do", ["fill-disk", "hang-disk", "fail-disk", "cut-power"])
async def test_a_cluster_that_runs_already_has_no_disks_to_break(cluster: FakeCluster, do: str) -> None:
    """Nothing is done to it then."""
    cluster.tools = Tools()
    with pytest.raises(FaultError, match="disks can only be broken in a cluster"):
        await begin(cluster, do, "storage-1")
    assert cluster.done == []


async def test_a_node_is_drained(cluster: FakeCluster) -> None:
    """And put to use again, once it has nothing left."""
    injection, text, _ = await begin(cluster, "drain", "leader")
    assert text == "drain storage-1 (leader of t)"
    assert await injection.end() == "all of storage-1 has moved; in use again"
    assert cluster.done == ["drain storage-1", "undrain storage-1"]


async def test_a_node_that_keeps_what_it_has_is_told(cluster: FakeCluster) -> None:
    """Then too it is put to use again."""
    cluster.client.replicas = 2
    injection, _, _ = await begin(cluster, "drain", "storage-2")
    with pytest.raises(FaultError, match="storage-2 had 2 replicas left"):
        await injection.end()
    assert cluster.done == ["drain storage-2", "undrain storage-2"]


async def test_a_drain_that_nobody_takes_is_told(cluster: FakeCluster) -> None:
    """It did not happen."""
    with pytest.raises(FaultError, match="drain storage-3: nobody answers"):
        await begin(cluster, "drain", "storage-3")


async def test_processes_are_restarted_in_turn(cluster: FakeCluster) -> None:
    """One command each: the next begins when the one before takes part again."""
    injection, text, _ = await begin(cluster, "restart", "router")
    assert text == "restart router-1, one after the other"
    assert await injection.end() == ""
    assert cluster.done == ["restart router-1"]


async def test_clocks_need_their_library(cluster: FakeCluster) -> None:
    """A cluster that runs already has right ones, and that is told before anything is done."""
    with pytest.raises(FaultError, match="clocks can only be changed in a cluster"):
        await begin(cluster, "clock-rate", "storage-1")
    assert cluster.done == []
