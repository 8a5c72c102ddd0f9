"""Conditions as functions of an item and of the values of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from server.expressions.codec import CorruptTreeError
from server.expressions.comparison import Comparisons
from server.expressions.document_path import compile_path
from server.expressions.trees import (
    And,
    Attribute,
    Between,
    Comparison,
    ConditionTree,
    Function,
    In,
    Not,
    Operand,
    Value,
)
from server.expressions.values import begins_with, order_of, size_of
from server.model.item import AttributeValue, Item

Check: TypeAlias = Callable[[Item, Item], bool]
"""(the item, or {} if there is none; values by placeholder) to whether the condition holds."""

Read: TypeAlias = Callable[[Item, Item], AttributeValue | None]


def compile_condition(tree: ConditionTree) -> Check:
    """The function of a tree. Recursion is bounded, as a text has at most so many operators."""
    comparisons = Comparisons()
    check = _Compiler(comparisons).condition(tree)

    def evaluate(item: Item, values: Item) -> bool:
        try:
            return check(item, values)
        finally:
            if comparisons.is_used:
                comparisons.forget()

    return evaluate


class _Compiler:
    """Makes the functions of one tree, which share what they find out in an evaluation."""

    def __init__(self, comparisons: Comparisons) -> None:
        self._are_equal = comparisons.are_equal
        self._contains = comparisons.contains

    def condition(self, tree: ConditionTree) -> Check:
        if isinstance(tree, Comparison):
            return self._comparison(tree)
        if isinstance(tree, Function):
            return self._function(tree)
        if isinstance(tree, Between):
            return _between(tree)
        if isinstance(tree, In):
            return self._in(tree)
        if isinstance(tree, Not):
            condition = self.condition(tree.condition)
            return lambda item, values: not condition(item, values)
        conditions = [self.condition(each) for each in tree.conditions]
        return _all(conditions) if isinstance(tree, And) else _any(conditions)

    def _comparison(self, tree: Comparison) -> Check:
        left, right = _operand(tree.left), _operand(tree.right)
        if tree.operator in ("=", "<>"):
            return self._equality(left, right, wanted=tree.operator == "=")
        return _order(left, right, _HOLDS[tree.operator])

    def _equality(self, left: Read, right: Read, *, wanted: bool) -> Check:
        """What is not there equals nothing, and not even what is not there either."""
        are_equal = self._are_equal

        def compare(item: Item, values: Item) -> bool:
            one = left(item, values)
            if one is None:
                return not wanted
            other = right(item, values)
            if other is None:
                return not wanted
            return are_equal(one, other) is wanted

        return compare

    def _in(self, tree: In) -> Check:
        operand = _operand(tree.operand)
        members = tuple([_operand(member) for member in tree.members])
        are_equal = self._are_equal

        def check(item: Item, values: Item) -> bool:
            value = operand(item, values)
            if value is None:
                return False
            for member in members:
                other = member(item, values)
                if other is not None and are_equal(value, other):
                    return True
            return False

        return check

    def _function(self, tree: Function) -> Check:
        first = tree.operands[0]
        if tree.name in ("attribute_exists", "attribute_not_exists"):
            assert isinstance(first, Attribute), "checked when the text was parsed"
            return _existence(first, wanted=tree.name == "attribute_exists")
        left, right = _operand(first), _operand(tree.operands[1])
        decide = self._contains if tree.name == "contains" else _DECIDE[tree.name]

        def check(item: Item, values: Item) -> bool:
            one = left(item, values)
            if one is None:
                return False
            other = right(item, values)
            return other is not None and decide(one, other)

        return check


def _all(conditions: list[Check]) -> Check:
    first, *others = conditions

    def check(item: Item, values: Item) -> bool:
        holds = first(item, values)
        for condition in others:
            if not holds:
                break
            holds = condition(item, values)
        return holds

    return check


def _any(conditions: list[Check]) -> Check:
    first, *others = conditions

    def check(item: Item, values: Item) -> bool:
        holds = first(item, values)
        for condition in others:
            if holds:
                break
            holds = condition(item, values)
        return holds

    return check


def _operand(operand: Operand) -> Read:
    if isinstance(operand, Attribute):
        if len(operand.path) == 1:
            attribute = operand.path[0]
            return lambda item, _: item.get(attribute)  # type: ignore[arg-type]
        at_path = compile_path(operand.path)
        return lambda item, _: at_path(item)
    if isinstance(operand, Value):
        return _value(operand.name)
    inner = _operand(operand.operands[0])

    def size(item: Item, values: Item) -> AttributeValue | None:
        value = inner(item, values)
        return None if value is None else size_of(value)

    return size


def _value(name: str) -> Read:
    def read(_: Item, values: Item) -> AttributeValue:
        try:
            return values[name]
        except KeyError:
            raise CorruptTreeError(f"a tree with a value that did not come with it: {name}") from None

    return read


def _order(left: Read, right: Read, holds: Callable[[int], bool]) -> Check:
    def compare(item: Item, values: Item) -> bool:
        one = left(item, values)
        if one is None:
            return False
        other = right(item, values)
        if other is None:
            return False
        order = order_of(one, other)
        return order is not None and holds(order)

    return compare


_HOLDS: Final[dict[str, Callable[[int], bool]]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def _between(tree: Between) -> Check:
    operand, lower, upper = _operand(tree.operand), _operand(tree.lower), _operand(tree.upper)

    def check(item: Item, values: Item) -> bool:
        value, low, high = operand(item, values), lower(item, values), upper(item, values)
        if value is None or low is None or high is None:
            return False
        above = order_of(value, low)
        if above is None or above < 0:
            return False
        below = order_of(value, high)
        return below is not None and below <= 0

    return check


def _existence(operand: Attribute, *, wanted: bool) -> Check:
    if len(operand.path) == 1:
        name = operand.path[0]
        if wanted:
            return lambda item, _: name in item
        return lambda item, _: name not in item
    at_path = compile_path(operand.path)
    return lambda item, _: (at_path(item) is not None) is wanted


_DECIDE: Final[dict[str, Callable[[AttributeValue, AttributeValue], bool]]] = {
    "attribute_type": lambda value, kind: kind.get("S") in value,
    "begins_with": begins_with,
}
