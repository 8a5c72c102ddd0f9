"""Changes go to where an index is, and go again until they are taken; what waits is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias, cast

import pytest
from statorpb import cluster_pb2, partition_pb2

from server.model.table import GlobalIndex, KeyAttribute
from server.paxos.ballot import ZERO, Ballot
from storage_node import index_sender
from storage_node.changes import ChangeLog
from storage_node.codec.change import CorruptChangeError, EntryChange
from storage_node.codec.index_batch import decode_batch
from storage_node.index_sender import IndexSender
from storage_node.partition.feeds import Feed
from tests.router.fakes import FakeStorageNode
from tests.storage_node.nodes import wait_until

SOURCE, LOW, HIGH, INDEX = 100, 201, 202, 7
OK = partition_pb2.OK
Status: TypeAlias = partition_pb2.PartitionStatusCode.ValueType


class FakeLog:
    """Changes of one index, a slot each. `taken_slots`: as they were told."""

    def __init__(self) -> None:
        self.feeds = {INDEX: Feed(GlobalIndex(INDEX, "by-x", (KeyAttribute("x", "S"),), (), "ALL", ()))}
        self.on_new: Callable[[], None] = lambda: None
        self.log: list[EntryChange] = []
        self.taken_slots: list[int] = []
        self.read_slot = 0
        self.is_rotten = False

    def write(self, *positions: bytes, size: int = 1) -> None:
        for position in positions:
            self.log.append(EntryChange(INDEX, position, b"i" * size))
        self.on_new()

    def changes(
        self, index_number: int, after_slot: int, bytes_max: int
    ) -> tuple[list[tuple[int, tuple[EntryChange, ...]]], int]:
        if self.is_rotten:
            raise CorruptChangeError("it is no change")
        found: list[tuple[int, tuple[EntryChange, ...]]] = []
        for slot, entry in enumerate(self.log[after_slot:], after_slot + 1):
            if found and bytes_max <= 0:
                break
            found.append((slot, (entry,)))
            bytes_max -= len(entry.item or b"")
        self.read_slot = max(self.read_slot, after_slot + len(found))
        return found, after_slot + len(found)

    def taken(self, index_number: int, slot: int) -> None:
        self.taken_slots.append(slot)

    @property
    def is_taken(self) -> bool:
        return self.taken_slots[-1:] == [len(self.log)]


class Target:
    """A fake node that takes what it is sent, once it is to. `answers`: what it says first instead."""

    def __init__(self) -> None:
        self.slots: dict[int, list[int]] = {}
        self.answers: list[partition_pb2.PartitionReply | None] = []
        self.node = FakeStorageNode(self.answer)

    def answer(self, request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply | None:
        assert (request.operation, request.consistent) == (partition_pb2.TAKE_CHANGES, True)
        if self.answers:
            return self.answers.pop(0)
        batch = decode_batch(request.item)
        if batch.source != SOURCE:
            return partition_pb2.PartitionReply()
        slots = self.slots.setdefault(request.partition_id, [])
        slots += [each.slot for each in batch.entries]
        assert slots == sorted(slots), "in the order of slots, each once"
        return partition_pb2.PartitionReply()


class Sending:
    """A sender, what it reads from, and two nodes that it may send to."""

    def __init__(self) -> None:
        self.ballot = Ballot(1, 1)
        self.rotten: list[tuple[int, str]] = []
        self.log = FakeLog()
        self.targets = [Target(), Target()]
        self.sender = IndexSender(
            lambda partition_id: self.ballot,
            lambda partition_id, sentence: self.rotten.append((partition_id, sentence)),
        )
        self.sender.keep(SOURCE, cast(ChangeLog, self.log))

    async def start(self) -> None:
        for each in self.targets:
            await each.node.start()

    async def stop(self) -> None:
        await self.sender.close()
        for each in self.targets:
            await each.node.stop()

    def route(self, *starts: bytes, leader: int = 1) -> None:
        """Partitions from 201 on, on both nodes."""
        members = [
            cluster_pb2.Member(node_id=node_id, address=target.node.address)
            for node_id, target in enumerate(self.targets, 1)
        ]
        # Not to be asked: it would be the next one.
        members.insert(1, cluster_pb2.Member(node_id=3, address=self.targets[0].node.address, log_only=True))
        route = cluster_pb2.IndexRoute(number=INDEX)
        for number, start in enumerate(starts):
            route.partitions.add(partition_id=LOW + number, range_start=start, members=members, leader_node_id=leader)
        self.sender.set_routes([route])


@pytest.fixture
async def sending() -> AsyncIterator[Sending]:
    made = Sending()
    await made.start()
    yield made
    await made.stop()


def refusal(status: Status, leader: int = 0) -> partition_pb2.PartitionReply:
    return partition_pb2.PartitionReply(status=status, leader_node_id=leader)


async def test_each_partition_gets_what_is_its(sending: Sending) -> None:
    """From where the feed is, as soon as it is known where the index is; then what comes, as it comes."""
    sending.log.log = [EntryChange(INDEX, position, b"i") for position in (b"a", b"a", b"p", b"b")]
    sending.log.feeds[INDEX] = Feed(sending.log.feeds[INDEX].index, taken_slot=1)
    sending.log.on_new()
    sending.route()
    sending.route(b"", b"k")
    await wait_until(lambda: sending.log.is_taken)
    sending.log.write(b"z", b"c")
    await wait_until(lambda: sending.log.is_taken)
    assert sending.targets[0].slots == {LOW: [2, 4, 6], HIGH: [3, 5]}
    assert sending.log.taken_slots == sorted(sending.log.taken_slots)
    assert sending.targets[1].node.requests == []


async def test_a_route_that_names_nobody_is_none(sending: Sending) -> None:
    """It is waited for one that does."""
    sending.sender.set_routes(
        [cluster_pb2.IndexRoute(number=INDEX, partitions=[cluster_pb2.PartitionRoute(partition_id=LOW)])]
    )
    sending.log.write(b"a")
    sending.route(b"")
    await wait_until(lambda: sending.log.is_taken)


@pytest.mark.parametrize(
    ("answers", "others"),
    [
        ([refusal(partition_pb2.NOT_LEADER, leader=2)], 1),
        ([refusal(partition_pb2.NOT_LEADER)], 1),
        ([refusal(partition_pb2.NOT_MINE)], 1),
        ([refusal(partition_pb2.NO_LEASE)], 1),
        ([refusal(partition_pb2.THROTTLED)] * 3, 0),
        ([refusal(partition_pb2.STORAGE_FULL)], 0),
        ([refusal(partition_pb2.UNKNOWN_OUTCOME)] * 2, 0),
        ([refusal(partition_pb2.INVALID)], 0),
        ([None], 1),
    ],
)
async def test_what_is_not_taken_is_sent_again(
    sending: Sending,
    answers: list[partition_pb2.PartitionReply | None],
    others: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To who is said to lead, or may, and else to the same node."""
    monkeypatch.setattr("storage_node.partition_client.ANSWER_TIMEOUT_S", 0.3)
    sending.targets[0].answers = list(answers)
    sending.route(b"")
    sending.log.write(b"a", b"b")
    await wait_until(lambda: sending.log.is_taken)
    assert len(sending.targets[0].node.requests) == len(answers) + 1 - others
    assert len(sending.targets[1].node.requests) == others


