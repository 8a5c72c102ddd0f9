"""DynamoDB's first stage: what in a body is not of its type. Only requests that are refused, or that are written in an
unusual way, come here.

A member that is not in the model is ignored, at every level, as DynamoDB ignores it. A member that is null is one that
is absent. Some text is taken for a boolean, and a fraction for the integer before it. The first that is wrong, in the
order of the body, is told, in the words of the reader that DynamoDB uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.requests.shapes import (
    ATTRIBUTE_VALUE,
    INTEGER_MAX,
    LONG_MAX,
    Blob,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Moment,
    Shape,
    Structure,
    Text,
)
from server.model.errors import SerializationError, ValidationError
from server.model.item import NESTED_TOO_DEEPLY, bytes_of_base64
from server.model.limits import NESTING_MAX

_JAVA_PACKAGE = "com.amazonaws.dynamodb.v20120810."
_UNEXPECTED_FIELD = "Unexpected field type"
_MAP_NOT_EXPECTED = "Start of structure or map found where not expected"
_PARAMETERIZED = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of "
    "loader 'bootstrap')"
)


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
        """`is_element`: of a list or a map, which decides some messages. Null stays null."""
        if value is None:
            return {} if shape is ATTRIBUTE_VALUE else None
        if isinstance(shape, Text):
            return _read_text(value)
        if isinstance(shape, Integer):
            return _read_integer(value, is_long=shape.is_long)
        if isinstance(shape, Flag):
            return _read_flag(value)
        if isinstance(shape, Blob):
            return _read_blob(value) if self._is_json else _read_bytes(value)
        if isinstance(shape, Moment):
            return _read_moment(value)
        if isinstance(shape, ListOf):
            elements = _collection(value, list, _PARAMETERIZED if is_element else _UNEXPECTED_FIELD, "")
            return [self._read(shape.element, each, depth, is_element=True) for each in elements]
        if isinstance(shape, MapOf):
            entries = _collection(value, dict, _PARAMETERIZED if is_element else _UNEXPECTED_FIELD, _java_type(shape))
            return {
                key: self._read(shape.value, each, depth, is_element=True)
                for key, each in entries.items()
                if each is not None or not isinstance(shape.value, Text)
            }
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


def _read_integer(value: Any, *, is_long: bool) -> int:
    name, most = ("Long", LONG_MAX) if is_long else ("Integer", INTEGER_MAX)
    _refuse_collection(value, f"java.lang.{name}")
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        raise SerializationError(f"{_scalar_name(value)} cannot be converted to {name}")
    return int(max(-most, min(value, most)))


def _read_moment(value: Any) -> int | float:
    _refuse_collection(value, "java.util.Date")
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        raise SerializationError(f"{_scalar_name(value)} cannot be converted to Date")
    return value


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
        return bytes_of_base64(value)
    except ValueError as error:
        raise SerializationError("Invalid last non-pad Base64 character dectected") from error
