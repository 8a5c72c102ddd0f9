"""Python's values and the wire's: what must survive, and what must be refused."""

import enum
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stator.errors import InternalServerError, ValidationError
from stator.values import ValueEncoder, decode_item, item_value, number_text, number_value
from statorpb import item_pb2


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


def through(value: Any, **options: Any) -> Any:
    """What comes back of a value that was written to the wire."""
    wire = item_pb2.Item()
    ValueEncoder(**options).fill_item(wire, {"a": value})
    return item_value(item_pb2.Item.FromString(wire.SerializeToString()))["a"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        ("naïve 🎷", "naïve 🎷"),
        (b"", b""),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (0, 0),
        (-12, -12),
        (10**37, 10**37),
        (10**125, 10**125),
        (Decimal("1.50"), Decimal("1.5")),
        (Decimal("3.00"), 3),
        (Decimal("-0.0"), 0),
        (Decimal("1E-130"), Decimal("1E-130")),
        (Decimal("1E+10"), 10**10),
        (True, True),
        (False, False),
        (None, None),
        ([], []),
        ((1, "a"), [1, "a"]),
        ({}, {}),
        ({"x": [{"y": None}]}, {"x": [{"y": None}]}),
        ({"a", "b"}, {"a", "b"}),
        (frozenset({b"a"}), {b"a"}),
        ({1, Decimal("2.5")}, {1, Decimal("2.5")}),
        (Colour.RED, "red"),
        (Size.BIG, 3),
    ],
)
def test_values_come_back(value: Any, expected: Any) -> None:
    """A value comes back equal, and of the documented type."""
    found = through(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.5, "floats='decimal'"),
        ({"a", 1}, "only numbers"),
        ({True}, "only numbers"),
        (object(), "no counterpart"),
        ({1: "a"}, "must be str"),
        ([1.5], "Decimal('1.5')"),
        ({0.5}, "Decimal('0.5')"),
    ],
)
def test_what_has_no_counterpart_is_a_type_error_that_helps(value: Any, words: str) -> None:
    """The error names the attribute and says what to do."""
    with pytest.raises(TypeError) as caught:
        through(value)
    assert "attribute 'a'" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        10**126,
        Decimal("1E-131"),
        Decimal("1E+126"),
        Decimal("1E+999999"),
        Decimal("NaN"),
        Decimal("Infinity"),
        int("1" * 39),
        Decimal("0." + "1" * 39),
        set(),
        "\ud800",
    ],
)
def test_what_is_out_of_range_is_a_validation_error(value: Any) -> None:
    """A value that DynamoDB cannot hold exactly is refused here, and the attribute named."""
    with pytest.raises(ValidationError, match="attribute 'a'"):
        through(value)


def test_items_and_names_are_checked() -> None:
    """An item is a dict with str names."""
    encoder = ValueEncoder()
    with pytest.raises(TypeError, match="must be a dict"):
        encoder.fill_item(item_pb2.Item(), ["pk"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name of an attribute must be a str"):
        encoder.fill_item(item_pb2.Item(), {1: 1})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="floats must be"):
        ValueEncoder("round")  # type: ignore[arg-type]


def test_nesting_is_bounded() -> None:
    """32 levels pass, 33 do not; nothing deeper is walked."""
    value: Any = 1
    for _ in range(32):
        value = [value]
    assert through(value) == value
    with pytest.raises(ValidationError, match="32 levels"):
        through([value])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValidationError, match="32 levels"):
        through(endless)


def test_floats_by_choice() -> None:
    """With floats="decimal" a float is stored by its shortest text; what is no number is still refused."""
    assert through(0.1, floats="decimal") == Decimal("0.1")
    assert through(2.0, floats="decimal") == 2
    assert through({0.1, Decimal("0.1")}, floats="decimal") == {Decimal("0.1")}
    with pytest.raises(ValidationError):
        through(float("nan"), floats="decimal")


def test_a_kind_from_the_future_is_an_error() -> None:
    """An attribute value of an unknown kind is not taken for None."""
    wire = item_pb2.Item()
    wire.attributes["a"].SetInParent()
    with pytest.raises(ValueError, match="does not know"):
        item_value(wire)


numbers = st.integers(-(10**38) + 1, 10**38 - 1) | st.builds(
    lambda digits, exponent, sign: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.integers(0, 10**38 - 1),
    st.integers(-130, 125 - 38),
    st.integers(0, 1),
)
scalars = st.text(st.characters(exclude_categories=["Cs"])) | st.binary() | numbers | st.booleans() | st.none()
values = st.recursive(
    scalars | st.sets(st.text("abc"), min_size=1) | st.sets(st.binary(), min_size=1) | st.sets(numbers, min_size=1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_any_value_comes_back_equal(value: Any) -> None:
    """Encoding loses nothing."""
    assert through(value) == value


@given(numbers)
def test_number_texts_are_exact_and_canonical(number: int | Decimal) -> None:
    """The text has no exponent, stands for exactly the number, and is the same for equal numbers."""
    text = number_text(number)
    assert "E" not in text
    assert Decimal(text) == number
    assert number_text(number_value(text)) == text


def test_bytes_that_are_no_item_are_the_servers_fault() -> None:
    """Cut short, or with something after the item."""
    for data in (b"\x0a\x05", ValueEncoder().encode_item({"a": nested_in_maps(32)}) + b"\xff"):
        with pytest.raises(InternalServerError) as caught:
            decode_item(data)
        assert not caught.value.is_retriable


def test_an_item_is_read_at_32_levels() -> None:
    """Protobuf reads 100, and a map takes three."""
    item = {"a": nested_in_maps(32)}
    assert decode_item(ValueEncoder().encode_item(item)) == item


def nested_in_maps(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"m": value}
    return value
