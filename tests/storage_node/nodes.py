"""Storage nodes in the test's own process: real logs, B-trees, replicas and streams, without a metadata service."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stator.local.ports import INTERNAL_PORT_MIN
from statorpb import cluster_pb2, partition_pb2, partition_pb2_grpc, replication_pb2_grpc

from server.model.key_encoding import hash_key, prefix
from server.runtime.grpc_server import GrpcServer, start_server
from server.runtime.identity import Identity, release
from server.wire import item_to_bytes
from storage_node.config import MIB, Config
from storage_node.node import StorageNode
from storage_node.service import PartitionService

PARTITION = 100
TABLE = 1
_tokens = itertools.count(1)


class FatalError(Exception):
    """What would have ended the process."""


def fail(sentence: str) -> None:
    raise FatalError(sentence)


def key(name: str, table: int = TABLE) -> bytes:
    """The encoded key of an item without a sort key."""
    return prefix(table) + hash_key("S", name)


def token() -> bytes:
    """One that no other request has."""
    return next(_tokens).to_bytes(16, "big")


def item(name: str, content: bytes = b"", **attributes: Any) -> bytes:
    """An item in canonical form, for what looks into it."""
    return item_to_bytes({"pk": {"S": name}, "content": {"B": content}, **attributes})


def put(name: str, item: bytes, **fields: object) -> partition_pb2.PartitionRequest:
    return _request(partition_pb2.PUT, name, item=item, **{"token": token(), **fields})


def delete(name: str, **fields: object) -> partition_pb2.PartitionRequest:
    return _request(partition_pb2.DELETE, name, **{"token": token(), **fields})


def get(name: str, *, consistent: bool = True, **fields: object) -> partition_pb2.PartitionRequest:
    return _request(partition_pb2.GET, name, consistent=consistent, **fields)


def scan(*, consistent: bool = True, **fields: object) -> partition_pb2.PartitionRequest:
    request = _request(partition_pb2.SCAN, "", consistent=consistent, **fields)
    request.key = prefix(TABLE)
    request.scan.end_key = prefix(TABLE, 1)
    return request


def _request(
    operation: partition_pb2.PartitionOperation.ValueType, name: str, **fields: object
) -> partition_pb2.PartitionRequest:
    request = partition_pb2.PartitionRequest(id=7, operation=operation, partition_id=PARTITION, key=key(name))
    request.MergeFrom(partition_pb2.PartitionRequest(**fields))  # type: ignore[arg-type]
    return request


async def wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


_lasting_ports = deque(random.sample(range(10_000, INTERNAL_PORT_MIN), INTERNAL_PORT_MIN - 10_000))


def lasting_port() -> int:
    """A port that is free, and that the system gives to nobody while who had it is down: none of those that it gives to
    whoever asks for any, and none that a local cluster chooses. It is not given a second time soon: who had it first
    may be down at the moment."""
    while True:
        port = _lasting_ports[0]
        _lasting_ports.rotate(-1)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RunningNode:
    """One node on a loopback port of its own, which it keeps over restarts."""

    def __init__(self, directory: Path, node_id: int, **options: object) -> None:
        self.directory = directory
        self.node_id = node_id
        self.is_running = False
        self.fatal: list[str] = []
        self.node: StorageNode
        self._options = options
        self._port = lasting_port()
        self._server: GrpcServer | None = None

    @property
    def member(self) -> cluster_pb2.Member:
        return cluster_pb2.Member(node_id=self.node_id, zone=f"zone-{self.node_id}", address=f"127.0.0.1:{self._port}")

    def config(self) -> Config:
        options: dict[str, object] = {
            "name": f"storage-{self.node_id}",
            "zone": f"zone-{self.node_id}",
            "data": str(self.directory),
            "metadata": ("127.0.0.1:1",),
            "advertise": "127.0.0.1:1",
            "wal_segment_bytes": 16 * MIB,
            "memtable_bytes": MIB,
            "map_bytes": 4 * MIB,
            "disk_reserve_bytes": 0,
            "lease_ms": 600,
            "heartbeat_ms": 60,
            **self._options,
        }
        config = Config(**options)  # type: ignore[arg-type]
        assert config.problems() == []
        return config

    async def start(self, **options: object) -> None:
        """In a new life; `options` replace the configuration's from now on."""
        self._options.update(options)
        identity = Identity.load_or_create(self.directory, f"storage-{self.node_id}")
        if not identity.node_id:
            identity = identity.joined(self.node_id, "cluster")
        self.node = StorageNode(self.config(), identity, self.fatal.append)
        self._server = await start_server(
            f"127.0.0.1:{self._port}",
            [
                lambda server: replication_pb2_grpc.add_ReplicationServicer_to_server(self.node.peers, server),
                lambda server: partition_pb2_grpc.add_PartitionsServicer_to_server(PartitionService(self.node), server),
            ],
            [],
        )
        self.is_running = True
        await self.node.start()

    async def stop(self) -> None:
        """Ends this life; whatever it was in the middle of."""
        if not self.is_running:
            return
        self.is_running = False
        await self.node.hand_over()
        assert self._server is not None
        await self._server.stop(0)
        await self.node.stop()
        release(self.directory)

    async def crash(self) -> None:
        """As `stop`, but nothing is handed over."""
        self.node.replicas.clear()
        await self.stop()

    async def abandon(self) -> None:
        """After a start that failed."""
        self.is_running = False
        assert self._server is not None
        await self._server.stop(0)
        release(self.directory)

    def ask(self, request: partition_pb2.PartitionRequest) -> asyncio.Future[partition_pb2.PartitionReply]:
        """The answer to a router's request; it is there already where the node answers at once."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[partition_pb2.PartitionReply] = loop.create_future()

        def reply(
            request_id: int,
            status: partition_pb2.PartitionStatusCode.ValueType,
            item: bytes = b"",
            leader_node_id: int = 0,
            message: str = "",
            extra_bytes: int = 0,
        ) -> partition_pb2.PartitionReply:
            answer = partition_pb2.PartitionReply(
                id=request_id, status=status, item=item, leader_node_id=leader_node_id, message=message
            )
            answered.set_result(answer)  # the node may fill in more before it gives up control
            return answer

        self.node.serve(request, reply)
        return answered

    async def status(self, request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionStatusCode.ValueType:
        return (await asyncio.wait_for(self.ask(request), 20)).status

    @property
    def leads(self) -> bool:
        return self.is_running and self.node.host.is_serving_leader(PARTITION)

    def segments(self) -> list[Path]:
        return sorted((self.directory / "wal").glob("*.wal"))


class NodeSet:
    """Nodes in one zone each, and partition 100 on all of them."""

    def __init__(self, directory: Path, count: int, **options: object) -> None:
        self.nodes = [RunningNode(directory / f"node-{each}", each, **options) for each in range(1, count + 1)]

    def __iter__(self) -> Iterator[RunningNode]:
        return iter(self.nodes)

    def descriptor(self, partition_id: int = PARTITION, table: int = TABLE) -> cluster_pb2.PartitionDescriptor:
        return cluster_pb2.PartitionDescriptor(
            partition_id=partition_id,
            table_number=table,
            table_name=f"table-{table}",
            members=[each.member for each in self.nodes],
            fresh=True,
            partition_key=cluster_pb2.KeyAttribute(name="pk", type="S"),
        )

    async def found(self, descriptor: cluster_pb2.PartitionDescriptor | None = None) -> RunningNode:
        """Starts all nodes and creates the partition, with the members where `descriptor` has none; its leader."""
        for each in self.nodes:
            await each.start()
        described = descriptor or self.descriptor()
        described.ClearField("members")
        described.members.extend(each.member for each in self.nodes)
        for each in self.nodes:
            await each.node.assign(cluster_pb2.NodeAssignments(partitions=[described]))
        return await self.wait_for_leader()

    async def wait_for_leader(self) -> RunningNode:
        found: list[RunningNode] = []

        def look() -> bool:
            # Once: a lease may be over by the next time.
            found.extend(each for each in self.nodes if each.leads)
            return bool(found)

        await wait_until(look)
        return found[0]

    async def do(self, request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply:
        """As a router does it: the leader, whoever that is, until it is done."""
        deadline = time.monotonic() + 20
        while True:
            leader = await self.wait_for_leader()
            answer = await asyncio.wait_for(leader.ask(request), 20)
            if answer.status in (partition_pb2.OK, partition_pb2.NOT_FOUND):
                return answer
            assert time.monotonic() < deadline, f"it is always answered {answer}"
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for each in self.nodes:
            await each.stop()


def serves(node: RunningNode, name: str) -> bool:
    """Whether the node by itself has the item, and may serve it to who asks for an eventually consistent read."""
    answered = node.ask(get(name, consistent=False))
    return answered.done() and answered.result().status == partition_pb2.OK


def flip(path: Path, position: int) -> None:
    """One bit of a file that nobody has open."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def flip_all(path: Path, needle: bytes) -> int:
    """One bit in every place where `needle` is; how many there are."""
    data = bytearray(path.read_bytes())
    position, count = data.find(needle), 0
    while position >= 0:
        data[position] ^= 1
        position, count = data.find(needle, position + 1), count + 1
    path.write_bytes(data)
    return count
