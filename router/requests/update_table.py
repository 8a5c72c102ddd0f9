"""UpdateTable: new settings for a table that is there. Whether they suit those that it has, the catalog decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.requests.table_shapes import INVALID, UPDATE_TABLE, read_body, refuse
from router.requests.throughput import on_demand_limits, provisioned_units, refuse_streams_and_keys, warm_units
from server.model.errors import ValidationError
from server.model.table import NO_UNITS_ON_DEMAND

_UNSUPPORTED = (
    "GlobalSecondaryIndexUpdates",
    "ReplicaUpdates",
    "MultiRegionConsistency",
    "GlobalTableWitnessUpdates",
    "GlobalTableSettingsReplicationMode",
    "VectorIndexUpdates",
    "DisassociationProtectionEnabled",
)


@dataclass(frozen=True, slots=True)
class UpdateTableRequest:
    """What is empty, 0 or None stays as it is; `max_` units of -1 lift the limit."""

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


def from_body(body: Mapping[str, Any], *, is_json: bool) -> UpdateTableRequest:
    """The request of a body. Raises ValidationError or SerializationError."""
    refuse(body, "UpdateTable", _UNSUPPORTED)
    content = read_body(UPDATE_TABLE, body, is_json=is_json)
    if content.keys() == {"TableName"}:
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
    refuse_streams_and_keys(content, "UpdateTable")
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
    )
