"""Paths that cannot go together."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.expressions.parser import ExpressionError
from server.expressions.path_overlap import check_paths
from server.expressions.trees import Path
from tests.server.expressions.strategies import go_together, paths


def message_of(several: list[Path]) -> str:
    try:
        check_paths(several)
    except ExpressionError as error:
        return str(error)
    return ""


@given(st.lists(paths, max_size=6))
def test_paths_go_together_or_not(several: list[Path]) -> None:
    """As an obvious second reading of the rule says."""
    assert (message_of(several) == "") is go_together(several)


OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; "
CONFLICT = "Two document paths conflict with each other; must remove or rewrite one of these paths; "


@pytest.mark.parametrize(
    ("several", "message"),
    [
        ([("a",), ("a",)], OVERLAP + "path one: [a], path two: [a]"),
        ([("b",), ("a",), ("a", "b", 1)], OVERLAP + "path one: [a], path two: [a, b, [1]]"),
        ([("a", "b", 1), ("b",), ("a",)], OVERLAP + "path one: [a, b, [1]], path two: [a]"),
        ([("a", 1), ("a", 1)], OVERLAP + "path one: [a, [1]], path two: [a, [1]]"),
        ([("a", 1), ("a", "b")], CONFLICT + "path one: [a, [1]], path two: [a, b]"),
        ([("a", "c"), ("a", "b", "x"), ("a", "b", 0, "y")], CONFLICT + "path one: [a, b, x], path two: [a, b, [0], y]"),
        # What overlaps is told before what conflicts, wherever it is.
        ([("a", 1), ("a", "b"), ("c",), ("c",)], OVERLAP + "path one: [c], path two: [c]"),
        ([("a", 1), ("a", "b"), ("a", 2)], CONFLICT + "path one: [a, [1]], path two: [a, b]"),
        ([("a", 1), ("a", 2), ("a1",), ("b", "a"), ("b", "c")], ""),
    ],
)
def test_messages(several: list[Path], message: str) -> None:
    """The first path in the list, then the one that is wrong beside it."""
    assert message_of(several) == message


def test_many_paths_take_little_time() -> None:
    """As many as a text can have: not every one is held against every other."""
    several: list[Path] = [("a", str(index)) for index in range(20_000)]
    started = time.perf_counter()
    check_paths(several)
    assert time.perf_counter() - started < 2
