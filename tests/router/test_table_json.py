"""Answers on tables as DynamoDB writes them."""

from __future__ import annotations

from typing import Any

from statorpb import tables_pb2

from router.table_json import OPERATIONS, table_to_json

WRITE = {operation.name: operation.write for operation in OPERATIONS}
ARN = "arn:aws:dynamodb:local:000000000000:table/music"


def description(**members: Any) -> tables_pb2.TableDescription:
    """Of a table of an artist's songs, which was made at 1,000 s."""
    message = tables_pb2.TableDescription(
        table_name="music", table_id="1-2-3", status=tables_pb2.ACTIVE, created_at_ms=1_000_500, **members
    )
    message.key_schema.partition_key.name, message.key_schema.partition_key.type = "artist", tables_pb2.S
    message.table_class = message.table_class or tables_pb2.STANDARD
    return message


def test_an_on_demand_table() -> None:
    """With nothing special about it."""
    warm = tables_pb2.WarmThroughput(read_units_per_second=12_000, write_units_per_second=4_000)
    assert table_to_json(description(on_demand_since_ms=1_000_500, warm=warm, items=3, bytes=99)) == {
        "TableName": "music",
        "TableStatus": "ACTIVE",
        "TableArn": ARN,
        "TableId": "1-2-3",
        "CreationDateTime": 1000.5,
        "KeySchema": [{"AttributeName": "artist", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "artist", "AttributeType": "S"}],
        "ProvisionedThroughput": {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": 1000.5},
        "ItemCount": 3,
        "TableSizeBytes": 99,
        "DeletionProtectionEnabled": False,
        "WarmThroughput": {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000, "Status": "ACTIVE"},
    }


def test_a_provisioned_table() -> None:
    """When it changed last is told where it did; its billing mode where it had another one."""
    units = tables_pb2.Throughput(read_capacity_units=5, write_capacity_units=6)
    written = table_to_json(description(provisioned=units))
    assert written["ProvisionedThroughput"] == {
        "NumberOfDecreasesToday": 0,
        "ReadCapacityUnits": 5,
        "WriteCapacityUnits": 6,
    }
    assert "BillingModeSummary" not in written
    changed = description(
        provisioned=units,
        last_increase_at_ms=2_000_000,
        last_decrease_at_ms=3_000_000,
        decreases_today=2,
        on_demand_since_ms=1_500_000,
    )
    changed.status = tables_pb2.UPDATING
    written = table_to_json(changed)
    assert written["ProvisionedThroughput"] == {
        "NumberOfDecreasesToday": 2,
        "ReadCapacityUnits": 5,
        "WriteCapacityUnits": 6,
        "LastIncreaseDateTime": 2000.0,
        "LastDecreaseDateTime": 3000.0,
    }
    assert written["BillingModeSummary"] == {
        "BillingMode": "PROVISIONED",
        "LastUpdateToPayPerRequestDateTime": 1500.0,
    }
    assert (written["TableStatus"], written["WarmThroughput"]["Status"]) == ("UPDATING", "UPDATING")


def test_limits_class_and_protection() -> None:
    """No limit is -1; the class is told where it is not the usual one, or was not always."""
    limits = tables_pb2.OnDemandThroughput(max_write_request_units=7)
    written = table_to_json(description(on_demand=limits, deletion_protection=True))
    assert written["OnDemandThroughput"] == {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": 7}
    assert written["DeletionProtectionEnabled"] is True
    assert "TableClassSummary" not in written
    infrequent = description(table_class=tables_pb2.STANDARD_INFREQUENT_ACCESS)
    assert table_to_json(infrequent)["TableClassSummary"] == {"TableClass": "STANDARD_INFREQUENT_ACCESS"}
    again = description(table_class_changed_at_ms=4_000_000)
    assert table_to_json(again)["TableClassSummary"] == {"TableClass": "STANDARD", "LastUpdateDateTime": 4000.0}


def test_local_indexes() -> None:
    """Each with its key, its projection, its ARN and its size; an attribute is defined once."""
    message = description()
    message.key_schema.sort_key.name, message.key_schema.sort_key.type = "year", tables_pb2.N
    label = tables_pb2.KeyAttribute(name="label", type=tables_pb2.S)
    everything = tables_pb2.Projection(type=tables_pb2.Projection.ALL)
    some = tables_pb2.Projection(type=tables_pb2.Projection.INCLUDE, non_key_attributes=["title"])
    one = tables_pb2.LocalIndex(name="one", sort_key=label, projection=everything)
    two = tables_pb2.LocalIndex(name="two", sort_key=label, projection=some)
    message.local_indexes.add(index=one, items=3, bytes=30)
    message.local_indexes.add(index=two)
    written = table_to_json(message)
    assert written["AttributeDefinitions"] == [
        {"AttributeName": "artist", "AttributeType": "S"},
        {"AttributeName": "year", "AttributeType": "N"},
        {"AttributeName": "label", "AttributeType": "S"},
    ]
    schema = [{"AttributeName": "artist", "KeyType": "HASH"}, {"AttributeName": "label", "KeyType": "RANGE"}]
    assert written["LocalSecondaryIndexes"] == [
        {
            "IndexName": "one",
            "KeySchema": schema,
            "Projection": {"ProjectionType": "ALL"},
            "IndexArn": ARN + "/index/one",
            "ItemCount": 3,
            "IndexSizeBytes": 30,
        },
        {
            "IndexName": "two",
            "KeySchema": schema,
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]},
            "IndexArn": ARN + "/index/two",
            "ItemCount": 0,
            "IndexSizeBytes": 0,
        },
    ]


