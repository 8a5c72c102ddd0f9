"""The quick check: what it accepts, the stages would not change or refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests.acceptance import quick_check
from router.requests.constraints import check_constraints
from router.requests.deserialisation import normalise
from router.requests.shapes import ATTRIBUTE_VALUE, Flag, Integer, ListOf, MapOf, Structure, Text

SHAPE = Structure(
    "Outer",
    {
        "Text": Text(),
        "Short": Text(1, 3),
        "Name": Text(1, 3, "[ab]+"),
        "Word": Text(enum=("ONE", "TWO")),
        "Number": Integer(1, 9),
        "Flag": Flag(),
        "Value": ATTRIBUTE_VALUE,
        "Item": MapOf(ATTRIBUTE_VALUE),
        "List": ListOf(Text(), 1, 2),
        "Map": MapOf(Text(), Text(1, 2)),
        "Inner": Structure("Inner", {"Flag": Flag()}, frozenset({"Flag"})),
    },
    frozenset({"Text"}),
)
ACCEPTS = quick_check(SHAPE)


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"Short": "abc"},
        {"Name": "ab"},
        {"Word": "TWO"},
        {"Number": 1},
        {"Number": 9},
        {"Flag": False},
        {"Value": {}},
        {"Item": {"a": 1}},
        {"List": ["a", "b"]},
        {"Map": {"ab": "x"}},
        {"Inner": {"Flag": True}},
    ],
)
def test_what_is_accepted(member: dict[str, Any]) -> None:
    """What is of its type and breaks nothing; attribute values are not looked into."""
    assert ACCEPTS({"Text": "", **member})


@pytest.mark.parametrize(
    "member",
    [
        {"Text": None},
        {"Text": 1},
        {"Other": None},
        {"Short": ""},
        {"Short": "abcd"},
        {"Short": 1},
        {"Name": "c"},
        {"Name": 1},
        {"Word": "THREE"},
        {"Word": ["ONE"]},
        {"Number": 0},
        {"Number": 10},
        {"Number": True},
        {"Number": 1.0},
        {"Flag": 1},
        {"Flag": "true"},
        {"Value": []},
        {"Item": []},
        {"List": []},
        {"List": ["a", "b", "c"]},
        {"List": [None]},
        {"List": "a"},
        {"Map": {"abc": "x"}},
        {"Map": {"a": 1}},
        {"Map": []},
        {"Inner": {}},
        {"Inner": []},
        {"Inner": {"Flag": True, "Other": 1}},
    ],
)
def test_what_is_left_to_the_stages(member: dict[str, Any]) -> None:
    """They may accept it all the same."""
    assert not ACCEPTS({"Text": "", **member})


def test_what_is_absent_or_no_body() -> None:
    """A member that is required, or all of them."""
    assert not ACCEPTS({})
    assert not ACCEPTS([])


@given(
    st.dictionaries(
        st.sampled_from([*SHAPE.members, "Other"]),
        st.recursive(
            st.sampled_from([None, True, 0, 1, 9, 2.5, "", "ab", "abcd", "ONE"]),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "abc", "Flag"]), inner, max_size=2)
            ),
            max_leaves=4,
        ),
    )
)
def test_what_is_accepted_passes_the_stages(body: dict[str, Any]) -> None:
    """Unchanged but for what is in attribute values."""
    if ACCEPTS(body):
        plain = {name: value for name, value in body.items() if name not in ("Value", "Item")}
        assert normalise(SHAPE, plain, is_json=True) == plain
        check_constraints(SHAPE, plain)
