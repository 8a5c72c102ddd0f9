"""DynamoDB's limits: each at its edge, and one past it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.database import INVALID, VALIDATION, Database, Native, invalid, placeholders, typed, unique

pytestmark = pytest.mark.cluster

KB = 1024
ITEM_BYTES_MAX = 400 * KB
PUT_TOO_LARGE = "Item size has exceeded the maximum allowed size"
UPDATE_TOO_LARGE = "Item size to update has exceeded the maximum allowed size"


def update_refusal(database: Database, expression: str, **parameters: Any) -> Any:
    return database.refusal(
        "update_item", TableName=database.plain, Key=typed({"pk": unique()}), UpdateExpression=expression, **parameters
    )


# Items

SIZES: list[tuple[Native, int]] = [
    ("", 0),
    ("abc", 3),
    ("é", 2),
    ("\U0001f600", 4),
    (b"abc", 3),
    (True, 1),
    (None, 1),
    (7, 2),
    (-7, 3),
    (99, 2),
    (123456, 4),
    (Decimal("3.14159"), 5),
    (Decimal("0.0000001"), 2),
    (10**125, 2),
    ([], 3),
    ({}, 3),
    (["abc", True], 3 + 2 + 3 + 1),
    ({"ab": "abc"}, 3 + 1 + 2 + 3),
    ({"abc", "d"}, 4),
]
"""Values and what they add to an item's size, without their names (developer guide)."""


@pytest.mark.parametrize(("value", "value_bytes"), SIZES, ids=str)
def test_an_item_has_at_most_400_kb(database: Database, value: Native, value_bytes: int) -> None:
    """Names and values together; by a put and by a batch."""
    key = {"pk": unique()}
    used = len("pk") + len(key["pk"]) + len("v") + value_bytes + len("fill")
    fits = {**key, "v": value, "fill": "x" * (ITEM_BYTES_MAX - used)}
    passes = {**fits, "fill": fits["fill"] + "x"}
    for item, refusal in ((fits, None), (passes, invalid(PUT_TOO_LARGE))):
        assert database.refusal("put_item", TableName=database.plain, Item=typed(item)) == refusal
        write = {database.plain: [{"PutRequest": {"Item": typed(item)}}]}
        assert database.refusal("batch_write_item", RequestItems=write) == refusal
    database.client.delete_item(TableName=database.plain, Key=typed(key))


def test_an_update_to_400_kb(database: Database) -> None:
    """The item that comes of it counts. (The original starts to refuse some bytes earlier.)"""
    key = {"pk": unique()}
    room = ITEM_BYTES_MAX - len("pk") - len(key["pk"]) - len("v")
    for value_bytes, refusal in ((room - 100, None), (room + 1, invalid(UPDATE_TOO_LARGE))):
        refused = database.refusal(
            "update_item",
            TableName=database.plain,
            Key=typed(key),
            UpdateExpression="SET v = :v",
            **placeholders({"v": "x" * value_bytes}),
        )
        assert refused == refusal
    database.client.delete_item(TableName=database.plain, Key=typed(key))


HASH_SIZE = f"{INVALID}Size of hashkey has exceeded the maximum size limit of2048 bytes"
RANGE_SIZE = f"{INVALID}Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
KEYS: list[tuple[str, dict[str, Native], dict[str, Native], str]] = [
    ("sorted", {"pk": "x" * 2048, "sk": "a"}, {"pk": "x" * 2049, "sk": "a"}, HASH_SIZE),
    ("sorted", {"pk": "é" * 1024, "sk": "a"}, {"pk": "é" * 1024 + "x", "sk": "a"}, HASH_SIZE),
    ("sorted", {"pk": "a", "sk": "x" * 1024}, {"pk": "a", "sk": "x" * 1025}, RANGE_SIZE),
    ("binary", {"pk": "a", "sk": b"x" * 1024}, {"pk": "a", "sk": b"x" * 1025}, RANGE_SIZE),
]


@pytest.mark.parametrize(("alias", "fits", "passes", "message"), KEYS, ids=["partition", "UTF-8", "sort", "binary"])
def test_sizes_of_keys(
    database: Database, alias: str, fits: dict[str, Native], passes: dict[str, Native], message: str
) -> None:
    """2,048 bytes for a partition key, 1,024 for a sort key; writing and reading."""
    table = getattr(database, alias)
    for key, refusal in ((fits, None), (passes, invalid(message))):
        named: dict[str, Any] = {"TableName": table, "Key": typed(key)}
        assert database.refusal("put_item", TableName=table, Item=typed(key)) == refusal
        assert database.refusal("get_item", **named) == refusal
        assert database.refusal("update_item", **named) == refusal
        assert database.refusal("delete_item", **named) == refusal


