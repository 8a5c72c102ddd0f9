"""Which items a Query reads."""

from __future__ import annotations

import pytest

from server.expressions.expression import parse_condition
from server.expressions.key_condition import KeyCondition, SortCondition, key_condition
from server.expressions.placeholders import Placeholders
from server.model.errors import ValidationError
from server.model.item import Item

VALUES: Item = {":p": {"S": "p"}, ":s": {"N": "1"}, ":t": {"N": "2"}, ":x": {"S": "x"}}
P, S, T, X = VALUES.values()


def parsed(text: str, sort_key: str | None = "sk") -> KeyCondition:
    condition = parse_condition(text, Placeholders({"#p": "pk", "#s": "sk"}, VALUES), "KeyConditionExpression")
    return key_condition(condition, ["pk"], [sort_key] if sort_key is not None else [])


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("pk = :p", None),
        ("(#p = :p)", None),
        (":p = pk", None),
        ("pk = :p AND sk = :s", SortCondition("=", (S,))),
        ("sk < :s AND pk = :p", SortCondition("<", (S,))),
        ("pk = :p AND sk <= :s", SortCondition("<=", (S,))),
        ("pk = :p AND sk > :s", SortCondition(">", (S,))),
        ("pk = :p AND (#s >= :s)", SortCondition(">=", (S,))),
        ("pk = :p AND :s > sk", SortCondition("<", (S,))),
        ("pk = :p AND :s >= sk", SortCondition("<=", (S,))),
        ("pk = :p AND :s < sk", SortCondition(">", (S,))),
        ("pk = :p AND :s <= sk", SortCondition(">=", (S,))),
        ("pk = :p AND :s = sk", SortCondition("=", (S,))),
        ("pk = :p AND sk BETWEEN :s AND :t", SortCondition("BETWEEN", (S, T))),
        ("(pk = :p AND begins_with(sk, :x))", SortCondition("begins_with", (X,))),
        ("(pk = :p) AND (sk = :s)", SortCondition("=", (S,))),
    ],
)
def test_what_is_read(text: str, sort: SortCondition | None) -> None:
    """The partition key's value, and what holds of the sort key."""
    assert parsed(text) == KeyCondition((P,), (sort,) if sort is not None else ())


MISSED = "Query condition missed key schema element: "
INVALID = "Invalid condition in KeyConditionExpression: "
OPERATOR = "Invalid operator used in KeyConditionExpression: "
NOT_SUPPORTED = "Query key condition not supported"
NESTED = "KeyConditionExpressions cannot contain nested operations"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sk = :s", MISSED + "pk"),
        ("extra = :s", MISSED + "pk"),
        ("pk = :p AND extra = :s", MISSED + "sk"),
        ("extra = :s AND sk = :s", MISSED + "pk"),
        ("pk < :p", NOT_SUPPORTED),
        ("begins_with(pk, :p)", NOT_SUPPORTED),
        ("pk BETWEEN :p AND :x AND sk = :s", NOT_SUPPORTED),
        ("pk = :p AND pk = :p", "KeyConditionExpressions must only contain one condition per key"),
        ("sk > :s AND pk = :p AND sk < :t", "KeyConditionExpressions must only contain one condition per key"),
        ("pk = :p AND sk = :s AND extra = :x", "Conditions can be of length 1 or 2 only"),
        ("pk = :p OR sk = :s", OPERATOR + "OR"),
        ("NOT pk = :p", OPERATOR + "NOT"),
        ("pk = :p AND sk IN (:s, :t)", OPERATOR + "IN"),
        ("pk <> :p", OPERATOR + "<>"),
        ("attribute_exists(pk)", OPERATOR + "attribute_exists"),
        ("attribute_not_exists(pk)", OPERATOR + "attribute_not_exists"),
        ("contains(pk, :p)", OPERATOR + "contains"),
        ("pk = :p AND size(sk) = :s", NESTED),
        ("pk = :p AND :s < size(sk)", NESTED),
        ("pk = :p AND sk BETWEEN :s AND size(sk)", NESTED),
        ("pk = sk", INVALID + "Multiple attribute names used in one condition"),
        ("pk = :p AND sk BETWEEN :s AND extra", INVALID + "Multiple attribute names used in one condition"),
        (":p = :x", INVALID + "No key attribute specified"),
        (
            "pk = :p AND :s BETWEEN sk AND :t",
            INVALID + "BETWEEN operator must have the key attribute as its first operand",
        ),
        ("begins_with(:x, pk)", INVALID + "begins_with operator must have the key attribute as its first operand"),
        ("pk.x = :p", "KeyConditionExpressions cannot have conditions on nested attributes"),
        ("pk = :p AND begins_with(sk[0], :x)", "KeyConditionExpressions cannot have conditions on nested attributes"),
        (":p = pk.x", "KeyConditionExpressions cannot have conditions on nested attributes"),
    ],
)
def test_what_a_query_cannot_read(text: str, message: str) -> None:
    """With a sort key in the schema."""
    with pytest.raises(ValidationError) as raised:
        parsed(text)
    assert raised.value.message == message


def test_without_a_sort_key() -> None:
    """There is one condition at most."""
    assert parsed("pk = :p", None) == KeyCondition((P,), ())
    for text in ("pk = :p AND sk = :s", "sk = :s AND extra = :s"):
        with pytest.raises(ValidationError, match=NOT_SUPPORTED):
            parsed(text, None)


def of_many(text: str) -> KeyCondition:
    condition = parse_condition(text, Placeholders(None, VALUES), "KeyConditionExpression")
    return key_condition(condition, ["k1", "k2"], ["o1", "o2", "o3"])


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("k1 = :p AND k2 = :s", ()),
        ("k2 = :s AND o1 > :t AND k1 = :p", (SortCondition(">", (T,)),)),
        ("o2 < :t AND k1 = :p AND k2 = :s AND o1 = :x", (SortCondition("=", (X,)), SortCondition("<", (T,)))),
        (
            "k1 = :p AND k2 = :s AND o1 = :x AND o2 = :t AND o3 BETWEEN :s AND :t",
            (SortCondition("=", (X,)), SortCondition("=", (T,)), SortCondition("BETWEEN", (S, T))),
        ),
    ],
)
def test_a_key_of_several_attributes(text: str, sort: tuple[SortCondition, ...]) -> None:
    """All that are hashed, and the first few of those that order; only the last of them by something else than =."""
    assert of_many(text) == KeyCondition((P, S), sort)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k1 = :p", MISSED + "k2"),
        ("k2 = :s AND o1 = :t", MISSED + "k1"),
        ("k1 = :p AND k2 > :s", NOT_SUPPORTED),
        ("k1 = :p AND k2 = :s AND o2 = :t", MISSED + "o1"),
        ("k1 = :p AND k2 = :s AND o1 = :t AND o3 = :t", MISSED + "o2"),
        ("k1 = :p AND k2 = :s AND extra = :t", MISSED + "o1"),
        ("k1 = :p AND k2 = :s AND o1 > :t AND o2 = :t", NOT_SUPPORTED),
        (
            "k1 = :p AND k2 = :s AND o1 = :t AND o2 = :t AND o3 = :t AND o4 = :x",
            "Conditions can be of length 1 or 2 only",
        ),
    ],
)
def test_what_a_key_of_several_attributes_cannot_do(text: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        of_many(text)
    assert raised.value.message == message
