"""Passes the changes of the partitions that this node leads on to the partitions of their indexes.

Only what has been committed is sent, so that no lease is needed for it, and a leader that has been deposed does no
harm; it stops when it knows. A new one begins where the partition's own log says that the index has everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import structlog
from google.protobuf.message import DecodeError
from statorpb import cluster_pb2, partition_pb2

from server.gathering import call_gathered
from server.model.key_encoding import prefix
from server.model.partition_map import PartitionMap
from server.paxos.ballot import ZERO, Ballot
from storage_node.changes import ChangeLog
from storage_node.codec.change import CorruptChangeError
from storage_node.codec.index_batch import encode_batch
from storage_node.partition.aim import Aim
from storage_node.partition.delivery import WAITING_BYTES_MAX, Delivery
from storage_node.partition_client import PartitionClient
from storage_node.store import CorruptValueError, StoreError

READ_BYTES_MAX = WAITING_BYTES_MAX // 4

NODE_WAITING_BYTES_MAX = 64 * 1024 * 1024
READ_BYTES_MIN = 64 * 1024
"""With so much waiting of all partitions together, each has so much at once, and no more until that is taken."""

log = structlog.get_logger()

_OTHERS_MAY = (partition_pb2.NOT_LEADER, partition_pb2.NOT_MINE, partition_pb2.NO_LEASE)


@dataclass(slots=True)
class _Route:
    """Where an index is: which partition has what, and each one's first range position."""

    targets: PartitionMap
    aims: dict[int, Aim]


@dataclass(slots=True)
class _Course:
    """From one partition to one index, while this node leads the partition at `ballot`."""

    partition_id: int
    number: int
    changes: ChangeLog
    ballot: Ballot
    delivery: Delivery
    waiting: set[int] = field(default_factory=set)  # targets that are asked again later
    failures: dict[int, int] = field(default_factory=dict)  # target -> in a row
    counted_bytes: int = 0  # of what waits, in the node's sum


