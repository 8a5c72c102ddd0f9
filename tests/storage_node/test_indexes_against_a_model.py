"""Random writes to a table with local indexes, many in flight and over restarts, against the items themselves: index
entries, sizes of collections, and every kind of range of the table and of the indexes, in either direction."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from operator import eq, ge, gt, le, lt
from pathlib import Path
from typing import Any

import pytest
from statorpb import cluster_pb2, partition_pb2, tables_pb2

from server.expressions.codec import encode
from server.expressions.expression import parse_condition, parse_update
from server.expressions.placeholders import Placeholders
from server.model.item import Item, item_bytes
from server.model.key_encoding import (
    COLLECTIONS,
    HASH_BYTES,
    PREFIX_BYTES,
    after_prefix,
    encode_position,
    encode_sort_key,
    hash_key,
    prefix,
    sort_range,
)
from server.model.number import canonical_number
from server.model.table import KeyAttribute, KeySchema, LocalIndex, projected_names
from server.wire import item_from_bytes, item_to_bytes
from tests.storage_node.nodes import PARTITION, TABLE, NodeSet, RunningNode, token

SEEDS = 4
SCHEMA = KeySchema(KeyAttribute("p", "S"), KeyAttribute("s", "B"))
INDEXES = (
    LocalIndex(1, "by-b", KeyAttribute("b", "B"), "ALL"),
    LocalIndex(2, "by-n", KeyAttribute("n", "N"), "KEYS_ONLY"),
    LocalIndex(3, "by-t", KeyAttribute("t", "S"), "INCLUDE", ("x",)),
)
BINARIES = [
    *(b"\0", b"\0\0", b"\0\xff", b"\0\1", b"\1", b"a", b"a\0", b"a\0\0", b"a\0b", b"a\xff"),
    *(b"\xff", b"\xff\0", b"\xff\xff"),
    *(head + bytes((fill,)) * size for head in (b"a", b"\0", b"\xff") for fill in (0, 255) for size in (500, 900)),
]
TEXTS = ("a", "a\0", "a\0\0", "a\0b", "b", "b\uffff", "é", "a" * 600)
NUMBERS = ("-5", "0", "7", "10", "123456", canonical_number("1E-20"))
UPDATES = (
    "REMOVE b",
    "REMOVE n, t",
    "SET n = if_not_exists(n, :n) + :n",
    "SET b = s",
    "SET t = :t, x = :t",
    "SET b = :b REMOVE y",
    "ADD n :n",
)

COMPARISONS = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[NodeSet]:
    nodes = NodeSet(tmp_path, 1, lease_ms=400, heartbeat_ms=100)
    yield nodes
    await nodes.stop()
    assert nodes.nodes[0].fatal == []


def described(nodes: NodeSet) -> cluster_pb2.PartitionDescriptor:
    descriptor = nodes.descriptor()
    descriptor.partition_key.name = "p"
    descriptor.sort_key.name, descriptor.sort_key.type = "s", "B"
    for index in INDEXES:
        added = descriptor.local_indexes.add(number=index.number, name=index.name)
        added.sort_key.name, added.sort_key.type = index.sort_key.name, index.sort_key.type
        added.projection.type = tables_pb2.Projection.Type.Value(index.projection)
        added.projection.non_key_attributes.extend(index.non_key_attributes)
    return descriptor


def some_value(rng: random.Random, kind: str) -> Any:
    return {kind: rng.choice({"B": BINARIES, "N": NUMBERS, "S": TEXTS}[kind])}


def some_attributes(rng: random.Random) -> Item:
    kinds = {"b": "B", "n": "N", "t": "S", "x": "S", "y": "B"}
    return {name: some_value(rng, kind) for name, kind in kinds.items() if rng.random() < 0.6}


def some_update(rng: random.Random) -> partition_pb2.WriteDetails:
    text = rng.choice(UPDATES)
    kinds = {":b": "B", ":n": "N", ":t": "S"}
    values = {name: some_value(rng, kind) for name, kind in kinds.items() if name in text}
    update = parse_update(text, Placeholders(None, values or None))
    details = partition_pb2.WriteDetails(update=encode(update.tree), update_values=item_to_bytes(update.values))
    details.returned = rng.choice((partition_pb2.NOTHING, partition_pb2.NEW))
    if rng.random() < 0.3:
        details.condition = encode(parse_condition("attribute_exists(n)", Placeholders(None, None)).tree)
    return details


def some_write(rng: random.Random) -> partition_pb2.PartitionRequest:
    key: Item = {"p": {"S": rng.choice("ab")}, "s": some_value(rng, "B")}
    request = partition_pb2.PartitionRequest(partition_id=PARTITION, token=token(), consistent=True)
    request.key = prefix(TABLE) + encode_position(SCHEMA, key)
    request.operation = rng.choice(
        (partition_pb2.PUT, partition_pb2.UPDATE, partition_pb2.UPDATE, partition_pb2.DELETE)
    )
    if request.operation == partition_pb2.PUT:
        request.item = item_to_bytes({**key, **some_attributes(rng)})
    elif request.operation == partition_pb2.UPDATE:
        request.item = item_to_bytes(key)
        request.write.CopyFrom(some_update(rng))
    return request


async def read(
    node: RunningNode,
    number: int,
    low: bytes,
    high: bytes,
    *,
    backwards: bool,
    items_max: int,
    whole_items: bool = False,
) -> list[Item]:
    """What lies between two range positions, slice by slice."""
    request = partition_pb2.PartitionRequest(operation=partition_pb2.SCAN, partition_id=PARTITION, consistent=True)
    request.key = prefix(TABLE, number) + low
    request.scan.end_key = prefix(TABLE, number) + high if high else after_prefix(prefix(TABLE, number))
    request.scan.backwards, request.scan.items_max, request.scan.whole_items = backwards, items_max, whole_items
    found: list[Item] = []
    while True:
        answer = await node.ask(request)
        assert answer.status == partition_pb2.OK
        found += [item_from_bytes(each) for each in answer.scan.items]
        if answer.scan.is_complete:
            return found
        if backwards:
            request.scan.end_key = answer.scan.last_key
        else:
            request.key = answer.scan.last_key + b"\0"


def content(item: Item, attribute: KeyAttribute) -> Any:
    """A value of which Python's order is the one of keys."""
    value = item[attribute.name][attribute.type]
    return Decimal(value) if attribute.type == "N" else value.encode() if attribute.type == "S" else value


