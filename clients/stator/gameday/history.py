"""The record of a game day: JSON lines, written while it runs and read by whoever judges it.

    {"history": "stator gameday", "version": 1, "scenario": {...}, "table": "gameday-3f", "started_at": "2026-...", ...}
    {"call": "put", "client": 3, "key": "k0.0", "value": "3f.3.17", "from": 120, "to": 4520, "outcome": "ok"}
    {"call": "put-if", "client": 5, "key": "k0.0", "value": "3f.5.9", "expected": null, "found": "3f.3.17", "from": ...}
    {"event": "fault", "at": 5000, "to": 5200, "text": "kill storage-2", ...}
    {"end": true, "calls": 2}

Times are nanoseconds on one monotonic clock since the load began; they may be below 0 before it. `to` is null where the
outcome is unknown: the call may have taken effect at any time since, or may yet. A history whose last line is missing
was interrupted, and proves nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Self

from stator.gameday.linearizability import ANYTHING
from stator.gameday.scenario import Fault, Scenario

HISTORY_FILE = "history.jsonl"
VERSION = 1
_MARK = "stator gameday"


class HistoryError(Exception):
    """The file is no history of a game day, or none that this version reads. `str(error)` is a sentence."""


class Kind(StrEnum):
    """What a client asked for. `put-if` writes only if the item has the expected value."""

    PUT = "put"
    PUT_IF = "put-if"
    DELETE = "delete"
    READ = "read"
    READ_EVENTUAL = "read-eventual"


READS = frozenset({Kind.READ, Kind.READ_EVENTUAL})


class Outcome(StrEnum):
    """What a client knows of its call: carried out; not, since the condition did not hold; not, for certain (an error);
    not known."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Call:
    """One call of one client. Values: None is no item.

    `value`: what was to be written (None: a deletion), or what was read. `expected`: of a put-if, what the condition
    demands. `found`: what the item was when the write was decided; ANYTHING where that was not told. `returned_ns`
    None: the outcome is unknown; `gave_up_ns` is then when the client was told so. `router`: of reads at the end,
    through which one. `error`: what the client was told. `attempts`: how often it was sent.
    """

    client: int
    kind: Kind
    key: str
    value: str | None
    invoked_ns: int
    returned_ns: int | None = None
    outcome: Outcome = Outcome.UNKNOWN
    expected: str | None = ANYTHING
    found: str | None = ANYTHING
    error: str = ""
    router: str = ""
    gave_up_ns: int | None = None
    attempts: int = 1

    @property
    def is_at_end(self) -> bool:
        """Whether it belongs to the reading back of everything, after everything was healed."""
        return bool(self.router)


class EventKind(StrEnum):
    """A fault that began or ended; what was seen from outside, partitions that got another leader apart; the phases of
    the run; what makes it no pass."""

    FAULT = "fault"
    UNDONE = "undone"
    SEEN = "seen"
    ELECTED = "elected"
    PHASE = "phase"
    PROBLEM = "problem"


@dataclass(slots=True)
class Event:
    """Something of the timeline. `until_ns`: of a fault, when it was in force; of one undone, when that was done."""

    kind: EventKind
    at_ns: int
    text: str
    until_ns: int | None = None


@dataclass(slots=True)
class History:
    """What a file holds. `about` is its first line."""

    scenario: Scenario
    about: dict[str, Any]
    calls: list[Call] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    is_complete: bool = False


class HistoryWriter:
    """Writes a history, line by line."""

    def __init__(self, path: Path, scenario: Scenario, about: Mapping[str, Any]) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self.calls = 0
        self._write({"history": _MARK, "version": VERSION, "scenario": asdict(scenario), **about})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def call(self, call: Call) -> None:
        """A call that has ended, one way or the other."""
        self.calls += 1
        self._write(call_document(call))

    def event(self, event: Event) -> None:
        """What happened beside the calls; on disk at once, for whoever looks while it runs."""
        self._write({"event": event.kind, "at": event.at_ns, "to": event.until_ns, "text": event.text})
        self._file.flush()

    def end(self) -> None:
        """Nothing comes any more."""
        self._write({"end": True, "calls": self.calls})
        self._file.flush()

    def _write(self, document: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def call_document(call: Call) -> dict[str, Any]:
    """A call as its line has it."""
    document: dict[str, Any] = {
        "call": call.kind,
        "client": call.client,
        "key": call.key,
        "value": call.value,
        "from": call.invoked_ns,
        "to": call.returned_ns,
        "outcome": call.outcome,
    }
    for name in ("expected", "found"):
        if getattr(call, name) != ANYTHING:
            document[name] = getattr(call, name)
    for name in ("error", "router"):
        if getattr(call, name):
            document[name] = getattr(call, name)
    if call.gave_up_ns is not None:
        document["gave_up"] = call.gave_up_ns
    if call.attempts > 1:
        document["attempts"] = call.attempts
    return document


def read_history(path: Path) -> History:
    """Reads a file of HistoryWriter. Raises HistoryError, which names the line."""
    try:
        with path.open(encoding="utf-8") as file:
            return _read_lines(file, path)
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise HistoryError(f"{path} cannot be read: {error}.") from None


def _read_lines(file: IO[str], path: Path) -> History:
    history: History | None = None
    for number, line in enumerate(file, 1):
        try:
            document = json.loads(line)
            if history is None:
                history = _begin(document, path)
            elif history.is_complete:
                raise ValueError("it comes after the end")
            elif "call" in document:
                history.calls.append(_call(document))
            elif "event" in document:
                kind = EventKind(document["event"])
                history.events.append(Event(kind, int(document["at"]), str(document["text"]), document.get("to")))
            elif document["end"] is True:
                history.is_complete = document["calls"] == len(history.calls)
            else:
                raise ValueError("it is neither a call nor an event nor the end")
        except (ValueError, KeyError, TypeError) as error:
            raise HistoryError(f"{path}, line {number} is not a line of a history: {error}.") from None
    if history is None:
        raise HistoryError(f"{path} is empty.")
    return history


def _begin(document: Any, path: Path) -> History:
    if not isinstance(document, dict) or document.get("history") != _MARK:
        raise HistoryError(f"{path} is not the history of a game day.")
    if document.get("version") != VERSION:
        raise HistoryError(f"{path} has version {document.get('version')!r}; this version of Stator reads {VERSION}.")
    fields = dict(document["scenario"])
    faults = tuple(
        Fault(**{**fault, "processes": tuple(fault["processes"]), "to": tuple(fault["to"])})
        for fault in fields.pop("faults")
    )
    about = {name: value for name, value in document.items() if name not in ("history", "version", "scenario")}
    return History(Scenario(faults=faults, **fields), about)


def _call(document: Mapping[str, Any]) -> Call:
    call = Call(
        client=int(document["client"]),
        kind=Kind(document["call"]),
        key=str(document["key"]),
        value=_text(document["value"]),
        invoked_ns=int(document["from"]),
        returned_ns=None if document["to"] is None else int(document["to"]),
        outcome=Outcome(document["outcome"]),
        expected=_text(document.get("expected", ANYTHING)),
        found=_text(document.get("found", ANYTHING)),
        error=str(document.get("error", "")),
        router=str(document.get("router", "")),
        gave_up_ns=document.get("gave_up"),
        attempts=int(document.get("attempts", 1)),
    )
    if (call.returned_ns is None) != (call.outcome is Outcome.UNKNOWN):
        raise ValueError("it has a return time exactly if its outcome is known, and this has not")
    if call.returned_ns is not None and call.returned_ns < call.invoked_ns:
        raise ValueError("it returned before it was called")
    return call


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{value!r} is no value")
