"""The ledger of transactions: a table like others, which whichever router needs it first makes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grpc
import structlog

from router.item_reads import get_call
from router.item_writes import write_call
from router.partition_map_cache import MetadataClient, PartitionMapCache, Table, model_error
from router.ranges import scan
from router.requests.update_item import UpdateItemRequest
from router.storage_client import StorageClient
from router.table_messages import message_of
from router.transactions import ledger_requests
from router.transactions.ledger_row import TABLE_NAME, LedgerRow, row_of
from server.model.errors import (
    ConditionalCheckFailedError,
    ResourceInUseError,
    ServiceUnavailableError,
    StatorError,
    ValidationError,
)
from server.wire import item_from_bytes

MAKE_TIMEOUT_S = 10.0
MAKE_POLL_S = 0.02
TOKEN_BYTES = 16

LATER_S = 0.2
"""So long updates are gathered that nobody waits for: those of one partition share an entry of its log then."""

log = structlog.get_logger()


class Answer(NamedTuple):
    """What became of an update of a row. Neither taken nor an error: it was lost to what `row` says (None: there is no
    row). An error says itself whether it is certain that nothing was done."""

    is_taken: bool
    row: LedgerRow | None = None
    error: StatorError | None = None


class Page(NamedTuple):
    """Rows, of a slice of the ledger. `is_last`: nothing lies behind them."""

    rows: Sequence[LedgerRow]
    is_last: bool


TAKEN = Answer(True)


class Ledger:
    """Updates of its rows go the way of all requests on items, past the doors, where its name is refused."""

    def __init__(
        self,
        cache: PartitionMapCache,
        storage: StorageClient,
        metadata: MetadataClient,
        rng: random.Random | None = None,
    ) -> None:
        self._cache = cache
        self._storage = storage
        self._metadata = metadata
        self._rng = rng or random.SystemRandom()
        self._table: Table | None = None  # as it was known last
        self._making: asyncio.Task[None] | None = None
        self._later: list[Callable[[], None]] = []

    @property
    def is_known(self) -> bool:
        """Whether it can be asked."""
        self._table = self._cache.get(TABLE_NAME) or self._table
        return self._table is not None

    async def close(self) -> None:
        self._ask_gathered()
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def look_up(self, timeout_s: float) -> bool:
        """Whether there is one. Raises StatorError, where nobody can say."""
        if not self.is_known:
            try:
                table = await self._cache.fetch(TABLE_NAME, timeout_s)
            except grpc.aio.AioRpcError as error:
                raise model_error(error) from error
            self._table = table if table is not None and table.is_active else None
        return self._table is not None

    async def make(self, deadline: float) -> None:
        """Returns once there is one. Routers may do so at the same time, and each its requests. Raises StatorError."""
        if self.is_known:
            return
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
            self._making.add_done_callback(_seen)
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._making)
        except TimeoutError as error:
            raise ServiceUnavailableError("The ledger of transactions cannot be made or found at present") from error
        except asyncio.CancelledError as error:
            if not self._making.cancelled():
                raise  # whoever waits has gone
            raise ServiceUnavailableError("The router is stopping") from error

    async def _make(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + MAKE_TIMEOUT_S
        if not await self.look_up(MAKE_TIMEOUT_S):
            try:
                await self._metadata.ask(*message_of(ledger_requests.create()), deadline)
                log.info("made the ledger of transactions", table=TABLE_NAME)
            except ResourceInUseError:
                log.debug("another router makes the ledger of transactions")
        while not await self.look_up(deadline - loop.time()):
            if loop.time() > deadline:
                raise ServiceUnavailableError("The ledger of transactions is not active yet")
            await asyncio.sleep(MAKE_POLL_S)
        await self.let_expire(deadline)

    async def let_expire(self, deadline: float) -> None:
        """Sees to it that rows expire. Who made the ledger may not have come to that."""
        if self._table is None or self._table.time_to_live_attribute:
            return
        try:
            await self._metadata.ask(*message_of(ledger_requests.expire()), deadline)
        except ValidationError as error:  # another router has
            log.debug("rows of the ledger expire already", reason=error.message)

    def update(self, request: UpdateItemRequest, deadline: float, done: Callable[[Answer], None]) -> None:
        """Asks for an update of a row; `done` is called once."""

        def answered(_: Any, error: StatorError | None) -> None:
            if error is None:
                done(TAKEN)
            elif isinstance(error, ConditionalCheckFailedError):
                done(Answer(False, row_of(item_from_bytes(error.item)) if error.item else None))
            else:
                done(Answer(False, None, error))

        call = write_call(request, self._asked(), deadline, self._rng.randbytes(TOKEN_BYTES), answered)
        self._storage.submit(call)

    def update_later(self, request: UpdateItemRequest, deadline: float, done: Callable[[Answer], None]) -> None:
        """As `update`, where nobody waits for it, and another can do it if this router is gone before it has."""
        if not self._later:
            asyncio.get_running_loop().call_later(LATER_S, self._ask_gathered)
        self._later.append(lambda: self.update(request, deadline, done))

    def _ask_gathered(self) -> None:
        gathered, self._later = self._later, []
        for ask in gathered:
            ask()

    def read(
        self, ledger_id: bytes, deadline: float, done: Callable[[LedgerRow | None, StatorError | None], None]
    ) -> None:
        """The row as it is now, or None."""

        def answered(result: Any, error: StatorError | None) -> None:
            found = result.item if result is not None else None
            done(row_of(item_from_bytes(found)) if found else None, error)

        self._storage.submit(get_call(ledger_requests.read(ledger_id), self._asked(), deadline, answered))

    async def unfinished(self, start: bytes, rows_max: int, before_ms: int, deadline: float) -> Page:
        """Of `rows_max` rows behind the place of `start` (empty: of the first ones), those begun before then that are
        not done. Raises StatorError."""
        future: asyncio.Future[Page] = asyncio.get_running_loop().create_future()

        def answered(page: Any, error: StatorError | None) -> None:
            if future.done():
                return  # whoever asked has gone
            if error is not None:
                future.set_exception(error)
            else:
                rows = [row_of(item_from_bytes(item)) for item in page.items]
                future.set_result(Page(rows, page.last_key is None))

        scan(self._storage, ledger_requests.unfinished(start, rows_max, before_ms), self._asked(), deadline, answered)
        return await future

    def _asked(self) -> Table:
        assert self.is_known and self._table is not None, "it is looked up before it is asked"
        return self._table


def _seen(task: asyncio.Task[None]) -> None:
    """Those who still wait see what it ended with; nobody may be left."""
    if not task.cancelled():
        task.exception()
