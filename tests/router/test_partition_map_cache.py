"""router/partition_map_cache.py: what a router knows of tables, and how that changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc.aio import Metadata
from statorpb import cluster_pb2, tables_pb2

from router.partition_map_cache import MetadataClient, PartitionMapCache, model_error
from server.model.errors import (
    NO_METADATA_LEADER,
    DeadlineExceededError,
    InternalServerError,
    ServiceUnavailableError,
    StatorError,
    UnknownOperationError,
)
from server.model.table import KeyAttribute, KeySchema, LocalIndex
from server.runtime.grpc_server import abort, error_of
from tests.clients.waiting import until
from tests.router.fakes import TABLE, FakeMetadata, route, table_of


@pytest_asyncio.fixture
async def metadata() -> FakeMetadata:
    return FakeMetadata(route(leader=1, leader_round=5, nodes=("a:1", "b:1", "c:1")))


@pytest_asyncio.fixture
async def cache(metadata: FakeMetadata) -> AsyncIterator[PartitionMapCache]:
    cache = PartitionMapCache(metadata)
    yield cache
    await cache.stop()


async def test_a_table_is_asked_for_once(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """What is known is answered from memory; those who ask at the same time share one question."""
    assert cache.get(TABLE) is None
    one, two = await asyncio.gather(cache.fetch(TABLE, 5), cache.fetch(TABLE, 5))
    assert one is not None and one is two is cache.get(TABLE)
    assert len(metadata.look_ups) == 1


async def test_an_unknown_table_is_confirmed_by_a_leader(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """A process that lags behind may not have heard of it yet."""
    assert await cache.fetch("nothing", 5) is None
    assert [each.linearizable for each in metadata.look_ups] == [False, True]


async def test_a_table_that_only_the_leader_knows_is_found(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """Just created: the process that was asked has not heard of it."""
    metadata.newest_routes = {"fresh": route("fresh", number=2)}
    table = await cache.fetch("fresh", 5)
    assert table is not None and table.number == 2


async def test_a_table_that_is_not_active_is_not_served(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """`get` sends whoever asks to `fetch`, which says what the state is."""
    metadata.routes[TABLE].status = tables_pb2.DELETING
    table = await cache.fetch(TABLE, 5)
    assert table is not None and not table.is_active
    assert cache.get(TABLE) is None


async def test_a_table_has_its_indexes_and_the_attribute_of_expiry(
    metadata: FakeMetadata, cache: PartitionMapCache
) -> None:
    """What an operation on an index, or on an item that expires, has to know."""
    index = LocalIndex(2, "by-year", KeyAttribute("year", "N"), "INCLUDE", ("label", "title"))
    metadata.routes[TABLE] = route(has_sort_key=True)
    metadata.routes[TABLE].time_to_live_attribute = "until"
    encoded = metadata.routes[TABLE].local_indexes.add(number=2, name="by-year")
    encoded.sort_key.name, encoded.sort_key.type = "year", "N"
    encoded.projection.type = tables_pb2.Projection.INCLUDE
    encoded.projection.non_key_attributes.extend(["label", "title"])
    table = await table_of(cache)
    assert table.indexes == {"by-year": index}
    assert index.key_schema(table.schema) == KeySchema(KeyAttribute("pk", "S"), KeyAttribute("year", "N"))
    assert table.time_to_live_attribute == "until"
    assert not table.is_provisioned


async def test_a_table_and_its_indexes_know_how_they_are_billed(
    metadata: FakeMetadata, cache: PartitionMapCache
) -> None:
    metadata.routes[TABLE] = route()
    metadata.routes[TABLE].is_provisioned = True
    index = metadata.routes[TABLE].global_indexes.add(status=tables_pb2.INDEX_ACTIVE)
    index.index.name = "by-x"
    index.partitions.add(partition_id=7)
    table = await table_of(cache)
    assert (table.is_provisioned, table.global_indexes["by-x"].is_provisioned) == (True, True)


async def test_metadata_that_lags_changes_nothing(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """A process whose catalog is older than what is known has no news."""
    metadata.slot = 10
    cache.start()
    table = await table_of(cache)
    metadata.slot = 9
    metadata.routes[TABLE] = route(leader=3, leader_round=9, number=7)
    cache.refresh_soon(table)
    await metadata.wait_look_ups(2)
    assert await cache.fetch("other", 5) is None  # a later answer has been taken: the one before it has, too
    assert cache.get(TABLE) is table


@pytest.mark.parametrize(
    ("known_round", "told_round", "expected"),
    [(5, 4, 2), (5, 5, 2), (5, 6, 3)],
)
async def test_newer_knowledge_of_a_leader_wins(
    metadata: FakeMetadata, cache: PartitionMapCache, known_round: int, told_round: int, expected: int
) -> None:
    """What a storage node has shown stays until the metadata service knows of a later leadership."""
    metadata.routes[TABLE] = route(leader=1, leader_round=known_round, nodes=("a:1", "b:1", "c:1"))
    table = await table_of(cache)
    table.partitions[0].leader_node_id = 2
    metadata.routes[TABLE] = route(leader=3, leader_round=told_round, nodes=("a:1", "b:1", "c:1"))
    cache.start()
    cache.refresh_soon(table)
    await until(lambda: cache.get(TABLE) is not table)
    renewed = cache.get(TABLE)
    assert renewed is not None and renewed.partitions[0].leader_node_id == expected


async def test_a_leader_that_was_lost_is_learnt_again(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """Not knowing is not knowledge: what the metadata service says is better."""
    table = await table_of(cache)
    table.partitions[0].leader_node_id = 0
    cache.start()
    cache.refresh_soon(table)
    await until(lambda: cache.get(TABLE) is not table)
    renewed = cache.get(TABLE)
    assert renewed is not None and renewed.partitions[0].leader_node_id == 1


async def test_a_table_of_the_same_name_is_another_one(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """Deleted and created again: nothing of the former one's leaders is kept."""
    table = await table_of(cache)
    table.partitions[0].leader_node_id = 2
    metadata.routes[TABLE] = route(number=2, leader=0)
    metadata.routes[TABLE].partitions[0].partition_id = table.partitions[0].partition_id
    cache.start()
    cache.refresh_soon(table)
    await until(lambda: cache.get(TABLE) is not table)
    renewed = cache.get(TABLE)
    assert renewed is not None and renewed.number == 2 and renewed.partitions[0].leader_node_id == 0


