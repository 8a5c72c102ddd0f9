"""Targets: what comes to a router's doors."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import orjson
from google.protobuf.message import DecodeError, Message
from statorpb import passthrough_pb2, tables_pb2

from router import table_bodies
from router.grpc_door import SessionService, message_or_malformed
from router.http_door import HttpDoor, _parse
from router.http_json import ITEM_OPERATIONS, TABLE_OPERATIONS
from router.http_responses import unpack
from router.item_messages import read_item_request
from router.requests import create_table, tags, time_to_live, update_table
from router.requests.batch_get_item import BatchGetItemRequest
from router.requests.batch_write_item import BatchWriteItemRequest
from router.requests.get_item import GetItemRequest
from router.requests.query import QueryRequest
from router.requests.scan import ScanRequest
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import HASH_BYTES, TransactWriteItemsRequest, request_hash
from router.results import BatchRead, BatchWritten, Page, ReadResult, TransactRead, TransactWritten, WriteResult
from router.signature.canonical import Scope, SignedRequest, signing_key
from router.signature.claim import check_claim, read_claim
from router.signed_http_door import SignedHttpDoor
from router.table_messages import message_of
from server.expressions.codec import encode
from server.expressions.compiled import compiled_condition, compiled_projection, compiled_update
from server.model.errors import (
    NO_REASON,
    InternalServerError,
    StatorError,
    ThrottledError,
    TransactionCanceledError,
    condition_reason,
)
from server.model.item import Item
from server.model.limits import REQUEST_BYTES_MAX
from server.wire import item_to_bytes
from tests.fuzz.seeds import bodies
from tests.router import test_authentication
from tests.router.fakes import FakeDispatcher
from tests.router.signature.signing import ACCESS_KEY_ID, NOW_S, SECRET, signed
from tests.router.test_http_door import call

OPERATIONS = [
    *((operation, True) for operation in ITEM_OPERATIONS.values()),
    *((operation, False) for operation in TABLE_OPERATIONS.values()),
]
NUMBERS = {operation.name: number for number, (operation, _) in enumerate(OPERATIONS)}
ITEM: Item = {"pk": {"S": "a"}, "b": {"B": b"\xff"}, "l": {"L": [{"NULL": True}]}}


def check_error(error: StatorError) -> None:
    """It is the client's, and says something."""
    assert error.message and not isinstance(error, InternalServerError)
    error.message.encode()


def use(request: Any) -> None:
    """What becomes of a request on items on its way to storage nodes: its trees are encoded, and compiled there."""
    for each in (*getattr(request, "reads", ()), *getattr(request, "writes", ()), request):
        for name in ("item", "key", "start_key"):
            if getattr(each, name, None):
                item_to_bytes(getattr(each, name))
        options = getattr(each, "options", None)
        for condition in (getattr(options, "condition", None), getattr(each, "filter", None)):
            if condition is not None:
                compiled_condition(encode(condition.tree))(ITEM, condition.values)
        if getattr(each, "projection", None) is not None:
            compiled_projection(encode(each.projection.tree))(ITEM)
        if getattr(each, "update", None) is not None:
            try:
                compiled_update(encode(each.update.tree)).apply(ITEM, each.update.values)
            except StatorError as error:
                check_error(error)
    if isinstance(request, TransactWriteItemsRequest):
        assert len(request_hash(request)) == HASH_BYTES


def http_bodies(data: bytes) -> None:
    """A body of an operation, which the first byte chooses."""
    operation, is_on_items = OPERATIONS[data[0] % len(OPERATIONS) if data else 0]
    try:
        request = operation.read(_parse(data[1:]))
    except StatorError as error:
        check_error(error)
        return
    if is_on_items:
        use(request)
    elif operation.name not in ("DescribeLimits", "DescribeEndpoints"):
        message_of(request)[1].SerializeToString()


def body_seeds() -> Iterator[bytes]:
    return (bytes((NUMBERS[operation],)) + body for operation, body in bodies())


# HTTP


class _Handle:
    def cancel(self) -> None:
        pass


class _Loop:
    """One in which no time passes. What has to be looked up later never is."""

    def time(self) -> float:
        return 0.0

    def call_later(self, *_: Any, **__: Any) -> Any:
        return _Handle()

    def create_task(self, coroutine: Any, **_: Any) -> Any:
        coroutine.close()
        return self

    def add_done_callback(self, _: Any) -> None:
        pass


