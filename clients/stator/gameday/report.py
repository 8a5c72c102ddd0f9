"""The report of a game day: a page that a person reads, made from the history and what was judged of it."""

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from stator.bench.runner import BenchmarkError
from stator.gameday.availability import QUANTILES, Availability
from stator.gameday.history import EventKind, History, Outcome
from stator.gameday.judge import Flaw, Verdict
from stator.gameday.plot import write_gameday_plot

REPORT_FILE = "report.md"
PLOT_FILE = "plot.svg"

Draw = Callable[[Path, History, Availability], None]

_FLAWS = (
    (Flaw.LOST, "keys whose last acknowledged write is missing at the end"),
    (Flaw.WRONG, "values seen that nobody wrote, and refusals that were none"),
    (Flaw.NOT_LINEARIZABLE, "keys whose strongly consistent calls fit no order"),
    (Flaw.STALE, "eventually consistent reads older than allowed"),
    (Flaw.DIVERGED, "keys that differ between zones at the end"),
    (Flaw.UNREAD, "keys that could not be read back"),
    (Flaw.UNDECIDED, "keys for which the search for an order was given up"),
    (Flaw.INCOMPLETE, "the history breaks off"),
    (Flaw.PROBLEM, "faults that did not happen, processes that ended, things that did not heal"),
    (Flaw.EXPECTATION, "what the scenario expects and clients did not get"),
)


def headline(history: History, verdict: Verdict) -> str:
    """The verdict in one line."""
    if verdict.is_pass:
        return f"PASS: {history.scenario.name}: 0 lost, 0 wrong, linearizable."
    counts = ", ".join(f"{verdict.count(flaw)} {flaw}" for flaw, _ in _FLAWS if verdict.count(flaw))
    return f"NO PASS: {history.scenario.name}: {counts}."


def figures(history: History, verdict: Verdict) -> list[str]:
    """The verdict's figures, a line each."""
    calls = verdict.calls
    unknown = f", {calls[Outcome.UNKNOWN]:,} of unknown outcome" if calls[Outcome.UNKNOWN] else ""
    failed = f", {calls[Outcome.FAILED]:,} failed" if calls[Outcome.FAILED] else ""
    bound_s = history.scenario.eventual_within_s
    faults = f"{verdict.faults} fault{'' if verdict.faults == 1 else 's'}"
    return [
        f"{sum(calls.values()):,} calls on {verdict.keys:,} keys{failed}{unknown}; {faults}",
        f"stalest eventually consistent read: {verdict.stalest_s:.3f} s (allowed: {bound_s:g} s)",
    ]


def availability_rows(availability: Availability) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of the table of availability."""
    columns = ["", "answered", "errors", "available %", "longest gap s", "at s", *(f"{name} ms" for name in QUANTILES)]
    rows = [
        [
            *(name, f"{each.successes:,}", f"{each.errors:,}", f"{100 * each.fraction:.3f}"),
            *(f"{each.longest_gap_s:.2f}", f"{each.gap_from_s:.1f}"),
            *("-" if math.isnan(value) else f"{1000 * value:.1f}" for value in each.latencies_s.values()),
        ]
        for name, each in availability.classes.items()
    ]
    return columns, rows


def write_report(folder: Path, history: History, verdict: Verdict, draw: Draw = write_gameday_plot) -> str:
    """Writes the page, and the plot where it can be drawn; why it could not, else ""."""
    missing = ""
    try:
        draw(folder / PLOT_FILE, history, verdict.availability)
    except BenchmarkError as error:
        missing = str(error)
    (folder / REPORT_FILE).write_text(page(folder, history, verdict, missing), encoding="utf-8")
    return missing


def page(folder: Path, history: History, verdict: Verdict, plot_missing: str) -> str:
    """The report in Markdown. `plot_missing`: why there is no plot; "" if there is one."""
    scenario = history.scenario
    parts = [
        f"# Game day: {scenario.name}",
        f"**{headline(history, verdict)}**",
        scenario.description,
        *(f"- {line}" for line in figures(history, verdict)),
        f"- {scenario.clients} clients, at most {scenario.operations_per_second:g} calls a second, for "
        f"{scenario.duration_s:g} s; items of {scenario.item_bytes:,} bytes; partitions: {scenario.partitions}; calls "
        f"give up after {scenario.timeout_s:g} s",
        f"- table {history.about.get('table')}, begun {history.about.get('started_at')}, seed "
        f"{history.about.get('seed')}, Stator {history.about.get('stator')}",
        "## What was looked for",
        _table(["found", "what"], [[str(verdict.count(flaw)), text] for flaw, text in _FLAWS], right={0}),
    ]
    shown = verdict.first_findings()
    if shown:
        rest = len(verdict.findings) - len(shown)
        parts += ["### Found", *(f"- **{finding.flaw}**: {finding.text}" for finding in shown)]
        parts += [f"- and {rest:,} more"] if rest else []
    columns, rows = availability_rows(verdict.availability)
    parts += ["## Availability", _table(columns, rows, right=set(range(1, len(columns))))]
    texts = verdict.availability.error_texts
    parts += [f"- {count:,} x {text}" for text, count in sorted(texts.items())]
    parts += [f"![Answers and latencies over time]({PLOT_FILE})" if not plot_missing else f"No plot: {plot_missing}"]
    parts += ["## Timeline", _table(["s", "", "what"], _timeline(history), right={0})]
    again = f"stator gameday --check {shlex.quote(str(folder))}"
    parts += [f"Judge the recorded history again: `{again}`"]
    return "\n".join(_spaced(parts)) + "\n"


def _timeline(history: History) -> Iterable[list[str]]:
    for event in sorted(history.events, key=lambda event: event.at_ns):
        took = "" if event.until_ns is None else f" ({(event.until_ns - event.at_ns) / 1e9:.1f} s)"
        kind = f"**{event.kind}**" if event.kind in (EventKind.FAULT, EventKind.PROBLEM) else str(event.kind)
        yield [f"{event.at_ns / 1e9:.3f}", kind, f"{event.text}{took}"]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: set[int]) -> str:
    lines = [columns, ["--:" if index in right else "---" for index in range(len(columns))], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _spaced(parts: Iterable[str]) -> Iterable[str]:
    """With an empty line between paragraphs, and none between the points of a list."""
    before = ""
    for part in parts:
        if not part:
            continue
        if before and not (before.startswith("- ") and part.startswith("- ")):
            yield ""
        yield part
        before = part
