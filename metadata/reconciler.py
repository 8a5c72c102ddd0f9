"""The leader's work: brings tables a step nearer to what they should be, by what the nodes report."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from metadata.attendance import Attendance
from metadata.catalog.catalog import Table, TableStatus
from metadata.catalog.commands import ActivateTable, Command, FoundCluster, PartitionsDropped, RemoveTable
from metadata.healing import Healing
from metadata.store import CatalogMachine


class Reconciler:
    """Each step is a command that may be proposed twice; being interrupted between two of them is harmless."""

    def __init__(
        self,
        machine: CatalogMachine,
        attendance: Attendance,
        propose: Callable[[Command], Awaitable[object]],
        failure_s: float,
    ) -> None:
        self._machine = machine
        self._attendance = attendance
        self._propose = propose
        self._healing = Healing(attendance, failure_s)

    async def reconcile(self) -> None:
        """Proposes whatever is due now. Raises what `propose` does: the rest is done the next time."""
        catalog, attendance = self._machine.catalog, self._attendance
        if not catalog.cluster_id:
            await self._propose(FoundCluster(str(uuid.uuid4())))
        for table in list(catalog.tables.values()):
            if table.status == TableStatus.CREATING and self._is_open(table):
                await self._propose(ActivateTable(table.number))
            elif table.status == TableStatus.DELETING:
                await self._remove(table)
        for command in self._healing.due(catalog):
            await self._propose(command)
        for node_id, attendee in list(attendance.nodes.items()):
            dropped = [each for each in sorted(attendee.dropped) if node_id in catalog.garbage.get(each, ())]
            if dropped:
                await self._propose(PartitionsDropped(node_id, tuple(dropped)))

    def _is_open(self, table: Table) -> bool:
        """Whether every member of every partition has it on disk, and somebody serves it."""
        nodes = self._attendance.nodes
        return all(
            self._attendance.has_leader(partition.partition_id)
            and all(
                node_id in nodes and partition.partition_id in nodes[node_id].opened for node_id in partition.node_ids
            )
            for partition in table.partitions
        )

    async def _remove(self, table: Table) -> None:
        """Removes a table once every live member has dropped its replicas; the others owe it."""
        garbage: list[tuple[int, tuple[int, ...]]] = []
        for partition in table.partitions:
            owing = []
            for node_id in partition.holders:
                attendee = self._attendance.nodes.get(node_id)
                if attendee is not None and partition.partition_id in attendee.dropped:
                    continue
                if self._attendance.is_alive(node_id):
                    return
                owing.append(node_id)
            garbage.append((partition.partition_id, tuple(owing)))
        await self._propose(RemoveTable(table.number, tuple(garbage)))
