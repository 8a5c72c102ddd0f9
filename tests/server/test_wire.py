"""Messages and the model: items and errors survive the way there and back, and one item has one sequence of bytes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from statorpb import item_pb2, items_pb2

from server.model.errors import (
    CONFLICT_REASON,
    NO_REASON,
    InternalServerError,
    ResourceNotFoundError,
    StatorError,
    ThrottledError,
    TransactionCanceledError,
    ValidationError,
    condition_reason,
)
from server.model.item import AttributeValue, Item, check_item
from server.model.limits import NESTING_MAX
from server.wire import (
    error_from_message,
    error_to_message,
    item_bytes_to_json,
    item_from_bytes,
    item_from_message,
    item_to_bytes,
    item_to_json,
)
from tests.server.model.strategies import items, nested


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same, with the entries of every map in another order."""
    if isinstance(value, list):
        return [shuffled(each, rng) for each in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    rng.shuffle(names)
    return {name: shuffled(value[name], rng) for name in names}


@given(items)
def test_items_round_trip(item: Item) -> None:
    """As bytes and as a message, what is read is what was written."""
    assert item_from_bytes(item_to_bytes(item)) == item
    assert item_from_message(item_pb2.Item.FromString(item_to_bytes(item))) == item


@given(items)
def test_json_round_trips(item: Item) -> None:
    """The JSON of an item is read as the same item, whichever form it was made of."""
    as_json = item_bytes_to_json(item_to_bytes(item))
    assert check_item(as_json, is_json=True)[0] == item
    assert item_to_json(item) == as_json


@given(items, st.randoms(use_true_random=False))
def test_equal_items_have_equal_bytes(item: Item, rng: random.Random) -> None:
    """In whatever order their attributes were given, at any depth: replicas and checksums depend on it."""
    assert item_to_bytes(shuffled(item, rng)) == item_to_bytes(item)


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        ({}, ""),
        ({"pk": {"S": "a"}}, "0a090a02706b12030a0161"),
        ({"b": {"BOOL": False}, "a": {"NULL": True}}, "0a070a0161120250010a070a016212024800"),
        ({"a": {"N": "-1.5"}}, "0a0b0a0161120612042d312e35"),
        ({"a": {"M": {}}}, "0a070a016112023a00"),
        ({"a": {"L": []}}, "0a070a016112024200"),
        ({"a": {"B": b""}}, "0a070a016112021a00"),
        ({"a": {"SS": ["b", "a"]}}, "0a0d0a016112082206" + "0a0162" + "0a0161"),
        ({"a": {"NS": ["1"]}}, "0a0a0a016112052a030a0131"),
        ({"a": {"BS": [b"\xff"]}}, "0a0a0a0161120532030a01ff"),
    ],
)
def test_canonical_bytes(item: Item, encoded: str) -> None:
    """They are on disks: an item's canonical form never changes."""
    assert item_to_bytes(item).hex() == encoded
    assert item_from_bytes(bytes.fromhex(encoded)) == item


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"a": {"B": b"\x00\xff"}}, {"a": {"B": "AP8="}}),
        ({"a": {"BS": [b"", b"a"]}}, {"a": {"BS": ["", "YQ=="]}}),
        ({"a": {"L": [{"B": b"a"}, {"M": {"b": {"B": b""}}}]}}, {"a": {"L": [{"B": "YQ=="}, {"M": {"b": {"B": ""}}}]}}),
        ({"a": {"BOOL": False}, "b": {"NULL": True}}, {"a": {"BOOL": False}, "b": {"NULL": True}}),
        ({"a": {"S": ""}, "b": {"N": "0"}}, {"a": {"S": ""}, "b": {"N": "0"}}),
    ],
)
def test_json(item: Item, expected: dict[str, Any]) -> None:
    """Binary is base64 text at any depth; what is false, empty or zero is there."""
    assert item_to_json(item) == expected


