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

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import orjson

from server.expressions.kept import kept
from server.expressions.parser import ExpressionError
from server.expressions.path_overlap import check_paths
from server.expressions.trees import (
    COMPARATORS,
    CONDITION_FUNCTIONS,
    UPDATE_FUNCTIONS,
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
    Path,
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
    """The tree in `data`, of which functions can be made; raises CorruptTreeError."""
    try:
        version, *instructions = orjson.loads(data)
        if version != FORMAT_VERSION:
            raise CorruptTreeError(f"a tree of format version {version}")
        stack: list[Any] = []
        for opcode, *arguments in instructions:
            _DECODERS[opcode](stack, *arguments)
        (tree,) = stack
        if not isinstance(tree, _WHOLE):
            raise ValueError("a part of a tree")
    except (ValueError, TypeError, KeyError, ExpressionError) as error:
        raise CorruptTreeError("bytes that are no tree") from error
    return tree


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


# What is decoded is checked: whether parts are of the kinds that they have in trees.

_CONDITIONS: Final = (Comparison, Function, Between, In, Not, And, Or)
_OPERANDS: Final = (Attribute, Value, Size)
_UPDATE_OPERANDS: Final = (Attribute, Value, Arithmetic, UpdateFunction)
_ACTIONS: Final = (SetAction, RemoveAction, AddAction, DeleteAction)
_WHOLE: Final = (*_CONDITIONS, UpdateTree, ProjectionTree)


def _take(stack: list[Any], kinds: tuple[type, ...], count: int, at_least: int = 1) -> tuple[Any, ...]:
    if not at_least <= count <= len(stack):
        raise ValueError("too few operands")
    taken = tuple(stack[len(stack) - count :])
    if not all(isinstance(each, kinds) for each in taken):
        raise ValueError("an operand of the wrong kind")
    del stack[len(stack) - count :]
    return taken


def _path(path: Sequence[Any]) -> Path:
    if not path or type(path[0]) is not str or not all(type(step) is str or type(step) is int for step in path):
        raise ValueError("no document path")
    if any(type(step) is int and step < 0 for step in path):
        raise ValueError("an index that no list has")
    return tuple(path)


def _value(name: Any) -> Value:
    if type(name) is not str:
        raise ValueError("no placeholder")
    return Value(name)


def _one_of(words: Collection[str], word: str) -> str:
    if word not in words:
        raise ValueError(f"an unknown word: {word}")
    return word


def _size(stack: list[Any], count: int) -> None:
    stack.append(Size(_take(stack, _OPERANDS, _only(1, count))))


def _function(stack: list[Any], name: str, count: int) -> None:
    operands = _take(stack, _OPERANDS, _only(CONDITION_FUNCTIONS[name], count))
    if count == 1 and not isinstance(operands[0], Attribute):
        raise ValueError("no document path")
    stack.append(Function(name, operands))


def _update_function(stack: list[Any], name: str, count: int) -> None:
    operands = _take(stack, _UPDATE_OPERANDS, _only(2, count))
    if _one_of(UPDATE_FUNCTIONS, name) == "if_not_exists" and not isinstance(operands[0], Attribute):
        raise ValueError("no document path")
    stack.append(UpdateFunction(name, operands))


def _only(wanted: int, count: int) -> int:
    if count != wanted:
        raise ValueError("a wrong number of operands")
    return count


def _in(stack: list[Any], count: int) -> None:
    operand, *members = _take(stack, _OPERANDS, count, 2)
    stack.append(In(operand, tuple(members)))


def _update(stack: list[Any], count: int, is_legacy: bool) -> None:
    actions = _take(stack, _ACTIONS, count)
    if not isinstance(is_legacy, bool):
        raise ValueError("neither legacy nor not")
    check_paths([action.path for action in actions])
    stack.append(UpdateTree(actions, is_legacy))


def _projection(stack: list[Any], *paths: Any) -> None:
    found = tuple([_path(path) for path in paths])
    check_paths(found)
    stack.append(ProjectionTree(found))


_DECODERS: Final[dict[str, Callable[..., None]]] = {
    "a": lambda stack, *path: stack.append(Attribute(_path(path))),
    "v": lambda stack, name: stack.append(_value(name)),
    "s": _size,
    "f": _function,
    "i": _in,
    "c": lambda stack, operator: stack.append(Comparison(_one_of(COMPARATORS, operator), *_take(stack, _OPERANDS, 2))),
    "b": lambda stack: stack.append(Between(*_take(stack, _OPERANDS, 3))),
    "n": lambda stack: stack.append(Not(*_take(stack, _CONDITIONS, 1))),
    "&": lambda stack, count: stack.append(And(_take(stack, _CONDITIONS, count))),
    "o": lambda stack, count: stack.append(Or(_take(stack, _CONDITIONS, count))),
    "+": lambda stack, operator: stack.append(
        Arithmetic(_one_of(("+", "-"), operator), *_take(stack, _UPDATE_OPERANDS, 2))
    ),
    "u": _update_function,
    "S": lambda stack, *path: stack.append(SetAction(_path(path), *_take(stack, _UPDATE_OPERANDS, 1))),
    "R": lambda stack, *path: stack.append(RemoveAction(_path(path))),
    "A": lambda stack, name, *path: stack.append(AddAction(_path(path), _value(name))),
    "D": lambda stack, name, *path: stack.append(DeleteAction(_path(path), _value(name))),
    "U": _update,
    "P": _projection,
}
