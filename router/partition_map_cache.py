"""What the router knows of tables and their partitions.

A hit is answered from memory and never waits. The tables in use are asked for again about every second, in one message
to one metadata process; a storage node's "not mine" asks at once. When no metadata process answers, the router goes on
with what it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from statorpb import cluster_pb2, cluster_pb2_grpc, tables_pb2

from router.routing.decision import Replica
from server.model.errors import (
    NO_METADATA_LEADER,
    DeadlineExceededError,
    InternalServerError,
    ServiceUnavailableError,
    StatorError,
    UnknownOperationError,
    error_by_code,
)
from server.model.key_encoding import prefix
from server.model.partition_map import PartitionMap
from server.model.table import GlobalIndex, KeySchema, LocalIndex
from server.runtime.grpc_server import channel_options, error_of
from server.table_codec import global_index, key_schema, local_indexes

REFRESH_INTERVAL_S = 1.0
LOOK_UP_TIMEOUT_S = 1.0
FETCH_TIMEOUT_S = 3.0
"""Of one attempt to learn of a table; whoever has more time than that takes part in the next."""

PATIENCE_S = 6.0
"""How long an operation on tables waits for the metadata service; longer than it takes to elect a new leader."""

TABLES_MAX = 10_000

_NOBODY_ANSWERS = "no metadata process answers; tables cannot be looked up or changed"

log = structlog.get_logger()


@dataclass(slots=True)
class Partition:
    """One partition. `leader_node_id` 0: unknown; `leader_round` tells newer knowledge from older."""

    partition_id: int
    replicas: tuple[Replica, ...]
    leader_node_id: int
    leader_round: int


@dataclass(slots=True)
class Table:
    """One table's route, or that of one of its global indexes (`index`): the number and the partitions are the index's
    then, the name and the key schema the table's. `is_active`: items can be read and written."""

    name: str
    number: int
    key_prefix: bytes
    schema: KeySchema
    is_active: bool
    map: PartitionMap
    partitions: list[Partition]
    catalog_slot: int  # of the catalog that this was read from: what an older one says is not news
    is_used: bool = field(default=True)  # since the last refresh
    indexes: Mapping[str, LocalIndex] = field(default_factory=dict)  # its local indexes by name
    time_to_live_attribute: str = ""  # empty: no item expires
    is_provisioned: bool = False  # else it is billed by request
    index: GlobalIndex | None = None
    global_indexes: Mapping[str, Table] = field(default_factory=dict)  # by name
    streams: Mapping[str, cluster_pb2.StreamRoute] = field(default_factory=dict)  # by label

    @property
    def all_indexes(self) -> list[LocalIndex | GlobalIndex]:
        """Its local indexes, then its global ones."""
        found: list[LocalIndex | GlobalIndex] = [*self.indexes.values()]
        return found + [each.index for each in self.global_indexes.values() if each.index is not None]

    def can_read(self, index_name: str | None) -> bool:
        """Whether the table, or the index of that name, can be read, as far as is known here."""
        if index_name is None or index_name in self.indexes:
            return True
        route = self.global_indexes.get(index_name)
        return route is not None and route.is_active

    def partition_at(self, position: bytes) -> Partition:
        return self.partitions[self.map.index_of(position)]


class MetadataClient:
    """Calls to the metadata service: to one process at a time, to the next when it does not answer."""

    def __init__(self, addresses: tuple[str, ...], first: int) -> None:
        self._channels = [grpc.aio.insecure_channel(address, options=channel_options()) for address in addresses]
        self._stubs: list[cluster_pb2_grpc.MetadataAsyncStub] = [
            cluster_pb2_grpc.MetadataStub(channel) for channel in self._channels
        ]
        self._current = first % len(addresses)

    async def call(
        self, invoke: Callable[[cluster_pb2_grpc.MetadataAsyncStub], Awaitable[object]], deadline_s: float
    ) -> object:
        """The answer of the first process that has one. Raises AioRpcError for an answer that is an error, also where
        some do not know what is asked and nobody else answers, and ServiceUnavailableError when nobody does within
        `deadline_s` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        while True:
            unknown: grpc.aio.AioRpcError | None = None
            for _ in self._stubs:
                try:
                    async with asyncio.timeout(max(0.05, end - loop.time())):
                        return await invoke(self._stubs[self._current])
                except TimeoutError:
                    self._current = (self._current + 1) % len(self._stubs)
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                        unknown = error  # it is of an older version, which others need not be
                    elif _is_answer(error):
                        raise
                    self._current = (self._current + 1) % len(self._stubs)
                if loop.time() >= end:
                    break
            if unknown is not None:
                raise unknown
            if loop.time() >= end:
                raise ServiceUnavailableError(_NOBODY_ANSWERS)
            await asyncio.sleep(0.05)

    async def ask(self, method: str, message: Message, deadline: float) -> Any:
        """What is answered to a message. `deadline`: the caller's, in loop time. Raises StatorError."""
        patience_s = patience(deadline)
        try:
            return await self.call(partial(_invoke, method, message, patience_s), patience_s)
        except grpc.aio.AioRpcError as error:
            raise model_error(error) from error

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def patience(deadline: float) -> float:
    """How long to wait for the metadata service, in seconds. `deadline`: the caller's, in loop time; some of its time
    is kept back, to tell it clearly that nobody answers."""
    return max(0.05, min(PATIENCE_S, (deadline - asyncio.get_running_loop().time()) * 0.75))


