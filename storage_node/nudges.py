"""Marks that have been there for long are made known to routers: who was at work on their transaction may be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog
from statorpb import partition_pb2

from storage_node.replica import PartitionReplica

NUDGE_S = 0.5
"""Until a mark that is still there is told of again."""

MARKS_MAX = 200
"""Told of at once."""

log = structlog.get_logger()

Tell = Callable[[Sequence[partition_pb2.StaleMark]], None]


class Nudges:
    """Of one node. Routers are told in turn: one of them may be the one that does not get on."""

    def __init__(self, replicas: Mapping[int, PartitionReplica]) -> None:
        self._replicas = replicas
        self._routers: list[Tell] = []
        self._turn = 0

    def add(self, tell: Tell) -> None:
        """A router has connected, which `tell` tells of marks."""
        self._routers.append(tell)

    def discard(self, tell: Tell) -> None:
        """It has gone."""
        self._routers.remove(tell)

    async def run(self) -> None:
        """Tells, for ever."""
        while True:
            await asyncio.sleep(NUDGE_S)
            self.tell()

    def tell(self) -> None:
        """Tells one router of what there is to be told."""
        marks: list[partition_pb2.StaleMark] = []
        replicas = list(self._replicas.values())
        # Another one comes first each time: no partition's marks hide those of others.
        self._turn += 1
        first = self._turn % max(1, len(replicas))
        for replica in (*replicas[first:], *replicas[:first]):
            marks.extend(replica.transactions.stale())
            if len(marks) >= MARKS_MAX:
                break
        if marks and self._routers:
            log.info("transactions do not get on", marks=len(marks))
            tell = self._routers.pop(0)
            self._routers.append(tell)
            tell(marks)
