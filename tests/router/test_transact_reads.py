"""router/transact_reads.py: what is read was so at one moment, or is not told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from statorpb import partition_pb2

from router import transact_reads
from router.requests import transact_get_items, transact_write_items
from router.requests.transact_get_items import TransactGetItemsRequest
from router.results import Capacity, TransactRead
from router.storage_client import READ_ITEMS, PartitionCall
from server.model.errors import (
    CONFLICT_REASON,
    NO_REASON,
    InternalServerError,
    ServiceUnavailableError,
    TransactionCanceledError,
    ValidationError,
)
from server.model.limits import TRANSACTION_BYTES_MAX
from server.wire import item_to_bytes
from tests.router.fake_partitions import HOLD, LedgerMetadata, Reply, Rig, ledger_route
from tests.router.fakes import TABLE, route

NAMES = ("a", "b", "c")
_Found = partition_pb2.ItemFound


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    """With an item for each of the names."""
    rig = Rig(LedgerMetadata(route(partitions=64), ledger_route()))
    for name in NAMES:
        put = {"Put": {"TableName": TABLE, "Item": {"pk": {"S": name}}}}
        await rig.run(transact_write_items.from_body({"TransactItems": [put]}, is_json=True))
    rig.storage.calls.clear()
    yield rig


def reads(*names: str, **others: Any) -> TransactGetItemsRequest:
    members = [{"Get": {"TableName": TABLE, "Key": {"pk": {"S": name}}}} for name in names]
    return transact_get_items.from_body({"TransactItems": members, **others}, is_json=True)


def item(name: str) -> bytes:
    return item_to_bytes({"pk": {"S": name}})


def looks(call: PartitionCall) -> bool:
    """Whether it is only asked whether items have changed."""
    return isinstance(call.details, partition_pb2.ItemsRead) and call.details.unchanged_since > 0


def saying(code: _Found.Code.ValueType, times: int, *, when: Callable[[PartitionCall], bool]) -> Any:
    """So often, when such a question comes, that of its first item."""
    left = [times]

    def special(call: PartitionCall) -> Any:
        if not left[0] or not when(call):
            return None
        left[0] -= 1
        assert isinstance(call.details, partition_pb2.ItemsRead)
        found = [_Found(code=code), *[_Found()] * (len(call.details.items) - 1)]
        return Reply(items=partition_pb2.ItemsResult(slot=1, items=found))

    return special


@pytest.mark.parametrize(("briefest_ms", "kinds"), [(5_000, 3), (30, 6), (0, 6)])
async def test_what_was_so_when_it_was_asked_for_takes_one_look(rig: Rig, briefest_ms: int, kinds: int) -> None:
    """All items, by the longest that an answer may have been on its way."""
    for key in rig.partitions.items:
        rig.partitions.unchanged_ms[key] = 5_000
    key = next(iter(rig.partitions.items))
    rig.partitions.unchanged_ms[key] = briefest_ms
    rig.partitions.special = lambda call: HOLD
    outcome = await rig.start(reads(*NAMES))
    await asyncio.sleep(0.04)
    held, rig.partitions.held = rig.partitions.held, []
    rig.partitions.special = lambda call: None
    for call in held:
        rig.partitions.let_go(call)
    assert await outcome.wait() == TransactRead([item(name) for name in NAMES])
    assert rig.kinds() == ["READ_ITEMS"] * kinds


async def test_items_of_one_partition_take_one_look(rig: Rig) -> None:
    assert await rig.run(reads("a")) == TransactRead([item("a")])
    assert rig.kinds() == ["READ_ITEMS"]


async def test_items_of_several_are_looked_at_again(rig: Rig) -> None:
    """In the order of the request; nothing is written."""
    assert await rig.run(reads("c", "x", "a")) == TransactRead([item("c"), None, item("a")])
    assert [looks(call) for call in rig.asked(READ_ITEMS)] == [False] * 3 + [True] * 3
    assert len(rig.storage.calls) == 6


@pytest.mark.parametrize(
    ("code", "when"),
    [
        (_Found.MARKED, lambda call: not looks(call)),
        (_Found.MARKED, looks),
        (_Found.CHANGED, looks),
    ],
)
async def test_what_others_are_at_is_read_again(
    rig: Rig, code: _Found.Code.ValueType, when: Callable[[PartitionCall], bool]
) -> None:
    rig.partitions.special = saying(code, 2, when=when)
    assert await rig.run(reads("a", "b")) == TransactRead([item("a"), item("b")])


@pytest.mark.parametrize("names", [("a",), ("b", "a")])
async def test_what_others_are_at_for_long_is_not_told(
    rig: Rig, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even that of one item: who has read another one of that transaction may have seen it carried out."""
    monkeypatch.setattr(transact_reads, "PATIENCE_S", 0.02)
    rig.partitions.marks[next(key for key, data in rig.partitions.items.items() if data == item("a"))] = (
        b"another",
        partition_pb2.TransactionItem(),
    )
    with pytest.raises(TransactionCanceledError) as raised:
        await rig.run(reads(*names))
    assert raised.value.reasons == tuple(CONFLICT_REASON if name == "a" else NO_REASON for name in names)


@pytest.mark.parametrize("when", [lambda call: not looks(call), looks])
async def test_a_leader_that_cannot_be_asked(rig: Rig, when: Callable[[PartitionCall], bool]) -> None:
    error = ServiceUnavailableError("nobody")
    rig.partitions.special = lambda call: error if when(call) else None
    with pytest.raises(ServiceUnavailableError):
        await rig.run(reads("a", "b"))


async def test_what_is_consumed_counts_twice(rig: Rig) -> None:
    request = reads("a", "b", "x", ReturnConsumedCapacity="TOTAL")
    assert (await rig.run(request)).capacity == [Capacity(TABLE, 6.0, kind="READ")]


async def test_more_than_a_transaction_may_have_is_refused(rig: Rig) -> None:
    found = _Found(item_bytes=TRANSACTION_BYTES_MAX + 1)
    rig.partitions.special = lambda call: Reply(items=partition_pb2.ItemsResult(slot=1, items=[found]))
    with pytest.raises(ValidationError, match="4 MB"):
        await rig.run(reads("a"))


@pytest.mark.parametrize(("names", "answers"), [(("a",), 1), (("a", "b"), 1), (("a", "b"), 2), (("a", "b"), 3)])
async def test_an_answer_that_cannot_be_used_is_an_error(rig: Rig, names: tuple[str, ...], answers: int) -> None:
    """Whichever it is; the others are not waited for, and what they say then changes nothing."""
    left = [answers]

    def special(call: PartitionCall) -> Any:
        left[0] -= 1
        return None if left[0] else Reply(items=partition_pb2.ItemsResult(slot=1, items=[_Found()] * 5))

    rig.partitions.special = special
    with pytest.raises(InternalServerError):
        await rig.run(reads(*names))


async def test_a_bug_when_it_is_read_again_is_an_error(rig: Rig) -> None:
    """And not a client that waits for ever."""

    def special(call: PartitionCall) -> Any:
        if len(rig.storage.calls) > 1:
            raise RuntimeError("a bug")
        return Reply(items=partition_pb2.ItemsResult(slot=1, items=[_Found(code=_Found.MARKED)]))

    rig.partitions.special = special
    with pytest.raises(InternalServerError):
        await rig.run(reads("a"))
