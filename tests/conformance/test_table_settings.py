"""UpdateTable, deletion protection, tags, time to live and limits."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.conformance.conftest import Tables, create_table
from tests.conformance.doors import NOT_FOUND, SERVICE, VALIDATION, Doors, unique

pytestmark = pytest.mark.cluster

INVALID = "One or more parameter values were invalid: "
NO_UNITS = INVALID + (
    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
)


def units(read: int, write: int) -> dict[str, int]:
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


@pytest.fixture
def table(doors: Doors) -> str:
    """A provisioned table of its own: 5 reads, 6 writes a second."""
    name = unique("settings")
    doors.boto.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        ProvisionedThroughput=units(5, 6),
    )
    doors.boto.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    return name


def describe(doors: Doors, name: str) -> Any:
    return doors.boto.describe_table(TableName=name)["Table"]


def refusal(doors: Doors, name: str, **changes: Any) -> str:
    """The message of the validation error that an UpdateTable is answered with."""
    status, type_, message = doors.post("UpdateTable", {"TableName": name, **changes}).error
    assert (status, type_) == (400, VALIDATION)
    return message


def test_throughput(doors: Doors, table: str) -> None:
    """More, less, and no change."""
    updating = doors.boto.update_table(TableName=table, ProvisionedThroughput=units(10, 6))["TableDescription"]
    assert updating["TableStatus"] == "UPDATING"
    described = describe(doors, table)
    assert described["TableStatus"] == "ACTIVE"
    throughput = described["ProvisionedThroughput"]
    assert {name: throughput[name] for name in units(0, 0)} == units(10, 6)
    age = datetime.datetime.now(datetime.UTC) - throughput["LastIncreaseDateTime"]
    assert abs(age) < datetime.timedelta(minutes=1)
    assert "LastDecreaseDateTime" not in throughput
    doors.boto.update_table(TableName=table, ProvisionedThroughput=units(1, 1))
    throughput = describe(doors, table)["ProvisionedThroughput"]
    assert throughput["NumberOfDecreasesToday"] == 1 and "LastDecreaseDateTime" in throughput
    assert refusal(doors, table, ProvisionedThroughput=units(1, 1)) == (
        "The provisioned throughput for the table will not change. The requested value equals the current value. "
        "Current ReadCapacityUnits provisioned for the table: 1. Requested ReadCapacityUnits: 1. Current "
        "WriteCapacityUnits provisioned for the table: 1. Requested WriteCapacityUnits: 1. Refer to the Amazon "
        "DynamoDB Developer Guide for current limits and how to request higher limits."
    )


def test_decreases_have_a_limit(doors: Doors, table: str) -> None:
    """Four a day at any time, then one an hour."""
    for number in range(4):
        doors.boto.update_table(TableName=table, ProvisionedThroughput=units(4 - number, 6))
    body = {"TableName": table, "ProvisionedThroughput": units(1, 5)}
    status, type_, message = doors.post("UpdateTable", body).error
    if describe(doors, table)["ProvisionedThroughput"]["NumberOfDecreasesToday"] == 4:  # and not midnight meanwhile
        assert (status, type_) == (400, SERVICE + "LimitExceededException")
        assert message.startswith(
            "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the "
            "first 4 decreases, each subsequent decrease in the same UTC day can be performed at most once every 3600 "
            "seconds. Number of decreases today: 4. Last decrease at "
        )


def test_billing_mode(doors: Doors, table: str) -> None:
    """To on-demand and back; what belongs to the other mode is refused."""
    doors.boto.update_table(TableName=table, BillingMode="PAY_PER_REQUEST")
    described = describe(doors, table)
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert described["ProvisionedThroughput"]["ReadCapacityUnits"] == 0
    assert described["WarmThroughput"] == {
        "ReadUnitsPerSecond": 12_000,
        "WriteUnitsPerSecond": 4_000,
        "Status": "ACTIVE",
    }
    assert refusal(doors, table, ProvisionedThroughput=units(1, 1)) == NO_UNITS
    assert refusal(doors, table, BillingMode="PAY_PER_REQUEST", ProvisionedThroughput=units(1, 1)) == NO_UNITS
    assert refusal(doors, table, BillingMode="PROVISIONED") == (
        INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
    )
    doors.boto.update_table(TableName=table, OnDemandThroughput={"MaxReadRequestUnits": 100})
    limits = describe(doors, table)["OnDemandThroughput"]
    assert limits == {"MaxReadRequestUnits": 100, "MaxWriteRequestUnits": -1}
    doors.boto.update_table(TableName=table, OnDemandThroughput={"MaxReadRequestUnits": -1})
    assert "OnDemandThroughput" not in describe(doors, table)
    doors.boto.update_table(TableName=table, BillingMode="PROVISIONED", ProvisionedThroughput=units(3, 4))
    described = describe(doors, table)
    assert described["BillingModeSummary"]["BillingMode"] == "PROVISIONED"
    assert described["ProvisionedThroughput"]["WriteCapacityUnits"] == 4


def test_switches_to_on_demand_have_a_limit(doors: Doors, table: str) -> None:
    """Four in 24 hours."""
    for number in range(4):
        doors.boto.update_table(TableName=table, BillingMode="PAY_PER_REQUEST")
        doors.boto.update_table(TableName=table, BillingMode="PROVISIONED", ProvisionedThroughput=units(number + 1, 1))
    _, type_, message = doors.post("UpdateTable", {"TableName": table, "BillingMode": "PAY_PER_REQUEST"}).error
    assert type_ == SERVICE + "LimitExceededException"
    assert message.startswith("Subscriber limit exceeded: Update to PayPerRequest mode are limited to 4 times in 1 day")


def test_warm_throughput(doors: Doors, table: str) -> None:
    """It grows, and never shrinks."""
    doors.boto.update_table(TableName=table, WarmThroughput={"ReadUnitsPerSecond": 50})
    warm = describe(doors, table)["WarmThroughput"]
    assert (warm["ReadUnitsPerSecond"], warm["WriteUnitsPerSecond"]) == (50, 6)
    assert refusal(doors, table, WarmThroughput={"ReadUnitsPerSecond": 49}) == (
        INVALID + "Requested ReadUnitsPerSecond for WarmThroughput for table is lower than current WarmThroughput, "
        "decreasing WarmThroughput is not supported"
    )


def test_the_table_class(doors: Doors, table: str) -> None:
    """Is told where it is not the usual one, or was not always."""
    assert "TableClassSummary" not in describe(doors, table)
    doors.boto.update_table(TableName=table, TableClass="STANDARD_INFREQUENT_ACCESS")
    summary = describe(doors, table)["TableClassSummary"]
    assert summary["TableClass"] == "STANDARD_INFREQUENT_ACCESS" and "LastUpdateDateTime" in summary


def test_an_update_of_nothing(doors: Doors, table: str) -> None:
    """Is none; nor is one of a table that is not there."""
    assert refusal(doors, table) == (
        "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or "
        "SSESpecification or ReplicaUpdates is required"
    )
    answer = doors.post("UpdateTable", {"TableName": "nowhere", "DeletionProtectionEnabled": True})
    assert answer.error == (400, NOT_FOUND, "Requested resource not found: Table: nowhere not found")


def test_deletion_protection(doors: Doors, table: str) -> None:
    """A protected table stays; it is named by its ARN as well as by its name."""
    described = doors.boto.update_table(TableName=table, DeletionProtectionEnabled=True)["TableDescription"]
    assert (described["TableStatus"], described["DeletionProtectionEnabled"]) == ("ACTIVE", True)
    assert doors.post("DeleteTable", {"TableName": described["TableArn"]}).error == (
        400,
        VALIDATION,
        "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
    )
    doors.boto.update_table(TableName=described["TableArn"], DeletionProtectionEnabled=False)
    assert doors.boto.delete_table(TableName=table)["TableDescription"]["TableStatus"] == "DELETING"


def test_tags(doors: Doors, table: str) -> None:
    """They are set, replaced and removed."""
    arn = describe(doors, table)["TableArn"]
    assert doors.boto.list_tags_of_resource(ResourceArn=arn)["Tags"] == []
    doors.boto.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "1"}, {"Key": "a", "Value": ""}])
    doors.boto.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    listed = doors.boto.list_tags_of_resource(ResourceArn=arn)
    assert listed["Tags"] == [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}]
    assert "NextToken" not in listed
    doors.boto.untag_resource(ResourceArn=arn, TagKeys=["a", "z"])
    assert doors.boto.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    more = [{"Key": f"key-{number}", "Value": ""} for number in range(50)]
    assert doors.post("TagResource", {"ResourceArn": arn, "Tags": more}).error == (
        400,
        VALIDATION,
        INVALID + "Too many tags: a table has at most 50, and would have 51",
    )


def test_tags_of_what_is_not_there(doors: Doors, tables: Tables) -> None:
    """An ARN that is none, or of no table."""
    arn = "arn:aws:dynamodb:local:000000000000:table/nowhere"
    bodies: dict[str, dict[str, Any]] = {
        "TagResource": {"Tags": [{"Key": "a", "Value": "b"}]},
        "UntagResource": {"TagKeys": ["a"]},
        "ListTagsOfResource": {},
    }
    for operation, body in bodies.items():
        assert doors.post(operation, {**body, "ResourceArn": arn}).error == (
            400,
            NOT_FOUND,
            f"Requested resource not found: ResourcArn: {arn} not found",
        )
        message = f"Invalid TableArn: Invalid ResourceArn provided as input {tables.plain}"
        assert doors.post(operation, {**body, "ResourceArn": tables.plain}).error == (400, VALIDATION, message)


def test_tags_from_the_beginning(doors: Doors) -> None:
    """A table may be made with tags, a class, and a protection."""
    name = unique("tagged")
    doors.boto.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "stage", "Value": "test"}],
        TableClass="STANDARD_INFREQUENT_ACCESS",
        DeletionProtectionEnabled=True,
        OnDemandThroughput={"MaxWriteRequestUnits": 9},
    )
    described = describe(doors, name)
    assert described["DeletionProtectionEnabled"] is True
    assert described["TableClassSummary"] == {"TableClass": "STANDARD_INFREQUENT_ACCESS"}
    assert described["OnDemandThroughput"] == {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": 9}
    tags = doors.boto.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
    assert tags == [{"Key": "stage", "Value": "test"}]


def test_time_to_live(doors: Doors) -> None:
    """Off, on, and not changed again within the hour."""
    name = unique("expiring")
    create_table(doors, name)

    def change(attribute: str, enabled: bool) -> Any:
        specification = {"AttributeName": attribute, "Enabled": enabled}
        return doors.post("UpdateTimeToLive", {"TableName": name, "TimeToLiveSpecification": specification})

    off = {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    assert doors.post("DescribeTimeToLive", {"TableName": name}).json == off
    assert change("until", False).error == (400, VALIDATION, "TimeToLive is already disabled")
    on = change("until", True).json
    assert on == {"TimeToLiveSpecification": {"AttributeName": "until", "Enabled": True}}
    assert doors.boto.describe_time_to_live(TableName=name)["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "until",
    }
    assert change("until", True).error == (400, VALIDATION, "TimeToLive is already enabled")
    other = "TimeToLive is active on a different AttributeName: current AttributeName is until"
    assert change("other", True).error == (400, VALIDATION, other)
    soon = "Time to live has been modified multiple times within a fixed interval"
    assert change("until", False).error == (400, VALIDATION, soon)
    missing = "Requested resource not found: Table: nowhere not found"
    assert doors.post("DescribeTimeToLive", {"TableName": "nowhere"}).error == (400, NOT_FOUND, missing)


def test_limits_and_endpoints(doors: Doors) -> None:
    """DynamoDB's initial quotas, and the door that was asked."""
    limits = doors.boto.describe_limits()
    del limits["ResponseMetadata"]
    assert limits == {
        "AccountMaxReadCapacityUnits": 80_000,
        "AccountMaxWriteCapacityUnits": 80_000,
        "TableMaxReadCapacityUnits": 40_000,
        "TableMaxWriteCapacityUnits": 40_000,
    }
    (endpoint,) = doors.boto.describe_endpoints()["Endpoints"]
    assert endpoint == {"Address": f"127.0.0.1:{doors.http_port}", "CachePeriodInMinutes": 1440}
