"""A scenario: what load, which faults, when, and what is expected. Read from TOML, complained about in sentences."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

from stator.local.errors import UnknownProcessError
from stator.local.layout import NODES_PER_ZONE_MAX, Role, node_names, select

LEADER = "leader"
FOLLOWER = "follower"
INDEX_LEADER = "index-leader"
WORDS = (LEADER, FOLLOWER, INDEX_LEADER)
"""Who is meant is seen when the fault comes: of the partitions of the table, or of its index."""

CLIENTS_MIN = 8
"""Fewer do not meet at one key often enough for a history to say much."""


class ScenarioError(Exception):
    """There is no such scenario, or its file is wrong. `str(error)` is one sentence: what, and where."""


@dataclass(frozen=True, slots=True)
class Number:
    """What a number may be."""

    default: float | None
    least: float
    most: float
    is_whole: bool = False


class Need(StrEnum):
    """What a fault needs that only a cluster of the game day's own has, on a machine that can give it."""

    LINKS = "links"
    DISKS = "disks"
    CLOCKS = "clocks"


@dataclass(frozen=True, slots=True)
class FaultShape:
    """What a kind of fault takes. `for` says when it is undone; without, that is when everything is healed. `to` and
    `one_way` are only for what lies between processes. Of the processes named, those of `roles` are meant. `numbers`:
    what else has to be said (or, with a default, may be)."""

    may_last: bool = True
    is_between: bool = False
    need: Need | None = None
    roles: frozenset[Role] = frozenset(Role)
    numbers: Mapping[str, Number] = field(default_factory=dict)


HAVE_DISKS = frozenset({Role.METADATA, Role.STORAGE})

