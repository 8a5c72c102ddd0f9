"""What the router's parts are tested with: a fake metadata service, fake storage nodes, a fake dispatcher."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from statorpb import cluster_pb2, partition_pb2, partition_pb2_grpc, streams_pb2, tables_pb2

from router.dispatcher import Dispatcher, Done, ItemRequest
from router.partition_map_cache import MetadataClient, PartitionMapCache, Table
from router.results import ReadResult
from router.storage_client import SCAN, PartitionCall, StorageClient, cover, tell
from server.model.errors import ServiceUnavailableError, StatorError
from server.model.partition_map import even_starts
from server.wire import item_to_bytes

TABLE = "music"


def route(
    name: str = TABLE,
    nodes: Sequence[str] = ("127.0.0.1:1",),
    *,
    number: int = 1,
    partitions: int = 1,
    leader: int = 0,
    leader_round: int = 0,
    status: tables_pb2.TableStatus.ValueType = tables_pb2.ACTIVE,
    has_sort_key: bool = False,
) -> cluster_pb2.TableRoute:
    """A table's route; the node at `nodes[i]` has the id i + 1 and is in zone-<i + 1>; every partition is on all."""
    members = [
        cluster_pb2.Member(node_id=index + 1, zone=f"zone-{index + 1}", address=address)
        for index, address in enumerate(nodes)
    ]
    return cluster_pb2.TableRoute(
        table_name=name,
        table_number=number,
        status=status,
        partition_key=cluster_pb2.KeyAttribute(name="pk", type="S"),
        sort_key=cluster_pb2.KeyAttribute(name="sk", type="S") if has_sort_key else None,
        partitions=[
            cluster_pb2.PartitionRoute(
                partition_id=10 * number + index,
                range_start=start,
                members=members,
                leader_node_id=leader,
                leader_round=leader_round,
            )
            for index, start in enumerate(even_starts(partitions))
        ],
    )


LABEL = "2026-11-26T18:30:00.123"
CREATED_AT_MS = 1_795_717_800_123
STREAM = 7


def with_stream(
    table: cluster_pb2.TableRoute,
    *,
    number: int = STREAM,
    label: str = LABEL,
    status: streams_pb2.StreamStatus.ValueType = streams_pb2.ENABLED,
    first_sequence: int = 5_000,
    last_sequence: int = 0,
) -> cluster_pb2.TableRoute:
    """The table with one more stream, which all its partitions record; `last_sequence` 0: and will go on to."""
    stream = table.streams.add(
        number=number,
        label=label,
        status=status,
        view_type=tables_pb2.StreamSpecification.NEW_AND_OLD_IMAGES,
        created_at_ms=CREATED_AT_MS,
    )
    for partition in table.partitions if status != streams_pb2.ENABLING else ():
        stream.shards.add(
            partition_id=partition.partition_id,
            first_sequence=first_sequence,
            closed=last_sequence > 0,
            last_sequence=last_sequence,
        )
    return table


def record(sequence: int, **members: Any) -> partition_pb2.PartitionStreamRecord:
    """Of an item "a" that is made, at 1.234 s."""
    keys = item_to_bytes({"pk": {"S": "a"}})
    given = {"event": streams_pb2.StreamRecord.INSERT, "time_ms": 1_234, "size_bytes": 3, **members}
    return partition_pb2.PartitionStreamRecord(sequence=sequence, keys=keys, **given)


def stream_reply(
    sequence: int, *records: partition_pb2.PartitionStreamRecord, is_end: bool = False
) -> partition_pb2.PartitionReply:
    """Of a node that has these records, and goes on behind `sequence`."""
    result = partition_pb2.StreamResult(records=records, sequence=sequence, is_end=is_end)
    return partition_pb2.PartitionReply(status=partition_pb2.OK, stream=result)


class FakeMetadata(MetadataClient):
    """A metadata service that answers from `routes`, as of `slot`; to questions that must be up to date from
    `newest_routes`, where that is set. Nobody answers while `is_up` is not set."""

    def __init__(self, *routes: cluster_pb2.TableRoute) -> None:
        self.routes = {each.table_name: each for each in routes}
        self.newest_routes: dict[str, cluster_pb2.TableRoute] | None = None
        self.slot = 1
        self.is_up = asyncio.Event()
        self.is_up.set()
        self.look_ups: list[cluster_pb2.LookUpTablesRequest] = []
        self.stream_look_ups: list[cluster_pb2.LookUpStreamsRequest] = []
        self.look_up_wanted = asyncio.Condition()
        self.answers: dict[str, Any] = {}
        self.on_look_up: Callable[[cluster_pb2.LookUpTablesRequest], object] = lambda _: None

    async def call(self, invoke: Callable[[Any], Awaitable[object]], deadline_s: float) -> object:
        """As the real one: an answer, what the answer raised, or ServiceUnavailableError when the time is over."""
        try:
            async with asyncio.timeout(deadline_s):  # not wait_for: on Python 3.11 it can swallow a cancellation
                await self.is_up.wait()
        except TimeoutError as error:
            raise ServiceUnavailableError("no metadata process answers") from error
        return await invoke(self)

    async def LookUpTables(
        self, request: cluster_pb2.LookUpTablesRequest, timeout: float
    ) -> cluster_pb2.LookUpTablesResponse:
        async with self.look_up_wanted:
            self.look_ups.append(request)
            self.look_up_wanted.notify_all()
        self.on_look_up(request)
        routes = self.routes if self.newest_routes is None or not request.linearizable else self.newest_routes
        return cluster_pb2.LookUpTablesResponse(
            tables=[routes[name] for name in request.table_names if name in routes],
            unknown=[name for name in request.table_names if name not in routes],
            catalog_slot=self.slot,
        )

    async def wait_look_ups(self, count: int) -> None:
        """Returns once it has been asked `count` times in all."""
        async with self.look_up_wanted:
            await asyncio.wait_for(self.look_up_wanted.wait_for(lambda: len(self.look_ups) >= count), 10)

    async def LookUpStreams(self, request: cluster_pb2.LookUpStreamsRequest, timeout: float) -> Any:
        self.stream_look_ups.append(request)
        return self.answers["LookUpStreams"]

    async def DescribeTable(self, request: tables_pb2.DescribeTableRequest, timeout: float) -> Any:
        answer = self.answers["DescribeTable"]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def table_of(cache: PartitionMapCache, name: str = TABLE) -> Table:
    """A table as the cache knows it; it is asked for if need be."""
    table = cache.get(name) or await cache.fetch(name, 5.0)
    assert table is not None
    return table


