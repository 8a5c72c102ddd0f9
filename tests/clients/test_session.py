"""One stream: framing, batching, and what happens when it breaks."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stator.credentials import Credentials
from stator.errors import AccessDeniedError, ClientClosedError, ValidationError
from stator.session import MESSAGE_BYTES_MAX, AttemptTimedOutError, NoReplyError, Session, varint, zigzag
from statorpb import items_pb2

from tests.clients.fake_cluster import FakeRouter, FakeState
from tests.clients.waiting import until


def put_body(key: str, token: bytes = b"t") -> bytes:
    request = items_pb2.SessionRequest(token=token + key.encode())
    request.put_item.table_name = "music"
    request.put_item.item.attributes["pk"].s = key
    return request.SerializeToString()


@pytest.fixture
async def router(state: FakeState) -> AsyncIterator[FakeRouter]:
    async with FakeRouter(state) as router:
        yield router


@pytest.fixture
async def session(router: FakeRouter) -> AsyncIterator[Session]:
    async with grpc.aio.insecure_channel(router.address) as channel:
        session = Session(channel, router.address)
        yield session
        await session.close()


@given(st.integers(0, 2**64 - 1))
def test_varint_is_protobufs(number: int) -> None:
    """The encoding is the one that protobuf reads."""
    assert items_pb2.SessionRequest.FromString(b"\x08" + varint(number)).id == number


@given(st.integers(-(2**62), 2**62))
def test_zigzag_is_protobufs(number: int) -> None:
    """Also of a router that runs for less time than a request is old."""
    assert items_pb2.SessionRequestFrame.FromString(b"\x10" + zigzag(number)).begun_ms == number


async def test_a_frame_says_how_old_it_is(session: Session, state: FakeState) -> None:
    """By the router's clock, and never less: also what came while another request had to wait for its frame."""
    sent = time.monotonic()
    first = session.send(put_body("a"), 5.0)
    time.sleep(0.05)
    second = session.send(put_body("b"), 5.0, 3.0)
    await asyncio.gather(first, second)
    passed_s = time.monotonic() - sent
    assert len(state.ages_s) == 2
    assert 0.05 <= state.ages_s[0] <= passed_s + 0.01
    assert 3.05 <= state.ages_s[1] <= 3.0 + passed_s + 0.01
    await asyncio.sleep(0.05)
    sent = time.monotonic()
    await session.send(put_body("c"), 5.0)
    assert 0.0 <= state.ages_s[2] <= time.monotonic() - sent + 0.01


async def test_frames_are_protobuf(session: Session, state: FakeState) -> None:
    """A frame put together by hand is read as it was meant: here, every request is carried out and answered."""
    replies = await asyncio.gather(*(session.send(put_body(str(number)), 5.0) for number in range(300)))
    assert sorted(reply.id for reply in replies) == list(range(1, 301))
    assert len(state.tables["music"].items) == 300


async def test_concurrent_requests_travel_together(session: Session, router: FakeRouter) -> None:
    """What is sent in one go leaves in few frames, not in one each."""
    await session.send(put_body("first"), 5.0)
    frames_before = router.frames
    await asyncio.gather(*(session.send(put_body(str(number)), 5.0) for number in range(100)))
    assert router.frames - frames_before <= 3


async def test_big_requests_are_spread_over_frames(session: Session, state: FakeState, router: FakeRouter) -> None:
    """A frame stays near its target size, whatever gathered."""
    request = items_pb2.SessionRequest.FromString(put_body("big"))
    request.put_item.item.attributes["data"].b = bytes(700_000)
    body = request.SerializeToString()
    await asyncio.gather(*(session.send(body, 5.0) for _ in range(6)))
    assert router.frames >= 6


async def test_a_request_above_the_limit_is_refused_here(session: Session) -> None:
    """It is an error of the caller's, and the stream goes on."""
    with pytest.raises(ValidationError, match="bytes"):
        session.send(bytes(MESSAGE_BYTES_MAX + 1), 5.0)
    assert session.in_flight == 0
    await session.send(put_body("a"), 5.0)


