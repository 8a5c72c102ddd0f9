"""Keys: their sizes, their types, and what an item or a key must have; the same through every door."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.conformance.conftest import Tables
from tests.conformance.doors import NOT_FOUND, Doors, Refusal, invalid, unique

pytestmark = pytest.mark.cluster

PARTITION_KEY_TOO_LONG = invalid(
    "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"
)
SORT_KEY_TOO_LONG = invalid(
    "One or more parameter values were invalid: "
    "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
)
NO_MATCH = invalid("The provided key element does not match the schema")


def text(size: int, letter: str = "x") -> dict[str, Any]:
    """A string value of so many bytes in UTF-8."""
    return {"S": letter * (size // len(letter.encode())) + "x" * (size % len(letter.encode()))}


def binary(size: int) -> dict[str, Any]:
    return {"B": base64.b64encode(bytes(size)).decode()}


def empty(kind: str, name: str) -> Refusal:
    return invalid(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty "
        f"{kind} value. Key: {name}"
    )


@pytest.mark.parametrize("letter", ["x", "€"], ids=["ASCII", "three bytes a letter"])
def test_a_partition_key_has_at_most_2048_bytes(doors: Doors, tables: Tables, letter: str) -> None:
    """Bytes of UTF-8, not letters; in whatever the key occurs."""
    fits, too_long = {"pk": text(2048, letter)}, {"pk": text(2049, letter)}
    assert len(too_long["pk"]["S"].encode()) == 2049
    for ask in (doors.put_everywhere, doors.get_everywhere, doors.delete_everywhere):
        assert ask(tables.plain, fits) is None
        assert ask(tables.plain, too_long) == PARTITION_KEY_TOO_LONG


def test_a_sort_key_has_at_most_1024_bytes(doors: Doors, tables: Tables) -> None:
    """As far as it is stored and found again, up to the last byte."""
    partition_key = {"S": unique()}
    fits, other = {"pk": partition_key, "sk": text(1024)}, {"pk": partition_key, "sk": {"S": "x" * 1023 + "y"}}
    for ask in (doors.put_everywhere, doors.get_everywhere):
        assert ask(tables.sorted, fits) is None
        assert ask(tables.sorted, {"pk": partition_key, "sk": text(1025)}) == SORT_KEY_TOO_LONG
    doors.boto.put_item(TableName=tables.sorted, Item={**other, "v": {"S": "other"}})
    found = [
        doors.boto.get_item(TableName=tables.sorted, Key=key, ConsistentRead=True)["Item"] for key in (fits, other)
    ]
    assert found == [fits, {**other, "v": {"S": "other"}}]


def test_binary_keys_have_the_same_limits(doors: Doors, tables: Tables) -> None:
    """2048 and 1024 bytes, not characters of base64."""
    assert doors.put_everywhere(tables.binary, {"pk": binary(2048), "sk": binary(1024)}) is None
    assert doors.put_everywhere(tables.binary, {"pk": binary(2049), "sk": binary(1)}) == PARTITION_KEY_TOO_LONG
    assert doors.put_everywhere(tables.binary, {"pk": binary(1), "sk": binary(1025)}) == SORT_KEY_TOO_LONG


def test_a_key_is_not_empty(doors: Doors, tables: Tables) -> None:
    """Neither a string nor a binary one."""
    assert doors.put_everywhere(tables.plain, {"pk": {"S": ""}}) == empty("string", "pk")
    assert doors.get_everywhere(tables.plain, {"pk": {"S": ""}}) == empty("string", "pk")
    assert doors.put_everywhere(tables.sorted, {"pk": {"S": "a"}, "sk": {"S": ""}}) == empty("string", "sk")
    assert doors.put_everywhere(tables.binary, {"pk": binary(0), "sk": binary(1)}) == empty("binary", "pk")


@pytest.mark.parametrize(
    ("table", "item", "message"),
    [
        ("plain", {"pk": {"N": "1"}}, "Type mismatch for key pk expected: S actual: N"),
        ("plain", {"pk": {"M": {}}}, "Type mismatch for key pk expected: S actual: M"),
        ("number", {"pk": {"S": "a"}, "sk": {"S": "1"}}, "Type mismatch for key sk expected: N actual: S"),
        ("binary", {"pk": {"S": "a"}, "sk": {"B": "YQ=="}}, "Type mismatch for key pk expected: B actual: S"),
        ("plain", {"v": {"S": "a"}}, "Missing the key pk in the item"),
        ("plain", {}, "Missing the key pk in the item"),
        ("sorted", {"pk": {"S": "a"}}, "Missing the key sk in the item"),
    ],
)
def test_an_item_has_the_tables_key(
    doors: Doors, tables: Tables, table: str, item: dict[str, Any], message: str
) -> None:
    """All of it, and of the type that the table says."""
    expected = invalid(f"One or more parameter values were invalid: {message}")
    assert doors.put_everywhere(getattr(tables, table), item) == expected


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("plain", {"pk": {"N": "1"}}),
        ("plain", {"pk": {"S": "a"}, "v": {"S": "b"}}),
        ("plain", {"v": {"S": "b"}}),
        ("plain", {}),
        ("sorted", {"pk": {"S": "a"}}),
        ("sorted", {"pk": {"S": "a"}, "sk": {"N": "1"}}),
    ],
)
def test_a_key_is_just_the_tables_key(doors: Doors, tables: Tables, table: str, key: dict[str, Any]) -> None:
    """No more, no less, no other type."""
    assert doors.get_everywhere(getattr(tables, table), key) == NO_MATCH
    assert doors.delete_everywhere(getattr(tables, table), key) == NO_MATCH


def test_a_table_that_is_not_there(doors: Doors) -> None:
    """Every operation on items says so."""
    missing = Refusal("ResourceNotFoundException", "Requested resource not found")
    for ask in (doors.put_everywhere, doors.get_everywhere, doors.delete_everywhere):
        assert ask("nowhere", {"pk": {"S": "a"}}) == missing
    for operation, body in (
        ("Scan", {"TableName": "nowhere"}),
        ("BatchGetItem", {"RequestItems": {"nowhere": {"Keys": [{"pk": {"S": "a"}}]}}}),
        ("BatchWriteItem", {"RequestItems": {"nowhere": [{"DeleteRequest": {"Key": {"pk": {"S": "a"}}}}]}}),
    ):
        assert doors.post(operation, body).error == (400, NOT_FOUND, missing.message)


@pytest.mark.parametrize(
    ("name", "bound"), [("ab", "greater than or equal to 3"), ("a" * 256, "less than or equal to 255")]
)
def test_a_tables_name_has_3_to_255_characters(doors: Doors, name: str, bound: str) -> None:
    """Refused before anybody is asked for it."""
    expected = invalid(
        f"1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: Member must have "
        f"length {bound}"
    )
    assert doors.get_everywhere(name, {"pk": {"S": "a"}}) == expected


def test_a_tables_name_has_certain_characters(doors: Doors) -> None:
    """Letters, digits, underscore, dot, hyphen."""
    expected = invalid(
        "1 validation error detected: Value 'a b c' at 'tableName' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: [a-zA-Z0-9_.-]+"
    )
    assert doors.get_everywhere("a b c", {"pk": {"S": "a"}}) == expected


def test_numbers_as_sort_keys_are_one_however_they_are_written(doors: Doors, tables: Tables) -> None:
    """1, 1.0 and 10e-1 name the same item."""
    partition_key = {"S": unique()}
    for number, written in enumerate(["1", "1.0", "10e-1", "+01.00"]):
        item = {"pk": partition_key, "sk": {"N": written}, "v": {"N": str(number)}}
        assert doors.put_everywhere(tables.number, item) is None
        found = doors.boto.get_item(
            TableName=tables.number, Key={"pk": partition_key, "sk": {"N": "1"}}, ConsistentRead=True
        )
        assert found["Item"] == {"pk": partition_key, "sk": {"N": "1"}, "v": {"N": str(number)}}
