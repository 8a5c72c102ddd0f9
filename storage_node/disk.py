"""Watches the space on the disk, so that writes are refused before it is full."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

BALLAST_BYTES: Final = 8 * 1024 * 1024
"""Given back by hand (delete the file) when a full disk keeps a node from starting; the next start makes it again."""

ROOM_PART: Final = 8
"""A disk has room again once more than the reserve is free, by one part in so many of it: what a checkpoint frees, the
log takes again at once, and writes would be refused and taken by turns."""


def free_bytes(directory: Path) -> int:
    """What an ordinary process can still write to the disk of `directory`."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


class DiskSpace:
    """Free space against a reserve, with a ballast file beside the data."""

    def __init__(self, directory: Path, reserve_bytes: int) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes
        self._is_full = False
        self.ballast = directory / "ballast"

    def prepare(self) -> None:
        """Makes the directory, and the ballast file where there is room for it above the reserve. Blocking."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if self.ballast.exists() or free_bytes(self._directory) < self._reserve_bytes + BALLAST_BYTES:
            return
        fd = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, BALLAST_BYTES)
        finally:
            os.close(fd)

    def is_nearly_full(self) -> bool:
        """Whether less than the reserve is free, or has been, and not a good deal more since."""
        wanted = self._reserve_bytes + (self._reserve_bytes // ROOM_PART if self._is_full else 0)
        self._is_full = free_bytes(self._directory) < wanted
        return self._is_full
