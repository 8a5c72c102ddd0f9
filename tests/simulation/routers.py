"""Routers of a simulation: in each life the real coordinators, recoveries and ledger over the real client of storage
nodes, whose streams lead to simulated ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from statorpb import partition_pb2

from router.dispatcher import write_token
from router.item_reads import get_call
from router.item_writes import ItemWrite, write_call
from router.partition_map_cache import MetadataClient, Partition, PartitionMapCache, Table
from router.requests.get_item import GetItemRequest
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import TransactWriteItemsRequest
from router.storage_client import PartitionCall, StorageClient, _Stream
from server.gathering import gather_arrivals
from server.model.errors import StatorError
from storage_node.writes import AGE_MS_TOLD_MAX
from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.storage_nodes import replying

if TYPE_CHECKING:
    from tests.simulation.transaction_world import TransactionWorld

MS = 1_000_000
S = 1_000 * MS

Request = TransactWriteItemsRequest | TransactGetItemsRequest | ItemWrite | GetItemRequest
Answered = Callable[[Any, StatorError | None], None]


@dataclass(frozen=True, slots=True)
class Call:
    """What a client asks for; `token`: what it calls that whenever it sends it; `begun_ns`: when it sent it first."""

    request: Request
    token: bytes
    begun_ns: int
    timeout_s: float


class KnownTables:
    """What a router knows of tables, which do not change; as PartitionMapCache."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self.tables = tables

    def get(self, name: str) -> Table | None:
        return self.tables.get(name)

    async def fetch(self, name: str, deadline_s: float, *, is_known: bool = False) -> Table | None:
        return self.tables.get(name)

    def refresh_soon(self, table: Table) -> None:
        """Who leads is found out from the nodes."""

    def partition_now(self, table: Table, position: bytes) -> Partition:
        return table.partition_at(position)


class Streams(StorageClient):
    """The real client, as far as the messages themselves. They come in their order, as on a real stream; that one is
    broken, and what was on it lost, is noticed at once, later or never."""

    def __init__(self, world: TransactionWorld, life: RouterLife, tables: KnownTables) -> None:
        super().__init__(cast(PartitionMapCache, tables), "zone-1")
        self._rng = world.rng
        self._world = world
        self._life = life

    def _open(self, address: str) -> _Stream:
        stream = self._streams[address] = _Stream(address)
        stream.task = asyncio.create_task(self._carry(stream))
        return stream

    async def _carry(self, stream: _Stream) -> None:
        while True:
            if not stream.frames:
                stream.wake.clear()
                await stream.wake.wait()
                await gather_arrivals()
            data = stream.frames.pop(0).SerializeToString()
            stream.silence.sent(self._loop.time())
            boot = self._world.nodes[int(stream.address)].boot
            self._world.between(self._life.router_id, int(stream.address), partial(self._arrive, stream, boot, data))

    def _arrive(self, stream: _Stream, boot: int, data: bytes) -> None:
        """A frame comes to a node, if that still is in the life in which it was sent to it."""
        node_id = int(stream.address)
        node = self._world.nodes[node_id].life
        if node is None or node.node.boot != boot:
            self._world.between(node_id, self._life.router_id, self._life.inside(partial(self._break, stream)))
            return
        frame = partition_pb2.PartitionRequestFrame.FromString(data)
        age_ms = max(0, self._world.scheduler.now_ns // MS - frame.begun_ms)
        for request in frame.requests:
            request.age_ms = min(request.age_ms + age_ms, AGE_MS_TOLD_MAX)
            node.serve(request, replying(partial(self._send_back, stream)))

    def _send_back(self, stream: _Stream, reply: partition_pb2.PartitionReply) -> None:
        def arrive() -> None:
            stream.silence.heard(self._loop.time(), None)
            pending = stream.pending.pop(reply.id, None)
            if pending is not None:
                self._answered(pending, reply)

        # A reply may get its content after it was handed over, as in a frame that is not written yet.
        later = partial(self._world.between, int(stream.address), self._life.router_id, self._life.inside(arrive))
        self._world.scheduler.schedule(0, later)

    def _note_unknown(self, call: PartitionCall) -> None:
        super()._note_unknown(call)
        self._world.doubts += 1

    def _break(self, stream: _Stream) -> None:
        calls = list(stream.pending.values())
        stream.pending.clear()
        for call in calls:
            self._lost(call, is_silent=False)


class RouterLife:
    """Of a router, from a start to a crash."""

    def __init__(
        self, world: TransactionWorld, router_id: int, tables: Mapping[str, Table], clock_ahead_ms: int
    ) -> None:
        self.router_id = router_id
        self.is_over = False
        self._world = world
        self._tables = tables
        self._clock_ahead_ms = clock_ahead_ms
        self._loop = SimulatedLoop(world.scheduler)
        self._loop.inside(self._begin)

    def _begin(self) -> None:
        known = KnownTables(self._tables)
        self._storage = self._world.broken.streams(self._world, self, known)
        self.transactions = self._world.broken.transactions(
            cast(PartitionMapCache, known), self._storage, cast(MetadataClient, None), self._world.rng, self._clock_ms
        )
        self.transactions.start()

    def _clock_ms(self) -> int:
        return self._world.wall_ms() + self._clock_ahead_ms

    def end(self) -> None:
        """In a crash."""
        self.is_over = True
        self._loop.end()

    def inside(self, work: Callable[[], object]) -> Callable[[], None]:
        """Does it in this life, or not at all."""

        def do() -> None:
            if not self.is_over:
                self._loop.inside(work)

        return do

    def nudge(self, mark: partition_pb2.StaleMark) -> None:
        self.inside(lambda: self._storage.on_stale_mark(mark))()

    def serve(self, call: Call, answered: Answered) -> None:
        """As the dispatcher does."""
        self.inside(lambda: self._serve(call, answered))()

    def _serve(self, call: Call, answered: Answered) -> None:
        request, token, begun_s = call.request, call.token, call.begun_ns / S
        deadline = self._loop.time() + call.timeout_s
        try:
            if isinstance(request, TransactWriteItemsRequest):
                self.transactions.write(request, self._tables, deadline, token, answered, begun_s)
            elif isinstance(request, TransactGetItemsRequest):
                self.transactions.read(request, self._tables, deadline, answered)
            elif isinstance(request, GetItemRequest):
                self._storage.submit(get_call(request, self._tables[request.table_name], deadline, answered))
            else:
                table = self._tables[request.table_name]
                self._storage.submit(write_call(request, table, deadline, write_token(token), answered, begun_s))
        except StatorError as error:
            answered(None, error)


class Router:
    """What of a router survives a crash: its number and its clock."""

    def __init__(self, world: TransactionWorld, router_id: int, clock_ahead_ms: int) -> None:
        self.router_id = router_id
        self.clock_ahead_ms = clock_ahead_ms
        self.life: RouterLife | None = None
        self._world = world

    def boot(self) -> None:
        if self.life is None:
            self.life = RouterLife(self._world, self.router_id, self._world.tables(), self.clock_ahead_ms)

    def crash(self) -> None:
        if self.life is not None:
            self.life.end()
            self.life = None
