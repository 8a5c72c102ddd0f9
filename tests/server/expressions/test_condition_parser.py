"""Conditions as text: what is refused before names and values are looked at, and in which words."""

from __future__ import annotations

import pytest

from server.expressions.condition_parser import ConditionParser
from server.expressions.parser import ExpressionError
from server.expressions.trees import And, Attribute, Comparison, Function, Not, Or, Size, Value

A = Comparison("=", Attribute(("a",)), Value(":v"))
B = Comparison("<", Attribute(("b",)), Value(":w"))
C = Function("attribute_exists", (Attribute(("c",)),))


def error_of(text: str) -> str:
    with pytest.raises(ExpressionError) as raised:
        ConditionParser(text).parse()
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a = :v", A),
        (" \t\r\na=:v\n", A),
        ("(a = :v)", A),
        ("a = :v AND b < :w AND attribute_exists(c)", And((A, B, C))),
        ("a = :v or b < :w and attribute_exists(c)", Or((A, And((B, C))))),
        ("(a = :v OR b < :w) AND attribute_exists(c)", And((Or((A, B)), C))),
        ("(a = :v) AND (b < :w) AND (attribute_exists (c))", And((A, B, C))),
        ("((a = :v) OR b < :w)", Or((A, B))),
        ("((a = :v) OR (b < :w)) AND (NOT (attribute_exists(c)))", And((Or((A, B)), Not(C)))),
        ("(NOT ((a = :v) AND b < :w))", Not(And((A, B)))),
        ("NOT (NOT (a = :v))", Not(Not(A))),
        ("NOT NOT a = :v", A),
        ("NOT NOT NOT (a = :v)", Not(A)),
        ("((a) = :v)", A),
        ("((a) = (:v) AND (b) < :w)", And((A, B))),
        ("(size(a) > (:v))", Comparison(">", Size((Attribute(("a",)),)), Value(":v"))),
        ("((size(a)) > (:v))", Comparison(">", Size((Attribute(("a",)),)), Value(":v"))),
        ("((a.b[0]) = :v)", Comparison("=", Attribute(("a", "b", 0)), Value(":v"))),
        ("#a . #b [ 10 ] [007].c1_ = :v", Comparison("=", Attribute(("#a", "#b", 10, 7, "c1_")), Value(":v"))),
        ("((:v) = a)", Comparison("=", Value(":v"), Attribute(("a",)))),
        ("size = :v AND sizes(", None),
    ],
)
def test_how_text_is_read(text: str, tree: object) -> None:
    """Precedence, and which parentheses are around what."""
    if tree is None:
        assert error_of(text).startswith("Syntax error")
    else:
        assert ConditionParser(text).parse() == tree


@pytest.mark.parametrize(
    ("text", "token", "near"),
    [
        ("foo", "<EOF>", "foo"),
        (" ", "<EOF>", ""),
        ("a+:delta<b", "+", "a+:delta"),
        ("a = = :v", "=", "= = :v"),
        ("a  =\n=  :v", "=", "=\n=  :v"),
        ("_x = :v", "_", "_x"),
        ("a = :v AND", "<EOF>", "AND"),
        ("a = :v b = :w", "b", ":v b ="),
        ("a AND b", "AND", "a AND b"),
        ("a IN ()", ")", "()"),
        ("a IN :v", ":v", "IN :v"),
        ("a IN (:v", "<EOF>", ":v"),
        ("a IN (:v, )", ")", ", )"),
        ("a BETWEEN :v OR :w", "OR", ":v OR :w"),
        ("a BETWEEN :v", "<EOF>", ":v"),
        ("(a = :v", "<EOF>", ":v"),
        ("(a = :v))", ")", "))"),
        ("a = :v)", ")", ":v)"),
        ("()", ")", "()"),
        ("((a) = :v", "<EOF>", ":v"),
        ("(size(a", "<EOF>", "a"),
        ("(a) AND b = :v", "AND", ") AND b"),
        ("a = 5", "5", "= 5"),
        ("a = 'x'", "'", "= 'x"),
        ("a[x] = :v", "x", "[x]"),
        ("a[1 = :v", "=", "1 = :v"),
        ("a[1.5] = :v", ".", "1.5"),
        ("a[-1] = :v", "-", "[-1"),
        ("a. = :v", "=", ". = :v"),
        ("a.#", "#", ".#"),
        ("a.:v", ":v", ".:v"),
        ("a-b = :v", "-", "a-b"),
        ("NOT", "<EOF>", "NOT"),
        ("NOT NOT", "<EOF>", "NOT"),
        ("and = :v", "and", "and ="),
        ("a.between = :v", "between", ".between ="),
        ("begins_with(a :v)", ":v", "a :v)"),
        ("begins_with(a, :v", "<EOF>", ":v"),
        ("begins_with()", ")", "()"),
        ("#a(b)", "(", "#a(b"),
        ("a = :v; b = :w", ";", ":v; b"),
        ("a = :v é", "é", ":v é"),
        ("a <> < :v", "<", "<> < :v"),
        ("a != :v", "!", "a !="),
        ("a == :v", "=", "== :v"),
        ("[object Object]", "[", "[object"),
        (":v", "<EOF>", ":v"),
        (":", ":", ":"),
    ],
)
def test_syntax_errors(text: str, token: str, near: str) -> None:
    """The token that no rule has there, and what stands near it."""
    assert error_of(text) == f'Syntax error; token: "{token}", near: "{near}"'