class _Transport(asyncio.Transport):
    """What a connection has written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def answer(request: Any) -> Any:
    """What a dispatcher might say."""
    data = item_to_bytes(ITEM)
    if isinstance(request, GetItemRequest):
        return ReadResult(data)
    if isinstance(request, QueryRequest | ScanRequest):
        return Page([data], 1, 1, data, is_count_only=request.select == "COUNT")
    if isinstance(request, BatchGetItemRequest):
        names = [read.table_name for read in request.reads]
        return BatchRead(names, [(names[0], data)], request.reads, asked=request.asked)
    if isinstance(request, BatchWriteItemRequest):
        return BatchWritten(request.writes)
    if isinstance(request, TransactGetItemsRequest):
        return TransactRead([data, None])
    if isinstance(request, TransactWriteItemsRequest):
        return TransactWritten() if request.metrics else TransactionCanceledError([condition_reason(data), NO_REASON])
    if hasattr(request, "options"):
        return WriteResult(data)
    return ThrottledError("later")


@cache
def _doors() -> tuple[HttpDoor, ...]:
    users = test_authentication.Rig()
    asyncio.run(users.users.find(ACCESS_KEY_ID, 5.0))  # whom the seeds are signed by
    return (
        HttpDoor(FakeDispatcher(answer), 7.0),
        SignedHttpDoor(FakeDispatcher(answer), 7.0, users.authentication),
    )


def http(data: bytes) -> None:
    """What a connection gets, in one piece or in pieces of a size that the first byte chooses: it is answered, and
    never with a bug."""
    if not data:
        return
    for door in _doors():
        dispatcher: Any = door.dispatcher
        for kept in (dispatcher.requests, dispatcher.deadlines, dispatcher.token_seeds):
            kept.clear()
        loop: Any = _Loop()
        connection = door.connect(loop)
        transport = _Transport()
        connection.connection_made(transport)
        size = data[0] or len(data)
        for start in range(1, len(data), size):
            connection.data_received(data[start : start + size])
        written = b"".join(transport.written)
        connection.connection_lost(None)
        assert not written or written.startswith(b"HTTP/1.1 ")
        assert b"HTTP/1.1 500" not in written, written


def http_seeds() -> Iterator[bytes]:
    for number, (operation, body) in enumerate(bodies()):
        if number % 4 == 0:
            yield bytes((number % 7 * 11,)) + call(body, operation) + call(body, operation, "Connection: close")
    target = ("X-Amz-Target", "DynamoDB_20120810.GetItem")
    content = ("Content-Type", "application/x-amz-json-1.0")
    body = b'{"TableName":"music","Key":{"pk":{"S":"a"}}}'
    request = signed(body, headers=[target, content])
    lines = [b"POST / HTTP/1.1", *(name + b": " + value for name, value in request.headers)]
    yield b"\0" + b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
    packed = gzip.compress(body)
    yield b"\0" + call(packed, "GetItem", "Content-Encoding: gzip", "Accept-Encoding: gzip", "Expect: 100-continue")
    yield b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS / HTTP/1.1\r\nOrigin: http://localhost:1\r\n\r\n"
    yield b"\5POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
    yield b"\1GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"


def gzip_bodies(data: bytes) -> None:
    """What says that it is gzip: refused, or unpacked to no more than a request may have."""
    try:
        content = unpack(data)
    except StatorError as error:
        check_error(error)
    else:
        assert content is None or len(content) <= REQUEST_BYTES_MAX


def gzip_seeds() -> Iterator[bytes]:
    for _, body in bodies()[::20]:
        yield gzip.compress(body, mtime=0)
    yield gzip.compress(bytes(20 * 1024 * 1024), mtime=0)


def signatures(data: bytes) -> None:
    """A request line and its headers, a line each: a claim, or an error that says what is wrong with them."""
    first, *lines = data.split(b"\n")
    headers = [line.partition(b":")[::2] for line in lines]
    try:
        claim = read_claim(SignedRequest(b"POST", first, headers, b"0" * 64), NOW_S, "local")
        check_claim(claim, signing_key(SECRET, claim.scope))
    except StatorError as error:
        check_error(error)
    else:
        assert claim.scope == Scope("20261125", "local")


def signature_seeds() -> Iterator[bytes]:
    for request in (signed(b"{}"), signed(b"{}", url="/a//b/../%20?x=1&y", headers=[("X-Amz-Security-Token", "t")])):
        yield b"\n".join([request.url, *(name + b":" + value for name, value in request.headers)])


# gRPC


class _Stream:
    in_flight = 0

    def __init__(self) -> None:
        self.replies: dict[int, StatorError | None] = {}

    def reply(self, request_id: int, kind: str, result: Any, error: StatorError | None) -> None:
        self.replies[request_id] = error


@cache
def _session() -> tuple[asyncio.AbstractEventLoop, SessionService]:
    loop = asyncio.new_event_loop()

    async def make() -> SessionService:
        return SessionService(FakeDispatcher(answer), 7.0)

    return loop, loop.run_until_complete(make())


_read_frame = message_or_malformed(passthrough_pb2.RawSessionRequestFrame.FromString)


def sessions(data: bytes) -> None:
    """A frame of a session: every request in it is answered, and never with a bug."""
    frame = _read_frame(data)
    if not isinstance(frame, passthrough_pb2.RawSessionRequestFrame):
        return
    _, service = _session()
    dispatcher: Any = service._dispatcher
    for request in frame.requests:
        for kept in (dispatcher.requests, dispatcher.deadlines, dispatcher.token_seeds):
            kept.clear()
        stream: Any = _Stream()
        service._serve(stream, request, 0.0)
        (error,) = stream.replies.values()
        if error is not None:
            check_error(error)
        reply = passthrough_pb2.RawSessionReplyFrame()
        reply.SerializeToString()


_MESSAGES: dict[str, type[Message]] = {
    field.name: getattr(passthrough_pb2, field.message_type.name)
    for field in passthrough_pb2.RawSessionRequest.DESCRIPTOR.fields
    if field.message_type is not None
}
_KINDS = sorted(_MESSAGES)
_TABLE_CALLS: tuple[tuple[type[Message], Callable[[Any], dict[str, Any]], Callable[..., Any]], ...] = (
    (tables_pb2.CreateTableRequest, table_bodies.create_table_body, create_table.from_body),
    (tables_pb2.UpdateTableRequest, table_bodies.update_table_body, update_table.from_body),
    (tables_pb2.TagResourceRequest, table_bodies.tag_resource_body, tags.tag_from_body),
    (tables_pb2.UpdateTimeToLiveRequest, table_bodies.time_to_live_body, time_to_live.update_from_body),
)


def calls(data: bytes) -> None:
    """A message of a unary call, whose method the first byte chooses."""
    number = data[0] % (len(_KINDS) + len(_TABLE_CALLS)) if data else 0
    try:
        if number < len(_KINDS):
            use(read_item_request(_KINDS[number], _MESSAGES[_KINDS[number]].FromString(data[1:])))
        else:
            message, body_of, from_body = _TABLE_CALLS[number - len(_KINDS)]
            message_of(from_body(body_of(message.FromString(data[1:])), is_json=False))
    except DecodeError:
        pass
    except StatorError as error:
        check_error(error)


def _messages() -> Iterator[tuple[str, Message]]:
    """Bodies that say nothing wrong, as messages. (Legacy parameters are not in messages.)"""
    names = {"".join(part.capitalize() for part in kind.split("_")): kind for kind in _KINDS}
    for operation, body in bodies():
        if operation not in names or operation.startswith(("Batch", "Transact")):
            continue
        message = _MESSAGES[names[operation]]()
        content = orjson.loads(body)
        fields = {
            "".join(part.capitalize() for part in field.name.split("_")): field for field in message.DESCRIPTOR.fields
        }
        try:
            for name, value in content.items():
                field = fields[name]
                if field.name in ("item", "key", "expression_attribute_values", "exclusive_start_key"):
                    setattr(message, field.name, item_to_bytes(value))
                elif field.message_type is not None:
                    getattr(message, field.name).update(value)
                elif field.enum_type is None:
                    setattr(message, field.name, value)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        yield names[operation], message


def session_seeds() -> Iterator[bytes]:
    for number, (kind, message) in enumerate(_messages()):
        frame = passthrough_pb2.RawSessionRequestFrame()
        request = frame.requests.add(id=number)
        getattr(request, kind).CopyFrom(message)
        yield frame.SerializeToString()
    key = item_to_bytes({"pk": {"S": "a"}})
    batch = passthrough_pb2.RawSessionRequestFrame()
    batch.requests.add(id=1).batch_get_item.tables.add(table_name="music", keys=[key, key])
    writes = batch.requests.add(id=2).batch_write_item.tables.add(table_name="music").writes
    writes.add(put=key)
    writes.add(delete_key=key)
    reads = batch.requests.add(id=3).transact_get_items.transact_items
    reads.add(table_name="music", key=key, projection_expression="a")
    several = batch.requests.add(id=4).transact_write_items
    several.client_request_token = "a"
    put = several.transact_items.add().put
    put.table_name, put.item = "music", key
    check = several.transact_items.add().condition_check
    check.table_name, check.key, check.condition_expression = "music", key, "attribute_exists(a)"
    yield batch.SerializeToString()


def call_seeds() -> Iterator[bytes]:
    for kind, message in _messages():
        yield bytes((_KINDS.index(kind),)) + message.SerializeToString()
    create = tables_pb2.CreateTableRequest(table_name="music")
    create.key_schema.partition_key.name = "pk"
    create.key_schema.partition_key.type = tables_pb2.AttributeType.Value("S")
    create.local_indexes.add(name="index").projection.non_key_attributes.append("a")
    yield bytes((len(_KINDS),)) + create.SerializeToString()
    tag = tables_pb2.TagResourceRequest(resource_arn="arn:aws:dynamodb:local:000000000000:table/music")
    tag.tags.add(key="a", value="b")
    yield bytes((len(_KINDS) + 2,)) + tag.SerializeToString()
