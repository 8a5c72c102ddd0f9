"""Slices of a back-fill: what is in them, and when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.model.key_encoding import PREFIX_BYTES
from server.model.table import GlobalIndex, KeyAttribute
from server.runtime.host_surroundings import Done, Outcome, OutcomeKind
from server.wire import item_to_bytes
from storage_node import backfill
from storage_node.backfill import BackFill
from storage_node.changes import WantedFeed
from storage_node.partition.feeds import Feed
from storage_node.store import CorruptValueError
from tests.simulation.clock import Scheduler
from tests.simulation.event_loop import SimulatedLoop
from tests.storage_node.members import Group
from tests.storage_node.nodes import PARTITION, delete, key, put, wait_until

BY_X = GlobalIndex(50, "by-x", (KeyAttribute("x", "S"),), (), "KEYS_ONLY")
NAMES = sorted((f"k{number}" for number in range(7)), key=key)  # in the order of the table


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """With seven items."""
    made = Group(tmp_path)
    for name in NAMES:
        made.ask(put(name, row(name)))
    made.commit()
    yield made
    made.close()


def row(name: str, v: str = "v") -> bytes:
    return item_to_bytes({"pk": {"S": name}, "x": {"S": "x"}, "v": {"S": v}})


def begin(group: Group, *, removed: bool = False) -> BackFill:
    """With the feed, or with its end proposed."""
    group.leading.replica.changes.want([WantedFeed(BY_X, removed)])
    group.leading.replica.changes.tend()
    return BackFill(group.leading.store, {PARTITION: group.leading.replica})


def feed(group: Group) -> Feed:
    return group.leading.replica.changes.feeds[BY_X.number]


def names(group: Group) -> list[list[str]]:
    """Of what each change so far gives to the index."""
    found, _ = group.leading.replica.changes.changes(BY_X.number, 0, 10**6)
    of = {key(name)[PREFIX_BYTES:]: name for name in NAMES}
    return [[of[each.position[-16:]] for each in entries] for _, entries in found]


async def test_slices_follow_one_another(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many items as go into one, by number or by size; the next one begins behind the last."""
    walk = begin(group)
    assert walk.next_slice(PARTITION, BY_X.number) is None, "the feed is not in force yet"
    group.commit()
    walk.slice_items = 3
    first = walk.next_slice(PARTITION, BY_X.number)
    assert first is not None
    assert walk.next_slice(PARTITION, BY_X.number) is None, "it is in flight"
    group.commit()
    assert first.result() is True
    assert (feed(group).position, feed(group).items_passed) == (key(NAMES[3])[PREFIX_BYTES:], 3)
    monkeypatch.setattr(backfill, "SLICE_BYTES", 1)
    walk.next_slice(PARTITION, BY_X.number)
    group.commit()
    monkeypatch.undo()
    walk.slice_items = backfill.SLICE_ITEMS
    walk.next_slice(PARTITION, BY_X.number)
    group.commit()
    assert names(group) == [NAMES[:3], NAMES[3:4], NAMES[4:]]
    assert (feed(group).position, feed(group).items_passed, walk.items_passed) == (None, 7, 7)
    assert walk.next_slice(PARTITION, BY_X.number) is None


async def test_what_is_in_flight_is_in_the_slice(group: Group) -> None:
    """Items that are being written or deleted, also by writes that were decided before there was the feed."""
    group.ask(delete(NAMES[0]))
    walk = begin(group)
    group.ask(put(NAMES[1], item_to_bytes({"pk": {"S": NAMES[1]}})))
    group.ask(delete(NAMES[6]))
    group.commit(2)
    assert feed(group).position == b""
    group.ask(put(NAMES[0], row(NAMES[0], "again")))
    walk.next_slice(PARTITION, BY_X.number)
    group.commit()
    assert names(group)[-1] == [NAMES[0], *NAMES[2:6]]
    assert feed(group).items_passed == 6


