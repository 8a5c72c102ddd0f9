"""The partition map: every position in exactly one partition."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model.limits import PARTITIONS_MAX
from server.model.partition_map import PartitionMap, even_starts

BOUNDS = "the ranges must begin at the lowest position, one for each partition"
ORDER = "the ranges must be in ascending order"


@st.composite
def partition_maps(draw: st.DrawFn) -> PartitionMap:
    later = sorted(draw(st.sets(st.binary(min_size=1, max_size=4), max_size=9)))
    ids = draw(st.lists(st.integers(100, 10**6), min_size=len(later) + 1, max_size=len(later) + 1, unique=True))
    return PartitionMap((b"", *later), tuple(ids))


@given(partition_maps(), st.data())
def test_a_position_is_in_one_partition(partitions: PartitionMap, data: st.DataObject) -> None:
    """The one whose range, from its start to before the next one's, holds it; bounds included."""
    edges = st.sampled_from([start + tail for start in partitions.starts for tail in (b"", b"\0", b"\xff")])
    position = data.draw(st.binary(max_size=5) | edges)
    ends = [*partitions.starts[1:], None]
    holding = [
        index
        for index, (start, end) in enumerate(zip(partitions.starts, ends, strict=True))
        if start <= position and (end is None or position < end)
    ]
    assert [partitions.index_of(position)] == holding
    assert partitions.partition_of(position) == partitions.partition_ids[holding[0]]


@given(partition_maps(), st.data())
def test_a_range_is_covered_from_either_end(partitions: PartitionMap, data: st.DataObject) -> None:
    """What lies just below a position is in the partition that `index_below` names; its range holds that."""
    end = data.draw(st.binary(max_size=5) | st.sampled_from(partitions.starts))
    index = partitions.index_below(end)
    start, behind = partitions.range_of(index)
    assert partitions.starts[index] == start
    assert start < end or not end
    assert not behind or (end and end <= behind)


def test_bounds_belong_to_the_later_range() -> None:
    """Ranges are half-open."""
    partitions = PartitionMap((b"", b"m"), (100, 101))
    assert partitions.partition_of(b"") == 100
    assert partitions.partition_of(b"l\xff\xff") == 100
    assert partitions.partition_of(b"m") == 101
    assert partitions.partition_of(b"\xff" * 20) == 101


@pytest.mark.parametrize(
    ("starts", "ids", "message"),
    [
        ((), (), BOUNDS),
        ((b"",), (), BOUNDS),
        ((b"",), (1, 2), BOUNDS),
        ((b"a",), (1,), BOUNDS),
        ((b"a", b"b"), (1, 2), BOUNDS),
        ((b"", b""), (1, 2), ORDER),
        ((b"", b"b", b"a"), (1, 2, 3), ORDER),
        ((b"", b"a", b"a"), (1, 2, 3), ORDER),
    ],
)
def test_ranges_with_a_gap_or_an_overlap(starts: tuple[bytes, ...], ids: tuple[int, ...], message: str) -> None:
    """Are no map."""
    with pytest.raises(ValueError, match=message):
        PartitionMap(starts, ids)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [b""]), (2, [b"", b"\x80" + bytes(15)]), (3, [b"", b"\x55" * 16, b"\xaa" * 16])],
)
def test_even_starts(count: int, expected: list[bytes]) -> None:
    """Where the hash space is cut."""
    assert list(even_starts(count)) == expected


@given(st.integers(1, PARTITIONS_MAX))
def test_even_ranges_are_equally_wide(count: int) -> None:
    """To within one position of the 2**128; they are a map's ranges."""
    starts = tuple(even_starts(count))
    assert PartitionMap(starts, tuple(range(count))).index_of(b"\xff" * 16) == count - 1
    edges = [int.from_bytes(start, "big") for start in starts] + [1 << 128]
    widths = {two - one for one, two in itertools.pairwise(edges)}
    assert max(widths) - min(widths) <= 1


@pytest.mark.parametrize("count", [0, -1])
def test_no_partition_at_all(count: int) -> None:
    """A table has one."""
    with pytest.raises(ValueError, match="at least one partition"):
        even_starts(count)
