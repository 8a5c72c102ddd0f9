"""Latencies in buckets that are 1.1 % wide: bounded memory however long a run, and sums over processes are exact."""

import math
from collections.abc import Mapping

_BUCKETS_PER_DOUBLING = 64


class Histogram:
    """Counts of durations, in seconds."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    def add(self, seconds: float) -> None:
        bucket = int(math.log2(seconds * 1e6 + 1.0) * _BUCKETS_PER_DOUBLING)
        counts = self.counts
        counts[bucket] = counts.get(bucket, 0) + 1

    def merge(self, other: "Histogram") -> None:
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def quantile(self, fraction: float) -> float:
        """The duration that `fraction` of all did not exceed, in seconds; nan when there is none."""
        rank = math.ceil(fraction * self.total)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return (math.exp2((bucket + 0.5) / _BUCKETS_PER_DOUBLING) - 1.0) / 1e6
        return math.nan
