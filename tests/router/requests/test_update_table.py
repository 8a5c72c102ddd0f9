"""UpdateTable: what may be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from router.requests import update_table
from router.requests.update_table import UpdateTableRequest
from tests.router.requests.failing import NULL_MEMBER, refusal

INVALID = "One or more parameter values were invalid: "
UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}


def read(body: dict[str, Any]) -> UpdateTableRequest:
    return update_table.from_body({"TableName": "music", **body}, is_json=True)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"ProvisionedThroughput": UNITS}, {"read_units": 5, "write_units": 6}),
        (
            {"BillingMode": "PROVISIONED", "ProvisionedThroughput": UNITS},
            {"billing_mode": "PROVISIONED", "read_units": 5, "write_units": 6},
        ),
        ({"BillingMode": "PAY_PER_REQUEST"}, {"billing_mode": "PAY_PER_REQUEST"}),
        ({"DeletionProtectionEnabled": False}, {"is_protected": False}),
        ({"TableClass": "STANDARD"}, {"table_class": "STANDARD"}),
        ({"OnDemandThroughput": {"MaxReadRequestUnits": -1}}, {"max_read_units": -1}),
        ({"OnDemandThroughput": {"MaxWriteRequestUnits": 7}}, {"max_write_units": 7}),
        (
            {"WarmThroughput": {"ReadUnitsPerSecond": 8, "WriteUnitsPerSecond": 9}},
            {"warm_read_units": 8, "warm_write_units": 9},
        ),
        ({"StreamSpecification": {"StreamEnabled": False}}, {"stream_view_type": ""}),
        (
            {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}},
            {"stream_view_type": "NEW_IMAGE"},
        ),
        ({"SSESpecification": {"Enabled": False}}, {}),
    ],
)
def test_a_change(body: dict[str, Any], expected: dict[str, Any]) -> None:
    """Says what changes, and nothing else."""
    assert read(body) == UpdateTableRequest("music", **expected)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {},
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or "
            "SSESpecification or ReplicaUpdates is required",
        ),
        ({"TableName": None}, NULL_MEMBER.format("tableName")),
        (
            {"BillingMode": "PROVISIONED"},
            INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
        ),
        (
            {"BillingMode": "PAY_PER_REQUEST", "ProvisionedThroughput": UNITS},
            INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is "
            "PAY_PER_REQUEST",
        ),
        (
            {"OnDemandThroughput": {}},
            INVALID + "At least one of MaxReadRequestUnits and MaxWriteRequestUnits must be specified in "
            "OnDemandThroughput",
        ),
        (
            {"OnDemandThroughput": {"MaxReadRequestUnits": 0}},
            INVALID + "MaxReadRequestUnits must be greater than or equal to 1, or -1 for no limit",
        ),
        (
            {"OnDemandThroughput": {"MaxWriteRequestUnits": -2}},
            INVALID + "MaxWriteRequestUnits must be greater than or equal to 1, or -1 for no limit",
        ),
        (
            {"WarmThroughput": {"WriteUnitsPerSecond": -1}},
            INVALID + "WriteUnitsPerSecond must be greater than or equal to 1",
        ),
        (
            {"WarmThroughput": {"ReadUnitsPerSecond": 10**12 + 1}},
            "Given value 1000000000001 for ReadUnitsPerSecond is out of bounds",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": True}},
            INVALID + "If stream is being enabled then UpdateViewType is required",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"}},
            INVALID + "If stream is being disabled, then UpdateViewType must not be specified",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "BULLE"}},
            "1 validation error detected: Value 'BULLE' at 'streamSpecification.streamViewType' failed to satisfy "
            "constraint: Member must satisfy enum value set: [NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES, KEYS_ONLY]",
        ),
        (
            {"StreamSpecification": {"StreamViewType": "KEYS_ONLY"}},
            "1 validation error detected: Value null at 'streamSpecification.streamEnabled' failed to satisfy "
            "constraint: Member must not be null",
        ),
        (
            {
                "StreamSpecification": {"StreamEnabled": False},
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            },
            INVALID + "You cannot modify stream status while updating table IOPS",
        ),
        (
            {
                "StreamSpecification": {"StreamEnabled": False},
                "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by-label"}}],
            },
            INVALID + "You cannot create or delete index while changing stream status",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": False}, "TableClass": "STANDARD"},
            INVALID + "TableClass modification must be the only operation in the request",
        ),
        (
            {"StreamSpecification": {"StreamEnabled": False}, "DeletionProtectionEnabled": True},
            INVALID + "DeletionProtection modification must be the only operation in the request",
        ),
        ({"ReplicaUpdates": []}, "The parameter ReplicaUpdates of UpdateTable is not supported yet"),
        (
            {"TableClass": "COLD"},
            "1 validation error detected: Value 'COLD' at 'tableClass' failed to satisfy constraint: Member must "
            "satisfy enum value set: [STANDARD, STANDARD_INFREQUENT_ACCESS]",
        ),
    ],
)
def test_a_change_that_cannot_be(body: dict[str, Any], message: str) -> None:
    """Whatever the table is like."""
    assert refusal(read, body) == ("ValidationException", message)
