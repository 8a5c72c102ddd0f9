"""The HTTP door: DynamoDB's JSON protocol (DynamoDB_20120810, JSON 1.0) on HTTP/1.1.

An asyncio protocol around httptools' parser instead of a framework: a request costs callbacks, not tasks, which is most
of the difference between 30,000 and 60,000 requests a second on one core. Bounded on every side: header bytes, body
bytes, time to arrive, requests waiting on one connection.
"""

from __future__ import annotations

import asyncio
import uuid
import zlib
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import httptools
import orjson
import structlog

from router.dispatcher import Dispatcher
from router.http_json import ITEM_OPERATIONS, TABLE_OPERATIONS, Operation
from server.model.errors import (
    InternalServerError,
    SerializationError,
    StatorError,
    UnknownOperationError,
)
from server.model.limits import REQUEST_BYTES_MAX

HEADER_BYTES_MAX = 32 * 1024
HEADERS_MAX = 100
BODY_BYTES_PER_S_MIN = 64 * 1024
PIPELINE_MAX = 32
CONNECTIONS_MAX = 4096
WRITE_BUFFER_BYTES_MAX = 32 * 1024 * 1024

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    408: b"Request Timeout",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
_JSON_TYPE = b"application/x-amz-json-1.0"
_JSON_HEADS = {
    status: b"HTTP/1.1 %d %b\r\nServer: Stator\r\nContent-Type: %b" % (status, reason, _JSON_TYPE)
    for status, reason in _REASONS.items()
}
_JSON_OK = _JSON_HEADS[200]
_USUAL_HEADERS = frozenset(
    (
        b"Host",
        b"Accept-Encoding",
        b"User-Agent",
        b"Content-Type",
        b"X-Amz-Date",
        b"X-Amz-Security-Token",
        b"Authorization",
        b"amz-sdk-request",
    )
)
"""What AWS's SDKs send with every request and means nothing here, as they write it: not worth a second look."""
_HEALTHY = b"healthy: dynamodb.local\n"
_HEALTHY_HEAD = b"HTTP/1.1 200 OK\r\nServer: Stator\r\nContent-Type: text/plain"
_INTERNAL_ERROR = "The request failed because of an internal error"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection waits for its client.

    `arrival_s`: from a request's first byte to its last; large bodies get longer (BODY_BYTES_PER_S_MIN). `idle_s`:
    between requests. `linger_s`: after the last response, when what the client still sends is read and dropped, so that
    it gets to read that response."""

    arrival_s: float = 10.0
    idle_s: float = 120.0
    linger_s: float = 2.0


class RequestIds:
    """Request ids as AWS writes them: 52 upper-case letters and digits; cheap, and unique to this process's life."""

    def __init__(self) -> None:
        self._prefix = (uuid.uuid4().hex + uuid.uuid4().hex)[:40].upper().encode()
        self._counter = 0

    def next(self) -> bytes:
        self._counter += 1
        return b"%b%012X" % (self._prefix, self._counter)


class HttpDoor:
    """What all connections share."""

    def __init__(self, dispatcher: Dispatcher, request_timeout_s: float, timeouts: Timeouts | None = None) -> None:
        self.dispatcher = dispatcher
        self.timeouts = timeouts if timeouts is not None else Timeouts()
        self.request_timeout_s = request_timeout_s
        self.request_ids = RequestIds()
        self.connections: set[HttpConnection] = set()
        self.is_stopping = False
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port. Raises OSError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HttpConnection(self, loop), host, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, grace_s: float) -> None:
        """Takes no more connections, answers what is in flight, and closes."""
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        while any(connection.is_busy for connection in self.connections) and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for connection in tuple(self.connections):
            connection.close()


class _Exchange:
    """One request and its place in the order of responses."""

    __slots__ = ("keep_alive", "response")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response: bytes | None = None


