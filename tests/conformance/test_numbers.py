"""Numbers: exact decimals of 38 digits, in values, in arithmetic, in conditions, as keys."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import VALIDATION, Database, invalid, typed, unique

pytestmark = pytest.mark.cluster

TOO_PRECISE = "Attempting to store more than 38 significant digits in a Number"
TOO_LARGE = "Number overflow. Attempting to store a number with magnitude larger than supported range"
TOO_SMALL = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
NINES = "9" * 38

WRITTEN: list[tuple[str, str]] = [
    ("0", "0"),
    ("-0", "0"),
    ("0.000", "0"),
    ("0E10", "0"),
    ("+1", "1"),
    ("007", "7"),
    ("1.0", "1"),
    ("100", "100"),
    ("-1.50", "-1.5"),
    (".5", "0.5"),
    ("5.", "5"),
    ("1e3", "1000"),
    ("12E-1", "1.2"),
    ("0042.1200", "42.12"),
    (NINES, NINES),
    (f"-{NINES}", f"-{NINES}"),
    (f"0.{NINES}", f"0.{NINES}"),
    ("1E+125", "1" + "0" * 125),
    ("9.9999999999999999999999999999999999999E+125", NINES + "0" * 88),
    ("1E-130", "0." + "0" * 129 + "1"),
    ("-1E-130", "-0." + "0" * 129 + "1"),
]


def written(database: Database, text: str) -> str:
    """How a number comes back."""
    key = typed({"pk": unique()})
    database.client.put_item(TableName=database.plain, Item={**key, "n": {"N": text}})
    found: str = database.client.get_item(TableName=database.plain, Key=key, ConsistentRead=True)["Item"]["n"]["N"]
    return found


@pytest.mark.parametrize(("text", "canonical"), WRITTEN)
def test_how_a_number_comes_back(database: Database, text: str, canonical: str) -> None:
    """In full, without superfluous zeros."""
    assert written(database, text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1" * 39, TOO_PRECISE),
        ("0." + "1" * 39, TOO_PRECISE),
        ("1" + "0" * 37 + "1", TOO_PRECISE),
        ("1E126", TOO_LARGE),
        ("-1E126", TOO_LARGE),
        ("9.99999999999999999999999999999999999999E+125", TOO_PRECISE),
        ("1E-131", TOO_SMALL),
        ("-9E-131", TOO_SMALL),
        ("1E999999999", TOO_LARGE),
        ("x", "The parameter cannot be converted to a numeric value: x"),
        ("1,5", "The parameter cannot be converted to a numeric value: 1,5"),
        ("0x10", "The parameter cannot be converted to a numeric value: 0x10"),
        ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
        ("Infinity", "The parameter cannot be converted to a numeric value: Infinity"),
        ("1 ", "The parameter cannot be converted to a numeric value: 1 "),
        ("", "The parameter cannot be converted to a numeric value"),
        ("1e", "The parameter cannot be converted to a numeric value: 1e"),
        (".", "The parameter cannot be converted to a numeric value: ."),
    ],
)
@pytest.mark.parametrize("place", ["value", "set", "nested", "placeholder"])
def test_what_is_no_number(database: Database, place: str, text: str, message: str) -> None:
    """Anywhere in a request."""
    value: dict[str, Any] = {"N": text}
    values = {"set": {"NS": ["1", text]}, "nested": {"L": [{"M": {"a": value}}]}}
    if place == "placeholder":
        refused = database.refusal(
            "update_item",
            TableName=database.plain,
            Key=typed({"pk": "a"}),
            UpdateExpression="SET a = :v",
            ExpressionAttributeValues={":v": value},
        )
        assert refused is not None and refused.code == VALIDATION
        assert (
            message in refused.message
        )  # around it: "ExpressionAttributeValues contains invalid value: ... for key :v"
    else:
        item = {**typed({"pk": "a"}), "v": values.get(place, value)}
        assert database.refusal("put_item", TableName=database.plain, Item=item) == invalid(message)


ARITHMETIC: list[tuple[str, str, str, str]] = [
    ("1", "+", "2", "3"),
    ("0.1", "+", "0.2", "0.3"),
    ("1", "-", "1", "0"),
    ("-1", "-", "-1.50", "0.5"),
    ("1E20", "+", "1", "100000000000000000001"),
    ("1E37", "+", "1", "1" + "0" * 36 + "1"),
    (NINES, "-", "1", "9" * 37 + "8"),
    ("99999999999999999999999999999999999998", "+", "1", NINES),
    ("1E-130", "+", "1E-130", "0." + "0" * 129 + "2"),
    ("5E+125", "+", "4E+125", "9" + "0" * 125),
    ("1E+125", "-", "1E+125", "0"),
    ("12345678901234567890.123456789012345678", "-", "0.000000000000000001", "12345678901234567890.123456789012345677"),
]


@pytest.mark.parametrize(("left", "operator", "right", "result"), ARITHMETIC)
def test_arithmetic(database: Database, left: str, operator: str, right: str, result: str) -> None:
    """Exact: by SET, and by ADD and AttributeUpdates where they can say it."""
    key = typed({"pk": unique()})
    client, table = database.client, database.plain

    def after(**parameters: Any) -> str:
        client.put_item(TableName=table, Item={**key, "n": {"N": left}})
        answer = client.update_item(TableName=table, Key=key, ReturnValues="UPDATED_NEW", **parameters)
        number: str = answer["Attributes"]["n"]["N"]
        return number

    values = {":v": {"N": right}}
    assert after(UpdateExpression=f"SET n = n {operator} :v", ExpressionAttributeValues=values) == result
    negated = right if operator == "+" else (right[1:] if right[0] == "-" else f"-{right}")
    values = {":v": {"N": negated}}
    assert after(UpdateExpression="ADD n :v", ExpressionAttributeValues=values) == result
    assert after(AttributeUpdates={"n": {"Action": "ADD", "Value": {"N": negated}}}) == result


@pytest.mark.parametrize(
    ("left", "operator", "right"),
    [
        ("9E+125", "+", "9E+125"),
        ("-9E+125", "-", "9E+125"),
        (NINES + "E88", "+", "1E+88"),
    ],
)
def test_arithmetic_that_leaves_the_range(database: Database, left: str, operator: str, right: str) -> None:
    """An error; the item stays."""
    key = typed({"pk": unique()})
    database.client.put_item(TableName=database.plain, Item={**key, "n": {"N": left}})
    before = database.client.get_item(TableName=database.plain, Key=key, ConsistentRead=True)["Item"]
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=key,
        UpdateExpression=f"SET n = n {operator} :v",
        ExpressionAttributeValues={":v": {"N": right}},
    )
    assert refused is not None and refused.code == VALIDATION
    assert refused.message.startswith("Number overflow.")
    assert database.client.get_item(TableName=database.plain, Key=key, ConsistentRead=True)["Item"] == before


@pytest.mark.parametrize(("left", "right"), [("1E38", "1"), ("1E+100", "1E-100"), ("1", "1E-38")])
def test_arithmetic_that_needs_more_digits(database: Database, left: str, right: str) -> None:
    """A number of more than 38 digits is never stored: it is refused, or what is beyond them is dropped. (Which of both
    is not documented.)"""
    key = typed({"pk": unique()})
    database.client.put_item(TableName=database.plain, Item={**key, "n": {"N": left}})
    before = database.client.get_item(TableName=database.plain, Key=key, ConsistentRead=True)["Item"]
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=key,
        UpdateExpression="SET n = n + :v",
        ExpressionAttributeValues={":v": {"N": right}},
    )
    after = database.client.get_item(TableName=database.plain, Key=key, ConsistentRead=True)["Item"]
    assert after == before
    assert refused is None or refused.code == VALIDATION


EQUAL = [("1", "1.0"), ("100", "1E2"), ("0", "-0"), ("0.10", "1E-1"), (NINES, f"{NINES}.0")]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_a_number_is_its_value(database: Database, one: str, other: str) -> None:
    """Not its text: in conditions, in sets, as a key."""
    table, pk = database.numbered, unique()
    key = {"pk": {"S": pk}, "sk": {"N": one}}
    database.client.put_item(TableName=table, Item={**key, "n": {"N": one}, "s": {"NS": [one, "7"]}})
    same = {"pk": {"S": pk}, "sk": {"N": other}}
    refused = database.refusal(
        "put_item",
        TableName=table,
        Item={**same, "n": {"N": other}, "s": {"NS": ["7", other]}},
        ConditionExpression="n = :v AND contains(s, :v) AND n IN (:v) AND sk = :v AND s = :s AND NOT n < :v",
        ExpressionAttributeValues={":v": {"N": other}, ":s": {"NS": ["7.00", other]}},
    )
    assert refused is None
    answer = database.query(table, "pk = :p", {"p": pk}, ConsistentRead=True)
    assert answer["Count"] == 1
    duplicates = {**key, "s": {"NS": [one, other]}}
    refused = database.refusal("put_item", TableName=table, Item=duplicates)
    assert refused is not None and "contains duplicates" in refused.message


def test_order_of_numbers_beyond_floats(database: Database) -> None:
    """38 digits count, in keys and in conditions."""
    table, pk = database.numbered, unique()
    texts = [f"-{NINES}", f"-{NINES[:-1]}8", "-1E-130", "0", "1E-130", "2E-130", f"{NINES[:-1]}8", NINES, "1E125"]
    for text in reversed(texts):
        database.client.put_item(TableName=table, Item={"pk": {"S": pk}, "sk": {"N": text}, "t": {"S": text}})
    answer = database.query(table, "pk = :p", {"p": pk}, ConsistentRead=True)
    assert [item["t"]["S"] for item in answer["Items"]] == texts
    for number, text in enumerate(texts):
        answer = database.client.query(
            TableName=table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :p AND sk > :v",
            ExpressionAttributeValues={":p": {"S": pk}, ":v": {"N": text}},
        )
        assert [item["t"]["S"] for item in answer["Items"]] == texts[number + 1 :]
