"""A request's names and values: what they must be, and that all are used."""

from __future__ import annotations

from typing import Any

import pytest

from server.expressions.expression import parse_condition, parse_projection, parse_update
from server.expressions.placeholders import Placeholders
from server.model.errors import ValidationError

V = {"S": "x"}
TOO_LONG = "contains invalid key: The expression attribute map contains a key that is too long; size of key: 256"
UNUSED = "Value provided in ExpressionAttribute{} unused in expressions: keys: {{{}}}"


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        ({}, None, "ExpressionAttributeNames must not be empty"),
        (None, {}, "ExpressionAttributeValues must not be empty"),
        ({"a": "x"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'),
        ({"#": "x"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#"'),
        ({"#a-b": "x"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#a-b"'),
        ({"#a\n": "x"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "#a\n"'),
        (None, {"v": V}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: "v"'),
        (None, {":v:": V}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: ":v:"'),
        ({"#" + "a" * 255: "x"}, None, f"ExpressionAttributeNames {TOO_LONG}"),
        (None, {":" + "a" * 255: V}, f"ExpressionAttributeValues {TOO_LONG}"),
        (None, {":-" + "é" * 127: V}, f"ExpressionAttributeValues {TOO_LONG}"),
        ({"#a": ""}, None, "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a"),
        ({"#a": "x" * 65_536}, None, "Attribute name is too large, must be less than 65536 bytes"),
        ({"#a": "é" * 32_768}, None, "Attribute name is too large, must be less than 65536 bytes"),
        (None, {":v": {"S": "x" * (2 * 1024 * 1024 - 1)}}, "ExpressionAttributeValues exceeds max size"),
    ],
)
def test_what_they_must_be(names: Any, values: Any, message: str) -> None:
    """Shape of the placeholders, sizes."""
    with pytest.raises(ValidationError) as raised:
        Placeholders(names, values)
    assert raised.value.message == message


def test_limits_are_allowed() -> None:
    """Just so large."""
    Placeholders({"#" + "a" * 254: "x" * 65_535}, {":v": {"S": "x" * (2 * 1024 * 1024 - 2)}})
    Placeholders(None, None).check_all_used()


def test_all_must_be_used() -> None:
    """By all expressions together; names are told first."""
    placeholders = Placeholders({"#a": "x", "#b": "y", "#c": "z"}, {":v": V, ":w": V, ":x": V})
    parse_condition("#a = :v OR a = :v", placeholders)
    with pytest.raises(ValidationError) as raised:
        placeholders.check_all_used()
    assert raised.value.message == UNUSED.format("Names", "#b, #c")
    parse_projection("a.#b", placeholders)
    parse_update("SET a = if_not_exists(#c, :w)", placeholders)
    with pytest.raises(ValidationError) as raised:
        placeholders.check_all_used()
    assert raised.value.message == UNUSED.format("Values", ":x")
    parse_condition("a = :x", placeholders)
    placeholders.check_all_used()
