"""Items out of files: formats, types, mistakes, and memory."""

import gzip
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stator.cli.exits import UsageError
from stator.cli.reading import CsvTypes, ItemShape, Row, format_of, open_input, read_rows

PLAIN = CsvTypes({}, infers=False)


def rows(
    text: str, file_format: str, *, typed: bool | None = False, types: CsvTypes = PLAIN, key: tuple[str, ...] = ()
) -> list[Row]:
    return list(read_rows(io.StringIO(text), file_format, ItemShape(key, typed), types))


def items(
    text: str, file_format: str, *, typed: bool | None = False, types: CsvTypes = PLAIN, key: tuple[str, ...] = ()
) -> list[object]:
    found = rows(text, file_format, typed=typed, types=types, key=key)
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
    found = list(read_rows(source, "json", ItemShape(), PLAIN))
    assert [row.item for row in found] == documents
    assert [row.place for row in found] == [f"item {number}" for number in range(1, len(documents) + 1)]


def test_numbers_are_exact_also_at_the_end_of_a_piece() -> None:
    """A number that goes on in the next piece is not cut."""
    source = Trickle('[{"a": 1.23456789012345678901}, {"b": 12345678}]')
    found = [row.item for row in read_rows(source, "json", ItemShape(), PLAIN)]
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


SONG = {"artist": {"S": "a"}, "year": {"N": "1"}, "m": {"M": {"S": {"S": "x"}}}}
READ = {"artist": "a", "year": 1, "m": {"S": "x"}}
PLAINLY = {"artist": "a", "year": 1, "m": {"S": "x"}}


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("shape", ["array", "lines", "scan", "items", "export", "object", "one"])
@pytest.mark.parametrize("song", [SONG, PLAINLY])
def test_every_shape_is_recognised(shape: str, song: dict[str, object], indent: int | None) -> None:
    """Whatever a JSON file is made of, and whether its items are typed, shows by itself."""
    count = 1 if shape == "one" else 3
    documents: list[object] = [{"Item": song} if shape == "export" else song] * count
    whole: dict[str, object] = {
        "array": documents,
        "scan": {"Items": documents, "Count": 3, "ScannedCount": 3, "ConsumedCapacity": None},
        "items": {"LastEvaluatedKey": {"artist": {"S": "a"}}["artist"], "Items": documents},
        "object": {"x": song, "y": song, "z": song},
    }
    text = (
        json.dumps(whole[shape], indent=indent)
        if shape in whole
        else "\n".join(json.dumps(each, indent=indent) for each in documents)
    )
    assert items(text + "\n", "json", typed=None, key=("artist", "year")) == [READ] * count
    assert items(text, "json", typed=None, key=("artist", "year")) == [READ] * count


def test_a_key_of_the_name_item() -> None:
    """It is not taken for a wrapping."""
    assert items('{"Item": {"S": "x"}}\n', "json", typed=None, key=("Item",)) == [{"Item": "x"}]
    assert items('{"Item": {"Item": {"S": "x"}}}\n', "json", typed=None, key=("Item",)) == [{"Item": "x"}]
    assert items('{"Item": "x"}\n', "json", typed=None, key=("Item",)) == [{"Item": "x"}]


def test_large_files_are_not_read_at_once() -> None:
    """Not even to see what they are made of: an object of many items, all on one line."""
    text = "{" + ", ".join(f'"{n}": {{"id": {n}, "text": "{"x" * 1000}"}}' for n in range(5000)) + "}"

    class Counted(io.StringIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> str:
            chunk = super().read(size)
            self.taken += len(chunk)
            return chunk

    source = Counted(text)
    found = read_rows(source, "json", ItemShape(("id",)), PLAIN)
    assert next(found).item["id"] == 0
    assert source.taken < len(text) / 2
    assert len(list(found)) == 4999


def test_a_bad_line_after_a_good_one() -> None:
    """Also where it had to be seen that these are lines: reading goes on behind it."""
    found = rows('\n{"id": 1}\n{"id": \n{"id": 2}\n', "json", key=("id",))
    assert [(row.place, bool(row.problem)) for row in found] == [("line 2", False), ("line 3", True), ("line 4", False)]


def test_packed_files(tmp_path: Path) -> None:
    """As DynamoDB's exports are; a broken one is told."""
    path = tmp_path / "in.json.gz"
    path.write_bytes(gzip.compress(b'{"Item": {"id": {"N": "1"}}}\n'))
    assert format_of(str(path), None) == "json"

    def read() -> list[Row]:
        with open_input(str(path)) as source:
            return list(read_rows(source, "json", ItemShape(("id",)), PLAIN))

    assert [row.item for row in read()] == [{"id": 1}]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UsageError, match="unpacked"):
        read()


def test_csv_headers_with_types() -> None:
    """Only what stands behind the last colon, and only if it is a type."""
    text = (
        'id:N,a:b,c:S:S,tags:SS,m:M,x:ANY,z:NULL\n1,2,3,"[""a""]","{""k"": {""N"": ""1""}}","{""B"": ""AQ==""}",null\n'
    )
    assert items(text, "csv") == [
        {"id": 1, "a:b": "2", "c:S": "3", "tags": {"a"}, "m": {"k": 1}, "x": b"\x01", "z": None}
    ]
    assert items("id:N\n1\n", "csv", types=CsvTypes({"id": "S"}, infers=True)) == [{"id": "1"}]
    for kind, cell in (("SS", "a"), ("SS", '"a"'), ("M", "[]"), ("ANY", "1")):
        quoted = cell.replace('"', '""')
        assert f"is not of type {kind}" in rows(f'x:{kind}\n"{quoted}"\n', "csv")[0].problem


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
        ("12", "json", "not JSON: an array of items"),
        ("", "json", "not JSON: an array of items"),
        ('{"a": 1} x', "json", "item 2 is not JSON"),
        ('{"Items": [{"a": 1}}', "json", "a comma or \\] must"),
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
