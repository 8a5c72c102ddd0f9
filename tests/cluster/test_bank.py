"""A bank, and lists that are appended to, while routers and leaders are killed: nothing is made up, lost or done twice,
every transactional read is of one moment, and in the end no transaction is left."""

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
import stator
from stator import (
    TransactCheck,
    TransactPut,
    TransactUpdate,
    attr,
    update,
)
from stator.gameday.bank import Audit, Bank, Transfer
from stator.gameday.serializability import Fate, Transaction, Values, find_anomalies
from stator.transaction_members import TransactWrite

from router.ledger import Ledger
from router.partition_map_cache import MetadataClient, PartitionMapCache
from router.storage_client import StorageClient
from router.transactions.claims import RECOVERY_AGE_MS
from router.transactions.ledger_row import TABLE_NAME, LedgerRow
from server.runtime.clock import wall_ms
from tests.cluster.harness import LocalCluster, leaders_of, running_cluster, wait_for_leaders

pytestmark = pytest.mark.cluster

BANK_S = float(os.environ.get("STATOR_BANK_S", "20"))
KILLS_MIN = 4
"""Each kind of process twice, however slow the machine is."""

TABLES = {"money-a": 2, "money-b": 1, "receipts": 1, "lists": 2}
"""With how many partitions."""

CLIENTS = 16
ACCOUNTS = [f"a{number}" for number in range(100)]
OPENING = 100
LISTS_AT_ONCE = 8
LIST_VALUES_MAX = 60
"""Then another one takes its place."""

PAUSE_S = 0.25
"""Between two calls of a client, on average: a read of all accounts at once finds a moment in which none is written."""

FINISHED_S = RECOVERY_AGE_MS / 1000 + 8.0
"""After the last call has ended: by then whatever was left has been found, and ended."""


def account_table(account: str) -> str:
    return "money-a" if int(account[1:]) % 2 else "money-b"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("bank")) as running:
        yield running


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[stator.AsyncClient]:
    async with stator.AsyncClient(cluster.endpoints, timeout_s=20.0) as opened:
        yield opened


