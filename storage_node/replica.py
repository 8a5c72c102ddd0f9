"""One partition's replica on this node: reads, writes, and the state machine behind its replication group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import structlog
from statorpb import cluster_pb2, partition_pb2

from server.model.key_encoding import (
    CHANGES,
    COLLECTIONS,
    CURSORS,
    MARKS,
    RECORDS,
    TRANSACTIONS,
    after_prefix,
    index_number,
    own_rows,
    prefix,
)
from server.model.table import KeySchema
from server.paxos.ballot import Ballot
from server.paxos.quorum import Configuration
from server.runtime.snapshot_transfer import SnapshotFailedError, SnapshotSource
from server.table_codec import global_index, key_schema, local_indexes
from storage_node.btree import StoreError
from storage_node.changes import ChangeLog
from storage_node.codec.mutation import Mutation, decode_mutation, encode_mutation
from storage_node.decisions import Decisions
from storage_node.host import NodeHost
from storage_node.proposals import Proposals
from storage_node.reads import Reads
from storage_node.replies import Reply
from storage_node.store import CorruptValueError, Ranges, Store
from storage_node.stream_log import StreamLog
from storage_node.taking import Taking
from storage_node.transactions import Transactions, clock_range
from storage_node.writes import AGE_MS_TOLD_MAX, Writes

SNAPSHOT_CHUNK_BYTES = 256 * 1024

REMOVE_SLICE_ITEMS = 2_000
"""What a snapshot replaces is removed so many items at a time."""

HAND_OVER_WAIT_S_MIN = 2.0
HAND_OVER_WAIT_S_MAX = 60.0
"""A leader that finds an item damaged lets another member lead. Where that does not help, because the leadership comes
back or the others' items are damaged as well, it waits twice as long each time before it does so again."""

log = structlog.get_logger()

_GET = partition_pb2.GET
_DELETE = partition_pb2.DELETE
_SCAN = partition_pb2.SCAN
_TAKE_CHANGES = partition_pb2.TAKE_CHANGES
_READ_STREAM = partition_pb2.READ_STREAM
_FINISH = partition_pb2.FINISH
_READ_ITEMS = partition_pb2.READ_ITEMS
_WRITES = (
    partition_pb2.PUT,
    partition_pb2.UPDATE,
    partition_pb2.DELETE,
    partition_pb2.PREPARE,
    partition_pb2.TRANSACT,
)


class _Snapshot:
    """A snapshot of the partition, as the host sends it. `on_rotten(sentence)` is told where it cannot be read."""

    def __init__(self, store: Store, group_id: int, ranges: Ranges, on_rotten: Callable[[str], None]) -> None:
        self._on_rotten = on_rotten
        with self._reading():
            self._reader = store.read_snapshot(group_id, ranges)
        self.slot, self.total_bytes = self._reader.slot, self._reader.total_bytes
        self._chunks = self._reader.chunks(SNAPSHOT_CHUNK_BYTES)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (CorruptValueError, StoreError) as error:
            self._on_rotten(str(error))
            raise SnapshotFailedError(str(error)) from error

    def next_chunk(self) -> bytes | None:
        with self._reading():
            return next(self._chunks, None)

    def close(self) -> None:
        self._reader.close()


def key_range(descriptor: cluster_pb2.PartitionDescriptor, index: int = 0) -> tuple[bytes, bytes]:
    """The first key of a partition's part of an index (0: of the table), and the first behind it. The last partition of
    a table ends where the next index or table begins."""
    key_prefix = prefix(descriptor.table_number, index)
    end_key = key_prefix + descriptor.range_end if descriptor.range_end else after_prefix(key_prefix)
    return key_prefix + descriptor.range_start, end_key


