"""What is pushed of a stream while processes fail: everything, once, in its order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import stator
from statorpb import streams_pb2

from tests.cluster.harness import LocalCluster, Workload, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

Position = streams_pb2.StreamPosition
_OLDEST = Position(type=Position.TRIM_HORIZON)
SETTLED_S_MAX = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("subscriptions")) as running:
        yield running


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[stator.AsyncClient]:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=15.0) as opened:
        yield opened


@dataclass
class Subscriber:
    """Reads one shard through the routers, one after the other: through the next when one says that it stops."""

    channels: list[grpc.aio.Channel]
    stream_arn: str
    shard_id: str
    numbers: dict[str, list[int]] = field(default_factory=dict)  # of each key, in the order in which they came
    sequences: list[str] = field(default_factory=list)
    endings: list[grpc.StatusCode] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    position: streams_pb2.StreamPosition = field(default_factory=lambda: _OLDEST)

    async def run(self) -> None:
        """Until the shard ends."""
        while True:
            subscribe: Any = self.channels[len(self.endings) % len(self.channels)].unary_stream(
                "/stator.v1.Streams/Subscribe",
                request_serializer=streams_pb2.SubscribeRequest.SerializeToString,
                response_deserializer=streams_pb2.SubscribeResponse.FromString,
            )
            request = streams_pb2.SubscribeRequest(
                stream_arn=self.stream_arn, shard_id=self.shard_id, position=self.position
            )
            try:
                async for message in subscribe(request, timeout=120):
                    self._take(message)
            except grpc.aio.AioRpcError as error:
                self.endings.append(error.code())
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                return

    def _take(self, message: streams_pb2.SubscribeResponse) -> None:
        self.heard_at.append(time.monotonic())
        self.position = Position(type=Position.AFTER_SEQUENCE_NUMBER, sequence_number=message.sequence_number)
        for record in message.records:
            self.sequences.append(record.sequence_number)
            new = record.new_image.attributes
            self.numbers.setdefault(new["pk"].s, []).append(int(new["number"].n))

    def check(self, load: Workload) -> None:
        """That this was told of what was acknowledged, and of nothing twice."""
        assert self.sequences == sorted(set(self.sequences))
        for key, numbers in self.numbers.items():
            assert numbers == sorted(set(numbers)), key
            # A worker writes every fourth number to a key; those that were refused may be missing, and none was.
            assert numbers == list(range(numbers[0], load.acknowledged[key] + 1, load.keys_each)), key
            assert numbers[0] <= load.keys_each


@dataclass
class Rig:
    """A table with a stream, and whoever reads all of its shards."""

    cluster: LocalCluster
    client: stator.AsyncClient
    table: str
    subscribers: list[Subscriber]
    tasks: list[asyncio.Task[None]]

    async def end(self, load: Workload) -> None:
        """Ends the stream. What was written is told by then."""
        await self.client.update_table(self.table, stream="OFF")
        async with asyncio.timeout(SETTLED_S_MAX):
            await asyncio.gather(*self.tasks)
        for subscriber in self.subscribers:
            subscriber.check(load)
        told = {key for subscriber in self.subscribers for key in subscriber.numbers}
        assert told == load.acknowledged.keys()

    def longest_silence_s(self, after: float) -> float:
        """Between two messages to anybody."""
        times = sorted(each for subscriber in self.subscribers for each in subscriber.heard_at if each > after)
        return max((two - one for one, two in pairwise(times)), default=0.0)


@pytest_asyncio.fixture
async def rig(cluster: LocalCluster, client: stator.AsyncClient, request: Any) -> AsyncIterator[Rig]:
    table = request.function.__name__.replace("_", "-")
    await client.create_table(table, partition_key=("pk", "S"), partitions=3, stream="NEW_IMAGE")
    await client.wait_until_table_active(table)
    await wait_for_leaders(client, table, 3)
    channels = [grpc.aio.insecure_channel(endpoint) for endpoint in cluster.endpoints]
    describe: Any = channels[0].unary_unary("/stator.v1.Streams/DescribeStream")
    described = await client.describe_table(table)
    arn = f"arn:aws:dynamodb:local:000000000000:table/{table}/stream/{described.latest_stream_label}"
    answer = await describe(streams_pb2.DescribeStreamRequest(stream_arn=arn).SerializeToString(), timeout=20)
    shards = streams_pb2.DescribeStreamResponse.FromString(answer).stream.shards
    subscribers = [Subscriber(channels, arn, shard.shard_id) for shard in shards]
    assert len(subscribers) == 3
    tasks = [asyncio.create_task(each.run()) for each in subscribers]
    yield Rig(cluster, client, table, subscribers, tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for channel in channels:
        await channel.close()


async def in_thread(cluster: LocalCluster, command: str, *names: str) -> None:
    await asyncio.to_thread(cluster.local, command, *names)


async def test_a_leader_that_dies(rig: Rig) -> None:
    """Delays what its partitions tell; the calls go on."""
    leaders = await wait_for_leaders(rig.client, rig.table, 3)
    leader = leaders[min(leaders)]
    async with Workload(rig.client, rig.table, workers=16) as load:
        await load.wait_writes(300)
        killed_at = time.monotonic()
        await in_thread(rig.cluster, "kill", leader)
        await load.wait_writes(1_000)
        await in_thread(rig.cluster, "start", leader)
        await load.wait_writes(300)
    assert not load.errors, load.errors[:3]
    await rig.end(load)
    silence_s = rig.longest_silence_s(killed_at)
    print(f"leader killed: {len(load.acknowledged_at)} writes told once, nothing heard for {silence_s:.2f} s at most")
    assert [subscriber.endings for subscriber in rig.subscribers] == [[], [], []]


async def test_a_node_that_is_stopped(rig: Rig) -> None:
    """Hands its partitions over; the calls go on."""
    leaders = await wait_for_leaders(rig.client, rig.table, 3)
    async with Workload(rig.client, rig.table, workers=16) as load:
        await load.wait_writes(300)
        await in_thread(rig.cluster, "stop", leaders[min(leaders)])
        await load.wait_writes(500)
        await in_thread(rig.cluster, "start", leaders[min(leaders)])
    assert not load.errors, load.errors[:3]
    await rig.end(load)
    assert [subscriber.endings for subscriber in rig.subscribers] == [[], [], []]


async def test_a_router_that_is_stopped(rig: Rig) -> None:
    """Says so, and whoever goes on at the next misses nothing and is told nothing twice."""
    async with Workload(rig.client, rig.table, workers=16) as load:
        await load.wait_writes(300)
        await in_thread(rig.cluster, "stop", "router-1")
        await load.wait_writes(500)
        await in_thread(rig.cluster, "start", "router-1")
    assert not load.errors, load.errors[:3]
    await rig.end(load)
    assert [subscriber.endings for subscriber in rig.subscribers] == [[grpc.StatusCode.UNAVAILABLE]] * 3
