"""Changes of a table: what is told, in which order, once, and from where it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
import pytest_asyncio
import stator
from stator import AsyncChanges, AsyncClient
from stator.stream_descriptions import time_of_wire

from tests.clients.fake_cluster import FakeRouter, FakeState
from tests.clients.fake_streams import FakeShard, FakeStreams
from tests.clients.waiting import until


@pytest.fixture
def streams(state: FakeState) -> FakeStreams:
    """Of the table "music": a stream of two shards, "a" and "b"."""
    state.tables["music"].description.latest_stream_label = "2026-11-26T18:30:00.123"
    state.streams.add("music", "a", "b")
    return state.streams


@pytest.fixture
def arn(streams: FakeStreams) -> str:
    return next(iter(streams.streams))


@pytest.fixture
def shards(streams: FakeStreams, arn: str) -> dict[str, FakeShard]:
    return streams.shards[arn]


@pytest_asyncio.fixture
async def client(routers: list[FakeRouter]) -> AsyncIterator[AsyncClient]:
    async with AsyncClient([router.address for router in routers]) as opened:
        yield opened


def put(streams: FakeStreams, shard: FakeShard, *keys: str) -> None:
    for key in keys:
        streams.write(shard, "INSERT", key, new={"n": len(shard.records)})


async def take(changes: AsyncChanges[Any], count: int) -> list[str]:
    """The keys of the next changes."""
    async with asyncio.timeout(10):
        return [(await anext(changes)).keys["pk"] for _ in range(count)]


async def rest(changes: AsyncChanges[Any]) -> list[str]:
    """The keys of all that are left."""
    async with asyncio.timeout(10):
        return [change.keys["pk"] async for change in changes]


async def test_what_a_change_tells(client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]) -> None:
    """The item before and after, when, and where in the stream."""
    streams.write(shards["a"], "INSERT", "x", new={"n": 1})
    streams.write(shards["a"], "MODIFY", "x", {"n": 1}, {"n": 2})
    streams.write(shards["a"], "REMOVE", "x", {"n": 2}, by_ttl=True)
    async with client.table("music").changes() as changes:
        made, changed, gone = [await anext(changes) for _ in range(3)]
    assert (made.event, made.keys, made.old, made.new) == ("INSERT", {"pk": "x"}, None, {"pk": "x", "n": 1})
    assert (changed.event, changed.old, changed.new) == ("MODIFY", {"pk": "x", "n": 1}, {"pk": "x", "n": 2})
    assert (gone.event, gone.new, gone.by_time_to_live, made.by_time_to_live) == ("REMOVE", None, True, False)
    assert (made.sequence_number, made.shard_id, made.size_bytes) == ("000000000000000001000", "a", 7)
    assert made.created_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert len({made.event_id, changed.event_id, gone.event_id}) == 3


async def test_objects(client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]) -> None:
    """Images come as what the table's items are read as."""

    @dataclass
    class Song:
        pk: str
        n: int

    streams.write(shards["a"], "MODIFY", "x", {"n": 1}, {"n": 2})
    async with client.table("music", as_type=Song).changes() as changes:
        change = await anext(changes)
    assert (change.old, change.new) == (Song("x", 1), Song("x", 2))


async def test_an_item_as_deep_as_items_go(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """Is no deeper for being in a message."""
    deep: Any = "bottom"
    for _ in range(31):
        deep = {"d": deep}
    streams.write(shards["a"], "MODIFY", "x", {"d": deep}, {"d": deep})
    async with client.changes("music") as changes:
        assert (await anext(changes)).new == {"pk": "x", "d": deep}
    iterator = await client.get_shard_iterator(changes.checkpoint()["stream"], "a", "TRIM_HORIZON")
    assert [each.old for each in await client.get_records(iterator)] == [{"pk": "x", "d": deep}]


async def test_all_shards_until_the_stream_is_turned_off(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard], arn: str
) -> None:
    """Each in its order, what is there and what comes; then it ends, and stays so."""
    put(streams, shards["a"], *(f"a{number}" for number in range(10)))
    async with client.changes("music") as changes:
        got = await take(changes, 10)
        put(streams, shards["b"], *(f"b{number}" for number in range(10)))
        put(streams, shards["a"], "a10")
        got += await take(changes, 11)
        streams.turn_off(arn)
        assert await rest(changes) == []
        with pytest.raises(StopAsyncIteration):
            await anext(changes)
    assert [each for each in got if each[0] == "a"] == [f"a{number}" for number in range(11)]
    assert [each for each in got if each[0] == "b"] == [f"b{number}" for number in range(10)]
    assert changes.checkpoint()["finished"] == ["a", "b"]


