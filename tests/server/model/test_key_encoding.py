"""Encoded keys: the bytes of a table's order."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.model.errors import ValidationError
from server.model.item import Item
from server.model.key_encoding import (
    CHANGES,
    COLLECTIONS,
    CURSORS,
    HASH_BYTES,
    PREFIX_BYTES,
    after_prefix,
    encode_global_position,
    encode_index_position,
    encode_position,
    encode_sort_key,
    hash_key,
    hash_keys,
    index_number,
    own_rows,
    prefix,
    sort_range,
    start_with,
    table_number,
)
from server.model.table import GlobalIndex, KeyAttribute, KeySchema
from tests.server.model.strategies import numbers, plain

ALONE = KeySchema(KeyAttribute("pk", "S"))


def schema(partition: str = "S", sort: str = "S") -> KeySchema:
    return KeySchema(KeyAttribute("pk", partition), KeyAttribute("sk", sort))


def key(pk: dict[str, Any], sk: dict[str, Any]) -> Item:
    return {"pk": pk, "sk": sk}


def test_a_tables_prefix() -> None:
    """Ten bytes that order by table, then by index; on disks, so they never change."""
    assert prefix(1) == bytes.fromhex("0000000000000001" + "0000")
    assert prefix(2**64 - 1, 2**16 - 1) == b"\xff" * PREFIX_BYTES
    assert len(prefix(7)) == PREFIX_BYTES == 10


@given(
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1)),
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1)),
)
def test_prefixes_order_as_their_numbers(one: tuple[int, int], two: tuple[int, int]) -> None:
    """The tables' keys do not mix, nor do an index's with its table's."""
    assert (prefix(*one) < prefix(*two)) == (one < two)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("S", "a", "39017a78c517fec67418ffc705af7973"),
        ("S", "ä", "c58226cef7f29c7ae9261ffeb7d16f13"),
        ("N", "1", "054b024cde0c96bc74e5d8642535d779"),
        ("B", b"a", "d9712aff59a0c5c5bb56f7e786c84449"),
    ],
)
def test_the_hash_of_a_partition_key(kind: str, content: str | bytes, expected: str) -> None:
    """It is on disks and decides where an item is: it never changes."""
    assert hash_key(kind, content).hex() == expected


@given(st.text(max_size=20))
def test_a_type_is_part_of_the_hash(text: str) -> None:
    """The same bytes as a string and as binary are two keys."""
    as_text, as_binary = hash_key("S", text), hash_key("B", text.encode())
    assert as_text != as_binary
    assert len(as_text) == len(as_binary) == HASH_BYTES


@given(st.text(max_size=8), st.text(max_size=8))
@example("\ufb01", "\U0001f600")
@example("a", "a\0")
@example("Z", "a")
def test_strings_order_by_utf8(one: str, two: str) -> None:
    """Which is by code points: beyond the basic plane as well, where UTF-16 differs. Nothing is lost."""
    first, second = encode_sort_key("S", one), encode_sort_key("S", two)
    assert (first < second) == ([*map(ord, one)] < [*map(ord, two)])
    assert first.decode() == one


@given(st.binary(max_size=8), st.binary(max_size=8))
@example(b"\x7f", b"\x80")
@example(b"a", b"a\x00")
def test_binary_orders_by_unsigned_bytes(one: bytes, two: bytes) -> None:
    """A prefix before what goes on after it. Nothing is lost."""
    first, second = encode_sort_key("B", one), encode_sort_key("B", two)
    assert (first < second) == ([*one] < [*two])
    assert first == one


@given(numbers(), numbers())
def test_numbers_order_by_value(one: Decimal, two: Decimal) -> None:
    """And equal values have equal bytes."""
    first, second = encode_sort_key("N", plain(one)), encode_sort_key("N", plain(two))
    assert (first < second) == (one < two)
    assert (first == second) == (one == two)


def test_a_position_without_a_sort_key() -> None:
    """Is the hash; what else the item has makes no difference."""
    item: Item = {"pk": {"S": "a"}, "other": {"N": "1"}}
    assert encode_position(ALONE, item) == hash_key("S", "a")


@pytest.mark.parametrize(
    ("kind", "value", "encoded"),
    [("S", "b", b"b"), ("N", "1", b"\x81\x00\xc8\x0b"), ("B", b"\x00\xff", b"\x00\xff")],
)
def test_a_position_with_a_sort_key(kind: str, value: str | bytes, encoded: bytes) -> None:
    """Is the hash, then the sort key; either key may be of either type."""
    item = key({"S": "a"}, {kind: value})
    assert encode_position(schema(sort=kind), item) == hash_key("S", "a") + encoded
    alone = KeySchema(KeyAttribute("sk", kind))
    assert encode_position(alone, item) == hash_key(kind, value)


