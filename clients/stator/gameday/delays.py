"""Packets that arrive late: the kernel queues them for this process, which lets each go on when its time has come.

Linux's own way to delay packets (`tc netem`) is not in every kernel, and tells links over one interface apart with
effort; a queue of netfilter (NFQUEUE) is in nearly every one. Messages to and from the kernel are netlink's, of which
only this is used: https://www.kernel.org/doc/html/latest/userspace-api/netlink/intro.html, linux/nfnetlink_queue.h.
"""

import asyncio
import contextlib
import errno
import random
import socket
import struct
from collections.abc import Iterator

from stator.gameday.machine import MachineError

PACKETS_MAX = 65_536
"""Under way at once; what comes on top is lost, as on a link."""

_NETLINK_NETFILTER = 12
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 8 * 1024 * 1024
_READ_BYTES = 65_536
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_FAMILY_BYTES = 4  # family, version, and the number of the queue in network order
_REQUEST, _REQUEST_ACK = 1, 5
_QUEUE = 3 << 8  # the subsystem, in the upper byte of a message's type
_PACKET, _VERDICT, _CONFIG = _QUEUE, _QUEUE | 1, _QUEUE | 2
_ATTRIBUTE_TYPE = 0x3FFF
_COMMAND, _PARAMETERS, _LENGTH_MAX = 1, 2, 3  # attributes of a configuration
_PACKET_HEADER = 1  # attribute of a packet
_VERDICT_HEADER = 2  # attribute of a verdict
_BIND = struct.pack(">BBH", 1, 0, socket.AF_INET)
_WITHOUT_CONTENT = struct.pack(">IB", 0, 1)
_ACCEPT = 1


class DelayQueue:
    """The queue with a number. Every packet in it goes on after `delay_ms`, give or take `jitter_ms`, so that some
    overtake others. Belongs to the loop in which it was opened; `packets` counts them."""

    def __init__(self, number: int, delay_ms: float, jitter_ms: float, rng: random.Random) -> None:
        self.number = number
        self.packets = 0
        self._delay_ms = delay_ms
        self._jitter_ms = jitter_ms
        self._rng = rng
        self._socket: socket.socket | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def open(self) -> None:
        """Before packets are sent to it: without it they are lost. Raises MachineError."""
        queue: socket.socket | None = None
        try:
            queue = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
            queue.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            queue.bind((0, 0))
            for kind, value in (
                (_COMMAND, _BIND),
                (_PARAMETERS, _WITHOUT_CONTENT),
                (_LENGTH_MAX, struct.pack(">I", PACKETS_MAX)),
            ):
                queue.send(message(_CONFIG, self.number, kind, value, _REQUEST_ACK))
                code = answered(queue.recv(_READ_BYTES))
                if code:
                    raise OSError(code, errno.errorcode.get(code, str(code)))
        except OSError as error:
            if queue is not None:
                queue.close()
            raise MachineError(f"packets cannot be delayed by this kernel (NFQUEUE: {error}).") from None
        queue.setblocking(False)
        self._socket = queue
        asyncio.get_running_loop().add_reader(queue, self._read)

    async def close(self) -> None:
        """Once no packet is sent to it any more: after the last has gone on."""
        if self._socket is None:
            return
        # What was read is on its way for so long at most.
        await asyncio.sleep((self._delay_ms + self._jitter_ms) / 1000)
        await self._idle.wait()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            if error.errno in (errno.ENOBUFS, errno.EAGAIN):
                return  # more packets than this process could be told of: they are lost, as on a link
            raise
        loop = asyncio.get_running_loop()
        for packet in packets(data):
            self.packets += 1
            self._under_way += 1
            self._idle.clear()
            delay_ms = self._delay_ms + self._rng.uniform(-self._jitter_ms, self._jitter_ms)
            loop.call_later(max(0.0, delay_ms) / 1000, self._let_go, packet)

    def _let_go(self, packet: int) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()
        if self._socket is not None:
            verdict = message(_VERDICT, self.number, _VERDICT_HEADER, struct.pack(">II", _ACCEPT, packet), _REQUEST)
            # It may have gone meanwhile, with its connection.
            with contextlib.suppress(FileNotFoundError):
                self._socket.send(verdict)


def message(kind: int, queue: int, attribute: int, value: bytes, flags: int) -> bytes:
    """A message to a queue, with one attribute."""
    length = _ATTRIBUTE.size + len(value)
    body = struct.pack("=BB", 0, 0) + struct.pack(">H", queue)
    body += _ATTRIBUTE.pack(length, attribute) + value + bytes(-length % 4)
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, 0) + body


def answered(data: bytes) -> int:
    """The error number in what the kernel answered; 0 if it has done what it was told."""
    (code,) = struct.unpack_from("=i", data, _HEADER.size)
    return -int(code)


def packets(data: bytes) -> Iterator[int]:
    """The numbers of the packets that the kernel tells of."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if kind == _PACKET:
            attribute_at = at + _HEADER.size + _FAMILY_BYTES
            while attribute_at + _ATTRIBUTE.size <= at + length:
                size, attribute = _ATTRIBUTE.unpack_from(data, attribute_at)
                if attribute & _ATTRIBUTE_TYPE == _PACKET_HEADER:
                    (number,) = struct.unpack_from(">I", data, attribute_at + _ATTRIBUTE.size)
                    yield int(number)
                attribute_at += size + -size % 4
        at += length + -length % 4
