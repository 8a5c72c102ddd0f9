"""The reserved words."""

from __future__ import annotations

import pytest

from server.expressions.expression import parse_projection
from server.expressions.placeholders import Placeholders
from server.expressions.reserved_words import RESERVED_WORDS
from server.model.errors import ValidationError


def test_there_are_as_many_as_are_documented() -> None:
    """573, in capitals."""
    assert len(RESERVED_WORDS) == 573
    assert all(word.isupper() and word.isalpha() for word in RESERVED_WORDS)


def test_each_is_refused() -> None:
    """In any case; not behind a placeholder, and not as a part of a name."""
    for word in RESERVED_WORDS:
        for written in (word, word.lower(), word.title()):
            with pytest.raises(ValidationError) as raised:
                parse_projection(written, Placeholders(None, None))
            assert raised.value.message == (
                f"Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: {written}"
            )
        parse_projection(f"#w, {word}_", Placeholders({"#w": word}, None))
