"""Streams between nodes: who is taken for whom, and who is not looked for any more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
import structlog
from statorpb import replication_pb2, replication_pb2_grpc

from server.paxos.lease import LeaseConfig, NodeLeases
from server.runtime.clock import now_ns
from server.runtime.disk_watch import SLOW_NS, Fitness
from server.runtime.grpc_server import GrpcServer, start_server
from server.runtime.peers import PeerStreams
from server.runtime.replica_host import ReplicaHost
from tests.server.runtime.test_replica_host import FakeWal


def fail(sentence: str) -> None:
    raise AssertionError(sentence)


class Peer:
    """A node's streams, on a loopback port; it has no groups."""

    def __init__(self, node_id: int) -> None:
        self.streams = PeerStreams(node_id, f"data-{node_id}", lambda: "cluster", fail)
        leases = NodeLeases(LeaseConfig(2_000_000_000, 500_000_000, 0), boot=1, is_first_boot=True, now_ns=now_ns())
        self.host = ReplicaHost(node_id, FakeWal(), self.streams, leases, random.Random(1), now_ns, lambda work: work())
        self.streams.bind(self.host)
        self.server: GrpcServer

    async def start(self) -> None:
        self.server = await start_server(
            "127.0.0.1:0",
            [lambda server: replication_pb2_grpc.add_ReplicationServicer_to_server(self.streams, server)],
            [],
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def stop(self) -> None:
        await self.streams.close()
        await self.server.stop(0)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Peer, Peer]]:
    """Node 5, and node 7 at the address where node 6 was, which 5 still looks for; 5 and 7 have a stream."""
    five, seven = Peer(5), Peer(7)
    await five.start()
    await seven.start()
    five.streams.set_peers({7: seven.address})
    await until(lambda: seven.streams.connected_node_ids() == [5] and five.streams.connected_node_ids() == [7])
    yield five, seven
    await five.stop()
    await seven.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


async def test_who_looks_for_another_is_refused(pair: tuple[Peer, Peer]) -> None:
    """And the stream that is meant for this node stays, with what waits in it."""
    five, seven = pair
    before = seven.streams._connections[5]
    with structlog.testing.capture_logs() as logs:
        five.streams.set_peers({6: seven.address})
        await until(lambda: any(each.get("reason") == "node 5 looks for node 6 here" for each in logs))
        assert not any(each["event"] == "peer disconnected" for each in logs)
    assert seven.streams._connections[5] is before
    assert five.streams.connected_node_ids() == [7]


async def test_who_is_no_more_is_not_looked_for(pair: tuple[Peer, Peer]) -> None:
    """The others are; one that nobody looked for is no matter."""
    five, seven = pair
    five.streams.set_peers({6: seven.address})
    dialers = five.streams._dialers
    former = dialers[6]
    five.streams.forget_peers([6, 8])
    assert dialers.keys() == {7}
    await asyncio.wait([former])
    assert former.cancelled()
    assert five.streams.connected_node_ids() == [7]


async def test_heartbeats_tell_who_had_better_not_lead(pair: tuple[Peer, Peer]) -> None:
    """Whose disk is slow or full, and which groups it must not lead; what an older version sends says nothing of it.
    One that overtakes another takes its place."""
    five, seven = pair
    five.streams.send_heartbeat(7, now_ns(), Fitness(SLOW_NS, False, frozenset({100, 200})))
    await until(lambda: seven.host.disk.worse_node_ids() == {5})
    assert [seven.host.disk.unfit_node_ids(each) for each in (100, 101, 200)] == [{5}, frozenset(), {5}]
    five.streams.send_heartbeat(7, now_ns(), Fitness(SLOW_NS, False, frozenset({100, 200})))
    five.streams.send_heartbeat(7, now_ns(), Fitness(0, True, frozenset({101})))
    await until(lambda: seven.host.disk.unfit_node_ids(101) == {5})
    assert seven.host.disk.unfit_node_ids(100) == frozenset()
    assert seven.host.disk.worse_node_ids() == {5}
    seven.streams._receive(5, replication_pb2.PeerFrame(heartbeat=replication_pb2.Heartbeat(sent_ns=now_ns())))
    assert seven.host.disk.worse_node_ids() == frozenset()


class Mute(replication_pb2_grpc.ReplicationServicer):
    """Takes streams, and says nothing."""

    def __init__(self) -> None:
        self.streams = 0

    async def Exchange(self, request_iterator: object, context: object) -> None:  # type: ignore[override]
        self.streams += 1
        await asyncio.Event().wait()


async def test_who_says_no_hello_is_given_up(pair: tuple[Peer, Peer]) -> None:
    """By who dials, which tries again, and by who was dialled."""
    five, _ = pair
    mute = Mute()
    server = await start_server(
        "127.0.0.1:0", [lambda server: replication_pb2_grpc.add_ReplicationServicer_to_server(mute, server)], []
    )
    five.streams.hello_timeout_s = 0.05
    five.streams.set_peers({8: f"127.0.0.1:{server.port}"})
    await until(lambda: mute.streams > 1)
    five.streams.forget_peers([8])
    await server.stop(0)
    async with grpc.aio.insecure_channel(five.address) as channel:
        call = replication_pb2_grpc.ReplicationStub(channel).Exchange()
        with pytest.raises(grpc.aio.AioRpcError, match="no hello came"):
            await asyncio.wait_for(call.read(), 10)
