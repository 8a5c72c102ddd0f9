"""router/storage_client.py: what transactions ask of storage nodes, and marks that storage nodes tell of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from statorpb import partition_pb2

from router import storage_client
from router.storage_client import FINISH, PREPARE, PUT, READ_ITEMS, TRANSACT
from server.model.errors import (
    DeadlineExceededError,
    ResourceNotFoundError,
    TransactionConflictError,
)
from tests.router.fakes import TABLE, FakeStorageNode, route
from tests.router.test_storage_client import KEY, Answer, Router, StartNode, first, ok, says

DETAILS = partition_pb2.TransactionDetails(
    ledger_id=b"i" * 16, attempt=b"a" * 16, items=[partition_pb2.TransactionItem(key=KEY)]
)
READ = partition_pb2.ItemsRead(items=[partition_pb2.ItemRead(key=KEY)], unchanged_since=3)
UNKNOWN = says(partition_pb2.UNKNOWN_OUTCOME)


@pytest_asyncio.fixture
async def start_node() -> AsyncIterator[StartNode]:
    nodes: list[FakeStorageNode] = []

    async def start(answer: Answer) -> FakeStorageNode:
        nodes.append(await FakeStorageNode(answer).start())
        return nodes[-1]

    yield start
    for node in nodes:
        await node.stop()


@pytest.mark.parametrize("operation", [PREPARE, TRANSACT])
async def test_what_writes_is_known_again_by_its_token_and_has_an_age(start_node: StartNode, operation: int) -> None:
    """The second time it is older: it may have been carried out."""
    node = await start_node(first(UNKNOWN, ok))
    async with Router(node.address) as router:
        begun = asyncio.get_running_loop().time() - 1.5
        await router.call(operation, token=b"t" * 16, details=DETAILS, begun=begun)
    assert [request.token for request in node.requests] == [b"t" * 16] * 2
    assert all(request.transaction == DETAILS for request in node.requests)
    assert all(1.4 < age_s < 4 for age_s in node.ages_s)


@pytest.mark.parametrize(("operation", "details"), [(FINISH, DETAILS), (READ_ITEMS, READ)])
async def test_what_may_be_asked_any_number_of_times_has_neither(
    start_node: StartNode, operation: int, details: partition_pb2.TransactionDetails | partition_pb2.ItemsRead
) -> None:
    """Though the first time it may have been carried out."""
    node = await start_node(first(UNKNOWN, ok))
    async with Router(node.address) as router:
        await router.call(operation, details=details)
    for request in node.requests:
        assert (request.token, request.age_ms) == (b"", 0)
        assert (request.transaction if operation == FINISH else request.items) == details
    assert len(node.requests) == 2


@pytest.mark.parametrize(
    ("operation", "is_certain"), [(PREPARE, False), (TRANSACT, False), (FINISH, True), (READ_ITEMS, True)]
)
async def test_only_what_writes_may_have_been_carried_out(
    start_node: StartNode, operation: int, is_certain: bool
) -> None:
    """FINISH is asked again by whoever wants to know."""
    node = await start_node(UNKNOWN)
    details = READ if operation == READ_ITEMS else DETAILS
    async with Router(node.address) as router:
        with pytest.raises(DeadlineExceededError) as raised:
            await router.call(operation, timeout_s=0.1, details=details)
    assert raised.value.is_not_carried_out is is_certain


@pytest.mark.parametrize(
    "status", [partition_pb2.CANCELLED, partition_pb2.TOKEN_MISMATCH, partition_pb2.TOO_LARGE, partition_pb2.OK]
)
async def test_what_a_transaction_comes_to_is_for_whoever_asked(
    start_node: StartNode, status: partition_pb2.PartitionStatusCode.ValueType
) -> None:
    result = partition_pb2.TransactionResult(stamp_us=7)
    node = await start_node(lambda _: partition_pb2.PartitionReply(status=status, transaction=result))
    async with Router(node.address) as router:
        reply = await router.call(TRANSACT, details=DETAILS)
    assert (reply.status, reply.transaction) == (status, result)


async def test_a_single_write_that_meets_a_mark_is_not_carried_out(start_node: StartNode) -> None:
    node = await start_node(says(partition_pb2.TRANSACTION_CONFLICT))
    async with Router(node.address) as router:
        with pytest.raises(TransactionConflictError) as raised:
            await router.call(PUT)
    assert raised.value.is_not_carried_out
    assert len(node.requests) == 1


@pytest.mark.parametrize(
    ("operation", "is_followed"), [(PUT, True), (PREPARE, False), (TRANSACT, False), (FINISH, False)]
)
async def test_a_transaction_means_the_table_that_it_began_with(
    start_node: StartNode, operation: int, is_followed: bool
) -> None:
    """Another one that has taken its name has none of its marks, and may have its items elsewhere."""
    former, latter = 10, 20  # their partitions
    gone = says(partition_pb2.NOT_MINE)
    node = await start_node(lambda request: (gone if request.partition_id == former else ok)(request))
    async with Router(node.address) as router:
        outcome = await router.start(operation, details=DETAILS if operation != PUT else None)
        router.metadata.slot += 1
        router.metadata.routes[TABLE] = route(nodes=[node.address], number=2)
        if is_followed:
            await outcome.wait()
        else:
            with pytest.raises(ResourceNotFoundError):
                await outcome.wait()
    assert {request.partition_id for request in node.requests} == ({former, latter} if is_followed else {former})


async def test_marks_that_are_told_of_are_handed_on(start_node: StartNode) -> None:
    """With whatever frame they come."""
    marks = [partition_pb2.StaleMark(ledger_id=b"i", attempt=b"a", table_name=TABLE, key=bytes([n])) for n in range(2)]
    node = await start_node(ok)
    node.stale_marks = marks
    told: list[partition_pb2.StaleMark] = []
    async with Router(node.address) as router:
        await router.call()  # nobody sees to them: they are told of again
        router.storage.on_stale_mark = told.append
        await router.call()
    assert told == marks


async def test_what_is_large_does_not_share_a_frame(start_node: StartNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that are each within the limit might be beyond it together, and no node would take the frame."""
    monkeypatch.setattr(storage_client, "FRAME_BYTES_MAX", 1_000)
    node = await start_node(ok)
    async with Router(node.address) as router:
        await router.call()  # the stream is open from here on
        node.frame_sizes.clear()
        calls = [await router.start(PUT, item=bytes(length)) for length in (10, 10, 700, 700, 2_000, 10)]
        for each in calls:
            await each.wait()
    assert len(node.frame_sizes) == 4
    assert sorted(node.frame_sizes)[-2] < 1_000