EMPTY = (
    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {} "
    "value. Key: {}"
)


@pytest.mark.parametrize(
    ("alias", "key", "message"),
    [
        ("sorted", {"pk": "", "sk": "a"}, EMPTY.format("string", "pk")),
        ("sorted", {"pk": "a", "sk": ""}, EMPTY.format("string", "sk")),
        ("binary", {"pk": "a", "sk": b""}, EMPTY.format("binary", "sk")),
    ],
)
def test_keys_are_not_empty(database: Database, alias: str, key: dict[str, Native], message: str) -> None:
    """By any operation."""
    table = getattr(database, alias)
    named: dict[str, Any] = {"TableName": table, "Key": typed(key)}
    assert database.refusal("put_item", TableName=table, Item=typed(key)) == invalid(message)
    for operation in ("get_item", "update_item", "delete_item"):
        assert database.refusal(operation, **named) == invalid(message), operation
    assert database.refusal("batch_get_item", RequestItems={table: {"Keys": [typed(key)]}}) == invalid(message)


def nested(levels: int, kind: str) -> Native:
    """A list or map with so many levels of itself."""
    value: Native = "x"
    for _ in range(levels):
        value = [value] if kind == "L" else {"a": value}
    return value


@pytest.mark.parametrize("kind", ["L", "M"])
def test_nesting(database: Database, kind: str) -> None:
    """About 32 levels: 31 are always fine, 33 never. (Whether the attribute itself is a level is told in both ways.)"""
    for place in ("item", "placeholder"):
        for levels, fits in ((31, True), (33, False)):
            if place == "item":
                item = typed({"pk": unique(), "v": nested(levels, kind)})
                refused = database.refusal("put_item", TableName=database.plain, Item=item)
            else:
                refused = update_refusal(database, "SET v = :v", **placeholders({"v": nested(levels, kind)}))
            if fits:
                assert refused is None
            else:
                assert refused is not None and refused.code == VALIDATION
                assert "Nesting Levels have exceeded supported limits" in refused.message


def test_a_path_makes_no_deeper_item(database: Database) -> None:
    """The limit holds for what an update makes."""
    key = {"pk": unique()}
    database.put(database.plain, {**key, "v": nested(31, "M")})
    path = "v" + ".a" * 31
    refused = database.refusal(
        "update_item",
        TableName=database.plain,
        Key=typed(key),
        UpdateExpression=f"SET {path} = :v",
        **placeholders({"v": nested(3, "M")}),
    )
    assert refused is not None and refused.code == VALIDATION


def test_names_of_attributes(database: Database) -> None:
    """65,535 bytes, and no more; anywhere."""
    name = "n" * 65_535
    key = {"pk": unique()}
    database.put(database.plain, {**key, name: 1})
    assert database.get(database.plain, key) == {**key, name: 1}
    answer = database.client.get_item(
        TableName=database.plain,
        Key=typed(key),
        ConsistentRead=True,
        ProjectionExpression="#n",
        ExpressionAttributeNames={"#n": name},
    )
    assert answer["Item"] == typed({name: 1})
    longer = name + "n"
    refusals = [
        database.refusal("put_item", TableName=database.plain, Item=typed({**key, longer: 1})),
        database.refusal("put_item", TableName=database.plain, Item=typed({**key, "m": {longer: 1}})),
        database.refusal("get_item", TableName=database.plain, Key=typed(key), AttributesToGet=[longer]),
        update_refusal(database, "REMOVE #n", ExpressionAttributeNames={"#n": longer}),
        update_refusal(database, "SET v = :v", **placeholders({"v": {longer: 1}})),
    ]
    for refused in refusals:
        assert refused is not None and refused.code == VALIDATION
        assert "65535" in refused.message or "65536" in refused.message


def test_empty_names(database: Database) -> None:
    """An attribute of an item has a name; what is in a map may have an empty one."""
    assert database.refusal("put_item", TableName=database.plain, Item=typed({"pk": unique(), "m": {"": 1}})) is None


# Expressions

SIZE = "Expression size has exceeded the maximum allowed size;"


