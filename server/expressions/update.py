"""Updates as functions of an item. Every read sees the item as it was; indexes are those of its lists as they were."""

from __future__ import annotations

from typing import Any, Final

from server.expressions.document_path import PathTree, path_tree
from server.expressions.projection import compile_projection
from server.expressions.trees import AddAction, DeleteAction, SetAction, UpdateAction, UpdateFunction, UpdateTree
from server.expressions.update_values import Application, Change, compile_add, compile_delete, compile_operand
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
        applied = Application(item, values)
        if self._tree is not None:
            return _changed_entries(item, self._tree, applied)
        changed = item.copy()
        for name, change in self._changes:
            value = change(item.get(name), applied)
            if value is not None:
                changed[name] = value
            else:
                changed.pop(name, None)
        return changed


def _compile(action: UpdateAction, *, is_legacy: bool) -> Change:
    if isinstance(action, SetAction):
        return _assignment(action)
    if isinstance(action, AddAction):
        return compile_add(action, is_legacy=is_legacy)
    if isinstance(action, DeleteAction):
        return compile_delete(action, is_legacy=is_legacy)
    return lambda _, __: None


def _assignment(action: SetAction) -> Change:
    make = compile_operand(action.value)
    depth_max = NESTING_MAX + 1 - len(action.path)

    def assign(_: AttributeValue | None, applied: Application) -> AttributeValue:
        value = make(applied)
        if _is_deeper(value, depth_max, applied):
            raise ValidationError(NESTED_TOO_DEEPLY)
        return value

    def assign_new(_: AttributeValue | None, applied: Application) -> AttributeValue:
        value = make(applied)
        if (elements := value.get("L")) is not None:
            applied.take_room(len(elements))
        return value

    if len(action.path) > 1:
        return assign
    # To an attribute: nothing can get deeper than it was in the item or in the request, where its depth was checked.
    return assign_new if isinstance(action.value, UpdateFunction) else lambda _, applied: make(applied)


def _changed(value: AttributeValue, tree: PathTree[Change], applied: Application) -> AttributeValue:
    inside = value.get("L" if tree.is_list else "M")
    if inside is None:
        raise ValidationError(_INVALID_PATH)
    if tree.is_list:
        return {"L": _changed_elements(inside, tree, applied)}
    return {"M": _changed_entries(inside, tree, applied)}


def _changed_entries(entries: Item, tree: PathTree[Change], applied: Application) -> Item:
    changed = entries.copy()
    for name, child in tree.children.items():
        old = entries.get(name)  # type: ignore[arg-type]
        new = _outcome(old, child, applied)
        if new is not None:
            changed[name] = new  # type: ignore[index]
        else:
            changed.pop(name, None)  # type: ignore[arg-type]
    return changed


def _changed_elements(
    elements: list[AttributeValue], tree: PathTree[Change], applied: Application
) -> list[AttributeValue]:
    """What is set beyond the end comes behind the end, in the order of the indexes."""
    changed: list[AttributeValue | None] = [*elements]
    for index, child in tree.children.items():
        assert isinstance(index, int), "a node's children are all by index"
        if index < len(elements):
            changed[index] = _outcome(elements[index], child, applied)
        else:
            changed.append(_outcome(None, child, applied))
    return [element for element in changed if element is not None]


def _outcome(old: AttributeValue | None, tree: PathTree[Change], applied: Application) -> AttributeValue | None:
    if tree.content is not None:
        return tree.content(old, applied)
    if old is None:
        raise ValidationError(_INVALID_PATH)
    return _changed(old, tree, applied)


def _is_deeper(value: AttributeValue, depth_max: int, applied: Application) -> bool:
    """Whether there are more than so many maps and lists inside each other, this one counted."""
    ((kind, content),) = value.items()
    if kind not in ("M", "L"):
        return False
    if depth_max <= 0:
        return True
    applied.take_room(len(content))
    inside = content.values() if kind == "M" else content
    return any(_is_deeper(each, depth_max - 1, applied) for each in inside if "M" in each or "L" in each)
