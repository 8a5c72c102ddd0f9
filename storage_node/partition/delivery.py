"""What is on its way from a partition to the partitions of one of its indexes.

Changes are read once, in the order of slots, and wait apart for each target. One batch at a time is under way to each:
what comes meanwhile is in the next one. All entries of a slot that a target is to have are in one batch, since a target
takes nothing of a slot that it has been told of before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from server.model.partition_map import PartitionMap
from storage_node.codec.change import EntryChange
from storage_node.codec.index_batch import BatchEntry, IndexBatch, entry_bytes

BATCH_BYTES_MAX: Final = 512 * 1024
"""A batch is closed once it holds this much."""

WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
"""With so much read and not taken nothing more is read: one target that takes nothing does not fill the memory."""


class Delivery:
    """From the partition `source`, of whose changes all targets have what concerns them up to `taken_slot`.

    `waiting_bytes`: read, and not taken yet."""

    def __init__(self, source: int, targets: PartitionMap, taken_slot: int) -> None:
        self.targets = targets
        self.read_slot = taken_slot
        self._source = source
        self._waiting: dict[int, deque[BatchEntry]] = {each: deque() for each in targets.partition_ids}
        self._under_way: dict[int, int] = {}  # target -> how many of the first that wait for it
        self.waiting_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether more changes may be read."""
        return self.waiting_bytes < WAITING_BYTES_MAX

    @property
    def taken_slot(self) -> int:
        """Every target has everything up to there."""
        return min((waiting[0].slot - 1 for waiting in self._waiting.values() if waiting), default=self.read_slot)

    def read(self, changes: Iterable[tuple[int, Sequence[EntryChange]]], up_to_slot: int) -> None:
        """Takes changes, all that there are behind `read_slot` up to `up_to_slot`, in the order of slots."""
        for slot, entries in changes:
            assert self.read_slot < slot <= up_to_slot, "changes are read once, in their order"
            for _, position, item in entries:
                entry = BatchEntry(slot, position, item)
                self._waiting[self.targets.partition_of(position)].append(entry)
                self.waiting_bytes += entry_bytes(entry)
        self.read_slot = up_to_slot

    def idle(self) -> list[int]:
        """The targets for which something waits, and to which nothing is under way."""
        return [each for each, waiting in self._waiting.items() if waiting and each not in self._under_way]

    def next_batch(self, target: int) -> IndexBatch:
        """What is to be sent to a target that is `idle`; it is under way then."""
        waiting, size, entries = self._waiting[target], 0, list[BatchEntry]()
        for entry in waiting:
            if size >= BATCH_BYTES_MAX and entry.slot != entries[-1].slot:
                break
            entries.append(entry)
            size += entry_bytes(entry)
        self._under_way[target] = len(entries)
        return IndexBatch(self._source, entries[-1].slot, tuple(entries))

    def ended(self, target: int, *, is_taken: bool) -> None:
        """The batch under way to a target was taken, or is to be sent again."""
        count = self._under_way.pop(target)
        if is_taken:
            waiting = self._waiting[target]
            self.waiting_bytes -= sum(entry_bytes(waiting.popleft()) for _ in range(count))
