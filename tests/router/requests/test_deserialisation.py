"""The first stage: types, in the words of DynamoDB's reader of JSON."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.requests.deserialisation import normalise
from router.requests.shapes import (
    ATTRIBUTE_VALUE,
    LONG_MAX,
    Blob,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Moment,
    Shape,
    Structure,
    Text,
)
from tests.router.requests.failing import NESTED_TOO_DEEPLY, nested, refusal

INNER = Structure("Inner", {"Text": Text()})
CLASS = "com.amazonaws.dynamodb.v20120810."
MAP_NOT_EXPECTED = "Start of structure or map found where not expected"
PARAMETERIZED = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of "
    "loader 'bootstrap')"
)


def read(shape: Shape, value: Any, *, is_json: bool = True) -> Any:
    """A value as the member of a body."""
    return normalise(Structure("Outer", {"Member": shape}), {"Member": value}, is_json=is_json)["Member"]


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        (Text(), "", ""),
        (Integer(1), 0, 0),
        (Integer(1), 2**31, 2**31 - 1),
        (Integer(1, LONG_MAX), 2**31, 2**31),
        (Integer(1, LONG_MAX), -(2**64), -LONG_MAX),
        (Integer(1), -(2**40), -(2**31) + 1),
        (Integer(1), 1e300, 2**31 - 1),
        (Integer(1), 3.99, 3),
        (Integer(1), -3.99, -3),
        (Flag(), True, True),
        (Flag(), False, False),
        (Flag(), "True", True),
        (Flag(), "1", True),
        (Flag(), "yes", True),
        (Flag(), "FALSE", False),
        (Flag(), "0", False),
        (Flag(), "No", False),
        (Moment(), 1.25, 1.25),
        (Moment(), -3, -3),
        (Blob(), "", b""),
        (Blob(), "AP8=", b"\x00\xff"),
        (ListOf(Text()), ["a", None], ["a", None]),
        (ListOf(ATTRIBUTE_VALUE), [None, {"S": "a"}], [{}, {"S": "a"}]),
        (MapOf(Text()), {"a": "b", "c": None}, {"a": "b"}),
        (MapOf(ATTRIBUTE_VALUE), {"a": None}, {"a": {}}),
        (MapOf(INNER), {"a": None}, {"a": None}),
        (INNER, {"Text": "a", "Other": [1]}, {"Text": "a"}),
        (INNER, {"Text": None}, {}),
        (ATTRIBUTE_VALUE, {"X": 1, "B": "AA==", "N": None}, {"B": b"\x00"}),
        (ATTRIBUTE_VALUE, {"L": [{"M": {"a": {"BS": ["AA=="]}}}]}, {"L": [{"M": {"a": {"BS": [b"\x00"]}}}]}),
    ],
)
def test_what_is_read(shape: Shape, value: Any, expected: Any) -> None:
    """What is null or not in the model is left out; some values are taken for others, as DynamoDB takes them."""
    found = read(shape, value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        (Text(), 1, "NUMBER_VALUE cannot be converted to String"),
        (Text(), 1.5, "DECIMAL_VALUE cannot be converted to String"),
        (Text(), True, "TRUE_VALUE cannot be converted to String"),
        (Text(), False, "FALSE_VALUE cannot be converted to String"),
        (Text(), [], "Unrecognized collection type class java.lang.String"),
        (Text(), {}, MAP_NOT_EXPECTED),
        (Integer(1), "1", "STRING_VALUE cannot be converted to Integer"),
        (Integer(1), True, "TRUE_VALUE cannot be converted to Integer"),
        (Integer(1), [], "Unrecognized collection type class java.lang.Integer"),
        (Integer(1), {}, MAP_NOT_EXPECTED),
        (Moment(), "1", "STRING_VALUE cannot be converted to Date"),
        (Moment(), True, "TRUE_VALUE cannot be converted to Date"),
        (Moment(), [], "Unrecognized collection type class java.util.Date"),
        (Flag(), 1, "NUMBER_VALUE cannot be converted to Boolean"),
        (Flag(), 0.5, "DECIMAL_VALUE cannot be converted to Boolean"),
        (Flag(), "", "Unexpected token received from parser"),
        (Flag(), [], "Unrecognized collection type class java.lang.Boolean"),
        (Flag(), {}, MAP_NOT_EXPECTED),
        (Blob(), 1, "only base-64-encoded strings are convertible to bytes"),
        (Blob(), True, "only base-64-encoded strings are convertible to bytes"),
        (Blob(), [], "Unrecognized collection type class java.nio.ByteBuffer"),
        (Blob(), {}, MAP_NOT_EXPECTED),
        (Blob(), "A", "Base64 encoded length is expected a multiple of 4 bytes but found: 1"),
        (Blob(), "AAAAA", "Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
        (Blob(), "-_8=", "Invalid last non-pad Base64 character dectected"),
        (Blob(), "AB==", "Invalid last non-pad Base64 character dectected"),
        (Blob(), "AAB=", "Invalid last non-pad Base64 character dectected"),
        (Blob(), "ä===", "Invalid last non-pad Base64 character dectected"),
        (ListOf(Text()), "a", "Unexpected field type"),
        (ListOf(Text()), {}, MAP_NOT_EXPECTED),
        (ListOf(Text()), [1], "NUMBER_VALUE cannot be converted to String"),
        (ListOf(INNER), ["a"], "Unexpected value type in payload"),
        (ListOf(INNER), [[]], f"Unrecognized collection type class {CLASS}Inner"),
        (ListOf(MapOf(INNER)), ["a"], PARAMETERIZED),
        (ListOf(MapOf(INNER)), [[]], f"Unrecognized collection type java.util.Map<java.lang.String, {CLASS}Inner>"),
        (MapOf(Text()), 1, "Unexpected field type"),
        (MapOf(Text()), [], "Unrecognized collection type java.util.Map<java.lang.String, java.lang.String>"),
        (MapOf(ListOf(INNER)), {"a": True}, PARAMETERIZED),
        (MapOf(ListOf(INNER)), {"a": {}}, MAP_NOT_EXPECTED),
        (
            MapOf(ListOf(INNER)),
            [],
            f"Unrecognized collection type java.util.Map<java.lang.String, java.util.List<{CLASS}Inner>>",
        ),
        (INNER, "a", "Unexpected field type"),
        (INNER, [], f"Unrecognized collection type class {CLASS}Inner"),
        (INNER, {"Text": 1}, "NUMBER_VALUE cannot be converted to String"),
        (ATTRIBUTE_VALUE, {"L": [{"S": 1}]}, "NUMBER_VALUE cannot be converted to String"),
        (ATTRIBUTE_VALUE, {"L": ["a"]}, "Unexpected value type in payload"),
        (ATTRIBUTE_VALUE, {"M": {"a": []}}, f"Unrecognized collection type class {CLASS}AttributeValue"),
    ],
)
def test_what_is_not_of_its_type(shape: Shape, value: Any, message: str) -> None:
    """Each type in each place."""
    assert refusal(read, shape, value) == ("SerializationException", message)


def test_the_first_is_told() -> None:
    """In the order of the body."""
    shape = Structure("Outer", {"A": Text(), "B": Flag()})
    for body, first in (({"A": 1, "B": []}, "NUMBER_VALUE"), ({"B": [], "A": 1}, "Unrecognized")):
        assert refusal(normalise, shape, body, is_json=True)[1].startswith(first)


def test_bytes_that_came_as_bytes() -> None:
    """Through the other door."""
    assert read(Blob(), b"AA==", is_json=False) == b"AA=="
    assert refusal(read, Blob(), "AA==", is_json=False) == ("SerializationException", "a binary value must be bytes")


@pytest.mark.parametrize("kind", ["M", "L"])
def test_a_value_that_is_nested_too_deeply(kind: str) -> None:
    """Is refused before it is walked: it costs no stack."""
    assert read(ATTRIBUTE_VALUE, nested(32)) == nested(32)
    value: Any = {"S": 1}
    for _ in range(5000):
        value = {"M": {"a": value}} if kind == "M" else {"L": [value]}
    assert refusal(read, ATTRIBUTE_VALUE, value) == ("ValidationException", NESTED_TOO_DEEPLY)


@given(st.binary(max_size=40))
def test_base64(data: bytes) -> None:
    """All of it is read back."""
    assert read(Blob(), base64.b64encode(data).decode()) == data