class HttpConnection(asyncio.Protocol):
    """One connection. Responses leave in the order of the requests, as HTTP/1.1 demands."""

    def __init__(self, door: HttpDoor, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._timeouts = door.timeouts
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchanges: deque[_Exchange] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._now = 0.0  # loop time when the last bytes came
        self._due = 0.0  # loop time: not before then has anything taken too long
        self._is_paused = False  # as many requests wait as may
        self._is_write_paused = False  # the client does not read its responses
        self._is_refused = False
        self._is_ending = False
        self._has_eof = False
        self._begin()

    @property
    def is_busy(self) -> bool:
        return bool(self._exchanges)

    def _begin(self) -> None:
        self._is_arriving = False
        self._header_bytes = 0
        self._headers = 0
        self._target = b""
        self._invocation = b""
        self._expects = False
        self._length = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._has_headers = False
        self._silent_bytes = 0  # given to the parser since it last said something

    # Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        transport = self._transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        self._door.connections.add(self)
        self._set_timer(self._timeouts.idle_s)
        if len(self._door.connections) > CONNECTIONS_MAX:
            self._refuse(503, "ServiceUnavailableException", "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.connections.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_refused or self._is_ending:
            return
        self._silent_bytes += len(data)
        self._now = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # refused when the request was complete
        except httptools.HttpParserCallbackError:
            if not self._is_refused:
                raise
        except httptools.HttpParserError as error:
            self._refuse(400, "SerializationException", f"not an HTTP request: {error}")
        if self._silent_bytes > HEADER_BYTES_MAX:
            # The parser keeps what it has of a header to itself until that ends.
            self._refuse(431, "SerializationException", "the request's headers are too large")

    def eof_received(self) -> bool:
        """A client that has nothing more to say still gets the answers to what it has asked."""
        self._has_eof = True
        if not self._exchanges:
            return False
        self._exchanges[-1].keep_alive = False
        return True

    def pause_writing(self) -> None:
        self._is_write_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._is_paused and not self._is_write_paused:
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _end(self, transport: asyncio.Transport) -> None:
        """The last response has been written. Closing at once, with something of the client's unread, would reset the
        connection, and the client would lose the response."""
        self._is_ending = True
        self._exchanges.clear()
        if self._has_eof:
            transport.close()
            return
        transport.write_eof()
        self._is_paused = False
        self._resume_reading()
        self._set_timer(self._timeouts.linger_s)

    def _set_timer(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._loop.time() + delay_s
        self._timer = self._loop.call_later(min(delay_s, self._timeouts.arrival_s), self._timer_fired)

    def _put_off(self, delay_s: float) -> None:
        """As `_set_timer`, for every request: the timer itself stays, and finds when it fires that there is time left.
        Right for any delay that is not shorter than `arrival_s`, since that is how often the timer fires."""
        self._due = self._now + delay_s

    def _timer_fired(self) -> None:
        left_s = self._due - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(min(left_s, self._timeouts.arrival_s), self._timer_fired)
        else:
            self._timed_out()

    def _timed_out(self) -> None:
        """An idle connection is closed; a request that takes too long to arrive is refused, unless it is this side that
        does not read it."""
        if self._is_ending:
            self._abort()
        elif self._is_paused:
            self._set_timer(self._timeouts.arrival_s)
        elif self._is_arriving:
            self._refuse(408, "SerializationException", "the request took too long to arrive")
        elif self._exchanges:
            self._set_timer(self._timeouts.idle_s)
        else:
            self._abort()

    def _abort(self) -> None:
        """Closes without waiting for a client that does not read."""
        if self._transport is not None:
            self._transport.abort()

    # Parser

    def on_message_begin(self) -> None:
        if self._is_refused or self._is_ending:
            return  # what follows the last response is dropped, and buys no time
        self._is_arriving = True
        self._put_off(self._timeouts.arrival_s)

    def on_url(self, url: bytes) -> None:
        self._silent_bytes = 0
        self._header_bytes += len(url)
        if self._header_bytes > HEADER_BYTES_MAX:
            self._refuse(431, "SerializationException", "the request's line is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent_bytes = 0
        self._header_bytes += len(name) + len(value)
        self._headers += 1
        if self._header_bytes > HEADER_BYTES_MAX or self._headers > HEADERS_MAX:
            self._refuse(431, "SerializationException", "the request's headers are too large")
        if name in _USUAL_HEADERS or self._has_headers:
            return  # means nothing here, or is a trailer
        lowered = name.lower()
        if lowered == b"x-amz-target":
            self._target = value
        elif lowered == b"content-length":
            self._length = int(value) if value.isdigit() else 0
        elif lowered == b"amz-sdk-invocation-id":
            self._invocation = value
        elif lowered == b"expect":
            self._expects = value.lower() == b"100-continue"
        elif lowered == b"content-encoding" and value.lower() not in (b"", b"identity"):
            self._refuse(400, "SerializationException", "compressed requests are not supported yet")

    def on_headers_complete(self) -> None:
        self._has_headers = True
        if self._length > REQUEST_BYTES_MAX:
            self._refuse(413, "SerializationException", f"a request has at most {REQUEST_BYTES_MAX} bytes")
        if self._is_refused:
            return
        if self._expects and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._length > BODY_BYTES_PER_S_MIN:
            self._put_off(self._timeouts.arrival_s + self._length / BODY_BYTES_PER_S_MIN)

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        self._body_bytes += len(body)
        if self._body_bytes > REQUEST_BYTES_MAX:
            self._refuse(413, "SerializationException", f"a request has at most {REQUEST_BYTES_MAX} bytes")
        if not self._is_refused:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            self._refuse(400, "SerializationException", "connection upgrades are not supported")
        if self._is_refused or self._is_ending:
            return
        exchange = _Exchange(self._parser.should_keep_alive() and not self._door.is_stopping)
        self._exchanges.append(exchange)
        if len(self._exchanges) >= PIPELINE_MAX and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method, target, invocation = self._parser.get_method(), self._target, self._invocation
        self._begin()
        self._put_off(max(self._timeouts.idle_s, self._timeouts.arrival_s))
        self._serve(exchange, method, target, invocation, body)

    # Requests

    def _serve(self, exchange: _Exchange, method: bytes, target: bytes, invocation: bytes, body: bytes) -> None:
        if method != b"POST":
            self._serve_other(exchange, method)
            return
        deadline = self._now + self._door.request_timeout_s
        dispatcher = self._door.dispatcher
        try:
            operation = ITEM_OPERATIONS.get(target)
            if operation is not None:
                done = partial(self._answer, exchange, operation)
                dispatcher.submit(operation.read(_parse(body)), deadline, invocation, done)
                return
            operation = TABLE_OPERATIONS.get(target)
            if operation is None:
                raise UnknownOperationError(_unknown(target))
            done = partial(self._answer, exchange, operation)
            dispatcher.submit_tables(operation.read(_parse(body)), deadline, done)
        except StatorError as error:
            self._respond_error(exchange, error)
        except Exception:
            # A bug costs one request, not the process; it is logged with everything needed to find it.
            log.exception("request failed", target=target)
            self._respond_error(exchange, InternalServerError(_INTERNAL_ERROR))

    def _serve_other(self, exchange: _Exchange, method: bytes) -> None:
        if method == b"GET":
            self._respond(exchange, _HEALTHY_HEAD, _HEALTHY)
        elif method == b"HEAD":
            self._respond(exchange, _HEALTHY_HEAD, _HEALTHY, has_body=False)
        else:
            exchange.keep_alive = False  # a response to CONNECT has no body, and what follows would be misread
            name = method.decode("ascii", "replace")
            self._respond_error(exchange, UnknownOperationError(f"{name} is not supported"))

    def _answer(self, exchange: _Exchange, operation: Operation, result: Any, error: StatorError | None) -> None:
        if error is not None:
            self._respond_error(exchange, error)
            return
        try:
            content = orjson.dumps(operation.write(result))
        except Exception:
            log.exception("response failed", operation=operation.name)
            self._respond_error(exchange, InternalServerError(_INTERNAL_ERROR))
        else:
            self._respond(exchange, _JSON_OK, content)

    def _respond_error(self, exchange: _Exchange, error: StatorError) -> None:
        body = orjson.dumps({"__type": error.type_prefix + error.code, "message": error.message})
        self._respond(exchange, _JSON_HEADS[error.http_status], body)

    def _respond(self, exchange: _Exchange, head: bytes, body: bytes, *, has_body: bool = True) -> None:
        """`has_body` false: the headers only, as HEAD asks."""
        exchange.response = b"".join(
            (
                head,
                b"\r\nContent-Length: %d\r\nx-amzn-RequestId: %b\r\nx-amz-crc32: %d\r\n"
                % (len(body), self._door.request_ids.next(), zlib.crc32(body)),
                b"Connection: keep-alive\r\n\r\n" if exchange.keep_alive else b"Connection: close\r\n\r\n",
                body if has_body else b"",
            )
        )
        transport = self._transport
        if transport is None or transport.is_closing() or self._is_ending:
            return
        exchanges = self._exchanges
        while exchanges and (response := exchanges[0].response) is not None:
            transport.write(response)
            if not exchanges.popleft().keep_alive:
                self._end(transport)
                return
        if self._is_paused and len(exchanges) < PIPELINE_MAX // 2:
            self._is_paused = False
            self._resume_reading()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answers what cannot be served as a request, and closes: what follows on the connection cannot be trusted."""
        if self._is_refused:
            return
        self._is_refused = True
        exchange = _Exchange(keep_alive=False)
        self._exchanges.append(exchange)
        error = SerializationError(message)
        body = orjson.dumps({"__type": error.type_prefix + code, "message": message})
        self._respond(exchange, _JSON_HEADS[status], body)


def _unknown(target: bytes) -> str:
    """Why there is no operation for this X-Amz-Target. (DynamoDB says nothing; but it does have the operation.)"""
    name = target.decode("ascii", "replace")
    return f"{name} is not supported" if name else "The request has no X-Amz-Target header"


def _parse(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SerializationError(f"The body is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise SerializationError("The body must be a JSON object")
    return content
