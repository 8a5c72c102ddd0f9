"""What the coordinator of a transaction over several partitions does next: events in, effects out.

The invariants: an attempt is committed by its row in the ledger and by nothing else, so FINISH(committed) is sent only
once the row is known to say so. Nobody but its coordinator commits it: so a coordinator that has not sent that decision
may take the marks away at once, and write down afterwards that it did. Each participant that may have marks is
finished, or that is handed over to the recovery. And the attempt is concluded exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from router.transactions.ledger_row import LedgerRow, State


class Answer(Enum):
    """A participant's, to PREPARE."""

    ACCEPTED = auto()  # all of its items are marked
    REFUSED = auto()  # none is, for reasons that the client is told
    LATE = auto()  # none is, and for no other reason than the attempt's stamp
    FAILED = auto()  # none is, nor will be
    IN_DOUBT = auto()  # they may be


@dataclass(frozen=True, slots=True)
class Prepared:
    """A participant has answered PREPARE, or it is given up on."""

    participant: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Begun:
    """The ledger has the attempt."""


@dataclass(frozen=True, slots=True)
class BeginLost:
    """The ledger did not take it, because of the row that it has. None: that is not known."""

    row: LedgerRow | None


@dataclass(frozen=True, slots=True)
class BeginFailed:
    """It may have it."""


@dataclass(frozen=True, slots=True)
class Decided:
    """The ledger took the decision that was asked for last."""


@dataclass(frozen=True, slots=True)
class DecideLost:
    """It did not, because of the row that it has; None: it has none."""

    row: LedgerRow | None


@dataclass(frozen=True, slots=True)
class DecideFailed:
    """It did not, for certain, or may have."""

    is_certain: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """No item of the participant has a mark of the attempt."""

    participant: int


@dataclass(frozen=True, slots=True)
class FinishFailed:
    """Some may have one."""

    participant: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The ledger knows that the attempt is done, or could not be told."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The client's time is over."""


Event: TypeAlias = (
    Prepared
    | Begun
    | BeginLost
    | BeginFailed
    | Decided
    | DecideLost
    | DecideFailed
    | Finished
    | FinishFailed
    | Closed
    | DeadlinePassed
)


@dataclass(frozen=True, slots=True)
class Begin:
    """Asks the ledger to take the attempt."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Asks a participant to mark its items."""

    participant: int


@dataclass(frozen=True, slots=True)
class Decide:
    """Asks the ledger to take a decision, where none is taken."""

    is_committed: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """Asks a participant to carry out what it has marked, or to take the marks away."""

    participant: int
    is_committed: bool


@dataclass(frozen=True, slots=True)
class Close:
    """Tells the ledger that the attempt is done."""

    is_committed: bool


class Conclusion(Enum):
    """What becomes of the attempt, as far as its client goes."""

    COMMITTED = auto()
    REFUSED = auto()  # participants have said why
    AGAIN = auto()  # it came to nothing, and another one may do better
    TAKEN = auto()  # the ledger has another attempt under the same id
    FAILED = auto()  # it came to nothing: somebody could not be asked, or time ran out
    IN_DOUBT = auto()  # it may have been carried out, or may yet be


@dataclass(frozen=True, slots=True)
class Conclude:
    """`row`: of TAKEN."""

    conclusion: Conclusion
    row: LedgerRow | None = None


@dataclass(frozen=True, slots=True)
class HandOver:
    """What is left is the recovery's."""


Effect: TypeAlias = Begin | Prepare | Decide | Finish | Close | Conclude | HandOver


class _Phase(Enum):
    PREPARING = auto()
    COMMITTING = auto()  # the ledger is asked to take that decision
    RESOLVING = auto()  # whether it did is not known; it is asked to take the other one
    FINISHING = auto()
    CLOSING = auto()
    ENDED = auto()


