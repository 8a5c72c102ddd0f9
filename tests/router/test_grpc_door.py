"""router/grpc_door.py over a real channel, with a fake dispatcher behind it: how calls and sessions end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from statorpb import admin_pb2, item_pb2, items_pb2, passthrough_pb2

from router import grpc_door
from router.authentication import CALLER
from router.grpc_door import FRAMES_WAITING_MAX, AdminService, ItemsService, SessionService
from router.results import ReadResult
from router.users import User
from server.model.errors import ThrottledError
from server.runtime.clock import now_ms
from server.runtime.grpc_server import channel_options, error_of
from server.wire import item_to_bytes
from tests.clients.waiting import until
from tests.router.fakes import FakeDispatcher

CONVERSE = "/stator.v1.Session/Converse"
GET = items_pb2.GetItemRequest(table_name="music")
EMPTY_ITEM = items_pb2.GetItemResponse(item=item_pb2.Item()).SerializeToString()
GET.key.attributes["pk"].s = "a"


class CallerIs(grpc.aio.ServerInterceptor):
    """Every call is `user`'s."""

    def __init__(self, user: User) -> None:
        self.user = user

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        CALLER.set(self.user)
        return await continuation(details)


class Rig:
    def __init__(self, caller: User | None = None) -> None:
        self.answer: Any = lambda _: None
        self.dispatcher = FakeDispatcher(self._answer)
        self.server = grpc.aio.server(interceptors=[] if caller is None else [CallerIs(caller)])
        AdminService(self.dispatcher, 7.0).add_to(self.server)
        ItemsService(self.dispatcher, 7.0).add_to(self.server)
        SessionService(self.dispatcher, 7.0).add_to(self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=channel_options())

    def _answer(self, request: Any) -> Any:
        return self.answer(request)

    def converse(self) -> Any:
        return self.channel.stream_stream(CONVERSE)(timeout=20)

    async def get(self, message: bytes = GET.SerializeToString()) -> bytes:
        get_item: Any = self.channel.unary_unary("/stator.v1.Items/GetItem")
        reply: bytes = await get_item(message, timeout=20)
        return reply


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.server.start()
    yield rig
    await rig.channel.close()
    await rig.server.stop(0)


def frame(*ids: int) -> bytes:
    message = items_pb2.SessionRequestFrame()
    for each in ids:
        message.requests.add(id=each, get_item=GET)
    return message.SerializeToString()


async def replies(call: Any) -> dict[int, str]:
    """What is still to come: request id -> which member of the reply is set."""
    found: dict[int, str] = {}
    async for data in call:
        for reply in items_pb2.SessionReplyFrame.FromString(data).replies:
            found[reply.id] = reply.WhichOneof("result") or ""
    return found


async def test_a_session_whose_client_has_said_its_last_is_answered(rig: Rig) -> None:
    """It has closed its side; every reply comes before the call ends."""
    call = rig.converse()
    await call.write(frame(1, 2))
    await call.done_writing()
    await until(lambda: len(rig.dispatcher.waiting) == 2)
    rig.dispatcher.waiting[0](ReadResult(b""), None)
    rig.dispatcher.waiting[1](None, ThrottledError("later"))
    assert await replies(call) == {1: "get_item", 2: "error"}
    assert await call.code() == grpc.StatusCode.OK


async def test_a_session_knows_how_old_its_requests_are(rig: Rig) -> None:
    """It begins with this router's clock, by which a frame says when the oldest of them began."""
    call = rig.converse()
    greeting = items_pb2.SessionReplyFrame.FromString(await call.read())
    assert not greeting.replies
    assert abs(greeting.clock_ms - now_ms()) < 20_000
    asked = items_pb2.SessionRequestFrame(begun_ms=greeting.clock_ms - 5_000)
    asked.requests.add(id=1, get_item=GET)
    asked.requests.add(id=2, get_item=GET, age_ms=2_000)
    began = asyncio.get_running_loop().time()
    await call.write(asked.SerializeToString())
    await call.write(frame(3))
    await until(lambda: len(rig.dispatcher.begun) == 3)
    now = asyncio.get_running_loop().time()
    ages = [now - each for each in rig.dispatcher.begun]
    told_s = now_ms() / 1000 - greeting.clock_ms / 1000
    assert 5.0 <= ages[0] <= 5.0 + told_s + 0.01
    assert 7.0 <= ages[1] <= 7.0 + told_s + 0.01
    assert 0.0 <= ages[2] <= now - began + 0.01
    rig.dispatcher.waiting[0](ReadResult(b""), None)
    reply = items_pb2.SessionReplyFrame.FromString(await call.read())
    assert reply.clock_ms >= greeting.clock_ms
    call.cancel()


