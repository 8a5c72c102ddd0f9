"""Conditions on items: against the reference, and the rules that are easily got wrong, one by one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.expressions.codec import CorruptTreeError, encode
from server.expressions.compiled import compiled_condition
from server.expressions.condition_parser import ConditionParser
from server.expressions.evaluation import compile_condition
from server.expressions.expression import parse_condition
from server.expressions.placeholders import Placeholders
from server.expressions.trees import And, Attribute, Comparison, ConditionTree, Not, Or, Value
from server.model.item import Item
from tests.server.expressions.reference import holds
from tests.server.expressions.strategies import conditions, items, request_values
from tests.server.expressions.texts import condition_text

ITEM: Item = {
    "str": {"S": "banana"},
    "num": {"N": "10"},
    "bin": {"B": b"\x01\x02\x03"},
    "yes": {"BOOL": True},
    "nil": {"NULL": True},
    "tags": {"SS": ["red", "green"]},
    "nums": {"NS": ["1", "5"]},
    "bins": {"BS": [b"a", b"b"]},
    "many": {"L": [{"S": "a"}, {"N": "3"}, {"NS": ["1", "2"]}, {"M": {"x": {"S": "y"}}}]},
    "doc": {
        "M": {"deep": {"M": {"er": {"S": "x"}}}, "arr": {"L": [{"M": {"v": {"N": "1"}}}, {"M": {"v": {"N": "2"}}}]}}
    },
    "emoji": {"S": "\U0001f600"},
    "blank": {"S": ""},
}

VALUES: Item = {
    ":t": {"N": "10"},
    ":nine": {"N": "9"},
    ":five": {"N": "5"},
    ":three": {"N": "3"},
    ":two": {"N": "2"},
    ":six": {"N": "6"},
    ":one": {"N": "1"},
    ":zero": {"N": "0"},
    ":big": {"N": "10" + "0" * 30},
    ":bigger": {"N": "10" + "0" * 29 + "1"},
    ":banana": {"S": "banana"},
    ":ban": {"S": "ban"},
    ":nan": {"S": "nan"},
    ":five_text": {"S": "5"},
    ":ten_text": {"S": "10"},
    ":red": {"S": "red"},
    ":re": {"S": "re"},
    ":green_red": {"SS": ["green", "red"]},
    ":red_only": {"SS": ["red"]},
    ":one_two": {"NS": ["2", "1"]},
    ":x_y": {"M": {"x": {"S": "y"}}},
    ":b12": {"B": b"\x01\x02"},
    ":b23": {"B": b"\x02\x03"},
    ":ba": {"B": b"a"},
    ":true": {"BOOL": True},
    ":null": {"NULL": True},
    ":high": {"S": "\uffff"},
    ":nothing": {"S": ""},
    ":S": {"S": "S"},
    ":SS": {"S": "SS"},
    ":NULL": {"S": "NULL"},
    ":N": {"S": "N"},
}


@given(conditions, items, request_values())
def test_conditions_mean_what_the_reference_says(tree: ConditionTree, item: Item, values: Item) -> None:
    """For all operators and functions, all types, and what is not there."""
    assert compiled_condition(encode(tree))(item, values) is holds(tree, item, values)


@given(conditions, st.randoms(use_true_random=False))
def test_text_is_the_tree_it_was_made_from(tree: ConditionTree, rng: random.Random) -> None:
    """Precedence, parentheses around groups and operands, keywords in any case."""
    assert ConditionParser(condition_text(tree, rng)).parse() == tree


def evaluated(text: str, item: Item = ITEM) -> bool:
    tree = ConditionParser(text).parse()
    return compile_condition(tree)(item, VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "num > :nine",
        "num >= :t AND num <= :t AND num = :t",
        "NOT num < :t",
        "NOT num > :t",
        "gone <> :t",
        "gone <> absent",
        "NOT gone = absent",
        "NOT gone < absent",
        "NOT :t < absent",
        ":t <> gone AND NOT :t = gone AND NOT num < gone AND NOT num IN (gone, absent)",
        "str <> :t",
        "NOT str > :t",
        "NOT num = :ten_text",
        ":big < :bigger",
        "NOT :big = :bigger",
        "emoji > :high",
        "str > :ban",
        "tags = :green_red",
        "NOT tags = :red_only",
        "many[2] = :one_two",
        "many[3] = :x_y",
        "yes = :true",
        "nil = :null",
        "NOT yes < :true",
        "NOT tags < tags2 AND NOT tags >= :green_red",
        "num BETWEEN :nine AND :t",
        "NOT num BETWEEN :three AND :nine",
        "NOT num BETWEEN :ban AND :nan",
        "NOT num BETWEEN :nine AND :nan",
        "NOT gone BETWEEN :nine AND :t",
        "NOT num BETWEEN absent AND :t",
        "NOT num BETWEEN :nine AND absent",
        "str IN (:red, num, :banana)",
        "NOT gone IN (absent, :t)",
        "attribute_exists(nil) AND attribute_exists(doc.deep.er) AND attribute_exists(blank)",
        "attribute_not_exists(gone) AND attribute_not_exists(many[9]) AND attribute_not_exists(str.x)",
        "attribute_not_exists(doc[0]) AND attribute_not_exists(many.x) AND attribute_not_exists(gone.x.y)",
        "attribute_type(tags, :SS) AND attribute_type(nil, :NULL) AND attribute_type(:t, :N)",
        "NOT attribute_type(gone, :S) AND NOT attribute_type(num, :S)",
        "begins_with(str, :ban) AND begins_with(bin, :b12) AND begins_with(:banana, :ban)",
        "NOT begins_with(str, :nan) AND NOT begins_with(bin, :b23) AND NOT begins_with(str, :b12)",
        "NOT begins_with(bin, :ban) AND NOT begins_with(num, :ban) AND NOT begins_with(gone, :ban)",
        "begins_with(blank, :nothing) AND NOT begins_with(str, gone)",
        "contains(str, :nan) AND contains(bin, :b23) AND contains(str, :nothing)",
        "contains(tags, :red) AND NOT contains(tags, :re) AND contains(nums, :five) AND contains(bins, :ba)",
        "NOT contains(nums, :five_text) AND NOT contains(tags, :ba)",
        "NOT contains(tags, :five) AND NOT contains(nums, :red) AND NOT contains(str, :t) AND NOT contains(num, :one)",
        "contains(many, :three) AND contains(many, :one_two) AND contains(many, :x_y) AND NOT contains(many, :one)",
        "NOT contains(gone, :one) AND NOT contains(doc, :red)",
        "size(str) = :six AND size(bin) = :three AND size(tags) = :two AND size(nums) = :two AND size(bins) = :two",
        "size(doc) = :two AND size(doc.arr) = :two AND size(emoji) = :one AND size(blank) = :zero",
        "NOT size(num) = :two AND NOT size(yes) = :one AND NOT size(nil) = :one AND NOT size(gone) = :zero",
        "size(num) <> :two AND size(str) < num AND NOT size(str) = :red",
        "doc.arr[1].v = :two AND doc.arr[0].v < doc.arr[1].v",
        "num = :t OR num = :t AND num = :nine",
        "NOT ((num = :t OR num = :t) AND num = :nine)",
        "NOT num = :nine AND num = :t",
        "NOT NOT num = :t AND NOT NOT NOT num = :nine",
        "num BETWEEN :nine AND :t AND num = :t",
    ],
)
def test_what_holds(text: str) -> None:
    """Each of these is true of the item above."""
    assert evaluated(text)


def test_no_item_is_an_item_without_attributes() -> None:
    """Nothing exists in it."""
    assert evaluated("attribute_not_exists(pk)", {})
    assert not evaluated("attribute_exists(pk) OR pk = :t", {})


def test_a_condition_that_is_decided_is_not_gone_on_with() -> None:
    """The value of the second operand is not even looked for."""
    tree = Comparison("=", Attribute(("num",)), Value(":t"))
    unheard = Comparison("=", Attribute(("num",)), Value(":unheard"))
    assert compile_condition(Or((tree, unheard, unheard)))(ITEM, VALUES)
    assert not compile_condition(And((Not(tree), unheard, unheard)))(ITEM, VALUES)
    with pytest.raises(CorruptTreeError, match=":unheard"):
        compile_condition(And((tree, unheard)))(ITEM, VALUES)


def test_the_deepest_condition_can_be_evaluated() -> None:
    """As many operators as are allowed, all inside each other, within Python's limits."""
    text = "NOT (a = :v OR " * 99 + "a = :v" + ")" * 99
    condition = parse_condition(text, Placeholders(None, {":v": {"S": "x"}}))
    assert isinstance(compiled_condition(encode(condition.tree))({}, condition.values), bool)
