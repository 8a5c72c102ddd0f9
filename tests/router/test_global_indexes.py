"""Query and Scan on a global index: which range of whose partitions they read, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statorpb import cluster_pb2, partition_pb2, tables_pb2

from router.item_reads import get_call
from router.partition_map_cache import Partition, PartitionMapCache, Table, same
from router.ranges import query, scan
from router.requests import get_item
from router.requests import query as query_request
from router.requests import scan as scan_request
from router.results import Capacity, Page
from router.routing.decision import Replica
from router.storage_client import GET, PartitionCall, StorageClient
from server.model.errors import StatorError, ValidationError
from server.model.item import Item
from server.model.key_encoding import encode_global_position, encode_position, prefix
from server.model.partition_map import PartitionMap, even_starts
from server.model.table import GlobalIndex, KeyAttribute, KeySchema
from server.table_codec import put_global_index
from tests.router.fakes import TABLE, FakeMetadata, FakeStorage, FakeStorageNode, Outcome, route, table_of

PK, SK, A, B = (KeyAttribute(name, "S") for name in ("pk", "sk", "k1", "k2"))
O1, O2 = KeyAttribute("o1", "S"), KeyAttribute("o2", "N")
SCHEMA = KeySchema(PK, SK)
PLAIN = GlobalIndex(7, "plain", (A,), (), "ALL")
SORTED = GlobalIndex(8, "sorted", (A,), (O1,), "KEYS_ONLY")
MANY = GlobalIndex(9, "many", (A, B), (O1, O2), "INCLUDE", ("x",))


def partitions(number: int, count: int) -> tuple[PartitionMap, list[Partition]]:
    ids = tuple(10 * number + index for index in range(count))
    replicas = (Replica(1, "zone-1", "here"),)
    return PartitionMap(tuple(even_starts(count)), ids), [Partition(each, replicas, 1, 1) for each in ids]


def table(*indexes: GlobalIndex, is_active: bool = True) -> Table:
    """A table of two partitions, with indexes of three each."""
    return Table(
        TABLE,
        1,
        prefix(1),
        SCHEMA,
        True,
        *partitions(1, 2),
        1,
        global_indexes={
            each.name: Table(
                TABLE, each.number, prefix(each.number), SCHEMA, is_active, *partitions(each.number, 3), 1, index=each
            )
            for each in indexes
        },
    )


def asked(body: dict[str, Any], known: Table, *, is_scan: bool = False) -> PartitionCall:
    """The first call that a Query or Scan makes. Raises ValidationError."""
    storage = FakeStorage()
    body = {"TableName": TABLE, **body}
    if is_scan:
        scan(storage, scan_request.from_body(body, is_json=True), known, 9.0, lambda page, error: None)
    else:
        query(storage, query_request.from_body(body, is_json=True), known, 9.0, lambda page, error: None)
    (call,) = storage.calls
    return call


def key(**values: str) -> dict[str, Any]:
    return {name: {"N" if name == "o2" else "S": value} for name, value in values.items()}


def condition(index: str, text: str, **values: str) -> dict[str, Any]:
    given_values = {f":{name}": {"N" if name.startswith("o2") else "S": value} for name, value in values.items()}
    return {"IndexName": index, "KeyConditionExpression": text, "ExpressionAttributeValues": given_values}


def test_a_query_goes_to_the_indexs_partitions() -> None:
    """To the one that holds the hash of the index's partition key, with its number in the keys."""
    call = asked(condition("plain", "k1 = :k1", k1="x"), table(PLAIN))
    assert (call.table.number, call.index, call.is_consistent) == (7, 0, False)
    entry = encode_global_position(PLAIN, b"", key(k1="x"))
    assert call.position == entry
    assert call.partition is None or call.partition.partition_id // 10 == 7


