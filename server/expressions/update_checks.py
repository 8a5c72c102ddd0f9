"""What an update is checked for once its names and values are known: undefined names, undefined values, then (when its
paths have been found to go together) operands of ADD and DELETE, operands of functions; each in all actions before the
next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from server.expressions.condition_checks import (
    check_path_defined,
    check_value_defined,
    no_path,
    wrong_count,
    wrong_type,
)
from server.expressions.parser import ExpressionError
from server.expressions.trees import (
    AddAction,
    Arithmetic,
    Attribute,
    DeleteAction,
    Path,
    SetAction,
    UpdateAction,
    UpdateFunction,
    UpdateOperand,
    Value,
)
from server.expressions.values import SET_TYPES, kind_of
from server.model.item import Item

_SHOWN_TYPES = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "NULL": "NULL",
    "BOOL": "BOOLEAN",
    "L": "LIST",
    "M": "MAP",
}


def needs_check(actions: Sequence[UpdateAction]) -> bool:
    """Whether the operands could be wrong though all names and values are defined."""
    for action in actions:
        if isinstance(action, AddAction | DeleteAction):
            return True
        if isinstance(action, SetAction) and not isinstance(action.value, Attribute | Value):
            return True
    return False


def check_defined(actions: Sequence[UpdateAction], names: Mapping[str, str], values: Item) -> None:
    """Names first, then values. Raises ExpressionError. The names in the actions are as they are written."""
    for path in _paths(actions):
        check_path_defined(path, names)
    for name in _values(actions):
        check_value_defined(name, values)


def check_operands(actions: Sequence[UpdateAction], values: Item) -> None:
    """All values are defined. Raises ExpressionError."""
    for action in actions:
        if isinstance(action, AddAction | DeleteAction):
            _check_members(action, values)
    for action in actions:
        if isinstance(action, SetAction):
            _check_operand(action.value, values)


def parts_of(operand: UpdateOperand) -> Iterator[UpdateOperand]:
    """An operand, and all inside it, in the order in which they are written."""
    left = [operand]
    while left:
        part = left.pop()
        yield part
        if isinstance(part, Arithmetic):
            left += (part.right, part.left)
        elif isinstance(part, UpdateFunction):
            left += reversed(part.operands)


def _paths(actions: Sequence[UpdateAction]) -> Iterator[Path]:
    for action in actions:
        yield action.path
        if isinstance(action, SetAction):
            yield from (part.path for part in parts_of(action.value) if isinstance(part, Attribute))


def _values(actions: Sequence[UpdateAction]) -> Iterator[str]:
    for action in actions:
        if isinstance(action, SetAction):
            yield from (part.name for part in parts_of(action.value) if isinstance(part, Value))
        elif isinstance(action, AddAction | DeleteAction):
            yield action.value.name


def _check_members(action: AddAction | DeleteAction, values: Item) -> None:
    kind = kind_of(values[action.value.name])
    if kind in SET_TYPES or (kind == "N" and isinstance(action, AddAction)):
        return
    operator = "ADD" if isinstance(action, AddAction) else "DELETE"
    raise ExpressionError(
        f"Incorrect operand type for operator or function; operator: {operator}, operand type: {_SHOWN_TYPES[kind]}, "
        f"typeSet: ALLOWED_FOR_{operator}_OPERAND"
    )


def _check_operand(operand: UpdateOperand, values: Item) -> None:
    """Inner calls first."""
    if isinstance(operand, Arithmetic):
        for inner in (operand.left, operand.right):
            _check_operand(inner, values)
            _check_kind(operand.operator, inner, "N", values)
    elif isinstance(operand, UpdateFunction):
        for inner in operand.operands:
            _check_operand(inner, values)
        if len(operand.operands) != 2:
            raise wrong_count(operand.name, len(operand.operands))
        if operand.name == "list_append":
            for inner in operand.operands:
                _check_kind(operand.name, inner, "L", values)
        elif not isinstance(operand.operands[0], Attribute):
            raise no_path(operand.name)


def _check_kind(name: str, operand: UpdateOperand, wanted: str, values: Item) -> None:
    if isinstance(operand, Value):
        kind = kind_of(values[operand.name])
    elif isinstance(operand, UpdateFunction) and operand.name == "list_append":
        kind = "L"
    else:
        return
    if kind != wanted:
        raise wrong_type(name, kind)
