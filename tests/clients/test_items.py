"""Operations on items through the asynchronous client: conditions, updates, queries, scans; against a fake cluster."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stator
from stator import AsyncClient, attr, key, update
from statorpb import items_pb2

from tests.clients.fake_cluster import FakeRouter, FakeState, Refusal

NEW = ~attr("pk").exists()
OURS: Any = "ALL_OLD"


@pytest.fixture
async def client(routers: list[FakeRouter]) -> AsyncIterator[AsyncClient]:
    async with AsyncClient([router.address for router in routers]) as client:
        yield client


@pytest.fixture
async def songs(client: AsyncClient, state: FakeState) -> stator.AsyncTable[stator.Item]:
    """25 items of one artist, 5 of another; two in five are live."""
    state.add_table("songs", "artist", "year")
    items = [{"artist": "a", "year": year, "live": year % 5 < 2, "size": year * 10} for year in range(25)]
    await client.batch_write_item("songs", put=[*items, *({"artist": "b", "year": year} for year in range(5))])
    return client.table("songs")


async def years(found: AsyncIterator[stator.Item]) -> list[int]:
    return [item["year"] async for item in found]


A = key("artist").eq("a")


async def test_a_condition_that_does_not_hold(client: AsyncClient) -> None:
    """Nothing is written; the error has the item where that was asked for."""
    await client.put_item("music", {"pk": "a", "n": 1}, condition=NEW)
    with pytest.raises(stator.ConditionalCheckFailedError) as caught:
        await client.put_item("music", {"pk": "a", "n": 2}, condition=NEW)
    assert caught.value.item is None
    with pytest.raises(stator.ConditionalCheckFailedError) as caught:
        await client.put_item("music", {"pk": "a"}, condition=NEW, return_values_on_condition_check_failure="ALL_OLD")
    assert caught.value.item == {"pk": "a", "n": 1}
    with pytest.raises(stator.ConditionalCheckFailedError):
        await client.delete_item("music", {"pk": "a"}, condition="n > :n", values={":n": 1})
    with pytest.raises(stator.ConditionalCheckFailedError):
        await client.update_item("music", {"pk": "b"}, update().set("n", 1), condition=attr("pk").exists())
    assert await client.get_item("music", {"pk": "a"}) == {"pk": "a", "n": 1}
    assert await client.get_item("music", {"pk": "b"}) is None


async def test_what_writes_return(client: AsyncClient) -> None:
    """Attributes, capacity and metrics, each if it was asked for."""
    assert await client.put_item("music", {"pk": "a", "n": 1}) == stator.WriteResult()
    result = await client.put_item(
        "music",
        {"pk": "a", "n": 2},
        return_values="ALL_OLD",
        return_consumed_capacity="INDEXES",
        return_item_collection_metrics="SIZE",
    )
    assert result == stator.WriteResult(
        {"pk": "a", "n": 1},
        stator.ConsumedCapacity("music", 1.5, 1.0, {"by-label": 0.5}),
        stator.ItemCollectionMetrics({"pk": "a"}, 0.0, 1.0),
    )
    result = await client.delete_item("music", {"pk": "a"}, return_consumed_capacity="TOTAL")
    assert result == stator.WriteResult(None, stator.ConsumedCapacity("music", 1.5))


async def test_updates(client: AsyncClient) -> None:
    """By builder and as text; what comes back is as return_values says."""
    song = {"pk": "a"}
    change = update().set("title", "x").add("plays", 1)
    result = await client.update_item("music", song, change, return_values="ALL_NEW")
    assert result.attributes == {"pk": "a", "title": "x", "plays": 1}
    result = await client.update_item("music", song, change, return_values="UPDATED_OLD")
    assert result.attributes == {"title": "x", "plays": 1}
    text, names, values = "SET #s = :s REMOVE title", {"#s": "size"}, {":s": {"x"}}
    result = await client.update_item("music", song, text, names=names, values=values, return_values="UPDATED_NEW")
    assert result.attributes == {"size": {"x"}}
    assert (await client.update_item("music", {"pk": "new"})).attributes is None
    assert await client.get_item("music", {"pk": "new"}) == {"pk": "new"}


async def test_a_repeated_write_is_answered_as_the_first(
    client: AsyncClient, routers: list[FakeRouter], state: FakeState
) -> None:
    """The reply is lost, the request is sent again with its token: a counter counts once, a condition holds once."""
    for router in routers:
        router.loses_replies = 1
    put = await client.put_item("music", {"pk": "a", "n": 0}, condition=NEW)
    assert put == stator.WriteResult()
    for router in routers:
        router.loses_replies = 1
    result = await client.update_item("music", {"pk": "a"}, update().add("n", 1), return_values="ALL_NEW")
    assert result.attributes == {"pk": "a", "n": 1}
    assert (await client.get_item("music", {"pk": "a"})) == {"pk": "a", "n": 1}
    assert client.retries >= 2
    assert max(state.tokens.values()) > 1
    assert state.writes_carried_out == 2


async def test_a_throttled_update_is_sent_again(client: AsyncClient, state: FakeState) -> None:
    """It has not been carried out."""
    state.refusals.append(Refusal("ThrottlingException", "slow down", retriable=True))
    await client.update_item("music", {"pk": "a"}, update().add("n", 1))
    assert await client.get_item("music", {"pk": "a"}) == {"pk": "a", "n": 1}


async def test_a_part_of_an_item(client: AsyncClient) -> None:
    """As a text, and as paths; names that are reserved words do not matter."""
    await client.put_item("music", {"pk": "a", "size": 1, "m": {"x": [1, 2], "y": 3}})
    assert await client.get_item("music", {"pk": "a"}, projection="pk, m.y") == {"pk": "a", "m": {"y": 3}}
    found = await client.get_item("music", {"pk": "a"}, projection=["size", "m.x[1]", attr("m.y")])
    assert found == {"size": 1, "m": {"x": [2], "y": 3}}
    found = await client.get_item("music", {"pk": "a"}, projection="#s", names={"#s": "size"})
    assert found == {"size": 1}
    told: list[stator.ConsumedCapacity] = []
    await client.get_item("music", {"pk": "a"}, on_capacity=told.append)
    assert [each.capacity_units for each in told] == [1.5]


async def test_parts_of_many_items(client: AsyncClient) -> None:
    """The answers are told apart by their keys, also where these were not asked for."""
    await client.batch_write_item("music", put=[{"pk": str(n), "n": n, "x": 0} for n in range(3)])
    keys = [{"pk": "2"}, {"pk": "9"}, {"pk": "0"}]
    assert await client.batch_get_item("music", keys, projection=["n"]) == [{"n": 2}, None, {"n": 0}]
    assert await client.batch_get_item("music", keys, projection="n") == [{"n": 2}, None, {"n": 0}]
    both = [{"pk": "2", "n": 2}, None, {"pk": "0", "n": 0}]
    assert await client.batch_get_item("music", keys, projection=["n", "pk"]) == both
    assert await client.batch_get_item("music", keys, projection="#p, n", names={"#p": "pk"}) == both


async def test_queries(songs: stator.AsyncTable[stator.Item]) -> None:
    """In the order of the sort key, over all pages; ranges, filters, limits, directions, start keys."""
    assert await years(songs.query(A)) == list(range(25))
    assert await years(songs.query(A & key("year").between(7, 9))) == [7, 8, 9]
    assert await years(songs.query(A, descending=True, limit=3)) == [24, 23, 22]
    assert await years(songs.query(A, filter=attr("live").eq(True), limit=4)) == [0, 1, 5, 6]
    assert await years(songs.query(A, start_key={"artist": "a", "year": 20})) == [21, 22, 23, 24]
    assert await years(songs.query("artist = :a AND #y < :y", names={"#y": "year"}, values={":a": "b", ":y": 2})) == [
        0,
        1,
    ]
    assert await years(songs.query(A, limit=0)) == []
    page = await anext(songs.query_pages(A, projection=["size"], page_items=2))
    assert page.items == [{"size": 0}, {"size": 10}]


async def test_pages(songs: stator.AsyncTable[stator.Item], state: FakeState) -> None:
    """Counts, where to go on, capacity; with a filter and a limit, where to go on is exact."""
    pages = [page async for page in songs.query_pages(A, page_items=12, return_consumed_capacity="TOTAL")]
    assert [(page.count, page.scanned_count, len(page)) for page in pages] == [(12, 12, 12), (12, 12, 12), (1, 1, 1)]
    assert [page.last_evaluated_key for page in pages] == [
        {"artist": "a", "year": 11},
        {"artist": "a", "year": 23},
        None,
    ]
    assert pages[0].consumed_capacity == stator.ConsumedCapacity("songs", 1.5)
    live = attr("live").eq(True)
    last: Any = None
    found = []
    async for page in songs.query_pages(A, filter=live, limit=3):
        found += [item["year"] for item in page]
        last = page.last_evaluated_key
    rest = await years(songs.query(A, filter=live, start_key=last))
    assert (found, rest) == ([0, 1, 5], [6, 10, 11, 15, 16, 20, 21])
    counted = [page async for page in songs.query_pages(A, select="COUNT", page_items=20)]
    assert [(page.items, page.count) for page in counted] == [([], 20), ([], 5)]


async def test_no_request_looks_at_more_than_is_wanted(songs: stator.AsyncTable[stator.Item], state: FakeState) -> None:
    """But with a filter: then whole pages cost fewer requests."""
    state.pages_read.clear()
    await years(songs.query(A, limit=3))
    assert [request.query.limit for request in state.pages_read] == [3]
    state.pages_read.clear()
    await years(songs.query(A, limit=3, filter=attr("live").eq(True)))
    assert [request.query.limit for request in state.pages_read] == [0]


async def test_counts(songs: stator.AsyncTable[stator.Item], state: FakeState) -> None:
    """Of queries and scans, with filters; no item is sent."""
    state.pages_read.clear()
    assert await songs.query_count(A) == 25
    assert await songs.query_count(A, filter=attr("live").eq(True)) == 10
    assert await songs.scan_count() == 30
    assert await songs.scan_count(filter=attr("live").not_exists()) == 5
    assert {request.query.select or request.scan.select for request in state.pages_read} == {items_pb2.SELECT_COUNT}


async def test_scans(songs: stator.AsyncTable[stator.Item]) -> None:
    """With filters and limits; in segments, each a part, all of them everything."""
    assert len(await years(songs.scan(filter=attr("live").eq(True), limit=7))) == 7
    parts = [await years(songs.scan(segment=segment, total_segments=3)) for segment in range(3)]
    assert [len(part) for part in parts] == [10, 10, 10]
    assert sorted(await years(songs.parallel_scan(4))) == sorted(part for each in parts for part in each)
    assert len(await years(songs.parallel_scan(100, filter=attr("artist").eq("a")))) == 25


async def test_a_parallel_scan_may_be_left(songs: stator.AsyncTable[stator.Item]) -> None:
    """Early, or because of an error: nothing is left running, and the error is the first one itself."""
    scan: Any = songs.parallel_scan(4)
    assert await anext(scan)
    await scan.aclose()
    with pytest.raises(stator.ValidationError):
        await years(songs.parallel_scan(4, filter="a ="))


async def test_mistakes_are_told_before_anything_is_sent(client: AsyncClient, state: FakeState) -> None:
    """Options that there are not, choices that there are not, expressions for another parameter."""
    wrong: Any = client
    calls: list[tuple[Any, str]] = [
        (lambda: wrong.put_item("music", {"pk": "a"}, conditon=NEW), "'conditon' is no option"),
        (lambda: wrong.put_item("music", {"pk": "a"}, return_values="OLD"), "return_values is one of NONE, ALL_OLD"),
        (lambda: wrong.get_item("music", {"pk": "a"}, consistent=True), "'consistent' is no option"),
        (lambda: wrong.batch_get_item("music", [{"pk": "a"}], consistent=True), "'consistent' is no option"),
        (lambda: wrong.update_item("music", {"pk": "a"}, NEW), r"update is a text or made by update\(\)"),
        (lambda: anext(wrong.query("music", attr("pk").eq("a"))), r"key_condition is a text or made by key\("),
        (lambda: anext(wrong.query("music", A, filter=A)), r"filter is a text or made by attr\("),
        (lambda: anext(wrong.query("music", A, desc=True)), "'desc' is no option"),
        (lambda: anext(wrong.scan("music", limit=-1)), "limit is None or"),
        (lambda: anext(wrong.scan_pages("music", select="NONE")), "select is one of ALL_ATTRIBUTES"),
        (lambda: anext(wrong.parallel_scan("music", 0)), "1 segment or more"),
    ]
    for call, words in calls:
        with pytest.raises((TypeError, ValueError), match=words):
            await call()
    assert not state.tokens
    assert not state.pages_read
