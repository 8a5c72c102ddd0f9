"""One stream to one router on which many requests travel at once: the cheap way to talk to Stator.

Natural batching: while one frame is being handed to the transport, the requests that arrive gather and leave together
as the next. Nothing ever waits for a batch to fill. A frame is a protobuf `SessionRequestFrame`; it is put together
from parts that are encoded already, so that a request costs the same few steps on its first attempt and on each retry:

    frame    = 0x0A LENGTH request ...                      field 1 of SessionRequestFrame, repeated
    frame    = ... 0x10 BEGUN_MS                            its field 2, behind the requests
    request  = 0x08 ID 0x10 TIMEOUT_MS [0x20 AGE_MS] body   fields 1, 2 and 4 of SessionRequest, then
    body     = the other fields of SessionRequest           as `SerializeToString` of a message without those

for example, request 5 with a timeout of 2000 ms and an empty body: 0A 05 08 05 10 D0 0F.

The router begins the stream with what its clock shows, and repeats that in every frame. So a frame can say by that
clock when the oldest of its requests was sent, and a write that comes too late (since a retry of it may have been
carried out meanwhile) is not carried out.
"""

import asyncio
import math
import time
from collections import deque

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from statorpb import passthrough_pb2

from stator.credentials import Credentials
from stator.errors import AccessDeniedError, ClientClosedError, StatorError, UnavailableError, ValidationError

CONVERSE = "/stator.v1.Session/Converse"
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
FRAME_BYTES_TARGET = 1024 * 1024
REQUESTS_IN_FLIGHT_MAX = 10_000

# A router answers every request within its timeout, if only with an error. One that has not answered anything this much
# later is taken for hung.
SILENCE_S = 0.5
_SWEEP_S = 0.1

CLOCK_DRIFT_MAX = 0.001
"""How much faster than a router's clock ours may go; quartz is ten times better."""

_SMALL = [bytes((number,)) for number in range(128)]


