"""Which items have expired (developer guide, "Time to Live")."""

from __future__ import annotations

from decimal import Decimal

from server.model.item import Item

FORGOTTEN_AFTER_S = 5 * 365 * 24 * 3600
"""What should have gone longer ago than five years is taken for a mistake, and stays."""


def has_expired(item: Item, attribute: str, now_s: int) -> bool:
    """Whether the item's time is over: its attribute is a number, of seconds since 1970."""
    value = item.get(attribute)
    if value is None or "N" not in value:
        return False
    return now_s - FORGOTTEN_AFTER_S <= Decimal(value["N"]) <= now_s
