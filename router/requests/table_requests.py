"""DescribeTable, DeleteTable and ListTables: requests that are little more than a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.members import check_members, member, required
from server.model.errors import ValidationError
from server.model.limits import LIST_TABLES_MAX
from server.model.table import check_table_name


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


def describe_from_json(body: Mapping[str, Any]) -> DescribeTableRequest:
    """Raises ValidationError or SerializationError."""
    check_members(body, "DescribeTable", frozenset({"TableName"}))
    return DescribeTableRequest(check_table_name(required(body, "TableName", str)))


def delete_from_json(body: Mapping[str, Any]) -> DeleteTableRequest:
    """Raises ValidationError or SerializationError."""
    check_members(body, "DeleteTable", frozenset({"TableName"}))
    return DeleteTableRequest(check_table_name(required(body, "TableName", str)))


def list_from_json(body: Mapping[str, Any]) -> ListTablesRequest:
    """Raises ValidationError or SerializationError."""
    check_members(body, "ListTables", frozenset({"ExclusiveStartTableName", "Limit"}))
    limit = member(body, "Limit", int)
    return list_from_model(
        member(body, "ExclusiveStartTableName", str) or "", LIST_TABLES_MAX if limit is None else limit
    )


def list_from_model(start_name: str, limit: int) -> ListTablesRequest:
    """Raises ValidationError."""
    if not 1 <= limit <= LIST_TABLES_MAX:
        relation = "greater than or equal to 1" if limit < 1 else f"less than or equal to {LIST_TABLES_MAX}"
        raise ValidationError(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            f"Member must have value {relation}"
        )
    if start_name:
        check_table_name(start_name)
    return ListTablesRequest(start_name, limit)
