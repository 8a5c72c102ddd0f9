"""When items were last written, as far as that is remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage_node.partition.item_versions import ItemVersions, Version


def test_what_is_remembered_is_exact() -> None:
    versions = ItemVersions()
    versions.begin(Version(10, 500, 5))
    versions.note(b"a", Version(11, 600, 9), 0)
    versions.note(b"b", Version(12, 700, 9), 1)
    versions.note(b"a", Version(13, 800, 9), 1)
    assert versions.last(b"a") == Version(13, 800, 9)
    assert versions.last(b"b") == Version(12, 700, 9)
    assert versions.last(b"c") == Version(10, 500, 5)


def test_what_is_old_is_forgotten_and_raises_what_others_are_taken_for() -> None:
    versions = ItemVersions(kept_ms=100)
    versions.note(b"a", Version(1, 1_000, 9), 0)
    versions.note(b"b", Version(2, 2_000, 9), 100)
    assert versions.last(b"c") == Version(0, 0, 0)
    versions.note(b"d", Version(3, 3_000, 9), 101)
    assert versions.last(b"a") == versions.last(b"c") == Version(1, 1_000, 9)
    assert versions.last(b"b") == Version(2, 2_000, 9)


def test_memory_is_bounded() -> None:
    versions = ItemVersions(kept_max=3)
    for slot in range(1, 10):
        versions.note(str(slot).encode(), Version(slot, slot * 10, 9), 0)
    assert len(versions) == 3
    assert versions.last(b"6") == Version(6, 60, 9)
    assert versions.last(b"9") == Version(9, 90, 9)
    versions.begin(Version(20, 200, 7))
    assert len(versions) == 0
    assert versions.last(b"9") == Version(20, 200, 7)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 40), st.booleans()), max_size=60))
def test_nobody_is_taken_to_have_been_written_earlier_than_it_was(writes: list[tuple[str, int, bool]]) -> None:
    """However much is forgotten; and what was written last is exact."""
    versions = ItemVersions(kept_ms=50, kept_max=5)
    truth: dict[str, Version] = {}
    slot = time_ms = 0
    for name, wait_ms, is_twice in writes:
        slot, time_ms = slot + 1, time_ms + wait_ms
        for _ in range(2 if is_twice else 1):
            versions.note(name.encode(), Version(slot, time_ms * 1000, 3 * time_ms), time_ms)
        truth[name] = Version(slot, time_ms * 1000, 3 * time_ms)
        for each, last in truth.items():
            assert versions.last(each.encode()) >= last
        assert versions.last(name.encode()) == truth[name]
        assert versions.last(b"never").slot < slot
