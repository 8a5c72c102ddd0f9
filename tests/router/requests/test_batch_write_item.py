"""BatchWriteItem: puts and deletes of several tables, 25 at most."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests import batch_write_item
from router.requests.batch_write_item import BatchWriteItemRequest
from router.requests.delete_item import DeleteItemRequest
from router.requests.put_item import PutItemRequest
from tests.router.requests.failing import EMPTY_VALUE, NULL_MEMBER, SHORT_NAME, refusal

TOO_MANY = ("ValidationException", "Too many items requested for the BatchWriteItem call")
NONE = ("ValidationException", "The requestItems parameter is required for BatchWriteItem")
NOT_ONE = (
    "ValidationException",
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
)
LENGTHS = (
    "' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: "
    "[Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"
)


def read(body: dict[str, Any]) -> BatchWriteItemRequest:
    """The request of a JSON body."""
    return batch_write_item.from_body(body, is_json=True)


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
    found = read(body).writes
    assert (found, [*map(type, found)]) == (expected, [*map(type, expected)])  # tuples of other kinds would be equal


def test_twenty_five_and_no_more() -> None:
    """Over all tables together."""
    body = {"RequestItems": {"music": [put(number) for number in range(20)], "films": [put(1)] * 5}}
    assert len(read(body).writes) == 25
    body["RequestItems"]["films"].append(put(2))
    assert refusal(read, body) == TOO_MANY


def test_twenty_five_of_one_table_and_no_more() -> None:
    """Then it is the service model that says so, and shows what was sent, but not megabytes of it."""
    items = [{"PutRequest": {"Item": {"pk": {"S": "x" * 1000}}}}] * 26
    code, message = refusal(read, {"RequestItems": {"music": items}})
    assert code == "ValidationException"
    assert message.startswith("1 validation error detected: Value '{music=[{PutRequest={Item={pk={S=xxx")
    assert message.endswith("..." + LENGTHS) and len(message) < 1500


CLASS = "com.amazonaws.dynamodb.v20120810."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("ValidationException", NULL_MEMBER.format("requestItems"))),
        ({"RequestItems": "music"}, ("SerializationException", "Unexpected field type")),
        (
            {"RequestItems": []},
            (
                "SerializationException",
                f"Unrecognized collection type java.util.Map<java.lang.String, java.util.List<{CLASS}WriteRequest>>",
            ),
        ),
        ({"RequestItems": {}}, NONE),
        (
            {"RequestItems": {"music": []}},
            ("ValidationException", "1 validation error detected: Value '{music=[]}" + LENGTHS),
        ),
        (
            {"RequestItems": {"music": [put(1)], "films": {}}},
            ("SerializationException", "Start of structure or map found where not expected"),
        ),
        ({"RequestItems": {"a": [put(1)]}}, ("ValidationException", SHORT_NAME.format("a"))),
        ({"RequestItems": {"music": ["a"]}}, ("SerializationException", "Unexpected value type in payload")),
        (
            {"RequestItems": {"music": [None]}},
            ("ValidationException", NULL_MEMBER.format("requestItems.music.member.1.member")),
        ),
        ({"RequestItems": {"music": [{}]}}, NOT_ONE),
        ({"RequestItems": {"music": [put(1) | delete(1)]}}, NOT_ONE),
        ({"RequestItems": {"music": [{"UpdateRequest": {}}]}}, NOT_ONE),
        (
            {"RequestItems": {"music": [{"PutRequest": []}]}},
            ("SerializationException", f"Unrecognized collection type class {CLASS}PutRequest"),
        ),
        ({"RequestItems": {"music": [{"DeleteRequest": 1}]}}, ("SerializationException", "Unexpected field type")),
        (
            {"RequestItems": {"music": [put(1), {"PutRequest": {"Key": {}}}]}},
            ("ValidationException", NULL_MEMBER.format("requestItems.music.member.2.member.putRequest.item")),
        ),
        (
            {"RequestItems": {"music": [{"DeleteRequest": {}}]}},
            ("ValidationException", NULL_MEMBER.format("requestItems.music.member.1.member.deleteRequest.key")),
        ),
        ({"RequestItems": {"music": [{"PutRequest": {"Item": {"pk": {}}}}]}}, ("ValidationException", EMPTY_VALUE)),
    ],
)
def test_what_is_refused(body: dict[str, Any], expected: tuple[str, str]) -> None:
    """By the whole request: none of it is carried out."""
    assert refusal(read, body) == expected


def test_what_is_to_be_told() -> None:
    """Nothing but what was not written, unless asked for."""
    body = {"RequestItems": {"music": [put(1)]}}
    assert (read(body).capacity, read(body).metrics) == ("NONE", False)
    asking = read({**body, "ReturnConsumedCapacity": "INDEXES", "ReturnItemCollectionMetrics": "SIZE"})
    assert (asking.capacity, asking.metrics) == ("INDEXES", True)


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


def test_a_key_that_occurs_twice() -> None:
    """In one table; in another it is another."""
    batch_write_item.check_distinct([("films", b"1"), ("music", b"1")])
    twice = [("films", b"1"), ("music", b"1"), ("films", b"1")]
    assert refusal(batch_write_item.check_distinct, twice)[0] == "ValidationException"
