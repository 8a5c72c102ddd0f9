"""DynamoDB's JSON: which operation a body asks for, and how results are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from router import item_json, stream_json, table_json
from router.requests import (
    batch_get_item,
    batch_write_item,
    delete_item,
    get_item,
    put_item,
    query,
    scan,
    transact_get_items,
    transact_write_items,
    update_item,
)
from router.table_json import Operation

__all__ = ["ITEM_OPERATIONS", "STREAM_OPERATIONS", "TABLE_OPERATIONS", "TARGET_PREFIX", "Operation"]

TARGET_PREFIX = b"DynamoDB_20120810."
STREAMS_TARGET_PREFIX = b"DynamoDBStreams_20120810."


def _by_target(*operations: Operation, prefix: bytes = TARGET_PREFIX) -> Mapping[bytes, Operation]:
    return {prefix + operation.name.encode(): operation for operation in operations}


class _Requests(Protocol):
    """One of the modules of router.requests."""

    def from_body(self, body: Mapping[str, Any], *, is_json: bool) -> Any: ...


def _item_operation(name: str, requests: _Requests, write: Callable[[Any], dict[str, Any]]) -> Operation:
    return Operation(name, partial(requests.from_body, is_json=True), write)


ITEM_OPERATIONS = _by_target(
    _item_operation("PutItem", put_item, item_json.written),
    _item_operation("GetItem", get_item, item_json.read),
    _item_operation("UpdateItem", update_item, item_json.written),
    _item_operation("DeleteItem", delete_item, item_json.written),
    _item_operation("BatchWriteItem", batch_write_item, item_json.batch_written),
    _item_operation("BatchGetItem", batch_get_item, item_json.batch_read),
    _item_operation("Query", query, item_json.page),
    _item_operation("Scan", scan, item_json.page),
    _item_operation("TransactWriteItems", transact_write_items, item_json.transact_written),
    _item_operation("TransactGetItems", transact_get_items, item_json.transact_read),
)
"""By X-Amz-Target, as those that follow."""

TABLE_OPERATIONS = _by_target(*table_json.OPERATIONS)
STREAM_OPERATIONS = _by_target(*stream_json.OPERATIONS, prefix=STREAMS_TARGET_PREFIX)
