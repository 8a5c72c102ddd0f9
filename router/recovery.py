"""Ends transactions that nobody may be at work on any more: those that storage nodes ask about, and those that the
ledger has."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

import grpc
import structlog
from statorpb import partition_pb2

from router.ledger import Answer, Ledger
from router.partition_map_cache import PartitionMapCache, Table, model_error
from router.requests.update_item import UpdateItemRequest
from router.storage_client import StorageClient
from router.transact_calls import Participant, finish_call, marked_in
from router.transactions import ledger_requests, recovery
from router.transactions.claims import RECOVERY_AGE_MS
from router.transactions.ledger_row import LedgerRow, Participants
from router.transactions.recovery import Effect, Event, Recovery, covers, merged
from server.model.errors import ServiceUnavailableError, StatorError
from server.runtime.clock import wall_ms

RUNNING_MAX = 16
WAITING_MAX = 1_000
"""Past it nothing more is taken on: whoever asked will ask again."""

STEP_TIMEOUT_S = 2.0
LOOK_INTERVAL_S = 1.0
LOOK_ROWS_MAX = 200
FIND_INTERVAL_S = 10.0
"""How often a router that knows of no ledger looks whether there is one."""

HOLD_OFF_S_MIN = 0.5
HOLD_OFF_S_MAX = 10.0
"""For how long one that could not be ended is left alone: it doubles."""

UNREACHABLE_S = 1.0
"""For how long a partition that could not be asked is not asked again."""

log = structlog.get_logger()

T = TypeVar("T")
_Name: TypeAlias = tuple[bytes, bytes]  # ledger id and attempt


@dataclass(slots=True)
class _Job:
    """An attempt to be ended. `ended`: told whether it was."""

    keys: Participants
    ended: list[Callable[[bool], None]] = field(default_factory=list)

    def tell(self, is_done: bool) -> None:
        """It has come to an end; each is told once."""
        ended, self.ended = self.ended, []
        for each in ended:
            each(is_done)


@dataclass(slots=True)
class _HoldOff:
    until: float  # loop time
    length_s: float


class Recoveries:
    """Of one router: a few at a time, each attempt once."""

    def __init__(
        self,
        cache: PartitionMapCache,
        storage: StorageClient,
        ledger: Ledger,
        rng: random.Random | None = None,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._cache = cache
        self._storage = storage
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._rng = rng or random.SystemRandom()
        self._clock_ms = clock_ms
        self._waiting: OrderedDict[_Name, _Job] = OrderedDict()
        self._running: dict[_Name, tuple[_Job, asyncio.Task[None]]] = {}
        self._is_going_on = False
        self._hold_offs: dict[_Name, _HoldOff] = {}
        self._unreachable: dict[int, float] = {}  # partition id -> loop time until which it is not asked
        self._looking: asyncio.Task[None] | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Sees to what storage nodes ask about, and looks through the ledger, until `stop`."""
        self._storage.on_stale_mark = self._nudged
        self._looking = asyncio.create_task(self._look_forever())

    async def stop(self) -> None:
        """What is under way ends where it is: whoever comes next goes on from there."""
        self._is_stopped = True
        tasks = [task for _, task in self._running.values()]
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        waiting, self._waiting = self._waiting, OrderedDict()
        for job in waiting.values():
            job.tell(False)

    def take(
        self, ledger_id: bytes, attempt: bytes, keys: Participants, ended: Callable[[bool], None] | None = None
    ) -> None:
        """Takes on an attempt. `keys`: of items that may have its marks; `ended`: told whether none has any more."""
        name = (ledger_id, attempt)
        if ended is None and name in self._running and covers(self._running[name][0].keys, keys):
            return
        job = self._waiting.get(name)
        if job is None:
            if self._is_stopped or len(self._waiting) >= WAITING_MAX:
                if ended is not None:
                    ended(False)
                return
            job = self._waiting[name] = _Job({})
        job.keys = merged(job.keys, keys)
        if ended is not None:
            job.ended.append(ended)
        if not self._is_going_on:
            self._is_going_on = True
            self._loop.call_soon(self._go_on)  # what comes in the same frame belongs together

    def _nudged(self, mark: partition_pb2.StaleMark) -> None:
        hold_off = self._hold_offs.get((mark.ledger_id, mark.attempt))
        if hold_off is None or hold_off.until <= self._loop.time():
            self.take(mark.ledger_id, mark.attempt, {mark.table_name: (mark.key,)})

    def _go_on(self) -> None:
        """Begins what there is room for."""
        self._is_going_on = False
        for name in [name for name in self._waiting if name not in self._running]:
            if self._is_stopped or len(self._running) >= RUNNING_MAX:
                return
            job = self._waiting.pop(name)
            task = asyncio.create_task(self._run(name, job))
            self._running[name] = (job, task)
            task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: _Name, _: asyncio.Task[None]) -> None:
        job, _ = self._running.pop(name)
        job.tell(False)  # where it was cancelled before its first step
        self._go_on()

    async def _run(self, name: _Name, job: _Job) -> None:
        is_done = False
        try:
            is_done = await self._recover(name, job)
        except Exception:
            log.exception("recovering a transaction failed", ledger_id=name[0].hex())
        finally:
            self._note(name, is_done=is_done)
            job.tell(is_done)

    def _note(self, name: _Name, *, is_done: bool) -> None:
        before = self._hold_offs.pop(name, None)
        if is_done:
            return
        length_s = min(2 * before.length_s, HOLD_OFF_S_MAX) if before is not None else HOLD_OFF_S_MIN
        self._hold_offs[name] = _HoldOff(self._loop.time() + length_s, length_s)
        if len(self._hold_offs) > WAITING_MAX:
            del self._hold_offs[next(iter(self._hold_offs))]

    async def _recover(self, name: _Name, job: _Job) -> bool:
        ledger_id, attempt = name
        begun = self._loop.time()
        if not await self._ledger.look_up(STEP_TIMEOUT_S):
            log.warning("a mark of a transaction, and no ledger", ledger_id=ledger_id.hex())
            return False
        core = Recovery(attempt, job.keys)
        effect: Effect = core.start()
        what = ""
        while not isinstance(effect, recovery.End):
            what = f"{what} {type(effect).__name__}".strip()
            effect = core.handle(await self._carry_out(name, effect))
        seconds = round(self._loop.time() - begun, 3)
        tell = log.info if effect.is_done else log.warning
        tell(
            "a transaction was left by its coordinator" if effect.is_done else "a transaction cannot be ended yet",
            ledger_id=ledger_id.hex(),
            attempt=attempt.hex(),
            steps=what,
            seconds=seconds,
        )
        return effect.is_done

    async def _carry_out(self, name: _Name, effect: Effect) -> Event:
        """What an effect comes to."""
        ledger_id, attempt = name
        try:
            if isinstance(effect, recovery.Read):
                return recovery.RowRead(await self._read(ledger_id))
            if isinstance(effect, recovery.Finish):
                await self._finish(name, effect)
                return recovery.Finished()
            if isinstance(effect, recovery.Refuse):
                request = ledger_requests.refuse(ledger_id, attempt, self._clock_ms(), is_over=effect.is_over)
            elif isinstance(effect, recovery.Cancel):
                request = ledger_requests.decide(ledger_id, attempt, is_committed=False)
            else:
                assert isinstance(effect, recovery.Close), "an end is not carried out"
                request = ledger_requests.close(ledger_id, attempt, self._clock_ms(), is_committed=effect.is_committed)
            answer = await self._update(request)
        except StatorError as error:
            log.debug("a transaction cannot be ended", ledger_id=ledger_id.hex(), reason=error.message)
            return recovery.Failed()
        return recovery.Taken() if answer.is_taken else recovery.Lost(answer.row)

    async def _read(self, ledger_id: bytes) -> LedgerRow | None:
        future: asyncio.Future[LedgerRow | None] = self._loop.create_future()

        def done(row: LedgerRow | None, error: StatorError | None) -> None:
            _settle(future, row, error)

        self._ledger.read(ledger_id, self._loop.time() + STEP_TIMEOUT_S, done)
        return await future

    async def _update(self, request: UpdateItemRequest) -> Answer:
        future: asyncio.Future[Answer] = self._loop.create_future()
        deadline = self._loop.time() + STEP_TIMEOUT_S
        self._ledger.update(request, deadline, lambda answer: _settle(future, answer, answer.error))
        return await future

    # Participants

    async def _finish(self, name: _Name, effect: recovery.Finish) -> None:
        """Ends it at all participants. Raises StatorError where that was not possible at one of them."""
        found: list[Participant] = []
        for table_name, keys in effect.keys.items():
            table = await self._table(table_name)
            if table is not None:
                found += marked_in(table, keys)
        finishing = [self._finish_one(name, each, is_committed=effect.is_committed) for each in found]
        errors = [error for error in await asyncio.gather(*finishing) if error is not None]
        if errors:
            raise errors[0]

    async def _table(self, name: str) -> Table | None:
        """None: it is gone, and its items with it. Raises StatorError."""
        try:
            return self._cache.get(name) or await self._cache.fetch(name, STEP_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise model_error(error) from error

    async def _finish_one(self, name: _Name, participant: Participant, *, is_committed: bool) -> StatorError | None:
        now = self._loop.time()
        if self._unreachable.get(participant.partition_id, 0.0) > now:
            return ServiceUnavailableError(f"Partition {participant.partition_id} could not be asked a moment ago")
        future: asyncio.Future[StatorError | None] = self._loop.create_future()

        def done(error: StatorError | None) -> None:
            _settle(future, error, None)

        call = finish_call(participant, *name, now + STEP_TIMEOUT_S, done, is_committed=is_committed)
        self._storage.submit(call)
        error = await future
        self._unreachable.pop(participant.partition_id, None)
        if error is not None:
            self._unreachable[participant.partition_id] = self._loop.time() + UNREACHABLE_S
        return error

    # The ledger

    async def _look_forever(self) -> None:
        """Looks through the ledger, a slice from a random point at a time: storage nodes ask about marks, but there may
        be none left, or only the ledger knows of a participant."""
        while True:
            interval_s = LOOK_INTERVAL_S if self._ledger.is_known else FIND_INTERVAL_S
            await asyncio.sleep(interval_s * (0.5 + self._rng.random()))
            try:
                await self.look()
            except StatorError as error:
                log.debug("the ledger of transactions cannot be looked through", reason=error.message)
            except Exception:
                log.exception("looking through the ledger of transactions failed")

    async def look(self) -> None:
        """Takes on what a slice of the ledger has that is to be ended. Raises StatorError."""
        if not await self._ledger.look_up(STEP_TIMEOUT_S):
            return
        await self._ledger.let_expire(self._loop.time() + STEP_TIMEOUT_S)
        start = self._rng.randbytes(16)
        while True:
            before_ms = self._clock_ms() - RECOVERY_AGE_MS
            deadline = self._loop.time() + STEP_TIMEOUT_S
            page = await self._ledger.unfinished(start, LOOK_ROWS_MAX, before_ms, deadline)
            for row in page.rows:
                self._take_row(row)
            if not page.is_last or not start:
                return
            start = b""  # a small ledger is looked through as a whole

    def _take_row(self, row: LedgerRow) -> None:
        hold_off = self._hold_offs.get((row.ledger_id, row.attempt))
        if hold_off is None or hold_off.until <= self._loop.time():
            self.take(row.ledger_id, row.attempt, row.participants)


def _settle(future: asyncio.Future[T], value: T, error: StatorError | None) -> None:
    if future.done():
        return  # whoever asked has gone
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