class FakeStorage(StorageClient):
    """Answers each call with `answer(call)`: a reply or an error, at once; None: `calls` keeps it for the test."""

    def __init__(
        self, answer: Callable[[PartitionCall], partition_pb2.PartitionReply | StatorError | None] | None = None
    ) -> None:
        self.calls: list[PartitionCall] = []
        self._answer = answer if answer is not None else lambda _: None

    def submit(self, call: PartitionCall) -> None:
        self.calls.append(call)
        if call.operation == SCAN:
            cover(call)
        answer = self._answer(call)
        if isinstance(answer, StatorError):
            tell(call, None, answer)
        elif answer is not None:
            tell(call, answer, None)


class FakeStorageNode(partition_pb2_grpc.PartitionsServicer):
    """A storage node on a port of this machine. `answer(request)`: its reply; None: it says nothing."""

    def __init__(self, answer: Callable[[partition_pb2.PartitionRequest], partition_pb2.PartitionReply | None]) -> None:
        self.requests: list[partition_pb2.PartitionRequest] = []
        self.frame_sizes: list[int] = []
        self.is_silent = False
        self.ages_s: list[float] = []
        """Of the requests, when they came."""
        self.stale_marks: list[partition_pb2.StaleMark] = []
        """Told with each frame."""
        self.was_asked = asyncio.Event()
        self.address = ""
        self._answer = answer
        self._server: grpc.aio.Server | None = None

    async def start(self, listen: str = "127.0.0.1:0") -> FakeStorageNode:
        self._server = grpc.aio.server()
        partition_pb2_grpc.add_PartitionsServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(listen)}"
        await self._server.start()
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    async def Serve(
        self, request_iterator: AsyncIterator[partition_pb2.PartitionRequestFrame], context: Any
    ) -> AsyncIterator[partition_pb2.PartitionReplyFrame]:
        if self.is_silent:
            await asyncio.Event().wait()
        yield partition_pb2.PartitionReplyFrame(clock_ms=self._clock_ms())
        async for frame in request_iterator:
            self.frame_sizes.append(frame.ByteSize())
            replies = []
            for request in frame.requests:
                self.ages_s.append((self._clock_ms() - frame.begun_ms + request.age_ms) / 1000)
                self.requests.append(request)
                self.was_asked.set()
                reply = self._answer(request)
                if reply is not None:
                    reply.id = request.id
                    replies.append(reply)
            if replies:
                clock_ms = self._clock_ms()
                yield partition_pb2.PartitionReplyFrame(
                    replies=replies, clock_ms=clock_ms, stale_marks=self.stale_marks
                )

    def _clock_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000) + 5_000_000


class FakeDispatcher(Dispatcher):
    """Answers requests on items with `answer(request)`, and those on tables alike: a result or an error, at once; None:
    `waiting` keeps the callback for the test."""

    def __init__(self, answer: Callable[[Any], Any] | None = None) -> None:
        self.requests: list[Any] = []
        self.deadlines: list[float] = []
        self.token_seeds: list[bytes] = []
        self.begun: list[float] = []
        self.waiting: list[Done] = []
        self.was_asked = asyncio.Event()
        self._answer = answer if answer is not None else lambda _: None

    def submit(
        self, request: ItemRequest, deadline: float, token_seed: bytes, done: Done, begun: float = math.inf
    ) -> None:
        self.token_seeds.append(token_seed)
        self.begun.append(begun)
        self._take(request, deadline, done)

    def submit_tables(self, request: Any, deadline: float, done: Done) -> None:
        self._take(request, deadline, done)

    def submit_streams(self, request: Any, deadline: float, done: Done) -> None:
        self._take(request, deadline, done)

    def administer(self, method: str, message: Any, deadline: float, done: Done) -> None:
        self._take((method, message), deadline, done)

    def _take(self, request: Any, deadline: float, done: Done) -> None:
        self.requests.append(request)
        self.deadlines.append(deadline)
        self.was_asked.set()
        answer = self._answer(request)
        if isinstance(answer, StatorError):
            done(None, answer)
        elif answer is not None:
            done(ReadResult(answer) if isinstance(answer, bytes) else answer, None)
        else:
            self.waiting.append(done)


class Outcome:
    """What a request ended with; `done` is the callback to hand over. A second call of it is a test's failure."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(self, result: Any, error: StatorError | None) -> None:
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    async def wait(self) -> Any:
        """The result. Raises the error."""
        return await asyncio.wait_for(self.future, 10)
