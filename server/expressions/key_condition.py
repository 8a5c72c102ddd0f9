"""Which items a Query reads: the value of the partition key, and a condition on the sort key.

The key of a global index may have several attributes of either kind: each of the first kind is given by a value, and of
the second the first few are, in their order; the last of these may have another condition (developer guide,
"Multi-attribute key schema")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from server.expressions.expression import Condition
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
    Or,
    Size,
    Value,
    operands_of,
)
from server.model.errors import ValidationError
from server.model.item import AttributeValue

KEY_OPERATORS: Final = frozenset(("=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"))

_INVALID: Final = "Invalid condition in KeyConditionExpression: "
_MIRRORED: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class SortCondition:
    """`operator`: =, <, <=, >, >=, BETWEEN or begins_with.

    `values`: two for BETWEEN, whose bounds are both included, else one."""

    operator: str
    values: tuple[AttributeValue, ...]


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """`partition_values`: of the partition key's attributes. `sort`: of the first of the sort key's, in their order;
    all but the last are "=". Empty: all items of the partition key's value."""

    partition_values: tuple[AttributeValue, ...]
    sort: tuple[SortCondition, ...]


def key_condition(condition: Condition, partition_keys: Sequence[str], sort_keys: Sequence[str]) -> KeyCondition:
    """What a KeyConditionExpression says of these keys; types of values are not looked at. Raises ValidationError."""
    return key_condition_of(conditions_by_key(condition), partition_keys, sort_keys)


def conditions_by_key(condition: Condition) -> dict[str, SortCondition]:
    """What a KeyConditionExpression says, by attribute, whatever the keys are. Raises ValidationError."""
    conditions: dict[str, SortCondition] = {}
    left: list[ConditionTree] = [condition.tree]
    while left:
        tree = left.pop()
        if isinstance(tree, And):
            left.extend(reversed(tree.conditions))
            continue
        name, found = _on_one_key(tree, condition)
        if name in conditions:
            raise ValidationError("KeyConditionExpressions must only contain one condition per key")
        conditions[name] = found
    return conditions


def check_count(conditions: dict[str, SortCondition], keys: int = 2) -> None:
    """That there are conditions, and no more than a key of so many attributes could have. Raises ValidationError."""
    if not 1 <= len(conditions) <= max(keys, 2):
        raise ValidationError("Conditions can be of length 1 or 2 only")


def key_condition_of(
    conditions: dict[str, SortCondition], partition_keys: Sequence[str], sort_keys: Sequence[str]
) -> KeyCondition:
    """What conditions by attribute say of these keys. Raises ValidationError."""
    check_count(conditions, len(partition_keys) + len(sort_keys))
    if not sort_keys and len(conditions) > len(partition_keys):
        raise ValidationError("Query key condition not supported")
    partition_values = []
    for name in partition_keys:
        partition = _indexable(conditions, name)
        if partition is None:
            raise ValidationError(f"Query condition missed key schema element: {name}")
        if partition.operator != "=":
            raise ValidationError("Query key condition not supported")
        partition_values.append(partition.values[0])
    sort: list[SortCondition] = []
    for name in sort_keys:
        condition = _indexable(conditions, name)
        if condition is None:
            break
        if sort and sort[-1].operator != "=":
            raise ValidationError("Query key condition not supported")
        sort.append(condition)
    if len(partition_values) + len(sort) < len(conditions):
        raise ValidationError(f"Query condition missed key schema element: {sort_keys[len(sort)]}")
    return KeyCondition(tuple(partition_values), tuple(sort))


def _indexable(conditions: dict[str, SortCondition], key: str) -> SortCondition | None:
    condition = conditions.get(key)
    if condition is not None and condition.operator not in KEY_OPERATORS:
        raise ValidationError("Attempted conditional constraint is not an indexable operation")
    return condition


def _on_one_key(tree: ConditionTree, condition: Condition) -> tuple[str, SortCondition]:
    """(the attribute's name, what must hold of it)."""
    if isinstance(tree, Or | Not | In):
        raise _invalid_operator({Or: "OR", Not: "NOT", In: "IN"}[type(tree)])
    if isinstance(tree, Comparison):
        if tree.operator == "<>":
            raise _invalid_operator("<>")
        return _comparison(tree, condition)
    if isinstance(tree, Between):
        operator = "BETWEEN"
    else:
        assert isinstance(tree, Function), "what AND combines was taken apart"
        operator = tree.name
        if operator != "begins_with":
            raise _invalid_operator(operator)
    key, *others = operands_of(tree)
    _check_operands((key, *others))
    if not isinstance(key, Attribute):
        raise ValidationError(f"{_INVALID}{operator} operator must have the key attribute as its first operand")
    return _named(key), SortCondition(operator, tuple([_value(other, condition) for other in others]))


def _comparison(tree: Comparison, condition: Condition) -> tuple[str, SortCondition]:
    _check_operands((tree.left, tree.right))
    if isinstance(tree.left, Attribute):
        return _named(tree.left), SortCondition(tree.operator, (_value(tree.right, condition),))
    if isinstance(tree.right, Attribute):
        return _named(tree.right), SortCondition(_MIRRORED[tree.operator], (_value(tree.left, condition),))
    raise ValidationError(f"{_INVALID}No key attribute specified")


def _check_operands(operands: tuple[Operand, ...]) -> None:
    if any(isinstance(operand, Size) for operand in operands):
        raise ValidationError("KeyConditionExpressions cannot contain nested operations")
    if sum(isinstance(operand, Attribute) for operand in operands) > 1:
        raise ValidationError(f"{_INVALID}Multiple attribute names used in one condition")


def _named(key: Attribute) -> str:
    if len(key.path) > 1:
        raise ValidationError("KeyConditionExpressions cannot have conditions on nested attributes")
    return str(key.path[0])


def _value(operand: Operand, condition: Condition) -> AttributeValue:
    assert isinstance(operand, Value), "there is one attribute, and no call"
    return condition.values[operand.name]


def _invalid_operator(operator: str) -> ValidationError:
    return ValidationError(f"Invalid operator used in KeyConditionExpression: {operator}")