def _invoke(method: str, message: Message, timeout_s: float, stub: Any) -> Any:
    return getattr(stub, method)(message, timeout=timeout_s)


def _is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Whether a metadata process has decided on this; if not, another one is to be asked."""
    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return True
    told = error_of(error)
    return told is not None and told[1] != NO_METADATA_LEADER and error.code() is grpc.StatusCode.UNAVAILABLE


class PartitionMapCache:
    """Tables by name; at most `tables_max` of them."""

    def __init__(self, metadata: MetadataClient, tables_max: int = TABLES_MAX) -> None:
        self._metadata = metadata
        self._tables_max = tables_max
        self._tables: dict[str, Table] = {}
        self._fetching: dict[tuple[str, bool], asyncio.Task[Table | None]] = {}
        self._refresh_now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._refresh_forever())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def get(self, name: str) -> Table | None:
        """The table as far as it is known; None: not known, or not active when last heard of (then `fetch`)."""
        table = self._tables.get(name)
        if table is None or not table.is_active:
            return None
        table.is_used = True
        return table

    async def fetch(self, name: str, deadline_s: float, *, is_known: bool = False) -> Table | None:
        """Asks for a table; None: there is none, and a leader of the metadata service has confirmed that (or a process
        that cannot reach one says so). `is_known`: what is known of it does not do: a leader is asked at once. Raises
        ServiceUnavailableError when nobody answers within `deadline_s` seconds.

        Those who ask for the same table at the same time share the question, but not each other's time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        while True:
            task = self._fetching.get((name, is_known))
            if task is None:
                task = asyncio.create_task(self._fetch(name, FETCH_TIMEOUT_S, is_known=is_known))
                self._fetching[name, is_known] = task
                task.add_done_callback(partial(self._fetched, (name, is_known)))
            try:
                async with asyncio.timeout_at(end):
                    return await asyncio.shield(task)
            except TimeoutError as error:
                raise ServiceUnavailableError(_NOBODY_ANSWERS) from error
            except ServiceUnavailableError:
                if loop.time() >= end:
                    raise

    def _fetched(self, asked: tuple[str, bool], task: asyncio.Task[Table | None]) -> None:
        del self._fetching[asked]
        if not task.cancelled():
            task.exception()  # seen by those who still wait; nobody may be left

    async def _fetch(self, name: str, deadline_s: float, *, is_known: bool) -> Table | None:
        if is_known:
            await self._look_up([name], linearizable=True, deadline_s=deadline_s)
            return self._tables.get(name)
        await self._look_up([name], linearizable=False, deadline_s=deadline_s)
        table = self._tables.get(name)
        if table is None or not table.is_active:
            await self._look_up([name], linearizable=True, deadline_s=deadline_s)
        return self._tables.get(name)

    async def renew(self, name: str, deadline_s: float) -> Table | None:
        """The table as a leader of the metadata service has it from now on; None: there is none. Raises
        ServiceUnavailableError when none answers within `deadline_s` seconds, also where something is known."""
        await self._look_up([name], linearizable=True, deadline_s=deadline_s, must_answer=True)
        return self._tables.get(name)

    def refresh_soon(self, table: Table) -> None:
        """A storage node knows better: asks for the tables in use without waiting for the interval."""
        known = self._tables.get(table.name)
        if known is not None:
            known.is_used = True
        self._refresh_now.set()

    def partition_now(self, table: Table, position: bytes) -> Partition:
        """The partition that holds a position, as it is known now. `table` may have been renewed since it was had from
        here: what a storage node shows of a leader is to be noted on what the next call will see."""
        known = same(table, self._tables.get(table.name))
        return (known if known is not None and known.number == table.number else table).partition_at(position)

    async def _refresh_forever(self) -> None:
        while True:
            try:
                # Not wait_for: on Python 3.11 it can swallow a cancellation.
                async with asyncio.timeout(REFRESH_INTERVAL_S):
                    await self._refresh_now.wait()
                await asyncio.sleep(0.02)  # what else is found stale meanwhile shares the message
            except TimeoutError:
                pass
            self._refresh_now.clear()
            names = [name for name, table in self._tables.items() if table.is_used]
            if not names:
                continue
            for name in names:
                self._tables[name].is_used = False
            try:
                await self._look_up(names, linearizable=False, deadline_s=LOOK_UP_TIMEOUT_S)
            except (ServiceUnavailableError, grpc.aio.AioRpcError) as error:
                log.debug("partition maps not refreshed", reason=str(error))

    async def _look_up(
        self, names: list[str], *, linearizable: bool, deadline_s: float, must_answer: bool = False
    ) -> None:
        request = cluster_pb2.LookUpTablesRequest(table_names=names, linearizable=linearizable)
        try:
            response = await self._metadata.call(
                lambda stub: stub.LookUpTables(request, timeout=LOOK_UP_TIMEOUT_S), deadline_s
            )
        except ServiceUnavailableError:
            if linearizable and not must_answer and any(name in self._tables for name in names):
                return  # what is known is all there is
            raise
        assert isinstance(response, cluster_pb2.LookUpTablesResponse)
        for route in response.tables:
            self._take(route, response.catalog_slot)
        if linearizable:
            for name in response.unknown:
                self._tables.pop(name, None)
        elif any(name in self._tables for name in response.unknown):
            await self._look_up(list(response.unknown), linearizable=True, deadline_s=deadline_s)

    def _take(self, route: cluster_pb2.TableRoute, catalog_slot: int) -> None:
        """Takes a route, unless it comes from a metadata process that lags behind one asked before. What is known of
        leaders stays where it is newer."""
        known = self._tables.get(route.table_name)
        if known is not None and catalog_slot < known.catalog_slot:
            return
        schema = key_schema(route)
        is_used = known.is_used if known is not None else True
        table = Table(
            route.table_name,
            route.table_number,
            prefix(route.table_number),
            schema,
            route.status == tables_pb2.ACTIVE,
            *_partitions(route.table_number, route.partitions, known),
            catalog_slot,
            is_used=is_used,
            indexes={index.name: index for index in local_indexes(route)},
            time_to_live_attribute=route.time_to_live_attribute,
            is_provisioned=route.is_provisioned,
            global_indexes={
                each.index.name: Table(
                    route.table_name,
                    each.index.number,
                    prefix(each.index.number),
                    schema,
                    each.status in _READABLE,
                    *_partitions(
                        each.index.number,
                        each.partitions,
                        known.global_indexes.get(each.index.name) if known is not None else None,
                    ),
                    catalog_slot,
                    is_provisioned=route.is_provisioned,
                    index=global_index(each.index),
                )
                for each in route.global_indexes
                if each.status != tables_pb2.INDEX_DELETING  # to those who read it is gone
            },
            streams={stream.label: stream for stream in route.streams},
        )
        if len(self._tables) >= self._tables_max and route.table_name not in self._tables:
            unused = next((name for name, each in self._tables.items() if not each.is_used), None)
            self._tables.pop(unused if unused is not None else next(iter(self._tables)))
        self._tables[route.table_name] = table


