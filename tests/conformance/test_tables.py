"""CreateTable, DescribeTable, ListTables and DeleteTable."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from statorpb import tables_pb2

from tests.conformance.conftest import Tables, create_table
from tests.conformance.doors import IN_USE, NOT_FOUND, VALIDATION, Doors, GrpcError, Refusal, unique

pytestmark = pytest.mark.cluster


def body(name: str, **changes: Any) -> dict[str, Any]:
    """A request to create a table, with some members changed; None: left out."""
    members = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}


def test_a_tables_life(doors: Doors) -> None:
    """CREATING, ACTIVE, DELETING, gone; boto3's waiters see it."""
    name = unique("life")
    created = doors.boto.create_table(**body(name))["TableDescription"]
    assert (created["TableName"], created["TableStatus"]) == (name, "CREATING")
    doors.boto.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    described = doors.boto.describe_table(TableName=name)["Table"]
    assert described["TableStatus"] == "ACTIVE"
    assert described["TableId"] == created["TableId"]
    doors.boto.put_item(TableName=name, Item={"pk": {"S": "a"}})
    assert doors.boto.delete_table(TableName=name)["TableDescription"]["TableStatus"] == "DELETING"
    doors.boto.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    assert name not in doors.boto.list_tables(ExclusiveStartTableName=name[:-1])["TableNames"]
    doors.boto.create_table(**body(name))
    doors.boto.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    assert "Item" not in doors.boto.get_item(TableName=name, Key={"pk": {"S": "a"}}, ConsistentRead=True)


