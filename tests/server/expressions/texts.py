"""Trees back to text, with parentheses where they must be, and here and there where they may."""

from __future__ import annotations

import random

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
    SetAction,
    Size,
    UpdateAction,
    UpdateOperand,
    Value,
)


def path_text(path: Path) -> str:
    first, *rest = path
    return str(first) + "".join([f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest])


def _maybe(text: str, rng: random.Random) -> str:
    return f"( {text})" if rng.random() < 0.2 else text


def _operand(operand: Operand, rng: random.Random) -> str:
    if isinstance(operand, Attribute):
        return _maybe(path_text(operand.path), rng)
    if isinstance(operand, Value):
        return _maybe(operand.name, rng)
    assert isinstance(operand, Size)
    return _maybe(f"size ({', '.join([_operand(each, rng) for each in operand.operands])})", rng)


def condition_text(tree: ConditionTree, rng: random.Random) -> str:
    """A text that means the tree."""
    if isinstance(tree, Not):
        return rng.choice(("NOT ", "not\t")) + _inside(tree.condition, rng, (And, Or))
    if isinstance(tree, And):
        return " AND ".join([_inside(each, rng, (And, Or)) for each in tree.conditions])
    if isinstance(tree, Or):
        return "\nor ".join([_inside(each, rng, (Or,)) for each in tree.conditions])
    if isinstance(tree, Function):
        return _maybe(f"{tree.name}({', '.join([_operand(each, rng) for each in tree.operands])})", rng)
    if isinstance(tree, Comparison):
        space = rng.choice(("", " "))
        return _maybe(f"{_operand(tree.left, rng)}{space}{tree.operator}{space}{_operand(tree.right, rng)}", rng)
    if isinstance(tree, Between):
        lower, upper = _operand(tree.lower, rng), _operand(tree.upper, rng)
        return _maybe(f"{_operand(tree.operand, rng)} BETWEEN {lower} AND {upper}", rng)
    assert isinstance(tree, In)
    return _maybe(f"{_operand(tree.operand, rng)} in ({','.join([_operand(each, rng) for each in tree.members])})", rng)


def _inside(tree: ConditionTree, rng: random.Random, grouped: tuple[type, ...]) -> str:
    text = condition_text(tree, rng)
    return f"({text})" if isinstance(tree, grouped) else text


def _update_operand(operand: UpdateOperand, rng: random.Random) -> str:
    if isinstance(operand, Arithmetic):
        left, right = _update_operand(operand.left, rng), _update_operand(operand.right, rng)
        return _maybe(f"{left} {operand.operator}{right}", rng)
    if isinstance(operand, Attribute):
        return _maybe(path_text(operand.path), rng)
    if isinstance(operand, Value):
        return _maybe(operand.name, rng)
    return _maybe(f"{operand.name}({', '.join([_update_operand(each, rng) for each in operand.operands])})", rng)


def _action(action: UpdateAction, rng: random.Random) -> tuple[str, str]:
    path = path_text(action.path)
    if isinstance(action, SetAction):
        return "SET", f"{path} = {_update_operand(action.value, rng)}"
    if isinstance(action, AddAction | DeleteAction):
        return "ADD" if isinstance(action, AddAction) else "delete", f"{path} {action.value.name}"
    return "Remove", path


def update_text(actions: tuple[UpdateAction, ...], rng: random.Random) -> tuple[str, tuple[UpdateAction, ...]]:
    """(a text, the actions in the order in which it has them: those of a section together)."""
    sections: dict[str, list[tuple[str, UpdateAction]]] = {}
    for action in actions:
        section, text = _action(action, rng)
        sections.setdefault(section, []).append((text, action))
    text = " ".join([f"{section} {', '.join([text for text, _ in several])}" for section, several in sections.items()])
    return text, tuple([action for several in sections.values() for _, action in several])
