"""Who has sent a request: the claim in its signature, settled with what is known of users. For both doors."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from router.signature.canonical import SignedRequest
from router.signature.claim import UNKNOWN_CLIENT, Claim, check_claim, read_claim
from router.users import User, UserCache
from server.model.errors import StatorError, UnrecognizedClientError
from server.runtime.grpc_server import abort

LOOK_UP_S = 5.0
ANY_REGION = "local"
"""A cluster that is nowhere in particular takes signatures for every region."""

UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
_OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")

CALLER: ContextVar[User | None] = ContextVar("caller", default=None)
"""Who makes the gRPC call that is being carried out; None: the router verifies no signatures."""


class Authentication:
    """Verifies signatures. `now_s()`: seconds since 1970."""

    def __init__(self, users: UserCache, region: str, now_s: Callable[[], float] = time.time) -> None:
        self._users = users
        self._region = "" if region == ANY_REGION else region
        self._now_s = now_s

    def read_http(self, request: SignedRequest) -> Claim:
        """What an HTTP request claims. Raises StatorError."""
        return read_claim(request, self._now_s(), self._region)

    def read_grpc(self, method: str, metadata: list[tuple[bytes, bytes]]) -> Claim:
        """What a gRPC call claims: it is signed as a POST of its method with an unsigned payload would be. Its messages
        are not signed: that is what TLS is for. Raises StatorError."""
        request = SignedRequest(b"POST", method.encode(), metadata, UNSIGNED_PAYLOAD)
        return read_claim(request, self._now_s(), must_sign=())

    def known(self, claim: Claim) -> User | None:
        """The user whose access key a claim names, if it is known already; else `find` it."""
        return self._users.get(claim.access_key_id)

    async def find(self, claim: Claim) -> User | None:
        """None: there is no such access key. Raises StatorError when that cannot be found out."""
        return await self._users.find(claim.access_key_id, LOOK_UP_S)

    def settle(self, claim: Claim, user: User | None) -> User:
        """The user, if the claim holds. Raises UnrecognizedClientError, InvalidSignatureError."""
        if user is None or user.is_disabled:
            raise UnrecognizedClientError(UNKNOWN_CLIENT)
        check_claim(claim, user.key(claim.scope))
        return user


class GrpcAuthentication(grpc.aio.ServerInterceptor):
    """Verifies every call when it begins, but for health checks and reflection, which say nothing of anybody's data. A
    long stream's user is looked at again with each message (`CALLER`)."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        method = details.method
        if handler is None or method.startswith(_OPEN_SERVICES):
            return handler
        try:
            claim = self._authentication.read_grpc(method, _headers(details.invocation_metadata))
            user = self._authentication.known(claim)
            if user is None:
                user = await self._authentication.find(claim)
            CALLER.set(self._authentication.settle(claim, user))
        except StatorError as error:
            return _refusal(handler, error)
        return handler


def _headers(metadata: Any) -> list[tuple[bytes, bytes]]:
    return [(key.encode(), value.encode() if isinstance(value, str) else bytes(value)) for key, value in metadata or ()]


def _refusal(handler: Any, error: StatorError) -> Any:
    """A handler of the same kind that ends every call with an error."""

    async def refuse(_: Any, context: Any) -> Any:
        await abort(context, error)

    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(refuse)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)
