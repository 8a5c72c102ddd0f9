"""A metadata group of one that commits at once: the fake of metadata/node.py's MetadataNode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from metadata.attendance import Attendance
from metadata.catalog.commands import Command, FoundCluster, RegisterNode
from metadata.catalog_codec import encode_command
from metadata.group import NO_LEADER, CatalogGroup, Changes
from metadata.history import History
from metadata.store import CatalogMachine
from server.model.errors import ServiceUnavailableError, StatorError


class FatalError(Exception):
    """What would have ended the process."""


def fail(sentence: str) -> None:
    raise FatalError(sentence)


class FakeClock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeGroup:
    """`leads`: whether this process leads; `lapses_after`: how many more times it says so, None: for ever. `is_stuck`:
    what is proposed is never committed. `on_propose` is called before each command."""

    def __init__(self, directory: Path) -> None:
        self.machine = CatalogMachine(directory, fail)
        self.clock = FakeClock()
        self.attendance = Attendance(3.0, self.clock)
        self.history = History("metadata-1", "a", 0)
        self.catalog_changes = Changes()
        self.machine.on_change = self.catalog_changes.notify
        self.leads = True
        self.lapses_after: int | None = None
        self.is_stuck = False
        self.other_leader = ""
        self.commands: list[Command] = []
        self.on_propose: Callable[[Command], None] = lambda command: None

    @property
    def is_serving_leader(self) -> bool:
        if self.lapses_after is not None:
            self.lapses_after -= 1
            self.leads = self.lapses_after >= 0
        return self.leads

    @property
    def leader_node_id(self) -> int:
        return 1 if self.leads else 2 if self.other_leader else 0

    def leader_address(self) -> str:
        return "" if self.leads else self.other_leader

    def living_node_ids(self) -> list[int]:
        return [2]

    async def propose(self, command: Command) -> object:
        self.on_propose(command)
        if not self.leads:
            raise ServiceUnavailableError(NO_LEADER)
        if self.is_stuck:
            await asyncio.Event().wait()
        self.commands.append(command)
        result = self.machine.apply(self.machine.slot + 1, encode_command(command))
        if isinstance(result, StatorError):
            raise result
        return result

    def found(self, nodes: int = 3) -> None:
        """Founds the cluster and registers storage-1 .. -nodes, one a zone, zones 1 to 3."""
        self.machine.apply(self.machine.slot + 1, encode_command(FoundCluster("cluster")))
        for number in range(1, nodes + 1):
            command = RegisterNode(f"storage-{number}", f"zone-{(number - 1) % 3 + 1}", f"host:{number}", f"d{number}")
            self.machine.apply(self.machine.slot + 1, encode_command(command))


def _is_a_group(fake: FakeGroup) -> CatalogGroup:
    return fake
