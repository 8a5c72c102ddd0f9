"""What the actions of an update make: from the item as it was, from values of the request, from what is at a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from server.expressions.document_path import compile_path
from server.expressions.trees import AddAction, Arithmetic, Attribute, DeleteAction, UpdateOperand, Value
from server.expressions.values import SET_TYPES
from server.model.errors import ValidationError
from server.model.item import AttributeValue, Item
from server.model.limits import ITEM_BYTES_MAX
from server.model.number import add_numbers, subtract_numbers

Make: TypeAlias = Callable[[Item, Item], AttributeValue]
"""(the item as it was, values by placeholder) to a value; raises ValidationError."""

Change: TypeAlias = Callable[[AttributeValue | None, Item, Item], AttributeValue | None]
"""(what is at the path, or None; the item as it was; values by placeholder) to what is there then, or None; raises
ValidationError."""

WRONG_TYPE: Final = "An operand in the update expression has an incorrect data type"
WRONG_TYPE_LEGACY: Final = "Type mismatch for attribute to update"
TOO_LARGE: Final = "Item size to update has exceeded the maximum allowed size"
_NO_ATTRIBUTE: Final = "The provided expression refers to an attribute that does not exist in the item"


def compile_operand(operand: UpdateOperand) -> Make:
    """The function of what SET assigns. Recursion is bounded, as a text has at most so many operators."""
    if isinstance(operand, Value):
        name = operand.name
        return lambda _, values: values[name]
    if isinstance(operand, Attribute):
        return _attribute(operand)
    if isinstance(operand, Arithmetic):
        return _arithmetic(operand)
    first, second = operand.operands
    if operand.name == "list_append":
        return _list_append(compile_operand(first), compile_operand(second))
    assert operand.name == "if_not_exists" and isinstance(first, Attribute), "checked when the text was parsed"
    return _if_not_exists(first, compile_operand(second))


def compile_add(action: AddAction, *, is_legacy: bool) -> Change:
    """The function of ADD: a number more, members more; in AttributeUpdates elements more as well."""
    name = action.value.name

    def add(old: AttributeValue | None, _: Item, values: Item) -> AttributeValue | None:
        operand = values[name]
        if old is None:
            return operand
        ((kind, content),) = operand.items()
        there = old.get(kind)
        if there is None:
            raise ValidationError(WRONG_TYPE_LEGACY if is_legacy else WRONG_TYPE)
        if kind == "N":
            return {"N": add_numbers(there, content)}
        if kind == "L":
            return _appended(there, content)
        return {kind: list(dict.fromkeys((*there, *content)))}

    return add


def compile_delete(action: DeleteAction, *, is_legacy: bool) -> Change:
    """The function of DELETE: members less; no set where none is left."""
    name = action.value.name

    def delete(old: AttributeValue | None, _: Item, values: Item) -> AttributeValue | None:
        if old is None:
            return None
        ((kind, content),) = values[name].items()
        there: list[Any] | None = old.get(kind)
        if there is None or kind not in SET_TYPES:
            raise ValidationError(WRONG_TYPE_LEGACY if is_legacy else WRONG_TYPE)
        taken = frozenset(content)
        members = [member for member in there if member not in taken]
        return {kind: members} if members else None

    return delete


def _appended(one: list[AttributeValue], other: list[AttributeValue]) -> AttributeValue:
    """Raises ValidationError at once if no item has room for so many elements: they may be appended again and again."""
    if len(one) + len(other) > ITEM_BYTES_MAX:
        raise ValidationError(TOO_LARGE)
    return {"L": [*one, *other]}


def _attribute(operand: Attribute) -> Make:
    read = compile_path(operand.path)

    def make(item: Item, _: Item) -> AttributeValue:
        value = read(item)
        if value is None:
            raise ValidationError(_NO_ATTRIBUTE)
        return value

    return make


def _if_not_exists(operand: Attribute, default: Make) -> Make:
    read = compile_path(operand.path)

    def make(item: Item, values: Item) -> AttributeValue:
        value = read(item)
        return default(item, values) if value is None else value

    return make


def _arithmetic(operand: Arithmetic) -> Make:
    left, right = compile_operand(operand.left), compile_operand(operand.right)
    combine = add_numbers if operand.operator == "+" else subtract_numbers

    def make(item: Item, values: Item) -> AttributeValue:
        one, other = left(item, values).get("N"), right(item, values).get("N")
        if one is None or other is None:
            raise ValidationError(WRONG_TYPE)
        return {"N": combine(one, other)}

    return make


def _list_append(left: Make, right: Make) -> Make:
    def make(item: Item, values: Item) -> AttributeValue:
        one, other = left(item, values).get("L"), right(item, values).get("L")
        if one is None or other is None:
            raise ValidationError(WRONG_TYPE)
        return _appended(one, other)

    return make
