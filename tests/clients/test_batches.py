"""Cutting lists into batches."""

from hypothesis import given, settings
from hypothesis import strategies as st
from stator.batches import BATCH_BYTES_MAX, batches, key_identity
from statorpb import item_pb2


def item(size: int) -> item_pb2.Item:
    wire = item_pb2.Item()
    wire.attributes["a"].b = bytes(size)
    return wire


@settings(deadline=None)
@given(st.lists(st.sampled_from([1, 1000, 3_000_000, 9_000_000]), max_size=60), st.integers(1, 25))
def test_batches_keep_order_and_limits(sizes: list[int], parts_max: int) -> None:
    """Every part is in exactly one batch, in order; only a part that is too big alone passes the limit of bytes."""
    parts = [item(size) for size in sizes]
    made = list(batches(parts, parts_max))
    assert [id(part) for batch in made for part in batch] == [id(part) for part in parts]
    for batch in made:
        assert 1 <= len(batch) <= parts_max
        assert len(batch) == 1 or sum(part.ByteSize() for part in batch) <= BATCH_BYTES_MAX


def test_batches_are_made_as_they_are_needed() -> None:
    """An endless source is no problem."""

    def endless() -> object:
        while True:
            yield item(1)

    assert len(next(batches(endless(), 25))) == 25  # type: ignore[arg-type]


def test_key_identity_ignores_order_only() -> None:
    """Equal keys have equal identities; type and value count."""
    one, other = item_pb2.Item(), item_pb2.Item()
    one.attributes["a"].s = "1"
    one.attributes["b"].n = "2"
    other.attributes["b"].n = "2"
    other.attributes["a"].s = "1"
    assert key_identity(one.attributes) == key_identity(other.attributes)
    other.attributes["a"].n = "1"
    assert key_identity(one.attributes) != key_identity(other.attributes)
