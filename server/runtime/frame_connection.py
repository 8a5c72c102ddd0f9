"""Frames on a connection of their own, beside the gRPC stream that opens it: for what says the most, a router to a
storage node, and storage nodes among each other.

gRPC hands each message to threads of its own and back, which costs several times what a message of the system costs
otherwise. So the side that serves a stream offers a connection (FrameListener.offer), and the other side takes it
(`connected`), or goes on as it is: where no connection can be had, and where the other side is of an older version.
Both end together. So gRPC still tells when the other side is gone without a word, by its keepalive.

On the connection comes first the ticket of the offer, TICKET_BYTES, and the same comes back: whoever answered may be
somebody else. Then frames, both ways: their length in four bytes (big-endian), and a message.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Generic, Protocol, TypeVar, cast

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from statorpb import connection_pb2

from server.codec.length_prefix import LENGTH_BYTES, FrameReader, FrameTooLargeError
from server.runtime.grpc_server import AddressInUseError

TICKET_BYTES = 16
TICKET_TIMEOUT_S = 5.0

TAKE_TIMEOUT_S = 0.25
"""To be connected and known: until then nothing is sent on a stream, and a router counts on answers within a second."""

FRAME_OVERHEAD_BYTES = 64
"""What a frame that nobody has read takes besides its bytes, for one."""

ARRIVAL_S = 1.0
"""For the connection that the other side says it has taken."""

SILENCE_S = 15.0
"""The side that serves speaks all the time, and peers do on both sides. Where nothing has come for so long, the
connection is dead, though the stream may live: they may take different ways. It is what gRPC's keepalive waits, too."""

READ_S = 0.01
"""After so long of frames that had come already, others get their turn."""

UNREAD_BYTES_MAX = 4 * 1024 * 1024
"""With more that nobody has read yet, nothing more is taken from the connection."""

log = structlog.get_logger()

T = TypeVar("T", bound=Message)


class FrameStream(Protocol):
    """What frames go over, both ways: a gRPC stream or a connection. What `read` returns at the end is no frame."""

    async def read(self) -> object: ...

    async def write(self, frame: Any) -> None: ...


class OpenedStream(FrameStream, Protocol):
    """As the side has it that opened it."""

    def cancel(self) -> object: ...


class ConnectionEndedError(ConnectionError):
    """Nothing can be written any more."""


