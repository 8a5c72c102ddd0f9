"""One partition's replica on this node: reads, writes, and the state machine behind its replication group."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from statorpb import cluster_pb2, partition_pb2

from server.model.key_encoding import prefix
from server.runtime.replica_host import UNKNOWN, Outcome, OutcomeKind, ReplicaHost
from server.runtime.snapshot_transfer import SnapshotFailedError, SnapshotSource
from storage_node.btree import StoreError
from storage_node.codec.mutation import Mutation, decode_mutation, encode_mutation
from storage_node.store import CorruptValueError, Store

SNAPSHOT_CHUNK_BYTES = 256 * 1024
SCAN_BYTES_MAX = 1024 * 1024
SCAN_ITEMS_MAX = 10_000
TOKEN_BYTES = 16

HAND_OVER_WAIT_S_MIN = 2.0
HAND_OVER_WAIT_S_MAX = 60.0
"""A leader that finds an item damaged lets another member lead. Where that does not help, because the leadership comes
back or the others' items are damaged as well, it waits twice as long each time before it does so again."""

_OK = partition_pb2.OK
_GET = partition_pb2.GET
_PUT = partition_pb2.PUT
_DELETE = partition_pb2.DELETE
_SCAN = partition_pb2.SCAN


class Reply(Protocol):
    """Adds one reply to the stream that the request came on."""

    def __call__(
        self,
        request_id: int,
        status: partition_pb2.PartitionStatusCode.ValueType,
        item: bytes = b"",
        leader_node_id: int = 0,
        message: str = "",
    ) -> partition_pb2.PartitionReply: ...


class _Snapshot:
    """A snapshot of the partition, as the host sends it. `on_rotten(sentence)` is told where it cannot be read."""

    def __init__(self, store: Store, group_id: int, start: bytes, end: bytes, on_rotten: Callable[[str], None]) -> None:
        self._on_rotten = on_rotten
        with self._reading():
            self._reader = store.read_snapshot(group_id, start, end)
        self.slot = self._reader.slot
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


def key_range(descriptor: cluster_pb2.PartitionDescriptor) -> tuple[bytes, bytes]:
    """The first key of a partition, and the first behind it. The last partition of a table ends where the next table or
    index begins."""
    table_prefix = prefix(descriptor.table_number)
    if descriptor.range_end:
        end_key = table_prefix + descriptor.range_end
    else:
        end_key = (int.from_bytes(table_prefix, "big") + 1).to_bytes(len(table_prefix), "big")
    return table_prefix + descriptor.range_start, end_key


