"""What an update's operands may be."""

from __future__ import annotations

import pytest

from server.expressions.expression import parse_update
from server.expressions.parser import ExpressionError
from server.expressions.placeholders import Placeholders
from server.expressions.update_checks import check_defined
from server.expressions.update_parser import UpdateParser
from server.model.errors import ValidationError
from server.model.item import Item
from tests.server.expressions.test_condition_checks import wrong_count, wrong_type

VALUES: Item = {
    ":s": {"S": "x"},
    ":n": {"N": "1"},
    ":b": {"B": b"x"},
    ":bool": {"BOOL": True},
    ":null": {"NULL": True},
    ":ss": {"SS": ["x"]},
    ":ns": {"NS": ["1"]},
    ":bs": {"BS": [b"x"]},
    ":l": {"L": []},
    ":m": {"M": {}},
}


def error_of(text: str) -> str:
    try:
        parse_update(text, Placeholders(None, VALUES))
    except ValidationError as error:
        return error.message.removeprefix("Invalid UpdateExpression: ")
    return ""


def wrong_member(operator: str, kind: str) -> str:
    return (
        f"Incorrect operand type for operator or function; operator: {operator}, operand type: {kind}, "
        f"typeSet: ALLOWED_FOR_{operator}_OPERAND"
    )


def test_what_is_defined_is_not_complained_of() -> None:
    """All names, all values."""
    actions = UpdateParser("SET #a = :n REMOVE b").parse()
    check_defined(actions, {"#a": "a"}, VALUES)
    with pytest.raises(ExpressionError, match="attribute name: #a"):
        check_defined(actions, {}, {})


PATH = "Operator or function requires a document path; operator or function: if_not_exists"


@pytest.mark.parametrize(
    "text",
    [
        "ADD a :n, b :ss, c :ns, d :bs",
        "DELETE b :ss, c :ns, d :bs",
        "SET a = :m, b = a, c = :null",
        "SET a = a + :n, b = :n - b, c = :n + :n",
        "SET a = list_append(a, :l), b = list_append(:l, b)",
        "SET c = list_append(:l, list_append(:l, if_not_exists(c, :l)))",
        "SET a = if_not_exists(a, :s) + :n, b = if_not_exists(b, if_not_exists(c.d[0], :m))",
    ],
)
def test_what_is_allowed(text: str) -> None:
    """Each of these."""
    assert error_of(text) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ADD a :s", wrong_member("ADD", "STRING")),
        ("ADD a :b", wrong_member("ADD", "BINARY")),
        ("ADD a :bool", wrong_member("ADD", "BOOLEAN")),
        ("ADD a :null", wrong_member("ADD", "NULL")),
        ("ADD a :l", wrong_member("ADD", "LIST")),
        ("ADD a :m", wrong_member("ADD", "MAP")),
        ("DELETE a :n", wrong_member("DELETE", "NUMBER")),
        ("DELETE a :s", wrong_member("DELETE", "STRING")),
        ("SET a = a + :s", wrong_type("+", "S")),
        ("SET a = :l - a", wrong_type("-", "L")),
        ("SET a = list_append(a, b) + :n", wrong_type("+", "L")),
        ("SET a = list_append(a, :n)", wrong_type("list_append", "N")),
        ("SET a = list_append(:ss, a)", wrong_type("list_append", "SS")),
        ("SET a = list_append(a)", wrong_count("list_append", 1)),
        ("SET a = list_append(a, b, c)", wrong_count("list_append", 3)),
        ("SET a = if_not_exists(a)", wrong_count("if_not_exists", 1)),
        ("SET a = if_not_exists(:s, :n)", PATH),
        ("SET a = if_not_exists(list_append(a, b), :n)", PATH),
        ("SET a = list_append(if_not_exists(:s, :l), :n)", PATH),
        ("SET a = a + :s DELETE b :s", wrong_member("DELETE", "STRING")),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    """In these words; ADD and DELETE before SET, inner functions before outer ones."""
    assert error_of(text) == message
