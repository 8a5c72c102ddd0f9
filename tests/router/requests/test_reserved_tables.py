"""The system's own tables: no client can make one, nor use or see one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.requests import (
    batch_get_item,
    batch_write_item,
    create_table,
    delete_item,
    get_item,
    put_item,
    query,
    scan,
    stream_requests,
    table_requests,
    tags,
    time_to_live,
    transact_get_items,
    transact_write_items,
    update_item,
    update_table,
)
from server.model.table import table_arn
from tests.router.requests.failing import refusal

NAME = "stator.transactions"
KEY = {"id": {"S": "a"}}
NAMED = {"TableName": NAME}
NOT_FOUND = ("ResourceNotFoundException", "Requested resource not found")
NO_TABLE = (NOT_FOUND[0], f"{NOT_FOUND[1]}: Table: {NAME} not found")
NO_RESOURCE = (NOT_FOUND[0], f"{NOT_FOUND[1]}: ResourcArn: {table_arn(NAME)} not found")
TAGS = {"ResourceArn": table_arn(NAME), "Tags": [{"Key": "a", "Value": "b"}], "TagKeys": ["a"]}


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (put_item.from_body, {**NAMED, "Item": KEY}),
        (put_item.from_body, {"TableName": table_arn(NAME), "Item": KEY}),
        (get_item.from_body, {**NAMED, "Key": KEY}),
        (update_item.from_body, {**NAMED, "Key": KEY}),
        (delete_item.from_body, {**NAMED, "Key": KEY}),
        (query.from_body, {**NAMED, "KeyConditionExpression": "id = a"}),
        (scan.from_body, NAMED),
        (batch_get_item.from_body, {"RequestItems": {"music": {"Keys": [KEY]}, NAME: {"Keys": [KEY]}}}),
        (batch_write_item.from_body, {"RequestItems": {NAME: [{"DeleteRequest": {"Key": KEY}}]}}),
        (transact_get_items.from_body, {"TransactItems": [{"Get": {**NAMED, "Key": KEY}}]}),
        (transact_write_items.from_body, {"TransactItems": [{"Delete": {**NAMED, "Key": KEY}}]}),
    ],
)
def test_their_items_are_not_there(read: Callable[..., Any], body: dict[str, Any]) -> None:
    """As those of a table that does not exist."""
    assert refusal(read, body, is_json=True) == NOT_FOUND


@pytest.mark.parametrize(
    ("read", "body", "answer"),
    [
        (table_requests.describe_from_body, NAMED, NO_TABLE),
        (table_requests.delete_from_body, {"TableName": table_arn(NAME)}, NO_TABLE),
        (update_table.from_body, {**NAMED, "DeletionProtectionEnabled": False}, NO_TABLE),
        (time_to_live.describe_from_body, NAMED, NO_TABLE),
        (
            time_to_live.update_from_body,
            {**NAMED, "TimeToLiveSpecification": {"AttributeName": "a", "Enabled": True}},
            NO_TABLE,
        ),
        (stream_requests.list_from_body, NAMED, NO_TABLE),
        (tags.tag_from_body, TAGS, NO_RESOURCE),
        (tags.untag_from_body, TAGS, NO_RESOURCE),
        (tags.list_from_body, TAGS, NO_RESOURCE),
    ],
)
def test_they_are_not_there(read: Callable[..., Any], body: dict[str, Any], answer: tuple[str, str]) -> None:
    """In the words that an operation has for a table that does not exist."""
    assert refusal(read, body, is_json=True) == answer


def test_nobody_can_make_one() -> None:
    """It is told why."""
    body = {
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    assert refusal(create_table.from_body, {**body, "TableName": "stator.mine"}, is_json=True) == (
        "ValidationException",
        "One or more parameter values were invalid: Table names that begin with stator. are reserved",
    )
    for name in ("stator", "stators.mine", "Stator.mine"):
        assert create_table.from_body({**body, "TableName": name}, is_json=True).table_name == name
