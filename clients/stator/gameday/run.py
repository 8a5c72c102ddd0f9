"""One game day from the first call to the last: load, faults, healing, reading back. The judgement comes after it."""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from stator.client import AsyncClient
from stator.errors import StatorError
from stator.gameday.cluster import GamedayCluster
from stator.gameday.faults import FaultError, Injection, Site, inject
from stator.gameday.history import HISTORY_FILE, Event, EventKind, HistoryWriter
from stator.gameday.load import PARTITION_KEY, VALUE, Load
from stator.gameday.machine import MachineError
from stator.gameday.scenario import Fault, Scenario
from stator.gameday.watcher import Watcher
from stator.index_check import ClientSource, IndexCheck, definition_of
from stator.indexes import GlobalIndex
from stator.local.errors import LocalClusterError

HEAL_S_MAX = 90.0
"""How long after the last fault was undone a cluster may take until all of it serves; that is a problem otherwise."""
_EQUAL_S_MAX = 20.0
_POLL_S = 0.2
_DIFFERENCES_TOLD = 10

_INDEX = GlobalIndex("by-value", (VALUE, "S"))
"""By what every write changes."""

Tell = Callable[[Event], None]


class Gameday:
    """Plays a scenario on a cluster and writes the history into `folder`. `tell` hears each event."""

    def __init__(self, scenario: Scenario, cluster: GamedayCluster, folder: Path, tell: Tell, seed: int | None) -> None:
        self._scenario = scenario
        self._cluster = cluster
        self._tell = tell
        self._run = secrets.token_hex(3)
        self._table = f"gameday-{self._run}"
        self._seed = random.randrange(1 << 32) if seed is None else seed
        about = {
            "table": self._table,
            "seed": self._seed,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "stator": version("stator"),
        }
        self._history = HistoryWriter(folder / HISTORY_FILE, scenario, about)
        self._load = Load(
            scenario, self._table, cluster.endpoints, cluster.credentials, self._history, self._run, self._seed
        )
        self._in_force: list[Injection] = []

    async def play(self) -> None:
        """Returns once everything has been read back and the history ends. Raises StatorError and LocalClusterError
        for a cluster that does not even begin; nothing for one that fails later: that is what the judgement is for."""
        with self._history:
            async with self._load.connect("watcher") as client:
                await client.create_table(
                    self._table,
                    (PARTITION_KEY, "S"),
                    partitions=self._scenario.partitions,
                    global_indexes=[_INDEX] if self._scenario.is_indexed else (),
                    timeout_s=30.0,
                )
                await client.wait_until_table_active(self._table)
                site = Site(self._cluster, client, self._run)
                watcher = Watcher(client, self._cluster, self._table, self._note, site.may_end)
                await self._wait_whole(watcher)
                await self._play(site, watcher)
                if self._scenario.is_indexed:
                    await self._check_index(client)
                self._history.end()
                # A cluster that is still broken keeps its table; the record tells that, and is complete.
                with contextlib.suppress(StatorError):
                    await client.delete_table(self._table, timeout_s=30.0)

    async def _play(self, site: Site, watcher: Watcher) -> None:
        self._load.begin()
        watching = asyncio.create_task(watcher.watch(), name="watcher")
        faults = [
            asyncio.create_task(self._cause(fault, site, watcher), name=f"fault {fault.do}")
            for fault in self._scenario.faults
        ]
        self._note(EventKind.PHASE, f"load: {self._scenario.clients} clients on {self._table}, seed {self._seed}")
        try:
            await self._load.play()
            await asyncio.gather(*faults)
            self._note(EventKind.PHASE, "the load is over; what is still in force is undone")
            await self._heal()
        finally:
            for task in (*faults, watching):
                task.cancel()
            await asyncio.gather(*faults, watching, return_exceptions=True)
        if await self._wait_whole(watcher):
            self._note(EventKind.PHASE, "everything serves again")
        else:
            self._note(EventKind.PROBLEM, f"not all of the cluster serves {HEAL_S_MAX:g} s after the last fault.")
        await self._read_back()

    async def _cause(self, fault: Fault, site: Site, watcher: Watcher) -> None:
        await asyncio.sleep(max(0.0, fault.at_s - self._load.now_ns() / 1e9))
        at_ns = self._load.now_ns()
        try:
            injection, text = await inject(site, fault, watcher.seen, self._table)
        except FaultError as error:
            self._note(EventKind.PROBLEM, f"a fault did not happen: {error}")
            return
        self._note(EventKind.FAULT, text, at_ns)
        self._in_force.append(injection)
        if fault.for_s is not None:
            await asyncio.sleep(max(0.0, fault.at_s + fault.for_s - self._load.now_ns() / 1e9))
            await self._undo(injection)

    async def _undo(self, injection: Injection) -> None:
        self._in_force.remove(injection)
        at_ns = self._load.now_ns()
        try:
            text = await injection.end()
        except (FaultError, MachineError, StatorError) as error:
            self._note(EventKind.PROBLEM, str(error))
        except LocalClusterError as error:
            # It may hang together with other faults, which are not undone yet; in the end all has to serve.
            self._note(EventKind.UNDONE, f"not yet: {error}", at_ns)
        else:
            if text:
                self._note(EventKind.UNDONE, text, at_ns)

    async def _heal(self) -> None:
        for injection in reversed(tuple(self._in_force)):
            await self._undo(injection)
        try:
            await self._cluster.command("resume", ["all"])
            await self._cluster.command("start", ["all"])
        except LocalClusterError as error:
            self._note(EventKind.PROBLEM, f"the cluster could not be healed: {error}")

    async def _wait_whole(self, watcher: Watcher) -> bool:
        """Until every process lives, every partition has a leader and nobody has anything to complain of; False if that
        takes too long."""
        deadline = time.monotonic() + HEAL_S_MAX
        while time.monotonic() < deadline:
            description = await watcher.look()
            if description is not None:
                partitions = [p for p in description.partitions if p.table_name == self._table]
                has_leaders = partitions and all(partition.leader is not None for partition in partitions)
                if has_leaders and all(node.is_alive and not node.note for node in description.nodes):
                    return True
            await asyncio.sleep(_POLL_S)
        return False

    async def _read_back(self) -> None:
        """Every key, in every zone, until nothing differs any more; what differs in the last reading is judged."""
        deadline = time.monotonic() + _EQUAL_S_MAX
        keys = self._load.keys
        self._note(EventKind.PHASE, f"reading {len(keys)} keys back, through every router")
        while keys:
            keys = await self._load.read_back(self._cluster.routers, keys)
            if time.monotonic() > deadline:
                return
            if keys:
                await asyncio.sleep(_POLL_S)

    async def _check_index(self, client: AsyncClient) -> None:
        """Whether the index has what it should; what it has not, or should not have, is a problem."""
        try:
            definition = definition_of(await client.describe_table(self._table), _INDEX.name)
            check = IndexCheck(ClientSource(client, self._table, _INDEX.name, definition), definition)
            found = [difference async for difference in check.differences()]
        except StatorError as error:
            self._note(EventKind.PROBLEM, f"the index could not be compared with its table: {error}")
            return
        for difference in found[:_DIFFERENCES_TOLD]:
            self._note(EventKind.PROBLEM, f"the index has a {difference.kind} entry: {difference}"[:400])
        if len(found) > _DIFFERENCES_TOLD:
            self._note(EventKind.PROBLEM, f"the index has {len(found)} wrong entries.")
        self._note(EventKind.PHASE, f"compared {check.items} items and {check.entries} entries of the index")

    def _note(self, kind: EventKind, text: str, at_ns: int | None = None) -> None:
        now_ns = self._load.now_ns()
        event = Event(kind, now_ns if at_ns is None else at_ns, text, now_ns if at_ns is not None else None)
        self._history.event(event)
        self._tell(event)
