"""How indexes are written on the command line."""

from __future__ import annotations

import pytest
from stator import GlobalIndex
from stator.cli.exits import UsageError
from stator.cli.table import parse_global_index, parse_index_units


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("i:genre:S", GlobalIndex("i", [("genre", "S")])),
        ("i:genre:S/year:N", GlobalIndex("i", [("genre", "S")], [("year", "N")])),
        ("i:genre:S/year:N:ALL", GlobalIndex("i", [("genre", "S")], [("year", "N")])),
        ("i:genre:S:KEYS_ONLY", GlobalIndex("i", [("genre", "S")], None, "KEYS_ONLY")),
        (
            "i:genre:S,label:B/year:N,n:N:INCLUDE=plays,x:y",
            GlobalIndex(
                "i", [("genre", "S"), ("label", "B")], [("year", "N"), ("n", "N")], "INCLUDE", ("plays", "x:y")
            ),
        ),
    ],
)
def test_a_global_index(text: str, index: GlobalIndex) -> None:
    assert parse_global_index(text, None, None) == index


@pytest.mark.parametrize(
    "text",
    ["", "i", "i:genre", "i:genre:X", ":genre:S", "i:genre:S/", "i:genre:S:SOME", "i:genre:S:INCLUDE=", "i:a:S,:S"],
)
def test_no_global_index(text: str) -> None:
    """What to write is said with examples."""
    with pytest.raises(UsageError, match="by-genre:genre:S/year:N:KEYS_ONLY"):
        parse_global_index(text, None, None)


def test_units_of_an_index() -> None:
    assert parse_index_units("by-genre:5/10") == ("by-genre", (5, 10))
    for text in ("by-genre", "by-genre:5", ":5/5", "by-genre:5/x"):
        with pytest.raises(UsageError, match="NAME:RCU/WCU"):
            parse_index_units(text)
