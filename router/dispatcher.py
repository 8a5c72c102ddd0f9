"""Carries out request objects, whichever door they came through: finds the table, splits, routes, gathers.

Callback style: a request on a table that is known costs no task and no await.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
import os
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import grpc
import structlog
from statorpb import admin_pb2, tables_pb2

from router.batches import batch_get, batch_write
from router.item_reads import get_call
from router.item_writes import write_call
from router.partition_map_cache import MetadataClient, PartitionMapCache, Table, model_error
from router.ranges import query, scan
from router.requests.batch_get_item import BatchGetItemRequest
from router.requests.batch_write_item import BatchWriteItemRequest
from router.requests.delete_item import DeleteItemRequest
from router.requests.get_item import GetItemRequest
from router.requests.put_item import PutItemRequest
from router.requests.query import QueryRequest
from router.requests.scan import ScanRequest
from router.requests.stream_requests import StreamRequest
from router.requests.table_requests import DescribeEndpointsRequest, DescribeLimitsRequest
from router.requests.transact_get_items import TransactGetItemsRequest
from router.requests.transact_write_items import TransactWriteItemsRequest
from router.requests.update_item import UpdateItemRequest
from router.storage_client import StorageClient
from router.streams import Streams
from router.table_messages import TableRequest, message_of
from router.transact import Transactions
from server.model.errors import (
    InternalServerError,
    ResourceNotFoundError,
    StatorError,
)
from server.model.limits import ACCOUNT_CAPACITY_UNITS, TABLE_CAPACITY_UNITS

TOKEN_BYTES = 16

TABLE_SETTLES_S = 1.0
TABLE_POLL_S = 0.02
"""A table is active, or gone, a tenth of a second after that was asked for. DescribeTable waits for it: told that it is
being created or deleted, an AWS SDK's waiter looks again after 20 s."""

_INTERNAL_ERROR = "The request failed because of an internal error"

log = structlog.get_logger()

Done = Callable[[Any, StatorError | None], None]
ItemRequest = (
    PutItemRequest
    | GetItemRequest
    | UpdateItemRequest
    | DeleteItemRequest
    | BatchWriteItemRequest
    | BatchGetItemRequest
    | QueryRequest
    | ScanRequest
    | TransactWriteItemsRequest
    | TransactGetItemsRequest
)


_LIMITS = tables_pb2.DescribeLimitsResponse(
    account_max_read_capacity_units=ACCOUNT_CAPACITY_UNITS,
    account_max_write_capacity_units=ACCOUNT_CAPACITY_UNITS,
    table_max_read_capacity_units=TABLE_CAPACITY_UNITS,
    table_max_write_capacity_units=TABLE_CAPACITY_UNITS,
)


def _at_once(_: Any) -> bool:
    return True


def _is_settled(answer: tables_pb2.DescribeTableResponse) -> bool:
    return answer.table.status not in (tables_pb2.CREATING, tables_pb2.DELETING)


def write_token(seed: bytes) -> bytes:
    """The 16 bytes that name a write across retries, from what its client calls it."""
    return hashlib.blake2b(seed, digest_size=TOKEN_BYTES).digest()


