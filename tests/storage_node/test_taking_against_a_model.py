"""An index's partition has every change of its table's partitions once, in order: whatever is lost, comes late or comes
twice, whoever leads it, and whatever comes back from the logs of those who led it before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from statorpb import cluster_pb2, partition_pb2, tables_pb2

from server.model.key_encoding import CURSORS, PREFIX_BYTES, own_rows, prefix
from server.model.partition_map import PartitionMap
from storage_node.codec.change import EntryChange
from storage_node.codec.index_batch import IndexBatch, encode_batch
from storage_node.partition.delivery import Delivery
from storage_node.taking import SOURCE
from tests.storage_node.members import Group
from tests.storage_node.nodes import PARTITION, TABLE

SEEDS = 60
STEPS = 250
SOURCES = (50, 51)
INDEX = cluster_pb2.GlobalIndex(
    number=TABLE,
    name="by-x",
    partition_keys=[cluster_pb2.KeyAttribute(name="x", type="S")],
    projection=tables_pb2.Projection(type=tables_pb2.Projection.ALL),
)
MAP = PartitionMap((b"",), (PARTITION,))


class Source:
    """A partition of the table, whose leader changes: the next one begins where the log says."""

    def __init__(self, source: int) -> None:
        self.source = source
        self.log: list[tuple[EntryChange, ...]] = []  # by slot, from 1 on
        self.late: list[IndexBatch] = []
        self.lead(0)

    def lead(self, taken_slot: int) -> None:
        self.delivery = Delivery(self.source, MAP, taken_slot)
        self.under_way: tuple[IndexBatch, list[partition_pb2.PartitionReply]] | None = None

    def write(self, rng: random.Random) -> None:
        """Sources have different items, and so different positions of entries."""
        positions = rng.sample([f"{self.source} {number}".encode() for number in range(6)], rng.randrange(3))
        slot = len(self.log) + 1
        items = [None if rng.random() < 0.3 else f"item {slot}".encode() for _ in positions]
        self.log.append(tuple(EntryChange(TABLE, *each) for each in zip(positions, items, strict=True)))

    def send(self, group: Group) -> None:
        """One batch at a time."""
        behind = self.delivery.read_slot
        self.delivery.read(list(enumerate(self.log[behind:], behind + 1)), len(self.log))
        if self.under_way is None and self.delivery.idle():
            batch = self.delivery.next_batch(PARTITION)
            self.under_way = batch, ask(group, batch)

    def hear(self, group: Group, *, gives_up: bool) -> None:
        """Looks at the answer, or does not wait for one any more."""
        if self.under_way is None:
            return
        batch, answers = self.under_way
        is_taken = any(each.status == partition_pb2.OK for each in answers)
        if not answers and not gives_up:
            return
        if is_taken:
            assert cursor(group, self.source) >= batch.up_to_slot, "it is there for ever when that is said"
        else:
            self.late.append(batch)
        self.under_way = None
        self.delivery.ended(PARTITION, is_taken=is_taken)

    def entries(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for entries in self.log:
            for _, position, item in entries:
                found.pop(position, None)
                if item is not None:
                    found[position] = item
        return found


def ask(group: Group, batch: IndexBatch) -> list[partition_pb2.PartitionReply]:
    request = partition_pb2.PartitionRequest(
        operation=partition_pb2.TAKE_CHANGES, key=prefix(TABLE), item=encode_batch(batch), consistent=True
    )
    return group.ask(request)


def cursor(group: Group, source: int) -> int:
    """What is committed of it."""
    key = own_rows(TABLE, CURSORS, PARTITION) + SOURCE + source.to_bytes(8, "big")
    return int.from_bytes(group.leading.store.get(key) or b"", "big")


def change_leader(rng: random.Random, group: Group) -> None:
    revived = rng.sample(group.lost, rng.randrange(min(len(group.lost), 3) + 1)) if rng.random() < 0.5 else ()
    group.lead(rng.choice(group.members), rng.randrange(len(group.proposed) + 1), revived)


def restart(rng: random.Random, group: Group) -> None:
    member = rng.choice(group.members)
    if member is group.leading:
        others = [each for each in group.members if each is not member]
        group.lead(rng.choice(others), rng.randrange(len(group.proposed) + 1))
    if rng.random() < 0.3:
        group.leading.checkpoint()
        member.restore_from(group.leading)
    else:
        member.crash()


def step(rng: random.Random, group: Group, sources: list[Source]) -> None:
    kind, source = rng.random(), rng.choice(sources)
    if kind < 0.3:
        source.write(rng)
    elif kind < 0.5:
        source.send(group)
    elif kind < 0.65:
        source.hear(group, gives_up=rng.random() < 0.3)
    elif kind < 0.8:
        group.commit(rng.randrange(1, 4))
    elif kind < 0.88 and source.late:
        ask(group, rng.choice(source.late))
    elif kind < 0.92:
        if source.under_way is not None:
            source.late.append(source.under_way[0])
        source.lead(rng.randrange(source.delivery.taken_slot + 1))
    elif kind < 0.95:
        change_leader(rng, group)
    elif kind < 0.97:
        restart(rng, group)
    else:
        rng.choice(group.members).checkpoint()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_change_is_taken_once(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    group = Group(tmp_path, index=INDEX)
    sources = [Source(each) for each in SOURCES]
    for _ in range(STEPS):
        step(rng, group, sources)
    for source in sources:
        while source.under_way is not None or source.delivery.taken_slot < len(source.log):
            source.send(group)
            group.commit()
            source.hear(group, gives_up=True)
        for batch in source.late:
            ask(group, batch)
    group.commit()
    expected = sources[0].entries() | sources[1].entries()
    for member in group.members:
        member.catch_up(len(group.log))
        stored = member.store.scan(prefix(TABLE), prefix(TABLE, 1))
        assert {key[PREFIX_BYTES:]: item for key, item in stored} == expected
        assert member.rotten == []
    assert [cursor(group, each.source) <= len(each.log) for each in sources] == [True, True]
    assert sum(each.host.told_committed for each in group.members) > 0, "followers are not left to wait for it"
    group.close()