TEXTS = st.sampled_from(["", "a", "ab", "b", "\0", "a\0", "\uffff"])
ENTRIES = st.lists(st.tuples(TEXTS, st.integers(-2, 2), TEXTS), max_size=8, unique=True)
CONDITIONS: dict[str, Callable[[str, int], bool]] = {
    "": lambda o1, o2: True,
    "o1 = :o1": lambda o1, o2: o1 == "a",
    "o1 >= :o1": lambda o1, o2: o1 >= "a",
    "o1 > :o1": lambda o1, o2: o1 > "a",
    "begins_with(o1, :o1)": lambda o1, o2: o1.startswith("a"),
    "o1 = :o1 AND o2 < :o2": lambda o1, o2: o1 == "a" and o2 < 1,
    "o1 = :o1 AND o2 = :o2": lambda o1, o2: o1 == "a" and o2 == 1,
    "o1 = :o1 AND o2 BETWEEN :o2 AND :o2b": lambda o1, o2: o1 == "a" and 1 <= o2 <= 2,
}


@pytest.mark.parametrize("text", CONDITIONS)
@given(ENTRIES)
def test_a_range_holds_the_entries_that_the_condition_does(text: str, entries: list[tuple[str, int, str]]) -> None:
    """One sort key after the other, whatever the entries' places in the table are."""
    values = {"k1": "x", "k2": "y", "o1": "a", "o2": "1", "o2b": "2"}
    used = {
        name: value for name, value in values.items() if f":{name}" in (text + " :k1 :k2 ").replace(":o2b", ":o2 :o2b")
    }
    call = asked(condition("many", " AND ".join(filter(None, ("k1 = :k1 AND k2 = :k2", text))), **used), table(MANY))
    low, high = call.position, call.end
    for o1, o2, place in entries:
        item: Item = {"k1": {"S": "x"}, "k2": {"S": "y"}, "o1": {"S": o1}, "o2": {"N": str(o2)}}
        position = encode_global_position(MANY, b"\1" * 16 + place.encode(), item)
        assert position is not None
        assert (low <= position < high) == CONDITIONS[text](o1, o2)
        other = encode_global_position(MANY, b"\1" * 16, {**item, "k2": {"S": "z"}})
        assert other is not None and not low <= other < high


def test_nothing_is_read_inside_a_global_indexs_key() -> None:
    """It is a scalar: of a table and of any of its indexes, by a filter and by a projection."""
    inside = {"ProjectionExpression": "o1.x"}
    filtered = {"FilterExpression": "o1[0] = :k1", "ExpressionAttributeValues": {":k1": {"S": "x"}}}
    known = table(PLAIN, MANY)
    refused = pytest.raises(ValidationError, match=r"Key attributes must be scalars.+IndexKey: o1")
    for body in (inside, filtered, {"IndexName": "plain", **inside}):
        with refused:
            asked(body, known, is_scan=True)
    with refused:
        asked({**condition("plain", "k1 = :k1", k1="x"), **inside}, known)
    request = get_item.from_body({"TableName": TABLE, "Key": key(pk="p", sk="s"), **inside}, is_json=True)
    with refused:
        get_call(request, known, 9.0, lambda result, error: None)


START = {"ExclusiveStartKey": key(pk="p", sk="s", k1="x", k2="y", o1="a", o2="1")}


@pytest.mark.parametrize("is_forward", [True, False])
def test_a_page_goes_on_behind_its_last_entry(is_forward: bool) -> None:
    """Which is named by the keys of the index and of the table."""
    body = {**condition("many", "k1 = :k1 AND k2 = :k2", k1="x", k2="y"), **START, "ScanIndexForward": is_forward}
    call = asked(body, table(MANY))
    place = encode_position(SCHEMA, key(pk="p", sk="s"))
    position = encode_global_position(MANY, place, START["ExclusiveStartKey"])
    assert position is not None
    assert (call.position if is_forward else call.end) == (position + b"\0" if is_forward else position)
    assert asked({"IndexName": "many", **START}, table(MANY), is_scan=True).position == position + b"\0"


def test_a_scan_reads_the_whole_index() -> None:
    call = asked({"IndexName": "sorted"}, table(SORTED), is_scan=True)
    assert (call.table.number, call.position, call.end) == (8, b"", b"")
    half = asked({"IndexName": "sorted", "Segment": 1, "TotalSegments": 2}, table(SORTED), is_scan=True)
    assert (half.position, half.end) == (b"\x80" + bytes(15), b"")


