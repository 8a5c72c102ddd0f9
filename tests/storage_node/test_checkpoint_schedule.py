"""When a node moves its memtable to the B-tree."""

from __future__ import annotations

import random

import pytest

from storage_node.checkpoint_schedule import CheckpointSchedule


class Part(random.Random):
    """Chance always takes the same part."""

    def __init__(self, part: float) -> None:
        super().__init__(0)
        self._part = part

    def uniform(self, a: float, b: float) -> float:
        assert a <= self._part <= b
        return self._part


@pytest.mark.parametrize(
    ("part", "now_s", "memtable_bytes", "log_bytes", "is_due"),
    [
        (1.0, 129.9, 999, 400, False),
        (1.0, 130.0, 0, 0, True),
        (1.0, 100.1, 1_000, 0, True),
        (0.6, 117.9, 599, 400, False),
        (0.6, 118.0, 0, 0, True),
        (0.6, 100.0, 600, 0, True),
        (1.0, 102.9, 0, 401, False),
        (1.0, 103.0, 0, 401, True),
        (1.0, 103.0, 0, 400, False),
    ],
)
def test_when_it_is_due(part: float, now_s: float, memtable_bytes: int, log_bytes: int, is_due: bool) -> None:
    schedule = CheckpointSchedule(30_000, 1_000, 100, Part(part), 0.0)
    schedule.begin(100.0)
    assert schedule.is_due(now_s, memtable_bytes, log_bytes) is is_due


def test_members_do_not_write_theirs_at_once() -> None:
    """Three nodes that began together, and fill alike: they drift apart."""
    due: list[set[int]] = []
    for seed in range(3):
        schedule = CheckpointSchedule(30_000, 10**9, 10**9, random.Random(seed), 0.0)
        times = set()
        for second in range(600):
            if schedule.is_due(second, 0, 0):
                times.add(second)
                schedule.begin(second)
        due.append(times)
        assert 20 <= len(times) <= 33
    assert len(due[0] & due[1] & due[2]) <= 2
