"""BatchGetItem: reads of several tables, 100 at most."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import batch_get_item
from router.requests.batch_get_item import BatchGetItemRequest
from router.requests.get_item import GetItemRequest
from tests.router.requests.failing import EMPTY_VALUE, NULL_MEMBER, SHORT_NAME, refusal

TOO_MANY = ("ValidationException", "Too many items requested for the BatchGetItem call")
NONE = ("ValidationException", "The requestItems parameter is required for BatchGetItem")


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
    assert batch_get_item.from_body(body, is_json=True).reads == expected


def read(body: dict[str, Any]) -> BatchGetItemRequest:
    """The request of a JSON body."""
    return batch_get_item.from_body(body, is_json=True)


def test_a_hundred_and_no_more() -> None:
    """Over all tables together."""
    body = {"RequestItems": {"music": {"Keys": keys(60)}, "films": {"Keys": keys(40)}}}
    assert len(read(body).reads) == 100
    body["RequestItems"]["films"]["Keys"] = keys(41)
    assert refusal(read, body) == TOO_MANY


def test_a_hundred_of_one_table_and_no_more() -> None:
    """Then it is the service model that says so."""
    code, message = refusal(read, {"RequestItems": {"music": {"Keys": keys(101)}}})
    assert code == "ValidationException"
    assert message.startswith("1 validation error detected: Value '[{pk={N=0}}, {pk={N=1}}, ")
    assert message.endswith(
        "' at 'requestItems.music.member.keys' failed to satisfy constraint: "
        "Member must have length less than or equal to 100"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("ValidationException", NULL_MEMBER.format("requestItems"))),
        (
            {"RequestItems": []},
            (
                "SerializationException",
                "Unrecognized collection type java.util.Map<java.lang.String, "
                "com.amazonaws.dynamodb.v20120810.KeysAndAttributes>",
            ),
        ),
        ({"RequestItems": {}}, NONE),
        (
            {"RequestItems": {"music": {"Keys": []}}},
            (
                "ValidationException",
                "1 validation error detected: Value '[]' at 'requestItems.music.member.keys' failed to satisfy "
                "constraint: Member must have length greater than or equal to 1",
            ),
        ),
        (
            {"RequestItems": {"music": {}}},
            ("ValidationException", NULL_MEMBER.format("requestItems.music.member.keys")),
        ),
        ({"RequestItems": {"music": None}}, ("ValidationException", NULL_MEMBER.format("requestItems.music.member"))),
        (
            {"RequestItems": {"music": []}},
            (
                "SerializationException",
                "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.KeysAndAttributes",
            ),
        ),
        ({"RequestItems": {"a": {"Keys": keys(1)}}}, ("ValidationException", SHORT_NAME.format("a"))),
        ({"RequestItems": {"music": {"Keys": [{"pk": {}}]}}}, ("ValidationException", EMPTY_VALUE)),
        (
            {"RequestItems": {"music": {"Keys": ["a"]}}},
            (
                "SerializationException",
                "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class "
                "java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class "
                "are in module java.base of loader 'bootstrap')",
            ),
        ),
    ],
)
def test_what_is_refused(body: dict[str, Any], expected: tuple[str, str]) -> None:
    """By the whole request: none of it is carried out."""
    assert refusal(read, body) == expected