SORTED: st.SearchStrategy[tuple[str, list[Any]]] = st.one_of(
    st.tuples(st.just("S"), st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6, unique=True)),
    st.tuples(st.just("B"), st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=6, unique=True)),
    st.tuples(st.just("N"), st.lists(numbers(), min_size=1, max_size=6, unique=True)),
)


@given(SORTED, st.text(min_size=1, max_size=6))
def test_a_partition_keys_items_lie_together_in_order(drawn: tuple[str, list[Any]], pk: str) -> None:
    """Sorting positions sorts a partition key's items by their sort keys, and they share its hash."""
    kind, values = drawn
    shown = [plain(value) if kind == "N" else value for value in sorted(values)]
    positions = [encode_position(schema(sort=kind), key({"S": pk}, {kind: value})) for value in shown]
    assert positions == sorted(set(positions))
    assert {position[:HASH_BYTES] for position in positions} == {hash_key("S", pk)}


@pytest.mark.parametrize(
    "item",
    [
        key({"S": ""}, {"S": "a"}),
        key({"S": "a"}, {"S": ""}),
        key({"S": "a"}, {"N": "1"}),
        key({"N": "1"}, {"S": "a"}),
        key({"S": "a" * 2049}, {"S": "a"}),
        key({"S": "a"}, {"S": "a" * 1025}),
        {"pk": {"S": "a"}},
        {"sk": {"S": "a"}},
    ],
)
def test_a_key_that_breaks_the_rules_has_no_position(item: Item) -> None:
    """Both keys are checked, each against its own limit."""
    with pytest.raises(ValidationError):
        encode_position(schema(), item)


def test_the_longest_keys() -> None:
    """2048 and 1024 bytes have a position."""
    position = encode_position(schema(), key({"S": "a" * 2048}, {"S": "b" * 1024}))
    assert position == hash_key("S", "a" * 2048) + b"b" * 1024


SORT_KEYS = st.binary(max_size=3) | st.lists(st.sampled_from([0, 1, 254, 255]), max_size=5).map(bytes)


@given(st.integers(0, 2**64 - 1), st.integers(0, COLLECTIONS), st.binary(max_size=20))
def test_a_key_tells_its_table_and_index(table: int, number: int, position: bytes) -> None:
    """By what it begins with."""
    assert table_number(prefix(table, number) + position) == table
    assert index_number(prefix(table, number) + position) == number


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_what_is_behind_a_prefix(data: bytes, tail: bytes) -> None:
    """Everything with the prefix is below it, and nothing without it lies between."""
    behind = after_prefix(data)
    if not behind:
        assert data.strip(b"\xff") == b""
        return
    assert data + tail < behind
    assert after_prefix(data + b"\xff" * 3) == behind
    assert not (data <= tail < behind) or tail.startswith(data)


@given(st.tuples(SORT_KEYS, SORT_KEYS), st.tuples(SORT_KEYS, SORT_KEYS))
def test_entries_of_an_index_order_by_its_key_and_then_the_tables(
    one: tuple[bytes, bytes], two: tuple[bytes, bytes]
) -> None:
    """Whatever bytes the keys have; and different pairs have different positions."""
    hash_ = bytes(range(HASH_BYTES))
    first, second = (encode_index_position(hash_ + own, sort) for sort, own in (one, two))
    assert (first < second, first == second) == (one < two, one == two)


TEXTS = st.text("\0ab\uffff", max_size=3)
G_PK, G_PK2 = KeyAttribute("a", "S"), KeyAttribute("b", "N")
G_SK, G_SK2 = KeyAttribute("c", "S"), KeyAttribute("d", "B")


@pytest.mark.parametrize(
    "lacking",
    [{"a": None}, {"b": None}, {"c": None}, {"d": None}, {"a": {"N": "1"}}, {"d": {"M": {}}}],
    ids=str,
)
def test_an_item_without_an_indexs_key_has_no_entry(lacking: dict[str, Any]) -> None:
    """A global index is sparse, and has nothing of another type."""
    index = GlobalIndex(7, "index", (G_PK, G_PK2), (G_SK, G_SK2), "ALL")
    item: Item = {"a": {"S": "x"}, "b": {"N": "1"}, "c": {"S": "y"}, "d": {"B": b"z"}}
    assert encode_global_position(index, b"place", item) is not None
    changed = {name: value for name, value in {**item, **lacking}.items() if value is not None}
    assert encode_global_position(index, b"place", changed) is None


