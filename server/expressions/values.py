"""Attribute values beside each other: equal, ordered, contained, measured. Numbers are canonical, as in all items."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from server.model.item import AttributeValue

SET_TYPES = frozenset(("SS", "NS", "BS"))
ORDERED_TYPES = frozenset(("S", "N", "B"))
_SCALAR_TYPES = frozenset(("S", "N", "B", "BOOL", "NULL"))
TYPES = ("S", "N", "B", "SS", "NS", "BS", "L", "M", "BOOL", "NULL")


def kind_of(value: AttributeValue) -> str:
    """The type of a value."""
    for kind in value:
        return kind
    raise AssertionError("an attribute value has a type")


def are_equal(left: AttributeValue, right: AttributeValue) -> bool:
    """Whether two values are the same: of one type, deeply, sets in whichever order."""
    if left == right:  # as most equal values are; and canonical numbers are as equal as their text
        return True
    ((kind, content),) = left.items()
    other: Any = right.get(kind)
    if other is None:
        return False
    if kind in SET_TYPES:
        return len(content) == len(other) and set(content) == set(other)
    if kind == "L":
        return len(content) == len(other) and _all_equal(content, other)
    if kind == "M":
        return content.keys() == other.keys() and _all_equal(content.values(), [other[name] for name in content])
    return False


def _all_equal(lefts: Any, rights: Any) -> bool:
    return all(are_equal(left, right) for left, right in zip(lefts, rights, strict=True))


def order_of(left: AttributeValue, right: AttributeValue) -> int | None:
    """Less than, equal to or greater than 0, as left is beside right; None if they have no order: of other types than
    S, N, B, or of two. Strings order by code points, which is the order of their UTF-8 bytes."""
    ((kind, content),) = left.items()
    if kind not in ORDERED_TYPES:
        return None
    other = right.get(kind)
    if other is None:
        return None
    if kind == "N":
        content, other = Decimal(content), Decimal(other)
    if content == other:
        return 0
    return 1 if content > other else -1


def begins_with(value: AttributeValue, prefix: AttributeValue) -> bool:
    """Whether a string or binary begins with another."""
    for kind in ("S", "B"):
        if (content := value.get(kind)) is not None:
            start = prefix.get(kind)
            return start is not None and content.startswith(start)
    return False


def contains(value: AttributeValue, operand: AttributeValue) -> bool:
    """Whether a string or binary has another inside, a set a member, a list an equal element."""
    ((kind, content),) = value.items()
    ((operand_kind, wanted),) = operand.items()
    if kind == "L":
        if operand_kind in _SCALAR_TYPES:
            return operand in content
        return any(are_equal(element, operand) for element in content)
    if kind in SET_TYPES:
        return operand_kind == kind[0] and wanted in content
    return kind == operand_kind and kind in ("S", "B") and wanted in content


def size_of(value: AttributeValue) -> AttributeValue | None:
    """The size of a value, a number: characters of a string, bytes of a binary, members, elements or entries; None for
    what has none."""
    ((kind, content),) = value.items()
    return None if kind in ("N", "BOOL", "NULL") else {"N": str(len(content))}
