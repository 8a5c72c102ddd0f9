"""BatchGetItem: reads of several tables, 100 at most."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import batch_get_item
from router.requests.get_item import GetItemRequest
from tests.router.requests.failing import EMPTY_VALUE, NAME_LENGTH, NULL_MEMBER, refusal

TOO_MANY = ("ValidationException", "Too many items requested for the BatchGetItem call")
NONE = ("ValidationException", "The list of keys in BatchGetItem is required and cannot be empty")


def key(number: int) -> dict[str, Any]:
    return {"pk": {"N": str(number)}}


def keys(count: int) -> list[dict[str, Any]]:
    return [key(number) for number in range(count)]


def test_reads_of_several_tables() -> None:
    """In the order given; each table says for itself how consistently it is read."""
    body = {
        "RequestItems": {
            "music": {"Keys": [key(1), {"pk": {"B": "AP8="}}], "ConsistentRead": True},
            "films": {"Keys": [key(3)]},
        },
        "ReturnConsumedCapacity": "NONE",
    }
    expected = (
        GetItemRequest("music", key(1), True),
        GetItemRequest("music", {"pk": {"B": b"\x00\xff"}}, True),
        GetItemRequest("films", key(3), False),
    )
    assert batch_get_item.from_json(body).reads == expected
    model = [(read.table_name, read.key, read.is_consistent) for read in expected]
    assert batch_get_item.from_model(model).reads == expected


def test_a_hundred_and_no_more() -> None:
    """Over all tables together."""
    body = {"RequestItems": {"music": {"Keys": keys(60)}, "films": {"Keys": keys(40)}}}
    assert len(batch_get_item.from_json(body).reads) == 100
    body["RequestItems"]["films"]["Keys"] = keys(41)
    assert refusal(batch_get_item.from_json, body) == TOO_MANY
    reads = [("music", key(number), False) for number in range(101)]
    assert len(batch_get_item.from_model(reads[:100]).reads) == 100
    assert refusal(batch_get_item.from_model, reads) == TOO_MANY


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("ValidationException", NULL_MEMBER.format("requestItems"))),
        ({"RequestItems": []}, ("SerializationException", "RequestItems must be a map")),
        ({"RequestItems": {}}, NONE),
        ({"RequestItems": {"music": {"Keys": []}}}, NONE),
        ({"RequestItems": {"music": {}}}, ("ValidationException", NULL_MEMBER.format("keys"))),
        ({"RequestItems": {"music": []}}, ("SerializationException", "RequestItems must map table names to maps")),
        ({"RequestItems": {"a": {"Keys": keys(1)}}}, ("ValidationException", NAME_LENGTH)),
        ({"RequestItems": {"music": {"Keys": [{"pk": {}}]}}}, ("ValidationException", EMPTY_VALUE)),
        (
            {"RequestItems": {"music": {"Keys": ["a"]}}},
            ("SerializationException", "an item must be a map of attribute names to attribute values"),
        ),
        (
            {"RequestItems": {"music": {"Keys": keys(1), "ProjectionExpression": "a"}}},
            ("ValidationException", "The parameter ProjectionExpression of BatchGetItem is not supported yet"),
        ),
        (
            {"RequestItems": {"music": {"Keys": keys(1)}}, "ReturnConsumedCapacity": "TOTAL"},
            (
                "ValidationException",
                "The parameter ReturnConsumedCapacity with the value TOTAL of BatchGetItem is not supported yet",
            ),
        ),
        (
            {"RequestItems": {"music": {"Keys": keys(1), "ConsistentRead": "yes"}}},
            ("SerializationException", "ConsistentRead must be a boolean"),
        ),
    ],
)
def test_what_is_refused(body: dict[str, Any], expected: tuple[str, str]) -> None:
    """By the whole request: none of it is carried out."""
    assert refusal(batch_get_item.from_json, body) == expected


def test_messages_are_checked_alike() -> None:
    """Names, items, and that there is something to read."""
    assert refusal(batch_get_item.from_model, []) == NONE
    assert refusal(batch_get_item.from_model, [("a", key(1), False)]) == ("ValidationException", NAME_LENGTH)
    assert refusal(batch_get_item.from_model, [("music", {"pk": {}}, False)]) == ("ValidationException", EMPTY_VALUE)