@given(st.tuples(TEXTS, TEXTS, st.binary(max_size=3)), st.tuples(TEXTS, TEXTS, st.binary(max_size=3)))
def test_entries_of_a_global_index_order_by_its_sort_keys_and_then_by_place(
    one: tuple[str, str, bytes], two: tuple[str, str, bytes]
) -> None:
    """One sort key after the other, whatever bytes they have; and different entries have different positions."""
    index = GlobalIndex(7, "index", (G_PK,), (G_SK, KeyAttribute("e", "S")), "ALL")
    first, second = (
        encode_global_position(index, place, {"a": {"S": "same"}, "c": {"S": c}, "e": {"S": e}})
        for c, e, place in (one, two)
    )
    assert first is not None and second is not None
    encoded = [(c.encode(), e.encode(), place) for c, e, place in (one, two)]
    assert (first < second, first == second) == (encoded[0] < encoded[1], encoded[0] == encoded[1])


@given(TEXTS, TEXTS, TEXTS)
def test_what_the_entries_of_the_first_sort_keys_begin_with(first: str, second: str, other: str) -> None:
    """Those that have them, and no others."""
    index = GlobalIndex(7, "index", (G_PK,), (G_SK, KeyAttribute("e", "S")), "ALL")
    position = encode_global_position(index, b"place", {"a": {"S": "x"}, "c": {"S": first}, "e": {"S": second}})
    assert position is not None
    hash_ = hash_key("S", "x")
    assert position.startswith(start_with(hash_, []))
    assert position.startswith(start_with(hash_, [other.encode()])) == (other == first)
    assert position == start_with(hash_, [first.encode(), second.encode()]) + b"place"


@given(st.lists(TEXTS, min_size=2, max_size=2), st.lists(TEXTS, min_size=2, max_size=2))
def test_several_partition_keys_are_hashed_apart(one: list[str], two: list[str]) -> None:
    """No text of one may pass for the beginning of the next."""
    attributes = (G_PK, KeyAttribute("e", "S"))
    assert (hash_keys(attributes, one) == hash_keys(attributes, two)) == (one == two)


def test_one_partition_key_hashes_as_a_tables() -> None:
    assert hash_keys((G_PK,), ["x"]) == hash_key("S", "x")


def test_a_partitions_own_rows_are_no_other_partitions() -> None:
    """Nor an index's, nor another kind's."""
    keys = [own_rows(1, kind, number) for kind in (CHANGES, CURSORS) for number in (1, 255, 256, 2**40)]
    assert len({after_prefix(key) for key in keys} | set(keys)) == 2 * len(keys)
    assert {index_number(key) for key in keys} == {CHANGES, CURSORS}


OPERATORS: dict[str, Callable[[bytes, list[bytes]], bool]] = {
    "": lambda key, values: True,
    "=": lambda key, values: key == values[0],
    "<": lambda key, values: key < values[0],
    "<=": lambda key, values: key <= values[0],
    ">": lambda key, values: key > values[0],
    ">=": lambda key, values: key >= values[0],
    "BETWEEN": lambda key, values: values[0] <= key <= values[1],
    "begins_with": lambda key, values: key.startswith(values[0]),
}


@pytest.mark.parametrize("is_index", [False, True])
@pytest.mark.parametrize("operator", sorted(OPERATORS))
@given(SORT_KEYS, SORT_KEYS, SORT_KEYS, st.binary(max_size=2))
def test_a_range_holds_what_the_operator_asks_for(
    operator: str, is_index: bool, key: bytes, one: bytes, two: bytes, own: bytes
) -> None:
    """Of one hash, and nothing else; in an index whatever the table's own sort key is."""
    hash_ = b"\xff" * (HASH_BYTES - 1) + b"\x07"
    values = sorted((one, two)) if operator == "BETWEEN" else [one]
    low, high = sort_range(hash_, operator, values, is_index=is_index)
    position = encode_index_position(hash_ + own, key) if is_index else hash_ + key
    assert (low <= position < high) is OPERATORS[operator](key, values)
    for other in (hash_[:-1] + b"\x06", hash_[:-1] + b"\x08"):
        assert not low <= other + position[HASH_BYTES:] < high