class Coordinator:
    """Of one attempt, with participants numbered from 0. `is_named`: its client may ask for the same again, under the
    same ledger id; then it is concluded only when the ledger is ready for that."""

    def __init__(self, attempt: bytes, participants: int, *, is_named: bool) -> None:
        self._attempt = attempt
        self._is_named = is_named
        self._phase = _Phase.PREPARING
        self._answers: list[Answer | None] = [None] * participants
        self._begin: Begun | BeginLost | BeginFailed | None = None
        self._is_committed = False  # from FINISHING on
        self._unfinished: set[int] = set()  # that have not answered FINISH
        self._has_failed = False  # one of those that did
        self._outcome = Conclude(Conclusion.FAILED)  # to be told, once all is done
        self._is_concluded = False

    @property
    def has_ended(self) -> bool:
        return self._phase is _Phase.ENDED

    @property
    def answers(self) -> Sequence[Answer | None]:
        """Of the participants, to PREPARE."""
        return self._answers

    def start(self) -> list[Effect]:
        """What comes first."""
        return [Begin(), *(Prepare(index) for index in range(len(self._answers)))]

    def handle(self, event: Event) -> list[Effect]:
        """What comes next. What comes twice, or too late to matter, changes nothing."""
        if isinstance(event, DeadlinePassed):
            return self._deadline_passed()
        if self._phase is _Phase.PREPARING:
            return self._preparing(event)
        if self._phase is _Phase.COMMITTING:
            return self._committing(event)
        if self._phase is _Phase.RESOLVING:
            return self._resolving(event)
        if self._phase is _Phase.FINISHING:
            return self._finishing(event)
        if self._phase is _Phase.CLOSING and isinstance(event, Closed):
            self._phase = _Phase.ENDED
            return self._conclude(self._outcome)
        return []

    def _preparing(self, event: Event) -> list[Effect]:
        if isinstance(event, Prepared):
            self._answers[event.participant] = self._answers[event.participant] or event.answer
        elif isinstance(event, (Begun, BeginLost, BeginFailed)):
            self._begin = self._begin or event
        if self._begin is None or None in self._answers:
            return []
        # A client is told of reasons only once it is known that this has not been carried out long since.
        accepted = all(answer is Answer.ACCEPTED for answer in self._answers)
        if accepted and isinstance(self._begin, Begun) and not self._is_concluded:
            self._phase = _Phase.COMMITTING
            return [Decide(True)]
        return self._finish(self._judged(), is_committed=False)

    def _judged(self) -> Conclude:
        """What an attempt comes to that is not to be committed."""
        if isinstance(self._begin, BeginLost):
            return Conclude(Conclusion.TAKEN, self._begin.row)
        is_known_as_new = isinstance(self._begin, Begun) or not self._is_named
        if Answer.REFUSED in self._answers and is_known_as_new:
            return Conclude(Conclusion.REFUSED)
        if isinstance(self._begin, BeginFailed) or {Answer.FAILED, Answer.IN_DOUBT} & set(self._answers):
            return Conclude(Conclusion.FAILED)
        return Conclude(Conclusion.AGAIN)

    def _committing(self, event: Event) -> list[Effect]:
        if isinstance(event, Decided):
            return self._finish(Conclude(Conclusion.COMMITTED), is_committed=True)
        if isinstance(event, DecideLost):
            return self._as_row_says(event.row)
        if isinstance(event, DecideFailed):
            if event.is_certain:
                return self._finish(Conclude(Conclusion.FAILED), is_committed=False)
            self._phase = _Phase.RESOLVING
            return [Decide(False)]
        return []

    def _resolving(self, event: Event) -> list[Effect]:
        if isinstance(event, Decided):
            return self._finish(Conclude(Conclusion.AGAIN), is_committed=False)
        if isinstance(event, DecideLost):
            return self._as_row_says(event.row)
        if isinstance(event, DecideFailed):
            self._phase = _Phase.ENDED
            return [*self._conclude(Conclude(Conclusion.IN_DOUBT)), HandOver()]
        return []

    def _as_row_says(self, row: LedgerRow | None) -> list[Effect]:
        """Somebody else, or this coordinator in an attempt of its that was in doubt, has decided. A row that is about
        another attempt, or gone, was this one's while that was cancelled, and done."""
        if row is not None and row.is_of(self._attempt) and row.state is State.COMMITTED:
            return self._finish(Conclude(Conclusion.COMMITTED), is_committed=True)
        return self._finish(Conclude(Conclusion.AGAIN), is_committed=False)

    def _finish(self, outcome: Conclude, *, is_committed: bool) -> list[Effect]:
        self._phase = _Phase.FINISHING
        self._is_committed = is_committed
        self._outcome = outcome
        marked = (Answer.ACCEPTED, Answer.IN_DOUBT)
        numbers = [index for index, answer in enumerate(self._answers) if answer in marked]
        self._unfinished = set(numbers)
        if not numbers:
            return self._all_finished()
        return [Finish(index, is_committed) for index in numbers]

    def _finishing(self, event: Event) -> list[Effect]:
        if not isinstance(event, (Finished, FinishFailed)) or event.participant not in self._unfinished:
            return []
        self._unfinished.discard(event.participant)
        self._has_failed = self._has_failed or isinstance(event, FinishFailed)
        return [] if self._unfinished else self._all_finished()

    def _all_finished(self) -> list[Effect]:
        if self._has_failed:
            self._phase = _Phase.ENDED
            outcome = Conclude(Conclusion.IN_DOUBT) if self._is_committed else self._outcome
            return [*self._conclude(outcome), HandOver()]
        if not isinstance(self._begin, Begun):
            self._phase = _Phase.ENDED
            return self._conclude(self._outcome)
        self._phase = _Phase.CLOSING
        if self._is_named and not self._is_committed:
            return [Close(False)]
        return [*self._conclude(self._outcome), Close(self._is_committed)]

    def _deadline_passed(self) -> list[Effect]:
        """The client is told what can be told; the rest is done all the same."""
        if self._phase is _Phase.PREPARING:
            return self._conclude(Conclude(Conclusion.FAILED))
        is_cancelled = self._phase in (_Phase.FINISHING, _Phase.CLOSING) and not self._is_committed
        return self._conclude(self._outcome if is_cancelled else Conclude(Conclusion.IN_DOUBT))

    def _conclude(self, conclude: Conclude) -> list[Effect]:
        if self._is_concluded:
            return []
        self._is_concluded = True
        return [conclude]
