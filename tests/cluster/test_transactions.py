"""Transactions whose coordinators die half-way, or are not alone, on real processes."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import pytest
import pytest_asyncio
import stator
from stator import attr, update
from statorpb import partition_pb2

from router.ledger import Answer, Ledger
from router.partition_map_cache import MetadataClient, PartitionMapCache
from router.recovery import Recoveries
from router.requests import transact_write_items
from router.requests.transact_write_items import request_hash
from router.requests.update_item import UpdateItemRequest
from router.storage_client import PREPARE, PUT, PartitionCall, StorageClient
from router.transact import digest
from router.transact_calls import Participant, finish_call, participants_of
from router.transactions import ledger_requests
from router.transactions.ledger_row import TABLE_NAME, LedgerRow, State
from server.model.errors import StatorError
from server.model.key_encoding import encode_position
from server.runtime.clock import wall_ms
from server.wire import item_to_bytes
from tests.cluster.harness import LocalCluster, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

TABLE = "accounts"
KEYS = ("a", "b", "c", "d", "e", "f")
USABLE_S = 5.0
"""No item is held longer than that by a coordinator that has died."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("transactions")) as running:
        yield running


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[stator.AsyncClient]:
    async with stator.AsyncClient(cluster.endpoints) as client:
        tables = [name async for name in client.list_tables()]
        if TABLE not in tables:
            await client.create_table(TABLE, partition_key=("pk", "S"), partitions=3)
            await wait_for_leaders(client, TABLE, 3)
        for key in KEYS:
            await client.put_item(TABLE, {"pk": key, "balance": 100})
        yield client


async def balances(client: stator.AsyncClient) -> list[int]:
    """As of one moment."""
    items = await client.transact_get_items([(TABLE, {"pk": key}) for key in KEYS], timeout_s=10)
    return [int(item["balance"]) for item in items]


class HalfWay:
    """A coordinator that goes as far as the test wants it to, with the router's own parts; one attempt."""

    def __init__(self, cluster: LocalCluster) -> None:
        addresses = tuple(f"127.0.0.1:{port}" for port in cluster.ports("grpc", "metadata"))
        self.metadata = MetadataClient(addresses, 0)
        self.cache = PartitionMapCache(self.metadata)
        self.storage = StorageClient(self.cache, "zone-1")
        self.ledger = Ledger(self.cache, self.storage, self.metadata)
        self.recoveries = Recoveries(self.cache, self.storage, self.ledger)
        self.ledger_id, self.attempt = os.urandom(16), os.urandom(16)
        self.participants: list[Participant] = []

    async def close(self) -> None:
        await self.recoveries.stop()
        await self.ledger.close()
        await self.storage.close()
        await self.metadata.close()

    @property
    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + 10

    async def prepare(self, wanted: Mapping[str, int]) -> None:
        """Marks items, each to become one with that balance."""
        table = await self.cache.fetch(TABLE, 5.0)
        assert table is not None
        items = [{"pk": {"S": key}, "balance": {"N": str(balance)}} for key, balance in wanted.items()]
        self.participants = participants_of((table, encode_position(table.schema, item)) for item in items)
        for each in self.participants:
            details = partition_pb2.TransactionDetails(
                ledger_id=self.ledger_id, attempt=self.attempt, stamp_us=wall_ms() * 1000, table_name=TABLE
            )
            for number, key in zip(each.numbers, each.keys, strict=True):
                details.items.add(key=key, operation=PUT, item=item_to_bytes(items[number]))
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            call = PartitionCall(
                each.table,
                PREPARE,
                each.positions[0],
                self._deadline,
                partial(_answered, future),
                token=os.urandom(16),
                details=details,
            )
            self.storage.submit(call)
            assert await future == partition_pb2.OK

    async def ask(self, request: UpdateItemRequest) -> Answer:
        """The ledger's answer."""
        await self.ledger.make(self._deadline)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.ledger.update(request, self._deadline, future.set_result)
        return await future

    async def begin(self, request_hash: bytes = b"") -> Answer:
        keys = {TABLE: tuple(key for each in self.participants for key in each.keys)}
        return await self.ask(
            ledger_requests.begin(self.ledger_id, self.attempt, wall_ms() * 1000, request_hash, keys, wall_ms())
        )

    async def commit(self) -> Answer:
        return await self.ask(ledger_requests.decide(self.ledger_id, self.attempt, is_committed=True))

    async def finish_one(self) -> None:
        """One of the participants."""
        future: asyncio.Future[StatorError | None] = asyncio.get_running_loop().create_future()
        self.storage.submit(
            finish_call(
                self.participants[0],
                self.ledger_id,
                self.attempt,
                self._deadline,
                future.set_result,
                is_committed=True,
            )
        )
        assert await future is None

    async def recover(self) -> bool:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.recoveries.take(self.ledger_id, self.attempt, {}, future.set_result)
        return await future

    async def row(self) -> LedgerRow | None:
        await self.ledger.make(self._deadline)
        future: asyncio.Future[LedgerRow | None] = asyncio.get_running_loop().create_future()
        self.ledger.read(self.ledger_id, self._deadline, lambda row, error: future.set_result(row))
        return await future


