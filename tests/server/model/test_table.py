"""Tables: what they may be called, and what a key must be."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model.errors import SerializationError, ValidationError
from server.model.item import Item
from server.model.table import (
    GlobalIndex,
    KeyAttribute,
    KeySchema,
    LocalIndex,
    check_index_keys,
    check_key_in,
    check_key_only,
    check_key_value,
    check_paths,
    check_table_name,
    name_in_arn,
    named_table,
    table_arn,
)

INVALID = "One or more parameter values were invalid: "
NAME_LENGTH = "TableName must be at least 3 characters long and at most 255 characters long"
NAME_PATTERN = (
    "1 validation error detected: Value '{}' at 'tableName' failed to satisfy constraint: "
    "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
)
EMPTY_KEY = (
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {} "
    "value. Key: pk"
)
NO_MATCH = "The provided key element does not match the schema"
ALLOWED = string.ascii_letters + string.digits + "_.-"
PK = KeyAttribute("pk", "S")
SK = KeyAttribute("sk", "N")


@given(st.text(ALLOWED, min_size=3, max_size=255))
def test_names(name: str) -> None:
    """3 to 255 letters, digits, and _ . - make a name."""
    assert check_table_name(name) == name


@pytest.mark.parametrize("name", ["abc", "a" * 255, "...", "-_-", "A.b-c_9"])
def test_names_at_the_limits(name: str) -> None:
    """Nothing is refused."""
    assert check_table_name(name) == name


@pytest.mark.parametrize("name", ["", "ab", "a" * 256, "/"])
def test_names_one_past_the_limits(name: str) -> None:
    """The length is said before the characters."""
    with pytest.raises(ValidationError) as raised:
        check_table_name(name)
    assert raised.value.message == NAME_LENGTH


@pytest.mark.parametrize("name", ["a/b", "abc\n", " abc", "äöü", "a b", "abc\0", "\u0661\u0662\u0663"])
def test_names_of_other_characters(name: str) -> None:
    """Are refused, in AWS's words, with the name."""
    with pytest.raises(ValidationError) as raised:
        check_table_name(name)
    assert raised.value.message == NAME_PATTERN.format(name)


def test_a_schemas_attributes() -> None:
    """One or two, the partition key first."""
    assert KeySchema(PK).attributes == (PK,)
    assert KeySchema(PK, SK).attributes == (PK, SK)


@pytest.mark.parametrize(("kind", "content"), [("S", "a"), ("S", "ä"), ("N", "-1.5"), ("B", b"\x00")])
@pytest.mark.parametrize("is_partition_key", [True, False])
def test_a_keys_value(kind: str, content: str | bytes, is_partition_key: bool) -> None:
    """Is found among the item's attributes."""
    item: Item = {"other": {"BOOL": True}, "pk": {kind: content}}
    attribute = KeyAttribute("pk", kind)
    assert check_key_value(item, attribute, is_partition_key=is_partition_key) == content


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, INVALID + "Missing the key pk in the item"),
        ({"PK": {"S": "a"}}, INVALID + "Missing the key pk in the item"),
        *(
            ({"pk": {kind: content}}, INVALID + f"Type mismatch for key pk expected: S actual: {kind}")
            for kind, content in {
                "N": "1",
                "B": b"a",
                "BOOL": True,
                "NULL": True,
                "M": {},
                "L": [],
                "SS": ["a"],
                "NS": ["1"],
                "BS": [b"a"],
            }.items()
        ),
        ({"pk": {"S": ""}}, EMPTY_KEY.format("string")),
    ],
)
def test_a_key_that_cannot_be(item: Item, message: str) -> None:
    """Absent, of another type, or empty: in DynamoDB's words."""
    with pytest.raises(ValidationError) as raised:
        check_key_value(item, PK, is_partition_key=True)
    assert raised.value.message == message


def test_an_empty_binary_key() -> None:
    """Is refused as an empty string is."""
    with pytest.raises(ValidationError) as raised:
        check_key_value({"pk": {"B": b""}}, KeyAttribute("pk", "B"), is_partition_key=False)
    assert raised.value.message == EMPTY_KEY.format("binary")


