"""Whom faults mean, and what a flipped bit is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from stator.descriptions import ClusterDescription, PartitionDescription
from stator.gameday.faults import FaultError, flip_bit, resolve

from tests.clients.gameday.test_watcher import WHOLE, led_by


def led(*leaders: int) -> ClusterDescription:
    """Partitions of the table, each led by one of three nodes (0: by nobody), and one of another table."""
    other = replace(led_by(3), table_name="other")
    partitions: list[PartitionDescription] = [led_by(leader) for leader in leaders]
    return ClusterDescription(WHOLE.nodes, (*partitions, other, other))


@pytest.mark.parametrize(
    ("word", "leaders", "expected"),
    [
        ("leader", (1,), "storage-1"),
        ("leader", (1, 2, 2), "storage-2"),
        ("leader", (1, 2, 3), "storage-3"),
        ("follower", (1,), "storage-2"),
        ("follower", (2, 1, 1), "storage-3"),
        ("leader", (0, 2), "storage-2"),
        ("router-1", (1,), "router-1"),
        ("zone-2", (1,), "zone-2"),
    ],
)
def test_whom_a_word_means(word: str, leaders: tuple[int, ...], expected: str) -> None:
    """The node that leads most partitions of the table, or fewest; other tables do not count."""
    assert resolve(word, led(*leaders), "t") == expected


def test_nobody_is_meant() -> None:
    """Then the fault cannot happen, which is told."""
    with pytest.raises(FaultError, match="nobody leads"):
        resolve("leader", led(0), "t")
    with pytest.raises(FaultError, match="nobody leads"):
        resolve("follower", led(), "t")
    with pytest.raises(FaultError, match="has not been seen"):
        resolve("leader", None, "t")


def test_one_bit_flips_in_the_newest_segment_that_has_enough(tmp_path: Path) -> None:
    """In a value of this run, with others behind it that prove that it had been synced."""
    (tmp_path / "1.wal").write_bytes(b"head" + b"".join(b"..ab.3.%d.." % number for number in range(50)))
    (tmp_path / "2.wal").write_bytes(b"head" + b"".join(b"..ab.4.%d.." % number for number in range(30)))
    (tmp_path / "3.wal").write_bytes(b"head" + b"..ab.5.1.." * 3 + b"..cd.5.1.." * 30)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    text = flip_bit(tmp_path, "ab")
    changed = [path for path, content in before.items() if path.read_bytes() != content]
    assert [path.name for path in changed] == ["2.wal"]
    old, new = before[changed[0]], changed[0].read_bytes()
    places = [place for place in range(len(old)) if old[place] != new[place]]
    assert len(old) == len(new)
    assert [(old[place] ^ new[place]).bit_count() for place in places] == [1]
    assert text == f"2.wal, byte {places[0]}"
    assert old[: places[0] + 1].endswith(b"..ab.4.15")


def test_too_little_to_flip(tmp_path: Path) -> None:
    """A log that has hardly anything of this run proves nothing."""
    (tmp_path / "1.wal").write_bytes(b"ab.1.1 " * 5)
    with pytest.raises(FaultError, match="too little"):
        flip_bit(tmp_path, "ab")
