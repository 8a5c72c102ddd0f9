"""How scenarios write things down: messages, records, effects and times, one line each."""

from __future__ import annotations

from collections.abc import Iterable

from server.paxos.ballot import ZERO, Ballot
from server.paxos.messages import (
    Accept,
    Accepted,
    ApplyConfiguration,
    ApplyEntries,
    CatchUp,
    CatchUpRequest,
    Commit,
    Effect,
    HealedRecord,
    HealRecord,
    LeadershipChanged,
    LogRecord,
    LogStart,
    Message,
    PersistRecord,
    Prepare,
    Promise,
    PromiseRecord,
    Reject,
    Release,
    Run,
    SendMessage,
    SendSnapshot,
)
from server.paxos.quorum import CONFIGURATION_MARK, Configuration, ReplicaKind, decode_configuration

MS = 1_000_000
EVER_NS = 1 << 62
_UNITS = {"ms": MS, "s": 1000 * MS}


def parse_duration(text: str) -> int:
    """Nanoseconds of `1.5s` or `20ms`; raises ValueError."""
    for unit, ns in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return round(float(number) * ns)
    raise ValueError(f"not a duration: {text!r}")


def show_time(ns: int) -> str:
    if ns == -1:
        return "never"
    return "ever" if ns == EVER_NS else f"{ns / MS:g}ms"


def show_ballot(ballot: Ballot) -> str:
    return "-" if ballot == ZERO else f"{ballot.round}.{ballot.node_id}"


def show_epoch(epoch: int) -> str:
    """The life of the grantor, and how often it has granted anew within it."""
    return f"{epoch >> 32}:{epoch & 0xFFFFFFFF}"


def show_payload(payload: bytes) -> str:
    if payload.startswith(CONFIGURATION_MARK):
        return show_configuration(decode_configuration(payload))
    return payload.decode() or "(no-op)"


def show_payloads(payloads: Iterable[bytes]) -> str:
    return " ".join(map(show_payload, payloads))


def show_configuration(configuration: Configuration) -> str:
    """`<1 2 4-log>`: the nodes, and which of them have a log only."""
    members = (f"{each.node_id}{'-log' if each.kind == ReplicaKind.LOG else ''}" for each in configuration.members)
    return f"<{' '.join(members)}>"


def show_run(run: Run) -> str:
    return f"{show_ballot(run.ballot)}[{run.first_slot}..{run.last_slot}] {show_payloads(run.payloads)}"


def show_runs(runs: Iterable[Run]) -> str:
    return ", ".join(map(show_run, runs)) or "nothing"


def show_message(message: Message) -> str:
    match message:
        case Prepare():
            released = "" if message.released == ZERO else f" released {show_ballot(message.released)}"
            since = f" members since {message.configuration_slot}" if message.configuration_slot else ""
            return f"Prepare {show_ballot(message.ballot)} from {message.from_slot}{released}{since}"
        case Promise():
            trimmed = f" log from {message.log_first_slot}" if message.log_first_slot > message.from_slot else ""
            partial = "" if message.is_complete else " and more"
            return (
                f"Promise {show_ballot(message.ballot)} from {message.from_slot}: {show_runs(message.runs)}{partial}"
                f" commit {message.commit_slot}{trimmed} epoch {show_epoch(message.grant_epoch)}"
            )
        case Accept():
            return f"Accept {show_run(message.run)} commit {message.commit_slot}"
        case Accepted():
            return (
                f"Accepted {show_ballot(message.ballot)} up to {message.last_slot}"
                f" epoch {show_epoch(message.grant_epoch)}"
            )
        case Reject():
            return (
                f"Reject {show_ballot(message.ballot)} {message.reason.name}"
                f" promised {show_ballot(message.promised)} last {message.last_slot}"
            )
        case Commit():
            return f"Commit {show_ballot(message.ballot)} commit {message.commit_slot}"
        case CatchUpRequest():
            return f"CatchUpRequest from {message.first_slot}"
        case CatchUp():
            return f"CatchUp {show_ballot(message.ballot)}: {show_runs(message.runs)} commit {message.commit_slot}"
        case LogStart():
            held = ", held by others" if message.is_held else ""
            return f"LogStart {show_ballot(message.ballot)} behind {message.slot}{held}"
        case Release():
            handed_over = ", handed over" if message.is_handed_over else ""
            return f"Release {show_ballot(message.ballot)}{handed_over}"
        case _:
            return f"{type(message).__name__} {show_ballot(message.ballot)}"


def show_record(record: LogRecord) -> str:
    if isinstance(record, Run):
        return show_run(record)
    if isinstance(record, PromiseRecord):
        return f"promise {show_ballot(record.ballot)}"
    if isinstance(record, HealedRecord):
        return "healed"
    if isinstance(record, HealRecord):
        return f"heal {show_ballot(record.ballot)} after {record.slot}"
    return f"reset {record.slot}"


def show_effect(node_id: int, effect: Effect) -> str:
    match effect:
        case SendMessage():
            return f"{node_id}->{effect.to} {show_message(effect.message)}"
        case PersistRecord():
            sends = "".join(f", then {show_effect(node_id, send)}" for send in effect.then)
            return f"{node_id} persists {show_record(effect.record)}{sends}"
        case ApplyEntries():
            return f"{node_id} applies {effect.first_slot}: {show_payloads(effect.payloads)}"
        case ApplyConfiguration():
            return f"{node_id} applies {effect.slot}: {show_configuration(effect.configuration)}"
        case LeadershipChanged():
            return f"{node_id} {'leads' if effect.is_leader else 'ceases to lead'} at {show_ballot(effect.ballot)}"
        case SendSnapshot():
            return f"{node_id} has to send {effect.to} a snapshot"
