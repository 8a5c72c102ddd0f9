"""Attribute values: sizes, nesting, numbers, sets and what may be empty; the same through every door."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import stator
from statorpb import items_pb2

from tests.conformance.conftest import Tables
from tests.conformance.doors import SERIALIZATION, VALIDATION, Doors, GrpcError, invalid, item_message, unique

pytestmark = pytest.mark.cluster

ITEM_BYTES_MAX = 400 * 1024
TOO_LARGE = invalid("Item size has exceeded the maximum allowed size")
TOO_DEEP = invalid(
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)
EMPTY = invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
DUPLICATES = invalid("Input collection contains duplicates")


def item(value: Any) -> dict[str, Any]:
    return {"pk": {"S": unique()}, "v": value}


def stored(doors: Doors, tables: Tables, value: Any) -> Any:
    """A value as it comes back through the HTTP door after every door has taken it."""
    put = item(value)
    assert doors.put_everywhere(tables.plain, put) is None
    found = doors.post("GetItem", {"TableName": tables.plain, "Key": {"pk": put["pk"]}, "ConsistentRead": True})
    return found.json["Item"]["v"]


def lists(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"L": []}
    for _ in range(levels - 1):
        value = {"L": [value]}
    return value


def maps(levels: int) -> dict[str, Any]:
    """As deep as maps of so many levels get: there is a value in the innermost."""
    value: dict[str, Any] = {"S": "x"}
    for _ in range(levels):
        value = {"M": {"a": value}}
    return value


def test_an_item_has_at_most_400_kb(doors: Doors, tables: Tables) -> None:
    """Names and values together: at the limit it is stored whole, one byte more is refused."""
    put = item({"S": ""})
    room = ITEM_BYTES_MAX - len("pk") - len(put["pk"]["S"]) - len("v")
    put["v"] = {"S": "x" * room}
    assert doors.put_everywhere(tables.plain, put) is None
    found = doors.boto.get_item(TableName=tables.plain, Key={"pk": put["pk"]}, ConsistentRead=True)
    assert found["Item"] == put
    assert doors.put_everywhere(tables.plain, {**put, "v": {"S": "x" * (room + 1)}}) == TOO_LARGE
    assert doors.put_everywhere(tables.plain, {**put, "vv": put["v"], "v": {"S": ""}}) == TOO_LARGE


def test_lists_nest_32_levels(doors: Doors, tables: Tables) -> None:
    """One more is refused."""
    assert stored(doors, tables, lists(32)) == lists(32)
    assert doors.put_everywhere(tables.plain, item(lists(33))) == TOO_DEEP


def test_maps_nest_32_levels(doors: Doors, tables: Tables) -> None:
    """Through HTTP and as a call of its own; one more is refused."""
    put = item(maps(31))
    assert doors.post("PutItem", {"TableName": tables.plain, "Item": put}).status == 200
    message = items_pb2.PutItemRequest(table_name=tables.plain, item=item_message(put))
    assert doors.call("Items/PutItem", message) == b""
    key = item_message({"pk": put["pk"]})
    reply = doors.call(
        "Items/GetItem", items_pb2.GetItemRequest(table_name=tables.plain, key=key, consistent_read=True)
    )
    assert items_pb2.GetItemResponse.FromString(reply).item == message.item
    too_deep = item(maps(32))
    answer = doors.post("PutItem", {"TableName": tables.plain, "Item": too_deep})
    assert answer.error == (400, VALIDATION, TOO_DEEP.message)
    message.item.CopyFrom(item_message(too_deep))
    refused = doors.call("Items/PutItem", message)
    assert isinstance(refused, GrpcError)
    assert refused.refusal == TOO_DEEP


def test_maps_nest_32_levels_everywhere(doors: Doors, tables: Tables) -> None:
    """On a session, in batches and in the SDK's replies, too: protobuf reads 100 levels, a map takes three, and what is
    around an item in a frame or a batch must not count."""
    assert doors.put_everywhere(tables.plain, item(maps(31))) is None
    deep: object = "x"
    for _ in range(31):
        deep = {"m": deep}
    with stator.Client(doors.cluster.endpoints) as client:
        client.put_item(tables.plain, {"pk": "deep-alone", "v": deep})
        assert client.get_item(tables.plain, {"pk": "deep-alone"}, consistent_read=True) == {
            "pk": "deep-alone",
            "v": deep,
        }
        client.batch_write_item(tables.plain, put=[{"pk": "deep", "v": deep}])
        assert client.get_item(tables.plain, {"pk": "deep"}, consistent_read=True) == {"pk": "deep", "v": deep}
        assert client.batch_get_item(tables.plain, [{"pk": "deep"}], consistent_read=True) == [
            {"pk": "deep", "v": deep}
        ]
        assert {"pk": "deep", "v": deep} in list(client.scan(tables.plain, consistent_read=True))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("0", "0"),
        ("-0.0", "0"),
        ("007", "7"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("-12.5E-1", "-1.25"),
        ("9" * 38, "9" * 38),
        ("0.1234567890123456789012345678901234567", "0.1234567890123456789012345678901234567"),
    ],
)
def test_a_number_comes_back_in_canonical_form(doors: Doors, tables: Tables, written: str, canonical: str) -> None:
    """However it was written; all 38 digits are kept."""
    assert stored(doors, tables, {"N": written}) == {"N": canonical}


@pytest.mark.parametrize(
    "written",
    [
        "9.9999999999999999999999999999999999999E+125",
        "-9.9999999999999999999999999999999999999E+125",
        "1E-130",
        "-1E-130",
    ],
)
def test_the_ends_of_the_range_of_numbers(doors: Doors, tables: Tables, written: str) -> None:
    """Kept exactly."""
    assert Decimal(stored(doors, tables, {"N": written})["N"]) == Decimal(written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("1" * 39, "Attempting to store more than 38 significant digits in a Number"),
        (
            "1E126",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "9.9E-131",
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
        ("", "The parameter cannot be converted to a numeric value"),
        ("one", "The parameter cannot be converted to a numeric value: one"),
        ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
        ("Infinity", "The parameter cannot be converted to a numeric value: Infinity"),
        ("1_000", "The parameter cannot be converted to a numeric value: 1_000"),
        ("0x10", "The parameter cannot be converted to a numeric value: 0x10"),
        ("\u0661", "The parameter cannot be converted to a numeric value: \u0661"),
    ],
    ids=lambda value: None if len(value) > 20 else value,
)
def test_what_is_no_number_is_refused(doors: Doors, tables: Tables, written: str, message: str) -> None:
    """As a value and in a set."""
    assert doors.put_everywhere(tables.plain, item({"N": written})) == invalid(message)
    assert doors.put_everywhere(tables.plain, item({"NS": ["7", written]})) == invalid(message)


@pytest.mark.parametrize("written", ["1e99999999999999999999", "1" * 100_000, "0." + "0" * 100_000 + "1"])
def test_hostile_numbers_cost_nothing(doors: Doors, tables: Tables, written: str) -> None:
    """Refused, in the time of any other request."""
    refused = doors.put_everywhere(tables.plain, item({"N": written}))
    assert refused is not None and refused.code == "ValidationException"


@pytest.mark.parametrize(
    "value",
    [
        {"S": ""},
        {"B": ""},
        {"M": {}},
        {"L": []},
        {"BOOL": False},
        {"NULL": True},
        {"SS": ["", "a"]},
        {"M": {"": {"S": ""}}},
        {"L": [{"S": ""}, {"NULL": True}, {"N": "1"}, {"BS": ["AA=="]}]},
        {"S": "\u0000\U0001f600é"},
    ],
    ids=str,
)
def test_values_that_are_or_hold_nothing_come_back(doors: Doors, tables: Tables, value: Any) -> None:
    """Only keys and sets may not be empty."""
    assert stored(doors, tables, value) == value


@pytest.mark.parametrize(
    ("kind", "members"),
    [("SS", ["b", "a"]), ("NS", ["2", "1"]), ("BS", ["Yg==", "YQ=="])],
)
def test_a_set_has_members_and_each_once(doors: Doors, tables: Tables, kind: str, members: list[str]) -> None:
    """Their order is not part of it."""
    found = stored(doors, tables, {kind: members})
    assert found.keys() == {kind} and sorted(found[kind]) == sorted(members)
    twice = doors.put_everywhere(tables.plain, item({kind: [*members, members[0]]}))
    assert twice is not None and "Input collection " in twice.message and "contains duplicates" in twice.message
    empty = {
        "SS": "An string set  may not be empty",
        "NS": "An number set  may not be empty",
        "BS": "Binary sets should not be empty",
    }
    expected = invalid(f"One or more parameter values were invalid: {empty[kind]}")
    assert doors.put_everywhere(tables.plain, item({kind: []})) == expected


def test_numbers_in_a_set_are_compared_as_numbers(doors: Doors, tables: Tables) -> None:
    """1 and 1.0 are one."""
    assert doors.put_everywhere(tables.plain, item({"NS": ["1", "1.0"]})) == DUPLICATES


def test_a_value_without_a_type(doors: Doors, tables: Tables) -> None:
    """Also inside of another one."""
    assert doors.put_everywhere(tables.plain, item({})) == EMPTY
    assert doors.put_everywhere(tables.plain, item({"L": [{}]})) == EMPTY
    assert doors.put_everywhere(tables.plain, item({"M": {"a": {}}})) == EMPTY


@pytest.mark.parametrize(
    ("value", "type_", "message"),
    [
        ({"X": "a"}, VALIDATION, EMPTY.message),
        (
            {"S": "a", "N": "1"},
            VALIDATION,
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
            "datatypes",
        ),
        ("a", SERIALIZATION, "Unexpected value type in payload"),
        ({"S": 1}, SERIALIZATION, "NUMBER_VALUE cannot be converted to String"),
        ({"N": 1.5}, SERIALIZATION, "DECIMAL_VALUE cannot be converted to String"),
        ({"B": "!"}, SERIALIZATION, "Base64 encoded length is expected a multiple of 4 bytes but found: 1"),
        ({"BOOL": "perhaps"}, SERIALIZATION, "Unexpected token received from parser"),
        ({"M": "a"}, SERIALIZATION, "Unexpected field type"),
        ({"L": {}}, SERIALIZATION, "Start of structure or map found where not expected"),
        ({"SS": "a"}, SERIALIZATION, "Unexpected field type"),
    ],
    ids=str,
)
def test_values_that_only_json_can_get_wrong(
    doors: Doors, tables: Tables, value: Any, type_: str, message: str
) -> None:
    """Each says what is wrong."""
    assert doors.post("PutItem", {"TableName": tables.plain, "Item": item(value)}).error == (400, type_, message)


def test_a_name_has_at_most_65535_bytes(doors: Doors, tables: Tables) -> None:
    """Also of an attribute inside of a map."""
    fits = item({"M": {"x" * 65_535: {"NULL": True}}})
    assert doors.put_everywhere(tables.plain, fits) is None
    expected = invalid("Attribute name is too large, must be less than 65536 bytes")
    assert doors.put_everywhere(tables.plain, item({"M": {"x" * 65_536: {"NULL": True}}})) == expected
