"""TransactGetItems: 100 reads at most."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import transact_get_items
from router.requests.transact_get_items import TransactGetItemsRequest
from tests.router.requests.failing import EMPTY_VALUE, NULL_MEMBER, refusal

KEY = {"pk": {"S": "a"}}


def read(body: dict[str, Any]) -> TransactGetItemsRequest:
    """The request of a JSON body."""
    return transact_get_items.from_body(body, is_json=True)


def get(**more: Any) -> dict[str, Any]:
    return {"Get": {"TableName": "music", "Key": KEY, **more}}


def of(*members: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"TransactItems": [*members], **others}


def test_reads_of_several_tables() -> None:
    """In the order given, each with its projection; all reflect every write before them."""
    parts = get(TableName="films", ProjectionExpression="#a, b", ExpressionAttributeNames={"#a": "a"})
    request = read(of(get(), parts, ReturnConsumedCapacity="INDEXES"))
    first, second = request.reads
    assert (first.table_name, first.key, first.is_consistent, first.projection) == ("music", KEY, True, None)
    assert second.table_name == "films" and second.projection is not None
    assert second.projection.paths == {("a",), ("b",)}
    assert request.capacity == "INDEXES"
    assert read(of(get())).capacity == "NONE"


def test_a_hundred_and_no_more() -> None:
    """What is too many is shown, but not all of it."""
    assert len(read(of(*[get()] * 100)).reads) == 100
    code, message = refusal(read, of(*[get()] * 101))
    assert code == "ValidationException" and len(message) < 1500
    assert message.endswith(
        "' at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100"
    )


ENUM = (
    "Value 'BOGUS' at 'returnConsumedCapacity' failed to satisfy constraint: "
    "Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"
)
NAME = (
    "1 validation error detected: Value 'bad!name' at 'transactItems.2.member.get.tableName' failed to satisfy "
    "constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, NULL_MEMBER.format("transactItems")),
        (
            of(),
            "1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
        ),
        (of({}), NULL_MEMBER.format("transactItems.1.member.get")),
        (of({"Get": {"TableName": "music"}}), NULL_MEMBER.format("transactItems.1.member.get.key")),
        (of(get(), ReturnConsumedCapacity="BOGUS"), f"1 validation error detected: {ENUM}"),
        (of(get(), get(TableName="bad!name")), NAME),
        (of(get(Key={"pk": {}})), EMPTY_VALUE),
        (
            of(get(ProjectionExpression="!!!")),
            'Invalid ProjectionExpression: Syntax error; token: "!", near: "!!"',
        ),
        (
            of(get(ExpressionAttributeNames={"#a": "a"})),
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            of(get(ProjectionExpression="b", ExpressionAttributeNames={"#a": "a"})),
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}",
        ),
    ],
)
def test_what_is_refused(body: dict[str, Any], message: str) -> None:
    """The whole request, whatever else it has."""
    assert refusal(read, body) == ("ValidationException", message)
