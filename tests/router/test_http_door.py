"""router/http_door.py over a real connection, with a fake dispatcher behind it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import pytest_asyncio

from router.http_door import HEADER_BYTES_MAX, HEADERS_MAX, PIPELINE_MAX, HttpDoor, Timeouts
from router.requests.get_item import GetItemRequest
from router.requests.table_requests import DescribeTableRequest
from router.results import Page, ReadResult
from server.model.errors import (
    DeadlineExceededError,
    ServiceUnavailableError,
    StatorError,
    ThrottledError,
    ValidationError,
)
from server.model.limits import REQUEST_BYTES_MAX
from server.wire import item_to_bytes
from tests.clients.waiting import until
from tests.router.fakes import FakeDispatcher

GET_BODY = b'{"TableName":"music","Key":{"pk":{"S":"a"}}}'


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Client:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, *, has_body: bool = True) -> Response:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        length = int(headers.get("content-length", "0")) if has_body else 0
        return Response(int(head[0].split()[1]), headers, await self.reader.readexactly(length))

    async def is_at_end(self) -> bool:
        """Whether the door has closed the connection, cleanly, with nothing more to read."""
        return await asyncio.wait_for(self.reader.read(1), 10) == b""


def call(body: bytes = GET_BODY, operation: str = "GetItem", *headers: str) -> bytes:
    lines = [
        "POST / HTTP/1.1",
        "Host: localhost",
        f"X-Amz-Target: DynamoDB_20120810.{operation}",
        "Content-Type: application/x-amz-json-1.0",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Rig:
    """A door with short patience on a port of this machine."""

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self.answer: Any = lambda _: None
        self.dispatcher = FakeDispatcher(self._answer)
        self.door = HttpDoor(self.dispatcher, 7.0, timeouts)
        self.port = 0
        self.clients: list[Client] = []

    def _answer(self, request: Any) -> Any:
        return self.answer(request)

    async def connect(self) -> Client:
        if not self.port:
            self.port = await self.door.start("127.0.0.1", 0)
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.clients[-1]

    async def stop(self) -> None:
        for client in self.clients:
            client.writer.close()
        await self.door.stop(0)
        await until(lambda: not self.door.connections)


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.stop()


@pytest_asyncio.fixture
async def hasty() -> AsyncIterator[Rig]:
    """A door that does not wait for what has begun."""
    rig = Rig(Timeouts(arrival_s=0.05, linger_s=0.05))
    yield rig
    await rig.stop()


@pytest_asyncio.fixture
async def weary() -> AsyncIterator[Rig]:
    """A door that does not wait for what has not begun."""
    rig = Rig(Timeouts(idle_s=0.05))
    yield rig
    await rig.stop()


async def test_a_request_becomes_a_request_object(rig: Rig) -> None:
    """With the door's deadline, and the SDK's invocation id as its name; the result comes back as JSON."""
    loop = asyncio.get_running_loop()
    client = await rig.connect()
    begun = loop.time()
    client.send(call(GET_BODY, "GetItem", "amz-sdk-invocation-id: 1234"))
    await rig.dispatcher.was_asked.wait()
    assert rig.dispatcher.requests == [GetItemRequest("music", {"pk": {"S": "a"}}, False)]
    assert rig.dispatcher.token_seeds == [b"1234"]
    assert 7.0 <= rig.dispatcher.deadlines[0] - begun < 8.0
    rig.dispatcher.waiting[0](ReadResult(None), None)
    response = await client.response()
    assert (response.status, response.body) == (200, b"{}")
    assert response.headers["content-type"] == "application/x-amz-json-1.0"
    assert response.headers["x-amz-crc32"] == str(zlib.crc32(b"{}"))
    assert len(response.headers["x-amzn-requestid"]) == 52
    assert response.headers["connection"] == "keep-alive"


@pytest.mark.parametrize(
    ("error", "status", "type_"),
    [
        (ValidationError("no"), 400, "com.amazon.coral.validate#ValidationException"),
        (ThrottledError("no"), 400, "com.amazonaws.dynamodb.v20120810#ThrottlingException"),
        (DeadlineExceededError("no"), 500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
        (ServiceUnavailableError("no"), 503, "com.amazon.coral.service#ServiceUnavailableException"),
    ],
)
async def test_an_error_is_typed(rig: Rig, error: StatorError, status: int, type_: str) -> None:
    """Its type, its status, its message; the connection goes on."""
    rig.answer = lambda _: error
    client = await rig.connect()
    for _ in range(2):
        client.send(call())
        response = await client.response()
        assert (response.status, response.json) == (status, {"__type": type_, "message": "no"})
        assert response.headers["x-amz-crc32"] == str(zlib.crc32(response.body))


@pytest.mark.parametrize("result", [object(), b"\xff"], ids=["of no use", "damaged"])
async def test_a_bug_costs_one_request(rig: Rig, result: Any) -> None:
    """Whoever waits is told, and the connection goes on."""
    rig.answer = lambda _: result
    client = await rig.connect()
    for _ in range(2):
        client.send(call())
        response = await client.response()
        assert response.status == 500
        assert response.json["message"] == "The request failed because of an internal error"


async def test_responses_leave_in_the_order_of_the_requests(rig: Rig) -> None:
    """However they are answered."""
    client = await rig.connect()
    client.send(call() + call() + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: len(rig.dispatcher.waiting) == 2)
    rig.dispatcher.waiting[1](None, ValidationError("second"))
    rig.dispatcher.waiting[0](None, ValidationError("first"))
    assert [(await client.response()).json["message"] for _ in range(2)] == ["first", "second"]
    assert (await client.response()).body == b"healthy: dynamodb.local.amazonaws.com "


async def test_a_long_pipeline_waits(rig: Rig) -> None:
    """So many requests of one connection are looked at; the rest once these have been answered."""
    client = await rig.connect()
    for _ in range(PIPELINE_MAX):
        client.send(call())
    await until(lambda: len(rig.dispatcher.waiting) == PIPELINE_MAX)
    client.send(call())
    other = await rig.connect()
    other.send(call())  # has been read after the other connection could have been
    await until(lambda: len(rig.dispatcher.waiting) > PIPELINE_MAX)
    assert len(rig.dispatcher.waiting) == PIPELINE_MAX + 1
    for done in rig.dispatcher.waiting[:PIPELINE_MAX]:
        done(ReadResult(None), None)
    await until(lambda: len(rig.dispatcher.waiting) == PIPELINE_MAX + 2)
    rig.dispatcher.waiting[-1](ReadResult(None), None)
    for _ in range(PIPELINE_MAX + 1):
        assert (await client.response()).status == 200


async def test_head_is_get_without_a_body(rig: Rig) -> None:
    """What follows on the connection is not misread."""
    client = await rig.connect()
    client.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await client.response(has_body=False)
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    get = await client.response()
    assert (head.status, head.headers["content-length"]) == (200, str(len(get.body)))
    assert head.headers["x-amz-crc32"] == get.headers["x-amz-crc32"] == str(zlib.crc32(get.body))


async def test_a_client_that_has_said_its_last_gets_its_answer(rig: Rig) -> None:
    """It has closed its side; the response comes, then the end."""
    client = await rig.connect()
    client.send(call())
    client.writer.write_eof()
    await rig.dispatcher.was_asked.wait()
    await until(lambda: client.reader is not None and not client.reader.at_eof())
    rig.dispatcher.waiting[0](ReadResult(None), None)
    assert (await client.response()).status == 200
    assert await client.is_at_end()


async def test_an_answer_to_nobody_is_dropped(rig: Rig) -> None:
    """The client has gone while its request was carried out."""
    client = await rig.connect()
    client.send(call())
    await rig.dispatcher.was_asked.wait()
    client.writer.transport.abort()
    await client.writer.wait_closed()
    rig.dispatcher.waiting[0](ReadResult(None), None)
    await until(lambda: not rig.door.connections)


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: loc", None),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n", 408),
        (call()[:-1], 408),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", 408),
    ],
    ids=["in a header", "between headers", "in the body", "between chunks"],
)
async def test_a_request_that_does_not_arrive_is_cut_off(hasty: Rig, beginning: bytes, status: int | None) -> None:
    """A slow client holds nothing for long; it is told why, where it has made a request at all."""
    client = await hasty.connect()
    client.send(beginning)
    data = await asyncio.wait_for(client.reader.read(-1), 10)
    if status is not None or data:
        assert data.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in data and b"took too long to arrive" in data
    await until(lambda: not hasty.door.connections)


async def test_drops_of_data_do_not_hold_a_connection(hasty: Rig) -> None:
    """The time is the whole request's, not a byte's."""
    client = await hasty.connect()
    reading = asyncio.create_task(client.reader.read(-1))
    request = call(bytes(1000))
    client.send(request[:-1000])
    sent = 0
    for byte in request[-1000:]:
        if reading.done():
            break
        client.send(bytes((byte,)))
        sent += 1
        await asyncio.wait([reading], timeout=0.01)
    assert (await reading).startswith(b"HTTP/1.1 408 ")
    assert sent < 100


async def test_an_idle_connection_is_closed(weary: Rig) -> None:
    """Without a word: the client has asked nothing."""
    client = await weary.connect()
    assert await client.is_at_end()


async def test_a_connection_that_waits_for_its_answer_is_not_idle(weary: Rig) -> None:
    """However long that takes."""
    client = await weary.connect()
    client.send(call())
    await weary.dispatcher.was_asked.wait()
    other = await weary.connect()
    assert await other.is_at_end()  # as long as an idle one lives
    other = await weary.connect()
    assert await other.is_at_end()
    weary.dispatcher.waiting[0](ReadResult(None), None)
    assert (await client.response()).status == 200


async def test_a_client_that_goes_on_sending_after_the_end_is_let_go(hasty: Rig) -> None:
    """It gets to read its response; then the connection is gone, whatever it sends."""
    client = await hasty.connect()
    client.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (REQUEST_BYTES_MAX + 1))
    client.send(bytes(64 * 1024))
    assert (await client.response()).status == 413
    await until(lambda: not hasty.door.connections)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"X: " + b"x" * (HEADER_BYTES_MAX - 100) + b"\r\n\r\n", 200),
        (b"X: " + b"x" * HEADER_BYTES_MAX + b"\r\n\r\n", 431),
        (b"X: " + b"x" * (20 * HEADER_BYTES_MAX), 431),
        (b"X: x\r\n" * HEADERS_MAX + b"\r\n", 200),
        (b"X: x\r\n" * (HEADERS_MAX + 1) + b"\r\n", 431),
        (b"Authorization: " + b"x" * HEADER_BYTES_MAX + b"\r\n\r\n", 431),
        (b"Host: a\r\n" * (HEADERS_MAX + 1) + b"\r\n", 431),
        (b"Host: a\r\n" * 10 * HEADERS_MAX, 431),
    ],
    ids=["large", "too large", "without an end", "many", "too many", "large, known", "many, known", "known, no end"],
)
async def test_headers_are_bounded(rig: Rig, headers: bytes, status: int) -> None:
    """In bytes and in number."""
    client = await rig.connect()
    client.send(b"GET / HTTP/1.1\r\n" + headers)
    assert (await client.response()).status == status


@pytest.mark.parametrize(
    "last",
    [
        call(GET_BODY, "GetItem", "Content-Encoding: br"),
        b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        call(GET_BODY, "GetItem", "Connection: close"),
    ],
    ids=["refused", "another method", "close"],
)
async def test_what_follows_the_last_response_buys_no_time(last: bytes) -> None:
    """Requests behind one that ends the connection are neither served nor waited for."""
    rig = Rig(Timeouts(arrival_s=30.0, idle_s=30.0, linger_s=0.1))
    rig.answer = lambda _: b""
    client = await rig.connect()
    client.send(last + call(b'{"TableName":"music"}', "DescribeTable") * 2)
    await client.response()
    await until(lambda: not rig.door.connections)
    assert not any(isinstance(request, DescribeTableRequest) for request in rig.dispatcher.requests)
    await rig.stop()


async def test_each_request_has_its_own_time(rig: Rig) -> None:
    """Counted from when it came, not from when the connection was made."""
    rig.answer = lambda _: b""
    client = await rig.connect()
    client.send(call())
    await client.response()
    await asyncio.sleep(0.05)
    client.send(call())
    await client.response()
    first, second = rig.dispatcher.deadlines
    assert second - first >= 0.05


async def test_a_body_of_unknown_length_is_bounded(rig: Rig) -> None:
    """In chunks: refused when it has become too large."""
    client = await rig.connect()
    client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    for _ in range(REQUEST_BYTES_MAX >> 20):
        client.send(chunk)
    client.send(b"1\r\nx\r\n")
    response = await client.response()
    assert (response.status, response.headers["connection"]) == (413, "close")
    assert await client.is_at_end()


async def test_a_stop_answers_what_is_in_flight(rig: Rig) -> None:
    """And takes nothing more."""
    client, idle = await rig.connect(), await rig.connect()
    client.send(call())
    await rig.dispatcher.was_asked.wait()
    stopping = asyncio.create_task(rig.door.stop(10))
    await until(lambda: rig.door.is_stopping)
    with pytest.raises(ConnectionRefusedError):
        await rig.connect()
    rig.dispatcher.waiting[0](ReadResult(None), None)
    assert (await client.response()).status == 200
    await stopping
    assert await idle.is_at_end() and await client.is_at_end()


async def test_a_healthy_door_names_its_region() -> None:
    """As DynamoDB does, with the space at the end."""
    rig = Rig()
    rig.door = HttpDoor(rig.dispatcher, 7.0, region="us-east-1")
    client = await rig.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    response = await client.response()
    assert response.body == b"healthy: dynamodb.us-east-1.amazonaws.com "
    assert response.headers["x-amz-crc32"] == "3128867991"
    await rig.stop()


@pytest.mark.parametrize(
    ("header", "answered"),
    [
        ("Content-Type: application/x-amz-json-1.0", "application/x-amz-json-1.0"),
        ("content-type: APPLICATION/X-AMZ-JSON-1.0", "application/x-amz-json-1.0"),
        ("Content-Type: application/x-amz-json-1.0; charset=utf-8", "application/x-amz-json-1.0"),
        ("Content-Type: application/json", "application/json"),
        ("Content-Type: application/json;charset=UTF-8 ", "application/json"),
        ("Content-Type: application/x-amz-json-1.1", None),
        ("Content-Type: text/plain", None),
        ("Content-Type: ", None),
        ("X-No: type", None),
    ],
)
@pytest.mark.parametrize("error", [None, ValidationError("no")], ids=["found", "refused"])
async def test_content_types(rig: Rig, header: str, answered: str | None, error: StatorError | None) -> None:
    """DynamoDB's own and plain JSON are answered in kind, errors too; to others there is nothing here. The connection
    goes on."""
    rig.answer = lambda _: error or b""
    client = await rig.connect()
    own = b"Content-Type: application/x-amz-json-1.0"
    client.send(call().replace(own, header.encode()) + call())
    response = await client.response()
    if answered is None:
        assert (response.status, response.body) == (404, b"<UnknownOperationException/>\n")
        assert response.headers["x-amz-crc32"] == "3552371480"
        assert "content-type" not in response.headers
    else:
        assert response.status == (200 if error is None else 400)
        assert response.headers["content-type"] == answered
    assert (await client.response()).headers["content-type"] == "application/x-amz-json-1.0"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods(rig: Rig, method: str) -> None:
    """Are none of the API's; the connection ends, since it is not known what follows."""
    client = await rig.connect()
    client.send(f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    response = await client.response()
    assert (response.status, response.body) == (404, b"<UnknownOperationException/>\n")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("X-Amz-Target: DynamoDB_20120810.Nothing", {}),
        ("X-Amz-Target: DynamoDB_20111205.GetItem", {}),
        ("X-Amz-Target: GetItem", {}),
        ("X-Amz-Target: ", {}),
        ("X-No: target", {}),
        (
            "X-Amz-Target: DynamoDB_20120810.SearchVectors",
            {"message": "DynamoDB_20120810.SearchVectors is not supported"},
        ),
    ],
)
async def test_a_target_that_is_unknown(rig: Rig, target: str, content: dict[str, str]) -> None:
    """DynamoDB says no more than that; what DynamoDB would have done is named."""
    client = await rig.connect()
    client.send(call().replace(b"X-Amz-Target: DynamoDB_20120810.GetItem", target.encode()))
    response = await client.response()
    assert response.status == 400
    assert response.json == {"__type": "com.amazon.coral.service#UnknownOperationException"} | content


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "content-encoding: GZIP ", "Content-Encoding: x-gzip"])
async def test_a_request_may_be_compressed(rig: Rig, header: str) -> None:
    """It is the same request; an answer to it is not compressed for that."""
    rig.answer = lambda _: b""
    client = await rig.connect()
    client.send(call(gzip.compress(GET_BODY), "GetItem", header))
    response = await client.response()
    assert (response.status, "content-encoding" in response.headers) == (200, False)
    assert rig.dispatcher.requests == [GetItemRequest("music", {"pk": {"S": "a"}}, False)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (GET_BODY, 400),
        (gzip.compress(GET_BODY)[:-1], 400),
        (gzip.compress(GET_BODY) + b"x", 400),
        (gzip.compress(bytes(REQUEST_BYTES_MAX + 1)), 413),
        (gzip.compress(bytes(20 * REQUEST_BYTES_MAX)), 413),
    ],
    ids=["not gzip", "cut off", "goes on", "large", "bomb"],
)
async def test_what_cannot_be_unpacked(rig: Rig, body: bytes, status: int) -> None:
    """Costs its own request only."""
    rig.answer = lambda _: b""
    client = await rig.connect()
    client.send(call(body, "GetItem", "Content-Encoding: gzip") + call())
    response = await client.response()
    assert response.status == status
    assert response.json["__type"] == "com.amazon.coral.service#SerializationException"
    assert (await client.response()).status == 200