@pytest.mark.parametrize("kind", ["M", "L"])
@pytest.mark.parametrize("leaf", [{"S": "a"}, {"SS": ["a"]}, {"BOOL": True}])
def test_the_deepest_item_can_be_read_back(kind: str, leaf: AttributeValue) -> None:
    """What the model accepts and a disk keeps is within the hundred messages in each other that protobuf reads."""
    item: Item = {"a": nested(NESTING_MAX - 1, leaf, kind)}
    assert check_item(item)[0] == item
    assert item_from_bytes(item_to_bytes(item)) == item
    assert item_bytes_to_json(item_to_bytes(item)) == item


def test_a_value_without_content() -> None:
    """Becomes one that the model refuses, alone or inside another."""
    message = item_pb2.Item()
    message.attributes["a"].SetInParent()
    assert item_from_message(message) == {"a": {}}
    message.attributes["a"].l.values.add()
    assert item_from_message(message) == {"a": {"L": [{}]}}
    with pytest.raises(ValidationError, match="is empty"):
        check_item(item_from_message(message))


def test_a_null_that_is_false() -> None:
    """Can be said in a message; the model takes it for the one null there is."""
    message = item_pb2.Item()
    message.attributes["a"].null = False
    assert item_from_message(message) == {"a": {"NULL": False}}
    assert check_item(item_from_message(message))[0] == {"a": {"NULL": True}}


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05\x0a",
        b"\xff\xff\xff\xff",
        bytes.fromhex("0a090a02706b12030a01ff"),  # a string that is not UTF-8
        item_to_bytes({"pk": {"S": "abc"}})[:-1],
    ],
)
def test_bytes_that_are_no_item(data: bytes) -> None:
    """Raise protobuf's own error, which the doors translate; never a part of an item."""
    for read in (item_from_bytes, item_bytes_to_json):
        with pytest.raises(DecodeError):
            read(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_item_or_refused(data: bytes) -> None:
    """Bytes from anywhere raise nothing else; what is read can be written as what is read again."""
    try:
        item = item_from_bytes(data)
    except DecodeError:
        return
    message = item_pb2.Item.FromString(data)
    assert item.keys() == set(message.attributes)
    try:
        checked, _ = check_item(item)
    except StatorError:
        return
    assert item_from_bytes(item_to_bytes(checked)) == checked


@pytest.mark.parametrize(
    "error", [ValidationError("a"), ResourceNotFoundError(""), ThrottledError("ä\n"), InternalServerError("b")]
)
def test_errors_round_trip(error: StatorError) -> None:
    """Class and sentence come through; the message says to clients of any language whether to try again."""
    message = error_to_message(error)
    assert message == items_pb2.Error(code=error.code, message=error.message, retriable=error.is_retriable)
    found = error_from_message(message)
    assert type(found) is type(error)
    assert found.message == error.message


def test_a_cancelled_transaction_round_trips() -> None:
    """With its reasons, and their items where there are any, also an empty one."""
    reasons = [NO_REASON, condition_reason(b"item"), condition_reason(), condition_reason(b""), CONFLICT_REASON]
    error = TransactionCanceledError(reasons)
    message = error_to_message(error)
    assert (message.code, message.message) == ("TransactionCanceledException", error.message)
    assert message.not_carried_out and not message.retriable
    found = error_from_message(items_pb2.Error.FromString(message.SerializeToString()))
    assert isinstance(found, TransactionCanceledError)
    assert found.reasons == error.reasons
    assert found.message == error.message


def test_an_error_of_another_version() -> None:
    """Keeps its sentence."""
    found = error_from_message(items_pb2.Error(code="NewException", message="what is wrong"))
    assert type(found) is InternalServerError
    assert found.message == "what is wrong"


@given(items)
def test_an_item_is_stored_in_no_less_than_its_size(item: Item) -> None:
    """A storage node need not measure an item whose bytes are few enough."""
    checked, size = check_item(item)
    assert len(item_to_bytes(checked)) >= size