async def test_the_latest(client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]) -> None:
    """What is written once it has begun, also to a shard whose subscription breaks before anything has come."""
    put(streams, shards["a"], "old")
    async with client.changes("music", "latest") as changes:
        assert changes.checkpoint()["shards"] == {"a": f"{1000:021}", "b": f"{999:021}"}
        streams.fails_after = 0
        streams.notify()
        await until(lambda: not any(each.subscribers for each in shards.values()))
        put(streams, shards["a"], "new")
        put(streams, shards["b"], "other")
        streams.fails_after = None
        assert sorted(await take(changes, 2)) == ["new", "other"]


async def test_from_a_time_on(client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]) -> None:
    """Of all shards; the time of day has to say which."""
    put(streams, shards["a"], "a0", "a1", "a2")
    put(streams, shards["b"], "b0", "b1", "b2")
    since = time_of_wire(1001)
    async with client.changes("music", since, follow=False) as changes:
        assert sorted(await rest(changes)) == ["a1", "a2", "b1", "b2"]
    assert changes.checkpoint()["start"] == 1001
    with pytest.raises(stator.ValidationError, match="time zone"):
        await client.changes("music", datetime(2026, 1, 1)).begin()  # noqa: DTZ001


async def test_what_is_there(client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard], arn: str) -> None:
    """Without following it ends when there is no more, and a checkpoint goes on from there."""
    put(streams, shards["a"], *(f"a{number}" for number in range(7)))
    streams.expired = 1
    changes = client.changes("music", follow=False)
    await changes.begin()
    assert await rest(changes) == [f"a{number}" for number in range(7)]
    put(streams, shards["b"], "b0")
    child = FakeShard("c", parent="a", first=5000)
    streams.close(arn, shards["a"], child)
    put(streams, child, "c0")
    assert await rest(client.changes("music", changes.checkpoint(), follow=False)) == ["b0", "c0"]
    with pytest.raises(stator.ValidationError, match="without following"):
        client.changes("music", "latest", follow=False)


async def test_an_iterator_that_is_too_old_at_once(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """Is not asked for again and again: routers' clocks are far apart."""
    streams.expired = 1_000
    with pytest.raises(stator.ExpiredIteratorError):
        await rest(client.changes("music", follow=False))
    assert streams.expired > 900


async def test_a_shard_is_read_after_its_parent(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard], arn: str
) -> None:
    """So the changes of an item stay in order, also where the split happens while they are read."""
    put(streams, shards["a"], *(f"a{number}" for number in range(20)))
    children = [FakeShard(name, parent="a", first=5000) for name in ("c", "d")]
    async with client.changes("music") as changes:
        got = await take(changes, 2)
        streams.close(arn, shards["a"], *children)
        for child in children:
            put(streams, child, f"{child.shard_id}0", f"{child.shard_id}1")
        got += await take(changes, 22)
    assert got[:20] == [f"a{number}" for number in range(20)]
    assert sorted(got[20:]) == ["c0", "c1", "d0", "d1"]
    assert children[0].records[0].created_at_ms == 5000


async def test_children_that_come_later(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard], arn: str
) -> None:
    """Are found though everything that was known has ended."""
    put(streams, shards["a"], "a0")
    for shard in shards.values():
        shard.is_closed = True
    async with client.changes("music") as changes:
        assert await take(changes, 1) == ["a0"]
        following = asyncio.create_task(take(changes, 1))
        await until(lambda: changes.checkpoint()["finished"] == ["a", "b"])
        child = FakeShard("c", parent="a", first=5000)
        put(streams, child, "c0")
        streams.shards[arn]["c"] = child
        assert await following == ["c0"]