def entry(index: LocalIndex, item: Item) -> Item:
    names = projected_names(index, SCHEMA)
    return {name: value for name, value in item.items() if names is None or name in names}


def in_order(items: Sequence[Item], sort_key: KeyAttribute) -> list[Item]:
    assert SCHEMA.sort_key is not None
    own = SCHEMA.sort_key

    def place(item: Item) -> tuple[Any, ...]:
        return encode_position(SCHEMA, item)[:HASH_BYTES], content(item, sort_key), content(item, own)

    return sorted(items, key=place)


async def check_contents(node: RunningNode, rng: random.Random) -> list[Item]:
    """That index entries and sizes are what the items make them; returns the items."""
    assert SCHEMA.sort_key is not None
    items = await read(node, 0, b"", b"", backwards=False, items_max=rng.choice((0, 1, 3)))
    assert items == in_order(items, SCHEMA.sort_key)
    sizes: dict[bytes, int] = {}
    for item in items:
        hash_ = encode_position(SCHEMA, item)[:HASH_BYTES]
        entries = [entry(index, item) for index in INDEXES if index.sort_key.name in item]
        sizes[hash_] = sizes.get(hash_, 0) + sum(map(item_bytes, [item, *entries]))
    low = prefix(TABLE, COLLECTIONS)
    rows = node.node._store.scan(low, after_prefix(low))
    assert {key[PREFIX_BYTES:]: int.from_bytes(size, "big") for key, size in rows} == sizes
    for index in INDEXES:
        expected = [
            entry(index, each) for each in in_order([i for i in items if index.sort_key.name in i], index.sort_key)
        ]
        for backwards in (False, True):
            found = await read(node, index.number, b"", b"", backwards=backwards, items_max=rng.choice((0, 1, 3)))
            assert found == (expected[::-1] if backwards else expected), index.name
    return items


async def check_range(node: RunningNode, rng: random.Random, items: Sequence[Item]) -> None:
    """One condition on a sort key, of the table or of an index."""
    index = rng.choice((None, *INDEXES))
    sort_key = index.sort_key if index is not None else SCHEMA.sort_key
    assert sort_key is not None
    operators = ["=", "<", "<=", ">", ">=", "BETWEEN", *(["begins_with"] if sort_key.type != "N" else [])]
    operator, name = rng.choice(operators), rng.choice("ab")
    asked = [{sort_key.name: some_value(rng, sort_key.type)} for _ in range(2 if operator == "BETWEEN" else 1)]
    asked.sort(key=lambda item: content(item, sort_key))
    bounds = [content(item, sort_key) for item in asked]
    values = [encode_sort_key(sort_key.type, item[sort_key.name][sort_key.type]) for item in asked]
    hash_ = hash_key("S", name)
    low, high = sort_range(hash_, operator, values, is_index=index is not None)

    def holds(item: Item) -> bool:
        if item["p"] != {"S": name} or sort_key.name not in item:
            return False
        value, first = content(item, sort_key), bounds[0]
        if operator == "begins_with":
            return bool(value.startswith(first))
        if operator == "BETWEEN":
            return bool(first <= value <= bounds[1])
        return bool(COMPARISONS[operator](value, first))

    expected = in_order([item for item in items if holds(item)], sort_key)
    backwards = rng.random() < 0.5
    found = await read(
        node,
        index.number if index is not None else 0,
        low,
        high,
        backwards=backwards,
        items_max=rng.choice((0, 1, 3)),
        whole_items=index is not None,
    )
    assert found == (expected[::-1] if backwards else expected), (operator, bounds, sort_key)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_indexes_sizes_and_ranges_are_those_of_the_items(one: NodeSet, seed: int) -> None:
    """After every burst of writes, checkpoint and restart."""
    rng = random.Random(seed)
    node = await one.found(described(one))
    for _ in range(10):
        asked = []
        for _ in range(rng.randrange(1, 80)):
            request = some_write(rng)
            asked += [node.ask(request) for _ in range(rng.choice((1, 1, 1, 2)))]
        statuses = {(await each).status for each in asked}
        assert statuses <= {partition_pb2.OK, partition_pb2.CONDITION_FAILED, partition_pb2.INVALID_UPDATE}
        items = await check_contents(node, rng)
        for _ in range(30):
            await check_range(node, rng, items)
        if rng.random() < 0.4:
            await node.node.checkpoint()
            await check_contents(node, rng)
        if rng.random() < 0.4:
            await (node.crash() if rng.random() < 0.5 else node.stop())
            await node.start()
            await one.wait_for_leader()
            assert in_order(await check_contents(node, rng), KeyAttribute("s", "B")) == items
