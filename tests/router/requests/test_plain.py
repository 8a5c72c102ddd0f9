"""Requests of nothing but a table's name and an item or a key: the short way to them ends where the long one does."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import get_item, put_item
from server.model.errors import StatorError

ITEM: dict[str, Any] = {"pk": {"S": "a"}, "n": {"N": "1.0"}}


def outcome(make: Any) -> object:
    """A request, or what is said of it."""
    try:
        return make()
    except StatorError as error:
        return type(error), error.message


@pytest.mark.parametrize("name", ["music", "x", "arn:aws:dynamodb:local:000000000000:table/music"])
@pytest.mark.parametrize(
    "item", [ITEM, {}, {"pk": {"N": "many"}}, {"pk": {"S": "x" * 500_000}}], ids=lambda item: str(item)[:30]
)
def test_the_short_way_says_the_same(name: str, item: dict[str, Any]) -> None:
    """Good requests and bad ones."""
    body = {"TableName": name}
    put = outcome(lambda: put_item.from_body(body | {"Item": item}, is_json=False))
    assert outcome(lambda: put_item.plain(name, item)) == put
    read = {"Key": item, "ConsistentRead": True}
    get = outcome(lambda: get_item.from_body(body | read, is_json=False))
    assert outcome(lambda: get_item.plain(name, item, is_consistent=True)) == get
