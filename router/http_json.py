"""DynamoDB's JSON: which operation a body asks for, and how results are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

from statorpb import tables_pb2

from router import item_json
from router.requests import (
    batch_get_item,
    batch_write_item,
    create_table,
    delete_item,
    get_item,
    put_item,
    query,
    scan,
    table_requests,
    update_item,
)

TARGET_PREFIX = b"DynamoDB_20120810."
ARN_PREFIX = "arn:aws:dynamodb:local:000000000000:table/"


class Operation(NamedTuple):
    """`read`: the request of a JSON body (raises StatorError); `write`: a result as the body of a response."""

    name: str
    read: Callable[[Mapping[str, Any]], Any]
    write: Callable[[Any], dict[str, Any]]


def _table_names(result: tables_pb2.ListTablesResponse) -> dict[str, Any]:
    names = {"TableNames": list(result.table_names)}
    last = result.last_evaluated_table_name
    return {**names, "LastEvaluatedTableName": last} if last else names


def table_to_json(table: tables_pb2.TableDescription) -> dict[str, Any]:
    """A table's description as DynamoDB's SDKs expect it."""
    schema = table.key_schema
    attributes = [schema.partition_key] + ([schema.sort_key] if schema.HasField("sort_key") else [])
    provisioned = table.provisioned
    body: dict[str, Any] = {
        "TableName": table.table_name,
        "TableStatus": tables_pb2.TableStatus.Name(table.status),
        "TableArn": ARN_PREFIX + table.table_name,
        "TableId": table.table_id,
        "CreationDateTime": table.created_at_ms / 1000,
        "KeySchema": [
            {"AttributeName": attribute.name, "KeyType": kind}
            for attribute, kind in zip(attributes, ("HASH", "RANGE"), strict=False)
        ],
        "AttributeDefinitions": [
            {"AttributeName": attribute.name, "AttributeType": tables_pb2.AttributeType.Name(attribute.type)}
            for attribute in attributes
        ],
        "ProvisionedThroughput": {
            "NumberOfDecreasesToday": 0,
            "ReadCapacityUnits": provisioned.read_capacity_units,
            "WriteCapacityUnits": provisioned.write_capacity_units,
        },
        "ItemCount": table.items,
        "TableSizeBytes": table.bytes,
        "DeletionProtectionEnabled": False,
    }
    if not table.HasField("provisioned"):
        body["BillingModeSummary"] = {
            "BillingMode": "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": table.created_at_ms / 1000,
        }
    return body


def _by_target(*operations: Operation) -> Mapping[bytes, Operation]:
    return {TARGET_PREFIX + operation.name.encode(): operation for operation in operations}


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
)
"""By X-Amz-Target, as those that follow."""

TABLE_OPERATIONS = _by_target(
    Operation("CreateTable", create_table.from_json, lambda result: {"TableDescription": table_to_json(result.table)}),
    Operation(
        "DescribeTable", table_requests.describe_from_json, lambda result: {"Table": table_to_json(result.table)}
    ),
    Operation(
        "DeleteTable", table_requests.delete_from_json, lambda result: {"TableDescription": table_to_json(result.table)}
    ),
    Operation("ListTables", table_requests.list_from_json, _table_names),
)
