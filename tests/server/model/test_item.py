"""Items: what is one, its canonical form, and its size by DynamoDB's rules."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model.errors import SerializationError, ValidationError
from server.model.item import AttributeValue, Item, check_item, item_bytes, text_bytes
from server.model.limits import ITEM_BYTES_MAX, NESTING_MAX
from tests.server.model.strategies import items, nested, sized_items

EMPTY_VALUE = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
SEVERAL_TYPES = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)
INVALID = "One or more parameter values were invalid: "
TOO_LARGE = "Item size has exceeded the maximum allowed size"
TOO_DEEP = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)
NAME_TOO_LARGE = "Attribute name is too large, must be less than 65536 bytes"
DUPLICATES = "Input collection contains duplicates"
NOT_A_NUMBER = "The parameter cannot be converted to a numeric value"


def json_of(value: AttributeValue) -> dict[str, Any]:
    """A value as the JSON protocol has it, by a second, plain reading."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {"B": base64.b64encode(content).decode()}
    if kind == "BS":
        return {"BS": [base64.b64encode(each).decode() for each in content]}
    if kind == "L":
        return {"L": [json_of(each) for each in content]}
    if kind == "M":
        return {"M": {name: json_of(each) for name, each in content.items()}}
    return value


def invalid(value: Any, *, is_json: bool = False) -> str:
    with pytest.raises(ValidationError) as raised:
        check_item({"a": value}, is_json=is_json)
    return raised.value.message


def misshapen(value: Any, *, is_json: bool = False) -> str:
    with pytest.raises(SerializationError) as raised:
        check_item({"a": value}, is_json=is_json)
    return raised.value.message


@given(sized_items)
def test_a_canonical_item_stays_as_it_is(drawn: tuple[Item, int]) -> None:
    """And its size is the sum over names and values that the developer guide describes."""
    item, size = drawn
    assert check_item(item) == (item, size)


@given(sized_items)
def test_an_items_size_by_itself(drawn: tuple[Item, int]) -> None:
    """Is what the check adds up."""
    item, size = drawn
    assert item_bytes(item) == size


def test_what_is_far_too_large_is_not_counted_to_its_end() -> None:
    """However often something large is in it, in whatever."""
    large = {"L": [{"S": "x" * 50}] * 1_000}
    for many in ({str(index): large for index in range(1_000)}, {"a": {"L": [large] * 1_000}}):
        for item in (many, {"m": {"M": many}}):
            assert 1_000_000 < item_bytes(item, 1_000_000) < 1_100_000
            assert ITEM_BYTES_MAX < item_bytes(item) < ITEM_BYTES_MAX + 60_000


@given(items)
def test_json_makes_the_same_item(item: Item) -> None:
    """Base64 text becomes bytes, at any depth; nothing else changes, the size neither."""
    as_json = {name: json_of(value) for name, value in item.items()}
    assert check_item(as_json, is_json=True) == check_item(item)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": ""}, 0),
        ({"S": "abc"}, 3),
        ({"S": "ä€\U0001f600"}, 9),
        ({"N": "0"}, 1),
        ({"N": "-12.3"}, 4),
        ({"B": b""}, 0),
        ({"B": b"\x00\x01"}, 2),
        ({"BOOL": True}, 1),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["a", "ä"]}, 3),
        ({"SS": [""]}, 0),
        ({"NS": ["1", "100", "-1"]}, 7),
        ({"BS": [b"", b"abc"]}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "a"}, {"BOOL": True}]}, 3 + 2 + 2),
        ({"M": {}}, 3),
        ({"M": {"a": {"S": "a"}, "ä": {"NULL": True}}}, 3 + 2 + 2 + 3),
        ({"L": [{"L": []}]}, 3 + 1 + 3),
    ],
)
def test_sizes(value: AttributeValue, size: int) -> None:
    """Of each type, beside its name's: UTF-8 for text, 3 for a list or a map and 1 for each element of theirs."""
    assert check_item({"ä€": value}) == ({"ä€": value}, 5 + size)


