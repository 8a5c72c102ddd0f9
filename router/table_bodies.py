"""The gRPC door's messages on tables as DynamoDB's bodies, so that both doors are read by the same code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from statorpb import tables_pb2

_Throughput: TypeAlias = (
    tables_pb2.CreateTableRequest
    | tables_pb2.UpdateTableRequest
    | tables_pb2.GlobalIndex
    | tables_pb2.GlobalIndexUpdate
)


def create_table_body(message: tables_pb2.CreateTableRequest) -> dict[str, Any]:
    """Of CreateTable, but for the number of partitions, which DynamoDB does not have."""
    schema = message.key_schema
    keys = [schema.partition_key] + ([schema.sort_key] if schema.HasField("sort_key") else [])
    defined = [*keys, *(index.sort_key for index in message.local_indexes)]
    for each in message.global_indexes:
        defined += [*each.partition_keys, *each.sort_keys]
    body: dict[str, Any] = {
        "TableName": message.table_name,
        "AttributeDefinitions": _definitions(defined),
        "KeySchema": _key_schema(*keys),
        "BillingMode": "PROVISIONED" if message.HasField("provisioned") else "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": message.deletion_protection,
        "Tags": _tags(message.tags),
    }
    _put_settings(body, message)
    if message.local_indexes:
        body["LocalSecondaryIndexes"] = [
            {
                "IndexName": index.name,
                "KeySchema": _key_schema(schema.partition_key, index.sort_key),
                "Projection": _projection(index.projection),
            }
            for index in message.local_indexes
        ]
    if message.global_indexes:
        body["GlobalSecondaryIndexes"] = [_global_index(index) for index in message.global_indexes]
    return body


def update_table_body(message: tables_pb2.UpdateTableRequest) -> dict[str, Any]:
    """Of UpdateTable."""
    body: dict[str, Any] = {"TableName": message.table_name}
    if message.billing_mode:
        body["BillingMode"] = _name(tables_pb2.BillingMode, message.billing_mode)
    if message.HasField("deletion_protection"):
        body["DeletionProtectionEnabled"] = message.deletion_protection
    _put_settings(body, message)
    updates: list[dict[str, Any]] = []
    if message.HasField("create_index"):
        created = message.create_index
        body["AttributeDefinitions"] = _definitions([*created.partition_keys, *created.sort_keys])
        updates.append({"Create": _global_index(created)})
    if message.delete_index:
        updates.append({"Delete": {"IndexName": message.delete_index}})
    for update in message.update_indexes:
        changed: dict[str, Any] = {"IndexName": update.name}
        _put_throughput(changed, update)
        updates.append({"Update": changed})
    if updates:
        body["GlobalSecondaryIndexUpdates"] = updates
    return body


def tag_resource_body(message: tables_pb2.TagResourceRequest) -> dict[str, Any]:
    """Of TagResource."""
    return {"ResourceArn": message.resource_arn, "Tags": _tags(message.tags)}


def time_to_live_body(message: tables_pb2.UpdateTimeToLiveRequest) -> dict[str, Any]:
    """Of UpdateTimeToLive."""
    specified = message.time_to_live
    return {
        "TableName": message.table_name,
        "TimeToLiveSpecification": {"AttributeName": specified.attribute_name, "Enabled": specified.enabled},
    }


def _global_index(index: tables_pb2.GlobalIndex) -> dict[str, Any]:
    elements = [(each.name, "HASH") for each in index.partition_keys] + [
        (each.name, "RANGE") for each in index.sort_keys
    ]
    body: dict[str, Any] = {
        "IndexName": index.name,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in elements],
        "Projection": _projection(index.projection),
    }
    _put_throughput(body, index)
    return body


def _put_settings(body: dict[str, Any], message: tables_pb2.CreateTableRequest | tables_pb2.UpdateTableRequest) -> None:
    _put_throughput(body, message)
    if message.table_class:
        body["TableClass"] = _name(tables_pb2.TableClass, message.table_class)
    if message.HasField("stream"):
        stream: dict[str, Any] = {"StreamEnabled": message.stream.enabled}
        body["StreamSpecification"] = stream
        if message.stream.view_type:
            stream["StreamViewType"] = _name(tables_pb2.StreamSpecification.ViewType, message.stream.view_type)


def _put_throughput(body: dict[str, Any], message: _Throughput) -> None:
    """Of a table or of an index."""
    if message.HasField("provisioned"):
        body["ProvisionedThroughput"] = {
            "ReadCapacityUnits": message.provisioned.read_capacity_units,
            "WriteCapacityUnits": message.provisioned.write_capacity_units,
        }
    if message.HasField("on_demand"):
        body["OnDemandThroughput"] = _given(
            MaxReadRequestUnits=message.on_demand.max_read_request_units,
            MaxWriteRequestUnits=message.on_demand.max_write_request_units,
        )
    if message.HasField("warm"):
        body["WarmThroughput"] = _given(
            ReadUnitsPerSecond=message.warm.read_units_per_second,
            WriteUnitsPerSecond=message.warm.write_units_per_second,
        )


def _given(**units: int) -> dict[str, int]:
    return {name: value for name, value in units.items() if value}


def _definitions(attributes: Iterable[tables_pb2.KeyAttribute]) -> list[dict[str, str]]:
    """One that is named twice with the same type is defined once."""
    distinct = {(attribute.name, attribute.type): attribute for attribute in attributes}
    return [
        {"AttributeName": attribute.name, "AttributeType": _name(tables_pb2.AttributeType, attribute.type)}
        for attribute in distinct.values()
    ]


def _key_schema(*attributes: tables_pb2.KeyAttribute) -> list[dict[str, str]]:
    return [
        {"AttributeName": attribute.name, "KeyType": kind}
        for attribute, kind in zip(attributes, ("HASH", "RANGE"), strict=False)
    ]


def _projection(projection: tables_pb2.Projection) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if projection.type:
        body["ProjectionType"] = _name(tables_pb2.Projection.Type, projection.type)
    if projection.non_key_attributes:
        body["NonKeyAttributes"] = list(projection.non_key_attributes)
    return body


def _tags(tags: Iterable[tables_pb2.Tag]) -> list[dict[str, str]]:
    return [{"Key": tag.key, "Value": tag.value} for tag in tags]


def _name(enumeration: Any, value: int) -> str:
    """The name of a value; the number itself for one that this version does not know."""
    return str(enumeration.Name(value)) if value in enumeration.values() else str(value)
