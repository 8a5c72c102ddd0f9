"""Histories that are known to be good or bad, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stator.gameday.history import Call, Event, EventKind, History, Kind, Outcome
from stator.gameday.judge import Flaw, judge
from stator.gameday.linearizability import ANYTHING
from stator.gameday.scenario import parse_scenario

SCENARIO = parse_scenario("duration = 100\neventual_within = 5", "known.toml")
MS = 1_000_000


def put(value: str | None, from_ms: int, to_ms: int | None, **more: Any) -> Call:
    """A put of a value, or a deletion; without a return of unknown outcome."""
    kind = more.pop("kind", Kind.DELETE if value is None else Kind.PUT)
    outcome = more.pop("outcome", Outcome.UNKNOWN if to_ms is None else Outcome.OK)
    return Call(0, kind, "k", value, from_ms * MS, None if to_ms is None else to_ms * MS, outcome, **more)


def read(value: str | None, from_ms: int, to_ms: int, **more: Any) -> Call:
    return Call(1, Kind.READ, "k", value, from_ms * MS, to_ms * MS, Outcome.OK, **more)


def eventual(value: str | None, from_ms: int, to_ms: int, **more: Any) -> Call:
    return Call(2, Kind.READ_EVENTUAL, "k", value, from_ms * MS, to_ms * MS, Outcome.OK, **more)


def refused(expected: str | None, found: str | None, from_ms: int, to_ms: int) -> Call:
    return put("refused", from_ms, to_ms, kind=Kind.PUT_IF, outcome=Outcome.REFUSED, expected=expected, found=found)


def end(value: str | None, *zones: str | None) -> list[Call]:
    """The reading back: strongly, and eventually through three routers."""
    seen = zones or (value, value, value)
    places = enumerate(seen, 1)
    return [
        read(value, 90_000, 90_001, router="any"),
        *(eventual(each, 90_002, 90_003, router=f"router-{number}") for number, each in places),
    ]


def history(*calls: Call) -> History:
    return History(SCENARIO, {}, list(calls), [], is_complete=True)


def flaws(judged: History, states_max: int = 100_000) -> list[Flaw]:
    """What was found, but for what a few calls cannot prove."""
    verdict = judge(judged, states_max)
    assert verdict.is_pass is (not verdict.findings)
    return [each.flaw for each in verdict.findings if "this proves nothing" not in each.text]


GOOD: dict[str, list[Call]] = {
    "a write and its reads": [put("a", 1, 2), read("a", 3, 4), eventual("a", 3, 4), *end("a")],
    "nothing but deletions": [put(None, 1, 2), read(None, 3, 4), *end(None)],
    "a write that may have taken effect late": [put("a", 1, None), read(None, 50, 51), read("a", 60, 61), *end("a")],
    "a write that never took effect": [put("a", 1, None), put("b", 2, 3), *end("b")],
    "a deletion of unknown outcome": [put("a", 1, 2), put(None, 3, None), read("a", 5, 6), *end(None)],
    "an eventual read within the bound": [put("a", 1, 2), put("b", 3, 4), eventual("a", 5_000, 5_001), *end("b")],
    "an eventual read of what was there again": [
        *(put(None, 1, 2), put("a", 3, 4), put(None, 8_000, 8_001)),
        *(eventual(None, 9_000, 9_001), *end(None)),
    ],
    "an eventual read of an unknown write": [put("a", 1, None), put("b", 3, 4), eventual("a", 9_000, 9_001), *end("b")],
    "a condition that held": [put("a", 1, 2), put("b", 3, 4, kind=Kind.PUT_IF, expected="a"), *end("b")],
    "a condition that did not": [put("a", 1, 2), refused("x", "a", 3, 4), *end("a")],
    "a deletion that tells what was there": [put("a", 1, 2), put(None, 3, 4, found="a"), *end(None)],
    "a read that failed": [put("a", 1, 2), replace(read(None, 3, 4), outcome=Outcome.FAILED, error="E: x"), *end("a")],
    "differences that went away": [put("a", 89_000, 89_001), *end("a", "a", None, "a"), *end("a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories(name: str) -> None:
    """Nothing is found in what a right database may answer."""
    assert flaws(history(*GOOD[name])) == []


LOST = {Flaw.LOST, Flaw.NOT_LINEARIZABLE, Flaw.STALE}
"""What a write that is gone looks like: also the routers' eventually consistent reads at the end are too old."""

