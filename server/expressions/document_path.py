"""Reading what an item has at a document path, and the tree that several paths make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from server.expressions.trees import Path
from server.model.item import AttributeValue, Item

T = TypeVar("T")


def compile_path(path: Path) -> Callable[[Item], AttributeValue | None]:
    """A function from an item to what it has there, or None."""
    first, *rest = path
    if not rest:
        return lambda item: item.get(first)  # type: ignore[arg-type]

    def read(item: Item) -> AttributeValue | None:
        value = item.get(first)  # type: ignore[arg-type]
        for step in rest:
            if value is None:
                return None
            if isinstance(step, str):
                entries = value.get("M")
                value = None if entries is None else entries.get(step)
            else:
                elements = value.get("L")
                value = elements[step] if elements is not None and step < len(elements) else None
        return value

    return read


@dataclass(slots=True)
class PathTree(Generic[T]):
    """Paths by their steps; no path begins another. A node has either children, all of them by name or all by index and
    then in order, or a leaf's content."""

    children: dict[str | int, PathTree[T]] = field(default_factory=dict)
    content: T | None = None
    is_list: bool = False


def path_tree(paths: Sequence[tuple[Path, T]]) -> PathTree[T]:
    """The tree of paths with their contents."""
    root: PathTree[T] = PathTree()
    for path, content in sorted(paths, key=lambda each: [(type(step) is str, step) for step in each[0]]):
        node = root
        for step in path:
            node.is_list = type(step) is not str
            node = node.children.setdefault(step, PathTree())
        node.content = content
    return root
