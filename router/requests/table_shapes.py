"""The operations on tables as the service model has them. Members are in the order in which DynamoDB checks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from router.requests.constraints import check_constraints
from router.requests.deserialisation import normalise
from router.requests.operation_shapes import NAME
from router.requests.shapes import LONG_MAX, Flag, Integer, ListOf, Shape, Structure, Text
from server.model.errors import ResourceNotFoundError, ValidationError
from server.model.limits import (
    KEY_NAME_BYTES_MAX,
    LIST_TABLES_MAX,
    NON_KEY_ATTRIBUTES_MAX,
    TAG_KEY_LENGTH_MAX,
    TAG_VALUE_LENGTH_MAX,
)
from server.model.table import TABLE_CLASSES, is_reserved, named_table

INVALID = "One or more parameter values were invalid: "

_TEXT = Text()
_FLAG = Flag()
_UNITS = Integer(least=1, most=LONG_MAX)
_LONG = Integer(least=-LONG_MAX, most=LONG_MAX)
_KEY_NAME = Text(length_min=1, length_max=KEY_NAME_BYTES_MAX)
_TAG_KEY = Text(length_min=1, length_max=TAG_KEY_LENGTH_MAX)

_DEFINITIONS = ListOf(
    Structure(
        "AttributeDefinition",
        {"AttributeName": _KEY_NAME, "AttributeType": Text(enum=("B", "N", "S"))},
        frozenset({"AttributeName", "AttributeType"}),
    )
)
_KEY_ELEMENT = Structure(
    "KeySchemaElement",
    {"AttributeName": _KEY_NAME, "KeyType": Text(enum=("HASH", "RANGE"))},
    frozenset({"AttributeName", "KeyType"}),
)
_KEY_SCHEMA = ListOf(_KEY_ELEMENT, length_min=1, length_max=2)
_PROJECTION = Structure(
    "Projection",
    {
        "ProjectionType": Text(enum=("ALL", "INCLUDE", "KEYS_ONLY")),
        "NonKeyAttributes": ListOf(
            Text(length_min=1, length_max=KEY_NAME_BYTES_MAX), length_min=1, length_max=NON_KEY_ATTRIBUTES_MAX
        ),
    },
)
_LOCAL_INDEXES = ListOf(
    Structure(
        "LocalSecondaryIndex",
        {"IndexName": NAME, "KeySchema": _KEY_SCHEMA, "Projection": _PROJECTION},
        frozenset({"IndexName", "KeySchema", "Projection"}),
    )
)
_BILLING_MODE = Text(enum=("PROVISIONED", "PAY_PER_REQUEST"))
_THROUGHPUT = Structure(
    "ProvisionedThroughput",
    {"WriteCapacityUnits": _UNITS, "ReadCapacityUnits": _UNITS},
    frozenset({"WriteCapacityUnits", "ReadCapacityUnits"}),
)
_ON_DEMAND = Structure("OnDemandThroughput", {"MaxReadRequestUnits": _LONG, "MaxWriteRequestUnits": _LONG})
_WARM = Structure("WarmThroughput", {"ReadUnitsPerSecond": _LONG, "WriteUnitsPerSecond": _LONG})
_INDEX_THROUGHPUT: dict[str, Shape] = {
    "ProvisionedThroughput": _THROUGHPUT,
    "OnDemandThroughput": _ON_DEMAND,
    "WarmThroughput": _WARM,
}
_GLOBAL_INDEX: dict[str, Shape] = {
    "IndexName": NAME,
    "KeySchema": ListOf(_KEY_ELEMENT, length_min=1),
    "Projection": _PROJECTION,
    **_INDEX_THROUGHPUT,
}
_GLOBAL_INDEX_REQUIRED = frozenset({"IndexName", "KeySchema", "Projection"})
_GLOBAL_INDEXES = ListOf(Structure("GlobalSecondaryIndex", _GLOBAL_INDEX, _GLOBAL_INDEX_REQUIRED))
_GLOBAL_INDEX_UPDATES = ListOf(
    Structure(
        "GlobalSecondaryIndexUpdate",
        {
            "Update": Structure(
                "UpdateGlobalSecondaryIndexAction",
                {"IndexName": NAME, **_INDEX_THROUGHPUT},
                frozenset({"IndexName"}),
            ),
            "Create": Structure("CreateGlobalSecondaryIndexAction", _GLOBAL_INDEX, _GLOBAL_INDEX_REQUIRED),
            "Delete": Structure("DeleteGlobalSecondaryIndexAction", {"IndexName": NAME}, frozenset({"IndexName"})),
        },
    )
)
_TABLE_CLASS = Text(enum=TABLE_CLASSES)
_STREAM = Structure(
    "StreamSpecification",
    {
        "StreamEnabled": _FLAG,
        "StreamViewType": Text(enum=("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")),
    },
    frozenset({"StreamEnabled"}),
)
_ENCRYPTION = Structure(
    "SSESpecification", {"Enabled": _FLAG, "SSEType": Text(enum=("AES256", "KMS")), "KMSMasterKeyId": _TEXT}
)
_TAGS = ListOf(
    Structure(
        "Tag",
        {"Key": _TAG_KEY, "Value": Text(length_max=TAG_VALUE_LENGTH_MAX)},
        frozenset({"Key", "Value"}),
    )
)

CREATE_TABLE = Structure(
    "CreateTableInput",
    {
        "AttributeDefinitions": _DEFINITIONS,
        "TableName": _TEXT,
        "BillingMode": _BILLING_MODE,
        "ProvisionedThroughput": _THROUGHPUT,
        "KeySchema": _KEY_SCHEMA,
        "LocalSecondaryIndexes": _LOCAL_INDEXES,
        "GlobalSecondaryIndexes": _GLOBAL_INDEXES,
        "OnDemandThroughput": _ON_DEMAND,
        "WarmThroughput": _WARM,
        "TableClass": _TABLE_CLASS,
        "DeletionProtectionEnabled": _FLAG,
        "StreamSpecification": _STREAM,
        "SSESpecification": _ENCRYPTION,
        "Tags": _TAGS,
    },
    frozenset({"AttributeDefinitions", "TableName", "KeySchema"}),
)
UPDATE_TABLE = Structure(
    "UpdateTableInput",
    {
        "AttributeDefinitions": _DEFINITIONS,
        "TableName": _TEXT,
        "BillingMode": _BILLING_MODE,
        "ProvisionedThroughput": _THROUGHPUT,
        "GlobalSecondaryIndexUpdates": _GLOBAL_INDEX_UPDATES,
        "OnDemandThroughput": _ON_DEMAND,
        "WarmThroughput": _WARM,
        "TableClass": _TABLE_CLASS,
        "DeletionProtectionEnabled": _FLAG,
        "StreamSpecification": _STREAM,
        "SSESpecification": _ENCRYPTION,
    },
    frozenset({"TableName"}),
)
DESCRIBE_TABLE = Structure("DescribeTableInput", {"TableName": _TEXT}, frozenset({"TableName"}))
DELETE_TABLE = Structure("DeleteTableInput", {"TableName": _TEXT}, frozenset({"TableName"}))
LIST_TABLES = Structure(
    "ListTablesInput", {"ExclusiveStartTableName": NAME, "Limit": Integer(least=1, most=LIST_TABLES_MAX)}
)
UPDATE_TIME_TO_LIVE = Structure(
    "UpdateTimeToLiveInput",
    {
        "TableName": _TEXT,
        "TimeToLiveSpecification": Structure(
            "TimeToLiveSpecification",
            {"AttributeName": _KEY_NAME, "Enabled": _FLAG},
            frozenset({"AttributeName", "Enabled"}),
        ),
    },
    frozenset({"TableName", "TimeToLiveSpecification"}),
)
DESCRIBE_TIME_TO_LIVE = Structure("DescribeTimeToLiveInput", {"TableName": _TEXT}, frozenset({"TableName"}))
TAG_RESOURCE = Structure("TagResourceInput", {"ResourceArn": _TEXT, "Tags": _TAGS})
UNTAG_RESOURCE = Structure("UntagResourceInput", {"ResourceArn": _TEXT, "TagKeys": ListOf(_TAG_KEY)})
LIST_TAGS = Structure("ListTagsOfResourceInput", {"ResourceArn": _TEXT, "NextToken": _TEXT})


def read_body(shape: Structure, body: Mapping[str, Any], *, is_json: bool) -> Mapping[str, Any]:
    """What the model has of a body, checked against it; `TableName` is a name, also where it was an ARN. Raises
    ValidationError or SerializationError; and ResourceNotFoundError for the system's own tables, but where one is to be
    made."""
    content: dict[str, Any] = _without_nulls(normalise(shape, body, is_json=is_json))
    if content.get("TableName") is not None:
        content["TableName"] = named_table(content["TableName"])
    check_constraints(shape, content)
    name = content.get("TableName", "")
    if is_reserved(name) and shape is not CREATE_TABLE:
        raise no_table(name)
    return content


def no_table(name: str) -> ResourceNotFoundError:
    """What is said where there is no such table."""
    return ResourceNotFoundError(f"Requested resource not found: Table: {name} not found")


def _without_nulls(value: Any) -> Any:
    """A list is read as if what is null in it were not there."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items()}
    return [_without_nulls(each) for each in value if each is not None] if isinstance(value, list) else value


def refuse(body: Mapping[str, Any], operation: str, names: Iterable[str]) -> None:
    """Raises ValidationError for a parameter that this operation does not support yet."""
    for name in names:
        if body.get(name) is not None:
            raise ValidationError(f"The parameter {name} of {operation} is not supported yet")
