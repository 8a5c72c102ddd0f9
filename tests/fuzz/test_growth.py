"""How time grows with size, for inputs that are made to be slow: with the size, and not with its square."""

from __future__ import annotations

import gc
import gzip
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from router.http_door import _parse
from router.http_json import ITEM_OPERATIONS, TABLE_OPERATIONS, TARGET_PREFIX
from router.http_responses import unpack
from router.signature.claim import read_claim
from server.expressions.codec import decode, encode
from server.expressions.compiled import compiled_condition, compiled_update
from server.expressions.expression import parse_condition, parse_update
from server.expressions.placeholders import Placeholders
from server.model.errors import StatorError
from server.model.item import Item
from tests.fuzz.door_targets import http
from tests.router.signature.signing import NOW_S, signed, with_headers
from tests.router.test_http_door import call

GROWTH = 4
GROWTH_S_MAX = 10
"""Times as long for GROWTH times as much: linear has 4, quadratic 16."""

NOISE_S = 0.003
KEY = {"pk": {"S": "a"}}

Family = Callable[[int], Callable[[], object]]


def seconds(run: Callable[[], object]) -> float:
    """Processor time of the fastest of several runs, without the garbage collector's, which is everybody's; a refusal
    takes time as well."""
    best = float("inf")
    gc.disable()
    try:
        for _ in range(4):
            began_s = time.thread_time()
            try:
                run()
            except StatorError:
                pass
            best = min(best, time.thread_time() - began_s)
    finally:
        gc.enable()
    return best


def body(operation: str, **members: Any) -> Callable[[], object]:
    """Reads a body from its bytes."""
    has_tables = "RequestItems" in members or "TransactItems" in members
    data = orjson.dumps(members if has_tables else {"TableName": "music", **members})
    target = TARGET_PREFIX + operation.encode()
    read = (ITEM_OPERATIONS.get(target) or TABLE_OPERATIONS[target]).read
    return lambda: read(_parse(data))


def raw(operation: str, data: bytes) -> Callable[[], object]:
    return lambda: ITEM_OPERATIONS[TARGET_PREFIX + operation.encode()].read(_parse(data))


def condition(text: str) -> Callable[[], object]:
    """Text to tree, bytes, and tree again. It is too long to be kept."""
    padded = text + " " * (4096 - len(text))
    assert len(padded) == 4096

    def run() -> None:
        decode(encode(parse_condition(padded, Placeholders(None, {":v": {"S": ""}})).tree))

    return run


def update(text: str) -> Callable[[], object]:
    padded = text + " " * (4096 - len(text))
    assert len(padded) == 4096

    def run() -> None:
        decode(encode(parse_update(padded, Placeholders(None, {":v": {"S": ""}})).tree))

    return run


def nested(levels: int, inner: str, outer: str) -> str:
    """`outer` so often round `inner`, which stands where it has a bar."""
    before, _, behind = outer.partition("|")
    return before * levels + inner + behind * levels


def _doubled(levels: int) -> bytes:
    value = b'{"S":"a"}'
    for _ in range(levels):
        value = b'{"L":[' + value + b'],"M":{"a":' + value + b"}}"
    return value


def _in(count: int) -> dict[str, Any]:
    return {"ComparisonOperator": "IN", "AttributeValueList": [{"S": "a"}] * count}


def _unpacking(size: int) -> Callable[[], object]:
    data = gzip.compress(bytes(size))
    return lambda: unpack(data)


def _sending(data: bytes) -> Callable[[], object]:
    return lambda: http(b"\0" + data)


def _claiming(authorization: bytes) -> Callable[[], object]:
    request = with_headers(signed(), {b"authorization": authorization})
    return lambda: read_claim(request, NOW_S)


TEXTS: dict[str, tuple[int, Family]] = {
    "parentheses": (500, lambda n: condition("(" * n + "a=:v" + ")" * (n - 1))),
    "calls that do not end": (150, lambda n: condition("(size(" * n)),
    "groups round operands": (35, lambda n: condition(" AND ".join(["((a)=(:v))"] * n))),
    "NOT": (74, lambda n: condition("NOT (" * n + "a=:v" + ")" * n)),
    "AND, OR": (37, lambda n: condition("(a=:v OR " * n + "a=:v" + ")" * n)),
    "IN": (400, lambda n: condition("a IN (" + ",".join(["b"] * n) + ")")),
    "steps": (450, lambda n: condition("a" + ".a" * n + "=:v")),
    "indexes": (300, lambda n: condition("a" + "[0]" * n + "=:v")),
    "a long index": (1000, lambda n: condition("a[" + "9" * n + "]=:v")),
    "SET": (74, lambda n: update("SET " + ",".join(f"a{number}=:v" for number in range(n)))),
    "SET that does not end": (150, lambda n: update("SET " + ",".join(["a=(b"] * n))),
    "calls": (55, lambda n: update("SET a=" + nested(n, "a", "if_not_exists(x,|)"))),
    "conflicts": (80, lambda n: update("REMOVE a[0]," + ",".join(f"a.b{number}" for number in range(n)))),
}

