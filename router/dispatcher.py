"""Carries out request objects, whichever door they came through: finds the table, splits, routes, gathers.

Callback style: a request on a table that is known costs no task and no await.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import structlog
from statorpb import admin_pb2, partition_pb2, tables_pb2

from router.partition_map_cache import MetadataClient, PartitionMapCache, Table, model_error
from router.requests.batch_get_item import BatchGetItemRequest
from router.requests.batch_write_item import BatchWriteItemRequest, Write, check_distinct
from router.requests.create_table import CreateTableRequest
from router.requests.delete_item import DeleteItemRequest
from router.requests.get_item import GetItemRequest
from router.requests.options import refuse_unsupported
from router.requests.put_item import PutItemRequest
from router.requests.scan import ScanRequest
from router.requests.table_requests import DeleteTableRequest, DescribeTableRequest, ListTablesRequest
from router.storage_client import DELETE, GET, PUT, SCAN, PartitionCall, StorageClient
from server.model.errors import (
    InternalServerError,
    ResourceNotFoundError,
    StatorError,
)
from server.model.item import Item
from server.model.key_encoding import encode_position
from server.model.limits import PAGE_BYTES_MAX
from server.model.table import KeySchema, check_key_only
from server.wire import item_from_bytes, item_to_bytes

TOKEN_BYTES = 16

METADATA_PATIENCE_S = 6.0
"""How long an operation on tables waits for the metadata service; longer than it takes to elect a new leader."""

TABLE_SETTLES_S = 1.0
TABLE_POLL_S = 0.02
"""A table is active, or gone, a tenth of a second after that was asked for. DescribeTable waits for it: told that it is
being created or deleted, an AWS SDK's waiter looks again after 20 s."""

_INTERNAL_ERROR = "The request failed because of an internal error"

log = structlog.get_logger()

Done = Callable[[Any, StatorError | None], None]
ItemRequest = (
    PutItemRequest | GetItemRequest | DeleteItemRequest | BatchWriteItemRequest | BatchGetItemRequest | ScanRequest
)


@dataclass(frozen=True, slots=True)
class Page:
    """What Scan returns: items in canonical form, and the key to go on after (None: that was all)."""

    items: list[bytes]
    last_key: Item | None


@dataclass(frozen=True, slots=True)
class BatchRead:
    """What BatchGetItem returns: the tables asked, (table name, item in canonical form) of those found, and the reads
    not done."""

    table_names: list[str]
    found: list[tuple[str, bytes]]
    unprocessed: list[GetItemRequest]


def _at_once(_: Any) -> bool:
    return True


def _invoke(method: str, message: Any, timeout_s: float, stub: Any) -> Any:
    return getattr(stub, method)(message, timeout=timeout_s)


def _is_settled(answer: tables_pb2.DescribeTableResponse) -> bool:
    return answer.table.status not in (tables_pb2.CREATING, tables_pb2.DELETING)


def write_token(seed: bytes) -> bytes:
    """The 16 bytes that name a write across retries, from what its client calls it."""
    return hashlib.blake2b(seed, digest_size=TOKEN_BYTES).digest()


@dataclass(slots=True)
class _Batch:
    """The members of a batch still to come."""

    left: int
    errors: list[tuple[int, StatorError]] = field(default_factory=list)


