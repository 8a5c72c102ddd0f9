"""The HTTP door: DynamoDB's JSON protocol (DynamoDB_20120810, JSON 1.0) on HTTP/1.1.

An asyncio protocol around httptools' parser instead of a framework: a request costs callbacks, not tasks, which is most
of the difference between 30,000 and 60,000 requests a second on one core. Bounded on every side: header bytes, body
bytes, time to arrive, requests waiting on one connection.
"""

from __future__ import annotations

import asyncio
import math
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import httptools
import orjson
import structlog

from router.dispatcher import Dispatcher
from router.halt_watch import HaltWatch
from router.http_json import ITEM_OPERATIONS, STREAM_OPERATIONS, TABLE_OPERATIONS, Operation
from router.http_responses import (
    HEALTHY_HEAD,
    JSON_HEADS,
    JSON_TYPE,
    NOT_FOUND,
    NOT_FOUND_HEAD,
    OTHER_JSON_TYPE,
    Negotiation,
    accepts_gzip,
    healthy,
    unknown_target,
    unpack,
)
from router.item_json import error_to_json, rendered_items
from router.results import Page
from router.stream_json import rendered_records
from router.streams import RecordPage
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
PAGE_SLICE_ITEMS = 500
PAGE_SLICE_RECORDS = PAGE_SLICE_ITEMS // 3
"""Of a page are made into JSON at a time: some milliseconds' work. A record has up to three items."""

CONNECTIONS_MAX = 4096
WRITE_BUFFER_BYTES_MAX = 32 * 1024 * 1024

