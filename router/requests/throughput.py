"""What CreateTable and UpdateTable have in common: how much a table is to serve, and what it is not to be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.requests.table_shapes import INVALID
from server.model.errors import ValidationError
from server.model.limits import CAPACITY_UNITS_MAX


def provisioned_units(content: Mapping[str, Any]) -> tuple[int, int]:
    """(read, write) capacity units a second; both 0: none are given. Raises ValidationError."""
    throughput = content.get("ProvisionedThroughput")
    if throughput is None:
        return 0, 0
    for name in ("ReadCapacityUnits", "WriteCapacityUnits"):
        if throughput[name] > CAPACITY_UNITS_MAX:
            raise ValidationError(f"Given value {throughput[name]} for {name} is out of bounds")
    return throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]


def on_demand_limits(content: Mapping[str, Any]) -> tuple[int, int]:
    """(read, write) request units a second; 0: not given, -1: no limit. Raises ValidationError."""
    return _pair(content, "OnDemandThroughput", "MaxReadRequestUnits", "MaxWriteRequestUnits", least=-1)


def warm_units(content: Mapping[str, Any]) -> tuple[int, int]:
    """(read, write) units a second; 0: not given. Raises ValidationError."""
    return _pair(content, "WarmThroughput", "ReadUnitsPerSecond", "WriteUnitsPerSecond", least=1)


def _pair(content: Mapping[str, Any], parameter: str, read: str, write: str, *, least: int) -> tuple[int, int]:
    given = content.get(parameter)
    if given is None:
        return 0, 0
    if not given:
        raise ValidationError(f"{INVALID}At least one of {read} and {write} must be specified in {parameter}")
    for name, units in given.items():
        if units == 0 or units < least:
            alternative = ", or -1 for no limit" if least < 0 else ""
            raise ValidationError(f"{INVALID}{name} must be greater than or equal to 1{alternative}")
        if units > CAPACITY_UNITS_MAX:
            raise ValidationError(f"Given value {units} for {name} is out of bounds")
    return given.get(read, 0), given.get(write, 0)


def refuse_own_keys(content: Mapping[str, Any], operation: str) -> None:
    """Raises ValidationError for encryption by anything that the table would have to name."""
    encryption = content.get("SSESpecification")
    if encryption is not None and (encryption.get("Enabled") or encryption.keys() - {"Enabled"}):
        raise ValidationError(
            f"The parameter SSESpecification of {operation} asks for a key of its own, which is not supported: encrypt "
            "the disks of the storage nodes instead"
        )
