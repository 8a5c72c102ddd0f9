"""The operations on items as the service model has them. Members are in the order in which DynamoDB checks them.

(It keeps them in a hash table, so that the order is neither the model's nor the alphabet's.)
"""

from __future__ import annotations

from router.requests.shapes import ATTRIBUTE_VALUE, Flag, Integer, ListOf, MapOf, Shape, Structure, Text
from server.model.limits import (
    ATTRIBUTE_NAME_BYTES_MAX,
    BATCH_GET_KEYS_MAX,
    BATCH_WRITE_REQUESTS_MAX,
    CLIENT_TOKEN_LENGTH_MAX,
    TABLE_ARN_LENGTH_MAX,
    TABLE_NAME_LENGTH_MAX,
    TABLE_NAME_LENGTH_MIN,
    TRANSACTION_ITEMS_MAX,
)

_TEXT = Text()
_FLAG = Flag()

NAME = Text(length_min=TABLE_NAME_LENGTH_MIN, length_max=TABLE_NAME_LENGTH_MAX, pattern="[a-zA-Z0-9_.-]+")
"""What tables and indexes may be called."""

TABLE = Text(length_min=1, length_max=TABLE_ARN_LENGTH_MAX)
"""A table's name, or its ARN. Whether it is one is looked at once the rest of the model has been."""

ITEM = MapOf(ATTRIBUTE_VALUE)
NAMES = MapOf(_TEXT)
ATTRIBUTES_TO_GET = ListOf(Text(length_max=ATTRIBUTE_NAME_BYTES_MAX), length_min=1)

CAPACITY = Text(enum=("INDEXES", "TOTAL", "NONE"))
METRICS = Text(enum=("SIZE", "NONE"))
RETURN_VALUES = Text(enum=("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"))
RETURN_ON_FAILURE = Text(enum=("ALL_OLD", "NONE"))
SELECT = Text(enum=("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"))
CONDITIONAL_OPERATOR = Text(enum=("OR", "AND"))
COMPARISON_OPERATOR = Text(
    enum=(
        "IN",
        "NULL",
        "BETWEEN",
        "LT",
        "NOT_CONTAINS",
        "EQ",
        "GT",
        "NOT_NULL",
        "NE",
        "LE",
        "BEGINS_WITH",
        "GE",
        "CONTAINS",
    )
)

LIMIT = Integer(least=1)
SEGMENT = Integer(least=0, most=999_999)
TOTAL_SEGMENTS = Integer(least=1, most=1_000_000)

_VALUES = ListOf(ATTRIBUTE_VALUE)
_EXPECTED = MapOf(
    Structure(
        "ExpectedAttributeValue",
        {
            "AttributeValueList": _VALUES,
            "ComparisonOperator": COMPARISON_OPERATOR,
            "Exists": _FLAG,
            "Value": ATTRIBUTE_VALUE,
        },
    )
)
_CONDITIONS = MapOf(
    Structure(
        "Condition",
        {"AttributeValueList": _VALUES, "ComparisonOperator": COMPARISON_OPERATOR},
        frozenset({"ComparisonOperator"}),
    )
)
_UPDATES = MapOf(
    Structure("AttributeValueUpdate", {"Action": Text(enum=("DELETE", "PUT", "ADD")), "Value": ATTRIBUTE_VALUE})
)

GET_ITEM = Structure(
    "GetItemInput",
    {
        "ExpressionAttributeNames": NAMES,
        "ConsistentRead": _FLAG,
        "ProjectionExpression": _TEXT,
        "AttributesToGet": ATTRIBUTES_TO_GET,
        "ReturnConsumedCapacity": CAPACITY,
        "Key": ITEM,
        "TableName": TABLE,
    },
    frozenset({"TableName", "Key"}),
)

