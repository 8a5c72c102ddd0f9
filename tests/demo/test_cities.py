"""What the demonstration's verdict rests on."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.demo.cities import CITIES_MIN, KEY, Comparison, compare, write_cities

WRITTEN = [{KEY: number, "latitude": Decimal("42.5"), "names": ["a", "b"]} for number in (1, 2, 3)]


def test_the_file_has_a_line_for_each_city(tmp_path: Path) -> None:
    """What is expected back is what the file says, number for number."""
    file = tmp_path / "cities.jsonl"
    cities = write_cities(file)
    assert len(cities) >= CITIES_MIN
    assert len(file.read_text(encoding="utf-8").splitlines()) == len(cities)
    assert all(isinstance(city["latitude"], Decimal) for city in cities)


def test_equal_items_are_neither_lost_nor_wrong() -> None:
    """A whole number comes back as int, which is the same number."""
    found = [{**item, "latitude": Decimal("42.50")} for item in WRITTEN]
    assert compare(WRITTEN, found) == Comparison((), ())
    assert compare(WRITTEN, found).is_perfect


@pytest.mark.parametrize("change", [{"latitude": Decimal("42.6")}, {"names": ["b", "a"]}, {"more": 1}])
def test_any_changed_value_is_wrong(change: dict[str, object]) -> None:
    """Every attribute counts, and so does one too many."""
    comparison = compare(WRITTEN, [WRITTEN[0], {**WRITTEN[1], **change}, WRITTEN[2]])
    assert comparison == Comparison((), (2,))
    assert not comparison.is_perfect


def test_a_missing_attribute_is_wrong() -> None:
    """An item is whole or wrong."""
    assert compare(WRITTEN, [{KEY: 1}, *WRITTEN[1:]]).wrong == (1,)


def test_a_missing_item_is_lost() -> None:
    """None stands for a key that led to nothing."""
    comparison = compare(WRITTEN, [None, WRITTEN[1], None])
    assert comparison == Comparison((1, 3), ())
    assert not comparison.is_perfect


def test_answers_must_be_as_many_as_questions() -> None:
    """A short answer is a mistake of the reader, not a verdict."""
    with pytest.raises(ValueError, match="shorter"):
        compare(WRITTEN, WRITTEN[:2])
