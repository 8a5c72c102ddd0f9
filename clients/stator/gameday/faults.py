"""What can be done to a local cluster: one class a kind of fault, with how it is undone."""

import asyncio
import random
import re
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from stator.descriptions import ClusterDescription, NodeDescription
from stator.errors import StatorError
from stator.gameday.clocks import Clocks
from stator.gameday.cluster import GamedayCluster
from stator.gameday.delays import DelayQueue
from stator.gameday.disks import Disks
from stator.gameday.links import DROP, Change, losing, queued
from stator.gameday.machine import MachineError
from stator.gameday.scenario import FAULTS, FOLLOWER, INDEX_LEADER, WORDS, Fault
from stator.local.errors import LocalClusterError

_COPIES_MIN = 20
"""Of this run's values in a log, before a bit in one of them is flipped: those behind it prove that it was synced."""
_OUT_OF_ORDER_MAX = 8
"""Values of a client, which come one after the other, but may go to groups of which one catches up."""
_EXIT_DISK = 5
"""How a process ends whose disk failed; see server/runtime/lifecycle.py."""
_ENDED_S_MAX = 5.0
_OPERATION_S_MAX = 10.0
_POLL_S = 0.05


class FaultError(Exception):
    """A fault could not be brought about, or had not the effect without which it proves nothing."""


class Operating(Protocol):
    """Whoever can take nodes out of use: a client."""

    async def describe_cluster(self, *, timeout_s: float | None = None) -> ClusterDescription: ...

    async def drain_node(
        self, name: str, *, cancel: bool = False, timeout_s: float | None = None
    ) -> NodeDescription: ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where faults happen. `run` is in every value of the load. `may_end`: processes that have to end by themselves.
    `queue_numbers`: of queues for packets, each but once."""

    cluster: GamedayCluster
    client: Operating
    run: str
    may_end: set[str] = field(default_factory=set)
    queue_numbers: Iterator[int] = field(default_factory=lambda: count(1))


class Injection(ABC):
    """A fault, from its beginning to its end. Both say what they did in a few words, for the timeline, and may raise
    FaultError, LocalClusterError, MachineError and StatorError. `end` is called at most once, and only after `begin`
    succeeded."""

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


class _Restart(Injection):
    """One process after the other is stopped and started, the next when the one before takes part again."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        self._site = site
        self._names = names

    async def begin(self) -> str:
        for name in self._names:
            await self._site.cluster.command("restart", [name])
        return f"restart {_listed(self._names)}, one after the other"

    async def end(self) -> str:
        return ""


class _ClockRate(Injection):
    """Processes are stopped, and started with clocks that run at another rate."""

    def __init__(self, site: Site, fault: Fault, names: Sequence[str]) -> None:
        self._site = site
        self._fault = fault
        self._names = names

    async def begin(self) -> str:
        clocks = self._site.cluster.tools.clocks
        if clocks is None:
            raise FaultError("clocks can only be changed in a cluster that the game day has started itself.")
        for entry in await self._start_with(clocks, self._fault.percent):
            if clocks.library.name not in await asyncio.to_thread(Path(f"/proc/{entry['pid']}/maps").read_text):
                raise FaultError(f"{entry['name']} has not loaded {clocks.library}.")
        fast = "fast" if self._fault.percent > 0 else "slow"
        return f"start {_listed(self._names)} anew, with clocks {abs(self._fault.percent):g} % too {fast}"

    async def end(self) -> str:
        clocks = self._site.cluster.tools.clocks
        assert clocks is not None
        await self._start_with(clocks, 0.0)
        return f"start {_listed(self._names)} anew, with right clocks"

    async def _start_with(self, clocks: Clocks, percent: float) -> list[dict[str, Any]]:
        for name in self._names:
            clocks.set_rate(name, percent)
        await self._site.cluster.command("stop", self._names)
        return await self._site.cluster.command("start", self._names)


