"""What expressions mean, written down a second time: slowly, and as plainly as can be.

Values become Python's own, with their type beside them, so that Python decides what is equal and in which order."""

from __future__ import annotations

import copy
import decimal
from decimal import Decimal
from typing import Any

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
    ProjectionTree,
    RemoveAction,
    Size,
    UpdateAction,
    UpdateFunction,
    UpdateOperand,
    UpdateTree,
    Value,
)
from server.model.item import AttributeValue, Item

INVALID_PATH = "The document path provided in the update expression is invalid for update"
WRONG_TYPE = "An operand in the update expression has an incorrect data type"
NO_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"
OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"


class WrongError(Exception):
    """What an update cannot do, in the words of the error."""


def native(value: AttributeValue) -> tuple[str, Any]:
    """A value as (type, Python's value)."""
    ((kind, content),) = value.items()
    if kind == "N":
        return kind, Decimal(content)
    if kind == "NS":
        return kind, frozenset(Decimal(each) for each in content)
    if kind in ("SS", "BS"):
        return kind, frozenset(content)
    if kind == "L":
        return kind, [native(each) for each in content]
    if kind == "M":
        return kind, {name: native(each) for name, each in content.items()}
    return kind, content


def look_up(item: Item, path: Path) -> AttributeValue | None:
    """What is at a path."""
    here: Any = {"M": item}
    for step in path:
        inside = here.get("M" if isinstance(step, str) else "L")
        try:
            here = inside[step]
        except (TypeError, KeyError, IndexError):
            return None
    return here  # type: ignore[no-any-return]


def _operand(operand: Operand, item: Item, values: Item) -> tuple[str, Any] | None:
    if isinstance(operand, Size):
        found = _operand(operand.operands[0], item, values)
        if found is None or found[0] in ("N", "BOOL", "NULL"):
            return None
        return "N", Decimal(len(found[1]))
    value = look_up(item, operand.path) if isinstance(operand, Attribute) else values[operand.name]
    return None if value is None else native(value)


def _compare(operator: str, left: tuple[str, Any] | None, right: tuple[str, Any] | None) -> bool:
    if left is None or right is None:
        return operator == "<>"
    if operator == "=":
        return left == right
    if operator == "<>":
        return left != right
    if left[0] != right[0] or left[0] not in ("S", "N", "B"):
        return False
    one, two = [content.encode() if kind == "S" else content for kind, content in (left, right)]
    return bool({"<": one < two, "<=": one <= two, ">": one > two, ">=": one >= two}[operator])


def _function(name: str, operands: list[tuple[str, Any] | None]) -> bool:
    if name in ("attribute_exists", "attribute_not_exists"):
        return (operands[0] is not None) == (name == "attribute_exists")
    left, right = operands
    if left is None or right is None:
        return False
    if name == "attribute_type":
        return bool(left[0] == right[1])
    if name == "begins_with":
        return left[0] == right[0] and left[0] in ("S", "B") and left[1][: len(right[1])] == right[1]
    assert name == "contains"
    if left[0] == "L":
        return right in left[1]
    if left[0] in ("SS", "NS", "BS"):
        return left[0] == right[0] + "S" and right[1] in left[1]
    return left[0] == right[0] and left[0] in ("S", "B") and right[1] in left[1]


def holds(tree: ConditionTree, item: Item, values: Item) -> bool:
    """Whether a condition holds."""
    if isinstance(tree, Not):
        return not holds(tree.condition, item, values)
    if isinstance(tree, And):
        return all(holds(each, item, values) for each in tree.conditions)
    if isinstance(tree, Or):
        return any(holds(each, item, values) for each in tree.conditions)
    if isinstance(tree, Function):
        return _function(tree.name, [_operand(each, item, values) for each in tree.operands])
    if isinstance(tree, Comparison):
        return _compare(tree.operator, _operand(tree.left, item, values), _operand(tree.right, item, values))
    operand = _operand(tree.operand, item, values)
    if isinstance(tree, Between):
        lower, upper = _operand(tree.lower, item, values), _operand(tree.upper, item, values)
        return _compare(">=", operand, lower) and _compare("<=", operand, upper)
    assert isinstance(tree, In)
    return any(_compare("=", operand, _operand(each, item, values)) for each in tree.members)


def number(value: Decimal) -> str:
    """The canonical text of a number that can be stored."""
    if value == 0:
        return "0"
    if len("".join(map(str, value.as_tuple().digits)).strip("0")) > 38 or value.adjusted() > 125:
        raise WrongError(OVERFLOW)
    if value.adjusted() < -130:
        raise WrongError(UNDERFLOW)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def combined(operator: str, left: str, right: str) -> str:
    """A sum or a difference."""
    with decimal.localcontext(prec=1000):
        one, two = Decimal(left), Decimal(right)
        return number(one + two if operator == "+" else one - two)


