"""Requests to storage nodes: one stream a node, many requests a frame, retries and redirects inside the deadline.

No task, future or await for a single request: a call is an object with a callback, on a stream's pending table until
its answer, its attempt's timeout or the stream's end.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import grpc
import structlog
from statorpb import partition_pb2

from router.partition_map_cache import Partition, PartitionMapCache, Table, model_error, same
from router.routing.decision import DONE, Replica, Step, backoff_ms, choose_replica, next_step
from router.routing.node_clock import NodeClock
from router.routing.node_silence import NodeSilence
from router.throttling import throttled
from server.gathering import gather_arrivals
from server.model.errors import (
    ConditionalCheckFailedError,
    DeadlineExceededError,
    InternalServerError,
    ItemCollectionSizeLimitExceededError,
    RequestLimitExceededError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    TransactionConflictError,
    ValidationError,
)
from server.model.key_encoding import after_prefix, prefix
from server.model.limits import WRITE_AGE_S_MAX
from server.runtime.frame_connection import OpenedStream
from server.runtime.partition_stream import BROKEN, partition_stream
from server.runtime.writers import end_with

CALLS_MAX = 10_000
BYTES_MAX = 128 * 1024 * 1024
"""Requests in flight in this router; past it they are refused at once."""

FRAME_BYTES_MAX = 4 * 1024 * 1024
ATTEMPT_TIMEOUT_S = 1.0
SWEEP_S = 0.1
HOLD_OFF_S = 0.5
"""How long a node that cannot be connected to, or says nothing, is passed over, where another may do."""

CALL_OVERHEAD_BYTES = 32
TIMEOUT_MS_MAX = 2**31 - 1

log = structlog.get_logger()

Details = (
    partition_pb2.WriteDetails
    | partition_pb2.ReadDetails
    | partition_pb2.ScanDetails
    | partition_pb2.StreamDetails
    | partition_pb2.TransactionDetails
    | partition_pb2.ItemsRead
)
Done = Callable[[partition_pb2.PartitionReply | None, StatorError | None], None]

GET = partition_pb2.GET
PUT = partition_pb2.PUT
DELETE = partition_pb2.DELETE
SCAN = partition_pb2.SCAN
UPDATE = partition_pb2.UPDATE
READ_STREAM = partition_pb2.READ_STREAM
PREPARE = partition_pb2.PREPARE
FINISH = partition_pb2.FINISH
TRANSACT = partition_pb2.TRANSACT
READ_ITEMS = partition_pb2.READ_ITEMS

_WRITES = (PUT, UPDATE, DELETE, PREPARE, TRANSACT)
_OF_SEVERAL = (PREPARE, TRANSACT, FINISH, READ_ITEMS)


@dataclass(eq=False)  # without slots: what has its default costs nothing to make
class PartitionCall:
    """One request to one partition. `position`: the key's range position; `deadline`: loop time, seconds;
    `is_consistent`: only the leader can answer, as it is with every write. `details`: what the node is to do besides.

    A scan reads what lies from `position` up to `end` (empty: no bound) in the index of number `index`, from the end if
    it `is_backwards`: as much of it as one partition has, which `covered` says once it is answered. What is read of a
    stream is read of the partition that `position` is in. What a transaction has in one partition is asked for at once;
    then `position` is that of its first item.

    `begun`, of a write that its client may send again, elsewhere too: loop time at which it may have sent it first.
    WRITE_AGE_S_MAX later it is not sent any more, nor carried out.

    `done` is called exactly once, with a reply or an error; where it raises, once more, with an error."""

    table: Table
    operation: partition_pb2.PartitionOperation.ValueType
    position: bytes
    deadline: float
    done: Done
    is_consistent: bool = True
    item: bytes = b""
    token: bytes = b""
    details: Details | None = None
    begun: float = math.inf
    index: int = 0
    end: bytes = b""
    is_backwards: bool = False
    covered: tuple[bytes, bytes] = field(default=(b"", b""), init=False)
    attempt: int = field(default=0, init=False)
    attempt_ends: float = field(default=0.0, init=False)
    partition: Partition | None = field(default=None, init=False)
    node_id: int = field(default=0, init=False)
    size: int = field(default=0, init=False)  # bytes, once it is under way
    in_doubt_since: float = field(default=math.inf, init=False)  # the first attempt that may have been carried out

    @property
    def wait_s(self) -> float:
        """For how long the node may wait before it answers."""
        return self.details.wait_ms / 1000 if isinstance(self.details, partition_pb2.StreamDetails) else 0.0

    @property
    def is_write(self) -> bool:
        return self.operation in _WRITES


def _meant(call: PartitionCall, table: Table | None) -> Table | None:
    """What a call means, as far as it is known now: what has its table's name and is of the same kind, so that keys are
    encoded alike; None: nothing that can be read and written. An index that was made again has another number. What a
    transaction asks for is meant for that table and no other of its name: its marks are in that."""
    before = call.table
    now = same(before, table)
    if now is None or not now.is_active or (now.schema, now.indexes) != (before.schema, before.indexes):
        return None
    if call.operation in _OF_SEVERAL and now.number != before.number:
        return None
    if before.index is not None and now.index is not None:
        return now if replace(now.index, number=before.index.number) == before.index else None
    return now


@dataclass(slots=True)
class _Stream:
    """The stream to one storage node."""

    address: str
    pending: dict[int, PartitionCall] = field(default_factory=dict)
    frames: list[partition_pb2.PartitionRequestFrame] = field(default_factory=list)
    frame_bytes: int = 0
    frame_begun: float = 0.0  # of the last frame: loop time
    silence: NodeSilence = field(default_factory=NodeSilence)  # in loop time
    clock: NodeClock = field(default_factory=NodeClock)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


def refusal(reply: partition_pb2.PartitionReply) -> StatorError:
    """The error that a client is told of where a write could not be carried out as asked."""
    if reply.status == partition_pb2.CONDITION_FAILED:
        return ConditionalCheckFailedError(item=reply.item or None)
    if reply.status == partition_pb2.INVALID_UPDATE:
        return ValidationError(reply.message)
    if reply.status == partition_pb2.COLLECTION_FULL:
        return ItemCollectionSizeLimitExceededError("Item collection size limit exceeded")
    if reply.status == partition_pb2.TRANSACTION_CONFLICT:
        return TransactionConflictError()
    return InternalServerError("The write was carried out, but what it was to return is not known any more")


def cover(call: PartitionCall) -> Partition:
    """The partition that a scan begins in, and how much of its range is that partition's."""
    table = call.table
    index = table.map.index_below(call.end) if call.is_backwards else table.map.index_of(call.position)
    start, end = table.map.range_of(index)
    ends = [each for each in (end, call.end) if each]
    call.covered = (max(start, call.position), min(ends) if ends else b"")
    return table.partitions[index]


