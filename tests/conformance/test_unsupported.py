"""What is not supported yet says so: nothing is silently ignored."""

from __future__ import annotations

from typing import Any

import boto3
import grpc
import pytest

from server.model.table import table_arn
from tests.conformance.conftest import Tables
from tests.conformance.doors import FRAMEWORK, VALIDATION, Doors, GrpcError, unique

pytestmark = pytest.mark.cluster

KEY = {"pk": {"S": "a"}}
BODIES: dict[str, dict[str, Any]] = {
    "PutItem": {"TableName": "plain", "Item": KEY},
    "GetItem": {"TableName": "plain", "Key": KEY},
    "DeleteItem": {"TableName": "plain", "Key": KEY},
    "BatchWriteItem": {"RequestItems": {"plain": [{"DeleteRequest": {"Key": KEY}}]}},
    "BatchGetItem": {"RequestItems": {"plain": {"Keys": [KEY]}}},
    "Scan": {"TableName": "plain", "Limit": 1},
    "UpdateItem": {"TableName": "plain", "Key": {"pk": {"S": "updated"}}},
    "Query": {
        "TableName": "plain",
        "KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}},
    },
    "TransactWriteItems": {"TransactItems": [{"Delete": {"TableName": "plain", "Key": KEY}}]},
    "TransactGetItems": {"TransactItems": [{"Get": {"TableName": "plain", "Key": KEY}}]},
    "CreateTable": {
        "TableName": "never-created",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    },
    "DescribeTable": {"TableName": "plain"},
    "ListTables": {},
    "DeleteTable": {"TableName": "plain"},
    "UpdateTable": {"TableName": "plain", "TableClass": "STANDARD"},
    "DescribeLimits": {},
    "DescribeEndpoints": {},
    "TagResource": {"ResourceArn": table_arn("plain"), "Tags": [{"Key": "a", "Value": "b"}]},
    "UntagResource": {"ResourceArn": table_arn("plain"), "TagKeys": ["c"]},
    "ListTagsOfResource": {"ResourceArn": table_arn("plain")},
    "UpdateTimeToLive": {
        "TableName": "never-created",
        "TimeToLiveSpecification": {"AttributeName": "until", "Enabled": True},
    },
    "DescribeTimeToLive": {"TableName": "plain"},
}
"""A request of each supported operation that would be carried out."""

SUPPORTED = {
    "PutItem": {"TableName", "Item"},
    "GetItem": {"TableName", "Key", "ConsistentRead"},
    "DeleteItem": {"TableName", "Key"},
    "BatchWriteItem": {"RequestItems"},
    "BatchGetItem": {"RequestItems"},
    "Scan": {"TableName", "Limit", "ExclusiveStartKey", "ConsistentRead"},
    "UpdateItem": {"TableName", "Key"},
    "Query": {"TableName", "KeyConditions"},
    "TransactWriteItems": {"TransactItems"},
    "TransactGetItems": {"TransactItems"},
}
"""Of operations on items: what does not ask for more than the least."""

UNSUPPORTED = {
    "CreateTable": [
        "ResourcePolicy",
        "GlobalTableSourceArn",
        "GlobalTableSettingsReplicationMode",
        "VectorIndexes",
    ],
    "UpdateTable": [
        "ReplicaUpdates",
        "MultiRegionConsistency",
        "GlobalTableWitnessUpdates",
        "GlobalTableSettingsReplicationMode",
        "DisassociationProtectionEnabled",
        "VectorIndexUpdates",
    ],
}
NEUTRAL: dict[str, Any] = {
    "ReturnValues": "NONE",
    "ReturnConsumedCapacity": "NONE",
    "ReturnItemCollectionMetrics": "NONE",
    "ReturnValuesOnConditionCheckFailure": "NONE",
    "StreamSpecification": {"StreamEnabled": False},
    "DeletionProtectionEnabled": False,
    "TableClass": "STANDARD",
    "SSESpecification": {"Enabled": False},
    "Tags": [],
}
"""What parameters say that ask for nothing."""

_MODEL = boto3.client(
    "dynamodb", region_name="local", aws_access_key_id="a", aws_secret_access_key="a"
).meta.service_model
UNKNOWN_OPERATIONS = sorted(set(_MODEL.operation_names) - BODIES.keys())
ITEM_OPERATIONS = [
    "PutItem",
    "GetItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "BatchGetItem",
    "Query",
    "Scan",
    "TransactWriteItems",
    "TransactGetItems",
]


