"""Batches of changes come back as they were, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_node.codec.index_batch import (
    BatchEntry,
    CorruptBatchError,
    IndexBatch,
    decode_batch,
    encode_batch,
    entry_bytes,
)

BATCH = IndexBatch(7, 12, (BatchEntry(3, b"ab", b"item"), BatchEntry(3, b"c", None), BatchEntry(12, b"", b"")))
ENTRIES = st.builds(BatchEntry, st.integers(1, 50), st.binary(max_size=5), st.none() | st.binary(max_size=9))


@given(st.lists(ENTRIES, max_size=6), st.integers(50, 2**63))
def test_a_batch_comes_back(entries: list[BatchEntry], up_to_slot: int) -> None:
    batch = IndexBatch(1, up_to_slot, tuple(sorted(entries, key=lambda entry: entry.slot)))
    data = encode_batch(batch)
    assert decode_batch(data) == batch
    assert len(data) == len(encode_batch(IndexBatch(1, 1, ()))) + sum(map(entry_bytes, entries))


def test_the_layout() -> None:
    """As it is described."""
    parts = ["01000000", "03000000", "0700000000000000", "0c00000000000000"]
    parts += ["0300000000000000", "02000000", "04000000", b"ab".hex(), b"item".hex()]
    parts += ["0300000000000000", "01000000", "ffffffff", b"c".hex()]
    parts += ["0c00000000000000", "00000000", "00000000"]
    assert encode_batch(BATCH).hex() == "".join(parts)


@pytest.mark.parametrize("cut", range(len(encode_batch(BATCH))))
def test_what_is_cut_short_is_no_batch(cut: int) -> None:
    with pytest.raises(CorruptBatchError):
        decode_batch(encode_batch(BATCH)[:cut])


@pytest.mark.parametrize(
    "data",
    [
        encode_batch(BATCH) + b"x",
        b"\2" + encode_batch(BATCH)[1:],
        encode_batch(BATCH._replace(up_to_slot=11)),
        encode_batch(BATCH._replace(entries=BATCH.entries[::-1])),
    ],
    ids=["goes on", "another version", "beyond its end", "out of order"],
)
def test_what_is_no_batch(data: bytes) -> None:
    with pytest.raises(CorruptBatchError):
        decode_batch(data)
