"""The cluster of a game day: a new one in a folder of its own, or a local one that runs already."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stator.credentials import Credentials
from stator.gameday.clocks import Clocks
from stator.gameday.disks import SETTINGS, Disks
from stator.gameday.links import Links
from stator.local.control import ask
from stator.local.errors import LocalClusterError
from stator.local.folder import DataFolder
from stator.local.keys import root_credentials
from stator.local.layout import LOOPBACK, ClusterOptions, ProcessPlan, Role, select
from stator.local.supervisor import ClusterReady, Event, Supervisor

_COMMAND_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What is made of this machine for a cluster of the game day's own; None: nothing can be done to that."""

    links: Links | None = None
    disks: Disks | None = None
    clocks: Clocks | None = None

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Everything taken away again afterwards."""
        with self.links or contextlib.nullcontext(), self.disks or contextlib.nullcontext():
            yield

    def prefix(self, plan: ProcessPlan, folder: Path) -> list[str]:
        """Before a process starts: what comes before its command. Raises MachineError."""
        if self.disks is not None:
            self.disks.prepare(plan, folder)
        return [*(self.links.prefix(plan) if self.links else ()), *(self.clocks.prefix(plan) if self.clocks else ())]


class GamedayCluster:
    """What a game day needs of a local cluster: its doors, its processes, commands to them."""

    def __init__(self, folder: DataFolder, tools: Tools = Tools()) -> None:
        self.folder = folder
        self.tools = tools
        cluster = folder.read()
        self.nodes_per_zone = cluster.nodes_per_zone
        self.routers = [(f"router-{index}", f"{LOOPBACK}:{port}") for index, port in enumerate(cluster.grpc_ports, 1)]
        self.credentials: Credentials | None = root_credentials(folder.path) if cluster.auth else None

    @property
    def endpoints(self) -> list[str]:
        """The routers' gRPC addresses."""
        return [address for _, address in self.routers]

    async def command(self, word: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """A word of `stator local` for processes, or status; their state then. Raises LocalClusterError."""
        answer = await asyncio.to_thread(ask, self.folder, word, names, timeout_s=_COMMAND_TIMEOUT_S)
        return list(answer["processes"])

    async def listening(self) -> dict[str, list[int]]:
        """The ports that each process listens on."""
        entries = await self.command("status", ["all"])
        return {entry["name"]: [port["port"] for port in entry["ports"]] for entry in entries}

    async def names(self, words: Sequence[str], roles: Collection[Role] = tuple(Role)) -> list[str]:
        """The processes of `roles` that names, zones, roles and "all" mean. Raises UnknownProcessError."""
        known = [(entry["name"], Role(entry["role"]), entry["zone"]) for entry in await self.command("status", ["all"])]
        able = {name for name, role, _ in known if role in roles}
        return [name for name in select(words, known) if name in able]

    def node_folder(self, name: str) -> Path:
        """The data folder of a storage node or metadata process."""
        return self.folder.path / name


@contextlib.asynccontextmanager
async def new_cluster(path: Path, nodes_per_zone: int, tools: Tools) -> AsyncIterator[GamedayCluster]:
    """A cluster in an empty folder, on ports that are free. It ends with this process, whatever becomes of that.

    Raises LocalClusterError, and MachineError where something is to be made of the machine and cannot be.
    """
    stop = asyncio.Event()
    ready = asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, ClusterReady):
            ready.set()

    environ = {**os.environ, **(SETTINGS if tools.disks is not None else {})}
    options = ClusterOptions(path, http_port=0, grpc_port=0, nodes_per_zone=nodes_per_zone)
    supervisor = Supervisor(options, environ, note, lambda plan: tools.prefix(plan, path))
    life = asyncio.create_task(supervisor.run(stop), name="supervisor")
    is_ready = asyncio.create_task(ready.wait(), name="ready")
    try:
        await asyncio.wait([life, is_ready], return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            await life
            raise LocalClusterError("The cluster was stopped before it was ready.")
        yield GamedayCluster(DataFolder(path), tools)
    finally:
        is_ready.cancel()
        stop.set()
        await asyncio.gather(life, return_exceptions=True)


@contextlib.asynccontextmanager
async def running_cluster(path: Path) -> AsyncIterator[GamedayCluster]:
    """The cluster that runs in a data folder; it stays. Raises LocalClusterError unless all of it serves."""
    cluster = GamedayCluster(DataFolder(path))
    idle = [
        entry["name"]
        for entry in await cluster.command("status", ["all"])
        if entry["state"] not in ("ready", "removed")
    ]
    if idle:
        raise LocalClusterError(f"A game day begins with a whole cluster, and {', '.join(idle)} is not ready.")
    yield cluster
