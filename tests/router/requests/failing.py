"""What a request is refused with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.requests.reading import ENVELOPE
from server.model.errors import StatorError

NULL_MEMBER = "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null"
NAME_LENGTH = "TableName must be at least 3 characters long and at most 255 characters long"
SHORT_NAME = (
    "1 validation error detected: Value '{}' at 'tableName' failed to satisfy constraint: "
    "Member must have length greater than or equal to 3"
)
NAME_PATTERN = (
    "1 validation error detected: Value '{}' at 'tableName' failed to satisfy constraint: "
    "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
)
TOO_LARGE = "Item size has exceeded the maximum allowed size"
EMPTY_VALUE = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
NESTED_TOO_DEEPLY = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)


def refusal(read: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[str, str]:
    """(code, message) of the error that `read` raises; without the envelope of single writes, so that one table says
    what several operations refuse. `test_reading.py` says which have it."""
    with pytest.raises(StatorError) as raised:
        read(*arguments, **named)
    plain = raised.value.message.removeprefix(ENVELOPE)
    return raised.value.code, raised.value.message if plain.startswith("Value ") and " at '" in plain else plain


def nested(levels: int) -> dict[str, Any]:
    """A map value of so many levels."""
    value: dict[str, Any] = {"M": {}}
    for _ in range(levels - 1):
        value = {"M": {"a": value}}
    return value
