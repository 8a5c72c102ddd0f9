"""What is done about an attempt that nobody may be at work on any more: events in, effects out.

Any number may recover the same attempt, and its coordinator may be at work on it after all: each asks the ledger, and
acts as its row says. The invariant: marks are made items only where the row says COMMITTED, and taken away only where
it says CANCELLED, or that the attempt may not begin, or that it is done: whatever has come since then was late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from router.transactions.ledger_row import LedgerRow, Participants, State


@dataclass(frozen=True, slots=True)
class RowRead:
    """The row as the ledger has it; None: it has none."""

    row: LedgerRow | None


@dataclass(frozen=True, slots=True)
class Taken:
    """The ledger took what was asked of it last."""


@dataclass(frozen=True, slots=True)
class Lost:
    """It did not, because of the row that it has; None: it has none."""

    row: LedgerRow | None


@dataclass(frozen=True, slots=True)
class Finished:
    """None of the items has a mark of the attempt."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What was asked for last was not done, or may not have been."""


Event: TypeAlias = RowRead | Taken | Lost | Finished | Failed


@dataclass(frozen=True, slots=True)
class Read:
    """Asks the ledger for the row."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Asks it to let the attempt never begin. `is_over`: its row, if any, is about none that is under way."""

    is_over: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """Asks it to decide so, where nothing is decided."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Asks all participants to carry out what they have marked, or to take the marks away."""

    is_committed: bool
    keys: Participants


@dataclass(frozen=True, slots=True)
class Close:
    """Tells it that the attempt is done."""

    is_committed: bool


@dataclass(frozen=True, slots=True)
class End:
    """`is_done`: no mark that is known of is left."""

    is_done: bool


Effect: TypeAlias = Read | Refuse | Cancel | Finish | Close | End

STEPS_MAX = 16
"""What the ledger may be asked in all: who always loses leaves it to those who win."""


class Recovery:
    """Of one attempt. `marks`: keys of items that are known to have its marks. One thing is asked for at a time."""

    def __init__(self, attempt: bytes, marks: Participants) -> None:
        self._attempt = attempt
        self._marks = marks
        self._row: LedgerRow | None = None
        self._asked: Effect = Read()
        self._steps = 0

    def start(self) -> Effect:
        """What comes first."""
        return self._asked

    def handle(self, event: Event) -> Effect:
        """What comes next."""
        self._asked = self._next(event)
        return self._asked

    def _next(self, event: Event) -> Effect:
        asked = self._asked
        if isinstance(asked, Close):  # what was to be done is done, whether the ledger knows or not
            return End(True)
        if isinstance(event, Failed):
            return End(False)
        if isinstance(event, RowRead | Lost):
            return self._as_row_says(event.row)
        if isinstance(asked, Refuse):
            return Finish(False, self._marks)
        if isinstance(asked, Cancel):
            assert self._row is not None, "a row was there to be asked about"
            return self._finish(self._row, is_committed=False)
        assert isinstance(asked, Finish), "nothing else is finished"
        if self._row is None or not self._row.is_of(self._attempt) or self._row.is_done:
            return End(True)
        return Close(asked.is_committed)

    def _as_row_says(self, row: LedgerRow | None) -> Effect:
        self._row = row
        self._steps += 1
        if self._steps > STEPS_MAX:
            return End(False)
        if row is None or not row.is_of(self._attempt):
            if row is not None and self._attempt in row.refused:
                return Finish(False, self._marks)
            return Refuse(is_over=row is None or not row.attempt or row.is_done)
        if row.is_done:
            return Finish(False, self._marks)
        if row.state is State.PREPARING:
            return Cancel()
        return self._finish(row, is_committed=row.state is State.COMMITTED)

    def _finish(self, row: LedgerRow, *, is_committed: bool) -> Effect:
        return Finish(is_committed, merged(row.participants, self._marks))


def merged(one: Participants, other: Participants) -> Participants:
    """The keys of both."""
    keys: Mapping[str, set[bytes]] = {name: {*one.get(name, ()), *other.get(name, ())} for name in {**one, **other}}
    return {name: tuple(sorted(each)) for name, each in keys.items()}


def covers(one: Participants, other: Participants) -> bool:
    """Whether all keys of the other are among those of the one."""
    return merged(one, other) == merged(one, {})