async def test_sources_share_what_they_learn(sending: Sending) -> None:
    """Both hear of one node that it does not lead: they turn to the next one, and not by two."""
    other = FakeLog()
    sending.sender.keep(SOURCE + 1, cast(ChangeLog, other))
    sending.targets[0].answers = [refusal(partition_pb2.NOT_LEADER)] * 2
    sending.route(b"")
    for each in (sending.log, other):
        each.write(b"a")
    await wait_until(lambda: sending.log.is_taken and other.is_taken)
    assert [len(each.node.requests) for each in sending.targets] == [2, 2]


async def test_who_is_to_be_left_alone_is(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while after a refusal, whatever is written meanwhile."""
    monkeypatch.setattr("storage_node.partition.aim.BACKOFF_S_MIN", 1_000.0)
    monkeypatch.setattr("storage_node.partition.aim.BACKOFF_S_MAX", 1_000.0)
    sending.targets[0].answers = [refusal(partition_pb2.THROTTLED)]
    sending.route(b"")
    sending.log.write(b"a")
    await wait_until(lambda: any(each.waiting for each in sending.sender._courses.values()))
    sending.log.write(b"b")
    sending.sender.tend()
    await wait_until(lambda: not sending.sender._is_due)
    (course,) = sending.sender._courses.values()
    assert course.delivery.idle() == [LOW]
    sending.sender._again(course, LOW)
    await wait_until(lambda: sending.log.is_taken)
    assert sending.targets[0].slots == {LOW: [1, 2]}


async def test_nodes_that_cannot_be_reached(sending: Sending) -> None:
    """The next one is asked, and in the end one is there."""
    for each in sending.targets:
        await each.node.stop()
    sending.route(b"")
    sending.log.write(b"a")
    await sending.targets[1].node.start(sending.targets[1].node.address)
    await wait_until(lambda: sending.log.is_taken)
    assert sending.targets[1].slots == {LOW: [1]}


async def test_only_a_leader_sends(sending: Sending) -> None:
    """Who led before begins again where the feed is; what is not here any more sends nothing."""
    sending.ballot = ZERO
    sending.route(b"")
    sending.log.write(b"a")
    await wait_until(lambda: not sending.sender._is_due)
    assert sending.sender._courses == {}
    sending.ballot = Ballot(2, 1)
    sending.sender.tend()
    await wait_until(lambda: sending.log.is_taken)
    sending.targets[0].slots.clear()
    sending.ballot = Ballot(3, 1)
    sending.sender.tend()
    await wait_until(lambda: sending.targets[0].slots == {LOW: [1]})
    sending.sender.drop(SOURCE)
    sending.sender.tend()
    assert sending.sender._courses == {}
    sending.log.write(b"b")
    await wait_until(lambda: not sending.sender._is_due)
    assert sending.sender._courses == {}


async def test_an_index_that_is_divided(sending: Sending) -> None:
    """What was under way to one partition goes to those that have its place."""
    sending.targets[0].answers = [None]
    sending.route(b"")
    sending.log.write(b"a", b"z")
    await sending.targets[0].node.was_asked.wait()
    sending.route(b"", b"k")
    await wait_until(lambda: sending.log.is_taken)
    assert sending.targets[0].slots == {LOW: [1], HIGH: [2]}


async def test_what_waits_is_bounded(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the node as a whole: a partition for which something waits reads no more, one for which nothing does a bit."""
    monkeypatch.setattr(index_sender, "NODE_WAITING_BYTES_MAX", 1_000)
    monkeypatch.setattr(index_sender, "READ_BYTES_MAX", 3_000)
    monkeypatch.setattr(index_sender, "READ_BYTES_MIN", 500)
    other = FakeLog()
    sending.sender.keep(SOURCE + 1, cast(ChangeLog, other))
    for each in sending.targets:
        each.answers = [refusal(partition_pb2.THROTTLED)] * 1_000
    sending.route(b"")
    sending.log.write(*[b"a"] * 100, size=100)
    await wait_until(lambda: len(sending.targets[0].node.requests) > 3)
    assert sending.log.read_slot == 30
    other.write(*[b"a"] * 100, size=100)
    count = len(sending.targets[0].node.requests)
    await wait_until(lambda: len(sending.targets[0].node.requests) > count + 3)
    assert (sending.log.read_slot, other.read_slot) == (30, 5)
    sending.sender.drop(SOURCE + 1)
    sending.sender.tend()
    assert sending.sender._waiting_bytes == sum(c.delivery.waiting_bytes for c in sending.sender._courses.values())
    sending.targets[0].answers.clear()
    await wait_until(lambda: sending.log.is_taken)
    assert sending.sender._waiting_bytes == 0


async def test_changes_that_cannot_be_read(sending: Sending) -> None:
    """It is told; nothing is sent of them."""
    sending.route(b"")
    sending.log.is_rotten = True
    sending.log.write(b"a")
    await wait_until(lambda: bool(sending.rotten))
    assert sending.rotten[0] == (SOURCE, "it is no change")
    sending.log.is_rotten = False
    sending.sender.tend()
    await wait_until(lambda: sending.log.is_taken)