class PartitionReplica:
    """A replica of the partition that `descriptor` describes.

    `run(work, done)` runs blocking work in the engine's thread and calls `done` on the loop afterwards.
    `on_rotten(partition_id, sentence)` is told of an item that is not what was stored.
    """

    def __init__(
        self,
        descriptor: cluster_pb2.PartitionDescriptor,
        store: Store,
        host: ReplicaHost,
        run: Callable[[Callable[[], None], Callable[[], object]], None],
        on_rotten: Callable[[int, str], None],
    ) -> None:
        self.descriptor = descriptor
        self.partition_id = descriptor.partition_id
        self.first_key, self.end_key = key_range(descriptor)
        self.is_restoring = store.is_restoring(self.partition_id)
        self._store = store
        self._host = host
        self._run = run
        self._on_rotten = on_rotten
        self._hand_over_from_s = 0.0
        self._hand_over_wait_s = HAND_OVER_WAIT_S_MIN
        self._recent = store.recent_writes(self.partition_id)
        self._in_flight: dict[bytes, list[tuple[float, Callable[[Outcome], None]]]] = {}
        """Token of a write -> (deadline, whom to tell) of the requests that wait for it."""

    def describe(self, descriptor: cluster_pb2.PartitionDescriptor) -> None:
        """Takes a description that says more than the one it was made with: the key schema, which versions before 0.2
        did not keep."""
        self.descriptor = descriptor

    # State machine

    def apply(self, slot: int, payload: bytes) -> object:
        self._store.apply(self.partition_id, slot, decode_mutation(payload))
        return None

    def applied_no_op(self, slot: int) -> None:
        self._store.apply_no_op(self.partition_id, slot)

    def open_snapshot(self) -> SnapshotSource | None:
        if self.is_restoring:
            return None
        return _Snapshot(self._store, self.partition_id, self.first_key, self.end_key, self._cannot_send)

    def begin_restore(self, slot: int) -> None:
        self.is_restoring = True
        store, partition_id, first_key, end_key = self._store, self.partition_id, self.first_key, self.end_key
        self._run(lambda: store.begin_restore(partition_id, first_key, end_key), lambda: None)

    def restore_chunk(self, body: bytes, done: Callable[[], None]) -> None:
        store, partition_id = self._store, self.partition_id
        self._run(lambda: store.restore_chunk(partition_id, body), done)

    def finish_restore(self, slot: int, done: Callable[[], None]) -> None:
        store, partition_id = self._store, self.partition_id

        def finished() -> None:
            self.is_restoring = False
            self._recent = store.recent_writes(partition_id)
            done()

        self._run(lambda: store.finish_restore(partition_id, slot), finished)

    # Requests

    def serve(self, request: partition_pb2.PartitionRequest, reply: Reply, is_full: bool) -> None:
        """Answers one request, now or once it is committed; never raises for what a client may have sent."""
        key = request.key
        operation = request.operation
        if not self.first_key <= key < self.end_key:
            reply(request.id, partition_pb2.NOT_MINE)
        elif operation == _GET:
            self._get(request, key, reply)
        elif operation in (_PUT, _DELETE):
            if is_full and operation == _PUT:
                reply(request.id, partition_pb2.STORAGE_FULL, message="the storage node's disk is nearly full")
            else:
                self._write(request, key, reply)
        elif operation == _SCAN:
            self._scan(request, key, reply)
        else:
            reply(request.id, partition_pb2.INVALID, message=f"operation {operation} is unknown")

    def _refusal(self, request_id: int, reply: Reply) -> None:
        """Why this replica does not serve: it does not lead, or not yet, or not any more."""
        leader = self._host.leader_of(self.partition_id)[0]
        if leader == self._host.node_id:
            reply(request_id, partition_pb2.NO_LEASE)
        else:
            reply(request_id, partition_pb2.NOT_LEADER, leader_node_id=leader)

    def _cannot_send(self, sentence: str) -> None:
        """A member waits for a snapshot that only another leader can give it."""
        self._on_rotten(self.partition_id, sentence)
        # Not now: the host is in the middle of what this leadership asked for.
        self._run(lambda: None, self._let_another_lead)

    def _let_another_lead(self) -> bool:
        """Hands the leadership over to a member that may have what is damaged here; whether it did. It may be one
        without a lease: members that wait for a snapshot from here do not support it."""
        now_s = time.monotonic()
        if now_s < self._hand_over_from_s or self._host.leader_of(self.partition_id)[0] != self._host.node_id:
            return False
        self._hand_over_from_s = now_s + self._hand_over_wait_s
        self._hand_over_wait_s = min(self._hand_over_wait_s * 2, HAND_OVER_WAIT_S_MAX)
        self._host.hand_over(self.partition_id)
        return True

    def _answer_rotten(self, request: partition_pb2.PartitionRequest, sentence: str, reply: Reply) -> None:
        """What is stored here is not what was written, and is not served. Another member has the item."""
        self._on_rotten(self.partition_id, sentence)
        if request.consistent and (self._let_another_lead() or not self._host.is_serving_leader(self.partition_id)):
            self._refusal(request.id, reply)
        else:
            reply(request.id, partition_pb2.CORRUPT, message=sentence)

    def _get(self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply) -> None:
        if self.is_restoring:
            self._refusal(request.id, reply)
            return
        try:
            item = self._store.get(key)
        except (CorruptValueError, StoreError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        # The lease is looked at after the value: if it held then, nobody else can have acknowledged a newer one.
        if request.consistent and not self._host.is_serving_leader(self.partition_id):
            self._refusal(request.id, reply)
        elif item is None:
            reply(request.id, partition_pb2.NOT_FOUND)
        else:
            reply(request.id, _OK, item)

    def _write(self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply) -> None:
        request_id, token = request.id, request.token
        if len(token) != TOKEN_BYTES:
            reply(request_id, partition_pb2.INVALID, message=f"a write's token has {TOKEN_BYTES} bytes")
            return
        if not self._host.is_serving_leader(self.partition_id):
            self._refusal(request_id, reply)
            return
        if self._recent.seen(token):
            reply(request_id, _OK)
            return

        def done(outcome: Outcome) -> None:
            if outcome.kind == OutcomeKind.COMMITTED:
                reply(request_id, _OK)
            elif outcome.kind == OutcomeKind.NOT_LEADER:
                reply(request_id, partition_pb2.NOT_LEADER, leader_node_id=outcome.leader_node_id)
            elif outcome.kind == OutcomeKind.OVERLOADED:
                reply(request_id, partition_pb2.THROTTLED)
            else:
                reply(request_id, partition_pb2.UNKNOWN_OUTCOME)

        deadline_s = time.monotonic() + request.timeout_ms / 1000 if request.timeout_ms else math.inf
        repeated = self._in_flight.get(token)
        if repeated is not None:
            repeated.append((deadline_s, done))
            return
        if self._store.is_overloaded:
            reply(request_id, partition_pb2.THROTTLED)
            return
        self._in_flight[token] = [(deadline_s, done)]

        def finish(outcome: Outcome) -> None:
            for _, each in self._in_flight.pop(token):
                each(outcome)

        item = request.item if request.operation == _PUT else None
        origin = self._host.leader_ballot(self.partition_id)
        mutation = Mutation(token, key, item, time.time_ns() // 1_000_000, origin)
        self._host.propose(self.partition_id, encode_mutation(mutation), finish)

    def expire(self, now_s: float) -> None:
        """Answers the writes whose time is up: they may or may not be carried out."""
        for token, waiting in self._in_flight.items():
            expired = [done for deadline_s, done in waiting if deadline_s <= now_s]
            if expired:
                self._in_flight[token] = [each for each in waiting if each[0] > now_s]
                for done in expired:
                    done(UNKNOWN)

    def _scan(self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply) -> None:
        if self.is_restoring:
            self._refusal(request.id, reply)
            return
        items_max = min(request.limit or SCAN_ITEMS_MAX, SCAN_ITEMS_MAX)
        bytes_max = min(request.bytes_max or SCAN_BYTES_MAX, SCAN_BYTES_MAX)
        scanned: list[partition_pb2.ScannedItem] = []
        size = 0
        is_complete = True
        try:
            for item_key, item in self._store.scan(key, self.end_key):
                if len(scanned) == items_max or (scanned and size + len(item) > bytes_max):
                    is_complete = False
                    break
                scanned.append(partition_pb2.ScannedItem(key=item_key, item=item))
                size += len(item)
        except (CorruptValueError, StoreError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        if request.consistent and not self._host.is_serving_leader(self.partition_id):
            self._refusal(request.id, reply)
            return
        answer = reply(request.id, _OK)
        answer.scanned.extend(scanned)
        answer.scan_complete = is_complete
