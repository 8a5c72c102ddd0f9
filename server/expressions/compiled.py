"""The door for storage nodes: encoded trees to functions, kept by their bytes."""

from __future__ import annotations

from collections.abc import Callable

from server.expressions.codec import CorruptTreeError, decode
from server.expressions.evaluation import Check, compile_condition
from server.expressions.kept import kept
from server.expressions.projection import compile_projection
from server.expressions.trees import ProjectionTree, UpdateTree
from server.expressions.update import CompiledUpdate
from server.model.item import Item

KEPT_FUNCTIONS_MAX = 1024
"""Of each kind."""
KEPT_TREE_BYTES_MAX = 8 * 1024
"""The functions of a longer tree are made each time."""


@kept(KEPT_FUNCTIONS_MAX, KEPT_TREE_BYTES_MAX, lambda data, _: len(data))
def compiled_condition(data: bytes) -> Check:
    """The function of a condition. Raises CorruptTreeError."""
    tree = decode(data)
    if isinstance(tree, UpdateTree | ProjectionTree):
        raise CorruptTreeError("a tree that is no condition")
    return compile_condition(tree)


@kept(KEPT_FUNCTIONS_MAX, KEPT_TREE_BYTES_MAX, lambda data, _: len(data))
def compiled_update(data: bytes) -> CompiledUpdate:
    """What an update does. Raises CorruptTreeError."""
    tree = decode(data)
    if not isinstance(tree, UpdateTree):
        raise CorruptTreeError("a tree that is no update")
    return CompiledUpdate(tree)


@kept(KEPT_FUNCTIONS_MAX, KEPT_TREE_BYTES_MAX, lambda data, _: len(data))
def compiled_projection(data: bytes) -> Callable[[Item], Item]:
    """The function from an item to a new one, with the parts that are asked for. Raises CorruptTreeError."""
    tree = decode(data)
    if not isinstance(tree, ProjectionTree):
        raise CorruptTreeError("a tree that is no projection")
    return compile_projection(tree.paths)
