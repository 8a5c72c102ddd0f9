"""What the parameters from before there were expressions are checked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.expressions.values import SET_TYPES, kind_of, order_of
from server.model.errors import ValidationError
from server.model.item import AttributeValue
from server.model.limits import EXPRESSION_IN_OPERANDS_MAX

_INVALID: Final = "One or more parameter values were invalid: "
_ACTIONS: Final = ("ADD", "PUT", "DELETE")
_SCALARS: Final = ("S", "N", "B")

_COUNTS: Final = {
    "IN": None,
    "NULL": 0,
    "BETWEEN": 2,
    "LT": 1,
    "NOT_CONTAINS": 1,
    "EQ": 1,
    "GT": 1,
    "NOT_NULL": 0,
    "NE": 1,
    "LE": 1,
    "BEGINS_WITH": 1,
    "GE": 1,
    "CONTAINS": 1,
}
"""Operators with the number of values each has; None: as many as in an expression."""

_TYPES: Final = {
    **dict.fromkeys(("LT", "LE", "GT", "GE", "BETWEEN", "IN", "CONTAINS", "NOT_CONTAINS"), _SCALARS),
    "BEGINS_WITH": ("S", "B"),
}
"""Types of the values; operators that are not here take all."""


def check_expected(name: str, condition: Mapping[str, Any]) -> tuple[str, Sequence[AttributeValue]]:
    """(comparison operator, values) of one attribute of Expected. Raises ValidationError."""
    operator, exists = condition.get("ComparisonOperator"), condition.get("Exists")
    value, values = condition.get("Value"), condition.get("AttributeValueList")
    if value is not None and values is not None:
        raise _invalid("Value and AttributeValueList cannot be used together", name)
    if operator is not None:
        if exists is not None:
            raise _invalid("Exists and ComparisonOperator cannot be used together", name)
        _check_operator(operator, f"expected.{name}")
        given = [] if value is None else [value]
        if values is None and value is None and _COUNTS[operator] != 0:
            raise _invalid(f"Value or AttributeValueList must be used with ComparisonOperator: {operator}", name)
        return operator, check_values(operator, given if values is None else values)
    if values is not None:
        raise _invalid("AttributeValueList can only be used with a ComparisonOperator", name)
    if exists is None or exists:
        if value is None:
            raise _invalid(f"Value must be provided when Exists is {'null' if exists is None else 'true'}", name)
        return "EQ", [value]
    if value is not None:
        raise _invalid("Value cannot be used when Exists is false", name)
    return "NULL", []


def check_condition(name: str, condition: Mapping[str, Any], parameter: str) -> tuple[str, Sequence[AttributeValue]]:
    """(comparison operator, values) of one attribute of a filter or of key conditions. Raises ValidationError."""
    operator = condition.get("ComparisonOperator")
    _check_operator(operator, f"{parameter[0].lower()}{parameter[1:]}.{name}")
    return str(operator), check_values(str(operator), condition.get("AttributeValueList") or [])


def check_values(operator: str, values: Sequence[AttributeValue]) -> Sequence[AttributeValue]:
    """The values, if the operator can have them. Raises ValidationError."""
    count = _COUNTS[operator]
    if not 0 < len(values) <= EXPRESSION_IN_OPERANDS_MAX if count is None else len(values) != count:
        raise ValidationError(f"{_INVALID}Invalid number of argument(s) for the {operator} ComparisonOperator")
    kinds = [kind_of(value) for value in values]
    if len(set(kinds)) > 1:
        raise ValidationError(f"{_INVALID}AttributeValues inside AttributeValueList must be of same type")
    if kinds and kinds[0] not in _TYPES.get(operator, kinds):
        raise ValidationError(
            f"{_INVALID}ComparisonOperator {operator} is not valid for {kinds[0]} AttributeValue type"
        )
    if operator == "BETWEEN" and (order_of(values[0], values[1]) or 0) > 0:
        raise ValidationError(
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
        )
    return values


def check_action(name: str, update: Mapping[str, Any]) -> tuple[str, AttributeValue | None]:
    """(action, value) of one attribute of AttributeUpdates. Raises ValidationError."""
    action, value = update.get("Action"), update.get("Value")
    if action is None:
        action = "PUT"
    if action not in _ACTIONS:
        raise _not_of_the_set(action, f"attributeUpdates.{name}.member.action", _ACTIONS)
    if value is None:
        if action != "DELETE":
            raise ValidationError(f"{_INVALID}Only DELETE action is allowed when no attribute value is specified")
        return action, None
    kind = kind_of(value)
    if action == "DELETE" and kind not in SET_TYPES:
        raise ValidationError(f"{_INVALID}DELETE action with value is not supported for the type {kind}")
    if action == "ADD" and kind not in SET_TYPES and kind not in ("N", "L"):
        raise ValidationError(f"{_INVALID}ADD action is not supported for the type {kind}")
    return action, value


def _check_operator(operator: Any, where: str) -> None:
    where = f"{where}.member.comparisonOperator"
    if operator is None:
        raise ValidationError(
            f"1 validation error detected: Value null at '{where}' failed to satisfy constraint: "
            "Member must not be null"
        )
    if operator not in _COUNTS:
        raise _not_of_the_set(operator, where, tuple(_COUNTS))


def _not_of_the_set(value: Any, where: str, allowed: tuple[str, ...]) -> ValidationError:
    return ValidationError(
        f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{', '.join(allowed)}]"
    )


def _invalid(rule: str, name: str) -> ValidationError:
    return ValidationError(f"{_INVALID}{rule} for Attribute: {name}")