_READABLE = (tables_pb2.INDEX_ACTIVE, tables_pb2.INDEX_UPDATING)


def _partitions(
    number: int, routes: Sequence[cluster_pb2.PartitionRoute], known: Table | None
) -> tuple[PartitionMap, list[Partition]]:
    """The partitions of a table or an index. What is known of leaders stays where it is newer."""
    former: dict[int, Partition] = {}
    if known is not None and known.number == number:
        former = {partition.partition_id: partition for partition in known.partitions}
    partitions = []
    for each in routes:
        replicas = tuple(Replica(member.node_id, member.zone, member.address) for member in each.members)
        partition = Partition(each.partition_id, replicas, each.leader_node_id, each.leader_round)
        before = former.get(each.partition_id)
        if before is not None and before.leader_node_id and before.leader_round >= each.leader_round:
            partition.leader_node_id = before.leader_node_id
            partition.leader_round = before.leader_round
        partitions.append(partition)
    starts, ids = tuple(each.range_start for each in routes), tuple(each.partition_id for each in routes)
    return PartitionMap(starts, ids), partitions


def same(wanted: Table, table: Table | None) -> Table | None:
    """Of what is known of a table now: what `wanted` was of it, the table itself or one of its global indexes; None:
    there is no such thing any more."""
    if table is None or wanted.index is None:
        return table
    return table.global_indexes.get(wanted.index.name)


def model_error(error: grpc.aio.AioRpcError) -> StatorError:
    """The error that a call to the metadata service ended with."""
    carried = error_of(error)
    if carried is not None:
        return error_by_code(carried[0])(carried[1])
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return UnknownOperationError("The metadata service is of an older version, which does not know this operation")
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceededError("The metadata service did not answer in time")
    return InternalServerError(f"The metadata service failed: {error.details()}")
