"""gRPC servers and channels as every process of the system has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from statorpb import items_pb2

from server.model.errors import StatorError, TransactionCanceledError

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""The largest request (DynamoDB's limit for one); messages get a little more for what surrounds it."""

_SLACK_BYTES = 1024 * 1024
STATUS_MESSAGE_BYTES_MAX = 1400
"""Of an error's message, which travels three times, twice in base64 and once percent-encoded: headers of more than 8 KB
are lost now and then, and the error with them."""
CUT_MESSAGE_BYTES_MIN = 200

DETAILS_KEY = "grpc-status-details-bin"


READY = "ready"
"""The name of a service that health checks may ask for: whether the process can be counted on (readiness.py)."""


class AddressInUseError(Exception):
    """The address to listen on cannot be had; the sentence names it."""


class Keepalive(NamedTuple):
    """A connection on which nothing has come for `after_ms` is asked whether it lives, and ends where nothing has come
    for `timeout_ms` then. So streams, which have no deadline, end when the other side's machine, its process or the
    way there is gone without a word. gRPC answers by itself, however busy the process is."""

    after_ms: int = 10_000
    timeout_ms: int = 5_000

    def options(self) -> list[tuple[str, int]]:
        return [
            ("grpc.keepalive_time_ms", self.after_ms),
            ("grpc.keepalive_timeout_ms", self.timeout_ms),
            # gRPC asks now and then how fast the way is; while that has no answer it asks nothing else, for a minute.
            ("grpc.http2.ping_timeout_ms", self.timeout_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]


KEEPALIVE = Keepalive()

PING_INTERVAL_MS_MIN = 5_000
"""Who asks a server more often has its connection closed. Half of what this project's channels do."""


def channel_options(keepalive: Keepalive = KEEPALIVE) -> list[tuple[str, int]]:
    """Options of client channels between processes."""
    return [
        *keepalive.options(),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX + _SLACK_BYTES),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX + _SLACK_BYTES),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]


class GrpcServer:
    """A running server. Not serving (for health checks) until told."""

    def __init__(self, server: grpc.aio.Server, servicer: health.aio.HealthServicer, port: int) -> None:
        self.port = port
        self._server = server
        self._health = servicer
        self._is_serving = False

    async def set_serving(self, is_serving: bool) -> None:
        """What health checks of the whole process ("") answer. Who does not serve is not ready either."""
        self._is_serving = is_serving
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if is_serving else status.NOT_SERVING)
        if not is_serving:
            await self.set_ready(False)

    async def set_ready(self, is_ready: bool) -> None:
        """What health checks of READY answer."""
        status = health_pb2.HealthCheckResponse
        await self._health.set(READY, status.SERVING if is_ready and self._is_serving else status.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        await self._server.stop(grace_s)


async def start_server(
    listen: str,
    add: Sequence[Callable[[grpc.aio.Server], None]],
    service_names: Sequence[str],
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    *,
    keepalive: Keepalive = KEEPALIVE,
) -> GrpcServer:
    """Serves on `listen` (host:port; port 0: any). Raises AddressInUseError."""
    server = grpc.aio.server(
        interceptors=interceptors,
        options=[
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX + _SLACK_BYTES),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX + _SLACK_BYTES),
            ("grpc.so_reuseport", 0),
            ("grpc.server_handshake_timeout_ms", 3000),
            ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
            *keepalive.options(),
        ],
    )
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for each in add:
        each(server)
    reflection.enable_server_reflection([*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise AddressInUseError(f"cannot listen on {listen}: the address is in use or not this machine's") from error
    for name in ("", READY):
        await servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    await server.start()
    return GrpcServer(server, servicer, port)


def status_of(error: StatorError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """(code, message, trailing metadata with google.rpc.Status) for an error of the model. What is too long is cut: of
    the reasons for which a transaction was cancelled the messages are left out, and there is no room for items."""
    code = grpc.StatusCode[error.grpc_status]
    detail = items_pb2.Error(code=error.code, retriable=error.is_retriable, not_carried_out=error.is_not_carried_out)
    if isinstance(error, TransactionCanceledError):
        for reason in error.reasons:
            detail.cancellation_reasons.add(code=reason.code, message=reason.message)
        if detail.ByteSize() > STATUS_MESSAGE_BYTES_MAX:
            for each in detail.cancellation_reasons:
                each.message = ""
    # The message travels three times, the reasons once.
    room = STATUS_MESSAGE_BYTES_MAX
    if detail.cancellation_reasons:
        room = max(CUT_MESSAGE_BYTES_MIN, room - detail.ByteSize() // 3)
    message = error.message.encode()
    text = message[:room].decode(errors="ignore")
    text += "..." if len(message) > room else ""
    detail.message = text
    packed = any_pb2.Any()
    packed.Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=text, details=[packed])
    return code, text, ((DETAILS_KEY, status.SerializeToString()),)


async def abort(context: grpc.aio.ServicerContext, error: StatorError) -> NoReturn:  # type: ignore[type-arg]
    """Ends a call with an error of the model: status code, message, and stator.v1.Error in the details."""
    code, message, metadata = status_of(error)
    await context.abort(code, message, metadata)
    raise AssertionError("abort always raises")


def error_of(error: grpc.aio.AioRpcError) -> tuple[str, str] | None:
    """(code, message) of the model's error that a failed call carries; None: it carries none."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                unpacked = items_pb2.Error()
                if detail.Unpack(unpacked):
                    return unpacked.code, unpacked.message
    return None
