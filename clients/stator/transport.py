"""Attempts: which endpoint a request goes to, how long an attempt may take, when and where it is tried again."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from statorpb import items_pb2, passthrough_pb2

from stator.credentials import Credentials
from stator.errors import (
    CancellationReason,
    ClientClosedError,
    ConditionalCheckFailedError,
    DeadlineExceededError,
    InternalServerError,
    StatorError,
    ThrottledError,
    TransactionCanceledError,
    UnavailableError,
    UnknownOperationError,
    ValidationError,
    error_from_wire,
    is_conflict,
)
from stator.session import MESSAGE_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, AttemptTimedOutError, NoReplyError, Session
from stator.values import decode_item

# With more than one endpoint, an attempt is given up after this long and repeated at the next one.
ATTEMPT_S = 2.0
# How long a write is tried again after the first attempt that may have been carried out. Past this the servers refuse
# it: they remember the tokens of writes for little longer, and might carry it out a second time.
WRITE_AGE_S_MAX = 8.0
TABLE_ATTEMPT_S = 4.0
# A stream of answers on which nothing has come for so long is left for another.
STREAM_SILENCE_S = 5.0
_LATE_S = 0.5
# How often a request is made that meets transactions on the same items, unless the client or the call says otherwise.
CONFLICT_ATTEMPTS_DEFAULT = 10
RETRY_DELAY_S_MIN = 0.025
RETRY_DELAY_S_MAX = 1.0
_DOWN_S_MIN = 0.1
_DOWN_S_MAX = 2.0
_DETAILS_KEY = "grpc-status-details-bin"

ResponseT = TypeVar("ResponseT", bound=Message)
ResponseT_co = TypeVar("ResponseT_co", bound=Message, covariant=True)

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX + 64 * 1024),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX + 64 * 1024),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Clients of one process do not share a connection: each has its own flow control.
    ("grpc.use_local_subchannel_pool", 1),
)


class ResponseType(Protocol[ResponseT_co]):
    """A generated message class, as far as `unary` needs one."""

    @staticmethod
    def FromString(s: bytes) -> ResponseT_co: ...  # noqa: N802 (protobuf's name)


@dataclass(slots=True)
class Statistics:
    """What a client has done so far. All are counts.

    `retries`: attempts after the first of a call; `failovers`: how often the client turned to another endpoint;
    `requests`: calls; `frames`: messages that carried them; `conflicts`: attempts that met a transaction on the same
    items.
    """

    requests: int = 0
    retries: int = 0
    failovers: int = 0
    frames: int = 0
    conflicts: int = 0


class Endpoint:
    """One router: its channel, its session, and whether it is worth trying."""

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self.address = address
        self.credentials = credentials
        self.down_until = 0.0
        self._failures = 0
        self._channel: grpc.aio.Channel | None = None
        self._session: Session | None = None
        self._frames_before = 0

    @property
    def channel(self) -> grpc.aio.Channel:
        """Connects when first used."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        return self._channel

    @property
    def session(self) -> Session:
        """The stream, opened anew if it broke."""
        session = self._session
        if session is None or session.is_broken:
            self._frames_before = self.frames
            session = self._session = Session(self.channel, self.address, self.credentials)
        return session

    @property
    def frames(self) -> int:
        """Frames sent so far."""
        return self._frames_before + (self._session.frames_sent if self._session else 0)

    def note_failure(self, now: float) -> None:
        """Nothing answered: not to be tried for a while, longer each time."""
        if now >= self.down_until:
            self._failures = min(self._failures + 1, 8)
            self.down_until = now + min(_DOWN_S_MAX, _DOWN_S_MIN * 2**self._failures)

    def note_success(self) -> None:
        """An answer came."""
        if self._failures:
            self._failures = 0
            self.down_until = 0.0

    async def close(self) -> None:
        """Ends the stream and the connection."""
        if self._session is not None:
            await self._session.close()
        if self._channel is not None:
            await self._channel.close()