def _fill_details(request: partition_pb2.PartitionRequest, call: PartitionCall) -> None:
    """Of everything but a GET."""
    if isinstance(call.details, partition_pb2.WriteDetails):
        request.write.CopyFrom(call.details)
    elif isinstance(call.details, partition_pb2.StreamDetails):
        request.stream.CopyFrom(call.details)
    elif isinstance(call.details, partition_pb2.TransactionDetails):
        request.transaction.CopyFrom(call.details)
    elif isinstance(call.details, partition_pb2.ItemsRead):
        request.items.CopyFrom(call.details)
    else:
        _fill_scan(request, call)


def _fill_scan(request: partition_pb2.PartitionRequest, call: PartitionCall) -> None:
    low, high = call.covered
    key_prefix = prefix(call.table.number, call.index)
    request.key = key_prefix + low
    assert isinstance(call.details, partition_pb2.ScanDetails)
    request.scan.CopyFrom(call.details)
    request.scan.end_key = key_prefix + high if high else after_prefix(key_prefix)
    request.scan.backwards = call.is_backwards


def _ignore(_: partition_pb2.StaleMark) -> None:
    """Nobody sees to it here."""


def tell(call: PartitionCall, reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
    """Ends a call. A bug in what is made of one answer must not break the stream that others wait on, nor leave a
    request without an answer: then `done` is called once more."""
    try:
        call.done(reply, error)
    except Exception:
        log.exception("a storage node's answer could not be used", partition_id=call.partition)
        call.done(None, InternalServerError("The request failed because of an internal error"))


def _turn_away(call: PartitionCall, error: StatorError) -> None:
    """Nothing of it was sent."""
    error.is_not_carried_out = True
    call.done(None, error)


def _doubt(call: PartitionCall) -> str:
    if not call.is_write:
        return ""
    if call.in_doubt_since == math.inf:
        return "; this attempt of it was not carried out"
    return "; it may or may not have been carried out"


class StorageClient:
    """Sends calls where they belong."""

    def __init__(self, cache: PartitionMapCache, zone: str) -> None:
        self._cache = cache
        self._zone = zone
        self._streams: dict[str, _Stream] = {}
        self._unreachable: dict[str, float] = {}  # address -> loop time until which it is passed over
        self._next_id = 1
        self._calls = 0
        self._bytes = 0
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random()
        self._look_ups: set[asyncio.Task[None]] = set()
        self.on_stale_mark: Callable[[partition_pb2.StaleMark], None] = _ignore
        """Told of marks that storage nodes find to be there for long."""
        self._sweeper = asyncio.create_task(self._sweep_forever())
        self._is_closed = False

    async def close(self) -> None:
        """Ends the streams. What has no answer yet is told so, and nothing is sent any more."""
        self._is_closed = True
        tasks = [stream.task for stream in self._streams.values() if stream.task is not None]
        tasks += [self._sweeper, *self._look_ups]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def in_flight(self) -> int:
        return self._calls

    @property
    def has_unreachable(self) -> bool:
        """Whether a node could not be connected to of late."""
        return bool(self._unreachable)

    def submit(self, call: PartitionCall) -> None:
        """Takes on a call."""
        assert call.is_consistent or call.operation in (GET, SCAN), "a write is the leader's"
        size = len(call.item) + len(call.position) + CALL_OVERHEAD_BYTES
        if call.details is not None:
            size += call.details.ByteSize()
        call.size = size
        if self._is_closed:
            _turn_away(call, ServiceUnavailableError("The router is stopping"))
            return
        if self._calls >= CALLS_MAX or self._bytes + size > BYTES_MAX:
            _turn_away(call, RequestLimitExceededError("Too many requests are in flight in this router"))
            return
        self._calls += 1
        self._bytes += size
        self._send(call)

    # One call's way

    def _finish(
        self, call: PartitionCall, reply: partition_pb2.PartitionReply | None, error: StatorError | None
    ) -> None:
        self._calls -= 1
        self._bytes -= call.size
        if error is not None and call.in_doubt_since == math.inf and not isinstance(error, InternalServerError):
            error.is_not_carried_out = True
        tell(call, reply, error)

    def _send(self, call: PartitionCall) -> None:
        table = call.table
        if call.operation != SCAN:
            partition = call.partition = table.partition_at(call.position)
        else:
            partition = call.partition = cover(call)
        replica, unreachable_leader = self._whom_to_ask(call, partition)
        call.node_id = replica.node_id
        now = self._loop.time()
        remaining = call.deadline - now
        if remaining <= 0 or now - min(call.begun, call.in_doubt_since) > WRITE_AGE_S_MAX:
            # A write that lay for so long somewhere on its way would be refused; the answer to that could be lost.
            self._expire(call)
            return
        call.attempt_ends = now + min(remaining, ATTEMPT_TIMEOUT_S + call.wait_s)
        stream = self._streams.get(replica.address)
        if stream is None or stream.task is None or stream.task.done():
            stream = self._open(replica.address)
        request_id = self._next_id
        self._next_id += 1
        stream.pending[request_id] = call
        if not stream.frames or stream.frame_bytes + call.size > FRAME_BYTES_MAX:
            # By this router's clock until it is written; whoever came before says by how much.
            stream.frames.append(partition_pb2.PartitionRequestFrame(begun_ms=int(now * 1000)))
            stream.frame_bytes = 0
            stream.frame_begun = now
            stream.wake.set()
        stream.frame_bytes += call.size
        operation = call.operation
        request = stream.frames[-1].requests.add()  # and not with arguments, which costs more than to set them
        request.id = request_id
        request.partition_id = partition.partition_id
        request.operation = operation
        request.key = table.key_prefix + call.position
        request.consistent = call.is_consistent
        request.timeout_ms = min(int(remaining * 1000), TIMEOUT_MS_MAX)
        if unreachable_leader:
            request.unreachable_leader = unreachable_leader
        if operation == GET:
            if call.details is not None:
                assert isinstance(call.details, partition_pb2.ReadDetails)
                request.read.CopyFrom(call.details)
            return
        if operation in _WRITES:
            request.item = call.item
            request.token = call.token
            age_s = stream.frame_begun - min(call.begun, call.in_doubt_since)
            if age_s > 0:
                request.age_ms = math.ceil(age_s * 1000)
        if call.details is not None:
            _fill_details(request, call)

    def _whom_to_ask(self, call: PartitionCall, partition: Partition) -> tuple[Replica, int]:
        """The member that comes next; and the leader's node id, if that is passed over because it cannot be reached:
        who is asked instead can do something about it."""
        leader_node_id, needs_leader = partition.leader_node_id, call.is_consistent
        replicas = self._reachable(partition.replicas) if self._unreachable else partition.replicas
        replica = choose_replica(replicas, leader_node_id, self._zone, call.attempt, needs_leader=needs_leader)
        if not needs_leader or not self._unreachable or replica.node_id == leader_node_id:
            return replica, 0
        passed_over = {each.node_id for each in partition.replicas if each.address in self._unreachable}
        return replica, leader_node_id if leader_node_id in passed_over else 0

    def _reachable(self, replicas: Sequence[Replica]) -> Sequence[Replica]:
        """Those of the replicas that may be connected to; all of them, if none is left."""
        now = self._loop.time()
        self._unreachable = {address: until for address, until in self._unreachable.items() if until > now}
        return [replica for replica in replicas if replica.address not in self._unreachable] or replicas

    def _answered(self, call: PartitionCall, reply: partition_pb2.PartitionReply) -> None:
        if reply.status in DONE:
            if call.is_consistent and call.partition is not None and call.partition.leader_node_id != call.node_id:
                self._partition_now(call).leader_node_id = call.node_id
            self._finish(call, reply, None)
            return
        step = next_step(
            reply.status, leader_hint=reply.leader_node_id, asked_node_id=call.node_id, needs_leader=call.is_consistent
        )
        if step == Step.FOLLOW_HINT:
            self._partition_now(call).leader_node_id = reply.leader_node_id
            self._again(call, 0.0 if call.attempt < 4 else self._backoff_s(call))
        elif step == Step.TRY_OTHER:
            has_others = call.partition is not None and call.attempt + 1 < len(call.partition.replicas)
            self._again(call, 0.0 if has_others else self._backoff_s(call))
        elif step == Step.RETRY:
            if reply.status == partition_pb2.UNKNOWN_OUTCOME:
                self._note_unknown(call)
            if reply.status == partition_pb2.NOT_LEADER:
                self._forget_leader(call)
            self._again(call, self._backoff_s(call))
        elif step == Step.REFRESH:
            self._cache.refresh_soon(call.table)
            self._again(call, max(0.05, self._backoff_s(call)))
        elif step == Step.SEND_ANEW:
            self._again(call, self._backoff_s(call) if call.attempt else 0.0)
        elif step == Step.THROTTLE:
            self._finish(call, None, throttled(call.table, reply.message))
        elif step == Step.REFUSE:
            self._finish(call, None, refusal(reply))
        elif step == Step.REFUSE_FULL:
            self._finish(call, None, ServiceUnavailableError(f"The write was refused: {reply.message}"))
        else:
            self._finish(call, None, InternalServerError(f"A storage node failed the request: {reply.message}"))

    def _lost(self, call: PartitionCall, *, is_silent: bool) -> None:
        """An attempt came to nothing: its stream broke, or it got no answer in time. A write may have been carried out;
        it is sent again with the same token, which storage nodes recognise."""
        self._note_unknown(call)
        self._forget_leader(call)
        self._cache.refresh_soon(call.table)
        self._again(call, 0.0 if is_silent else self._backoff_s(call))

    def _note_unknown(self, call: PartitionCall) -> None:
        if call.is_write and call.in_doubt_since == math.inf:
            call.in_doubt_since = call.attempt_ends - ATTEMPT_TIMEOUT_S

    def _partition_now(self, call: PartitionCall) -> Partition:
        return self._cache.partition_now(call.table, call.position)

    def _forget_leader(self, call: PartitionCall) -> None:
        """The node that was asked does not lead, or not any more; who does is found out from the others."""
        partition = self._partition_now(call)
        if partition.leader_node_id == call.node_id:
            partition.leader_node_id = 0

    def _backoff_s(self, call: PartitionCall) -> float:
        return backoff_ms(call.attempt, self._rng.random()) / 1000

    def _again(self, call: PartitionCall, delay_s: float) -> None:
        if self._is_closed:
            self._give_up(call)
            return
        call.attempt += 1
        end = min(call.deadline, min(call.begun, call.in_doubt_since) + WRITE_AGE_S_MAX)
        if self._loop.time() + delay_s >= end:
            self._loop.call_at(end, self._expire, call)
        elif delay_s:
            self._loop.call_later(delay_s, self._resend, call)
        else:
            self._loop.call_soon(self._resend, call)

    def _resend(self, call: PartitionCall) -> None:
        """The table may have been deleted since the last attempt, or since this router last heard of it; if another of
        the same kind has taken its name, that is the one that is meant."""
        if self._is_closed:
            self._give_up(call)
            return
        table = self._cache.get(call.table.name)
        now = _meant(call, table)
        if now is not None:
            call.table = now
            self._send(call)
            return
        # What the last refresh brought may be older than the table, or the index, that has taken the name since.
        task = self._loop.create_task(self._look_up_then_send(call, is_known=table is not None))
        self._look_ups.add(task)
        task.add_done_callback(self._look_ups.discard)

    async def _look_up_then_send(self, call: PartitionCall, *, is_known: bool) -> None:
        """`is_known`: of the table is known what does not do."""
        try:
            left_s = max(0.05, call.deadline - self._loop.time())
            table = await self._cache.fetch(call.table.name, left_s, is_known=is_known)
        except asyncio.CancelledError:
            self._give_up(call)
            raise
        except StatorError as error:
            self._finish(call, None, error)
        except grpc.aio.AioRpcError as error:
            self._finish(call, None, model_error(error))
        except Exception:
            log.exception("looking up a table again failed", table=call.table.name)
            self._finish(call, None, InternalServerError("The request failed because of an internal error"))
        else:
            self._send_to(table, call)

    def _send_to(self, table: Table | None, call: PartitionCall) -> None:
        now, before = _meant(call, table), call.table
        if now is None:
            gone: StatorError = ResourceNotFoundError("Requested resource not found")
            if before.index is not None and table is not None and table.is_active:
                gone = ValidationError(f"The table does not have the specified index: {before.index.name}")
            self._finish(call, None, gone)
            return
        call.table = now
        self._send(call)

    def _expire(self, call: PartitionCall) -> None:
        self._finish(call, None, DeadlineExceededError(f"The request's time ran out{_doubt(call)}"))

    def _give_up(self, call: PartitionCall) -> None:
        self._finish(call, None, ServiceUnavailableError(f"The router is stopping{_doubt(call)}"))

    # Streams

    def _open(self, address: str) -> _Stream:
        stream = self._streams[address] = _Stream(address)
        stream.task = asyncio.create_task(self._run(stream))
        return stream

    async def _run(self, stream: _Stream) -> None:
        """Connects, carries frames both ways until the stream breaks, and gives back what had no answer."""
        is_open = False
        try:
            async with partition_stream(stream.address) as (frames, greeting):
                is_open = True
                self._heard(stream, greeting)
                writer = asyncio.create_task(self._write(stream, frames))
                end_with(writer, frames.cancel)
                try:
                    while not writer.done():
                        frame = await frames.read()
                        if not isinstance(frame, partition_pb2.PartitionReplyFrame):
                            break
                        self._heard(stream, frame)
                        for reply in frame.replies:
                            pending = stream.pending.pop(reply.id, None)
                            if pending is not None:
                                self._answered(pending, reply)
                finally:
                    writer.cancel()
                    await asyncio.gather(writer, return_exceptions=True)
        except BROKEN as error:
            log.debug("stream to a storage node broke", address=stream.address, reason=str(error))
            if not is_open and isinstance(error, TimeoutError):
                self._unreachable[stream.address] = self._loop.time() + HOLD_OFF_S
        finally:
            if self._streams.get(stream.address) is stream:
                del self._streams[stream.address]
            calls = list(stream.pending.values())
            stream.pending.clear()
            for each in calls:
                self._lost(each, is_silent=False)

    def _heard(self, stream: _Stream, frame: partition_pb2.PartitionReplyFrame) -> None:
        stream.silence.heard(self._loop.time(), frame.frames_read if frame.HasField("frames_read") else None)
        stream.clock.heard(frame.clock_ms, time.monotonic())
        for mark in frame.stale_marks:
            self.on_stale_mark(mark)

    async def _write(self, stream: _Stream, frames: OpenedStream) -> None:
        while True:
            if not stream.frames:
                stream.wake.clear()
                await stream.wake.wait()
                await gather_arrivals()
                continue  # the sweep may have taken them away meanwhile
            frame = stream.frames.pop(0)
            frame.begun_ms = stream.clock.at(frame.begun_ms / 1000, time.monotonic())
            stream.silence.sent(self._loop.time())
            await frames.write(frame)

    async def _sweep_forever(self) -> None:
        """Takes back calls that got no answer in time: a stopped node answers nothing, and its stream lives. A node
        that is silent as well is passed over for a while."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self._loop.time()
            for stream in tuple(self._streams.values()):
                overdue = [request_id for request_id, call in stream.pending.items() if call.attempt_ends <= now]
                if stream.silence.is_silent(now) and any(
                    stream.pending[request_id].deadline > stream.pending[request_id].attempt_ends
                    for request_id in overdue
                ):
                    self._unreachable[stream.address] = now + HOLD_OFF_S
                lost = [stream.pending.pop(request_id) for request_id in overdue]
                if lost:
                    # What nobody waits for, and the node does not take, must not fill the memory.
                    stream.frames = [
                        frame
                        for frame in stream.frames
                        if any(request.id in stream.pending for request in frame.requests)
                    ]
                for call in lost:
                    self._lost(call, is_silent=True)
