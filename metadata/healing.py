"""Who is to be replaced by whom: members on nodes that have been silent for too long, or cannot open them, on nodes
that are drained, and on nodes that hold more than their neighbours.

The metadata service decides who, a group's own log decides when. Each step is a command that may be proposed twice:
replace the member (a log replica joins in its place), note that the group has gone on without it, promote the log
replica once it has the state. Where who is to join dies before it is a member, the decision is replaced by another, and
the group's log says which of them has come true.
"""

from __future__ import annotations

from collections import Counter

import structlog

from metadata.attendance import Attendance
from metadata.catalog.catalog import Catalog
from metadata.catalog.commands import (
    AdoptMembers,
    MemberCommand,
    MemberReplaced,
    NoteFloor,
    PromoteMember,
    ReplaceMember,
    WithdrawMember,
)
from metadata.catalog.members import Partition
from metadata.placement.balancing import Placed, needs_move, next_move
from server.paxos.quorum import NO_FLOOR, Floor

JOINING_MAX = 4
"""Replicas without a state on one node, past which no member that lives is replaced by another there: each of them
wants a snapshot. A member that is gone is replaced at once."""

log = structlog.get_logger()


class Healing:
    """`failure_s`: how long a node may be silent, or without a replica that it should have, before another takes its
    place, in seconds."""

    def __init__(self, attendance: Attendance, failure_s: float) -> None:
        self._attendance = attendance
        self._failure_s = failure_s
        self._lonely: set[int] = set()  # partitions that need a node and have none, and were told of

    def due(self, catalog: Catalog) -> list[MemberCommand]:
        """What is to be done now, for all partitions that are in use: first where a member is gone, then
        where one is drained; and where nothing else is to be done, one step towards an even distribution."""
        replicas: Counter[int] = Counter()
        joining: Counter[int] = Counter()
        at_rest = []  # partitions in use, of which nothing is due
        commands: list[MemberCommand] = []
        for table in catalog.tables.values():
            for partition in table.all_partitions:
                replicas.update(partition.holders)
                joining[partition.log_node_id] += 1
        for table in catalog.tables.values():
            for partition in table.kept_partitions:
                command = self._next(catalog, partition, replicas)
                if command is None:
                    at_rest.append(partition)
                else:
                    commands.append(command)
                    if isinstance(command, ReplaceMember | WithdrawMember):
                        joining[command.joining_node_id] += 1
        for partition in at_rest:
            drain = self._drained(catalog, partition, replicas, joining)
            if drain is not None:
                commands.append(drain)
        if not commands:
            commands += self._balanced(catalog, at_rest, replicas)
        return commands

    def _next(self, catalog: Catalog, partition: Partition, replicas: Counter[int]) -> MemberCommand | None:
        attendance, partition_id = self._attendance, partition.partition_id
        in_force = attendance.members_in_force(partition)
        decided = {node_id: node_id == partition.log_node_id for node_id in partition.node_ids}
        floor = attendance.floor(partition_id) if in_force else NO_FLOOR
        if floor.configuration_slot > partition.floor.configuration_slot:
            # Nothing is concluded from members of before the last decision, though they be the same.
            if partition.withdrawn_node_ids:
                return self._adopted(partition, in_force, floor)
            if partition.leaving_node_id and in_force.keys() == set(partition.node_ids):
                return MemberReplaced(partition_id, partition.leaving_node_id, floor)
            if in_force != decided:
                log.warning("members are not those that were decided on", partition_id=partition_id, members=in_force)
                return NoteFloor(partition_id, floor)
        if partition.leaving_node_id:
            return self._decided_anew(catalog, partition, in_force, replicas)
        leaving = self._failed(partition)
        if leaving:
            if in_force != decided:
                return None  # until a promotion is in force: who is to leave might find nobody to hand over to
            joining = self._substitute(catalog, partition, leaving, replicas)
            if joining:
                replicas[joining] += 1
                self._lonely.discard(partition_id)
                log.warning(
                    "a member that is gone is replaced", partition_id=partition_id, leaving=leaving, joining=joining
                )
                return ReplaceMember(partition_id, leaving, joining, floor)
            self._tell_lonely(partition_id, leaving, "no node can take the place of a member that is gone")
        elif partition.log_node_id and self._has_state(partition_id, partition.log_node_id):
            return PromoteMember(partition_id, partition.log_node_id)
        return None

    def _adopted(self, partition: Partition, in_force: dict[int, bool], floor: Floor) -> AdoptMembers:
        """Of several decisions one has come true: whichever it is, it is what is wanted now."""
        node_ids = tuple(sorted(in_force, key=[*partition.holders, *in_force].index))
        (log_node_id,) = [node_id for node_id, is_log in in_force.items() if is_log] or [0]
        log.info("members are those that the group has come to", partition_id=partition.partition_id, members=node_ids)
        return AdoptMembers(partition.partition_id, node_ids, log_node_id, floor)

    def _decided_anew(
        self, catalog: Catalog, partition: Partition, in_force: dict[int, bool], replicas: Counter[int]
    ) -> WithdrawMember | None:
        """What takes the place of a decision that its group does not carry out, since who is to join has failed, and
        who is to leave lives: another joins. Where one of those who were to stay has failed meanwhile, it is its place
        that the other takes, and who was to leave stays."""
        partition_id, withdrawn, former = partition.partition_id, partition.log_node_id, partition.former_node_ids
        if not self._has_failed(partition_id, withdrawn) or in_force.keys() != set(former):
            return None
        failed = [node_id for node_id in former if self._has_failed(partition_id, node_id)]
        if len(failed) > 1 or failed == [partition.leaving_node_id]:
            return None  # the latter are not waited for: those who stay carry the change through alone
        leaving = failed[0] if failed else partition.leaving_node_id
        if any(is_log for node_id, is_log in in_force.items() if node_id != leaving):
            return None
        joining = self._substitute(catalog, partition, leaving, replicas)
        if not joining:
            self._tell_lonely(partition_id, withdrawn, "no node can take the place of one that was to join and is gone")
            return None
        replicas[joining] += 1
        self._lonely.discard(partition_id)
        ids = {"withdrawn": withdrawn, "leaving": leaving, "joining": joining}
        log.warning("a node that was to join is gone, it is decided anew", partition_id=partition_id, **ids)
        return WithdrawMember(partition_id, withdrawn, leaving, joining, self._attendance.floor(partition_id))

    def _has_failed(self, partition_id: int, node_id: int) -> bool:
        """Whether a node is to be given up. One that lives fails a partition, too, where it cannot open it: its disk is
        full, or has lost it."""
        return self._attendance.lacking_s(partition_id, node_id) > self._failure_s

    def _failed(self, partition: Partition) -> int:
        """The member to replace, if just one of them has failed; 0: none, or it would not help."""
        failed = [node_id for node_id in partition.node_ids if self._has_failed(partition.partition_id, node_id)]
        return failed[0] if len(failed) == 1 and partition.log_node_id in (0, failed[0]) else 0

    def _drained(
        self, catalog: Catalog, partition: Partition, replicas: Counter[int], joining: Counter[int]
    ) -> ReplaceMember | None:
        """What takes a member off a node that is drained. It has the state, and so must the two that stay."""
        draining = [node_id for node_id in partition.node_ids if catalog.nodes[node_id].is_draining]
        if not draining or not self._is_whole(partition):
            return None
        leaving, partition_id = draining[0], partition.partition_id
        substitute = self._substitute(catalog, partition, leaving, replicas)
        if not substitute:
            self._tell_lonely(partition_id, leaving, "no node can take over from one that is drained")
        if not substitute or joining[substitute] >= JOINING_MAX:
            return None
        replicas[substitute] += 1
        joining[substitute] += 1
        self._lonely.discard(partition_id)
        log.info("a member is drained", partition_id=partition_id, leaving=leaving, joining=substitute)
        return ReplaceMember(partition_id, leaving, substitute, self._attendance.floor(partition_id))

    def _balanced(self, catalog: Catalog, at_rest: list[Partition], replicas: Counter[int]) -> list[MemberCommand]:
        """At most one move in the whole cluster, while every member of every partition lives and has the state."""
        zones = {
            node_id: node.zone
            for node_id, node in sorted(catalog.nodes.items())
            if not node.is_draining and self._attendance.has_room(node_id)
        }
        if not needs_move(zones, replicas) or not all(map(self._is_whole, at_rest)):
            return []
        placed = [
            Placed(
                partition.partition_id,
                partition.node_ids,
                self._attendance.leaders[partition.partition_id][1],
                catalog.garbage.get(partition.partition_id, ()),
            )
            for partition in at_rest
        ]
        move = next_move(placed, zones, replicas)
        if move is None:
            return []
        ids = {"leaving": move.leaving_node_id, "joining": move.joining_node_id}
        log.info("a member moves to a node that holds less", partition_id=move.partition_id, **ids)
        floor = self._attendance.floor(move.partition_id)
        return [ReplaceMember(move.partition_id, move.leaving_node_id, move.joining_node_id, floor)]

    def _is_whole(self, partition: Partition) -> bool:
        """Whether nobody is on the way in or out, and every member lives, has the state, and is one by the log."""
        in_force = self._attendance.members_in_force(partition)
        is_settled = not partition.leaving_node_id and in_force == dict.fromkeys(partition.node_ids, False)
        return is_settled and all(self._has_state(partition.partition_id, node_id) for node_id in partition.node_ids)

    def _has_state(self, partition_id: int, node_id: int) -> bool:
        attendee = self._attendance.nodes.get(node_id)
        return (
            attendee is not None
            and self._attendance.is_alive(node_id)
            and partition_id in attendee.opened
            and partition_id not in attendee.restoring
        )

    def _substitute(self, catalog: Catalog, partition: Partition, leaving: int, replicas: Counter[int]) -> int:
        """The least loaded live node of the same zone, or of a zone that has no member, whose disk is not full; 0:
        there is none."""
        staying = [node_id for node_id in partition.former_node_ids if node_id != leaving]
        used_zones = {catalog.nodes[node_id].zone for node_id in staying}
        own_zone = catalog.nodes[leaving].zone
        owing = catalog.garbage.get(partition.partition_id, set())
        candidates = (
            (node.zone != own_zone, replicas[node.node_id], node.node_id)
            for node in catalog.nodes.values()
            if node.node_id not in (*partition.holders, *owing)
            and node.zone not in used_zones
            and not node.is_draining
            and self._attendance.has_room(node.node_id)
        )
        return min(candidates, default=(False, 0, 0))[2]

    def _tell_lonely(self, partition_id: int, node_id: int, sentence: str) -> None:
        """Once, until there is a node."""
        if partition_id not in self._lonely:
            self._lonely.add(partition_id)
            log.warning(sentence, partition_id=partition_id, node_id=node_id)
