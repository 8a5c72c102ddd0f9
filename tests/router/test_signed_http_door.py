"""router/signed_http_door.py over a real connection: only what is signed gets behind it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from router.http_door import PIPELINE_MAX
from router.requests.get_item import GetItemRequest
from router.signature.canonical import SignedRequest
from router.signed_http_door import SignedHttpDoor
from tests.clients.waiting import until
from tests.router import test_authentication, test_http_door
from tests.router.signature.signing import signed, with_headers
from tests.router.test_http_door import GET_BODY, Client, preflight

HEADERS = (("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", "DynamoDB_20120810.GetItem"))


class Rig(test_http_door.Rig):
    def __init__(self) -> None:
        super().__init__()
        self.inner = test_authentication.Rig()
        self.door = SignedHttpDoor(self.dispatcher, 7.0, self.inner.authentication)

    async def stop(self) -> None:
        await super().stop()
        await self.inner.users.stop()


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    rig.answer = lambda _: b""
    yield rig
    await rig.stop()


def wire(request: SignedRequest, body: bytes = GET_BODY) -> bytes:
    """A request as its bytes."""
    lines = [request.method + b" " + request.url + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in request.headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def good(body: bytes = GET_BODY, *headers: tuple[str, str]) -> bytes:
    return wire(signed(body, headers=[*HEADERS, *headers]), body)


async def code_of(client: Client) -> tuple[int, str]:
    response = await client.response()
    return response.status, response.json.get("__type", "")


async def test_a_signed_request_is_carried_out(rig: Rig) -> None:
    """The first waits for its access key to be looked up, the others do not; responses keep their order."""
    client = await rig.connect()
    client.send(good() + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + good())
    assert await code_of(client) == (200, "")
    assert (await client.response()).body.startswith(b"healthy")
    assert await code_of(client) == (200, "")
    assert [type(each) for each in rig.dispatcher.requests] == [GetItemRequest] * 2
    client.send(good())
    assert await code_of(client) == (200, "")
    assert len(rig.inner.metadata.look_ups) == 1


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (test_http_door.call(), "MissingAuthenticationTokenException"),
        (good().replace(b'"a"', b'"b"'), "InvalidSignatureException"),
        (good().replace(b"GetItem", b"PutItem"), "InvalidSignatureException"),
        (good().replace(b"POST / ", b"POST /a "), "InvalidSignatureException"),
        (wire(signed(GET_BODY, headers=HEADERS, access_key_id="AKIA9")), "UnrecognizedClientException"),
        (wire(signed(GET_BODY, headers=HEADERS, timestamp="20261125T200000Z")), "InvalidSignatureException"),
        (wire(signed(GET_BODY, headers=HEADERS, service="s3")), "InvalidSignatureException"),
        (wire(with_headers(signed(headers=HEADERS), {b"X-Amz-Date": b"now"})), "IncompleteSignatureException"),
    ],
    ids=["none", "body", "target", "path", "key", "old", "service", "date"],
)
async def test_anything_else_is_not(rig: Rig, request_: bytes, code: str, is_known: bool) -> None:
    """Whether or not the access key is known already; the connection goes on."""
    client = await rig.connect()
    if is_known:
        client.send(good())
        assert await code_of(client) == (200, "")
        rig.dispatcher.requests.clear()
    client.send(request_)
    assert await code_of(client) == (400, "com.amazon.coral.service#" + code)
    assert not rig.dispatcher.requests
    client.send(good())
    assert await code_of(client) == (200, "")


async def test_a_body_is_not_read_before_its_signature(rig: Rig) -> None:
    """What is no JSON, or a bomb, is of no use to whoever has no access key."""
    client = await rig.connect()
    client.send(test_http_door.call(b"{"))
    assert (await code_of(client))[1].endswith("MissingAuthenticationTokenException")
    client.send(good(b"{"))
    assert (await code_of(client))[1].endswith("SerializationException")


async def test_what_is_compressed_is_signed_as_it_is_sent(rig: Rig) -> None:
    """The signature is of the bytes on the wire."""
    client = await rig.connect()
    client.send(good(gzip.compress(GET_BODY, mtime=0), ("Content-Encoding", "gzip")))
    assert await code_of(client) == (200, "")


@pytest.mark.parametrize("size", [1, 13])
async def test_a_signed_request_may_come_in_pieces(rig: Rig, size: int) -> None:
    """Its line and its headers are put together before they are looked at."""
    client = await rig.connect()
    request = wire(signed(GET_BODY, url="/a/long/path?and=a&query=too", headers=HEADERS))
    for at in range(0, len(request), size):
        client.send(request[at : at + size])
        await asyncio.sleep(0)
    assert await code_of(client) == (200, "")


async def test_a_trailer_is_no_header(rig: Rig) -> None:
    """What comes after the body was not signed, and counts for nothing."""
    client = await rig.connect()
    request = good().replace(
        b"Content-Length: %d\r\n\r\n%b" % (len(GET_BODY), GET_BODY),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-Amz-Target: Nothing\r\n\r\n" % (len(GET_BODY), GET_BODY),
    )
    client.send(request)
    assert await code_of(client) == (200, "")


async def test_a_disabled_user(rig: Rig) -> None:
    """Is refused from the moment when the router knows."""
    client = await rig.connect()
    client.send(good())
    assert await code_of(client) == (200, "")
    user = rig.inner.users.get("AKIAIOSFODNN7EXAMPLE")
    assert user is not None
    user.is_disabled = True
    client.send(good())
    assert await code_of(client) == (400, "com.amazon.coral.service#UnrecognizedClientException")


async def test_nobody_can_say_who_it_is(rig: Rig) -> None:
    """That is the servers' fault, and may be tried again."""
    rig.inner.metadata.is_up.clear()
    client = await rig.connect()
    client.send(good())
    assert await code_of(client) == (503, "com.amazon.coral.service#ServiceUnavailableException")


async def test_a_client_that_leaves_while_its_key_is_looked_up(rig: Rig) -> None:
    """Leaves nothing behind."""
    client = await rig.connect()
    client.send(good() * PIPELINE_MAX)
    client.writer.transport.abort()
    await client.writer.wait_closed()
    assert isinstance(rig.door, SignedHttpDoor)
    door = rig.door
    await until(lambda: not door.connections and not door.looking_up)


async def test_pages_of_anywhere_may_see_responses(rig: Rig) -> None:
    """A browser has no access key of its own; whoever has one may use it from any page."""
    client = await rig.connect()
    client.send(preflight("https://example.com") + test_http_door.call(GET_BODY, "GetItem", "Origin: https://a.b"))
    for _ in range(2):
        assert (await client.response()).headers["access-control-allow-origin"] == "*"
