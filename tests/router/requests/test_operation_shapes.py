"""The descriptions of the operations, against the service model that AWS publishes."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from router.requests import operation_shapes
from router.requests.shapes import ATTRIBUTE_VALUE, Blob, Flag, Integer, ListOf, MapOf, Shape, Structure, Text

MODEL = boto3.client(
    "dynamodb", region_name="local", aws_access_key_id="a", aws_secret_access_key="a"
).meta.service_model
OPERATIONS = {
    "PutItem": operation_shapes.PUT_ITEM,
    "GetItem": operation_shapes.GET_ITEM,
    "DeleteItem": operation_shapes.DELETE_ITEM,
    "UpdateItem": operation_shapes.UPDATE_ITEM,
    "Query": operation_shapes.QUERY,
    "Scan": operation_shapes.SCAN,
    "BatchGetItem": operation_shapes.BATCH_GET_ITEM,
    "BatchWriteItem": operation_shapes.BATCH_WRITE_ITEM,
    "TransactWriteItems": operation_shapes.TRANSACT_WRITE_ITEMS,
    "TransactGetItems": operation_shapes.TRANSACT_GET_ITEMS,
}
KINDS = {
    "string": Text,
    "integer": Integer,
    "boolean": Flag,
    "blob": Blob,
    "list": ListOf,
    "map": MapOf,
    "structure": Structure,
}
TELLS_ITSELF = {"BatchGetRequestMap": 1, "BatchWriteItemRequestMap": 1}
"""Maps whose least length DynamoDB does not check as the model says, but in words of its own."""


def compare(shape: Shape, published: Any, path: str) -> None:
    """That they say the same, at every level."""
    assert type(shape) is KINDS[published.type_name], path
    metadata = published.metadata
    if isinstance(shape, Text):
        assert set(shape.enum) == set(metadata.get("enum", ())), path
        assert shape.pattern == metadata.get("pattern", ""), path
    if isinstance(shape, Integer):
        assert shape.least == metadata["min"], path
        assert shape.most == metadata.get("max", 2**31 - 1), path
    if isinstance(shape, (Text, ListOf, MapOf)):
        assert shape.length_min + TELLS_ITSELF.get(published.name, 0) == metadata.get("min", 0), path
        # The one name that is only a name's and never a value's: expressions check it themselves.
        assert shape.length_max == metadata.get("max") or path.endswith("ExpressionAttributeNames.value"), path
    if isinstance(shape, ListOf):
        compare(shape.element, published.member, path + ".element")
    if isinstance(shape, MapOf):
        if shape.keys is not None:
            compare(shape.keys, published.key, path + ".key")
        compare(shape.value, published.value, path + ".value")
    if isinstance(shape, Structure):
        assert shape.name == published.name, path
        assert shape.members.keys() == published.members.keys(), path
        assert shape.required == set(published.required_members), path
        if shape is ATTRIBUTE_VALUE and path.count("AttributeValue.") > 1:
            return  # it holds itself
        for name, member in shape.members.items():
            compare(member, published.members[name], f"{path}.{shape.name}.{name}")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_description_is_the_models(operation: str) -> None:
    """Members and their types, what is required, every enumeration, range, length and pattern."""
    compare(OPERATIONS[operation], MODEL.operation_model(operation).input_shape, operation)


ORDERS = {
    "PutItem": ["returnValues", "returnConsumedCapacity", "returnItemCollectionMetrics", "tableName"],
    "DeleteItem": ["returnValues", "returnConsumedCapacity", "key"],
    "UpdateItem": ["returnConsumedCapacity", "tableName", "returnValues"],
    "Query": ["select", "indexName", "queryFilter", "tableName", "conditionalOperator", "attributesToGet", "limit"],
    "Scan": ["select", "indexName", "totalSegments", "returnConsumedCapacity", "tableName", "scanFilter", "segment"],
    "TransactWriteItems": ["clientRequestToken", "returnConsumedCapacity", "returnItemCollectionMetrics"],
}


@pytest.mark.parametrize("operation", ORDERS)
def test_the_order_of_members(operation: str) -> None:
    """As it was seen in DynamoDB's messages."""
    names = [name[0].lower() + name[1:] for name in OPERATIONS[operation].members]
    places = [names.index(name) for name in ORDERS[operation]]
    assert places == sorted(places)
