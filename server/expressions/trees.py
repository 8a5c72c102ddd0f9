"""Expressions as trees. They hold names of attributes and of values, never the values: a tree serves many requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Steps of a document path: names of attributes and indexes of lists; the first is a name."""

COMPARATORS = ("=", "<>", "<", "<=", ">", ">=")
CONDITION_FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
}
"""Functions that are conditions, with the number of their operands."""
UPDATE_FUNCTIONS = ("if_not_exists", "list_append")


@dataclass(frozen=True, slots=True)
class Attribute:
    """What the item has at a document path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the request, by its placeholder with the colon."""

    name: str


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a value, a number. With anything but one operand it is wrong, and found to be when it is checked."""

    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is a condition."""

    name: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator`: one of COMPARATORS."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Between:
    """Both bounds included."""

    operand: Operand
    lower: Operand
    upper: Operand


@dataclass(frozen=True, slots=True)
class In:
    """Equal to one of them."""

    operand: Operand
    members: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    condition: ConditionTree


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more."""

    conditions: tuple[ConditionTree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of two or more."""

    conditions: tuple[ConditionTree, ...]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`operator`: + or -."""

    operator: str
    left: UpdateOperand
    right: UpdateOperand


@dataclass(frozen=True, slots=True)
class UpdateFunction:
    """`name`: if_not_exists or list_append; both take two operands."""

    name: str
    operands: tuple[UpdateOperand, ...]


@dataclass(frozen=True, slots=True)
class SetAction:
    """Puts a value at a path."""

    path: Path
    value: UpdateOperand


@dataclass(frozen=True, slots=True)
class RemoveAction:
    """Takes away what is at a path."""

    path: Path


@dataclass(frozen=True, slots=True)
class AddAction:
    """Adds a number to a number, or members to a set."""

    path: Path
    value: Value


@dataclass(frozen=True, slots=True)
class DeleteAction:
    """Takes members out of a set."""

    path: Path
    value: Value


@dataclass(frozen=True, slots=True)
class UpdateTree:
    """`is_legacy`: of AttributeUpdates, where ADD also appends to lists, and errors have other words."""

    actions: tuple[UpdateAction, ...]
    is_legacy: bool = False


@dataclass(frozen=True, slots=True)
class ProjectionTree:
    """No path begins another."""

    paths: tuple[Path, ...]


Operand: TypeAlias = Attribute | Value | Size
Leaf: TypeAlias = Function | Comparison | Between | In
ConditionTree: TypeAlias = Leaf | Not | And | Or
UpdateOperand: TypeAlias = Attribute | Value | Arithmetic | UpdateFunction
UpdateAction: TypeAlias = SetAction | RemoveAction | AddAction | DeleteAction
Tree: TypeAlias = ConditionTree | UpdateTree | ProjectionTree


def operands_of(leaf: Leaf) -> tuple[Operand, ...]:
    """The operands of a condition, in the order in which they are written."""
    if isinstance(leaf, Function):
        return leaf.operands
    if isinstance(leaf, Comparison):
        return leaf.left, leaf.right
    if isinstance(leaf, Between):
        return leaf.operand, leaf.lower, leaf.upper
    return leaf.operand, *leaf.members


def leaves_of(tree: ConditionTree) -> list[Leaf]:
    """The conditions that AND, OR and NOT combine, in the order in which they are written."""
    found: list[Leaf] = []
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, Not):
            left.append(node.condition)
        elif isinstance(node, And | Or):
            left.extend(reversed(node.conditions))
        else:
            found.append(node)
    return found


def shown(path: Path) -> str:
    """A path as error messages show it."""
    return "[" + ", ".join(f"[{step}]" if isinstance(step, int) else step for step in path) + "]"