BODIES: dict[str, tuple[int, Family]] = {
    "brackets": (100_000, lambda n: raw("PutItem", b"[" * n)),
    "unknown members": (20_000, lambda n: body("GetItem", Key=KEY, **{f"x{number}": 1 for number in range(n)})),
    "names": (
        5_000,
        lambda n: body(
            "Scan",
            ProjectionExpression="#a0",
            ExpressionAttributeNames={f"#a{number}": "x" for number in range(n)},
        ),
    ),
    "values": (
        5_000,
        lambda n: body(
            "Scan",
            FilterExpression="a=:a0",
            ExpressionAttributeValues={f":a{number}": {"S": ""} for number in range(n)},
        ),
    ),
    "elements": (20_000, lambda n: body("PutItem", Item={**KEY, "l": {"L": [{"S": ""}] * n}})),
    "nested elements": (10_000, lambda n: body("PutItem", Item={**KEY, "l": {"L": [{"L": [{"L": []}]}] * n}})),
    "members that are twice": (10_000, lambda n: body("PutItem", Item={"pk": {"SS": [*map(str, range(n)), "1"]}})),
    "numbers that are the same": (3_000, lambda n: body("PutItem", Item={"pk": {"NS": [*map(str, range(n)), "1.0"]}})),
    "digits": (500_000, lambda n: body("PutItem", Item={"pk": {"N": "1" * n}})),
    "types": (
        13,
        lambda n: raw(
            "PutItem",
            b'{"TableName":"music","Item":{"pk":'
            + _doubled({13: 10, 52: 12}[n])  # four times as many values
            + b"}}",
        ),
    ),
    "Expected": (75, lambda n: body("PutItem", Item=KEY, Expected={f"a{each}": _in(100) for each in range(n)})),
    "AttributeUpdates": (
        2_000,
        lambda n: body("UpdateItem", Key=KEY, AttributeUpdates={f"a{each}": {"Action": "DELETE"} for each in range(n)}),
    ),
    "AttributesToGet": (5_000, lambda n: body("Scan", AttributesToGet=[str(each) for each in range(n)])),
    "keys": (2_000, lambda n: body("BatchGetItem", RequestItems={"music": {"Keys": [KEY] * n}})),
    "tables": (5_000, lambda n: body("BatchWriteItem", RequestItems={f"music{each}": [] for each in range(n)})),
    "members of a transaction": (
        2_000,
        lambda n: body("TransactWriteItems", TransactItems=[{"Delete": {"TableName": "a!", "Key": KEY}}] * n),
    ),
    "writes of a transaction": (
        25,
        lambda n: body(
            "TransactWriteItems",
            TransactItems=[
                {"Put": {"TableName": "music", "Item": {"pk": {"NS": [*map(str, range(500))]}, "n": {"N": str(each)}}}}
                for each in range(n)
            ],
        ),
    ),
    "definitions": (
        2_000,
        lambda n: body(
            "CreateTable",
            AttributeDefinitions=[{"AttributeName": f"a{each}", "AttributeType": "S"} for each in range(n)],
            KeySchema=[{"AttributeName": "a0", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        ),
    ),
    "a table's name": (500_000, lambda n: body("Scan", TableName="arn:" + ":" * n)),
    "gzip": (1_000_000, _unpacking),
    "headers": (1_000, lambda n: _sending(call(b"{}", "Scan", *["X: y"] * n))),
    "a header": (100_000, lambda n: _sending(call(b"{}", "Scan", "X: " + "y" * n))),
    "chunks": (
        2_000,
        lambda n: _sending(
            call().replace(b"Content-Length: 44", b"Transfer-Encoding: chunked")[:-44] + b"1\r\n{\r\n" * n
        ),
    ),
    "requests": (200, lambda n: _sending(call() * n)),
    "Authorization": (5_000, lambda n: _claiming(b"AWS4-HMAC-SHA256 " + b"a=b, " * n)),
    "SignedHeaders": (5_000, lambda n: _claiming(b"AWS4-HMAC-SHA256 SignedHeaders=" + b"x;" * n)),
}


@pytest.mark.parametrize("name", [*TEXTS, *BODIES])
def test_time_grows_with_the_size(name: str) -> None:
    """Of text, of bodies, of what is before a body."""
    size, family = (TEXTS | BODIES)[name]
    small, large = seconds(family(size)), seconds(family(size * GROWTH))
    assert large <= max(small, NOISE_S) * GROWTH_S_MAX, (small, large)


# An item, a condition that looks at it again and again, an update that copies it again and again

ELEMENTS = 20_000
DEEP = 28


def _deep(value: dict[str, Any]) -> dict[str, Any]:
    for _ in range(DEEP):
        value = {"L": [value]}
    return value


def _large(tail: list[str]) -> dict[str, Any]:
    return {"L": [*[{"M": {"a": {"S": str(number)}}} for number in range(ELEMENTS)], {"SS": tail}]}


ITEM: Item = {
    **KEY,
    "l": _large(["a", "b"]),
    "m": {"M": {}},
    "one": _deep(_large(["a", "b"])),
    "two": _deep(_large(["b", "a"])),
    "s": {"SS": [str(number) for number in range(ELEMENTS)]},
    **{f"s{number}": {"SS": ["x"]} for number in range(150)},
}


def _joined(leaf: Callable[[int], str], count: int) -> str:
    return " OR ".join(leaf(number) for number in range(count))


CONDITIONS: dict[str, Callable[[int], tuple[str, Item]]] = {
    "maps in a list": lambda n: (
        _joined(lambda number: f"contains(l,:v{number})", n),
        {f":v{number}": {"M": {"a": {"S": f"x{number}"}}} for number in range(n)},
    ),
    "sets in a list": lambda n: (
        _joined(lambda number: f"contains(l,:v{number})", n),
        {f":v{number}": {"SS": [f"x{number}", "y"]} for number in range(n)},
    ),
    "strings in a set": lambda n: (
        _joined(lambda number: f"contains(s,:v{number})", n),
        {f":v{number}": {"S": f"x{number}"} for number in range(n)},
    ),
    "equality": lambda n: (_joined(lambda number: f"one <> two{' ' * (number % 3)}", n), {}),
    "equality at every depth": lambda n: (
        _joined(lambda number: f"one{'[0]' * (number % DEEP)} <> two{'[0]' * (number % DEEP)}", min(n, 30)),
        {},
    ),
    "IN": lambda n: ("one IN (" + ",".join(["m"] * min(n, 99)) + ",two) AND m = one", {}),
}
UPDATES: dict[str, Callable[[int], tuple[str, Item]]] = {
    "copies": lambda n: ("SET " + ",".join(f"b{number}=l" for number in range(n)), {}),
    "copies into a map": lambda n: ("SET " + ",".join(f"m.b{number}=l" for number in range(n)), {}),
    "list_append": lambda n: ("SET " + ",".join(f"b{number}=list_append(l,l)" for number in range(n)), {}),
    "list_append in itself": lambda n: (
        "SET b=" + nested(n, "l", "list_append(:v,|)"),
        {":v": {"L": []}},
    ),
    "ADD": lambda n: (
        "ADD " + ",".join(f"s{number} :v" for number in range(n)),
        {":v": {"SS": [str(number) for number in range(10 * ELEMENTS)]}},
    ),
    "DELETE": lambda n: (
        "DELETE " + ",".join(f"s{number} :v" for number in range(n)),
        {":v": {"SS": [str(number) for number in range(10 * ELEMENTS)]}},
    ),
}
FEW, MANY = 10, 150
EVALUATION_S_MAX = 0.25


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_take_time_for_the_item_once(name: str) -> None:
    """Fifteen times as many comparisons with the same large values are little more."""

    def run(count: int) -> float:
        text, values = CONDITIONS[name](count)
        parsed = parse_condition(text, Placeholders(None, values or None))
        check = compiled_condition(encode(parsed.tree))
        return seconds(lambda: check(ITEM, parsed.values))

    few, many = run(FEW), run(MANY)
    assert many <= max(few * 4, EVALUATION_S_MAX), (few, many)


@pytest.mark.parametrize("name", UPDATES)
def test_updates_take_time_for_the_item_once(name: str) -> None:
    """Whether they are refused in the end or not."""

    def run(count: int) -> float:
        text, values = UPDATES[name](count)
        parsed = parse_update(text, Placeholders(None, values or None))
        update = compiled_update(encode(parsed.tree))
        return seconds(lambda: update.apply(ITEM, parsed.values))

    few, many = run(FEW), run(MANY)
    assert many <= max(few * 4, EVALUATION_S_MAX), (few, many)