PUT_ITEM = Structure(
    "PutItemInput",
    {
        "ReturnValues": RETURN_VALUES,
        "ConditionalOperator": CONDITIONAL_OPERATOR,
        "Item": ITEM,
        "ConditionExpression": _TEXT,
        "ReturnValuesOnConditionCheckFailure": RETURN_ON_FAILURE,
        "ExpressionAttributeNames": NAMES,
        "ExpressionAttributeValues": ITEM,
        "Expected": _EXPECTED,
        "ReturnConsumedCapacity": CAPACITY,
        "ReturnItemCollectionMetrics": METRICS,
        "TableName": TABLE,
    },
    frozenset({"TableName", "Item"}),
)

DELETE_ITEM = Structure(
    "DeleteItemInput",
    {
        "ReturnValues": RETURN_VALUES,
        "ConditionalOperator": CONDITIONAL_OPERATOR,
        "ConditionExpression": _TEXT,
        "ReturnValuesOnConditionCheckFailure": RETURN_ON_FAILURE,
        "ExpressionAttributeNames": NAMES,
        "ExpressionAttributeValues": ITEM,
        "Expected": _EXPECTED,
        "ReturnConsumedCapacity": CAPACITY,
        "ReturnItemCollectionMetrics": METRICS,
        "Key": ITEM,
        "TableName": TABLE,
    },
    frozenset({"TableName", "Key"}),
)

UPDATE_ITEM = Structure(
    "UpdateItemInput",
    {
        "ConditionExpression": _TEXT,
        "ExpressionAttributeNames": NAMES,
        "Expected": _EXPECTED,
        "ReturnConsumedCapacity": CAPACITY,
        "TableName": TABLE,
        "ReturnValues": RETURN_VALUES,
        "ConditionalOperator": CONDITIONAL_OPERATOR,
        "ReturnValuesOnConditionCheckFailure": RETURN_ON_FAILURE,
        "AttributeUpdates": _UPDATES,
        "ExpressionAttributeValues": ITEM,
        "UpdateExpression": _TEXT,
        "ReturnItemCollectionMetrics": METRICS,
        "Key": ITEM,
    },
    frozenset({"TableName", "Key"}),
)

QUERY = Structure(
    "QueryInput",
    {
        "Select": SELECT,
        "ExpressionAttributeNames": NAMES,
        "IndexName": NAME,
        "ExclusiveStartKey": ITEM,
        "ProjectionExpression": _TEXT,
        "ReturnConsumedCapacity": CAPACITY,
        "QueryFilter": _CONDITIONS,
        "ScanIndexForward": _FLAG,
        "TableName": TABLE,
        "ConditionalOperator": CONDITIONAL_OPERATOR,
        "KeyConditionExpression": _TEXT,
        "ExpressionAttributeValues": ITEM,
        "ConsistentRead": _FLAG,
        "AttributesToGet": ATTRIBUTES_TO_GET,
        "Limit": LIMIT,
        "FilterExpression": _TEXT,
        "KeyConditions": _CONDITIONS,
    },
    frozenset({"TableName"}),
)

SCAN = Structure(
    "ScanInput",
    {
        "Select": SELECT,
        "ExpressionAttributeNames": NAMES,
        "IndexName": NAME,
        "ExclusiveStartKey": ITEM,
        "TotalSegments": TOTAL_SEGMENTS,
        "ProjectionExpression": _TEXT,
        "ReturnConsumedCapacity": CAPACITY,
        "TableName": TABLE,
        "ConditionalOperator": CONDITIONAL_OPERATOR,
        "ScanFilter": _CONDITIONS,
        "ExpressionAttributeValues": ITEM,
        "Segment": SEGMENT,
        "ConsistentRead": _FLAG,
        "Limit": LIMIT,
        "AttributesToGet": ATTRIBUTES_TO_GET,
        "FilterExpression": _TEXT,
    },
    frozenset({"TableName"}),
)