class IndexSender:
    """`leadership(partition_id)`: the ballot that this node leads it at, or ZERO. `on_rotten(partition_id, sentence)`
    is told where changes cannot be read."""

    def __init__(
        self,
        leadership: Callable[[int], Ballot],
        on_rotten: Callable[[int, str], None],
        client: PartitionClient | None = None,
    ) -> None:
        self._leadership = leadership
        self._on_rotten = on_rotten
        self._client = client or PartitionClient()
        self._loop = asyncio.get_running_loop()
        self._routes: dict[int, _Route] = {}  # by number of the index
        self._addresses: dict[int, str] = {}  # of nodes
        self._logs: dict[int, ChangeLog] = {}  # by partition
        self._courses: dict[tuple[int, int], _Course] = {}  # by partition and index
        self._is_due: set[int] = set()  # partitions that will be looked at in a moment
        self._waiting_bytes = 0  # of all courses

    async def close(self) -> None:
        """Sends nothing any more."""
        self._logs.clear()
        await self._client.close()

    def keep(self, partition_id: int, changes: ChangeLog) -> None:
        """Takes on a partition of a table."""
        self._logs[partition_id] = changes
        changes.on_new = partial(self._soon, partition_id)

    def drop(self, partition_id: int) -> None:
        """The partition is not here any more."""
        self._logs.pop(partition_id, None)

    def set_routes(self, routes: Iterable[cluster_pb2.IndexRoute]) -> None:
        """Learns where the indexes are; what is not named is not any more."""
        known, self._routes = self._routes, {}
        self._addresses.clear()
        for route in routes:
            if not route.partitions or not all(each.members for each in route.partitions):
                continue  # it is being made, or removed, or nobody is left to ask
            targets = PartitionMap(
                tuple(each.range_start for each in route.partitions),
                tuple(each.partition_id for each in route.partitions),
            )
            former = known.get(route.number)
            aims = dict(former.aims) if former is not None and former.targets == targets else {}
            for each in route.partitions:
                able = [member for member in each.members if not member.log_only] or each.members
                node_ids = [member.node_id for member in able]
                self._addresses.update({member.node_id: member.address for member in able})
                if (aim := aims.get(each.partition_id)) is None:
                    aims[each.partition_id] = Aim(node_ids, each.leader_node_id)
                else:
                    aim.move(node_ids, each.leader_node_id)
            self._routes[route.number] = _Route(targets, aims)
        self.tend()

    def tend(self) -> None:
        """Goes on wherever there is something to send: what led here before may lead no more, and the other way round.
        To be called now and then."""
        for partition_id, changes in self._logs.items():
            if changes.feeds:
                self._soon(partition_id)
        for place in [each for each in self._courses if not self._goes_on(*each)]:
            self._end(place)

    def _goes_on(self, partition_id: int, number: int) -> bool:
        changes = self._logs.get(partition_id)
        return changes is not None and number in changes.feeds and self._leadership(partition_id) != ZERO

    def _end(self, place: tuple[int, int]) -> None:
        course = self._courses.pop(place, None)
        if course is not None:
            self._waiting_bytes -= course.counted_bytes

    def _count(self, course: _Course) -> None:
        """Keeps the sum of what waits, once that has changed."""
        if self._courses.get((course.partition_id, course.number)) is course:
            self._waiting_bytes += course.delivery.waiting_bytes - course.counted_bytes
            course.counted_bytes = course.delivery.waiting_bytes

    def _soon(self, partition_id: int) -> None:
        """What is changed together is sent together."""
        if partition_id not in self._is_due:
            self._is_due.add(partition_id)
            call_gathered(self._loop, partial(self._go_on, partition_id))

    def _go_on(self, partition_id: int) -> None:
        self._is_due.discard(partition_id)
        changes, ballot = self._logs.get(partition_id), self._leadership(partition_id)
        if changes is None or ballot == ZERO:
            return
        for number, feed in tuple(changes.feeds.items()):
            route = self._routes.get(number)
            if route is None:
                continue  # the metadata service has yet to say where that is
            course = self._courses.get((partition_id, number))
            if course is None or course.ballot != ballot or course.delivery.targets != route.targets:
                self._end((partition_id, number))
                delivery = Delivery(partition_id, route.targets, feed.taken_slot)
                course = self._courses[partition_id, number] = _Course(partition_id, number, changes, ballot, delivery)
            try:
                self._read(course)
            except (CorruptValueError, StoreError, CorruptChangeError, DecodeError) as error:
                self._on_rotten(partition_id, str(error))
            self._send(course, route)

    def _read(self, course: _Course) -> None:
        """Reads a part of what there is, and comes back for the rest: others are to have their turn meanwhile. Raises
        CorruptValueError, StoreError, CorruptChangeError."""
        delivery = course.delivery
        is_full = self._waiting_bytes >= NODE_WAITING_BYTES_MAX
        if not delivery.has_room or (is_full and delivery.waiting_bytes):
            return
        bytes_max = READ_BYTES_MIN if is_full else READ_BYTES_MAX
        found, up_to_slot = course.changes.changes(course.number, delivery.read_slot, bytes_max)
        if up_to_slot > delivery.read_slot:
            delivery.read(found, up_to_slot)
            self._count(course)
            course.changes.taken(course.number, delivery.taken_slot)
            self._soon(course.partition_id)

    def _send(self, course: _Course, route: _Route) -> None:
        targets = route.targets
        for target in course.delivery.idle():
            if target in course.waiting:
                continue
            request = partition_pb2.PartitionRequest(
                partition_id=target,
                operation=partition_pb2.TAKE_CHANGES,
                consistent=True,
                key=prefix(course.number) + targets.starts[targets.partition_ids.index(target)],
                item=encode_batch(course.delivery.next_batch(target)),
            )
            node_id = route.aims[target].node_id
            self._client.ask(self._addresses[node_id], request, partial(self._answered, course, target, node_id))

    def _answered(self, course: _Course, target: int, node_id: int, reply: partition_pb2.PartitionReply | None) -> None:
        status = reply.status if reply is not None else None
        is_taken = status == partition_pb2.OK
        course.delivery.ended(target, is_taken=is_taken)
        self._count(course)
        route = self._routes.get(course.number)
        aim = route.aims.get(target) if route is not None else None
        if is_taken:
            course.failures.pop(target, None)
            if aim is not None:
                aim.hit(node_id)
            if self._courses.get((course.partition_id, course.number)) is course:
                try:
                    course.changes.taken(course.number, course.delivery.taken_slot)
                except (CorruptValueError, StoreError) as error:
                    self._on_rotten(course.partition_id, str(error))
            self._soon(course.partition_id)
            return
        if reply is not None and status in (partition_pb2.INVALID, partition_pb2.CORRUPT):
            log.error("an index does not take changes", partition_id=target, reason=reply.message)
        failures = course.failures[target] = course.failures.get(target, 0) + 1
        wait_s = 0.0
        if aim is not None:
            hint = reply.leader_node_id if reply is not None else 0
            may_be_another = status is None or status in _OTHERS_MAY
            wait_s = aim.missed(node_id, failures, hint, may_be_another=may_be_another)
        course.waiting.add(target)
        self._loop.call_later(wait_s, self._again, course, target)

    def _again(self, course: _Course, target: int) -> None:
        course.waiting.discard(target)
        self._soon(course.partition_id)
