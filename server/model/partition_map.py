"""Which partition a key belongs to: half-open ranges of range positions, without gap or overlap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionMap:
    """`starts[i]` is the first range position of `partition_ids[i]`; the first is empty, the lowest of all.

    Raises ValueError where the ranges do not cover everything in order."""

    starts: tuple[bytes, ...]
    partition_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.partition_ids) or not self.starts or self.starts[0] != b"":
            raise ValueError("the ranges must begin at the lowest position, one for each partition")
        if any(one >= two for one, two in zip(self.starts, self.starts[1:], strict=False)):
            raise ValueError("the ranges must be in ascending order")

    def index_of(self, position: bytes) -> int:
        """The index of the partition that holds a range position."""
        return bisect_right(self.starts, position) - 1

    def index_below(self, position: bytes) -> int:
        """The index of the partition that holds what comes just before a range position; empty: the last of all."""
        return bisect_left(self.starts, position) - 1 if position else len(self.starts) - 1

    def range_of(self, index: int) -> tuple[bytes, bytes]:
        """A partition's half-open range of range positions; an empty end: no bound."""
        return self.starts[index], self.starts[index + 1] if index + 1 < len(self.starts) else b""

    def partition_of(self, position: bytes) -> int:
        """The id of the partition that holds a range position."""
        return self.partition_ids[self.index_of(position)]


def even_starts(count: int) -> Sequence[bytes]:
    """The starts of `count` ranges that divide the hash space evenly."""
    if count < 1:
        raise ValueError("a table has at least one partition")
    return [b"", *(((index << 128) // count).to_bytes(16, "big") for index in range(1, count))]
