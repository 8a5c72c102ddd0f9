"""router/recovery.py: what coordinators have left is ended, a few at a time, and not for ever at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
from statorpb import cluster_pb2, partition_pb2

from router.ledger import Ledger
from router.partition_map_cache import PartitionMapCache
from router.recovery import RUNNING_MAX, WAITING_MAX, Recoveries
from router.storage_client import FINISH, GET, SCAN, UPDATE, PartitionCall
from router.transactions import ledger_requests
from router.transactions.ledger_row import TABLE_NAME, State
from server.model.errors import ResourceNotFoundError, ServiceUnavailableError
from server.model.key_encoding import PREFIX_BYTES, prefix
from server.wire import item_from_bytes, item_to_bytes
from tests.router.fake_partitions import HOLD, FakePartitions, LedgerMetadata, Reply, ledger_route
from tests.router.fakes import TABLE, FakeStorage, route
from tests.router.transactions.rows import Rows

ID, ATTEMPT = b"i" * 16, b"1" * 16


def key(number: int, table_number: int = 1) -> bytes:
    return prefix(table_number) + bytes([number]) * 16


class Router:
    """One that recovers, on storage nodes where a transaction was left: marks of three items."""

    def __init__(self, *routes: cluster_pb2.TableRoute) -> None:
        self.metadata = LedgerMetadata(*(routes or (route(partitions=4), ledger_route())))
        self.partitions = FakePartitions()
        self.storage = FakeStorage(self.partitions.answer)
        self.cache = PartitionMapCache(self.metadata)
        self.ledger = Ledger(self.cache, self.storage, self.metadata)
        self.recoveries = Recoveries(self.cache, self.storage, self.ledger)
        self.keys = [key(1), key(90), key(200)]
        for each in self.keys:
            marked = partition_pb2.TransactionItem(key=each, operation=partition_pb2.PUT, item=b"\x0a\x00")
            self.partitions.marks[each] = (ATTEMPT, marked)

    def nudge(self, *keys: bytes, ledger_id: bytes = ID) -> None:
        for each in keys:
            mark = partition_pb2.StaleMark(ledger_id=ledger_id, attempt=ATTEMPT, table_name=TABLE, key=each)
            self.storage.on_stale_mark(mark)

    async def begin(self, *, is_committed: bool | None) -> None:
        """As the coordinator had; None: and decided nothing."""
        rows = Rows()
        rows.update(ledger_requests.begin(ID, ATTEMPT, 1, b"", {TABLE: tuple(self.keys)}, 1))
        if is_committed is not None:
            rows.update(ledger_requests.decide(ID, ATTEMPT, is_committed=is_committed))
        await self.cache.fetch(TABLE_NAME, 5.0)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.ledger.read(ID, 0.0, lambda row, error: future.set_result(row))
        await future
        call = self.storage.calls.pop()
        self.row_key = call.table.key_prefix + call.position
        self.partitions.items[self.row_key] = item_to_bytes(rows.items[ID])

    @property
    def row(self) -> Any:
        return item_from_bytes(self.partitions.items[self.row_key])

    async def recovered(self, ledger_id: bytes = ID) -> bool:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.recoveries.take(ledger_id, ATTEMPT, {}, future.set_result)
        return await asyncio.wait_for(future, 5)

    def asked(self, operation: int) -> list[PartitionCall]:
        return [call for call in self.storage.calls if call.operation == operation]


@pytest_asyncio.fixture
async def router() -> AsyncIterator[Router]:
    router = Router()
    router.recoveries.start()
    yield router
    await router.recoveries.stop()
    await router.ledger.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


async def test_one_mark_is_enough_to_find_the_others(router: Router) -> None:
    """The ledger says which there are, and what becomes of them."""
    await router.begin(is_committed=True)
    router.nudge(router.keys[0])
    await until(lambda: router.row.get("done"))
    assert not router.partitions.marks
    assert all(each in router.partitions.items for each in router.keys)


async def test_what_was_not_decided_is_cancelled(router: Router) -> None:
    await router.begin(is_committed=None)
    assert await router.recovered()
    assert router.row["state"] == {"S": State.CANCELLED}
    assert not router.partitions.marks
    assert router.keys[0] not in router.partitions.items


async def test_what_never_began_is_refused_and_only_what_is_known_of_it_is_finished(router: Router) -> None:
    """Marks that come in one frame are seen to at once."""
    router.nudge(*router.keys[:2])
    await until(lambda: len(router.partitions.marks) == 1)
    (row,) = router.partitions.rows()
    assert row.refused == {ATTEMPT}
    assert len(router.asked(GET)) == 1
    router.nudge(router.keys[2])
    await until(lambda: not router.partitions.marks)


async def test_a_mark_that_is_told_of_while_others_are_seen_to_is_not_forgotten(router: Router) -> None:
    router.partitions.special = lambda call: HOLD if call.operation == FINISH else None
    router.nudge(router.keys[0])
    await until(lambda: router.partitions.held)
    router.nudge(*router.keys)
    router.partitions.special = lambda _: None
    router.partitions.let_go(router.partitions.held.pop())
    await until(lambda: not router.partitions.marks)


async def test_items_of_a_table_that_is_gone_or_another_of_its_name_are_finished(router: Router) -> None:
    """Nothing is asked of the one that has taken the name."""
    router.keys = [key(1, 5), key(2, 1)]
    await router.begin(is_committed=True)
    router.partitions.special = lambda call: ResourceNotFoundError("gone") if call.operation == FINISH else None
    assert await router.recovered()
    assert router.row["done"] == {"BOOL": True}
    (finish,) = router.asked(FINISH)
    assert finish.position == router.keys[1][PREFIX_BYTES:]
    router.metadata.routes.pop(TABLE)
    await router.cache.renew(TABLE, 5.0)
    await router.begin(is_committed=True)
    assert await router.recovered()
    assert len(router.asked(FINISH)) == 1


async def test_a_partition_that_cannot_be_asked_does_not_hold_up_the_others(router: Router) -> None:
    """What it has marked is left alone for a while, and so is it."""
    await router.begin(is_committed=True)
    unreachable = ServiceUnavailableError("nobody there")
    router.partitions.special = lambda call: unreachable if call.operation == FINISH else None
    assert not await router.recovered()
    asked = len(router.asked(FINISH))
    assert asked == len(router.keys)
    assert not await router.recovered()
    assert len(router.asked(FINISH)) == asked
    questions = len(router.storage.calls)
    router.nudge(*router.keys)
    await asyncio.sleep(0)
    assert len(router.storage.calls) == questions
    assert len(router.partitions.marks) == len(router.keys)


async def test_a_few_at_a_time_and_no_more_than_can_wait(router: Router) -> None:
    await router.begin(is_committed=None)
    router.partitions.special = lambda call: HOLD if call.operation == GET else None
    for number in range(WAITING_MAX + 10):
        router.nudge(router.keys[0], ledger_id=number.to_bytes(16, "big"))
    assert not await router.recovered(ledger_id=b"!" * 16)
    await until(lambda: len(router.partitions.held) == RUNNING_MAX)
    router.partitions.special = lambda _: None
    for call in router.partitions.held:
        router.partitions.let_go(call)
    await until(lambda: len(router.asked(GET)) == WAITING_MAX)


async def test_the_ledger_is_looked_through(router: Router) -> None:
    """From anywhere on, and from the beginning where that is the end of it. What is done is not found."""
    await router.begin(is_committed=True)
    found = router.partitions.items[router.row_key]

    def scanned(call: PartitionCall) -> Any:
        if call.operation != SCAN:
            return None
        result = partition_pb2.ScanResult(is_complete=True)
        if len(router.asked(SCAN)) % 4 == 0:
            result.items.append(found)
        return Reply(scan=result)

    router.partitions.special = scanned
    await router.recoveries.look()
    await until(lambda: router.row.get("done"))
    assert not router.partitions.marks
    assert router.asked(SCAN)[0].position != b""
    assert any(call.position == b"" for call in router.asked(SCAN))


async def test_without_a_ledger_there_is_nothing_to_do() -> None:
    router = Router(route(partitions=4))
    router.recoveries.start()
    await router.recoveries.look()
    router.nudge(router.keys[0])
    assert not await router.recovered()
    assert not router.storage.calls
    await router.recoveries.stop()


async def test_whoever_stops_tells_those_who_wait(router: Router) -> None:
    await router.begin(is_committed=None)
    router.partitions.special = lambda call: HOLD if call.operation in (GET, UPDATE) else None
    running = asyncio.ensure_future(router.recovered())
    await until(lambda: router.partitions.held)
    waiting = asyncio.ensure_future(router.recovered())
    await asyncio.sleep(0)
    await router.recoveries.stop()
    assert [await running, await waiting, await router.recovered()] == [False, False, False]


async def test_who_has_only_just_begun_is_told_as_well(router: Router) -> None:
    """A task that is cancelled before its first step tells nobody by itself."""
    await router.begin(is_committed=None)
    told: list[bool] = []
    router.recoveries.take(ID, ATTEMPT, {}, told.append)
    # It runs behind what begins the recovery, and before that's first step.
    await asyncio.create_task(router.recoveries.stop())
    assert told == [False]
    assert not router.storage.calls
