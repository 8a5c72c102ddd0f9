"""Projections of items: against the reference, and the rules that are easily got wrong."""

from __future__ import annotations

import pytest
from hypothesis import given

from server.expressions.codec import encode
from server.expressions.compiled import compiled_projection
from server.expressions.projection import compile_projection
from server.expressions.projection_parser import ProjectionParser
from server.expressions.trees import ProjectionTree
from server.model.item import Item
from tests.server.expressions.reference import projected
from tests.server.expressions.strategies import items, projections
from tests.server.expressions.texts import path_text

ITEM: Item = {
    "a": {"S": "x"},
    "l": {"L": [{"N": "0"}, {"M": {"p": {"N": "1"}, "q": {"N": "2"}}}, {"L": [{"N": "3"}, {"N": "4"}]}]},
    "m": {"M": {"x": {"S": "1"}, "y": {"M": {"z": {"S": "2"}}}}},
    "s": {"SS": ["a"]},
}


@given(projections, items)
def test_projections_mean_what_the_reference_says(tree: ProjectionTree, item: Item) -> None:
    """For all paths that go together."""
    assert compiled_projection(encode(tree))(item) == projected(tree, item)


@given(projections)
def test_text_is_the_tree_it_was_made_from(tree: ProjectionTree) -> None:
    """Paths and commas."""
    assert ProjectionParser(" , ".join([path_text(path) for path in tree.paths])).parse() == tree.paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", {"a": {"S": "x"}}),
        ("a, gone", {"a": {"S": "x"}}),
        ("gone", {}),
        ("l[2][1], l[0]", {"l": {"L": [{"N": "0"}, {"L": [{"N": "4"}]}]}}),
        ("l[1].q, l[7], a", {"l": {"L": [{"M": {"q": {"N": "2"}}}]}, "a": {"S": "x"}}),
        ("l[1].z, l[0].z", {}),
        ("m.y.z, m.x", {"m": {"M": {"x": {"S": "1"}, "y": {"M": {"z": {"S": "2"}}}}}}),
        ("m.q, m.y.q, gone.x, s.x, a[0], m[0], l.x", {}),
        ("l[0]", {"l": {"L": [{"N": "0"}]}}),
    ],
)
def test_what_projections_have(text: str, expected: Item) -> None:
    """Of the item above; what is not there is left out, and so is what is around it."""
    assert compile_projection(ProjectionParser(text).parse())(ITEM) == expected
