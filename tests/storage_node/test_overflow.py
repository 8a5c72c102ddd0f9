"""Keys of any length behave as in a sorted dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage_node.btree import BTree
from storage_node.overflow import NEXT_BUCKET, Transaction

# Few distinct bytes and lengths around every limit, so that long keys share their beginnings.
PARTS = st.sampled_from([b"", b"a", b"b", b"\x00", b"\xff"])
LENGTHS = st.sampled_from([1, 2, 509, 510, 511, 512, 513, 1013, 1014, 1015, 1050, 1517])
KEYS = st.builds(
    lambda filler, length, end: (filler * length)[: length - len(end)] + end,
    st.sampled_from([b"a", b"b", b"\xff", b"\x00"]),
    LENGTHS,
    st.lists(PARTS, max_size=3).map(b"".join),
).filter(bool)


@pytest.fixture(scope="module")
def btree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BTree]:
    directory: Path = tmp_path_factory.mktemp("btree")
    btree = BTree(directory, map_bytes=1 << 24)
    btree.open()
    yield btree
    btree.close()


class RolledBackError(Exception):
    """Ends an example's transaction without a trace."""


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=5)), max_size=40), KEYS, KEYS, st.booleans())
def test_as_a_sorted_dictionary(
    btree: BTree, changes: list[tuple[bytes, bytes | None]], start: bytes, end: bytes, reverse: bool
) -> None:
    """Put, get, delete and both directions of scan agree with a dictionary, for any mix of key lengths."""
    model: dict[bytes, bytes] = {}
    keys = btree.keys

    def run(txn: Transaction) -> None:
        for key, item in changes:
            old = model.pop(key, None)
            old_bytes = -1 if old is None else len(old)
            if item is None:
                assert keys.delete(txn, key) == old_bytes
            else:
                assert keys.put(txn, key, item) == old_bytes
                model[key] = item
            assert keys.get(txn, key) == item
        assert list(keys.scan(txn, b"", b"\xff" * 2000, False)) == sorted(model.items())
        wanted = sorted((k, v) for k, v in model.items() if start <= k < end)
        assert list(keys.scan(txn, start, end, reverse)) == (wanted[::-1] if reverse else wanted)
        assert keys.delete_range(txn, start, end, 1000)
        for key, _ in wanted:
            del model[key]
        assert list(keys.scan(txn, b"", b"\xff" * 2000, True)) == sorted(model.items(), reverse=True)
        while not keys.delete_range(txn, b"", b"\xff" * 2000, 3):
            pass
        # Nothing is left behind, no empty bucket either.
        assert list(txn.cursor(db=btree.items).iternext()) == []
        assert list(txn.cursor(db=btree.overflow).iternext()) == []
        raise RolledBackError

    with pytest.raises(RolledBackError):
        btree.write(run)


def test_bucket_numbers_are_never_reused(btree: BTree) -> None:
    """A bucket's number is new each time, so that no remains of another can show up in it."""

    def run(txn: Transaction) -> None:
        numbers = set()
        for key in (b"a" * 600, b"b" * 600, b"a" * 600):
            btree.keys.put(txn, key, b"")
            numbers.add(btree.row(txn, btree.meta, NEXT_BUCKET))
            btree.keys.delete(txn, key)
        assert len(numbers) == 3
        assert btree.keys.get(txn, b"a" * 600) is None
        assert btree.keys.delete(txn, b"a" * 600) == -1

    btree.write(run)