@pytest.mark.parametrize("header", ["Accept-Encoding: gzip", "accept-encoding: br, GZIP;q=0.5", None])
async def test_a_response_may_be_compressed(rig: Rig, header: str | None) -> None:
    """Where the client wants that and it is worth it; the checksum is that of what is sent."""
    item = {"pk": {"S": "a"}, "v": {"S": "x" * 5000}}
    rig.answer = lambda request: item_to_bytes(item) if request.is_consistent else b""
    client = await rig.connect()
    headers = [header] if header is not None else ["Accept-Encoding: identity"]
    large = GET_BODY[:-1] + b',"ConsistentRead":true}'
    client.send(call(large, "GetItem", *headers) + call(GET_BODY, "GetItem", *headers) + call(large))
    packed, small, plain = [await client.response() for _ in range(3)]
    assert packed.headers["x-amz-crc32"] == str(zlib.crc32(packed.body))
    if header is not None:
        assert packed.headers["content-encoding"] == "gzip" and len(packed.body) < 500
        packed.body = gzip.decompress(packed.body)
    assert packed.json == plain.json == {"Item": item}
    assert "content-encoding" not in small.headers | plain.headers


@pytest.mark.parametrize("count", [1, 500, 501, 1750])
async def test_a_page_of_any_length(rig: Rig, count: int) -> None:
    """A long one is made into JSON bit by bit; requests of others are answered in between."""
    items = [{"pk": {"S": str(number)}} for number in range(count)]
    page = Page([item_to_bytes(item) for item in items], count, count, item_to_bytes(items[-1]))
    rig.answer = lambda request: b"" if isinstance(request, GetItemRequest) else page
    client, other = await rig.connect(), await rig.connect()
    client.send(call(b'{"TableName":"music"}', "Scan"))
    other.send(call())
    assert (await other.response()).status == 200
    response = await client.response()
    assert response.json == {"Count": count, "ScannedCount": count, "Items": items, "LastEvaluatedKey": items[-1]}


