"""Disks that fill up, fail, and lose what was not synced: on real file systems, where they can be made."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from stator.gameday.disks import Disks, why_not
from stator.gameday.machine import MachineError
from stator.local.layout import ProcessPlan, Role


def plan(name: str) -> ProcessPlan:
    return ProcessPlan(name, Role.STORAGE, "zone-1", (), ())


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    """With the disk of storage-1 mounted in `tmp_path / "storage-1"`."""
    sentence = why_not()
    if sentence:
        pytest.skip(sentence)
    with Disks(["storage-1"]) as made:
        try:
            made.prepare(plan("storage-1"), tmp_path)
        except MachineError as error:
            pytest.skip(f"there is no mounting here: {error}")
        yield made
    assert not os.path.ismount(tmp_path / "storage-1")


def write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def test_only_who_needs_one_gets_one(disks: Disks, tmp_path: Path) -> None:
    """And once: a process that starts again finds its data."""
    disks.prepare(plan("storage-2"), tmp_path)
    disks.prepare(plan("storage-1"), tmp_path)
    assert os.path.ismount(tmp_path / "storage-1")
    assert not (tmp_path / "storage-2").exists()
    assert list((tmp_path / "storage-1").iterdir()) == []


def test_a_disk_is_full_to_the_last_block(disks: Disks, tmp_path: Path) -> None:
    """Of this process alone; afterwards there is room again."""
    path = tmp_path / "storage-1" / "file"
    disks.fill("storage-1")
    assert os.statvfs(path.parent).f_bavail == 0
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_synced(path, b"x" * 100_000)
    disks.make_room("storage-1")
    write_synced(path, b"x" * 100_000)


def test_a_disk_that_is_shut_down_fails_and_forgets(disks: Disks, tmp_path: Path) -> None:
    """Every sync and write fails; mounted anew it has what had been synced, and not what had only been written."""
    place = tmp_path / "storage-1"
    write_synced(place / "synced", b"synced")
    with (place / "file").open("wb", buffering=0) as file:
        file.write(b"written")
        disks.shut_down("storage-1")
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            os.fsync(file.fileno())
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            file.write(b"more")
    assert disks.mount_anew("storage-1")
    assert (place / "synced").read_bytes() == b"synced"
    assert not (place / "file").exists()


def test_a_disk_that_is_frozen_keeps_everybody_waiting(disks: Disks, tmp_path: Path) -> None:
    """Until it is thawed; then what was written is there."""
    path = tmp_path / "storage-1" / "file"
    disks.freeze("storage-1")
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(write_synced, path, b"late")
        assert not wait([written], timeout=0.2).done
        disks.thaw("storage-1")
        written.result(timeout=20)
    assert path.read_bytes() == b"late"


def test_a_frozen_disk_does_not_outlive_the_game_day(tmp_path: Path) -> None:
    """What is left frozen is thawed, or it could not even be unmounted."""
    if why_not():
        pytest.skip(why_not())
    try:
        with Disks(["storage-1"]) as made:
            made.prepare(plan("storage-1"), tmp_path)
            made.freeze("storage-1")
    except MachineError as error:
        pytest.skip(f"there is no mounting here: {error}")
    assert not os.path.ismount(tmp_path / "storage-1")


def test_what_was_not_lost_is_told(disks: Disks, tmp_path: Path) -> None:
    """Somebody who syncs everything at the last moment makes the fault worthless."""
    place = tmp_path / "storage-1"
    disks.shut_down("storage-1")
    assert disks.mount_anew("storage-1")
    write_synced(place / "witness", b"not synced" * 100)
    assert not disks.mount_anew("storage-1")
