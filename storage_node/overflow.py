"""Keys of any length, exactly and in order, over LMDB, whose keys end at 511 bytes.

A key shorter than 511 bytes is stored as it is. Of a longer one the first 511 bytes are a *pointer*: its value is the
8-byte number of a bucket, and the rest of the key is looked up in the overflow database behind that number; there the
same rule holds again, so three levels take keys of 1,500 bytes. A pointer stands where its keys belong in the order,
and a key of fewer than 511 bytes is never a pointer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from storage_node.codec.value import VALUE_HEADER_BYTES, decode_value, encode_value

PHYSICAL_KEY_BYTES_MAX: Final = 511
BUCKET_BYTES: Final = 8
NEXT_BUCKET: Final = b"next_bucket"
PACE_ITEMS: Final = 16
"""Writing threads look at the clock after so many items, and rest after `PACE_BUSY_S` of work."""
PACE_BUSY_S: Final = 0.0002
PACE_S: Final = 0.0002
"""How long they rest where somebody waits for them."""

Transaction = Any
"""lmdb.Transaction; the package has no type hints."""


class Pace:
    """Keeps a writing thread from holding the interpreter lock against the event loop: call `step` after each item.
    `rest_s()`: for how long to rest."""

    __slots__ = ("_items", "_rest_s", "_since")

    def __init__(self, rest_s: Callable[[], float] = lambda: PACE_S) -> None:
        self._rest_s = rest_s
        self._items = 0
        self._since = time.perf_counter()

    def step(self) -> None:
        self._items += 1
        if self._items % PACE_ITEMS == 0 and time.perf_counter() - self._since > PACE_BUSY_S:
            time.sleep(self._rest_s())
            self._since = time.perf_counter()


class KeySpace:
    """An ordered map from keys to items in three LMDB databases: items, overflow and meta (for the bucket numbers).

    Every method works inside the transaction that it is given and may raise CorruptValueError.
    """

    def __init__(self, items: object, overflow: object, meta: object) -> None:
        self._items = items
        self._overflow = overflow
        self._meta = meta

    def get(self, txn: Transaction, key: bytes) -> bytes | None:
        """The key's item, its checksum verified."""
        db, physical = self._items, key
        while len(physical) >= PHYSICAL_KEY_BYTES_MAX:
            head = physical[:PHYSICAL_KEY_BYTES_MAX]
            pointer = txn.get(head, db=db)
            if pointer is None:
                return None
            db, physical = self._overflow, decode_value(head, pointer) + physical[PHYSICAL_KEY_BYTES_MAX:]
        value = txn.get(physical, db=db)
        return None if value is None else decode_value(physical, value)

    def put(self, txn: Transaction, key: bytes, item: bytes) -> int:
        """Stores the item; the size of the one it replaces, or -1."""
        db, physical = self._items, key
        while len(physical) >= PHYSICAL_KEY_BYTES_MAX:
            head = physical[:PHYSICAL_KEY_BYTES_MAX]
            pointer = txn.get(head, db=db)
            if pointer is None:
                bucket = self._new_bucket(txn)
                txn.put(head, encode_value(head, bucket), db=db)
            else:
                bucket = decode_value(head, pointer)
            db, physical = self._overflow, bucket + physical[PHYSICAL_KEY_BYTES_MAX:]
        old = txn.get(physical, db=db)
        txn.put(physical, encode_value(physical, item), db=db)
        return -1 if old is None else len(old) - VALUE_HEADER_BYTES

    def delete(self, txn: Transaction, key: bytes) -> int:
        """Removes the key's item; its size, or -1 if there is none."""
        path = []
        db, physical = self._items, key
        while len(physical) >= PHYSICAL_KEY_BYTES_MAX:
            head = physical[:PHYSICAL_KEY_BYTES_MAX]
            pointer = txn.get(head, db=db)
            if pointer is None:
                return -1
            bucket = decode_value(head, pointer)
            path.append((db, head, bucket))
            db, physical = self._overflow, bucket + physical[PHYSICAL_KEY_BYTES_MAX:]
        old = txn.pop(physical, db=db)
        if old is None:
            return -1
        cursor = txn.cursor(db=self._overflow) if path else None
        for pointer_db, head, bucket in reversed(path):
            assert cursor is not None
            if cursor.set_range(bucket) and cursor.key().startswith(bucket):
                break
            txn.delete(head, db=pointer_db)
        return len(old) - VALUE_HEADER_BYTES

    def delete_range(self, txn: Transaction, start: bytes, end: bytes, items_max: int) -> bool:
        """Removes up to `items_max` keys of `start` <= key < `end`; whether none is left. Values are not verified."""
        found: list[bytes] = []
        for key, _ in self._walk(txn, self._items, b"", b"", start, end, reverse=False, is_verified=False):
            if len(found) == items_max:
                break
            found.append(key)
        pace = Pace()
        for key in found:
            self.delete(txn, key)
            pace.step()
        return len(found) < items_max

    def scan(self, txn: Transaction, start: bytes, end: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        """(key, item) of every `start` <= key < `end` in order, checksums verified."""
        return self._walk(txn, self._items, b"", b"", start, end, reverse=reverse, is_verified=True)

    def _new_bucket(self, txn: Transaction) -> bytes:
        value = txn.get(NEXT_BUCKET, db=self._meta)
        bucket = bytes(BUCKET_BYTES) if value is None else decode_value(NEXT_BUCKET, value)
        following = (int.from_bytes(bucket, "big") + 1).to_bytes(BUCKET_BYTES, "big")
        txn.put(NEXT_BUCKET, encode_value(NEXT_BUCKET, following), db=self._meta)
        return bucket

    def _walk(
        self,
        txn: Transaction,
        db: object,
        bucket: bytes,
        base: bytes,
        low: bytes,
        high: bytes | None,
        *,
        reverse: bool,
        is_verified: bool,
    ) -> Iterator[tuple[bytes, bytes]]:
        """One level: the keys `base + part` whose physical keys are `bucket + part`, for `low` <= part < `high`.

        Parts of pointers are exactly `head_bytes` long and stand for longer ones; all others are shorter."""
        head_bytes = PHYSICAL_KEY_BYTES_MAX - len(bucket)
        low_head = low[:head_bytes]
        for physical, value in self._physical(txn, db, bucket, low_head, high, head_bytes, reverse):
            part = physical[len(bucket) :]
            if len(physical) < PHYSICAL_KEY_BYTES_MAX:
                yield base + part, decode_value(physical, value) if is_verified else value
                continue
            yield from self._walk(
                txn,
                self._overflow,
                decode_value(physical, value),
                base + part,
                low[head_bytes:] if part == low_head else b"",
                high[head_bytes:] if high is not None and high[:head_bytes] == part else None,
                reverse=reverse,
                is_verified=is_verified,
            )

    @staticmethod
    def _physical(
        txn: Transaction, db: object, bucket: bytes, low: bytes, high: bytes | None, head_bytes: int, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """(physical key, value) in order, from `bucket + low` up to those below `bucket + high` (None: all)."""
        cursor = txn.cursor(db=db)
        first, skip = bucket + low, len(bucket)
        if not reverse:
            if not cursor.set_range(first):
                return
            for physical, value in cursor.iternext():
                if not physical.startswith(bucket) or (high is not None and physical[skip:] >= high):
                    return
                yield physical, value
            return
        # The first key at or behind the end, then one back; a pointer that begins like `high` may hold keys below it.
        if high is not None:
            seek = bucket + high[:head_bytes]
        else:
            seek = (int.from_bytes(bucket, "big") + 1).to_bytes(BUCKET_BYTES, "big")
        if cursor.set_range(seek):
            if (high is None or cursor.key() >= bucket + high) and not cursor.prev():
                return
        elif not cursor.last():
            return
        for physical, value in cursor.iterprev():
            if not physical.startswith(bucket) or physical < first:
                return
            yield physical, value