async def test_a_slice_that_comes_to_nothing_is_made_again(group: Group) -> None:
    """By the next leader, or by the same one."""
    walk = begin(group)
    group.commit()
    lost = walk.next_slice(PARTITION, BY_X.number)
    assert lost is not None
    group.lead(group.members[1])
    assert lost.result() is False
    assert walk.next_slice(PARTITION, BY_X.number) is None, "another leads"
    group.lead(group.members[0])
    assert feed(group).position == b""
    walk.next_slice(PARTITION, BY_X.number)
    group.commit()
    assert names(group) == [NAMES]


async def test_when_there_is_no_slice(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's, of a feed that ends, while the index has enough to do, while what items have as their keys is not
    known."""
    walk = begin(group)
    group.commit()
    replica = group.leading.replica
    assert BackFill(group.leading.store, {}).next_slice(PARTITION, BY_X.number) is None
    assert walk.next_slice(PARTITION, 51) is None
    monkeypatch.setattr(backfill, "PENDING_BYTES_MAX", -1)
    assert walk.next_slice(PARTITION, BY_X.number) is None
    monkeypatch.undo()
    schema, replica.schema = replica.schema, None
    assert walk.next_slice(PARTITION, BY_X.number) is None
    replica.schema = schema
    begin(group, removed=True)
    assert walk.next_slice(PARTITION, BY_X.number) is None
    assert len(group.proposed) == 1
    group.commit()
    assert names(group) == []


def test_who_refuses_a_slice_is_not_asked_again_at_once(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a leader does that is about to hand over: it takes nothing more."""
    walk = begin(group)
    group.commit()
    asked_ms: list[int] = []
    scheduler = Scheduler()

    def refuse(group_id: int, payload: bytes, done: Done) -> None:
        asked_ms.append(scheduler.now_ns // 1_000_000)
        done(Outcome(OutcomeKind.NOT_LEADER, None, 0))

    monkeypatch.setattr(group.leading.host, "propose", refuse)
    SimulatedLoop(scheduler).start(walk.run())
    for _ in range(100):
        scheduler.step()
    assert asked_ms[:3] == [0, 50, 100]


async def proposed(group: Group) -> None:
    """Once there is something to commit, commits it."""
    await wait_until(lambda: bool(group.proposed))
    group.commit()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_next_slice_waits_until_the_index_has_the_last(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only then is it known what it has cost."""
    monkeypatch.setattr(backfill, "SLICE_ITEMS", 3)
    monkeypatch.setattr(backfill, "SHARE", 1.0)
    monkeypatch.setattr(backfill, "TAKEN_S_MAX", 60.0)
    walk, changes = begin(group), group.leading.replica.changes
    group.commit()
    running = asyncio.create_task(walk.run())
    for count in (1, 2):
        await proposed(group)
        await turns()
        assert (len(names(group)), group.proposed) == (count, [])
        assert not changes.is_fill_taken(BY_X.number)
        changes.taken(BY_X.number, len(group.log))
        assert changes.is_fill_taken(BY_X.number)
    running.cancel()
    assert changes.is_fill_taken(BY_X.number + 1), "there is none that could wait for it"


async def test_an_index_that_takes_nothing_holds_nobody_up_for_long(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the walk through all indexes; it gets more too, as far as there is room."""
    monkeypatch.setattr(backfill, "SLICE_ITEMS", 3)
    monkeypatch.setattr(backfill, "SHARE", 1.0)
    monkeypatch.setattr(backfill, "TAKEN_S_MAX", 0.01)
    walk = begin(group)
    group.commit()
    running = asyncio.create_task(walk.run())
    for _ in range(3):
        await proposed(group)
    running.cancel()
    assert names(group) == [NAMES[:3], NAMES[3:6], NAMES[6:]]


async def test_damaged_items_are_not_passed_on(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another member is to lead, and has them."""
    walk = begin(group)
    group.commit()

    def scan(start: bytes, end: bytes, **options: Any) -> Iterator[tuple[bytes, bytes]]:
        raise CorruptValueError("a bit has flipped")

    monkeypatch.setattr(group.leading.store, "scan", scan)
    assert walk.next_slice(PARTITION, BY_X.number) is None
    assert group.leading.rotten == ["a bit has flipped"]
    assert not group.proposed
