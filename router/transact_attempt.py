"""Carries out what the coordinator of one attempt decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from statorpb import partition_pb2

from router.ledger import Answer as LedgerAnswer
from router.ledger import Ledger
from router.recovery import Recoveries
from router.storage_client import PREPARE, PartitionCall, StorageClient
from router.throttling import throttling_reason
from router.transact_calls import Participant, finish_call
from router.transact_reasons import is_late
from router.transactions import coordinator, ledger_requests
from router.transactions.coordinator import Answer, Conclude, Coordinator, Effect, Event
from router.transactions.ledger_row import Participants
from router.transactions.stamps import Stamps
from server.model.errors import CancellationReason, StatorError

FINISH_GRACE_S = 5.0
"""For how long, after the client's time is over, a router goes on by itself with what it has begun."""


@dataclass(frozen=True, slots=True)
class Means:
    """What attempts are carried out with."""

    storage: StorageClient
    ledger: Ledger
    recoveries: Recoveries
    stamps: Stamps
    rng: random.Random
    clock_ms: Callable[[], int]

    def clock_us(self) -> int:
        """The end of the millisecond that it is: what was written before was not later."""
        return self.clock_ms() * 1000 + 999


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be carried out: items by participant, as PREPARE has them. `ledger_id` empty: each attempt takes one
    of its own. `request_hash`: of what the client has asked for under its token; empty without one. `begun`: loop time
    at which the client may have sent it first."""

    participants: Sequence[Participant]
    items: Sequence[Sequence[partition_pb2.TransactionItem]]
    ledger_id: bytes
    request_hash: bytes
    deadline: float
    begun: float

    @property
    def keys(self) -> Participants:
        """The items' keys, by table."""
        found: dict[str, tuple[bytes, ...]] = {}
        for each in self.participants:
            found[each.table.name] = (*found.get(each.table.name, ()), *each.keys)
        return found


@dataclass(slots=True)
class Refusals:
    """What participants have answered: outcomes of items by their number, and errors of what could not be asked."""

    outcomes: dict[int, partition_pb2.ItemOutcome] = field(default_factory=dict)
    throttled: dict[int, CancellationReason] = field(default_factory=dict)
    errors: list[StatorError] = field(default_factory=list)


class Attempt:
    """One attempt of a transaction, after so many others; `concluded` is called exactly once, and what is left goes on
    by itself."""

    def __init__(self, means: Means, plan: Plan, attempts: int, concluded: Callable[[Attempt, Conclude], None]) -> None:
        self._means = means
        self._plan = plan
        self._concluded = concluded
        self._loop = asyncio.get_running_loop()
        self.attempt_id = means.rng.randbytes(16)
        self.ledger_id = plan.ledger_id or self.attempt_id
        self._stamp_us = means.stamps.take(means.clock_us(), attempts)
        self._grace_ends = plan.deadline + FINISH_GRACE_S
        self._core = Coordinator(self.attempt_id, len(plan.participants), is_named=bool(plan.ledger_id))
        self._timer = self._loop.call_at(plan.deadline, self._handle, coordinator.DeadlinePassed())
        self.refusals = Refusals()

    def start(self) -> None:
        self._carry_out(self._core.start())

    def _handle(self, event: Event) -> None:
        self._carry_out(self._core.handle(event))
        if self._core.has_ended:
            self._timer.cancel()

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, coordinator.Prepare):
                self._prepare(effect.participant)
            elif isinstance(effect, coordinator.Begin):
                self._begin()
            elif isinstance(effect, coordinator.Decide):
                self._decide(is_committed=effect.is_committed)
            elif isinstance(effect, coordinator.Finish):
                self._finish(effect.participant, is_committed=effect.is_committed)
            elif isinstance(effect, coordinator.Close):
                self._close(is_committed=effect.is_committed)
            elif isinstance(effect, coordinator.Conclude):
                self._concluded(self, effect)
            else:
                self._means.recoveries.take(self.ledger_id, self.attempt_id, self._plan.keys)

    # The ledger

    def _begin(self) -> None:
        plan = self._plan
        request = ledger_requests.begin(
            self.ledger_id, self.attempt_id, self._stamp_us, plan.request_hash, plan.keys, self._means.clock_ms()
        )

        def answered(answer: LedgerAnswer) -> None:
            if answer.is_taken:
                self._handle(coordinator.Begun())
            elif answer.error is None:
                self._handle(coordinator.BeginLost(answer.row))
            else:
                self.refusals.errors.append(answer.error)
                self._handle(coordinator.BeginFailed())

        self._means.ledger.update(request, plan.deadline, answered)

    def _decide(self, *, is_committed: bool) -> None:
        request = ledger_requests.decide(self.ledger_id, self.attempt_id, is_committed=is_committed)

        def answered(answer: LedgerAnswer) -> None:
            if answer.is_taken:
                self._handle(coordinator.Decided())
            elif answer.error is None:
                self._handle(coordinator.DecideLost(answer.row))
            else:
                self.refusals.errors.append(answer.error)
                self._handle(coordinator.DecideFailed(answer.error.is_not_carried_out))

        self._means.ledger.update(request, self._plan.deadline if is_committed else self._grace_ends, answered)

    def _close(self, *, is_committed: bool) -> None:
        request = ledger_requests.close(
            self.ledger_id, self.attempt_id, self._means.clock_ms(), is_committed=is_committed
        )
        # Whoever was told that it is committed waits for nothing more; who was refused may begin it anew after this.
        update = self._means.ledger.update_later if is_committed else self._means.ledger.update
        update(request, self._grace_ends, lambda _: self._handle(coordinator.Closed()))

    # Participants

    def _prepare(self, index: int) -> None:
        plan, participant = self._plan, self._plan.participants[index]
        details = partition_pb2.TransactionDetails(
            ledger_id=self.ledger_id,
            attempt=self.attempt_id,
            stamp_us=self._stamp_us,
            items=plan.items[index],
            table_name=participant.table.name,
        )

        def answered(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            self._handle(coordinator.Prepared(index, self._answer_of(participant, reply, error)))

        self._means.storage.submit(
            PartitionCall(
                participant.table,
                PREPARE,
                participant.positions[0],
                plan.deadline,
                answered,
                token=self._means.rng.randbytes(16),
                details=details,
                begun=plan.begun,
            )
        )

    def _answer_of(
        self, participant: Participant, reply: partition_pb2.PartitionReply | None, error: StatorError | None
    ) -> Answer:
        if reply is None:
            assert error is not None
            return self._failed(participant, error)
        outcomes = reply.transaction.items
        self.refusals.outcomes.update(zip(participant.numbers, outcomes, strict=False))
        if reply.status == partition_pb2.OK:
            return Answer.ACCEPTED
        self._means.stamps.heard(reply.transaction.stamp_us, self._means.clock_us())
        return Answer.LATE if is_late(outcomes) else Answer.REFUSED

    def _failed(self, participant: Participant, error: StatorError) -> Answer:
        if (reason := throttling_reason(error)) is not None:
            self.refusals.throttled.update(dict.fromkeys(participant.numbers, reason))
            return Answer.REFUSED
        self.refusals.errors.append(error)
        return Answer.FAILED if error.is_not_carried_out else Answer.IN_DOUBT

    def _finish(self, index: int, *, is_committed: bool) -> None:
        def answered(error: StatorError | None) -> None:
            event = coordinator.Finished if error is None else coordinator.FinishFailed
            self._handle(event(index))

        participant = self._plan.participants[index]
        call = finish_call(
            participant, self.ledger_id, self.attempt_id, self._grace_ends, answered, is_committed=is_committed
        )
        self._means.storage.submit(call)
