"""The files of a node's log: numbered segments of equal size, filled with zeros ahead of use, reused after."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.codec.frame import SEGMENT_HEADER_BYTES, SegmentHeader, encode_segment_header

_SUFFIX: Final = ".wal"
_TEMPORARY_SUFFIX: Final = ".tmp"
_ZEROS: Final = bytes(4 * 1024 * 1024)
_BUFFERS_MAX: Final = min(1024, os.sysconf("SC_IOV_MAX"))


@dataclass(slots=True)
class OpenSegment:
    """A segment that is being written. `end` is where the next frame goes."""

    number: int
    path: Path
    fd: int
    seed: int
    end: int = SEGMENT_HEADER_BYTES


class SegmentFiles:
    """Makes, writes and removes segments in one directory. Every method blocks and may raise OSError.

    A segment gets its final name only when it is as long as it will ever be, has a valid header and both are synced:
    a file of that name without a valid header is damaged.
    """

    def __init__(self, directory: Path, *, node_id: int, segment_bytes: int) -> None:
        self.directory = directory
        self.node_id = node_id
        self.segment_bytes = segment_bytes

    def prepare(self) -> None:
        """Makes the directory and clears away what was never finished."""
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            _sync_directory(self.directory.parent)
        for path in self.directory.glob(f"*{_TEMPORARY_SUFFIX}"):
            path.unlink()

    def segments(self) -> list[tuple[int, Path]]:
        """(number, path) of each segment, in order."""
        found = [(int(path.stem), path) for path in self.directory.glob(f"*{_SUFFIX}") if path.stem.isdigit()]
        return sorted(found)

    def read(self, path: Path) -> bytes:
        """All of a segment."""
        return path.read_bytes()

    def create(self, number: int, reuse: Path | None = None) -> OpenSegment:
        """A new segment, durable with its header, ready to be written. Takes over the file `reuse` if given.

        The space is written, not only allocated: a sync into allocated but never written space has to journal that
        too, and took 1.5 times as long for writes of 16 KB.
        """
        path = self.directory / f"{number:012d}{_SUFFIX}"
        temporary = path.with_suffix(_TEMPORARY_SUFFIX)
        if reuse is not None:
            # Under its old name the file must not be seen with a new header.
            reuse.rename(temporary)
            _sync_directory(self.directory)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != self.segment_bytes:
                self._fill(fd)
            header = SegmentHeader(self.node_id, number, secrets.randbits(64), self.segment_bytes)
            _write_all(fd, encode_segment_header(header), 0)
            os.fsync(fd)
            temporary.rename(path)
            _sync_directory(self.directory)
        except OSError:
            os.close(fd)
            temporary.unlink(missing_ok=True)
            raise
        return OpenSegment(number, path, fd, header.seed)

    def _fill(self, fd: int) -> None:
        os.ftruncate(fd, 0)
        # Where there is no room for it all, this says so before anything was written.
        os.posix_fallocate(fd, 0, self.segment_bytes)
        for position in range(0, self.segment_bytes, len(_ZEROS)):
            _write_all(fd, memoryview(_ZEROS)[: self.segment_bytes - position], position)
            # Piece by piece: all at once would keep the disk from the log's own writes for so long.
            os.fdatasync(fd)

    def write_synced(self, fd: int, buffers: Sequence[bytes], position: int) -> None:
        """Writes the buffers at `position`; returns once they are on the disk."""
        if len(buffers) > _BUFFERS_MAX:
            buffers = [b"".join(buffers)]
        written = os.pwritev(fd, buffers, position)
        if written != sum(map(len, buffers)):
            rest = memoryview(b"".join(buffers))[written:]
            _write_all(fd, rest, position + written)
        os.fdatasync(fd)

    def write_unsynced(self, fd: int, data: bytes, position: int) -> None:
        """Writes without waiting for the disk."""
        _write_all(fd, data, position)

    def cut(self, path: Path, size: int, end: bytes) -> None:
        """Replaces what lies behind the first `size` bytes of a segment by `end`; all of it is durable then."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            _write_all(fd, end, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, segment: OpenSegment) -> None:
        """Ends the writing of a segment."""
        os.close(segment.fd)

    def remove(self, paths: Sequence[Path]) -> None:
        """Removes segments durably, one after the other: what remains is never with a gap."""
        for path in paths:
            path.unlink()
            _sync_directory(self.directory)


def _write_all(fd: int, data: bytes | memoryview, position: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, position)
        rest, position = rest[written:], position + written


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
