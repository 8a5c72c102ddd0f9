"""A body's members: present, of the right type, and nothing ignored in silence."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests.members import check_members, member, required
from server.model.errors import SerializationError, ValidationError

SUPPORTED = frozenset({"TableName", "Key"})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"TableName": "music", "Key": {}},
        {"TableName": "music", "AttributesToGet": None},
        {"ReturnValues": "NONE", "ReturnConsumedCapacity": "NONE"},
        {"ReturnItemCollectionMetrics": "NONE", "ReturnValuesOnConditionCheckFailure": "NONE"},
    ],
)
def test_what_asks_for_nothing_more_is_accepted(body: dict[str, Any]) -> None:
    """Supported members, absent ones, and those whose value is what happens anyway."""
    check_members(body, "GetItem", SUPPORTED)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"ProjectionExpression": "a"}, "The parameter ProjectionExpression of GetItem is not supported yet"),
        ({"AttributesToGet": []}, "The parameter AttributesToGet of GetItem is not supported yet"),
        (
            {"TableName": "music", "ReturnValues": "ALL_OLD"},
            "The parameter ReturnValues with the value ALL_OLD of GetItem is not supported yet",
        ),
        (
            {"ReturnConsumedCapacity": "TOTAL"},
            "The parameter ReturnConsumedCapacity with the value TOTAL of GetItem is not supported yet",
        ),
        ({"tablename": "music"}, "The parameter tablename of GetItem is not supported yet"),
    ],
)
def test_what_is_not_supported_is_named(body: dict[str, Any], message: str) -> None:
    """A member that would have to be ignored is refused, by its name and with its value where that decides."""
    with pytest.raises(ValidationError) as raised:
        check_members(body, "GetItem", SUPPORTED)
    assert raised.value.message == message


VALUES: dict[type, Any] = {str: "music", bool: True, int: 7, dict: {"a": 1}, list: [1]}
NAMES = {str: "a string", bool: "a boolean", int: "an integer", dict: "a map", list: "a list"}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("given", [*VALUES, float])
def test_a_member_is_of_its_type(kind: type, given: type) -> None:
    """Each type is taken for itself alone: a boolean is not an integer, nor an integer a boolean."""
    body = {"Member": VALUES.get(given, 1.5)}
    if given is kind:
        assert member(body, "Member", kind) == VALUES[kind] == required(body, "Member", kind)
        return
    for read in (member, required):
        with pytest.raises(SerializationError) as raised:
            read(body, "Member", kind)
        assert raised.value.message == f"Member must be {NAMES[kind]}"


@pytest.mark.parametrize("body", [{}, {"TableName": None}])
def test_an_absent_member(body: dict[str, Any]) -> None:
    """Is None where it may be absent; where it may not, the error names it as AWS does, in lower camel case."""
    assert member(body, "TableName", str) is None
    with pytest.raises(ValidationError) as raised:
        required(body, "TableName", str)
    assert raised.value.message == (
        "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null"
    )


def test_a_false_or_empty_member_is_not_absent() -> None:
    """What is falsy has been given."""
    assert required({"Member": ""}, "Member", str) == ""
    assert required({"Member": 0}, "Member", int) == 0
    assert required({"Member": False}, "Member", bool) is False
    assert required({"Member": {}}, "Member", dict) == {}