MISUSED = "The function is not allowed to be used this way in an expression; function: "
PARENTHESES = "The expression has redundant parentheses;"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("((a = :v))", PARENTHESES),
        ("NOT ((a = :v))", PARENTHESES),
        ("((a = :v AND b = :w))", PARENTHESES),
        ("((a = :v) AND ((b = :w)))", PARENTHESES),
        ("((a)) = :v", PARENTHESES),
        ("(((a)) = :v)", PARENTHESES),
        ("a = ((:v))", PARENTHESES),
        ("begins_with(((a)), :v)", PARENTHESES),
        ("dog(a) = :v", "Invalid function name; function: dog"),
        ("Size(a) = :v", "Invalid function name; function: Size"),
        ("ATTRIBUTE_EXISTS(a)", "Invalid function name; function: ATTRIBUTE_EXISTS"),
        ("if_not_exists(a, b) = :v", "The function is not allowed in a condition expression; function: if_not_exists"),
        ("list_append(a, b) = :v", "The function is not allowed in a condition expression; function: list_append"),
        ("size(a)", MISUSED + "size"),
        ("a = :v AND size(a)", MISUSED + "size"),
        ("NOT (size(a))", MISUSED + "size"),
        ("attribute_exists(a) < :v", MISUSED + "attribute_exists"),
        (":v = begins_with(a, :w)", MISUSED + "begins_with"),
        ("a BETWEEN contains(a, b) AND :v", MISUSED + "contains"),
        ("a BETWEEN :v AND contains(a, b)", MISUSED + "contains"),
        ("contains(a, b) BETWEEN :v AND :w", MISUSED + "contains"),
        ("a IN (:v, attribute_type(a, :t))", MISUSED + "attribute_type"),
        ("attribute_exists(attribute_exists(a))", MISUSED + "attribute_exists"),
        ("status = :v", "Attribute name is a reserved keyword; reserved keyword: status"),
        ("a.Status[1] = :v", "Attribute name is a reserved keyword; reserved keyword: Status"),
        ("size = :v", "Attribute name is a reserved keyword; reserved keyword: size"),
        ("name = :v AND status = :w", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("#" + "n" * 255 + " = :v", "A token is too long; name: #" + "n" * 255 + ", maximum size: 255"),
        ("a = :" + "v" * 255, "A token is too long; value: :" + "v" * 255 + ", maximum size: 255"),
        # One kind of error after the other, wherever they are.
        ("status = :v AND size(a) AND dog(b) AND ((a = :v))", PARENTHESES),
        ("status = :v AND size(a) AND dog(b)", "Invalid function name; function: dog"),
        ("status = :v AND size(a)", MISUSED + "size"),
        ("((a = :v)) AND", 'Syntax error; token: "<EOF>", near: "AND"'),
    ],
)
def test_other_errors(text: str, message: str) -> None:
    """Those that the text alone shows."""
    assert error_of(text) == message


def test_tokens_at_their_limit() -> None:
    """255 bytes of a placeholder, the first character counted; a name that is written as it is has no limit."""
    ConditionParser(f"#{'n' * 254} = :{'v' * 254} OR {'a' * 3000} = :v").parse()


def test_the_expressions_size() -> None:
    """In bytes of UTF-8."""
    text = "a = :v"
    ConditionParser(text + " " * (4096 - len(text))).parse()
    assert error_of(text + " " * (4097 - len(text))) == (
        "Expression size has exceeded the maximum allowed size; expression size: 4097"
    )
    assert error_of("é" * 2049) == "Expression size has exceeded the maximum allowed size; expression size: 4098"
    assert error_of("é\ud800") == 'Syntax error; token: "é", near: "é\ud800"'


@pytest.mark.parametrize(
    ("repeated", "last", "count"),
    [("a=:v OR ", "a=:v", 2), ("NOT ", "a=:v", 1), ("attribute_exists(a)OR ", "a=:v", 2), ("a IN(b)OR ", "a=:v", 2)],
)
def test_the_number_of_operators(repeated: str, last: str, count: int) -> None:
    """Comparisons, functions, AND, OR and NOT all count."""
    most = 299 // count
    rest = "NOT " * (299 - most * count)
    ConditionParser(repeated * most + rest + last).parse()
    assert error_of("NOT " + repeated * most + rest + last) == (
        "The expression contains too many operators; operator count: 301"
    )


@pytest.mark.parametrize(
    "text", ["(" * 4096, "(" * 4090 + "a=:v", "(a = (" * 600, "(size(" * 600, "NOT(" * 1000, "size(" * 800]
)
def test_hostile_nesting(text: str) -> None:
    """Is refused, without recursion to its depth."""
    assert error_of(text)


def test_redundant_nesting_is_read_to_its_end() -> None:
    """A stack of its own, not Python's."""
    assert error_of("(" * 2000 + "a=:v" + ")" * 2000) == PARENTHESES


def test_calls_inside_calls() -> None:
    """More than a few deep are wrong whatever they are."""
    wrong = "Incorrect operand type for operator or function; operator or function: size, operand type: N"
    assert error_of("size(" * 9 + "a" + ")" * 9 + " = :v") == wrong
    assert ConditionParser("size(size(a)) = :v").parse()
