"""A partition's state as of one slot, read from the B-tree chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import lmdb

from storage_node.btree import BTree, group_key, store_error
from storage_node.codec.snapshot import ChunkKind, encode_chunk


class SnapshotReader:
    """Pins the B-tree as it is now: the items in `ranges`, of about `total_bytes`, and the group's recent writes and
    members, at `slot`.

    May be used in any one thread at a time. Until `close` the B-tree's map cannot grow.
    """

    def __init__(self, btree: BTree, group_id: int, ranges: Sequence[tuple[bytes, bytes]]) -> None:
        self._btree = btree
        self._group_id = group_id
        self._ranges = ranges
        self._txn = btree.pin()
        self._is_open = True
        try:
            row = btree.group_row(self._txn, group_id)
            self.slot, self.total_bytes = row.applied_slot, sum(size for _, size in row.sizes.values())
        except BaseException:
            self.close()
            raise

    def chunks(self, bytes_max: int) -> Iterator[bytes]:
        """Encoded chunks of about `bytes_max` bytes, or of one item where that is larger.

        Raises CorruptValueError where a checksum does not match, and StoreError: a damaged state is not passed on.
        """
        try:
            yield from self._chunks(bytes_max)
        except lmdb.Error as error:
            raise store_error("the B-tree cannot be read", error) from error

    def _chunks(self, bytes_max: int) -> Iterator[bytes]:
        recent = self._btree.row(self._txn, self._btree.recent, group_key(self._group_id))
        if recent is not None:
            yield encode_chunk(ChunkKind.RECENT_WRITES, [(b"", recent)])
        configuration = self._btree.row(self._txn, self._btree.configurations, group_key(self._group_id))
        if configuration is not None:
            yield encode_chunk(ChunkKind.CONFIGURATION, [(b"", configuration)])
        pairs: list[tuple[bytes, bytes]] = []
        size = 0
        scans = (self._btree.keys.scan(self._txn, start, end, False) for start, end in self._ranges)
        for key, item in chain.from_iterable(scans):
            pair_bytes = len(key) + len(item) + 8
            if pairs and size + pair_bytes > bytes_max:
                yield encode_chunk(ChunkKind.ITEMS, pairs)
                pairs, size = [], 0
            pairs.append((key, item))
            size += pair_bytes
        if pairs:
            yield encode_chunk(ChunkKind.ITEMS, pairs)

    def close(self) -> None:
        """Lets go of the B-tree; may be called more than once."""
        if self._is_open:
            self._is_open = False
            self._btree.unpin(self._txn)
