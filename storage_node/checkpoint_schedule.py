"""When a node moves its memtable to the B-tree."""

from __future__ import annotations

import random
from typing import Final

EARLIEST: Final = 0.6
"""A checkpoint is due at some random part, from this one to the whole, of what its limits allow. The members of a group
write the same and began at the same time: without that, all would write checkpoints at once, and nobody would be left
whose log is quick. A majority of others is quick while one is at it."""

LOG_SEGMENTS_MAX: Final = 4
"""With more than these a checkpoint is due: what is in the log has to be read at a restart."""


class CheckpointSchedule:
    """`interval_ms`, `memtable_bytes`: the limits; `segment_bytes`: of the log. Times are seconds of one clock."""

    def __init__(
        self, interval_ms: int, memtable_bytes: int, segment_bytes: int, rng: random.Random, now_s: float
    ) -> None:
        self._interval_s = interval_ms / 1000
        self._memtable_bytes = memtable_bytes
        self._log_bytes = LOG_SEGMENTS_MAX * segment_bytes
        self._rng = rng
        self.begin(now_s)

    def begin(self, now_s: float) -> None:
        """A checkpoint begins."""
        self._begun_s = now_s
        self._part = self._rng.uniform(EARLIEST, 1.0)

    def is_due(self, now_s: float, memtable_bytes: int, log_bytes: int) -> bool:
        """Whether the next one is, with so much in memory and in the log."""
        waited_s = now_s - self._begun_s
        if memtable_bytes >= self._memtable_bytes * self._part or waited_s >= self._interval_s * self._part:
            return True
        # A few keys written again and again fill the log and not the memtable.
        return log_bytes > self._log_bytes and waited_s >= self._interval_s / 10