def _answered(
    future: asyncio.Future[int], reply: partition_pb2.PartitionReply | None, error: StatorError | None
) -> None:
    if reply is not None:
        future.set_result(reply.status)
    elif error is not None:
        future.set_exception(error)


@asynccontextmanager
async def half_way(cluster: LocalCluster) -> AsyncIterator[HalfWay]:
    """One that is gone afterwards, with all that it knew."""
    coordinator = HalfWay(cluster)
    try:
        yield coordinator
    finally:
        await coordinator.close()


async def wait_usable(client: stator.AsyncClient) -> float:
    """Until every item can be written, each with what it has; how long that took."""
    begun = time.monotonic()
    for key in KEYS:
        while True:
            try:
                await client.update_item(TABLE, {"pk": key}, update().set("touched", 1), timeout_s=1)
                break
            except (stator.TransactionConflictError, stator.DeadlineExceededError):
                assert time.monotonic() < begun + 2 * USABLE_S, f"{key} is still held"
    return time.monotonic() - begun


async def wait_done(coordinator: HalfWay) -> LedgerRow:
    """The row, once it is done."""
    deadline = time.monotonic() + 2 * USABLE_S
    while True:
        row = await coordinator.row()
        if row is not None and row.is_done:
            return row
        assert time.monotonic() < deadline, f"the ledger still has {row}"
        await asyncio.sleep(0.05)