def test_no_attribute_at_all() -> None:
    """Is an item of no size; that a key is missing is the table's to say."""
    assert check_item({}) == ({}, 0)


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ({"N": "1e2"}, {"N": "100"}),
        ({"NS": ["1.0", "+2"]}, {"NS": ["1", "2"]}),
        ({"L": [{"N": "007"}]}, {"L": [{"N": "7"}]}),
        ({"M": {"n": {"N": "-0"}}}, {"M": {"n": {"N": "0"}}}),
    ],
)
def test_numbers_become_canonical(value: AttributeValue, canonical: AttributeValue) -> None:
    """Wherever they are; the item that was given is not changed."""
    before = repr(value)
    assert check_item({"a": value})[0] == {"a": canonical}
    assert repr(value) == before


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, EMPTY_VALUE),
        ({"X": "a"}, EMPTY_VALUE),
        ({"s": "a"}, EMPTY_VALUE),
        ({"S": "a", "N": "1"}, SEVERAL_TYPES),
        ({"S": "a", "N": "x"}, f"{NOT_A_NUMBER}: x"),
        ({"L": [{}]}, EMPTY_VALUE),
        ({"M": {"b": {"S": "a", "SS": ["a"]}}}, SEVERAL_TYPES),
        ({"N": ""}, NOT_A_NUMBER),
        ({"N": "x"}, f"{NOT_A_NUMBER}: x"),
        ({"NS": ["1", "x"]}, f"{NOT_A_NUMBER}: x"),
        ({"SS": ["a", None]}, INVALID + "An string set may not have a null string as a member"),
        ({"NS": [None, "1"]}, EMPTY_VALUE),
        ({"BS": [None]}, EMPTY_VALUE),
        ({"SS": []}, INVALID + "An string set  may not be empty"),
        ({"NS": []}, INVALID + "An number set  may not be empty"),
        ({"BS": []}, INVALID + "Binary sets should not be empty"),
        ({"SS": ["a", "b", "a"]}, INVALID + "Input collection [a, b, a] contains duplicates."),
        ({"NS": ["1", "1.0"]}, DUPLICATES),
        ({"BS": [b"b", b"b"]}, INVALID + "Input collection [Yg==, Yg==]of type BS contains duplicates."),
    ],
)
def test_values_that_the_rules_forbid(value: Any, message: str) -> None:
    """Not exactly one type, no number, an empty set, a member twice."""
    assert invalid(value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "an attribute value must be a map from its type to its content"),
        ("a", "an attribute value must be a map from its type to its content"),
        ([{"S": "a"}], "an attribute value must be a map from its type to its content"),
        ({"L": ["a"]}, "an attribute value must be a map from its type to its content"),
        ({"S": None}, "a string value must be text"),
        ({"S": 1}, "a string value must be text"),
        ({"S": b"a"}, "a string value must be text"),
        ({"SS": ["a", 1]}, "a string value must be text"),
        ({"S": "\ud800"}, "a string holds a lone surrogate"),
        ({"M": {"\udfff": {"S": "a"}}}, "a string holds a lone surrogate"),
        ({"M": {1: {"S": "a"}}}, "a string value must be text"),
        ({"N": 1}, "a number value must be text"),
        ({"N": None}, "a number value must be text"),
        ({"NS": ["1", 2]}, "a number value must be text"),
        ({"B": "AA=="}, "a binary value must be bytes"),
        ({"BS": [b"a", "b"]}, "a binary value must be bytes"),
        ({"BOOL": "true"}, "a BOOL value must be true or false"),
        ({"BOOL": 1}, "a BOOL value must be true or false"),
        ({"NULL": None}, "a NULL value must be true or false"),
        ({"M": []}, "a value of type M must be a map"),
        ({"M": None}, "a value of type M must be a map"),
        ({"L": {}}, "a value of type L must be a list"),
        ({"L": "ab"}, "a value of type L must be a list"),
        ({"SS": "ab"}, "a value of type SS must be a list"),
        ({"NS": None}, "a value of type NS must be a list"),
        ({"BS": {}}, "a value of type BS must be a list"),
    ],
)
def test_values_of_another_shape(value: Any, message: str) -> None:
    """Are not what the protocol prescribes; the sentence says what would be."""
    assert misshapen(value) == message


@pytest.mark.parametrize("item", [None, [], "a", 1])
def test_what_is_no_item(item: Any) -> None:
    """An item is a map."""
    with pytest.raises(SerializationError, match="an item must be a map of attribute names to attribute values"):
        check_item(item)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("*", "a binary value is not valid base64"),
        ("A", "a binary value is not valid base64"),
        ("AA", "a binary value is not valid base64"),
        ("AAA", "a binary value is not valid base64"),
        ("AB==", "a binary value is not valid base64"),
        ("AAB=", "a binary value is not valid base64"),
        ("AA==AA==", "a binary value is not valid base64"),
        ("AA==\n", "a binary value is not valid base64"),
        ("A A=", "a binary value is not valid base64"),
        ("-_8=", "a binary value is not valid base64"),
        ("ä===", "a binary value is not valid base64"),
        (b"AA==", "a binary value must be base64 text"),
        (7, "a binary value must be base64 text"),
    ],
)
def test_binary_values_in_json(content: Any, message: str) -> None:
    """Are base64 of the standard alphabet with its padding, and nothing around it."""
    assert misshapen({"B": content}, is_json=True) == message
    assert misshapen({"BS": [content]}, is_json=True) == message


def test_binary_members_are_compared_as_bytes() -> None:
    """A set from JSON has each of its members once as well."""
    assert invalid({"BS": ["AA==", "AA=="]}, is_json=True) == (
        INVALID + "Input collection [AA==, AA==]of type BS contains duplicates."
    )
    assert check_item({"a": {"BS": ["AA==", ""]}}, is_json=True) == ({"a": {"BS": [b"\x00", b""]}}, 2)