@pytest.mark.parametrize("operation", ["condition", "update", "filter", "key condition", "projection"])
def test_the_length_of_an_expression(database: Database, operation: str) -> None:
    """4,096 bytes, and no more, whatever they are."""
    for length, fits in ((4096, True), (4097, False)):

        def filled(text: str, length: int = length) -> str:
            return text.replace("  ", " " * (length - len(text) + 2), 1)

        key, named = typed({"pk": unique()}), {"TableName": database.plain}
        values = placeholders({"v": "x"})
        if operation == "condition":
            expression = filled("a  <> :v")
            refused = database.refusal("put_item", Item=key, ConditionExpression=expression, **values, **named)
        elif operation == "update":
            refused = database.refusal(
                "update_item", Key=key, UpdateExpression=filled("SET a  = :v"), **values, **named
            )
        elif operation == "filter":
            refused = database.refusal("scan", FilterExpression=filled("a  = :v"), Limit=1, **values, **named)
        elif operation == "key condition":
            refused = database.refusal("query", KeyConditionExpression=filled("pk  = :v"), **values, **named)
        else:
            refused = database.refusal("get_item", Key=key, ProjectionExpression="x" * length, **named)
        if fits:
            assert refused is None
        else:
            assert refused is not None and refused.code == VALIDATION
            assert SIZE in refused.message


def test_a_long_expression_is_not_even_read(database: Database) -> None:
    """That it is too long comes first."""
    for expression in ("(" * 15_000, "not " * 20_000 + "a<b", "(" * 20_000 + "a<b" + ")" * 20_000):
        refused = database.refusal(
            "delete_item", TableName=database.plain, Key=typed({"pk": "a"}), ConditionExpression=expression
        )
        assert refused is not None and SIZE in refused.message


@pytest.mark.parametrize(
    "expression",
    ["(" * 4096, "(" * 2046 + "a<b" + ")" * 2046, "not " * 1000 + "a<b", "a < " + "f(" * 1355 + "b" + ")" * 1355,
     "a < " + "size(" * 680 + "b" + ")" * 680, "a" + "[0]" * 1360 + " < b"],
    ids=["open", "parentheses", "not", "functions", "size", "path"],
)  # fmt: skip
def test_a_deep_expression(database: Database, expression: str) -> None:
    """It gets an answer at once, whatever it is."""
    refused = database.refusal(
        "delete_item", TableName=database.plain, Key=typed({"pk": unique()}), ConditionExpression=expression
    )
    assert refused is not None
    assert refused.code in (VALIDATION, "ConditionalCheckFailedException")


def test_operators(database: Database) -> None:
    """300 in an expression; parentheses are none."""
    fits = "a<b" + " or (a<b" * 149 + ")" * 149
    refused = database.refusal("scan", TableName=database.plain, FilterExpression=fits, Limit=1)
    assert refused is None
    passes = "a<b" + " or (a<b" * 150 + ")" * 150
    refused = database.refusal("scan", TableName=database.plain, FilterExpression=passes, Limit=1)
    assert refused == invalid(
        "Invalid FilterExpression: The expression contains too many operators; operator count: 301"
    )


def test_operands_of_in(database: Database) -> None:
    """99 are fine, 101 are not. (Whether the hundredth is, is told in both ways.)"""
    for number, fits in ((99, True), (101, False)):
        values = {f"v{index}": index for index in range(number)}
        expression = f"a IN ({', '.join(f':{name}' for name in values)})"
        refused = database.refusal(
            "scan", TableName=database.plain, FilterExpression=expression, Limit=1, **placeholders(values)
        )
        if fits:
            assert refused is None
        else:
            assert refused == invalid(
                "Invalid FilterExpression: The IN operator is provided with too many operands; "
                f"number of operands: {number}"
            )


def test_the_size_of_all_values(database: Database) -> None:
    """2 MB."""
    for number, fits in ((6, True), (8, False)):
        values = {f"v{index}": f"{index}" * 300_000 for index in range(number)}
        expression = " OR ".join(f"a = :{name}" for name in values)
        refused = database.refusal(
            "scan", TableName=database.plain, FilterExpression=expression, Limit=1, **placeholders(values)
        )
        assert (refused is None) == fits
        assert fits or (refused is not None and refused.code == VALIDATION)


# Batches


def test_numbers_of_requests(database: Database) -> None:
    """100 reads, 25 writes."""
    keys = [typed({"pk": f"limit-{number}"}) for number in range(101)]
    reads = {database.plain: {"Keys": keys[:100]}}
    assert database.refusal("batch_get_item", RequestItems=reads) is None
    refused = database.refusal("batch_get_item", RequestItems={database.plain: {"Keys": keys}})
    assert refused is not None and refused.code == VALIDATION
    writes = [{"DeleteRequest": {"Key": key}} for key in keys]
    assert database.refusal("batch_write_item", RequestItems={database.plain: writes[:25]}) is None
    refused = database.refusal("batch_write_item", RequestItems={database.plain: writes[:26]})
    assert refused is not None and refused.code == VALIDATION


def test_the_largest_number_of_segments(database: Database) -> None:
    """A million."""
    for total, fits in ((1_000_000, True), (1_000_001, False)):
        refused = database.refusal("scan", TableName=database.plain, Segment=total - 1, TotalSegments=total, Limit=1)
        assert (refused is None) == fits