INVALID = "One or more parameter values were invalid: "
ALL_ATTRIBUTES = (
    "Select type ALL_ATTRIBUTES is not supported for global secondary index sorted because its projection type is "
    "not ALL"
)
BY_KEY = condition("sorted", "k1 = :k1", k1="x")
BAD_START = "The provided starting key is invalid"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ConsistentRead": True}, "Consistent reads are not supported on global secondary indexes"),
        ({"Select": "ALL_ATTRIBUTES"}, INVALID + ALL_ATTRIBUTES),
        (
            {"ProjectionExpression": "pk, zz, k1.x, yy"},
            INVALID + "Global secondary index sorted does not project [yy, zz]",
        ),
        (
            {"FilterExpression": "attribute_exists(zz)"},
            INVALID + "Secondary index sorted does not project one or more filter attributes: [zz]",
        ),
        ({"IndexName": "none"}, "The table does not have the specified index: none"),
        (
            {"FilterExpression": "attribute_exists(o1)"},
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: o1",
        ),
        ({"ExclusiveStartKey": key(pk="p", sk="s")}, BAD_START),
        (
            {"ExclusiveStartKey": {**key(pk="p", sk="s", k1="x"), "o1": {"N": "1"}}},
            BAD_START + ": The provided key element does not match the schema",
        ),
        (
            {"ExclusiveStartKey": key(pk="p", sk="s", k1="z", o1="a")},
            "The provided starting key is outside query boundaries based on provided conditions",
        ),
        (
            condition("sorted", "k1 = :o2", o2="1"),
            INVALID + "Condition parameter type does not match schema type",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused(more: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    with pytest.raises(ValidationError) as raised:
        asked({**BY_KEY, **more}, table(SORTED))
    assert raised.value.message == message


def test_what_is_projected_may_be_asked_for() -> None:
    """The keys of both, and what INCLUDE adds."""
    body = condition("many", "k1 = :k1 AND k2 = :k2", k1="x", k2="y")
    asked({**body, "ProjectionExpression": "pk, sk, k2, o2, x", "FilterExpression": "attribute_exists(x)"}, table(MANY))


def test_an_index_that_is_being_made_is_not_read() -> None:
    with pytest.raises(ValidationError, match="Cannot read from backfilling global secondary index: sorted"):
        asked(BY_KEY, table(SORTED, is_active=False))


@pytest.mark.parametrize(
    ("wanted", "capacity"),
    [
        ("NONE", None),
        ("TOTAL", Capacity(TABLE, 1.5)),
        ("INDEXES", Capacity(TABLE, 1.5, 0.0, None, {"sorted": 1.5})),
    ],
)
def test_what_a_page_takes_is_the_indexs(wanted: str, capacity: Capacity | None) -> None:
    """Half a unit for 4 KB of the index, none of the table."""
    pages: list[Page | None] = []
    slice_ = partition_pb2.ScanResult(evaluated=1, evaluated_bytes=9_000, is_complete=True)
    storage = FakeStorage(lambda _: partition_pb2.PartitionReply(scan=slice_))
    body = {"TableName": TABLE, **BY_KEY, "ReturnConsumedCapacity": wanted}

    def done(page: Page | None, error: StatorError | None) -> None:
        assert error is None
        pages.append(page)

    query(storage, query_request.from_body(body, is_json=True), table(SORTED), 9.0, done)
    (page,) = pages
    assert page is not None
    assert page.capacity == capacity


def index_route(
    index: GlobalIndex, leader_round: int, status: tables_pb2.IndexStatus.ValueType
) -> cluster_pb2.GlobalIndexRoute:
    """With one partition, whose leader is the node of that number."""
    made = cluster_pb2.GlobalIndexRoute(status=status)
    put_global_index(made.index, index)
    made.partitions.add(partition_id=70, leader_node_id=leader_round, leader_round=leader_round)
    return made


async def test_the_cache_knows_a_tables_indexes() -> None:
    """With their own partitions; what it knows of their leaders stays where it is newer."""
    known = route()
    known.global_indexes.append(index_route(SORTED, 2, tables_pb2.INDEX_ACTIVE))
    metadata = FakeMetadata(known)
    cache = PartitionMapCache(metadata)
    index = (await table_of(cache)).global_indexes["sorted"]
    assert (index.name, index.number, index.index, index.is_active) == (TABLE, 8, SORTED, True)
    assert cache.partition_now(index, b"x") is index.partitions[0]
    older = route()
    older.global_indexes.append(index_route(SORTED, 1, tables_pb2.INDEX_CREATING))
    metadata.routes[TABLE] = older
    cache.refresh_soon(index)
    metadata.slot += 1
    cache.start()
    try:
        await metadata.wait_look_ups(2)
        while same(index, cache.get(TABLE)) is index:
            await asyncio.sleep(0)
        now = same(index, cache.get(TABLE))
        assert now is not None
        assert (now.is_active, now.partitions[0].leader_node_id) == (False, 2)
        assert cache.partition_now(index, b"x") is now.partitions[0]
    finally:
        await cache.stop()


async def test_an_index_that_is_being_removed_is_not_there() -> None:
    """Whoever is told that it is being filled would wait for it."""
    known = route()
    known.global_indexes.append(index_route(SORTED, 2, tables_pb2.INDEX_DELETING))
    known.global_indexes.append(index_route(PLAIN, 2, tables_pb2.INDEX_CREATING))
    table = await table_of(PartitionMapCache(FakeMetadata(known)))
    for name, message in (("sorted", "does not have the specified index: sorted"), ("plain", "Cannot read from backf")):
        with pytest.raises(ValidationError, match=message):
            asked({"IndexName": name}, table, is_scan=True)


@pytest.mark.parametrize("behind", ["not behind", "before the index", "in the making"])
async def test_an_index_made_again_takes_the_calls(behind: str) -> None:
    """With its table or alone. Who is told that it is active may read it through a router that knows only the former
    one, also where what it hears next is older than the index."""
    node = await FakeStorageNode(
        lambda asked: partition_pb2.PartitionReply(
            status=partition_pb2.NOT_MINE if asked.partition_id == 70 else partition_pb2.OK
        )
    ).start()
    former, made = route(nodes=(node.address,)), route(nodes=(node.address,), number=2)
    for table_route, number in ((former, 8), (made, 18)):
        index = table_route.global_indexes.add(status=tables_pb2.INDEX_ACTIVE)
        put_global_index(index.index, replace(SORTED, number=number))
        index.partitions.add().CopyFrom(table_route.partitions[0])
        index.partitions[0].partition_id = 70 if number == 8 else 71
    metadata = FakeMetadata(former)
    cache = PartitionMapCache(metadata)
    storage = StorageClient(cache, "zone-1")
    cache.start()
    try:
        known = (await table_of(cache)).global_indexes["sorted"]
        metadata.slot += 1
        metadata.newest_routes = {TABLE: made}
        metadata.routes[TABLE] = heard = route(nodes=(node.address,), number=2)
        if behind != "before the index":
            heard.CopyFrom(made)
        if behind == "in the making":
            heard.global_indexes[0].status = tables_pb2.INDEX_CREATING
        outcome = Outcome()
        deadline = asyncio.get_running_loop().time() + 30
        storage.submit(PartitionCall(known, GET, b"k" * 16, deadline, outcome.done))
        assert (await outcome.wait()).status == partition_pb2.OK
        assert node.requests[-1].partition_id == 71
        metadata.newest_routes = metadata.routes = {TABLE: route(nodes=(node.address,), number=2)}
        outcome = Outcome()
        storage.submit(PartitionCall(known, GET, b"k" * 16, deadline, outcome.done))
        with pytest.raises(ValidationError, match="does not have the specified index: sorted"):
            await outcome.wait()
    finally:
        await storage.close()
        await cache.stop()
        await node.stop()
