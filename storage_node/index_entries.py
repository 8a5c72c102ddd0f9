"""What happens to the entries of a global index when an item of its table changes."""

from __future__ import annotations

from server.model.item import Item, item_bytes
from server.model.table import GlobalIndex, KeySchema
from server.wire import item_to_bytes
from storage_node.codec.change import EntryChange
from storage_node.partition.feeds import index_entry
from storage_node.partition.local_indexes import wcu


def entry_changes(
    index: GlobalIndex,
    schema: KeySchema,
    position: bytes,
    old: Item | None,
    new: Item | None,
    new_bytes: bytes | None,
) -> list[EntryChange]:
    """The changes, at most two, that take the index from the `old` item at a range position of the table to the `new`
    one (None: there is none); empty where its entry stays as it is. `new_bytes`: the new item in canonical form."""
    before = index_entry(index, schema, position, old) if old is not None else None
    after = index_entry(index, schema, position, new) if new is not None else None
    if before == after:
        return []
    changes: list[EntryChange] = []
    if before is not None and (after is None or after[0] != before[0]):
        changes.append(EntryChange(index.number, before[0], None))
    if after is not None:
        content = new_bytes if after[1] is new and new_bytes is not None else item_to_bytes(after[1])
        changes.append(EntryChange(index.number, after[0], content))
    return changes


def entry_units(index: GlobalIndex, schema: KeySchema, position: bytes, old: Item | None, new: Item | None) -> int:
    """Write capacity units of the index, where an item at a range position of the table changes so: none where the
    entry stays as it is, two writes where its key changes (developer guide, "Global secondary indexes")."""
    before = index_entry(index, schema, position, old) if old is not None else None
    after = index_entry(index, schema, position, new) if new is not None else None
    if before == after:
        return 0
    sizes = [item_bytes(entry[1]) for entry in (before, after) if entry is not None]
    if before is not None and after is not None and before[0] == after[0]:
        return wcu(max(sizes))
    return sum(map(wcu, sizes))
