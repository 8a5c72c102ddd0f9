"""router/ledger.py: a table like others, which may have to be made, or waited for, before it can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc.aio import Metadata
from statorpb import partition_pb2, tables_pb2

from router import ledger as ledger_module
from router.ledger import Answer, Ledger
from router.partition_map_cache import PartitionMapCache
from router.storage_client import SCAN
from router.transactions import ledger_requests
from router.transactions.ledger_row import TABLE_NAME, LedgerRow
from server.model.errors import InternalServerError, ServiceUnavailableError, StatorError, ValidationError
from tests.router.fake_partitions import FakePartitions, LedgerMetadata, ledger_route
from tests.router.fakes import FakeStorage

ID, ATTEMPT = b"i" * 16, b"1" * 16
BEGIN = ledger_requests.begin(ID, ATTEMPT, 1, b"hash", {"t": (b"k",)}, 1_000)


class Rig:
    """A ledger, made or not, on partitions in memory."""

    def __init__(self, metadata: LedgerMetadata) -> None:
        self.metadata = metadata
        self.partitions = FakePartitions()
        self.storage = FakeStorage(self.partitions.answer)
        self.ledger = Ledger(PartitionMapCache(metadata), self.storage, metadata)

    async def update(self, request: Any) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.ledger.update(request, 0.0, future.set_result)
        return await future


@pytest_asyncio.fixture
async def made() -> AsyncIterator[Rig]:
    rig = Rig(LedgerMetadata(ledger_route()))
    assert await rig.ledger.look_up(5.0)
    yield rig
    await rig.ledger.close()


@pytest_asyncio.fixture
async def missing() -> AsyncIterator[Rig]:
    rig = Rig(LedgerMetadata())
    yield rig
    await rig.ledger.close()


def in_s(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_who_loses_learns_what_the_row_says(made: Rig) -> None:
    assert await made.update(BEGIN) == Answer(True)
    row = LedgerRow(ID, ATTEMPT, begun_ms=1_000, request_hash=b"hash", participants={"t": (b"k",)})
    assert await made.update(BEGIN) == Answer(False, row)
    nothing = ledger_requests.decide(b"x" * 16, ATTEMPT, is_committed=True)
    assert await made.update(nothing) == Answer(False, None)


async def test_what_fails_says_so(made: Rig) -> None:
    error = InternalServerError("nobody knows")
    made.partitions.special = lambda _: error
    assert await made.update(BEGIN) == Answer(False, None, error)


async def test_every_update_is_named_anew(made: Rig) -> None:
    for _ in range(2):
        await made.update(BEGIN)
    first, second = made.storage.calls
    assert len(first.token) == 16 and first.token != second.token


async def test_a_row_is_read(made: Rig) -> None:
    read: list[tuple[LedgerRow | None, StatorError | None]] = []
    made.ledger.read(ID, 0.0, lambda row, error: read.append((row, error)))
    await made.update(BEGIN)
    made.ledger.read(ID, 0.0, lambda row, error: read.append((row, error)))
    error = InternalServerError("nobody knows")
    made.partitions.special = lambda _: error
    made.ledger.read(ID, 0.0, lambda row, error: read.append((row, error)))
    assert [None if row is None else row.attempt for row, _ in read] == [None, ATTEMPT, None]
    assert [error for _, error in read] == [None, None, error]


@pytest.mark.parametrize("start", [b"", b"anywhere"])
async def test_a_slice_that_cannot_be_read(made: Rig, start: bytes) -> None:
    error = InternalServerError("nobody knows")
    made.partitions.special = lambda call: error if call.operation == SCAN else None
    with pytest.raises(InternalServerError):
        await made.ledger.unfinished(start, 10, 1, 0.0)


async def test_what_is_known_is_used_though_the_cache_has_forgotten_it(made: Rig) -> None:
    """It keeps so many tables, and drops one that has not been used for a moment."""
    assert made.ledger.is_known
    made.ledger._cache = PartitionMapCache(made.metadata)
    assert made.ledger.is_known


async def test_without_one_it_is_looked_for_each_time(missing: Rig) -> None:
    assert not await missing.ledger.look_up(5.0)
    missing.metadata.routes[TABLE_NAME] = ledger_route()
    assert await missing.ledger.look_up(5.0)


async def test_one_that_is_in_the_making_is_not_there_yet(missing: Rig) -> None:
    missing.metadata.routes[TABLE_NAME] = ledger_route(status=tables_pb2.CREATING)
    assert not await missing.ledger.look_up(5.0)


async def test_where_nobody_can_say_that_is_told(missing: Rig) -> None:
    def fail(_: Any) -> None:
        raise grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, Metadata(), Metadata(), "broken")

    missing.metadata.on_look_up = fail
    with pytest.raises(InternalServerError):
        await missing.ledger.look_up(5.0)


async def test_one_that_does_not_become_active_is_given_up(missing: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAKE_TIMEOUT_S", 0.1)
    missing.metadata.routes[TABLE_NAME] = ledger_route(status=tables_pb2.CREATING)
    missing.metadata.is_made_by_another = True
    missing.metadata.activates = False
    with pytest.raises(ServiceUnavailableError):
        await missing.ledger.make(in_s(5))


async def test_whoever_waits_for_it_goes_when_their_time_is_over(missing: Rig) -> None:
    """Others go on waiting."""
    missing.metadata.is_up.clear()
    patient = asyncio.create_task(missing.ledger.make(in_s(5)))
    with pytest.raises(ServiceUnavailableError):
        await missing.ledger.make(in_s(0.02))
    missing.metadata.is_up.set()
    await patient
    assert missing.ledger.is_known
    assert missing.metadata.made == 1
    await missing.ledger.make(in_s(0))


async def test_a_request_that_is_taken_back_takes_nothing_with_it(missing: Rig) -> None:
    missing.metadata.is_up.clear()
    gone, patient = (asyncio.create_task(missing.ledger.make(in_s(5))) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    missing.metadata.is_up.set()
    await patient


async def test_rows_are_made_to_expire_by_whoever_finds_that_they_do_not(made: Rig) -> None:
    """Who made the ledger may have died before. Somebody else may be quicker."""
    await made.ledger.let_expire(in_s(5))
    assert not made.metadata.expires.is_set()
    without = ledger_route()
    without.time_to_live_attribute = ""
    rig = Rig(LedgerMetadata(without))
    await rig.ledger.look_up(5.0)
    await rig.ledger.let_expire(in_s(5))
    assert rig.metadata.expires.is_set()
    rig.metadata.refusal = ValidationError("TimeToLive is already enabled")
    await rig.ledger.let_expire(in_s(5))


async def test_the_partitions_of_the_ledger_are_asked(made: Rig) -> None:
    """By the id's place among them."""
    await made.update(BEGIN)
    (call,) = made.storage.calls
    assert call.operation == partition_pb2.UPDATE
    assert call.table.name == TABLE_NAME
