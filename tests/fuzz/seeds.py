"""What fuzzing begins with: the bodies and the expressions that other tests send."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from router.http_json import ITEM_OPERATIONS, TABLE_OPERATIONS
from server.expressions.condition_parser import ConditionParser
from server.expressions.parser import ExpressionError
from server.expressions.projection_parser import ProjectionParser
from server.expressions.update_parser import UpdateParser
from server.model.item import Item

TESTS = Path(__file__).parent.parent
SOURCES = ("conformance", "router/requests", "server/expressions")
BODIES_MAX = 800
TEXTS_MAX = 300

PIECES = (
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"(", b")", b"\\u0000", b"\xff", b"\0", b"null", b"1e999", b"-1"),
    *(b"#a", b":v", b" AND ", b" OR ", b"NOT ", b"SET ", b"size(", b"list_append(", b"a[0]", b".a", b"=", b"{}"),
    *(b'{"S":"a"}', b'{"N":"1"}', b'{"L":[]}', b'{"SS":["a","a"]}', b"\r\n", b"\r\n\r\n", b": ", b"AWS4-HMAC-SHA256 "),
)
"""What inputs are made of."""

_METHODS = {
    "put_item": "PutItem",
    "get_item": "GetItem",
    "update_item": "UpdateItem",
    "delete_item": "DeleteItem",
    "query": "Query",
    "scan": "Scan",
    "batch_get_item": "BatchGetItem",
    "batch_write_item": "BatchWriteItem",
    "transact_get_items": "TransactGetItems",
    "transact_write_items": "TransactWriteItems",
}
_OPERATIONS = {operation.name for operation in (*ITEM_OPERATIONS.values(), *TABLE_OPERATIONS.values())}
_NO_TABLE = frozenset({"BatchGetItem", "BatchWriteItem", "TransactGetItems", "TransactWriteItems"})


KEY: Item = {"pk": {"S": "a"}, "sk": {"N": "1"}}
VALUES: Item = {
    ":v": {"S": "a"},
    ":w": {"S": "b"},
    ":a": {"N": "1"},
    ":n": {"N": "2"},
    ":s": {"SS": ["a", "b"]},
    ":l": {"L": [{"SS": ["y", "x"]}, {"N": "1"}]},
    ":m": {"M": {"a": {"NULL": True}}},
    ":b": {"B": "AA=="},
    ":t": {"S": "SS"},
}
_LIKELY: dict[str, Any] = {
    "Key": KEY,
    "Item": KEY,
    "ExclusiveStartKey": KEY,
    "ExpressionAttributeNames": {"#a": "a"},
    "ExpressionAttributeValues": {":v": {"S": "a"}},
    "Limit": 1,
    "ConsistentRead": True,
    "Expected": {"a": {"Exists": False}},
    "ScanFilter": {"a": {"ComparisonOperator": "NULL"}},
    "KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}},
}


class _UnknownError(Exception):
    """It can only be known by running the test."""


def _value(node: ast.expr, member: str = "") -> Any:
    """What a literal is; what only a run could tell in it stands for something that a member of a body may be."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        pairs = [
            (str(_value(key)), value) for key, value in zip(node.keys, node.values, strict=True) if key is not None
        ]
        return {key: _value(value, key) for key, value in pairs}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.expr):
        return _LIKELY.get(member, "music")
    raise _UnknownError


def _used(text: str) -> dict[str, Any]:
    """The names and values that an expression has."""
    names = {name: name[1:] for name in re.findall(r"#\w+", text)}
    values = {name: VALUES.get(name, {"S": "a"}) for name in re.findall(r":\w+", text)}
    return ({"ExpressionAttributeNames": names} if names else {}) | (
        {"ExpressionAttributeValues": values} if values else {}
    )


def _with_texts() -> Iterator[tuple[str, dict[str, Any]]]:
    """Bodies with the expressions that there are."""
    for text in texts():
        for parser, operation, member in (
            (ConditionParser, "Scan", "FilterExpression"),
            (ConditionParser, "PutItem", "ConditionExpression"),
            (UpdateParser, "UpdateItem", "UpdateExpression"),
            (ProjectionParser, "GetItem", "ProjectionExpression"),
        ):
            try:
                parser(text).parse()
            except ExpressionError:
                continue
            at = {"Scan": {}, "PutItem": {"Item": {**KEY, "n": {"N": "5"}, "a": {"S": "x"}}}}.get(
                operation, {"Key": KEY}
            )
            yield operation, {"TableName": "music", **at, member: text, **_used(text)}


def _trees() -> Iterator[ast.AST]:
    for folder in SOURCES:
        for path in sorted((TESTS / folder).glob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def _guess(body: dict[str, Any]) -> str:
    """The operation that a body is probably of."""
    for member, operation in (
        ("Item", "PutItem"),
        ("AttributeDefinitions", "CreateTable"),
        ("UpdateExpression", "UpdateItem"),
        ("AttributeUpdates", "UpdateItem"),
        ("KeyConditionExpression", "Query"),
        ("KeyConditions", "Query"),
        ("Expected", "DeleteItem"),
        ("Key", "GetItem"),
        ("ResourceArn", "TagResource"),
        ("TimeToLiveSpecification", "UpdateTimeToLive"),
    ):
        if member in body:
            return operation
    if "RequestItems" in body:
        return "BatchGetItem" if "Keys" in str(body) else "BatchWriteItem"
    if "TransactItems" in body:
        return "TransactGetItems" if "Get" in str(body) else "TransactWriteItems"
    return "Scan" if "TableName" in body else ""


def _called(node: ast.Call) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a call of boto3's, or of a door, sends."""
    function = node.func
    method = _METHODS.get(function.attr, "") if isinstance(function, ast.Attribute) else ""
    if method and node.keywords and all(keyword.arg for keyword in node.keywords):
        body = {} if method in _NO_TABLE else {"TableName": "music"}
        yield method, body | {str(keyword.arg): _value(keyword.value, str(keyword.arg)) for keyword in node.keywords}
    if len(node.args) >= 2 and isinstance(node.args[1], ast.Dict) and isinstance(node.args[0], ast.Constant):
        yield str(node.args[0].value), _value(node.args[1])


@cache
def bodies() -> tuple[tuple[str, bytes], ...]:
    """(operation, body)."""
    found: dict[tuple[str, bytes], None] = {}
    for tree in _trees():
        for node in ast.walk(tree):
            try:
                several = list(_called(node)) if isinstance(node, ast.Call) else []
                if isinstance(node, ast.Dict):
                    body = _value(node)
                    several.append((_guess(body), body))
                for operation, body in several:
                    if operation in _OPERATIONS:
                        found[operation, orjson.dumps(body, default=str)] = None
            except (_UnknownError, TypeError):
                continue
    for operation, body in _with_texts():
        found[operation, orjson.dumps(body)] = None
    return tuple(sorted(found, key=lambda each: len(each[1])))[:BODIES_MAX]


def _is_expression(text: str) -> bool:
    if text.isidentifier() or not 3 <= len(text) < 200:
        return False
    for parser in (ConditionParser, UpdateParser, ProjectionParser):
        try:
            parser(text).parse()
        except ExpressionError:
            continue
        return True
    return False


@cache
def texts() -> tuple[str, ...]:
    """What is an expression."""
    found: dict[str, None] = {}
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_expression(node.value):
                found[node.value] = None
    return tuple(sorted(found, key=len))[-TEXTS_MAX:]