def _made(operand: UpdateOperand, item: Item, values: Item) -> AttributeValue:
    if isinstance(operand, Value):
        return values[operand.name]
    if isinstance(operand, Attribute):
        found = look_up(item, operand.path)
        if found is None:
            raise WrongError(NO_ATTRIBUTE)
        return found
    if isinstance(operand, UpdateFunction) and operand.name == "if_not_exists":
        first, second = operand.operands
        assert isinstance(first, Attribute)
        found = look_up(item, first.path)
        return _made(second, item, values) if found is None else found
    inner = (operand.left, operand.right) if isinstance(operand, Arithmetic) else operand.operands
    left, right = [_made(each, item, values) for each in inner]
    kind = "N" if isinstance(operand, Arithmetic) else "L"
    if kind not in left or kind not in right:
        raise WrongError(WRONG_TYPE)
    if isinstance(operand, Arithmetic):
        return {"N": combined(operand.operator, left["N"], right["N"])}
    return {"L": left["L"] + right["L"]}


def _outcome(action: UpdateAction, item: Item, values: Item) -> AttributeValue | None:
    """What is at the action's path then."""
    parent = look_up(item, action.path[:-1]) if len(action.path) > 1 else {"M": item}
    if parent is None or ("M" if isinstance(action.path[-1], str) else "L") not in parent:
        raise WrongError(INVALID_PATH)
    if isinstance(action, RemoveAction):
        return None
    old = look_up(item, action.path)
    if not isinstance(action, AddAction | DeleteAction):
        return _made(action.value, item, values)
    operand = values[action.value.name]
    ((kind, content),) = operand.items()
    if old is None:
        return operand if isinstance(action, AddAction) else None
    if kind not in old:
        raise WrongError(WRONG_TYPE)
    if kind == "N":
        return {"N": combined("+", old["N"], content)}
    if isinstance(action, AddAction):
        return {kind: old[kind] + [each for each in content if each not in old[kind]]}
    left = [each for each in old[kind] if each not in content]
    return {kind: left} if left else None


_HOLE: AttributeValue = {"a list's element that was removed": True}


def _without_holes(value: AttributeValue) -> AttributeValue:
    if "M" in value:
        return {"M": {name: _without_holes(each) for name, each in value["M"].items()}}
    if "L" in value:
        return {"L": [_without_holes(each) for each in value["L"] if each is not _HOLE]}
    return value


def updated(tree: UpdateTree, item: Item, values: Item) -> Item | set[str]:
    """The new item; or the words of all errors, if there are any."""
    errors: set[str] = set()
    outcomes: list[tuple[Path, AttributeValue | None]] = []
    for action in tree.actions:
        try:
            outcomes.append((action.path, _outcome(action, item, values)))
        except WrongError as error:
            errors.add(str(error))
    if errors:
        return errors
    new: Any = {"M": copy.deepcopy(item)}
    for path, outcome in sorted(outcomes, key=lambda each: [(isinstance(step, str), step) for step in each[0]]):
        parent = new
        for step in path[:-1]:
            parent = parent["M" if isinstance(step, str) else "L"][step]
        last = path[-1]
        if isinstance(last, str):
            parent["M"].pop(last, None)
            if outcome is not None:
                parent["M"][last] = outcome
        elif look_up(item, path) is not None:
            parent["L"][last] = _HOLE if outcome is None else outcome
        elif outcome is not None:
            parent["L"].append(outcome)
    return _without_holes(new)["M"]  # type: ignore[no-any-return]


def projected(tree: ProjectionTree, item: Item) -> Item:
    """The parts of an item: built one path at a time, lists as maps by index until the end."""
    root: dict[Any, Any] = {}
    for path in tree.paths:
        found = look_up(item, path)
        if found is None:
            continue
        node = root
        for step in path[:-1]:
            node = node.setdefault(step, {})
        node[path[-1]] = ("leaf", found)

    def value_of(node: Any) -> AttributeValue:
        if isinstance(node, tuple):
            return node[1]  # type: ignore[no-any-return]
        if all(isinstance(step, int) for step in node):
            return {"L": [value_of(node[step]) for step in sorted(node)]}
        return {"M": {step: value_of(each) for step, each in node.items()}}

    return {name: value_of(node) for name, node in root.items()}
