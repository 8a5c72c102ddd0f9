"""Trees as bytes, for the way from routers to storage nodes.

A JSON array: the format's version, then instructions in postfix order, each an array that begins with an opcode; they
push a tree, or take the trees before them for their operands. Nothing nests, however deep the tree.
`attribute_not_exists(pk) OR age < :a` is

    [1,["a","pk"],["f","attribute_not_exists",1],["a","age"],["v",":a"],["c","<"],["o",2]]

| opcode | takes | then has |
| --- | --- | --- |
| a | | the steps of a document path |
| v | | a placeholder |
| s, f, i | the operands | (f: name) number of operands |
| c | left, right | comparator |
| b | operand, lower, upper | |
| n | condition | |
| &, o | conditions | their number |
| + | left, right | operator |
| u | the operands | name, number of operands |
| S | a value | the steps of a document path |
| R, A, D | | (A, D: placeholder) the steps of a document path |
| U | actions | their number, whether it is of AttributeUpdates |
| P | | paths, each an array of steps |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from server.expressions.kept import kept
from server.expressions.trees import (
    AddAction,
    And,
    Arithmetic,
    Attribute,
    Between,
    Comparison,
    DeleteAction,
    Function,
    In,
    Not,
    Or,
    ProjectionTree,
    RemoveAction,
    SetAction,
    Size,
    Tree,
    UpdateFunction,
    UpdateTree,
    Value,
)

FORMAT_VERSION: Final = 1
KEPT_TREES_MAX: Final = 1024
KEPT_TREE_BYTES_MAX: Final = 8 * 1024


class CorruptTreeError(Exception):
    """The bytes are not a tree as it was encoded."""


@kept(KEPT_TREES_MAX, KEPT_TREE_BYTES_MAX, lambda _, data: len(data))
def encode(tree: Tree) -> bytes:
    """The bytes of a tree."""
    instructions: list[Any] = []
    left: list[Any] = [tree]
    while left:
        node = left.pop()
        instruction, operands = _ENCODERS[type(node)](node)
        instructions.append(instruction)
        left.extend(operands)
    instructions.append(FORMAT_VERSION)
    instructions.reverse()
    return orjson.dumps(instructions)


def decode(data: bytes) -> Tree:
    """The tree in `data`; raises CorruptTreeError."""
    try:
        version, *instructions = orjson.loads(data)
        if version != FORMAT_VERSION:
            raise CorruptTreeError(f"a tree of format version {version}")
        stack: list[Any] = []
        for opcode, *arguments in instructions:
            _DECODERS[opcode](stack, *arguments)
        (tree,) = stack
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise CorruptTreeError("bytes that are no tree") from error
    return tree  # type: ignore[no-any-return]


_ENCODERS: Final[dict[type, Callable[[Any], tuple[list[Any], tuple[Any, ...]]]]] = {
    Attribute: lambda node: (["a", *node.path], ()),
    Value: lambda node: (["v", node.name], ()),
    Size: lambda node: (["s", len(node.operands)], node.operands),
    Function: lambda node: (["f", node.name, len(node.operands)], node.operands),
    In: lambda node: (["i", len(node.members) + 1], (node.operand, *node.members)),
    Comparison: lambda node: (["c", node.operator], (node.left, node.right)),
    Between: lambda node: (["b"], (node.operand, node.lower, node.upper)),
    Not: lambda node: (["n"], (node.condition,)),
    And: lambda node: (["&", len(node.conditions)], node.conditions),
    Or: lambda node: (["o", len(node.conditions)], node.conditions),
    Arithmetic: lambda node: (["+", node.operator], (node.left, node.right)),
    UpdateFunction: lambda node: (["u", node.name, len(node.operands)], node.operands),
    SetAction: lambda node: (["S", *node.path], (node.value,)),
    RemoveAction: lambda node: (["R", *node.path], ()),
    AddAction: lambda node: (["A", node.value.name, *node.path], ()),
    DeleteAction: lambda node: (["D", node.value.name, *node.path], ()),
    UpdateTree: lambda node: (["U", len(node.actions), node.is_legacy], node.actions),
    ProjectionTree: lambda node: (["P", *node.paths], ()),
}


def _take(stack: list[Any], count: int) -> tuple[Any, ...]:
    if not 0 <= count <= len(stack):
        raise ValueError("too few operands")
    taken = tuple(stack[len(stack) - count :])
    del stack[len(stack) - count :]
    return taken


def _in(stack: list[Any], count: int) -> None:
    operand, *members = _take(stack, count)
    stack.append(In(operand, tuple(members)))


_DECODERS: Final[dict[str, Callable[..., None]]] = {
    "a": lambda stack, *path: stack.append(Attribute(path)),
    "v": lambda stack, name: stack.append(Value(name)),
    "s": lambda stack, count: stack.append(Size(_take(stack, count))),
    "f": lambda stack, name, count: stack.append(Function(name, _take(stack, count))),
    "i": _in,
    "c": lambda stack, operator: stack.append(Comparison(operator, *_take(stack, 2))),
    "b": lambda stack: stack.append(Between(*_take(stack, 3))),
    "n": lambda stack: stack.append(Not(*_take(stack, 1))),
    "&": lambda stack, count: stack.append(And(_take(stack, count))),
    "o": lambda stack, count: stack.append(Or(_take(stack, count))),
    "+": lambda stack, operator: stack.append(Arithmetic(operator, *_take(stack, 2))),
    "u": lambda stack, name, count: stack.append(UpdateFunction(name, _take(stack, count))),
    "S": lambda stack, *path: stack.append(SetAction(path, *_take(stack, 1))),
    "R": lambda stack, *path: stack.append(RemoveAction(path)),
    "A": lambda stack, name, *path: stack.append(AddAction(path, Value(name))),
    "D": lambda stack, name, *path: stack.append(DeleteAction(path, Value(name))),
    "U": lambda stack, count, is_legacy: stack.append(UpdateTree(_take(stack, count), is_legacy)),
    "P": lambda stack, *paths: stack.append(ProjectionTree(tuple([tuple(path) for path in paths]))),
}