@pytest.mark.parametrize(("is_partition_key", "limit"), [(True, 2048), (False, 1024)])
@pytest.mark.parametrize(
    ("kind", "unit", "unit_bytes"), [("S", "a", 1), ("S", "é", 2), ("S", "\U0001f600", 4), ("B", b"\xff", 1)]
)
def test_a_keys_length(is_partition_key: bool, limit: int, kind: str, unit: Any, unit_bytes: int) -> None:
    """2048 bytes, 1024 for a sort key, counted in UTF-8: so many are accepted, one more is not."""
    attribute = KeyAttribute("pk", kind)
    longest = unit * (limit // unit_bytes)
    assert check_key_value({"pk": {kind: longest}}, attribute, is_partition_key=is_partition_key) == longest
    longer = longest + (b"x" if kind == "B" else "x")
    with pytest.raises(ValidationError, match=f"has exceeded the .*size limit of *{limit} bytes"):
        check_key_value({"pk": {kind: longer}}, attribute, is_partition_key=is_partition_key)


def test_the_partition_keys_sentence() -> None:
    """DynamoDB's own, to the missing space."""
    with pytest.raises(ValidationError) as raised:
        check_key_value({"pk": {"S": "a" * 2049}}, PK, is_partition_key=True)
    assert raised.value.message == INVALID + "Size of hashkey has exceeded the maximum size limit of2048 bytes"


def test_a_numbers_length_is_its_own() -> None:
    """The longest number is shorter than any key's limit; it is not measured as text."""
    longest = "-0." + "0" * 129 + "9" * 38
    assert check_key_value({"sk": {"N": longest}}, SK, is_partition_key=False) == longest


def test_a_key_that_utf8_cannot_hold() -> None:
    """Is not of the protocol's shape."""
    with pytest.raises(SerializationError, match="lone surrogate"):
        check_key_value({"pk": {"S": "\ud800"}}, PK, is_partition_key=True)


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        (KeySchema(PK), {"pk": {"S": "a"}}),
        (KeySchema(PK, SK), {"pk": {"S": "a"}, "sk": {"N": "1"}}),
        (KeySchema(PK, SK), {"sk": {"N": "1"}, "pk": {"S": "a"}}),
    ],
)
def test_a_key(schema: KeySchema, key: Item) -> None:
    """Has just the schema's attributes, of its types."""
    check_key_only(key, schema)


@pytest.mark.parametrize(
    ("schema", "key"),
    [
        (KeySchema(PK), {}),
        (KeySchema(PK), {"sk": {"S": "a"}}),
        (KeySchema(PK), {"pk": {"S": "a"}, "sk": {"N": "1"}}),
        (KeySchema(PK), {"pk": {"N": "1"}}),
        (KeySchema(PK, SK), {"pk": {"S": "a"}}),
        (KeySchema(PK, SK), {"pk": {"S": "a"}, "sk": {"S": "1"}}),
        (KeySchema(PK, SK), {"pk": {"S": "a"}, "sk": {"N": "1"}, "x": {"S": "a"}}),
    ],
)
def test_what_is_not_a_key(schema: KeySchema, key: Item) -> None:
    """Less, more, or of another type: one sentence for all, DynamoDB's."""
    with pytest.raises(ValidationError) as raised:
        check_key_only(key, schema)
    assert raised.value.message == NO_MATCH


def test_a_local_index_has_the_partition_key_of_its_table() -> None:
    """And a sort key of its own."""
    index = LocalIndex(1, "by-year", KeyAttribute("year", "N"), "ALL")
    assert index.key_schema(KeySchema(PK, SK)) == KeySchema(PK, KeyAttribute("year", "N"))


def test_a_table_is_named_by_its_arn_too() -> None:
    """Whatever the region and the account; what only looks like one is a bad name."""
    assert table_arn("music") == "arn:aws:dynamodb:local:000000000000:table/music"
    for arn in (table_arn("music"), "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/music"):
        assert (name_in_arn(arn), named_table(arn)) == ("music", "music")
    assert named_table("music") == "music"
    for text in ("arn:aws:dynamodb:local:1:table/music", table_arn("music") + "/index/by-year", table_arn("a:b")):
        assert name_in_arn(text) is None
        with pytest.raises(ValidationError):
            named_table(text)
    with pytest.raises(ValidationError):
        named_table(table_arn("ab"))


INDEX = LocalIndex(1, "by-x", KeyAttribute("x", "N"), "ALL")


