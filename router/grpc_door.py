"""The gRPC door: the public services, one call or one stream of frames at a time, onto the same request objects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar, TypeAlias

import grpc
import structlog
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from statorpb import (
    admin_pb2,
    admin_pb2_grpc,
    items_pb2,
    items_pb2_grpc,
    passthrough_pb2,
)

from router.authentication import CALLER
from router.dispatcher import Dispatcher
from router.halt_watch import HaltWatch
from router.item_messages import fill_reply, read_item_request
from router.signature.claim import UNKNOWN_CLIENT
from server.gathering import gather_arrivals
from server.model.errors import (
    AccessDeniedError,
    InternalServerError,
    RequestLimitExceededError,
    SerializationError,
    StatorError,
    UnrecognizedClientError,
    ValidationError,
)
from server.runtime.clock import now_ms
from server.runtime.grpc_server import abort
from server.runtime.writers import end_with
from server.wire import error_to_message

FRAME_BYTES_MAX = 4 * 1024 * 1024
STREAM_REQUESTS_MAX = 10_000
"""Requests in flight on one session; past it they are refused at once."""

SERVE_S = 0.01
"""After so long in one frame others get their turn: a frame has room for a million small requests."""

FRAMES_WAITING_MAX = 8
"""Reply frames that a session's client has not taken; past it no more of its requests are read."""

TOKEN_BYTES_MAX = 36
REPLY_OVERHEAD_BYTES = 16

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_MALFORMED = object()
_MALFORMED_MESSAGE = "The message is not a {}, or is nested too deeply"
_INTERNAL_ERROR = "The request failed because of an internal error"

log = structlog.get_logger()


