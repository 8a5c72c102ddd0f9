"""Trees whose names are as written, to the same trees with the names of attributes; and the paths that trees have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from server.expressions.condition_checks import resolved
from server.expressions.trees import (
    AddAction,
    And,
    Arithmetic,
    Attribute,
    Between,
    Comparison,
    ConditionTree,
    DeleteAction,
    Function,
    In,
    Not,
    Operand,
    Or,
    Path,
    RemoveAction,
    SetAction,
    Size,
    UpdateAction,
    UpdateFunction,
    UpdateOperand,
    Value,
    leaves_of,
    operands_of,
)

Names = Mapping[str, str]


def named_condition(tree: ConditionTree, names: Names) -> ConditionTree:
    """All names are defined. Recursion is bounded: a text has at most so many operators."""
    if isinstance(tree, Not):
        return Not(named_condition(tree.condition, names))
    if isinstance(tree, And | Or):
        return type(tree)(tuple([named_condition(condition, names) for condition in tree.conditions]))
    operands = [_named_operand(operand, names) for operand in operands_of(tree)]
    if isinstance(tree, Function):
        return Function(tree.name, tuple(operands))
    if isinstance(tree, Comparison):
        return Comparison(tree.operator, *operands)
    if isinstance(tree, Between):
        return Between(*operands)
    return In(operands[0], tuple(operands[1:]))


def named_actions(actions: Sequence[UpdateAction], names: Names) -> tuple[UpdateAction, ...]:
    """All names are defined."""
    return tuple([_named_action(action, names) for action in actions])


def paths_of(tree: ConditionTree) -> frozenset[Path]:
    """All that a condition looks at."""
    return frozenset(
        path for leaf in leaves_of(tree) for operand in operands_of(leaf) for path in _paths_of_operand(operand)
    )


def _paths_of_operand(operand: Operand) -> Iterator[Path]:
    while isinstance(operand, Size):
        (operand,) = operand.operands
    if isinstance(operand, Attribute):
        yield operand.path


def _named_operand(operand: Operand, names: Names) -> Operand:
    if isinstance(operand, Attribute):
        return Attribute(resolved(operand.path, names))
    if isinstance(operand, Size):
        return Size(tuple([_named_operand(inner, names) for inner in operand.operands]))
    return operand


def _named_action(action: UpdateAction, names: Names) -> UpdateAction:
    path = resolved(action.path, names)
    if isinstance(action, SetAction):
        return SetAction(path, _named_value(action.value, names))
    if isinstance(action, RemoveAction):
        return RemoveAction(path)
    kind: type[AddAction | DeleteAction] = type(action)
    return kind(path, action.value)


def _named_value(operand: UpdateOperand, names: Names) -> UpdateOperand:
    if isinstance(operand, Value):
        return operand
    if isinstance(operand, Attribute):
        return Attribute(resolved(operand.path, names))
    if isinstance(operand, Arithmetic):
        return Arithmetic(operand.operator, _named_value(operand.left, names), _named_value(operand.right, names))
    return UpdateFunction(operand.name, tuple([_named_value(inner, names) for inner in operand.operands]))
