"""TransactWriteItems: 100 puts, updates, deletes and checks at most, and what makes two of them the same."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests import transact_write_items
from router.requests.delete_item import DeleteItemRequest
from router.requests.put_item import PutItemRequest
from router.requests.transact_write_items import (
    ConditionCheckRequest,
    TransactWriteItemsRequest,
    request_hash,
)
from router.requests.update_item import UpdateItemRequest
from server.model.errors import ValidationError
from tests.router.requests.failing import EMPTY_VALUE, NESTED_TOO_DEEPLY, NULL_MEMBER, TOO_LARGE, nested, refusal
from tests.server.model.strategies import items

KEY = {"pk": {"S": "a"}}
TABLE = {"TableName": "music"}
VALUE = {":v": {"S": "x"}}
PUT = {"Put": {**TABLE, "Item": KEY}}
UPDATE = {"Update": {**TABLE, "Key": KEY, "UpdateExpression": "SET a = :v", "ExpressionAttributeValues": VALUE}}
DELETE = {"Delete": {**TABLE, "Key": KEY}}
CHECK = {"ConditionCheck": {**TABLE, "Key": KEY, "ConditionExpression": "attribute_exists(pk)"}}
UNUSED = "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}"


def read(body: dict[str, Any]) -> TransactWriteItemsRequest:
    """The request of a JSON body."""
    return transact_write_items.from_body(body, is_json=True)


def of(*members: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"TransactItems": [*members], **others}


def with_(member: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A member of a transaction with other parameters; None: without."""
    ((kind, body),) = member.items()
    return {kind: {name: value for name, value in {**body, **more}.items() if value is not None}}


def test_all_four_kinds() -> None:
    """In the order given, each with its condition and what is to be told if that does not hold."""
    put = with_(PUT, ConditionExpression="attribute_not_exists(pk)", ReturnValuesOnConditionCheckFailure="ALL_OLD")
    request = read(of(put, UPDATE, DELETE, CHECK))
    assert [*map(type, request.writes)] == [
        PutItemRequest,
        UpdateItemRequest,
        DeleteItemRequest,
        ConditionCheckRequest,
    ]
    first, second, third, fourth = request.writes
    assert isinstance(first, PutItemRequest) and isinstance(second, UpdateItemRequest)
    assert isinstance(third, DeleteItemRequest) and isinstance(fourth, ConditionCheckRequest)
    assert (first.table_name, first.item, first.options.returns_on_failure) == ("music", KEY, True)
    assert first.options.condition is not None and first.options.condition.paths == {("pk",)}
    assert second.key == KEY and second.update is not None and second.update.values == VALUE
    assert third == DeleteItemRequest("music", KEY)
    assert fourth.key == KEY and fourth.options.condition is not None
    assert (request.client_token, request.capacity, request.metrics) == ("", "NONE", False)


def test_what_is_asked_of_it_as_a_whole() -> None:
    """The token that names it, and what is to be told."""
    request = read(
        of(PUT, ClientRequestToken="t" * 36, ReturnConsumedCapacity="TOTAL", ReturnItemCollectionMetrics="SIZE")
    )
    assert (request.client_token, request.capacity, request.metrics) == ("t" * 36, "TOTAL", True)


def test_a_table_by_its_resource_name() -> None:
    """Is the table."""
    arn = "arn:aws:dynamodb:local:000000000000:table/music"
    assert read(of(with_(PUT, TableName=arn))).writes[0].table_name == "music"


def test_what_the_model_does_not_have_is_ignored() -> None:
    """Parameters of single writes, also those of old; a member that is null is one that is absent."""
    odd = with_(PUT, Expected={"pk": {"Exists": False}}, ReturnValues="ALL_OLD", ReturnConsumedCapacity="TOTAL")
    assert read(of({**odd, "Delete": None, "Other": {}})) == read(of(PUT))


def test_a_hundred_and_no_more() -> None:
    """What is too many is shown, but not all of it."""
    assert len(read(of(*[PUT] * 100)).writes) == 100
    code, message = refusal(read, of(*[PUT] * 101))
    assert code == "ValidationException" and len(message) < 1500
    assert message.startswith("1 validation error detected: Value '[{Put={")
    assert message.endswith(
        "' at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100"
    )


