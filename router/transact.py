"""TransactWriteItems and TransactGetItems on tables that are known."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from statorpb import partition_pb2

from router.item_writes import PreparedWrite
from router.ledger import Ledger
from router.partition_map_cache import MetadataClient, PartitionMapCache, Table
from router.recovery import Recoveries
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import TransactWriteItemsRequest, request_hash
from router.results import TransactWritten
from router.routing.decision import backoff_ms
from router.storage_client import TRANSACT, PartitionCall, StorageClient
from router.throttling import throttling_reason
from router.transact_attempt import Attempt, Means, Plan
from router.transact_calls import guarded, participants_of
from router.transact_reads import ReadDone, transactional_read
from router.transact_reasons import cancelled, is_late
from router.transaction_items import prepared_writes, replayed, written
from router.transactions.claims import Claim, claim_of
from router.transactions.coordinator import Conclude, Conclusion
from router.transactions.known_tokens import KnownTokens
from router.transactions.ledger_row import LedgerRow
from router.transactions.stamps import Stamps
from server.model.errors import (
    DeadlineExceededError,
    IdempotentParameterMismatchError,
    InternalServerError,
    ServiceUnavailableError,
    StatorError,
    TransactionInProgressError,
)
from server.runtime.clock import wall_ms

ID_BYTES = 16

WriteDone = Callable[[TransactWritten | None, StatorError | None], None]

log = structlog.get_logger()


class Transactions:
    """Carries out transactions. Every `done(result, error)` is called exactly once, with one of the two.

    `rng`: what makes ids that nobody else has; `clock_ms()`: the time of day."""

    def __init__(
        self,
        cache: PartitionMapCache,
        storage: StorageClient,
        metadata: MetadataClient,
        rng: random.Random | None = None,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._rng = rng or random.SystemRandom()
        self._storage = storage
        self._ledger = Ledger(cache, storage, metadata, self._rng)
        self._recoveries = Recoveries(cache, storage, self._ledger, self._rng, clock_ms)
        self._means = Means(storage, self._ledger, self._recoveries, Stamps(), self._rng, clock_ms)
        self._tokens = KnownTokens()

    def start(self) -> None:
        """Sees to what other coordinators have left, until `stop`."""
        self._recoveries.start()

    async def stop(self) -> None:
        await self._recoveries.stop()
        await self._ledger.close()

    def read(
        self, request: TransactGetItemsRequest, tables: Mapping[str, Table], deadline: float, done: ReadDone
    ) -> None:
        """Reads items as of one moment. Raises ValidationError."""
        transactional_read(self._storage, request, tables, deadline, done, self._rng).start()

    def write(
        self,
        request: TransactWriteItemsRequest,
        tables: Mapping[str, Table],
        deadline: float,
        token_seed: bytes,
        done: WriteDone,
        begun: float,
    ) -> None:
        """Carries out all of the writes, or none. `deadline`, `token_seed`, `begun`: as of Dispatcher.submit. Raises
        StatorError."""
        prepared = prepared_writes(request, tables)
        participants = participants_of(
            (tables[write.table_name], each.position) for write, each in zip(request.writes, prepared, strict=True)
        )
        token = digest(b"client", request.client_token.encode()) if request.client_token else b""
        # By this the client's library may send it again, through another router.
        write_token = digest(b"write", token_seed) if token_seed else b""
        hash_ = request_hash(request) if token else b""
        now = asyncio.get_running_loop().time()
        if token and self._tokens.differs(token, hash_, now):
            raise IdempotentParameterMismatchError

        def noted(result: TransactWritten | None, error: StatorError | None) -> None:
            if token and error is None:
                self._tokens.note(token, hash_, asyncio.get_running_loop().time())
            done(result, error)

        items = [
            [_item(participant.table, prepared[number]) for number in participant.numbers]
            for participant in participants
        ]
        write = _Write(
            self._means,
            request,
            tables,
            Plan(participants, items, token or write_token, hash_, deadline, begun),
            noted,
            write_token or self._rng.randbytes(ID_BYTES),
            token,
            self._rng,
        )
        write.start()


def digest(*parts: bytes) -> bytes:
    """16 bytes, of several."""
    hasher = hashlib.blake2b(digest_size=ID_BYTES)
    for part in parts:
        hasher.update(len(part).to_bytes(4, "big") + part)
    return hasher.digest()


def _item(table: Table, write: PreparedWrite) -> partition_pb2.TransactionItem:
    key = table.key_prefix + write.position
    return partition_pb2.TransactionItem(key=key, operation=write.operation, item=write.item, write=write.details)


@dataclass(slots=True)
class _Write:
    """One TransactWriteItems under way: at once, where one partition has all of its items, and else in attempts until
    one says how it ends."""

    means: Means
    request: TransactWriteItemsRequest
    tables: Mapping[str, Table]
    plan: Plan
    done: WriteDone
    write_token: bytes
    client_token: bytes
    rng: random.Random
    attempts: int = 0
    is_ended: bool = False
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self) -> None:
        """Raises StatorError where nothing of it was begun."""
        if len(self.plan.participants) == 1:
            self._at_once()
        else:
            self._over_marks()

    def _end(self, result: TransactWritten | None, error: StatorError | None) -> None:
        if not self.is_ended:
            self.is_ended = True
            self.done(result, error)

    def _later(self, delay_s: float, step: Callable[[], None]) -> None:
        self.loop.call_later(delay_s, guarded, step, self._end)

    # Within one partition

    def _at_once(self) -> None:
        """Under the same token again where it was refused: that is not remembered, only what has been carried out."""
        plan, participant = self.plan, self.plan.participants[0]
        details = partition_pb2.TransactionDetails(
            ledger_id=self.write_token,
            attempt=self.write_token,
            stamp_us=self.means.stamps.take(self.means.clock_us(), self.attempts),
            items=plan.items[0],
            table_name=participant.table.name,
            client_token=self.client_token,
            request_hash=plan.request_hash,
        )
        self.means.storage.submit(
            PartitionCall(
                participant.table,
                TRANSACT,
                participant.positions[0],
                plan.deadline,
                self._carried_out,
                token=self.write_token,
                details=details,
                begun=plan.begun,
            )
        )

    def _carried_out(self, reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
        count = len(self.request.writes)
        if reply is None:
            assert error is not None
            reason = throttling_reason(error)
            self._end(None, error if reason is None else cancelled(count, {}, dict.fromkeys(range(count), reason)))
            return
        result = reply.transaction
        if reply.status == partition_pb2.TOO_LARGE:
            self._over_marks()
        elif reply.status == partition_pb2.TOKEN_MISMATCH:
            self._end(None, IdempotentParameterMismatchError())
        elif reply.status == partition_pb2.CANCELLED:
            if is_late(result.items):
                self.means.stamps.heard(result.stamp_us, self.means.clock_us())
                self._again(self._at_once)
            else:
                self._end(None, cancelled(count, dict(enumerate(result.items))))
        elif result.is_replay:
            self._end(replayed(self.request), None)
        else:
            self._written(dict(enumerate(result.items)))

    def _again(self, step: Callable[[], None], otherwise: StatorError | None = None) -> None:
        """Another attempt, if there is time for one; else the error `otherwise`."""
        delay_s = backoff_ms(self.attempts, self.rng.random()) / 1000 if self.attempts else 0.0
        self.attempts += 1
        if self.loop.time() + delay_s < self.plan.deadline:
            self._later(delay_s, step)
        else:
            self._end(None, otherwise or _not_carried_out(DeadlineExceededError("")))

    def _written(self, outcomes: Mapping[int, partition_pb2.ItemOutcome]) -> None:
        """Nothing is told of the items where nothing was asked for."""
        nothing = partition_pb2.ItemOutcome()
        results = [outcomes.get(number, nothing).write for number in range(len(self.request.writes))]
        self._end(written(self.request, self.tables, results), None)

    # Over several, or too large for one entry of a log

    def _over_marks(self) -> None:
        if self.means.ledger.is_known:
            self._attempt()
        else:
            task = self.loop.create_task(self._make_ledger())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _make_ledger(self) -> None:
        try:
            await self.means.ledger.make(self.plan.deadline)
        except StatorError as error:
            error.is_not_carried_out = True  # nothing of it has been begun
            self._end(None, _not_carried_out(error))
        except Exception:
            log.exception("making the ledger of transactions failed")
            self._end(None, _not_carried_out(InternalServerError("The ledger of transactions could not be made")))
        else:
            self._later(0.0, self._attempt)

    def _attempt(self) -> None:
        Attempt(self.means, self.plan, self.attempts, self._concluded).start()

    def _concluded(self, attempt: Attempt, concluded: Conclude) -> None:
        """Whatever comes of it: what is left of the attempt goes on."""
        guarded(lambda: self._act_on(attempt, concluded), self._end)

    def _act_on(self, attempt: Attempt, concluded: Conclude) -> None:
        conclusion, refusals = concluded.conclusion, attempt.refusals
        if conclusion is Conclusion.COMMITTED:
            self._written(refusals.outcomes)
        elif conclusion is Conclusion.REFUSED and any(each.is_own for each in refusals.outcomes.values()):
            # By what the client has sent before, which may yet begin, and be carried out.
            self._again(self._attempt, TransactionInProgressError())
        elif conclusion is Conclusion.REFUSED:
            self._end(None, cancelled(len(self.request.writes), refusals.outcomes, refusals.throttled))
        elif conclusion is Conclusion.AGAIN:
            self._again(self._attempt)
        elif conclusion is Conclusion.TAKEN:
            self._taken(concluded.row)
        elif conclusion is Conclusion.FAILED:
            error = next(iter(refusals.errors), None)
            self._end(None, _not_carried_out(error if error is not None else DeadlineExceededError("")))
        else:
            self._end(None, DeadlineExceededError(f"{_TIME_IS_OVER}; it may or may not be carried out"))

    def _taken(self, row: LedgerRow | None) -> None:
        """The client has sent it before, or something else under its name."""
        claim = claim_of(row, self.plan.request_hash, self.means.clock_ms())
        if claim is Claim.REPLAY:
            self._end(replayed(self.request), None)
        elif claim is Claim.MISMATCH:
            self._end(None, IdempotentParameterMismatchError())
        elif claim is Claim.IN_PROGRESS:
            self._end(None, TransactionInProgressError())
        elif claim is Claim.RECOVER:
            assert row is not None, "there is something to recover"

            def ended(_: bool) -> None:
                self._again(self._attempt, TransactionInProgressError())

            self.means.recoveries.take(row.ledger_id, row.attempt, row.participants, ended)
        else:
            self._again(self._attempt)


_TIME_IS_OVER = "The request's time ran out"
_THIS_ATTEMPT = "this attempt of it was not carried out"


def _not_carried_out(error: StatorError) -> StatorError:
    """The error in its own words, unless those leave open what became of its part of the transaction. An earlier
    attempt under its token may have been carried out: the ledger need not have been there to say so."""
    if isinstance(error, DeadlineExceededError):
        error = DeadlineExceededError(f"{_TIME_IS_OVER}; {_THIS_ATTEMPT}")
    elif isinstance(error, ServiceUnavailableError) and not error.is_not_carried_out:
        error = ServiceUnavailableError(f"The router is stopping; {_THIS_ATTEMPT}")
    elif isinstance(error, InternalServerError):
        error = InternalServerError(f"A part of the transaction failed; {_THIS_ATTEMPT}: {error.message}")
    error.is_not_carried_out = True
    return error