async def test_two_routers_make_the_ledger_at_once(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """Both need it for their first transaction, and both carry it out. Its rows expire."""
    async with (
        stator.AsyncClient(cluster.endpoints[:1]) as one,
        stator.AsyncClient(cluster.endpoints[1:2]) as other,
        asyncio.TaskGroup() as group,
    ):
        for each, half in ((one, KEYS[:3]), (other, KEYS[3:])):
            writes = [stator.TransactPut(TABLE, {"pk": key, "balance": 7}) for key in half]
            group.create_task(each.transact_write_items(writes))
    assert await balances(client) == [7] * len(KEYS)
    metadata = MetadataClient(tuple(f"127.0.0.1:{port}" for port in cluster.ports("grpc", "metadata")), 0)
    table = await PartitionMapCache(metadata).renew(TABLE_NAME, 5.0)
    await metadata.close()
    assert table is not None and table.time_to_live_attribute == "expires"
    assert TABLE_NAME not in [name async for name in client.list_tables()]


@pytest.mark.parametrize("stop_after", ["prepare", "begin", "commit", "finish one"])
async def test_what_a_coordinator_leaves_is_ended_by_others(
    cluster: LocalCluster, client: stator.AsyncClient, stop_after: str
) -> None:
    """The items are usable again within five seconds, and have all become what was wanted, if that was decided."""
    wanted = dict.fromkeys(KEYS, 1000)
    async with half_way(cluster) as coordinator:
        await coordinator.prepare(wanted)
        with pytest.raises(stator.TransactionConflictError):
            await client.put_item(TABLE, {"pk": "a"}, timeout_s=1)
        if stop_after != "prepare":
            assert (await coordinator.begin()).is_taken
        if stop_after in ("commit", "finish one"):
            assert (await coordinator.commit()).is_taken
        if stop_after == "finish one":
            await coordinator.finish_one()
    took_s = await wait_usable(client)
    print(f"stopped after {stop_after}: usable after {took_s:.2f} s")
    assert took_s < USABLE_S
    is_committed = stop_after in ("commit", "finish one")
    assert await balances(client) == [1_000 if is_committed else 100] * len(KEYS)
    async with half_way(cluster) as observer:
        observer.ledger_id = coordinator.ledger_id
        if stop_after == "prepare":
            row = await observer.row()
            assert row is not None and row.refused == {coordinator.attempt} and not row.attempt
        else:
            assert (await wait_done(observer)).state is (State.COMMITTED if is_committed else State.CANCELLED)


async def test_an_attempt_that_was_refused_cannot_begin(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """Its marks were taken away: what it would commit is not there any more."""
    async with half_way(cluster) as coordinator:
        await coordinator.prepare({"a": 1, "b": 2})
        await wait_usable(client)
        answer = await coordinator.begin()
        assert not answer.is_taken and answer.row is not None and coordinator.attempt in answer.row.refused
        assert not (await coordinator.commit()).is_taken


async def test_two_coordinators_finish_the_same_transaction(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """And the cluster's routers may, too: each item has become what was wanted, once."""
    async with half_way(cluster) as one, half_way(cluster) as other:
        await one.prepare(dict.fromkeys(KEYS, 5))
        await one.begin()
        assert (await one.commit()).is_taken
        other.ledger_id, other.attempt = one.ledger_id, one.attempt
        assert all(await asyncio.gather(one.recover(), other.recover(), one.recover()))
        assert await balances(client) == [5] * len(KEYS)
        await client.put_item(TABLE, {"pk": "a", "balance": 6})
        assert await other.recover()
        assert (await balances(client))[0] == 6


async def test_a_router_that_is_halted_in_the_midst_of_transactions_and_killed(
    cluster: LocalCluster, client: stator.AsyncClient
) -> None:
    """What it was at is ended by the others within five seconds; no money is lost or made, and its clients' calls end
    with what became of them."""
    (name,) = [each["name"] for each in cluster.status() if each["name"] == "router-1"]
    async with (
        stator.AsyncClient([f"127.0.0.1:{port}" for port in cluster.grpc_ports_of(name)]) as through_it,
        stator.AsyncClient(cluster.endpoints[1:]) as others,
    ):
        transfers = [asyncio.create_task(_transfer_on(through_it, number)) for number in range(12)]
        try:
            halted_at = await _wait_held(cluster, others, name)
            killing = asyncio.create_task(asyncio.to_thread(cluster.local, "kill", name))
            await wait_usable(others)
            took_s = time.monotonic() - halted_at
            await killing
            print(f"a router halted with marks set, and killed: usable after {took_s:.2f} s")
            assert took_s < USABLE_S
            assert sum(await balances(others)) == 100 * len(KEYS)
        finally:
            for task in transfers:
                task.cancel()
            await asyncio.gather(*transfers, return_exceptions=True)
            await asyncio.to_thread(cluster.local, "start", name)
        assert sum(await balances(others)) == 100 * len(KEYS)


async def _transfer_on(client: stator.AsyncClient, number: int) -> None:
    """Moves money for ever."""
    source, target = KEYS[number % len(KEYS)], KEYS[(number + 1 + number // len(KEYS)) % len(KEYS)]
    while True:
        transaction = client.transaction(timeout_s=1)
        transaction.update(TABLE, {"pk": source}, update().add("balance", -1), condition=attr("balance").gt(0))
        transaction.update(TABLE, {"pk": target}, update().add("balance", 1))
        try:
            await transaction.commit()
        except stator.StatorError:
            await asyncio.sleep(0.01)


async def _wait_held(cluster: LocalCluster, client: stator.AsyncClient, name: str) -> float:
    """Halts a router until it is one that has left marks: then a write through another one is refused. Returns when."""
    for _ in range(20):
        await asyncio.to_thread(cluster.local, "pause", name)
        halted_at = time.monotonic()
        for key in KEYS:
            try:
                await client.update_item(TABLE, {"pk": key}, update().set("seen", str(uuid.uuid4())), timeout_s=0.2)
            except (stator.TransactionConflictError, stator.DeadlineExceededError):
                return halted_at
        await asyncio.to_thread(cluster.local, "resume", name)
    raise AssertionError("it is never halted with an item marked")


async def test_a_request_whose_first_is_under_way(cluster: LocalCluster, client: stator.AsyncClient) -> None:
    """It is told so, through boto3 too; once the first has been found to be nobody's, it is carried out itself."""
    token = str(uuid.uuid4())
    puts = [{"Put": {"TableName": TABLE, "Item": {"pk": {"S": key}, "balance": {"N": "7"}}}} for key in KEYS]
    body = {"TransactItems": puts, "ClientRequestToken": token}
    aws = cluster.dynamodb(retries={"max_attempts": 0})
    async with half_way(cluster) as coordinator:
        coordinator.ledger_id = digest(b"client", token.encode())
        await coordinator.prepare(dict.fromkeys(KEYS, 7))
        asked = request_hash(transact_write_items.from_body(body, is_json=True))
        assert (await coordinator.begin(asked)).is_taken
        with pytest.raises(aws.exceptions.TransactionInProgressException):
            await asyncio.to_thread(aws.transact_write_items, **body)
        begun = time.monotonic()
        while True:
            try:
                await asyncio.to_thread(aws.transact_write_items, **body)
                break
            except aws.exceptions.TransactionInProgressException:
                assert time.monotonic() < begun + USABLE_S, "it is still said to be under way"
    assert await balances(client) == [7] * len(KEYS)
    await asyncio.to_thread(aws.transact_write_items, **body)