async def test_a_broken_stream_fails_what_waits(session: Session, router: FakeRouter) -> None:
    """Every request that waits learns of it, and so does every later one."""
    router.is_hung = True
    futures = [session.send(put_body(str(number)), 5.0) for number in range(3)]
    await until(lambda: router.requests >= 3)
    await router.kill()
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert all(isinstance(result, NoReplyError) for result in results)
    assert session.is_broken
    with pytest.raises(NoReplyError):
        await session.send(put_body("x"), 5.0)


async def test_a_silent_router_is_given_up(session: Session, router: FakeRouter) -> None:
    """Nothing at all since the request was sent: the stream is taken for dead."""
    await session.send(put_body("a"), 5.0)
    router.is_hung = True
    with pytest.raises(NoReplyError, match="silent"):
        await session.send(put_body("b"), 0.1)
    assert session.is_broken


async def test_one_lost_reply_does_not_break_the_stream(session: Session, router: FakeRouter) -> None:
    """While others are answered, a request without a reply times out alone."""
    router.loses_replies = 1
    lost = session.send(put_body("a"), 0.1)
    while not lost.done():
        await session.send(put_body("b"), 5.0)
    with pytest.raises(AttemptTimedOutError):
        await lost
    assert not session.is_broken


async def test_a_cancelled_request_is_forgotten(session: Session, router: FakeRouter) -> None:
    """Its late reply disturbs nobody."""
    cancelled = session.send(put_body("a"), 5.0)
    cancelled.cancel()
    await session.send(put_body("b"), 5.0)
    assert session.in_flight == 0


async def test_closing_ends_what_waits(session: Session, router: FakeRouter) -> None:
    """Requests under way raise ClientClosedError."""
    router.is_hung = True
    waiting = session.send(put_body("a"), 5.0)
    await session.close()
    with pytest.raises(ClientClosedError):
        await waiting


async def test_a_busy_loop_is_not_a_silent_router(session: Session) -> None:
    """A program that keeps the loop busy beyond an attempt's time still gets the replies that came meanwhile."""
    await session.send(put_body("a"), 5.0)
    waiting = session.send(put_body("b"), 0.05)
    busy_until = time.monotonic() + 1.0
    await asyncio.sleep(0)
    while time.monotonic() < busy_until:
        pass
    assert (await waiting).HasField("put_item")
    assert not session.is_broken


class Doorkeeper(grpc.aio.ServerInterceptor):
    """Lets nobody in whose stream is not signed for `access_key_id`."""

    def __init__(self, access_key_id: str) -> None:
        self._access_key_id = access_key_id

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        async def refuse(_: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "not you")

        authorization = str(dict(details.invocation_metadata).get("authorization", ""))
        if f"Credential={self._access_key_id}/" in authorization:
            return await continuation(details)
        return grpc.stream_stream_rpc_method_handler(refuse)


@pytest.mark.parametrize(("access_key_id", "is_let_in"), [("AKIA1", True), ("AKIA2", False), (None, False)])
async def test_a_stream_is_signed(state: FakeState, access_key_id: str | None, is_let_in: bool) -> None:
    """With the client's access key, if it has one. Being refused is no reason to try again."""
    router = FakeRouter(state, [Doorkeeper("AKIA1")])
    async with router, grpc.aio.insecure_channel(router.address) as channel:
        credentials = Credentials(access_key_id, "secret") if access_key_id is not None else None
        session = Session(channel, router.address, credentials)
        if is_let_in:
            assert (await session.send(put_body("a"), 5.0)).WhichOneof("result") == "put_item"
        else:
            with pytest.raises(AccessDeniedError, match="not you") as raised:
                await session.send(put_body("a"), 5.0)
            assert not raised.value.is_retriable and session.is_broken
        await session.close()
