"""Projections as text: what is refused, and in which words."""

from __future__ import annotations

import pytest

from server.expressions.parser import INDEX_DIGITS_MAX, ExpressionError
from server.expressions.projection_parser import ProjectionParser


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("a,", 'Syntax error; token: "<EOF>", near: ","'),
        (",a", 'Syntax error; token: ",", near: ",a"'),
        ("a b", 'Syntax error; token: "b", near: "a b"'),
        ("foo-bar", 'Syntax error; token: "-", near: "foo-bar"'),
        ("a, :v", 'Syntax error; token: ":v", near: ", :v"'),
        ("a, size(b)", 'Syntax error; token: "(", near: "size(b"'),
        ("name, a", "Attribute name is a reserved keyword; reserved keyword: name"),
    ],
)
def test_errors(text: str, message: str) -> None:
    """Syntax first."""
    with pytest.raises(ExpressionError) as raised:
        ProjectionParser(text).parse()
    assert str(raised.value) == message


def test_keywords_of_other_expressions_are_reserved_only() -> None:
    """There is no syntax here that they could be part of."""
    with pytest.raises(ExpressionError, match="reserved keyword: between"):
        ProjectionParser("a.between").parse()


def test_an_index_beyond_all_lists() -> None:
    """Has no more digits than are worth reading."""
    assert ProjectionParser("a[" + "1" * 4000 + "]").parse() == (("a", int("9" * INDEX_DIGITS_MAX)),)
    assert ProjectionParser("a[" + "0" * 4000 + "]").parse() == (("a", 0),)
