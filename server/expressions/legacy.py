"""The parameters from before there were expressions, as the same trees.

Expected, AttributeUpdates, QueryFilter, ScanFilter, KeyConditions, AttributesToGet. They are as a request has them, in
DynamoDB's words, but for their attribute values, which have been checked. Names of attributes are names, whatever
characters they have: no paths.

They have the limits of expressions, and names that are asked for one of their own, though DynamoDB tells of none: what
they become goes to every storage node again with each slice of a Scan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from server.expressions.expression import Condition, Projection, Update
from server.expressions.key_condition import KeyCondition, SortCondition, key_condition_of
from server.expressions.legacy_checks import check_action, check_condition, check_expected
from server.expressions.trees import (
    AddAction,
    And,
    Attribute,
    Between,
    Comparison,
    ConditionTree,
    DeleteAction,
    Function,
    In,
    Not,
    Or,
    Path,
    ProjectionTree,
    RemoveAction,
    SetAction,
    UpdateAction,
    UpdateTree,
    Value,
)
from server.model.errors import ValidationError
from server.model.item import AttributeValue, Item, item_bytes
from server.model.limits import EXPRESSION_OPERATORS_MAX, EXPRESSION_SUBSTITUTIONS_BYTES_MAX

ATTRIBUTES_TO_GET_MAX: Final = 2_000
"""About as many as a ProjectionExpression has room for."""

_COMPARATORS: Final = {"EQ": "=", "NE": "<>", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
_KEY_OPERATORS: Final = {**_COMPARATORS, "BETWEEN": "BETWEEN", "BEGINS_WITH": "begins_with"}


def expected_condition(expected: Mapping[str, Any], conditional_operator: str | None) -> Condition | None:
    """`conditional_operator`: AND (and None), or OR. None: there is no condition. Raises ValidationError."""
    _check_count("Expected", expected, EXPRESSION_OPERATORS_MAX)
    checked = {name: check_expected(name, condition) for name, condition in expected.items()}
    return _condition(checked, conditional_operator, "Expected")


def filter_condition(
    conditions: Mapping[str, Any], conditional_operator: str | None, parameter: str
) -> Condition | None:
    """As `expected_condition`; `parameter`: QueryFilter or ScanFilter."""
    _check_count(parameter, conditions, EXPRESSION_OPERATORS_MAX)
    checked = {name: check_condition(name, condition, parameter) for name, condition in conditions.items()}
    return _condition(checked, conditional_operator, parameter)


def attribute_updates(updates: Mapping[str, Any]) -> Update | None:
    """None: nothing is to be changed. Raises ValidationError."""
    values = _Values()
    actions: list[UpdateAction] = []
    for name, update in updates.items():
        action, value = check_action(name, update)
        path: Path = (name,)
        if value is None:
            actions.append(RemoveAction(path))
        elif action == "PUT":
            actions.append(SetAction(path, values.add(value)))
        else:
            kind: type[AddAction | DeleteAction] = AddAction if action == "ADD" else DeleteAction
            actions.append(kind(path, values.add(value)))
    if not actions:
        return None
    paths: frozenset[Path] = frozenset((name,) for name in updates)
    return Update(UpdateTree(tuple(actions), is_legacy=True), values.values, paths)


def legacy_key_condition(
    conditions: Mapping[str, Any], partition_keys: Sequence[str], sort_keys: Sequence[str]
) -> KeyCondition:
    """What KeyConditions say of these keys; types are not compared with the keys'. Raises ValidationError."""
    return key_condition_of(legacy_conditions_by_key(conditions), partition_keys, sort_keys)


def legacy_conditions_by_key(conditions: Mapping[str, Any]) -> dict[str, SortCondition]:
    """What KeyConditions say, by attribute, whatever the keys are. Raises ValidationError."""
    checked = {name: check_condition(name, condition, "KeyConditions") for name, condition in conditions.items()}
    return {
        name: SortCondition(_KEY_OPERATORS.get(operator, operator), tuple(values))
        for name, (operator, values) in checked.items()
    }


def attributes_to_get(names: Sequence[str]) -> Projection:
    """Raises ValidationError."""
    _check_count("AttributesToGet", names, ATTRIBUTES_TO_GET_MAX)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValidationError(
                f"One or more parameter values were invalid: Duplicate value in attribute name: {name}"
            )
        seen.add(name)
    paths: tuple[Path, ...] = tuple([(name,) for name in names])
    return Projection(ProjectionTree(paths), frozenset(paths))


class _Values:
    """Values that get placeholders as they come."""

    def __init__(self) -> None:
        self.values: Item = {}

    def add(self, value: AttributeValue) -> Value:
        name = f":{len(self.values)}"
        self.values[name] = value
        return Value(name)


def _check_count(parameter: str, given: Collection[str], count_max: int) -> None:
    if len(given) > count_max:
        raise ValidationError(
            f"One or more parameter values were invalid: {parameter} has at most {count_max} entries, not {len(given)}"
        )


def _condition(
    checked: Mapping[str, tuple[str, Sequence[AttributeValue]]], conditional_operator: str | None, parameter: str
) -> Condition | None:
    if not checked:
        return None
    values = _Values()
    trees: list[ConditionTree] = []
    for name, (operator, operands) in checked.items():
        trees.append(_tree(operator, Attribute((name,)), [values.add(operand) for operand in operands]))
    if item_bytes(values.values, EXPRESSION_SUBSTITUTIONS_BYTES_MAX) > EXPRESSION_SUBSTITUTIONS_BYTES_MAX:
        raise ValidationError(f"{parameter} exceeds max size")
    several = Or if conditional_operator == "OR" else And
    tree = trees[0] if len(trees) == 1 else several(tuple(trees))
    return Condition(tree, values.values, frozenset((name,) for name in checked))


def _tree(operator: str, attribute: Attribute, values: list[Value]) -> ConditionTree:
    if operator in _COMPARATORS:
        return Comparison(_COMPARATORS[operator], attribute, values[0])
    if operator == "IN":
        return In(attribute, tuple(values))
    if operator == "BETWEEN":
        return Between(attribute, *values)
    if operator == "NULL":
        return Function("attribute_not_exists", (attribute,))
    exists = Function("attribute_exists", (attribute,))
    if operator == "NOT_NULL":
        return exists
    if operator == "NOT_CONTAINS":
        # An attribute that is not there does not even fail to contain something.
        return And((exists, Not(Function("contains", (attribute, *values)))))
    return Function(operator.lower(), (attribute, *values))
