"""router/authentication.py: claims settled with what is known of users, and what a gRPC call has to bring."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import empty_pb2
from stator.credentials import Credentials
from statorpb import cluster_pb2

from router.authentication import CALLER, Authentication, GrpcAuthentication
from router.users import UserCache
from server.model.errors import InvalidSignatureError, StatorError, UnrecognizedClientError
from server.runtime.grpc_server import GrpcServer, error_of, start_server
from tests.router.signature.signing import ACCESS_KEY_ID, NOW_S, SECRET, signed
from tests.router.test_users import ROOT, FakeMetadata

NOW = datetime.fromtimestamp(NOW_S, UTC)
OWN = Credentials(ACCESS_KEY_ID, SECRET)


class Rig:
    def __init__(self, region: str = "local") -> None:
        self.metadata = FakeMetadata()
        self.metadata.users[ACCESS_KEY_ID] = cluster_pb2.UserKey(
            access_key_id=ACCESS_KEY_ID, user_name="ann", secret_access_key=SECRET
        )
        self.users = UserCache(self.metadata, ROOT)
        self.authentication = Authentication(self.users, region, lambda: NOW_S)
        self.callers: list[str] = []
        self.server: GrpcServer | None = None

    async def start(self) -> grpc.aio.Channel:
        """A server with a method of each kind, and a channel to it."""

        async def answer(request: Any, context: Any) -> Any:
            self.note()
            return empty_pb2.Empty()

        async def stream(requests: Any, context: Any) -> Any:
            self.note()
            async for _ in requests:
                await context.write(empty_pb2.Empty())

        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(answer, *EMPTY),
            "Stream": grpc.stream_stream_rpc_method_handler(stream, *EMPTY),
        }
        generic = grpc.method_handlers_generic_handler("test.Test", handlers)
        self.server = await start_server(
            "127.0.0.1:0",
            [lambda server: server.add_generic_rpc_handlers((generic,))],
            [],
            [GrpcAuthentication(self.authentication)],
        )
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.server.port}")

    def note(self) -> None:
        caller = CALLER.get()
        self.callers.append(caller.name if caller is not None else "")


EMPTY = (empty_pb2.Empty.FromString, empty_pb2.Empty.SerializeToString)
METHODS = ("/test.Test/Unary", "/test.Test/Stream")


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.users.stop()
    if rig.server is not None:
        await rig.server.stop(0)


async def unary(channel: Any, method: str, metadata: Any = None) -> Any:
    """The answer's bytes to an empty message. Raises AioRpcError."""
    return await channel.unary_unary(method)(b"", metadata=metadata, timeout=10)


async def call(channel: grpc.aio.Channel, method: str, metadata: Any) -> None:
    """Makes a call of whichever kind. Raises AioRpcError."""
    if method.endswith("Unary"):
        await unary(channel, method, metadata)
    else:
        open_channel: Any = channel
        stream = open_channel.stream_stream(method)(metadata=metadata, timeout=10)
        await stream.write(b"")
        await stream.done_writing()
        async for _ in stream:
            pass


async def test_a_claim_that_holds(rig: Rig) -> None:
    """Is the user's; the secret is looked up the first time."""
    claim = rig.authentication.read_http(signed())
    assert rig.authentication.known(claim) is None
    user = rig.authentication.settle(claim, await rig.authentication.find(claim))
    assert user.name == "ann" and rig.authentication.known(claim) is user


async def test_a_claim_that_does_not(rig: Rig) -> None:
    """A wrong secret; nobody; somebody who is disabled, whatever the signature."""
    claim = rig.authentication.read_http(signed(secret="other"))
    user = await rig.authentication.find(claim)
    assert user is not None
    with pytest.raises(InvalidSignatureError):
        rig.authentication.settle(claim, user)
    with pytest.raises(UnrecognizedClientError):
        rig.authentication.settle(claim, None)
    user.is_disabled = True
    for request in (signed(), signed(secret="other")):
        with pytest.raises(UnrecognizedClientError, match=r"The security token included in the request is invalid\."):
            rig.authentication.settle(rig.authentication.read_http(request), user)


async def test_regions() -> None:
    """A cluster that is somewhere takes signatures for there; gRPC's name none that matters."""
    authentication = Rig("eu-west-1").authentication
    authentication.read_http(signed(region="eu-west-1"))
    with pytest.raises(StatorError, match="valid region, not 'local'"):
        authentication.read_http(signed(region="local"))
    metadata = [(key.encode(), value.encode()) for key, value in OWN.sign("/a/b", NOW)]
    assert authentication.read_grpc("/a/b", metadata).access_key_id == ACCESS_KEY_ID


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_the_sdk_has_signed(rig: Rig, method: str) -> None:
    """Is carried out as whoever signed it."""
    async with await rig.start() as channel:
        await call(channel, method, OWN.sign(method, NOW))
    assert rig.callers == ["ann"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("credentials", "signed_method", "code"),
    [
        (None, "", "MissingAuthenticationTokenException"),
        (Credentials(ACCESS_KEY_ID, "other"), "", "InvalidSignatureException"),
        (Credentials("AKIA9", SECRET), "", "UnrecognizedClientException"),
        (OWN, "/test.Test/Other", "InvalidSignatureException"),
    ],
    ids=["not signed", "wrong secret", "unknown", "another method"],
)
async def test_a_call_that_is_refused(
    rig: Rig, method: str, credentials: Credentials | None, signed_method: str, code: str
) -> None:
    """Before anything of it is looked at, with the error in the details."""
    metadata = credentials.sign(signed_method or method, NOW) if credentials is not None else None
    async with await rig.start() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(channel, method, metadata)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    told = error_of(raised.value)
    assert told is not None and told[0] == code
    assert rig.callers == []


async def test_an_old_signature(rig: Rig) -> None:
    """Is none: who has heard a call cannot repeat it for long."""
    async with await rig.start() as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="Signature expired"):
            await call(channel, METHODS[0], OWN.sign(METHODS[0], datetime.fromtimestamp(NOW_S - 901, UTC)))


async def test_health_checks_need_no_signature(rig: Rig) -> None:
    """Whoever starts and watches processes has no access key. A method that does not exist is just that."""
    async with await rig.start() as channel:
        assert await unary(channel, "/grpc.health.v1.Health/Check") == b"\x08\x02"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await unary(channel, "/test.Test/Nothing")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_what_the_sdk_signs_with() -> None:
    """Its secret is not shown; the environment may have an access key, or half of one."""
    assert SECRET not in repr(OWN)
    environment = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s"}
    assert Credentials.from_environment(environment) == Credentials("AKIA1", "s")
    for name in environment:
        assert Credentials.from_environment(environment | {name: ""}) is None
    assert re.fullmatch(r"\d{8}T\d{6}Z", dict(OWN.sign("/a/b"))["x-amz-date"])
