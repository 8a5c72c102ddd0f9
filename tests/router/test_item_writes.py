"""router/item_writes.py: what the writes of a batch consumed together."""

from __future__ import annotations

from typing import Any

import pytest

from router.item_writes import sum_capacity, write_call
from router.requests import put_item, update_item
from router.results import Capacity
from server.model.errors import ValidationError
from tests.router.fakes import TABLE
from tests.router.test_global_indexes import MANY, PLAIN, table


def test_the_capacity_of_several_writes_is_summed() -> None:
    """By table and by index, also where some of them concern no index, or another one."""
    consumed = [
        Capacity("a", 3.0, 1.0, {"one": 2.0}),
        Capacity("b", 1.0, 1.0),
        Capacity("a", 1.0, 1.0),
        Capacity("a", 4.0, 1.0, {"one": 1.0, "two": 2.0}),
        Capacity("b", 1.0, 1.0),
    ]
    assert sum_capacity(consumed) == [Capacity("a", 8.0, 3.0, {"one": 3.0, "two": 2.0}), Capacity("b", 2.0, 2.0)]
    assert sum_capacity([Capacity("a", 1.0), Capacity("a", 2.0)]) == [Capacity("a", 3.0)]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"k1": {"N": "1"}}, "Type mismatch for Index Key k1 Expected: S Actual: N IndexName: plain"),
        ({"k2": {"S": ""}}, "empty string value. IndexName: many, IndexKey: k2"),
        ({"o1": {"S": "o" * 1025}}, "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
    ],
)
def test_what_cannot_be_a_key_in_a_global_index_is_not_sent(attributes: dict[str, Any], message: str) -> None:
    """Any part of any index's key; a storage node would refuse it as well."""
    known, key = table(PLAIN, MANY), {"pk": {"S": "p"}, "sk": {"S": "s"}}
    good = put_item.from_body({"TableName": TABLE, "Item": {**key, "k1": {"S": "x"}, "o2": {"N": "1"}}}, is_json=True)
    assert write_call(good, known, 9.0, b"t" * 16, lambda result, error: None).table is known
    bad = put_item.from_body({"TableName": TABLE, "Item": {**key, **attributes}}, is_json=True)
    with pytest.raises(ValidationError, match=message):
        write_call(bad, known, 9.0, b"t" * 16, lambda result, error: None)


def test_nothing_inside_a_global_indexs_key_can_be_updated() -> None:
    """It is a scalar."""
    body = {
        "TableName": TABLE,
        "Key": {"pk": {"S": "p"}, "sk": {"S": "s"}},
        "UpdateExpression": "SET o1.x = :x",
        "ExpressionAttributeValues": {":x": {"S": "x"}},
    }
    with pytest.raises(ValidationError, match=r"Key attributes must be scalars.+IndexKey: o1"):
        write_call(update_item.from_body(body, is_json=True), table(MANY), 9.0, b"t" * 16, lambda result, error: None)


@pytest.mark.parametrize(
    ("expression", "value", "message"),
    [
        ("SET k1 = :v", {"N": "1"}, "Type mismatch for Index Key k1 Expected: S Actual: N IndexName: plain"),
        ("SET k1.a = :v", {"N": "1"}, "list random access '[]' and map lookup '.' are not allowed: IndexKey: k1"),
        ("SET a = :v, k2 = :v", {"L": []}, "Type mismatch for Index Key k2 Expected: S Actual: L IndexName: many"),
        (
            "SET k1 = :v",
            {"S": ""},
            "The update expression attempted to update a secondary index key to a value that is not supported. The "
            "AttributeValue for a key attribute cannot contain an empty string value.",
        ),
        (
            "SET o1 = :v",
            {"S": "o" * 1025},
            "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
        ),
    ],
)
def test_what_an_update_gives_an_index_for_a_key_is_not_sent(expression: str, value: Any, message: str) -> None:
    """Where the request itself has it; what comes of other attributes, a storage node looks at."""
    body = {"TableName": TABLE, "Key": {"pk": {"S": "p"}, "sk": {"S": "s"}}, "UpdateExpression": expression}
    bad = update_item.from_body({**body, "ExpressionAttributeValues": {":v": value}}, is_json=True)
    with pytest.raises(ValidationError) as raised:
        write_call(bad, table(PLAIN, MANY), 9.0, b"t" * 16, lambda result, error: None)
    assert raised.value.message.endswith(message)
    for good in ("SET k1 = k2", "SET k1 = if_not_exists(k1, :v)", "SET a.k1 = :v", "SET a = :v"):
        given = {} if good == "SET k1 = k2" else {"ExpressionAttributeValues": {":v": value}}
        request = update_item.from_body({**body, "UpdateExpression": good, **given}, is_json=True)
        assert write_call(request, table(PLAIN, MANY), 9.0, b"t" * 16, lambda result, error: None).item
    nothing = update_item.from_body({"TableName": TABLE, "Key": body["Key"]}, is_json=True)
    assert write_call(nothing, table(PLAIN), 9.0, b"t" * 16, lambda result, error: None).item
