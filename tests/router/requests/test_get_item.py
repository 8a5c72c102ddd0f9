"""GetItem: what only it has, whether the read is strongly consistent."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import get_item
from tests.router.requests.failing import refusal

BODY: dict[str, Any] = {"TableName": "music", "Key": {"pk": {"S": "a"}}}


@pytest.mark.parametrize(("given", "expected"), [({}, False), (True, True), (False, False), (None, False)])
def test_consistency(given: Any, expected: bool) -> None:
    """Eventual unless asked for."""
    body = BODY if given == {} else BODY | {"ConsistentRead": given}
    assert get_item.from_json(body).is_consistent is expected
    assert get_item.from_model("music", {"pk": {"S": "a"}}, expected) == get_item.from_json(body)


@pytest.mark.parametrize("given", ["true", 1, []])
def test_consistency_is_a_boolean(given: Any) -> None:
    """A text that says true would be read as true even if it said false."""
    assert refusal(get_item.from_json, BODY | {"ConsistentRead": given}) == (
        "SerializationException",
        "ConsistentRead must be a boolean",
    )
