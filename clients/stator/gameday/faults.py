"""What can be done to a local cluster: one class a kind of fault, with how it is undone."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stator.descriptions import ClusterDescription
from stator.gameday.cluster import GamedayCluster
from stator.gameday.links import LinksError
from stator.gameday.scenario import FOLLOWER, LEADER, Fault
from stator.local.errors import LocalClusterError

_COPIES_MIN = 20
"""Of this run's values in a log, before a bit in one of them is flipped: those behind it prove that it was synced."""


class FaultError(Exception):
    """A fault could not be brought about, or had not the effect without which it proves nothing."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where faults happen. `run` is in every value of the load."""

    cluster: GamedayCluster
    run: str


class Injection(ABC):
    """A fault, from its beginning to its end. Both say what they did in a few words, for the timeline, and may raise
    FaultError and LocalClusterError. `end` is called at most once, and only after `begin` succeeded."""

    @abstractmethod
    async def begin(self) -> str: ...

    @abstractmethod
    async def end(self) -> str: ...


class _Signals(Injection):
    """Commands to the supervisor: one to begin, one to undo it (none: nothing is to be undone)."""

    def __init__(self, site: Site, names: Sequence[str], begin: str, end: str | None) -> None:
        self._site = site
        self._names = names
        self._begin = begin
        self._end = end

    async def begin(self) -> str:
        await self._site.cluster.command(self._begin, self._names)
        return f"{self._begin} {_listed(self._names)}"

    async def end(self) -> str:
        if self._end is None:
            return ""
        await self._site.cluster.command(self._end, self._names)
        return f"{self._end} {_listed(self._names)}"


class _FlippedBit(Injection):
    """A storage node is killed, a bit in its log flips, it is started again, and has to notice."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        self._site = site
        self._names = names
        self._log_offsets: dict[str, int] = {}

    async def begin(self) -> str:
        await self._site.cluster.command("kill", self._names)
        places = []
        for name in self._names:
            self._log_offsets[name] = self._log(name).stat().st_size
            wal = self._site.cluster.node_folder(name) / "wal"
            places.append(f"{name}: {await asyncio.to_thread(flip_bit, wal, self._site.run)}")
        return f"kill {_listed(self._names)}, flip a bit ({'; '.join(places)})"

    async def end(self) -> str:
        try:
            await self._site.cluster.command("start", self._names)
        finally:
            for name in self._names:
                with self._log(name).open("rb") as log:
                    log.seek(self._log_offsets[name])
                    if b"damaged" not in log.read():
                        raise FaultError(f"{name} has not noticed that a bit in its log had flipped.")
        return f"start {_listed(self._names)}, which noticed the damage"

    def _log(self, name: str) -> Path:
        return self._site.cluster.folder.log_path(name)


class _Cut(Injection):
    """What processes send to others does not arrive, and unless it is one-way nor does what these send."""

    def __init__(self, site: Site, senders: Sequence[str], receivers: Sequence[str], *, is_one_way: bool) -> None:
        self._site = site
        self._ways = [(senders, receivers)] if is_one_way else [(senders, receivers), (receivers, senders)]
        self._text = f"{_listed(senders)} {'to' if is_one_way else 'from'} {_listed(receivers)}"
        self._ports: dict[str, list[int]] = {}

    async def begin(self) -> str:
        links = self._site.cluster.links
        if links is None:
            raise FaultError("links can only be cut in a cluster that the game day has started itself.")
        self._ports = await self._site.cluster.listening()
        for senders, receivers in self._ways:
            await asyncio.to_thread(links.cut, senders, receivers, self._ports)
        return f"cut {self._text}"

    async def end(self) -> str:
        links = self._site.cluster.links
        assert links is not None
        for senders, receivers in self._ways:
            await asyncio.to_thread(links.mend, senders, receivers, self._ports)
        return f"mend {self._text}"


def flip_bit(wal: Path, run: str) -> str:
    """Flips one bit in the text of a value of this run, in a segment that nobody has open; says where.

    Raises FaultError when too little of the run is in the log.
    """
    pattern = re.compile(re.escape(run.encode()) + rb"\.\d+\.\d+")
    for path in sorted(wal.glob("*.wal"), reverse=True):
        places = [match.end() - 1 for match in pattern.finditer(path.read_bytes())]
        if len(places) >= _COPIES_MIN:
            place = places[len(places) // 2]
            with path.open("r+b") as file:
                file.seek(place)
                byte = file.read(1)[0]
                file.seek(place)
                file.write(bytes([byte ^ 1]))
            return f"{path.name}, byte {place:,}"
    raise FaultError(f"there is too little of this run in {wal} to flip a bit of it.")


Kind = Callable[[Site, Fault, Sequence[str], Sequence[str]], Injection]


def _signals(begin: str, end: str | None) -> Kind:
    return lambda site, fault, names, to: _Signals(site, names, begin, end)


KINDS: Mapping[str, Kind] = {
    "kill": _signals("kill", "start"),
    "start": _signals("start", None),
    "pause": _signals("pause", "resume"),
    "resume": _signals("resume", None),
    "flip-bit": lambda site, fault, names, to: _FlippedBit(site, names),
    "cut": lambda site, fault, names, to: _Cut(site, names, to, is_one_way=fault.is_one_way),
}
"""By the words of `stator.gameday.scenario.FAULTS`; what is given besides the fault are the processes that it means."""


async def inject(site: Site, fault: Fault, description: ClusterDescription | None, table: str) -> tuple[Injection, str]:
    """Begins a fault; it, and what was done. `description` is the cluster as it was last seen. Raises FaultError."""
    words, to = ([resolve(word, description, table) for word in each] for each in (fault.processes, fault.to))
    try:
        injection = KINDS[fault.do](site, fault, await site.cluster.names(words), await site.cluster.names(to))
        text = await injection.begin()
    except (LocalClusterError, LinksError) as error:
        raise FaultError(f"{fault.do} {_listed(words)}: {error}") from None
    meant = [word for word in (*fault.processes, *fault.to) if word in (LEADER, FOLLOWER)]
    return injection, f"{text} ({', '.join(meant)} of {table})" if meant else text


def resolve(word: str, description: ClusterDescription | None, table: str) -> str:
    """Whom "leader" and "follower" mean: the storage node that leads most, or fewest, partitions of the table. Other
    words stay. Raises FaultError."""
    if word not in (LEADER, FOLLOWER):
        return word
    if description is None:
        raise FaultError(f"it has not been seen yet who is a {word}.")
    names = {node.node_id: node.name for node in description.nodes if node.role == "storage"}
    leads: dict[str, int] = {}
    for partition in description.partitions:
        if partition.table_name == table:
            for replica in partition.replicas:
                name = names[replica.node_id]
                leads[name] = leads.get(name, 0) + replica.is_leader
    ordered = sorted(leads, key=lambda name: (leads[name], name))
    if not ordered or not leads[ordered[-1]]:
        raise FaultError(f"nobody leads a partition of {table}.")
    return ordered[-1] if word == LEADER else ordered[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
