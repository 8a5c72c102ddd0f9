"""Attribute values by themselves and in their order. Numbers are canonical, as in all items."""

from __future__ import annotations

from decimal import Decimal

from server.model.item import AttributeValue

SET_TYPES = frozenset(("SS", "NS", "BS"))
ORDERED_TYPES = frozenset(("S", "N", "B"))
TYPES = ("S", "N", "B", "SS", "NS", "BS", "L", "M", "BOOL", "NULL")


def kind_of(value: AttributeValue) -> str:
    """The type of a value."""
    for kind in value:
        return kind
    raise AssertionError("an attribute value has a type")


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


def size_of(value: AttributeValue) -> AttributeValue | None:
    """The size of a value, a number: characters of a string, bytes of a binary, members, elements or entries; None for
    what has none."""
    ((kind, content),) = value.items()
    return None if kind in ("N", "BOOL", "NULL") else {"N": str(len(content))}
