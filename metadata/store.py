"""The catalog on disk: a snapshot file for each checkpoint, and the state machine over it.

A snapshot is `catalog-<slot, 20 digits>.snapshot`, little-endian: magic "STATORCS" (8 bytes), format version (u32),
CRC-32C of slot and content (u32), slot (u64), content (stator.internal.v1.CatalogSnapshot). An empty catalog founded as
"c" at slot 3 ends in the content 08 01 10 01 18 64 20 01 2A 01 63: version 1, next node 1, partition 100, table 1, "c".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import crc32c

from metadata.catalog.catalog import Catalog
from metadata.catalog_codec import CorruptCatalogError, decode_command, decode_snapshot, encode_snapshot
from server.paxos.ballot import Ballot
from server.paxos.quorum import Configuration
from server.runtime.identity import sync_directory, write_atomically

_HEADER = struct.Struct("<8sIIQ")
_MAGIC = b"STATORCS"
_VERSION = 1
CHUNK_BYTES = 256 * 1024


def write_snapshot(directory: Path, slot: int, content: bytes) -> None:
    """Stores the catalog as of `slot`; then older snapshots are removed. Durable when it returns (blocking)."""
    header = _HEADER.pack(_MAGIC, _VERSION, _crc(slot, content), slot)
    write_atomically(directory / f"catalog-{slot:020d}.snapshot", header + content)
    for path in directory.glob("catalog-*.snapshot"):
        if _slot_of(path) < slot:
            path.unlink(missing_ok=True)
    sync_directory(directory)


def read_snapshot(directory: Path) -> tuple[int, bytes] | None:
    """(slot, content) of the newest snapshot; None: there is none. Raises CorruptCatalogError for a damaged one.

    An older one never stands in for it: the log may reach back only to the newest."""
    for leftover in directory.glob("catalog-*.tmp"):
        leftover.unlink()
    paths = sorted(directory.glob("catalog-*.snapshot"), key=_slot_of)
    if not paths:
        return None
    data = paths[-1].read_bytes()
    if len(data) < _HEADER.size:
        raise CorruptCatalogError(f"{paths[-1].name} is cut off")
    magic, version, crc, slot = _HEADER.unpack_from(data)
    content = data[_HEADER.size :]
    if magic != _MAGIC or _crc(slot, content) != crc:
        raise CorruptCatalogError(f"{paths[-1].name} is damaged")
    if version != _VERSION:
        raise CorruptCatalogError(f"{paths[-1].name} has format version {version}, not {_VERSION}")
    return slot, content


def _crc(slot: int, content: bytes) -> int:
    return crc32c.crc32c(content, crc32c.crc32c(slot.to_bytes(8, "little")))


def _slot_of(path: Path) -> int:
    return int(path.stem.removeprefix("catalog-"))


class _Snapshot:
    """The newest snapshot, in chunks, for another member."""

    def __init__(self, slot: int, content: bytes) -> None:
        self.slot = slot
        self.total_bytes = len(content)
        self._content = content

    def next_chunk(self) -> bytes | None:
        chunk, self._content = self._content[:CHUNK_BYTES], self._content[CHUNK_BYTES:]
        return chunk or None

    def close(self) -> None:
        self._content = b""


class CatalogMachine:
    """The state machine of the metadata group. `on_change` is called after each change; `fail(sentence)` ends the
    process: for an entry that this version cannot carry out, and for a disk that does not take a snapshot.

    Snapshots are small and written whole, so a restore that is interrupted leaves the former one in place."""

    opening: Callable[[Ballot], bytes] | None = None
    """A leadership needs none: everything is decided when it is applied."""

    def __init__(self, directory: Path, fail: Callable[[str], None]) -> None:
        self.directory = directory
        self.catalog = Catalog()
        self.slot = 0
        self.is_restoring = False
        self.holds_back = False
        self.on_change: Callable[[], None] = lambda: None
        self._fail = fail
        self._snapshot: tuple[int, bytes] | None = None  # what is on disk
        self._restored: list[bytes] = []

    def load(self) -> int:
        """Takes the newest snapshot; returns its slot, 0 without one. Raises CorruptCatalogError."""
        self._snapshot = read_snapshot(self.directory)
        if self._snapshot is not None:
            self.slot, content = self._snapshot
            self.catalog = decode_snapshot(content)
        return self.slot

    def apply(self, slot: int, payload: bytes) -> object:
        try:
            command = decode_command(payload)
        except CorruptCatalogError as error:
            self._fail(f"slot {slot} of the catalog's log cannot be applied: {error}")
            raise
        result = self.catalog.apply(command)
        self.slot = slot
        self.on_change()
        return result

    @property
    def configuration(self) -> tuple[int, Configuration] | None:
        """The metadata service's members are given in its processes' configuration, and stay."""
        return None

    def apply_configuration(self, slot: int, configuration: Configuration) -> None:
        raise ValueError(f"slot {slot} changes the members of the metadata service, which cannot be")

    def applied_no_op(self, slot: int) -> None:
        self.slot = slot

    def capture(self) -> tuple[int, bytes]:
        """(slot, content) of the catalog as it is. To be written by `write_snapshot`, then passed to `captured`."""
        return self.slot, encode_snapshot(self.catalog)

    def captured(self, slot: int, content: bytes) -> None:
        """A capture is on disk: members that lag behind are sent it from now on."""
        if self._snapshot is None or slot > self._snapshot[0]:
            self._snapshot = (slot, content)

    def open_snapshot(self) -> _Snapshot | None:
        return _Snapshot(*self._snapshot) if self._snapshot is not None else None

    def begin_restore(self, slot: int, progressed: Callable[[], None]) -> None:
        self._restored = []

    def restore_chunk(self, body: bytes, done: Callable[[], None]) -> None:
        self._restored.append(body)
        done()

    def finish_restore(self, slot: int, done: Callable[[], None]) -> None:
        content = b"".join(self._restored)
        self._restored = []
        try:
            catalog = decode_snapshot(content)
            write_snapshot(self.directory, slot, content)
        except (CorruptCatalogError, OSError) as error:
            self._fail(f"the catalog's snapshot of slot {slot} cannot be stored: {error}")
            raise
        self.catalog = catalog
        self.slot = slot
        self.captured(slot, content)
        self.on_change()
        done()
