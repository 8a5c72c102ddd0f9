"""The catalog on disk: a snapshot file for each checkpoint, and the state machine over it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import crc32c

from metadata.catalog.catalog import Catalog
from metadata.catalog_codec import CorruptCatalogError, decode_command, decode_snapshot, encode_snapshot
from server.runtime.identity import sync_directory, write_atomically

_HEADER = struct.Struct("<8sIIQ")
_MAGIC = b"STATORCS"
_VERSION = 1
CHUNK_BYTES = 256 * 1024


def write_snapshot(directory: Path, slot: int, content: bytes) -> None:
    """Stores the catalog as of `slot`; then older snapshots are removed. Durable when it returns (blocking)."""
    header = _HEADER.pack(_MAGIC, _VERSION, crc32c.crc32c(content), slot)
    write_atomically(directory / f"catalog-{slot:020d}.snapshot", header + content)
    for path in directory.glob("catalog-*.snapshot"):
        if _slot_of(path) < slot:
            path.unlink()
    sync_directory(directory)


def read_snapshot(directory: Path) -> tuple[int, bytes] | None:
    """(slot, content) of the newest snapshot; None: there is none. Raises CorruptCatalogError for a damaged one."""
    paths = sorted(directory.glob("catalog-*.snapshot"), key=_slot_of)
    if not paths:
        return None
    data = paths[-1].read_bytes()
    if len(data) < _HEADER.size:
        raise CorruptCatalogError(f"{paths[-1].name} is cut off")
    magic, version, crc, slot = _HEADER.unpack_from(data)
    content = data[_HEADER.size :]
    if magic != _MAGIC or version != _VERSION or crc32c.crc32c(content) != crc:
        raise CorruptCatalogError(f"{paths[-1].name} is damaged")
    return slot, content


def _slot_of(path: Path) -> int:
    return int(path.stem.removeprefix("catalog-"))


class _Snapshot:
    """The newest snapshot, in chunks, for another member."""

    def __init__(self, slot: int, content: bytes) -> None:
        self.slot = slot
        self._content = content

    def next_chunk(self) -> bytes | None:
        chunk, self._content = self._content[:CHUNK_BYTES], self._content[CHUNK_BYTES:]
        return chunk or None

    def close(self) -> None:
        self._content = b""


class CatalogMachine:
    """The state machine of the metadata group. `on_change` is called after each change.

    Snapshots are small and written whole, so a restore that is interrupted leaves the former one in place."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.catalog = Catalog()
        self.slot = 0
        self.is_restoring = False
        self.on_change: Callable[[], None] = lambda: None
        self._snapshot: tuple[int, bytes] | None = None
        self._restored: list[bytes] = []

    def load(self) -> int:
        """Takes the newest snapshot; returns its slot. Raises CorruptCatalogError."""
        self._snapshot = read_snapshot(self.directory)
        if self._snapshot is not None:
            self.slot, content = self._snapshot
            self.catalog = decode_snapshot(content)
        return self.slot

    def apply(self, slot: int, payload: bytes) -> object:
        result = self.catalog.apply(decode_command(payload))
        self.slot = slot
        self.on_change()
        return result

    def applied_no_op(self, slot: int) -> None:
        self.slot = slot

    def checkpoint(self) -> int:
        """Stores the catalog as it is; returns the slot (blocking, but a catalog is small)."""
        content = encode_snapshot(self.catalog)
        write_snapshot(self.directory, self.slot, content)
        self._snapshot = (self.slot, content)
        return self.slot

    def open_snapshot(self) -> _Snapshot | None:
        return _Snapshot(*self._snapshot) if self._snapshot is not None else None

    def begin_restore(self, slot: int) -> None:
        self._restored = []

    def restore_chunk(self, body: bytes, done: Callable[[], None]) -> None:
        self._restored.append(body)
        done()

    def finish_restore(self, slot: int, done: Callable[[], None]) -> None:
        content = b"".join(self._restored)
        self._restored = []
        self.catalog = decode_snapshot(content)
        write_snapshot(self.directory, slot, content)
        self._snapshot = (slot, content)
        self.slot = slot
        self.on_change()
        done()
