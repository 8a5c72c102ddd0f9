"""Descriptions: that the one which holds itself does."""

from __future__ import annotations

from router.requests.shapes import ATTRIBUTE_VALUE, ListOf, MapOf


def test_attribute_values_nest() -> None:
    """In lists and in maps."""
    in_list, in_map = ATTRIBUTE_VALUE.members["L"], ATTRIBUTE_VALUE.members["M"]
    assert isinstance(in_list, ListOf) and in_list.element is ATTRIBUTE_VALUE
    assert isinstance(in_map, MapOf) and in_map.value is ATTRIBUTE_VALUE
