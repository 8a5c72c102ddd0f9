"""Clients of a simulation of transactions: what they ask for, and what they were told of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stator.gameday.bank import Audit, Bank, Transfer
from stator.gameday.serializability import Fate, Transaction, Values

from router.requests import get_item, transact_get_items, transact_write_items, update_item
from router.requests.transact_write_items import TransactWriteItemsRequest
from server.model.errors import (
    ConditionalCheckFailedError,
    IdempotentParameterMismatchError,
    StatorError,
    TransactionCanceledError,
    TransactionConflictError,
)
from server.model.item import Item
from server.wire import item_from_bytes
from tests.simulation.machine import InvariantError
from tests.simulation.routers import Call, Request

if TYPE_CHECKING:
    from tests.simulation.transaction_world import TransactionWorld

OPENING = 10
ATTEMPTS = 4
_NOTHING_DONE = (ConditionalCheckFailedError, TransactionCanceledError, TransactionConflictError)


@dataclass(slots=True)
class Told:
    """What came of a call. `is_certain`: that nothing was done, where there is an error."""

    result: Any = None
    error: StatorError | None = None
    is_certain: bool = False

    @property
    def kind(self) -> str:
        if self.error is not None:
            return type(self.error).__name__
        return "nothing" if self.result is None else "done"

    @property
    def fate(self) -> Fate:
        if self.error is None and self.result is not None:
            return Fate.COMMITTED
        return Fate.ABORTED if self.is_certain else Fate.UNKNOWN


@dataclass(slots=True)
class Record:
    """Of all clients."""

    bank: Bank
    transactions: list[Transaction] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)


class Client:
    """One call after the other; what has no answer, or one that leaves things open, is mostly sent again."""

    def __init__(self, world: TransactionWorld, number: int) -> None:
        self._world = world
        self._number = number
        self._rng = random.Random(f"{world.seed} client {number}")
        self._calls = 0
        self._seen: dict[str, Values] = {}
        self._record = world.record

    async def run(self) -> None:
        """Until all is healed."""
        rng = self._rng
        works = (self._transfer, self._audit, self._append, self._read, self._append_one, self._read_one)
        while not self._world.is_healing:
            (work,) = rng.choices(works, (30, 10, 30, 15, 8, 7))
            self._calls += 1
            await work(f"{self._number}.{self._calls}")
            await asyncio.sleep(rng.expovariate(1 / self._world.pause_s))

    async def close(self) -> None:
        """Once all is healed: every item can be written, by itself and in one transaction, and reads have all of it."""
        for key in (*self._world.lists, *self._world.accounts):
            body = _update(self._world, key, "SET written = :written", {":written": {"S": "end"}})
            told = await self._call(update_item.from_body(body, is_json=True), 60)
            assert told.fate is Fate.COMMITTED, f"{key} cannot be written: {told}"
        names = {key: f"end.{key}" for key in self._world.lists}
        told = await self._call(_appending(self._world, {key: (name,) for key, name in names.items()}, {}, "end"), 60)
        assert told.fate is Fate.COMMITTED, f"no transaction succeeds: {told}"
        self._note("end", told, {}, {key: (name,) for key, name in names.items()}, 0)

    # A bank

    async def _transfer(self, name: str) -> None:
        rng, world = self._rng, self._world
        source, target = rng.sample(world.accounts, 2)
        transfer = Transfer(name, source, target, rng.randint(1, OPENING))
        amounts = {":opening": _number(OPENING), ":amount": _number(transfer.amount)}
        debit = _update(world, source, "SET balance = if_not_exists(balance, :opening) - :amount", amounts)
        debit["ConditionExpression"] = "attribute_not_exists(balance) OR balance >= :amount"
        credit = _update(world, target, "SET balance = if_not_exists(balance, :opening) + :amount", amounts)
        receipt = {
            "TableName": world.table_of(name),
            "Item": {"pk": {"S": name}},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        members = [{"Update": debit}, {"Update": credit}, {"Put": receipt}]
        rng.shuffle(members)
        self._record.transfers.append(transfer)
        told = await self._call(_write(members, name if rng.random() < 0.5 else ""))
        transfer.fate = told.fate

    async def _audit(self, name: str) -> None:
        accounts = self._world.accounts
        if self._rng.random() < 0.3:
            accounts = self._rng.sample(accounts, 1)
        found = await self._items(accounts)
        if found is not None:
            balances = {
                key: OPENING if "balance" not in item else int(item["balance"]["N"]) for key, item in found.items()
            }
            self._record.audits.append(Audit(name, balances))

    # Lists

    async def _append(self, name: str) -> None:
        """To some lists, of which some are to be what they were when they were seen last; as others are that stay."""
        rng, world = self._rng, self._world
        keys = rng.sample(world.lists, min(len(world.lists), rng.randint(1, 4)))
        reads = {key: self._seen[key] for key in keys if key in self._seen and rng.random() < 0.35}
        appends = {
            key: (name, f"{name}+")[: rng.randint(1, 2)] for key in keys if key not in reads or rng.random() < 0.7
        }
        if not appends:
            return
        begun_ns = world.scheduler.now_ns
        told = await self._call(_appending(world, appends, reads, name if rng.random() < 0.5 else ""))
        self._note(name, told, reads, appends, begun_ns)
        if isinstance(told.error, TransactionCanceledError):
            for key in reads:
                self._seen.pop(key, None)

    async def _append_one(self, name: str) -> None:
        rng, world = self._rng, self._world
        key = rng.choice(world.lists)
        begun_ns = world.scheduler.now_ns
        body = _append_to(world, key, (name,), None)
        told = await self._call(update_item.from_body(body, is_json=True))
        self._note(name, told, {}, {key: (name,)}, begun_ns)

    async def _read(self, name: str) -> None:
        keys = self._rng.sample(self._world.lists, self._rng.randint(1, len(self._world.lists)))
        begun_ns = self._world.scheduler.now_ns
        found = await self._items(keys)
        if found is not None:
            self._note_read(name, {key: values_of(item) for key, item in found.items()}, begun_ns)

    async def _read_one(self, name: str) -> None:
        key = self._rng.choice(self._world.lists)
        begun_ns = self._world.scheduler.now_ns
        body = {"TableName": self._world.table_of(key), "Key": {"pk": {"S": key}}, "ConsistentRead": True}
        told = await self._call(get_item.from_body(body, is_json=True))
        if told.result is not None:
            self._note_read(name, {key: values_of(_item(told.result.item))}, begun_ns)

    def _note_read(self, name: str, found: dict[str, Values], begun_ns: int) -> None:
        self._seen.update(found)
        self._record.transactions.append(
            Transaction(name, reads=found, invoked_ns=begun_ns, returned_ns=self._world.scheduler.now_ns)
        )

    def _note(
        self, name: str, told: Told, reads: Mapping[str, Values], appends: Mapping[str, Values], begun_ns: int
    ) -> None:
        now_ns = self._world.scheduler.now_ns
        self._record.transactions.append(Transaction(name, told.fate, reads, appends, begun_ns, now_ns))

    # Calls

    async def _items(self, keys: list[str]) -> dict[str, Item] | None:
        """As of one moment; None: that could not be had."""
        gets = [{"Get": {"TableName": self._world.table_of(key), "Key": {"pk": {"S": key}}}} for key in keys]
        told = await self._call(transact_get_items.from_body({"TransactItems": gets}, is_json=True))
        if told.result is None:
            return None
        return {key: _item(item) for key, item in zip(keys, told.result.items, strict=True)}

    async def _call(self, request: Request, attempts: int = ATTEMPTS) -> Told:
        """At one router after the other, under one name, which is the client's or its library's. What is told of a
        later attempt says nothing of the first."""
        rng, world = self._rng, self._world
        token, begun_ns = rng.randbytes(16), world.scheduler.now_ns
        told = Told()
        doubts = world.doubts
        for attempt in range(attempts):
            if isinstance(request, TransactWriteItemsRequest) and request.client_token:
                token, begun_ns = rng.randbytes(16), world.scheduler.now_ns
            told = await self._ask(Call(request, token, begun_ns, rng.choice((1.0, 3.0, 8.0))))
            world.told[told.kind] += 1
            if isinstance(told.error, IdempotentParameterMismatchError):
                raise InvariantError(f"what client {self._number} has sent again was taken for something else")
            if told.result is not None:
                return told
            if told.error is not None and attempt == 0:
                is_refused = isinstance(told.error, _NOTHING_DONE) and world.doubts == doubts
                told.is_certain = is_refused or told.error.is_not_carried_out
            is_final = isinstance(told.error, ConditionalCheckFailedError | TransactionCanceledError)
            if attempts == ATTEMPTS and (is_final or rng.random() < 0.2):
                return told
            await asyncio.sleep(rng.random() * 0.2)
        return told

    async def _ask(self, call: Call) -> Told:
        """What a router says; nothing, if it does not in time, or is not there."""
        world, rng = self._world, self._rng
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        router = rng.choice(world.routers)

        def settle(told: Told) -> None:
            if not future.done():
                future.set_result(told)

        def answered(result: Any, error: StatorError | None) -> None:
            world.to_client(lambda: settle(Told(result, error)))

        def arrive() -> None:
            if router.life is None:
                world.to_client(lambda: settle(Told()))
            else:
                router.life.serve(call, answered)

        if world.is_healing or rng.random() >= world.client_loss:
            world.scheduler.schedule(rng.randrange(1_000_000), arrive)
        try:
            async with asyncio.timeout(call.timeout_s + 0.2):
                return await future
        except TimeoutError:
            return Told()


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _item(data: bytes | None) -> Item:
    return item_from_bytes(data) if data else {}


def balance_of(item: Item) -> int:
    """An account that nobody has touched has what it begins with."""
    return int(item["balance"]["N"]) if "balance" in item else OPENING


def values_of(item: Item) -> Values:
    """A list's."""
    return tuple(each["S"] for each in item.get("vals", {"L": []})["L"])


