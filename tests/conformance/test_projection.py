"""Projections: which parts of an item come back, by every operation that reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.database import Database, Native, invalid, native, natives, placeholders, typed, unique

pytestmark = pytest.mark.cluster

BODY: dict[str, Native] = {
    "a": {"b": [2, 4, {"x": "hi", "y": "yo"}], "c": 5},
    "l": [[0, 1], {"k": "v"}, "two", "three"],
    "s": {"x", "y"},
    "a.b": "a dot",
    "plain": "text",
    "nothing": None,
}

PROJECTIONS: list[tuple[str, dict[str, str], dict[str, Native]]] = [
    ("plain", {}, {"plain": "text"}),
    ("plain, nothing", {}, {"plain": "text", "nothing": None}),
    (" plain ,\n\tnothing ", {}, {"plain": "text", "nothing": None}),
    ("#n", {"#n": "plain"}, {"plain": "text"}),
    ("absent", {}, {}),
    ("absent, plain", {}, {"plain": "text"}),
    ("pk", {}, {"pk": ...}),
    ("pk, sk, plain", {}, {"pk": ..., "sk": ..., "plain": "text"}),
    ("s", {}, {"s": {"x", "y"}}),
    ("a.c", {}, {"a": {"c": 5}}),
    ("a.b", {}, {"a": {"b": [2, 4, {"x": "hi", "y": "yo"}]}}),
    ("#d", {"#d": "a.b"}, {"a.b": "a dot"}),
    ("#a.#b", {"#a": "a", "#b": "c"}, {"a": {"c": 5}}),
    ("a.b[0]", {}, {"a": {"b": [2]}}),
    ("a.b[2]", {}, {"a": {"b": [{"x": "hi", "y": "yo"}]}}),
    ("a.b[2].y", {}, {"a": {"b": [{"y": "yo"}]}}),
    ("a.b[0], a.b[1]", {}, {"a": {"b": [2, 4]}}),
    ("a.b[1], a.b[0]", {}, {"a": {"b": [2, 4]}}),
    ("a.b[2].x, a.b[0], a.c", {}, {"a": {"b": [2, {"x": "hi"}], "c": 5}}),
    ("a.b[2].x, a.b[2].y", {}, {"a": {"b": [{"x": "hi", "y": "yo"}]}}),
    ("l[3], l[1]", {}, {"l": [{"k": "v"}, "three"]}),
    ("l[0][1]", {}, {"l": [[1]]}),
    ("l[0][1], l[2]", {}, {"l": [[1], "two"]}),
    ("l[9]", {}, {}),
    ("l[9], l[2]", {}, {"l": ["two"]}),
    ("a.x", {}, {}),
    ("a.x.y", {}, {}),
    ("a.b.x", {}, {}),
    ("a[0]", {}, {}),
    ("a.b[0].x", {}, {}),
    ("a.b[0][0]", {}, {}),
    ("plain.x", {}, {}),
    ("s[0]", {}, {}),
    ("a.x, a.b[0], x, a.b[3].x", {}, {"a": {"b": [2]}}),
]


@pytest.fixture(scope="module")
def item(database: Database) -> dict[str, Native]:
    stored = {"pk": unique("projection"), "sk": "only", **BODY}
    database.put(database.sorted, stored)
    return stored


@pytest.mark.parametrize(("expression", "names", "expected"), PROJECTIONS, ids=[each[0] for each in PROJECTIONS])
def test_what_comes_back(
    database: Database,
    item: dict[str, Native],
    expression: str,
    names: dict[str, str],
    expected: dict[str, Native],
) -> None:
    """The same from GetItem, BatchGetItem and Query; an item that is there comes back even if it is empty."""
    expected = {name: item[name] if value is ... else value for name, value in expected.items()}
    parameters: dict[str, Any] = {"ProjectionExpression": expression, "ConsistentRead": True}
    if names:
        parameters["ExpressionAttributeNames"] = names
    key = typed({"pk": item["pk"], "sk": item["sk"]})
    answer = database.client.get_item(TableName=database.sorted, Key=key, **parameters)
    assert native(answer["Item"]) == expected
    batch = database.client.batch_get_item(RequestItems={database.sorted: {"Keys": [key], **parameters}})
    assert natives(batch["Responses"][database.sorted]) == [expected]
    answer = database.query(database.sorted, "pk = :p", {"p": item["pk"]}, **parameters)
    assert natives(answer["Items"]) == [expected]


def test_an_item_that_is_not_there(database: Database) -> None:
    """No member Item."""
    answer = database.client.get_item(
        TableName=database.sorted, Key=typed({"pk": unique(), "sk": "a"}), ProjectionExpression="a.b"
    )
    assert "Item" not in answer


OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
CONFLICT = "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("", {}, "The expression can not be empty;"),
    ("a, a", {}, OVERLAP + "[a], path two: [a]"),
    ("a, #a", {"#a": "a"}, OVERLAP + "[a], path two: [a]"),
    ("#x, #y", {"#x": "a", "#y": "a"}, OVERLAP + "[a], path two: [a]"),
    ("a, a.b", {}, OVERLAP + "[a], path two: [a, b]"),
    ("a.b, a", {}, OVERLAP + "[a, b], path two: [a]"),
    ("a.b, a.b[2]", {}, OVERLAP + "[a, b], path two: [a, b, [2]]"),
    ("c, a[1], b, a[1].x", {}, OVERLAP + "[a, [1]], path two: [a, [1], x]"),
    ("a.b, a[1]", {}, CONFLICT + "[a, b], path two: [a, [1]]"),
    ("#a", {"#b": "a"}, "An expression attribute name used in the document path is not defined; attribute name: #a"),
    ("name", {}, "Attribute name is a reserved keyword; reserved keyword: name"),
    ("a.name", {}, "Attribute name is a reserved keyword; reserved keyword: name"),
    ("a b", {}, 'Syntax error; token: "b", near: "a b"'),
    ("!!! INVALID", {}, 'Syntax error; token: "!", near: "!!"'),
    ("a,", {}, 'Syntax error; token: "<EOF>", near: ","'),
]


@pytest.mark.parametrize(("expression", "names", "message"), REFUSED, ids=[each[0] for each in REFUSED])
def test_what_is_refused(database: Database, expression: str, names: dict[str, str], message: str) -> None:
    """By every operation, in the same words; whether there is an item or not."""
    parameters: dict[str, Any] = {"ProjectionExpression": expression}
    if names:
        parameters["ExpressionAttributeNames"] = names
    key = typed({"pk": "a", "sk": "b"})
    expected = invalid("Invalid ProjectionExpression: " + message)
    assert database.refusal("get_item", TableName=database.sorted, Key=key, **parameters) == expected
    batch = {database.sorted: {"Keys": [key], **parameters}}
    assert database.refusal("batch_get_item", RequestItems=batch) == expected
    assert database.refusal("scan", TableName=database.sorted, **parameters) == expected
    query: dict[str, Any] = {"KeyConditionExpression": "pk = :p", **placeholders({"p": "a"}), **parameters}
    assert database.refusal("query", TableName=database.sorted, **query) == expected


NO_PATHS = [
    "a.",
    ".a",
    "a[",
    "a[]",
    "a[b]",
    "a[-1]",
    "a[1.5]",
    "a[:v]",
    "a,,b",
    ",a",
    "a;b",
    "_a",
    "1a",
    "a-b",
    "a..b",
    ":v",
]


@pytest.mark.parametrize("expression", NO_PATHS)
def test_what_is_no_path(database: Database, expression: str) -> None:
    """A syntax error."""
    refused = database.refusal(
        "get_item", TableName=database.plain, Key=typed({"pk": "a"}), ProjectionExpression=expression
    )
    assert refused is not None
    assert refused.message.startswith("Invalid ProjectionExpression: Syntax error; token: ")


def test_a_key_has_no_parts(database: Database) -> None:
    """Keys are scalars: a path into one is an error."""
    refused = database.refusal(
        "get_item", TableName=database.plain, Key=typed({"pk": "a"}), ProjectionExpression="pk.x"
    )
    assert refused == invalid(
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk"
    )