def test_the_lists_are_botocores() -> None:
    """The tests below go through the whole of DynamoDB."""
    assert SUPPORTED.keys() == set(ITEM_OPERATIONS)
    assert SUPPORTED.keys() < BODIES.keys() < set(_MODEL.operation_names)
    assert len(UNKNOWN_OPERATIONS) > 35


@pytest.mark.parametrize("operation", [*UNKNOWN_OPERATIONS, "Nothing", "putitem", ""])
def test_an_operation_that_is_not_supported(doors: Doors, operation: str) -> None:
    """DynamoDB's own error for an operation that it does not know, with the name of the operation if it is one of
    DynamoDB's."""
    answer = doors.post(operation, {"TableName": "plain"})
    content = {"__type": FRAMEWORK + "UnknownOperationException"}
    if operation in UNKNOWN_OPERATIONS:
        content["message"] = f"DynamoDB_20120810.{operation} is not supported"
    assert (answer.status, answer.json) == (400, content)


@pytest.mark.parametrize("prefix", ["", "DynamoDBStreams_20120810.", "DynamoDB_20111205."])
def test_an_operation_of_another_service(doors: Doors, prefix: str) -> None:
    """Or of an old version of this one."""
    answer = doors.post("ListTables", {}, target_prefix=prefix)
    assert (answer.status, answer.json) == (400, {"__type": FRAMEWORK + "UnknownOperationException"})


@pytest.mark.parametrize("method", ["Items/ExecuteTransaction", "Tables/Nothing", "Nothing/Nothing", "Session/Nothing"])
def test_a_method_that_is_not_supported(doors: Doors, method: str) -> None:
    """gRPC's own answer."""
    error = doors.call(method, b"")
    assert isinstance(error, GrpcError)
    assert error.status == grpc.StatusCode.UNIMPLEMENTED


def some(shape: Any) -> Any:
    """A value of a parameter that asks for something."""
    if values := shape.metadata.get("enum"):
        return next(value for value in values if value not in NEUTRAL.values())
    if shape.type_name == "structure":
        return {name: some(member) for name, member in list(shape.members.items())[:1]}
    if shape.type_name == "list":
        return [some(shape.member)]
    if shape.type_name == "map":
        return {"a": some(shape.value)}
    return {"integer": 1, "long": 1, "boolean": True}.get(shape.type_name, "a")


@pytest.mark.parametrize(
    ("operation", "name"), [(operation, name) for operation, names in UNSUPPORTED.items() for name in names]
)
def test_a_parameter_that_is_not_supported(doors: Doors, tables: Tables, operation: str, name: str) -> None:
    """The error names it; what it would have changed is not left out in silence."""
    value = some(_MODEL.operation_model(operation).input_shape.members[name])
    status, type_, message = doors.post(operation, {**BODIES[operation], name: value}).error
    assert (status, type_) == (400, VALIDATION)
    assert message.startswith(f"The parameter {name} ")
    assert message.endswith(f"of {operation} is not supported yet")


@pytest.mark.parametrize("operation", BODIES.keys() - {"CreateTable", "DeleteTable", "UpdateTimeToLive"})
def test_a_parameter_that_is_not_dynamodbs(doors: Doors, tables: Tables, operation: str) -> None:
    """Is ignored, as DynamoDB ignores it."""
    assert doors.post(operation, {**BODIES[operation], "ConsistentReed": True}).status == 200


def test_parameters_that_ask_for_nothing(doors: Doors, tables: Tables) -> None:
    """Tools send them: accepted, as is null."""
    for operation in ITEM_OPERATIONS:
        members = _MODEL.operation_model(operation).input_shape.members
        neutral = {name: NEUTRAL.get(name) for name in members if name not in SUPPORTED[operation]}
        assert doors.post(operation, {**BODIES[operation], **neutral}).status == 200, operation
    members = _MODEL.operation_model("CreateTable").input_shape.members
    neutral = {name: NEUTRAL.get(name) for name in members if name not in BODIES["CreateTable"]}
    body = {**BODIES["CreateTable"], **neutral, "TableName": unique("neutral")}
    assert doors.post("CreateTable", body).status == 200


def test_nothing_was_created_or_deleted(doors: Doors, tables: Tables) -> None:
    """What was refused above has not been done on the side."""
    names = doors.boto.list_tables()["TableNames"]
    assert "never-created" not in names and "plain" in names