async def test_a_router_dies(
    client: AsyncClient, routers: list[FakeRouter], streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """Nothing is lost, nothing told twice, whichever message was the last to come."""
    keys = [f"a{number}" for number in range(60)]
    got: list[str] = []
    async with client.changes("music") as changes:
        for turn in range(6):
            put(streams, shards["a"], *keys[10 * turn : 10 * turn + 10])
            got += await take(changes, 7)
            await routers[turn % 3].kill()
            await routers[turn % 3].start()
        got += await take(changes, 18)
    assert got == keys


async def test_a_subscription_that_breaks_again_and_again(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """After every message."""
    streams.fails_after = 1
    keys = [f"a{number}" for number in range(20)]
    put(streams, shards["a"], *keys)
    async with client.changes("music") as changes:
        assert await take(changes, 20) == keys


async def test_nobody_answers(
    client: AsyncClient, routers: list[FakeRouter], streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """For as long as was said; then that is told, and it is over."""
    put(streams, shards["a"], "a0")
    changes = client.changes("music", timeout_s=0.3)
    assert await take(changes, 1) == ["a0"]
    for router in routers:
        await router.kill()
    with pytest.raises(stator.UnavailableError):
        await take(changes, 1)
    assert await rest(changes) == []


async def test_who_cannot_wait_for_the_latest_leaves_nothing_behind(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """Though it never got into its `async with`."""
    streams.fails_after = 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), client.changes("music", "latest"):
            pytest.fail("nobody has said what the latest is")
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("stator s")]


async def test_an_answer_that_is_none_of_any_router(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """Ends it with what was met; nobody waits for ever."""
    put(streams, shards["a"], "a0")
    shards["a"].read_as = "first"
    with pytest.raises(ValueError, match="first"):
        await take(client.changes("music"), 1)


async def test_a_router_that_has_too_many_subscriptions(
    client: AsyncClient, routers: list[FakeRouter], streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """Is left to those who have one; another has room."""
    put(streams, shards["a"], "a0")
    put(streams, shards["b"], "b0")
    for router in routers[1:]:
        router.is_full = True
    async with client.changes("music") as changes:
        assert sorted(await take(changes, 2)) == ["a0", "b0"]


async def test_a_router_that_falls_silent(
    routers: list[FakeRouter], streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """Is left for another."""
    async with AsyncClient([router.address for router in routers]) as client:
        put(streams, shards["a"], "a0")
        stream = client._transport().stream(
            "/stator.v1.Streams/Subscribe", lambda: request(streams), response(), 10.0, silence_s=0.2
        )
        await anext(stream)
        serving = shards["a"].subscribers
        for router in routers:
            router.is_hung = True
        await until(lambda: shards["a"].subscribers == serving)
        following = asyncio.ensure_future(anext(stream))
        await until(lambda: len(streams.positions) > 2)
        for router in routers:
            router.is_hung = False
        await following
        await stream.aclose()


def request(streams: FakeStreams) -> Any:
    from statorpb import streams_pb2

    position = streams_pb2.StreamPosition(type=streams_pb2.StreamPosition.LATEST)
    return streams_pb2.SubscribeRequest(stream_arn=next(iter(streams.streams)), shard_id="a", position=position)


def response() -> Any:
    from statorpb import passthrough_pb2

    return passthrough_pb2.RawSubscribeResponse


async def test_little_is_sent_to_one_who_takes_little(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]
) -> None:
    """However much there is."""
    for number in range(300):
        streams.write(shards["a"], "INSERT", f"a{number}", new={"v": "x" * 100_000})
    async with client.changes("music") as changes:
        await take(changes, 1)
        sent = -1
        while sent != streams.sent:
            sent = streams.sent
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.3)
        assert sent < 60
        assert len(await take(changes, 299)) == 299


async def test_changes_that_are_not_kept_any_more(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard], arn: str
) -> None:
    """Are told of by an error that says what to do; so is a shard that is gone, and a stream."""
    put(streams, shards["a"], "a0", "a1", "a2")
    changes = client.changes("music")
    await take(changes, 2)
    checkpoint = changes.checkpoint()
    await changes.aclose()
    assert checkpoint["shards"]["a"] == f"{1000:021}"
    shards["a"].kept_from = 1002
    with pytest.raises(stator.TrimmedDataAccessError, match="scan"):
        await take(client.changes("music", checkpoint), 1)
    del shards["a"]
    with pytest.raises(stator.TrimmedDataAccessError, match="shard a"):
        await client.changes("music", checkpoint).begin()
    del streams.streams[arn]
    with pytest.raises(stator.TrimmedDataAccessError, match="any more"):
        await client.changes("music", checkpoint).begin()


async def test_no_stream(client: AsyncClient, state: FakeState, arn: str) -> None:
    """Says how to make one. A stream of another table is refused."""
    state.add_table("films")
    with pytest.raises(stator.ResourceNotFoundError, match="update_table"):
        await client.changes("films").begin()
    with pytest.raises(stator.ValidationError, match="no stream of table films"):
        await client.changes("films", stream=arn).begin()
    with pytest.raises(stator.ValidationError, match="'oldest', 'latest'"):
        await client.changes("music", "yesterday").begin()  # type: ignore[call-overload]


async def test_streams_are_listed_and_described(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard], arn: str
) -> None:
    """All pages of them, and of their shards."""
    for number in range(4):
        streams.add("films", label=f"2026-11-26T18:30:00.{number}")
    assert len([each async for each in client.list_streams()]) == 5
    (summary,) = [each async for each in client.list_streams("music")]
    assert summary == stator.StreamSummary(arn, "music", "2026-11-26T18:30:00.123")
    child = FakeShard("c", parent="a", first=5000)
    streams.close(arn, shards["a"], child)
    described = await client.describe_stream(arn)
    assert (described.status, described.view_type, described.table_name) == ("ENABLED", "NEW_AND_OLD_IMAGES", "music")
    assert described.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) + timedelta(milliseconds=123)
    assert [each.shard_id for each in described.shards] == ["a", "b", "c"]
    assert (described.shards[0].ending_sequence_number, described.shards[2].parent_shard_id) == (f"{999:021}", "a")


