"""router/transactions/recovery.py: what is done about an attempt, by what the ledger says of it."""

from __future__ import annotations

import pytest

from router.transactions.ledger_row import LedgerRow, State
from router.transactions.recovery import (
    STEPS_MAX,
    Cancel,
    Close,
    Effect,
    End,
    Event,
    Failed,
    Finish,
    Finished,
    Lost,
    Read,
    Recovery,
    Refuse,
    RowRead,
    Taken,
    covers,
    merged,
)

ONE, OTHER = b"1" * 16, b"2" * 16
MARKS = {"t": (b"a",)}
KEYS = {"t": (b"b",), "u": (b"c",)}
ALL = {"t": (b"a", b"b"), "u": (b"c",)}


def row(state: State, attempt: bytes = ONE, *, is_done: bool = False, refused: bytes = b"") -> LedgerRow:
    return LedgerRow(b"i", attempt, state, 0, b"", KEYS, is_done, frozenset({refused}))


PREPARING, COMMITTED, CANCELLED = (row(state) for state in State)


def course(*events: Event) -> list[Effect]:
    """The effects, from the first on."""
    recovery = Recovery(ONE, MARKS)
    return [recovery.start(), *(recovery.handle(event) for event in events)]


@pytest.mark.parametrize(
    ("events", "effects"),
    [
        ((RowRead(COMMITTED), Finished(), Taken()), [Finish(True, ALL), Close(True), End(True)]),
        ((RowRead(CANCELLED), Finished(), Taken()), [Finish(False, ALL), Close(False), End(True)]),
        (
            (RowRead(PREPARING), Taken(), Finished(), Taken()),
            [Cancel(), Finish(False, ALL), Close(False), End(True)],
        ),
        ((RowRead(PREPARING), Lost(COMMITTED), Finished()), [Cancel(), Finish(True, ALL), Close(True)]),
        ((RowRead(None), Taken(), Finished()), [Refuse(True), Finish(False, MARKS), End(True)]),
        ((RowRead(None), Lost(PREPARING)), [Refuse(True), Cancel()]),
        ((RowRead(PREPARING), Lost(None)), [Cancel(), Refuse(True)]),
        ((RowRead(row(State.PREPARING, OTHER)), Taken()), [Refuse(False), Finish(False, MARKS)]),
        ((RowRead(row(State.COMMITTED, OTHER, is_done=True)), Taken()), [Refuse(True), Finish(False, MARKS)]),
        ((RowRead(row(State.PREPARING, b"")), Taken()), [Refuse(True), Finish(False, MARKS)]),
        ((RowRead(row(State.PREPARING, OTHER, refused=ONE)), Finished()), [Finish(False, MARKS), End(True)]),
        ((RowRead(row(State.COMMITTED, is_done=True)), Finished()), [Finish(False, MARKS), End(True)]),
    ],
)
def test_the_row_says_what_becomes_of_the_marks(events: tuple[Event, ...], effects: list[Effect]) -> None:
    assert course(*events) == [Read(), *effects]


@pytest.mark.parametrize(
    ("events", "is_done"),
    [
        ((Failed(),), False),
        ((RowRead(PREPARING), Failed()), False),
        ((RowRead(None), Failed()), False),
        ((RowRead(COMMITTED), Failed()), False),
        ((RowRead(COMMITTED), Finished(), Failed()), True),
        ((RowRead(COMMITTED), Finished(), Lost(None)), True),
    ],
)
def test_what_fails_is_left_to_the_next(events: tuple[Event, ...], is_done: bool) -> None:
    """But for the last word to the ledger, which nothing depends on."""
    assert course(*events)[-1] == End(is_done)


def test_whoever_always_loses_gives_up() -> None:
    events = [Lost(each) for _ in range(STEPS_MAX) for each in (PREPARING, None)]
    assert course(RowRead(None), *events)[STEPS_MAX + 1] == End(False)


def test_keys_are_put_together_by_table() -> None:
    assert merged(MARKS, KEYS) == merged(KEYS, MARKS) == ALL
    assert merged({}, MARKS) == merged(MARKS, MARKS) == MARKS
    assert covers(ALL, KEYS) and covers(ALL, MARKS) and covers(MARKS, {})
    assert not covers(MARKS, KEYS) and not covers({}, MARKS)
