"""An index's side: the leader of one of its partitions takes what the partitions of the table have changed, once.

How far each of them has been taken is a row beside the entries, and written by the same mutation. What comes a second
time, be it from a leader of long ago, is passed over: only what has been committed is sent, so it is the same.
"""

from __future__ import annotations

from collections.abc import Callable

from statorpb import partition_pb2

from server.model.key_encoding import CURSORS, own_rows, prefix
from server.runtime.replica_host import Outcome, OutcomeKind
from storage_node.btree import StoreError
from storage_node.codec.index_batch import CorruptBatchError, IndexBatch, decode_batch
from storage_node.codec.mutation import Write
from storage_node.host import NodeHost
from storage_node.proposals import Proposals
from storage_node.replies import Reply
from storage_node.store import CorruptValueError, Store

SOURCE = b"s"
"""What the name of the row begins with that says how far a source has been taken; its partition id follows."""


class Taking:
    """Of one partition of an index, which has the positions from `first_key` up to `end_key` (encoded keys).

    `refuse` and `answer_rotten` as for writes."""

    def __init__(
        self,
        partition_id: int,
        table_number: int,
        key_range: tuple[bytes, bytes],
        store: Store,
        host: NodeHost,
        proposals: Proposals,
        refuse: Callable[[partition_pb2.PartitionRequest, Reply], None],
        answer_rotten: Callable[[partition_pb2.PartitionRequest, str, Reply], None],
    ) -> None:
        self._partition_id = partition_id
        self._entries = prefix(table_number)
        self._sources = own_rows(table_number, CURSORS, partition_id) + SOURCE
        self._first_key, self._end_key = key_range
        self._store = store
        self._host = host
        self._proposals = proposals
        self._refuse = refuse
        self._answer_rotten = answer_rotten

    def serve(self, request: partition_pb2.PartitionRequest, reply: Reply, has_no_room: bool) -> None:
        """Answers OK once the partition has everything in the batch."""
        if not self._host.is_serving_leader(self._partition_id):
            self._refuse(request, reply)
            return
        if not self._first_key <= request.key < self._end_key:
            reply(request.id, partition_pb2.NOT_MINE)  # of another index
            return
        try:
            batch = decode_batch(request.item)
        except CorruptBatchError as error:
            reply(request.id, partition_pb2.INVALID, message=str(error))
            return
        key = self._sources + batch.source.to_bytes(8, "big")
        state = self._proposals.state()
        try:
            taken_slot = int.from_bytes(state.get(key) or b"", "big")
        except (CorruptValueError, StoreError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        writes = self._writes(key, batch, taken_slot)
        if any(not self._first_key <= each < self._end_key for each, _ in writes[1:]):
            reply(request.id, partition_pb2.NOT_MINE)
        elif batch.up_to_slot > taken_slot:
            self._take(request, reply, writes, has_no_room)
        elif state.basis is not None:
            # It is on its way, and may come to nothing.
            state.basis.add_dependent(
                lambda is_committed: (
                    self._answer_taken(request, reply) if is_committed else self._refuse(request, reply)
                )
            )
        else:
            self._answer_taken(request, reply)

    def _writes(self, key: bytes, batch: IndexBatch, taken_slot: int) -> tuple[Write, ...]:
        """The source's row, and the entries as the newest change has them."""
        entries = {each.position: each.item for each in batch.entries if each.slot > taken_slot}
        row = (key, batch.up_to_slot.to_bytes(8, "big"))
        return (row, *((self._entries + position, item) for position, item in entries.items()))

    def _take(
        self, request: partition_pb2.PartitionRequest, reply: Reply, writes: tuple[Write, ...], has_no_room: bool
    ) -> None:
        if has_no_room and any(item is not None for _, item in writes[1:]):
            reply(request.id, partition_pb2.STORAGE_FULL, message="the storage node's disk is nearly full")
            return
        if self._store.is_overloaded:
            reply(request.id, partition_pb2.THROTTLED)
            return

        def done(outcome: Outcome) -> None:
            if outcome.kind == OutcomeKind.COMMITTED:
                reply(request.id, partition_pb2.OK)
                # Indexes are read at followers as well, and how far these are behind counts as the index's lag.
                self._host.tell_committed(self._partition_id)
            elif outcome.kind == OutcomeKind.NOT_LEADER:
                self._refuse(request, reply)
            elif outcome.kind == OutcomeKind.OVERLOADED:
                reply(request.id, partition_pb2.THROTTLED)
            else:
                reply(request.id, partition_pb2.UNKNOWN_OUTCOME)

        self._proposals.propose(writes, done)

    def _answer_taken(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        # As with a read, the lease is looked at after the value.
        if self._host.is_serving_leader(self._partition_id):
            reply(request.id, partition_pb2.OK)
        else:
            self._refuse(request, reply)
