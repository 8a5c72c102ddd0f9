"""Streams between nodes: who is taken for whom, and who is not looked for any more."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import structlog
from statorpb import replication_pb2, replication_pb2_grpc

from server.paxos.lease import LeaseConfig, NodeLeases
from server.runtime import frame_connection, peers
from server.runtime.clock import now_ns
from server.runtime.disk_watch import SLOW_NS, Fitness
from server.runtime.frame_connection import FrameConnection, FrameListener
from server.runtime.grpc_server import GrpcServer, start_server
from server.runtime.peers import PeerStreams
from server.runtime.replica_host import ReplicaHost
from tests.server.runtime.test_replica_host import FakeWal


def fail(sentence: str) -> None:
    raise AssertionError(sentence)


class Peer:
    """A node's streams, on a loopback port; it has no groups. Frames go over connections."""

    def __init__(self, node_id: int) -> None:
        self.listener = FrameListener()
        self.streams = PeerStreams(node_id, f"data-{node_id}", lambda: "cluster", fail, self.listener)
        leases = NodeLeases(LeaseConfig(2_000_000_000, 500_000_000, 0), boot=1, is_first_boot=True, now_ns=now_ns())
        self.host = ReplicaHost(node_id, FakeWal(), self.streams, leases, random.Random(1), now_ns, lambda work: work())
        self.streams.bind(self.host)
        self.server: GrpcServer

    async def start(self) -> None:
        await self.listener.start("127.0.0.1:0")
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
        self.listener.stop()
        await self.server.stop(0)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Peer, Peer]]:
    """Node 5, and node 7 at the address where node 6 was, which 5 still looks for; 5 and 7 have a stream."""
    five, seven = Peer(5), Peer(7)
    await five.start()
    await seven.start()
    five.streams.set_peers({7: seven.address})
    await until_connected(five, seven)
    yield five, seven
    await five.stop()
    await seven.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


async def until_connected(five: Peer, seven: Peer) -> None:
    await until(lambda: seven.streams.connected_node_ids() == [5] and five.streams.connected_node_ids() == [7])


async def until_heard(sender: Peer, receiver: Peer, node_id: int) -> None:
    """What one sends now comes to the other, once."""
    heard = receiver.host.disk.unfit_node_ids(1)
    is_unfit = node_id not in heard
    fitness = Fitness(0, False, frozenset({1} if is_unfit else ()))
    to = 7 if node_id == 5 else 5
    sender.streams.send_heartbeat(to, now_ns(), fitness)
    await until(lambda: (node_id in receiver.host.disk.unfit_node_ids(1)) == is_unfit)


async def test_frames_go_over_a_connection(connections: list[FrameConnection[Any]], pair: tuple[Peer, Peer]) -> None:
    """One for the pair, both ways; when it breaks, on whichever side, the next stream has one, too."""
    five, seven = pair
    for side in range(4):
        assert len(connections) == 2 * side + 2
        ends = connections[-2:]
        heard_s = [each._heard_s for each in ends]
        await until_heard(five, seven, 5)
        await until_heard(seven, five, 7)
        assert all(each._heard_s > before_s for each, before_s in zip(ends, heard_s, strict=True))
        ends[side % 2].cancel()
        await until(lambda: not five.streams.connected_node_ids() and not seven.streams.connected_node_ids())
        await until_connected(five, seven)


async def test_the_connection_ends_with_the_stream(
    connections: list[FrameConnection[Any]], pair: tuple[Peer, Peer]
) -> None:
    """As where gRPC finds out that the other side is gone."""
    five, seven = pair
    await five.server.stop(0)
    await seven.server.stop(0)
    await until(lambda: not five.streams.connected_node_ids() and not seven.streams.connected_node_ids())
    assert all(each._has_ended for each in connections)


