"""Requests on tables as the metadata service's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from statorpb import tables_pb2

from router.requests.create_table import CreateTableRequest
from router.requests.global_indexes import IndexUnits, NewIndex
from router.requests.table_requests import (
    DeleteTableRequest,
    DescribeEndpointsRequest,
    DescribeLimitsRequest,
    DescribeTableRequest,
    ListTablesRequest,
)
from router.requests.tags import ListTagsRequest, TagResourceRequest, UntagResourceRequest
from router.requests.time_to_live import DescribeTimeToLiveRequest, UpdateTimeToLiveRequest
from router.requests.update_table import UpdateTableRequest
from server.model.table import KeyAttribute

OwnRequest = DescribeLimitsRequest | DescribeEndpointsRequest
"""What a router answers by itself."""

TableRequest = (
    CreateTableRequest
    | UpdateTableRequest
    | DescribeTableRequest
    | DeleteTableRequest
    | ListTablesRequest
    | TagResourceRequest
    | UntagResourceRequest
    | ListTagsRequest
    | UpdateTimeToLiveRequest
    | DescribeTimeToLiveRequest
    | OwnRequest
)


def message_of(request: TableRequest) -> tuple[str, Message]:
    """(method, message) by which the metadata service is asked. Not for an OwnRequest."""
    return _MESSAGES[type(request)](request)


def _create_table(request: CreateTableRequest) -> tuple[str, Message]:
    message = tables_pb2.CreateTableRequest(
        table_name=request.table_name,
        partitions=request.partitions,
        table_class=tables_pb2.TableClass.Value(request.table_class),
        deletion_protection=request.is_protected,
    )
    _put_attribute(message.key_schema.partition_key, request.key_schema.partition_key)
    if request.key_schema.sort_key is not None:
        _put_attribute(message.key_schema.sort_key, request.key_schema.sort_key)
    for index in request.local_indexes:
        entry = message.local_indexes.add(name=index.name)
        _put_attribute(entry.sort_key, index.sort_key)
        entry.projection.type = tables_pb2.Projection.Type.Value(index.projection)
        entry.projection.non_key_attributes.extend(index.non_key_attributes)
    for new in request.global_indexes:
        _put_index(message.global_indexes.add(), new)
    _put_throughput(message, request)
    if request.stream_view_type:
        _put_stream(message.stream, request.stream_view_type)
    for key, value in request.tags:
        message.tags.add(key=key, value=value)
    return "CreateTable", message


def _update_table(request: UpdateTableRequest) -> tuple[str, Message]:
    message = tables_pb2.UpdateTableRequest(table_name=request.table_name, deletion_protection=request.is_protected)
    if request.billing_mode:
        message.billing_mode = tables_pb2.BillingMode.Value(request.billing_mode)
    if request.table_class:
        message.table_class = tables_pb2.TableClass.Value(request.table_class)
    _put_throughput(message, request)
    if request.indexes.created is not None:
        _put_index(message.create_index, request.indexes.created)
    message.delete_index = request.indexes.deleted
    for changed in request.indexes.changed:
        _put_throughput(message.update_indexes.add(name=changed.name), changed.units)
    if request.stream_view_type is not None:
        _put_stream(message.stream, request.stream_view_type)
    return "UpdateTable", message


def _put_stream(message: tables_pb2.StreamSpecification, view_type: str) -> None:
    """Empty: none is wanted any more."""
    message.enabled = bool(view_type)
    if view_type:
        message.view_type = tables_pb2.StreamSpecification.ViewType.Value(view_type)


def _put_index(message: tables_pb2.GlobalIndex, new: NewIndex) -> None:
    definition = new.definition
    message.name = definition.name
    for attribute in definition.partition_keys:
        _put_attribute(message.partition_keys.add(), attribute)
    for attribute in definition.sort_keys:
        _put_attribute(message.sort_keys.add(), attribute)
    message.projection.type = tables_pb2.Projection.Type.Value(definition.projection)
    message.projection.non_key_attributes.extend(definition.non_key_attributes)
    _put_throughput(message, new.units)


def _put_throughput(
    message: tables_pb2.CreateTableRequest
    | tables_pb2.UpdateTableRequest
    | tables_pb2.GlobalIndex
    | tables_pb2.GlobalIndexUpdate,
    request: CreateTableRequest | UpdateTableRequest | IndexUnits,
) -> None:
    """Of a table or of an index."""
    if request.read_units:
        message.provisioned.read_capacity_units = request.read_units
        message.provisioned.write_capacity_units = request.write_units
    if request.max_read_units or request.max_write_units:
        message.on_demand.max_read_request_units = request.max_read_units
        message.on_demand.max_write_request_units = request.max_write_units
    if request.warm_read_units or request.warm_write_units:
        message.warm.read_units_per_second = request.warm_read_units
        message.warm.write_units_per_second = request.warm_write_units


def _tag(request: TagResourceRequest) -> tuple[str, Message]:
    tags = [tables_pb2.Tag(key=key, value=value) for key, value in request.tags]
    return "TagResource", tables_pb2.TagResourceRequest(resource_arn=request.resource_arn, tags=tags)


def _update_time_to_live(request: UpdateTimeToLiveRequest) -> tuple[str, Message]:
    specified = tables_pb2.TimeToLive(attribute_name=request.attribute, enabled=request.is_enabled)
    message = tables_pb2.UpdateTimeToLiveRequest(table_name=request.table_name, time_to_live=specified)
    return "UpdateTimeToLive", message


def _put_attribute(target: tables_pb2.KeyAttribute, attribute: KeyAttribute) -> None:
    target.name = attribute.name
    target.type = tables_pb2.AttributeType.Value(attribute.type)


_MESSAGES: dict[type, Callable[[Any], tuple[str, Message]]] = {
    CreateTableRequest: _create_table,
    UpdateTableRequest: _update_table,
    DescribeTableRequest: lambda request: (
        "DescribeTable",
        tables_pb2.DescribeTableRequest(table_name=request.table_name),
    ),
    DeleteTableRequest: lambda request: (
        "DeleteTable",
        tables_pb2.DeleteTableRequest(table_name=request.table_name),
    ),
    ListTablesRequest: lambda request: (
        "ListTables",
        tables_pb2.ListTablesRequest(limit=request.limit, exclusive_start_table_name=request.start_name),
    ),
    TagResourceRequest: _tag,
    UntagResourceRequest: lambda request: (
        "UntagResource",
        tables_pb2.UntagResourceRequest(resource_arn=request.resource_arn, tag_keys=request.tag_keys),
    ),
    ListTagsRequest: lambda request: (
        "ListTagsOfResource",
        tables_pb2.ListTagsOfResourceRequest(resource_arn=request.resource_arn),
    ),
    UpdateTimeToLiveRequest: _update_time_to_live,
    DescribeTimeToLiveRequest: lambda request: (
        "DescribeTimeToLive",
        tables_pb2.DescribeTimeToLiveRequest(table_name=request.table_name),
    ),
}
