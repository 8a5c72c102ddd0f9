"""Local indexes: which entries an item has, and what a change of it costs."""

from __future__ import annotations

import pytest

from server.model.item import Item, item_bytes
from server.model.table import KeyAttribute, KeySchema, LocalIndex
from storage_node.partition.local_indexes import index_changes, index_entry, wcu

SCHEMA = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "S"))
ALL = LocalIndex(1, "all", KeyAttribute("x", "N"), "ALL")
KEYS = LocalIndex(2, "keys", KeyAttribute("x", "N"), "KEYS_ONLY")
SOME = LocalIndex(3, "some", KeyAttribute("x", "N"), "INCLUDE", ("b",))
INDEXES = (ALL, KEYS, SOME)
POSITION = bytes(16) + b"s"


def item(**values: str) -> Item:
    return {"pk": {"S": "p"}, "sk": {"S": "s"}, **{name: {"S": value} for name, value in values.items()}}


def with_x(x: str, **values: str) -> Item:
    return {**item(**values), "x": {"N": x}}


@pytest.mark.parametrize(
    ("index", "names"),
    [(ALL, {"pk", "sk", "x", "a", "b"}), (KEYS, {"pk", "sk", "x"}), (SOME, {"pk", "sk", "x", "b"})],
)
def test_projections(index: LocalIndex, names: set[str]) -> None:
    """All attributes, the keys of table and index, or those and the ones named."""
    entry = index_entry(index, SCHEMA, POSITION, with_x("1", a="1", b="2"))
    assert entry is not None
    assert entry.item.keys() == names
    assert entry.size == item_bytes(entry.item)


def test_an_index_is_sparse() -> None:
    """An item without the index's sort key, or with one of another type, has no entry."""
    assert index_entry(ALL, SCHEMA, POSITION, item(a="1")) is None
    assert index_entry(ALL, SCHEMA, POSITION, {**item(), "x": {"S": "1"}}) is None
    assert list(index_changes(INDEXES, SCHEMA, POSITION, item(), item(a="1"))) == []


def test_entries_order_by_the_indexs_key() -> None:
    """And two items with the same one have entries of their own."""
    positions = []
    for x, position in (("-5", POSITION), ("1", POSITION), ("1", POSITION + b"2"), ("20", POSITION)):
        entry = index_entry(KEYS, SCHEMA, position, with_x(x))
        assert entry is not None
        positions.append(entry.position)
    assert positions == sorted(set(positions))


LARGE = "v" * 1500


@pytest.mark.parametrize(
    ("old", "new", "units"),
    [
        (None, with_x("1"), [1, 1, 1]),
        (with_x("1"), None, [1, 1, 1]),
        (None, with_x("1", a=LARGE), [2, 1, 1]),
        (with_x("1"), with_x("1"), [0, 0, 0]),
        (with_x("1", a="1"), with_x("1", a="2"), [1, 0, 0]),
        (with_x("1", b="1"), with_x("1", b=LARGE), [2, 0, 2]),
        (with_x("1", b=LARGE), with_x("2"), [3, 2, 3]),
        (with_x("1"), item(), [1, 1, 1]),
        (None, item(), []),
    ],
)
def test_write_units(old: Item | None, new: Item | None, units: list[int]) -> None:
    """Nothing where the entry stays as it is, a write where it changes, two where its key does."""
    assert [change.write_units for change in index_changes(INDEXES, SCHEMA, POSITION, old, new)] == units


def test_growth() -> None:
    """By how much the collection grows with an entry."""
    (change,) = index_changes((KEYS,), SCHEMA, POSITION, None, with_x("1"))
    assert change.new is not None
    assert change.growth == change.new.size
    (change,) = index_changes((ALL,), SCHEMA, POSITION, with_x("1", a="12345"), with_x("1", a="1"))
    assert change.growth == -4
    (change,) = index_changes((ALL,), SCHEMA, POSITION, with_x("1"), None)
    assert change.growth < 0
    assert wcu(0) == 1
