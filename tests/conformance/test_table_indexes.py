"""CreateTable with local secondary indexes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.doors import VALIDATION, Doors, unique

pytestmark = pytest.mark.cluster

INVALID = "One or more parameter values were invalid: "
KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]


def index(name: str, key: str = "a", **projection: Any) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": key, "KeyType": "RANGE"}],
        "Projection": projection or {"ProjectionType": "ALL"},
    }


def body(*indexes: dict[str, Any], attributes: str = "pk sk a", **changes: Any) -> dict[str, Any]:
    return {
        "TableName": unique("indexed"),
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in attributes.split()],
        "KeySchema": KEYS,
        "BillingMode": "PAY_PER_REQUEST",
        "LocalSecondaryIndexes": list(indexes),
        **changes,
    }


def test_indexes_are_described(doors: Doors) -> None:
    """As they were asked for, with their ARNs and sizes."""
    indexes = [
        index("all"),
        index("keys", "b", ProjectionType="KEYS_ONLY"),
        index("some", "a", ProjectionType="INCLUDE", NonKeyAttributes=["x", "y"]),
    ]
    request = body(*indexes, attributes="pk sk a b")
    created = doors.boto.create_table(**request)["TableDescription"]
    name = created["TableName"]
    doors.boto.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    for table in (created, doors.boto.describe_table(TableName=name)["Table"]):
        assert table["LocalSecondaryIndexes"] == [
            {
                **each,
                "IndexArn": f"{table['TableArn']}/index/{each['IndexName']}",
                "ItemCount": 0,
                "IndexSizeBytes": 0,
            }
            for each in indexes
        ]
        assert sorted(each["AttributeName"] for each in table["AttributeDefinitions"]) == ["a", "b", "pk", "sk"]


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (body(), "List of LocalSecondaryIndexes is empty"),
        (
            body(index("idx"), attributes="pk a", KeySchema=KEYS[:1]),
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ),
        (
            body({**index("idx"), "KeySchema": KEYS[:1]}),
            "Index KeySchema does not have a range key for index: idx",
        ),
        (
            body({**index("idx"), "KeySchema": [{**KEYS[0], "AttributeName": "a"}, KEYS[1]]}),
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: idx. index hash "
            "key: a, table hash key: pk",
        ),
        (
            body(index("idx", "b")),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [pk, b], AttributeDefinitions: "
            "[pk, sk, a]",
        ),
        (
            body(index("idx"), attributes="pk sk a b"),
            "Some AttributeDefinitions are not used. AttributeDefinitions: [pk, sk, a, b], keys used: [pk, sk, a]",
        ),
        (body(index("idx"), index("idx")), "Duplicate index name: idx"),
        (body({**index("idx"), "Projection": {}}), "Unknown ProjectionType: null"),
        (
            body(index("idx", ProjectionType="KEYS_ONLY", NonKeyAttributes=["x"])),
            "ProjectionType is KEYS_ONLY, but NonKeyAttributes is specified",
        ),
        (
            body(index("idx", ProjectionType="INCLUDE")),
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        ),
        (
            body(*(index(f"idx-{number}") for number in range(6))),
            "Number of LocalSecondaryIndexes exceeds per-table limit of 5",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_indexes_that_cannot_be(doors: Doors, request_body: dict[str, Any], message: str) -> None:
    """In DynamoDB's words."""
    assert doors.post("CreateTable", request_body).error == (400, VALIDATION, INVALID + message)


@pytest.mark.parametrize(
    ("request_body", "path", "constraint"),
    [
        (body(index("ab")), "indexName", "Member must have length greater than or equal to 3"),
        (body(index("a/b")), "indexName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
        (
            body(index("idx", ProjectionType="SOME")),
            "projection.projectionType",
            "Member must satisfy enum value set: [ALL, INCLUDE, KEYS_ONLY]",
        ),
        (
            body(index("idx", ProjectionType="INCLUDE", NonKeyAttributes=[f"a{each}" for each in range(21)])),
            "projection.nonKeyAttributes",
            "Member must have length less than or equal to 20",
        ),
    ],
    ids=["short name", "name", "projection", "attributes"],
)
def test_what_the_model_forbids(doors: Doors, request_body: dict[str, Any], path: str, constraint: str) -> None:
    """Is told with the place where it is."""
    _, type_, message = doors.post("CreateTable", request_body).error
    assert type_ == VALIDATION
    assert message.startswith("1 validation error detected: Value '")
    assert message.endswith(f"at 'localSecondaryIndexes.1.member.{path}' failed to satisfy constraint: {constraint}")


def test_five_indexes(doors: Doors) -> None:
    """As many as a table may have."""
    doors.boto.create_table(**body(*(index(f"idx-{number}") for number in range(5))))
