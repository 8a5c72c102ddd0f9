"""router/transactions/coordinator.py: one attempt, event by event. What all of it comes to is in test_protocol.py."""

from __future__ import annotations

import pytest

from router.transactions.coordinator import (
    Answer,
    Begin,
    BeginFailed,
    BeginLost,
    Begun,
    Close,
    Closed,
    Conclude,
    Conclusion,
    Coordinator,
    DeadlinePassed,
    Decide,
    Decided,
    DecideFailed,
    DecideLost,
    Effect,
    Event,
    Finish,
    Finished,
    FinishFailed,
    HandOver,
    Prepare,
    Prepared,
)
from router.transactions.ledger_row import LedgerRow, State

ONE = b"1" * 16
ACCEPTED = (Prepared(0, Answer.ACCEPTED), Prepared(1, Answer.ACCEPTED))
OF_ANOTHER = LedgerRow(b"i", b"2" * 16)
CANCELLED = LedgerRow(b"i", ONE, State.CANCELLED)
COMMITTED = LedgerRow(b"i", ONE, State.COMMITTED)
PREPARED = (Begun(), *ACCEPTED)
DECIDED = (*PREPARED, Decided())
IN_DOUBT = (*PREPARED, DecideFailed(False))


def told(conclusion: Conclusion, row: LedgerRow | None = None) -> Conclude:
    return Conclude(conclusion, row)


def after(*events: Event, is_named: bool = False) -> list[list[Effect]]:
    """The effects of each event, from the last that had all before it."""
    core = Coordinator(ONE, 2, is_named=is_named)
    core.start()
    return [core.handle(event) for event in events]


def test_the_ledger_and_the_participants_are_asked_at_once() -> None:
    assert Coordinator(ONE, 2, is_named=False).start() == [Begin(), Prepare(0), Prepare(1)]


def test_three_rounds_and_the_client_is_answered() -> None:
    assert after(*ACCEPTED, Begun(), Decided(), Finished(1), Finished(0), Closed()) == [
        [],
        [],
        [Decide(True)],
        [Finish(0, True), Finish(1, True)],
        [],
        [told(Conclusion.COMMITTED), Close(True)],
        [],
    ]


@pytest.mark.parametrize(
    ("events", "effects"),
    [
        ((Begun(), Prepared(0, Answer.ACCEPTED), Prepared(1, Answer.REFUSED)), [Finish(0, False)]),
        ((Prepared(0, Answer.REFUSED), Prepared(1, Answer.REFUSED)), []),
        ((Begun(), Prepared(0, Answer.IN_DOUBT), Prepared(1, Answer.REFUSED)), [Finish(0, False)]),
        ((Begun(), Prepared(0, Answer.FAILED), Prepared(1, Answer.ACCEPTED)), [Finish(1, False)]),
        ((*ACCEPTED, BeginFailed()), [Finish(0, False), Finish(1, False)]),
        ((*ACCEPTED, BeginLost(OF_ANOTHER)), [Finish(0, False), Finish(1, False)]),
        ((*PREPARED, DecideLost(CANCELLED)), [Finish(0, False), Finish(1, False)]),
        ((*PREPARED, DecideLost(OF_ANOTHER)), [Finish(0, False), Finish(1, False)]),
        ((*PREPARED, DecideLost(LedgerRow(b"i", b"2" * 16, State.COMMITTED))), [Finish(0, False), Finish(1, False)]),
        ((*PREPARED, DecideLost(None)), [Finish(0, False), Finish(1, False)]),
        ((*PREPARED, DecideLost(COMMITTED)), [Finish(0, True), Finish(1, True)]),
        ((*PREPARED, DecideFailed(True)), [Finish(0, False), Finish(1, False)]),
        (IN_DOUBT, [Decide(False)]),
        ((*IN_DOUBT, Decided()), [Finish(0, False), Finish(1, False)]),
        ((*IN_DOUBT, DecideLost(COMMITTED)), [Finish(0, True), Finish(1, True)]),
        ((*IN_DOUBT, DecideFailed(True)), [told(Conclusion.IN_DOUBT), HandOver()]),
        ((*DECIDED, Finished(0), FinishFailed(1)), [told(Conclusion.IN_DOUBT), HandOver()]),
        ((*DECIDED, FinishFailed(0), Finished(1)), [told(Conclusion.IN_DOUBT), HandOver()]),
    ],
)
def test_the_last_effects(events: tuple[Event, ...], effects: list[Effect]) -> None:
    assert after(*events)[-1] == effects