CONSTRAINT = "Value '{}' at '{}' failed to satisfy constraint: Member must {}"
ENUM = CONSTRAINT.format("BOGUS", "returnConsumedCapacity", "satisfy enum value set: [INDEXES, TOTAL, NONE]")
METRICS = CONSTRAINT.format("BOGUS", "returnItemCollectionMetrics", "satisfy enum value set: [SIZE, NONE]")
LONG = CONSTRAINT.format("x" * 37, "clientRequestToken", "have length less than or equal to 36")
PATTERN = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, NULL_MEMBER.format("transactItems")),
        (of(), "1 " + CONSTRAINT.format("[]", "transactItems", "have length greater than or equal to 1")),
        (of(PUT, ReturnConsumedCapacity="BOGUS"), "1 " + ENUM),
        (
            of(PUT, ReturnConsumedCapacity="BOGUS", ReturnItemCollectionMetrics="BOGUS"),
            f"2 {ENUM}; {METRICS}",
        ),
        (of(PUT, ClientRequestToken="x" * 37), "1 " + LONG),
        (of(PUT, ClientRequestToken="x" * 37, ReturnConsumedCapacity="BOGUS"), f"2 {LONG}; {ENUM}"),
        (
            of(PUT, ClientRequestToken=""),
            "1 " + CONSTRAINT.format("", "clientRequestToken", "have length greater than or equal to 1"),
        ),
        (of(PUT, with_(PUT, Item=None)), NULL_MEMBER.format("transactItems.2.member.put.item")),
        (of(PUT, None), NULL_MEMBER.format("transactItems.2.member")),  # type: ignore[arg-type]
        (
            of(with_(CHECK, ConditionExpression=None)),
            NULL_MEMBER.format("transactItems.1.member.conditionCheck.conditionExpression"),
        ),
        (
            of(with_(UPDATE, UpdateExpression=None)),
            NULL_MEMBER.format("transactItems.1.member.update.updateExpression"),
        ),
        (
            of(with_(PUT, TableName="bad!name")),
            "1 " + CONSTRAINT.format("bad!name", "transactItems.1.member.put.tableName", PATTERN),
        ),
        (
            of(PUT, with_(UPDATE, TableName="bad!name"), with_(CHECK, TableName="worse!name")),
            f"2 {CONSTRAINT.format('bad!name', 'transactItems.2.member.update.tableName', PATTERN)}; "
            + CONSTRAINT.format("worse!name", "transactItems.3.member.conditionCheck.tableName", PATTERN),
        ),
        (
            of({"Delete": {**TABLE, "TableName": "ab", "Key": KEY}}),
            "1 "
            + CONSTRAINT.format(
                "ab", "transactItems.1.member.delete.tableName", "have length greater than or equal to 3"
            ),
        ),
    ],
)
def test_what_breaks_the_model(body: dict[str, Any], message: str) -> None:
    """All of it is told at once, and where it is; the request is not read any further."""
    code, found = refusal(read, body)
    assert code == "ValidationException"
    for count in "12":
        message = message.replace(f"{count} Value", f"{count} validation error{'s' * (count > '1')} detected: Value", 1)
    assert found == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (of({}), "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"),
        (of({"Other": {}}), "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"),
        (of(PUT, {**PUT, **DELETE}), "TransactItems can only contain one of Check, Put, Update or Delete"),
        (of(with_(PUT, Item={"pk": {}})), EMPTY_VALUE),
        (of(with_(PUT, Item={"pk": nested(33)})), NESTED_TOO_DEEPLY),
        (of(with_(PUT, Item={"pk": {"S": "x" * 409_600}})), TOO_LARGE),
        (
            of(with_(PUT, ConditionExpression="")),
            "Invalid ConditionExpression: The expression can not be empty;",
        ),
        (
            of(with_(CHECK, ConditionExpression="attribute_not_exists(")),
            'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "("',
        ),
        (of(with_(UPDATE, UpdateExpression="")), "Invalid UpdateExpression: The expression can not be empty;"),
        (of(with_(CHECK, ExpressionAttributeValues=VALUE)), UNUSED),
        (
            of(with_(DELETE, ExpressionAttributeValues=VALUE)),
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            of(with_(PUT, ExpressionAttributeNames={"#a": "a"})),
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
    ],
)
def test_what_one_member_has_wrong(body: dict[str, Any], message: str) -> None:
    """Is the whole request's error, without the envelope that single writes have."""
    assert refusal(read, body) == ("ValidationException", message)


