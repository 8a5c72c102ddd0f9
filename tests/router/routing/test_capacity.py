"""Capacity units: rounding, minimum, halves."""

from __future__ import annotations

import pytest

from router.routing.capacity import read_units, size_range_gb, write_units

GB = 1024**3


@pytest.mark.parametrize(
    ("size", "consistent", "eventual"),
    [(0, 1, 0.5), (1, 1, 0.5), (4096, 1, 0.5), (4097, 2, 1), (8192, 2, 1), (8193, 3, 1.5), (409_600, 100, 50)],
)
def test_reads(size: int, consistent: float, eventual: float) -> None:
    """4 KB a unit, rounded up; nothing costs one as well; half of that where stale data will do."""
    assert read_units(size, is_consistent=True) == consistent
    assert read_units(size, is_consistent=False) == eventual


@pytest.mark.parametrize(
    ("old", "new", "units"), [(0, 0, 1), (0, 1024, 1), (0, 1025, 2), (1025, 1, 2), (2048, 2049, 3), (409_600, 0, 400)]
)
def test_writes(old: int, new: int, units: float) -> None:
    """1 KB a unit of the larger of both."""
    assert write_units(old, new) == units


@pytest.mark.parametrize(("size", "expected"), [(0, (0, 1)), (GB - 1, (0, 1)), (GB, (1, 2)), (7 * GB + 5, (7, 8))])
def test_estimates_of_collections(size: int, expected: tuple[float, float]) -> None:
    """Two whole numbers of GB that the size is between."""
    assert size_range_gb(size) == expected
