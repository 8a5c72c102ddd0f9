"""What a condition's operands may be."""

from __future__ import annotations

import pytest

from server.expressions.expression import parse_condition
from server.expressions.placeholders import Placeholders
from server.model.errors import ValidationError
from server.model.item import Item

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
    ":low": {"S": "a"},
    ":minus": {"N": "-1"},
    ":b0": {"B": b"\x00"},
    ":dog": {"S": "DOG"},
    **{f":t{kind}": {"S": kind} for kind in ("S", "N", "B", "SS", "NS", "BS", "L", "M", "BOOL", "NULL")},
    **{f":v{index}": {"N": str(index)} for index in range(101)},
}
NAMES = {"#a": "a", "#x": "x"}


def error_of(text: str) -> str:
    try:
        parse_condition(text, Placeholders(NAMES, VALUES))
    except ValidationError as error:
        return error.message.removeprefix("Invalid ConditionExpression: ")
    return ""


def wrong_type(name: str, kind: str) -> str:
    return f"Incorrect operand type for operator or function; operator or function: {name}, operand type: {kind}"


def wrong_count(name: str, count: int) -> str:
    return (
        "Incorrect number of operands for operator or function; "
        f"operator or function: {name}, number of operands: {count}"
    )


def distinct(operator: str, path: str) -> str:
    return (
        "The first operand must be distinct from the remaining operands for this operator or function; "
        f"operator: {operator}, first operand: {path}"
    )


def bounds(rule: str, lower: str, upper: str) -> str:
    return (
        f"The BETWEEN operator requires {rule}; "
        f"lower bound operand: AttributeValue: {lower}, upper bound operand: AttributeValue: {upper}"
    )


SAME = "same data type for lower and upper bounds"
ORDER = "upper bound to be greater than or equal to lower bound"
UNORDERED = [("bool", "BOOL"), ("null", "NULL"), ("ss", "SS"), ("ns", "NS"), ("bs", "BS"), ("l", "L"), ("m", "M")]


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
@pytest.mark.parametrize(("value", "kind"), UNORDERED)
def test_what_has_an_order(operator: str, value: str, kind: str) -> None:
    """On either side, strings, numbers and binaries."""
    assert error_of(f"a {operator} :{value}") == wrong_type(operator, kind)
    assert error_of(f":{value} {operator} a") == wrong_type(operator, kind)
    assert error_of(f"a BETWEEN :{value} AND b") == wrong_type("BETWEEN", kind)
    assert error_of(f"a BETWEEN b AND :{value}") == wrong_type("BETWEEN", kind)
    assert error_of(f":{value} BETWEEN :n AND :n") == wrong_type("BETWEEN", kind)
    for ordered in (":s", ":n", ":b"):
        assert error_of(f"a {operator} {ordered}") == ""


@pytest.mark.parametrize(("value", "kind"), [*UNORDERED, ("n", "N")])
def test_what_begins_with_something(value: str, kind: str) -> None:
    """Strings and binaries."""
    assert error_of(f"begins_with(a, :{value})") == wrong_type("begins_with", kind)
    assert error_of(f"begins_with(:{value}, a)") == wrong_type("begins_with", kind)


@pytest.mark.parametrize(
    "text",
    [
        *[f"a {operator} :{value}" for operator in ("=", "<>") for value, _ in UNORDERED],
        *[f"contains(a, :{value})" for value, _ in UNORDERED],
        *[f"attribute_type(a, :t{kind})" for kind in ("S", "N", "B", "SS", "NS", "BS", "L", "M", "BOOL", "NULL")],
        "attribute_type(:n, :tN)",
        "begins_with(a, b)",
        "begins_with(:s, a)",
        "begins_with(:b, :s)",
        "contains(a, size(b))",
        "size(a) = :s",
        "size(:s) < size(:l)",
        "size(a.b) BETWEEN :n AND :n",
        "a BETWEEN :low AND :s",
        "a BETWEEN :s AND :s",
        "a BETWEEN :minus AND :n",
        "a BETWEEN :b0 AND :b",
        "a BETWEEN b AND :n",
        "a BETWEEN :n AND b",
        "a BETWEEN size(b) AND :n",
        "a IN (:s, :n, :l, b, size(b))",
        "a.b = a.c AND a.b = a AND a[0] = a[1]",
        ":n = :n",
        "attribute_exists(a) AND attribute_not_exists(#a.b)",
        f"a IN ({','.join([f':v{index}' for index in range(100)])})",
    ],
)
def test_what_is_allowed(text: str) -> None:
    """Each of these."""
    assert error_of(text) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size(:n) = :n", wrong_type("size", "N")),
        ("size(:bool) = :n", wrong_type("size", "BOOL")),
        ("size(:null) = :n", wrong_type("size", "NULL")),
        ("size(size(a)) = :n", wrong_type("size", "N")),
        ("begins_with(size(a), :s)", wrong_type("begins_with", "N")),
        ("contains(a, size(:n))", wrong_type("size", "N")),
        ("attribute_type(a, :n)", wrong_type("attribute_type", "N")),
        ("attribute_type(a, size(b))", wrong_type("attribute_type", "N")),
        ("attribute_type(a, b)", wrong_type("attribute_type", "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")),
        (
            "attribute_type(a, :dog)",
            "Invalid attribute type name found; type: DOG, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        (
            "attribute_exists(:n)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "attribute_not_exists(size(a))",
            "Operator or function requires a document path; operator or function: attribute_not_exists",
        ),
        ("attribute_exists(a, b)", wrong_count("attribute_exists", 2)),
        ("attribute_not_exists(a, b, c)", wrong_count("attribute_not_exists", 3)),
        ("attribute_type(a)", wrong_count("attribute_type", 1)),
        ("begins_with(a)", wrong_count("begins_with", 1)),
        ("contains(a)", wrong_count("contains", 1)),
        ("contains(a, b, c)", wrong_count("contains", 3)),
        ("size(a, b) = :n", wrong_count("size", 2)),
        ("contains(a, size(size(b, c)))", wrong_count("size", 2)),
        ("a = a", distinct("=", "[a]")),
        ("a = #a", distinct("=", "[a]")),
        ("a.x[1] < a.#x[1]", distinct("<", "[a, x, [1]]")),
        ("contains(a, a)", distinct("contains", "[a]")),
        ("begins_with(a, a)", distinct("begins_with", "[a]")),
        ("a BETWEEN :n AND a", distinct("BETWEEN", "[a]")),
        ("a IN (:n, b, a)", distinct("IN", "[a]")),
        (
            f"a IN ({','.join([f':v{index}' for index in range(101)])})",
            "The IN operator is provided with too many operands; number of operands: 101",
        ),
        ("a BETWEEN :n AND :s", bounds(SAME, "{N:1}", "{S:x}")),
        ("a BETWEEN :n AND :minus", bounds(ORDER, "{N:1}", "{N:-1}")),
        ("a BETWEEN :s AND :low", bounds(ORDER, "{S:x}", "{S:a}")),
        ("a BETWEEN :b AND :b0", bounds(ORDER, "{B:eA==}", "{B:AA==}")),
        # In one condition, one kind of error after the other.
        ("contains(a, a, size(:n))", wrong_count("contains", 3)),
        ("begins_with(a, a) AND size(:n) = :n", distinct("begins_with", "[a]")),
        ("size(:n) = :n AND begins_with(a, a)", wrong_type("size", "N")),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    """In these words."""
    assert error_of(text) == message