def message_or_malformed(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer that returns `_MALFORMED` where `parse` fails: what raises in a deserializer ends the call with a
    status that says nothing, and no details."""

    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _MALFORMED

    return read


class _SessionStream:
    """Replies that wait for one session's client; what comes during a write shares the next frame."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._frames: list[passthrough_pb2.RawSessionReplyFrame] = []
        self._size = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_ending = False

    def end(self) -> None:
        """No more requests come: `write_all` returns once the last reply has been written."""
        self._is_ending = True
        self._wake.set()

    async def wait_room(self) -> None:
        """Returns once the client has taken enough of its replies, or nothing can be written any more."""
        await self._room.wait()

    def reply(self, request_id: int, kind: str, result: Any, error: StatorError | None) -> None:
        if not self._frames or self._size > FRAME_BYTES_MAX:
            self._begin_frame()
        replies = self._frames[-1].replies
        reply = replies.add()  # and not with arguments, which costs more than to set them
        reply.id = request_id
        if error is not None:
            message = error_to_message(error)
            size = message.ByteSize()
            reply.error.CopyFrom(message)
        else:
            size = fill_reply(reply, kind, result)
        if self._size + size > FRAME_BYTES_MAX and self._size:
            # With the others it would be more than a message may have.
            self._begin_frame()
            self._frames[-1].replies.add().CopyFrom(reply)
            del replies[-1]
        self._size += REPLY_OVERHEAD_BYTES + size

    def _begin_frame(self) -> None:
        self._frames.append(passthrough_pb2.RawSessionReplyFrame())
        self._size = 0
        self._wake.set()
        if len(self._frames) >= FRAMES_WAITING_MAX:
            self._room.clear()

    async def write_all(self, context: Context) -> None:
        try:
            while self._frames or self.in_flight or not self._is_ending:
                if not self._frames:
                    self._wake.clear()
                    await self._wake.wait()
                    await gather_arrivals()
                    continue
                frame = self._frames.pop(0)
                frame.clock_ms = now_ms()
                await context.write(frame)
                if len(self._frames) < FRAMES_WAITING_MAX:
                    self._room.set()
        finally:
            self._room.set()


class SessionService:
    """stator.v1.Session: many requests in one message, replies in any order."""

    def __init__(self, dispatcher: Dispatcher, request_timeout_s: float) -> None:
        self._dispatcher = dispatcher
        self._request_timeout_s = request_timeout_s
        self._loop = asyncio.get_running_loop()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the service. By hand, since its messages are the twins that carry items as bytes."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.converse,
            request_deserializer=message_or_malformed(passthrough_pb2.RawSessionRequestFrame.FromString),
            response_serializer=passthrough_pb2.RawSessionReplyFrame.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("stator.v1.Session", {"Converse": handler}),)
        )

    async def converse(
        self, request_iterator: AsyncIterator[passthrough_pb2.RawSessionRequestFrame], context: Context
    ) -> None:
        """One client's stream. What has been asked is answered before it ends, also where the client has closed its
        side, or has sent something that is not a frame."""
        stream = _SessionStream()
        writer = asyncio.create_task(stream.write_all(context))
        task = asyncio.current_task()
        assert task is not None
        end_with(writer, task.cancel)
        caller = CALLER.get()
        try:
            frame: Any = None
            await context.write(passthrough_pb2.RawSessionReplyFrame(clock_ms=now_ms()))
            while not writer.done():
                frame = await context.read()
                if not isinstance(frame, passthrough_pb2.RawSessionRequestFrame):
                    break
                if caller is not None and caller.is_disabled:
                    break
                begun = time.monotonic()  # before the other clock: a halt in between makes the frame older
                if frame.HasField("begun_ms"):
                    begun -= max(0, now_ms() - frame.begun_ms) / 1000
                end_s = self._loop.time() + SERVE_S
                for request in frame.requests:
                    self._serve(stream, request, begun)
                    if self._loop.time() > end_s:
                        await asyncio.sleep(0)
                        await stream.wait_room()
                        if writer.done():
                            break
                        end_s = self._loop.time() + SERVE_S
                await stream.wait_room()
            stream.end()
            await asyncio.wait([writer])
            if caller is not None and caller.is_disabled:
                await abort(context, UnrecognizedClientError(UNKNOWN_CLIENT))
            if frame is _MALFORMED:
                await abort(context, SerializationError(_MALFORMED_MESSAGE.format("stator.v1.SessionRequestFrame")))
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def _serve(self, stream: _SessionStream, request: passthrough_pb2.RawSessionRequest, begun: float) -> None:
        request_id = request.id
        kind = request.WhichOneof("operation")
        try:
            if kind is None:
                raise ValidationError("a request without an operation, or with one that this version does not know")
            if stream.in_flight >= STREAM_REQUESTS_MAX:
                raise RequestLimitExceededError("Too many requests are in flight on this session")
            if len(request.token) > TOKEN_BYTES_MAX:
                raise ValidationError(f"a token has at most {TOKEN_BYTES_MAX} bytes")
            timeout_s = request.timeout_ms / 1000 or self._request_timeout_s
            read = read_item_request(kind, getattr(request, kind))
        except StatorError as error:
            stream.reply(request_id, kind or "", None, error)
            return
        except Exception:
            # A bug costs one request, not the session; it is logged with everything needed to find it.
            log.exception("request failed", kind=kind)
            stream.reply(request_id, kind or "", None, InternalServerError(_INTERNAL_ERROR))
            return
        stream.in_flight += 1

        def done(result: Any, error: StatorError | None) -> None:
            stream.in_flight -= 1
            stream.reply(request_id, kind, result, error)

        begun -= request.age_ms / 1000
        self._dispatcher.submit(read, self._loop.time() + timeout_s, request.token, done, begun)


