"""Text to tokens, in one pass."""

from __future__ import annotations

import re
from typing import NamedTuple

IDENTIFIER = "identifier"
NAME = "name"
VALUE = "value"
NUMBER = "number"
SYMBOL = "symbol"
END = "end"

END_TEXT = "<EOF>"

_TOKEN = re.compile(
    r"(?P<identifier>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<name>\#[A-Za-z0-9_]+)"
    r"|(?P<value>:[A-Za-z0-9_]+)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<symbol><>|<=|>=|[^ \t\r\n])"
)
"""Between tokens there is nothing but white space, as every other character begins one."""


class Token(NamedTuple):
    """`kind`: one of the constants above. `start`, `stop`: where in the text, in characters."""

    kind: str
    text: str
    start: int
    stop: int


def tokens_of(text: str) -> list[Token]:
    """All tokens; the last is the end. A character that begins none is a symbol that no rule knows."""
    found = [Token(str(match.lastgroup), match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    found.append(Token(END, END_TEXT, len(text), len(text)))
    return found


def near(text: str, tokens: list[Token], index: int) -> str:
    """What an error message shows around a token: from the one before to the one after."""
    first = tokens[max(index - 1, 0)]
    last = tokens[min(index + 1, len(tokens) - 1)]
    return text[first.start : last.stop].rstrip(" \t\r\n")
