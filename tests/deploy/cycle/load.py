"""The load of a game day on the services of compose.yaml, what is done to them meanwhile, and the judgement of it."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stator.cli.output import print_table
from stator.descriptions import ClusterDescription
from stator.gameday.history import HISTORY_FILE, Event, EventKind, HistoryWriter, read_history
from stator.gameday.judge import judge
from stator.gameday.load import PARTITION_KEY, Load
from stator.gameday.report import availability_rows, figures, headline
from stator.gameday.scenario import Scenario
from stator.gameday.watcher import Watcher

from tests.deploy.cycle.engine import Services

ROUTERS = [(f"router-{number + 1}", f"127.0.0.1:{9000 + number}") for number in range(3)]
HTTP = [f"http://127.0.0.1:{8000 + number}" for number in range(3)]
SCENARIO = Scenario(
    name="compose",
    description="a zone off the network and back, a container replaced, everything stopped and started again",
    duration_s=180.0,  # at most: it ends with what is done to the services
    clients=8,
    operations_per_second=200,
    item_bytes=400,
    partitions=3,
    nodes_per_zone=1,
    timeout_s=10.0,
    eventual_within_s=4.0,
    faults=(),
    errors_max=0,
)
BEFORE_S = 4.0
WHOLE_S_MAX = 60.0
EQUAL_S_MAX = 20.0
CALLS_MIN = 500
"""Calls that end while a zone is away, and after everything is whole again."""
_POLL_S = 0.1


class Commands:
    """What the watcher of a game day asks about processes, answered by the engine."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def command(self, word: str, names: Sequence[str]) -> list[dict[str, Any]]:
        assert (word, list(names)) == ("status", ["all"])
        return await asyncio.to_thread(self._services.listed)