class UnaryService:
    """One call at a time onto the dispatcher's callbacks."""

    service: ClassVar[ServiceDescriptor]

    def __init__(self, dispatcher: Dispatcher, request_timeout_s: float) -> None:
        self.dispatcher = dispatcher
        self._request_timeout_s = request_timeout_s

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the service. By hand, since the generated code lets a message that cannot be read, and a bug, end a
        call without details; and since messages that have items are read as their twins."""
        handlers = {
            method.name: (
                grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
            )(
                _with_details(getattr(self, method.name), method.input_type.full_name),
                request_deserializer=message_or_malformed(_message_class(method.input_type).FromString),
                response_serializer=_message_class(method.output_type).SerializeToString,
            )
            for method in self.service.methods
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self.service.full_name, handlers),))

    async def call(
        self, context: Context, submit: Callable[[float, Callable[[Any, StatorError | None], None]], None]
    ) -> Any:
        """Runs `submit(deadline, done)` and returns the result, or ends the call with the error."""
        loop = asyncio.get_running_loop()
        remaining_s = context.time_remaining()
        timeout_s = self._request_timeout_s if remaining_s is None else remaining_s
        future: asyncio.Future[Any] = loop.create_future()

        def done(result: Any, error: StatorError | None) -> None:
            if not future.done():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(result)

        try:
            submit(loop.time() + timeout_s, done)
            return await future
        except StatorError as error:
            await abort(context, error)


def _message_class(descriptor: Descriptor) -> Any:
    """The class that a public message is read or written as: its twin, if it has one."""
    return getattr(passthrough_pb2, f"Raw{descriptor.name}", None) or GetMessageClass(descriptor)


def _with_details(
    answer: Callable[[Any, Context], Awaitable[Any]], message_name: str
) -> Callable[[Any, Context], Awaitable[Any]]:
    """`answer`, with a typed error for a message that could not be read, and for a bug."""

    async def checked(request: Any, context: Context) -> Any:
        if request is _MALFORMED:
            await abort(context, SerializationError(_MALFORMED_MESSAGE.format(message_name)))
        try:
            return await answer(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("request failed", message=message_name)
            await abort(context, InternalServerError(_INTERNAL_ERROR))

    return checked


class ItemsService(UnaryService, items_pb2_grpc.ItemsServicer):
    """stator.v1.Items."""

    service = items_pb2.DESCRIPTOR.services_by_name["Items"]

    def __init__(self, dispatcher: Dispatcher, request_timeout_s: float, halts: HaltWatch | None = None) -> None:
        super().__init__(dispatcher, request_timeout_s)
        self._halts = halts or HaltWatch()

    async def _item_call(self, kind: str, request: Any, context: Context) -> passthrough_pb2.RawSessionReply:
        def submit(deadline: float, done: Callable[[Any, StatorError | None], None]) -> None:
            token = dict(context.invocation_metadata() or ()).get("stator-token", "")
            seed = token.encode() if isinstance(token, str) else token
            begun = asyncio.get_running_loop().time() - self._halts.waited_s()
            self.dispatcher.submit(read_item_request(kind, request), deadline, seed, done, begun)

        result = await self.call(context, submit)
        reply = passthrough_pb2.RawSessionReply()
        fill_reply(reply, kind, result)
        return reply

    # What the generated code types as public messages are their twins here.

    async def PutItem(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("put_item", request, context)).put_item

    async def GetItem(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("get_item", request, context)).get_item

    async def DeleteItem(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("delete_item", request, context)).delete_item

    async def UpdateItem(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("update_item", request, context)).update_item

    async def BatchWriteItem(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("batch_write_item", request, context)).batch_write_item

    async def BatchGetItem(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("batch_get_item", request, context)).batch_get_item

    async def Query(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("query", request, context)).query

    async def Scan(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("scan", request, context)).scan

    async def TransactWriteItems(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("transact_write_items", request, context)).transact_write_items

    async def TransactGetItems(self, request: Any, context: Context) -> Any:  # noqa: N802
        return (await self._item_call("transact_get_items", request, context)).transact_get_items


class AdminService(UnaryService, admin_pb2_grpc.AdminServicer):
    """stator.v1.Admin."""

    service = admin_pb2.DESCRIPTOR.services_by_name["Admin"]

    async def DescribeCluster(  # noqa: N802
        self, request: admin_pb2.DescribeClusterRequest, context: Context
    ) -> admin_pb2.DescribeClusterResponse:
        response = await self.call(context, self.dispatcher.describe_cluster)
        if not isinstance(response, admin_pb2.DescribeClusterResponse):
            raise InternalServerError("the metadata service answered something else")
        return response

    async def ListEvents(self, request: Any, context: Context) -> Any:  # noqa: N802
        return await self.call(
            context, lambda deadline, done: self.dispatcher.administer("ListEvents", request, deadline, done)
        )

    async def _root_call(self, method: str, request: Any, context: Context) -> Any:
        """Where signatures are verified, only root may: there are no policies yet that would say who else."""
        caller = CALLER.get()
        if caller is not None and not caller.is_root:
            await abort(context, AccessDeniedError(f"User: {caller.name} is not authorized to perform: {method}"))
        return await self.call(
            context, lambda deadline, done: self.dispatcher.administer(method, request, deadline, done)
        )

    async def CreateUser(self, request: Any, context: Context) -> Any:  # noqa: N802
        return await self._root_call("CreateUser", request, context)

    async def ListUsers(self, request: Any, context: Context) -> Any:  # noqa: N802
        return await self._root_call("ListUsers", request, context)

    async def DisableUser(self, request: Any, context: Context) -> Any:  # noqa: N802
        return await self._root_call("DisableUser", request, context)

    async def DrainNode(self, request: Any, context: Context) -> Any:  # noqa: N802
        return await self._root_call("DrainNode", request, context)

    async def RemoveNode(self, request: Any, context: Context) -> Any:  # noqa: N802
        return await self._root_call("RemoveNode", request, context)