async def test_bytes_that_are_no_frame_end_a_session_with_details(rig: Rig) -> None:
    """What was asked before is answered first: nobody waits for a call that has ended."""
    call = rig.converse()
    await call.write(frame(1))
    await call.write(b"\xff\xff")
    await until(lambda: bool(rig.dispatcher.waiting))
    rig.dispatcher.waiting[0](ReadResult(None), None)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replies(call)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error_of(raised.value) == (
        "SerializationException",
        "The message is not a stator.v1.SessionRequestFrame, or is nested too deeply",
    )


async def test_bytes_that_are_no_message_end_a_call_with_details(rig: Rig) -> None:
    """And the next call is served."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await rig.get(b"\xff\xff")
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error_of(raised.value) == (
        "SerializationException",
        "The message is not a stator.v1.GetItemRequest, or is nested too deeply",
    )
    rig.answer = lambda _: b""
    assert await rig.get() == EMPTY_ITEM


async def test_a_bug_ends_a_call_with_details(rig: Rig) -> None:
    """Not with a status that says nothing."""
    rig.answer = lambda _: object()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await rig.get()
    assert raised.value.code() == grpc.StatusCode.INTERNAL
    assert error_of(raised.value) == ("InternalServerError", "The request failed because of an internal error")


async def test_a_session_goes_when_its_client_goes(rig: Rig) -> None:
    """A reply that nobody reads is dropped, and costs nothing else."""
    call = rig.converse()
    await call.write(frame(1))
    await rig.dispatcher.was_asked.wait()
    call.cancel()
    rig.dispatcher.waiting[0](ReadResult(b""), None)
    rig.answer = lambda _: b""
    assert await rig.get() == EMPTY_ITEM


async def test_a_client_that_does_not_read_its_replies_is_not_read_either(rig: Rig) -> None:
    """Replies that wait are bounded: the session's requests are looked at again once the client takes some."""
    large = item_pb2.Item()
    large.attributes["v"].b = bytes(1_000_000)
    rig.answer = lambda _: large.SerializeToString()
    call = rig.converse()
    total = 15 * FRAMES_WAITING_MAX

    async def ask() -> None:
        for number in range(1, total + 1):
            await call.write(frame(number))
        await call.done_writing()

    asking = asyncio.create_task(ask())
    await until(lambda: len(rig.dispatcher.requests) >= FRAMES_WAITING_MAX)
    for _ in range(100):  # time enough for the door to have read on
        await rig.get()
    assert len(rig.dispatcher.requests) < 100 + total
    assert len(await replies(call)) == total
    await asking


async def test_an_error_on_a_session_belongs_to_its_request(rig: Rig) -> None:
    """The others are not touched by it."""
    rig.answer = lambda _: b""
    message = items_pb2.SessionRequestFrame()
    message.requests.add(id=1)
    message.requests.add(id=2, get_item=GET)
    message.requests.add(id=3, token=bytes(37), get_item=GET)
    call = rig.converse()
    await call.write(message.SerializeToString())
    await call.done_writing()
    assert await replies(call) == {1: "error", 2: "get_item", 3: "error"}


async def test_an_item_that_cannot_be_read_belongs_to_its_request(rig: Rig) -> None:
    """Items are read one by one: the frame, and the session, live on."""
    rig.answer = lambda _: b""
    message = passthrough_pb2.RawSessionRequestFrame()
    message.requests.add(id=1).get_item.key = b"no item"
    message.requests.add(id=2).get_item.table_name = "music"
    message.requests[1].get_item.key = item_to_bytes({"pk": {"S": "a"}})
    message.requests.add(id=3).batch_write_item.tables.add(table_name="music").writes.add(put=b"no item")
    call = rig.converse()
    await call.write(message.SerializeToString())
    await call.done_writing()
    assert await replies(call) == {1: "error", 2: "get_item", 3: "error"}


