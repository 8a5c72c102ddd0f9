"""The B-tree: one LMDB environment a node. Written only in synced transactions; grows by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from storage_node.codec.value import (
    CorruptValueError,
    GroupRow,
    decode_group_row,
    decode_value,
    encode_group_row,
    encode_value,
)
from storage_node.disk import free_bytes
from storage_node.overflow import PHYSICAL_KEY_BYTES_MAX, KeySpace, Transaction

FORMAT: Final = b"format"
FORMAT_VERSION: Final = b"1"
OPEN_BYTES_MIN: Final = 4 * 1024 * 1024
"""LMDB dies by SIGBUS when it opens an environment on a disk without room; below this it is not tried."""
FULL_BYTES: Final = 1024 * 1024
"""With less free than this a failed write is put down to the full disk: nothing of it counts, it may be tried again."""
GROW_WAIT_S: Final = 30.0
"""How long a write that needs a larger map waits for snapshots to be let go."""

T = TypeVar("T")

_DAMAGE: Final = (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError)
"""What LMDB raises where its file is none, or pages of it are not what they should be."""


class StoreError(Exception):
    """The B-tree cannot be used any more: the disk fails, say. A sentence for the operator."""


class DamagedStoreError(StoreError):
    """What the B-tree holds is not what was written: LMDB itself cannot make sense of it."""


class StoreFullError(OSError):
    """No room on the disk; nothing was changed, and it may be tried again."""


def store_error(sentence: str, error: lmdb.Error) -> StoreError:
    """An error of LMDB's as one of ours."""
    kind = DamagedStoreError if isinstance(error, _DAMAGE) else StoreError
    return kind(f"{sentence}: {error}")


def group_key(group_id: int) -> bytes:
    """Under which a group's rows are stored."""
    return group_id.to_bytes(8, "big")


