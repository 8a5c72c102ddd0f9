"""What a condition is checked for once its names and values are known.

One condition after the other, as they are written, and in each of them in this order: undefined names and values,
numbers of operands, equal operands, types of operands.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from server.expressions.parser import ExpressionError
from server.expressions.trees import (
    CONDITION_FUNCTIONS,
    Attribute,
    Between,
    Comparison,
    Function,
    In,
    Leaf,
    Operand,
    Path,
    Size,
    Value,
    operands_of,
    shown,
)
from server.expressions.values import ORDERED_TYPES, TYPES, kind_of, order_of
from server.model.item import AttributeValue, Item
from server.model.limits import EXPRESSION_IN_OPERANDS_MAX

_ANY_TYPE = "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}"
_TYPE_NAMES = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"


def needs_check(leaf: Leaf) -> bool:
    """Whether a condition could be wrong though all its names and values are defined."""
    operands = operands_of(leaf)
    if any(isinstance(operand, Size) for operand in operands):
        return True
    if isinstance(operands[0], Attribute) and any(isinstance(operand, Attribute) for operand in operands[1:]):
        return True
    if isinstance(leaf, Function):
        return len(operands) != CONDITION_FUNCTIONS[leaf.name] or not (
            leaf.name == "contains" or (len(operands) == 1 and isinstance(operands[0], Attribute))
        )
    if isinstance(leaf, Comparison):
        return leaf.operator not in ("=", "<>")
    return isinstance(leaf, Between) or len(operands) - 1 > EXPRESSION_IN_OPERANDS_MAX


def check_leaf(leaf: Leaf, names: Mapping[str, str], values: Item) -> None:
    """Raises ExpressionError. The names in the condition are as they are written."""
    operands = operands_of(leaf)
    for operand in operands:
        _check_defined(operand, names, values)
    name = _name_of(leaf)
    _check_counts(leaf, name, operands)
    first = operands[0]
    if isinstance(first, Attribute):
        path = resolved(first.path, names)
        for operand in operands[1:]:
            if isinstance(operand, Attribute) and resolved(operand.path, names) == path:
                raise ExpressionError(
                    "The first operand must be distinct from the remaining operands for this operator or function; "
                    f"operator: {name}, first operand: {shown(path)}"
                )
    kinds = [_checked_kind(operand, values) for operand in operands]
    if isinstance(leaf, Function):
        _check_function(leaf, kinds, values)
    elif not isinstance(leaf, In) and name not in ("=", "<>"):
        for kind in kinds:
            if kind is not None and kind not in ORDERED_TYPES:
                raise wrong_type(name, kind)
        if isinstance(leaf, Between):
            _check_bounds(leaf, values)


def resolved(path: Path, names: Mapping[str, str]) -> Path:
    """A path with the names that its placeholders stand for, all of which are defined."""
    return tuple([names[step] if isinstance(step, str) and step[0] == "#" else step for step in path])


def check_path_defined(path: Path, names: Mapping[str, str]) -> None:
    """Raises ExpressionError if a name is not."""
    for step in path:
        if isinstance(step, str) and step[0] == "#" and step not in names:
            raise ExpressionError(
                f"An expression attribute name used in the document path is not defined; attribute name: {step}"
            )


def check_value_defined(name: str, values: Item) -> None:
    """Raises ExpressionError if a value is not."""
    if name not in values:
        raise ExpressionError(
            f"An expression attribute value used in expression is not defined; attribute value: {name}"
        )


def wrong_type(name: str, kind: str) -> ExpressionError:
    """An operand that an operator or function cannot have."""
    return ExpressionError(
        f"Incorrect operand type for operator or function; operator or function: {name}, operand type: {kind}"
    )


def wrong_count(name: str, count: int) -> ExpressionError:
    """Too many operands, or too few."""
    return ExpressionError(
        "Incorrect number of operands for operator or function; "
        f"operator or function: {name}, number of operands: {count}"
    )


def no_path(name: str) -> ExpressionError:
    """An operand that is no document path, where one must be."""
    return ExpressionError(f"Operator or function requires a document path; operator or function: {name}")


def _name_of(leaf: Leaf) -> str:
    if isinstance(leaf, Function):
        return leaf.name
    if isinstance(leaf, Comparison):
        return leaf.operator
    return "BETWEEN" if isinstance(leaf, Between) else "IN"


def _check_defined(operand: Operand, names: Mapping[str, str], values: Item) -> None:
    if isinstance(operand, Attribute):
        check_path_defined(operand.path, names)
    elif isinstance(operand, Value):
        check_value_defined(operand.name, values)
    else:
        for inner in operand.operands:
            _check_defined(inner, names, values)


def _check_counts(leaf: Leaf, name: str, operands: tuple[Operand, ...]) -> None:
    for operand in operands:
        _check_size_counts(operand)
    if isinstance(leaf, Function) and len(operands) != CONDITION_FUNCTIONS[name]:
        raise wrong_count(name, len(operands))
    if isinstance(leaf, In) and len(leaf.members) > EXPRESSION_IN_OPERANDS_MAX:
        raise ExpressionError(
            f"The IN operator is provided with too many operands; number of operands: {len(leaf.members)}"
        )


def _check_size_counts(operand: Operand) -> None:
    if isinstance(operand, Size):
        for inner in operand.operands:
            _check_size_counts(inner)
        if len(operand.operands) != 1:
            raise wrong_count("size", len(operand.operands))


def _checked_kind(operand: Operand, values: Item) -> str | None:
    """The type of an operand, if it is known before there is an item; what `size` is of is checked."""
    if isinstance(operand, Attribute):
        return None
    if isinstance(operand, Value):
        return kind_of(values[operand.name])
    kind = _checked_kind(operand.operands[0], values)
    if kind in ("N", "BOOL", "NULL"):
        raise wrong_type("size", kind)
    return "N"


def _check_function(leaf: Function, kinds: list[str | None], values: Item) -> None:
    name = leaf.name
    if name in ("attribute_exists", "attribute_not_exists"):
        if not isinstance(leaf.operands[0], Attribute):
            raise no_path(name)
    elif name == "begins_with":
        for kind in kinds:
            if kind not in (None, "S", "B"):
                raise wrong_type(name, str(kind))
    elif name == "attribute_type":
        wanted = leaf.operands[1]
        if kinds[1] != "S" or not isinstance(wanted, Value):
            raise wrong_type(name, kinds[1] or _ANY_TYPE)
        if values[wanted.name]["S"] not in TYPES:
            raise ExpressionError(
                f"Invalid attribute type name found; type: {values[wanted.name]['S']}, valid types: {_TYPE_NAMES}"
            )


def _check_bounds(leaf: Between, values: Item) -> None:
    if not isinstance(leaf.lower, Value) or not isinstance(leaf.upper, Value):
        return
    lower, upper = values[leaf.lower.name], values[leaf.upper.name]
    order = order_of(lower, upper)
    if order is not None and order <= 0:
        return
    rule = "same data type for lower and upper bounds"
    if order is not None:
        rule = "upper bound to be greater than or equal to lower bound"
    raise ExpressionError(
        f"The BETWEEN operator requires {rule}; "
        f"lower bound operand: {_shown_value(lower)}, upper bound operand: {_shown_value(upper)}"
    )


def _shown_value(value: AttributeValue) -> str:
    content: Any
    ((kind, content),) = value.items()
    text = base64.b64encode(content).decode() if isinstance(content, bytes) else content
    return f"AttributeValue: {{{kind}:{text}}}"
