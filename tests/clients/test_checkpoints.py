"""Checkpoints: what they cover, that they are small and whole, and that a consumer goes on from one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import stator
from stator import AsyncClient, Checkpoint, FileCheckpoint

from tests.clients.fake_cluster import FakeRouter, FakeState
from tests.clients.fake_streams import FakeStreams
from tests.clients.waiting import until

CHECKPOINT = Checkpoint(stream="arn", start="oldest", shards={"a": "17"}, finished=["b"])


@pytest.fixture
def streams(state: FakeState) -> FakeStreams:
    """Of the table "music": a stream of two shards, "a" and "b"."""
    state.tables["music"].description.latest_stream_label = "2026-11-26T18:30:00.123"
    state.streams.add("music", "a", "b")
    return state.streams


def write(streams: FakeStreams, shard_id: str, count: int) -> list[str]:
    """Records with new keys."""
    (shards,) = streams.shards.values()
    shard = shards[shard_id]
    keys = [f"{shard_id}{len(shard.records) + number}" for number in range(count)]
    for key in keys:
        streams.write(shard, "INSERT", key)
    return keys


def saved_at(path: Path, shard_id: str) -> int:
    return int(json.loads(path.read_text("utf-8"))["shards"].get(shard_id, "0")) if path.exists() else 0


async def test_a_checkpoint_covers_what_has_been_processed(routers: list[FakeRouter], streams: FakeStreams) -> None:
    """Which is what was told before the last one, and that one once it is done. It is JSON."""
    write(streams, "a", 3)
    async with AsyncClient([routers[0].address]) as client, client.changes("music") as changes:
        await anext(changes)
        await anext(changes)
        assert changes.checkpoint()["shards"]["a"] == f"{1000:021}"
        changes.done()
        checkpoint = json.loads(json.dumps(changes.checkpoint()))
        assert checkpoint["shards"]["a"] == f"{1001:021}"
        async with client.changes("music", checkpoint) as following:
            assert (await anext(following)).keys == {"pk": "a2"}


async def test_a_consumer_that_is_stopped_anywhere(
    routers: list[FakeRouter], streams: FakeStreams, tmp_path: Path
) -> None:
    """And goes on from its file misses nothing; and with what it does on leaving, it does nothing twice."""
    rng = random.Random(1)
    written: list[str] = []
    got: list[str] = []
    store = FileCheckpoint(tmp_path / "here")
    async with AsyncClient([routers[0].address]) as client:
        while len(written) < 200:
            for shard_id in ("a", "b"):
                written += write(streams, shard_id, rng.randrange(10))
            count = rng.randrange(1, 12)
            async with client.changes("music", checkpoint=store, follow=False) as changes:
                async for change in changes:
                    got.append(change.keys["pk"])
                    count -= 1
                    if not count:
                        changes.done()
                        break
        got += [change.keys["pk"] async for change in client.changes("music", checkpoint=store, follow=False)]
    for shard_id in ("a", "b"):
        assert [key for key in got if key[0] == shard_id] == [key for key in written if key[0] == shard_id]


async def test_it_is_saved_meanwhile(routers: list[FakeRouter], streams: FakeStreams, tmp_path: Path) -> None:
    """Also while no change comes; what a shard tells of nothing that happened is saved too."""
    write(streams, "a", 2)
    path = tmp_path / "here"
    async with AsyncClient([routers[0].address]) as client:
        changes = client.changes("music", checkpoint=FileCheckpoint(path))
        await anext(changes)
        waiting = asyncio.create_task(anext(changes))
        await waiting
        waiting = asyncio.create_task(anext(changes))
        await until(lambda: saved_at(path, "a") == 1001)
        await until(lambda: saved_at(path, "b") == 999)
        write(streams, "b", 1)
        assert (await waiting).keys == {"pk": "b0"}
        write(streams, "a", 1)
        assert (await anext(changes)).keys == {"pk": "a2"}
    # The client has ended the changes.
    assert (saved_at(path, "a"), saved_at(path, "b")) == (1001, 1000)


async def test_the_latest_of_a_consumer_that_never_got_anything(
    routers: list[FakeRouter], streams: FakeStreams, tmp_path: Path
) -> None:
    """Stays where it was when that first began."""
    write(streams, "a", 2)
    store = FileCheckpoint(tmp_path / "here")
    async with AsyncClient([routers[0].address]) as client:
        unbegun = client.changes("music", "latest", checkpoint=store)
        with pytest.raises(stator.ValidationError, match="no checkpoint before"):
            unbegun.checkpoint()
        await unbegun.aclose()
        assert not store.path.exists()
        async with client.changes("music", "latest", checkpoint=store):
            pass
        write(streams, "a", 1)
        async with client.changes("music", "latest", checkpoint=store) as changes:
            assert (await anext(changes)).keys == {"pk": "a2"}


async def test_one_that_cannot_be_saved(routers: list[FakeRouter], streams: FakeStreams, tmp_path: Path) -> None:
    """Is told of, and changes are not gone on with as if it were."""
    write(streams, "a", 2)
    store = FileCheckpoint(tmp_path / "gone" / "here")
    async with AsyncClient([routers[0].address]) as client:
        changes = client.changes("music", checkpoint=store)
        with pytest.raises(FileNotFoundError):
            await anext(changes)
            await anext(changes)
        with pytest.raises(FileNotFoundError):
            await changes.aclose()


async def test_saves_do_not_overlap(routers: list[FakeRouter], streams: FakeStreams) -> None:
    """Though who waited for one was cancelled."""

    class Slow:
        def __init__(self) -> None:
            self.loop = asyncio.get_running_loop()
            self.may_go = asyncio.Event()
            self.saves: list[str] = []

        def load(self) -> None:
            return None

        def save(self, checkpoint: Checkpoint) -> None:
            self.saves.append("began")
            asyncio.run_coroutine_threadsafe(self.may_go.wait(), self.loop).result(10)
            self.saves.append("ended")

    write(streams, "a", 3)
    store = Slow()
    async with AsyncClient([routers[0].address]) as client:
        changes = client.changes("music", checkpoint=store)
        await anext(changes)
        waiting = asyncio.create_task(anext(changes))
        await until(lambda: store.saves)
        waiting.cancel()
        await asyncio.wait({waiting})
        closing = asyncio.create_task(changes.aclose())
        await until(lambda: changes._is_closed)
        assert store.saves == ["began"]
        store.may_go.set()
        await closing
    assert store.saves == ["began", "ended"] * (len(store.saves) // 2)


def test_a_file(tmp_path: Path) -> None:
    """Is there or is not; what was saved is read again; nothing is left beside it."""
    store = FileCheckpoint(tmp_path / "here")
    assert store.load() is None
    for number in range(3):
        store.save({**CHECKPOINT, "start": number})
    assert store.load() == {**CHECKPOINT, "start": 2}
    assert [each.name for each in tmp_path.iterdir()] == ["here"]
    assert "here" in repr(store)


def test_a_file_that_cannot_be_replaced(tmp_path: Path) -> None:
    """Nothing is left beside it either."""
    (tmp_path / "here" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        FileCheckpoint(tmp_path / "here").save(CHECKPOINT)
    assert [each.name for each in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize(
    "change",
    [
        {"stream": ""},
        {"stream": None},
        {"start": "latest"},
        {"start": True},
        {"shards": ["a"]},
        {"shards": {"a": 17}},
        {"shards": {"a": "x"}},
        {"finished": "b"},
        {"finished": [1]},
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, change: Mapping[str, Any]) -> None:
    """A sentence says what is wrong, and with which file."""
    path = tmp_path / "here"
    path.write_text(json.dumps({**CHECKPOINT, **change}), "utf-8")
    with pytest.raises(stator.ValidationError, match=r"here holds no checkpoint: ."):
        FileCheckpoint(path).load()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_what_is_no_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "here"
    path.write_bytes(content)
    with pytest.raises(stator.ValidationError, match=r"here holds no checkpoint: ."):
        FileCheckpoint(path).load()


async def test_a_checkpoint_of_another_stream(routers: list[FakeRouter], streams: FakeStreams) -> None:
    """Is refused where a stream is said."""
    other = streams.add("music", label="2026-11-26T18:30:01.000")
    first = next(iter(streams.streams))
    async with AsyncClient([routers[0].address]) as client:
        with pytest.raises(stator.ValidationError, match=f"of stream {first}, not of {other}"):
            await client.changes("music", {**CHECKPOINT, "stream": first}, stream=other).begin()
