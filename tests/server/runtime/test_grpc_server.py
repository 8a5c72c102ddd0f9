"""gRPC servers and channels as all processes have them: health, reflection, limits, errors with details."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from statorpb import cluster_pb2, cluster_pb2_grpc, items_pb2

from server.model import errors
from server.model.errors import (
    COLLECTION_REASON,
    CONFLICT_REASON,
    NO_REASON,
    CancellationReason,
    ResourceNotFoundError,
    StatorError,
    ThrottledError,
    TransactionCanceledError,
    condition_reason,
    validation_reason,
)
from server.runtime.grpc_server import (
    DETAILS_KEY,
    KEEPALIVE,
    MESSAGE_BYTES_MAX,
    PING_INTERVAL_MS_MIN,
    AddressInUseError,
    GrpcServer,
    Keepalive,
    abort,
    channel_options,
    error_of,
    start_server,
    status_of,
)

ALL_ERRORS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, StatorError) and not each.__name__.startswith("_")
]


class _Service(cluster_pb2_grpc.MetadataServicer):
    """Answers look-ups with as many bytes as asked for, or with an error."""

    async def LookUpTables(
        self, request: cluster_pb2.LookUpTablesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> cluster_pb2.LookUpTablesResponse:
        if request.linearizable:
            await abort(context, ResourceNotFoundError("Requested resource not found"))
        return cluster_pb2.LookUpTablesResponse(unknown=request.table_names)


async def start(listen: str = "127.0.0.1:0") -> GrpcServer:
    service = _Service()  # type: ignore[abstract]  # the other methods are of no interest here
    return await start_server(
        listen,
        [lambda server: cluster_pb2_grpc.add_MetadataServicer_to_server(service, server)],
        ["stator.internal.v1.Metadata"],
    )


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    server = await start()
    yield server
    await server.stop(0)


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=channel_options()) as channel:
        yield channel


async def test_health(server: GrpcServer, channel: grpc.aio.Channel) -> None:
    """Not serving until told, and whoever watches learns of each change."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.set_serving(True)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    await server.set_serving(False)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()


async def test_readiness(server: GrpcServer, channel: grpc.aio.Channel) -> None:
    """It is asked for by name, may come later than serving, and ends with it."""
    stub: Any = health_pb2_grpc.HealthStub(channel)

    async def is_ready() -> bool:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service="ready"), timeout=10)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    assert not await is_ready()
    await server.set_ready(True)
    assert not await is_ready(), "who does not serve is not ready"
    await server.set_serving(True)
    assert not await is_ready()
    await server.set_ready(True)
    assert await is_ready()
    await server.set_ready(False)
    assert not await is_ready()
    await server.set_ready(True)
    await server.set_serving(False)
    assert not await is_ready()


async def test_reflection(channel: grpc.aio.Channel) -> None:
    """Says what there is to call."""
    make_stub: Any = reflection_pb2_grpc.ServerReflectionStub
    call = make_stub(channel).ServerReflectionInfo(timeout=10)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    assert {service.name for service in answer.list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "stator.internal.v1.Metadata",
    }
    call.cancel()


async def test_an_address_in_use(server: GrpcServer) -> None:
    """Is an error that names it; two servers never share a port."""
    address = f"127.0.0.1:{server.port}"
    with pytest.raises(AddressInUseError, match=re.escape(f"cannot listen on {address}")):
        await start(address)


async def test_messages_as_large_as_a_request_may_be(channel: grpc.aio.Channel) -> None:
    """16 MB pass both ways, with what surrounds them; much more is refused and the connection lives on."""
    stub = cluster_pb2_grpc.MetadataStub(channel)
    request = cluster_pb2.LookUpTablesRequest(table_names=["x" * MESSAGE_BYTES_MAX])
    response = await stub.LookUpTables(request, timeout=60)
    assert len(response.unknown[0]) == MESSAGE_BYTES_MAX
    request.table_names.append("x" * MESSAGE_BYTES_MAX)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.LookUpTables(request, timeout=60)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_of(raised.value) is None
    assert await stub.LookUpTables(cluster_pb2.LookUpTablesRequest(), timeout=10)


async def test_errors_travel_whole(channel: grpc.aio.Channel) -> None:
    """Status code, message, and the model's error in the details."""
    stub = cluster_pb2_grpc.MetadataStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.LookUpTables(cluster_pb2.LookUpTablesRequest(linearizable=True), timeout=10)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert raised.value.details() == "Requested resource not found"
    assert error_of(raised.value) == ("ResourceNotFoundException", "Requested resource not found")


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_every_error_has_a_status(error: type[StatorError]) -> None:
    """None of the tree is without a code that gRPC knows."""
    # One of them says why in reasons; none here.
    raised = TransactionCanceledError(()) if error is TransactionCanceledError else error("why")
    why = raised.message
    code, message, metadata = status_of(raised)
    assert isinstance(code, grpc.StatusCode)
    assert message == why
    ((key, value),) = metadata
    assert key == DETAILS_KEY
    status = status_pb2.Status.FromString(value)
    assert (status.code, status.message) == (code.value[0], why)
    detail = items_pb2.Error()
    assert status.details[0].Unpack(detail)
    assert (detail.code, detail.message, detail.retriable) == (error.code, why, raised.is_retriable)


