"""Reading a JSON body's members: what is there, of which type, and nothing ignored in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from server.model.errors import SerializationError, ValidationError

T = TypeVar("T")

_NEUTRAL = {
    "ReturnValues": "NONE",
    "ReturnConsumedCapacity": "NONE",
    "ReturnItemCollectionMetrics": "NONE",
    "ReturnValuesOnConditionCheckFailure": "NONE",
}
"""Members that are accepted where they ask for nothing."""

_NAMES: Mapping[type, str] = {str: "a string", bool: "a boolean", int: "an integer", dict: "a map", list: "a list"}


def check_members(body: Mapping[str, Any], operation: str, supported: frozenset[str]) -> None:
    """Refuses members that this operation does not have, or has not yet. Raises ValidationError."""
    if body.keys() <= supported:
        return
    for name, value in body.items():
        if name in supported or value is None or _NEUTRAL.get(name) == value:
            continue
        shown = f" with the value {value}" if name in _NEUTRAL else ""
        raise ValidationError(f"The parameter {name}{shown} of {operation} is not supported yet")


def member(body: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """A member's value, or None if it is absent. Raises SerializationError if it is of another type."""
    value = body.get(name)
    if value is None or type(value) is kind:  # and not isinstance: true is no integer
        return value
    raise SerializationError(f"{name} must be {_NAMES[kind]}")


def required(body: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """As `member`; ValidationError if it is absent."""
    value = member(body, name, kind)
    if value is None:
        shown = name[0].lower() + name[1:]
        raise ValidationError(
            f"1 validation error detected: Value null at '{shown}' failed to satisfy constraint: "
            "Member must not be null"
        )
    return value
