"""A closed loop on etcd's gRPC door, cheap enough not to hold etcd back.

A general gRPC client in Python costs several times what etcd itself spends on a request, and both share the machine.
So this speaks just as much HTTP/2 (RFC 9113) as a unary call needs: requests are put together from parts made
beforehand, and of an answer only the frame headers are read.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import deque
from collections.abc import Callable, Sequence

from stator.bench.measurement import MISSING, Measurement, now
from stator.bench.workload import KeyChooser, Workload, key
from stator.session import varint

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
WINDOW_BYTES = (1 << 31) - 1
WINDOW_FIRST_BYTES = 65_535
STREAM_ID_MAX = (1 << 31) - 1
_REFILL_BYTES = 1 << 20


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame: 24 bits of length, type, flags, 31 bits of stream id, payload."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header_block(path: str) -> bytes:
    """The HPACK block (RFC 7541) of a gRPC call, in literals that need no table."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "etcd",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b""
    for name, value in headers.items():
        block += b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
    return block


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(value)) + value


def _message(body: bytes) -> bytes:
    return b"\x00" + struct.pack(">I", len(body)) + body


Call = tuple[bytes, bytes, int]


class Calls:
    """Makes put and range calls: (header block, gRPC message, bytes that a good answer has at least)."""

    def __init__(self, workload: Workload, rng: random.Random) -> None:
        self._random = rng.random
        self._read_fraction = workload.read_fraction
        self._keys = KeyChooser(workload.items, workload.distribution, rng)
        self._value = _field(2, workload.value().encode())  # PutRequest.value
        # RangeRequest.serializable: answered by any member from what it has.
        self._range_end = b"" if workload.is_consistent else b"\x38\x01"
        self._put = header_block("/etcdserverpb.KV/Put")
        self._range = header_block("/etcdserverpb.KV/Range")
        self._item_bytes = workload.item_bytes

    def next(self) -> Call:
        if self._random() < self._read_fraction:
            name = _field(1, key(self._keys.next()).encode())
            return self._range, _message(name + self._range_end), self._item_bytes
        return self.put(self._keys.next())

    def put(self, index: int) -> Call:
        return self._put, _message(_field(1, key(index).encode()) + self._value), 1


class EtcdLoad:
    """`lanes` calls under way, spread over a connection to each endpoint."""

    def __init__(
        self, endpoints: Sequence[str], lanes: int, workload: Workload, measurement: Measurement, rng: random.Random
    ) -> None:
        self.measurement = measurement
        self.finished = asyncio.Event()
        self.is_stopping = False
        self.next_call: Callable[[], Call | None] = Calls(workload, rng).next
        self._connections = [
            Connection(self, address, lanes // len(endpoints) + (index < lanes % len(endpoints)))
            for index, address in enumerate(endpoints)
        ]

    async def start(self) -> None:
        """Connects and sends the first calls. Raises OSError."""
        loop = asyncio.get_running_loop()
        for connection in self._connections:
            if connection.lanes:
                host, _, port = connection.address.rpartition(":")
                await loop.create_connection(lambda each=connection: each, host, int(port))  # type: ignore[misc]

    async def stop(self) -> None:
        self.is_stopping = True
        for connection in self._connections:
            connection.close()


class Connection(asyncio.Protocol):
    """An HTTP/2 connection with `lanes` streams at a time."""

    def __init__(self, load: EtcdLoad, address: str, lanes: int) -> None:
        self.address = address
        self.lanes = lanes
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._next_stream = 1
        self._under_way: dict[int, tuple[float, int]] = {}
        self._answer_bytes: dict[int, int] = {}
        self._window = WINDOW_FIRST_BYTES
        self._held_back: deque[Call] = deque()
        self._received = 0
        self._out: list[bytes] = []

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is not a subclass of asyncio.Transport
        settings = struct.pack(">HIHI", 1, 0, 4, WINDOW_BYTES)  # no header table; initial window of a stream
        self._out += [PREFACE, frame(SETTINGS, 0, 0, settings)]
        self._out.append(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_BYTES - WINDOW_FIRST_BYTES)))
        for _ in range(self.lanes):
            self._call()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self._load.is_stopping:
            self._load.measurement.note_error("ConnectionLost")

    def _call(self) -> None:
        call = None if self._load.is_stopping else self._load.next_call()
        if call is not None:
            self._held_back.append(call)
            self._send_held_back()
        elif not self._under_way:
            self._load.finished.set()

    def _send_held_back(self) -> None:
        """Sends calls as far as the connection's window, in which the server lets us send, allows."""
        while self._held_back and len(self._held_back[0][1]) <= self._window:
            headers, message, answer_bytes_min = self._held_back.popleft()
            stream = self._next_stream
            self._next_stream += 2
            self._window -= len(message)
            self._under_way[stream] = (now(), answer_bytes_min)
            self._out.append(frame(HEADERS, END_HEADERS, stream, headers))
            self._out.append(frame(DATA, END_STREAM, stream, message))

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        position, end = 0, len(buffer)
        while end - position >= 9:
            size = int.from_bytes(buffer[position : position + 3], "big")
            if end - position < 9 + size:
                break
            kind, flags = buffer[position + 3], buffer[position + 4]
            stream = int.from_bytes(buffer[position + 5 : position + 9], "big")
            position += 9
            self._take(kind, flags, stream, buffer[position : position + size])
            position += size
        self._buffer = buffer[position:]
        self._flush()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._answer_bytes[stream] = self._answer_bytes.get(stream, 0) + len(payload)
            self._received += len(payload)
            if self._received >= _REFILL_BYTES:
                self._out.append(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received)))
                self._received = 0
        elif kind == HEADERS and flags & END_STREAM:
            self._answered(stream)
        elif kind == WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
                self._send_held_back()
        elif kind == PING and not flags & ACK:
            self._out.append(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            self._out.append(frame(SETTINGS, ACK, 0))
        elif kind == RST_STREAM:
            self._answered(stream)
        elif kind == GOAWAY:
            self._load.measurement.note_error("GoAway")

    def _answered(self, stream: int) -> None:
        """A call has ended: well, if there was a message before the trailers; an error comes without one."""
        began, answer_bytes_min = self._under_way.pop(stream)
        answer_bytes = self._answer_bytes.pop(stream, 0)
        if answer_bytes >= answer_bytes_min:
            self._load.measurement.note(began)
        else:
            self._load.measurement.note_error(MISSING if answer_bytes else "EtcdError")
        self._call()


async def fill(endpoint: str, workload: Workload) -> None:
    """Puts every item once. Raises RuntimeError if any was refused."""
    measurement = Measurement(is_on=True)
    rng = random.Random(0)
    load = EtcdLoad([endpoint], 256, workload, measurement, rng)
    calls = Calls(workload, rng)
    indexes = iter(range(workload.items))
    load.next_call = lambda: None if (index := next(indexes, None)) is None else calls.put(index)
    await load.start()
    await load.finished.wait()
    await load.stop()
    if measurement.errors or measurement.latencies.total != workload.items:
        raise RuntimeError(f"etcd could not be filled: {dict(measurement.errors)}")
