"""What a write to an item means for its table's local indexes: they are in the same partition and log entry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.model.item import Item, item_bytes
from server.model.key_encoding import encode_index_position, encode_sort_key
from server.model.table import KeySchema, LocalIndex, projected_names

WCU_BYTES = 1024


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An item as an index has it. `size`: bytes by DynamoDB's rules."""

    position: bytes
    item: Item
    size: int


@dataclass(frozen=True, slots=True)
class IndexChange:
    """How one index changes: its entry was `old`, and is to be `new`. At least one of them is there."""

    index: LocalIndex
    old: IndexEntry | None
    new: IndexEntry | None

    @property
    def growth(self) -> int:
        """Bytes by which the item collection grows."""
        return (self.new.size if self.new else 0) - (self.old.size if self.old else 0)

    @property
    def write_units(self) -> int:
        """Write capacity units: none where the entry stays as it is, two writes where its key changes (developer guide,
        "Local secondary indexes", write operations)."""
        if self.old is None or self.new is None or self.old.position != self.new.position:
            return sum(wcu(entry.size) for entry in (self.old, self.new) if entry is not None)
        return 0 if self.old == self.new else wcu(max(self.old.size, self.new.size))


def wcu(size: int) -> int:
    """Write capacity units of an item of `size` bytes."""
    return max(1, -(-size // WCU_BYTES))


def index_entry(index: LocalIndex, schema: KeySchema, position: bytes, item: Item) -> IndexEntry | None:
    """What an index has of the item at a range position; None where the item lacks the index's sort key."""
    value = item.get(index.sort_key.name)
    if value is None or index.sort_key.type not in value:
        return None
    names = projected_names(index, schema)
    projected = item if names is None else {name: each for name, each in item.items() if name in names}
    sort_key = encode_sort_key(index.sort_key.type, value[index.sort_key.type])
    return IndexEntry(encode_index_position(position, sort_key), projected, item_bytes(projected))


def index_changes(
    indexes: Sequence[LocalIndex], schema: KeySchema, position: bytes, old: Item | None, new: Item | None
) -> Iterator[IndexChange]:
    """The indexes that a write concerns: those that had an entry for the item or will have one."""
    for index in indexes:
        before = index_entry(index, schema, position, old) if old is not None else None
        after = index_entry(index, schema, position, new) if new is not None else None
        if before is not None or after is not None:
            yield IndexChange(index, before, after)
