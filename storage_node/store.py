"""The storage engine of a node: a memtable over the B-tree, for all its groups.

Committed writes go into the memtable; from time to time it is frozen and written to the B-tree in one synced
transaction together with the slots that it stands for. What was not is applied again from the log after a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from server.model.key_encoding import CHANGES, index_number, own_rows, table_number
from server.paxos.quorum import Configuration, decode_configuration, encode_configuration
from storage_node.btree import GROW_WAIT_S, BTree, CorruptValueError, StoreError, StoreFullError, group_key
from storage_node.codec.change import encode_change
from storage_node.codec.mutation import Mutation
from storage_node.codec.snapshot import ChunkKind, CorruptChunkError, decode_chunk
from storage_node.codec.stream_record import encode_stream_record, sequence_of
from storage_node.codec.value import GroupRow, Size
from storage_node.memtable import GroupState, Memtable
from storage_node.overflow import PACE_S, Pace, Transaction
from storage_node.partition.recent_writes import RecentWrites
from storage_node.partition.streams import record_key
from storage_node.snapshots import SnapshotReader

__all__ = [
    "Checkpoint",
    "CorruptChunkError",
    "CorruptValueError",
    "Store",
    "StoreError",
    "StoreFullError",
]

OVERLOADED_FACTOR: Final = 3
"""With so many times the memtable's limit not yet in the B-tree, writes are to be refused."""


LEISURELY_PACE_S: Final = 0.001
"""How long the thread that writes a checkpoint rests after each bit of work: it gets a sixth of the interpreter's time,
of which the event loop has the rest."""

_SLOT: Final = struct.Struct("<Q")  # of the configuration entry, before its payload

Ranges = Sequence[tuple[bytes, bytes]]
"""Half-open ranges of keys: a group's, one for its table and for each of the table's indexes."""


def change_key(key: bytes, partition_id: int, slot: int) -> bytes:
    """Under which the change of a slot is stored; `key`: any one of the table's."""
    return own_rows(table_number(key), CHANGES, partition_id) + slot.to_bytes(8, "big")


class _Counts:
    """How the number and size of a group's items change, by index."""

    def __init__(self) -> None:
        self._changes: dict[int, tuple[int, int]] = {}

    def count(self, key: bytes, item: bytes | None, old_bytes: int) -> None:
        """`old_bytes`: of the item that was under the key before, -1: there was none."""
        number = index_number(key)
        items, size = self._changes.get(number, (0, 0))
        added = (item is not None) - (old_bytes >= 0)
        growth = (len(item) if item is not None else 0) - max(old_bytes, 0) + added * len(key)
        self._changes[number] = (items + added, size + growth)

    def added_to(self, sizes: Mapping[int, Size]) -> dict[int, Size]:
        totals = dict(sizes)
        for number, (items, size) in self._changes.items():
            old_items, old_size = totals.pop(number, (0, 0))
            if items + old_items:
                totals[number] = (old_items + items, old_size + size)
        return totals


@dataclass(slots=True)
class Checkpoint:
    """A frozen memtable, the slots whose state it completes, and once it is written the groups' new sizes."""

    memtable: Memtable
    groups: list[tuple[int, GroupState, int, bytes | None, bytes]]
    """(group id, group, applied slot, recent writes as of that slot if there was one, row of its members)."""
    sizes: dict[int, Mapping[int, Size]] = field(default_factory=dict)
    """Group id -> index number -> (items, bytes)."""


