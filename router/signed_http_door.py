"""The HTTP door where requests must be signed. It keeps more of a request than the open door, which is faster."""

from __future__ import annotations

import asyncio
import hashlib

import structlog

from router.authentication import Authentication
from router.dispatcher import Dispatcher
from router.halt_watch import HaltWatch
from router.http_door import INTERNAL_ERROR, Exchange, HttpConnection, HttpDoor, Timeouts
from router.signature.canonical import SignedRequest
from router.signature.claim import Claim
from server.model.errors import InternalServerError, StatorError

log = structlog.get_logger()


class SignedHttpDoor(HttpDoor):
    """A door behind which everybody is known. Pages of any origin may see its responses: a browser signs nothing of its
    own accord."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        request_timeout_s: float,
        authentication: Authentication,
        timeouts: Timeouts | None = None,
        *,
        region: str = "local",
        halts: HaltWatch | None = None,
    ) -> None:
        super().__init__(dispatcher, request_timeout_s, timeouts, region=region, halts=halts)
        self.is_open = True
        self.authentication = authentication
        self.looking_up: set[asyncio.Task[None]] = set()

    def connect(self, loop: asyncio.AbstractEventLoop) -> HttpConnection:
        return SignedHttpConnection(self, loop)


class SignedHttpConnection(HttpConnection):
    """One connection. A POST is looked at only once its signature has been verified."""

    def __init__(self, door: SignedHttpDoor, loop: asyncio.AbstractEventLoop) -> None:
        self._authentication = door.authentication
        self._looking_up = door.looking_up
        self._signed: tuple[bytes, list[tuple[bytes, bytes]]] = (b"", [])  # url and headers of the complete request
        super().__init__(door, loop)

    def _begin(self) -> None:
        super()._begin()
        self._url = b""
        self._all_headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if not self._has_headers and not self._is_refused:
            self._all_headers.append((name, value))

    def on_message_complete(self) -> None:
        self._signed = (self._url, self._all_headers)
        super().on_message_complete()

    def _serve(self, exchange: Exchange, method: bytes, target: bytes, invocation: bytes, body: bytes) -> None:
        if method != b"POST":
            super()._serve(exchange, method, target, invocation, body)
            return
        try:
            payload_hash = hashlib.sha256(body).hexdigest().encode()
            claim = self._authentication.read_http(SignedRequest(method, *self._signed, payload_hash))
            user = self._authentication.known(claim)
            if user is None:
                task = self._loop.create_task(self._serve_later(claim, exchange, target, invocation, body))
                self._looking_up.add(task)
                task.add_done_callback(self._looking_up.discard)
                return
            self._authentication.settle(claim, user)
        except StatorError as error:
            self._respond_error(exchange, error)
        except Exception:
            log.exception("request failed", target=target)
            self._respond_error(exchange, InternalServerError(INTERNAL_ERROR))
        else:
            super()._serve(exchange, method, target, invocation, body)

    async def _serve_later(
        self, claim: Claim, exchange: Exchange, target: bytes, invocation: bytes, body: bytes
    ) -> None:
        """An access key that is not known yet has to be looked up first."""
        try:
            self._authentication.settle(claim, await self._authentication.find(claim))
        except StatorError as error:
            self._respond_error(exchange, error)
        except Exception:
            log.exception("request failed", target=target)
            self._respond_error(exchange, InternalServerError(INTERNAL_ERROR))
        else:
            super()._serve(exchange, b"POST", target, invocation, body)
