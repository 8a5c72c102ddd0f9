"""Updates as functions of an item. Every read sees the item as it was; indexes are those of its lists as they were."""

from __future__ import annotations

from typing import Any, Final

from server.expressions.document_path import PathTree, path_tree
from server.expressions.projection import compile_projection
from server.expressions.trees import AddAction, DeleteAction, SetAction, UpdateAction, UpdateTree
from server.expressions.update_values import Change, compile_add, compile_delete, compile_operand
from server.model.errors import ValidationError
from server.model.item import NESTED_TOO_DEEPLY, AttributeValue, Item
from server.model.limits import NESTING_MAX

_INVALID_PATH: Final = "The document path provided in the update expression is invalid for update"


class CompiledUpdate:
    """What an update does to an item.

    `creates_item`: whether it makes an item where there is none; one that only takes away does not.
    `touched(item)`: the part of an item, the old or the new, that UPDATED_OLD and UPDATED_NEW return."""

    __slots__ = ("_changes", "_tree", "creates_item", "touched")

    def __init__(self, tree: UpdateTree) -> None:
        self.creates_item = any(isinstance(action, SetAction | AddAction) for action in tree.actions)
        self.touched = compile_projection([action.path for action in tree.actions])
        changes = [(action.path, _compile(action, is_legacy=tree.is_legacy)) for action in tree.actions]
        self._tree: PathTree[Change] | None = None
        self._changes: tuple[tuple[Any, Change], ...] = ()
        if all(len(path) == 1 for path, _ in changes):
            self._changes = tuple([(path[0], change) for path, change in changes])
        else:
            self._tree = path_tree(changes)

    def apply(self, item: Item, values: Item) -> Item:
        """A new item, which shares with the old one, and with the values, what is the same. Raises ValidationError."""
        if self._tree is not None:
            return _changed_entries(item, self._tree, item, values)
        changed = item.copy()
        for name, change in self._changes:
            value = change(item.get(name), item, values)
            if value is not None:
                changed[name] = value
            else:
                changed.pop(name, None)
        return changed


def _compile(action: UpdateAction, *, is_legacy: bool) -> Change:
    if isinstance(action, SetAction):
        make = compile_operand(action.value)
        if len(action.path) == 1:
            # Nothing can get deeper than it was in the item or in the request, where its depth was checked.
            return lambda _, item, values: make(item, values)
        depth_max = NESTING_MAX + 1 - len(action.path)

        def assign(_: AttributeValue | None, item: Item, values: Item) -> AttributeValue:
            value = make(item, values)
            if _is_deeper(value, depth_max):
                raise ValidationError(NESTED_TOO_DEEPLY)
            return value

        return assign
    if isinstance(action, AddAction):
        return compile_add(action, is_legacy=is_legacy)
    if isinstance(action, DeleteAction):
        return compile_delete(action, is_legacy=is_legacy)
    return lambda _, __, ___: None


def _changed(value: AttributeValue, tree: PathTree[Change], item: Item, values: Item) -> AttributeValue:
    inside = value.get("L" if tree.is_list else "M")
    if inside is None:
        raise ValidationError(_INVALID_PATH)
    if tree.is_list:
        return {"L": _changed_elements(inside, tree, item, values)}
    return {"M": _changed_entries(inside, tree, item, values)}


def _changed_entries(entries: Item, tree: PathTree[Change], item: Item, values: Item) -> Item:
    changed = entries.copy()
    for name, child in tree.children.items():
        old = entries.get(name)  # type: ignore[arg-type]
        new = _outcome(old, child, item, values)
        if new is not None:
            changed[name] = new  # type: ignore[index]
        else:
            changed.pop(name, None)  # type: ignore[arg-type]
    return changed


def _changed_elements(
    elements: list[AttributeValue], tree: PathTree[Change], item: Item, values: Item
) -> list[AttributeValue]:
    """What is set beyond the end comes behind the end, in the order of the indexes."""
    changed: list[AttributeValue | None] = [*elements]
    for index, child in tree.children.items():
        assert isinstance(index, int), "a node's children are all by index"
        if index < len(elements):
            changed[index] = _outcome(elements[index], child, item, values)
        else:
            changed.append(_outcome(None, child, item, values))
    return [element for element in changed if element is not None]


def _outcome(old: AttributeValue | None, tree: PathTree[Change], item: Item, values: Item) -> AttributeValue | None:
    if tree.content is not None:
        return tree.content(old, item, values)
    if old is None:
        raise ValidationError(_INVALID_PATH)
    return _changed(old, tree, item, values)


def _is_deeper(value: AttributeValue, depth_max: int) -> bool:
    """Whether there are more than so many maps and lists inside each other, this one counted."""
    ((kind, content),) = value.items()
    if kind not in ("M", "L"):
        return False
    if depth_max <= 0:
        return True
    inside = content.values() if kind == "M" else content
    return any(_is_deeper(each, depth_max - 1) for each in inside)
