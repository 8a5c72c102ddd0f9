"""How operations read a body: a table's name and its ARN, and what becomes of a body that is not as most are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.requests import batch_write_item, delete_item, get_item, put_item, scan, update_item
from router.requests.reading import ENVELOPE, table_name_of
from server.model.errors import ValidationError
from tests.router.requests.failing import NAME_PATTERN, SHORT_NAME, refusal

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/"


@pytest.mark.parametrize("name", ["abc", "a" * 255, "A-z_0.9"])
@pytest.mark.parametrize("prefix", ["", ARN, ARN.replace("aws", "aws-cn"), ARN.replace("eu-west-1", "local")])
def test_a_name_and_an_arn(name: str, prefix: str) -> None:
    """Both give the name."""
    assert table_name_of(prefix + name) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ab", SHORT_NAME.format("ab")),
        (ARN + "ab", SHORT_NAME.format("ab")),
        ("a" * 256, SHORT_NAME.format("a" * 256).replace("greater than or equal to 3", "less than or equal to 255")),
        ("a/b", NAME_PATTERN.format("a/b")),
        ("abc\n", NAME_PATTERN.format("abc\n")),
        (ARN.replace("123456789012", "1") + "abc", NAME_PATTERN.format(ARN.replace("123456789012", "1") + "abc")),
        (ARN + "abc/index/def", NAME_PATTERN.format(ARN + "abc/index/def")),
        (ARN.replace("dynamodb", "sqs") + "abc", NAME_PATTERN.format(ARN.replace("dynamodb", "sqs") + "abc")),
        (
            "x!",
            "2 validation errors detected: Value 'x!' at 'tableName' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: [a-zA-Z0-9_.-]+; Value 'x!' at 'tableName' failed to satisfy constraint: "
            "Member must have length greater than or equal to 3",
        ),
    ],
)
def test_what_is_neither(text: str, message: str) -> None:
    """Is told as a name."""
    assert refusal(table_name_of, text) == ("ValidationException", message)


KEY = {"pk": {"S": "a"}}


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (put_item.from_body, {"TableName": "music", "Item": {"pk": {"S": "a", "N": "1"}}}),
        (put_item.from_body, {"TableName": "music", "Item": KEY, "ConditionExpression": ""}),
        (update_item.from_body, {"TableName": "music", "Key": KEY, "UpdateExpression": ""}),
        (delete_item.from_body, {"TableName": "music", "Key": KEY, "ExpressionAttributeNames": {"#a": "a"}}),
    ],
)
def test_what_is_wrong_with_a_single_write_comes_in_an_envelope(read: Callable[..., Any], body: Any) -> None:
    """And in one only."""
    for is_json in (True, False):
        with pytest.raises(ValidationError) as raised:
            read(body, is_json=is_json)
        assert raised.value.message.startswith(ENVELOPE)
        assert raised.value.message.count("detected") == 1


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (get_item.from_body, {"TableName": "music", "Key": KEY, "ProjectionExpression": ""}),
        (scan.from_body, {"TableName": "music", "FilterExpression": ""}),
        (batch_write_item.from_body, {"RequestItems": {"music": [{}]}}),
    ],
)
def test_other_operations_have_none(read: Callable[..., Any], body: Any) -> None:
    """Only what breaks the service model's constraints is said so there."""
    with pytest.raises(ValidationError) as raised:
        read(body, is_json=True)
    assert ENVELOPE not in raised.value.message


@pytest.mark.parametrize(
    ("read", "body", "message"),
    [
        (
            put_item.from_body,
            {"TableName": "music", "Item": {**KEY, "l": {"L": [{"S": ""}] * 900_000}}, "ReturnValues": "ALL_NEW"},
            ENVELOPE + "Item size has exceeded the maximum allowed size",
        ),
        (
            put_item.from_body,
            {"TableName": "music", "Item": {**KEY, "l": {"L": [{"S": ""}] * 500_000}}, "ReturnValues": "ALL_NEW"},
            ENVELOPE + "ReturnValues can only be ALL_OLD or NONE",
        ),
        (
            batch_write_item.from_body,
            {"RequestItems": {"music": [{"PutRequest": {"Item": {**KEY, "l": {"L": [{"S": ""}] * 500_000}}}}]}},
            "Item size has exceeded the maximum allowed size",
        ),
        (
            scan.from_body,
            {
                "TableName": "music",
                "FilterExpression": "a = :v",
                "ExpressionAttributeValues": {":v": {"L": [{"S": ""}] * 2_100_000}},
            },
            "ExpressionAttributeValues exceeds max size",
        ),
        (
            scan.from_body,
            {
                "TableName": "music",
                "FilterExpression": "a = :v",
                "ExpressionAttributeValues": {":v": {"S": "a" * 1_500_000}, ":w": {"S": "a" * 1_500_000}},
            },
            "ExpressionAttributeValues exceeds max size",
        ),
        (
            scan.from_body,
            {
                "TableName": "music",
                "FilterExpression": "a = :v",
                "ExpressionAttributeValues": {"v": {"S": "a" * 2_500_000}},
            },
            'ExpressionAttributeValues contains invalid key: Syntax error; key: "v"',
        ),
    ],
    ids=["far too large", "too large", "batch", "value", "values", "key"],
)
def test_what_is_too_large(read: Callable[..., Any], body: Any, message: str) -> None:
    """It is not looked at to its end, nor twice."""
    with pytest.raises(ValidationError) as raised:
        read(body, is_json=True)
    assert raised.value.message == message
