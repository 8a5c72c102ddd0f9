"""The judgement of a history: what clients were told has to fit one register a key, and nothing acknowledged may go."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stator.gameday.availability import Availability, measure
from stator.gameday.history import Call, EventKind, History, Kind, Outcome
from stator.gameday.linearizability import (
    ANYTHING,
    NEVER_NS,
    Operation,
    UndecidedError,
    first_unexplained,
)

STATES_MAX = 1_000_000
"""A key's budget. Past it the key is undecided, which is no pass."""

_FINDINGS_SHOWN = 20


class Flaw(StrEnum):
    """What can be wrong, worst first."""

    LOST = "lost"
    WRONG = "wrong"
    NOT_LINEARIZABLE = "not linearizable"
    STALE = "stale"
    DIVERGED = "diverged"
    UNREAD = "not read back"
    UNDECIDED = "undecided"
    INCOMPLETE = "incomplete"
    PROBLEM = "problem"
    EXPECTATION = "expectation"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in a sentence."""

    flaw: Flaw
    text: str


@dataclass(slots=True)
class Verdict:
    """What a history proves. It is a pass only if nothing at all was found.

    `stalest_s`: how long before its call the value of an eventually consistent read had been overwritten, at most.
    `calls`: how many of each outcome.
    """

    findings: list[Finding]
    availability: Availability
    keys: int
    calls: Mapping[Outcome, int]
    stalest_s: float
    faults: int

    @property
    def is_pass(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def count(self, flaw: Flaw) -> int:
        """How many findings there are of a kind."""
        return sum(finding.flaw is flaw for finding in self.findings)

    def first_findings(self) -> list[Finding]:
        """Enough of them to understand what happened."""
        return sorted(self.findings, key=lambda finding: list(Flaw).index(finding.flaw))[:_FINDINGS_SHOWN]


def judge(history: History, states_max: int = STATES_MAX) -> Verdict:
    """Looks at everything. A search of linearizability that takes more than `states_max` states is a finding."""
    findings = [Finding(Flaw.PROBLEM, event.text) for event in history.events if event.kind is EventKind.PROBLEM]
    if not history.is_complete:
        findings.append(Finding(Flaw.INCOMPLETE, "the history breaks off: the run was interrupted."))
    by_key: dict[str, list[Call]] = {}
    for call in history.calls:
        by_key.setdefault(call.key, []).append(call)
    stalest_ns = 0
    for key, calls in by_key.items():
        register = _Register(key, calls)
        found, oldest_ns = _judge_values(register, history.scenario.eventual_within_s)
        findings += found
        stalest_ns = max(stalest_ns, oldest_ns)
        findings += _judge_end(register)
        findings += _judge_order(register, states_max)
    availability = measure(history)
    findings += _judge_expectations(history, availability)
    counts = {outcome: sum(call.outcome is outcome for call in history.calls) for outcome in Outcome}
    faults = sum(event.kind is EventKind.FAULT for event in history.events)
    return Verdict(findings, availability, len(by_key), counts, stalest_ns / 1e9, faults)


@dataclass(slots=True)
class _Register:
    """The calls on one key, and when each of its values is known to have been there.

    `settled_ns`: of each value that a call may have written, a time by which it had been: its acknowledgement, or the
    return of a call that was shown it. None, no item, has any number of writers, so it is not in there.
    """

    key: str
    calls: Sequence[Call]
    writes: list[Call] = field(default_factory=list)
    by_value: dict[str, Call] = field(default_factory=dict)
    settled_ns: dict[str, int] = field(default_factory=dict)
    _invoked_ns: list[int] = field(default_factory=list)
    _settled_after: list[tuple[float, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for call in self.calls:
            if call.kind in (Kind.PUT, Kind.PUT_IF, Kind.DELETE) and call.outcome in (Outcome.OK, Outcome.UNKNOWN):
                self.writes.append(call)
                if call.value is not None:
                    self.by_value[call.value] = call
        for call in self.calls:
            for value in observed(call):
                if value is not None and call.returned_ns is not None:
                    self._settle(value, call.returned_ns)
            if call.kind in (Kind.PUT, Kind.PUT_IF) and call.outcome is Outcome.OK and call.value is not None:
                self._settle(call.value, call.returned_ns or 0)
        # By invocation; and for each the earliest time by which one that begins no sooner had taken effect.
        ended = sorted((call.invoked_ns, self.settled(call), call.value) for call in self.writes)
        self._invoked_ns = [invoked_ns for invoked_ns, _, _ in ended]
        earliest: tuple[float, str | None] = (math.inf, None)
        for _, settled_ns, value in reversed(ended):
            earliest = min(earliest, (settled_ns, value), key=lambda each: each[0])
            self._settled_after.append(earliest)
        self._settled_after.reverse()

    def _settle(self, value: str, at_ns: int) -> None:
        writer = self.by_value.get(value)
        if writer is not None:
            # Whoever saw it before it was written is wrong, and told so elsewhere.
            at_ns = max(at_ns, writer.invoked_ns)
            self.settled_ns[value] = min(self.settled_ns.get(value, at_ns), at_ns)

    def settled(self, write: Call) -> float:
        """By when a write is known to have taken effect; infinity if it may never have."""
        own = math.inf if write.returned_ns is None else write.returned_ns
        return own if write.value is None else self.settled_ns.get(write.value, own)

    def overwritten(self, value: str | None, before_ns: int) -> tuple[float, str | None]:
        """By when something else was certainly there in place of `value`, as read by a call that returned at
        `before_ns`, and what; infinity if it may still be there."""
        if value is not None:
            return self._after(self.settled(self.by_value[value]))
        deletions = [call for call in self.writes if call.value is None and call.invoked_ns < before_ns]
        ends = [self._after(-math.inf), *(self._after(self.settled(call)) for call in deletions)]
        return max(ends, key=lambda each: each[0])

    def _after(self, settled_ns: float) -> tuple[float, str | None]:
        index = bisect_right(self._invoked_ns, settled_ns)
        return self._settled_after[index] if index < len(self._settled_after) else (math.inf, None)


def observed(call: Call) -> Iterable[str | None]:
    """The values that a call was shown."""
    if call.kind in (Kind.READ, Kind.READ_EVENTUAL):
        return (call.value,) if call.outcome is Outcome.OK else ()
    shown = [] if call.found == ANYTHING or call.outcome not in (Outcome.OK, Outcome.REFUSED) else [call.found]
    if call.kind is Kind.PUT_IF and call.outcome is Outcome.OK:
        shown.append(call.expected)
    return shown


def _judge_values(register: _Register, eventual_within_s: float) -> tuple[list[Finding], int]:
    """Nothing that was never written was seen, and nothing too old; and how old it was at most, in ns."""
    findings = []
    stalest_ns = 0
    for call in register.calls:
        for value in observed(call):
            writer = None if value is None else register.by_value.get(value)
            if value is not None and (writer is None or writer.invoked_ns > (call.returned_ns or 0)):
                sentence = f"{_saw(call, value)}, which nobody had written, or whose write had failed."
                findings.append(Finding(Flaw.WRONG, sentence))
            elif call.kind is Kind.READ_EVENTUAL:
                at_ns, other = register.overwritten(value, call.returned_ns or 0)
                age_ns = int(call.invoked_ns - at_ns) if at_ns < call.invoked_ns else 0
                stalest_ns = max(stalest_ns, age_ns)
                if age_ns > eventual_within_s * 1e9:
                    findings.append(Finding(Flaw.STALE, f"{_saw(call, value)}; {_later(other, at_ns)}."))
        if call.outcome is Outcome.REFUSED and call.found == call.expected:
            sentence = f"{_saw(call, call.found)} and was refused, although this is what it demanded."
            findings.append(Finding(Flaw.WRONG, sentence))
    return findings, stalest_ns


def _judge_end(register: _Register) -> list[Finding]:
    """After everything was healed the last write is there, in every zone."""
    last: dict[str, Call] = {}
    for call in register.calls:
        if call.is_at_end and call.outcome is Outcome.OK:
            last[call.router if call.kind is Kind.READ_EVENTUAL else ""] = call
    strong = last.pop("", None)
    if strong is None:
        return [Finding(Flaw.UNREAD, f"{register.key} was not read back at the end.")]
    if strong.value is not None and strong.value not in register.by_value:
        return []  # found wrong before
    findings = []
    at_ns, other = register.overwritten(strong.value, strong.returned_ns or 0)
    if at_ns < strong.invoked_ns:
        findings.append(Finding(Flaw.LOST, f"{_saw(strong, strong.value)}; {_later(other, at_ns)}."))
    findings += [
        Finding(
            Flaw.DIVERGED,
            f"{register.key} is {_shown(call.value)} through {router} at the end, and {_shown(strong.value)} to a "
            "strongly consistent read.",
        )
        for router, call in last.items()
        if call.value != strong.value
    ]
    return findings


def _judge_order(register: _Register, states_max: int) -> list[Finding]:
    """There is an order that explains what strongly consistent calls were told."""
    operations = [(operation, call) for call in register.calls if (operation := as_operation(call)) is not None]
    try:
        stuck = first_unexplained([operation for operation, _ in operations], states_max)
    except UndecidedError as error:
        return [Finding(Flaw.UNDECIDED, f"{register.key}: {error}.")]
    if stuck is None:
        return []
    call = next(call for operation, call in operations if operation is stuck)
    sentence = f"{_saw(call, call.value)}: no order of the calls on this key explains that and all before."
    return [Finding(Flaw.NOT_LINEARIZABLE, sentence)]


def as_operation(call: Call) -> Operation | None:
    """A call as the search sees it; None if it tells nothing. A refused condition is a read."""
    if call.kind is Kind.READ_EVENTUAL or call.outcome is Outcome.FAILED:
        return None
    returned_ns = NEVER_NS if call.returned_ns is None else call.returned_ns
    if call.kind is Kind.READ:
        return Operation(call.invoked_ns, returned_ns, False, call.value)
    if call.outcome is Outcome.REFUSED:
        return Operation(call.invoked_ns, returned_ns, False, call.found)
    found = call.expected if call.kind is Kind.PUT_IF else call.found
    return Operation(call.invoked_ns, returned_ns, True, call.value, found)


def _judge_expectations(history: History, availability: Availability) -> list[Finding]:
    findings = []
    for name, measured in availability.classes.items():
        if not measured.successes:
            findings.append(Finding(Flaw.EXPECTATION, f"none of the {name} succeeded: this proves nothing."))
        bounds_s = [history.scenario.longest_gap_s, history.scenario.longest_read_gap_s if name == "reads" else None]
        bound_s = min((bound_s for bound_s in bounds_s if bound_s is not None), default=math.inf)
        if name != "eventual reads" and measured.longest_gap_s > bound_s:
            sentence = (
                f"none of the {name} succeeded for {measured.longest_gap_s:.2f} s from {measured.gap_from_s:.2f} s on; "
                f"the scenario allows {bound_s:g} s."
            )
            findings.append(Finding(Flaw.EXPECTATION, sentence))
    errors, errors_max = availability.errors, history.scenario.errors_max
    if errors_max is not None and errors > errors_max:
        findings.append(Finding(Flaw.EXPECTATION, f"{errors} calls failed; the scenario allows {errors_max}."))
    elections = sum(event.kind is EventKind.ELECTED for event in history.events)
    elections_max = history.scenario.elections_max
    if elections_max is not None and elections > elections_max:
        sentence = f"partitions got another leader {elections} times; the scenario allows {elections_max}."
        findings.append(Finding(Flaw.EXPECTATION, sentence))
    return findings


def _saw(call: Call, value: str | None) -> str:
    what = {Kind.READ: "read", Kind.READ_EVENTUAL: "eventually consistent read"}.get(call.kind, str(call.kind))
    at_s = call.invoked_ns / 1e9
    is_write_done = call.outcome is Outcome.OK and call.kind not in (Kind.READ, Kind.READ_EVENTUAL)
    verb = "wrote" if is_write_done and value == call.value else "saw"
    return f"{call.key}: the {what} of client {call.client} at {at_s:.3f} s {verb} {_shown(value)}"


def _later(value: str | None, at_ns: float) -> str:
    return f"by {at_ns / 1e9:.3f} s it had been replaced by {_shown(value)}"


def _shown(value: str | None) -> str:
    return "no item" if value is None else repr(value)