@pytest.mark.parametrize(
    ("events", "conclusion"),
    [
        ((Begun(), Prepared(0, Answer.LATE), Prepared(1, Answer.REFUSED)), Conclusion.REFUSED),
        ((Begun(), Prepared(0, Answer.FAILED), Prepared(1, Answer.REFUSED)), Conclusion.REFUSED),
        ((Begun(), Prepared(0, Answer.FAILED), Prepared(1, Answer.LATE)), Conclusion.FAILED),
        ((Begun(), Prepared(0, Answer.LATE), Prepared(1, Answer.LATE)), Conclusion.AGAIN),
        ((BeginFailed(), Prepared(0, Answer.LATE), Prepared(1, Answer.REFUSED)), Conclusion.REFUSED),
        ((BeginFailed(), Prepared(0, Answer.LATE), Prepared(1, Answer.LATE)), Conclusion.FAILED),
    ],
)
def test_the_most_telling_answer_counts(events: tuple[Event, ...], conclusion: Conclusion) -> None:
    assert told(conclusion) in after(*events)[-1]


def test_reasons_are_told_only_once_the_ledger_has_answered() -> None:
    """A condition that does not hold may be the work of the same transaction, sent before."""
    refused = (Prepared(0, Answer.REFUSED), Prepared(1, Answer.REFUSED))
    assert after(*refused, BeginFailed())[-1] == [told(Conclusion.REFUSED)]
    assert after(*refused, BeginFailed(), is_named=True)[-1] == [told(Conclusion.FAILED)]
    assert after(*refused, BeginLost(OF_ANOTHER)) == [[], [], [told(Conclusion.TAKEN, OF_ANOTHER)]]


def test_whoever_may_ask_again_is_answered_when_the_ledger_is_ready_for_that() -> None:
    events = (Begun(), Prepared(0, Answer.ACCEPTED), Prepared(1, Answer.REFUSED), Finished(0), Closed())
    assert after(*events)[3:] == [[told(Conclusion.REFUSED), Close(False)], []]
    assert after(*events, is_named=True)[3:] == [[Close(False)], [told(Conclusion.REFUSED)]]


def test_an_attempt_that_was_cancelled_by_others_is_made_again() -> None:
    events = (*PREPARED, DecideLost(CANCELLED), Finished(0), Finished(1))
    assert after(*events)[-1] == [told(Conclusion.AGAIN), Close(False)]


def test_what_is_not_known_to_be_begun_is_not_closed() -> None:
    assert after(*ACCEPTED, BeginFailed(), Finished(0), Finished(1))[-1] == [told(Conclusion.FAILED)]


def test_marks_that_cannot_be_taken_away_are_handed_over_and_the_client_knows() -> None:
    events = (Begun(), Prepared(0, Answer.ACCEPTED), Prepared(1, Answer.REFUSED), FinishFailed(0))
    assert after(*events)[-1] == [told(Conclusion.REFUSED), HandOver()]


@pytest.mark.parametrize(
    ("events", "conclusion"),
    [
        ((), Conclusion.FAILED),
        (PREPARED, Conclusion.IN_DOUBT),
        (IN_DOUBT, Conclusion.IN_DOUBT),
        (DECIDED, Conclusion.IN_DOUBT),
        ((Begun(), Prepared(0, Answer.ACCEPTED), Prepared(1, Answer.REFUSED)), Conclusion.REFUSED),
        ((Begun(), Prepared(0, Answer.REFUSED), Prepared(1, Answer.REFUSED)), Conclusion.REFUSED),
    ],
)
def test_when_the_time_is_over_the_client_is_told_what_is_known(
    events: tuple[Event, ...], conclusion: Conclusion
) -> None:
    assert after(*events, DeadlinePassed(), is_named=True)[-1] == [told(conclusion)]


def test_after_the_deadline_nothing_is_committed_any_more_and_the_rest_goes_on() -> None:
    assert after(DeadlinePassed(), *PREPARED, Finished(0), Finished(1))[1:] == [
        [],
        [],
        [Finish(0, False), Finish(1, False)],
        [],
        [Close(False)],
    ]
    assert after(*DECIDED, DeadlinePassed(), Finished(0), Finished(1))[-1] == [Close(True)]


def test_what_comes_twice_or_too_late_changes_nothing() -> None:
    core = Coordinator(ONE, 2, is_named=True)
    core.start()
    early: tuple[Event, ...] = (Finished(0), Decided(), Closed(), *ACCEPTED[:1], Prepared(0, Answer.REFUSED))
    for event in early:
        assert core.handle(event) == []
    assert core.answers == [Answer.ACCEPTED, None]
    core.handle(Begun())
    assert core.handle(BeginLost(OF_ANOTHER)) == []
    assert core.handle(Prepared(1, Answer.ACCEPTED)) == [Decide(True)]
    for event in (Begun(), *ACCEPTED):
        assert not core.handle(event)
    core.handle(DecideFailed(False))
    assert core.handle(Begun()) == []
    core.handle(DecideLost(COMMITTED))
    assert core.handle(Finished(0)) == core.handle(Finished(0)) == core.handle(Decided()) == []
    core.handle(Finished(1))
    assert [core.has_ended, core.handle(Closed()), core.has_ended] == [False, [], True]
    assert core.handle(Closed()) == core.handle(DeadlinePassed()) == []
