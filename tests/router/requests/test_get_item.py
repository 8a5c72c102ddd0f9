"""GetItem: what only it has, whether the read is strongly consistent and what of the item it returns."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import get_item
from tests.router.requests.failing import refusal

BODY: dict[str, Any] = {"TableName": "music", "Key": {"pk": {"S": "a"}}}


@pytest.mark.parametrize(
    ("given", "expected"), [({}, False), (True, True), (False, False), (None, False), ("true", True), ("No", False)]
)
def test_consistency(given: Any, expected: bool) -> None:
    """Eventual unless asked for; DynamoDB understands some words, too."""
    body = BODY if given == {} else BODY | {"ConsistentRead": given}
    assert get_item.from_body(body, is_json=True).is_consistent is expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("perhaps", "Unexpected token received from parser"),
        (1, "NUMBER_VALUE cannot be converted to Boolean"),
        (1.5, "DECIMAL_VALUE cannot be converted to Boolean"),
        ([], "Unrecognized collection type class java.lang.Boolean"),
        ({}, "Start of structure or map found where not expected"),
    ],
)
def test_consistency_is_a_boolean(given: Any, message: str) -> None:
    """In the words of DynamoDB's reader of JSON."""
    found = refusal(get_item.from_body, BODY | {"ConsistentRead": given}, is_json=True)
    assert found == ("SerializationException", message)
