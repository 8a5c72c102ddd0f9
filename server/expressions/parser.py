"""What the three parsers share: their tokens, document paths, and the errors that are not syntax.

Errors of syntax are raised where they are found. Other rules are checked only in an expression without one, and in an
order of their own: they are noted, the first of each kind, and raised at the end.
"""

from __future__ import annotations

from typing import NoReturn

from server.expressions.reserved_words import RESERVED_WORDS
from server.expressions.tokens import IDENTIFIER, NAME, NUMBER, Token, near, tokens_of
from server.expressions.trees import Path
from server.model.limits import EXPRESSION_BYTES_MAX, EXPRESSION_OPERATORS_MAX, EXPRESSION_TOKEN_BYTES_MAX

INDEX_DIGITS_MAX = 10
"""No list is as long; more digits would only take time to read."""


class ExpressionError(Exception):
    """What is wrong with an expression, in DynamoDB's words; whoever knows which parameter it is says so."""


class Parser:
    """A text's tokens, and where in them reading has got to. `keywords`: identifiers, in lower case, that are none."""

    keywords: frozenset[str] = frozenset()

    def __init__(self, text: str) -> None:
        if not text:
            raise ExpressionError("The expression can not be empty;")
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if size > EXPRESSION_BYTES_MAX:
            raise ExpressionError(f"Expression size has exceeded the maximum allowed size; expression size: {size}")
        self._text = text
        self._tokens = tokens_of(text)
        self._index = 0
        self._operators = 0
        self._errors: dict[str, str] = {}
        self.names: dict[str, None] = {}
        self.values: dict[str, None] = {}

    @property
    def token(self) -> Token:
        """The next token."""
        return self._tokens[self._index]

    def following(self, distance: int = 1) -> Token:
        """A token behind the next one; the end, behind the end."""
        return self._tokens[min(self._index + distance, len(self._tokens) - 1)]

    def advance(self) -> Token:
        """The next token, which is then behind."""
        token = self._tokens[self._index]
        self._index += 1
        return token

    def accept(self, symbol: str) -> bool:
        """Whether the next token is this symbol, which then is behind."""
        if self._tokens[self._index].text != symbol:
            return False
        self._index += 1
        return True

    def expect(self, symbol: str) -> None:
        """Goes behind this symbol, or raises."""
        if not self.accept(symbol):
            self.fail()

    def fail(self) -> NoReturn:
        """That the next token is one no rule has here."""
        shown = near(self._text, self._tokens, self._index)
        raise ExpressionError(f'Syntax error; token: "{self.token.text}", near: "{shown}"')

    def note(self, kind: str, message: str) -> None:
        """The first error of a kind."""
        self._errors.setdefault(kind, message)

    def raise_noted(self, *kinds: str) -> None:
        """The first error that was noted, in this order of kinds."""
        for kind in kinds:
            if kind in self._errors:
                raise ExpressionError(self._errors[kind])

    def count_operator(self) -> None:
        """One more operator or function. Raises at once beyond the limit, which is also the limit of nesting."""
        self._operators += 1
        if self._operators > EXPRESSION_OPERATORS_MAX:
            raise ExpressionError(f"The expression contains too many operators; operator count: {self._operators}")

    def is_keyword(self, token: Token) -> bool:
        return token.kind == IDENTIFIER and token.text.lower() in self.keywords

    def value(self) -> str:
        """The placeholder of a value, which is the next token."""
        name = self._measured(self.advance()).text
        self.values[name] = None
        return name

    def path(self) -> Path:
        """A document path, its placeholders as they are written. Raises if the next tokens are none."""
        steps: list[str | int] = [self._step()]
        while True:
            if self.accept("."):
                steps.append(self._step())
            elif self.accept("["):
                if self.token.kind != NUMBER:
                    self.fail()
                digits = self.advance().text.lstrip("0")
                if len(digits) > INDEX_DIGITS_MAX:
                    digits = "9" * INDEX_DIGITS_MAX
                steps.append(int(digits or "0"))
                self.expect("]")
            else:
                return tuple(steps)

    def _step(self) -> str:
        token = self.token
        if token.kind == NAME:
            self.names[token.text] = None
        elif token.kind != IDENTIFIER or self.is_keyword(token):
            self.fail()
        elif token.text.upper() in RESERVED_WORDS:
            self.note("reserved", f"Attribute name is a reserved keyword; reserved keyword: {token.text}")
        self._index += 1
        return self._measured(token).text

    def _measured(self, token: Token) -> Token:
        if len(token.text) > EXPRESSION_TOKEN_BYTES_MAX and token.kind != IDENTIFIER:
            what = "name" if token.kind == NAME else "value"
            self.note(
                "token",
                f"A token is too long; {what}: {token.text}, maximum size: {EXPRESSION_TOKEN_BYTES_MAX}",
            )
        return token