@pytest.mark.parametrize(("unit", "unit_bytes"), [("x", 1), ("é", 2), ("\U0001f600", 4)])
@pytest.mark.parametrize("kind", ["S", "B"])
def test_an_items_size_limit(unit: str, unit_bytes: int, kind: str) -> None:
    """400 KB with names and in UTF-8 are accepted, a byte more is not."""
    content: Any = unit * ((ITEM_BYTES_MAX - 4) // unit_bytes)
    content = content if kind == "S" else content.encode()
    longest: Item = {"name": {kind: content}}
    assert check_item(longest) == (longest, 400 * 1024)
    with pytest.raises(ValidationError) as raised:
        check_item({"names": {kind: content}})
    assert raised.value.message == TOO_LARGE


def test_the_size_limit_holds_for_many_small_values() -> None:
    """What counts is the sum."""
    flags: list[Any] = [{"BOOL": True}] * ((ITEM_BYTES_MAX - 4) // 2)
    assert check_item({"a": {"L": flags}})[1] == ITEM_BYTES_MAX
    assert invalid({"L": [*flags, {"S": ""}]}) == TOO_LARGE


@pytest.mark.parametrize(("unit", "unit_bytes"), [("x", 1), ("€", 3)])
def test_an_attribute_names_limit(unit: str, unit_bytes: int) -> None:
    """65,535 bytes of UTF-8, nested or not."""
    longest = unit * (65_535 // unit_bytes)
    assert check_item({longest: {"S": ""}}) == ({longest: {"S": ""}}, 65_535)
    assert check_item({"a": {"M": {longest: {"S": ""}}}})[1] == 1 + 3 + 1 + 65_535
    with pytest.raises(ValidationError) as raised:
        check_item({longest + "x": {"S": ""}})
    assert raised.value.message == NAME_TOO_LARGE
    assert invalid({"M": {longest + "x": {"S": ""}}}) == NAME_TOO_LARGE


@pytest.mark.parametrize("kind", ["M", "L"])
@pytest.mark.parametrize("leaf", [{"S": "a"}, {"NS": ["1"]}, {"M": {}}, {"L": []}])
def test_the_nesting_limit(kind: str, leaf: AttributeValue) -> None:
    """A value of 31 maps and lists around another is at the limit, whatever that other is."""
    deepest = nested(NESTING_MAX - 1, leaf, kind)
    assert check_item({"a": deepest})[0] == {"a": deepest}
    assert invalid(nested(NESTING_MAX, leaf, kind)) == TOO_DEEP


def test_another_size_limit() -> None:
    """Values that are in no item may be larger than one."""
    value = {"S": "x" * (2 * ITEM_BYTES_MAX)}
    assert check_item({"a": value}, bytes_max=2 * ITEM_BYTES_MAX + 1)[1] == 2 * ITEM_BYTES_MAX + 1
    with pytest.raises(ValidationError):
        check_item({"a": value}, bytes_max=2 * ITEM_BYTES_MAX)


def test_nesting_is_depth_not_number() -> None:
    """Beside each other, as many as the size allows."""
    wide: Item = {"a": {"L": [{"M": {}} for _ in range(200)]}, "b": {"L": [{"L": []} for _ in range(200)]}}
    assert check_item(wide)[0] == wide


def test_hostile_nesting_is_refused_before_it_is_walked() -> None:
    """A value of ten thousand levels costs as much as one of thirty-three, and no stack."""
    assert invalid(nested(10_000, {"S": "a"})) == TOO_DEEP
    assert invalid(nested(10_000, {"S": "a"}, "L")) == TOO_DEEP


@given(st.text(max_size=30))
def test_text_is_measured_in_utf8(text: str) -> None:
    """ASCII or not."""
    assert text_bytes(text) == len(text.encode())


@pytest.mark.parametrize("kind", ["item", "M", "L", "SS"])
def test_no_more_elements_are_looked_at_than_could_be_of_use(kind: str) -> None:
    """Each is a byte at least; what is wrong with one of them is not found any more."""
    names: dict[str, Any] = {f"{number:03}": {"S": 1} for number in range(101)}
    content: Any = names if kind == "M" else list(names.values())
    with pytest.raises(ValidationError, match=r"^Item size has exceeded the maximum allowed size$"):
        check_item(names if kind == "item" else {"": {kind: content}}, walk_max=100)


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=3), st.integers(0, 30))
def test_items_of_text_alone(texts: dict[str, str], bytes_max: int) -> None:
    """As any other item, whether or not all of it is ASCII: the same size, and the same limit."""
    item: Item = {name: {"S": text} for name, text in texts.items()}
    size = sum(len(name.encode()) + len(text.encode()) for name, text in texts.items())
    if size > bytes_max:
        with pytest.raises(ValidationError, match="Item size"):
            check_item(item, bytes_max=bytes_max)
    else:
        assert check_item(item, bytes_max=bytes_max) == (item, size)
