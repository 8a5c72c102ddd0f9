"""What is exported and read again is the same: in CSV and in typed JSON, for all ten types."""

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stator.cli.copying import export_writer
from stator.cli.csv_writer import CsvWriter
from stator.cli.reading import CsvTypes, ItemShape, read_rows
from stator.values import number_value

PLAIN = CsvTypes({}, infers=False)

texts = st.text(st.characters(codec="utf-8"), max_size=6)
numbers = st.one_of(
    st.integers(-(10**37), 10**37),
    st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-1000, max_value=1000),
    st.sampled_from([Decimal("1E-130"), Decimal("9.99E+125"), Decimal("-1E-20")]),
).map(lambda number: number_value(str(Decimal(number).normalize())))
sets = st.one_of(
    st.sets(texts, min_size=1, max_size=3), st.sets(numbers, min_size=1, max_size=3), st.sets(st.binary(), min_size=1)
)
values = st.recursive(
    st.one_of(texts, numbers, st.binary(max_size=3), st.booleans(), st.none(), sets),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.one_of(texts.filter(bool), st.sampled_from(["a", "a:N", "a:S", "Item", "Items", "Count", "x:ANY"]))
tables = st.lists(
    st.tuples(st.dictionaries(names, values, max_size=4), st.integers(0, 100)).map(
        lambda pair: {**pair[0], "pk": pair[1]}
    ),
    max_size=5,
)


def same(one: Any, other: Any) -> bool:
    """Equal, types included: 1 is not True here."""
    if type(one) is not type(other) or (isinstance(one, dict | list | set) and len(one) != len(other)):
        return False
    if isinstance(one, dict):
        return all(name in other and same(value, other[name]) for name, value in one.items())
    return all(map(same, one, other)) if isinstance(one, list) else bool(one == other)


@settings(deadline=None, max_examples=200)
@given(tables, st.sampled_from(["csv", "json", "jsonl"]))
def test_what_goes_out_comes_in(items: list[dict[str, Any]], file_format: str) -> None:
    """Every type, any names, empty texts, numbers of all sizes; nothing needs to be said about the file."""
    file = io.StringIO(newline="")
    writer = export_writer(file, file_format, ["pk"], is_dynamodb_json=file_format != "csv", has_types=True)
    for item in items:
        writer.write(item)
    writer.end()
    file.seek(0)
    rows = list(read_rows(file, file_format, ItemShape(("pk",)), PLAIN))
    assert not [row.problem for row in rows if row.problem]
    assert same([row.item for row in rows], items)


def written(items: list[dict[str, Any]], *, has_types: bool) -> list[str]:
    file = io.StringIO(newline="")
    writer = CsvWriter(file, ["pk"], has_types=has_types)
    for item in items:
        writer.write(item)
    writer.end()
    return file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("value", "typed", "bare"),
    [
        ("x", "v|x", "v|x"),
        (1, "v:N|1", "v|1"),
        (Decimal("1.50"), "v:N|1.5", "v|1.5"),
        (True, "v:BOOL|true", "v|true"),
        (None, "v:NULL|true", "v|null"),
        (b"\x01", "v:B|AQ==", "v|AQ=="),
        ({"a", "b"}, 'v:SS|"[""a"", ""b""]"', 'v|"[""a"", ""b""]"'),
        ([1], 'v:L|"[{""N"": ""1""}]"', "v|[1]"),
        ({"k": 1}, 'v:M|"{""k"": {""N"": ""1""}}"', 'v|"{""k"": 1}"'),
        ("", 'v:ANY|"{""S"": """"}"', "v|"),
    ],
)
def test_cells(value: Any, typed: str, bare: str) -> None:
    """With types in the header, and without."""
    for has_types, text in ((True, typed), (False, bare)):
        heading, cell = text.split("|")
        assert written([{"pk": "k", "v": value}], has_types=has_types) == [f"pk,{heading}", f"k,{cell}"]


def test_columns() -> None:
    """The key first; a column that only some items have; one of several types."""
    assert written([{"b": 1, "pk": "x"}, {"a": "t", "b": "u", "pk": "y"}], has_types=True) == [
        "pk,b:ANY,a",
        'x,"{""N"": ""1""}",',
        'y,"{""S"": ""u""}",t',
    ]
    assert written([], has_types=True) == ["pk"]
    assert written([{"pk:N": "x", "pk": "k"}], has_types=True)[0] == "pk,pk:N:S"