class Store:
    """Requires `open` first. Unless it says otherwise a method belongs to the event loop's thread and does not block.

    Those that write to the B-tree block and belong to one worker thread; they raise StoreFullError when there is no
    room (nothing has changed then) and StoreError when the disk fails.
    """

    def __init__(
        self, directory: Path, *, map_bytes: int, memtable_bytes: int, grow_wait_s: float = GROW_WAIT_S
    ) -> None:
        self.memtable_bytes_max = memtable_bytes
        self._btree = BTree(directory, map_bytes=map_bytes, grow_wait_s=grow_wait_s)
        self._groups: dict[int, GroupState] = {}
        self._live = Memtable()
        self._frozen: Memtable | None = None
        self._checkpoint: Checkpoint | None = None
        self._emptied: set[int] = set()  # groups whose former state is gone: chunks of a snapshot may come

    def open(self) -> None:
        """Opens or creates the B-tree; blocking. Raises StoreError, StoreFullError, CorruptValueError."""
        self._btree.open()
        self._groups.clear()
        for group_id in self._btree.all_rows(self._btree.groups):
            row = self._btree.read(lambda txn, group_id=group_id: self._btree.group_row(txn, group_id))  # type: ignore[misc]
            self._groups[group_id] = GroupState(row.applied_slot, row.sizes, row.is_restoring)
        for group_id, data in self._btree.all_rows(self._btree.configurations).items():
            self._groups[group_id].configuration = data

    def close(self) -> None:
        """Closes the B-tree; what is in the memtable only is in the log."""
        self._btree.close()

    # Reading

    def get(self, key: bytes) -> bytes | None:
        """The key's item as of the last mutation applied. Raises CorruptValueError, StoreError."""
        entry = self._live.entries.get(key)
        if entry is None and self._frozen is not None:
            entry = self._frozen.entries.get(key)
        if entry is not None and not entry[0].is_void:
            return entry[1]
        return self._btree.get(key)

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """(key, item) of every `start` <= key < `end` in order, backwards if `reverse`.

        To be consumed, or dropped, before anything else is done with the store. Raises CorruptValueError, StoreError.
        """
        merged: Iterator[tuple[bytes, bytes | None]] = self._btree.scan(start, end, reverse)
        for memtable in (self._frozen, self._live):
            if memtable is not None and memtable.entries:
                merged = _merge(memtable.scan(start, end, reverse), merged, reverse)
        for key, item in merged:
            if item is not None:
                yield key, item

    def stored(self, ranges: Ranges) -> list[tuple[bytes, bytes]]:
        """(key, item) of all that the B-tree has there, in order. Blocking, in any thread; what is in the memtable only
        is left out. Raises CorruptValueError, StoreError."""

        def read(txn: Transaction) -> list[tuple[bytes, bytes]]:
            return [pair for start, end in ranges for pair in self._btree.keys.scan(txn, start, end, False)]

        return self._btree.read(read)

    # Applying

    def apply(self, group_id: int, slot: int, mutation: Mutation) -> bool:
        """Carries out the mutation of a committed slot, unless it is not to be (RecentWrites says which); whether it
        was. Slots of a group come in order."""
        group = self._advance(group_id, slot)
        recent = group.recent
        if recent is None:
            recent = self.recent_writes(group_id)
        if not recent.admit(mutation.token, slot, mutation.time_ms, mutation.origin, mutation.result):
            return False
        self._live.put(group, mutation.key, mutation.item)
        for key, item in mutation.more:
            self._live.put(group, key, item)
        if mutation.change is not None:
            self._live.put(group, change_key(mutation.key, group_id, slot), encode_change(mutation.change))
        for place, record in enumerate(mutation.records):
            row_key = record_key(table_number(mutation.key), group_id, record.number, sequence_of(slot, place))
            self._live.put(group, row_key, encode_stream_record(record))
        return True

    def apply_no_op(self, group_id: int, slot: int) -> None:
        """A committed slot that changes nothing."""
        self._advance(group_id, slot)

    def apply_configuration(self, group_id: int, slot: int, configuration: Configuration) -> None:
        """A committed slot that changes who the group's members are."""
        group = self._advance(group_id, slot)
        group.configuration = _SLOT.pack(slot) + encode_configuration(configuration)

    def configuration(self, group_id: int) -> tuple[int, Configuration] | None:
        """(slot, members) as last applied; None: they are the first ones."""
        group = self._groups.get(group_id)
        if group is None or not group.configuration:
            return None
        (slot,) = _SLOT.unpack_from(group.configuration)
        return slot, decode_configuration(group.configuration[_SLOT.size :])

    def _advance(self, group_id: int, slot: int) -> GroupState:
        group = self._groups.get(group_id)
        if group is None:
            group = self._groups[group_id] = GroupState()
        if slot <= group.applied_slot:
            raise ValueError(f"group {group_id}: slot {slot} is applied after slot {group.applied_slot}")
        group.applied_slot = slot
        return group

    def applied_slot(self, group_id: int) -> int:
        """The last slot applied, 0 for an unknown group."""
        group = self._groups.get(group_id)
        return 0 if group is None else group.applied_slot

    def checkpointed_slot(self, group_id: int) -> int:
        """The slot whose state the B-tree holds durably, 0 for an unknown group."""
        group = self._groups.get(group_id)
        return 0 if group is None else group.checkpointed_slot

    def size(self, group_id: int) -> tuple[int, int]:
        """(items, bytes) of the group as of its last checkpoint, without those of indexes."""
        return self.sizes(group_id).get(0, (0, 0))

    def sizes(self, group_id: int) -> Mapping[int, Size]:
        """By number of the index, 0 for the table itself: (items, bytes) as of the group's last checkpoint."""
        group = self._groups.get(group_id)
        return {} if group is None else group.sizes

    def recent_writes(self, group_id: int) -> RecentWrites:
        """The tokens of the group's last writes; reads the B-tree the first time."""
        group = self._groups.get(group_id)
        if group is None:
            group = self._groups[group_id] = GroupState()
        if group.recent is None:
            data = self._btree.read(lambda txn: self._btree.row(txn, self._btree.recent, group_key(group_id)))
            group.recent = RecentWrites() if data is None else RecentWrites.decode(data)
        return group.recent

    @property
    def memtable_bytes(self) -> int:
        """Memory that holds writes which the B-tree does not have yet."""
        return self._live.bytes + (0 if self._frozen is None else self._frozen.bytes)

    @property
    def is_overloaded(self) -> bool:
        """Checkpoints do not keep up: no more writes should be proposed."""
        return self.memtable_bytes > OVERLOADED_FACTOR * self.memtable_bytes_max

    # Checkpoints

    def freeze_for_checkpoint(self) -> Checkpoint | None:
        """What the B-tree lacks, frozen; None if it lacks nothing. One that was abandoned is given out again."""
        if self._checkpoint is not None:
            return self._checkpoint
        groups = [
            (
                group_id,
                group,
                group.applied_slot,
                None if group.recent is None else group.recent.encode(),
                group.configuration,
            )
            for group_id, group in self._groups.items()
            if group.applied_slot > group.checkpointed_slot
        ]
        if not groups:
            # What the memtable holds then is all of dropped groups.
            self._live = Memtable()
            return None
        self._checkpoint = Checkpoint(self._live, groups)
        self._frozen, self._live = self._live, Memtable()
        return self._checkpoint

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Writes it in one synced transaction. In the worker thread; sleeps in between, for the loop's sake."""
        checkpoint.sizes = self._btree.write(lambda txn: self._write(txn, checkpoint))

    def _write(self, txn: Transaction, checkpoint: Checkpoint) -> dict[int, Mapping[int, Size]]:
        btree, keys, pace = self._btree, self._btree.keys, Pace(self._rest_s)
        counts = {id(group): _Counts() for _, group, *_ in checkpoint.groups}
        for key, (group, item) in checkpoint.memtable.entries.items():
            pace.step()
            if group.is_void:
                continue
            old_bytes = keys.delete(txn, key) if item is None else keys.put(txn, key, item)
            counts[id(group)].count(key, item, old_bytes)
        totals: dict[int, Mapping[int, Size]] = {}
        for group_id, group, slot, recent, configuration in checkpoint.groups:
            if group.is_void:
                continue
            total = counts[id(group)].added_to(btree.group_row(txn, group_id).sizes)
            btree.put_group_row(txn, group_id, GroupRow(slot, total))
            if recent is not None:
                btree.put_row(txn, btree.recent, group_key(group_id), recent)
            if configuration:
                btree.put_row(txn, btree.configurations, group_key(group_id), configuration)
            totals[group_id] = total
            pace.step()
        return totals

    def _rest_s(self) -> float:
        """A checkpoint takes its time, unless the next one comes near meanwhile."""
        return PACE_S if self._live.bytes * 2 > self.memtable_bytes_max else LEISURELY_PACE_S

    def finish_checkpoint(self, checkpoint: Checkpoint) -> None:
        """After it was written: reads go to the B-tree."""
        self._frozen = self._checkpoint = None
        for group_id, group, slot, *_ in checkpoint.groups:
            if not group.is_void:
                group.checkpointed_slot = slot
                group.sizes = checkpoint.sizes[group_id]

    def abandon_checkpoint(self, checkpoint: Checkpoint) -> None:
        """After it could not be written: it stays in memory, frozen, to be given out again."""
        assert checkpoint is self._checkpoint

    # Groups

    def put_descriptor(self, group_id: int, descriptor: bytes) -> None:
        """Keeps what a group is. In the worker thread; durable on return."""
        self._btree.write(
            lambda txn: self._btree.put_row(txn, self._btree.descriptors, group_key(group_id), descriptor)
        )

    def delete_descriptor(self, group_id: int) -> None:
        """Removes all rows of a group. In the worker thread; durable on return."""

        def delete(txn: Transaction) -> None:
            btree = self._btree
            for db in (btree.descriptors, btree.groups, btree.recent, btree.configurations):
                txn.delete(group_key(group_id), db=db)

        self._btree.write(delete)

    def all_descriptors(self) -> dict[int, bytes]:
        """Group id -> descriptor. Blocking; raises CorruptValueError."""
        return self._btree.all_rows(self._btree.descriptors)

    def forget(self, group_id: int) -> None:
        """Drops a group from memory; its items and rows stay in the B-tree until they are deleted."""
        group = self._groups.pop(group_id, None)
        if group is not None:
            group.is_void = True
        self._emptied.discard(group_id)

    def delete_range(self, start: bytes, end: bytes, items_max: int) -> bool:
        """Removes up to `items_max` items of `start` <= key < `end` from the B-tree; whether that was all.

        In the worker thread, synced. The memtable must hold none of them: `forget` or `begin_restore` the group first.
        """
        return self._btree.write(lambda txn: self._btree.keys.delete_range(txn, start, end, items_max))

    # Snapshots

    def read_snapshot(self, group_id: int, ranges: Ranges) -> SnapshotReader:
        """The group's state as of its last checkpoint; `close` it."""
        return SnapshotReader(self._btree, group_id, ranges)

    def is_restoring(self, group_id: int) -> bool:
        """Whether a snapshot was begun to be installed and not finished, perhaps before a restart."""
        group = self._groups.get(group_id)
        return group is not None and group.is_restoring

    def begin_restore(self, group_id: int) -> None:
        """Gives the group's state up, to put a snapshot in its place: `remove_former` has to remove what there is of it
        before that is stored. In the worker thread; durable on return.

        Until `finish_restore`, also after a crash, the group is restoring: it has no state to serve. Its row keeps the
        slot of the former state: the log has been trimmed to it, and without it would seem to have a hole. What is
        known of the members stays known: a member that votes meanwhile must not help one that has left.
        """
        old = self._groups.get(group_id)
        slot = 0 if old is None else old.checkpointed_slot
        group = self._groups[group_id] = GroupState(slot, is_restoring=True)
        if old is not None:
            old.is_void = True
            group.configuration = old.configuration

        def begin(txn: Transaction) -> None:
            btree = self._btree
            btree.put_group_row(txn, group_id, GroupRow(slot, is_restoring=True))
            txn.delete(group_key(group_id), db=btree.recent)
            if group.configuration:
                btree.put_row(txn, btree.configurations, group_key(group_id), group.configuration)

        self._emptied.discard(group_id)
        self._btree.write(begin)

    def remove_former(self, group_id: int, ranges: Ranges, items_max: int) -> bool:
        """Removes up to `items_max` items of a state that was given up; whether none are left, and the snapshot may be
        stored. In the worker thread, synced."""
        for start, end in ranges:
            if not self.delete_range(start, end, items_max):
                return False
        self._emptied.add(group_id)
        return True

    def restore_chunks(self, group_id: int, chunks: Sequence[bytes]) -> None:
        """Stores chunks of a snapshot (an empty one is none), in their order, in one transaction. In the worker thread;
        durable on return.

        Raises CorruptChunkError, and then nothing of them is stored; StoreFullError also while there is something left
        of the former state.
        """
        if group_id not in self._emptied:
            raise StoreFullError("what the snapshot replaces has not been removed")
        decoded = [decode_chunk(chunk) for chunk in chunks if chunk]
        btree = self._btree

        def restore(txn: Transaction) -> None:
            pace = Pace()
            row = btree.group_row(txn, group_id)
            counts = _Counts()
            for kind, pairs in decoded:
                if kind is not ChunkKind.ITEMS:
                    db = btree.recent if kind is ChunkKind.RECENT_WRITES else btree.configurations
                    for _, data in pairs:
                        btree.put_row(txn, db, group_key(group_id), data)
                    continue
                for key, item in pairs:
                    counts.count(key, item, btree.keys.put(txn, key, item))
                    pace.step()
            sizes = counts.added_to(row.sizes)
            btree.put_group_row(txn, group_id, GroupRow(row.applied_slot, sizes, is_restoring=True))

        if decoded:
            btree.write(restore)

    def finish_restore(self, group_id: int, slot: int) -> None:
        """The group's state is now the snapshot's, as of `slot`. In the worker thread; durable on return. Raises
        StoreFullError as `restore_chunk` does."""
        if group_id not in self._emptied:
            raise StoreFullError("what the snapshot replaces has not been removed")

        def finish(txn: Transaction) -> tuple[GroupRow, bytes | None]:
            row = self._btree.group_row(txn, group_id)
            self._btree.put_group_row(txn, group_id, GroupRow(slot, row.sizes))
            return row, self._btree.row(txn, self._btree.configurations, group_key(group_id))

        row, configuration = self._btree.write(finish)
        self._groups[group_id] = GroupState(slot, row.sizes)
        self._groups[group_id].configuration = configuration or b""


def _merge(
    newer: Iterator[tuple[bytes, bytes | None]], older: Iterator[tuple[bytes, bytes | None]], reverse: bool
) -> Iterator[tuple[bytes, bytes | None]]:
    """Both in order; where both have a key, the newer's."""
    new, old = next(newer, None), next(older, None)
    while new is not None and old is not None:
        if new[0] == old[0]:
            yield new
            new, old = next(newer, None), next(older, None)
        elif (new[0] < old[0]) != reverse:
            yield new
            new = next(newer, None)
        else:
            yield old
            old = next(older, None)
    if new is not None:
        yield new
        yield from newer
    elif old is not None:
        yield old
        yield from older
