"""What is asked of the members of a transaction together: which of them is the whole request's error."""

from __future__ import annotations

import pytest

from router.requests.transactions import check_all, check_distinct, check_names, refused
from server.model.errors import (
    NO_REASON,
    TransactionCanceledError,
    ValidationError,
    condition_reason,
    validation_reason,
)
from tests.router.requests.failing import refusal

TWICE = ("ValidationException", "Transaction request cannot include multiple operations on one item")
EMPTY = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain"
UNFIT = "The provided key element does not match the schema"
KEYS = [("a", b"1"), ("a", b"2")]


def test_no_item_twice() -> None:
    """Of one table: in another one the same key is another item's."""
    check_distinct([("a", b"1"), ("a", b"2"), ("b", b"1")])
    assert refusal(check_distinct, [("a", b"1"), ("b", b"1"), ("a", b"1")]) == TWICE


def test_every_table_is_named() -> None:
    """By its name or its resource name; what is no name of a table is told of, and where it is."""
    arn = "arn:aws:dynamodb:local:000000000000:table/"
    put = {"Put": {"TableName": f"{arn}music"}}
    check_names([put, {"Get": {"TableName": "films"}}])
    _, message = refusal(check_names, [put, {"Get": {"TableName": f"{arn}b!"}}])
    assert message.startswith("2 validation errors detected: Value 'b!' at 'transactItems.2.member.get.tableName' ")


def test_a_refusal_is_for_reasons() -> None:
    """That an update would make an index's key empty, DynamoDB says before it begins: it is no reason."""
    error = refused([NO_REASON, validation_reason(EMPTY), condition_reason()])
    assert type(error) is ValidationError and error.message == EMPTY
    reasons = (condition_reason(), NO_REASON)
    cancelled = refused(reasons)
    assert isinstance(cancelled, TransactionCanceledError) and cancelled.reasons == reasons


def test_what_is_wrong_comes_in_an_order() -> None:
    """An empty key, an item that is there twice, then what cancels the transaction."""
    unfit, empty = ValidationError(UNFIT), ValidationError(EMPTY)
    check_all([None, None], KEYS)
    assert refusal(check_all, [None, unfit, None, empty, None], [*KEYS, KEYS[0]]) == ("ValidationException", EMPTY)
    assert refusal(check_all, [None, unfit, None, None], [*KEYS, KEYS[0]]) == TWICE
    with pytest.raises(TransactionCanceledError) as raised:
        check_all([None, unfit, None], KEYS)
    assert raised.value.reasons == (NO_REASON, validation_reason(UNFIT), NO_REASON)
