"""Items as JSON text: plain JSON for people, and DynamoDB's typed JSON ({"pk": {"S": "x"}}) that keeps every type."""

import base64
import binascii
import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from stator.cli.exits import UsageError
from stator.values import Item, number_text, number_value

TYPES = frozenset({"S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"})


def parse_json(text: str, what: str) -> Any:
    """JSON with exact numbers. Raises UsageError, which says where the mistake is."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=refuse_constant)
    except ValueError as error:
        raise UsageError(f"{what} is not JSON: {error}.") from None
    except RecursionError:
        raise UsageError(f"{what} is nested too deeply.") from None


def parse_item(document: Any, *, is_dynamodb_json: bool) -> Item:
    """An item from a JSON document. Raises UsageError."""
    if not isinstance(document, dict):
        raise UsageError(f"an item must be a JSON object of attributes, not {_kind(document)}.")
    if not is_dynamodb_json:
        return document
    item = {}
    for name, value in document.items():
        try:
            item[name] = from_dynamodb_json(value)
        except UsageError as error:
            raise UsageError(f"attribute {name!r}: {error}") from None
        except RecursionError:
            raise UsageError(f"attribute {name!r} is nested too deeply.") from None
    return item


def from_dynamodb_json(typed: Any) -> Any:
    """A value from {"S": "x"} and the like. Raises UsageError."""
    if not isinstance(typed, dict) or len(typed) != 1:
        raise UsageError(f"{_kind(typed)} is not a typed value such as {{'S': 'text'}}; is this plain JSON?")
    ((kind, value),) = typed.items()
    try:
        match kind:
            case "S":
                return _checked(value, str)
            case "N":
                return _number(value)
            case "B":
                return base64.b64decode(_checked(value, str), validate=True)
            case "BOOL":
                return _checked(value, bool)
            case "NULL":
                return None
            case "SS":
                return _set([_checked(element, str) for element in _checked(value, list)])
            case "NS":
                return _set([_number(element) for element in _checked(value, list)])
            case "BS":
                return _set([base64.b64decode(_checked(e, str), validate=True) for e in _checked(value, list)])
            case "L":
                return [from_dynamodb_json(element) for element in _checked(value, list)]
            case "M":
                return {name: from_dynamodb_json(element) for name, element in _checked(value, dict).items()}
    except (binascii.Error, TypeError) as error:
        raise UsageError(f"{kind} cannot be {value!r}: {error}.") from None
    raise UsageError(f"{kind!r} is not a type: use S, N, B, BOOL, NULL, SS, NS, BS, L or M.")


def to_dynamodb_json(value: Any) -> dict[str, Any]:
    """The typed form of a value that came from the client."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int | Decimal):
        return {"N": number_text(value)}
    if isinstance(value, bytes):
        return {"B": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {"M": {name: to_dynamodb_json(element) for name, element in value.items()}}
    if isinstance(value, set | frozenset):
        typed = [to_dynamodb_json(element) for element in sorted(value)]
        kind = next(iter(typed[0]))
        return {kind + "S": [element[kind] for element in typed]}
    return {"L": [to_dynamodb_json(element) for element in value]}


def shown_item(item: Item, *, is_dynamodb_json: bool) -> dict[str, Any]:
    """What to print of an item: its attributes by name, for they have no order of their own."""
    shown = {name: to_dynamodb_json(value) for name, value in item.items()} if is_dynamodb_json else item
    return dict(sorted(shown.items()))


def read_number(text: str) -> int | Decimal:
    """Exact. Raises ArithmeticError for what is no number, and for what only Python takes for one, such as 1_000."""
    if "_" in text or not text.isascii():
        raise InvalidOperation
    return number_value(text)


def _number(value: Any) -> int | Decimal:
    try:
        return read_number(_checked(value, str))
    except ArithmeticError:
        raise TypeError("it must be a number") from None


def _set(elements: list[Any]) -> set[Any]:
    if len(set(elements)) < len(elements):
        raise TypeError("a set has each element once")
    return set(elements)


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"it must be {_NAMES[kind]}")
    return value


_NAMES: dict[type, str] = {str: "a text", bool: "true or false", list: "a list", dict: "an object"}


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return {list: "a list", str: "a text", type(None): "null"}.get(type(value), f"the value {value!r}")


def refuse_constant(name: str) -> Any:
    """Raises ValueError: for NaN and Infinity, which only Python takes for JSON."""
    raise ValueError(f"{name} is not a number that can be stored")
