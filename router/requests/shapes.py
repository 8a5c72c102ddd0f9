"""What a request's body may look like: a small description of DynamoDB's service model, and its first two rounds of
checks. Only requests that are refused, or that are written in an unusual way, come here.

A member that is not in the model is ignored, at every level, as DynamoDB ignores it. A member that is null is one that
is absent.

1. `normalise`: JSON of the wrong type (SerializationError). The first in the order of the body is told.
2. `check_constraints`: lengths, ranges, enumerations, patterns, required members (ValidationError). All of them are
   told at once, 10 at most, in the order in which the members are declared, which is DynamoDB's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from server.model.errors import SerializationError, ValidationError
from server.model.item import NESTED_TOO_DEEPLY
from server.model.limits import NESTING_MAX

VIOLATIONS_MAX = 10
SHOWN_LENGTH_MAX = 4096
"""Characters of a value that a message repeats."""

INTEGER_MAX = 2**31 - 1
"""What is beyond is taken for it."""

_JAVA_PACKAGE = "com.amazonaws.dynamodb.v20120810."
_UNEXPECTED_FIELD = "Unexpected field type"
_MAP_NOT_EXPECTED = "Start of structure or map found where not expected"
_PARAMETERIZED = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of "
    "loader 'bootstrap')"
)


@dataclass(frozen=True, slots=True)
class Text:
    """A string. Lengths in characters; `enum` empty: any; `pattern` empty: any."""

    length_min: int = 0
    length_max: int | None = None
    pattern: str = ""
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Integer:
    """A 32-bit integer."""

    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes: base64 text in JSON."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list. Lengths in elements."""

    element: Shape
    length_min: int = 0
    length_max: int | None = None


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from strings. `keys`: what holds for each of them; lengths in entries."""

    value: Shape
    keys: Text | None = None
    length_min: int = 0
    length_max: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A map of known members, by name. `required`: the names that may not be absent."""

    name: str
    members: dict[str, Shape] = field(repr=False)
    required: frozenset[str] = frozenset()


Shape: TypeAlias = Text | Integer | Flag | Blob | ListOf | MapOf | Structure


# Deserialisation


def normalise(shape: Structure, body: Mapping[str, Any], *, is_json: bool) -> dict[str, Any]:
    """The body with what is null or not in the model left out, and blobs as bytes. Raises SerializationError, and
    ValidationError for a value that is nested so deeply that nothing is to be looked for in it."""
    return _Reader(is_json).structure(shape, body, depth=0)