@pytest.mark.parametrize(
    ("reasons", "has_messages"),
    [
        ([NO_REASON, condition_reason(b"item"), CONFLICT_REASON], True),
        ([condition_reason(b"item")] * 100, False),
        ([COLLECTION_REASON] * 100, False),
        ([validation_reason("x" * 5000)], False),
    ],
)
def test_why_a_transaction_was_cancelled(reasons: list[CancellationReason], has_messages: bool) -> None:
    """Is in the details: the codes always, messages where they fit; all of it in headers that arrive."""
    error = TransactionCanceledError(reasons)
    _, message, ((_, data),) = status_of(error)
    detail = items_pb2.Error()
    assert status_pb2.Status.FromString(data).details[0].Unpack(detail)
    assert detail.not_carried_out
    found = [(each.code, each.message) for each in detail.cancellation_reasons]
    assert found == [(each.code, each.message if has_messages else "") for each in reasons]
    assert not any(each.HasField("item") for each in detail.cancellation_reasons)
    assert message == error.message or (message.endswith("...") and error.message.startswith(message[:-3]))
    assert 4 * len(data) / 3 + len(message) < 8000


def test_details_of_another_kind() -> None:
    """Are not taken for the model's error."""
    status = status_pb2.Status(code=8)
    status.details.add().Pack(health_pb2.HealthCheckRequest())
    metadata = grpc.aio.Metadata(("other", "x"), (DETAILS_KEY, status.SerializeToString()))
    error = grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), metadata)
    assert error_of(error) is None
    assert status_of(ThrottledError("slow down"))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("unit", ["x", "€", "\U0001f600"])
def test_an_error_with_a_long_message(unit: str) -> None:
    """Is cut, so that it arrives; what fits is whole."""
    whole = unit * (1400 // len(unit.encode()))
    assert status_of(ThrottledError(whole))[1] == whole
    _, message, ((_, data),) = status_of(ThrottledError(unit * 5000))
    assert message == whole + "..." and len(data) < 3000
    assert status_pb2.Status.FromString(data).message == message


class Link:
    """A way to a server that can go dark: nothing comes through any more, and nobody is told."""

    def __init__(self) -> None:
        self.is_dark = False
        self.port = 0
        self._target = 0
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, target: int) -> None:
        self._target = target
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._tasks += [asyncio.create_task(self._carry(*each)) for each in ((reader, back), (there, writer))]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.is_dark:
                    writer.write(data)
                    await writer.drain()
            await asyncio.Event().wait()
        finally:
            writer.close()


class _Streams(cluster_pb2_grpc.MetadataServicer):
    """Answers a first report, then waits for another."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def Attend(self, request_iterator: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:  # type: ignore[override]
        await context.read()
        await context.write(cluster_pb2.NodeAssignments(catalog_slot=1))
        try:
            await context.read()
        finally:
            self.ended.set()


class TestKeepalive:
    """A way that goes dark in the middle of a stream, on which nothing would be said for long."""

    QUICK = Keepalive(100, 200)

    async def attend(self, of_server: Keepalive, of_client: Keepalive) -> tuple[bool, bool]:
        """Whether the streams of a server and a client have ended some time after that."""
        service, link = _Streams(), Link()  # type: ignore[abstract]  # the other methods are of no interest here
        server = await start_server(
            "127.0.0.1:0",
            [lambda server: cluster_pb2_grpc.add_MetadataServicer_to_server(service, server)],
            [],
            keepalive=of_server,
        )
        await link.start(server.port)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}", options=channel_options(of_client)) as channel:
            call = cluster_pb2_grpc.MetadataStub(channel).Attend()
            await call.write(cluster_pb2.NodeReport(node_id=1))
            assert isinstance(await call.read(), cluster_pb2.NodeAssignments)
            link.is_dark = True
            read, ended = asyncio.ensure_future(call.read()), asyncio.ensure_future(service.ended.wait())
            await asyncio.wait({ended if of_server is self.QUICK else read}, timeout=14)
            found = ended.done(), read.done() and isinstance(read.exception(), grpc.aio.AioRpcError)
            read.cancel()
            await asyncio.gather(read, ended, return_exceptions=True) if ended.done() else ended.cancel()
        await link.stop()
        await server.stop(0)
        return found

    async def test_a_client_notices(self) -> None:
        assert (await self.attend(KEEPALIVE, self.QUICK))[1]

    async def test_a_server_notices(self) -> None:
        assert (await self.attend(self.QUICK, KEEPALIVE))[0]

    def test_nobody_asks_more_often_than_is_allowed(self) -> None:
        """Its connection would be closed."""
        assert KEEPALIVE.after_ms >= 2 * PING_INTERVAL_MS_MIN
