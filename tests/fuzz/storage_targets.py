"""Targets: what comes to a storage node, from whoever speaks its protocol, and from clients through a router."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from statorpb import cluster_pb2, partition_pb2, tables_pb2

from router.dispatcher import Dispatcher
from router.http_door import _parse
from router.http_json import ITEM_OPERATIONS
from router.partition_map_cache import PartitionMapCache
from router.storage_client import GET, SCAN, PartitionCall, _fill_scan, refusal
from server.expressions.codec import encode
from server.expressions.legacy import attributes_to_get
from server.model.errors import InternalServerError, StatorError
from server.model.item import Item, check_item
from server.model.key_encoding import encode_position, hash_key, prefix
from server.model.limits import ITEM_BYTES_MAX
from server.model.table import KeyAttribute, KeySchema
from server.paxos.ballot import Ballot
from server.runtime.replica_host import Outcome, OutcomeKind
from server.wire import item_from_bytes, item_to_bytes
from storage_node.replica import PartitionReplica
from storage_node.store import Store
from storage_node.stream_log import WantedStream
from tests.fuzz.door_targets import check_error
from tests.fuzz.expression_targets import ITEM, VALUES, tree_seeds
from tests.fuzz.seeds import bodies
from tests.router.fakes import TABLE, FakeMetadata, FakeStorage, route

PARTITION = 10
NUMBER = 1
STREAM = 60
DAY_MS = 86_400_000
MIB = 1024 * 1024
STEPS_MAX = 1000
"""Slices of one request."""

_SCHEMA = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "N"))
_INDEXES = (("by-a", "a", "S", tables_pb2.Projection.ALL), ("by-n", "n", "N", tables_pb2.Projection.KEYS_ONLY))
_DONE = (partition_pb2.OK, partition_pb2.NOT_FOUND)
_REFUSED = (
    partition_pb2.CONDITION_FAILED,
    partition_pb2.INVALID_UPDATE,
    partition_pb2.COLLECTION_FULL,
    partition_pb2.RESULT_FORGOTTEN,
)


class _Host:
    """A group of one that commits at once."""

    node_id = 1

    def __init__(self) -> None:
        self.replica: PartitionReplica | None = None
        self._slots = itertools.count(1)

    def is_serving_leader(self, _: int) -> bool:
        return True

    def is_fresh(self, _: int) -> bool:
        return True

    def leader_of(self, _: int) -> tuple[int, int]:
        return 1, 1

    def leader_ballot(self, _: int) -> Ballot:
        return Ballot(1, 1)

    def hand_over(self, _: int) -> None:
        pass

    def propose(self, _: int, payload: bytes, done: Callable[[Outcome], None]) -> None:
        assert self.replica is not None
        self.replica.apply(next(self._slots), payload)
        done(Outcome(OutcomeKind.COMMITTED))


class Partition:
    """One partition of a table with a sort key and two local indexes, on a store in the memory of this process. It is
    made anew when much has been written, so that what is found does not hang on a long past."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory, map_bytes=4 * MIB, memtable_bytes=64 * MIB)
        self.store.open()
        host: Any = _Host()
        descriptor = cluster_pb2.PartitionDescriptor(partition_id=PARTITION, table_number=NUMBER, table_name=TABLE)
        descriptor.partition_key.name, descriptor.partition_key.type = "pk", "S"
        descriptor.sort_key.name, descriptor.sort_key.type = "sk", "N"
        add_indexes(descriptor)
        self.rotten: list[str] = []
        self.replica = PartitionReplica(
            descriptor, self.store, host, lambda work, done: None, lambda _, sentence: self.rotten.append(sentence)
        )
        host.replica = self.replica
        self._open_streams()

    def _open_streams(self) -> None:
        """One that is closed, and of which all was trimmed, and one that is open: what is written is recorded."""
        streams, view_type = self.replica.streams, "NEW_AND_OLD_IMAGES"
        item: Item = {"pk": {"S": "recorded"}, "sk": {"N": "1"}}
        key = prefix(NUMBER) + encode_position(_SCHEMA, item)
        for wanted in (
            WantedStream(STREAM, view_type, is_closed=False, retention_ms=0),
            WantedStream(STREAM, view_type, is_closed=True, retention_ms=0),
            WantedStream(STREAM + 1, view_type, is_closed=False, retention_ms=DAY_MS),
        ):
            streams.want([wanted], STREAM)
            streams.tend()
            for operation in (partition_pb2.PUT, partition_pb2.DELETE):
                write = partition_pb2.PartitionRequest(operation=operation, key=key, token=next(_tokens))
                write.item = item_to_bytes(item) if operation == partition_pb2.PUT else b""
                assert self.ask(write).status == partition_pb2.OK
            streams._trim_from_ms = 0
            streams.tend()
        assert [each.trimmed_sequence > 0 for each in streams.streams.values()] == [True, False]

    def ask(self, request: partition_pb2.PartitionRequest) -> partition_pb2.PartitionReply:
        """Its only answer: at once, but to who waits for a record of a stream, and that has an end."""
        replies: list[partition_pb2.PartitionReply] = []

        def reply(
            request_id: int,
            status: partition_pb2.PartitionStatusCode.ValueType,
            item: bytes = b"",
            leader_node_id: int = 0,
            message: str = "",
            extra_bytes: int = 0,
        ) -> partition_pb2.PartitionReply:
            replies.append(partition_pb2.PartitionReply(id=request_id, status=status, item=item, message=message))
            return replies[-1]

        self.replica.serve(request, reply, False)
        if not replies:
            self.replica.streams.expire(math.inf)
        (answer,) = replies
        assert not self.rotten, self.rotten
        return answer