@pytest.mark.parametrize("method", ["CreateUser", "ListUsers", "DisableUser", "DrainNode", "RemoveNode"])
@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (None, True),
        (User("AKIAROOT", "root", "secret", is_disabled=False, is_root=True), True),
        (User("AKIA1", "ann", "secret", is_disabled=False), False),
    ],
    ids=["nobody is asked", "root", "a user"],
)
async def test_who_may_administer(caller: User | None, may: bool, method: str) -> None:
    """Root only, where everybody is known; the metadata service is not even asked otherwise."""
    rig = Rig(caller)
    rig.answer = lambda request: getattr(admin_pb2, f"{method}Response")()
    await rig.server.start()
    call: Any = rig.channel.unary_unary(f"/stator.v1.Admin/{method}")
    if may:
        assert await call(b"", timeout=20) == b""
        assert [name for name, _ in rig.dispatcher.requests] == [method]
    else:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"", timeout=20)
        assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED
        told = ("AccessDeniedException", f"User: ann is not authorized to perform: {method}")
        assert error_of(raised.value) == told and not rig.dispatcher.requests
    await rig.channel.close()
    await rig.server.stop(0)


async def test_who_may_look_at_what_has_happened() -> None:
    """Everybody, as at the cluster itself."""
    rig = Rig(User("AKIA1", "ann", "secret", is_disabled=False))
    rig.answer = lambda request: admin_pb2.ListEventsResponse(told_by="metadata-1")
    await rig.server.start()
    call: Any = rig.channel.unary_unary("/stator.v1.Admin/ListEvents")
    request = admin_pb2.ListEventsRequest(limit=3)
    assert await call(request.SerializeToString(), timeout=20) == rig.answer(request).SerializeToString()
    assert rig.dispatcher.requests == [("ListEvents", request)]
    await rig.channel.close()
    await rig.server.stop(0)


async def test_a_session_of_a_user_who_was_disabled_ends() -> None:
    """With the next frame, of which nothing is carried out; what was asked before is answered first."""
    user = User("AKIA1", "ann", "secret", is_disabled=False)
    rig = Rig(user)
    await rig.server.start()
    call = rig.converse()
    await call.write(frame(1))
    await until(lambda: len(rig.dispatcher.waiting) == 1)
    user.is_disabled = True
    await call.write(frame(2))
    rig.dispatcher.waiting[0](ReadResult(None), None)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replies(call)
    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert error_of(raised.value) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )
    assert len(rig.dispatcher.requests) == 1
    await rig.channel.close()
    await rig.server.stop(0)


async def test_a_long_frame_gives_others_their_turn(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that comes in the middle of it is answered before its end."""
    monkeypatch.setattr(grpc_door, "SERVE_S", 0.0)
    rig.answer = lambda _: b""
    call = rig.converse()
    await call.write(frame(*range(1, 2001)))
    await call.done_writing()
    other = items_pb2.GetItemRequest(table_name="other", key=GET.key)
    assert await rig.get(other.SerializeToString()) == EMPTY_ITEM
    assert len(await replies(call)) == 2000
    assert [request.table_name for request in rig.dispatcher.requests].index("other") < 2000


async def test_errors_count_towards_the_size_of_a_frame(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many small requests as fit into a frame can be wrong, and their replies are larger."""
    monkeypatch.setattr(grpc_door, "FRAME_BYTES_MAX", 1000)
    call = rig.converse()
    message = items_pb2.SessionRequestFrame()
    for number in range(1, 1001):
        message.requests.add(id=number)
    await call.write(message.SerializeToString())
    await call.done_writing()
    sizes = [len(data) async for data in call]
    assert len(sizes) > 50 and max(sizes) < 1500


async def test_what_is_large_does_not_share_a_frame(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies that are each within the limit might be beyond it together, and no client would take the frame."""
    monkeypatch.setattr(grpc_door, "FRAME_BYTES_MAX", 1_000)
    lengths = iter((10, 10, 700, 700, 2_000, 10))
    rig.answer = lambda _: item_to_bytes({"pk": {"S": "x" * next(lengths)}})
    call = rig.converse()
    await call.write(frame(*range(1, 7)))
    await call.done_writing()
    told = [items_pb2.SessionReplyFrame.FromString(data) async for data in call]
    assert sorted(each.ByteSize() for each in told)[-2] < 1_000
    assert sorted(reply.id for each in told for reply in each.replies) == [1, 2, 3, 4, 5, 6]
    assert [len(each.replies) for each in told if each.replies] == [3, 1, 1, 1]