async def test_records_page_by_page(
    client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard], arn: str
) -> None:
    """From any place, until the shard is closed and all of it has been told."""
    put(streams, shards["a"], *(f"a{number}" for number in range(5)))
    second = shards["a"].records[1].sequence_number
    iterator: str | None = await client.get_shard_iterator(arn, "a", "AT_SEQUENCE_NUMBER", sequence_number=second)
    assert iterator is not None
    page = await client.get_records(iterator, limit=2)
    assert ([each.keys["pk"] for each in page], len(page), page.records[0].shard_id) == (["a1", "a2"], 2, "")
    streams.turn_off(arn)
    assert page.next_shard_iterator is not None
    page = await client.get_records(page.next_shard_iterator)
    assert ([each.keys["pk"] for each in page], page.next_shard_iterator) == (["a3", "a4"], None)
    for kind in ("AT_SEQUENCE_NUMBER", "AT_TIMESTAMP", "SOMEWHERE"):
        with pytest.raises(stator.ValidationError):
            await client.get_shard_iterator(arn, "a", kind)  # type: ignore[arg-type]


async def test_the_client_is_closed(client: AsyncClient, streams: FakeStreams, shards: dict[str, FakeShard]) -> None:
    """Whoever waits for a change is told."""
    changes = client.changes("music")
    await changes.begin()
    waiting = asyncio.create_task(take(changes, 1))
    await until(lambda: sum(shard.subscribers for shard in shards.values()) == 2)
    await client.close()
    with pytest.raises(stator.ClientClosedError):
        await waiting
    with pytest.raises(stator.ClientClosedError):
        await client.changes("music").begin()


def test_changes_that_block(cluster: Any, state: FakeState) -> None:
    """The same for whoever has no event loop."""
    state.tables["music"].description.latest_stream_label = "2026-11-26T18:30:00.123"
    arn = state.streams.add("music", "a")
    shard = state.streams.shards[arn]["a"]

    async def write(*keys: str) -> None:
        put(state.streams, shard, *keys)

    cluster.call(lambda: write("a0", "a1", "a2"))
    with stator.Client(cluster.endpoints) as client:
        assert [each.stream_arn for each in client.list_streams("music")] == [arn]
        assert client.describe_stream(arn).shards[0].shard_id == "a"
        iterator = client.get_shard_iterator(arn, "a", "TRIM_HORIZON")
        assert len(client.get_records(iterator)) == 3
        with client.table("music").changes() as changes:
            assert [change.keys["pk"] for change in islice(changes, 2)] == ["a0", "a1"]
            before = changes.checkpoint()
            changes.done()
            after = changes.checkpoint()
        assert [each.keys["pk"] for each in client.changes("music", before, follow=False)] == ["a1", "a2"]
        assert [each.keys["pk"] for each in client.changes("music", after, follow=False)] == ["a2"]
