"""Disk space: the reserve and the ballast."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage_node import disk
from storage_node.disk import BALLAST_BYTES, DiskSpace, free_bytes


def test_reserve(tmp_path: Path) -> None:
    """Less than the reserve free: nearly full."""
    free = free_bytes(tmp_path)
    assert not DiskSpace(tmp_path, free // 2).is_nearly_full()
    assert DiskSpace(tmp_path, free * 2).is_nearly_full()


def test_room_again_is_more_than_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that writes are not refused and taken by turns."""
    free = iter((800, 799, 800, 899, 900, 800, 799))
    monkeypatch.setattr(disk, "free_bytes", lambda directory: next(free))
    space = DiskSpace(tmp_path, 800)
    assert [space.is_nearly_full() for _ in range(7)] == [False, True, True, True, False, False, True]


def test_ballast(tmp_path: Path) -> None:
    """The ballast is made once where there is room for it; a start makes it again when it was given back by hand."""
    space = DiskSpace(tmp_path / "data", 0)
    space.prepare()
    space.prepare()
    assert space.ballast.stat().st_size == BALLAST_BYTES
    space.ballast.unlink()
    space.prepare()
    assert space.ballast.exists()
    space.ballast.unlink()
    full = DiskSpace(tmp_path / "data", free_bytes(tmp_path) * 2)
    full.prepare()
    assert not full.ballast.exists()