def test_the_other_answers() -> None:
    """Each in its own shape."""
    made = tables_pb2.CreateTableResponse(table=description())
    for name in ("CreateTable", "UpdateTable", "DeleteTable"):
        assert WRITE[name](made)["TableDescription"]["TableName"] == "music"
    assert WRITE["DescribeTable"](made)["Table"]["TableName"] == "music"
    page = tables_pb2.ListTablesResponse(table_names=["a", "b"])
    assert WRITE["ListTables"](page) == {"TableNames": ["a", "b"]}
    page.last_evaluated_table_name = "b"
    assert WRITE["ListTables"](page) == {"TableNames": ["a", "b"], "LastEvaluatedTableName": "b"}
    limits = tables_pb2.DescribeLimitsResponse(
        account_max_read_capacity_units=4,
        account_max_write_capacity_units=3,
        table_max_read_capacity_units=2,
        table_max_write_capacity_units=1,
    )
    assert WRITE["DescribeLimits"](limits) == {
        "AccountMaxReadCapacityUnits": 4,
        "AccountMaxWriteCapacityUnits": 3,
        "TableMaxReadCapacityUnits": 2,
        "TableMaxWriteCapacityUnits": 1,
    }
    assert WRITE["DescribeEndpoints"]("host:8000") == {
        "Endpoints": [{"Address": "host:8000", "CachePeriodInMinutes": 1440}]
    }
    assert WRITE["TagResource"](tables_pb2.TagResourceResponse()) == {}
    tags = tables_pb2.ListTagsOfResourceResponse(tags=[tables_pb2.Tag(key="a", value="b")])
    assert WRITE["ListTagsOfResource"](tags) == {"Tags": [{"Key": "a", "Value": "b"}]}


def test_time_to_live() -> None:
    """Enabled with an attribute, or disabled without one; a change is repeated as it was asked for."""
    on = tables_pb2.TimeToLive(attribute_name="until", enabled=True)
    assert WRITE["DescribeTimeToLive"](tables_pb2.DescribeTimeToLiveResponse(time_to_live=on)) == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    }
    assert WRITE["DescribeTimeToLive"](tables_pb2.DescribeTimeToLiveResponse()) == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
    }
    off = tables_pb2.TimeToLive(attribute_name="until")
    assert WRITE["UpdateTimeToLive"](tables_pb2.UpdateTimeToLiveResponse(time_to_live=off)) == {
        "TimeToLiveSpecification": {"AttributeName": "until", "Enabled": False}
    }


def test_global_indexes() -> None:
    """Each with its keys, and with how far it is while it is being made."""
    described = tables_pb2.GlobalIndexDescription(
        index=tables_pb2.GlobalIndex(
            name="by-label",
            partition_keys=[tables_pb2.KeyAttribute(name=name, type=tables_pb2.S) for name in ("label", "artist")],
            sort_keys=[tables_pb2.KeyAttribute(name="year", type=tables_pb2.N)],
            projection=tables_pb2.Projection(type=tables_pb2.Projection.INCLUDE, non_key_attributes=["title"]),
            warm=tables_pb2.WarmThroughput(read_units_per_second=12_000, write_units_per_second=4_000),
            on_demand=tables_pb2.OnDemandThroughput(max_read_request_units=7),
        ),
        status=tables_pb2.INDEX_CREATING,
        backfilling=True,
        items=3,
        bytes=99,
    )
    written = table_to_json(description(global_indexes=[described]))
    assert [each["AttributeName"] for each in written["AttributeDefinitions"]] == ["artist", "label", "year"]
    assert written["GlobalSecondaryIndexes"] == [
        {
            "IndexName": "by-label",
            "KeySchema": [
                {"AttributeName": "label", "KeyType": "HASH"},
                {"AttributeName": "artist", "KeyType": "HASH"},
                {"AttributeName": "year", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]},
            "IndexStatus": "CREATING",
            "Backfilling": True,
            "IndexArn": ARN + "/index/by-label",
            "ItemCount": 3,
            "IndexSizeBytes": 99,
            "ProvisionedThroughput": {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
            "OnDemandThroughput": {"MaxReadRequestUnits": 7, "MaxWriteRequestUnits": -1},
            "WarmThroughput": {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000, "Status": "CREATING"},
        }
    ]
    with_table = description(global_indexes=[described])
    with_table.status = tables_pb2.CREATING
    assert "Backfilling" not in table_to_json(with_table)["GlobalSecondaryIndexes"][0]
    described.status = tables_pb2.INDEX_ACTIVE
    described.index.ClearField("on_demand")
    described.index.provisioned.read_capacity_units, described.last_increase_at_ms = 5, 2_000
    (index,) = table_to_json(description(global_indexes=[described]))["GlobalSecondaryIndexes"]
    assert index["IndexStatus"] == index["WarmThroughput"]["Status"] == "ACTIVE"
    assert "Backfilling" not in index
    assert "OnDemandThroughput" not in index
    assert index["ProvisionedThroughput"]["ReadCapacityUnits"] == 5
    assert index["ProvisionedThroughput"]["LastIncreaseDateTime"] == 2.0


def test_a_table_with_a_stream() -> None:
    """Its newest stream is told also where that has ended."""
    on = tables_pb2.StreamSpecification(enabled=True, view_type=tables_pb2.StreamSpecification.KEYS_ONLY)
    label = "2026-11-26T18:30:00.123"
    latest = {"LatestStreamArn": f"{ARN}/stream/{label}", "LatestStreamLabel": label}
    written = table_to_json(description(stream=on, latest_stream_label=label))
    specified = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}}
    without = table_to_json(description())
    assert written == {**without, **specified, **latest}
    assert table_to_json(description(latest_stream_label=label)) == {**without, **latest}
