"""Segments in memory, which remember each write: so that a crash may tear the last one, or a write may fail."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.codec.frame import SegmentHeader, encode_segment_header
from server.wal_segment import OpenSegment, SegmentFiles


@dataclass
class Write:
    """One write: where, what, and whether it was synced."""

    number: int
    position: int
    data: bytes
    is_synced: bool


class MemoryFiles(SegmentFiles):
    """The interface of SegmentFiles without a disk. Segment numbers serve as file descriptors."""

    def __init__(self, segments: dict[int, bytearray] | None = None, *, segment_bytes: int = 4096) -> None:
        super().__init__(Path("log"), node_id=1, segment_bytes=segment_bytes)
        given = list((segments or {}).items())  # at once: the log's other thread may make a segment meanwhile
        self.contents = {number: bytearray(data) for number, data in given}
        self.writes: list[Write] = []
        self.error: OSError | None = None
        """Raised by the next write."""
        self.create_error: OSError | None = None
        """Raised when another segment is to be made."""
        self.is_full = False

    def copy(self) -> MemoryFiles:
        """The same files, for another life."""
        return MemoryFiles(self.contents, segment_bytes=self.segment_bytes)

    def prepare(self) -> None:
        pass

    def segments(self) -> list[tuple[int, Path]]:
        return [(number, Path(str(number))) for number in sorted(self.contents)]

    def read(self, path: Path) -> bytes:
        return bytes(self.contents[int(path.name)])

    def create(self, number: int, reuse: Path | None = None) -> OpenSegment:
        if self.create_error is not None:
            raise self.create_error
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on device")
        content = bytearray(self.segment_bytes) if reuse is None else self.contents.pop(int(reuse.name))
        header = SegmentHeader(self.node_id, number, 1000 + number, self.segment_bytes)
        content[:64] = encode_segment_header(header)
        self.contents[number] = content
        return OpenSegment(number, Path(str(number)), number, header.seed)

    def write_synced(self, fd: int, buffers: Sequence[bytes], position: int) -> None:
        if self.error is not None:
            raise self.error
        self._write(Write(fd, position, b"".join(buffers), True))

    def write_unsynced(self, fd: int, data: bytes, position: int) -> None:
        self._write(Write(fd, position, data, False))

    def _write(self, write: Write) -> None:
        self.writes.append(write)
        end = write.position + len(write.data)
        assert end <= self.segment_bytes
        self.contents[write.number][write.position : end] = write.data

    def cut(self, path: Path, size: int, end: bytes) -> None:
        content = self.contents[int(path.name)]
        del content[size:]
        content += end

    def close(self, segment: OpenSegment) -> None:
        pass

    def remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            del self.contents[int(path.name)]