class _Drain(Injection):
    """All that storage nodes have moves to others."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        self._site = site
        self._names = names

    async def begin(self) -> str:
        for name in self._names:
            await self._site.client.drain_node(name, timeout_s=_OPERATION_S_MAX)
        return f"drain {_listed(self._names)}"

    async def end(self) -> str:
        nodes = (await self._site.client.describe_cluster(timeout_s=_OPERATION_S_MAX)).nodes
        left = {node.name: node.replicas for node in nodes if node.name in self._names and node.replicas}
        for name in self._names:
            await self._site.client.drain_node(name, cancel=True, timeout_s=_OPERATION_S_MAX)
        for name, replicas in left.items():
            raise FaultError(f"{name} had {replicas} replicas left when it was put to use again.")
        return f"all of {_listed(self._names)} has moved; in use again"


class Logs:
    """What processes write to their logs from `begin` on."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        self._paths = {name: site.cluster.folder.log_path(name) for name in names}
        self._offsets: dict[str, int] = {}

    def begin(self) -> None:
        self._offsets = {name: path.stat().st_size for name, path in self._paths.items()}

    def without(self, text: bytes) -> list[str]:
        """The processes that have not written `text` since."""
        silent = []
        for name, path in self._paths.items():
            with path.open("rb") as log:
                log.seek(self._offsets[name])
                if text not in log.read():
                    silent.append(name)
        return silent


class _FlippedBit(Injection):
    """A storage node is killed, a bit in its log flips, it is started again, and has to notice."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        self._site = site
        self._names = names
        self._logs = Logs(site, names)

    async def begin(self) -> str:
        await self._site.cluster.command("kill", self._names)
        self._logs.begin()
        places = []
        for name in self._names:
            wal = self._site.cluster.node_folder(name) / "wal"
            places.append(f"{name}: {await asyncio.to_thread(flip_bit, wal, self._site.run)}")
        return f"kill {_listed(self._names)}, flip a bit ({'; '.join(places)})"

    async def end(self) -> str:
        try:
            await self._site.cluster.command("start", self._names)
        finally:
            silent = self._logs.without(b"damaged")
            if silent:
                raise FaultError(f"{silent[0]} has not noticed that a bit in its log had flipped.")
        return f"start {_listed(self._names)}, which noticed the damage"


class _OnLinks(Injection):
    """Something done to what processes send to others, and unless it is one-way to what these send. `_target`: what
    becomes of it."""

    def __init__(self, site: Site, fault: Fault, senders: Sequence[str], receivers: Sequence[str]) -> None:
        self._site = site
        self._fault = fault
        self._ways = [(senders, receivers)] if fault.is_one_way else [(senders, receivers), (receivers, senders)]
        who, whom = _briefly(fault.processes, senders), _briefly(fault.to, receivers)
        self._text = f"{who} {'to' if fault.is_one_way else 'from'} {whom}"
        self._ports: dict[str, list[int]] = {}
        self._target: Sequence[str] = DROP

    async def begin(self) -> str:
        self._ports = await self._site.cluster.listening()
        await self._change(Change.ADD)
        return f"cut {self._text}"

    async def end(self) -> str:
        await self._change(Change.REMOVE)
        return f"mend {self._text}"

    async def _change(self, change: Change) -> None:
        links = self._site.cluster.tools.links
        if links is None:
            raise FaultError("links can only be changed in a cluster that the game day has started itself.")
        for senders, receivers in self._ways:
            await asyncio.to_thread(links.change, change, self._target, senders, receivers, self._ports)


class _Loss(_OnLinks):
    """Some of it is lost, at random."""

    async def begin(self) -> str:
        self._target = losing(self._fault.percent)
        await super().begin()
        return f"lose {self._fault.percent:g} % {self._text}"


class _Delay(_OnLinks):
    """All of it arrives late."""

    async def begin(self) -> str:
        fault = self._fault
        number = next(self._site.queue_numbers)
        self._queue = DelayQueue(number, fault.ms, fault.jitter_ms, random.Random(f"{self._site.run} {number}"))
        self._queue.open()
        self._target = queued(number)
        await super().begin()
        return f"delay by {fault.ms:g} ms {f'+- {fault.jitter_ms:g} ms ' if fault.jitter_ms else ''}{self._text}"

    async def end(self) -> str:
        text = await super().end()
        await self._queue.close()
        if not self._queue.packets:
            raise FaultError(f"nothing was sent {self._text}, so nothing was delayed.")
        return f"{text}, {self._queue.packets:,} packets late"


class _OnDisks(Injection):
    """Something done to the file systems of processes; not all of these need have one."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        self._site = site
        self._names = names

    def _disks(self) -> tuple[Disks, list[str]]:
        disks = self._site.cluster.tools.disks
        if disks is None:
            raise FaultError("disks can only be broken in a cluster that the game day has started itself.")
        return disks, [name for name in self._names if name in disks.names]

    async def _mount_anew_and_start(self) -> None:
        """Raises FaultError if what had not been synced is still there: then the fault proves nothing."""
        disks, names = self._disks()
        for name in names:
            if not await asyncio.to_thread(disks.mount_anew, name):
                raise FaultError(f"what {name} had not synced has survived.")
        await self._site.cluster.command("start", self._names)


