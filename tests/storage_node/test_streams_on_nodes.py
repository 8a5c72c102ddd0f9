"""Streams of real nodes: who waits is told, whatever becomes of leaders, and records are there after all that may
happen to nodes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from statorpb import cluster_pb2, partition_pb2, streams_pb2, tables_pb2

from server.model.key_encoding import RECORDS, own_rows
from server.wire import item_from_bytes, item_to_bytes
from storage_node import expiry
from tests.storage_node.nodes import PARTITION, TABLE, NodeSet, RunningNode, delete, key, put, wait_until

STREAM = 60
OK, NOT_LEADER = partition_pb2.OK, partition_pb2.NOT_LEADER
AFTER, HORIZON, LATEST = (
    partition_pb2.StreamDetails.AFTER,
    partition_pb2.StreamDetails.HORIZON,
    partition_pb2.StreamDetails.LATEST,
)


def described(nodes: NodeSet, *, is_closed: bool = False) -> cluster_pb2.PartitionDescriptor:
    """The partition, with a stream."""
    descriptor = nodes.descriptor()
    stream = descriptor.streams.add(number=STREAM, closed=is_closed, retention_ms=86_400_000)
    stream.view_type = tables_pb2.StreamSpecification.NEW_AND_OLD_IMAGES
    return descriptor


async def found(nodes: NodeSet) -> RunningNode:
    """The leader, once it records."""
    await nodes.found(described(nodes))
    await wait_until(lambda: any(records(each) for each in nodes))
    return next(each for each in nodes if records(each))


def records(node: RunningNode) -> bool:
    return node.leads and node.node.replicas[PARTITION].streams.recording is not None


def reading(**details: Any) -> partition_pb2.PartitionRequest:
    request = partition_pb2.PartitionRequest(
        id=1, partition_id=PARTITION, operation=partition_pb2.READ_STREAM, key=key("any"), consistent=True
    )
    request.stream.MergeFrom(partition_pb2.StreamDetails(number=STREAM, **{"records_max": 1_000, **details}))
    return request


def item(name: str, version: int) -> bytes:
    return item_to_bytes({"pk": {"S": name}, "v": {"N": str(version)}})


def rows(node: RunningNode) -> list[tuple[bytes, bytes]]:
    """The records that a node has, by itself."""
    start = own_rows(TABLE, RECORDS, PARTITION)
    return list(node.node._store.scan(start, start + b"\xff" * 17))


class Reader:
    """Follows the stream from its beginning, wherever the leader is, and notes what it is told of each item."""

    def __init__(self, nodes: NodeSet) -> None:
        self.told: list[tuple[str, str, str]] = []  # partition key, v before, v after
        self.sequences: list[int] = []
        self._nodes = nodes
        self._position: int | None = None

    async def follow(self) -> None:
        """For ever."""
        while True:
            leader = next((each for each in self._nodes if each.leads), None)
            if leader is None:
                await asyncio.sleep(0.01)
                continue
            start: dict[str, Any] = {"start": HORIZON}
            if self._position is not None:
                start = {"start": AFTER, "sequence": self._position}
            try:
                asked = leader.ask(reading(wait_ms=1_000, **start))
                answer = await asyncio.wait_for(asyncio.shield(asked), 2)
            except TimeoutError:
                continue  # a node that crashed says nothing more
            if answer.status == OK:
                self._take(answer.stream)
            else:
                assert answer.status in (NOT_LEADER, partition_pb2.NO_LEASE, partition_pb2.NO_STREAM), answer
                await asyncio.sleep(0.01)

    def _take(self, result: partition_pb2.StreamResult) -> None:
        self._position = result.sequence
        for record in result.records:
            images = [getattr(record, name) for name in ("old_image", "new_image")]
            before, after = (item_from_bytes(data)["v"]["N"] if data else "" for data in images)
            self.told.append((item_from_bytes(record.keys)["pk"]["S"], str(before), str(after)))
            self.sequences.append(record.sequence)


async def answered(nodes: NodeSet, request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply:
    """By whoever leads."""
    while True:
        answer = await asyncio.wait_for((await nodes.wait_for_leader()).ask(request), 20)
        if answer.status not in (NOT_LEADER, partition_pb2.NO_LEASE):
            return answer
        await asyncio.sleep(0.01)


async def wait_for_reader(nodes: NodeSet) -> None:
    await wait_until(lambda: any(each.node.replicas[PARTITION].streams._readers for each in nodes))


async def test_who_waits_is_told_at_once(three: NodeSet) -> None:
    """And long before its time is up, also where the stream ends."""
    await found(three)
    latest = await answered(three, reading(start=LATEST, records_max=0))
    request = reading(start=AFTER, sequence=latest.stream.sequence, wait_ms=10_000)
    waiting = asyncio.create_task(answered(three, request))
    await wait_for_reader(three)
    began_s = time.monotonic()
    await three.do(put("a", item("a", 1)))
    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status, len(answer.stream.records), answer.stream.is_end) == (OK, 1, False)
    request = reading(start=AFTER, sequence=answer.stream.sequence, wait_ms=10_000)
    waiting = asyncio.create_task(answered(three, request))
    await wait_for_reader(three)
    for each in three:
        await each.node.assign(cluster_pb2.NodeAssignments(partitions=[described(three, is_closed=True)]))
    last = await asyncio.wait_for(waiting, 5)
    assert (len(last.stream.records), last.stream.is_end) == (0, True)
    assert last.stream.sequence == answer.stream.sequence
    assert time.monotonic() - began_s < 5
    leader = await three.wait_for_leader()
    (report,) = leader.node.leaders()
    assert [(each.number, each.closed, each.last_sequence) for each in report.streams] == [
        (STREAM, True, answer.stream.sequence)
    ]


async def test_who_waits_hears_at_once_that_the_leader_is_another(three: NodeSet) -> None:
    """Or that the partition is not there any more."""
    leader = await found(three)
    waiting = leader.ask(reading(start=LATEST, wait_ms=10_000))
    leader.node.host.hand_over(PARTITION)
    began_s = time.monotonic()
    answer = await asyncio.wait_for(waiting, 5)
    assert answer.status == NOT_LEADER
    second = await three.wait_for_leader()
    waiting = second.ask(reading(start=LATEST, wait_ms=10_000))
    await second.node._drop(PARTITION)
    assert (await asyncio.wait_for(waiting, 5)).status == NOT_LEADER
    assert time.monotonic() - began_s < 5


async def test_every_change_is_told_once_whoever_leads(three: NodeSet) -> None:
    """Leaders hand over and crash while items are written and a reader waits: what it is told is what happened."""
    leader = await found(three)
    reader = Reader(three)
    following = asyncio.create_task(reader.follow())
    written: list[tuple[str, str, str]] = []
    versions = dict.fromkeys(("a", "b", "c"), "")
    for number in range(1, 241):
        name = "abc"[number % 3]
        if number in (60, 180):
            (await three.wait_for_leader()).node.host.hand_over(PARTITION)
        if number == 120:
            leader = await three.wait_for_leader()
            await leader.crash()
        if number == 160:
            await leader.start()
        if number % 17 == 0:
            await three.do(delete(name))
            new = ""
        else:
            await three.do(put(name, item(name, number)))
            new = str(number)
        if versions[name] or new:
            written.append((name, versions[name], new))
        versions[name] = new
    await wait_until(lambda: len(reader.told) >= len(written))
    following.cancel()
    assert reader.told == written
    assert reader.sequences == sorted(set(reader.sequences))


async def test_a_rebuilt_replica_has_the_stream(three: NodeSet) -> None:
    """With all its records; so has one that was restarted."""
    await found(three)
    for number in range(50):
        await three.do(put(f"k{number}", item(f"k{number}", number)))
    away = next(each for each in three if not each.leads)
    await away.stop()
    for number in range(300):
        await three.do(put(f"k{number}", item(f"k{number}", number + 1)))
    for each in three:
        if each.is_running:
            await each.node.checkpoint()
            core = each.node.host.groups[PARTITION].core
            core.trim(core.log.commit_slot)
    leader = await three.wait_for_leader()
    kept = rows(leader)
    assert len(kept) == 350
    await away.start()
    await wait_until(lambda: rows(away) == kept)
    assert away.node.replicas[PARTITION]._restores >= 1
    for each in three:
        await each.crash()
    await away.start()
    second = next(each for each in three if each is not away)
    await second.start()
    leader = await three.wait_for_leader()
    assert [rows(each) == kept for each in (leader, away, second)] == [True] * 3
    assert list(leader.node.replicas[PARTITION].streams.streams) == [STREAM]


async def test_an_expired_item_says_so_in_its_record(three: NodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that somebody deletes does not."""
    monkeypatch.setattr(expiry, "ROUND_S", 0.02)
    monkeypatch.setattr(expiry, "SHARE", 1.0)
    leader = await found(three)
    past = item_to_bytes({"pk": {"S": "past"}, "until": {"N": str(int(time.time()) - 5)}})
    await three.do(put("past", past))
    await three.do(put("other", item("other", 1)))
    await three.do(delete("other"))
    for each in three:
        each.node.expiry.attributes = {PARTITION: "until"}
    await wait_until(lambda: any(each.node.expiry.deleted for each in three))
    answer = await asyncio.wait_for(leader.ask(reading(start=HORIZON)), 5)
    removed = [each for each in answer.stream.records if each.event == streams_pb2.StreamRecord.REMOVE]
    names = [(item_from_bytes(each.keys)["pk"]["S"], each.by_time_to_live) for each in removed]
    assert names == [("other", False), ("past", True)]
    assert removed[1].old_image == past
