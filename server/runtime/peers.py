"""Streams between nodes: one for each pair, shared by all groups that the two have in common.

The node with the lower id opens the stream and opens it again whenever it breaks. What is to be sent while a write is
on its way gathers into the next frame. A peer that does not read (stopped, cut off) costs bounded memory: past the
bound messages are dropped, which the cores are made for.

The frames go over a connection of their own where the node that is asked offers one, and it can be had
(frame_connection.py); which way they go is settled before the first is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import crc32c
import grpc
import structlog
from statorpb import connection_pb2, replication_pb2, replication_pb2_grpc

from server.gathering import gather_arrivals
from server.paxos.lease import Grant
from server.paxos.messages import PeerMessage
from server.runtime.disk_watch import Fitness
from server.runtime.frame_connection import SILENCE_S, FrameListener, FrameStream, Offer, connected
from server.runtime.grpc_server import channel_options
from server.runtime.peer_codec import MalformedMessageError, decode_message, encode_message
from server.runtime.replica_host import ReplicaHost

PROTOCOL_VERSION = 1

FRAME_BYTES_MAX = 8 * 1024 * 1024
"""A frame is closed once it holds this much; a single message never exceeds the 16 MB a stream takes."""

QUEUE_BYTES_MAX = 32 * 1024 * 1024
"""What may wait for one peer."""

MESSAGE_OVERHEAD_BYTES = 64
COMMITTED_BYTES = 12
"""Of a frame for each group in a grant."""

SAY_S = 3.0
"""A peer hears something as often as this, though there is nothing to say: nodes without a group in common have no
heartbeats, and a connection on which nothing comes is taken for dead (frame_connection.SILENCE_S)."""

HELLO_TIMEOUT_S = 3.0
TAKE_TIMEOUT_S = 1.0
"""For an offered connection: nobody waits for an answer here, and what is not taken now is not for as long as the
stream lasts. Less than what the other side waits for the answer to its offer."""
RECONNECT_MIN_S = 0.05
RECONNECT_MAX_S = 1.0

_BROKEN = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, ConnectionError)
"""What reading and writing end with where the other side is gone."""

log = structlog.get_logger()


class PeerRefusedError(Exception):
    """The other side is not who it should be; the sentence says why."""


class _Connection:
    """What waits for one peer, and the loop that writes it. `end`: ends its stream."""

    end: Callable[[], object]

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self._frames: list[replication_pb2.PeerFrame] = []
        self._sizes: list[int] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self.dropped = 0

    def frame(self, size: int) -> replication_pb2.PeerFrame | None:
        """The frame to add a message of `size` bytes to; None: no more may wait."""
        if self._bytes + size > QUEUE_BYTES_MAX:
            self.dropped += 1
            return None
        if not self._frames or self._sizes[-1] + size > FRAME_BYTES_MAX:
            self._frames.append(replication_pb2.PeerFrame())
            self._sizes.append(0)
        self._sizes[-1] += size
        self._bytes += size
        self._wake.set()
        return self._frames[-1]

    async def write_all(self, write: Callable[[replication_pb2.PeerFrame], Awaitable[None]]) -> None:
        """Writes what waits, for as long as the stream lives."""
        while True:
            if not self._frames:
                self._wake.clear()
                await self._wake.wait()
                await gather_arrivals()
            frame = self._frames.pop(0)
            self._bytes -= self._sizes.pop(0)
            await write(frame)

    async def say(self) -> None:
        """Says something every SAY_S, for as long as the stream lives."""
        while True:
            await asyncio.sleep(SAY_S)
            if not self._frames:
                self.frame(0)


class PeerStreams(replication_pb2_grpc.ReplicationServicer):
    """This node's streams to its peers; the host's Transport. Call `bind` once the host exists.

    `fail(sentence)` ends the process: an exception out of the host leaves a replica that must not go on.
    `listener`: of the connections that are offered for frames; None: none is."""

    def __init__(
        self,
        node_id: int,
        data_id: str,
        cluster_id: Callable[[], str],
        fail: Callable[[str], None],
        listener: FrameListener | None = None,
    ) -> None:
        self._node_id = node_id
        self._listener = listener or FrameListener()
        self._data_id = data_id
        self._cluster_id = cluster_id
        self.hello_timeout_s = HELLO_TIMEOUT_S
        self._fail = fail
        self._host: ReplicaHost | None = None
        self._connections: dict[int, _Connection] = {}
        self._addresses: dict[int, str] = {}
        self._dialers: dict[int, asyncio.Task[None]] = {}
        self._known_data_ids: dict[int, str] = {}
        self._hellos: dict[int, int] = {}
        """How many each peer has said that opens streams to this node: only its latest counts."""

    def bind(self, host: ReplicaHost) -> None:
        self._host = host

    def set_peers(self, addresses: dict[int, str]) -> None:
        """The nodes this one shares groups with, by id, with their addresses (host:port); changes take effect."""
        for node_id, address in addresses.items():
            if node_id == self._node_id or self._addresses.get(node_id) == address:
                continue
            self._addresses[node_id] = address
            if node_id > self._node_id:
                if (former := self._dialers.get(node_id)) is not None:
                    former.cancel()
                dialer = self._dialers[node_id] = asyncio.create_task(self._dial(node_id, address))
                dialer.add_done_callback(self._dialer_ended)

    def forget_peers(self, node_ids: Iterable[int]) -> None:
        """These nodes will never be there again, at whatever address."""
        for node_id in node_ids:
            self._addresses.pop(node_id, None)
            if (dialer := self._dialers.pop(node_id, None)) is not None:
                dialer.cancel()

    def _dialer_ended(self, dialer: asyncio.Task[None]) -> None:
        if not dialer.cancelled() and (error := dialer.exception()) is not None:
            log.error("a dialer ended", exc_info=error)
            self._fail(f"a peer cannot be dialled any more: {error}")

    def connected_node_ids(self) -> list[int]:
        return sorted(self._connections)

    async def close(self) -> None:
        for task in self._dialers.values():
            task.cancel()
        await asyncio.gather(*self._dialers.values(), return_exceptions=True)

    # Transport

    def send(self, to: int, group_id: int, message: PeerMessage, record: bytes | None) -> None:
        connection = self._connections.get(to)
        if connection is None:
            return
        encoded = encode_message(group_id, message, record)
        size = (len(record) if record is not None else encoded.ByteSize()) + MESSAGE_OVERHEAD_BYTES
        if (frame := connection.frame(size)) is not None:
            frame.messages.append(encoded)

    def send_heartbeat(self, to: int, sent_ns: int, fitness: Fitness) -> None:
        connection = self._connections.get(to)
        if connection is not None and (frame := connection.frame(MESSAGE_OVERHEAD_BYTES)) is not None:
            frame.ClearField("heartbeat")  # an earlier one
            frame.heartbeat.sent_ns = sent_ns
            frame.heartbeat.log_write_ns, frame.heartbeat.full = fitness.write_ns, fitness.is_full
            frame.heartbeat.unfit_group_ids.extend(sorted(fitness.unfit_group_ids))

    def send_grant(self, to: int, grant: Grant, duration_ns: int, committed: Sequence[tuple[int, int]]) -> None:
        connection = self._connections.get(to)
        size = MESSAGE_OVERHEAD_BYTES + COMMITTED_BYTES * len(committed)
        if connection is not None and (frame := connection.frame(size)) is not None:
            frame.ClearField("grant")  # of an earlier heartbeat
            frame.grant.heartbeat_sent_ns = grant.sent_ns
            frame.grant.epoch = grant.epoch
            frame.grant.duration_ns = duration_ns
            frame.grant.group_ids.extend([group_id for group_id, _ in committed])
            frame.grant.committed_slots.extend([slot for _, slot in committed])

    def send_snapshot_chunk(
        self,
        to: int,
        group_id: int,
        snapshot_id: int,
        slot: int,
        sequence: int,
        body: bytes,
        is_last: bool,
        total_bytes: int,
    ) -> None:
        connection = self._connections.get(to)
        if connection is None or (frame := connection.frame(len(body) + MESSAGE_OVERHEAD_BYTES)) is None:
            return
        chunk = frame.messages.add(group_id=group_id).snapshot_chunk
        chunk.snapshot_id = snapshot_id
        chunk.slot = slot
        chunk.sequence = sequence
        chunk.body = body
        chunk.crc32c = crc32c.crc32c(body)
        chunk.last = is_last
        chunk.total_bytes = total_bytes

    def send_snapshot_ack(self, to: int, group_id: int, snapshot_id: int, sequence: int, missing: int = 0) -> None:
        connection = self._connections.get(to)
        if connection is None or (frame := connection.frame(MESSAGE_OVERHEAD_BYTES)) is None:
            return
        acknowledgement = frame.messages.add(group_id=group_id).snapshot_ack
        acknowledgement.snapshot_id = snapshot_id
        acknowledgement.sequence = sequence
        acknowledgement.missing = missing

    # Streams

    async def Exchange(  # type: ignore[override]  # noqa: N802 (the generated type knows only generators)
        self,
        request_iterator: AsyncIterator[replication_pb2.PeerFrame],
        context: grpc.aio.ServicerContext[replication_pb2.PeerFrame, replication_pb2.PeerFrame],
    ) -> None:
        """The accepting side: answers the hello, then runs until the stream ends."""
        with self._listener.offer(replication_pb2.PeerFrame.FromString, SILENCE_S) as offer:
            try:
                async with asyncio.timeout(self.hello_timeout_s):
                    hello = self._check_hello(await context.read(), None)
                    number = self._hellos[hello.node_id] = self._hellos.get(hello.node_id, 0) + 1
                    stream = await self._answer_hello(hello, context, offer)
            except PeerRefusedError as error:
                log.error("peer refused", reason=str(error))
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no hello came, or no answer to an offer")
            # Who has said hello again since has given this stream up, and may be on the newer one already.
            if stream is not None and number == self._hellos[hello.node_id]:
                await self._run(hello.node_id, stream)

    async def _answer_hello(
        self, hello: replication_pb2.Hello, stream: FrameStream, offer: Offer[replication_pb2.PeerFrame]
    ) -> FrameStream | None:
        """Where the frames go from now on; None: nowhere, the stream has ended. Raises TimeoutError."""
        offered = offer.message() if hello.may_take_connection else None
        await stream.write(self._hello(offered=offered))
        if offered is None:
            return stream
        answer = await stream.read()
        if not isinstance(answer, replication_pb2.PeerFrame):
            return None
        return await offer.arrival() if answer.takes_connection else stream

    async def _dial(self, node_id: int, address: str) -> None:
        """Keeps a stream to a peer open, for ever."""
        delay_s = RECONNECT_MIN_S
        while True:
            try:
                async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
                    call = replication_pb2_grpc.ReplicationStub(channel).Exchange()
                    # Not wait_for: on Python 3.11 it can swallow a cancellation.
                    async with asyncio.timeout(self.hello_timeout_s):
                        await call.write(self._hello(node_id))
                        hello = self._check_hello(await call.read(), node_id)
                    delay_s = RECONNECT_MIN_S
                    offer = hello.connection_offer if hello.HasField("connection_offer") else None
                    async with connected(
                        call, offer, address, replication_pb2.PeerFrame, _answer, TAKE_TIMEOUT_S
                    ) as stream:
                        await self._run(node_id, stream)
            except PeerRefusedError as error:
                log.error("peer refused", node_id=node_id, address=address, reason=str(error))
                delay_s = RECONNECT_MAX_S
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                log.debug("no stream to a peer", node_id=node_id, address=address, reason=str(error))
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RECONNECT_MAX_S)

    def _hello(
        self, expected_node_id: int = 0, offered: connection_pb2.ConnectionOffer | None = None
    ) -> replication_pb2.PeerFrame:
        """To this node, or (0) in answer to its hello."""
        hello = replication_pb2.Hello(
            node_id=self._node_id,
            expected_node_id=expected_node_id,
            protocol_version=PROTOCOL_VERSION,
            cluster_id=self._cluster_id(),
            data_id=self._data_id,
            may_take_connection=expected_node_id != 0,
            connection_offer=offered,
        )
        return replication_pb2.PeerFrame(hello=hello)

    def _check_hello(self, frame: object, expected_node_id: int | None) -> replication_pb2.Hello:
        """What the peer says of itself. Raises PeerRefusedError."""
        if not isinstance(frame, replication_pb2.PeerFrame) or not frame.HasField("hello"):
            raise PeerRefusedError("the stream did not begin with a hello")
        hello = frame.hello
        if hello.protocol_version != PROTOCOL_VERSION:
            raise PeerRefusedError(
                f"node {hello.node_id} speaks version {hello.protocol_version}, this node version {PROTOCOL_VERSION}"
            )
        if hello.cluster_id and self._cluster_id() and hello.cluster_id != self._cluster_id():
            raise PeerRefusedError(f"node {hello.node_id} belongs to another cluster ({hello.cluster_id})")
        if expected_node_id is not None and hello.node_id != expected_node_id:
            raise PeerRefusedError(f"node {hello.node_id} answered where node {expected_node_id} was expected")
        if hello.expected_node_id not in (0, self._node_id):
            # Before it takes the place of a stream that is meant for this node.
            raise PeerRefusedError(f"node {hello.node_id} looks for node {hello.expected_node_id} here")
        known = self._known_data_ids.setdefault(hello.node_id, hello.data_id)
        if known != hello.data_id:
            raise PeerRefusedError(
                f"node {hello.node_id} came back with another data folder: it has forgotten what it promised"
            )
        return hello

    async def _run(self, node_id: int, stream: FrameStream) -> None:
        """Carries frames both ways until the stream breaks. It takes over from an older one to the same peer, which
        ends."""
        connection = _Connection(node_id)
        reader = asyncio.create_task(self._read_all(node_id, stream))
        tasks = (reader, asyncio.create_task(connection.write_all(stream.write)), asyncio.create_task(connection.say()))
        connection.end = reader.cancel
        if (former := self._connections.get(node_id)) is not None:
            former.end()
        self._connections[node_id] = connection
        log.info("peer connected", node_id=node_id)
        try:
            self._connected(node_id)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # Before anything is waited for: this task may be cancelled there.
            if self._connections.get(node_id) is connection:
                del self._connections[node_id]
            log.info("peer disconnected", node_id=node_id)
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for error in results:
            if isinstance(error, _BROKEN):
                log.debug("stream to a peer broke", node_id=node_id, reason=str(error))
            elif isinstance(error, Exception):
                raise error

    async def _read_all(self, node_id: int, stream: FrameStream) -> None:
        while isinstance(frame := await stream.read(), replication_pb2.PeerFrame):
            self._receive(node_id, frame)

    def _connected(self, node_id: int) -> None:
        assert self._host is not None
        try:
            self._host.peer_connected(node_id)
        except Exception as error:
            log.exception("a peer's connection went wrong", node_id=node_id)
            self._fail(f"a replica failed: {error}")

    def _receive(self, sender: int, frame: replication_pb2.PeerFrame) -> None:
        try:
            self._take(sender, frame)
        except Exception as error:
            # The replica may believe something that it has not written down: it must say nothing more.
            log.exception("a message of a peer went wrong", node_id=sender)
            self._fail(f"a replica failed: {error}")

    def _take(self, sender: int, frame: replication_pb2.PeerFrame) -> None:
        host = self._host
        assert host is not None
        if frame.HasField("heartbeat"):
            told = frame.heartbeat
            fitness = Fitness(told.log_write_ns, told.full, frozenset(told.unfit_group_ids))
            host.receive_heartbeat(sender, told.sent_ns, fitness)
        if frame.HasField("grant") and frame.grant.duration_ns < host.leases.config.duration_ns:
            log.error("a peer's grants are shorter than this node's: lease_ms must be the same", node_id=sender)
        elif frame.HasField("grant"):
            grant = frame.grant
            committed = zip(grant.group_ids, grant.committed_slots, strict=False)
            host.receive_grant(sender, Grant(grant.heartbeat_sent_ns, grant.epoch), committed)
        for encoded in frame.messages:
            kind = encoded.WhichOneof("message")
            if kind == "snapshot_chunk":
                chunk = encoded.snapshot_chunk
                if crc32c.crc32c(chunk.body) != chunk.crc32c:
                    log.error("snapshot chunk damaged on the way", node_id=sender, group_id=encoded.group_id)
                    continue
                host.snapshots.receive_chunk(
                    sender,
                    encoded.group_id,
                    chunk.snapshot_id,
                    chunk.slot,
                    chunk.sequence,
                    chunk.body,
                    chunk.last,
                    chunk.total_bytes,
                )
            elif kind == "snapshot_ack":
                acknowledgement = encoded.snapshot_ack
                host.snapshots.receive_ack(
                    sender,
                    encoded.group_id,
                    acknowledgement.snapshot_id,
                    acknowledgement.sequence,
                    acknowledgement.missing,
                )
            else:
                try:
                    message, record = decode_message(encoded)
                except MalformedMessageError as error:
                    log.error("message of a peer refused", node_id=sender, reason=str(error))
                    continue
                host.receive(sender, encoded.group_id, message, record)
        host.received_all()


def _answer(takes_connection: bool) -> replication_pb2.PeerFrame:
    return replication_pb2.PeerFrame(takes_connection=takes_connection)