async def test_a_long_page_with_something_that_is_no_item(rig: Rig) -> None:
    """It costs its request, as in a short one."""
    rig.answer = lambda _: Page([item_to_bytes({"pk": {"S": "a"}})] * 600 + [b"\xff"], 601, 601, None)
    client = await rig.connect()
    client.send(call(b'{"TableName":"music"}', "Scan"))
    assert (await client.response()).status == 500


def preflight(origin: str) -> bytes:
    lines = [
        "OPTIONS / HTTP/1.1",
        "Host: localhost",
        f"Origin: {origin}",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization,x-amz-target",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://example.com"])
async def test_browsers_ask_first(rig: Rig, origin: str, is_open: bool) -> None:
    """Pages of this machine may; others only where every request has to be signed, errors and all."""
    rig.answer = lambda _: ValidationError("no")
    rig.door.is_open = is_open
    client = await rig.connect()
    client.send(preflight(origin) + call(GET_BODY, "GetItem", f"Origin: {origin}") + call())
    asked, answered, other = [await client.response() for _ in range(3)]
    allowed = "*" if is_open or "localhost" in origin else None
    assert (asked.status, asked.body) == (200, b"")
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert asked.headers["access-control-allow-headers"] == "authorization,x-amz-target"
    assert asked.headers["access-control-max-age"] == "172800"
    assert asked.headers.get("access-control-allow-origin") == allowed
    assert answered.headers.get("access-control-allow-origin") == allowed
    assert "access-control-allow-origin" not in other.headers


async def test_a_client_may_ask_before_it_sends(rig: Rig) -> None:
    """It is told to go on."""
    rig.answer = lambda _: b""
    client = await rig.connect()
    request = call(GET_BODY, "GetItem", "Expect: 100-continue")
    client.send(request[: -len(GET_BODY)])
    assert (await client.response()).status == 100
    client.send(GET_BODY)
    assert (await client.response()).status == 200