_KEYS_AND_ATTRIBUTES = Structure(
    "KeysAndAttributes",
    {
        "ExpressionAttributeNames": NAMES,
        "Keys": ListOf(ITEM, length_min=1, length_max=BATCH_GET_KEYS_MAX),
        "ConsistentRead": _FLAG,
        "ProjectionExpression": _TEXT,
        "AttributesToGet": ATTRIBUTES_TO_GET,
    },
    frozenset({"Keys"}),
)

BATCH_GET_ITEM = Structure(
    "BatchGetItemInput",
    {
        "RequestItems": MapOf(_KEYS_AND_ATTRIBUTES, keys=TABLE, length_max=BATCH_GET_KEYS_MAX),
        "ReturnConsumedCapacity": CAPACITY,
    },
    frozenset({"RequestItems"}),
)

_WRITE_REQUEST = Structure(
    "WriteRequest",
    {
        "PutRequest": Structure("PutRequest", {"Item": ITEM}, frozenset({"Item"})),
        "DeleteRequest": Structure("DeleteRequest", {"Key": ITEM}, frozenset({"Key"})),
    },
)

BATCH_WRITE_ITEM = Structure(
    "BatchWriteItemInput",
    {
        "RequestItems": MapOf(
            ListOf(_WRITE_REQUEST, length_min=1, length_max=BATCH_WRITE_REQUESTS_MAX),
            keys=TABLE,
            length_max=BATCH_WRITE_REQUESTS_MAX,
        ),
        "ReturnConsumedCapacity": CAPACITY,
        "ReturnItemCollectionMetrics": METRICS,
    },
    frozenset({"RequestItems"}),
)


_CONDITION: dict[str, Shape] = {
    "ConditionExpression": _TEXT,
    "ReturnValuesOnConditionCheckFailure": RETURN_ON_FAILURE,
    "ExpressionAttributeNames": NAMES,
    "ExpressionAttributeValues": ITEM,
}
_KEYED: dict[str, Shape] = {**_CONDITION, "Key": ITEM, "TableName": TABLE}
_KEYED_REQUIRED = frozenset({"TableName", "Key"})
_TRANSACT_WRITE_ITEM = Structure(
    "TransactWriteItem",
    {
        "ConditionCheck": Structure("ConditionCheck", _KEYED, _KEYED_REQUIRED | {"ConditionExpression"}),
        "Put": Structure("Put", {**_CONDITION, "Item": ITEM, "TableName": TABLE}, frozenset({"TableName", "Item"})),
        "Delete": Structure("Delete", _KEYED, _KEYED_REQUIRED),
        "Update": Structure("Update", {"UpdateExpression": _TEXT, **_KEYED}, _KEYED_REQUIRED | {"UpdateExpression"}),
    },
)

TRANSACT_WRITE_ITEMS = Structure(
    "TransactWriteItemsInput",
    {
        "ClientRequestToken": Text(length_min=1, length_max=CLIENT_TOKEN_LENGTH_MAX),
        "ReturnConsumedCapacity": CAPACITY,
        "ReturnItemCollectionMetrics": METRICS,
        "TransactItems": ListOf(_TRANSACT_WRITE_ITEM, length_min=1, length_max=TRANSACTION_ITEMS_MAX),
    },
    frozenset({"TransactItems"}),
)

_GET = Structure(
    "Get",
    {
        "ExpressionAttributeNames": NAMES,
        "ProjectionExpression": _TEXT,
        "Key": ITEM,
        "TableName": TABLE,
    },
    frozenset({"TableName", "Key"}),
)

TRANSACT_GET_ITEMS = Structure(
    "TransactGetItemsInput",
    {
        "ReturnConsumedCapacity": CAPACITY,
        "TransactItems": ListOf(
            Structure("TransactGetItem", {"Get": _GET}, frozenset({"Get"})),
            length_min=1,
            length_max=TRANSACTION_ITEMS_MAX,
        ),
    },
    frozenset({"TransactItems"}),
)
