"""What an index has of an item, and the rows of feeds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.model.item import Item
from server.model.key_encoding import CURSORS, encode_global_position, hash_key, own_rows
from server.model.table import GlobalIndex, KeyAttribute, KeySchema
from storage_node.partition.feeds import (
    CorruptFeedError,
    Feed,
    decode_feed,
    encode_feed,
    feed_key,
    feed_of_key,
    index_entry,
    newest_feed_key,
)

SCHEMA = KeySchema(KeyAttribute("p", "S"), KeyAttribute("s", "N"))
POSITION = hash_key("S", "a") + b"sort"
X, Y, Z = KeyAttribute("x", "S"), KeyAttribute("y", "N"), KeyAttribute("z", "B")
ITEM: Item = {
    "p": {"S": "a"},
    "s": {"N": "1"},
    "x": {"S": "x"},
    "y": {"N": "7"},
    "z": {"B": b"z"},
    "v": {"S": "v"},
    "w": {"S": "w"},
}

NAMES = st.text(max_size=5)
KEYS = st.builds(KeyAttribute, NAMES, st.sampled_from("SNB"))
INDEXES = st.builds(
    GlobalIndex,
    st.integers(1, 2**64 - 1),
    NAMES,
    st.lists(KEYS, min_size=1, max_size=4).map(tuple),
    st.lists(KEYS, max_size=4).map(tuple),
    st.sampled_from(("ALL", "KEYS_ONLY", "INCLUDE")),
    st.lists(NAMES, max_size=3).map(tuple),
)
SLOTS = st.integers(0, 2**64 - 1)
FEEDS = st.builds(Feed, INDEXES, SLOTS, st.binary(max_size=40), SLOTS) | st.builds(
    Feed, INDEXES, SLOTS, st.none(), SLOTS, st.booleans()
)


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (GlobalIndex(5, "i", (X,), (), "ALL"), set(ITEM)),
        (GlobalIndex(5, "i", (X,), (Y,), "KEYS_ONLY"), {"p", "s", "x", "y"}),
        (GlobalIndex(5, "i", (X, Z), (Y,), "INCLUDE", ("v",)), {"p", "s", "x", "y", "z", "v"}),
        (GlobalIndex(5, "i", (KeyAttribute("p", "S"),), (X, Y), "INCLUDE", ("nowhere",)), {"p", "s", "x", "y"}),
    ],
)
def test_what_an_index_has_of_an_item(index: GlobalIndex, names: set[str]) -> None:
    """As its projection says; at the place of its key."""
    entry = index_entry(index, SCHEMA, POSITION, ITEM)
    assert entry == (encode_global_position(index, POSITION, ITEM), {name: ITEM[name] for name in names})


@pytest.mark.parametrize(
    "changed",
    [
        {"x": None},
        {"y": None},
        {"x": {"N": "1"}},
        {"y": {"S": "1"}},
        {"x": {"S": ""}},
        {"x": {"S": "x" * 2049}},
        {"z": {"B": b""}},
        {"z": {"B": bytes(1025)}},
    ],
)
def test_what_is_not_in_an_index(changed: dict[str, Any]) -> None:
    """An item that lacks a part of the key, or has one that is none (from before there was the index)."""
    item = {name: value for name, value in {**ITEM, **changed}.items() if value is not None}
    assert index_entry(GlobalIndex(5, "i", (X,), (Y, Z), "ALL"), SCHEMA, POSITION, item) is None


@given(FEEDS)
@example(Feed(GlobalIndex(5, "i", (X,), (), "ALL"), 3, b"", 0))
@example(Feed(GlobalIndex(5, "i", (X,), (), "ALL"), 3, None, 9, True))
def test_round_trip(feed: Feed) -> None:
    """What is decoded is what was encoded."""
    assert decode_feed(encode_feed(feed)) == feed


@given(FEEDS, st.data())
def test_a_feed_that_ends_early_is_noticed(feed: Feed, data: st.DataObject) -> None:
    """Wherever it is cut off."""
    encoded = encode_feed(feed)
    with pytest.raises(CorruptFeedError):
        decode_feed(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


ENCODED = encode_feed(Feed(GlobalIndex(5, "i", (X,), (), "ALL"), 3, None, 9))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "shorter"),
        (b"\x02" + ENCODED[1:], "version 2"),
        (ENCODED[:1] + b"\x03" + ENCODED[2:], "values"),
        (ENCODED[:2] + b"\x01" + ENCODED[3:], "values"),
        (ENCODED[:32] + b"\x03" + ENCODED[33:], "values"),
        (ENCODED[:4] + b"\x01\0\0\0" + ENCODED[8:36] + b"p" + ENCODED[36:], "position"),
        (ENCODED[:-1] + b"\xff", "UTF-8"),
        (ENCODED + b"x", "behind"),
    ],
)
def test_malformed(data: bytes, message: str) -> None:
    """Each way to be malformed has its sentence."""
    with pytest.raises(CorruptFeedError, match=message):
        decode_feed(data)


@given(st.binary(max_size=80))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Bytes from anywhere are a feed, or an error."""
    try:
        feed = decode_feed(data)
    except CorruptFeedError:
        return
    assert encode_feed(feed) == data


def test_keys() -> None:
    """Each row has one of its own, and says what it is of."""
    rows = own_rows(3, CURSORS, 100)
    assert feed_of_key(rows, feed_key(3, 100, 7)) == 7
    for key in (newest_feed_key(3, 100), rows, rows + b"s" + bytes(8), feed_key(3, 101, 7), feed_key(3, 100, 7) + b"x"):
        assert feed_of_key(rows, key) is None
