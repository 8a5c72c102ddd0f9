"""Values that are equal, and values inside others, for one evaluation of a condition.

A condition can look at the same large value a hundred times. What one comparison has found out is kept for the next,
so that an evaluation takes time that grows with the item, the values and the text, and not with their product.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from server.expressions.values import SET_TYPES
from server.model.item import AttributeValue

_SCALAR_TYPES: Final = frozenset(("S", "N", "B", "BOOL", "NULL"))
_LINEAR_MAX: Final = 16
"""Elements that are looked through one by one, however often."""


class Comparisons:
    """What is known of the values of one evaluation, by their identity: they must live, unchanged, until `forget`.

    Numbers are canonical, and so as equal as their text. Only sets can be equal and yet differ, in their order."""

    __slots__ = ("_are_equal", "_frozen", "_has_sets", "_indexes", "_searched", "is_used")

    def __init__(self) -> None:
        self.is_used = False
        self._are_equal: dict[tuple[int, int], bool] = {}
        self._has_sets: dict[int, bool] = {}
        self._frozen: dict[int, Hashable] = {}
        self._indexes: dict[int, frozenset[Any]] = {}
        self._searched: set[int] = set()

    def forget(self) -> None:
        """Ends the evaluation; nothing of its values is kept alive."""
        self.is_used = False
        self._are_equal.clear()
        self._has_sets.clear()
        self._frozen.clear()
        self._indexes.clear()
        self._searched.clear()

    def are_equal(self, left: AttributeValue, right: AttributeValue) -> bool:
        """Whether two values are the same: of one type, deeply, sets in whichever order."""
        ((kind, content),) = left.items()
        other = right.get(kind)
        if other is None or kind in _SCALAR_TYPES:
            return content == other  # type: ignore[no-any-return]
        self.is_used = True
        pair = id(left), id(right)
        known = self._are_equal.get(pair)
        if known is None:
            known = content == other or (
                len(content) == len(other)
                and self._may_have_orders(right)
                and self._frozen_of(left) == self._frozen_of(right)
            )
            self._are_equal[pair] = known
        return known

    def contains(self, value: AttributeValue, operand: AttributeValue) -> bool:
        """Whether a string or binary has another inside, a set a member, a list an equal element."""
        ((kind, content),) = value.items()
        ((operand_kind, wanted),) = operand.items()
        if kind == "L":
            return self._has_element(content, operand)
        if kind in SET_TYPES:
            return operand_kind == kind[0] and self._has_member(content, wanted)
        return kind == operand_kind and kind in ("S", "B") and wanted in content

    def _has_member(self, members: list[Any], wanted: Any) -> bool:
        if self._is_searched_again(members):
            index = self._indexes.get(id(members))
            if index is None:
                index = self._indexes[id(members)] = frozenset(members)
            return wanted in index
        return wanted in members

    def _has_element(self, elements: list[AttributeValue], operand: AttributeValue) -> bool:
        if not self._is_searched_again(elements):
            if operand in elements:
                return True
            if not self._may_have_orders(operand):
                return False
        self.is_used = True
        index = self._indexes.get(id(elements))
        if index is None:
            index = self._indexes[id(elements)] = frozenset([self._frozen_of(each) for each in elements])
        return self._frozen_of(operand) in index

    def _is_searched_again(self, content: list[Any]) -> bool:
        """Whether this is a list or a set that is large, and has been searched before."""
        if len(content) <= _LINEAR_MAX:
            return False
        self.is_used = True
        if id(content) in self._searched:
            return True
        self._searched.add(id(content))
        return False

    def _may_have_orders(self, value: AttributeValue) -> bool:
        """Whether a value is a set, or has one inside: others are equal only to what is the same altogether."""
        known = self._has_sets.get(id(value))
        if known is None:
            known = _has_sets(value)
            if "L" in value or "M" in value:
                self.is_used = True
                self._has_sets[id(value)] = known
        return known

    def _frozen_of(self, value: AttributeValue) -> Hashable:
        """What is equal, and has the same hash, for equal values. A frozenset knows its hash once it was asked for it:
        what is inside others is not gone through again with each of them."""
        ((kind, content),) = value.items()
        if kind in _SCALAR_TYPES:
            return kind, content
        frozen = self._frozen.get(id(value))
        if frozen is None:
            inside: Hashable
            if kind == "L":
                inside = tuple([self._frozen_of(each) for each in content])
            elif kind == "M":
                inside = frozenset([(name, self._frozen_of(each)) for name, each in content.items()])
            else:
                inside = frozenset(content)
            frozen = self._frozen[id(value)] = frozenset(((kind, inside),))
        return frozen


def _has_sets(value: AttributeValue) -> bool:
    """Whether a value is a set, or has one inside."""
    ((kind, content),) = value.items()
    if kind == "L":
        return any(map(_has_sets, content))
    if kind == "M":
        return any(map(_has_sets, content.values()))
    return kind in SET_TYPES
