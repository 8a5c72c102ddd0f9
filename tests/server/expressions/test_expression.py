"""The door to the parsers: prefixes of messages, what is kept by text, names and values in their places."""

from __future__ import annotations

import pytest

from server.expressions.expression import Condition, parse_condition, parse_projection, parse_update
from server.expressions.placeholders import Placeholders
from server.expressions.trees import Attribute, Comparison, ProjectionTree, SetAction, UpdateTree, Value
from server.model.errors import ValidationError
from server.model.item import Item

NONE = Placeholders(None, None)
VALUES: Item = {":v": {"N": "1"}, ":w": {"S": "x"}, ":unused": {"S": ""}}


@pytest.mark.parametrize("parameter", ["ConditionExpression", "FilterExpression", "KeyConditionExpression"])
def test_messages_name_the_parameter(parameter: str) -> None:
    """Whichever of a condition's it is."""
    for text in ("", "a", "a = :v", "status = :v"):
        with pytest.raises(ValidationError, match=f"^Invalid {parameter}: "):
            parse_condition(text, NONE, parameter)
    with pytest.raises(ValidationError, match=r"^Invalid UpdateExpression: The expression can not be empty;$"):
        parse_update("", NONE)
    with pytest.raises(ValidationError, match=r"^Invalid ProjectionExpression: The expression can not be empty;$"):
        parse_projection("", NONE)


def test_the_parts_of_a_condition() -> None:
    """Values that it uses, paths that it looks at, names in the place of their placeholders."""
    names = {"#a": "status", "#b": "with.dot", "#c": "#d"}
    parsed = parse_condition("#a = :v OR size(x.#b[1]) = :v AND #c <> y", Placeholders(names, VALUES))
    assert parsed.values == {":v": {"N": "1"}}
    assert parsed.paths == {("status",), ("x", "with.dot", 1), ("#d",), ("y",)}


def test_the_parts_of_an_update() -> None:
    """Paths that it changes, not those that it reads."""
    parsed = parse_update("SET #a.b = c, d[0] = :v REMOVE e", Placeholders({"#a": "x"}, VALUES))
    assert parsed.values == {":v": {"N": "1"}}
    assert parsed.paths == {("x", "b"), ("d", 0), ("e",)}


def test_the_parts_of_a_projection() -> None:
    """Paths."""
    parsed = parse_projection("#a.b, c[0]", Placeholders({"#a": "x"}, None))
    assert parsed.tree == ProjectionTree((("x", "b"), ("c", 0)))
    assert parsed.paths == {("x", "b"), ("c", 0)}


def test_one_text_with_other_names_and_values() -> None:
    """Is another tree: what is kept by text holds neither."""
    one = parse_condition("#a = :v", Placeholders({"#a": "x"}, {":v": {"N": "1"}}))
    two = parse_condition("#a = :v", Placeholders({"#a": "y"}, {":v": {"S": "z"}}))
    assert one == Condition(Comparison("=", Attribute(("x",)), Value(":v")), {":v": {"N": "1"}}, frozenset({("x",)}))
    assert two == Condition(Comparison("=", Attribute(("y",)), Value(":v")), {":v": {"S": "z"}}, frozenset({("y",)}))
    parse_condition("begins_with(a, :v)", Placeholders(None, {":v": {"S": ""}}))
    with pytest.raises(ValidationError, match="operand type: N"):
        parse_condition("begins_with(a, :v)", Placeholders(None, {":v": {"N": "1"}}))
    assert parse_update("SET #a = #b", Placeholders({"#a": "x", "#b": "y"}, None)).tree == UpdateTree(
        (SetAction(("x",), Attribute(("y",))),)
    )
    with pytest.raises(ValidationError, match="overlap"):
        parse_update("SET #a = :v, #b = :v", Placeholders({"#a": "x", "#b": "x"}, VALUES))
    parse_update("SET #a = :v, #b = :v", Placeholders({"#a": "x", "#b": "y"}, VALUES))


def test_a_tree_is_made_once() -> None:
    """For one text and the same names."""
    one = parse_condition("#a = :v", Placeholders({"#a": "x"}, VALUES))
    two = parse_condition("#a = :v", Placeholders({"#a": "x"}, VALUES))
    assert one.tree is two.tree


def test_what_is_wrong_stays_wrong() -> None:
    """Errors are not kept instead of trees."""
    for _ in range(2):
        with pytest.raises(ValidationError, match="Syntax error"):
            parse_condition("a =", NONE)


NAME = "An expression attribute name used in the document path is not defined; attribute name: "
VALUE = "An expression attribute value used in expression is not defined; attribute value: "
OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = :u", VALUE + ":u"),
        ("#u = :v", NAME + "#u"),
        ("a.#u = :x", NAME + "#u"),
        (":x = #u", VALUE + ":x"),
        ("size(a.#u) = :x", NAME + "#u"),
        ("a = :v OR size(:u) = :v", VALUE + ":u"),
        ("a IN (:v, :u)", VALUE + ":u"),
        ("attribute_exists(a) AND a = :u", VALUE + ":u"),
        # One condition after the other.
        (
            "begins_with(a, :v) AND #u = :x",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        ("#u = :x AND begins_with(a, :v)", NAME + "#u"),
    ],
)
def test_what_a_condition_uses_is_defined(text: str, message: str) -> None:
    """Else it is refused, at the first place."""
    with pytest.raises(ValidationError) as raised:
        parse_condition(text, Placeholders({"#a": "x"}, VALUES))
    assert raised.value.message == f"Invalid ConditionExpression: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET a = :u", VALUE + ":u"),
        ("SET a = :u, b = #u", NAME + "#u"),
        ("SET a = :u REMOVE #u", NAME + "#u"),
        ("REMOVE b SET a = :u", VALUE + ":u"),
        ("ADD a :u", VALUE + ":u"),
        ("DELETE a :u", VALUE + ":u"),
        ("SET a = if_not_exists(#u, :v) + :v", NAME + "#u"),
        ("SET a = list_append(a, list_append(:u, b))", VALUE + ":u"),
        ("SET a = :u, a = :v", VALUE + ":u"),
        ("SET a = :v, a = :v ADD b :w", OVERLAP + "path one: [a], path two: [a]"),
        (
            "SET a = :w + :v ADD b :w",
            "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, "
            "typeSet: ALLOWED_FOR_ADD_OPERAND",
        ),
    ],
)
def test_what_an_update_uses_is_defined(text: str, message: str) -> None:
    """Names first, then values, then paths, then types."""
    with pytest.raises(ValidationError) as raised:
        parse_update(text, Placeholders({"#a": "x"}, VALUES))
    assert raised.value.message == f"Invalid UpdateExpression: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a, b.#u", NAME + "#u"),
        ("a, #u, a", NAME + "#u"),
        ("a.b, a", OVERLAP + "path one: [a, b], path two: [a]"),
        ("x, #a", OVERLAP + "path one: [x], path two: [x]"),
        (
            "a[0], a.b",
            "Two document paths conflict with each other; must remove or rewrite one of these paths; "
            "path one: [a, [0]], path two: [a, b]",
        ),
    ],
)
def test_what_a_projection_uses_is_defined(text: str, message: str) -> None:
    """And its paths go together."""
    with pytest.raises(ValidationError) as raised:
        parse_projection(text, Placeholders({"#a": "x"}, None))
    assert raised.value.message == f"Invalid ProjectionExpression: {message}"