def varint(number: int) -> bytes:
    """Protobuf's encoding of an unsigned integer: seven bits a byte, the lowest first."""
    if number < 0x80:
        return _SMALL[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def zigzag(number: int) -> bytes:
    """Protobuf's encoding of a signed integer (`sint64`): 0, -1, 1, -2 as 0, 1, 2, 3."""
    return varint((number << 1) ^ (number >> 63))


class NoReplyError(UnavailableError):
    """The stream broke, or the router was silent for too long: the request may or may not have been carried out."""


class AttemptTimedOutError(NoReplyError):
    """This request had no reply in time, while others on the stream had."""


class Session:
    """A `Session.Converse` stream. Opened by the first request; once `is_broken` it stays so: make another.

    Every method must be called on the event loop's thread.
    """

    def __init__(self, channel: grpc.aio.Channel, address: str, credentials: Credentials | None = None) -> None:
        self.is_broken = False
        self._credentials = credentials
        self.frames_sent = 0
        self._channel = channel
        self._address = address
        self._loop = asyncio.get_running_loop()
        # Request id -> who waits, when it was sent, when it is given up. In order of sending.
        self._pending: dict[int, tuple[asyncio.Future[passthrough_pb2.RawSessionReply], float, float]] = {}
        self._next_id = 1
        self._outbox: deque[bytes] = deque()
        self._outbox_times: deque[float] = deque()  # when each came
        self._greeted: asyncio.Future[None] | None = None
        # The router's clock as it was told last, less ours when that was heard.
        self._clock_ahead_ms = 0.0
        self._clock_heard_at = 0.0
        self._idle: asyncio.Future[None] | None = None
        self._waiting_for_room: deque[asyncio.Future[None]] = deque()
        self._last_reply_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0

    @property
    def in_flight(self) -> int:
        """How many requests wait for a reply."""
        return len(self._pending)

    def send(
        self, body: bytes, timeout_s: float, age_s: float = 0.0
    ) -> asyncio.Future[passthrough_pb2.RawSessionReply]:
        """Sends a request; the future ends with its reply (which may be an error of the server's).

        `body` is a serialized SessionRequest without id, timeout and age. The router is told to answer within
        `timeout_s`, and that a first attempt was sent `age_s` ago, which may have been carried out.
        The future raises NoReplyError when the stream breaks or no reply comes, AccessDeniedError when the router does
        not let this client in. Raises ValidationError for a body above
        16 MB; then nothing is sent.
        """
        future = self._loop.create_future()
        if self.is_broken:
            future.set_exception(NoReplyError(f"{self._address}: the stream is broken"))
            return future
        request_id = self._next_id
        self._next_id = request_id + 1
        head = b"\x08" + varint(request_id) + b"\x10" + varint(max(1, int(timeout_s * 1000)))
        if age_s:
            head += b"\x20" + varint(math.ceil(age_s * 1000))
        request_bytes = len(head) + len(body)
        if request_bytes > MESSAGE_BYTES_MAX:
            raise ValidationError(f"the request has {request_bytes} bytes; at most {MESSAGE_BYTES_MAX} are allowed")
        came_at = time.monotonic()
        now = self._loop.time()
        self._pending[request_id] = (future, now, now + timeout_s + SILENCE_S)
        self._outbox.append(b"\x0a" + varint(request_bytes) + head + body)
        self._outbox_times.append(came_at)
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None
        elif not self._tasks:
            self._tasks = [self._loop.create_task(self._run(), name=f"stator session {self._address}")]
            self._schedule_sweep()
        return future

    async def wait_for_room(self) -> None:
        """Returns once fewer than REQUESTS_IN_FLIGHT_MAX requests wait for replies."""
        while len(self._pending) >= REQUESTS_IN_FLIGHT_MAX and not self.is_broken:
            room = self._loop.create_future()
            self._waiting_for_room.append(room)
            await room

    async def close(self) -> None:
        """Ends the stream; requests that still wait raise ClientClosedError."""
        self._break(ClientClosedError("the client was closed before the reply came"))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        metadata = self._credentials.sign(CONVERSE) if self._credentials is not None else None
        call: grpc.aio.StreamStreamCall[bytes, bytes] = self._channel.stream_stream(CONVERSE)(metadata=metadata)
        self._greeted = self._loop.create_future()
        reader = self._loop.create_task(self._read(call), name=f"stator replies {self._address}")
        self._tasks.append(reader)
        try:
            # Before it has told its clock, nothing can be said of ages.
            await self._greeted
            while True:
                if not self._outbox:
                    self._idle = self._loop.create_future()
                    await self._idle
                await call.write(self._take_frame())
                self.frames_sent += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The reader learns why, and tells those who wait.
            await reader
        finally:
            self._idle = None
            call.cancel()

    def _take_frame(self) -> bytes:
        outbox, times = self._outbox, self._outbox_times
        begun = b"\x10" + zigzag(self._router_clock_ms(times[0]))
        if len(outbox) == 1:
            times.clear()
            return outbox.popleft() + begun
        frame = [outbox.popleft()]
        times.popleft()
        frame_bytes = len(frame[0])
        while outbox and frame_bytes + len(outbox[0]) <= FRAME_BYTES_TARGET:
            frame_bytes += len(outbox[0])
            frame.append(outbox.popleft())
            times.popleft()
        frame.append(begun)
        return b"".join(frame)

    def _router_clock_ms(self, at: float) -> int:
        """What the router's clock showed when ours did `at`, or less: it was told before it was heard, and ours may be
        the faster."""
        drift_ms = (time.monotonic() - self._clock_heard_at) * 1000 * CLOCK_DRIFT_MAX
        return int(at * 1000 + self._clock_ahead_ms - drift_ms - 1)

    async def _read(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        try:
            while True:
                data = await call.read()
                if not isinstance(data, bytes):
                    self._break(NoReplyError(f"{self._address} ended the stream"))
                    return
                self._take_replies(passthrough_pb2.RawSessionReplyFrame.FromString(data))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._break(AccessDeniedError(error.details() or "the access key was refused"))
                return
            self._break(NoReplyError(f"{self._address}: {error.details() or error.code().name}"))
        except DecodeError as error:
            self._break(NoReplyError(f"{self._address} sent what is no reply frame ({error})"))

    def _take_replies(self, frame: passthrough_pb2.RawSessionReplyFrame) -> None:
        self._last_reply_at = self._loop.time()
        self._clock_heard_at = time.monotonic()
        self._clock_ahead_ms = frame.clock_ms - self._clock_heard_at * 1000
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)
        pending = self._pending
        for reply in frame.replies:
            entry = pending.pop(reply.id, None)
            if entry is not None and not entry[0].done():
                entry[0].set_result(reply)
        if self._waiting_for_room:
            self._let_in()

    def _let_in(self) -> None:
        room = REQUESTS_IN_FLIGHT_MAX - len(self._pending)
        while self._waiting_for_room and (room > 0 or self.is_broken):
            waiting = self._waiting_for_room.popleft()
            if not waiting.done():
                waiting.set_result(None)
                room -= 1

    def _schedule_sweep(self) -> None:
        self._sweep_due = self._loop.time() + _SWEEP_S
        self._sweep_timer = self._loop.call_at(self._sweep_due, self._sweep)

    def _sweep(self) -> None:
        """Gives up on requests whose time is over, and on the stream if it has been silent since one was sent."""
        now = self._loop.time()
        is_late = now - self._sweep_due > _SWEEP_S
        self._schedule_sweep()
        if is_late:
            # This loop was busy with something else: replies may have come that nobody has looked at yet.
            return
        overdue = [(key, *entry) for key, entry in self._pending.items() if entry[2] <= now or entry[0].done()]
        for request_id, future, sent_at, _ in overdue:
            if not future.done() and sent_at > self._last_reply_at:
                self._break(NoReplyError(f"{self._address} has been silent for {now - sent_at:.1f} s"))
                return
            del self._pending[request_id]
            if not future.done():
                future.set_exception(
                    AttemptTimedOutError(f"{self._address} has not replied within {now - sent_at:.1f} s")
                )
        self._let_in()

    def _break(self, error: StatorError) -> None:
        if self.is_broken:
            return
        self.is_broken = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        pending, self._pending = self._pending, {}
        for future, _, _ in pending.values():
            if not future.done():
                # One object each: raising an exception writes into it.
                future.set_exception(type(error)(error.message, code=error.code))
        self._outbox.clear()
        self._outbox_times.clear()
        self._let_in()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