async def test_a_deleted_table_is_forgotten_once_a_leader_confirms(
    metadata: FakeMetadata, cache: PartitionMapCache
) -> None:
    """One process that does not know a table is not enough."""
    table = await table_of(cache)
    metadata.newest_routes = dict(metadata.routes)
    metadata.routes = {}
    cache.start()
    cache.refresh_soon(table)
    await until(lambda: metadata.look_ups[-1].linearizable)
    await until(lambda: cache.get(TABLE) not in (None, table))  # the leader knows it
    metadata.newest_routes = {}
    cache.refresh_soon(table)
    await until(lambda: cache.get(TABLE) is None)


async def test_only_tables_in_use_are_asked_for_again(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """The work of a refresh depends on what is used, not on what has ever been."""
    metadata.routes["idle"] = route("idle", number=2)
    table, idle = await table_of(cache), await table_of(cache, "idle")
    table.is_used = idle.is_used = False
    cache.start()
    cache.refresh_soon(table)
    await metadata.wait_look_ups(3)
    assert list(metadata.look_ups[-1].table_names) == [TABLE]


async def test_what_is_known_stays_when_nobody_answers(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """Static stability: a refresh that fails takes nothing away, and a table that is not known is an error in time."""
    table = await table_of(cache)
    metadata.is_up.clear()
    with pytest.raises(ServiceUnavailableError):
        await cache.fetch("other", 0.1)
    assert cache.get(TABLE) is table


async def test_whoever_asks_waits_no_longer_than_its_own_time(metadata: FakeMetadata, cache: PartitionMapCache) -> None:
    """A question is shared, the time for it is not: one who is in a hurry is told early, the other gets the answer."""
    loop = asyncio.get_running_loop()
    metadata.is_up.clear()
    patient = asyncio.create_task(cache.fetch(TABLE, 60))
    begun = loop.time()
    with pytest.raises(ServiceUnavailableError):
        await cache.fetch(TABLE, 0.05)
    assert loop.time() - begun < 2
    metadata.is_up.set()
    assert await patient is cache.get(TABLE) is not None


async def test_one_who_is_in_a_hurry_ends_nobody_elses_question(
    metadata: FakeMetadata, cache: PartitionMapCache
) -> None:
    """The first to ask runs out of time; who joined it goes on waiting."""
    metadata.is_up.clear()
    hurried = asyncio.create_task(cache.fetch(TABLE, 0.05))
    patient = asyncio.create_task(cache.fetch(TABLE, 60))
    with pytest.raises(ServiceUnavailableError):
        await hurried
    assert not patient.done()
    metadata.is_up.set()
    assert await patient is cache.get(TABLE) is not None


async def test_the_cache_is_bounded(metadata: FakeMetadata) -> None:
    """A table that is not in use makes room."""
    cache = PartitionMapCache(metadata, tables_max=2)
    metadata.routes.update({name: route(name) for name in ("two", "three")})
    first, second = await table_of(cache), await table_of(cache, "two")
    second.is_used = False
    await table_of(cache, "three")
    assert cache.get("two") is None
    assert cache.get(TABLE) is first and cache.get("three") is not None


# The client


class Process:
    """A metadata process that answers what `answer` returns, or ends the call with the status or
    the error that it returns."""

    def __init__(self, answer: Callable[[], grpc.StatusCode | StatorError | cluster_pb2.LookUpTablesResponse]) -> None:
        self.asked = 0
        self._answer = answer
        self._server = grpc.aio.server()

    async def start(self) -> str:
        handler = grpc.unary_unary_rpc_method_handler(
            self._look_up,
            request_deserializer=cluster_pb2.LookUpTablesRequest.FromString,
            response_serializer=cluster_pb2.LookUpTablesResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("stator.internal.v1.Metadata", {"LookUpTables": handler}),)
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        await self._server.stop(0)

    async def _look_up(self, request: cluster_pb2.LookUpTablesRequest, context: Any) -> Any:
        self.asked += 1
        answer = self._answer()
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "said by a test")
        if isinstance(answer, StatorError):
            await abort(context, answer)
        return answer


def look_up(stub: Any) -> Any:
    return stub.LookUpTables(cluster_pb2.LookUpTablesRequest(), timeout=1.0)


async def test_the_next_process_is_asked_when_one_cannot_answer() -> None:
    """And stays the one that is asked."""
    no_leader = Process(lambda: grpc.StatusCode.UNAVAILABLE)
    good = Process(lambda: cluster_pb2.LookUpTablesResponse(catalog_slot=7))
    client = MetadataClient((await no_leader.start(), await good.start()), 0)
    try:
        for _ in range(2):
            answer = await client.call(look_up, 5.0)
            assert isinstance(answer, cluster_pb2.LookUpTablesResponse) and answer.catalog_slot == 7
        assert (no_leader.asked, good.asked) == (1, 2)
    finally:
        await client.close()
        await no_leader.stop()
        await good.stop()


async def test_an_answer_that_is_an_error_is_an_answer() -> None:
    """Another process would say the same."""
    refusing = Process(lambda: grpc.StatusCode.NOT_FOUND)
    other = Process(cluster_pb2.LookUpTablesResponse)
    client = MetadataClient((await refusing.start(), await other.start()), 0)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await client.call(look_up, 5.0)
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND
        assert other.asked == 0
    finally:
        await client.close()
        await refusing.stop()
        await other.stop()


@pytest.mark.parametrize("others", [cluster_pb2.LookUpTablesResponse(), grpc.StatusCode.UNAVAILABLE])
async def test_a_process_of_an_older_version_does_not_speak_for_all(others: Any) -> None:
    """Another one is asked; where that one does not answer, it is told that this one does not know the question."""
    older, other = Process(lambda: grpc.StatusCode.UNIMPLEMENTED), Process(lambda: others)
    client = MetadataClient((await older.start(), await other.start()), 0)
    try:
        if isinstance(others, grpc.StatusCode):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await client.call(look_up, 5.0)
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
        else:
            assert await client.call(look_up, 5.0) == others
        assert (older.asked, other.asked) == (1, 1)
    finally:
        await client.close()
        await older.stop()
        await other.stop()


async def test_a_reason_is_an_answer() -> None:
    """A leader that cannot do it now says why, and whoever asked is told; a process without a leader knows nothing."""
    no_leader = Process(lambda: ServiceUnavailableError(NO_METADATA_LEADER))
    refusing = Process(lambda: ServiceUnavailableError("a table needs live storage nodes in 3 zones"))
    client = MetadataClient((await no_leader.start(), await refusing.start()), 0)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await client.call(look_up, 5.0)
        told = error_of(raised.value)
        assert told is not None and "3 zones" in told[1]
        assert (no_leader.asked, refusing.asked) == (1, 1)
    finally:
        await client.close()
        await no_leader.stop()
        await refusing.stop()


async def test_nobody_answers_in_time() -> None:
    """The time is kept, whatever the processes do."""
    loop = asyncio.get_running_loop()
    process = Process(lambda: grpc.StatusCode.UNAVAILABLE)
    client = MetadataClient((await process.start(),), 0)
    begun = loop.time()
    try:
        with pytest.raises(ServiceUnavailableError):
            await client.call(look_up, 0.2)
        assert loop.time() - begun < 2
    finally:
        await client.close()
        await process.stop()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, UnknownOperationError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceededError),
        (grpc.StatusCode.INTERNAL, InternalServerError),
    ],
)
def test_errors_that_nobody_has_put_into_words(code: grpc.StatusCode, expected: type[StatorError]) -> None:
    """A process of an older version does not know every operation: that is no fault of its own."""
    assert type(model_error(grpc.aio.AioRpcError(code, Metadata(), Metadata(), "Method not found!"))) is expected
