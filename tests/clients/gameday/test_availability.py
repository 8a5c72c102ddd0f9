"""What clients got, counted by hand."""

from __future__ import annotations

import math

import pytest
from stator.gameday.availability import measure, quantiles
from stator.gameday.history import Call, History, Kind, Outcome
from stator.gameday.scenario import parse_scenario

MS = 1_000_000


def call(kind: Kind, from_ms: int, to_ms: int, outcome: Outcome = Outcome.OK, router: str = "") -> Call:
    is_known = outcome is not Outcome.UNKNOWN
    error = "" if outcome in (Outcome.OK, Outcome.REFUSED) else "UnavailableError: nobody"
    return Call(
        *(0, kind, "k", None, from_ms * MS, to_ms * MS if is_known else None, outcome),
        error=error,
        router=router,
        gave_up_ns=None if is_known else to_ms * MS,
    )


HISTORY = History(
    parse_scenario("duration = 4", "counted.toml"),
    {},
    [
        call(Kind.PUT, 0, 100),
        call(Kind.PUT_IF, 200, 900, Outcome.REFUSED),
        call(Kind.DELETE, 900, 3_500),
        call(Kind.PUT, 1_000, 2_500, Outcome.UNKNOWN),
        call(Kind.READ, 100, 110),
        call(Kind.READ, 2_000, 2_100, Outcome.FAILED),
        call(Kind.READ, 3_990, 4_200),
        call(Kind.READ, 4_300, 4_400, router="any"),
    ],
)


def test_by_class() -> None:
    """A refused condition is an answer; the reading back is no load; gaps reach from the beginning to the end."""
    classes = measure(HISTORY).classes
    writes, reads, eventual = classes["writes"], classes["reads"], classes["eventual reads"]
    assert (writes.successes, writes.errors, reads.successes, reads.errors) == (3, 1, 2, 1)
    gaps_s = [writes.longest_gap_s, writes.gap_from_s, reads.longest_gap_s, reads.gap_from_s]
    assert gaps_s == pytest.approx([2.6, 0.9, 3.89, 0.11])
    assert writes.fraction == 0.75
    assert writes.latencies_s == {"p50": 0.7, "p99": 2.6, "max": 2.6}
    assert (eventual.successes, eventual.longest_gap_s) == (0, 4.0)
    assert math.isnan(eventual.fraction)


def test_by_second() -> None:
    """A call belongs to the second in which it ended; what ends after the run to none."""
    measured = measure(HISTORY)
    assert [(dict(each.successes), each.errors) for each in measured.seconds] == [
        ({"writes": 2, "reads": 1, "eventual reads": 0}, 0),
        ({"writes": 0, "reads": 0, "eventual reads": 0}, 0),
        ({"writes": 0, "reads": 0, "eventual reads": 0}, 2),
        ({"writes": 1, "reads": 0, "eventual reads": 0}, 0),
    ]
    assert measured.seconds[3].latencies_s["max"] == 2.6
    assert (measured.errors, measured.error_texts) == (2, {"UnavailableError": 2})


def test_quantiles() -> None:
    """The least duration that so many do not exceed."""
    assert quantiles([3.0, 1.0, 2.0, 4.0]) == {"p50": 2.0, "p99": 4.0, "max": 4.0}
    assert all(math.isnan(each) for each in quantiles([]).values())