class Round:
    """One load on one table. What goes wrong becomes part of its history, by which it is judged."""

    def __init__(self, services: Services, folder: Path, zone: str, tell: Callable[[str], None]) -> None:
        """`zone`: the one that is taken off the network; empty: that of whoever leads most partitions."""
        self._services = services
        self._tell = tell
        self._zone = zone
        self._folder = folder
        run = secrets.token_hex(3)
        self._table = f"compose-{run}"
        seed = random.randrange(1 << 32)
        about = {"table": self._table, "seed": seed}
        self._history = HistoryWriter(folder / HISTORY_FILE, SCENARIO, about)
        self._load = Load(SCENARIO, self._table, [address for _, address in ROUTERS], None, self._history, run, seed)
        self._may_end: set[str] = set()
        self._ended_s = SCENARIO.duration_s

    async def play(self) -> bool:
        """Whether nothing is wrong. Raises AssertionError and StatorError for what fails outside of the load."""
        with self._history:
            async with self._load.connect("watcher") as client:
                await client.create_table(
                    self._table, (PARTITION_KEY, "S"), partitions=SCENARIO.partitions, timeout_s=30.0
                )
                await client.wait_until_table_active(self._table)
                watcher = Watcher(client, Commands(self._services), self._table, self._note, self._may_end)
                await self._wait_whole(watcher)
                self._load.begin()
                self._note(EventKind.PHASE, f"load: {SCENARIO.clients} clients on {self._table}")
                await self._play(watcher)
                await self._wait_whole(watcher)
                await self._read_back()
                await self._start_anew()
                await self._wait_whole(watcher)
                await self._read_back()
                await asyncio.to_thread(self._ask_doors)
                self._history.end()
        return self._judge()

    async def _play(self, watcher: Watcher) -> None:
        watching = asyncio.create_task(watcher.watch(), name="watcher")
        steps = asyncio.create_task(self._disturb(watcher), name="steps")
        steps.add_done_callback(lambda _: self._load.stop())
        try:
            await self._load.play()
            assert steps.done(), "the load was over before all had been done to the services"
            await steps
            self._ended_s = self._load.now_ns() / 1e9
        finally:
            steps.cancel()
            watching.cancel()
            await asyncio.gather(steps, watching, return_exceptions=True)

    async def _disturb(self, watcher: Watcher) -> None:
        """A zone off the network and back; then a container of another zone, one that leads, replaced."""
        await asyncio.sleep(BEFORE_S)
        zone = self._zone or self._zone_of(self._leaders(watcher.seen)[0])
        names = await asyncio.to_thread(self._services.zone, zone)
        known = self._alive(watcher.seen).intersection(names)  # a router is nobody's to know
        at_ns = self._load.now_ns()
        await asyncio.to_thread(self._services.disconnect, names)
        self._note(EventKind.FAULT, f"disconnect {', '.join(names)} ({zone})", at_ns)
        await self._wait(lambda: self._alive(watcher.seen).isdisjoint(known), f"{zone} to be missed")
        calls = self._history.calls
        await self._wait(lambda: self._history.calls >= calls + CALLS_MIN, f"{CALLS_MIN} calls without {zone}")
        at_ns = self._load.now_ns()
        await asyncio.to_thread(self._services.connect, names)
        self._note(EventKind.UNDONE, f"connect {', '.join(names)}", at_ns)
        await self._wait_whole(watcher)
        self._note(
            EventKind.SEEN, f"{zone} is whole again, {(self._load.now_ns() - at_ns) / 1e9:.1f} s after it was connected"
        )
        leader = next(name for name in self._leaders(watcher.seen) if name not in names)
        at_ns = self._load.now_ns()
        self._may_end.add(leader)
        await asyncio.to_thread(self._services.replace, leader)
        self._note(EventKind.FAULT, f"replace the container of {leader}, which leads", at_ns)
        await self._wait_whole(watcher)
        self._note(EventKind.SEEN, f"all is whole again, {(self._load.now_ns() - at_ns) / 1e9:.1f} s after that began")
        calls = self._history.calls
        await self._wait(lambda: self._history.calls >= calls + CALLS_MIN, "the load to go on")

    async def _start_anew(self) -> None:
        """All containers go, the volumes stay; without STATOR_BOOTSTRAP the cluster goes on with them."""
        assert not await asyncio.to_thread(self._services.restarts), "a process ended by itself"
        codes = await asyncio.to_thread(self._services.stop)
        assert set(codes.values()) == {0}, f"exit codes: {codes}"
        await asyncio.to_thread(self._services.down)
        self._note(EventKind.PHASE, "down: every process ended with exit code 0")
        await asyncio.to_thread(self._services.up, {})
        self._note(EventKind.PHASE, "up again, without STATOR_BOOTSTRAP")

    async def _read_back(self) -> None:
        """Every key, through every router: what differs is tried again for a while, then it is a problem."""
        deadline = time.monotonic() + EQUAL_S_MAX
        keys = self._load.keys
        assert keys
        self._note(EventKind.PHASE, f"reading {len(keys)} keys back, through every router")
        while keys := await self._load.read_back(ROUTERS, keys):
            if time.monotonic() > deadline:
                self._note(EventKind.PROBLEM, f"not the same everywhere after {EQUAL_S_MAX:g} s: {', '.join(keys)}")
                return
            await asyncio.sleep(_POLL_S)

    def _ask_doors(self) -> None:
        """The HTTP door of every router has the table."""
        headers = {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Content-Type": "application/x-amz-json-1.0"}
        for url in HTTP:
            request = urllib.request.Request(url, b"{}", headers)
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert self._table in json.load(answer)["TableNames"], url

    async def _wait_whole(self, watcher: Watcher) -> None:
        """Until every process lives and has nothing to complain of, and every partition has a leader."""
        deadline = time.monotonic() + WHOLE_S_MAX
        while True:
            seen = await watcher.look()
            if seen is not None and all(node.is_alive and not node.note for node in seen.nodes):
                partitions = [each for each in seen.partitions if each.table_name == self._table]
                if partitions and all(each.leader is not None for each in partitions):
                    return
            assert time.monotonic() < deadline, f"not whole after {WHOLE_S_MAX:g} s: {seen}"
            await asyncio.sleep(_POLL_S)

    async def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WHOLE_S_MAX
        while not condition():
            assert time.monotonic() < deadline, f"waited {WHOLE_S_MAX:g} s for {what}"
            await asyncio.sleep(_POLL_S)

    def _leaders(self, seen: ClusterDescription | None) -> list[str]:
        """The storage nodes that lead partitions of the table; whoever leads most comes first."""
        assert seen is not None
        names = {node.node_id: node.name for node in seen.nodes if node.role == "storage"}
        led = [names[each.leader.node_id] for each in seen.partitions if each.table_name == self._table and each.leader]
        return sorted(set(led), key=lambda name: (-led.count(name), name))

    def _zone_of(self, name: str) -> str:
        return f"zone-{name.rpartition('-')[2]}"

    def _alive(self, seen: ClusterDescription | None) -> set[str]:
        return set() if seen is None else {node.name for node in seen.nodes if node.is_alive}

    def _judge(self) -> bool:
        history = read_history(self._folder / HISTORY_FILE)
        history.scenario = replace(history.scenario, duration_s=self._ended_s)
        verdict = judge(history)
        columns, rows = availability_rows(verdict.availability)
        print_table(columns, rows, right=columns[1:])
        for line in figures(history, verdict):
            print(line)
        for finding in verdict.first_findings():
            print(f"{finding.flaw}: {finding.text}")
        print(headline(history, verdict), flush=True)
        return verdict.is_pass

    def _note(self, kind: EventKind, text: str, at_ns: int | None = None) -> None:
        now_ns = self._load.now_ns()
        self._history.event(
            Event(kind, now_ns if at_ns is None else at_ns, text, now_ns if at_ns is not None else None)
        )
        self._tell(f"{kind:8} {text}")
