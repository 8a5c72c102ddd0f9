"""A leader's writes: decided on the newest value of the item, proposed, answered once they are committed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from google.protobuf.message import DecodeError
from statorpb import partition_pb2

from server.expressions.codec import CorruptTreeError
from server.model.limits import WRITE_AGE_S_MAX
from server.model.table import LocalIndex
from server.runtime.replica_host import UNKNOWN, Outcome, OutcomeKind, ReplicaHost
from storage_node.changes import ChangeLog
from storage_node.codec.mark import CorruptMarkError
from storage_node.codec.mutation import Mutation, encode_mutation
from storage_node.decisions import NO_DETAILS, Decided, Decisions, Result, Unwritten
from storage_node.partition.recent_writes import RecentWrites
from storage_node.proposals import Proposals
from storage_node.replies import Reply, Status
from storage_node.store import CorruptValueError, Store, StoreError
from storage_node.stream_log import StreamLog
from storage_node.transactions import Transactions

TOKEN_BYTES = 16
WRITE_AGE_MS_MAX = WRITE_AGE_S_MAX * 1000
AGE_MS_TOLD_MAX = 2**31
_OK = partition_pb2.OK
_PUT = partition_pb2.PUT
_DELETE = partition_pb2.DELETE
_OF_TRANSACTIONS = (partition_pb2.PREPARE, partition_pb2.TRANSACT)

_ALL_TOO_LARGE = "The item is too large together with its entries in all secondary indexes"


class Writes:
    """The writes of one partition, while this member leads it.

    `refuse` answers that this member does not serve, or lets the request wait for who will; `answer_rotten` that what
    is stored is damaged."""

    def __init__(
        self,
        partition_id: int,
        store: Store,
        host: ReplicaHost,
        proposals: Proposals,
        changes: ChangeLog,
        streams: StreamLog,
        decisions: Decisions,
        transactions: Transactions,
        refuse: Callable[[partition_pb2.PartitionRequest, Reply], None],
        answer_rotten: Callable[[partition_pb2.PartitionRequest, str, Reply], None],
    ) -> None:
        self.recent: RecentWrites = store.recent_writes(partition_id)
        self._partition_id = partition_id
        self._store = store
        self._host = host
        self._proposals = proposals
        self._changes = changes
        self._feeds = changes.feeds
        self._streams = streams
        self._refuse = refuse
        self._answer_rotten = answer_rotten
        self._decisions = decisions
        self._transactions = transactions
        self._has_indexes = False
        self._waiting: dict[bytes, list[tuple[float, Callable[[Outcome], None]]]] = {}
        """Token of a write -> (deadline, whom to tell) of the requests that wait for it."""

    def describe(self, indexes: tuple[LocalIndex, ...]) -> None:
        """Tells which local indexes the table has."""
        self._has_indexes = bool(indexes)

    def serve(
        self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply, has_no_room: bool = False
    ) -> None:
        """Answers a put, an update, a deletion, or what a transaction writes: now, or once it is committed.
        `has_no_room`: only what has been carried out already is told so."""
        request_id, token = request.id, request.token
        if len(token) != TOKEN_BYTES:
            reply(request_id, partition_pb2.INVALID, message=f"a write's token has {TOKEN_BYTES} bytes")
        elif not self._host.is_serving_leader(self._partition_id):
            self._refuse(request, reply)
        elif self.recent.seen(token):
            self._repeat(request, reply)
        elif (waiting := self._waiting.get(token)) is not None:
            waiting.append(self._waiter(request, reply, None))
        elif request.age_ms > WRITE_AGE_MS_MAX:
            reply(request_id, partition_pb2.TOO_OLD)
        elif has_no_room:
            reply(request_id, partition_pb2.STORAGE_FULL, message="the storage node's disk is nearly full")
        elif self._store.is_overloaded:
            reply(request_id, partition_pb2.THROTTLED)
        elif self._transactions.may_be_marked and self._is_marked(request, key):
            reply(request_id, partition_pb2.TRANSACTION_CONFLICT)
        elif self._feeds:
            if self._changes.is_overloaded:
                reply(request_id, partition_pb2.THROTTLED, message="global secondary indexes do not keep up")
            else:
                self._decide_and_propose(request, key, reply)
        elif (
            self._streams.recording
            or self._has_indexes
            or request.HasField("write")
            or request.operation not in (_PUT, _DELETE)
        ):
            self._decide_and_propose(request, key, reply)
        else:
            self._propose_plain(request, key, request.item if request.operation == _PUT else None, reply)

    def _is_marked(self, request: partition_pb2.PartitionRequest, key: bytes) -> bool:
        """Whether a single write comes to an item that a transaction has marked."""
        return request.operation not in _OF_TRANSACTIONS and self._transactions.is_marked(key)

    def expire(self, now_s: float) -> None:
        """Answers the writes whose time is up: they may or may not be carried out."""
        for waiting in self._waiting.values():
            expired = [done for deadline_s, done in waiting if deadline_s <= now_s]
            if expired:
                waiting[:] = [each for each in waiting if each[0] > now_s]
                for done in expired:
                    done(UNKNOWN)

    # Deciding

    def _decide_and_propose(self, request: partition_pb2.PartitionRequest, key: bytes, reply: Reply) -> None:
        state = self._proposals.state()
        try:
            if request.operation in _OF_TRANSACTIONS:
                decided = self._transactions.decide(request, state)
            else:
                details = request.write if request.HasField("write") else NO_DETAILS
                decided = self._decisions.decide(request.operation, request.item, details, key, state)
        except (CorruptValueError, StoreError, DecodeError, CorruptMarkError) as error:
            self._answer_rotten(request, str(error), reply)
            return
        except CorruptTreeError as error:
            reply(request.id, partition_pb2.INVALID, message=str(error))
            return
        if isinstance(decided, Decided):
            self._propose(request, reply, decided)
        elif state.basis is None:
            self._answer_unwritten(request, reply, decided)
        else:
            # It was decided on what is not committed yet, and may never be.
            def ended(is_committed: bool) -> None:
                if is_committed:
                    _reply_unwritten(request.id, reply, decided)
                else:
                    self._refuse(request, reply)

            state.basis.add_dependent(ended)

    def _answer_unwritten(self, request: partition_pb2.PartitionRequest, reply: Reply, unwritten: Unwritten) -> None:
        # As with a read, the lease is looked at after the value.
        if self._host.is_serving_leader(self._partition_id):
            _reply_unwritten(request.id, reply, unwritten)
        else:
            self._refuse(request, reply)

    # Proposing

    def _propose_plain(
        self, request: partition_pb2.PartitionRequest, key: bytes, item: bytes | None, reply: Reply
    ) -> None:
        """As `_propose` for a write of one item that answers only its outcome: what most are, in the shortest way."""
        token, request_id = request.token, request.id

        def done(outcome: Outcome) -> None:
            if outcome.kind == OutcomeKind.COMMITTED:
                reply(request_id, _OK)
            else:
                self._answer_uncommitted(request, reply, outcome)

        timeout_ms = request.timeout_ms
        deadline_s = time.monotonic() + timeout_ms / 1000 if timeout_ms else math.inf
        waiting = self._waiting[token] = [(deadline_s, done)]
        proposals = self._proposals
        in_flight = proposals.in_flight.add(((key, item),))

        def finish(outcome: Outcome) -> None:
            del self._waiting[token]
            for _, each in waiting:
                each(outcome)
            proposals.in_flight.end(in_flight, is_committed=outcome.kind == OutcomeKind.COMMITTED)

        origin = self._host.leader_ballot(self._partition_id)
        mutation = Mutation(token, key, item, proposals.log_time_ms(origin), origin)
        self._host.propose(self._partition_id, encode_mutation(mutation), finish)

    def _propose(self, request: partition_pb2.PartitionRequest, reply: Reply, decided: Decided) -> None:
        token = request.token
        waiting = self._waiting[token] = [self._waiter(request, reply, decided)]

        def done(outcome: Outcome) -> None:
            del self._waiting[token]
            if decided.makes_marks:
                self._transactions.marking(-1)
            for _, each in waiting:
                each(outcome)

        if decided.makes_marks:
            self._transactions.marking(1)
        result = None if decided.result is None else decided.result.SerializeToString()
        self._proposals.propose(
            decided.writes,
            done,
            token=token if decided.status == _OK else b"",
            result=result,
            entries=decided.entries,
            records=decided.records,
        )

    def _waiter(
        self, request: partition_pb2.PartitionRequest, reply: Reply, decided: Decided | None
    ) -> tuple[float, Callable[[Outcome], None]]:
        """(deadline, what to call with the write's outcome). `decided` None: for another request, which was the same;
        what it answers is remembered by then, or to be found out again."""

        def done(outcome: Outcome) -> None:
            if outcome.kind == OutcomeKind.COMMITTED:
                if decided is not None:
                    _reply_result(request.id, decided.status, reply, decided.result)
                elif self.recent.seen(request.token):
                    self._repeat(request, reply)
                else:
                    self._decide_and_propose(request, request.key, reply)
            else:
                self._answer_uncommitted(request, reply, outcome)

        return time.monotonic() + request.timeout_ms / 1000 if request.timeout_ms else math.inf, done

    def _answer_uncommitted(self, request: partition_pb2.PartitionRequest, reply: Reply, outcome: Outcome) -> None:
        """Answers a write that is not known to be committed."""
        if outcome.kind == OutcomeKind.NOT_LEADER:
            self._refuse(request, reply)
        elif outcome.kind == OutcomeKind.OVERLOADED:
            reply(request.id, partition_pb2.THROTTLED)
        elif outcome.kind == OutcomeKind.TOO_LARGE:
            reply(request.id, partition_pb2.INVALID_UPDATE, message=_ALL_TOO_LARGE)
        else:
            reply(request.id, partition_pb2.UNKNOWN_OUTCOME)

    def _repeat(self, request: partition_pb2.PartitionRequest, reply: Reply) -> None:
        """Answers a write that has been carried out, perhaps for an earlier attempt."""
        of_transaction = request.operation in _OF_TRANSACTIONS
        if of_transaction:
            is_wanted = any(item.write.measured for item in request.transaction.items)
        else:
            is_wanted = request.HasField("write") and bool(request.write.returned or request.write.measured)
        if not is_wanted:
            reply(request.id, _OK)
            return
        data = self.recent.result(request.token)
        if data is None:
            reply(request.id, partition_pb2.RESULT_FORGOTTEN)
        elif of_transaction:
            _reply_result(request.id, _OK, reply, partition_pb2.TransactionResult.FromString(data))
        else:
            _reply_result(request.id, _OK, reply, partition_pb2.WriteResult.FromString(data))


def _reply_unwritten(request_id: int, reply: Reply, unwritten: Unwritten) -> None:
    if unwritten.result is None:
        reply(request_id, unwritten.status, unwritten.item, message=unwritten.message)
    else:
        _reply_result(request_id, unwritten.status, reply, unwritten.result)


def _reply_result(request_id: int, status: Status, reply: Reply, result: Result | None) -> None:
    if result is None:
        reply(request_id, status)
    elif isinstance(result, partition_pb2.WriteResult):
        reply(request_id, status, extra_bytes=len(result.item)).write.CopyFrom(result)
    else:
        reply(request_id, status, extra_bytes=result.ByteSize()).transaction.CopyFrom(result)