class _FullDisk(_OnDisks):
    """Nothing is left of a disk; whoever has it must notice."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        super().__init__(site, names)
        self._logs = Logs(site, names)

    async def begin(self) -> str:
        disks, names = self._disks()
        self._logs.begin()
        for name in names:
            await asyncio.to_thread(disks.fill, name)
        return f"fill the disk of {_listed(names)}"

    async def end(self) -> str:
        disks, names = self._disks()
        silent = self._logs.without(b"disk nearly full")
        for name in names:
            await asyncio.to_thread(disks.make_room, name)
        if silent:
            raise FaultError(f"{silent[0]} has not noticed that its disk was full.")
        return f"room on the disk of {_listed(names)}"


class _HangingDisk(_OnDisks):
    """Every write and sync waits until it is undone."""

    async def begin(self) -> str:
        disks, names = self._disks()
        for name in names:
            await asyncio.to_thread(disks.freeze, name)
        return f"hang the disk of {_listed(names)}"

    async def end(self) -> str:
        disks, names = self._disks()
        for name in names:
            await asyncio.to_thread(disks.thaw, name)
        return f"the disk of {_listed(names)} goes on"


class _FailedDisk(_OnDisks):
    """Every write and sync fails from one moment on: the process has to end at once, and begins on what was synced."""

    async def begin(self) -> str:
        disks, names = self._disks()
        self._site.may_end.update(names)
        for name in names:
            await asyncio.to_thread(disks.shut_down, name)
        deadline = time.monotonic() + _ENDED_S_MAX
        while True:
            entries = await self._site.cluster.command("status", names)
            alive = [entry["name"] for entry in entries if entry["state"] != "exited"]
            if not alive:
                break
            if time.monotonic() > deadline:
                raise FaultError(f"{alive[0]} lives {_ENDED_S_MAX:g} s after its disk failed.")
            await asyncio.sleep(_POLL_S)
        for entry in entries:
            if entry["exit_code"] != _EXIT_DISK:
                raise FaultError(
                    f"{entry['name']} ended with code {entry['exit_code']}, not {_EXIT_DISK}, when its disk failed."
                )
        return f"fail the disk of {_listed(names)}, which ended at once"

    async def end(self) -> str:
        await self._mount_anew_and_start()
        self._site.may_end.difference_update(self._names)
        return f"another disk, with what was synced, and start {_listed(self._names)}"


class _CutPower(_OnDisks):
    """Processes stop at one moment, and what they had not synced is gone."""

    async def begin(self) -> str:
        disks, names = self._disks()
        await self._site.cluster.command("pause", self._names)
        for name in names:
            await asyncio.to_thread(disks.shut_down, name)
        await self._site.cluster.command("kill", self._names)
        return f"cut the power of {_listed(self._names)}"

    async def end(self) -> str:
        await self._mount_anew_and_start()
        return f"power, and start {_listed(self._names)}, without what had not been synced"


def flip_bit(wal: Path, run: str) -> str:
    """Flips one bit in the text of a value of this run, in a segment that nobody has open; says where.

    Raises FaultError when too little of the run is in the log.
    """
    places: dict[Path, list[int]] = {}
    newest: dict[bytes, int] = {}  # client -> the number of its last value so far
    for path in sorted(wal.glob("*.wal")):
        places[path] = []
        for match in re.finditer(re.escape(run.encode()) + rb"\.(\d+)\.(\d+)", path.read_bytes()):
            client, number = match[1], int(match[2])
            # What is older than what came before is of a segment's former life: its file is used again, and written
            # over from its beginning.
            if number > newest.get(client, 0) - _OUT_OF_ORDER_MAX:
                places[path].append(match.end() - 1)
                newest[client] = max(number, newest.get(client, 0))
    for path, found in reversed(places.items()):
        if len(found) >= _COPIES_MIN:
            place = found[len(found) // 2]
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
    "stop": _signals("stop", "start"),
    "restart": lambda site, fault, names, to: _Restart(site, names),
    "drain": lambda site, fault, names, to: _Drain(site, names),
    "pause": _signals("pause", "resume"),
    "resume": _signals("resume", None),
    "flip-bit": lambda site, fault, names, to: _FlippedBit(site, names),
    "fill-disk": lambda site, fault, names, to: _FullDisk(site, names),
    "hang-disk": lambda site, fault, names, to: _HangingDisk(site, names),
    "fail-disk": lambda site, fault, names, to: _FailedDisk(site, names),
    "clock-rate": lambda site, fault, names, to: _ClockRate(site, fault, names),
    "cut-power": lambda site, fault, names, to: _CutPower(site, names),
    "cut": _OnLinks,
    "lose": _Loss,
    "delay": _Delay,
}
"""By the words of `stator.gameday.scenario.FAULTS`; what is given besides the fault are the processes that it means."""


async def inject(site: Site, fault: Fault, description: ClusterDescription | None, table: str) -> tuple[Injection, str]:
    """Begins a fault; it, and what was done. `description` is the cluster as it was last seen. Raises FaultError."""
    words, to = ([resolve(word, description, table) for word in each] for each in (fault.processes, fault.to))
    try:
        roles = FAULTS[fault.do].roles
        injection = KINDS[fault.do](
            site, fault, await site.cluster.names(words, roles), await site.cluster.names(to, roles)
        )
        text = await injection.begin()
    except (LocalClusterError, MachineError, StatorError) as error:
        raise FaultError(f"{fault.do} {_listed(words)}: {error}") from None
    meant = [word for word in (*fault.processes, *fault.to) if word in WORDS]
    return injection, f"{text} ({', '.join(meant)} of {table})" if meant else text


def resolve(word: str, description: ClusterDescription | None, table: str) -> str:
    """Whom "leader" and "follower" mean: the storage node that leads most, or fewest, partitions of the table; and whom
    "index-leader" means: that of its index. Of several followers it is the one that leads least of the index: what is
    done to a follower is not meant to move anybody. Other words stay. Raises FaultError."""
    if word not in WORDS:
        return word
    if description is None:
        raise FaultError(f"it has not been seen yet who is a {word}.")
    names = {node.node_id: node.name for node in description.nodes if node.role == "storage"}
    leads, others = Counter[str](), Counter[str]()  # of what is meant; of the rest of table and index
    for partition in description.partitions:
        if partition.table_name == table:
            counts = leads if bool(partition.index_name) == (word == INDEX_LEADER) else others
            for replica in partition.replicas:
                counts[names[replica.node_id]] += replica.is_leader
    ordered = sorted(leads, key=lambda name: (leads[name], others[name], name))
    if not ordered or not leads[ordered[-1]]:
        of_what = f"the index of {table}" if word == INDEX_LEADER else table
        raise FaultError(f"nobody leads a partition of {of_what}.")
    return ordered[0] if word == FOLLOWER else ordered[-1]


def _briefly(words: Sequence[str], names: Sequence[str]) -> str:
    """The names, or the words for them where there are many."""
    return _listed(names if len(names) <= len(words) else words)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