class Dispatcher:
    """Carries out requests. Every `done(result, error)` is called exactly once, with one of the two."""

    def __init__(self, cache: PartitionMapCache, storage: StorageClient, metadata: MetadataClient) -> None:
        self._cache = cache
        self._storage = storage
        self._metadata = metadata
        self._loop = asyncio.get_running_loop()
        self._token_prefix = os.urandom(8)
        self._token_counter = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    # Items

    def submit(self, request: ItemRequest, deadline: float, token_seed: bytes, done: Done) -> None:
        """Carries out an operation on items. `deadline`: loop time in seconds; `token_seed`: what the client calls this
        write, so that a retry of its own is recognised (empty: nothing)."""
        if isinstance(request, (GetItemRequest, PutItemRequest, DeleteItemRequest, ScanRequest)):
            names: Collection[str] = (request.table_name,)
        elif isinstance(request, BatchWriteItemRequest):
            names = {write.table_name for write in request.writes}
        else:
            names = {read.table_name for read in request.reads}
        tables: dict[str, Table] = {}
        for name in names:
            table = self._cache.get(name)
            if table is None:
                self._spawn(self._fetch_then_submit(names, request, deadline, token_seed, done))
                return
            tables[name] = table
        self._carry_out(request, tables, deadline, token_seed, done)

    async def _fetch_then_submit(
        self,
        names: Collection[str],
        request: ItemRequest,
        deadline: float,
        token_seed: bytes,
        done: Done,
    ) -> None:
        tables: dict[str, Table] = {}
        try:
            for name in names:
                table = self._cache.get(name) or await self._cache.fetch(name, max(0.05, deadline - self._loop.time()))
                if table is None or not table.is_active:
                    raise ResourceNotFoundError("Requested resource not found")
                tables[name] = table
        except StatorError as error:
            done(None, error)
            return
        except grpc.aio.AioRpcError as error:
            done(None, model_error(error))
            return
        except Exception:
            log.exception("looking up a table failed", names=sorted(names))
            done(None, InternalServerError(_INTERNAL_ERROR))
            return
        self._carry_out(request, tables, deadline, token_seed, done)

    def _carry_out(
        self, request: ItemRequest, tables: dict[str, Table], deadline: float, token_seed: bytes, done: Done
    ) -> None:
        try:
            refuse_unsupported(request)
            if isinstance(request, GetItemRequest):
                self._get(request, tables[request.table_name], deadline, done)
            elif isinstance(request, (PutItemRequest, DeleteItemRequest)):
                self._write(request, tables[request.table_name], deadline, self._token(token_seed), done)
            elif isinstance(request, BatchWriteItemRequest):
                self._batch_write(request, tables, deadline, token_seed, done)
            elif isinstance(request, BatchGetItemRequest):
                self._batch_get(request, tables, deadline, done)
            else:
                self._scan(request, tables[request.table_name], deadline, done)
        except StatorError as error:
            done(None, error)
        except Exception:
            # A bug costs one request, not the stream that it came on, nor an answer.
            log.exception("request failed", request=type(request).__name__)
            done(None, InternalServerError(_INTERNAL_ERROR))

    def _token(self, seed: bytes) -> bytes:
        if seed:
            return write_token(seed)
        return self._token_prefix + next(self._token_counter).to_bytes(8, "big")

    def _get(self, request: GetItemRequest, table: Table, deadline: float, done: Done) -> None:
        check_key_only(request.key, table.schema)
        position = encode_position(table.schema, request.key)

        def answered(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            done(None if reply is None else reply.item or None, error)

        self._storage.submit(PartitionCall(table, GET, position, deadline, answered, request.is_consistent))

    def _write(self, request: Write, table: Table, deadline: float, token: bytes, done: Done) -> None:
        def answered(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            done(None, error)

        if isinstance(request, PutItemRequest):
            position = encode_position(table.schema, request.item)
            call = PartitionCall(table, PUT, position, deadline, answered, True, item_to_bytes(request.item), token)
        else:
            check_key_only(request.key, table.schema)
            position = encode_position(table.schema, request.key)
            call = PartitionCall(table, DELETE, position, deadline, answered, True, b"", token)
        self._storage.submit(call)

    def _batch_write(
        self,
        request: BatchWriteItemRequest,
        tables: dict[str, Table],
        deadline: float,
        token_seed: bytes,
        done: Done,
    ) -> None:
        """Every write by itself. Those that were refused for now come back as unprocessed; if none was carried out, the
        first refusal is the answer."""
        keys: list[tuple[str, bytes]] = []
        for write in request.writes:
            schema = tables[write.table_name].schema
            key = write.item if isinstance(write, PutItemRequest) else write.key
            if isinstance(write, DeleteItemRequest):
                check_key_only(key, schema)
            keys.append((write.table_name, encode_position(schema, key)))
        check_distinct(keys)
        batch = _Batch(len(request.writes))

        def finish(index: int, error: StatorError | None) -> None:
            batch.left -= 1
            if error is not None:
                batch.errors.append((index, error))
            if batch.left:
                return
            fatal = next((each for _, each in batch.errors if not each.is_retriable), None)
            if fatal is not None or len(batch.errors) == len(request.writes):
                done(None, fatal or batch.errors[0][1])
            else:
                done([request.writes[failed] for failed, _ in sorted(batch.errors, key=lambda pair: pair[0])], None)

        for index, write in enumerate(request.writes):
            # A batch sent again may hold fewer members in other places: each is named by its key.
            token = self._token(token_seed + b"|" + repr(keys[index]).encode() if token_seed else b"")
            self._write(write, tables[write.table_name], deadline, token, _write_done(finish, index))

    def _batch_get(self, request: BatchGetItemRequest, tables: dict[str, Table], deadline: float, done: Done) -> None:
        keys: list[tuple[str, bytes]] = []
        for read in request.reads:
            schema = tables[read.table_name].schema
            check_key_only(read.key, schema)
            keys.append((read.table_name, encode_position(schema, read.key)))
        check_distinct(keys)
        batch = _Batch(len(request.reads))
        found: list[tuple[str, bytes]] = []
        beyond: list[int] = []
        size = 0

        def finish(index: int, item: bytes | None, error: StatorError | None) -> None:
            nonlocal size
            batch.left -= 1
            if error is not None:
                batch.errors.append((index, error))
            elif item is not None:
                size += len(item)
                if found and size > 16 * PAGE_BYTES_MAX - PAGE_BYTES_MAX:
                    beyond.append(index)  # 16 MB a response: the rest is to be asked for again
                else:
                    found.append((request.reads[index].table_name, item))
            if batch.left:
                return
            fatal = next((each for _, each in batch.errors if not each.is_retriable), None)
            if fatal is not None or len(batch.errors) == len(request.reads):
                done(None, fatal or batch.errors[0][1])
            else:
                unprocessed = sorted([index for index, _ in batch.errors] + beyond)
                names = list(dict.fromkeys(read.table_name for read in request.reads))
                done(BatchRead(names, found, [request.reads[index] for index in unprocessed]), None)

        for index, read in enumerate(request.reads):
            self._get(read, tables[read.table_name], deadline, partial(finish, index))

    def _scan(self, request: ScanRequest, table: Table, deadline: float, done: Done) -> None:
        position = b""
        if request.start_key is not None:
            check_key_only(request.start_key, table.schema)
            position = encode_position(table.schema, request.start_key) + b"\0"
        items: list[bytes] = []
        size = 0

        def ask(start: bytes) -> None:
            limit = request.limit - len(items) if request.limit else 0
            self._storage.submit(
                PartitionCall(
                    table,
                    SCAN,
                    start,
                    deadline,
                    lambda reply, error: answered(start, reply, error),
                    is_consistent=request.is_consistent,
                    limit=limit,
                    bytes_max=PAGE_BYTES_MAX - size,
                )
            )

        def answered(start: bytes, reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            nonlocal size
            if reply is None:
                done(None, error)
                return
            for scanned in reply.scanned:
                items.append(scanned.item)
                size += len(scanned.item)
            index = table.map.index_of(start) + 1
            has_more = index < len(table.map.starts)
            is_full = size >= PAGE_BYTES_MAX or (request.limit and len(items) >= request.limit)
            if reply.scan_complete and has_more and not is_full:
                ask(table.map.starts[index])
            elif reply.scan_complete and not has_more and not (request.limit and len(items) >= request.limit):
                done(Page(items, None), None)
            else:
                done(Page(items, key_of(item_from_bytes(items[-1]), table.schema) if items else None), None)

        ask(position)

    # Tables and cluster

    def submit_tables(
        self,
        request: CreateTableRequest | DescribeTableRequest | DeleteTableRequest | ListTablesRequest,
        deadline: float,
        done: Done,
    ) -> None:
        """Carries out an operation on tables; the result is the metadata service's message."""
        if isinstance(request, CreateTableRequest):
            message: Any = create_table_message(request)
            method = "CreateTable"
        elif isinstance(request, DescribeTableRequest):
            message, method = tables_pb2.DescribeTableRequest(table_name=request.table_name), "DescribeTable"
        elif isinstance(request, DeleteTableRequest):
            message, method = tables_pb2.DeleteTableRequest(table_name=request.table_name), "DeleteTable"
        else:
            message = tables_pb2.ListTablesRequest(limit=request.limit, exclusive_start_table_name=request.start_name)
            method = "ListTables"
        is_settled = _is_settled if method == "DescribeTable" else _at_once
        self._spawn(self._call_metadata(method, message, deadline, done, is_settled))

    def describe_cluster(self, deadline: float, done: Done) -> None:
        """Asks the metadata service what the cluster looks like."""
        self._spawn(self._call_metadata("DescribeCluster", admin_pb2.DescribeClusterRequest(), deadline, done))

    async def _call_metadata(
        self,
        method: str,
        message: Any,
        deadline: float,
        done: Done,
        is_settled: Callable[[Any], bool] = _at_once,
    ) -> None:
        """Asks again for as long as the answer `is_settled` not, but not for longer than TABLE_SETTLES_S."""
        begun = self._loop.time()
        settled_by = begun + min(TABLE_SETTLES_S, (deadline - begun) / 2)
        try:
            result: Any
            while True:
                # Some of the caller's time is kept back, to tell it clearly that nobody answers.
                patience_s = max(0.05, min(METADATA_PATIENCE_S, (deadline - self._loop.time()) * 0.75))
                invoke = partial(_invoke, method, message, patience_s)
                result = await self._metadata.call(invoke, patience_s)
                if is_settled(result) or self._loop.time() >= settled_by:
                    break
                await asyncio.sleep(TABLE_POLL_S)
        except StatorError as error:
            done(None, error)
        except grpc.aio.AioRpcError as error:
            done(None, model_error(error))
        except Exception:
            log.exception("a call to the metadata service failed", method=method)
            done(None, InternalServerError(_INTERNAL_ERROR))
        else:
            done(result, None)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _write_done(finish: Callable[[int, StatorError | None], None], index: int) -> Done:
    """What a batch's write is answered with: only whether it failed."""
    return lambda _, error: finish(index, error)


def key_of(item: Item, schema: KeySchema) -> Item:
    """An item's key."""
    return {attribute.name: item[attribute.name] for attribute in schema.attributes}


def create_table_message(request: CreateTableRequest) -> tables_pb2.CreateTableRequest:
    """The metadata service's message for a CreateTable request."""
    message = tables_pb2.CreateTableRequest(table_name=request.table_name, partitions=request.partitions)
    schema = request.key_schema
    message.key_schema.partition_key.name = schema.partition_key.name
    message.key_schema.partition_key.type = tables_pb2.AttributeType.Value(schema.partition_key.type)
    if schema.sort_key is not None:
        message.key_schema.sort_key.name = schema.sort_key.name
        message.key_schema.sort_key.type = tables_pb2.AttributeType.Value(schema.sort_key.type)
    if request.read_units:
        message.provisioned.read_capacity_units = request.read_units
        message.provisioned.write_capacity_units = request.write_units
    return message