class FrameConnection(asyncio.Protocol, Generic[T]):
    """One connection. `on_ticket`: told of the ticket that comes first; of an empty one where the connection ends
    before. `silence_s`: it ends where nothing has come for so long; 0: it does not.

    `parse`: makes a message of a frame's bytes. `on_ticket` sets it at the latest, and may set `silence_s`."""

    parse: Callable[[bytes], T]

    def __init__(self, on_ticket: Callable[[bytes, FrameConnection[T]], None], silence_s: float = 0.0) -> None:
        self._on_ticket: Callable[[bytes, FrameConnection[T]], None] | None = on_ticket
        self.silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._turned_s = self._loop.time()
        self._ticket = b""
        self._reader = FrameReader()
        self._unread: deque[tuple[T, int]] = deque()
        self._unread_bytes = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = False
        self._is_full = False
        self._has_come = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()

    async def read(self) -> T | None:
        """The next frame; None: the connection has ended."""
        while not self._unread:
            if self._has_ended:
                return None
            self._has_come.clear()
            await self._has_come.wait()
            self._turned_s = self._loop.time()
        if self._loop.time() - self._turned_s > READ_S:
            await asyncio.sleep(0)
            self._turned_s = self._loop.time()
        frame, size = self._unread.popleft()
        self._unread_bytes -= size
        if self._is_full and self._unread_bytes <= UNREAD_BYTES_MAX and self._transport is not None:
            self._is_full = False
            self._transport.resume_reading()
        return frame

    @property
    def may_send(self) -> bool:
        """Whether the connection takes more without a wait."""
        return self._may_write.is_set()

    def send(self, frame: Message) -> None:
        """Writes a frame. Raises ConnectionEndedError."""
        if self._has_ended or self._transport is None:
            raise ConnectionEndedError("the connection has ended")
        content = frame.SerializeToString()
        self._transport.writelines((len(content).to_bytes(LENGTH_BYTES, "big"), content))

    async def write(self, frame: Message) -> None:
        """As `send`, and returns once the connection may take more."""
        self.send(frame)
        await self._may_write.wait()
        if self._has_ended:
            raise ConnectionEndedError("the connection has ended")

    def send_ticket(self, ticket: bytes) -> None:
        """Before all frames: which stream this connection belongs to."""
        if self._transport is not None and not self._has_ended:
            self._transport.write(ticket)

    def cancel(self) -> None:
        """Ends the connection, whatever is under way."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._has_come.set()
        self._may_write.set()

    def _listen(self) -> None:
        """Finds out now and then whether the other side has been silent. Who does not read hears nothing either."""
        if not self._is_full and self._loop.time() - self._heard_s >= self.silence_s:
            log.warning("a connection for frames is dead", silent_s=self.silence_s)
            self.cancel()
        else:
            self._timer = self._loop.call_later(self.silence_s / 3, self._listen)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = self._loop.call_later(TICKET_TIMEOUT_S, self.cancel)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        if self._on_ticket is not None:
            self._ticket += data
            if len(self._ticket) < TICKET_BYTES:
                return
            data = self._ticket[TICKET_BYTES:]
            self._take_ticket(self._on_ticket, self._ticket[:TICKET_BYTES])
        if self._has_ended:
            return
        try:
            for content in self._reader.feed(data):
                size = len(content) + FRAME_OVERHEAD_BYTES
                self._unread.append((self.parse(content), size))
                self._unread_bytes += size
        except (DecodeError, FrameTooLargeError) as error:
            log.error("a frame cannot be read", reason=str(error))
            self.cancel()
        if self._unread:
            self._has_come.set()
        if self._unread_bytes > UNREAD_BYTES_MAX and not self._is_full and self._transport is not None:
            self._is_full = True
            self._transport.pause_reading()

    def _take_ticket(self, on_ticket: Callable[[bytes, FrameConnection[T]], None], ticket: bytes) -> None:
        self._on_ticket = None
        if self._timer is not None:
            self._timer.cancel()
        on_ticket(ticket, self)
        if self.silence_s and not self._has_ended:
            self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end()
        if self._on_ticket is not None:
            self._take_ticket(self._on_ticket, b"")

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()


class Offer(Generic[T]):
    """Of a connection for one stream. `parse`: makes a message of the bytes of a frame that comes on it; `silence_s`:
    as FrameConnection has it."""

    def __init__(self, port: int, parse: Callable[[bytes], T], silence_s: float) -> None:
        self.ticket = secrets.token_bytes(TICKET_BYTES)
        self._silence_s = silence_s
        self._port = port
        self._parse = parse
        self._coming: asyncio.Future[FrameConnection[T]] = asyncio.get_running_loop().create_future()

    def message(self) -> connection_pb2.ConnectionOffer | None:
        """What to send of it; None: nothing is offered."""
        return connection_pb2.ConnectionOffer(port=self._port, ticket=self.ticket) if self._port else None

    async def arrival(self) -> FrameConnection[T]:
        """The connection, which the other side says it has taken. Raises TimeoutError."""
        async with asyncio.timeout(ARRIVAL_S):
            return await self._coming

    def arrived(self, connection: FrameConnection[T]) -> None:
        """With the ticket of this offer."""
        if self._coming.done():
            log.debug("a connection of no stream")
            connection.cancel()
            return
        connection.parse, connection.silence_s = self._parse, self._silence_s
        connection.send_ticket(self.ticket)
        self._coming.set_result(connection)

    def end(self) -> None:
        """Ends the connection, too."""
        if self._coming.done() and not self._coming.cancelled():
            self._coming.result().cancel()
        self._coming.cancel()


class FrameListener:
    """Takes connections for the streams that one process serves."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._expected: dict[bytes, Offer[Any]] = {}

    async def start(self, listen: str) -> None:
        """Listens on `listen` (host:port; port 0: any). Raises AddressInUseError."""
        host, _, port = listen.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, address = found[0][0], found[0][4]
            # As gRPC does it, the IPv6 address of every interface stands for the IPv4 ones, too.
            is_dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
            bound = socket.create_server(address[:2], family=family, backlog=1024, dualstack_ipv6=is_dual)
            self._server = await loop.create_server(self._made, sock=bound)
        except OSError as error:
            raise AddressInUseError(f"{listen} cannot be listened on: {error.strerror or error}") from error
        self.port = bound.getsockname()[1]

    def stop(self) -> None:
        """Takes no more connections, and offers none. Those that there are end with their streams."""
        self.port = 0
        if self._server is not None:
            self._server.close()

    @contextmanager
    def offer(self, parse: Callable[[bytes], T], silence_s: float = 0.0) -> Iterator[Offer[T]]:
        """For one stream, as long as this lasts. (See Offer.)"""
        offer = Offer(self.port, parse, silence_s)
        self._expected[offer.ticket] = offer
        try:
            yield offer
        finally:
            del self._expected[offer.ticket]
            offer.end()

    def _made(self) -> FrameConnection[Message]:
        return FrameConnection(self._arrived)

    def _arrived(self, ticket: bytes, connection: FrameConnection[Message]) -> None:
        offer = self._expected.get(ticket)
        if offer is None:
            log.debug("a connection of no stream")
            connection.cancel()
        else:
            offer.arrived(connection)


