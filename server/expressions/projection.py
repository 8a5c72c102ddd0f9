"""Projections as functions of an item."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from server.expressions.document_path import PathTree, path_tree
from server.expressions.trees import Path
from server.model.item import AttributeValue, Item


def compile_projection(paths: Iterable[Path]) -> Callable[[Item], Item]:
    """The function from an item to a new one that has of it what is at the paths; of lists, the elements in their
    order, without gaps."""
    several = tuple(paths)
    if all(len(path) == 1 for path in several):
        names: tuple[Any, ...] = tuple([path[0] for path in several])
        return lambda item: {name: item[name] for name in names if name in item}
    tree = path_tree([(path, True) for path in several])
    return lambda item: _entries(item, tree)


def _entries(entries: Item, tree: PathTree[bool]) -> Item:
    found: Item = {}
    for name, child in tree.children.items():
        value = entries.get(name)  # type: ignore[arg-type]
        part = None if value is None else _part(value, child)
        if part is not None:
            found[name] = part  # type: ignore[index]
    return found


def _part(value: AttributeValue, tree: PathTree[bool]) -> AttributeValue | None:
    if tree.content:
        return value
    if not tree.is_list:
        entries = value.get("M")
        found = None if entries is None else _entries(entries, tree)
        return {"M": found} if found else None
    elements = value.get("L")
    if elements is None:
        return None
    parts = []
    for index, child in tree.children.items():
        if index < len(elements):  # type: ignore[operator]
            part = _part(elements[index], child)
            if part is not None:
                parts.append(part)
    return {"L": parts} if parts else None
