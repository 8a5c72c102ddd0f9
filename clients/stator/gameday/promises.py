"""What clients are promised of each event, and the table of what they got: one shipped scenario an event.

A wait is what one call takes; of a call that failed, the time until the same was answered on that key. So it needs no
guess of how long a partition was away: whoever asked meanwhile has waited for the rest of it.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stator.gameday.availability import CLASSES, SUCCESSES
from stator.gameday.history import Call, EventKind, History
from stator.gameday.judge import Flaw, Verdict

TABLE_FILE = "availability.md"
MEASURED = ("reads", "writes")
"""The classes of calls of which something is promised; reads are the strongly consistent ones."""
_ADDED_QUANTILE = 0.999


@dataclass(frozen=True, slots=True)
class Promise:
    """What an event may cost. None: nothing is promised of that.

    `since`: what begins to count with (of the scenario's first fault). `wait_s_max`: the longest wait; `errors_max`:
    calls that failed; `attempts_max`: how often one call was sent; `elections_max`: partitions that got another leader;
    `added_s_max`: by how much the 99.9th percentile of waits grew. `text` says that in words.
    """

    event: str
    scenario: str
    text: str
    since: EventKind = EventKind.FAULT
    wait_s_max: float | None = None
    errors_max: int | None = 0
    attempts_max: int | None = None
    elections_max: int | None = None
    added_s_max: float | None = None


LEASE_S = 2.0
PROMISES: Sequence[Promise] = (
    Promise("a follower is killed", "follower-killed", "no error"),
    Promise("a leader is killed", "leader-killed", "back within the lease + 1 s", wait_s_max=LEASE_S + 1),
    Promise("a leader is drained", "leader-drained", "no error, less than 100 ms more", added_s_max=0.1),
    Promise("a zone is lost", "zone-lost", "back within the lease + 1 s", wait_s_max=LEASE_S + 1),
    Promise("the metadata service is down", "metadata-down", "no error"),
    Promise("a router is killed", "router-killed", "no error, sent again once", attempts_max=2),
    Promise("a link to or from the leader is cut one way", "one-way-cut", "no error, no election", elections_max=0),
    Promise(
        "everything is killed and started",
        "everything-killed",
        "back within 10 s of the start",
        since=EventKind.UNDONE,
        wait_s_max=10,
        errors_max=None,
    ),
)


@dataclass(frozen=True, slots=True)
class Got:
    """What clients got. `errors`, `wait_s` and `added_s` are by class of calls; `attempts`: of the call that was sent
    most often; `is_pass`: whether nothing was lost, and all else that a game day demands."""

    promise: Promise
    errors: Mapping[str, int]
    wait_s: Mapping[str, float]
    added_s: Mapping[str, float]
    attempts: int
    elections: int
    lost: int
    is_pass: bool

    @property
    def broken(self) -> list[str]:
        """What was not kept, in words; nothing if all was."""
        promise = self.promise
        found = [] if self.is_pass else ["the game day is no pass"]
        for name in MEASURED:
            if promise.errors_max is not None and self.errors[name] > promise.errors_max:
                found.append(f"{self.errors[name]} {name} failed")
            if promise.wait_s_max is not None and self.wait_s[name] > promise.wait_s_max:
                found.append(f"{name} waited {self.wait_s[name]:.2f} s")
            if promise.added_s_max is not None and not self.added_s[name] < promise.added_s_max:
                found.append(f"{name} took {1000 * self.added_s[name]:.0f} ms more")
        if promise.attempts_max is not None and self.attempts > promise.attempts_max:
            found.append(f"a call was sent {self.attempts} times")
        if promise.elections_max is not None and self.elections > promise.elections_max:
            found.append(f"{self.elections} elections")
        return found


def compare(promise: Promise, history: History, verdict: Verdict) -> Got:
    """The history of the promise's scenario beside the promise."""
    since_ns = next((event.at_ns for event in history.events if event.kind is promise.since), 0)
    undone_ns = max((event.at_ns for event in history.events if event.kind is EventKind.UNDONE), default=math.inf)
    until_ns = undone_ns if undone_ns > since_ns else math.inf
    calls = [call for call in history.calls if not call.is_at_end]
    by_class = {name: [call for call in calls if call.kind in CLASSES[name]] for name in MEASURED}
    waits = {name: list(waits_s(each, since_ns)) for name, each in by_class.items()}
    added_s = {}
    for name, each in waits.items():
        calm, during = (
            sorted(wait_s for at_ns, wait_s in each if from_ns <= at_ns < to_ns)
            for from_ns, to_ns in ((-math.inf, since_ns), (since_ns, until_ns))
        )
        added_s[name] = _quantile(during) - _quantile(calm)
    return Got(
        promise,
        {name: sum(call.outcome not in SUCCESSES for call in each) for name, each in by_class.items()},
        {name: max((wait for at_ns, wait in each if at_ns >= since_ns), default=0.0) for name, each in waits.items()},
        added_s,
        max((call.attempts for call in calls), default=1),
        sum(event.kind is EventKind.ELECTED for event in history.events),
        verdict.count(Flaw.LOST),
        verdict.is_pass,
    )


def waits_s(calls: Iterable[Call], since_ns: int) -> Iterable[tuple[int, float]]:
    """When each wait began, and its seconds; infinitely many for what was never answered. The part of a wait that is
    before `since_ns` does not count if it went on until then. The calls are of one class."""
    by_key: dict[str, list[Call]] = {}
    for call in calls:
        by_key.setdefault(call.key, []).append(call)
    for each in by_key.values():
        answers_ns = sorted(call.returned_ns or 0 for call in each if call.outcome in SUCCESSES)
        for call in each:
            ended_ns = call.gave_up_ns if call.returned_ns is None else call.returned_ns
            answered_ns: float = math.inf if ended_ns is None else ended_ns
            if call.outcome not in SUCCESSES:
                index = bisect_left(answers_ns, answered_ns)
                answered_ns = answers_ns[index] if index < len(answers_ns) else math.inf
            began_ns = call.invoked_ns if answered_ns < since_ns else max(call.invoked_ns, since_ns)
            yield began_ns, (answered_ns - began_ns) / 1e9


def table(results: Sequence[Got | str]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows, one for each of PROMISES; a sentence instead of a result says why there is none."""
    columns = ["event", "promised", *(f"{name}: {what}" for name in MEASURED for what in ("longest wait s", "failed"))]
    columns += ["p99.9 more ms", "sent at most", "elections", "lost", "verdict"]
    rows = []
    for promise, got in zip(PROMISES, results, strict=True):
        if isinstance(got, str):
            rows.append([promise.event, promise.text, *["-"] * (len(columns) - 3), f"not measured: {got}"])
            continue
        cells = [cell for name in MEASURED for cell in (f"{got.wait_s[name]:.2f}", f"{got.errors[name]}")]
        cells.append(" / ".join(f"{1000 * got.added_s[name]:.0f}" for name in MEASURED))
        cells += [f"{got.attempts}", f"{got.elections}", f"{got.lost}", "; ".join(got.broken) or "kept"]
        rows.append([promise.event, promise.text, *cells])
    return columns, rows


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table as a document has it."""
    lines = [columns, ["---", "---", *["--:"] * (len(columns) - 3), "---"], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _quantile(ordered_s: Sequence[float]) -> float:
    return ordered_s[math.ceil(_ADDED_QUANTILE * len(ordered_s)) - 1] if ordered_s else math.nan