class _Reader:
    """`depth`: how many attribute values are around what is read."""

    def __init__(self, is_json: bool) -> None:
        self._is_json = is_json

    def structure(self, shape: Structure, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if shape is ATTRIBUTE_VALUE:
            depth += 1
            if depth > NESTING_MAX:
                raise ValidationError(NESTED_TOO_DEEPLY)
        return {
            name: self._read(shape.members[name], each, depth, is_element=False)
            for name, each in value.items()
            if each is not None and name in shape.members
        }

    def _read(self, shape: Shape, value: Any, depth: int, *, is_element: bool) -> Any:
        """`is_element`: of a list or a map, which decides some messages. An element that is null stays null."""
        if value is None:
            return {} if shape is ATTRIBUTE_VALUE else None
        if isinstance(shape, Text):
            return _read_text(value)
        if isinstance(shape, Integer):
            return _read_integer(value)
        if isinstance(shape, Flag):
            return _read_flag(value)
        if isinstance(shape, Blob):
            return _read_blob(value) if self._is_json else _read_bytes(value)
        if isinstance(shape, ListOf):
            elements = _collection(value, list, _PARAMETERIZED if is_element else _UNEXPECTED_FIELD, "")
            return [self._read(shape.element, each, depth, is_element=True) for each in elements]
        if isinstance(shape, MapOf):
            entries = _collection(value, dict, _PARAMETERIZED if is_element else _UNEXPECTED_FIELD, _java_type(shape))
            return {key: self._read(shape.value, each, depth, is_element=True) for key, each in entries.items()}
        message = "Unexpected value type in payload" if is_element else _UNEXPECTED_FIELD
        return self.structure(shape, _collection(value, dict, message, "class " + _java_type(shape)), depth)


def _collection(value: Any, kind: type, scalar_message: str, java_type: str) -> Any:
    """A list or a map, where one must be."""
    if type(value) is kind:
        return value
    if isinstance(value, dict):
        raise SerializationError(_MAP_NOT_EXPECTED)
    raise SerializationError(f"Unrecognized collection type {java_type}" if isinstance(value, list) else scalar_message)


def _java_type(shape: Shape) -> str:
    if isinstance(shape, MapOf):
        return f"java.util.Map<java.lang.String, {_java_type(shape.value)}>"
    if isinstance(shape, ListOf):
        return f"java.util.List<{_java_type(shape.element)}>"
    return _JAVA_PACKAGE + shape.name if isinstance(shape, Structure) else "java.lang.String"


def _scalar_name(value: Any) -> str:
    """What DynamoDB calls a scalar of JSON."""
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    return "NUMBER_VALUE" if isinstance(value, int) else "DECIMAL_VALUE"


def _refuse_collection(value: Any, java_class: str) -> None:
    if isinstance(value, dict):
        raise SerializationError(_MAP_NOT_EXPECTED)
    if isinstance(value, list):
        raise SerializationError(f"Unrecognized collection type class {java_class}")


def _read_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    _refuse_collection(value, "java.lang.String")
    raise SerializationError(f"{_scalar_name(value)} cannot be converted to String")


def _read_integer(value: Any) -> int:
    _refuse_collection(value, "java.lang.Integer")
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        raise SerializationError(f"{_scalar_name(value)} cannot be converted to Integer")
    return int(max(-INTEGER_MAX, min(value, INTEGER_MAX)))


def _read_flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    _refuse_collection(value, "java.lang.Boolean")
    if not isinstance(value, str):
        raise SerializationError(f"{_scalar_name(value)} cannot be converted to Boolean")
    word = value.upper()
    if word in ("TRUE", "1", "YES"):
        return True
    if word in ("FALSE", "0", "NO"):
        return False
    raise SerializationError("Unexpected token received from parser")


def _read_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise SerializationError("a binary value must be bytes")
    return value


def _read_blob(value: Any) -> bytes:
    _refuse_collection(value, "java.nio.ByteBuffer")
    if not isinstance(value, str):
        raise SerializationError("only base-64-encoded strings are convertible to bytes")
    if len(value) % 4:
        raise SerializationError(f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(value)}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SerializationError("Invalid last non-pad Base64 character dectected") from error


# Constraints


def check_constraints(shape: Structure, body: Mapping[str, Any]) -> None:
    """Raises ValidationError with everything that the model does not allow in a body that `normalise` returned."""
    violations: list[str] = []
    for violation in _violations(shape, body, ""):
        violations.append(violation)
        if len(violations) == VIOLATIONS_MAX:
            break
    if violations:
        plural = "s" if len(violations) > 1 else ""
        raise ValidationError(f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}")


def violation(path: str, value: Any, constraint: str) -> str:
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
            yield violation(there, None, "Member must not be null")


def _violations_of(shape: Shape, value: Any, path: str) -> Iterator[str]:
    for constraint in _broken(shape, value):
        yield violation(path, value, constraint)
    yield from _violations_within(shape, value, path)


def _violations_within(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, Structure):
        yield from _violations(shape, value, path + ".")
    elif isinstance(shape, ListOf) and isinstance(shape.element, (Structure, MapOf)):
        yield from _violations_of_elements(shape.element, enumerate(value, 1), path)
    elif isinstance(shape, MapOf) and shape.value is not ATTRIBUTE_VALUE:
        yield from _violations_of_elements(shape.value, value.items(), path)


def _violations_of_elements(shape: Shape, elements: Iterable[tuple[Any, Any]], path: str) -> Iterator[str]:
    for key, element in elements:
        there = f"{path}.{key}.member"
        if isinstance(shape, ListOf):  # its length is the map's affair
            yield from _violations_within(shape, element or (), there)
        elif element is not None:
            yield from _violations_of(shape, element, there)
        elif not isinstance(shape, Text):
            yield violation(there, None, "Member must not be null")


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints that a value breaks, as the messages have them."""
    if isinstance(shape, Integer):
        if shape.least is not None and value < shape.least:
            yield f"Member must have value greater than or equal to {shape.least}"
        if shape.most is not None and value > shape.most:
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
    return (value is None or _is_broken(shape, value) for value in values)


def _is_broken(shape: Shape, value: Any) -> bool:
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
    else:
        yield "null" if value is None else str(value)


_TEXT = Text()
_BINARY = Blob()

ATTRIBUTE_VALUE = Structure("AttributeValue", {})
ATTRIBUTE_VALUE.members.update(
    {
        "S": _TEXT,
        "N": _TEXT,
        "B": _BINARY,
        "SS": ListOf(_TEXT),
        "NS": ListOf(_TEXT),
        "BS": ListOf(_BINARY),
        "M": MapOf(ATTRIBUTE_VALUE),
        "L": ListOf(ATTRIBUTE_VALUE),
        "NULL": Flag(),
        "BOOL": Flag(),
    }
)


# What most requests are


def quick_check(shape: Structure) -> Callable[[Any], bool]:
    """A predicate that is quick and strict: what it accepts needs neither `normalise` nor `check_constraints`.

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
    if shape is ATTRIBUTE_VALUE or (isinstance(shape, MapOf) and shape.value is ATTRIBUTE_VALUE):
        return _is_map
    if isinstance(shape, Structure):
        return quick_check(shape)
    if isinstance(shape, ListOf):
        return partial(_is_list_of, shape, _quick(shape.element))
    if isinstance(shape, MapOf):
        return partial(_is_map_of, shape, _quick(shape.value))
    if isinstance(shape, Integer):
        return partial(_is_integer, shape)
    return _is_flag if isinstance(shape, Flag) else partial(_is_text, shape)


def _is_map(value: Any) -> bool:
    return type(value) is dict


def _is_list_of(shape: ListOf, is_element: Callable[[Any], bool], value: Any) -> bool:
    return type(value) is list and all(map(is_element, value)) and not _is_broken(shape, value)


def _is_map_of(shape: MapOf, is_value: Callable[[Any], bool], value: Any) -> bool:
    return type(value) is dict and all(map(is_value, value.values())) and not _is_broken(shape, value)


def _is_integer(shape: Integer, value: Any) -> bool:
    return type(value) is int and abs(value) <= INTEGER_MAX and not _is_broken(shape, value)


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_text(shape: Shape, value: Any) -> bool:
    return type(value) is str and not _is_broken(shape, value)