NUMBERS: Mapping[str, Number] = {
    "duration": Number(None, 1, 24 * 3600),
    "clients": Number(CLIENTS_MIN, CLIENTS_MIN, 512, is_whole=True),
    "operations_per_second": Number(400, 1, 100_000),
    "item_bytes": Number(400, 100, 300_000, is_whole=True),
    "partitions": Number(3, 1, 256, is_whole=True),
    "nodes_per_zone": Number(1, 1, NODES_PER_ZONE_MAX, is_whole=True),
    "timeout": Number(5, 0.1, 300),
    "eventual_within": Number(4, 0, 3600),
}
EXPECTATIONS: Mapping[str, Number] = {
    "longest_gap": Number(None, 0, 3600),
    "longest_gap_of_reads": Number(None, 0, 3600),
    "errors": Number(None, 0, 1e9, True),
    "elections": Number(None, 0, 1e9, True),
}
FAULTS: Mapping[str, FaultShape] = {
    "kill": FaultShape(),
    "start": FaultShape(may_last=False),
    "stop": FaultShape(),
    "restart": FaultShape(may_last=False),
    "drain": FaultShape(roles=frozenset({Role.STORAGE})),
    "pause": FaultShape(),
    "resume": FaultShape(may_last=False),
    "flip-bit": FaultShape(),
    "cut": FaultShape(is_between=True, need=Need.LINKS),
    "lose": FaultShape(is_between=True, need=Need.LINKS, numbers={"percent": Number(None, 0.01, 100)}),
    "delay": FaultShape(
        is_between=True, need=Need.LINKS, numbers={"ms": Number(None, 0, 10_000), "jitter_ms": Number(0, 0, 10_000)}
    ),
    "fill-disk": FaultShape(need=Need.DISKS, roles=frozenset({Role.STORAGE})),
    "hang-disk": FaultShape(need=Need.DISKS, roles=HAVE_DISKS),
    "fail-disk": FaultShape(need=Need.DISKS, roles=HAVE_DISKS),
    "clock-rate": FaultShape(need=Need.CLOCKS, numbers={"percent": Number(None, -50, 100)}),
    "cut-power": FaultShape(need=Need.DISKS),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is done to the cluster `at_s` seconds after the load began, and undone `for_s` seconds later
    (None: at the end). `processes`: names, zones, roles, "all", or one of WORDS. What lies between processes is done
    to the way from `processes` to `to`, and unless `is_one_way` also to the way back. `percent` of packets
    are lost, or a clock is too fast by it; packets are late by `ms`, give or take `jitter_ms`."""

    at_s: float
    do: str
    processes: tuple[str, ...]
    for_s: float | None = None
    to: tuple[str, ...] = ()
    is_one_way: bool = False
    percent: float = 0.0
    ms: float = 0.0
    jitter_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to play. Times are in seconds; `eventual_within_s` bounds how old an eventually consistent read may be.

    `longest_gap_s`: the longest time without any success among reads and among writes that is still a pass;
    `longest_read_gap_s`: among reads, where less is expected of writes; `errors_max`: how many calls may fail;
    `elections_max`: how often a partition may get another leader. None: as it comes. `is_indexed`: the table has a
    global index by the value that is written, and in the end that has what it should.
    """

    name: str
    description: str
    duration_s: float
    clients: int
    operations_per_second: float
    item_bytes: int
    partitions: int
    nodes_per_zone: int
    timeout_s: float
    eventual_within_s: float
    faults: tuple[Fault, ...]
    longest_gap_s: float | None = None
    errors_max: int | None = None
    longest_read_gap_s: float | None = None
    elections_max: int | None = None
    is_indexed: bool = True

    @property
    def needs(self) -> frozenset[Need]:
        """What its faults need."""
        return frozenset(need for fault in self.faults if (need := FAULTS[fault.do].need) is not None)

    @property
    def disks(self) -> list[str]:
        """The processes that need disks of their own: those whose disks may be meant."""
        known = known_processes(self.nodes_per_zone)
        chosen: set[str] = set()
        for fault in self.faults:
            if FAULTS[fault.do].need is Need.DISKS:
                words = [Role.STORAGE if word in WORDS else word for word in fault.processes]
                able = {name for name, role, _ in known if role in FAULTS[fault.do].roles & HAVE_DISKS}
                chosen |= able.intersection(select(words, known))
        return [name for name, _, _ in known if name in chosen]


def parse_scenario(text: str, name: str) -> Scenario:
    """The scenario that TOML text describes; `name` is what errors call it. Raises ScenarioError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name} is not TOML: {str(error)[:1].lower()}{str(error)[1:]}.") from None
    _check_names(document, ("description", "index", *NUMBERS, "expect", "fault"), name)
    description = document.get("description", "")
    if not isinstance(description, str):
        raise ScenarioError(f"{name}: description must be a text, not {description!r}.")
    numbers = {key: _number(document, key, shape, name) for key, shape in NUMBERS.items()}
    if numbers["duration"] is None:
        raise ScenarioError(f"{name}: it does not say how many seconds it takes: write, for example, duration = 30.")
    is_indexed = document.get("index", True)
    if not isinstance(is_indexed, bool):
        raise ScenarioError(f"{name}: index must be true or false, not {is_indexed!r}.")
    expect = document.get("expect", {})
    if not isinstance(expect, dict):
        raise ScenarioError(f"{name}: expect must be a table: write [expect] on a line of its own.")
    _check_names(expect, EXPECTATIONS, f"{name}: expect")
    expected = {key: _number(expect, key, shape, f"{name}: expect") for key, shape in EXPECTATIONS.items()}
    entries = document.get("fault", [])
    if not isinstance(entries, list):
        raise ScenarioError(f"{name}: each fault begins with [[fault]], in double brackets.")
    duration_s, nodes_per_zone = float(numbers["duration"]), int(numbers["nodes_per_zone"] or 1)
    faults = [
        _fault(entry, f"{name}: fault {index}", duration_s, nodes_per_zone) for index, entry in enumerate(entries, 1)
    ]
    if not is_indexed and any(INDEX_LEADER in (*fault.processes, *fault.to) for fault in faults):
        raise ScenarioError(f"{name}: nobody is an {INDEX_LEADER} where there is no index: write index = true.")
    return Scenario(
        name=Path(name).stem,
        description=" ".join(description.split()),
        duration_s=duration_s,
        clients=int(numbers["clients"] or 0),
        operations_per_second=float(numbers["operations_per_second"] or 0),
        item_bytes=int(numbers["item_bytes"] or 0),
        partitions=int(numbers["partitions"] or 0),
        nodes_per_zone=nodes_per_zone,
        timeout_s=float(numbers["timeout"] or 0),
        eventual_within_s=float(numbers["eventual_within"] or 0),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_s)),
        longest_gap_s=expected["longest_gap"],
        errors_max=_whole(expected["errors"]),
        longest_read_gap_s=expected["longest_gap_of_reads"],
        elections_max=_whole(expected["elections"]),
        is_indexed=is_indexed,
    )


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _fault(entry: Any, where: str, duration_s: float, nodes_per_zone: int) -> Fault:
    if not isinstance(entry, dict):
        raise ScenarioError(f"{where}: each fault begins with [[fault]], in double brackets.")
    extra = {number for shape in FAULTS.values() for number in shape.numbers}
    _check_names(entry, ("at", "do", "process", "to", "one_way", "for", *sorted(extra)), where)
    missing = [key for key in ("at", "do", "process") if key not in entry]
    if missing:
        raise ScenarioError(f"{where}: it lacks `{missing[0]}`.")
    at_s = _number(entry, "at", Number(None, 0, 1e9), where) or 0.0
    do = entry["do"]
    if do not in FAULTS:
        raise ScenarioError(f"{where}: {do!r} is nothing that can be done: choose one of {', '.join(FAULTS)}.")
    numbers = _numbers_of_fault(entry, do, extra, where)
    percent, ms, jitter_ms = (numbers.get(key, 0.0) for key in ("percent", "ms", "jitter_ms"))
    for_s = _number(entry, "for", Number(None, 0.001, 1e9), where)
    if for_s is not None and not FAULTS[do].may_last:
        raise ScenarioError(f"{where}: `for` does not go with {do}, which is done once and for all.")
    if at_s > duration_s:
        raise ScenarioError(f"{where}: it comes at {at_s:g} s, and the run ends at {duration_s:g} s.")
    if for_s is not None and at_s + for_s > duration_s:
        raise ScenarioError(f"{where}: it lasts until {at_s + for_s:g} s, and the run ends at {duration_s:g} s.")
    words = _processes(entry, "process", where, nodes_per_zone, do)
    if do == "drain" and nodes_per_zone == 1:
        raise ScenarioError(f"{where}: a zone has to have another storage node to drain one: write nodes_per_zone = 2.")
    if not FAULTS[do].is_between:
        for key in ("to", "one_way"):
            if key in entry:
                raise ScenarioError(f"{where}: `{key}` does not go with {do}, which is done to processes.")
        return Fault(at_s, do, words, for_s, percent=percent, ms=ms, jitter_ms=jitter_ms)
    if "to" not in entry:
        raise ScenarioError(f"{where}: it lacks `to`: where does what is sent go?")
    is_one_way = entry.get("one_way", False)
    if not isinstance(is_one_way, bool):
        raise ScenarioError(f"{where}: one_way must be true or false, not {is_one_way!r}.")
    to = _processes(entry, "to", where, nodes_per_zone, do)
    return Fault(at_s, do, words, for_s, to, is_one_way, percent, ms, jitter_ms)


def _numbers_of_fault(entry: Mapping[str, Any], do: str, known: Iterable[str], where: str) -> dict[str, float]:
    """What a kind of fault takes besides what all take."""
    shapes = FAULTS[do].numbers
    for key in known:
        if key in entry and key not in shapes:
            raise ScenarioError(f"{where}: `{key}` does not go with {do}.")
    numbers = {key: _number(entry, key, shape, where) for key, shape in shapes.items()}
    for key, number in numbers.items():
        if number is None:
            raise ScenarioError(f"{where}: it lacks `{key}`.")
    return {key: float(number or 0) for key, number in numbers.items()}


def _processes(entry: Mapping[str, Any], key: str, where: str, nodes_per_zone: int, do: str) -> tuple[str, ...]:
    """The words that say which processes are meant; all of them are known, and mean one to which that can be done."""
    given = entry[key]
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ScenarioError(f"{where}: {key} must be a name or a list of names, not {given!r}.")
    known = known_processes(nodes_per_zone)
    able = {name for name, role, _ in known if role in FAULTS[do].roles}
    for word in words:
        try:
            if word not in WORDS and able.isdisjoint(select([word], known)):
                roles = " and ".join(role for role in Role if role in FAULTS[do].roles)
                raise ScenarioError(f"{where}: {do} is done to {roles} processes, and {word!r} means none of these.")
        except UnknownProcessError as error:
            sentence = f"{str(error)[:1].lower()}{str(error)[1:-1]}, {', '.join(WORDS[:-1])} or {WORDS[-1]}."
            raise ScenarioError(f"{where}: {sentence}") from None
    return tuple(words)


def known_processes(nodes_per_zone: int) -> list[tuple[str, Any, str]]:
    """(name, role, zone) of every process of a cluster, as `select` takes them."""
    return [(name, role, zone) for name, (role, zone) in node_names(nodes_per_zone).items()]


def _number(table: Mapping[str, Any], key: str, shape: Number, where: str) -> float | None:
    value = table.get(key, shape.default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScenarioError(f"{where}: {key} must be a number, not {value!r}.")
    if shape.is_whole and not isinstance(value, int):
        raise ScenarioError(f"{where}: {key} must be a whole number, not {value:g}.")
    if not shape.least <= value <= shape.most:
        raise ScenarioError(f"{where}: {key} must be {shape.least:g} to {shape.most:g}, not {value:g}.")
    return value


def _check_names(table: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any], where: str) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, list(known), 1)
            hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(known)}."
            raise ScenarioError(f"{where}: there is no `{key}`; {hint}")


# ---- where scenarios are


def shipped_scenarios() -> dict[str, str]:
    """Name -> TOML text of each scenario that comes with Stator, in the order of their names."""
    folder = resources.files("stator.gameday") / "scenarios"
    files = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return {name.removesuffix(".toml"): files[name].read_text(encoding="utf-8") for name in sorted(files)}


def load_scenario(named: str) -> Scenario:
    """The scenario of a file, or the shipped one of that name. Raises ScenarioError."""
    path = Path(named)
    shipped = shipped_scenarios()
    if named in shipped:
        return parse_scenario(shipped[named], f"{named}.toml")
    try:
        return parse_scenario(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        close = difflib.get_close_matches(named, list(shipped), 1)
        hint = f"did you mean {close[0]}?" if close else "`stator gameday --list` shows those that come with Stator."
        raise ScenarioError(f"there is no file and no shipped scenario {named!r}; {hint}") from None
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path} cannot be read: {error}.") from None
