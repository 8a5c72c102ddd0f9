"""Items out of files: formats, types, mistakes, and memory."""

import io
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stator.cli.exits import UsageError
from stator.cli.reading import CsvTypes, Row, format_of, read_rows

PLAIN = CsvTypes({}, infers=False)


def rows(text: str, file_format: str, *, typed: bool = False, types: CsvTypes = PLAIN) -> list[Row]:
    return list(read_rows(io.StringIO(text), file_format, is_dynamodb_json=typed, csv_types=types))


def items(text: str, file_format: str, *, typed: bool = False, types: CsvTypes = PLAIN) -> list[object]:
    found = rows(text, file_format, typed=typed, types=types)
    assert not any(row.problem for row in found)
    return [row.item for row in found]


class Trickle(io.StringIO):
    """Gives seven characters at a time, whatever is asked for."""

    def read(self, size: int | None = -1, /) -> str:
        return super().read(7)


texts = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=4), st.sampled_from([None, 2]))
def test_arrays_of_any_shape_are_read_in_any_pieces(documents: list[dict[str, object]], indent: int | None) -> None:
    """However the file arrives, the items are those that a JSON parser finds."""
    source = Trickle(json.dumps(documents, indent=indent))
    found = list(read_rows(source, "json", is_dynamodb_json=False, csv_types=PLAIN))
    assert [row.item for row in found] == documents
    assert [row.place for row in found] == [f"item {number}" for number in range(1, len(documents) + 1)]


def test_numbers_are_exact_also_at_the_end_of_a_piece() -> None:
    """A number that goes on in the next piece is not cut."""
    source = Trickle('[{"a": 1.23456789012345678901}, {"b": 12345678}]')
    found = [row.item for row in read_rows(source, "json", is_dynamodb_json=False, csv_types=PLAIN)]
    assert found == [{"a": Decimal("1.23456789012345678901")}, {"b": 12345678}]


def test_an_object_of_items_is_read_as_its_values() -> None:
    """The shape {"id": {...}, ...} is common in published data."""
    assert items('{"x": {"a": 1}, "y": {"b": 2}}', "json") == [{"a": 1}, {"b": 2}]
    assert items("{}", "json") == items("[]", "json") == []


def test_lines() -> None:
    """Empty lines are passed over; a bad line is reported with its number, and reading goes on."""
    found = rows('{"a": 1}\n\n{"a": \n[]\n{"a": 2}\n', "jsonl")
    assert [row.item for row in found if not row.problem] == [{"a": 1}, {"a": 2}]
    assert [row.place for row in found if row.problem] == ["line 3", "line 4"]


def test_typed_items_and_exports_of_dynamodb() -> None:
    """{"pk": {"S": ...}} and {"Item": {...}}, the shape of DynamoDB's own exports."""
    assert items('{"a": {"N": "1"}}\n{"Item": {"a": {"N": "2"}, "b": {"S": "x"}}}', "jsonl", typed=True) == [
        {"a": 1},
        {"a": 2, "b": "x"},
    ]
    assert rows('{"a": 1}', "jsonl", typed=True)[0].problem


def test_csv_types() -> None:
    """Columns are text unless a type is named or guessing was asked for; empty cells are left out."""
    text = "id,name,zip,ok,raw\n1,Zürich,08001,true,AQI=\n2,,,,\n"
    assert items(text, "csv")[0] == {"id": "1", "name": "Zürich", "zip": "08001", "ok": "true", "raw": "AQI="}
    typed = items(text, "csv", types=CsvTypes({"id": "N", "ok": "BOOL", "raw": "B"}, infers=False))
    assert typed == [{"id": 1, "name": "Zürich", "zip": "08001", "ok": True, "raw": b"\x01\x02"}, {"id": 2}]
    guessed = items("a,b,c,d,e\n1.50,-2e3,007,false,+1\n", "csv", types=CsvTypes({}, infers=True))
    assert guessed == [{"a": Decimal("1.50"), "b": -2000, "c": "007", "d": False, "e": "+1"}]


def test_bad_csv_rows_are_reported() -> None:
    """Too many cells, and cells that do not have the named type."""
    found = rows("id,n\n1,2,3\n1,x\n1,2\n", "csv", types=CsvTypes({"n": "N"}, infers=False))
    assert [bool(row.problem) for row in found] == [True, True, False]
    assert "'x' in column n is not a number" in found[1].problem
    assert "not a number" in rows("n\n1_000\n", "csv", types=CsvTypes({"n": "N"}, infers=False))[0].problem
    bools = rows("b\nyes\n", "csv", types=CsvTypes({"b": "BOOL"}, infers=False))
    assert "neither true nor false" in bools[0].problem
    binary = rows("b\n?\n", "csv", types=CsvTypes({"b": "B"}, infers=False))
    assert "base64" in binary[0].problem


@pytest.mark.parametrize(
    ("text", "file_format", "words"),
    [
        ("12", "json", "not a JSON array"),
        ("", "json", "not a JSON array"),
        ('[{"a": 1} {"a": 2}]', "json", "broken after item 1"),
        ('[{"a": 1}, {"a": ', "json", "item 2 is not JSON"),
        ('{"a" {}}', "json", "colon"),
        ("[" * 30_000, "json", "item 1 is nested too deeply"),
        ("", "csv", "name every column"),
        ("a,a\n1,2\n", "csv", "name every column"),
    ],
)
def test_what_cannot_be_read_on(text: str, file_format: str, words: str) -> None:
    """A file that is broken as a whole ends reading, with the place."""
    with pytest.raises(UsageError, match=words):
        rows(text, file_format)


def test_formats_by_name() -> None:
    """The suffix decides unless --format is given; the standard input is lines."""
    assert format_of("a/b.JSON", None) == "json"
    assert format_of("b.ndjson", None) == format_of("-", None) == "jsonl"
    assert format_of("b.txt", "csv") == "csv"
    with pytest.raises(UsageError, match="not clear"):
        format_of("b.txt", None)
    with pytest.raises(UsageError, match="--format"):
        format_of("b.csv", "xml")
