"""The asynchronous client."""

import random
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, overload

from statorpb import admin_pb2

from stator.connection import TIMEOUT_S_DEFAULT, Connection
from stator.credentials import Credentials
from stator.descriptions import (
    ClusterDescription,
    ClusterEvents,
    NewUser,
    NodeDescription,
    UserDescription,
    cluster_description,
    cluster_events,
    node_description,
    user_description,
)
from stator.item_requests import ItemRequests
from stator.items import ItemOperations
from stator.streams import StreamOperations
from stator.table import AsyncTable
from stator.tables import TableOperations
from stator.transactions import TransactionOperations
from stator.transport import CONFLICT_ATTEMPTS_DEFAULT, Statistics, Transport
from stator.typed_items import ObjectT
from stator.values import Floats, Item

_ADMIN = "/stator.v1.Admin/"


class AsyncClient(TableOperations, ItemOperations, TransactionOperations, StreamOperations):
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

    Writes and transactions that meet another transaction at work on the same items are tried again, after a random
    delay, up to `conflict_attempts` times in all within the call's time; 1 has them end at once. Each call can have a
    number of its own.

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
        conflict_attempts: int = CONFLICT_ATTEMPTS_DEFAULT,
    ) -> None:
        self._connection = Connection(endpoints, timeout_s, floats, rng, credentials, conflict_attempts)
        self._requests = ItemRequests(self._connection.encoder)
        self._changes = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; calls under way raise ClientClosedError. May be called twice."""
        for changes in list(self._changes):
            await changes.aclose()
        await self._connection.close()

    @property
    def statistics(self) -> Statistics:
        """How many requests, retries, fail-overs and frames so far."""
        return self._connection.statistics

    @property
    def retries(self) -> int:
        """How many attempts after the first were made so far, over all calls."""
        return self.statistics.retries

    @overload
    def table(self, name: str, *, as_type: None = None) -> AsyncTable[Item]: ...

    @overload
    def table(self, name: str, *, as_type: type[ObjectT]) -> AsyncTable[ObjectT]: ...

    def table(self, name: str, *, as_type: Any = None) -> AsyncTable[Any]:
        """The operations on one table's items, without its name each time. Asks nothing of the cluster.

        With `as_type`, items come back as objects of that class.

            songs = client.table("music", as_type=Song)
            await songs.put_item(Song("Nina Simone", 1964))
            song = await songs.get_item({"artist": "Nina Simone", "year": 1964})
        """
        return AsyncTable(self, name, as_type)

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

    async def list_events(self, after: str = "", *, limit: int = 0, timeout_s: float | None = None) -> ClusterEvents:
        """What has happened to the cluster, the oldest first: nodes that come and go, leaders that change, members that
        are replaced. The newest `limit` (0: 1,000, which is the most); or, with `after`, which is `next` of an earlier
        answer, the first that came since.

        One of the metadata processes answers, by what it has seen and what another had seen before it began: where all
        of them end at once, that is forgotten. Where another answers than the last time, or has let go of some
        meanwhile, the answer says so. Raises ValidationError for an `after` that is no such place.
        """
        response = await self._transport().unary(
            _ADMIN + "ListEvents",
            admin_pb2.ListEventsRequest(after=after, limit=limit),
            admin_pb2.ListEventsResponse,
            self._limit_s(timeout_s),
        )
        return cluster_events(response)

    async def drain_node(self, name: str, *, cancel: bool = False, timeout_s: float | None = None) -> NodeDescription:
        """Has a storage node's replicas moved to other nodes of its zone, so that it can be removed. Returns at once;
        `describe_cluster` tells how many are left. With `cancel` the node is put to use again. For the root access key
        only, where signatures are verified. Raises ResourceNotFoundError, AccessDeniedError."""
        response = await self._transport().unary(
            _ADMIN + "DrainNode",
            admin_pb2.DrainNodeRequest(name=name, cancel=cancel),
            admin_pb2.DrainNodeResponse,
            self._limit_s(timeout_s),
        )
        return node_description(response.node)

    async def remove_node(self, name: str, *, timeout_s: float | None = None) -> NodeDescription:
        """Takes a storage node that has no replicas out of the cluster, for good: its process ends, and its data folder
        may not join again. Returns what it was. For the root access key only, as `drain_node`.

        Raises ResourceInUseError, which says what to do, if it has replicas; ResourceNotFoundError (also when an
        earlier attempt of this call removed it without this client's learning of that); AccessDeniedError.
        """
        response = await self._transport().unary(
            _ADMIN + "RemoveNode",
            admin_pb2.RemoveNodeRequest(name=name),
            admin_pb2.RemoveNodeResponse,
            self._limit_s(timeout_s),
        )
        return node_description(response.node)

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
        return self._connection.transport()

    def _limit_s(self, timeout_s: float | None) -> float:
        return self._connection.limit_s(timeout_s)