# What a header is to the door.
(
    _NOTHING,
    _TARGET,
    _LENGTH,
    _TYPE,
    _ACCEPTED,
    _INVOCATION,
    _EXPECT,
    _ENCODING,
    _ORIGIN,
    _ASKED_METHOD,
    _ASKED_HEADERS,
) = range(11)
_HEADERS = {
    b"x-amz-target": _TARGET,
    b"content-length": _LENGTH,
    b"content-type": _TYPE,
    b"accept-encoding": _ACCEPTED,
    b"amz-sdk-invocation-id": _INVOCATION,
    b"expect": _EXPECT,
    b"content-encoding": _ENCODING,
    b"origin": _ORIGIN,
    b"access-control-request-method": _ASKED_METHOD,
    b"access-control-request-headers": _ASKED_HEADERS,
    # As AWS's SDKs write them, with every request: so that they are found without another look.
    b"X-Amz-Target": _TARGET,
    b"Content-Length": _LENGTH,
    b"Content-Type": _TYPE,
    b"Accept-Encoding": _ACCEPTED,
    b"Host": _NOTHING,
    b"User-Agent": _NOTHING,
    b"X-Amz-Date": _NOTHING,
    b"X-Amz-Security-Token": _NOTHING,
    b"Authorization": _NOTHING,
    b"amz-sdk-request": _NOTHING,
}
_SLICES = {Page: PAGE_SLICE_ITEMS, RecordPage: PAGE_SLICE_RECORDS}
_JSON_OK = JSON_HEADS[200]
_TOO_LARGE = f"a request has at most {REQUEST_BYTES_MAX} bytes"
INTERNAL_ERROR = "The request failed because of an internal error"

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

    def __init__(
        self,
        dispatcher: Dispatcher,
        request_timeout_s: float,
        timeouts: Timeouts | None = None,
        *,
        region: str = "local",
        halts: HaltWatch | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.healthy = healthy(region)
        self.is_open = False  # pages of any origin may see responses
        self.timeouts = timeouts if timeouts is not None else Timeouts()
        self.request_timeout_s = request_timeout_s
        self.request_ids = RequestIds()
        self.connections: set[HttpConnection] = set()
        self.is_stopping = False
        self.halts = halts or HaltWatch()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port. Raises OSError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self.connect(loop), host, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def connect(self, loop: asyncio.AbstractEventLoop) -> HttpConnection:
        """A connection that has been made, as a protocol."""
        return HttpConnection(self, loop)

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


class Exchange:
    """One request and its place in the order of responses."""

    __slots__ = ("keep_alive", "negotiation", "response")

    def __init__(self, keep_alive: bool, negotiation: Negotiation | None = None) -> None:
        self.keep_alive = keep_alive
        self.negotiation = negotiation
        self.response: bytes | None = None


class HttpConnection(asyncio.Protocol):
    """One connection. Responses leave in the order of the requests, as HTTP/1.1 demands."""

    def __init__(self, door: HttpDoor, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._timeouts = door.timeouts
        self._answer_s = max(door.timeouts.idle_s, door.timeouts.arrival_s)
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchanges: deque[Exchange] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._now = 0.0  # loop time when the last bytes came
        self._waited_s = 0.0  # for how long these may have lain before this process ran
        self._begun = 0.0  # loop time when the request's first bytes were sent, at the earliest
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
        self._is_json = False
        self._negotiation: Negotiation | None = None  # None, as with most: everything is as usual
        self._length = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._has_headers = False
        self._silent_bytes = 0  # given to the parser since it was last done with the line, the headers or a body's part

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
        self._waited_s = self._door.halts.waited_s()
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
        self._begun = self._now - self._waited_s
        self._put_off(self._timeouts.arrival_s)

    def on_url(self, url: bytes) -> None:
        self._silent_bytes = 0
        self._header_bytes += len(url)
        if self._header_bytes > HEADER_BYTES_MAX:
            self._refuse(431, "SerializationException", "the request's line is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        self._headers += 1
        if self._header_bytes > HEADER_BYTES_MAX or self._headers > HEADERS_MAX:
            self._refuse(431, "SerializationException", "the request's headers are too large")
        try:
            what = _HEADERS[name]
        except KeyError:
            what = _HEADERS.get(name.lower(), _NOTHING)
        if not what or self._has_headers:
            return  # means nothing here, or is a trailer
        if what == _TARGET:
            self._target = value
        elif what == _LENGTH:
            self._length = int(value) if value.isdigit() else 0
        elif what == _TYPE and value == JSON_TYPE:
            self._is_json = True
        elif what == _INVOCATION:
            self._invocation = value
        elif what != _ACCEPTED or value != b"identity":
            self._negotiate(what, value)

    def _negotiate(self, what: int, value: bytes) -> None:
        """A header that asks for something unusual, or may do so."""
        value = value.strip()
        if what == _EXPECT:
            self._asked_for().expects = value.lower() == b"100-continue"
        elif what == _TYPE:
            kind = value.partition(b";")[0].strip().lower()
            self._is_json = kind in (JSON_TYPE, OTHER_JSON_TYPE)
            if kind == OTHER_JSON_TYPE:
                self._asked_for().is_other_json = True
        elif what == _ACCEPTED:
            if accepts_gzip(value):
                self._asked_for().accepts_gzip = True
        elif what == _ENCODING:
            if value.lower() in (b"gzip", b"x-gzip"):
                self._asked_for().is_packed = True
            elif value.lower() not in (b"", b"identity"):
                self._refuse(400, "SerializationException", "a request is compressed with gzip, or not at all")
        elif what == _ORIGIN:
            self._asked_for().origin = value
        elif what == _ASKED_METHOD:
            self._asked_for().asked_method = value
        else:
            self._asked_for().asked_headers = value

    def _asked_for(self) -> Negotiation:
        if self._negotiation is None:
            self._negotiation = Negotiation()
        return self._negotiation

    def on_headers_complete(self) -> None:
        self._silent_bytes = 0
        self._has_headers = True
        if self._length > REQUEST_BYTES_MAX:
            self._refuse(413, "SerializationException", _TOO_LARGE)
        if self._is_refused:
            return
        if self._negotiation is not None and self._negotiation.expects and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._length > BODY_BYTES_PER_S_MIN:
            self._put_off(self._timeouts.arrival_s + self._length / BODY_BYTES_PER_S_MIN)

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        self._body_bytes += len(body)
        if self._body_bytes > REQUEST_BYTES_MAX:
            self._refuse(413, "SerializationException", _TOO_LARGE)
        if not self._is_refused:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            self._refuse(400, "SerializationException", "connection upgrades are not supported")
        if self._is_refused or self._is_ending:
            return
        exchange = Exchange(self._parser.should_keep_alive() and not self._door.is_stopping, self._negotiation)
        self._exchanges.append(exchange)
        if len(self._exchanges) >= PIPELINE_MAX and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method, target, invocation = self._parser.get_method(), self._target, self._invocation
        if not self._is_json and body:
            method = b""  # no call
        self._begin()
        self._put_off(self._answer_s)
        self._serve(exchange, method, target, invocation, body)

    # Requests

    def _serve(self, exchange: Exchange, method: bytes, target: bytes, invocation: bytes, body: bytes) -> None:
        if method != b"POST":
            self._serve_other(exchange, method)
            return
        deadline = self._now + self._door.request_timeout_s
        dispatcher = self._door.dispatcher
        try:
            if (asked := exchange.negotiation) is not None and asked.is_packed:
                unpacked = unpack(body)
                if unpacked is None:
                    self._respond_error(exchange, SerializationError(_TOO_LARGE), 413)
                    return
                body = unpacked
            operation = ITEM_OPERATIONS.get(target)
            if operation is not None:
                done = partial(self._answer, exchange, operation)
                # A client that names its call sends it again under that name. Any client may have sent it again where
                # it has lain here.
                begun = self._begun if invocation or self._waited_s else math.inf
                dispatcher.submit(operation.read(_parse(body)), deadline, invocation, done, begun)
                return
            submit: Callable[..., None] = dispatcher.submit_tables
            operation = TABLE_OPERATIONS.get(target)
            if operation is None:
                submit = dispatcher.submit_streams
                operation = STREAM_OPERATIONS.get(target)
            if operation is None:
                raise UnknownOperationError(unknown_target(target))
            submit(operation.read(_parse(body)), deadline, partial(self._answer, exchange, operation))
        except StatorError as error:
            self._respond_error(exchange, error)
        except Exception:
            # A bug costs one request, not the process; it is logged with everything needed to find it.
            log.exception("request failed", target=target)
            self._respond_error(exchange, InternalServerError(INTERNAL_ERROR))

    def _serve_other(self, exchange: Exchange, method: bytes) -> None:
        """What is no call of the API. (`method` is empty for a POST whose body is of another type.)"""
        if method in (b"GET", b"HEAD"):
            self._respond(exchange, HEALTHY_HEAD, self._door.healthy, has_body=method == b"GET")
        elif method == b"OPTIONS" and (asked := exchange.negotiation) is not None and asked.origin:
            self._respond(exchange, asked.preflight_head(), b"")
        else:
            # A response to CONNECT has no body, and what follows would be misread.
            exchange.keep_alive = exchange.keep_alive and not method
            self._respond(exchange, NOT_FOUND_HEAD, NOT_FOUND)

    def _answer(self, exchange: Exchange, operation: Operation, result: Any, error: StatorError | None) -> None:
        if error is not None:
            self._respond_error(exchange, error)
            return
        size = _SLICES.get(type(result), 0)
        if size and not result.is_rendered and len(result.items) > size:
            self._render(exchange, operation, result, [], size)
            return
        try:
            content = orjson.dumps(operation.write(result))
        except Exception:
            log.exception("response failed", operation=operation.name)
            self._respond_error(exchange, InternalServerError(INTERNAL_ERROR))
        else:
            self._respond(exchange, _JSON_OK, content)

    def _render(
        self, exchange: Exchange, operation: Operation, page: Page | RecordPage, done: list[Any], size: int
    ) -> None:
        """Makes JSON of a long page bit by bit: others get their turn in between."""
        try:
            items = page.items[len(done) : len(done) + size]
            done += rendered_items(items) if isinstance(page, Page) else rendered_records(page.shard, items)
        except Exception:
            log.exception("response failed", operation=operation.name)
            self._respond_error(exchange, InternalServerError(INTERNAL_ERROR))
            return
        if len(done) < len(page.items):
            self._loop.call_soon(self._render, exchange, operation, page, done, size)
        else:
            self._answer(exchange, operation, replace(page, items=done, is_rendered=True), None)

    def _respond_error(self, exchange: Exchange, error: StatorError, status: int = 0) -> None:
        self._respond(exchange, JSON_HEADS[status or error.http_status], orjson.dumps(error_to_json(error)))

    def _respond(self, exchange: Exchange, head: bytes, body: bytes, *, has_body: bool = True) -> None:
        """`has_body` false: the headers only, as HEAD asks."""
        if exchange.negotiation is not None:
            head, body = exchange.negotiation.shape(head, body, is_open=self._door.is_open)
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
        exchange = Exchange(keep_alive=False)
        self._exchanges.append(exchange)
        error = SerializationError(message)
        body = orjson.dumps({"__type": error.type_prefix + code, "message": message})
        self._respond(exchange, JSON_HEADS[status], body)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SerializationError(f"The body is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise SerializationError("The body must be a JSON object")
    return content
