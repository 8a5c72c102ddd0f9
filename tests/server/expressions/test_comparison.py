"""What is equal and what is inside: against the reference's reading, however often it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.expressions.comparison import Comparisons
from server.model.item import AttributeValue
from tests.server.expressions.reference import native
from tests.server.expressions.strategies import attribute_values


@given(st.lists(attribute_values, min_size=2, max_size=4))
def test_equality(several: list[AttributeValue]) -> None:
    """Deep, of sets without order, of numbers by value; the same when it is asked again."""
    comparisons = Comparisons()
    for _ in range(2):
        for left in several:
            for right in several:
                assert comparisons.are_equal(left, right) is (native(left) == native(right))


def test_sets_inside_lists_and_maps_have_no_order() -> None:
    """However deep."""
    one = {"L": [{"M": {"a": {"SS": ["x", "y"]}}}, {"NS": ["1", "2"]}]}
    two = {"L": [{"M": {"a": {"SS": ["y", "x"]}}}, {"NS": ["2", "1"]}]}
    others: list[AttributeValue] = [
        {"L": [{"M": {"b": {"SS": ["x", "y"]}}}, {"NS": ["1", "2"]}]},
        {"L": [{"M": {"a": {"SS": ["x", "z"]}}}, {"NS": ["1", "2"]}]},
        {"L": one["L"][:1]},
        {"S": "x"},
    ]
    comparisons = Comparisons()
    assert comparisons.are_equal(one, two)
    assert not any(comparisons.are_equal(one, other) or comparisons.are_equal(other, one) for other in others)


@given(st.lists(attribute_values, max_size=4), st.lists(attribute_values, min_size=1, max_size=3))
@pytest.mark.parametrize("more", [0, 20])
def test_elements(more: int, elements: list[AttributeValue], operands: list[AttributeValue]) -> None:
    """A list contains what equals an element, be it short or long, and asked once or again."""
    value = {"L": [*elements, *({"S": f"~{number}"} for number in range(more))]}
    natives = [native(each) for each in value["L"]]
    comparisons = Comparisons()
    for _ in range(2):
        for operand in operands:
            assert comparisons.contains(value, operand) is (native(operand) in natives)


@pytest.mark.parametrize("more", [0, 20])
def test_members(more: int) -> None:
    """A set contains its members, which are of its type."""
    comparisons = Comparisons()
    for kind, members, other in (("SS", ["a"], "b"), ("NS", ["1"], "2"), ("BS", [b"a"], b"b")):
        filling = [b"%d" % number if kind == "BS" else str(number) for number in range(100, 100 + more)]
        value: AttributeValue = {kind: [*members, *filling]}
        wrong: AttributeValue = {"BOOL": True}
        for _ in range(3):
            assert comparisons.contains(value, {kind[0]: members[0]})
            assert not comparisons.contains(value, {kind[0]: other})
            assert not comparisons.contains(value, wrong)
            assert not comparisons.contains(value, value)


def test_parts_of_strings() -> None:
    """And of binaries; of nothing else."""
    comparisons = Comparisons()
    assert comparisons.contains({"S": "music"}, {"S": "us"})
    assert comparisons.contains({"B": b"music"}, {"B": b"us"})
    assert not comparisons.contains({"S": "music"}, {"S": "x"})
    assert not comparisons.contains({"S": "music"}, {"B": b"us"})
    assert not comparisons.contains({"N": "12"}, {"N": "1"})


def test_nothing_is_known_of_the_next_evaluation() -> None:
    """Other values may then be in the same places."""
    comparisons = Comparisons()
    left: AttributeValue = {"L": [{"SS": ["a", "b"]}, *[{"S": str(number)} for number in range(20)]]}
    right: AttributeValue = {"L": [{"SS": ["b", "a"]}, *left["L"][1:]]}
    for changed in (False, True):
        for _ in range(3):
            assert comparisons.are_equal(left, right) is not changed
            assert comparisons.contains(left, {"SS": ["b", "a"]}) is not changed
        left["L"][0] = {"SS": ["a", "c"]}
        assert comparisons.is_used
        comparisons.forget()
        assert not comparisons.is_used


def _nested(value: AttributeValue, depth: int) -> AttributeValue:
    for _ in range(depth):
        value = {"L": [value]}
    return value


def test_a_large_value_is_gone_through_once() -> None:
    """However many comparisons and searches there are: their number is of what they ask of its elements."""

    class Counted(dict[str, Any]):
        asked = 0

        def items(self) -> Any:
            Counted.asked += 1
            return super().items()

    def large(*tail: str) -> AttributeValue:
        return {"L": [*(Counted({"M": {"a": {"S": str(number)}}}) for number in range(1000)), {"SS": list(tail)}]}

    comparisons = Comparisons()
    one, other = _nested(large("a", "b"), 28), _nested(large("b", "a"), 28)
    elements = large("a", "b")
    for number in range(100):
        assert comparisons.are_equal(one, other)
        assert not comparisons.contains(elements, {"M": {"a": {"S": f"x{number}"}}})
        assert not comparisons.contains(elements, {"M": {"a": {"SS": [f"x{number}"]}}})
    assert Counted.asked < 10_000