def _ranges_of(descriptor: cluster_pb2.PartitionDescriptor, kinds: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
    for kind in kinds:
        start = own_rows(descriptor.table_number, kind, descriptor.partition_id)
        yield start, after_prefix(start)


def own_ranges(descriptor: cluster_pb2.PartitionDescriptor) -> tuple[tuple[bytes, bytes], ...]:
    """The keys of what a partition keeps for itself and has in memory as well: how far changes have been taken, those
    that have not, the clock and the marks of transactions."""
    clock = clock_range(descriptor.table_number, descriptor.partition_id)
    return (*_ranges_of(descriptor, (CURSORS, CHANGES)), clock, key_range(descriptor, MARKS))


def key_ranges(descriptor: cluster_pb2.PartitionDescriptor) -> tuple[tuple[bytes, bytes], ...]:
    """All keys that a partition has: the table's, those of its local indexes, the sizes of its collections, the marks
    of transactions, and what it keeps for itself."""
    numbers = [0, *(index.number for index in descriptor.local_indexes)]
    if len(numbers) > 1:
        numbers.append(COLLECTIONS)
    if not descriptor.HasField("index"):
        numbers.append(MARKS)
    own = _ranges_of(descriptor, (TRANSACTIONS, RECORDS, CURSORS, CHANGES))
    return (*(key_range(descriptor, number) for number in numbers), *own)


class PartitionReplica:
    """A replica of the partition that `descriptor` describes.

    `run(work, done)` runs blocking work in the engine's thread and calls `done` on the loop afterwards.
    `on_rotten(partition_id, sentence)` is told of an item that is not what was stored.
    """

    def __init__(
        self,
        descriptor: cluster_pb2.PartitionDescriptor,
        store: Store,
        host: NodeHost,
        run: Callable[[Callable[[], None], Callable[[], object]], None],
        on_rotten: Callable[[int, str], None],
    ) -> None:
        self.descriptor = descriptor
        self.partition_id = descriptor.partition_id
        self.first_key, self.end_key = key_range(descriptor)
        self.ranges = key_ranges(descriptor)
        self.is_restoring = store.is_restoring(self.partition_id)
        self._restores = 0  # begun in this life
        self._is_emptied = False  # of what was here before the last of them began
        self._early: list[Callable[[], None]] = []
        self._gathered: list[tuple[bytes, Callable[[], None]]] = []  # chunks of a snapshot, to be stored next
        self._is_storing = False
        self._store = store
        self._host = host
        self._run = run
        self._on_rotten = on_rotten
        self.again: Callable[[partition_pb2.PartitionRequest, Reply], None] = partial(self.serve, is_full=False)
        """What serves a request that has waited for a leader: it may be served somewhere else by then."""
        self._may_wait = True
        self._hand_over_from_s = 0.0
        self._hand_over_wait_s = HAND_OVER_WAIT_S_MIN
        self.proposals = Proposals(self.partition_id, descriptor.table_number, store, host)
        self.schema: KeySchema | None = None
        self.changes = ChangeLog(self.partition_id, descriptor.table_number, store, host, self.proposals)
        self._is_index = descriptor.HasField("index")
        self.streams = StreamLog(
            self.partition_id,
            descriptor.table_number,
            store,
            host,
            self.proposals,
            self._refuse,
            self._answer_rotten,
        )
        self.decisions = Decisions(self.partition_id, host, self.proposals, self.changes.feeds, self.streams)
        self.transactions = Transactions(
            self.partition_id,
            descriptor.table_number,
            (self.first_key, self.end_key),
            store,
            host,
            self.proposals,
            self.decisions,
            self._refuse,
            self._answer_rotten,
        )
        if not self.is_restoring:
            self._load(store.stored(own_ranges(descriptor)))
        self._writes, self.reads, self._taking = self._servers()
        self.describe(descriptor)

    def _servers(self) -> tuple[Writes, Reads, Taking]:
        """What the requests of single items are served by, and those to an index."""
        writes = Writes(
            self.partition_id,
            self._store,
            self._host,
            self.proposals,
            self.changes,
            self.streams,
            self.decisions,
            self.transactions,
            self._refuse,
            self._answer_rotten,
        )
        reads = Reads(self.partition_id, self._store, self._host, self._refuse, self._answer_rotten)
        taking = Taking(
            self.partition_id,
            self.descriptor.table_number,
            (self.first_key, self.end_key),
            self._store,
            self._host,
            self.proposals,
            self._refuse,
            self._answer_rotten,
        )
        return writes, reads, taking

    def describe(self, descriptor: cluster_pb2.PartitionDescriptor) -> None:
        """Takes a description that says more than the one it was made with: the key schema, which versions before 0.2
        did not keep."""
        self.descriptor = descriptor
        self.ranges = key_ranges(descriptor)
        if descriptor.HasField("partition_key"):
            schema, indexes = key_schema(descriptor), local_indexes(descriptor)
            self.schema = schema
            self.decisions.describe(descriptor.table_number, schema, indexes)
            self._writes.describe(indexes)
            index = global_index(descriptor.index) if descriptor.HasField("index") else None
            self.reads.describe(descriptor.table_number, schema, indexes, index)

    @property
    def is_leading(self) -> bool:
        """Whether this member leads, with a lease."""
        return self._host.is_serving_leader(self.partition_id)

    # State machine

    @property
    def holds_back(self) -> bool:
        """Whether writes are to gather until the table's indexes have come closer."""
        return self.changes.holds_back

    def apply(self, slot: int, payload: bytes) -> object:
        mutation = decode_mutation(payload)
        is_carried_out = self._store.apply(self.partition_id, slot, mutation)
        if is_carried_out and not self._is_index:
            if mutation.more or mutation.change is not None:
                self.changes.applied(slot, mutation)
            if mutation.more or mutation.records:
                self.streams.applied(mutation)
            self.transactions.applied(slot, mutation)
        return None

    def _load(self, own: list[tuple[bytes, bytes]]) -> None:
        """Takes what is stored of the partition's own rows."""
        self.changes.load(own)
        self.streams.load(own)
        self.transactions.load(own)

    def applied_no_op(self, slot: int) -> None:
        self._store.apply_no_op(self.partition_id, slot)

    def apply_configuration(self, slot: int, configuration: Configuration) -> None:
        self._store.apply_configuration(self.partition_id, slot, configuration)

    @property
    def configuration(self) -> tuple[int, Configuration] | None:
        return self._store.configuration(self.partition_id)

    def opening(self, ballot: Ballot) -> bytes:
        """What a leadership begins with: a mutation that changes nothing, so that it is known of its origin in all that
        the leader decides, and also where it only refuses (RecentWrites says why)."""
        nothing = prefix(self.descriptor.table_number, COLLECTIONS)
        return encode_mutation(Mutation(b"", nothing, None, origin=ballot))

    def open_snapshot(self) -> SnapshotSource | None:
        if self.is_restoring:
            return None
        return _Snapshot(self._store, self.partition_id, self.ranges, self._cannot_send)

    def begin_restore(self, slot: int, progressed: Callable[[], None]) -> None:
        self.is_restoring = True
        self._restores += 1
        self._forget_parts()
        self.changes.forget()
        self.streams.forget()
        self.transactions.forget()
        store, partition_id = self._store, self.partition_id
        self._run(lambda: store.begin_restore(partition_id), partial(self._remove_former, self._restores, progressed))

    def _remove_former(self, restore: int, progressed: Callable[[], None]) -> None:
        """A part at a time: the thread has checkpoints of all partitions to write meanwhile."""
        if restore != self._restores:
            return
        is_emptied = False

        def work() -> None:
            nonlocal is_emptied
            is_emptied = self._store.remove_former(self.partition_id, self.ranges, REMOVE_SLICE_ITEMS)

        def done() -> None:
            if restore != self._restores:
                return
            progressed()
            self._is_emptied = is_emptied
            if not is_emptied:
                self._remove_former(restore, progressed)
            while self._is_emptied and self._early:
                self._early.pop(0)()

        self._run(work, done)

    def restore_chunk(self, body: bytes, done: Callable[[], None]) -> None:
        self._once_emptied(partial(self._gather, body, done))

    def _gather(self, body: bytes, done: Callable[[], None]) -> None:
        """What comes while a part is being stored shares the next transaction: each costs the disk two syncs."""
        self._gathered.append((body, done))
        if not self._is_storing:
            self._store_gathered(self._restores)

    def _store_gathered(self, restore: int) -> None:
        if restore != self._restores or not self._gathered:
            return
        parts, self._gathered, self._is_storing = self._gathered, [], True

        def stored() -> None:
            if restore != self._restores:
                return
            self._is_storing = False
            for _, done in parts:
                done()
            if not self._is_storing:
                self._store_gathered(restore)

        bodies = [body for body, _ in parts]
        self._run(lambda: self._store.restore_chunks(self.partition_id, bodies), stored)

    def finish_restore(self, slot: int, done: Callable[[], None]) -> None:
        store, partition_id, restores = self._store, self.partition_id, self._restores

        own: list[tuple[bytes, bytes]] = []

        def finish() -> None:
            store.finish_restore(partition_id, slot)
            own.extend(store.stored(own_ranges(self.descriptor)))

        def finished() -> None:
            if restores != self._restores:
                return  # another has begun meanwhile, and taken away what this one brought
            self.is_restoring = False
            self._writes.recent = store.recent_writes(partition_id)
            self._load(own)
            done()

        self._once_emptied(lambda: self._run(finish, finished))

    def _once_emptied(self, step: Callable[[], None]) -> None:
        """What a snapshot brings waits until what it replaces is gone. As much may wait as a transfer has under way."""
        if self._is_emptied:
            step()
        else:
            self._early.append(step)

    def close(self) -> None:
        """Nothing more is to be stored: the replica is about to be removed, and its group closed."""
        self._restores += 1
        self._forget_parts()
        self.streams.wake()

    def _forget_parts(self) -> None:
        self._is_emptied = self._is_storing = False
        self._early.clear()
        self._gathered.clear()

    # Requests

    def serve(self, request: partition_pb2.PartitionRequest, reply: Reply, is_full: bool) -> None:
        """Answers one request, now or once it is committed; never raises for what a client may have sent."""
        operation = request.operation
        if operation == _SCAN:
            self._scan(request, reply)
            return
        if self._is_index and operation != _GET:
            self._serve_index(request, reply, is_full)
            return
        key = request.key
        if not self.first_key <= key < self.end_key:
            reply(request.id, partition_pb2.NOT_MINE)
        elif operation == _GET:
            if self.is_restoring:
                self.reads.refuse(request, reply)
            else:
                self.reads.get(request, key, reply)
        elif operation == _READ_STREAM:
            self.streams.read(request, reply)
        elif operation in (_READ_ITEMS, _FINISH):
            self._serve_transaction(request, reply)
        elif operation in _WRITES:
            self._writes.serve(request, key, reply, is_full and operation != _DELETE)
        else:
            reply(request.id, partition_pb2.INVALID, message=f"operation {operation} is unknown")

    def _serve_transaction(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        if self.is_restoring:
            self._refuse(request, reply)
        elif request.operation == _FINISH:
            # Whether there is room or not: what is marked takes room too.
            self.transactions.finish(request, reply)
        else:
            self.transactions.read(request, reply)

    def _serve_index(self, request: partition_pb2.PartitionRequest, reply: Reply, is_full: bool) -> None:
        if request.operation != _TAKE_CHANGES:
            reply(request.id, partition_pb2.INVALID, message="an index is written by the changes of its table alone")
        elif self.is_restoring:
            self._refuse(request, reply)
        else:
            self._taking.serve(request, reply, is_full)

    def _scan(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        number = index_number(request.key)
        first_key, end_key = key_range(self.descriptor, number)
        is_known = not number or any(index.number == number for index in self.descriptor.local_indexes)
        if not is_known or not first_key <= request.key <= request.scan.end_key <= end_key:
            reply(request.id, partition_pb2.NOT_MINE)
        elif self.is_restoring:
            self.reads.refuse(request, reply)
        else:
            self.reads.scan(request, reply)

    def expire(self, now_s: float) -> None:
        """Answers the writes whose time is up: they may or may not be carried out; and who has waited long enough for
        records of a stream."""
        self._writes.expire(now_s)
        self.streams.expire(now_s)

    def _refuse(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Says that this replica does not serve: it does not lead, or not yet, or not any more. Where the leadership is
        about to come or to go, the request waits for that first: an answer that names nobody makes the router guess."""
        leader = self._host.leader_of(self.partition_id)[0]
        if leader and request.unreachable_leader == leader and self._host.hand_overs.ask_for(self.partition_id):
            log.warning("routers cannot reach the leader", partition_id=self.partition_id, node_id=leader)
        if self._may_wait and self._host.hand_overs.is_under_way(self.partition_id):
            again = partial(self._serve_again, request, reply, self.proposals.now_ms())
            if self._host.hand_overs.hold(self.partition_id, request.ByteSize(), again):
                return
        if leader == self._host.node_id:
            reply(request.id, partition_pb2.NO_LEASE)
        else:
            reply(request.id, partition_pb2.NOT_LEADER, leader_node_id=leader)

    def _serve_again(self, request: partition_pb2.PartitionRequest, reply: Reply, since_ms: int) -> None:
        """Serves a request that has waited since then; it waits but once."""
        if request.operation in _WRITES:
            request.age_ms = min(request.age_ms + self.proposals.now_ms() - since_ms, AGE_MS_TOLD_MAX)
        self._may_wait = False
        try:
            self.again(request, reply)
        except Exception:
            # A bug costs one request, not the node.
            log.exception("a request failed", partition_id=self.partition_id)
            reply(request.id, partition_pb2.UNKNOWN_OUTCOME)
        finally:
            self._may_wait = True

    def heal(self) -> None:
        """What is stored is damaged: asks for what the leader has; where this member leads another has to, first. To be
        called again until it is healed."""
        self._host.rebuild(self.partition_id)
        if self.is_leading:
            self._let_another_lead(can_wait=True)

    def note_rotten(self, sentence: str) -> None:
        """What is stored here is not what was written: another member is to lead, and to bring this one what it has."""
        self._on_rotten(self.partition_id, sentence)

    def _cannot_send(self, sentence: str) -> None:
        """A member waits for a snapshot that only another leader can give it."""
        self._on_rotten(self.partition_id, sentence)
        # Not now: the host is in the middle of what this leadership asked for.
        self._run(lambda: None, self._let_another_lead)

    def _let_another_lead(self, *, can_wait: bool = False) -> bool:
        """Hands the leadership over to a member that may have what is damaged here; whether it did. It may be one
        without a lease: members that wait for a snapshot from here do not support it."""
        now_s = time.monotonic()
        if now_s < self._hand_over_from_s or self._host.leader_of(self.partition_id)[0] != self._host.node_id:
            return False
        self._hand_over_from_s = now_s + self._hand_over_wait_s
        self._hand_over_wait_s = min(self._hand_over_wait_s * 2, HAND_OVER_WAIT_S_MAX)
        self._host.hand_over(self.partition_id, can_wait=can_wait)
        return True

    def _answer_rotten(self, request: partition_pb2.PartitionRequest, sentence: str, reply: Reply) -> None:
        """What is stored here is not what was written, and is not served. Another member has the item."""
        self._on_rotten(self.partition_id, sentence)
        if request.consistent and (self._let_another_lead() or not self._host.is_serving_leader(self.partition_id)):
            self._refuse(request, reply)
        else:
            reply(request.id, partition_pb2.CORRUPT, message=sentence)
