"""The second stage: everything that breaks the model's constraints, in one message."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests.constraints import check_constraints
from router.requests.shapes import ATTRIBUTE_VALUE, Flag, Integer, ListOf, MapOf, Shape, Structure, Text
from tests.router.requests.failing import refusal

INNER = Structure("Inner", {"Name": Text(length_min=2), "Flag": Flag()}, frozenset({"Name"}))
NULL = "Value null at '{}' failed to satisfy constraint: Member must not be null"


def complaint(shape: Shape, value: Any) -> str:
    """What is said of a value as the only member of a body, without the count before it."""
    code, message = refusal(check_constraints, Structure("Outer", {"SomeMember": shape}), {"SomeMember": value})
    assert code == "ValidationException" and message.startswith("1 validation error detected: ")
    return message.removeprefix("1 validation error detected: ")


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        (Text(), ["", "x" * 10_000]),
        (Text(length_min=1, length_max=3, pattern="[ab]+"), ["a", "bab"]),
        (Text(enum=("ONE", "TWO")), ["ONE", "TWO"]),
        (Integer(1, 5), [1, 5]),
        (Flag(), [True, False]),
        (ListOf(Text(length_max=1), 1, 2), [["a"], ["a", ""]]),
        (ListOf(INNER), [[], [{"Name": "ab"}]]),
        (MapOf(Text()), [{}, {"a": ""}]),
        (MapOf(INNER, Text(length_min=1), 0, 1), [{}, {"a": {"Name": "ab", "Flag": True}}]),
        (MapOf(ListOf(INNER, 1)), [{"a": [{"Name": "ab"}]}]),
        (ATTRIBUTE_VALUE, [{}, {"SS": []}, {"SS": [None]}, {"L": [{}]}]),
        (MapOf(ATTRIBUTE_VALUE), [{"a": {}}]),
    ],
)
def test_what_is_allowed(shape: Shape, values: list[Any]) -> None:
    """At the limits, too."""
    for value in values:
        check_constraints(Structure("Outer", {"SomeMember": shape}), {"SomeMember": value})


@pytest.mark.parametrize(
    ("shape", "value", "sentence"),
    [
        (
            Text(enum=("ONE", "TWO")),
            "THREE",
            "Value 'THREE' at 'someMember' failed to satisfy constraint: Member must satisfy enum value set: "
            "[ONE, TWO]",
        ),
        (
            Text(pattern="[ab]+"),
            "abc",
            "Value 'abc' at 'someMember' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: [ab]+",
        ),
        (
            Text(length_min=1, pattern="[ab]+"),
            "",
            "Value '' at 'someMember' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            Text(length_max=2),
            "abc",
            "Value 'abc' at 'someMember' failed to satisfy constraint: Member must have length less than or equal to 2",
        ),
        (
            Integer(1),
            0,
            "Value '0' at 'someMember' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            Integer(1, 5),
            6,
            "Value '6' at 'someMember' failed to satisfy constraint: Member must have value less than or equal to 5",
        ),
        (
            ListOf(Text(), 1),
            [],
            "Value '[]' at 'someMember' failed to satisfy constraint: Member must have length greater than or equal "
            "to 1",
        ),
        (
            ListOf(Text(length_max=1)),
            ["a", "bc"],
            "Value '[a, bc]' at 'someMember' failed to satisfy constraint: Member must satisfy constraint: [Member "
            "must have length less than or equal to 1, Member must have length greater than or equal to 0, Member must "
            "not be null]",
        ),
        (
            ListOf(Text(length_max=1)),
            [None],
            "Value '[null]' at 'someMember' failed to satisfy constraint: Member must satisfy constraint: [Member must "
            "have length less than or equal to 1, Member must have length greater than or equal to 0, Member must not "
            "be null]",
        ),
        (
            MapOf(Text(), Text(length_min=1, length_max=2)),
            {"abc": "x", "a": "y"},
            "Value '{abc=x, a=y}' at 'someMember' failed to satisfy constraint: Map keys must satisfy constraint: "
            "[Member must have length less than or equal to 2, Member must have length greater than or equal to 1]",
        ),
        (
            MapOf(Text(), None, 0, 1),
            {"a": "x", "b": "y"},
            "Value '{a=x, b=y}' at 'someMember' failed to satisfy constraint: Member must have length less than or "
            "equal to 1",
        ),
        (
            MapOf(ListOf(INNER, 1, 2)),
            {"a": []},
            "Value '{a=[]}' at 'someMember' failed to satisfy constraint: Map value must satisfy constraint: [Member "
            "must have length less than or equal to 2, Member must have length greater than or equal to 1]",
        ),
        (
            MapOf(ListOf(INNER, 1, 2)),
            {"a": None},
            "Value '{a=null}' at 'someMember' failed to satisfy constraint: Map value must satisfy constraint: [Member "
            "must have length less than or equal to 2, Member must have length greater than or equal to 1]",
        ),
        (INNER, {}, NULL.format("someMember.name")),
        (ListOf(INNER), [{"Name": "ab"}, {}], NULL.format("someMember.2.member.name")),
        (ListOf(INNER), [None], NULL.format("someMember.1.member")),
        (MapOf(INNER), {"a.b": {}}, NULL.format("someMember.a.b.member.name")),
        (MapOf(INNER), {"a": None}, NULL.format("someMember.a.member")),
        (MapOf(ListOf(INNER, 1, 2)), {"a": [{}]}, NULL.format("someMember.a.member.1.member.name")),
        (
            MapOf(ListOf(INNER, 1, 2)),
            {"a": [{"Name": "x"}]},
            "Value 'x' at 'someMember.a.member.1.member.name' failed to satisfy constraint: Member must have length "
            "greater than or equal to 2",
        ),
    ],
)
def test_what_is_not_allowed(shape: Shape, value: Any, sentence: str) -> None:
    """Each constraint, with the value and where it is."""
    assert complaint(shape, value) == sentence


def test_all_are_told() -> None:
    """In the order of the description, whatever the body's; of one value, the pattern before the length."""
    shape = Structure(
        "Outer",
        {"A": Text(length_min=3, pattern="[a-z]+"), "B": Flag(), "C": Integer(1)},
        frozenset({"A", "B"}),
    )
    assert refusal(check_constraints, shape, {"C": 0, "A": "x!"})[1] == (
        "4 validation errors detected: Value 'x!' at 'a' failed to satisfy constraint: Member must satisfy regular "
        "expression pattern: [a-z]+; Value 'x!' at 'a' failed to satisfy constraint: Member must have length greater "
        "than or equal to 3; Value null at 'b' failed to satisfy constraint: Member must not be null; Value '0' at 'c' "
        "failed to satisfy constraint: Member must have value greater than or equal to 1"
    )


def test_but_not_more_than_ten() -> None:
    """A message has an end."""
    message = complaint_count(9), complaint_count(10), complaint_count(11), complaint_count(100_000)
    assert message == (9, 10, 10, 10)


def complaint_count(count: int) -> int:
    """How many are told where so many are wrong."""
    message = refusal(check_constraints, Structure("Outer", {"List": ListOf(INNER)}), {"List": [{}] * count})[1]
    assert message.startswith(f"{message.count('Value null')} validation errors detected: ")
    return message.count("Value null")


def test_values_are_shown_in_part() -> None:
    """A message does not repeat megabytes."""
    long = complaint(Text(length_max=1), "x" * 10**6)
    assert long.startswith("Value 'xxxx") and "xxx...' at 'someMember'" in long and len(long) < 1300
    many = complaint(ListOf(Text(), 0, 1), [{"a": ["b", None, True]}] * 10**5)
    assert many.startswith("Value '[{a=[b, null, true]}, {a=[b, null, true]}, ") and len(many) < 1300