class Transport:
    """Carries requests to some endpoint, again and again within the call's time if that can help.

    Repeating is safe: whoever makes a write puts a token into it, and the servers carry a token out once.
    """

    def __init__(self, addresses: Sequence[str], rng: random.Random, credentials: Credentials | None = None) -> None:
        if not addresses:
            raise ValueError("a client needs at least one endpoint, for example '127.0.0.1:9000'.")
        self.endpoints = [Endpoint(address, credentials) for address in addresses]
        self._credentials = credentials
        self.statistics_counted = Statistics()
        self._rng = rng
        self._current = rng.randrange(len(self.endpoints))
        self._loop = asyncio.get_running_loop()
        self._is_closed = False

    @property
    def statistics(self) -> Statistics:
        """A copy of the counters as they stand."""
        counted = self.statistics_counted
        frames = sum(endpoint.frames for endpoint in self.endpoints)
        return replace(counted, frames=frames)

    async def request(
        self, body: bytes, timeout_s: float, *, is_write: bool, conflict_attempts: int = CONFLICT_ATTEMPTS_DEFAULT
    ) -> passthrough_pb2.RawSessionReply:
        """Sends a request on a session and returns its reply, which is never an error.

        Raises the server's error when trying again cannot help; when the time is over, or conflicts were met
        `conflict_attempts` times, what the last attempt met. The time of a write that may have been carried out is over
        after WRITE_AGE_S_MAX.
        """
        self._check_open()
        self.statistics_counted.requests += 1
        endpoint = self.endpoints[self._current]
        now = self._loop.time()
        if endpoint.down_until > now:
            endpoint = self._turn_from(None)
        begun = now
        deadline = now + timeout_s
        in_doubt_since = math.inf
        attempt = conflicts = 0
        while True:
            session = endpoint.session
            if session.in_flight >= REQUESTS_IN_FLIGHT_MAX:
                await session.wait_for_room()
            now = self._loop.time()
            try:
                reply = await session.send(body, self._attempt_s(deadline, ATTEMPT_S), max(0.0, now - in_doubt_since))
            except NoReplyError as met:
                error: StatorError = met
                is_certain = False
            else:
                endpoint.note_success()
                if not reply.HasField("error"):
                    return reply
                error = _error_of_wire(reply.error)
                is_certain = reply.error.not_carried_out
            if is_write:
                error.follows_unknown_attempt = in_doubt_since != math.inf
                if not is_certain:
                    in_doubt_since = min(in_doubt_since, now)
            if is_conflict(error):
                self.statistics_counted.conflicts += 1
                conflicts += 1
                if conflicts >= conflict_attempts:
                    raise error
            until = min(deadline, in_doubt_since + WRITE_AGE_S_MAX)
            endpoint = await self._before_retry(error, endpoint, attempt, until, round(until - begun, 1))
            attempt += 1

    async def unary(
        self, method: str, request: Message, response: ResponseType[ResponseT], timeout_s: float
    ) -> ResponseT:
        """A call outside the session, such as those on tables. Raises as `request` does.

        These carry no token: an error that `follows_unknown_attempt` may be the echo of an attempt that succeeded.
        """
        self._check_open()
        self.statistics_counted.requests += 1
        deadline = self._loop.time() + timeout_s
        endpoint = self._turn_from(None)
        attempt = 0
        is_unknown = False
        told: StatorError | None = None
        while True:
            attempt_s = self._attempt_s(deadline, TABLE_ATTEMPT_S)
            call = endpoint.channel.unary_unary(
                method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
            )
            try:
                metadata = self._credentials.sign(method) if self._credentials is not None else None
                answer: ResponseT = await call(request, timeout=attempt_s, metadata=metadata)
            except grpc.aio.AioRpcError as met:
                error = _error_of_rpc(met, endpoint.address)
            else:
                endpoint.note_success()
                return answer
            if not isinstance(error, NoReplyError):
                told = error
            elif told is not None and isinstance(error, AttemptTimedOutError) and attempt_s < TABLE_ATTEMPT_S:
                # What was left of the time was too short for an answer: the reason given before says more.
                error = told
            error.follows_unknown_attempt = is_unknown
            is_unknown = is_unknown or isinstance(error, UnavailableError | DeadlineExceededError | InternalServerError)
            endpoint = await self._before_retry(error, endpoint, attempt, deadline, timeout_s)
            attempt += 1

    async def stream(
        self,
        method: str,
        request: Callable[[], Message],
        response: ResponseType[ResponseT],
        patience_s: float,
        silence_s: float = STREAM_SILENCE_S,
    ) -> AsyncGenerator[ResponseT, None]:
        """The answers of a call that has many. Where it breaks, or is silent, it is made again: `request` says then
        what is still wanted. So is one that the server ends: whoever has all of it stops asking.

        Raises the server's error when trying again cannot help; what the last attempt met, when nothing has come for
        `patience_s`. Close it where it is left before that (`aclosing`).
        """
        self._check_open()
        self.statistics_counted.requests += 1
        endpoint = self._turn_from(None)
        heard_at = self._loop.time()
        attempt = 0
        while True:
            try:
                async with aclosing(self._attempt_stream(endpoint, method, request(), silence_s)) as answers:
                    async for data in answers:
                        answer: ResponseT = response.FromString(data)
                        endpoint.note_success()
                        attempt = 0
                        yield answer
                        heard_at = self._loop.time()
                error: StatorError = NoReplyError(f"{endpoint.address} ended the stream")
            except DecodeError as met:
                error = NoReplyError(f"{endpoint.address} sent what is no answer ({met})")
            except grpc.aio.AioRpcError as met:
                error = _error_of_stream(met, endpoint.address)
            except StatorError as met:
                error = met
            endpoint = await self._before_retry(error, endpoint, attempt, heard_at + patience_s, patience_s)
            if isinstance(error, ThrottledError):
                # Each router has room for so many, and none is left soon.
                endpoint = self._turn_from(endpoint)
            attempt += 1

    async def _attempt_stream(
        self, endpoint: Endpoint, method: str, request: Message, silence_s: float
    ) -> AsyncGenerator[bytes, None]:
        metadata = self._credentials.sign(method) if self._credentials is not None else None
        call: grpc.aio.UnaryStreamCall[Message, bytes] = endpoint.channel.unary_stream(
            method, request_serializer=type(request).SerializeToString
        )(request, metadata=metadata)
        read: asyncio.Task[Any] | None = None
        try:
            while True:
                read = self._loop.create_task(_read(call))
                while not read.done():
                    due = self._loop.time() + silence_s
                    await asyncio.wait({read}, timeout=silence_s)
                    # Where this loop was busy with something else, what has come may not have been looked at yet.
                    if not read.done() and self._loop.time() - due < _LATE_S:
                        raise AttemptTimedOutError(f"{endpoint.address} has been silent for {silence_s:g} s")
                if read.cancelled():
                    # So a read ends when its channel is closed.
                    raise NoReplyError(f"{endpoint.address}: the connection was closed")
                data = read.result()
                if not isinstance(data, bytes):
                    return
                yield data
        finally:
            call.cancel()
            if read is not None and not read.done():
                read.cancel()
                await asyncio.wait({read})

    async def close(self) -> None:
        """Ends every stream and connection; calls under way raise ClientClosedError."""
        self._is_closed = True
        for endpoint in self.endpoints:
            await endpoint.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClientClosedError("the client is closed")

    def _attempt_s(self, deadline: float, attempt_s: float) -> float:
        remaining = max(0.001, deadline - self._loop.time())
        return remaining if len(self.endpoints) == 1 else min(attempt_s, remaining)

    async def _before_retry(
        self, error: StatorError, endpoint: Endpoint, attempt: int, deadline: float, timeout_s: float
    ) -> Endpoint:
        """Waits as long as is due and returns where to try next. Raises what the caller is told if that is no use."""
        if self._is_closed:
            raise ClientClosedError("the client was closed before the reply came")
        if not error.is_retriable:
            raise error
        now = self._loop.time()
        is_lost = isinstance(error, NoReplyError) and not isinstance(error, AttemptTimedOutError)
        if is_lost:
            endpoint.note_failure(now)
        stays = isinstance(error, ThrottledError) or is_conflict(error)  # the router is not at fault
        following = endpoint if stays else self._turn_from(endpoint)
        delay_s = 0.0
        if not is_lost or following.down_until > now:
            delay_s = self._rng.random() * min(RETRY_DELAY_S_MAX, RETRY_DELAY_S_MIN * 2**attempt)
            if is_lost:
                delay_s = max(delay_s, RETRY_DELAY_S_MIN)
        if now + delay_s >= deadline:
            raise self._final(error, timeout_s) from (error if isinstance(error, NoReplyError) else None)
        if delay_s:
            await asyncio.sleep(delay_s)
        self._check_open()
        self.statistics_counted.retries += 1
        return following

    def _turn_from(self, failed: Endpoint | None) -> Endpoint:
        """The endpoint to use instead of `failed`. The client stays with it if `failed` is down.

        Those that are not down come first, from the one behind `failed` on: not two that refuse in turns while a third
        would not. Among those that are down, the one that was so longest.
        """
        count = len(self.endpoints)
        now = self._loop.time()
        first = self._current if failed is None else self.endpoints.index(failed) + 1
        in_turn = [self.endpoints[(first + step) % count] for step in range(count)]
        others = [endpoint for endpoint in in_turn if endpoint is not failed] or in_turn
        chosen = min(others, key=lambda endpoint: max(endpoint.down_until, now))
        if self.endpoints[self._current].down_until > now and chosen.down_until <= now:
            self._current = self.endpoints.index(chosen)
            self.statistics_counted.failovers += 1
        return chosen

    def _final(self, error: StatorError, timeout_s: float) -> StatorError:
        """What the caller is told when the time is over."""
        if not isinstance(error, NoReplyError):
            return error
        addresses = ", ".join(endpoint.address for endpoint in self.endpoints)
        if isinstance(error, AttemptTimedOutError):
            return DeadlineExceededError(
                f"no reply within {timeout_s:g} s from {addresses}; a write may or may not have been carried out"
            )
        return UnavailableError(f"no cluster answers at {addresses} ({error.message})")


