"""The leader's work: brings tables a step nearer to what they should be, by what the nodes report."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence

from statorpb import cluster_pb2

from metadata.attendance import Attendance
from metadata.catalog.catalog import Table, TableStatus
from metadata.catalog.commands import (
    ActivateIndex,
    ActivateTable,
    Command,
    DisableStream,
    EnableStream,
    FoundCluster,
    OpenIndex,
    PartitionsDropped,
    RemoveIndex,
    RemoveStream,
    RemoveTable,
    Shard,
)
from metadata.catalog.indexes import IndexStatus, TableIndex
from metadata.catalog.members import Partition
from metadata.catalog.streams import RETENTION_MS, StreamStatus, TableStream
from metadata.healing import Healing
from metadata.store import CatalogMachine
from server.runtime.clock import wall_ms


class Reconciler:
    """Each step is a command that may be proposed twice; being interrupted between two of them is harmless.

    `stream_retention_ms`: how long a stream is kept after it was disabled, by the time of day that `now_ms` gives."""

    def __init__(
        self,
        machine: CatalogMachine,
        attendance: Attendance,
        propose: Callable[[Command], Awaitable[object]],
        failure_s: float,
        stream_retention_ms: int = RETENTION_MS,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._machine = machine
        self._attendance = attendance
        self._propose = propose
        self._healing = Healing(attendance, failure_s)
        self._stream_retention_ms = stream_retention_ms
        self._now_ms = now_ms

    async def reconcile(self) -> None:
        """Proposes whatever is due now. Raises what `propose` does: the rest is done the next time."""
        catalog, attendance = self._machine.catalog, self._attendance
        if not catalog.cluster_id:
            await self._propose(FoundCluster(str(uuid.uuid4())))
        for table in list(catalog.tables.values()):
            if table.status == TableStatus.DELETING:
                await self._remove(table)
                continue
            for index in table.global_indexes:
                step = self._due(table, index)
                if step is not None:
                    await self._propose(step)
            for stream in table.streams:
                stream_step = self._due_of_stream(table, stream)
                if stream_step is not None:
                    await self._propose(stream_step)
            # It may have become another by these steps.
            are_active = all(index.status == IndexStatus.ACTIVE for index in table.global_indexes)
            is_settled = are_active and not any(stream.is_changing for stream in table.streams)
            if table.status == TableStatus.CREATING and is_settled and self._is_open(table.partitions):
                await self._propose(ActivateTable(table.number))
        for command in self._healing.due(catalog):
            await self._propose(command)
        for node_id, attendee in list(attendance.nodes.items()):
            dropped = [each for each in sorted(attendee.dropped) if node_id in catalog.garbage.get(each, ())]
            if dropped:
                await self._propose(PartitionsDropped(node_id, tuple(dropped)))

    def _due(self, table: Table, index: TableIndex) -> Command | None:
        """The next step of a global index's life, if it is due."""

        def fed() -> list[cluster_pb2.FeedReport | None]:
            return [self._attendance.feeds(each.partition_id).get(index.number) for each in table.partitions]

        match index.status:
            case IndexStatus.CREATING if self._is_open(index.partitions):
                return OpenIndex(index.number)
            case IndexStatus.FILLING if all(feed is not None and feed.complete for feed in fed()):
                return ActivateIndex(index.number)
            case IndexStatus.DELETING if not any(fed()) and self._are_led(table.partitions):
                # A leader that has not heard of all this yet may still begin to feed it. It stops when it hears that
                # the index is no more (NodeAssignments.known_below).
                return RemoveIndex(index.number)
        return None

    def _due_of_stream(self, table: Table, stream: TableStream) -> Command | None:
        """The next step of a stream's life, if it is due. What leaders report is in their partitions' logs: it stays
        true whoever leads, and however late the report is."""
        match stream.status:
            case StreamStatus.ENABLED:
                return None
            case StreamStatus.DISABLED:
                is_due = self._now_ms() >= stream.disabled_at_ms + self._stream_retention_ms
                return RemoveStream(stream.number) if is_due else None
        shards: list[Shard] = []
        for partition_id in (each.partition_id for each in table.partitions):
            report = self._attendance.streams(partition_id).get(stream.number)
            if report is None or (stream.status == StreamStatus.DISABLING and not report.closed):
                return None
            shards.append(Shard(partition_id, report.first_sequence, report.last_sequence))
        if stream.status == StreamStatus.ENABLING:
            return EnableStream(stream.number, tuple(shards))
        return DisableStream(stream.number, tuple(shards), self._now_ms())

    def _are_led(self, partitions: Iterable[Partition]) -> bool:
        return all(self._attendance.has_leader(partition.partition_id) for partition in partitions)

    def _is_open(self, partitions: Sequence[Partition]) -> bool:
        """Whether every member of every partition has it on disk, and somebody serves it."""
        nodes = self._attendance.nodes
        return self._are_led(partitions) and all(
            node_id in nodes and partition.partition_id in nodes[node_id].opened
            for partition in partitions
            for node_id in partition.node_ids
        )

    async def _remove(self, table: Table) -> None:
        """Removes a table once every live member has dropped its replicas; the others owe it."""
        garbage: list[tuple[int, tuple[int, ...]]] = []
        for partition in table.all_partitions:
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
