"""Whether a body is as most are: then it is read at once, without DynamoDB's stages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from router.requests.constraints import is_broken
from router.requests.shapes import ATTRIBUTE_VALUE, Flag, Integer, ListOf, MapOf, Shape, Structure, Text


def quick_check(shape: Structure) -> Callable[[Any], bool]:
    """A predicate that is quick and strict: what it accepts is of its types and breaks no constraint.

    It does not look into attribute values, which are checked as they are read."""
    checks = {name: _quick(member) for name, member in shape.members.items()}
    required = shape.required

    def accepts(body: Any) -> bool:
        if type(body) is not dict:
            return False
        for name, value in body.items():
            check = checks.get(name)
            if check is None or not check(value):
                return False
        return required <= body.keys()

    return accepts


def _quick(shape: Shape) -> Callable[[Any], bool]:
    if isinstance(shape, Text):
        return _quick_text(shape)
    if isinstance(shape, Integer):
        return partial(_is_integer, shape.least, shape.most)
    if isinstance(shape, Flag):
        return _is_flag
    if shape is ATTRIBUTE_VALUE or (isinstance(shape, MapOf) and shape.value is ATTRIBUTE_VALUE):
        return _is_map
    if isinstance(shape, ListOf):
        return partial(_is_list_of, shape, _quick(shape.element))
    if isinstance(shape, MapOf):
        return partial(_is_map_of, shape, _quick(shape.value))
    assert isinstance(shape, Structure)
    return quick_check(shape)


def _quick_text(shape: Text) -> Callable[[Any], bool]:
    if shape.enum:
        return partial(_is_one_of, frozenset(shape.enum))
    if shape.length_max is None:
        return _is_text
    return partial(_is_name, shape) if shape.pattern else partial(_is_text_of, shape.length_min, shape.length_max)


def _is_map(value: Any) -> bool:
    return type(value) is dict


def _is_list_of(shape: ListOf, is_element: Callable[[Any], bool], value: Any) -> bool:
    return type(value) is list and all(map(is_element, value)) and not is_broken(shape, value)


def _is_map_of(shape: MapOf, is_value: Callable[[Any], bool], value: Any) -> bool:
    return type(value) is dict and all(map(is_value, value.values())) and not is_broken(shape, value)


def _is_integer(least: int, most: int, value: Any) -> bool:
    return type(value) is int and least <= value <= most


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_one_of(words: frozenset[str], value: Any) -> bool:
    return type(value) is str and value in words


def _is_text_of(length_min: int, length_max: int, value: Any) -> bool:
    return type(value) is str and length_min <= len(value) <= length_max


def _is_name(shape: Text, value: Any) -> bool:
    return type(value) is str and not is_broken(shape, value)
