"""DynamoDB's second stage: what in a body breaks the service model's constraints.

Lengths, ranges, enumerations, patterns, required members. All are told at once, 10 at most, in the order in which the
members are declared, which is DynamoDB's. Only requests that are refused, or that are written in an unusual way, come
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from router.requests.shapes import ATTRIBUTE_VALUE, Integer, ListOf, MapOf, Shape, Structure, Text
from server.model.errors import ValidationError

VIOLATIONS_MAX = 10
SHOWN_LENGTH_MAX = 1024
"""Characters of a value that a message repeats."""


def check_constraints(shape: Structure, body: Mapping[str, Any]) -> None:
    """Raises ValidationError with everything that the model does not allow in a body that `normalise` returned."""
    violations = list(islice(_violations(shape, body, ""), VIOLATIONS_MAX))
    if violations:
        plural = "s" if len(violations) > 1 else ""
        raise ValidationError(f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}")


def _violation(path: str, value: Any, constraint: str) -> str:
    """The sentence for a value that breaks a constraint."""
    shown = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _violations(shape: Structure, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        there = path + name[0].lower() + name[1:]
        content = value.get(name)
        if content is not None:
            yield from _violations_of(member, content, there)
        elif name in shape.required:
            yield _violation(there, None, "Member must not be null")


def _violations_of(shape: Shape, value: Any, path: str) -> Iterator[str]:
    for constraint in _broken(shape, value):
        yield _violation(path, value, constraint)
    yield from _violations_within(shape, value, path)


def _violations_within(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape is ATTRIBUTE_VALUE:
        return  # the model asks nothing of one; what DynamoDB asks is checked as they are read
    if isinstance(shape, Structure):
        yield from _violations(shape, value, path + ".")
    elif isinstance(shape, ListOf) and not isinstance(shape.element, Text):
        yield from _violations_of_elements(shape.element, enumerate(value, 1), path)
    elif isinstance(shape, MapOf):
        yield from _violations_of_elements(shape.value, value.items(), path)


def _violations_of_elements(shape: Shape, elements: Iterable[tuple[Any, Any]], path: str) -> Iterator[str]:
    for key, element in elements:
        there = f"{path}.{key}.member"
        if isinstance(shape, ListOf):  # its length is the map's affair
            yield from _violations_within(shape, element or (), there)
        elif element is not None:
            yield from _violations_of(shape, element, there)
        else:
            yield _violation(there, None, "Member must not be null")


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints that a value breaks, as the messages have them."""
    if isinstance(shape, Integer):
        if value < shape.least:
            yield f"Member must have value greater than or equal to {shape.least}"
        if value > shape.most:
            yield f"Member must have value less than or equal to {shape.most}"
    if isinstance(shape, Text):
        if shape.enum and value not in shape.enum:
            yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        if shape.pattern and value and re.fullmatch(shape.pattern, value) is None:
            yield f"Member must satisfy regular expression pattern: {shape.pattern}"
    if isinstance(shape, (Text, ListOf, MapOf)):
        if len(value) < shape.length_min:
            yield f"Member must have length greater than or equal to {shape.length_min}"
        if shape.length_max is not None and len(value) > shape.length_max:
            yield f"Member must have length less than or equal to {shape.length_max}"
    if isinstance(shape, ListOf) and isinstance(shape.element, Text) and any(_are_broken(shape.element, value)):
        yield f"Member must satisfy constraint: [{_constraints(shape.element)}, Member must not be null]"
    if isinstance(shape, MapOf):
        if shape.keys is not None and any(_are_broken(shape.keys, value)):
            yield f"Map keys must satisfy constraint: [{_constraints(shape.keys)}]"
        if isinstance(shape.value, ListOf) and any(_are_broken(shape.value, value.values())):
            yield f"Map value must satisfy constraint: [{_constraints(shape.value)}]"


def _are_broken(shape: Shape, values: Iterable[Any]) -> Iterator[bool]:
    return (value is None or is_broken(shape, value) for value in values)


def is_broken(shape: Shape, value: Any) -> bool:
    """Whether a value by itself, without what is in it, breaks a constraint."""
    return next(_broken(shape, value), None) is not None


def _constraints(shape: Text | ListOf) -> str:
    return (
        f"Member must have length less than or equal to {shape.length_max}, "
        f"Member must have length greater than or equal to {shape.length_min}"
    )


def _shown(value: Any) -> str:
    """A value as messages repeat it: in full where it is text of ordinary length."""
    shown = ""
    for fragment in _fragments(value):
        shown += fragment
        if len(shown) > SHOWN_LENGTH_MAX:
            return shown[:SHOWN_LENGTH_MAX] + "..."
    return shown


def _fragments(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for index, (key, each) in enumerate(value.items()):
            yield f", {key}=" if index else f"{key}="
            yield from _fragments(each)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for index, each in enumerate(value):
            yield ", " if index else ""
            yield from _fragments(each)
        yield "]"
    elif value is None or isinstance(value, bool):
        yield "null" if value is None else str(value).lower()
    else:
        yield str(value)
