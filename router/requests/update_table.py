"""UpdateTable: new settings and global indexes for a table that is there.

Whether they suit those that it has, the catalog decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.global_indexes import NO_CHANGES, IndexChanges, definitions, index_changes
from router.requests.stream_specification import changed_stream
from router.requests.table_shapes import INVALID, UPDATE_TABLE, read_body, refuse
from router.requests.throughput import on_demand_limits, provisioned_units, refuse_own_keys, warm_units
from server.model.errors import ValidationError
from server.model.table import NO_UNITS_ON_DEMAND

_UNSUPPORTED = (
    "ReplicaUpdates",
    "MultiRegionConsistency",
    "GlobalTableWitnessUpdates",
    "GlobalTableSettingsReplicationMode",
    "VectorIndexUpdates",
    "DisassociationProtectionEnabled",
)


@dataclass(frozen=True, slots=True)
class UpdateTableRequest:
    """What is empty, 0 or None stays as it is; `max_` units of -1 lift the limit. `stream_view_type`: of a stream that
    begins; empty: the one that there is ends."""

    table_name: str
    billing_mode: str = ""
    read_units: int = 0
    write_units: int = 0
    max_read_units: int = 0
    max_write_units: int = 0
    warm_read_units: int = 0
    warm_write_units: int = 0
    table_class: str = ""
    is_protected: bool | None = None
    indexes: IndexChanges = NO_CHANGES
    stream_view_type: str | None = None


def from_body(body: Mapping[str, Any], *, is_json: bool) -> UpdateTableRequest:
    """The request of a body. Raises ValidationError, LimitExceededError or SerializationError."""
    refuse(body, "UpdateTable", _UNSUPPORTED)
    content = read_body(UPDATE_TABLE, body, is_json=is_json)
    if content.keys() <= {"TableName", "AttributeDefinitions"}:
        raise ValidationError(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or "
            "SSESpecification or ReplicaUpdates is required"
        )
    billing_mode = content.get("BillingMode", "")
    has_units = "ProvisionedThroughput" in content
    if billing_mode == "PROVISIONED" and not has_units:
        raise ValidationError(INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
    if billing_mode == "PAY_PER_REQUEST" and has_units:
        raise ValidationError(NO_UNITS_ON_DEMAND)
    read_units, write_units = provisioned_units(content)
    max_read_units, max_write_units = on_demand_limits(content)
    warm_read_units, warm_write_units = warm_units(content)
    indexes = _index_changes(content)
    stream_view_type = changed_stream(content)
    refuse_own_keys(content, "UpdateTable")
    return UpdateTableRequest(
        content["TableName"],
        billing_mode,
        read_units,
        write_units,
        max_read_units,
        max_write_units,
        warm_read_units,
        warm_write_units,
        content.get("TableClass", ""),
        content.get("DeletionProtectionEnabled"),
        indexes,
        stream_view_type,
    )


_ALONE = (
    ("TableClass", "TableClass modification must be the only operation in the request"),
    ("DeletionProtectionEnabled", "DeletionProtection modification must be the only operation in the request"),
    ("WarmThroughput", "Create global secondary index cannot be specified when updating WarmThroughput"),
)
"""What does not go together with making or removing an index, and what that is refused with."""


def _index_changes(content: Mapping[str, Any]) -> IndexChanges:
    """AttributeDefinitions beyond those of a new index's keys are passed over: tools repeat all that the table has."""
    defined = content.get("AttributeDefinitions")
    types = None if defined is None else definitions(defined)
    updates = content.get("GlobalSecondaryIndexUpdates")
    if updates is None:
        return NO_CHANGES
    changes = index_changes(updates, types)
    if changes.created is not None or changes.deleted:
        if "ProvisionedThroughput" in content and "BillingMode" not in content:
            raise ValidationError(INVALID + "You cannot create or delete index while updating table IOPS")
        for name, sentence in _ALONE:
            if name in content:
                raise ValidationError(INVALID + sentence)
    return changes