@pytest.mark.parametrize("other", ["offers none", "has none", "takes none"])
async def test_grpc_carries_frames_where_there_is_no_connection(
    other: str, connections: list[FrameConnection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version on either side, or a firewall between them."""
    five, seven = Peer(5), Peer(7)
    await five.start()
    await seven.start()
    if other == "offers none":
        seven.listener.port = 0
    elif other == "has none":
        seven.listener.stop()
        await asyncio.sleep(0)
        seven.listener.port = 1
    else:
        hello = five.streams._hello

        def older(*arguments: Any) -> replication_pb2.PeerFrame:
            frame = hello(*arguments)
            frame.hello.ClearField("may_take_connection")
            return frame

        monkeypatch.setattr(five.streams, "_hello", older)
    five.streams.set_peers({7: seven.address})
    await until_connected(five, seven)
    await until_heard(five, seven, 5)
    await until_heard(seven, five, 7)
    assert all(each._has_ended for each in connections)
    await five.stop()
    await seven.stop()


async def test_the_side_that_is_asked_notices_silence_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A way may be dead in one direction."""
    monkeypatch.setattr(peers, "SILENCE_S", 0.3)
    five, seven = Peer(5), Peer(7)
    await five.start()
    await seven.start()
    five.streams.set_peers({7: seven.address})
    await until_connected(five, seven)
    former = seven.streams._connections[5]
    await until(lambda: seven.streams.connected_node_ids() == [5] and seven.streams._connections[5] is not former)
    await five.stop()
    await seven.stop()


async def test_who_has_nothing_to_say_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nothing comes would be taken for dead; and where one is, there is another soon."""
    monkeypatch.setattr(frame_connection, "SILENCE_S", 0.3)
    monkeypatch.setattr(peers, "SAY_S", 0.02)
    five, seven = Peer(5), Peer(7)
    await five.start()
    await seven.start()
    with structlog.testing.capture_logs() as logs:
        five.streams.set_peers({7: seven.address})
        await until_connected(five, seven)
        former = seven.streams._connections[5]
        await asyncio.sleep(1.0)
        assert seven.streams._connections[5] is former
        monkeypatch.setattr(peers, "SAY_S", 60.0)
        await until(lambda: any(each["event"] == "a connection for frames is dead" for each in logs))
        await until(lambda: seven.streams.connected_node_ids() == [5] and seven.streams._connections[5] is not former)
    await five.stop()
    await seven.stop()


class Dialled:
    """A stream to a node that says it comes from node 5, as node 5 would: its hello is answered."""

    def __init__(self, to: Peer) -> None:
        self._channel = grpc.aio.insecure_channel(to.address)
        self.call = replication_pb2_grpc.ReplicationStub(self._channel).Exchange()

    async def hello(self) -> None:
        hello = replication_pb2.Hello(
            node_id=5,
            expected_node_id=7,
            protocol_version=1,
            cluster_id="cluster",
            data_id="data-5",
            may_take_connection=True,
        )
        await self.call.write(replication_pb2.PeerFrame(hello=hello))
        answer = await self.call.read()
        assert isinstance(answer, replication_pb2.PeerFrame)
        assert answer.hello.connection_offer.port

    async def end(self) -> None:
        self.call.cancel()
        await self._channel.close()


@pytest.mark.parametrize("how", ["answers late", "ends without an answer", "ends after it"])
async def test_a_stream_that_was_given_up_does_not_come_back(how: str) -> None:
    """Its end may come long after another has taken its place, which stays, and is heard on."""
    five, seven = Peer(5), Peer(7)
    await five.start()
    await seven.start()
    older = Dialled(seven)
    await older.hello()
    if how == "ends after it":
        await older.call.write(replication_pb2.PeerFrame(takes_connection=False))
        await until(lambda: seven.streams.connected_node_ids() == [5])
    five.streams.set_peers({7: seven.address})
    await until(lambda: five.streams.connected_node_ids() == [7])
    await until_heard(five, seven, 5)
    newer = seven.streams._connections[5]
    if how == "answers late":
        await older.call.write(replication_pb2.PeerFrame(takes_connection=False))
        assert await older.call.read() is grpc.aio.EOF
    elif how == "ends after it":
        async with asyncio.timeout(15):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while isinstance(await older.call.read(), replication_pb2.PeerFrame):
                    pass
        assert older.call.done()
    await older.end()
    await until_heard(seven, five, 7)
    assert seven.streams._connections[5] is newer
    await five.stop()
    await seven.stop()


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
        with pytest.raises(grpc.aio.AioRpcError, match="no hello came, or no answer"):
            await asyncio.wait_for(call.read(), 10)