@pytest.mark.parametrize(
    ("path", "named"), [(("pk", "a"), "Key: pk"), (("sk", 0), "Key: sk"), (("x", "a", 1), "IndexKey: x")]
)
def test_a_key_has_no_parts(path: tuple[str | int, ...], named: str) -> None:
    """Of the table or of an index; and is no obstacle to other paths."""
    schema = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "S"))
    check_paths([("pk",), ("sk",), ("x",), ("v", "pk"), ("v", 0)], schema, [INDEX])
    with pytest.raises(ValidationError) as raised:
        check_paths([("v", "a"), path], schema, [INDEX])
    assert raised.value.message == (
        f"Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: {named}"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"S": "1"}, "Type mismatch for Index Key x Expected: B Actual: S IndexName: by-x"),
        ({"B": b""}, "cannot contain an empty binary value. IndexName: by-x, IndexKey: x"),
        ({"B": bytes(1025)}, "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
    ],
)
def test_what_cannot_be_a_key_in_an_index(value: dict[str, Any], message: str) -> None:
    """Is refused; an item without the attribute is not in the index, and right."""
    index = LocalIndex(1, "by-x", KeyAttribute("x", "B"), "ALL")
    check_index_keys({}, [index])
    check_index_keys({"x": {"B": bytes(1024)}, "y": {"B": b""}}, [index])
    check_index_keys({"x": {"N": "1"}}, [INDEX])
    with pytest.raises(ValidationError, match=message):
        check_index_keys({"x": value}, [index])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"x": {"B": b"x"}}, "Type mismatch for Index Key x Expected: S Actual: B IndexName: by-x"),
        ({"y": {"S": ""}}, "cannot contain an empty string value. IndexName: by-x, IndexKey: y"),
        ({"x": {"S": "x" * 2049}}, "Size of hashkey has exceeded the maximum size limit of2048 bytes"),
        ({"x": {"S": "x" * 2000}, "y": {"S": "y" * 49}}, "Size of hashkey has exceeded the maximum size limit"),
        ({"v": {"B": bytes(600)}, "w": {"B": bytes(425)}}, "Aggregated size of all range keys has exceeded"),
    ],
)
def test_what_cannot_be_a_key_in_a_global_index(item: dict[str, Any], message: str) -> None:
    """Is refused, whatever part of the key it is; sizes count together."""
    keys = KeyAttribute("x", "S"), KeyAttribute("y", "S"), KeyAttribute("v", "B"), KeyAttribute("w", "B")
    index = GlobalIndex(7, "by-x", (*keys[:2], KeyAttribute("n", "N")), keys[2:], "ALL")
    check_index_keys({"n": {"N": "1"}, "o": {"S": ""}}, [index])
    check_index_keys({"x": {"S": "x" * 2000}, "y": {"S": "y" * 48}, "v": {"B": bytes(1024)}}, [index])
    with pytest.raises(ValidationError, match=message):
        check_index_keys(item, [index])


def test_keys_in_the_words_of_batches() -> None:
    """An item without its key, or with one of another type."""
    schema = KeySchema(KeyAttribute("pk", "S"))
    check_key_in({"pk": {"S": "a"}, "v": {"N": "1"}}, schema)
    for item in ({}, {"pk": {"N": "1"}}):
        with pytest.raises(ValidationError, match="The provided key element does not match the schema"):
            check_key_in(item, schema)


@pytest.mark.parametrize(("kind", "content", "said"), [("S", "", "string"), ("B", b"", "binary")])
def test_an_empty_value_that_an_update_gives_an_index_for_a_key(kind: str, content: Any, said: str) -> None:
    """It has words of its own, and names neither; what else is wrong is said as of an item."""
    key = KeyAttribute("x", kind)
    for index in (LocalIndex(1, "by-x", key, "ALL"), GlobalIndex(7, "by-x", (key,), (), "ALL")):
        with pytest.raises(ValidationError) as raised:
            check_index_keys({"x": {kind: content}}, [index], is_update=True)
        assert raised.value.message == (
            "One or more parameter values are not valid. The update expression attempted to update a secondary index "
            "key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty "
            f"{said} value."
        )
        with pytest.raises(ValidationError, match="Type mismatch for Index Key x Expected"):
            check_index_keys({"x": {"N": "1"}}, [index], is_update=True)
