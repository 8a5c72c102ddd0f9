"""Updates of items: against the reference, and the rules that are easily got wrong, one by one."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.expressions.codec import CorruptTreeError, encode
from server.expressions.compiled import compiled_update
from server.expressions.expression import parse_update
from server.expressions.placeholders import Placeholders
from server.expressions.trees import UpdateTree
from server.expressions.update import CompiledUpdate
from server.expressions.update_parser import UpdateParser
from server.model.errors import ValidationError
from server.model.item import Item
from server.model.limits import NESTING_MAX
from tests.server.expressions.reference import INVALID_PATH, NO_ATTRIBUTE, OVERFLOW, UNDERFLOW, WRONG_TYPE, updated
from tests.server.expressions.strategies import items, request_values, updates
from tests.server.expressions.texts import update_text
from tests.server.model.strategies import nested

ITEM: Item = {
    "num": {"N": "10"},
    "str": {"S": "x"},
    "lst": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]},
    "doc": {"M": {"a": {"N": "1"}, "inn": {"M": {"b": {"S": "y"}}}, "arr": {"L": [{"M": {"v": {"N": "1"}}}]}}},
    "tags": {"SS": ["a", "b"]},
    "nums": {"NS": ["1", "2"]},
}
VALUES: Item = {
    ":one": {"N": "1"},
    ":half": {"N": "0.5"},
    ":str": {"S": "v"},
    ":list": {"L": [{"S": "p"}, {"S": "q"}]},
    ":none": {"L": []},
    ":map": {"M": {}},
    ":ab": {"SS": ["b", "a"]},
    ":bc": {"SS": ["b", "c"]},
    ":two_three": {"NS": ["2", "3"]},
    ":max": {"N": "9" * 38 + "0" * 88},
    ":long": {"N": "1" + "0" * 50},
    ":small": {"N": "0." + "0" * 129 + "15"},
    ":smaller": {"N": "0." + "0" * 129 + "14"},
}


def numbers(*several: int) -> dict[str, Any]:
    return {"L": [{"N": str(number)} for number in several]}


def compiled(text: str) -> CompiledUpdate:
    return CompiledUpdate(UpdateTree(UpdateParser(text).parse()))


def applied(text: str, item: Item = ITEM) -> Item:
    return compiled(text).apply(item, VALUES)


@given(updates, items, request_values())
def test_updates_do_what_the_reference_says(tree: UpdateTree, item: Item, values: Item) -> None:
    """Or fail as it does. Neither the item nor the values change."""
    expected = updated(tree, item, values)
    before = copy.deepcopy((item, values))
    try:
        result: Item | str = compiled_update(encode(tree)).apply(item, values)
    except ValidationError as error:
        assert isinstance(expected, set), f"failed: {error}"
        assert error.message in expected
    else:
        assert result == expected
    assert (item, values) == before


@given(updates, st.randoms(use_true_random=False))
def test_text_is_the_tree_it_was_made_from(tree: UpdateTree, rng: random.Random) -> None:
    """Sections, parentheses, keywords in any case."""
    text, actions = update_text(tree.actions, rng)
    assert UpdateParser(text).parse() == actions


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("SET num = num + :one", {"num": {"N": "11"}}),
        ("SET num = num - :half", {"num": {"N": "9.5"}}),
        ("SET num = :one - num", {"num": {"N": "-9"}}),
        ("SET num = str, str = num", {"num": {"S": "x"}, "str": {"N": "10"}}),
        ("SET x = num REMOVE num", {"x": {"N": "10"}, "num": None}),
        ("SET num = if_not_exists(num, :one), x = if_not_exists(y, :one)", {"x": {"N": "1"}}),
        ("SET x = if_not_exists(y, :one) + :one", {"x": {"N": "2"}}),
        ("SET x = list_append(:list, :none)", {"x": VALUES[":list"]}),
        ("SET x = list_append(if_not_exists(x, :none), lst)", {"x": ITEM["lst"]}),
        ("SET lst = list_append(lst, lst)", {"lst": numbers(0, 1, 2, 0, 1, 2)}),
        ("SET lst[1] = :one, lst[0] = lst[2]", {"lst": numbers(2, 1, 2)}),
        ("SET lst[9] = :one, lst[7] = num", {"lst": numbers(0, 1, 2, 10, 1)}),
        ("SET lst[3] = :one", {"lst": numbers(0, 1, 2, 1)}),
        ("REMOVE lst[0], lst[2]", {"lst": numbers(1)}),
        ("REMOVE lst[0], lst[1], lst[2], lst[3]", {"lst": numbers()}),
        ("REMOVE lst[0] SET lst[1] = num, lst[99] = :one", {"lst": numbers(10, 2, 1)}),
        ("REMOVE x, lst[7], doc.x", {}),
        ("SET doc.inn.b = :one", {"doc": {"M": {**ITEM["doc"]["M"], "inn": {"M": {"b": {"N": "1"}}}}}}),
        (
            "SET doc.arr[0].v = doc.a + :one",
            {"doc": {"M": {**ITEM["doc"]["M"], "arr": {"L": [{"M": {"v": {"N": "2"}}}]}}}},
        ),
        ("REMOVE doc.inn, doc.arr[0]", {"doc": {"M": {"a": {"N": "1"}, "arr": {"L": []}}}}),
        ("ADD num :one, x :one", {"num": {"N": "11"}, "x": {"N": "1"}}),
        ("ADD tags :bc, x :bc", {"tags": {"SS": ["a", "b", "c"]}, "x": {"SS": ["b", "c"]}}),
        ("ADD nums :two_three", {"nums": {"NS": ["1", "2", "3"]}}),
        (
            "ADD doc.a :one, lst[0] :one, lst[8] :one",
            {"doc": {"M": {**ITEM["doc"]["M"], "a": {"N": "2"}}}, "lst": numbers(1, 1, 2, 1)},
        ),
        ("DELETE tags :bc", {"tags": {"SS": ["a"]}}),
        ("DELETE tags :ab, x :ab", {"tags": None}),
        ("DELETE lst[9] :ab, doc.x :ab", {}),
        ("SET x = :max", {"x": VALUES[":max"]}),
        ("SET x = :max - :max", {"x": {"N": "0"}}),
        ("SET x = :small - :small", {"x": {"N": "0"}}),
        ("SET x = :long + :long", {"x": {"N": "2" + "0" * 50}}),
    ],
)
def test_what_updates_do(text: str, changed: dict[str, Any]) -> None:
    """To the item above; None stands for an attribute that is gone."""
    expected = {name: value for name, value in {**ITEM, **changed}.items() if value is not None}
    assert applied(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET x = y", NO_ATTRIBUTE),
        ("SET x = doc.inn.c", NO_ATTRIBUTE),
        ("SET x = num + y", NO_ATTRIBUTE),
        ("SET x = list_append(y, lst)", NO_ATTRIBUTE),
        ("SET x = if_not_exists(y, z)", NO_ATTRIBUTE),
        ("SET x = num + str", WRONG_TYPE),
        ("SET x = lst - num", WRONG_TYPE),
        ("SET x = list_append(lst, num)", WRONG_TYPE),
        ("SET x = list_append(tags, lst)", WRONG_TYPE),
        ("SET x = if_not_exists(str, :one) + :one", WRONG_TYPE),
        ("ADD str :one", WRONG_TYPE),
        ("ADD num :ab", WRONG_TYPE),
        ("ADD tags :two_three", WRONG_TYPE),
        ("DELETE nums :ab", WRONG_TYPE),
        ("SET x.y = :one", INVALID_PATH),
        ("SET x[0] = :one", INVALID_PATH),
        ("SET doc[0] = :one", INVALID_PATH),
        ("SET lst.x = :one", INVALID_PATH),
        ("SET lst[3].x = :one", INVALID_PATH),
        ("SET doc.inn.b.c = :one", INVALID_PATH),
        ("REMOVE x.y", INVALID_PATH),
        ("REMOVE str[0]", INVALID_PATH),
        ("ADD x.y :one", INVALID_PATH),
        ("DELETE x.y :ab", INVALID_PATH),
        ("SET x = :max + :max", OVERFLOW),
        ("ADD x :max, num :max", OVERFLOW),
        ("SET x = :long + :one", OVERFLOW),
        ("SET x = :long - :one", OVERFLOW),
        ("SET x = :small - :smaller", UNDERFLOW),
    ],
)
def test_what_updates_cannot_do(text: str, message: str) -> None:
    """To the item above."""
    with pytest.raises(ValidationError) as raised:
        applied(text)
    assert raised.value.message == message


def test_the_result_nests_at_most_so_deep() -> None:
    """What is assigned inside something counts from there."""
    for kind in ("M", "L"):
        item: Item = {
            "x": {"M": {"y": nested(NESTING_MAX - 1, {"S": ""}, kind)}},
            "z": nested(NESTING_MAX, {"S": ""}, kind),
        }
        assert applied("SET x.q = x.y, w = z", item)["w"] == item["z"]
        with pytest.raises(ValidationError, match="Nesting Levels have exceeded supported limits"):
            applied("SET x.q = z", item)
        with pytest.raises(ValidationError, match="Nesting Levels have exceeded supported limits"):
            applied("SET x.q.r = x.y", {**item, "x": {"M": {"q": {"M": {}}, **item["x"]["M"]}}})
    flat = {"M": {"q": nested(NESTING_MAX - 1, {"S": ""})}}
    path = "x" + ".a" * (NESTING_MAX - 1)
    deepest = {"x": nested(NESTING_MAX, {"S": ""})}
    assert applied(f"SET {path} = :one", deepest)
    with pytest.raises(ValidationError, match="Nesting Levels"):
        applied(f"SET {path}.a = :map", {"x": nested(NESTING_MAX, {"S": ""})})
    assert flat


def test_lists_that_no_item_has_room_for() -> None:
    """Are not even made, whether they are assigned in the end or not."""
    item: Item = {"a": {"L": [{"S": ""}] * 200_000}}
    appended = "list_append(a," * 240 + "list_append(a,a)" + ")" * 240
    for text in (f"SET a = {appended}", f"SET b = if_not_exists(c, {appended.replace(',a)', ',b)')})"):
        with pytest.raises(ValidationError, match="Item size to update has exceeded the maximum allowed size"):
            applied(text, {**item, "b": item["a"]})
    assert len(applied("SET a = list_append(a, a)", item)["a"]["L"]) == 400_000


@pytest.mark.parametrize(
    "text",
    [
        "SET " + ", ".join(f"b{index} = list_append(huge, :list)" for index in range(3)),
        "SET " + ", ".join(f"m.b{index} = huge" for index in range(3)),
        "SET " + ", ".join(f"m.b{index} = doc" for index in range(3)),
        "ADD " + ", ".join(f"s{index} :set" for index in range(3)),
    ],
)
def test_what_no_item_has_room_for_several_times(text: str) -> None:
    """Is refused before time and memory are spent on all of it: hundreds of actions fit into one expression."""
    several: list[Any] = [{"S": ""}] * 150_000
    item: Item = {"huge": {"L": several}, "m": {"M": {}}, "doc": {"M": {"a": {"M": {"b": {"L": several}}}}}}
    item.update({f"s{index}": {"SS": ["x"]} for index in range(3)})
    values: Item = {**VALUES, ":set": {"SS": [f"{number:x}" for number in range(150_000)]}}
    update = parse_update(text, Placeholders(None, values))
    compiled_ = compiled_update(encode(update.tree))
    with pytest.raises(ValidationError, match="Item size to update has exceeded the maximum allowed size"):
        compiled_.apply(item, update.values)


def test_a_large_set_is_taken_out_of_many() -> None:
    """Of each whatever it has of it."""
    taken = {"SS": [str(number) for number in range(1000)]}
    item: Item = {f"s{index}": {"SS": [str(index), "x"]} for index in range(200)}
    update = parse_update(
        "DELETE " + ", ".join(f"s{index} :set" for index in range(200)), Placeholders(None, {":set": taken})
    )
    new = compiled_update(encode(update.tree)).apply(item, update.values)
    assert new == {name: {"SS": ["x"]} for name in item}


@pytest.mark.parametrize("action", ["SET num = :v", "ADD num :v", "DELETE tags :v", "SET num = :v + num"])
def test_values_that_did_not_come_with_the_tree(action: str) -> None:
    """Are a tree that is no good, and nothing worse."""
    with pytest.raises(CorruptTreeError, match="did not come with it: :v"):
        CompiledUpdate(UpdateTree(UpdateParser(action).parse())).apply(ITEM, {})


@pytest.mark.parametrize("is_legacy", [False, True])
def test_values_that_nobody_adds(is_legacy: bool) -> None:
    """Routers refuse them; whoever is asked to add them all the same says what is wrong."""
    update = CompiledUpdate(UpdateTree(UpdateParser("ADD num :v").parse(), is_legacy))
    with pytest.raises(ValidationError):
        update.apply({"num": {"BOOL": True}}, {":v": {"BOOL": True}})


@pytest.mark.parametrize(
    ("text", "creates"),
    [
        ("SET a = :one", True),
        ("ADD a :one", True),
        ("REMOVE a", False),
        ("DELETE a :ab", False),
        ("REMOVE a DELETE b :ab", False),
        ("REMOVE a ADD b :ab", True),
    ],
)
def test_which_updates_make_an_item(text: str, *, creates: bool) -> None:
    """One that only takes away does not."""
    assert compiled(text).creates_item is creates


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("SET num = num + :one", {"num": {"N": "10"}}, {"num": {"N": "11"}}),
        ("SET x = :one REMOVE num, y", {"num": {"N": "10"}}, {"x": {"N": "1"}}),
        (
            "SET doc.a = :str, doc.z = :str",
            {"doc": {"M": {"a": {"N": "1"}}}},
            {"doc": {"M": {"a": {"S": "v"}, "z": {"S": "v"}}}},
        ),
        ("SET lst[2] = :one, lst[0] = :half", {"lst": numbers(0, 2)}, {"lst": {"L": [{"N": "0.5"}, {"N": "1"}]}}),
        ("REMOVE doc.nothing", {}, {}),
    ],
)
def test_what_an_update_touches(text: str, old: Item, new: Item) -> None:
    """Of the old item and of the new one, just what is at the paths."""
    update = compiled(text)
    assert update.touched(ITEM) == old
    assert update.touched(update.apply(ITEM, VALUES)) == new


def test_the_deepest_operand_can_be_evaluated() -> None:
    """As many functions as are allowed, all inside each other, within Python's limits."""
    text = "SET a = " + "if_not_exists(a," * 240 + ":v" + ")" * 240
    update = parse_update(text, Placeholders(None, {":v": {"S": "x"}}))
    assert compiled_update(encode(update.tree)).apply({}, update.values) == {"a": {"S": "x"}}
