"""What a condition is: every operator and function, every type, attributes that are not there.

Each case is tried as a condition of a write, as a filter of a Query and as a filter of a Scan's page: they are one
language.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conformance.database import (
    CONDITION_FAILED,
    FAILED,
    Database,
    Native,
    Refusal,
    natives,
    placeholders,
    typed,
    unique,
)

pytestmark = pytest.mark.cluster

Item = dict[str, Native]

EVERYTHING: Item = {
    "s": "hello",
    "n": 5,
    "b": b"\x01\x80",
    "t": True,
    "f": False,
    "nothing": None,
    "l": [1, "two", [3], {"four": 4}, {"x", "y"}],
    "m": {"x": 1, "y": {"z": [0, 7]}},
    "ss": {"a", "b"},
    "ns": {1, 2, 3},
    "bs": {b"\x00", b"\xff"},
    "es": "",
    "zero": 0,
    "n2": 5,
    "s2": "help",
    "el": [],
    "em": {},
}

TRUE: list[tuple[str, Item]] = [
    # = and <>: every type, by value
    *((f"{name} = :v", {"v": value}) for name, value in EVERYTHING.items()),
    *((f":v = {name}", {"v": EVERYTHING[name]}) for name in ("s", "n", "ss", "m")),
    ("n = n2", {}),
    ("n <> s", {}),
    ("s <> s2", {}),
    ("n = :v", {"v": Decimal("5.00")}),
    ("n <> :v", {"v": "5"}),
    ("t <> f", {}),
    ("ns <> :v", {"v": {1, 2}}),
    ("l <> el", {}),
    ("m.x = :v", {"v": 1}),
    ("m.y.z[1] = :v", {"v": 7}),
    ("l[3].four = :v", {"v": 4}),
    ("l[2][0] = :v", {"v": 3}),
    ("absent <> :v", {"v": 1}),
    ("absent <> absent2", {}),
    (":v <> absent", {"v": 1}),
    (":v = :w", {"v": 1, "w": 1}),
    # order
    ("n < :v", {"v": 6}),
    ("n < :v", {"v": Decimal("5.0000000000000000000000000000000000001")}),
    ("n <= :v", {"v": 5}),
    ("n > :v", {"v": -6}),
    ("n >= :v", {"v": 5}),
    ("n > zero", {}),
    ("s < s2", {}),
    ("s > :v", {"v": "Hello"}),
    ("s >= es", {}),
    ("es < :v", {"v": "\u0000"}),
    ("b > :v", {"v": b"\x01\x7f"}),
    ("b < :v", {"v": b"\x01\x80\x00"}),
    (":v < n", {"v": 4}),
    # BETWEEN and IN
    ("n BETWEEN :v AND :w", {"v": 5, "w": 5}),
    ("n between zero and :w", {"w": 9}),
    ("s BETWEEN :v AND :w", {"v": "a", "w": "i"}),
    ("b BETWEEN :v AND :w", {"v": b"\x01", "w": b"\x02"}),
    (":v BETWEEN zero AND n", {"v": 3}),
    ("n IN (:v)", {"v": 5}),
    ("n IN (:v, :w)", {"v": "5", "w": 5}),
    ("s in (s2, :v)", {"v": "hello"}),
    ("ss IN (:v)", {"v": {"b", "a"}}),
    ("nothing IN (:v, :w)", {"v": True, "w": None}),
    (":v IN (n, s)", {"v": "hello"}),
    # functions
    ("attribute_exists(s)", {}),
    ("attribute_exists(nothing)", {}),
    ("attribute_exists(m.y.z[0])", {}),
    ("attribute_exists (es)", {}),
    ("attribute_not_exists(absent)", {}),
    ("attribute_not_exists(m.absent)", {}),
    ("attribute_not_exists(l[9])", {}),
    ("attribute_not_exists(s.x)", {}),
    ("attribute_not_exists(m[0])", {}),
    ("begins_with(s, :v)", {"v": "hel"}),
    ("begins_with(s, :v)", {"v": "hello"}),
    ("begins_with(s, :v)", {"v": ""}),
    ("begins_with(b, :v)", {"v": b"\x01"}),
    ("begins_with(s, es)", {}),
    ("begins_with(:v, s)", {"v": "hello you"}),
    ("contains(s, :v)", {"v": "ell"}),
    ("contains(b, :v)", {"v": b"\x80"}),
    ("contains(ss, :v)", {"v": "a"}),
    ("contains(ns, :v)", {"v": 2}),
    ("contains(ns, :v)", {"v": Decimal("2.0")}),
    ("contains(bs, :v)", {"v": b"\xff"}),
    ("contains(l, :v)", {"v": "two"}),
    ("contains(l, :v)", {"v": 1}),
    ("contains(l, :v)", {"v": [3]}),
    ("contains(l, :v)", {"v": {"four": 4}}),
    ("contains(l, :v)", {"v": {"y", "x"}}),
    ("contains(:v, s)", {"v": "oh hello"}),
    ("contains(ns, m.x)", {}),
    ("size(s) = :v", {"v": 5}),
    ("size(b) = :v", {"v": 2}),
    ("size(ss) = :v", {"v": 2}),
    ("size(ns) = :v", {"v": 3}),
    ("size(l) = n", {}),
    ("size(m) = :v", {"v": 2}),
    ("size(es) = zero", {}),
    ("size(el) = size(em)", {}),
    ("size(s) < :v", {"v": 6}),
    ("size(s) BETWEEN :v AND n", {"v": 1}),
    ("size(s) IN (:v, n)", {"v": 1}),
    (":v >= size(m.y.z)", {"v": 2}),
    # logic
    ("n = :v AND s = :w", {"v": 5, "w": "hello"}),
    ("n = :v OR s = :w", {"v": 0, "w": "hello"}),
    ("NOT n = :v", {"v": 0}),
    ("NOT NOT n = :v", {"v": 5}),
    ("not attribute_exists(absent)", {}),
    ("(n = :v)", {"v": 5}),
    ("n = :v OR n = :v AND n = :w", {"v": 5, "w": 0}),
    ("NOT n = :w AND n = :v", {"v": 5, "w": 0}),
    ("NOT (n = :w OR n = :w)", {"w": 0}),
    ("n BETWEEN :w AND :v AND s <> s2", {"v": 5, "w": 0}),
    ("(n = :w OR s = s2 OR n = :v) AND (t <> f)", {"v": 5, "w": 0}),
    ("NOT n < absent", {}),
]
TRUE += [
    (f"attribute_type({name}, :v)", {"v": kind})
    for name, kind in zip(
        ("s", "n", "b", "t", "nothing", "l", "m", "ss", "ns", "bs"),
        ("S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"),
        strict=True,
    )
]

FALSE: list[tuple[str, Item]] = [
    ("n = :v", {"v": "5"}),
    ("n = :v", {"v": 6}),
    ("t = :v", {"v": 1}),
    ("s = s2", {}),
    ("ss = :v", {"v": {"a"}}),
    ("ss = :v", {"v": {"a", "b", "c"}}),
    ("ss = :v", {"v": ["a", "b"]}),
    ("l = :v", {"v": ["two", 1]}),
    ("m = :v", {"v": {"x": 1}}),
    ("nothing = :v", {"v": False}),
    ("absent = :v", {"v": 1}),
    ("absent = absent2", {}),
    ("m.absent = :v", {"v": 1}),
    ("l[9] = :v", {"v": 1}),
    ("s <> :v", {"v": "hello"}),
    ("l <> :v", {"v": [1, "two", [3], {"four": 4}, {"y", "x"}]}),
    *((f"absent {operator} :v", {"v": 1}) for operator in ("<", "<=", ">", ">=")),
    *((f"absent {operator} absent2", {}) for operator in ("<", "<=", ">", ">=")),
    *((f"s {operator} n", {}) for operator in ("<", "<=", ">", ">=")),
    ("t >= f", {}),
    ("l <= el", {}),
    ("n < :v", {"v": 5}),
    ("n < :v", {"v": "6"}),
    ("b < :v", {"v": b"\x01\x7f"}),
    ("n BETWEEN :v AND :w", {"v": 6, "w": 7}),
    ("n BETWEEN :v AND :w", {"v": "0", "w": "9"}),
    ("n BETWEEN n2 AND zero", {}),
    ("n BETWEEN absent AND :v", {"v": 9}),
    ("absent BETWEEN :v AND :w", {"v": 0, "w": 9}),
    ("n IN (:v, :w)", {"v": "5", "w": 6}),
    ("absent IN (:v, absent2)", {"v": 1}),
    ("attribute_exists(absent)", {}),
    ("attribute_exists(m.absent)", {}),
    ("attribute_exists(l[5])", {}),
    ("attribute_exists(n.x)", {}),
    ("attribute_not_exists(nothing)", {}),
    ("attribute_type(n, :v)", {"v": "S"}),
    ("attribute_type(absent, :v)", {"v": "NULL"}),
    ("begins_with(s, :v)", {"v": "ello"}),
    ("begins_with(s, :v)", {"v": "hello!"}),
    ("begins_with(s, :v)", {"v": b"hel"}),
    ("begins_with(n, :v)", {"v": "5"}),
    ("begins_with(absent, :v)", {"v": ""}),
    ("contains(s, :v)", {"v": "l l"}),
    ("contains(s, :v)", {"v": b"h"}),
    ("contains(n, :v)", {"v": 5}),
    ("contains(ss, :v)", {"v": {"a"}}),
    ("contains(ns, :v)", {"v": "1"}),
    ("contains(m, :v)", {"v": "x"}),
    ("contains(l, :v)", {"v": 3}),
    ("contains(absent, :v)", {"v": "x"}),
    ("size(n) >= zero", {}),
    ("size(t) >= zero", {}),
    ("size(nothing) >= zero", {}),
    ("size(absent) >= zero", {}),
    ("size(s) = :v", {"v": "5"}),
    ("NOT n = :v", {"v": 5}),
    ("n = :v AND s = :w", {"v": 5, "w": "x"}),
    ("n = :v OR s = :w", {"v": 0, "w": "x"}),
    ("(n = :v OR s = s2) AND t = f", {"v": 5}),
    ("NOT (n = :v AND t <> f)", {"v": 5}),
]


@pytest.fixture(scope="module")
def everything(database: Database) -> Item:
    """The item that has it all, in the table with a sort key."""
    item = {"pk": unique("everything"), "sk": "only", **EVERYTHING}
    database.put(database.sorted, item)
    return item


CASES = [(expression, values, True) for expression, values in TRUE] + [
    (expression, values, False) for expression, values in FALSE
]
IDS = [f"{'true' if holds else 'false'}: {expression} {values}" for expression, values, holds in CASES]


@pytest.mark.parametrize(("expression", "values", "holds"), CASES, ids=IDS)
def test_a_condition_of_a_write(
    database: Database, everything: Item, expression: str, values: Item, holds: bool
) -> None:
    """It is carried out, or fails as DynamoDB says."""
    refused = database.refusal(
        "put_item",
        TableName=database.sorted,
        Item=typed(everything),
        ConditionExpression=expression,
        **placeholders(values),
    )
    assert refused == (None if holds else Refusal(FAILED, CONDITION_FAILED))


@pytest.mark.parametrize(("expression", "values", "holds"), CASES, ids=IDS)
def test_a_filter(database: Database, everything: Item, expression: str, values: Item, holds: bool) -> None:
    """The item is found, or counted as scanned only."""
    answer = database.query(
        database.sorted,
        "pk = :pk",
        {**values, "pk": everything["pk"]},
        FilterExpression=expression,
        ConsistentRead=True,
    )
    assert natives(answer["Items"]) == ([everything] if holds else [])
    assert (answer["Count"], answer["ScannedCount"]) == (int(holds), 1)


ABSENT: list[tuple[str, Item, bool]] = [
    ("attribute_not_exists(pk)", {}, True),
    ("attribute_exists(pk)", {}, False),
    ("a = :v", {"v": 1}, False),
    ("a <> :v", {"v": 1}, True),
    ("a < :v", {"v": 1}, False),
    ("NOT a < :v", {"v": 1}, True),
    ("a IN (:v)", {"v": 1}, False),
    ("size(a) < :v", {"v": 1}, False),
    ("attribute_not_exists(a) AND attribute_not_exists(b.c)", {}, True),
    (":v = :w", {"v": 1, "w": 1}, True),
]


@pytest.mark.parametrize(("expression", "values", "holds"), ABSENT, ids=str)
def test_a_condition_when_there_is_no_item(database: Database, expression: str, values: Item, holds: bool) -> None:
    """As of an item without attributes; a delete of nothing may depend on it too."""
    refused = database.refusal(
        "delete_item",
        TableName=database.plain,
        Key=typed({"pk": unique()}),
        ConditionExpression=expression,
        **placeholders(values),
    )
    assert refused == (None if holds else Refusal(FAILED, CONDITION_FAILED))


def test_a_key_may_be_in_a_condition(database: Database) -> None:
    """Unlike in a filter."""
    key = {"pk": unique(), "sk": 7}
    database.put(database.numbered, key)
    for expression, holds in (("sk > :v", True), ("sk < :v", False), ("begins_with(pk, :p) AND sk > :v", True)):
        values = {"v": 6, **({"p": "k"} if ":p" in expression else {})}
        refused = database.refusal(
            "put_item",
            TableName=database.numbered,
            Item=typed(key),
            ConditionExpression=expression,
            **placeholders(values),
        )
        assert (refused is None) == holds, expression