async def take(
    address: str, offer: connection_pb2.ConnectionOffer, parse: Callable[[bytes], T], timeout_s: float = TAKE_TIMEOUT_S
) -> FrameConnection[T] | None:
    """Takes an offer of the process at `address` (host:port, of its gRPC server). None: no connection to it can be had
    in that time."""
    host = address.rpartition(":")[0].strip("[]")
    loop = asyncio.get_running_loop()
    echo: asyncio.Future[bytes] = loop.create_future()

    def echoed(ticket: bytes, _: FrameConnection[T]) -> None:
        if not echo.done():
            echo.set_result(ticket)

    connection = FrameConnection(echoed, SILENCE_S)
    connection.parse = parse
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(lambda: connection, host, offer.port)
            connection.send_ticket(offer.ticket)
            if await echo != offer.ticket:
                raise ConnectionError("somebody else answered, or nobody")
    except BaseException as error:
        connection.cancel()
        # TimeoutError and ConnectionError are OSErrors; the others say that this is no port, or no host.
        if not isinstance(error, OSError | OverflowError | ValueError):
            raise
        reason = str(error) or "nobody answered in time"
        log.warning("no connection for frames: gRPC carries them", address=f"{host}:{offer.port}", reason=reason)
        return None
    return connection


@asynccontextmanager
async def connected(
    stream: OpenedStream,
    offer: connection_pb2.ConnectionOffer | None,
    address: str,
    kind: type[T],
    answer: Callable[[bool], Message],
    timeout_s: float = TAKE_TIMEOUT_S,
) -> AsyncIterator[OpenedStream]:
    """For the side that has opened a gRPC stream: where its frames go from now on, those of `kind` that come and the
    others; the stream itself, where no connection was offered (None), or none can be had. `address`, `timeout_s`: as
    `take` has them; `answer`: the frame that says whether an offer is taken."""
    connection = await take(address, offer, kind.FromString, timeout_s) if offer is not None else None
    if connection is None:
        if offer is not None:
            await stream.write(answer(False))
        yield stream
        return
    ending = asyncio.create_task(_end_with_stream(stream, kind, connection))
    try:
        await stream.write(answer(True))
        yield connection
    finally:
        connection.cancel()
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


async def _end_with_stream(stream: FrameStream, kind: type[Message], connection: OpenedStream) -> None:
    """Waits for the end of the gRPC stream that a connection belongs to, and ends the connection. What still comes on
    the stream, frames of `kind`, only tells that the other side is there. (On the side that serves, gRPC cancels what
    serves the stream, and the offer ends.)"""
    try:
        while isinstance(await stream.read(), kind):
            pass
    except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
        log.debug("the stream of a connection broke", reason=str(error))
    finally:
        connection.cancel()
