"""boto3's resources: tables as objects, native values, conditions that are built of objects, pages and waiters."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

from tests.conformance.clients.conftest import REGION, Server
from tests.conformance.database import ACCESS_KEY_ID, SECRET_ACCESS_KEY, unique

pytestmark = pytest.mark.cluster

WAITER = {"Delay": 0.05, "MaxAttempts": 400}

Item = dict[str, Any]


@pytest.fixture(scope="module")
def resource(server: Server) -> Iterator[Any]:
    opened = boto3.resource(
        "dynamodb",
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )
    yield opened
    opened.meta.client.close()


@pytest.fixture(scope="module")
def table(resource: Any) -> Any:
    """Key pk (S), sk (N); a local index by-name (name: S, ALL)."""
    created = create_table(resource, unique("resource"))
    created.wait_until_exists(WaiterConfig=WAITER)
    return created


def create_table(resource: Any, name: str) -> Any:
    keys = (("pk", "S"), ("sk", "N"), ("name", "S"))
    index_keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "name", "KeyType": "RANGE"}]
    return resource.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys],
        LocalSecondaryIndexes=[
            {"IndexName": "by-name", "KeySchema": index_keys, "Projection": {"ProjectionType": "ALL"}}
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def test_the_life_of_a_table(resource: Any) -> None:
    """A table's attributes are its description, and it comes and goes as the waiters expect."""
    name = unique("life")
    table = create_table(resource, name)
    assert table.table_status == "CREATING"
    table.wait_until_exists(WaiterConfig=WAITER)
    table.reload()
    assert table.table_status == "ACTIVE"
    assert table.key_schema == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert table.billing_mode_summary["BillingMode"] == "PAY_PER_REQUEST"
    assert [index["IndexName"] for index in table.local_secondary_indexes] == ["by-name"]
    assert table.global_secondary_indexes is None
    assert table.table_arn.endswith(f":table/{name}")
    assert table.creation_date_time.tzinfo is not None
    assert name in {each.name for each in resource.tables.all()}
    assert len(list(resource.tables.limit(1))) == 1

    updated = table.update(
        BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
    )
    assert updated.provisioned_throughput["ReadCapacityUnits"] == 3
    table.wait_until_exists(WaiterConfig=WAITER)

    table.delete()
    table.wait_until_not_exists(WaiterConfig=WAITER)
    with pytest.raises(resource.meta.client.exceptions.ResourceNotFoundException):
        table.reload()


def test_every_type(table: Any) -> None:
    """What is put is what is got."""
    item = {
        "pk": unique(),
        "sk": Decimal("-1.5"),
        "text": "grün, 緑, 🟩",
        "empty": "",
        "number": Decimal("12345678901234567890.123456789012345678"),
        "tiny": Decimal("1E-130"),
        "binary": Binary(bytes(range(256))),
        "true": True,
        "null": None,
        "list": ["a", 1, [b"", {}]],
        "map": {"a.b": {"c": [False]}},
        "strings": {"a", "b"},
        "numbers": {1, Decimal("2.5")},
        "binaries": {Binary(b"a"), Binary(b"\x00")},
    }
    table.put_item(Item=item)
    found = table.get_item(Key={"pk": item["pk"], "sk": item["sk"]}, ConsistentRead=True)["Item"]
    assert found == item
    assert table.put_item(Item=item, ReturnValues="ALL_OLD")["Attributes"] == item
    assert "Item" not in table.get_item(Key={"pk": item["pk"], "sk": 0})


def test_updates(table: Any) -> None:
    """All four clauses of an update, and each kind of return values."""
    key = {"pk": unique(), "sk": 1}
    table.put_item(Item={**key, "ls": ["a"], "tags": {"x", "y"}, "gone": True, "nested": {"k": {"l": [1, 2]}}})

    def update(expression: str, returned: str, **values: Any) -> Item:
        arguments: Item = {"ExpressionAttributeValues": {f":{name}": each for name, each in values.items()}}
        answer = table.update_item(
            Key=key, UpdateExpression=expression, ReturnValues=returned, **(arguments if values else {})
        )
        attributes: Item = answer.get("Attributes", {})
        return attributes

    assert update("ADD hits :one", "UPDATED_NEW", one=1) == {"hits": 1}
    assert update("SET ls2 = list_append(ls, :l)", "NONE", l=["b"]) == {}
    assert update("SET nested.k.l[1] = nested.k.l[0] + :n", "UPDATED_NEW", n=4) == {"nested": {"k": {"l": [5]}}}
    assert update("DELETE tags :x", "UPDATED_OLD", x={"x"}) == {"tags": {"x", "y"}}
    assert update("SET hits = if_not_exists(hits, :z) - :n, made = :n REMOVE gone", "UPDATED_OLD", z=0, n=3) == {
        "hits": 1,
        "gone": True,
    }
    after = update("REMOVE nested.k", "ALL_NEW")
    assert after["hits"] == -2
    assert after["ls2"] == ["a", "b"]
    assert after["tags"] == {"y"}
    assert after["nested"] == {}
    assert update("SET made = :n", "ALL_OLD", n=0) == after