class Load:
    """Clients of a bank and of lists, one call at a time each, and what they were told."""

    def __init__(self, endpoints: Sequence[str], seed: int) -> None:
        self.bank = Bank(ACCOUNTS, OPENING)
        self.transfers: list[Transfer] = []
        self.audits: list[Audit] = []
        self.transactions: list[Transaction] = []
        self.told: Counter[str] = Counter()
        self.done = 0
        self.lists = [f"l{number}" for number in range(LISTS_AT_ONCE)]
        self._made = LISTS_AT_ONCE
        self._seen: dict[str, Values] = {}
        self._endpoints = endpoints
        self._seed = seed
        self._is_stopping = False
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(CLIENTS)]

    async def stop(self) -> None:
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    async def wait(self, calls: int) -> None:
        """Until so many more have succeeded."""
        least = self.done + calls
        async with asyncio.timeout(60):
            while self.done < least:
                await asyncio.sleep(0.02)

    async def _run(self, number: int) -> None:
        rng = random.Random(f"{self._seed} {number}")
        works = (self._transfer, self._audit, self._look, self._append, self._append_one, self._read, self._read_one)
        async with stator.AsyncClient(self._endpoints, timeout_s=10.0, rng=rng) as client:
            calls = 0
            while not self._is_stopping:
                calls += 1
                (work,) = rng.choices(works, (35, 12, 8, 20, 5, 12, 8))
                try:
                    await work(client, rng, f"{number}.{calls}")
                    self.done += 1
                    self.told["done"] += 1
                except stator.StatorError as error:
                    self.told[type(error).__name__] += 1
                await asyncio.sleep(rng.expovariate(1 / PAUSE_S))

    # The bank

    async def _transfer(self, client: stator.AsyncClient, rng: random.Random, name: str) -> None:
        source, target = rng.sample(ACCOUNTS, 2)
        transfer = Transfer(name, source, target, rng.randint(1, OPENING // 2))
        self.transfers.append(transfer)
        amount = transfer.amount
        debit = TransactUpdate(
            account_table(source),
            {"pk": source},
            update().add("balance", -amount),
            condition=attr("balance").ge(amount),
        )
        credit = TransactUpdate(account_table(target), {"pk": target}, update().add("balance", amount))
        receipt = TransactPut("receipts", {"pk": name}, condition=~attr("pk").exists())
        await carry_out(client, [debit, credit, receipt], transfer)

    async def _audit(self, client: stator.AsyncClient, rng: random.Random, name: str) -> None:
        self.audits.append(Audit(name, await balances(client)))

    async def _look(self, client: stator.AsyncClient, rng: random.Random, name: str) -> None:
        account = rng.choice(ACCOUNTS)
        item = await client.get_item(account_table(account), {"pk": account}, consistent_read=True)
        self.audits.append(Audit(name, {account: balance_of(item)}))

    # Lists

    def _choose(self, rng: random.Random, most: int) -> list[str]:
        for place, key in enumerate(self.lists):
            if len(self._seen.get(key, ())) > LIST_VALUES_MAX:
                self.lists[place] = f"l{self._made}"
                self._made += 1
        return rng.sample(self.lists, rng.randint(1, most))

    async def _append(self, client: stator.AsyncClient, rng: random.Random, name: str) -> None:
        """To some lists, of which some are to be what they were when they were seen last; as others are that stay."""
        keys = self._choose(rng, 3)
        reads = {key: self._seen[key] for key in keys if key in self._seen and rng.random() < 0.3}
        changed = [key for key in keys if key not in reads or rng.random() < 0.7]
        writes: list[TransactWrite] = []
        for key in keys:
            condition = attr("vals").eq(list(reads[key])) if key in reads else None
            if key in changed:
                writes.append(TransactUpdate("lists", {"pk": key}, APPEND, condition=condition, values=appended(name)))
            elif condition is not None:
                writes.append(TransactCheck("lists", {"pk": key}, condition))
        transaction = Transaction(name, Fate.UNKNOWN, reads, dict.fromkeys(changed, (name,)), time.monotonic_ns())
        self.transactions.append(transaction)
        try:
            await carry_out(client, writes, transaction)
        except stator.TransactionCanceledError:
            for key in reads:
                self._seen.pop(key, None)
            raise
        finally:
            transaction.returned_ns = time.monotonic_ns()

    async def _append_one(self, client: stator.AsyncClient, rng: random.Random, name: str) -> None:
        (key,) = self._choose(rng, 1)
        transaction = Transaction(name, Fate.UNKNOWN, {}, {key: (name,)}, time.monotonic_ns())
        self.transactions.append(transaction)
        await client.update_item("lists", {"pk": key}, APPEND, values=appended(name))
        transaction.fate, transaction.returned_ns = Fate.COMMITTED, time.monotonic_ns()

    async def _read(self, client: stator.AsyncClient, rng: random.Random, name: str) -> None:
        keys = self._choose(rng, LISTS_AT_ONCE)
        began_ns = time.monotonic_ns()
        items = await client.transact_get_items([("lists", {"pk": key}) for key in keys])
        self._note(name, dict(zip(keys, items, strict=True)), began_ns)

    async def _read_one(self, client: stator.AsyncClient, rng: random.Random, name: str) -> None:
        (key,) = self._choose(rng, 1)
        began_ns = time.monotonic_ns()
        item = await client.get_item("lists", {"pk": key}, consistent_read=True)
        self._note(name, {key: item}, began_ns)

    def _note(self, name: str, items: Mapping[str, dict[str, Any] | None], began_ns: int) -> None:
        reads = {key: tuple(item["vals"]) if item else () for key, item in items.items()}
        self._seen |= {key: values for key, values in reads.items() if values}
        self.transactions.append(Transaction(name, reads=reads, invoked_ns=began_ns, returned_ns=time.monotonic_ns()))

    # What came of it

    async def wrong_with_bank(self, client: stator.AsyncClient) -> list[str]:
        """Once nothing is under way."""
        receipts = {item["pk"] async for item in client.scan("receipts", consistent_read=True)}
        at_rest = self.bank.wrong_at_rest(self.transfers, receipts, await balances(client))
        return self.bank.wrong_audits(self.audits) + at_rest

    async def wrong_with_lists(self, client: stator.AsyncClient) -> list[str]:
        """Likewise."""
        keys = [f"l{number}" for number in range(self._made)]
        for key in keys:
            began_ns = time.monotonic_ns()
            item = await client.get_item("lists", {"pk": key}, consistent_read=True)
            self._note(f"end {key}", {key: item}, began_ns)
        return [f"{each.anomaly}: {each.text}" for each in find_anomalies(self.transactions, is_strict=True)]

    async def marked(self, client: stator.AsyncClient) -> list[str]:
        """Items that a transaction still holds: no other can read them."""
        items = [(account_table(each), {"pk": each}) for each in ACCOUNTS]
        items += [("lists", {"pk": f"l{number}"}) for number in range(self._made)]
        items += [("receipts", {"pk": each.name}) for each in self.transfers]
        found = []
        for start in range(0, len(items), 100):
            try:
                await client.transact_get_items(items[start : start + 100], conflict_attempts=1)
            except stator.TransactionCanceledError as error:
                found += [str(items[start + each.index]) for each in error.causes]
        return found


async def carry_out(client: stator.AsyncClient, writes: Sequence[TransactWrite], noted: Transfer | Transaction) -> None:
    """Under a name: so what may have been carried out is asked for again, and it is carried out once. What a later
    attempt was told says nothing of the first."""
    token, retries = str(uuid.uuid4()), client.retries
    for attempt in range(4):
        try:
            await client.transact_write_items(writes, token=token)
            noted.fate = Fate.COMMITTED
            return
        except stator.TransactionCanceledError:
            if attempt == 0 and client.retries == retries:
                noted.fate = Fate.ABORTED
            raise
        except (stator.DeadlineExceededError, stator.UnavailableError, stator.TransactionInProgressError):
            if attempt == 3:
                raise


async def balances(client: stator.AsyncClient) -> dict[str, int | None]:
    """Of all accounts, as of one moment."""
    items = await client.transact_get_items([(account_table(each), {"pk": each}) for each in ACCOUNTS])
    return {account: balance_of(item) for account, item in zip(ACCOUNTS, items, strict=True)}


def balance_of(item: dict[str, Any] | None) -> int | None:
    return None if item is None else int(item["balance"])


APPEND = "SET vals = list_append(if_not_exists(vals, :none), :new)"


def appended(value: str) -> dict[str, Any]:
    """What the placeholders in APPEND stand for."""
    return {":none": [], ":new": [value]}


@asynccontextmanager
async def opened_ledger(cluster: LocalCluster) -> AsyncIterator[Ledger]:
    """The ledger as routers see it."""
    addresses = tuple(f"127.0.0.1:{port}" for port in cluster.ports("grpc", "metadata"))
    metadata = MetadataClient(addresses, 0)
    cache = PartitionMapCache(metadata)
    storage = StorageClient(cache, "zone-1")
    try:
        yield Ledger(cache, storage, metadata)
    finally:
        await storage.close()
        await metadata.close()


async def unfinished(ledger: Ledger) -> list[LedgerRow]:
    """Its rows of transactions that are not done."""
    assert await ledger.look_up(10.0), "there is a ledger"
    page = await ledger.unfinished(b"", 1_000_000, wall_ms() + 60_000, asyncio.get_running_loop().time() + 20)
    assert page.is_last
    return list(page.rows)


async def open_bank(client: stator.AsyncClient) -> None:
    for table, partitions in TABLES.items():
        await client.create_table(table, partition_key=("pk", "S"), partitions=partitions)
        await wait_for_leaders(client, table, partitions)
    await asyncio.gather(*(client.put_item(account_table(each), {"pk": each, "balance": OPENING}) for each in ACCOUNTS))


async def kill_in_turn(cluster: LocalCluster, client: stator.AsyncClient, load: Load) -> int:
    """Routers, and leaders of tables and of the ledger; how many."""
    loop = asyncio.get_running_loop()
    end = loop.time() + BANK_S
    tables = (*TABLES, TABLE_NAME)
    turn = 0
    while loop.time() < end or turn < KILLS_MIN:
        victim = f"router-{1 + turn // 2 % 3}"
        if turn % 2:
            leaders = sorted((await leaders_of(client, tables[turn // 2 % len(tables)])).values())
            victim = leaders[0] if leaders else f"storage-{1 + turn // 2 % 3}"
        await asyncio.to_thread(cluster.local, "kill", victim)
        await load.wait(40)
        await asyncio.to_thread(cluster.local, "start", victim)
        await load.wait(40)
        turn += 1
    return turn


async def test_a_bank_stays_whole_while_routers_and_leaders_are_killed(
    cluster: LocalCluster, client: stator.AsyncClient
) -> None:
    """And what is read of lists fits one order of all transactions; soon afterwards none is left, of any kind."""
    await open_bank(client)
    load = Load(cluster.endpoints, 1)
    kills = await kill_in_turn(cluster, client, load)
    await load.stop()
    stopped = time.monotonic()
    async with opened_ledger(cluster) as ledger:
        while (left := await unfinished(ledger)) or (marked := await load.marked(client)):
            assert time.monotonic() < stopped + FINISHED_S, f"{len(left)} rows, {marked}"
            await asyncio.sleep(0.1)
    whole = sum(len(audit.balances) == len(ACCOUNTS) for audit in load.audits)
    print(
        f"{kills} kills; {dict(load.told)}; {len(load.transfers)} transfers, {whole} audits of all accounts, "
        f"{len(load.transactions)} transactions on lists; nothing left {time.monotonic() - stopped:.1f} s after the end"
    )
    assert not await load.wrong_with_bank(client)
    assert not await load.wrong_with_lists(client)
    assert whole > BANK_S / 4
