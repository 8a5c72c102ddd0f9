"""Document paths that cannot go together in one update or projection."""

from __future__ import annotations

from collections.abc import Sequence

from server.expressions.parser import ExpressionError
from server.expressions.trees import Path, shown

_END = object()


def check_paths(paths: Sequence[Path]) -> None:
    """That none begins another (they overlap), and that none has an index where another has a name (they conflict).
    Raises ExpressionError. Linear in the steps of all paths."""
    root: dict[object, dict[object, object]] = {}
    conflict = ""
    for index, path in enumerate(paths):
        overlaps, conflicts = _insert(root, path)
        if overlaps:
            other = next(each for each in paths[:index] if each[: len(path)] == path[: len(each)])
            raise ExpressionError(_message("overlap", other, path))
        if conflicts and not conflict:
            other = next(each for each in paths[:index] if _are_in_conflict(each, path))
            conflict = _message("conflict", other, path)
    if conflict:
        raise ExpressionError(conflict)


def _message(what: str, one: Path, two: Path) -> str:
    return (
        f"Two document paths {what} with each other; must remove or rewrite one of these paths; "
        f"path one: {shown(one)}, path two: {shown(two)}"
    )


def _insert(root: dict[object, dict[object, object]], path: Path) -> tuple[bool, bool]:
    """(whether it begins another or another begins it, whether it is in conflict with one)."""
    node: dict[object, object] = root  # type: ignore[assignment]
    conflicts = False
    for step in path:
        if _END in node:
            return True, conflicts
        kind = type(step)
        if node and kind not in node:
            conflicts = True
        children: dict[object, dict[object, object]] = node.setdefault(kind, {})  # type: ignore[assignment]
        node = children.setdefault(step, {})
    if node:
        return True, conflicts
    node[_END] = {}
    return False, conflicts


def _are_in_conflict(one: Path, two: Path) -> bool:
    steps = zip(one, two, strict=False)
    return next((type(left) is not type(right) for left, right in steps if left != right), False)