def _update(world: TransactionWorld, key: str, expression: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "TableName": world.table_of(key),
        "Key": {"pk": {"S": key}},
        "UpdateExpression": expression,
        "ExpressionAttributeValues": dict(values),
    }


def _append_to(world: TransactionWorld, key: str, values: Values, seen: Values | None) -> dict[str, Any]:
    given: dict[str, Any] = {":new": _list(values), ":none": {"L": []}}
    body = _update(world, key, "SET vals = list_append(if_not_exists(vals, :none), :new)", given)
    if seen is not None:
        body.update(_condition(seen))
        body["ExpressionAttributeValues"] = {**given, **body["ExpressionAttributeValues"]}
    return body


def _condition(seen: Values) -> dict[str, Any]:
    """That a list is what it was."""
    if seen:
        return {"ConditionExpression": "vals = :seen", "ExpressionAttributeValues": {":seen": _list(seen)}}
    return {
        "ConditionExpression": "attribute_not_exists(vals) OR vals = :seen",
        "ExpressionAttributeValues": {":seen": {"L": []}},
    }


def _list(values: Values) -> dict[str, Any]:
    return {"L": [{"S": value} for value in values]}


def _appending(
    world: TransactionWorld, appends: Mapping[str, Values], reads: Mapping[str, Values], name: str
) -> Request:
    members: list[dict[str, Any]] = [
        {"Update": _append_to(world, key, values, reads.get(key))} for key, values in appends.items()
    ]
    for key, seen in reads.items():
        if key not in appends:
            body = {"TableName": world.table_of(key), "Key": {"pk": {"S": key}}, **_condition(seen)}
            members.append({"ConditionCheck": body})
    return _write(members, name)


def _write(members: list[dict[str, Any]], name: str) -> Request:
    body: dict[str, Any] = {"TransactItems": members}
    if name:
        body["ClientRequestToken"] = name
    return transact_write_items.from_body(body, is_json=True)
