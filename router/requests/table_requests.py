"""DescribeTable, DeleteTable, ListTables, DescribeLimits and DescribeEndpoints: requests that are little more than a
name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.table_shapes import DELETE_TABLE, DESCRIBE_TABLE, LIST_TABLES, read_body
from server.model.limits import LIST_TABLES_MAX


@dataclass(frozen=True, slots=True)
class DescribeTableRequest:
    """Asks for a table's description."""

    table_name: str


@dataclass(frozen=True, slots=True)
class DeleteTableRequest:
    """Deletes a table and everything in it."""

    table_name: str


@dataclass(frozen=True, slots=True)
class ListTablesRequest:
    """Asks for at most `limit` names after `start_name` (empty: from the first)."""

    start_name: str
    limit: int


@dataclass(frozen=True, slots=True)
class DescribeLimitsRequest:
    """Asks for the quotas on capacity units."""


@dataclass(frozen=True, slots=True)
class DescribeEndpointsRequest:
    """Asks where the HTTP door is."""


def describe_from_body(body: Mapping[str, Any], *, is_json: bool) -> DescribeTableRequest:
    """Raises ValidationError or SerializationError."""
    return DescribeTableRequest(read_body(DESCRIBE_TABLE, body, is_json=is_json)["TableName"])


def delete_from_body(body: Mapping[str, Any], *, is_json: bool) -> DeleteTableRequest:
    """Raises ValidationError or SerializationError."""
    return DeleteTableRequest(read_body(DELETE_TABLE, body, is_json=is_json)["TableName"])


def list_from_body(body: Mapping[str, Any], *, is_json: bool) -> ListTablesRequest:
    """Raises ValidationError or SerializationError."""
    content = read_body(LIST_TABLES, body, is_json=is_json)
    return ListTablesRequest(content.get("ExclusiveStartTableName", ""), content.get("Limit", LIST_TABLES_MAX))


def limits_from_body(body: Mapping[str, Any], *, is_json: bool) -> DescribeLimitsRequest:
    """Whatever is in the body."""
    return DescribeLimitsRequest()


def endpoints_from_body(body: Mapping[str, Any], *, is_json: bool) -> DescribeEndpointsRequest:
    """Whatever is in the body."""
    return DescribeEndpointsRequest()
