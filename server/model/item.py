"""Items as the processes hold them: DynamoDB's typed dictionaries, binary values as bytes.

`{"id": {"S": "a"}, "n": {"N": "1"}, "raw": {"B": b"\\x00"}}`. One walk checks everything, makes numbers canonical and
adds up the size by DynamoDB's rules (developer guide, "Item sizes and formats").
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeAlias

from server.model.errors import SerializationError, ValidationError
from server.model.limits import (
    ATTRIBUTE_NAME_BYTES_MAX,
    ITEM_BYTES_MAX,
    NESTING_MAX,
)
from server.model.number import canonical_number, number_bytes

AttributeValue: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, AttributeValue]

_EMPTY_VALUE = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
_SEVERAL_TYPES = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)
NESTED_TOO_DEEPLY = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)
ITEM_TOO_LARGE = "Item size has exceeded the maximum allowed size"
_EMPTY_SETS = {
    "SS": "An string set  may not be empty",
    "NS": "An number set  may not be empty",
    "BS": "Binary sets should not be empty",
}
_NULL_IN_STRINGS = "One or more parameter values were invalid: An string set may not have a null string as a member"
_MEMBERS_SHOWN_MAX = 1000
_CONTAINER_BYTES = 3
_ELEMENT_BYTES = 1
_FLAG_BYTES = 1


def check_item(
    item: Any, *, is_json: bool = False, bytes_max: int = ITEM_BYTES_MAX, walk_max: int = 2 * ITEM_BYTES_MAX
) -> tuple[Item, int]:
    """(the item with canonical numbers, its size in bytes).

    `is_json`: binary values are base64 text, as the JSON protocol has them. `bytes_max`: of its size. `walk_max`: of
    the bytes that are looked at one by one: a body has room for a million empty values. Raises ValidationError for what
    DynamoDB's rules forbid (ITEM_TOO_LARGE beyond either limit), SerializationError for what is not of the protocol's
    shape."""
    if not isinstance(item, dict):
        raise SerializationError("an item must be a map of attribute names to attribute values")
    if len(item) > walk_max:
        raise ValidationError(ITEM_TOO_LARGE)
    text_only_bytes = _text_only_bytes(item)
    if 0 <= text_only_bytes <= bytes_max:
        return item, text_only_bytes
    checker = _Checker(_decode_base64 if is_json else _keep_bytes, walk_max)
    checked = checker.entries(item, 0)
    if checker.size > bytes_max:
        raise ValidationError(ITEM_TOO_LARGE)
    return checked, checker.size


def item_bytes(item: Item, stop_beyond: int = ITEM_BYTES_MAX) -> int:
    """The size of an item that has been checked, by the same rules. Counting stops once the size is larger than
    `stop_beyond`: an update can put a large list into an item a thousand times."""
    size = 0
    for name, value in item.items():
        size += len(name) if name.isascii() else len(name.encode())
        for kind, content in value.items():
            if kind == "S":
                size += len(content) if content.isascii() else len(content.encode())
            else:
                size += _content_bytes(kind, content, stop_beyond)
        if size > stop_beyond:
            break
    return size


def _content_bytes(kind: str, content: Any, stop_beyond: int) -> int:
    if kind == "S":
        return len(content) if content.isascii() else len(content.encode())
    if kind == "N":
        return number_bytes(content)
    if kind == "B":
        return len(content)
    if kind == "M":
        return _CONTAINER_BYTES + _ELEMENT_BYTES * len(content) + item_bytes(content, stop_beyond)
    if kind == "L":
        size = _CONTAINER_BYTES + _ELEMENT_BYTES * len(content)
        for element in content:
            ((kind_inside, inside),) = element.items()
            size += _content_bytes(kind_inside, inside, stop_beyond)
            if size > stop_beyond:
                break
        return size
    if kind in ("SS", "NS", "BS"):
        return sum([_content_bytes(kind[0], member, stop_beyond) for member in content])
    return _FLAG_BYTES


def _text_only_bytes(item: dict[str, Any]) -> int:
    """The size of an item that has nothing but short names and texts of ASCII in it, as most keys and many items have;
    -1: there is something else, or something wrong."""
    size = 0
    for name, value in item.items():
        if type(value) is not dict or len(value) != 1 or type(text := value.get("S")) is not str:
            return -1
        if type(name) is not str or len(name) > ATTRIBUTE_NAME_BYTES_MAX or not (name.isascii() and text.isascii()):
            return -1
        size += len(name) + len(text)
    return size


def _keep_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise SerializationError("a binary value must be bytes")
    return value


def _decode_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise SerializationError("a binary value must be base64 text")
    try:
        return bytes_of_base64(value)
    except ValueError as error:
        raise SerializationError("a binary value is not valid base64") from error


def bytes_of_base64(text: str) -> bytes:
    """What base64 text stands for. Raises ValueError for what is not just as it is written, also for bits behind the
    last byte: two texts would stand for the same bytes."""
    data = base64.b64decode(text, validate=True)
    if text.endswith("=") and base64.b64encode(data[-(len(data) % 3) :]) != text[-4:].encode():
        raise ValueError("bits behind the last byte")
    return data


def text_bytes(value: Any) -> int:
    """The UTF-8 length of a string value; SerializationError if it is not one, or not text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise SerializationError("a string value must be text")
    if value.isascii():
        return len(value)
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise SerializationError("a string holds a lone surrogate") from error


