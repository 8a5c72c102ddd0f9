"""The door to the parsers: a request's text, names and values to trees.

What depends on the text alone is kept by text, and what depends on the names as well by both; values are looked at each
time, and only where an operator or function asks for their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from server.expressions import condition_checks, update_checks
from server.expressions.condition_parser import ConditionParser
from server.expressions.kept import kept
from server.expressions.naming import named_actions, named_condition, paths_of
from server.expressions.parser import ExpressionError
from server.expressions.path_overlap import check_paths
from server.expressions.placeholders import Placeholders
from server.expressions.projection_parser import ProjectionParser
from server.expressions.trees import ConditionTree, Leaf, Path, ProjectionTree, UpdateAction, UpdateTree, leaves_of
from server.expressions.update_parser import UpdateParser
from server.model.errors import ValidationError
from server.model.item import Item

KEPT_TEXTS_MAX = 512
"""Of each kind, as they are and with their names."""
KEPT_TEXT_LENGTH_MAX = 2048
"""Of a text and the names in it, in characters; trees are perhaps fifty times as large."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an item. `values`: those that the tree uses, by placeholder. `paths`: all that it looks at."""

    tree: ConditionTree
    values: Item
    paths: frozenset[Path]


@dataclass(frozen=True, slots=True)
class Update:
    """Changes to an item. `values`: those that the tree uses, by placeholder. `paths`: all that it changes."""

    tree: UpdateTree
    values: Item
    paths: frozenset[Path]


@dataclass(frozen=True, slots=True)
class Projection:
    """Parts of an item."""

    tree: ProjectionTree
    paths: frozenset[Path]


def parse_condition(text: str, placeholders: Placeholders, parameter: str = "ConditionExpression") -> Condition:
    """`parameter`: ConditionExpression, FilterExpression or KeyConditionExpression. Raises ValidationError."""
    names, values = placeholders.names, placeholders.values
    try:
        parsed = _parsed_condition(text)
        is_defined = _are_defined(parsed.names, names) and _are_defined(parsed.values, values)
        for leaf in parsed.checked if is_defined else parsed.leaves:
            condition_checks.check_leaf(leaf, names, values)
    except ExpressionError as error:
        raise ValidationError(f"Invalid {parameter}: {error}") from None
    tree, paths = _named_condition((text, *[names[name] for name in parsed.names]))
    placeholders.use(parsed.names, parsed.values)
    return Condition(tree, {name: values[name] for name in parsed.values}, paths)


def parse_update(text: str, placeholders: Placeholders) -> Update:
    """Raises ValidationError."""
    names, values = placeholders.names, placeholders.values
    try:
        parsed = _parsed_update(text)
        if not (_are_defined(parsed.names, names) and _are_defined(parsed.values, values)):
            update_checks.check_defined(parsed.actions, names, values)
        tree, paths = _named_update((text, *[names[name] for name in parsed.names]))
        if parsed.is_checked:
            update_checks.check_operands(parsed.actions, values)
    except ExpressionError as error:
        raise ValidationError(f"Invalid UpdateExpression: {error}") from None
    placeholders.use(parsed.names, parsed.values)
    return Update(tree, {name: values[name] for name in parsed.values}, paths)


def parse_projection(text: str, placeholders: Placeholders) -> Projection:
    """Raises ValidationError."""
    names = placeholders.names
    try:
        parsed = _parsed_projection(text)
        for path in () if _are_defined(parsed.names, names) else parsed.paths:
            condition_checks.check_path_defined(path, names)
        projection = _named_projection((text, *[names[name] for name in parsed.names]))
    except ExpressionError as error:
        raise ValidationError(f"Invalid ProjectionExpression: {error}") from None
    placeholders.use(parsed.names, ())
    return projection


class _ParsedCondition(NamedTuple):
    """`checked`: those of the leaves that could be wrong though all names and values are defined."""

    tree: ConditionTree
    leaves: list[Leaf]
    checked: list[Leaf]
    names: tuple[str, ...]
    values: tuple[str, ...]


class _ParsedUpdate(NamedTuple):
    """`is_checked`: operands could be wrong though all names and values are defined."""

    actions: tuple[UpdateAction, ...]
    is_checked: bool
    names: tuple[str, ...]
    values: tuple[str, ...]


class _ParsedProjection(NamedTuple):
    paths: tuple[Path, ...]
    names: tuple[str, ...]


_Key: TypeAlias = tuple[str, ...]
"""A text, and what its placeholders of names stand for, in the order in which they first occur."""


def _are_defined(used: tuple[str, ...], given: Mapping[str, Any]) -> bool:
    return not used or given.keys() >= set(used)


@kept(KEPT_TEXTS_MAX, KEPT_TEXT_LENGTH_MAX, lambda text, _: len(text))
def _parsed_condition(text: str) -> _ParsedCondition:
    parser = ConditionParser(text)
    tree = parser.parse()
    leaves = leaves_of(tree)
    checked = [leaf for leaf in leaves if condition_checks.needs_check(leaf)]
    return _ParsedCondition(tree, leaves, checked, tuple(parser.names), tuple(parser.values))


@kept(KEPT_TEXTS_MAX, KEPT_TEXT_LENGTH_MAX, lambda key, _: sum(map(len, key)))
def _named_condition(key: _Key) -> tuple[ConditionTree, frozenset[Path]]:
    text, *names = key
    parsed = _parsed_condition(text)
    tree = named_condition(parsed.tree, dict(zip(parsed.names, names, strict=True)))
    return tree, paths_of(tree)


@kept(KEPT_TEXTS_MAX, KEPT_TEXT_LENGTH_MAX, lambda text, _: len(text))
def _parsed_update(text: str) -> _ParsedUpdate:
    parser = UpdateParser(text)
    actions = parser.parse()
    return _ParsedUpdate(actions, update_checks.needs_check(actions), tuple(parser.names), tuple(parser.values))


@kept(KEPT_TEXTS_MAX, KEPT_TEXT_LENGTH_MAX, lambda key, _: sum(map(len, key)))
def _named_update(key: _Key) -> tuple[UpdateTree, frozenset[Path]]:
    """Raises ExpressionError for paths that cannot go together."""
    text, *names = key
    parsed = _parsed_update(text)
    actions = named_actions(parsed.actions, dict(zip(parsed.names, names, strict=True)))
    paths = [action.path for action in actions]
    check_paths(paths)
    return UpdateTree(actions), frozenset(paths)


@kept(KEPT_TEXTS_MAX, KEPT_TEXT_LENGTH_MAX, lambda text, _: len(text))
def _parsed_projection(text: str) -> _ParsedProjection:
    parser = ProjectionParser(text)
    return _ParsedProjection(parser.parse(), tuple(parser.names))


@kept(KEPT_TEXTS_MAX, KEPT_TEXT_LENGTH_MAX, lambda key, _: sum(map(len, key)))
def _named_projection(key: _Key) -> Projection:
    """Raises ExpressionError for paths that cannot go together."""
    text, *names = key
    parsed = _parsed_projection(text)
    defined = dict(zip(parsed.names, names, strict=True))
    paths = tuple([condition_checks.resolved(path, defined) for path in parsed.paths])
    check_paths(paths)
    return Projection(ProjectionTree(paths), frozenset(paths))
