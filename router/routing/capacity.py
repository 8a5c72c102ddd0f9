"""Capacity units by DynamoDB's rules (developer guide, "Read and write operations")."""

from __future__ import annotations

RCU_BYTES = 4096
WCU_BYTES = 1024


def read_units(size: int, *, is_consistent: bool) -> float:
    """Of a read of `size` bytes: 4 KB a unit, rounded up, at least one; half where stale data will do."""
    units = max(1, -(-size // RCU_BYTES))
    return float(units) if is_consistent else units / 2


def write_units(old_bytes: int, new_bytes: int) -> float:
    """Of a write: 1 KB a unit of the larger of what was there and what is there now, rounded up, at least one."""
    return float(max(1, -(-max(old_bytes, new_bytes) // WCU_BYTES)))


def size_range_gb(size: int) -> tuple[float, float]:
    """An item collection's size as ItemCollectionMetrics estimates it: between two whole numbers of GB."""
    whole = size // 1024**3
    return float(whole), float(whole + 1)
