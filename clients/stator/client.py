"""The asynchronous client."""

import asyncio
import math
import os
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from statorpb import admin_pb2, item_pb2, passthrough_pb2

from stator.batches import BATCH_GET_KEYS_MAX, BATCH_WRITES_MAX, BATCHES_AT_ONCE, batches, key_identity
from stator.credentials import Credentials
from stator.descriptions import (
    ClusterDescription,
    NewUser,
    UserDescription,
    cluster_description,
    user_description,
)
from stator.errors import (
    ClientClosedError,
    UnavailableError,
)
from stator.tables import TableOperations
from stator.transport import RETRY_DELAY_S_MAX, RETRY_DELAY_S_MIN, Statistics, Transport
from stator.values import Floats, Item, ValueEncoder, decode_item, item_value, parse_item

DEFAULT_ENDPOINTS = ("127.0.0.1:9000", "127.0.0.1:9001", "127.0.0.1:9002")
TIMEOUT_S_DEFAULT = 10.0
TOKEN_BYTES = 16
_ADMIN = "/stator.v1.Admin/"


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


BatchT = TypeVar("BatchT")


class AsyncClient(TableOperations):
    """A connection to a Stator cluster, for asyncio. Cheap to share: make one and use it from all tasks of a loop.

    Requests that run concurrently travel together, so many at once cost far less than many in a row:

        async with stator.AsyncClient() as client:
            await client.create_table("music", partition_key=("artist", "S"), sort_key=("year", "N"))
            await client.wait_until_table_active("music")
            await client.put_item("music", {"artist": "Nina Simone", "year": 1964, "live": True})
            item = await client.get_item("music", {"artist": "Nina Simone", "year": 1964})

    `endpoints` are routers' gRPC addresses ("host:port"); by default those in $STATOR_ENDPOINTS, separated by commas,
    else 127.0.0.1:9000 to 9002. One is used at a time, chosen at random so that many clients
    spread; when it fails the client turns to the next. `timeout_s` bounds each call, retries included, and can be given
    to each call. Every call raises a `stator.StatorError`; see `stator.errors`. Throttling, failing servers and broken
    connections are retried within that time; a write is never carried out twice.

    Calls are signed with `credentials`, by default the access key in $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, if
    there is one; a cluster that verifies signatures raises AccessDeniedError otherwise.

    `floats="decimal"` stores floats by their shortest decimal text; by default a float is a TypeError, because it would
    come back as a Decimal. See `stator.values` for how Python's values map.
    """

    def __init__(
        self,
        endpoints: Sequence[str] | None = None,
        *,
        timeout_s: float = TIMEOUT_S_DEFAULT,
        floats: Floats = "refuse",
        rng: random.Random | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        if isinstance(endpoints, str):
            raise TypeError(f"endpoints must be a list of addresses: write [{endpoints!r}].")
        self._addresses = tuple(endpoints if endpoints is not None else default_endpoints(os.environ))
        self._timeout_s = _checked_timeout_s(timeout_s)
        self._encoder = ValueEncoder(floats)
        self._credentials = credentials or Credentials.from_environment(os.environ)
        self._rng = rng or random.Random()
        self._transport_made: Transport | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; calls under way raise ClientClosedError. May be called twice."""
        self._is_closed = True
        if self._transport_made is not None:
            await self._transport_made.close()

    def _limit_s(self, timeout_s: float | None) -> float:
        """How long a call may take. Raises ValueError."""
        return self._timeout_s if timeout_s is None else _checked_timeout_s(timeout_s)

    @property
    def statistics(self) -> Statistics:
        """How many requests, retries, fail-overs and frames so far."""
        return self._transport_made.statistics if self._transport_made else Statistics()

    @property
    def retries(self) -> int:
        """How many attempts after the first were made so far, over all calls."""
        return self.statistics.retries

    # ---- items

    async def put_item(self, table: str, item: Mapping[str, Any], *, timeout_s: float | None = None) -> None:
        """Writes a whole item, in place of any that has its key. Durable in two zones when it returns.

        Raises ValidationError (key missing or of the wrong type, item above 400 KB, ...), ResourceNotFoundError,
        TypeError for a value that cannot be stored.

            await client.put_item("music", {"artist": "Nina Simone", "year": 1964})
        """
        request = passthrough_pb2.RawSessionRequest(token=os.urandom(TOKEN_BYTES))
        put = request.put_item
        put.table_name = table
        put.item = self._encoder.encode_item(item)
        await self._transport().request(request.SerializeToString(), self._limit_s(timeout_s))

    async def get_item(
        self, table: str, key: Mapping[str, Any], *, consistent_read: bool = False, timeout_s: float | None = None
    ) -> Item | None:
        """The item with this key, or None.

        With `consistent_read` it reflects every write that was acknowledged before; without, it may be a little behind,
        and is answered by any replica.

            item = await client.get_item("music", {"artist": "Nina Simone", "year": 1964}, consistent_read=True)
        """
        request = passthrough_pb2.RawSessionRequest()
        get = request.get_item
        get.table_name = table
        get.consistent_read = consistent_read
        get.key = self._encoder.encode_item(key)
        reply = await self._transport().request(request.SerializeToString(), self._limit_s(timeout_s))
        found = reply.get_item
        return decode_item(found.item) if found.HasField("item") else None

    async def delete_item(self, table: str, key: Mapping[str, Any], *, timeout_s: float | None = None) -> None:
        """Deletes the item with this key; nothing happens if there is none.

        await client.delete_item("music", {"artist": "Nina Simone", "year": 1964})
        """
        request = passthrough_pb2.RawSessionRequest(token=os.urandom(TOKEN_BYTES))
        delete = request.delete_item
        delete.table_name = table
        delete.key = self._encoder.encode_item(key)
        await self._transport().request(request.SerializeToString(), self._limit_s(timeout_s))

    async def batch_write_item(
        self,
        table: str,
        *,
        put: Iterable[Mapping[str, Any]] = (),
        delete: Iterable[Mapping[str, Any]] = (),
        timeout_s: float | None = None,
    ) -> None:
        """Puts items and deletes keys, any number of them, 25 a request; what the server leaves over is sent again.

        Not a transaction: on an error some writes may have been carried out. `timeout_s` bounds each request of 25.
        Naming one key twice is a ValidationError if both fall into one request.

            await client.batch_write_item("music", put=[{"id": number} for number in range(1000)])
        """

        def writes() -> Iterable[passthrough_pb2.RawWriteRequest]:
            for item in put:
                write = passthrough_pb2.RawWriteRequest()
                write.put = self._encoder.encode_item(item)
                yield write
            for key in delete:
                write = passthrough_pb2.RawWriteRequest()
                write.delete_key = self._encoder.encode_item(key)
                yield write

        async def send(batch: list[passthrough_pb2.RawWriteRequest]) -> None:
            await self._write_batch(table, batch, self._limit_s(timeout_s))

        await _run_batches(batches(writes(), BATCH_WRITES_MAX), send)

    async def batch_get_item(
        self,
        table: str,
        keys: Iterable[Mapping[str, Any]],
        *,
        consistent_read: bool = False,
        timeout_s: float | None = None,
    ) -> list[Item | None]:
        """The items of these keys, in their order; None where there is none. Any number, 100 a request.

        A key may be named twice. `timeout_s` bounds each request of 100.

            items = await client.batch_get_item("users", [{"id": 1}, {"id": 2}])
        """
        asked = list(keys)
        wires: dict[Any, item_pb2.Item] = {}
        identities = []
        for key in asked:
            wire = item_pb2.Item()
            self._encoder.fill_item(wire, key)
            identity = key_identity(wire.attributes)
            identities.append(identity)
            wires[identity] = wire
        names = set(asked[0]) if asked else set()
        found: dict[Any, Item] = {}

        async def send(batch: list[item_pb2.Item]) -> None:
            async for item in self._read_batch(table, batch, consistent_read, self._limit_s(timeout_s)):
                key_part = {name: value for name, value in item.attributes.items() if name in names}
                found[key_identity(key_part)] = item_value(item)

        await _run_batches(batches(wires.values(), BATCH_GET_KEYS_MAX), send)
        return [found.get(identity) for identity in identities]

    async def scan(
        self, table: str, *, limit: int | None = None, page_items: int = 0, consistent_read: bool = False
    ) -> AsyncIterator[Item]:
        """Every item of a table, in no useful order, page by page as they are asked for; at most `limit` of them.

        `page_items` is how many items a request asks for; 0 means what fits into 1 MB.

            async for item in client.scan("music"):
                print(item)
        """
        async for page in self.scan_pages(table, limit=limit, page_items=page_items, consistent_read=consistent_read):
            for item in page:
                yield item

    async def scan_pages(
        self, table: str, *, limit: int | None = None, page_items: int = 0, consistent_read: bool = False
    ) -> AsyncGenerator[list[Item], None]:
        """As `scan`, a list for each page."""
        left = limit
        start: Item | None = None
        while left is None or left > 0:
            ask = page_items if left is None else min(left, page_items or left)
            items, start = await self.scan_page(
                table, exclusive_start_key=start, limit=ask, consistent_read=consistent_read
            )
            yield items
            if start is None:
                return
            if left is not None:
                left -= len(items)

    async def scan_page(
        self,
        table: str,
        *,
        exclusive_start_key: Mapping[str, Any] | None = None,
        limit: int = 0,
        consistent_read: bool = False,
        timeout_s: float | None = None,
    ) -> tuple[list[Item], Item | None]:
        """One page of a scan: (items, the key to go on after, or None at the end). `limit` 0: what fits into 1 MB."""
        request = passthrough_pb2.RawSessionRequest()
        scan = request.scan
        scan.table_name = table
        scan.limit = limit
        scan.consistent_read = consistent_read
        if exclusive_start_key is not None:
            scan.exclusive_start_key = self._encoder.encode_item(exclusive_start_key)
        reply = await self._transport().request(request.SerializeToString(), self._limit_s(timeout_s))
        page = reply.scan
        last = decode_item(page.last_evaluated_key) if page.HasField("last_evaluated_key") else None
        return [decode_item(item) for item in page.items], last

    # ---- cluster

    async def describe_cluster(self, *, timeout_s: float | None = None) -> ClusterDescription:
        """The cluster's nodes, and where the partitions and their leaders are."""
        response = await self._transport().unary(
            _ADMIN + "DescribeCluster",
            admin_pb2.DescribeClusterRequest(),
            admin_pb2.DescribeClusterResponse,
            self._limit_s(timeout_s),
        )
        return cluster_description(response)

    # ---- users

    async def create_user(self, name: str, *, timeout_s: float | None = None) -> NewUser:
        """Makes a user with an access key. For the root access key only, where signatures are verified.

        Raises ResourceInUseError if there is such a user (also when an earlier attempt of this call made it without
        this client's learning of that: its secret is lost then), ValidationError, AccessDeniedError.
        """
        response = await self._transport().unary(
            _ADMIN + "CreateUser",
            admin_pb2.CreateUserRequest(user_name=name),
            admin_pb2.CreateUserResponse,
            self._limit_s(timeout_s),
        )
        return NewUser(user_description(response.user), response.secret_access_key)

    async def list_users(self, *, timeout_s: float | None = None) -> tuple[UserDescription, ...]:
        """All users by name, disabled ones among them. For the root access key only, as `create_user`."""
        response = await self._transport().unary(
            _ADMIN + "ListUsers", admin_pb2.ListUsersRequest(), admin_pb2.ListUsersResponse, self._limit_s(timeout_s)
        )
        return tuple(map(user_description, response.users))

    async def disable_user(self, name: str, *, timeout_s: float | None = None) -> UserDescription:
        """Has a user's signatures refused, for good; every router does so within a few seconds. For the root access key
        only, as `create_user`. Raises ResourceNotFoundError."""
        response = await self._transport().unary(
            _ADMIN + "DisableUser",
            admin_pb2.DisableUserRequest(user_name=name),
            admin_pb2.DisableUserResponse,
            self._limit_s(timeout_s),
        )
        return user_description(response.user)

    # ---- inside

    def _transport(self) -> Transport:
        """Made when first needed: it belongs to the loop that runs then."""
        if self._is_closed:
            raise ClientClosedError("the client is closed")
        transport = self._transport_made
        if transport is None:
            transport = self._transport_made = Transport(self._addresses, self._rng, self._credentials)
        return transport

    async def _write_batch(self, table: str, writes: list[passthrough_pb2.RawWriteRequest], timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        attempt = 0
        while writes:
            # A new token each time: a token names a whole request, and what is left over is another one.
            request = passthrough_pb2.RawSessionRequest(token=os.urandom(TOKEN_BYTES))
            request.batch_write_item.tables.add(table_name=table, writes=writes)
            reply = await self._transport().request(request.SerializeToString(), max(0.001, deadline - loop.time()))
            writes = [write for unprocessed in reply.batch_write_item.unprocessed for write in unprocessed.writes]
            if writes:
                await self._wait_unprocessed(attempt, deadline, len(writes))
                attempt += 1

    async def _read_batch(
        self, table: str, keys: list[item_pb2.Item], consistent_read: bool, timeout_s: float
    ) -> AsyncIterator[item_pb2.Item]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        attempt = 0
        while keys:
            request = passthrough_pb2.RawSessionRequest()
            request.batch_get_item.tables.add(
                table_name=table, keys=[key.SerializeToString() for key in keys], consistent_read=consistent_read
            )
            reply = await self._transport().request(request.SerializeToString(), max(0.001, deadline - loop.time()))
            for answered in reply.batch_get_item.tables:
                for item in answered.items:
                    yield parse_item(item)
            left = [key for unprocessed in reply.batch_get_item.unprocessed for key in unprocessed.keys]
            keys = [parse_item(key) for key in left]
            if keys:
                await self._wait_unprocessed(attempt, deadline, len(keys))
                attempt += 1

    async def _wait_unprocessed(self, attempt: int, deadline: float, left: int) -> None:
        delay_s = self._rng.random() * min(RETRY_DELAY_S_MAX, RETRY_DELAY_S_MIN * 2**attempt)
        if asyncio.get_running_loop().time() + delay_s >= deadline:
            raise UnavailableError(
                f"{left} parts of a batch were left unprocessed by the server each time they were sent"
            )
        await asyncio.sleep(delay_s)


async def _run_batches(made: Iterable[list[BatchT]], send: Callable[[list[BatchT]], Awaitable[None]]) -> None:
    """Sends batches, BATCHES_AT_ONCE at a time, each made only when it can be sent; the first error ends it."""
    iterator = iter(made)

    async def work() -> None:
        for batch in iterator:
            await send(batch)

    workers = [asyncio.ensure_future(work()) for _ in range(BATCHES_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