def add_indexes(described: Any) -> None:
    """To a route, or to a partition's description."""
    for number, (name, attribute, kind, projection) in enumerate(_INDEXES, 1):
        index = described.local_indexes.add(number=number, name=name)
        index.sort_key.name, index.sort_key.type = attribute, kind
        index.projection.type = projection


@cache
def _directory() -> Path:
    directory = tempfile.mkdtemp(prefix="stator-fuzz-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


_numbers = itertools.count()
_tokens = (number.to_bytes(16, "little") for number in itertools.count(2**100))
_partition: list[Partition] = []


def partition() -> Partition:
    """The one that is in use."""
    if _partition and _partition[0].store.memtable_bytes > 8 * MIB:
        _partition.pop().store.close()
    if not _partition:
        directory = _directory() / str(next(_numbers))
        directory.mkdir()
        _partition.append(Partition(directory))
    return _partition[0]


# A storage node's protocol


def _is_item(data: bytes) -> bool:
    """Whether it is one, as routers send them: what they have checked is not checked again."""
    try:
        item = item_from_bytes(data)
        return check_item(item, bytes_max=16 * ITEM_BYTES_MAX)[0] == item
    except (DecodeError, StatorError):
        return False


def partitions(data: bytes) -> None:
    """A request to a partition: one answer."""
    try:
        request = partition_pb2.PartitionRequest.FromString(data)
    except DecodeError:
        return
    items = (request.item, request.write.condition_values, request.write.update_values, request.scan.filter_values)
    if not all(map(_is_item, items)):
        return
    if request.operation in (partition_pb2.PUT, partition_pb2.UPDATE):
        # A key that is another item's is nothing that a router sends; it can be told from the item alone.
        try:
            item = item_from_bytes(request.item)
            request.key = prefix(NUMBER) + encode_position(_SCHEMA, item)
            for _, attribute, kind, _ in _INDEXES:
                if kind not in item.get(attribute, {kind: None}):
                    return
        except StatorError:
            return
    if request.operation == partition_pb2.READ_STREAM:
        request.key = prefix(NUMBER)
        if request.stream.number % 2:
            request.stream.number = STREAM + request.stream.number % 4 // 2
    answer = partition().ask(request)
    assert answer.id == request.id
    if request.operation == partition_pb2.READ_STREAM:
        check_stream(request.stream, answer)
    answer.SerializeToString()


def check_stream(asked: partition_pb2.StreamDetails, answer: partition_pb2.PartitionReply) -> None:
    """What may be said of a stream, whatever was asked."""
    if answer.status != partition_pb2.OK:
        assert answer.status in (partition_pb2.NO_STREAM, partition_pb2.TRIMMED)
        assert answer.status != partition_pb2.TRIMMED or asked.start == partition_pb2.StreamDetails.AFTER
        return
    told = [record.sequence for record in answer.stream.records]
    assert told == sorted(set(told))
    assert len(told) <= asked.records_max
    assert not told or answer.stream.sequence == told[-1]
    if asked.start == partition_pb2.StreamDetails.AFTER:
        assert all(sequence > asked.sequence for sequence in told)


def stream_seeds() -> Iterator[partition_pb2.PartitionRequest]:
    """Numbers are odd: what fuzzing makes of them is a stream that there is more often than not."""
    for number, start in itertools.product((1, 3, 2), partition_pb2.StreamDetails.Start.values()):
        request = partition_pb2.PartitionRequest(id=6, partition_id=PARTITION, operation=partition_pb2.READ_STREAM)
        request.stream.number, request.stream.start, request.stream.records_max = number, start, 10
        yield request
        request.stream.sequence, request.stream.time_ms, request.stream.wait_ms = 2**64 - 1, 2**63 - 1, 1_000
        yield request
        request.stream.sequence, request.stream.time_ms, request.stream.records_max = 3_000, -(2**63), 2**32 - 1
        yield request
        request.stream.records_max, request.stream.bytes_max, request.stream.wait_ms = 0, 1, 2**32 - 1
        yield request


def partition_seeds() -> Iterator[bytes]:
    item: Item = {**ITEM, "sk": {"N": "1"}, "a": {"S": "x"}, "n": {"N": "5"}}
    key = prefix(NUMBER) + hash_key("S", "a") + b"\x81\x00\xc8\x0b"
    values = item_to_bytes(VALUES)
    tokens = (number.to_bytes(16, "big") for number in itertools.count(1))
    request = partition_pb2.PartitionRequest(id=1, partition_id=PARTITION, key=key, consistent=True)
    request.operation = partition_pb2.GET
    yield request.SerializeToString()
    request.read.projection = encode(attributes_to_get(["a", "pk"]).tree)
    yield request.SerializeToString()
    for tree in itertools.islice(tree_seeds(), 0, None, 4):
        write = partition_pb2.PartitionRequest(
            id=2, partition_id=PARTITION, item=item_to_bytes(item), token=next(tokens)
        )
        write.operation = partition_pb2.UPDATE if b'"U"' in tree else partition_pb2.PUT
        if b'"U"' in tree:
            write.write.update, write.write.update_values = tree, values
            write.write.returned = partition_pb2.UPDATED_NEW
        else:
            write.write.condition, write.write.condition_values = tree, values
            write.write.returned, write.write.measured = partition_pb2.OLD, True
        yield write.SerializeToString()
        scan = partition_pb2.PartitionRequest(id=3, partition_id=PARTITION, key=prefix(NUMBER), operation=SCAN)
        scan.scan.end_key = prefix(NUMBER, 1)
        if b'"P"' in tree:
            scan.scan.projection = tree
        else:
            scan.scan.filter, scan.scan.filter_values = tree, values
        yield scan.SerializeToString()
    scan = partition_pb2.PartitionRequest(id=4, partition_id=PARTITION, key=prefix(NUMBER, 2), operation=SCAN)
    scan.scan.end_key, scan.scan.whole_items, scan.scan.backwards = prefix(NUMBER, 3), True, True
    yield scan.SerializeToString()
    delete = partition_pb2.PartitionRequest(id=5, partition_id=PARTITION, key=key, token=next(tokens))
    delete.operation = partition_pb2.DELETE
    yield delete.SerializeToString()
    yield from (request.SerializeToString() for request in stream_seeds())


# A whole database


class _Database:
    """A dispatcher whose calls are answered by the partition."""

    def __init__(self) -> None:
        described = route(has_sort_key=True)
        described.sort_key.type = "N"
        add_indexes(described)
        metadata = FakeMetadata(described)
        cache_ = PartitionMapCache(metadata)
        cache_._take(described, 1)
        self.storage = FakeStorage(self._answer)
        self.dispatcher = Dispatcher(cache_, self.storage, metadata)
        self.steps = 0

    async def carry_out(self, request: Any) -> Any:
        """The result of a request: at once, but where an index is named that the table has not got, which is asked for.
        Raises StatorError."""
        answered: asyncio.Future[tuple[Any, StatorError | None]] = asyncio.get_running_loop().create_future()
        self.dispatcher.submit(request, 1e18, b"", lambda result, error: answered.set_result((result, error)))
        result, error = await answered
        if error is not None:
            raise error
        return result

    def _answer(self, call: PartitionCall) -> partition_pb2.PartitionReply | StatorError:
        self.steps += 1
        assert self.steps <= STEPS_MAX, "a request that goes on and on"
        request = partition_pb2.PartitionRequest(partition_id=PARTITION, operation=call.operation)
        request.key = prefix(NUMBER) + call.position
        request.consistent = call.is_consistent
        if call.operation == SCAN:
            _fill_scan(request, call)
        elif call.operation == GET:
            if call.details is not None:
                request.read.CopyFrom(call.details)  # type: ignore[arg-type]
        else:
            request.item, request.token = call.item, call.token
            if call.details is not None:
                request.write.CopyFrom(call.details)  # type: ignore[arg-type]
        reply = partition().ask(partition_pb2.PartitionRequest.FromString(request.SerializeToString()))
        if reply.status in _DONE:
            return reply
        assert reply.status in _REFUSED, reply
        return refusal(reply)


@cache
def _database() -> tuple[asyncio.AbstractEventLoop, _Database]:
    loop = asyncio.new_event_loop()

    async def make() -> _Database:
        return _Database()

    return loop, loop.run_until_complete(make())


_OPERATIONS = list(ITEM_OPERATIONS.values())


def databases(data: bytes) -> None:
    """A body of an operation on items, carried out: one answer, and one that can be written. Bodies follow each other
    behind zero bytes."""
    loop, database = _database()
    for body in data.split(b"\0"):
        operation = _OPERATIONS[body[0] % len(_OPERATIONS) if body else 0]
        database.steps = 0
        database.storage.calls.clear()
        try:
            request = operation.read(_parse(body[1:]))
            if _names(request) == {TABLE}:
                operation.write(loop.run_until_complete(database.carry_out(request)))
        except InternalServerError as error:
            assert "not known any more" in error.message, error
        except StatorError as error:
            check_error(error)


def _names(request: Any) -> set[str]:
    several = (*getattr(request, "reads", ()), *getattr(request, "writes", ())) or (request,)
    return {each.table_name for each in several}


def database_seeds() -> Iterator[bytes]:
    numbers = {operation.name: number for number, operation in enumerate(_OPERATIONS)}
    put = b'{"TableName":"music","Item":{"pk":{"S":"a"},"sk":{"N":"1"},"a":{"S":"x"},"n":{"N":"5"}}}'
    key = b'{"pk":{"S":"a"},"sk":{"N":"1"}}'
    for operation, body in bodies():
        if operation in numbers:
            whole = body.replace(b'{"pk":{"S":"a"}}', key).replace(b'{"pk":{"S":"music"}}', key)
            yield bytes((numbers["PutItem"] + 8,)) + put + b"\0" + bytes((numbers[operation] + 8,)) + whole
    for body in (
        b'{"TableName":"music","Key":%b,"UpdateExpression":"SET n = n + :n, a = :a","ReturnValues":"ALL_NEW",'
        b'"ExpressionAttributeValues":{":n":{"N":"1"},":a":{"S":"y"}},"ReturnConsumedCapacity":"INDEXES"}' % key,
        b'{"TableName":"music","Key":%b,"UpdateExpression":"REMOVE n","ReturnItemCollectionMetrics":"SIZE"}' % key,
    ):
        yield bytes((numbers["UpdateItem"] + 8,)) + body
    for query in (
        b'"IndexName":"by-n","Select":"ALL_ATTRIBUTES"',
        b'"IndexName":"by-a","ScanIndexForward":false,"Limit":1',
        b'"ExclusiveStartKey":%b,"ConsistentRead":true' % key,
    ):
        yield bytes((numbers["Query"] + 8,)) + (
            b'{"TableName":"music","KeyConditionExpression":"pk=:p","ExpressionAttributeValues":{":p":{"S":"a"}},%b}'
            % query
        )
