"""DynamoDB's JSON of the operations on tables: how each is read, and how its result is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from statorpb import tables_pb2

from router.requests import create_table, table_requests, tags, time_to_live, update_table
from router.requests.stream_names import StreamName
from server.model.table import table_arn

_ENDPOINT_MINUTES = 1440
"""For how long a client may use what DescribeEndpoints told it."""


class Operation(NamedTuple):
    """`read`: the request of a JSON body (raises StatorError); `write`: a result as the body of a response."""

    name: str
    read: Callable[[Mapping[str, Any]], Any]
    write: Callable[[Any], dict[str, Any]]


def table_to_json(table: tables_pb2.TableDescription) -> dict[str, Any]:
    """A table's description as DynamoDB's SDKs expect it."""
    schema = table.key_schema
    attributes = _attributes(schema)
    # An attribute may be in the keys of several indexes, and of the table.
    of_indexes = [each.index.sort_key for each in table.local_indexes]
    for described in table.global_indexes:
        of_indexes += [*described.index.partition_keys, *described.index.sort_keys]
    defined = {each.name: each for each in (*attributes, *of_indexes)}
    status = tables_pb2.TableStatus.Name(table.status)
    body: dict[str, Any] = {
        "TableName": table.table_name,
        "TableStatus": status,
        "TableArn": table_arn(table.table_name),
        "TableId": table.table_id,
        "CreationDateTime": table.created_at_ms / 1000,
        "KeySchema": _key_schema(*attributes),
        "AttributeDefinitions": [
            {"AttributeName": attribute.name, "AttributeType": tables_pb2.AttributeType.Name(attribute.type)}
            for attribute in defined.values()
        ],
        "ProvisionedThroughput": _throughput(table, table.provisioned),
        "ItemCount": table.items,
        "TableSizeBytes": table.bytes,
        "DeletionProtectionEnabled": table.deletion_protection,
        "WarmThroughput": _warm(table.warm, status),
    }
    if table.global_indexes:
        body["GlobalSecondaryIndexes"] = [_global_index(table, each) for each in table.global_indexes]
    if table.local_indexes:
        body["LocalSecondaryIndexes"] = [_local_index(table, each) for each in table.local_indexes]
    if table.HasField("stream"):
        body["StreamSpecification"] = {
            "StreamEnabled": table.stream.enabled,
            "StreamViewType": tables_pb2.StreamSpecification.ViewType.Name(table.stream.view_type),
        }
    if table.latest_stream_label:
        body["LatestStreamArn"] = StreamName(table.table_name, table.latest_stream_label).arn
        body["LatestStreamLabel"] = table.latest_stream_label
    if table.on_demand_since_ms:
        body["BillingModeSummary"] = {
            "BillingMode": "PROVISIONED" if table.HasField("provisioned") else "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": table.on_demand_since_ms / 1000,
        }
    if table.HasField("on_demand"):
        body["OnDemandThroughput"] = _limits_of(table.on_demand)
    if table.table_class == tables_pb2.STANDARD_INFREQUENT_ACCESS or table.table_class_changed_at_ms:
        body["TableClassSummary"] = {"TableClass": tables_pb2.TableClass.Name(table.table_class)}
        if table.table_class_changed_at_ms:
            body["TableClassSummary"]["LastUpdateDateTime"] = table.table_class_changed_at_ms / 1000
    return body


def key_schema_to_json(schema: tables_pb2.KeySchema) -> list[dict[str, Any]]:
    """A table's key schema."""
    return _key_schema(*_attributes(schema))


def _attributes(schema: tables_pb2.KeySchema) -> list[tables_pb2.KeyAttribute]:
    return [schema.partition_key] + ([schema.sort_key] if schema.HasField("sort_key") else [])


def _key_schema(*attributes: tables_pb2.KeyAttribute) -> list[dict[str, Any]]:
    return [
        {"AttributeName": attribute.name, "KeyType": kind}
        for attribute, kind in zip(attributes, ("HASH", "RANGE"), strict=False)
    ]


def _throughput(
    described: tables_pb2.TableDescription | tables_pb2.GlobalIndexDescription, units: tables_pb2.Throughput
) -> dict[str, Any]:
    throughput: dict[str, Any] = {
        "NumberOfDecreasesToday": described.decreases_today,
        "ReadCapacityUnits": units.read_capacity_units,
        "WriteCapacityUnits": units.write_capacity_units,
    }
    if described.last_increase_at_ms:
        throughput["LastIncreaseDateTime"] = described.last_increase_at_ms / 1000
    if described.last_decrease_at_ms:
        throughput["LastDecreaseDateTime"] = described.last_decrease_at_ms / 1000
    return throughput


def _warm(units: tables_pb2.WarmThroughput, status: str) -> dict[str, Any]:
    return {
        "ReadUnitsPerSecond": units.read_units_per_second,
        "WriteUnitsPerSecond": units.write_units_per_second,
        "Status": status if status in ("CREATING", "UPDATING") else "ACTIVE",
    }