class Dispatcher:
    """Carries out requests. Every `done(result, error)` is called exactly once, with one of the two."""

    def __init__(self, cache: PartitionMapCache, storage: StorageClient, metadata: MetadataClient) -> None:
        self._cache = cache
        self._storage = storage
        self._metadata = metadata
        self.streams = Streams(cache, storage, metadata)
        self.transactions = Transactions(cache, storage, metadata)
        self.http_address = ""  # of the HTTP door, as DescribeEndpoints tells it
        self._loop = asyncio.get_running_loop()
        self._token_prefix = os.urandom(8)
        self._token_counter = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    # Items

    def submit(
        self, request: ItemRequest, deadline: float, token_seed: bytes, done: Done, begun: float = math.inf
    ) -> None:
        """Carries out an operation on items. `deadline`: loop time in seconds; `token_seed`: what the client calls this
        write, so that a retry of its own is recognised (empty: nothing); `begun`: loop time at which it may have sent
        that first."""
        if isinstance(request, BatchWriteItemRequest | TransactWriteItemsRequest):
            names: Collection[str] = {write.table_name for write in request.writes}
        elif isinstance(request, BatchGetItemRequest | TransactGetItemsRequest):
            names = {read.table_name for read in request.reads}
        else:
            name = request.table_name
            if (table := self._cache.get(name)) is not None:
                if isinstance(request, QueryRequest | ScanRequest) and not table.can_read(request.index_name):
                    # It may have been made since the table was asked for.
                    fetching = self._fetch_then_submit(
                        (name,), request, deadline, token_seed, done, begun, is_known=True
                    )
                    self._spawn(fetching)
                    return
                self._carry_out(request, {name: table}, deadline, token_seed, done, begun)
                return
            names = (name,)
        tables: dict[str, Table] = {}
        for name in names:
            table = self._cache.get(name)
            if table is None:
                self._spawn(self._fetch_then_submit(names, request, deadline, token_seed, done, begun))
                return
            tables[name] = table
        self._carry_out(request, tables, deadline, token_seed, done, begun)

    async def _fetch_then_submit(
        self,
        names: Collection[str],
        request: ItemRequest,
        deadline: float,
        token_seed: bytes,
        done: Done,
        begun: float,
        *,
        is_known: bool = False,
    ) -> None:
        """`is_known`: what is known of the tables does not do."""
        tables: dict[str, Table] = {}
        try:
            for name in names:
                left_s = max(0.05, deadline - self._loop.time())
                table = None if is_known else self._cache.get(name)
                table = table or await self._cache.fetch(name, left_s, is_known=is_known)
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
        self._carry_out(request, tables, deadline, token_seed, done, begun)

    def _carry_out(
        self,
        request: ItemRequest,
        tables: dict[str, Table],
        deadline: float,
        token_seed: bytes,
        done: Done,
        begun: float,
    ) -> None:
        try:
            if isinstance(request, GetItemRequest):
                self._storage.submit(get_call(request, tables[request.table_name], deadline, done))
            elif isinstance(request, (PutItemRequest, UpdateItemRequest, DeleteItemRequest)):
                token = self._token(token_seed)
                self._storage.submit(write_call(request, tables[request.table_name], deadline, token, done, begun))
            elif isinstance(request, BatchWriteItemRequest):

                def token_of(name: bytes) -> bytes:
                    return self._token(token_seed + b"|" + name if token_seed else b"")

                batch_write(self._storage, request, tables, deadline, token_of, done, begun)
            elif isinstance(request, BatchGetItemRequest):
                batch_get(self._storage, request, tables, deadline, done)
            elif isinstance(request, TransactWriteItemsRequest):
                self.transactions.write(request, tables, deadline, token_seed, done, begun)
            elif isinstance(request, TransactGetItemsRequest):
                self.transactions.read(request, tables, deadline, done)
            elif isinstance(request, QueryRequest):
                query(self._storage, request, tables[request.table_name], deadline, done)
            else:
                scan(self._storage, request, tables[request.table_name], deadline, done)
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

    # Tables and cluster

    def submit_tables(self, request: TableRequest, deadline: float, done: Done) -> None:
        """Carries out an operation on tables; the result is the public message that answers it, or an address."""
        if isinstance(request, DescribeLimitsRequest):
            done(_LIMITS, None)
            return
        if isinstance(request, DescribeEndpointsRequest):
            done(self.http_address, None)
            return
        method, message = message_of(request)
        is_settled = _is_settled if method == "DescribeTable" else _at_once
        self._spawn(self._call_metadata(method, message, deadline, done, is_settled))

    def describe_cluster(self, deadline: float, done: Done) -> None:
        """Asks the metadata service what the cluster looks like."""
        self._spawn(self._call_metadata("DescribeCluster", admin_pb2.DescribeClusterRequest(), deadline, done))

    def administer(self, method: str, message: Any, deadline: float, done: Done) -> None:
        """Passes a call of stator.v1.Admin on to the metadata service."""
        self._spawn(self._call_metadata(method, message, deadline, done))

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

        async def answer() -> Any:
            while True:
                result = await self._metadata.ask(method, message, deadline)
                if is_settled(result) or self._loop.time() >= settled_by:
                    return result
                await asyncio.sleep(TABLE_POLL_S)

        await self._settle(answer(), method, done)

    # Streams

    def submit_streams(self, request: StreamRequest, deadline: float, done: Done) -> None:
        """Carries out an operation on streams; the result is the public message that answers it, or a page."""
        carrying_out = self.streams.carry_out(request, deadline)
        self._spawn(self._settle(carrying_out, type(request).__name__, done))

    async def _settle(self, answer: Awaitable[Any], what: str, done: Done) -> None:
        try:
            result = await answer
        except StatorError as error:
            done(None, error)
        except grpc.aio.AioRpcError as error:
            done(None, model_error(error))
        except Exception:
            log.exception("request failed", request=what)
            done(None, InternalServerError(_INTERNAL_ERROR))
        else:
            done(result, None)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
