"""Results of operations on items as DynamoDB's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from router.requests.put_item import PutItemRequest
from router.results import (
    NOTHING,
    BatchRead,
    BatchWritten,
    Capacity,
    CollectionMetrics,
    Page,
    ReadResult,
    TransactRead,
    TransactWritten,
    WriteResult,
)
from server.model.errors import (
    CancellationReason,
    ConditionalCheckFailedError,
    StatorError,
    TransactionCanceledError,
)
from server.wire import item_bytes_to_json, item_to_json


def error_to_json(error: StatorError) -> dict[str, Any]:
    """The body that tells of an error."""
    body: dict[str, Any] = {"__type": error.type_prefix + error.code}
    if error.message:
        body[error.message_member] = error.message
    if isinstance(error, ConditionalCheckFailedError) and error.item is not None:
        body["Item"] = item_bytes_to_json(error.item)
    if isinstance(error, TransactionCanceledError):
        body["CancellationReasons"] = [_reason(reason) for reason in error.reasons]
    return body


def _reason(reason: CancellationReason) -> dict[str, Any]:
    body: dict[str, Any] = {"Code": reason.code}
    if reason.item is not None:
        body["Item"] = item_bytes_to_json(reason.item)
    if reason.message:
        body["Message"] = reason.message
    return body


_KINDS = {"READ": "ReadCapacityUnits", "WRITE": "WriteCapacityUnits"}


def capacity_to_json(capacity: Capacity) -> dict[str, Any]:
    """ConsumedCapacity."""

    def told(units: float) -> dict[str, float]:
        return {"CapacityUnits": units, _KINDS[capacity.kind]: units} if capacity.kind else {"CapacityUnits": units}

    body: dict[str, Any] = {"TableName": capacity.table_name, **told(capacity.units)}
    if capacity.table is not None:
        body["Table"] = told(capacity.table)
    for name, indexes in (
        ("LocalSecondaryIndexes", capacity.indexes),
        ("GlobalSecondaryIndexes", capacity.global_indexes),
    ):
        if indexes is not None:
            body[name] = {index_name: told(units) for index_name, units in indexes.items()}
    return body


def _metrics(metrics: CollectionMetrics) -> dict[str, Any]:
    return {
        "ItemCollectionKey": item_to_json(metrics.key),
        "SizeEstimateRangeGB": [metrics.lower_gb, metrics.upper_gb],
    }


def written(result: WriteResult) -> dict[str, Any]:
    """The body for PutItem, UpdateItem and DeleteItem."""
    body: dict[str, Any] = {}
    if result is NOTHING:
        return body
    if result.attributes is not None:
        body["Attributes"] = item_bytes_to_json(result.attributes)
    if result.capacity is not None:
        body["ConsumedCapacity"] = capacity_to_json(result.capacity)
    if result.metrics is not None:
        body["ItemCollectionMetrics"] = _metrics(result.metrics)
    return body


def read(result: ReadResult) -> dict[str, Any]:
    """The body for GetItem."""
    body = {} if result.item is None else {"Item": item_bytes_to_json(result.item)}
    if result.capacity is not None:
        body["ConsumedCapacity"] = capacity_to_json(result.capacity)
    return body


def rendered_items(items: Sequence[bytes]) -> list[orjson.Fragment]:
    """Items as JSON that is not looked at any more."""
    return [orjson.Fragment(orjson.dumps(item_bytes_to_json(item))) for item in items]


def page(result: Page) -> dict[str, Any]:
    """The body for Query and Scan."""
    body: dict[str, Any] = {"Count": result.count, "ScannedCount": result.scanned_count}
    if not result.is_count_only:
        body["Items"] = result.items if result.is_rendered else [item_bytes_to_json(item) for item in result.items]
    if result.last_key is not None:
        body["LastEvaluatedKey"] = item_bytes_to_json(result.last_key)
    if result.capacity is not None:
        body["ConsumedCapacity"] = capacity_to_json(result.capacity)
    return body


def batch_written(result: BatchWritten) -> dict[str, Any]:
    """The body for BatchWriteItem."""
    tables: dict[str, list[Any]] = {}
    for write in result.unprocessed:
        entry = (
            {"PutRequest": {"Item": item_to_json(write.item)}}
            if isinstance(write, PutItemRequest)
            else {"DeleteRequest": {"Key": item_to_json(write.key)}}
        )
        tables.setdefault(write.table_name, []).append(entry)
    body: dict[str, Any] = {"UnprocessedItems": tables}
    _add_consumed(body, result)
    return body


def _add_consumed(body: dict[str, Any], result: BatchWritten | TransactWritten) -> None:
    if result.capacity is not None:
        body["ConsumedCapacity"] = [capacity_to_json(each) for each in result.capacity]
    if result.metrics:
        by_table: dict[str, list[Any]] = {}
        for each in result.metrics:
            by_table.setdefault(each.table_name, []).append(_metrics(each))
        body["ItemCollectionMetrics"] = by_table


def batch_read(result: BatchRead) -> dict[str, Any]:
    """The body for BatchGetItem."""
    responses: dict[str, list[Any]] = {table_name: [] for table_name in result.table_names}
    for table_name, item in result.found:
        responses[table_name].append(item_bytes_to_json(item))
    unprocessed: dict[str, Any] = {}
    for read_ in result.unprocessed:
        entry = unprocessed.setdefault(read_.table_name, {"Keys": [], **result.asked.get(read_.table_name, {})})
        entry["Keys"].append(item_to_json(read_.key))
    body: dict[str, Any] = {"Responses": responses, "UnprocessedKeys": unprocessed}
    if result.capacity is not None:
        body["ConsumedCapacity"] = [capacity_to_json(each) for each in result.capacity]
    return body


def transact_written(result: TransactWritten) -> dict[str, Any]:
    """The body for TransactWriteItems."""
    body: dict[str, Any] = {}
    _add_consumed(body, result)
    return body


def transact_read(result: TransactRead) -> dict[str, Any]:
    """The body for TransactGetItems."""
    responses = [{} if item is None else {"Item": item_bytes_to_json(item)} for item in result.items]
    body: dict[str, Any] = {"Responses": responses}
    if result.capacity is not None:
        body["ConsumedCapacity"] = [capacity_to_json(each) for each in result.capacity]
    return body
