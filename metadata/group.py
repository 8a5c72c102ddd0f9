"""What the metadata service's door needs of this process's member of the metadata group."""

from __future__ import annotations

import asyncio
from typing import Protocol

from metadata.attendance import Attendance
from metadata.catalog.commands import Command
from metadata.history import History
from metadata.store import CatalogMachine
from server.model.errors import NO_METADATA_LEADER

NO_LEADER = NO_METADATA_LEADER


class Changes:
    """Wakes everybody who waits, whenever something has changed."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        event, self._next = self._next, asyncio.Event()
        event.set()

    def next(self) -> asyncio.Event:
        """Set at the next change. To be taken before looking at what may change, so that no change is missed."""
        return self._next


class CatalogGroup(Protocol):
    """The group's member in this process (metadata/node.py); in tests one that commits at once."""

    machine: CatalogMachine
    attendance: Attendance
    history: History
    catalog_changes: Changes

    @property
    def is_serving_leader(self) -> bool:
        """Whether this process leads the group and its lease holds at this moment."""

    @property
    def leader_node_id(self) -> int:
        """Who leads as far as this process knows; 0: nobody."""

    def leader_address(self) -> str:
        """Where the leader is (host:port); empty: nobody else is known to lead."""

    def living_node_ids(self) -> list[int]:
        """The other members that this process has heard of late."""

    async def propose(self, command: Command) -> object:
        """Replicates a command and returns what the catalog made of it; raises that if it is an error.

        Raises ServiceUnavailableError when it was not carried out, InternalServerError when that is not known."""
