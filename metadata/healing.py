"""Who is to be replaced by whom: members on nodes that have been silent for too long.

The metadata service decides who, a group's own log decides when. Each step is a command that may be proposed twice:
replace the member (a log replica joins in its place), note that the group has gone on without it, promote the log
replica once it has the state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import structlog

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog, TableStatus
from metadata.catalog.commands import MemberCommand, MemberReplaced, PromoteMember, ReplaceMember
from metadata.catalog.members import Partition

log = structlog.get_logger()


class Healing:
    """`failure_s`: how long a node may be silent before its replicas are replaced, in seconds."""

    def __init__(self, attendance: Attendance, failure_s: float) -> None:
        self._attendance = attendance
        self._failure_s = failure_s
        self._lonely: set[int] = set()  # partitions that need a node and have none, and were told of

    def due(self, catalog: Catalog) -> list[MemberCommand]:
        """What is to be done now, for all partitions of tables that are in use."""
        replicas = Counter(
            node_id
            for table in catalog.tables.values()
            for partition in table.partitions
            for node_id in partition.holders
        )
        commands = []
        for table in list(catalog.tables.values()):
            if table.status == TableStatus.ACTIVE:
                for partition in table.partitions:
                    command = self._next(catalog, partition, replicas)
                    if command is not None:
                        commands.append(command)
        return commands

    def _next(self, catalog: Catalog, partition: Partition, replicas: Counter[int]) -> MemberCommand | None:
        attendance, partition_id = self._attendance, partition.partition_id
        in_force = attendance.members_in_force(partition_id)
        if partition.leaving_node_id:
            if in_force.keys() == set(partition.node_ids):
                return MemberReplaced(partition_id, partition.leaving_node_id)
            return None
        leaving = self._failed(partition)
        if leaving:
            joining = self._substitute(catalog, partition, leaving, replicas) if in_force else 0
            if joining:
                replicas[joining] += 1
                self._lonely.discard(partition_id)
                log.warning("a silent member is replaced", partition_id=partition_id, leaving=leaving, joining=joining)
                return ReplaceMember(partition_id, leaving, joining)
            if in_force and partition_id not in self._lonely:
                self._lonely.add(partition_id)
                log.warning("no node can take the place of a silent member", partition_id=partition_id, node_id=leaving)
        elif partition.log_node_id and self._has_state(partition_id, partition.log_node_id):
            return PromoteMember(partition_id, partition.log_node_id)
        return None

    def _failed(self, partition: Partition) -> int:
        """The member to replace, if just one of them has failed; 0: none, or it would not help."""
        failed = [node_id for node_id in partition.node_ids if self._attendance.silent_s(node_id) > self._failure_s]
        return failed[0] if len(failed) == 1 and partition.log_node_id in (0, failed[0]) else 0

    def _has_state(self, partition_id: int, node_id: int) -> bool:
        attendee = self._attendance.nodes.get(node_id)
        return (
            attendee is not None
            and self._attendance.is_alive(node_id)
            and partition_id in attendee.opened
            and partition_id not in attendee.restoring
        )

    def _substitute(self, catalog: Catalog, partition: Partition, leaving: int, replicas: Counter[int]) -> int:
        """The least loaded live node of the same zone, or of a zone that has no member; 0: there is none."""
        staying = [node_id for node_id in partition.node_ids if node_id != leaving]
        used_zones = {catalog.nodes[node_id].zone for node_id in staying}
        own_zone = catalog.nodes[leaving].zone
        owing = catalog.garbage.get(partition.partition_id, set())

        def candidates() -> Iterator[tuple[bool, int, int]]:
            for node in catalog.nodes.values():
                is_free = node.node_id not in (*partition.node_ids, *owing) and node.zone not in used_zones
                if is_free and self._attendance.is_alive(node.node_id):
                    yield node.zone != own_zone, replicas[node.node_id], node.node_id

        return min(candidates(), default=(False, 0, 0))[2]