def test_a_condition_that_fails(table: Any, resource: Any) -> None:
    """It is an exception of the client's, with the item as it is."""
    key = {"pk": unique(), "sk": 1}
    item = {**key, "owner": "a", "tags": {"x"}}
    table.put_item(Item=item, ConditionExpression=Attr("pk").not_exists())
    client = resource.meta.client
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as failed:
        table.put_item(
            Item=item,
            ConditionExpression=Attr("pk").not_exists() | Attr("owner").eq("b"),
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert failed.value.response["Error"]["Message"] == "The conditional request failed"
    assert failed.value.response["Item"]["owner"] in ({"S": "a"}, "a")
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        table.delete_item(Key=key, ConditionExpression=Attr("tags").contains("y"))
    assert (
        table.delete_item(
            Key=key,
            ConditionExpression=Attr("tags").contains("x") & Attr("owner").is_in(["a", "b"]),
            ReturnValues="ALL_OLD",
        )["Attributes"]
        == item
    )


COLLECTION = [
    {"sk": 1, "name": "b", "size": 10, "label": "one", "tags": {"x"}, "inner": {"deep": [1, 2]}},
    {"sk": 2, "name": "a", "size": 20, "label": "two", "tags": {"x", "y"}},
    {"sk": 3, "name": "c", "size": 30, "label": "three", "kind": "special"},
    {"sk": 10, "name": "ab", "size": 40, "label": "ten", "inner": {"deep": [3]}},
    {"sk": -5, "size": 50, "label": "minus"},
]


@pytest.fixture(scope="module")
def collection(table: Any) -> str:
    """The partition key of the items of COLLECTION."""
    pk = unique()
    with table.batch_writer() as batch:
        for item in COLLECTION:
            batch.put_item(Item={"pk": pk, **item})
    return pk


def query(table: Any, condition: ConditionBase, **parameters: Any) -> list[Any]:
    """The sort keys of what is found."""
    answer = table.query(KeyConditionExpression=condition, ConsistentRead=True, **parameters)
    assert answer["Count"] == len(answer["Items"])
    return [item["sk"] for item in answer["Items"]]


def test_key_conditions(table: Any, collection: str) -> None:
    """Every condition on keys that can be built; of the table and of its index; both ways."""
    pk = Key("pk").eq(collection)
    assert query(table, pk) == [-5, 1, 2, 3, 10]
    assert query(table, pk, ScanIndexForward=False) == [10, 3, 2, 1, -5]
    assert query(table, pk & Key("sk").eq(2)) == [2]
    assert query(table, pk & Key("sk").lt(2)) == [-5, 1]
    assert query(table, pk & Key("sk").lte(2)) == [-5, 1, 2]
    assert query(table, pk & Key("sk").gt(2)) == [3, 10]
    assert query(table, pk & Key("sk").gte(2)) == [2, 3, 10]
    assert query(table, pk & Key("sk").between(1, 3)) == [1, 2, 3]
    assert query(table, pk, IndexName="by-name") == [2, 10, 1, 3]
    assert query(table, pk & Key("name").begins_with("a"), IndexName="by-name") == [2, 10]


def test_filters(table: Any, collection: str) -> None:
    """Every condition on attributes that can be built."""
    pk = Key("pk").eq(collection)
    for condition, expected in (
        (Attr("size").eq(10), [1]),
        (Attr("size").ne(10), [-5, 2, 3, 10]),
        (Attr("size").between(20, 40) & ~Attr("size").eq(30), [2, 10]),
        (Attr("label").begins_with("t"), [2, 3, 10]),
        (Attr("label").is_in(["one", "ten"]), [1, 10]),
        (Attr("tags").contains("y"), [2]),
        (Attr("kind").exists(), [3]),
        (Attr("kind").not_exists() & Attr("size").gt(20), [-5, 10]),
        (Attr("tags").attribute_type("SS"), [1, 2]),
        (Attr("label").size().gt(4), [-5, 3]),
        (Attr("inner.deep[0]").eq(3), [10]),
        (Attr("size").lt(20) | Attr("size").gte(50), [-5, 1]),
    ):
        assert query(table, pk, FilterExpression=condition) == expected, condition.get_expression()


def test_projections_and_counts(table: Any, collection: str) -> None:
    pk = Key("pk").eq(collection)
    answer = table.query(
        KeyConditionExpression=pk & Key("sk").eq(1),
        ConsistentRead=True,
        ProjectionExpression="#n, #i.deep[1]",
        ExpressionAttributeNames={"#n": "name", "#i": "inner"},
    )
    assert answer["Items"] == [{"name": "b", "inner": {"deep": [2]}}]
    counted = table.query(
        KeyConditionExpression=pk, FilterExpression=Attr("size").gt(20), Select="COUNT", ConsistentRead=True
    )
    assert (counted["Count"], counted["ScannedCount"], "Items" in counted) == (3, 5, False)


def test_batches(table: Any, resource: Any) -> None:
    """The batch writer divides what is more than a batch, keeps the last of duplicates, and everything arrives."""
    pk = unique()
    with table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
        for number in range(120):
            batch.put_item(Item={"pk": pk, "sk": number % 60, "round": number // 60})
        batch.delete_item(Key={"pk": pk, "sk": 0})
    found = table.query(KeyConditionExpression=Key("pk").eq(pk), ConsistentRead=True)["Items"]
    assert found == [{"pk": pk, "sk": number, "round": 1} for number in range(1, 60)]

    answer = resource.batch_get_item(
        RequestItems={
            table.name: {"Keys": [{"pk": pk, "sk": number} for number in range(100)], "ConsistentRead": True}
        },
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["UnprocessedKeys"] == {}
    assert sorted(item["sk"] for item in answer["Responses"][table.name]) == list(range(1, 60))
    assert answer["ConsumedCapacity"] == [{"TableName": table.name, "CapacityUnits": 100}]


def test_pages(table: Any, resource: Any) -> None:
    """The paginators of Query, Scan, ListTables and ListTagsOfResource follow every page to its end."""
    client, pk = resource.meta.client, unique()
    with table.batch_writer() as batch:
        for number in range(25):
            batch.put_item(Item={"pk": pk, "sk": number, "name": f"n{24 - number:02}"})
    for parameters, expected in (
        ({}, list(range(25))),
        ({"IndexName": "by-name"}, list(range(24, -1, -1))),
    ):
        pages = list(
            client.get_paginator("query").paginate(
                TableName=table.name,
                KeyConditionExpression=Key("pk").eq(pk),
                ConsistentRead=True,
                PaginationConfig={"PageSize": 7},
                **parameters,
            )
        )
        assert [item["sk"] for page in pages for item in page["Items"]] == expected
        assert [page["Count"] for page in pages] == [7, 7, 7, 4]

    found = [
        item["sk"]
        for segment in range(3)
        for page in client.get_paginator("scan").paginate(
            TableName=table.name,
            Segment=segment,
            TotalSegments=3,
            FilterExpression=Attr("pk").eq(pk),
            ConsistentRead=True,
            PaginationConfig={"PageSize": 10},
        )
        for item in page["Items"]
    ]
    assert sorted(found) == list(range(25))

    names = client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1}).search("TableNames[]")
    assert table.name in list(names)
    client.tag_resource(ResourceArn=table.table_arn, Tags=[{"Key": f"k{n:02}", "Value": str(n)} for n in range(12)])
    tags = client.get_paginator("list_tags_of_resource").paginate(ResourceArn=table.table_arn)
    assert sorted(tag["Key"] for page in tags for tag in page["Tags"]) == [f"k{n:02}" for n in range(12)]


def test_errors_have_their_classes(table: Any, resource: Any) -> None:
    client = resource.meta.client
    with pytest.raises(client.exceptions.ResourceInUseException):
        create_table(resource, table.name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        resource.Table("missing").get_item(Key={"pk": "a"})
    with pytest.raises(ClientError, match="The provided key element does not match the schema"):
        table.get_item(Key={"pk": "a"})
    with pytest.raises(ClientError, match="Query condition missed key schema element: pk"):
        table.query(KeyConditionExpression=Key("sk").eq(1))
