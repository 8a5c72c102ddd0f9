"""Expressions as people type them: names and values as they are, instead of placeholders.

    plays > 100 AND begins_with(title, "I ") AND size = 2     ->     #n0 > :v0 AND begins_with(#n1, :v1) AND #n2 = :v2

Values: "text", 'text', numbers, true, false, null, lists and maps as in JSON, and DynamoDB's typed JSON for the rest:
{"B": "AQI="}, {"SS": ["a", "b"]}. Everything else that is a word is the name of an attribute, except the words of the
expression's grammar and the functions, which have a bracket behind them. `Any other name` stands in backquotes.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from stator.cli.exits import UsageError
from stator.cli.json_values import TYPES, from_dynamodb_json, read_number
from stator.cli.output import to_json
from stator.errors import ValidationError
from stator.expressions import Placeholders

CONDITION_WORDS = frozenset({"and", "or", "not", "between", "in"})
UPDATE_WORDS = frozenset({"set", "remove", "add", "delete"})
_CONSTANTS = {"true": True, "false": False, "null": None}

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d]\w*")
_CALL = re.compile(r"\s*\(")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?(?!\w)")
_INDEX = re.compile(r"\[\s*\d+\s*\]")
_BACKQUOTED = re.compile(r"`([^`]+)`")
_SINGLE = re.compile(r"'([^']*)'")
_SYMBOL = re.compile(r"<>|<=|>=|[=<>(),.+-]")
_DECODER = json.JSONDecoder(parse_float=Decimal)


def with_placeholders(text: str, words: frozenset[str], placeholders: Placeholders, what: str) -> str:
    """The expression that the servers read; names and values go into `placeholders`. Raises UsageError."""
    return _Reader(text, words, placeholders, what).read()


@contextlib.contextmanager
def as_typed(placeholders: Placeholders) -> Iterator[None]:
    """Errors of the server about an expression say what was typed where they name a placeholder."""
    try:
        yield
    except ValidationError as error:

        def typed(found: "re.Match[str]") -> str:
            token = found[0]
            if token in placeholders.names:
                return placeholders.names[token]
            return to_json(placeholders.values[token]) if token in placeholders.values else token

        error.message = re.sub(r"[#:][nv]\d+", typed, error.message)
        raise


def names_for_texts(text: str) -> list[str]:
    """Words that are compared with and are names of attributes as they stand, but may have been meant as texts."""
    without_texts = re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`", '""', text)
    found = re.findall(r"[=<>]\s*([^\W\d]\w*)\s*(?![\w\s(.\[])", without_texts)
    found += re.findall(r"[=<>]\s*([^\W\d]\w*)\s+(?:and|or)\b", without_texts, re.IGNORECASE)
    return [word for word in found if word.lower() not in _CONSTANTS]


class _Reader:
    def __init__(self, text: str, words: frozenset[str], placeholders: Placeholders, what: str) -> None:
        self._text = text
        self._words = words
        self._placeholders = placeholders
        self._what = what
        self._position = 0
        self._made: list[str] = []
        # Whether what came last is an operand: then "[" is an index and "-" an operator.
        self._follows_operand = False

    def read(self) -> str:
        if not self._text.strip():
            raise UsageError(f"{self._what} is empty.")
        while self._position < len(self._text):
            if space := _SPACE.match(self._text, self._position):
                self._take(space, " ")
            else:
                self._read_one()
        return "".join(self._made).strip()

    def _read_one(self) -> None:
        text, position = self._text, self._position
        if word := _WORD.match(text, position):
            self._read_word(word)
        elif quoted := _BACKQUOTED.match(text, position):
            self._operand(quoted, self._placeholders.name(quoted[1]))
        elif single := _SINGLE.match(text, position):
            self._operand(single, self._placeholders.value(single[1]))
        elif self._follows_operand and (index := _INDEX.match(text, position)):
            self._take(index, index[0])
        elif (number := _NUMBER.match(text, position)) and not (self._follows_operand and number[0][0] == "-"):
            self._operand(number, self._placeholders.value(read_number(number[0])))
        elif text[position] in '"[{':
            self._read_json()
        elif symbol := _SYMBOL.match(text, position):
            self._take(symbol, symbol[0])
            self._follows_operand = symbol[0] == ")"
        else:
            self._fail("this cannot be read")

    def _read_word(self, word: "re.Match[str]") -> None:
        lower = word[0].lower()
        is_in_path = bool(self._made) and self._made[-1] == "."
        if _CALL.match(self._text, word.end()) and lower not in self._words:
            self._take(word, lower)
            self._follows_operand = False
        elif lower in self._words and not is_in_path:
            self._take(word, lower.upper())
            self._follows_operand = False
        elif lower in _CONSTANTS and not is_in_path:
            self._operand(word, self._placeholders.value(_CONSTANTS[lower]))
        else:
            self._operand(word, self._placeholders.name(word[0]))

    def _read_json(self) -> None:
        try:
            value, end = _DECODER.raw_decode(self._text, self._position)
        except (ValueError, RecursionError):
            self._fail("a value begins here that is not JSON")
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in TYPES:
            value = from_dynamodb_json(value)
        self._made.append(self._placeholders.value(value))
        self._position = end
        self._follows_operand = True

    def _operand(self, found: "re.Match[str]", made: str) -> None:
        self._take(found, made)
        self._follows_operand = True

    def _take(self, found: "re.Match[str]", made: str) -> None:
        self._made.append(made)
        self._position = found.end()

    def _fail(self, problem: str) -> Any:
        rest = self._text[self._position : self._position + 30]
        raise UsageError(f"{self._what}: {problem}: {rest!r}. Texts stand in double quotes, odd names in backquotes.")
