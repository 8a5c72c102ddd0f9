"""What a feed tells of a table, put together in the order of slots, is the table as the index is to have it: whatever
is written, lost, led, restarted and rebuilt, and however far the back-fill is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.expressions.codec import encode
from server.expressions.expression import parse_condition, parse_update
from server.expressions.placeholders import Placeholders
from server.model.item import Item
from server.model.key_encoding import CHANGES, PREFIX_BYTES, own_rows
from server.model.table import GlobalIndex, KeyAttribute, KeySchema
from server.wire import item_from_bytes, item_to_bytes
from storage_node import backfill, changes
from storage_node.backfill import BackFill
from storage_node.changes import WantedFeed
from storage_node.partition.feeds import index_entry
from tests.storage_node.members import Group
from tests.storage_node.nodes import PARTITION, TABLE, delete, put

SEEDS = 60
STEPS = 250
NAMES = [f"k{number}" for number in range(12)]
SCHEMA = KeySchema(KeyAttribute("pk", "S"))
X, Y, Z = KeyAttribute("x", "S"), KeyAttribute("y", "N"), KeyAttribute("z", "B")
SHAPES: list[tuple[tuple[KeyAttribute, ...], tuple[KeyAttribute, ...], str, tuple[str, ...]]] = [
    ((X,), (), "ALL", ()),
    ((X,), (Y,), "KEYS_ONLY", ()),
    ((X, Y), (Z,), "INCLUDE", ("v",)),
    ((Y,), (Z, KeyAttribute("pk", "S")), "KEYS_ONLY", ()),
]


LOCAL_INDEXES = [
    cluster_pb2.LocalIndex(number=1, name="local", sort_key=cluster_pb2.KeyAttribute(name="v", type="S")),
]
"""Of some of the tables: what is passed on must be the same."""


class Consumer:
    """An index as it comes about from what one feed tells."""

    def __init__(self, index: GlobalIndex) -> None:
        self.index = index
        self.slot = 0
        self.entries: dict[bytes, bytes] = {}

    def take(self, group: Group, bytes_max: int) -> bool:
        """The next few changes; whether there were any."""
        log = group.leading.replica.changes
        found, up_to = log.changes(self.index.number, self.slot, bytes_max)
        last = self.slot
        for slot, entries in found:
            assert last < slot <= up_to
            last = slot
            for number, position, item in entries:
                assert number == self.index.number
                if item is None:
                    self.entries.pop(position, None)
                else:
                    self.entries[position] = item
        is_new, self.slot = up_to > self.slot, up_to
        return is_new

    def acknowledge(self, group: Group) -> None:
        group.leading.replica.changes.taken(self.index.number, self.slot)


def some_item(rng: random.Random, name: str) -> Item:
    item: dict[str, Any] = {"pk": {"S": name}}
    if rng.random() < 0.8:
        item["x"] = {"S": rng.choice("ab")}
    if rng.random() < 0.8:
        item["y"] = {"N": rng.choice("123")}
    if rng.random() < 0.8:
        item["z"] = {"B": bytes([0, rng.randrange(3)])}
    if rng.random() < 0.5:
        item["v"] = {"S": rng.choice("vw" * 2) * rng.randrange(1, 30)}
    if rng.random() < 0.1:
        item[rng.choice("xyz")] = rng.choice([{"S": "other"}, {"N": "9"}, {"B": b""}])
    return item


def some_write(rng: random.Random) -> partition_pb2.PartitionRequest:
    name = rng.choice(NAMES)
    kind = rng.random()
    if kind < 0.25:
        return delete(name)
    request = put(name, item_to_bytes(some_item(rng, name)))
    if kind < 0.4:
        parsed = parse_condition("attribute_exists(x)", Placeholders(None, None))
        request.write.condition, request.write.condition_values = encode(parsed.tree), item_to_bytes(parsed.values)
    elif kind < 0.6:
        text = rng.choice(("SET v = pk", "REMOVE x", "REMOVE y, z", "SET x = pk"))
        request.operation, request.item = partition_pb2.UPDATE, item_to_bytes({"pk": {"S": name}})
        changed = parse_update(text, Placeholders(None, None))
        request.write.update, request.write.update_values = encode(changed.tree), item_to_bytes(changed.values)
    return request


class Play:
    """One history, drawn from `rng`."""

    def __init__(self, rng: random.Random, directory: Path) -> None:
        self.rng = rng
        self.group = Group(directory, local_indexes=LOCAL_INDEXES if rng.random() < 0.3 else ())
        self.consumers: dict[int, Any] = {}
        self.wanted: dict[int, WantedFeed] = {}
        self.progress: dict[int, tuple[int, bool, bytes]] = {}
        self.gone: set[int] = set()
        self.begin_walks()

    def look_at_progress(self) -> None:
        """Feeds never go back, and those that are gone do not come back."""
        feeds = self.group.leading.replica.changes.feeds
        self.gone |= self.progress.keys() - feeds.keys()
        assert not self.gone & feeds.keys()
        for number, feed in feeds.items():
            slot, is_over, position = self.progress.get(number, (0, False, b""))
            assert feed.taken_slot >= slot
            assert feed.position is None or (not is_over and feed.position >= position)
            self.progress[number] = feed.taken_slot, feed.position is None, feed.position or b""

    def begin_walks(self) -> None:
        self.walks = {each.host.node_id: BackFill(each.store, {PARTITION: each.replica}) for each in self.group.members}

    def consumer_of(self, index: GlobalIndex) -> Any:
        """What is to take the changes of a new index."""
        return Consumer(index)

    def want(self) -> None:
        """Another index, or the end of one."""
        rng, live = self.rng, [each for each in self.wanted.values() if not each.is_removed]
        if live and rng.random() < 0.4:
            gone = rng.choice(live)
            self.wanted[gone.index.number] = WantedFeed(gone.index, True)
            self.consumers.pop(gone.index.number, None)
        elif len(live) < 3:
            number = 50 + len(self.wanted)
            self.wanted[number] = WantedFeed(GlobalIndex(number, f"index-{number}", *rng.choice(SHAPES)))
            self.consumers[number] = self.consumer_of(self.wanted[number].index)
        # Not every member hears of it at the same time.
        self.tell(rng.sample(self.group.members, rng.randrange(1, 3)))

    def tell(self, members: list[Any]) -> None:
        for each in members:
            each.replica.changes.want(list(self.wanted.values()))

    def walk(self) -> bool:
        leader = self.group.leading
        walk = self.walks[leader.host.node_id]
        begun = [walk.next_slice(PARTITION, number) for number in list(leader.replica.changes.feeds)]
        return any(each is not None for each in begun)

    def change_leader(self) -> None:
        group, rng = self.group, self.rng
        revived = rng.sample(group.lost, rng.randrange(min(len(group.lost), 3) + 1)) if rng.random() < 0.5 else ()
        group.lead(rng.choice(group.members), rng.randrange(len(group.proposed) + 1), revived)

    def restart(self) -> None:
        group, rng = self.group, self.rng
        member = rng.choice(group.members)
        if member is group.leading:
            others = [each for each in group.members if each is not member]
            group.lead(rng.choice(others), rng.randrange(len(group.proposed) + 1))
        if rng.random() < 0.3:
            group.leading.checkpoint()
            member.restore_from(group.leading)
        else:
            member.crash()
        self.begin_walks()
        self.tell([member])

    def step(self) -> None:
        group, rng = self.group, self.rng
        kind = rng.random()
        if kind < 0.5:
            group.ask(some_write(rng))
        elif kind < 0.65:
            group.commit(rng.randrange(1, 6))
        elif kind < 0.68:
            self.change_leader()
        elif kind < 0.7:
            self.restart()
        elif kind < 0.72:
            self.want()
        elif kind < 0.75:
            rng.choice(group.members).checkpoint()
        elif kind < 0.78:
            rng.choice(group.members).catch_up(rng.randrange(len(group.log) + 1))
        elif kind < 0.85:
            group.leading.replica.changes.tend()
        elif kind < 0.92:
            self.walk()
        else:
            for each in self.consumers.values():
                if each.take(group, rng.choice((1, 100, 10_000))) and rng.random() < 0.7:
                    each.acknowledge(group)

    def settle(self) -> None:
        """Until nothing is left to be done."""
        group = self.group
        self.tell(group.members)
        for _ in range(1000):
            group.leading.replica.changes.tend()
            is_busy = self.walk() or bool(group.proposed)
            group.commit()
            for each in self.consumers.values():
                is_busy |= each.take(group, 10_000)
                each.acknowledge(group)
            if not is_busy and not group.proposed:
                return
        raise AssertionError("it does not come to rest")

    def check(self) -> None:
        group = self.group
        log = group.leading.replica.changes
        assert log.feeds.keys() == self.consumers.keys()
        first, end = group.leading.replica.first_key, group.leading.replica.end_key
        items = [(key[PREFIX_BYTES:], item_from_bytes(data)) for key, data in group.leading.store.scan(first, end)]
        for number, consumer in self.consumers.items():
            found = (index_entry(consumer.index, SCHEMA, position, item) for position, item in items)
            expected = {each[0]: item_to_bytes(each[1]) for each in found if each is not None}
            assert consumer.entries == expected, number
            report = next(each for each in log.reports() if each.index_number == number)
            assert report.complete and not report.pending and not report.lag_ms
        rows = own_rows(TABLE, CHANGES, PARTITION)
        for each in group.members:
            each.catch_up(len(group.log))
            assert not list(each.store.scan(rows, rows + b"\xff" * 9)), "changes that were taken are removed"
            assert each.replica.changes.feeds == log.feeds
            assert each.replica.changes.pending_bytes == 0
            assert not each.rotten


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_a_feed_tells_is_the_table(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every moment at which all is at rest; on every member alike, and nothing of it is kept then."""
    monkeypatch.setattr(backfill, "SLICE_ITEMS", 2)
    monkeypatch.setattr(changes, "MOVE_WAIT_S", 0.0)
    monkeypatch.setattr(changes, "MOVE_ROWS_MAX", 7)
    play = Play(random.Random(seed), tmp_path)
    for _ in range(3):
        for _ in range(STEPS):
            play.step()
            play.look_at_progress()
        play.settle()
        play.check()
    play.group.close()
