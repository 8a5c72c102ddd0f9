"""What the asynchronous client's calls stand on: its settings, and the transport that it makes when first needed."""

import asyncio
import math
import os
import random
import re
from collections.abc import Mapping, Sequence

from statorpb import passthrough_pb2

from stator.credentials import Credentials
from stator.errors import ClientClosedError, UnavailableError
from stator.transport import (
    CONFLICT_ATTEMPTS_DEFAULT,
    RETRY_DELAY_S_MAX,
    RETRY_DELAY_S_MIN,
    Statistics,
    Transport,
)
from stator.values import Floats, ValueEncoder

DEFAULT_ENDPOINTS = ("127.0.0.1:9000", "127.0.0.1:9001", "127.0.0.1:9002")
TIMEOUT_S_DEFAULT = 10.0


def default_endpoints(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The addresses in $STATOR_ENDPOINTS, else DEFAULT_ENDPOINTS."""
    return split_endpoints(environ.get("STATOR_ENDPOINTS", "")) or DEFAULT_ENDPOINTS


def split_endpoints(text: str) -> tuple[str, ...]:
    """Addresses that commas or spaces separate."""
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


def _checked_timeout_s(timeout_s: float) -> float:
    if not 0 < timeout_s < math.inf:
        raise ValueError(f"a timeout is a positive number of seconds, not {timeout_s}")
    return timeout_s


def _checked_attempts(attempts: int) -> int:
    if attempts < 1:
        raise ValueError(f"conflict_attempts is a number from 1 on, not {attempts}")
    return attempts


class Connection:
    """A client's settings and its way to the cluster. `AsyncClient` says what the settings are."""

    def __init__(
        self,
        endpoints: Sequence[str] | None,
        timeout_s: float,
        floats: Floats,
        rng: random.Random | None,
        credentials: Credentials | None,
        conflict_attempts: int = CONFLICT_ATTEMPTS_DEFAULT,
    ) -> None:
        if isinstance(endpoints, str):
            raise TypeError(f"endpoints must be a list of addresses: write [{endpoints!r}].")
        self._addresses = tuple(endpoints if endpoints is not None else default_endpoints(os.environ))
        self._timeout_s = _checked_timeout_s(timeout_s)
        self._conflict_attempts = _checked_attempts(conflict_attempts)
        self.encoder = ValueEncoder(floats)
        self._credentials = credentials or Credentials.from_environment(os.environ)
        self._rng = rng or random.Random()
        self._transport_made: Transport | None = None
        self._is_closed = False

    async def close(self) -> None:
        """Ends the connections; calls under way raise ClientClosedError. May be called twice."""
        self._is_closed = True
        if self._transport_made is not None:
            await self._transport_made.close()

    @property
    def statistics(self) -> Statistics:
        """How many requests, retries, fail-overs and frames so far."""
        return self._transport_made.statistics if self._transport_made else Statistics()

    def limit_s(self, timeout_s: float | None) -> float:
        """How long a call may take. Raises ValueError."""
        return self._timeout_s if timeout_s is None else _checked_timeout_s(timeout_s)

    def transport(self) -> Transport:
        """Made when first needed: it belongs to the loop that runs then."""
        if self._is_closed:
            raise ClientClosedError("the client is closed")
        transport = self._transport_made
        if transport is None:
            transport = self._transport_made = Transport(self._addresses, self._rng, self._credentials)
        return transport

    async def send(
        self,
        request: passthrough_pb2.RawSessionRequest,
        timeout_s: float | None,
        conflict_attempts: int | None = None,
    ) -> passthrough_pb2.RawSessionReply:
        """Carries a request out, with every retry within the time. Raises ValueError for limits that are none."""
        body, is_write = request.SerializeToString(), bool(request.token)
        attempts = self._conflict_attempts if conflict_attempts is None else _checked_attempts(conflict_attempts)
        limit_s = self.limit_s(timeout_s)
        return await self.transport().request(body, limit_s, is_write=is_write, conflict_attempts=attempts)

    async def wait_unprocessed(self, attempt: int, deadline: float, left: int) -> None:
        """Until what a batch left over is worth sending again. Raises UnavailableError when the time would be over."""
        delay_s = self._rng.random() * min(RETRY_DELAY_S_MAX, RETRY_DELAY_S_MIN * 2**attempt)
        if asyncio.get_running_loop().time() + delay_s >= deadline:
            raise UnavailableError(
                f"{left} parts of a batch were left unprocessed by the server each time they were sent"
            )
        await asyncio.sleep(delay_s)
