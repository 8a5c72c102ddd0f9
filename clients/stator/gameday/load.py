"""The load of a game day: clients that meet at the same keys, write values that differ, and forget nothing."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stator.client import AsyncClient
from stator.credentials import Credentials
from stator.errors import (
    AccessDeniedError,
    ConditionalCheckFailedError,
    ResourceNotFoundError,
    StatorError,
    ValidationError,
)
from stator.expressions import attr
from stator.gameday.history import READS, Call, HistoryWriter, Kind, Outcome
from stator.gameday.linearizability import ANYTHING
from stator.gameday.scenario import Scenario

PARTITION_KEY = "pk"
VALUE = "value"
FILLING = "filling"

CLIENTS_A_KEY = 8
"""The clients that meet at a key: what an order of their calls is searched for in grows steeply with them."""
CALLS_A_KEY = 1_000
"""After so many a key rests until the end, and a new one takes its place."""
KEYS_AT_ONCE = 8
"""Keys that a group of clients uses at a time: few enough that calls on a key overlap."""

_WEIGHTS = {Kind.PUT: 30, Kind.PUT_IF: 16, Kind.DELETE: 6, Kind.READ: 36, Kind.READ_EVENTUAL: 12}
_KINDS, _KIND_WEIGHTS = list(_WEIGHTS), list(_WEIGHTS.values())
_ONLY = {CLIENTS_A_KEY - 2: Kind.READ, CLIENTS_A_KEY - 1: Kind.READ_EVENTUAL}
"""What the clients of a group do that do but one thing, by their number in it."""
_RETURN_OLD_FRACTION = 0.5
_NOT_CARRIED_OUT = (ValidationError, AccessDeniedError, ResourceNotFoundError)
_END_READS_AT_ONCE = 32
_END_TIMEOUT_S = 10.0

STRONG_ROUTER = "any"
"""The router of the strongly consistent reads at the end."""


@dataclass(slots=True)
class _Key:
    """A key in use, and the value that somebody saw or wrote there last."""

    name: str
    calls: int = 0
    seen: str | None = None


@dataclass(slots=True)
class _Group:
    """Clients that share keys."""

    number: int
    keys: list[_Key] = field(default_factory=list)
    made: int = 0

    def choose(self, rng: random.Random) -> _Key:
        index = rng.randrange(KEYS_AT_ONCE)
        while len(self.keys) <= index:
            self.keys.append(self._new())
        if self.keys[index].calls >= CALLS_A_KEY:
            self.keys[index] = self._new()
        self.keys[index].calls += 1
        return self.keys[index]

    def _new(self) -> _Key:
        self.made += 1
        return _Key(f"k{self.number}.{self.made}")


def filling(value: str, item_bytes: int) -> str:
    """What an item has besides its value; it follows from the value, so that a mixture of two items shows."""
    return (f"{value}." * (item_bytes // (len(value) + 1) + 1))[:item_bytes]


class Load:
    """Plays the calls of a scenario on a table, and writes each down. `run` is in every value, and tells runs apart.

    Each client has a connection of its own and one call at a time. What it waits for goes into the time of the call, so
    a slow cluster gets fewer calls, never a backlog of them. The last two of each group only read, one of the two
    eventually consistently: what reads get is not hidden by a client's waiting for a write.
    """

    def __init__(
        self,
        scenario: Scenario,
        table: str,
        endpoints: Sequence[str],
        credentials: Credentials | None,
        history: HistoryWriter,
        run: str,
        seed: int,
    ) -> None:
        self._scenario = scenario
        self._table = table
        self._endpoints = list(endpoints)
        self._credentials = credentials
        self._history = history
        self._run = run
        self._seed = seed
        self._began_ns: int | None = None
        self._is_stopped = False
        self._groups = [_Group(number) for number in range(-(-scenario.clients // CLIENTS_A_KEY))]

    def begin(self) -> None:
        """Time begins."""
        self._began_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """Since `begin`; 0 before."""
        return 0 if self._began_ns is None else time.monotonic_ns() - self._began_ns

    @property
    def keys(self) -> list[str]:
        """Every key that was used."""
        return [f"k{group.number}.{number}" for group in self._groups for number in range(1, group.made + 1)]

    def connect(self, name: str, endpoints: Sequence[str] | None = None, timeout_s: float | None = None) -> AsyncClient:
        """A client as those of the load; `name` decides what it takes for chance."""
        return AsyncClient(
            endpoints or self._endpoints,
            timeout_s=timeout_s or self._scenario.timeout_s,
            credentials=self._credentials,
            rng=random.Random(f"{self._seed} {name}"),
        )

    async def play(self) -> None:
        """Returns once the scenario's time is over, or `stop` was called, and every call has ended."""
        async with asyncio.TaskGroup() as clients:
            for number in range(self._scenario.clients):
                clients.create_task(self._play_client(number), name=f"client {number}")

    def stop(self) -> None:
        """No call begins any more."""
        self._is_stopped = True

    async def _play_client(self, number: int) -> None:
        rng = random.Random(f"{self._seed} calls {number}")
        group = self._groups[number // CLIENTS_A_KEY]
        only = _ONLY.get(number % CLIENTS_A_KEY)
        interval_ns = int(1e9 * self._scenario.clients / self._scenario.operations_per_second)
        due_ns = int(interval_ns * number / self._scenario.clients)
        values = 0
        async with self.connect(f"client {number}") as client:
            while due_ns < self._scenario.duration_s * 1e9 and not self._is_stopped:
                await asyncio.sleep(max(0, due_ns - self.now_ns()) / 1e9)
                key = group.choose(rng)
                kind = only or rng.choices(_KINDS, _KIND_WEIGHTS)[0]
                call = Call(number, kind, key.name, None, self.now_ns())
                if kind in (Kind.PUT, Kind.PUT_IF):
                    values += 1
                    call.value = f"{self._run}.{number}.{values}"
                if kind is Kind.PUT_IF:
                    call.expected = key.seen
                is_old_wanted = rng.random() < _RETURN_OLD_FRACTION
                await self._carry_out(client, call, is_old_wanted=is_old_wanted)
                _remember(key, call)
                due_ns = max(due_ns + interval_ns, self.now_ns())

    async def read_back(self, routers: Sequence[tuple[str, str]], keys: Sequence[str]) -> list[str]:
        """Reads the keys strongly, then through each router (name, address) eventually. Those that differ anywhere, or
        could not be read."""
        strong = await self._read_all(Kind.READ, STRONG_ROUTER, self._endpoints, keys, self._scenario.clients)
        missing = {key for key in keys if key not in strong}
        for number, (router, address) in enumerate(routers, self._scenario.clients + 1):
            eventual = await self._read_all(Kind.READ_EVENTUAL, router, [address], keys, number)
            missing |= {key for key, value in strong.items() if eventual.get(key, ANYTHING) != value}
        return sorted(missing)

    async def _read_all(
        self, kind: Kind, router: str, endpoints: Sequence[str], keys: Sequence[str], number: int
    ) -> dict[str, str | None]:
        """The value of each key that could be read."""
        found: dict[str, str | None] = {}
        rest = iter(keys)

        async def read(client: AsyncClient) -> None:
            for key in rest:
                call = Call(number, kind, key, None, self.now_ns(), router=router)
                await self._carry_out(client, call, is_old_wanted=False)
                if call.outcome is Outcome.OK:
                    found[key] = call.value

        async with self.connect(f"end {router}", endpoints, timeout_s=_END_TIMEOUT_S) as client:
            await asyncio.gather(*(read(client) for _ in range(_END_READS_AT_ONCE)))
        return found

    async def _carry_out(self, client: AsyncClient, call: Call, *, is_old_wanted: bool) -> None:
        """Makes the call, and notes how it ended."""
        before = client.retries
        call.invoked_ns = self.now_ns()
        try:
            await self._ask(client, call, is_old_wanted)
            call.outcome = Outcome.OK
        except ConditionalCheckFailedError as error:
            call.outcome = Outcome.REFUSED
            call.found = self._value_of(call.key, error.item)
        except StatorError as error:
            # What a second attempt was told says nothing of the first.
            is_certain = call.kind in READS or (isinstance(error, _NOT_CARRIED_OUT) and client.retries == before)
            call.outcome = Outcome.FAILED if is_certain else Outcome.UNKNOWN
            call.error = f"{type(error).__name__}: {error.message}"
        ended_ns = self.now_ns()
        call.attempts += client.retries - before
        if call.outcome is Outcome.UNKNOWN:
            call.gave_up_ns = ended_ns
        else:
            call.returned_ns = ended_ns
        self._history.call(call)

    async def _ask(self, client: AsyncClient, call: Call, is_old_wanted: bool) -> None:
        key = {PARTITION_KEY: call.key}
        if call.kind in READS:
            item = await client.get_item(self._table, key, consistent_read=call.kind is Kind.READ)
            call.value = self._value_of(call.key, item)
            return
        write: Callable[..., Awaitable[Any]] = client.put_item
        what: dict[str, Any] = {**key, VALUE: call.value, FILLING: filling(call.value or "", self._scenario.item_bytes)}
        if call.kind is Kind.DELETE:
            write, what = client.delete_item, key
        if call.kind is Kind.PUT_IF:
            condition = ~attr(PARTITION_KEY).exists() if call.expected is None else attr(VALUE).eq(call.expected)
            await write(self._table, what, condition=condition, return_values_on_condition_check_failure="ALL_OLD")
        elif is_old_wanted:
            result = await write(self._table, what, return_values="ALL_OLD")
            call.found = self._value_of(call.key, result.attributes)
        else:
            await write(self._table, what)

    def _value_of(self, key: str, item: dict[str, Any] | None) -> str | None:
        """The value of an item; of one that nobody can have written, a text that shows it."""
        if item is None:
            return None
        value = item.get(VALUE)
        if isinstance(value, str) and item == {
            PARTITION_KEY: key,
            VALUE: value,
            FILLING: filling(value, self._scenario.item_bytes),
        }:
            return value
        return f"another item: {str(item)[:100]}"


def _remember(key: _Key, call: Call) -> None:
    if call.outcome is Outcome.REFUSED:
        key.seen = call.found
    elif call.outcome is Outcome.OK and call.kind is not Kind.READ_EVENTUAL:
        key.seen = call.value