def test_a_description_has_dynamodbs_members(doors: Doors) -> None:
    """Of a table with a sort key and a throughput, and of one on demand."""
    name = unique("described")
    provisioned = body(
        name,
        AttributeDefinitions=[
            {"AttributeName": "sk", "AttributeType": "N"},
            {"AttributeName": "pk", "AttributeType": "B"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode=None,
        ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 3},
    )
    table = doors.boto.create_table(**provisioned)["TableDescription"]
    assert table["KeySchema"] == provisioned["KeySchema"]
    assert sorted(table["AttributeDefinitions"], key=str) == sorted(provisioned["AttributeDefinitions"], key=str)
    assert table["ProvisionedThroughput"] == {
        "NumberOfDecreasesToday": 0,
        "ReadCapacityUnits": 7,
        "WriteCapacityUnits": 3,
    }
    assert "BillingModeSummary" not in table
    assert table["TableArn"].endswith(f":table/{name}")
    age = datetime.datetime.now(datetime.UTC) - table["CreationDateTime"]
    assert abs(age) < datetime.timedelta(minutes=1)
    assert (table["ItemCount"], table["TableSizeBytes"]) == (0, 0)
    on_demand = doors.boto.create_table(**body(unique("demand")))["TableDescription"]
    assert on_demand["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert on_demand["ProvisionedThroughput"]["ReadCapacityUnits"] == 0


def test_a_table_that_exists(doors: Doors, tables: Tables) -> None:
    """Is not created again, whatever its key."""
    message = f"Table already exists: {tables.plain}"
    assert doors.post("CreateTable", body(tables.plain)).error == (400, IN_USE, message)
    request = tables_pb2.CreateTableRequest(table_name=tables.plain)
    request.key_schema.partition_key.name = "other"
    request.key_schema.partition_key.type = tables_pb2.N
    error = doors.call("Tables/CreateTable", request)
    assert isinstance(error, GrpcError) and error.refusal == Refusal("ResourceInUseException", message)
    with pytest.raises(doors.boto.exceptions.ResourceInUseException):
        doors.boto.create_table(**body(tables.plain))


def test_a_table_that_does_not_exist(doors: Doors) -> None:
    """Is neither described nor deleted."""
    message = "Requested resource not found: Table: nowhere not found"
    for operation in ("DescribeTable", "DeleteTable"):
        assert doors.post(operation, {"TableName": "nowhere"}).error == (400, NOT_FOUND, message)
    with pytest.raises(doors.boto.exceptions.ResourceNotFoundException):
        doors.boto.describe_table(TableName="nowhere")


PK, SK = ({"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk"))
HASH, RANGE = {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TableName": "ab"}, "TableName must be at least 3 characters long and at most 255 characters long"),
        ({"TableName": "a/b"}, "at 'tableName' failed to satisfy constraint"),
        ({"AttributeDefinitions": []}, "Invalid KeySchema: Some index key attribute have no definition"),
        (
            {"AttributeDefinitions": [{**PK, "AttributeName": "other"}]},
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [pk], AttributeDefinitions: "
            "[other]",
        ),
        ({"AttributeDefinitions": [PK, PK]}, "Duplicate attribute definition: pk"),
        ({"AttributeDefinitions": [{**PK, "AttributeType": "M"}]}, "Member must satisfy enum value set: [B, N, S]"),
        ({"AttributeDefinitions": [PK, {**PK, "AttributeName": "more"}]}, "does not exactly match"),
        (
            {"KeySchema": []},
            "at 'keySchema' failed to satisfy constraint: Member must have length greater than or equal",
        ),
        ({"KeySchema": [{**RANGE, "AttributeName": "pk"}]}, "The first KeySchemaElement is not a HASH key type"),
        (
            {"AttributeDefinitions": [PK, SK], "KeySchema": [HASH, {**RANGE, "KeyType": "HASH"}]},
            "The second KeySchemaElement is not a RANGE key type",
        ),
        ({"AttributeDefinitions": [PK, SK], "KeySchema": [HASH, {**HASH, "KeyType": "RANGE"}]}, "have the same name"),
        ({"BillingMode": "FREE"}, "Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]"),
        ({"BillingMode": None}, "must both be specified when BillingMode is PROVISIONED"),
        (
            {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}},
            "can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"BillingMode": None, "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 1}},
            "at 'provisionedThroughput.readCapacityUnits' failed to satisfy constraint",
        ),
        (
            {
                "AttributeDefinitions": [{**PK, "AttributeName": "x" * 256}],
                "KeySchema": [{**HASH, "AttributeName": "x" * 256}],
            },
            "Member must have length less than or equal to 255",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_that_cannot_be(doors: Doors, changes: dict[str, Any], message: str) -> None:
    """The error says what is wrong with it, and it does not come to be."""
    name = unique("impossible")
    status, type_, said = doors.post("CreateTable", body(name, **changes)).error
    assert (status, type_) == (400, VALIDATION)
    assert message in said
    assert doors.post("DescribeTable", {"TableName": name}).error[1] == NOT_FOUND


def test_a_table_has_at_most_256_partitions(doors: Doors) -> None:
    """When it is created."""
    request = tables_pb2.CreateTableRequest(table_name=unique("many"), partitions=257)
    request.key_schema.partition_key.name = "pk"
    request.key_schema.partition_key.type = tables_pb2.S
    error = doors.call("Tables/CreateTable", request)
    assert isinstance(error, GrpcError)
    assert error.refusal.message == "a table has at most 256 partitions when it is created, not 257"


def test_a_list_has_pages(doors: Doors) -> None:
    """In the order of the names; a full page names its last, where more follow."""
    prefix = unique("listed")
    names = [f"{prefix}-{letter}" for letter in "abcde"]
    for name in names:
        doors.boto.create_table(**body(name))
    found: list[str] = []
    start = prefix
    for expected in (names[:2], names[2:4]):
        page = doors.boto.list_tables(ExclusiveStartTableName=start, Limit=2)
        assert page["TableNames"] == expected
        assert page["LastEvaluatedTableName"] == expected[-1]
        found += page["TableNames"]
        start = page["LastEvaluatedTableName"]
    request = tables_pb2.ListTablesRequest(limit=2, exclusive_start_table_name=prefix)
    reply = tables_pb2.ListTablesResponse.FromString(doors.call("Tables/ListTables", request))
    assert (list(reply.table_names), reply.last_evaluated_table_name) == (names[:2], names[1])
    everything = [name for page in doors.boto.get_paginator("list_tables").paginate() for name in page["TableNames"]]
    assert everything == sorted(set(everything)) and set(names) <= set(everything)
    last = doors.boto.list_tables(ExclusiveStartTableName=everything[-1])
    assert last["TableNames"] == [] and "LastEvaluatedTableName" not in last


@pytest.mark.parametrize(("limit", "relation"), [(0, "greater than or equal to 1"), (101, "less than or equal to 100")])
def test_a_page_of_a_list_has_1_to_100_names(doors: Doors, limit: int, relation: str) -> None:
    """As DynamoDB has it."""
    assert doors.post("ListTables", {"Limit": limit}).error == (
        400,
        VALIDATION,
        f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value "
        f"{relation}",
    )


def test_a_table_whose_throughput_needs_several_partitions(doors: Doors) -> None:
    """3,000 reads and 1,000 writes a second are one partition's share."""
    name = unique("wide")
    throughput = {"ReadCapacityUnits": 6_001, "WriteCapacityUnits": 1}
    doors.boto.create_table(**body(name, BillingMode=None, ProvisionedThroughput=throughput))
    request = tables_pb2.DescribeTableRequest(table_name=name)
    reply = tables_pb2.DescribeTableResponse.FromString(doors.call("Tables/DescribeTable", request))
    assert reply.table.partitions == 3


def test_names_may_have_every_character_that_is_allowed(doors: Doors) -> None:
    """And 255 of them."""
    name = unique("aZ0_.-").ljust(255, "x")
    create_table(doors, name)
    assert doors.post("PutItem", {"TableName": name, "Item": {"pk": {"S": "a"}}}).status == 200
