"""BatchWriteItem: puts and deletes of several tables, 25 at most."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests import batch_write_item
from router.requests.delete_item import DeleteItemRequest
from router.requests.put_item import PutItemRequest
from tests.router.requests.failing import EMPTY_VALUE, NAME_LENGTH, NULL_MEMBER, refusal

TOO_MANY = ("ValidationException", "Too many items requested for the BatchWriteItem call")
NONE = ("ValidationException", "The batch write request list for a table cannot be null or empty")
NEITHER = (
    "ValidationException",
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes: "
    "a write request is either a PutRequest or a DeleteRequest",
)


def put(number: int) -> dict[str, Any]:
    return {"PutRequest": {"Item": {"pk": {"N": str(number)}}}}


def delete(number: int) -> dict[str, Any]:
    return {"DeleteRequest": {"Key": {"pk": {"N": str(number)}}}}


def test_writes_to_several_tables() -> None:
    """In the order given; a member that is null is one that is absent."""
    body = {
        "RequestItems": {"music": [put(1), delete(2) | {"PutRequest": None}], "films": [put(3)]},
        "ReturnItemCollectionMetrics": "NONE",
    }
    expected = (
        PutItemRequest("music", {"pk": {"N": "1"}}),
        DeleteItemRequest("music", {"pk": {"N": "2"}}),
        PutItemRequest("films", {"pk": {"N": "3"}}),
    )
    read = batch_write_item.from_json(body).writes
    assert (read, [*map(type, read)]) == (expected, [*map(type, expected)])  # tuples of other kinds would be equal
    model = [
        ("music", {"pk": {"N": "1"}}, True),
        ("music", {"pk": {"N": "2"}}, False),
        ("films", {"pk": {"N": "3"}}, True),
    ]
    read = batch_write_item.from_model(model).writes
    assert (read, [*map(type, read)]) == (expected, [*map(type, expected)])


def test_twenty_five_and_no_more() -> None:
    """Over all tables together."""
    body = {"RequestItems": {"music": [put(number) for number in range(20)], "films": [put(1)] * 5}}
    assert len(batch_write_item.from_json(body).writes) == 25
    body["RequestItems"]["films"].append(put(2))
    assert refusal(batch_write_item.from_json, body) == TOO_MANY
    writes = [("music", {"pk": {"N": str(number)}}, True) for number in range(26)]
    assert len(batch_write_item.from_model(writes[:25]).writes) == 25
    assert refusal(batch_write_item.from_model, writes) == TOO_MANY


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("ValidationException", NULL_MEMBER.format("requestItems"))),
        ({"RequestItems": "music"}, ("SerializationException", "RequestItems must be a map")),
        ({"RequestItems": {}}, NONE),
        ({"RequestItems": {"music": []}}, NONE),
        ({"RequestItems": {"music": [put(1)], "films": []}}, NONE),
        (
            {"RequestItems": {"music": [put(1)], "films": {}}},
            ("SerializationException", "RequestItems must map table names to lists"),
        ),
        ({"RequestItems": {"a": [put(1)]}}, ("ValidationException", NAME_LENGTH)),
        ({"RequestItems": {"music": ["a"]}}, ("SerializationException", "a write request must be a map")),
        ({"RequestItems": {"music": [{}]}}, NEITHER),
        ({"RequestItems": {"music": [put(1) | delete(1)]}}, NEITHER),
        ({"RequestItems": {"music": [{"UpdateRequest": {}}]}}, NEITHER),
        ({"RequestItems": {"music": [{"PutRequest": []}]}}, ("SerializationException", "PutRequest must be a map")),
        (
            {"RequestItems": {"music": [{"DeleteRequest": 1}]}},
            ("SerializationException", "DeleteRequest must be a map"),
        ),
        ({"RequestItems": {"music": [{"PutRequest": {}}]}}, ("ValidationException", NULL_MEMBER.format("item"))),
        ({"RequestItems": {"music": [{"DeleteRequest": {}}]}}, ("ValidationException", NULL_MEMBER.format("key"))),
        (
            {"RequestItems": {"music": [{"PutRequest": {"Key": {}}}]}},
            ("ValidationException", "The parameter Key of a write request is not supported yet"),
        ),
        (
            {"RequestItems": {"music": [{"PutRequest": {"Item": {"pk": {}}}}]}},
            ("ValidationException", EMPTY_VALUE),
        ),
        (
            {"RequestItems": {"music": [put(1)]}, "ClientRequestToken": "x"},
            ("ValidationException", "The parameter ClientRequestToken of BatchWriteItem is not supported yet"),
        ),
    ],
)
def test_what_is_refused(body: dict[str, Any], expected: tuple[str, str]) -> None:
    """By the whole request: none of it is carried out."""
    assert refusal(batch_write_item.from_json, body) == expected


def test_messages_are_checked_alike() -> None:
    """Names, items, and that there is something to write."""
    assert refusal(batch_write_item.from_model, []) == NONE
    assert refusal(batch_write_item.from_model, [("a", {}, True)]) == ("ValidationException", NAME_LENGTH)
    assert refusal(batch_write_item.from_model, [("music", {"pk": {}}, False)]) == ("ValidationException", EMPTY_VALUE)


@given(st.lists(st.tuples(st.sampled_from(["music", "films"]), st.binary(max_size=1)), max_size=6))
def test_keys_occur_once(keys: list[tuple[str, bytes]]) -> None:
    """A key twice is refused; the same key of another table is another."""
    if len(keys) == len(set(keys)):
        batch_write_item.check_distinct(keys)
    else:
        assert refusal(batch_write_item.check_distinct, keys) == (
            "ValidationException",
            "Provided list of item keys contains duplicates",
        )