class BTree:
    """Ordered, checksummed items, and a few rows a group.

    `get` and `scan` belong to one thread (the event loop's); `write` and what uses it may run in any other, one at a
    time. LMDB's map may only be replaced by a larger one while no transaction is open in the process: `_gate` is held
    by every reader while it reads, and pinned readers are counted.
    """

    def __init__(self, directory: Path, *, map_bytes: int, grow_wait_s: float = GROW_WAIT_S) -> None:
        self._directory = directory
        self._map_bytes = map_bytes
        self._grow_wait_s = grow_wait_s
        self._writing = threading.Lock()
        self._gate = threading.RLock()
        self._unpinned = threading.Condition(self._gate)
        self._pinned = 0
        self._env: Any = None

    def open(self) -> None:
        """Opens or creates the environment. Raises StoreError, StoreFullError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        free = free_bytes(self._directory)
        if free < OPEN_BYTES_MIN:
            raise StoreFullError(f"only {free} bytes are free on the disk of {self._directory}: too few to open it")
        try:
            # Never writemap: it dies by SIGBUS when the disk is full.
            self._env = lmdb.open(
                str(self._directory), map_size=self._map_bytes, max_dbs=8, metasync=True, sync=True, writemap=False
            )
            self._env.reader_check()
            names = (b"items", b"overflow", b"meta", b"groups", b"recent", b"descriptors", b"configurations")
            self.items, self.overflow, self.meta, self.groups, self.recent, self.descriptors, self.configurations = (
                self._env.open_db(name) for name in names
            )
        except lmdb.DiskError as error:
            raise StoreFullError(f"{self._directory}: {error}") from error
        except lmdb.Error as error:
            raise store_error(f"the B-tree in {self._directory} cannot be opened", error) from error
        self.keys = KeySpace(self.items, self.overflow, self.meta)
        version = self.read(lambda txn: self.row(txn, self.meta, FORMAT))
        if version is None:
            self.write(lambda txn: self.put_row(txn, self.meta, FORMAT, FORMAT_VERSION))
        elif version != FORMAT_VERSION:
            raise StoreError(f"the B-tree in {self._directory} has format {version.decode()}, not 1")

    def close(self) -> None:
        """Closes the environment; no reader may be at work."""
        if self._env is not None:
            self._env.close()
            self._env = None

    # Reading

    def get(self, key: bytes) -> bytes | None:
        """The key's item; raises CorruptValueError, StoreError."""
        try:
            # Read transactions are recycled by the binding: beginning one costs half a microsecond.
            with self._gate, self._env.begin() as txn:
                if len(key) >= PHYSICAL_KEY_BYTES_MAX:
                    return self.keys.get(txn, key)
                value = txn.get(key, db=self.items)
        except lmdb.Error as error:
            raise store_error("the B-tree cannot be read", error) from error
        return None if value is None else decode_value(key, value)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """`work` on a read transaction, in any thread. Raises StoreError, and what `work` raises."""
        try:
            with self._gate, self._env.begin() as txn:
                return work(txn)
        except lmdb.Error as error:
            raise store_error("the B-tree cannot be read", error) from error

    def scan(self, start: bytes, end: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        """(key, item) of every `start` <= key < `end` in order. To be consumed at once: it holds a transaction open."""
        try:
            with self._gate, self._env.begin() as txn:
                yield from self.keys.scan(txn, start, end, reverse)
        except lmdb.Error as error:
            raise store_error("the B-tree cannot be read", error) from error

    def pin(self) -> Transaction:
        """A read transaction that may stay open for long; ends with `unpin`."""
        with self._gate:
            self._pinned += 1
            return self._env.begin()

    def unpin(self, txn: Transaction) -> None:
        with self._gate:
            txn.abort()
            self._pinned -= 1
            self._unpinned.notify_all()

    # Writing

    def write(self, work: Callable[[Transaction], T]) -> T:
        """`work` in a write transaction, synced; once more from the start after the map has grown.

        Raises StoreFullError (nothing has changed), StoreError (nothing can be trusted to have changed or not)."""
        with self._writing:
            if self.used_bytes * 2 > self.map_bytes:
                self._grow(wait_s=0)
            while True:
                try:
                    with self._env.begin(write=True) as txn:
                        return work(txn)
                except lmdb.MapFullError:
                    if not self._grow(wait_s=self._grow_wait_s):
                        raise StoreFullError("the B-tree's map is full and a snapshot keeps it from growing") from None
                except lmdb.Error as error:
                    # LMDB reports a write cut short by a full disk as an input/output error.
                    if isinstance(error, lmdb.DiskError) or free_bytes(self._directory) < FULL_BYTES:
                        raise StoreFullError(f"the B-tree cannot be written: {error}") from error
                    raise store_error("the B-tree cannot be written", error) from error

    @property
    def map_bytes(self) -> int:
        """Size of LMDB's map; a limit on the data, not what it takes on the disk."""
        size: int = self._env.info()["map_size"]
        return size

    @property
    def used_bytes(self) -> int:
        """How much of the map has ever been used."""
        page_bytes: int = self._env.stat()["psize"]
        return (int(self._env.info()["last_pgno"]) + 1) * page_bytes

    def _grow(self, wait_s: float) -> bool:
        """Doubles the map once no reader is pinned; whether it did. Requires that no write transaction is open."""
        with self._gate:
            if not self._unpinned.wait_for(lambda: self._pinned == 0, wait_s):
                return False
            self._env.set_mapsize(self.map_bytes * 2)
            return True

    # Rows

    @staticmethod
    def row(txn: Transaction, db: object, key: bytes) -> bytes | None:
        """A small checksummed row."""
        value = txn.get(key, db=db)
        return None if value is None else decode_value(key, value)

    @staticmethod
    def put_row(txn: Transaction, db: object, key: bytes, data: bytes) -> None:
        txn.put(key, encode_value(key, data), db=db)

    def group_row(self, txn: Transaction, group_id: int) -> GroupRow:
        """The group's row; that of an unknown group is all zeros."""
        data = self.row(txn, self.groups, group_key(group_id))
        return GroupRow() if data is None else decode_group_row(data)

    def put_group_row(self, txn: Transaction, group_id: int, row: GroupRow) -> None:
        self.put_row(txn, self.groups, group_key(group_id), encode_group_row(row))

    def all_rows(self, db: object) -> dict[int, bytes]:
        """Group id -> row; raises CorruptValueError."""
        return self.read(
            lambda txn: {
                int.from_bytes(key, "big"): decode_value(key, value) for key, value in txn.cursor(db=db).iternext()
            }
        )


__all__ = ["BTree", "CorruptValueError", "DamagedStoreError", "StoreError", "StoreFullError", "group_key"]