def test_the_first_member_that_is_wrong_is_told_of() -> None:
    """In the order of the request."""
    deep = with_(PUT, Item={"pk": nested(33)})
    unused = with_(CHECK, ExpressionAttributeValues=VALUE)
    assert refusal(read, of(deep, unused))[1] == NESTED_TOO_DEEPLY
    assert refusal(read, of(unused, deep))[1] == UNUSED


def test_four_megabytes_and_no_more() -> None:
    """Of items, keys and what updates put into items, together."""
    puts = [with_(PUT, Item={"pk": {"S": "x" * (400 * 1024 - 2)}})] * 9
    update = with_(UPDATE, ExpressionAttributeValues={":v": {"S": "x" * (400 * 1024 - 5)}})
    rest = {"S": "x" * (96 * 1024 - 2)}
    assert len(read(of(*puts, update, with_(DELETE, Key={"pk": rest}))).writes) == 11
    assert refusal(read, of(*puts, update, with_(DELETE, Key={"pkx": rest}))) == (
        "ValidationException",
        "The aggregate size of the items in the transaction exceeds 4 MB",
    )


def turned(value: Any, rng: random.Random) -> Any:
    """The same value: maps and sets in another order."""
    if isinstance(value, dict):
        names = [*value]
        rng.shuffle(names)
        return {
            name: rng.sample(value[name], len(value[name]))
            if name in ("SS", "NS", "BS") and isinstance(value[name], list)
            else turned(value[name], rng)
            for name in names
        }
    return [turned(each, rng) for each in value] if isinstance(value, list) else value


@given(items, st.randoms(use_true_random=False))
def test_the_order_of_maps_and_sets_does_not_count(item: Any, rng: random.Random) -> None:
    """Two requests that do the same are the same."""
    values = {":v": {"M": item}}
    writes = (
        with_(PUT, Item=item),
        with_(UPDATE, ExpressionAttributeValues=values),
        with_(CHECK, ConditionExpression="a = :v", ExpressionAttributeValues=values),
    )
    try:
        one = transact_write_items.from_body(of(*writes), is_json=False)
    except ValidationError:  # too deep, as a value in a map: not what this is about
        return
    other = transact_write_items.from_body(of(*[turned(each, rng) for each in writes]), is_json=False)
    assert request_hash(one) == request_hash(other)
    assert len(request_hash(one)) == 16


def test_what_does_not_count_in_a_hash() -> None:
    """How a number, a table or an expression is written, the token, and what is to be told."""
    known = request_hash(read(of(with_(PUT, Item={"pk": {"N": "1"}}, ConditionExpression="a=b"))))
    same = with_(
        PUT,
        Item={"pk": {"N": "1.0"}},
        TableName="arn:aws:dynamodb:local:000000000000:table/music",
        ConditionExpression=" a  = #b",
        ExpressionAttributeNames={"#b": "b"},
    )
    others = {"ClientRequestToken": "t", "ReturnConsumedCapacity": "TOTAL", "ReturnItemCollectionMetrics": "SIZE"}
    assert request_hash(read(of(same, **others))) == known


def test_what_counts_in_a_hash() -> None:
    """All that is to be done, and the order of the members."""
    condition = {"ConditionExpression": "attribute_exists(a)"}
    bodies = [
        of(PUT),
        of(DELETE),
        of(UPDATE),
        of(CHECK),
        of(PUT, DELETE),
        of(DELETE, PUT),
        of(with_(PUT, TableName="films")),
        of(with_(PUT, Item={"pk": {"S": "b"}})),
        of(with_(PUT, Item={"pk": {"B": "YQ=="}})),
        of(with_(PUT, Item={"pk": {"L": [{"S": "a"}, {"S": "b"}]}})),
        of(with_(PUT, Item={"pk": {"L": [{"S": "b"}, {"S": "a"}]}})),
        of(with_(PUT, **condition)),
        of(with_(PUT, **condition, ReturnValuesOnConditionCheckFailure="ALL_OLD")),
        of(with_(PUT, ConditionExpression="attribute_not_exists(a)")),
        of(with_(PUT, ConditionExpression="a = :v", ExpressionAttributeValues=VALUE)),
        of(with_(PUT, ConditionExpression="a = :v", ExpressionAttributeValues={":v": {"S": "y"}})),
        of(with_(UPDATE, **condition)),
        of(with_(UPDATE, UpdateExpression="SET b = :v")),
        of(with_(UPDATE, ExpressionAttributeValues={":v": {"S": "y"}})),
        of(with_(DELETE, **condition)),
    ]
    assert len({request_hash(read(body)) for body in bodies}) == len(bodies)