def _limits_of(units: tables_pb2.OnDemandThroughput) -> dict[str, int]:
    return {
        "MaxReadRequestUnits": units.max_read_request_units or -1,
        "MaxWriteRequestUnits": units.max_write_request_units or -1,
    }


def _projection(projection: tables_pb2.Projection) -> dict[str, Any]:
    body: dict[str, Any] = {"ProjectionType": tables_pb2.Projection.Type.Name(projection.type)}
    if projection.non_key_attributes:
        body["NonKeyAttributes"] = list(projection.non_key_attributes)
    return body


def _global_index(table: tables_pb2.TableDescription, described: tables_pb2.GlobalIndexDescription) -> dict[str, Any]:
    index = described.index
    keys = [(each.name, "HASH") for each in index.partition_keys] + [(each.name, "RANGE") for each in index.sort_keys]
    status = tables_pb2.IndexStatus.Name(described.status).removeprefix("INDEX_")
    body: dict[str, Any] = {
        "IndexName": index.name,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        "Projection": _projection(index.projection),
        "IndexStatus": status,
        "IndexArn": f"{table_arn(table.table_name)}/index/{index.name}",
        "ItemCount": described.items,
        "IndexSizeBytes": described.bytes,
        "ProvisionedThroughput": _throughput(described, index.provisioned),
        "WarmThroughput": _warm(index.warm, status),
    }
    if status == "CREATING" and table.status != tables_pb2.CREATING:
        # An index that is made with its table has nothing to get, and DynamoDB does not tell.
        body["Backfilling"] = described.backfilling
    if index.HasField("on_demand"):
        body["OnDemandThroughput"] = _limits_of(index.on_demand)
    return body


def _local_index(table: tables_pb2.TableDescription, described: tables_pb2.LocalIndexDescription) -> dict[str, Any]:
    index = described.index
    return {
        "IndexName": index.name,
        "KeySchema": _key_schema(table.key_schema.partition_key, index.sort_key),
        "Projection": _projection(index.projection),
        "IndexArn": f"{table_arn(table.table_name)}/index/{index.name}",
        "ItemCount": described.items,
        "IndexSizeBytes": described.bytes,
    }


def _description(result: Any) -> dict[str, Any]:
    return {"TableDescription": table_to_json(result.table)}


def _table_names(result: tables_pb2.ListTablesResponse) -> dict[str, Any]:
    names = {"TableNames": list(result.table_names)}
    last = result.last_evaluated_table_name
    return {**names, "LastEvaluatedTableName": last} if last else names


def _limits(result: tables_pb2.DescribeLimitsResponse) -> dict[str, Any]:
    return {
        "AccountMaxReadCapacityUnits": result.account_max_read_capacity_units,
        "AccountMaxWriteCapacityUnits": result.account_max_write_capacity_units,
        "TableMaxReadCapacityUnits": result.table_max_read_capacity_units,
        "TableMaxWriteCapacityUnits": result.table_max_write_capacity_units,
    }


def _endpoints(address: str) -> dict[str, Any]:
    return {"Endpoints": [{"Address": address, "CachePeriodInMinutes": _ENDPOINT_MINUTES}]}


def _tags(result: tables_pb2.ListTagsOfResourceResponse) -> dict[str, Any]:
    return {"Tags": [{"Key": tag.key, "Value": tag.value} for tag in result.tags]}


def _time_to_live(result: tables_pb2.DescribeTimeToLiveResponse) -> dict[str, Any]:
    if not result.time_to_live.enabled:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    name = result.time_to_live.attribute_name
    return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": name}}


def _specification(result: tables_pb2.UpdateTimeToLiveResponse) -> dict[str, Any]:
    specified = result.time_to_live
    return {"TimeToLiveSpecification": {"AttributeName": specified.attribute_name, "Enabled": specified.enabled}}


def _nothing(_: Any) -> dict[str, Any]:
    return {}


def _operation(name: str, read: Callable[..., Any], write: Callable[[Any], dict[str, Any]]) -> Operation:
    return Operation(name, partial(read, is_json=True), write)


OPERATIONS = (
    _operation("CreateTable", create_table.from_body, _description),
    _operation("UpdateTable", update_table.from_body, _description),
    _operation(
        "DescribeTable", table_requests.describe_from_body, lambda result: {"Table": table_to_json(result.table)}
    ),
    _operation("DeleteTable", table_requests.delete_from_body, _description),
    _operation("ListTables", table_requests.list_from_body, _table_names),
    _operation("DescribeLimits", table_requests.limits_from_body, _limits),
    _operation("DescribeEndpoints", table_requests.endpoints_from_body, _endpoints),
    _operation("TagResource", tags.tag_from_body, _nothing),
    _operation("UntagResource", tags.untag_from_body, _nothing),
    _operation("ListTagsOfResource", tags.list_from_body, _tags),
    _operation("UpdateTimeToLive", time_to_live.update_from_body, _specification),
    _operation("DescribeTimeToLive", time_to_live.describe_from_body, _time_to_live),
)
