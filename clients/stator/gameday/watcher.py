"""What a game day sees of the cluster from outside, while it plays."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stator.descriptions import ClusterDescription
from stator.errors import StatorError
from stator.gameday.history import EventKind

_INTERVAL_S = 0.5
_TIMEOUT_S = 2.0


class Describing(Protocol):
    """Whoever describes the cluster: a client."""

    async def describe_cluster(self, *, timeout_s: float | None = None) -> ClusterDescription: ...


class Commanding(Protocol):
    """Whoever knows its processes: the local cluster."""

    async def command(self, word: str, names: Sequence[str]) -> list[dict[str, Any]]: ...


@dataclass(slots=True)
class Watcher:
    """Looks at the cluster twice a second and tells what has changed. A process that ended of its own accord is a
    problem, unless `may_end` has its name. `seen` is the last description; None: none yet."""

    client: Describing
    cluster: Commanding
    table: str
    tell: Callable[[EventKind, str], None]
    may_end: Collection[str] = ()
    seen: ClusterDescription | None = None
    _states: dict[str, str] = field(default_factory=dict)
    _leaders: dict[int, str] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _is_silent: bool = False

    async def watch(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_INTERVAL_S)

    async def look(self) -> ClusterDescription | None:
        """Looks once; None if nobody told."""
        await self._look_at_processes()
        try:
            description = await self.client.describe_cluster(timeout_s=_TIMEOUT_S)
        except StatorError as error:
            if not self._is_silent:
                self.tell(EventKind.SEEN, f"nobody describes the cluster: {type(error).__name__}")
            self._is_silent = True
            return None
        if self._is_silent:
            self.tell(EventKind.SEEN, "the cluster is described again")
            self._is_silent = False
        self.seen = description
        states = self._describe(description)
        for name, state in states.items():
            if self._states and self._states.get(name) != state:
                self.tell(EventKind.SEEN, f"{name}: {state}")
        self._states = states
        self._tell_leaders(description)
        return description

    def _tell_leaders(self, description: ClusterDescription) -> None:
        names = {node.node_id: node.name for node in description.nodes if node.role == "storage"}
        for partition in description.partitions:
            if partition.table_name == self.table and partition.leader is not None:
                leader = names[partition.leader.node_id]
                before = self._leaders.get(partition.partition_id, leader)
                if before != leader:
                    of_index = " of the index" if partition.index_name else ""
                    text = f"partition {partition.partition_id}{of_index} is led by {leader}, no longer by {before}"
                    self.tell(EventKind.ELECTED, text)
                self._leaders[partition.partition_id] = leader

    def _describe(self, description: ClusterDescription) -> dict[str, str]:
        states = {}
        for node in description.nodes:
            own = [p for p in description.partitions if p.table_name == self.table and not p.index_name]
            ids = [p.leader.node_id for p in own if p.leader]
            leads = f"leads {ids.count(node.node_id)} of {self.table}" if node.role == "storage" else ""
            if node.role == "metadata" and node.is_leader and node.is_alive:
                leads = "leads the metadata service"
            parts = ["alive" if node.is_alive else "NOT ALIVE", leads, node.note]
            states[node.name] = ", ".join(part for part in parts if part)
        return states

    async def _look_at_processes(self) -> None:
        ended = {entry["name"]: entry for entry in await self.cluster.command("status", ["all"])}
        for name, entry in ended.items():
            if entry["state"] != "exited":
                self._ended.discard(name)
            elif name not in self._ended:
                self._ended.add(name)
                kind = EventKind.SEEN if name in self.may_end else EventKind.PROBLEM
                self.tell(kind, f"{name} ended by itself (code {entry['exit_code']}); see {entry['log']}.")
