"""What a partition's stream keeps of a write."""

from __future__ import annotations

from server.expressions.comparison import Comparisons
from server.model.item import Item, item_bytes
from server.model.table import KeySchema
from server.wire import item_to_bytes
from storage_node.codec.stream_record import Event, StreamRecord
from storage_node.partition.streams import Stream


def stream_record(
    stream: Stream,
    schema: KeySchema,
    old: tuple[Item, bytes] | None,
    new: tuple[Item, bytes] | None,
    *,
    is_by_time_to_live: bool,
    time_ms: int,
    log_time_ms: int,
) -> StreamRecord | None:
    """The record of a write that makes `new` of `old`: an item, and the same in canonical form; None: there is none.
    Returns None where the item stays as it is (developer guide, "Change data capture for DynamoDB Streams")."""
    if old is not None and new is not None:
        event = Event.MODIFY
        # What is of another size is not the same, whatever order sets are written in.
        if old[1] == new[1] or (len(old[1]) == len(new[1]) and _are_same(old[0], new[0])):
            return None
    elif new is not None:
        event = Event.INSERT
    elif old is not None:
        event = Event.REMOVE
    else:
        return None
    item = new[0] if new is not None else old[0] if old is not None else {}
    keys: Item = {attribute.name: item[attribute.name] for attribute in schema.attributes}
    size = item_bytes(keys)
    images: list[bytes | None] = []
    for image, is_wanted in ((old, stream.has_old_images), (new, stream.has_new_images)):
        is_there = image is not None and is_wanted
        images.append(image[1] if image is not None and is_there else None)
        size += item_bytes(image[0]) if image is not None and is_there else 0
    return StreamRecord(
        stream.number, event, time_ms, log_time_ms, size, item_to_bytes(keys), images[0], images[1], is_by_time_to_live
    )


def _are_same(old: Item, new: Item) -> bool:
    """Whether items are equal. Only what is written differently is looked into: it may be a set in another order."""
    if old.keys() != new.keys():
        return False
    return all(value == new[name] or Comparisons().are_equal(value, new[name]) for name, value in old.items())