def _error_of_wire(wire: items_pb2.Error) -> StatorError:
    error = error_from_wire(wire.code, wire.message, is_retriable=wire.retriable)
    if isinstance(error, ConditionalCheckFailedError) and wire.HasField("item"):
        error.item = decode_item(wire.item)
    if isinstance(error, TransactionCanceledError):
        error.reasons = tuple(
            CancellationReason(
                index, reason.code, reason.message, decode_item(reason.item) if reason.HasField("item") else None
            )
            for index, reason in enumerate(wire.cancellation_reasons)
        )
    error.is_retriable = error.is_retriable or is_conflict(error)
    return error


async def _read(call: "grpc.aio.UnaryStreamCall[Message, bytes]") -> object:
    """The next message, or grpc.aio.EOF."""
    return await call.read()


def _error_of_stream(error: grpc.aio.AioRpcError, address: str) -> StatorError:
    """Likewise of a call with many answers, which says how far it has come when it is made again: whatever broke it
    may be tried again, unless it was the server that refused."""
    met = _error_of_rpc(error, address)
    if type(met) is InternalServerError and met.message.startswith(f"{address}: "):
        return NoReplyError(met.message)
    return met


def _error_of_rpc(error: grpc.aio.AioRpcError, address: str) -> StatorError:
    """The error that a unary call's status stands for: the details say it exactly, the code roughly."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                wire = items_pb2.Error()
                if detail.Unpack(wire):
                    return _error_of_wire(wire)
    code, text = error.code(), error.details() or error.code().name
    if code is grpc.StatusCode.UNAVAILABLE:
        return NoReplyError(f"{address}: {text}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return AttemptTimedOutError(f"{address}: {text}")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return UnknownOperationError(text)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return ValidationError(text)
    return InternalServerError(f"{address}: {text} ({code.name})", is_retriable=False)
