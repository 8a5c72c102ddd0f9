"""Disk space: the reserve and the ballast."""

from __future__ import annotations

from pathlib import Path

from storage_node.disk import BALLAST_BYTES, DiskSpace, free_bytes


def test_reserve(tmp_path: Path) -> None:
    """Less than the reserve free: nearly full."""
    free = free_bytes(tmp_path)
    assert not DiskSpace(tmp_path, free // 2).is_nearly_full()
    assert DiskSpace(tmp_path, free * 2).is_nearly_full()


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