def _duplicates(kind: str, members: list[Any]) -> str:
    if kind == "NS":
        return "Input collection contains duplicates"
    texts = members if kind == "SS" else [base64.b64encode(each).decode() for each in members]
    shown = ", ".join(texts[:_MEMBERS_SHOWN_MAX])
    ending = " contains duplicates." if kind == "SS" else "of type BS contains duplicates."
    return f"One or more parameter values were invalid: Input collection [{shown}]{ending}"


class _Checker:
    """One walk over an item; `size` adds up as it goes."""

    def __init__(self, read_binary: Callable[[Any], bytes], walk_max: int) -> None:
        self.size = 0
        self._binary = read_binary
        self._walk_max = walk_max

    def make_room(self, count: int) -> None:
        """Raises ValidationError before so many elements more are looked at, each of which is a byte at least."""
        if self.size + count > self._walk_max:
            raise ValidationError(ITEM_TOO_LARGE)

    def entries(self, entries: dict[str, Any], depth: int) -> Item:
        checked: Item = {}
        for name, value in entries.items():
            name_bytes = len(name) if type(name) is str and name.isascii() else text_bytes(name)
            if name_bytes > ATTRIBUTE_NAME_BYTES_MAX:
                raise ValidationError(
                    f"Attribute name is too large, must be less than {ATTRIBUTE_NAME_BYTES_MAX + 1} bytes"
                )
            self.size += name_bytes
            # What most values are is looked at here: it saves the better part of the walk.
            if type(value) is dict and len(value) == 1 and type(text := value.get("S")) is str and text.isascii():
                self.size += len(text)
                checked[name] = value
            else:
                checked[name] = self.value(value, depth)
        return checked

    def value(self, value: Any, depth: int) -> AttributeValue:
        if not isinstance(value, dict):
            raise SerializationError("an attribute value must be a map from its type to its content")
        if len(value) != 1:
            for kind, content in value.items():
                self.value({kind: content}, depth)  # what is wrong with one of them is told before that there are many
            raise ValidationError(_SEVERAL_TYPES if value else _EMPTY_VALUE)
        ((kind, content),) = value.items()
        if kind == "S":
            self.size += text_bytes(content)
            return value
        if kind == "N":
            return {"N": self._number(content)}
        if kind == "B":
            binary = self._binary(content)
            self.size += len(binary)
            return {"B": binary}
        if kind in ("BOOL", "NULL"):
            return self._flag(kind, content)
        if kind in ("M", "L"):
            return self._container(kind, content, depth + 1)
        if kind in ("SS", "NS", "BS"):
            return self._set(kind, content)
        raise ValidationError(_EMPTY_VALUE)

    def _number(self, content: Any) -> str:
        if not isinstance(content, str):
            raise SerializationError("a number value must be text")
        number = canonical_number(content)
        self.size += number_bytes(number)
        return number

    def _flag(self, kind: str, content: Any) -> AttributeValue:
        if not isinstance(content, bool):
            raise SerializationError(f"a {kind} value must be true or false")
        self.size += _FLAG_BYTES
        # There is one null only, which {"NULL": false} means as well.
        return {kind: content or kind == "NULL"}

    def _container(self, kind: str, content: Any, depth: int) -> AttributeValue:
        if depth >= NESTING_MAX and content:
            raise ValidationError(NESTED_TOO_DEEPLY)
        if kind == "M":
            if not isinstance(content, dict):
                raise SerializationError("a value of type M must be a map")
            self.make_room(len(content))
            self.size += _CONTAINER_BYTES + _ELEMENT_BYTES * len(content)
            return {"M": self.entries(content, depth)}
        if not isinstance(content, list):
            raise SerializationError("a value of type L must be a list")
        self.make_room(len(content))
        self.size += _CONTAINER_BYTES + _ELEMENT_BYTES * len(content)
        return {"L": [self.value(each, depth) for each in content]}

    def _set(self, kind: str, content: Any) -> AttributeValue:
        if not isinstance(content, list):
            raise SerializationError(f"a value of type {kind} must be a list")
        if not content:
            raise ValidationError(f"One or more parameter values were invalid: {_EMPTY_SETS[kind]}")
        self.make_room(len(content))
        if None in content:
            raise ValidationError(_NULL_IN_STRINGS if kind == "SS" else _EMPTY_VALUE)
        members: list[Any] = []
        for each in content:
            if kind == "SS":
                self.size += text_bytes(each)
                members.append(each)
            elif kind == "NS":
                members.append(self._number(each))
            else:
                binary = self._binary(each)
                self.size += len(binary)
                members.append(binary)
        if len(set(members)) != len(members):
            raise ValidationError(_duplicates(kind, members))
        return {kind: members}
