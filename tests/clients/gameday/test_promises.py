"""What clients waited, and which promises that breaks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from stator.gameday.history import Call, Event, EventKind, History, Kind, Outcome
from stator.gameday.judge import Verdict, judge
from stator.gameday.promises import PROMISES, Got, Promise, compare, markdown, table, waits_s
from stator.gameday.scenario import load_scenario, parse_scenario

SCENARIO = parse_scenario("duration = 30", "known.toml")
MS = 1_000_000
STRICT = Promise("x", "known", "everything", wait_s_max=3, attempts_max=2, elections_max=0, added_s_max=0.1)
FAULT, UNDONE = Event(EventKind.FAULT, 5_000 * MS, "kill x", 5_100 * MS), Event(EventKind.UNDONE, 9_000 * MS, "start x")


def done(kind: Kind, from_ms: float, to_ms: float, key: str = "k", **more: Any) -> Call:
    return Call(1, kind, key, "v", int(from_ms * MS), int(to_ms * MS), Outcome.OK, **more)


def failed(kind: Kind, from_ms: float, to_ms: float, key: str = "k") -> Call:
    """Of unknown outcome, if it is a write."""
    if kind is Kind.READ:
        return Call(1, kind, key, None, int(from_ms * MS), int(to_ms * MS), Outcome.FAILED, error="no")
    return Call(1, kind, key, "v", int(from_ms * MS), None, error="no", gave_up_ns=int(to_ms * MS))


def waits_ms(*calls: Call, since_ms: float = 0) -> list[tuple[float, float]]:
    return [(at_ns / MS, round(1000 * wait_s, 6)) for at_ns, wait_s in waits_s(calls, int(since_ms * MS))]


def test_a_call_that_succeeds_waits_as_long_as_it_takes() -> None:
    """What was waited before the fault is not its doing."""
    calls = done(Kind.READ, 100, 300), done(Kind.READ, 400, 1_000)
    assert waits_ms(*calls) == [(100, 200), (400, 600)]
    assert waits_ms(*calls, since_ms=500) == [(100, 200), (500, 500)]


def test_a_call_that_fails_waits_until_the_same_is_answered() -> None:
    """On that key, and no answer that came before it gave up counts."""
    calls = [
        *(failed(Kind.PUT, 100, 300), done(Kind.PUT, 200, 299), done(Kind.PUT, 310, 350, key="other")),
        *(failed(Kind.PUT, 350, 400), done(Kind.PUT, 420, 500)),
    ]
    assert waits_ms(*calls) == [(100, 400), (200, 99), (350, 150), (420, 80), (310, 40)]
    assert waits_ms(*calls[:3])[0] == (100, math.inf)


def got(*calls: Call, promise: Promise = STRICT, events: tuple[Event, ...] = (FAULT, UNDONE)) -> Got:
    """With reads and writes that are as they should be, before and after the fault."""
    usual = [
        done(kind, at_ms, at_ms + 10)
        for kind in (Kind.PUT, Kind.READ)
        for at_ms in (*range(0, 4_900, 100), *range(5_000, 9_000, 100), *range(9_000, 20_000, 1_000))
    ]
    history = History(SCENARIO, {}, [*usual, *calls], list(events), is_complete=True)
    passed = Verdict([], judge(history).availability, 1, {}, 0.0, 1)
    return compare(promise, history, passed)


def test_a_promise_that_is_kept() -> None:
    """What happened before the fault is not counted."""
    result = got(done(Kind.READ, 1_000, 4_500), failed(Kind.READ_EVENTUAL, 6_000, 7_000))
    assert result.broken == []
    assert (result.errors, result.wait_s) == ({"reads": 0, "writes": 0}, {"reads": 0.01, "writes": 0.01})


ELECTED = Event(EventKind.ELECTED, 6_000 * MS, "partition 1 is led by storage-2, no longer by storage-1")


@pytest.mark.parametrize(
    ("calls", "events", "broken"),
    [
        ([failed(Kind.READ, 6_000, 6_001)], [], ["1 reads failed"]),
        ([failed(Kind.PUT, 6_000, 6_001)], [], ["1 writes failed"]),
        ([done(Kind.READ, 9_500, 12_510)], [], ["reads waited 3.01 s"]),
        ([done(Kind.PUT, 6_000, 6_200)] * 9, [], ["writes took 190 ms more"]),
        ([done(Kind.PUT, 6_000, 6_010, attempts=3)], [], ["a call was sent 3 times"]),
        ([done(Kind.PUT, 6_000, 6_010, attempts=2)], [], []),
        ([], [ELECTED], ["1 elections"]),
    ],
)
def test_a_promise_that_is_broken(calls: list[Call], events: list[Event], broken: list[str]) -> None:
    """In words, with how far."""
    assert got(*calls, events=(FAULT, UNDONE, *events)).broken == broken


def test_nothing_is_promised_of_what_is_not_said() -> None:
    """Of a promise that allows everything, only that the game day is a pass remains."""
    bad = [failed(Kind.READ, 6_000, 6_001), done(Kind.PUT, 6_000, 11_000, attempts=5)]
    result = got(*bad, promise=Promise("x", "known", "nothing", errors_max=None), events=(FAULT, UNDONE, ELECTED))
    assert result.broken == []
    assert replace(result, is_pass=False).broken == ["the game day is no pass"]


def test_time_may_count_from_the_end_of_the_fault() -> None:
    """As where nothing can be answered before it."""
    promise = Promise("x", "known", "back soon", since=EventKind.UNDONE, wait_s_max=2, errors_max=None)
    assert got(failed(Kind.PUT, 5_000, 8_990), promise=promise).wait_s["writes"] == pytest.approx(0.01)
    assert got(done(Kind.PUT, 5_000, 10_500), promise=promise).wait_s["writes"] == pytest.approx(1.5)
    assert got(done(Kind.PUT, 5_000, 11_500), promise=promise).broken == ["writes waited 2.50 s"]


def test_the_table_has_a_row_for_each_promise() -> None:
    """Also for what could not be measured, with the reason."""
    one = got()
    columns, rows = table([*(replace(one, promise=promise) for promise in PROMISES[:-1]), "no root"])
    assert [row[0] for row in rows] == [promise.event for promise in PROMISES]
    assert {len(row) for row in rows} == {len(columns)}
    assert rows[0][2:] == ["0.01", "0", "0.01", "0", "0 / 0", "1", "0", "0", "kept"]
    assert rows[-1][2:] == ["-"] * 8 + ["not measured: no root"]
    lines = markdown(columns, rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert lines[1].count("---") >= len(columns) - 8
    assert {line.count("|") for line in lines} == {len(columns) + 1}


def test_every_promise_has_its_scenario() -> None:
    """Which is shipped, and has no laxer bound of errors."""
    for promise in PROMISES:
        scenario = load_scenario(promise.scenario)
        assert scenario.faults
        assert promise.errors_max is None or scenario.errors_max == 0
