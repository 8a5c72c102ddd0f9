"""server/runtime/frame_connection.py: offers that are taken or not, frames, and how connections end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
import pytest
from statorpb import connection_pb2, partition_pb2

from server.codec.length_prefix import FRAME_BYTES_MAX, LENGTH_BYTES
from server.runtime import frame_connection
from server.runtime.frame_connection import (
    FRAME_OVERHEAD_BYTES,
    TICKET_BYTES,
    UNREAD_BYTES_MAX,
    ConnectionEndedError,
    FrameConnection,
    FrameListener,
    Offer,
    connected,
    take,
)
from server.runtime.grpc_server import AddressInUseError

Request = partition_pb2.PartitionRequest
Connection: TypeAlias = FrameConnection[Request]


@pytest.fixture
async def listener() -> AsyncIterator[FrameListener]:
    started = FrameListener()
    await started.start("127.0.0.1:0")
    yield started
    started.stop()


@pytest.fixture
async def both_ends(listener: FrameListener) -> AsyncIterator[tuple[Connection, Connection]]:
    """A connection as both sides have it."""
    with listener.offer(Request.FromString) as offer:
        taken = await take("127.0.0.1:1", made(offer), Request.FromString)
        assert taken is not None
        yield taken, await offer.arrival()
        taken.cancel()


def message(port: int, ticket: bytes = bytes(TICKET_BYTES)) -> connection_pb2.ConnectionOffer:
    return connection_pb2.ConnectionOffer(port=port, ticket=ticket)


def made(offer: Offer[Request]) -> connection_pb2.ConnectionOffer:
    """As it is sent."""
    message = offer.message()
    assert message is not None
    return message


def request(number: int, size: int = 0) -> Request:
    return Request(id=number, item=bytes(size))


async def test_frames_go_both_ways_in_order(both_ends: tuple[Connection, Connection]) -> None:
    """Of all sizes; one with nothing in it is one, too."""
    one, other = both_ends
    sizes = (0, 1, 100_000, 5 * 1024 * 1024, 10)
    for sender, receiver in ((one, other), (other, one)):

        async def send(sender: Connection = sender) -> None:
            await sender.write(Request())
            for number, size in enumerate(sizes, 1):
                await sender.write(request(number, size))

        sending = asyncio.create_task(send())
        found = [await receiver.read() for _ in range(len(sizes) + 1)]
        await sending
        assert found == [Request(), *(request(number, size) for number, size in enumerate(sizes, 1))]
    one.cancel()
    assert await other.read() is None


async def test_what_has_come_is_read_after_the_end(both_ends: tuple[Connection, Connection]) -> None:
    """Then comes None, for whoever asks; and nothing can be written."""
    one, other = both_ends
    await one.write(request(1))
    await one.write(request(2))
    waiting = asyncio.create_task(other.read())
    assert await waiting == request(1)
    one.cancel()
    while not await has_ended(other):
        pass
    assert [await other.read(), await other.read(), await other.read()] == [request(2), None, None]
    for each in (one, other):
        with pytest.raises(ConnectionEndedError):
            await each.write(request(3))
        each.cancel()  # again, without effect


async def has_ended(connection: Connection) -> bool:
    try:
        await connection.write(Request())
    except ConnectionEndedError:
        return True
    await asyncio.sleep(0.001)
    return False


async def test_who_does_not_read_is_not_sent_more(both_ends: tuple[Connection, Connection]) -> None:
    """The writer waits, both sides keep only so much, and all of it comes once it is read."""
    one, other = both_ends
    count, size = 64, 1024 * 1024
    written = 0

    async def write() -> None:
        nonlocal written
        for number in range(count):
            await one.write(request(number, size))
            written = number + 1

    writing = asyncio.create_task(write())
    before = -1
    while written != before or not written:
        before = written
        await asyncio.sleep(0.1)
    assert written < count / 2
    assert other._unread_bytes <= UNREAD_BYTES_MAX + 2 * size
    assert [(await other.read() or request(0)).id for _ in range(count)] == list(range(count))
    await writing
    assert other._unread_bytes == 0
    one.cancel()


async def test_a_writer_that_waits_learns_of_the_end(both_ends: tuple[Connection, Connection]) -> None:
    """It would wait for ever for a side that is gone."""
    one, other = both_ends

    async def write() -> None:
        while True:
            await one.write(request(1, 1024 * 1024))

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    other.cancel()
    with pytest.raises(ConnectionEndedError):
        await writing


async def test_a_connection_belongs_to_one_offer(listener: FrameListener) -> None:
    """Of an offer that has been taken, is over or was never made, none can be had."""
    with listener.offer(Request.FromString) as offer:
        taken = await take("127.0.0.1:1", made(offer), Request.FromString)
        assert taken is not None
        await offer.arrival()
        assert await take("127.0.0.1:1", made(offer), Request.FromString) is None
    assert await taken.read() is None  # it ends with the offer
    for late in (offer.ticket, bytes(TICKET_BYTES)):
        assert await take("127.0.0.1:1", message(listener.port, late), Request.FromString) is None


async def test_an_offer_that_is_not_taken(listener: FrameListener) -> None:
    """Whoever waits for it may stop to."""
    with listener.offer(Request.FromString) as offer:
        waiting = asyncio.create_task(offer.arrival())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await take("127.0.0.1:1", made(offer), Request.FromString) is None
    with listener.offer(Request.FromString):
        pass


async def test_a_ticket_may_come_in_pieces_and_with_frames(listener: FrameListener) -> None:
    """As TCP has it."""
    with listener.offer(Request.FromString) as offer:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        content = request(1).SerializeToString()
        data = offer.ticket + len(content).to_bytes(LENGTH_BYTES, "big") + content
        for piece in (data[:5], data[5:18], data[18:]):
            writer.write(piece)
            await asyncio.sleep(0.01)
        assert await (await offer.arrival()).read() == request(1)
        assert await reader.readexactly(TICKET_BYTES) == offer.ticket
        writer.close()
        await writer.wait_closed()


async def test_who_sends_no_ticket_is_cut_off(listener: FrameListener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger would hold a connection for ever."""
    monkeypatch.setattr(frame_connection, "TICKET_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"GET /")
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass
    writer.close()


@pytest.mark.parametrize(
    "data",
    [(FRAME_BYTES_MAX + 1).to_bytes(LENGTH_BYTES, "big"), (3).to_bytes(LENGTH_BYTES, "big") + b"\xff\xff\xff"],
    ids=["too large", "no message"],
)
async def test_what_is_no_frame_ends_the_connection(listener: FrameListener, data: bytes) -> None:
    """Nothing behind it could be trusted."""
    with listener.offer(Request.FromString) as offer:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(offer.ticket + data)
        assert await (await offer.arrival()).read() is None
        try:
            assert await reader.read() in (offer.ticket, b"")
        except ConnectionResetError:
            pass
        writer.close()


async def test_where_nobody_listens(listener: FrameListener) -> None:
    """There is no connection then, and that is no error."""
    port = listener.port
    listener.stop()
    assert listener.port == 0  # nothing is offered any more
    await asyncio.sleep(0)
    assert await take("127.0.0.1:1", message(port), Request.FromString) is None
    FrameListener().stop()  # that never listened


async def test_where_there_is_no_such_port_or_host() -> None:
    """Somebody may offer anything."""
    assert await take("127.0.0.1:1", message(70_000), Request.FromString) is None
    assert await take("x" * 300 + ":1", message(1), Request.FromString) is None


async def test_an_address_in_use(listener: FrameListener) -> None:
    """The sentence names it."""
    with pytest.raises(AddressInUseError, match=rf"127\.0\.0\.1:{listener.port} cannot be listened on"):
        await FrameListener().start(f"127.0.0.1:{listener.port}")


class Opened:
    """A gRPC stream as the side has it that opened it: what still comes on it, and what is written."""

    def __init__(self, *coming: object) -> None:
        self.coming = list(coming)
        self.written: list[Request] = []

    async def read(self) -> object:
        if not self.coming:
            await asyncio.Event().wait()
        found = self.coming.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def write(self, frame: Request) -> None:
        self.written.append(frame)

    def cancel(self) -> None:
        """Nothing."""


def answer(takes: bool) -> Request:
    return Request(id=int(takes))


@pytest.mark.parametrize("end", [object(), asyncio.InvalidStateError("over"), grpc.aio.UsageError("over")])
async def test_a_connection_ends_with_its_stream(listener: FrameListener, end: object) -> None:
    """What still comes on the stream is passed over."""
    stream = Opened(Request(), Request(), end)
    with listener.offer(Request.FromString) as offer:
        async with connected(stream, offer.message(), "127.0.0.1:1", Request, answer) as found:
            assert stream.written == [answer(True)]
            assert await (await offer.arrival()).read() is None
            assert await found.read() is None
    assert not stream.coming


async def test_where_frames_go(listener: FrameListener) -> None:
    """Over the connection for as long as it is wanted; over the stream where none can be had, which is told, and where
    none is offered."""
    stream = Opened()
    with listener.offer(Request.FromString) as offer:
        async with connected(stream, offer.message(), "127.0.0.1:1", Request, answer) as found:
            await found.write(request(7))
            assert await (await offer.arrival()).read() == request(7)
        assert await (await offer.arrival()).read() is None
        stream.written.clear()
        async with connected(stream, offer.message(), "127.0.0.1:1", Request, answer) as found:
            assert (found, stream.written) == (stream, [answer(False)])
    async with connected(Opened(), None, "127.0.0.1:1", Request, answer) as found:
        assert isinstance(found, Opened)
        assert not found.written


@pytest.mark.parametrize("answer", [None, b"", bytes(TICKET_BYTES), b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_where_somebody_else_listens(answer: bytes | None) -> None:
    """A proxy, say, takes every connection; it ends it (b""), says nothing, or something else."""
    has_ended = asyncio.Event()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            if answer:
                writer.write(answer)
            if answer is None:
                await reader.read()
            writer.close()
            await writer.wait_closed()
        has_ended.set()

    async with await asyncio.start_server(met, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        offered = message(port, b"x" * TICKET_BYTES)
        assert await take("127.0.0.1:1", offered, Request.FromString, timeout_s=0.1) is None
        await has_ended.wait()


async def test_a_dead_connection_ends(listener: FrameListener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the side that serves has said nothing for too long, which it never does; not before, and not where it is
    this side that does not read."""
    monkeypatch.setattr(frame_connection, "SILENCE_S", 0.3)
    with listener.offer(Request.FromString) as offer:
        taken = await take("127.0.0.1:1", made(offer), Request.FromString)
        assert taken is not None
        node = await offer.arrival()
        for _ in range(10):
            await node.write(Request())
            await asyncio.sleep(0.05)
        assert [await taken.read() for _ in range(10)] == [Request()] * 10
        while not taken._is_full:
            node.send(request(1, 1024 * 1024))
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.6)
        assert not taken._has_ended
        async with asyncio.timeout(10):
            while await taken.read() is not None:
                pass
        assert await node.read() is None


async def test_the_side_that_serves_may_listen_for_silence(listener: FrameListener) -> None:
    """Where both sides speak all the time."""
    with listener.offer(Request.FromString, 0.3) as offer:
        taken = await take("127.0.0.1:1", made(offer), Request.FromString)
        assert taken is not None
        served = await offer.arrival()
        for _ in range(10):
            await taken.write(request(1))
            assert await served.read() == request(1)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            assert await served.read() is None


async def test_frames_without_content_count(both_ends: tuple[Connection, Connection]) -> None:
    """Each takes memory, too."""
    one, other = both_ends
    for _ in range(8 * UNREAD_BYTES_MAX // FRAME_OVERHEAD_BYTES):
        one.send(Request())
    while not other._is_full:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    # What has come with one read of the socket is taken whole, which may be as much again.
    assert len(other._unread) < 4 * UNREAD_BYTES_MAX / FRAME_OVERHEAD_BYTES


async def test_others_get_their_turn(both_ends: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch) -> None:
    """Though frames have come that can be read without a wait."""
    monkeypatch.setattr(frame_connection, "READ_S", 0.0)
    one, other = both_ends
    for number in range(100):
        one.send(request(number))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    assert await other.read() == request(0)
    while len(other._unread) < 99:
        await asyncio.sleep(0.001)
    counting = asyncio.create_task(count())
    for _ in range(99):
        await other.read()
    counting.cancel()
    assert turns >= 50


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "[::]:0", "0.0.0.0:0", "localhost:0"])
async def test_where_it_can_be_reached(listen: str) -> None:
    """At every address that it listens on, also over IPv4 where that is every IPv6 address."""
    listener = FrameListener()
    await listener.start(listen)
    hosts = {"[::]:0": ["[::1]", "127.0.0.1"], "0.0.0.0:0": ["127.0.0.1"]}.get(listen, [listen.rpartition(":")[0]])
    for host in hosts:
        with listener.offer(Request.FromString) as offer:
            taken = await take(f"{host}:1", made(offer), Request.FromString)
            assert taken is not None
            await (await offer.arrival()).write(request(1))
            assert await taken.read() == request(1)
    listener.stop()
