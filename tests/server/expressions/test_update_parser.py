"""Updates as text: what is refused before names and values are looked at, and in which words."""

from __future__ import annotations

import pytest

from server.expressions.parser import ExpressionError
from server.expressions.trees import (
    AddAction,
    Arithmetic,
    Attribute,
    DeleteAction,
    RemoveAction,
    SetAction,
    UpdateFunction,
    Value,
)
from server.expressions.update_parser import UpdateParser

A, B, V = Attribute(("a",)), Attribute(("b",)), Value(":v")


def error_of(text: str) -> str:
    with pytest.raises(ExpressionError) as raised:
        UpdateParser(text).parse()
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("SET a = :v", (SetAction(("a",), V),)),
        ("set a=b,#b.c[1]=:v", (SetAction(("a",), B), SetAction(("#b", "c", 1), V))),
        ("SET a = a + :v", (SetAction(("a",), Arithmetic("+", A, V)),)),
        ("SET a = a-:v", (SetAction(("a",), Arithmetic("-", A, V)),)),
        ("SET a = (a - :v)", (SetAction(("a",), Arithmetic("-", A, V)),)),
        ("SET a = (a) - (:v)", (SetAction(("a",), Arithmetic("-", A, V)),)),
        ("SET a = ((a) - (:v))", (SetAction(("a",), Arithmetic("-", A, V)),)),
        ("SET a = (a)", (SetAction(("a",), A),)),
        ("SET a = ((a))", (SetAction(("a",), A),)),
        ("SET a = (list_append(a, (b)))", (SetAction(("a",), UpdateFunction("list_append", (A, B))),)),
        (
            "SET a = (if_not_exists(a, :v)) + :v",
            (SetAction(("a",), Arithmetic("+", UpdateFunction("if_not_exists", (A, V)), V)),),
        ),
        (
            "SET a = list_append(if_not_exists(a, b), :v)",
            (SetAction(("a",), UpdateFunction("list_append", (UpdateFunction("if_not_exists", (A, B)), V))),),
        ),
        (
            "DELETE a :v ADD b :v REMOVE c, d[0] SET e = :v",
            (
                DeleteAction(("a",), V),
                AddAction(("b",), V),
                RemoveAction(("c",)),
                RemoveAction(("d", 0)),
                SetAction(("e",), V),
            ),
        ),
    ],
)
def test_how_text_is_read(text: str, actions: object) -> None:
    """Sections, and what parentheses are around."""
    assert UpdateParser(text).parse() == actions


@pytest.mark.parametrize(
    ("text", "token", "near"),
    [
        ("INVALID SYNTAX HERE", "INVALID", "INVALID SYNTAX"),
        ("set", "<EOF>", "set"),
        ("SET a", "<EOF>", "a"),
        ("SET a =", "<EOF>", "="),
        ("SET a = :v,", "<EOF>", ","),
        ("SET a = :v, REMOVE b", "REMOVE", ", REMOVE b"),
        ("SET set = :v", "set", "SET set ="),
        ("SET _123 = :v", "_", "SET _123"),
        ("SET a = :v + :w + :x", "+", ":w + :x"),
        ("SET a = ((a) + :v", "<EOF>", ":v"),
        ("SET a = (a", "<EOF>", "a"),
        ("SET a = (((a)))", "(", "((a"),
        ("SET a = (a + :v) + :w", "+", "a + :v"),
        ("SET a = if_not_exists(a + :v, b)", "+", "a + :v"),
        ("SET a = if_not_exists(a, b", "<EOF>", "b"),
        ("SET a = if_not_exists()", ")", "()"),
        ("SET a = b c", "c", "b c"),
        ("SET :v = a", ":v", "SET :v ="),
        ("ADD hits : incr", ":", "hits : incr"),
        ("ADD a = :v", "=", "a = :v"),
        ("ADD a b", "b", "a b"),
        ("REMOVE a :v", ":v", "a :v"),
        ("REMOVE a, #, b", "#", ", #,"),
        ("REMOVE a[]", "]", "[]"),
    ],
)
def test_syntax_errors(text: str, token: str, near: str) -> None:
    """The token that no rule has there, and what stands near it."""
    assert error_of(text) == f'Syntax error; token: "{token}", near: "{near}"'


SECTION = 'The "SET" section can only be used once in an update expression;'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("SET a = :v SET b = :v", SECTION),
        ("remove a REMOVE b", 'The "REMOVE" section can only be used once in an update expression;'),
        ("ADD a :v ADD b :v", 'The "ADD" section can only be used once in an update expression;'),
        ("DELETE a :v delete b :v", 'The "DELETE" section can only be used once in an update expression;'),
        ("SET a = dog(b)", "Invalid function name; function: dog"),
        ("SET a = size(b)", "The function is not allowed in an update expression; function: size"),
        (
            "SET a = attribute_exists(b)",
            "The function is not allowed in an update expression; function: attribute_exists",
        ),
        ("SET status = :v", "Attribute name is a reserved keyword; reserved keyword: status"),
        ("SET a = b.items", "Attribute name is a reserved keyword; reserved keyword: items"),
        # One kind of error after the other, wherever they are.
        ("SET a = dog(b) SET status = :v", "Attribute name is a reserved keyword; reserved keyword: status"),
        ("SET a = :v SET a = dog(b)", "Invalid function name; function: dog"),
        ("SET status = dog(b) SET", 'Syntax error; token: "<EOF>", near: "SET"'),
    ],
)
def test_other_errors(text: str, message: str) -> None:
    """Those that the text alone shows."""
    assert error_of(text) == message


def test_the_number_of_operators() -> None:
    """Sums, differences and functions count; actions do not."""
    sums = ",".join(f"{'abcdef'[i % 6]}{i}=a+:v" for i in range(300))
    UpdateParser(f"SET {sums} REMOVE {','.join(f'x{i}' for i in range(100))}").parse()
    assert error_of(f"SET {sums},q=list_append(a,b)") == (
        "The expression contains too many operators; operator count: 301"
    )


@pytest.mark.parametrize("text", ["SET a=" + "(" * 4000, "SET a=" + "if_not_exists(a," * 255, "SET a=b," * 500])
def test_hostile_texts(text: str) -> None:
    """Are refused in bounded time and depth."""
    assert error_of(text)
