"""HTTP/1.1 as clients speak it, and as they should not."""

from __future__ import annotations

import http.client
import json
import socket
import zlib
from collections.abc import Iterator

import pytest

from tests.conformance.doors import SERIALIZATION, TIMEOUT_S, Doors, HttpAnswer

pytestmark = pytest.mark.cluster

LIST = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n"
    b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}"
)
HEALTHY = b"healthy: dynamodb.local.amazonaws.com "


class Connection:
    """One connection, spoken by hand."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self._reader = opened.makefile("rb")

    def close(self) -> None:
        self._reader.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        return self._reader.readline()

    def answer(self) -> HttpAnswer:
        """The next response, and not a byte more."""
        status = int(self.line().split()[1])
        headers = {}
        while line := self.line().decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return HttpAnswer(status, headers, self._reader.read(int(headers["content-length"])))

    def is_at_end(self) -> bool:
        return self._reader.read(1) == b""


@pytest.fixture
def connection(doors: Doors) -> Iterator[Connection]:
    with doors.socket() as opened:
        connection = Connection(opened)
        yield connection
        connection.close()


def test_get_says_that_the_router_is_healthy(doors: Doors) -> None:
    """As DynamoDB does, for load balancers and waiting scripts; HEAD says the same without a body."""
    connection = http.client.HTTPConnection("127.0.0.1", doors.http_port, timeout=TIMEOUT_S)
    for method, expected in (("GET", HEALTHY), ("HEAD", b""), ("GET", HEALTHY)):
        connection.request(method, "/")
        response = connection.getresponse()
        assert response.status == 200
        assert response.getheader("Content-Length") == str(len(HEALTHY))
        assert response.read() == expected
    connection.close()


def test_every_response_has_an_id_and_a_checksum(doors: Doors) -> None:
    """Errors, too; no id comes twice."""
    answers = [doors.post("ListTables", {}), doors.post("ListTables", {"Limit": 0}), doors.post("Nothing", {})]
    assert [each.status for each in answers] == [200, 400, 400]
    for each in answers:
        assert each.headers["x-amz-crc32"] == str(zlib.crc32(each.body))
        assert each.headers["content-type"] == "application/x-amz-json-1.0"
        request_id = each.headers["x-amzn-requestid"]
        assert len(request_id) == 52 and request_id.isalnum() and request_id == request_id.upper()
    assert len({each.headers["x-amzn-requestid"] for each in answers}) == len(answers)


def test_boto3_checks_the_checksum(doors: Doors) -> None:
    """It would raise; and it shows the id."""
    found = doors.boto.list_tables()["ResponseMetadata"]
    assert len(found["RequestId"]) == 52 and found["HTTPStatusCode"] == 200


def test_a_connection_is_kept(connection: Connection) -> None:
    """One request after the other, errors among them."""
    for data, status in ((LIST, 200), (LIST.replace(b"{}", b"[]"), 400), (LIST, 200)):
        connection.send(data)
        response = connection.answer()
        assert (response.status, response.headers["connection"]) == (status, "keep-alive")


@pytest.mark.parametrize(
    "request_",
    [
        LIST.replace(b"Host: localhost", b"Connection: close"),
        b"GET / HTTP/1.0\r\n\r\n",
    ],
    ids=["asked for", "HTTP/1.0"],
)
def test_a_connection_is_closed(connection: Connection, request_: bytes) -> None:
    """Where the client wants that."""
    connection.send(request_)
    response = connection.answer()
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert connection.is_at_end()


def test_requests_in_a_row_are_answered_in_their_order(connection: Connection) -> None:
    """More of them than are looked at together; each response belongs to its request."""
    bodies = [json.dumps({"Limit": number}).encode() for number in range(101, 151)]
    connection.send(
        b"".join(
            LIST.replace(b"Length: 2", b"Length: %d" % len(body)).replace(b"\r\n{}", b"\r\n" + body) for body in bodies
        )
    )
    for number in range(101, 151):
        assert f"Value '{number}'" in connection.answer().json["message"]


@pytest.mark.parametrize("size", [1, 7])
def test_a_request_may_come_in_pieces(connection: Connection, size: int) -> None:
    """However TCP has cut it."""
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(LIST), size):
        connection.send(LIST[at : at + size])
    assert connection.answer().status == 200


def test_a_body_may_come_in_chunks(connection: Connection) -> None:
    """With a trailer; the next request is found after it."""
    head = LIST.partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    connection.send(head + b'1\r\n{\r\n9\r\n"Limit":0\r\n1\r\n}\r\n0\r\nX-Amz-Target: Nothing\r\n\r\n' + LIST)
    assert connection.answer().json["message"].startswith("1 validation error detected: Value '0' at 'limit'")
    assert connection.answer().status == 200


def test_a_client_may_ask_before_it_sends_a_body(connection: Connection) -> None:
    """It is told to go on, or, where the body would be too large, that it should not."""
    head, _, body = LIST.partition(b"\r\n\r\n")
    connection.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert (connection.line(), connection.line()) == (b"HTTP/1.1 100 Continue\r\n", b"\r\n")
    connection.send(body)
    assert connection.answer().status == 200
    connection.send(head.replace(b": 2", b": 16777217") + b"\r\nExpect: 100-continue\r\n\r\n")
    assert connection.answer().status == 413
    assert connection.is_at_end()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"what is this?\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Encoding: br\r\nContent-Length: 0\r\n\r\n", 400),
    ],
    ids=[
        "header",
        "headers",
        "line",
        "TLS",
        "HTTP/2",
        "prose",
        "length of 5,000 digits",
        "negative length",
        "two lengths",
        "length and chunks",
        "no chunk",
        "hostile chunk",
        "upgrade",
        "compressed",
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    doors: Doors, connection: Connection, data: bytes, status: int
) -> None:
    """With an error like any other, so that whoever sent it learns why."""
    connection.send(data)
    response = connection.answer()
    assert response.error[:2] == (status, SERIALIZATION)
    assert response.headers["connection"] == "close"
    assert response.headers["x-amz-crc32"] == str(zlib.crc32(response.body))
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.is_at_end()
    assert doors.post("ListTables", {}).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_unknown(connection: Connection, method: str) -> None:
    """DynamoDB has POST only."""
    connection.send(f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = connection.answer()
    assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")


def test_a_client_that_goes_away_in_the_middle_hurts_nobody(doors: Doors) -> None:
    """Before the headers end, before the body ends, before the response."""
    for data in (LIST[:40], LIST[:-1], LIST):
        for _ in range(20):
            with doors.socket() as opened:
                opened.sendall(data)
    assert doors.post("ListTables", {}).status == 200
