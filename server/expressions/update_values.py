"""What the actions of an update make: from the item as it was, from values of the request, from what is at a path."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Final, TypeAlias

from server.expressions.codec import CorruptTreeError
from server.expressions.document_path import compile_path
from server.expressions.trees import (
    AddAction,
    Arithmetic,
    Attribute,
    DeleteAction,
    UpdateFunction,
    UpdateOperand,
    Value,
)
from server.expressions.values import SET_TYPES
from server.model.errors import ValidationError
from server.model.item import AttributeValue, Item
from server.model.limits import ITEM_BYTES_MAX
from server.model.number import add_numbers, subtract_numbers


class Application:
    """One update applied to one item. `item`: as it was; `values`: by placeholder."""

    __slots__ = ("_members", "_room", "item", "values")

    def __init__(self, item: Item, values: Item) -> None:
        self.item = item
        self.values = values
        self._room = ITEM_BYTES_MAX
        self._members: dict[str, frozenset[Any]] | None = None

    def take_room(self, count: int) -> None:
        """Notes that the new item has so many elements, entries or members more, each of which is at least a byte.
        Raises ValidationError at once if no item has room for all that was noted: an update can put the same large
        value into an item hundreds of times."""
        self._room -= count
        if self._room < 0:
            raise ValidationError(TOO_LARGE)

    def value(self, name: str) -> AttributeValue:
        """The value of a placeholder. Raises CorruptTreeError."""
        try:
            return self.values[name]
        except KeyError:
            raise CorruptTreeError(f"a tree with a value that did not come with it: {name}") from None

    def members(self, name: str) -> frozenset[Any]:
        """The members of the set that is the value of a placeholder."""
        if self._members is None:
            self._members = {}
        found = self._members.get(name)
        if found is None:
            (content,) = self.value(name).values()
            found = self._members[name] = frozenset(content)
        return found


Make: TypeAlias = Callable[[Application], AttributeValue]
"""Makes a value; raises ValidationError."""

Change: TypeAlias = Callable[[AttributeValue | None, Application], AttributeValue | None]
"""What is at the path, or None, to what is there then, or None; raises ValidationError."""

WRONG_TYPE: Final = "An operand in the update expression has an incorrect data type"
WRONG_TYPE_LEGACY: Final = "Type mismatch for attribute to update"
TOO_LARGE: Final = "Item size to update has exceeded the maximum allowed size"
_ADDED: Final = frozenset(("N", "L")) | SET_TYPES
_NO_ATTRIBUTE: Final = "The provided expression refers to an attribute that does not exist in the item"


def compile_operand(operand: UpdateOperand) -> Make:
    """The function of what SET assigns. Recursion is bounded, as a text has at most so many operators."""
    if isinstance(operand, Value):
        name = operand.name
        return lambda applied: applied.value(name)
    if isinstance(operand, Attribute):
        return _attribute(operand)
    if isinstance(operand, Arithmetic):
        return _arithmetic(operand)
    if operand.name == "list_append":
        return _list_append(operand)
    first, second = operand.operands
    assert operand.name == "if_not_exists" and isinstance(first, Attribute), "checked when the text was parsed"
    return _if_not_exists(first, compile_operand(second))


def compile_add(action: AddAction, *, is_legacy: bool) -> Change:
    """The function of ADD: a number more, members more; in AttributeUpdates elements more as well."""
    name = action.value.name

    def add(old: AttributeValue | None, applied: Application) -> AttributeValue | None:
        operand = applied.value(name)
        if old is None:
            return operand
        ((kind, content),) = operand.items()
        there = old.get(kind)
        if there is None or kind not in _ADDED:
            raise ValidationError(WRONG_TYPE_LEGACY if is_legacy else WRONG_TYPE)
        if kind == "N":
            return {"N": add_numbers(there, content)}
        if kind == "L":
            applied.take_room(len(there) + len(content))
            return {"L": [*there, *content]}
        applied.take_room(len(content) - 1)  # one of them may be the empty string
        return {kind: list(dict.fromkeys((*there, *content)))}

    return add


def compile_delete(action: DeleteAction, *, is_legacy: bool) -> Change:
    """The function of DELETE: members less; no set where none is left."""
    name = action.value.name

    def delete(old: AttributeValue | None, applied: Application) -> AttributeValue | None:
        if old is None:
            return None
        (kind,) = applied.value(name)
        there: list[Any] | None = old.get(kind)
        if there is None or kind not in SET_TYPES:
            raise ValidationError(WRONG_TYPE_LEGACY if is_legacy else WRONG_TYPE)
        taken = applied.members(name)
        members = [member for member in there if member not in taken]
        return {kind: members} if members else None

    return delete


def _pieces(operand: UpdateOperand) -> Callable[[Application], list[list[AttributeValue]] | None]:
    """The function that makes the lists which list_append puts behind each other, also where it appends what another
    has appended: so that all is copied once. None: it is no list."""
    if isinstance(operand, UpdateFunction) and operand.name == "list_append":
        left, right = map(_pieces, operand.operands)

        def join(applied: Application) -> list[list[AttributeValue]]:
            one, other = left(applied), right(applied)
            if one is None or other is None:
                raise ValidationError(WRONG_TYPE)
            return one + other

        return join
    make = compile_operand(operand)

    def piece(applied: Application) -> list[list[AttributeValue]] | None:
        elements = make(applied).get("L")
        return None if elements is None else [elements]

    return piece


def _attribute(operand: Attribute) -> Make:
    read = compile_path(operand.path)

    def make(applied: Application) -> AttributeValue:
        value = read(applied.item)
        if value is None:
            raise ValidationError(_NO_ATTRIBUTE)
        return value

    return make


def _if_not_exists(operand: Attribute, default: Make) -> Make:
    read = compile_path(operand.path)

    def make(applied: Application) -> AttributeValue:
        value = read(applied.item)
        return default(applied) if value is None else value

    return make


def _arithmetic(operand: Arithmetic) -> Make:
    left, right = compile_operand(operand.left), compile_operand(operand.right)
    combine = add_numbers if operand.operator == "+" else subtract_numbers

    def make(applied: Application) -> AttributeValue:
        one, other = left(applied).get("N"), right(applied).get("N")
        if one is None or other is None:
            raise ValidationError(WRONG_TYPE)
        return {"N": combine(one, other)}

    return make


def _list_append(operand: UpdateFunction) -> Make:
    pieces = _pieces(operand)

    def make(applied: Application) -> AttributeValue:
        made = pieces(applied)
        assert made is not None, "what list_append makes is a list"
        if sum(map(len, made)) > ITEM_BYTES_MAX:
            raise ValidationError(TOO_LARGE)
        return {"L": list(chain.from_iterable(made))}

    return make
