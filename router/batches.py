"""BatchGetItem and BatchWriteItem: their members go their own ways, and what could not be done now comes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from router.item_reads import get_call
from router.item_writes import sum_capacity, write_call
from router.partition_map_cache import Table
from router.requests.batch_get_item import BatchGetItemRequest
from router.requests.batch_write_item import BatchWriteItemRequest, check_distinct
from router.requests.delete_item import DeleteItemRequest
from router.requests.options import WriteOptions
from router.requests.put_item import PutItemRequest
from router.results import BatchRead, BatchWritten, Capacity, CollectionMetrics, ReadResult, WriteResult
from router.storage_client import StorageClient
from server.model.errors import StatorError, TransactionConflictError
from server.model.key_encoding import encode_position
from server.model.limits import PAGE_BYTES_MAX
from server.model.table import check_key_in, check_key_only

RESPONSE_BYTES_MAX = 16 * PAGE_BYTES_MAX

Done = Callable[[Any, StatorError | None], None]


@dataclass(slots=True)
class _Batch:
    """The members of a batch still to come, and what those that came had to say."""

    left: int
    errors: list[tuple[int, StatorError]] = field(default_factory=list)
    capacities: list[Capacity] = field(default_factory=list)

    def refusal(self, count: int, is_named: bool = False) -> StatorError | None:
        """The error that the whole batch ends with: one that no retry mends, or the first where nothing was done. Where
        the client has named it (`is_named`), also one of a write that may have been carried out: what comes back as
        unprocessed gets another name, and that write must be known by its own."""
        errors = [error for _, error in self.errors]
        found = next((error for error in errors if not error.is_retriable), None)
        if found is None and is_named:
            found = next((error for error in errors if not error.is_not_carried_out), None)
        if found is None and len(errors) == count:
            # Where a transaction is under way on each of the items, it is not the batch that is refused.
            found = next((error for error in errors if not isinstance(error, TransactionConflictError)), None)
        if found is not None:
            found.is_not_carried_out = len(errors) == count and all(error.is_not_carried_out for error in errors)
        return found


def batch_write(
    storage: StorageClient,
    request: BatchWriteItemRequest,
    tables: Mapping[str, Table],
    deadline: float,
    token_of: Callable[[bytes], bytes],
    done: Done,
    begun: float = math.inf,
) -> None:
    """Every write by itself. Those that were refused for now come back as unprocessed; if none was carried out, the
    first refusal is the answer. `token_of` makes a write's token of the part of the batch that names it."""
    keys: list[tuple[str, bytes]] = []
    for write in request.writes:
        schema = tables[write.table_name].schema
        if isinstance(write, DeleteItemRequest):
            check_key_only(write.key, schema)
        else:
            check_key_in(write.item, schema)
        keys.append((write.table_name, encode_position(schema, _key(write))))
    check_distinct(keys)
    count = len(request.writes)
    batch = _Batch(count)
    metrics: dict[bytes, CollectionMetrics] = {}
    has_options = request.capacity != "NONE" or request.metrics
    options = WriteOptions(capacity=request.capacity, metrics=request.metrics)

    def finish(index: int, result: WriteResult | None, error: StatorError | None) -> None:
        if not batch.left:  # what was made of all answers has failed: a bug, of which the client is told
            done(None, error)
            return
        batch.left -= 1
        if error is not None:
            batch.errors.append((index, error))
        elif result is not None:
            if result.capacity is not None:
                batch.capacities.append(result.capacity)
            if result.metrics is not None:
                metrics[repr((result.metrics.table_name, result.metrics.key)).encode()] = result.metrics
        if batch.left:
            return
        refusal = batch.refusal(count, is_named=begun != math.inf)
        if refusal is not None:
            done(None, refusal)
            return
        unprocessed = [request.writes[failed] for failed, _ in sorted(batch.errors, key=lambda pair: pair[0])]
        capacity = sum_capacity(batch.capacities) if request.capacity != "NONE" else None
        done(BatchWritten(unprocessed, capacity, list(metrics.values()) if request.metrics else None), None)

    calls = []
    for index, write in enumerate(request.writes):
        # A batch sent again may hold fewer members in other places: each is named by its key.
        token = token_of(repr(keys[index]).encode())
        asked = write._replace(options=options) if has_options else write
        calls.append(write_call(asked, tables[write.table_name], deadline, token, partial(finish, index), begun))
    for call in calls:
        storage.submit(call)


def _key(write: PutItemRequest | DeleteItemRequest) -> Any:
    return write.item if isinstance(write, PutItemRequest) else write.key


def batch_get(
    storage: StorageClient, request: BatchGetItemRequest, tables: Mapping[str, Table], deadline: float, done: Done
) -> None:
    """Every read by itself; those that were refused for now, or are beyond 16 MB, come back as unprocessed."""
    keys: list[tuple[str, bytes]] = []
    for read in request.reads:
        schema = tables[read.table_name].schema
        check_key_only(read.key, schema)
        keys.append((read.table_name, encode_position(schema, read.key)))
    check_distinct(keys)
    count = len(request.reads)
    batch = _Batch(count)
    found: list[tuple[str, bytes]] = []
    beyond: list[int] = []
    size = 0

    def finish(index: int, result: ReadResult | None, error: StatorError | None) -> None:
        nonlocal size
        if not batch.left:  # what was made of all answers has failed: a bug, of which the client is told
            done(None, error)
            return
        batch.left -= 1
        if error is not None:
            batch.errors.append((index, error))
        elif result is not None:
            item = result.item
            if item is not None:
                size += len(item)
            if item is not None and found and size > RESPONSE_BYTES_MAX - PAGE_BYTES_MAX:
                beyond.append(index)
            else:
                if item is not None:
                    found.append((request.reads[index].table_name, item))
                if result.capacity is not None:
                    batch.capacities.append(result.capacity)
        if batch.left:
            return
        refusal = batch.refusal(count)
        if refusal is not None:
            done(None, refusal)
            return
        unprocessed = sorted([failed for failed, _ in batch.errors] + beyond)
        names = list(dict.fromkeys(read.table_name for read in request.reads))
        capacity = sum_capacity(batch.capacities) if request.capacity != "NONE" else None
        left = [request.reads[each] for each in unprocessed]
        done(BatchRead(names, found, left, capacity, request.asked), None)

    calls = []
    for index, read in enumerate(request.reads):
        asked = read._replace(capacity=request.capacity) if request.capacity != "NONE" else read
        calls.append(get_call(asked, tables[read.table_name], deadline, partial(finish, index)))
    for call in calls:
        storage.submit(call)
