"""What clients got while faults were at work: successes a second, the longest time without any, latencies."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stator.gameday.history import Call, History, Kind, Outcome

CLASSES: Mapping[str, frozenset[Kind]] = {
    "writes": frozenset({Kind.PUT, Kind.PUT_IF, Kind.DELETE}),
    "reads": frozenset({Kind.READ}),
    "eventual reads": frozenset({Kind.READ_EVENTUAL}),
}
QUANTILES: Mapping[str, float] = {"p50": 0.5, "p99": 0.99, "max": 1.0}
SUCCESSES = frozenset({Outcome.OK, Outcome.REFUSED})
"""A condition that did not hold is an answer."""


@dataclass(frozen=True, slots=True)
class ClassAvailability:
    """Of one class of calls: counts, the longest time without a success and when it began (seconds), latencies
    (seconds) by the names of QUANTILES, nan where there is none."""

    successes: int
    errors: int
    longest_gap_s: float
    gap_from_s: float
    latencies_s: Mapping[str, float]

    @property
    def fraction(self) -> float:
        """Successes among all calls; nan if there was none."""
        calls = self.successes + self.errors
        return self.successes / calls if calls else math.nan


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the run. `successes` by class; `errors` of all; `latencies_s` of all successes, as above."""

    successes: Mapping[str, int]
    errors: int
    latencies_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Availability:
    """By class, by second, and the errors by their text."""

    classes: Mapping[str, ClassAvailability]
    seconds: Sequence[Second]
    error_texts: Mapping[str, int]

    @property
    def errors(self) -> int:
        """Calls that ended with an error, whatever became of them."""
        return sum(each.errors for each in self.classes.values())


def measure(history: History) -> Availability:
    """Counts everything that was called while the load went on. A call belongs to the second in which it ended."""
    duration_s = history.scenario.duration_s
    calls = [call for call in history.calls if not call.is_at_end]
    classes = {
        name: _class([call for call in calls if call.kind in kinds], duration_s) for name, kinds in CLASSES.items()
    }
    by_second: list[list[Call]] = [[] for _ in range(math.ceil(duration_s))]
    for call in calls:
        ended_ns = call.gave_up_ns if call.returned_ns is None else call.returned_ns
        if ended_ns is not None and 0 <= ended_ns < duration_s * 1e9:
            by_second[ended_ns // 1_000_000_000].append(call)
    errors = Counter(call.error.partition(":")[0] for call in calls if call.error)
    return Availability(classes, [_second(each) for each in by_second], errors)


def quantiles(durations_s: Iterable[float]) -> dict[str, float]:
    """The durations that these fractions of all do not exceed, exactly; nan if there is none."""
    ordered = sorted(durations_s)
    if not ordered:
        return dict.fromkeys(QUANTILES, math.nan)
    return {name: ordered[math.ceil(fraction * len(ordered)) - 1] for name, fraction in QUANTILES.items()}


def _class(calls: Sequence[Call], duration_s: float) -> ClassAvailability:
    successes = [call for call in calls if call.outcome in SUCCESSES]
    returns_s = sorted(each for call in successes if 0 <= (each := (call.returned_ns or 0) / 1e9) <= duration_s)
    gaps = ((two - one, one) for one, two in pairwise([0.0, *returns_s, duration_s]))
    longest_s, from_s = max(gaps)
    return ClassAvailability(
        len(successes), len(calls) - len(successes), longest_s, from_s, quantiles(map(_latency_s, successes))
    )


def _second(calls: Sequence[Call]) -> Second:
    successes = [call for call in calls if call.outcome in SUCCESSES]
    counts = {name: sum(call.kind in kinds for call in successes) for name, kinds in CLASSES.items()}
    return Second(counts, len(calls) - len(successes), quantiles(map(_latency_s, successes)))


def _latency_s(call: Call) -> float:
    return ((call.returned_ns or 0) - call.invoked_ns) / 1e9
