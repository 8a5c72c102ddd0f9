"""Expressions with names and values as they are."""

from decimal import Decimal
from typing import Any

import pytest
from stator.cli.exits import UsageError
from stator.cli.literals import CONDITION_WORDS, UPDATE_WORDS, with_placeholders
from stator.expressions import Placeholders


def read(text: str, words: frozenset[str] = CONDITION_WORDS) -> tuple[str, list[str], list[Any]]:
    placeholders = Placeholders()
    made = with_placeholders(text, words, placeholders, "--filter")
    return made, list(placeholders.names.values()), list(placeholders.values.values())


@pytest.mark.parametrize(
    ("text", "made", "names", "values"),
    [
        ("plays > 100", "#n0 > :v0", ["plays"], [100]),
        ("a=1 and b<>2 OR not c<=3", "#n0=:v0 AND #n1<>:v1 OR NOT #n2<=:v2", ["a", "b", "c"], [1, 2, 3]),
        ("size = size(size)", "#n0 = size(#n0)", ["size"], []),
        ('Begins_With (title, "I \'d")', "begins_with (#n0, :v0)", ["title"], ["I 'd"]),
        ("title = 'a \"b\"'", "#n0 = :v0", ["title"], ['a "b"']),
        ('a = "x\\n\\u00e9"', "#n0 = :v0", ["a"], ["x\né"]),
        ("n between -1 and 2.50", "#n0 BETWEEN :v0 AND :v1", ["n"], [-1, Decimal("2.50")]),
        ("n in (1, 2e3)", "#n0 IN (:v0, :v1)", ["n"], [1, 2000]),
        ("a.b[0].c[ 1 ] = true", "#n0.#n1[0].#n2[ 1 ] = :v0", ["a", "b", "c"], [True]),
        ("a = False and b = null", "#n0 = :v0 AND #n1 = :v1", ["a", "b"], [False, None]),
        ("a.true = 1 and a.and = 2", "#n0.#n1 = :v0 AND #n0.#n2 = :v1", ["a", "true", "and"], [1, 2]),
        ("`odd name` = 1 and `and` = 2", "#n0 = :v0 AND #n1 = :v1", ["odd name", "and"], [1, 2]),
        ("(a = 1)", "(#n0 = :v0)", ["a"], [1]),
        ('contains(a, {"B": "AQ=="})', "contains(#n0, :v0)", ["a"], [b"\x01"]),
        ('a = {"NS": ["1"]}', "#n0 = :v0", ["a"], [{1}]),
        ('a = {"x": 1.5}', "#n0 = :v0", ["a"], [{"x": Decimal("1.5")}]),
        ("a = [1, [2]]", "#n0 = :v0", ["a"], [[1, [2]]]),
        ("größe = 1", "#n0 = :v0", ["größe"], [1]),
        ("_a\n=\t1", "#n0 = :v0", ["_a"], [1]),
    ],
)
def test_conditions(text: str, made: str, names: list[str], values: list[Any]) -> None:
    """Names, values and words of the grammar are told apart."""
    assert read(text) == (made, names, values)


def test_updates() -> None:
    """Their words are others; a minus between operands subtracts, a bracket behind one is an index."""
    made, names, values = read(
        "set n = n -1, m = -1, in = 2, l = list_append(l, [1]), k = if_not_exists(k[0], 0) - 1 "
        "REMOVE x[1] add t 1 delete u 2",
        UPDATE_WORDS,
    )
    assert made == (
        "SET #n0 = #n0 -:v0, #n1 = :v1, #n2 = :v2, #n3 = list_append(#n3, :v3), #n4 = if_not_exists(#n4[0], :v4) - :v5 "
        "REMOVE #n5[1] ADD #n6 :v6 DELETE #n7 :v7"
    )
    assert names == ["n", "m", "in", "l", "k", "x", "t", "u"]
    assert values == [1, -1, 2, [1], 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" ", "--filter is empty"),
        ('a = "x', "not JSON"),
        ("a = {", "not JSON"),
        ("a = ?", "cannot be read: '\\?'"),
        ("a = 'x", "cannot be read"),
        ("a = 12x", "cannot be read: '12x'"),
        ('a = {"N": "x"}', "must be a number"),
        ("a = " + "[" * 100_000, "not JSON"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    """A sentence with the place."""
    with pytest.raises(UsageError, match=words):
        read(text)