BAD: dict[str, tuple[list[Call], set[Flaw]]] = {
    "a lost write": ([put("a", 1, 2), put("b", 3, 4), *end("a")], LOST),
    "a lost first write": ([put("a", 1, 2), *end(None)], LOST),
    "a lost deletion": ([put("a", 1, 2), put(None, 3, 4), *end("a")], LOST),
    "a lost write of unknown outcome that was seen": (
        [put("a", 1, 2), put("b", 3, None), read("b", 5, 6), *end("a")],
        LOST,
    ),
    "a stale strong read": (
        [put("a", 1, 2), put("b", 3, 4), read("a", 5, 6), *end("b")],
        {Flaw.NOT_LINEARIZABLE},
    ),
    "a read that goes back": (
        [put("a", 1, 2), put("b", 3, 99), read("b", 5, 6), read("a", 7, 8), *end("b")],
        {Flaw.NOT_LINEARIZABLE},
    ),
    "a stale eventual read": (
        [put("a", 1, 2), put("b", 3, 4), eventual("a", 5_005, 5_006), *end("b")],
        {Flaw.STALE},
    ),
    "an eventual read of no item, too late": ([put("a", 1, 2), eventual(None, 5_003, 5_004), *end("a")], {Flaw.STALE}),
    "a stale eventual read of an unknown write that was seen": (
        [put("a", 1, None), read("a", 3, 4), put("b", 5, 6), eventual("a", 6_000, 6_001), *end("b")],
        {Flaw.STALE},
    ),
    "a value from nowhere": ([put("a", 1, 2), eventual("x", 3, 4), *end("a")], {Flaw.WRONG}),
    "a value before its time": ([eventual("a", 1, 2), put("a", 3, 4), *end("a")], {Flaw.WRONG}),
    "the value of a failed write": (
        [put("a", 1, 2), put("b", 3, 4, outcome=Outcome.FAILED, error="E: x"), eventual("b", 5, 6), *end("a")],
        {Flaw.WRONG},
    ),
    "the value of a refused write": (
        [put("a", 1, 2), refused("x", "a", 3, 4), eventual("refused", 5, 6), *end("a")],
        {Flaw.WRONG},
    ),
    "a condition that was refused though it held": ([put("a", 1, 2), refused("a", "a", 3, 4), *end("a")], {Flaw.WRONG}),
    "a condition that held on what was gone": (
        [put("a", 1, 2), put("b", 3, 4), put("c", 5, 6, kind=Kind.PUT_IF, expected="a"), *end("c")],
        {Flaw.NOT_LINEARIZABLE},
    ),
    "two that replaced the same": (
        [put("a", 1, 2), put("b", 3, 9, found="a"), put("c", 3, 9, found="a"), *end("c")],
        {Flaw.NOT_LINEARIZABLE},
    ),
    "a refusal that shows what was gone": (
        [put("a", 1, 2), put("b", 3, 4), refused("x", "a", 5, 6), *end("b")],
        {Flaw.NOT_LINEARIZABLE},
    ),
    "zones that differ": ([put("a", 1, 2), put("b", 3, 4), *end("b", "b", "a", "b")], {Flaw.DIVERGED, Flaw.STALE}),
    "never read back": ([put("a", 1, 2), read("a", 3, 4)], {Flaw.UNREAD}),
    "only read back in part": ([put("a", 1, 2), *end("a")[1:]], {Flaw.UNREAD}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_histories(name: str) -> None:
    """Each breach is found, and nothing else."""
    calls, expected = BAD[name]
    assert set(flaws(history(*calls))) == expected


def test_undecided_is_no_pass() -> None:
    """A search that is given up is a finding."""
    calls = [put(f"v{number}", 0, 100) for number in range(14)]
    assert flaws(history(*calls, *end("v3")), states_max=2) == [Flaw.UNDECIDED]
    assert flaws(history(*calls, *end("v3"))) == []


def test_a_history_that_breaks_off_is_no_pass() -> None:
    """It proves nothing."""
    broken = history(*GOOD["a write and its reads"])
    broken.is_complete = False
    assert flaws(broken) == [Flaw.INCOMPLETE]


def test_what_went_wrong_with_the_game_day_is_no_pass() -> None:
    """Such as a fault that did not happen."""
    troubled = history(*GOOD["a write and its reads"])
    troubled.events.append(Event(EventKind.PROBLEM, 5, "a fault did not happen: x"))
    assert flaws(troubled) == [Flaw.PROBLEM]


def test_a_game_day_in_which_nothing_succeeded_is_no_pass() -> None:
    """A cluster that answers nothing loses nothing, too."""
    verdict = judge(history())
    assert [each.flaw for each in verdict.findings] == [Flaw.EXPECTATION] * 3


def test_expectations() -> None:
    """Gaps and errors beyond what the scenario allows are told with where they were."""
    scenario = parse_scenario("duration = 10\n[expect]\nlongest_gap = 4\nerrors = 0", "known.toml")
    calls = [
        *(put("a", 1, 2), read("a", 3, 4), eventual("a", 3, 4)),
        *(put("b", 4_050, 4_501), read("b", 4_100, 4_102), put("c", 7_000, 7_001), read("c", 7_002, 7_003)),
        put("d", 7_003, None, error="DeadlineExceededError: no reply", gave_up_ns=9_000 * MS),
        *end("c"),
    ]
    verdict = judge(History(scenario, {}, calls, [], is_complete=True))
    assert [each.text for each in verdict.findings] == [
        "none of the writes succeeded for 4.50 s from 0.00 s on; the scenario allows 4 s.",
        "none of the reads succeeded for 4.10 s from 0.00 s on; the scenario allows 4 s.",
        "1 calls failed; the scenario allows 0.",
    ]


def test_elections_may_be_too_many() -> None:
    """Where a scenario says how many are allowed."""
    scenario = parse_scenario("duration = 10\n[expect]\nelections = 1", "known.toml")
    election = Event(EventKind.ELECTED, 5, "partition 7 is led by storage-2, no longer by storage-1")
    for elections in (0, 1, 2):
        calls = [put("a", 1, 2), read("a", 3, 4), eventual("a", 3, 4), *end("a")]
        found = judge(History(scenario, {}, calls, [election] * elections, is_complete=True)).findings
        sentence = "partitions got another leader 2 times; the scenario allows 1."
        assert [each.text for each in found] == [sentence] * (elections == 2)


def test_less_may_be_expected_of_writes() -> None:
    """As where disks are full: reads have a bound of their own, and the tighter one counts."""
    calls = [put("a", 1, 2), read("a", 3, 4), eventual("a", 3, 4), read("a", 7_000, 7_001), *end("a")]
    for expected, allowed in (("longest_gap_of_reads = 5", 5), ("longest_gap_of_reads = 6\nlongest_gap = 9.999", 6)):
        scenario = parse_scenario(f"duration = 10\n[expect]\n{expected}", "known.toml")
        verdict = judge(History(scenario, {}, calls, [], is_complete=True))
        assert [each.text for each in verdict.findings] == [
            f"none of the reads succeeded for 7.00 s from 0.00 s on; the scenario allows {allowed} s."
        ]


def test_the_stalest_eventual_read_is_measured() -> None:
    """By how long ago its value had certainly been replaced when it was called."""
    calls = [put("a", 1, 2), put("b", 3, 4), eventual("a", 3_004, 3_005), eventual("a", 1_000, 1_001), *end("b")]
    assert judge(history(*calls)).stalest_s == pytest.approx(3.0)


def test_findings_say_who_saw_what_when() -> None:
    """So that a person can look at the lines of the history."""
    calls = [put("a", 1, 2), put("b", 3, 4), eventual("a", 9_000, 9_001), put("c", 9_002, 9_003, found="x"), *end("c")]
    texts = {each.text for each in judge(history(*calls)).findings if each.flaw in (Flaw.STALE, Flaw.WRONG)}
    assert texts == {
        "k: the eventually consistent read of client 2 at 9.000 s saw 'a'; by 0.004 s it had been replaced by 'b'.",
        "k: the put of client 0 at 9.002 s saw 'x', which nobody had written, or whose write had failed.",
    }


def test_many_findings_are_shown_worst_first() -> None:
    """Lost writes before everything else; a page is enough."""
    keys = [replace(call, key=f"k{number}") for number in range(30) for call in BAD["a lost write"][0]]
    verdict = judge(history(*keys))
    assert verdict.count(Flaw.LOST) == 30
    assert {each.flaw for each in verdict.first_findings()} == {Flaw.LOST}
    assert ANYTHING not in " ".join(each.text for each in verdict.findings)
