"""DynamoDB's JSON: which operation a body asks for, and how results are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from statorpb import tables_pb2

from router.dispatcher import BatchRead, Page
from router.requests import (
    batch_get_item,
    batch_write_item,
    create_table,
    delete_item,
    get_item,
    put_item,
    scan,
    table_requests,
)
from router.requests.delete_item import DeleteItemRequest
from router.requests.put_item import PutItemRequest
from server.wire import item_bytes_to_json, item_to_json

TARGET_PREFIX = "DynamoDB_20120810."
ARN_PREFIX = "arn:aws:dynamodb:local:000000000000:table/"

ITEM_OPERATIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "PutItem": put_item.from_json,
    "GetItem": get_item.from_json,
    "DeleteItem": delete_item.from_json,
    "BatchWriteItem": batch_write_item.from_json,
    "BatchGetItem": batch_get_item.from_json,
    "Scan": scan.from_json,
}

TABLE_OPERATIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "CreateTable": create_table.from_json,
    "DescribeTable": table_requests.describe_from_json,
    "DeleteTable": table_requests.delete_from_json,
    "ListTables": table_requests.list_from_json,
}


def result_to_json(operation: str, result: Any) -> dict[str, Any]:
    """The body of a successful response."""
    if operation == "GetItem":
        return {} if result is None else {"Item": item_bytes_to_json(result)}
    if operation in ("PutItem", "DeleteItem"):
        return {}
    if operation == "BatchWriteItem":
        return {"UnprocessedItems": _unprocessed_writes(result)}
    if operation == "BatchGetItem":
        return _batch_read(result)
    if operation == "Scan":
        return _page(result)
    if operation == "ListTables":
        names = {"TableNames": list(result.table_names)}
        last = result.last_evaluated_table_name
        return {**names, "LastEvaluatedTableName": last} if last else names
    key = "Table" if operation == "DescribeTable" else "TableDescription"
    return {key: table_to_json(result.table)}


def _unprocessed_writes(writes: list[PutItemRequest | DeleteItemRequest]) -> dict[str, Any]:
    tables: dict[str, list[Any]] = {}
    for write in writes:
        entry = (
            {"PutRequest": {"Item": item_to_json(write.item)}}
            if isinstance(write, PutItemRequest)
            else {"DeleteRequest": {"Key": item_to_json(write.key)}}
        )
        tables.setdefault(write.table_name, []).append(entry)
    return tables


def _batch_read(result: BatchRead) -> dict[str, Any]:
    responses: dict[str, list[Any]] = {table_name: [] for table_name in result.table_names}
    for table_name, item in result.found:
        responses[table_name].append(item_bytes_to_json(item))
    unprocessed: dict[str, Any] = {}
    for read in result.unprocessed:
        entry = unprocessed.setdefault(read.table_name, {"Keys": [], "ConsistentRead": read.is_consistent})
        entry["Keys"].append(item_to_json(read.key))
    return {"Responses": responses, "UnprocessedKeys": unprocessed}


def _page(page: Page) -> dict[str, Any]:
    body: dict[str, Any] = {
        "Items": [item_bytes_to_json(item) for item in page.items],
        "Count": len(page.items),
        "ScannedCount": len(page.items),
    }
    if page.last_key is not None:
        body["LastEvaluatedKey"] = item_to_json(page.last_key)
    return body


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
