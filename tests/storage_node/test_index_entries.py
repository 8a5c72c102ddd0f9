"""What a write changes in a global index."""

from __future__ import annotations

import pytest

from server.model.item import Item
from server.model.key_encoding import encode_global_position, hash_key
from server.model.table import GlobalIndex, KeyAttribute, KeySchema
from server.wire import item_to_bytes
from storage_node.codec.change import EntryChange
from storage_node.index_entries import entry_changes, entry_units

SCHEMA = KeySchema(KeyAttribute("pk", "S"))
INDEX = GlobalIndex(7, "i", (KeyAttribute("x", "S"),), (KeyAttribute("y", "N"),), "INCLUDE", ("v",))
WHOLE = GlobalIndex(8, "w", (KeyAttribute("x", "S"),), (), "ALL")
POSITION = hash_key("S", "a")


def item(x: str = "", y: str = "", v: str = "", w: str = "") -> Item:
    values: Item = {"x": {"S": x}, "y": {"N": y}, "v": {"S": v}, "w": {"S": w}}
    return {"pk": {"S": "a"}, **{name: value for name, value in values.items() if "" not in value.values()}}


def puts(of: Item, index: GlobalIndex = INDEX) -> EntryChange:
    """That the index is to have an item, but for what it leaves out."""
    position = encode_global_position(index, POSITION, of)
    assert position is not None
    kept = {name: value for name, value in of.items() if name != "w" or index is WHOLE}
    return EntryChange(index.number, position, item_to_bytes(kept))


def deletes(of: Item, index: GlobalIndex = INDEX) -> EntryChange:
    return puts(of, index)._replace(item=None)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, item(x="x"), []),
        (None, item(x="x", y="1", v="v", w="w"), [puts(item(x="x", y="1", v="v"))]),
        (item(x="x", y="1"), None, [deletes(item(x="x", y="1"))]),
        (item(x="x", y="1"), item(y="1"), [deletes(item(x="x", y="1"))]),
        (item(x="x", y="1"), item(x="x", y="2"), [deletes(item(x="x", y="1")), puts(item(x="x", y="2"))]),
        (item(x="x", y="1", v="a"), item(x="x", y="1", v="b"), [puts(item(x="x", y="1", v="b"))]),
        (item(x="x", y="1", w="a"), item(x="x", y="1", w="b"), []),
        (item(x="x"), item(y="1"), []),
        (item(x="x"), None, []),
    ],
)
def test_what_changes(old: Item | None, new: Item | None, expected: list[EntryChange]) -> None:
    """The old entry goes where it lies elsewhere; what stays as it is is left out."""
    assert entry_changes(INDEX, SCHEMA, POSITION, old, new, item_to_bytes(new) if new else None) == expected


def test_whole_items_are_not_encoded_again() -> None:
    """An index with all attributes has the very bytes that the table has."""
    new = item(x="x", v="v", w="w")
    assert entry_changes(WHOLE, SCHEMA, POSITION, None, new, b"as given")[0].item == b"as given"
    assert entry_changes(WHOLE, SCHEMA, POSITION, item(x="x", v="v"), new, None) == [puts(new, WHOLE)]


LONG = "v" * 2_000


@pytest.mark.parametrize(
    ("old", "new", "units"),
    [
        (None, item(x="x"), 0),
        (None, item(x="x", y="1", v="v", w=LONG), 1),
        (None, item(x="x", y="1", v=LONG), 2),
        (item(x="x", y="1", v=LONG), None, 2),
        (item(x="x", y="1", v=LONG), item(x="x", y="2", v="v"), 3),
        (item(x="x", y="1", v=LONG), item(x="x", y="1", v="v"), 2),
        (item(x="x", y="1", w="a"), item(x="x", y="1", w="b"), 0),
        (item(x="x"), item(y="1"), 0),
    ],
)
def test_what_a_write_takes_of_an_index(old: Item | None, new: Item | None, units: int) -> None:
    """Of the larger of both entries; of each, where they lie apart; nothing where there is nothing to do."""
    assert entry_units(INDEX, SCHEMA, POSITION, old, new) == units
