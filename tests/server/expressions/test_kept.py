"""Results that are kept: as many as are allowed, none that is too heavy."""

from __future__ import annotations

import pytest

from server.expressions.kept import kept


def test_results_are_kept_until_others_come() -> None:
    """The oldest makes room."""
    made: list[str] = []

    @kept(2, 16, lambda key, _: len(key))
    def double(key: str) -> str:
        """Twice."""
        made.append(key)
        return key * 2

    assert [double(key) for key in ("a", "b", "a", "b")] == ["aa", "bb", "aa", "bb"]
    assert made == ["a", "b"]
    double("c")
    double("b")
    assert made == ["a", "b", "c"]
    double("a")
    assert made == ["a", "b", "c", "a"]
    assert double.__doc__ == "Twice."


def test_what_is_heavy_is_made_each_time() -> None:
    """And so is what raises."""
    made: list[str] = []

    @kept(8, 3, lambda _, value: len(value))
    def same(key: str) -> str:
        made.append(key)
        if key == "no":
            raise ValueError(key)
        return key

    for _ in range(2):
        same("abc")
        same("abcd")
        with pytest.raises(ValueError, match="no"):
            same("no")
    assert made == ["abc", "abcd", "no", "abcd", "no"]


def test_all_together_have_a_weight() -> None:
    """However many there may be: the oldest make room, as many as have to."""
    made: list[str] = []

    @kept(100, 8, lambda key, _: len(key))
    def same(key: str) -> str:
        made.append(key)
        return key

    light = [f"{number:04}" for number in range(25)]
    for key in light * 2:
        same(key)
    assert made == light
    same("8 is much")
    same("8 heavy.")
    same(light[2])
    same("8 heavy.")
    same(light[0])
    assert made == [*light, "8 is much", "8 heavy.", light[0]]
