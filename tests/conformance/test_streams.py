"""Streams of tables: what there are, how they begin and end, and where in them consumers can begin."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conformance.database import INVALID, Database, Refusal, invalid, unique
from tests.conformance.streams import Streams, until

pytestmark = pytest.mark.cluster

LENGTH = (
    "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must have length greater "
    "than or equal to {}"
)


@pytest.fixture
def streams(database: Database) -> Streams:
    return Streams(database)


def missing(arn: str) -> Refusal:
    return Refusal("ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found")


NO_SHARD = Refusal("ResourceNotFoundException", "Requested resource not found: Shard does not exist")


def another(arn: str) -> str:
    """An ARN of the same table and of no stream."""
    return arn[: arn.rindex("/") + 1] + "2015-05-05T05:05:05.555"


# What there is


def test_a_table_with_a_stream(streams: Streams) -> None:
    """Says so, and the stream is on when the table is active."""
    table = streams.table()
    described = streams.database.client.describe_table(TableName=table)["Table"]
    assert described["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    label, arn = described["LatestStreamLabel"], described["LatestStreamArn"]
    assert arn == f"{described['TableArn']}/stream/{label}"
    stream = streams.describe(arn)
    (shard,) = stream.pop("Shards")
    created_at = stream.pop("CreationRequestDateTime")
    assert 0 < time.time() - created_at.timestamp() < 600
    assert stream == {
        "StreamArn": arn,
        "StreamLabel": label,
        "StreamStatus": "ENABLED",
        "StreamViewType": "NEW_AND_OLD_IMAGES",
        "TableName": table,
        "KeySchema": described["KeySchema"],
    }
    assert 28 <= len(shard["ShardId"]) <= 65
    assert shard["SequenceNumberRange"].keys() == {"StartingSequenceNumber"}
    assert streams.describe(arn, ExclusiveStartShardId=shard["ShardId"])["Shards"] == []
    assert streams.describe(arn, ExclusiveStartShardId="z" * 28)["Shards"] == []
    children = {"Type": "CHILD_SHARDS", "ShardId": shard["ShardId"]}
    assert streams.describe(arn, ShardFilter=children)["Shards"] == []


def test_a_table_without_a_stream(streams: Streams) -> None:
    """Says nothing of any."""
    table = streams.database.plain
    described = streams.database.client.describe_table(TableName=table)["Table"]
    assert not [name for name in described if "Stream" in name]
    assert streams.client.list_streams(TableName=table)["Streams"] == []


def test_streams_are_listed(streams: Streams) -> None:
    """Page by page; each once."""
    arns = {streams.arn(streams.table()), streams.arn(streams.table("KEYS_ONLY"))}
    listed: list[str] = []
    start: dict[str, str] = {}
    while True:
        answer = streams.client.list_streams(Limit=1, **start)
        assert len(answer["Streams"]) <= 1
        for each in answer["Streams"]:
            assert each["StreamArn"].endswith(f":table/{each['TableName']}/stream/{each['StreamLabel']}")
        listed += [each["StreamArn"] for each in answer["Streams"]]
        if "LastEvaluatedStreamArn" not in answer:
            break
        start = {"ExclusiveStartStreamArn": answer["LastEvaluatedStreamArn"]}
    assert arns <= set(listed) and len(listed) == len(set(listed))
    everything = [each["StreamArn"] for each in streams.client.list_streams()["Streams"]]
    assert everything == listed[: len(everything)]
    table = streams.table()
    (own,) = streams.client.list_streams(TableName=table)["Streams"]
    assert own == {"StreamArn": streams.arn(table), "TableName": table, "StreamLabel": own["StreamLabel"]}


# Beginning and end


def test_a_streams_life(streams: Streams) -> None:
    """It records from when it is on, and ends; what it has recorded stays, also when another begins."""
    database = streams.database
    table = database.table(unique("life"), pk="S", sk="S")
    database.put(table, {"pk": "a", "sk": "before"})
    first = streams.switch(table, "KEYS_ONLY")
    assert streams.refusal("get_shard_iterator", StreamArn=another(first), ShardId="x" * 28, ShardIteratorType="LATEST")
    database.put(table, {"pk": "a", "sk": "during"})
    assert streams.switch(table) == first
    described = database.client.describe_table(TableName=table)["Table"]
    assert "StreamSpecification" not in described
    assert described["LatestStreamArn"] == first
    database.put(table, {"pk": "a", "sk": "between"})
    second = streams.switch(table, "NEW_IMAGE")
    assert second != first
    assert streams.arn(table) == second
    database.put(table, {"pk": "a", "sk": "after"})
    assert [each["StreamArn"] for each in streams.client.list_streams(TableName=table)["Streams"]] == [first, second]

    (shard,) = streams.describe(first)["Shards"]
    numbers = shard["SequenceNumberRange"]
    (iterator,) = streams.iterators(first)
    told = [record for page in streams.pages(iterator) for record in page]
    assert [record["dynamodb"]["Keys"]["sk"]["S"] for record in told] == ["during"]
    sequence = told[0]["dynamodb"]["SequenceNumber"]
    assert numbers["StartingSequenceNumber"] <= sequence <= numbers["EndingSequenceNumber"]
    (record,) = streams.read(streams.iterators(second), 1)
    assert record["dynamodb"]["Keys"]["sk"]["S"] == "after"

    beyond = str(int(numbers["EndingSequenceNumber"]) + 1).zfill(21)
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        refused = streams.refusal(
            "get_shard_iterator",
            StreamArn=first,
            ShardId=shard["ShardId"],
            ShardIteratorType=kind,
            SequenceNumber=beyond,
        )
        assert refused == invalid(f"Invalid SequenceNumber: {beyond} is not within the shard's range")
    (ended,) = streams.iterators(first, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers["EndingSequenceNumber"])
    answer = streams.client.get_records(ShardIterator=ended)
    assert answer["Records"] == [] and "NextShardIterator" not in answer


def test_a_stream_that_cannot_begin_or_end(streams: Streams) -> None:
    """There is one, or there is none."""
    database, table = streams.database, streams.table()
    for view_type in ("NEW_AND_OLD_IMAGES", "KEYS_ONLY"):
        specification = {"StreamEnabled": True, "StreamViewType": view_type}
        refused = database.refusal("update_table", TableName=table, StreamSpecification=specification)
        assert refused == invalid(f"Table already has an enabled stream: TableName: {table}")
    refused = database.refusal("update_table", TableName=database.plain, StreamSpecification={"StreamEnabled": False})
    assert refused == invalid(f"Table has no stream to disable: TableName: {database.plain}")


@pytest.mark.parametrize(
    ("operation", "specification", "message"),
    [
        (
            "create_table",
            {"StreamEnabled": True},
            INVALID + "Table is being created with a stream enabled, UpdateViewType is required",
        ),
        (
            "create_table",
            {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"},
            INVALID + "Table is being created with a stream disabled, UpdateViewType should not be specified",
        ),
        (
            "update_table",
            {"StreamEnabled": True},
            INVALID + "If stream is being enabled then UpdateViewType is required",
        ),
        (
            "update_table",
            {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"},
            INVALID + "If stream is being disabled, then UpdateViewType must not be specified",
        ),
        (
            "update_table",
            {"StreamEnabled": True, "StreamViewType": "Fisk"},
            "1 validation error detected: Value 'Fisk' at 'streamSpecification.streamViewType' failed to satisfy "
            "constraint: Member must satisfy enum value set: [NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES, KEYS_ONLY]",
        ),
    ],
)
def test_what_cannot_be_asked_for(
    streams: Streams, operation: str, specification: dict[str, Any], message: str
) -> None:
    """Of any table."""
    table: dict[str, Any] = {"TableName": streams.database.plain}
    if operation == "create_table":
        table = {
            "TableName": unique("never"),
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
    assert streams.database.refusal(operation, StreamSpecification=specification, **table) == invalid(message)


def test_a_deleted_tables_stream(streams: Streams) -> None:
    """Goes with it."""
    table = streams.table(alias=unique("gone"))
    arn = streams.arn(table)
    (iterator,) = streams.iterators(arn)
    streams.database.client.delete_table(TableName=table)
    until(lambda: streams.refusal("describe_stream", StreamArn=arn) is not None)
    assert streams.refusal("describe_stream", StreamArn=arn) == missing(arn)
    assert arn not in [each["StreamArn"] for each in streams.client.list_streams()["Streams"]]
    until(lambda: streams.refusal("get_records", ShardIterator=iterator) is not None)
    told = streams.refusal("get_records", ShardIterator=iterator)
    assert told is not None and told.code == "ResourceNotFoundException"


# Places


def test_where_to_begin(streams: Streams) -> None:
    """With the oldest record, behind the newest, at a number or behind it, at a time."""
    database, table = streams.database, streams.table(alias=unique("places"))
    arn = streams.arn(table)
    database.put(table, {"pk": "a", "sk": "0"}, {"pk": "a", "sk": "1"})
    (latest,) = streams.iterators(arn, "LATEST")
    written = int(time.time())
    until(lambda: int(time.time()) > written)  # boto3 tells whole seconds
    between = time.time()
    database.put(table, {"pk": "a", "sk": "2"})
    records = streams.read(streams.iterators(arn), 3)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]

    def told(iterators: list[str], count: int) -> list[str]:
        return [record["dynamodb"]["Keys"]["sk"]["S"] for record in streams.read(iterators, count)]

    assert told([latest], 1) == ["2"]
    assert told(streams.iterators(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=numbers[1]), 2) == ["1", "2"]
    assert told(streams.iterators(arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1]), 1) == ["2"]
    assert told(streams.iterators(arn, "AT_TIMESTAMP", Timestamp=0), 3) == ["0", "1", "2"]
    assert told(streams.iterators(arn, "AT_TIMESTAMP", Timestamp=int(between)), 1) == ["2"]
    (future,) = streams.iterators(arn, "AT_TIMESTAMP", Timestamp=int(between) + 3600)
    assert streams.client.get_records(ShardIterator=future)["Records"] == []
    database.put(table, {"pk": "a", "sk": "3"})
    assert told([future], 1) == ["3"]
    (shard,) = streams.describe(arn)["Shards"]
    start = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    assert told(streams.iterators(arn, "AT_SEQUENCE_NUMBER", SequenceNumber=start), 4) == ["0", "1", "2", "3"]
    assert told(streams.iterators(arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=start), 4) == ["0", "1", "2", "3"]


def test_a_consumer(streams: Streams) -> None:
    """That reads a few records at a time, while others write, is told everything once, in the order of each item; an
    iterator can be used again."""
    database, table = streams.database, streams.table(alias=unique("consumed"))
    (iterator,) = streams.iterators(streams.arn(table))
    pages = streams.pages(iterator, Limit=3)
    found: list[tuple[str, str]] = []
    for number in range(20):
        for pk in ("a", "b"):
            database.update(table, {"pk": pk, "sk": "s"}, "SET n = :n", n=number)
        page = next(pages)
        assert len(page) <= 3
        found += [(each["dynamodb"]["Keys"]["pk"]["S"], each["dynamodb"]["NewImage"]["n"]["N"]) for each in page]
    while len(found) < 40:
        page = next(pages)
        found += [(each["dynamodb"]["Keys"]["pk"]["S"], each["dynamodb"]["NewImage"]["n"]["N"]) for each in page]
    assert found == [(pk, str(number)) for number in range(20) for pk in ("a", "b")]
    assert next(pages) == []
    again = [streams.client.get_records(ShardIterator=iterator, Limit=2)["Records"] for _ in range(2)]
    assert again[0] == again[1] and len(again[0]) == 2


# Errors


def test_streams_that_are_not_there(streams: Streams) -> None:
    """Or are no streams at all."""
    table = streams.table()
    arn = streams.arn(table)
    absent = another(arn)
    (shard,) = streams.describe(arn)["Shards"]
    asked = {"ShardId": shard["ShardId"], "ShardIteratorType": "LATEST"}
    assert streams.refusal("describe_stream", StreamArn=absent) == missing(absent)
    assert streams.refusal("get_shard_iterator", StreamArn=absent, **asked) == missing(absent)
    nonsense = "sdfadfsdfnlfkajakfgjalksfgklasjklasdjfklasdfasdfgasf"
    for operation, parameters in (
        ("describe_stream", {"StreamArn": nonsense}),
        ("get_shard_iterator", {"StreamArn": nonsense, **asked}),
        ("list_streams", {"ExclusiveStartStreamArn": nonsense}),
    ):
        assert streams.refusal(operation, **parameters) == invalid(f"Invalid StreamArn: {nonsense}")
    assert streams.refusal("list_streams", TableName="no-such-table") == Refusal(
        "ResourceNotFoundException", "Requested resource not found: Table: no-such-table not found"
    )


def test_what_is_not_as_the_model_has_it(streams: Streams) -> None:
    """Is refused before anything is looked for."""
    arn = streams.arn(streams.table())
    for operation, parameters, message in (
        ("describe_stream", {"StreamArn": "arn"}, LENGTH.format("arn", "streamArn", 37)),
        ("list_streams", {"TableName": "ab"}, LENGTH.format("ab", "tableName", 3)),
        ("get_records", {"ShardIterator": ""}, LENGTH.format("", "shardIterator", 1)),
        ("get_records", {"ShardIterator": "sdfsdfsgagaddafgagasgasgasdf"}, "Invalid ShardIterator"),
        ("get_records", {"ShardIterator": f"{arn}|1|AAAA"}, "Invalid ShardIterator"),
        (
            "get_records",
            {},
            "1 validation error detected: Value null at 'shardIterator' failed to satisfy constraint: Member must not "
            "be null",
        ),
        (
            "get_records",
            {"ShardIterator": "x", "Limit": 1001},
            "1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: Member must have value "
            "less than or equal to 1000",
        ),
        (
            "list_streams",
            {"Limit": 0},
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value "
            "greater than or equal to 1",
        ),
    ):
        assert streams.refusal(operation, **parameters) == invalid(message)


def test_places_that_are_not_there(streams: Streams) -> None:
    """Or are not said well."""
    arn = streams.arn(streams.table())
    (shard,) = streams.describe(arn)["Shards"]
    known = {"StreamArn": arn, "ShardId": shard["ShardId"]}
    start = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    below = str(int(start) - 2).zfill(21)
    for kind, parameters, message in (
        (
            "LATEST",
            {"SequenceNumber": start},
            INVALID + "SequenceNumber must not be specified when ShardIteratorType is LATEST",
        ),
        (
            "TRIM_HORIZON",
            {"Timestamp": 1},
            INVALID + "Timestamp must not be specified when ShardIteratorType is TRIM_HORIZON",
        ),
        ("AT_SEQUENCE_NUMBER", {}, INVALID + "ShardIteratorType AT_SEQUENCE_NUMBER requires SequenceNumber"),
        ("AFTER_SEQUENCE_NUMBER", {}, INVALID + "ShardIteratorType AFTER_SEQUENCE_NUMBER requires SequenceNumber"),
        ("AT_TIMESTAMP", {}, INVALID + "ShardIteratorType AT_TIMESTAMP requires Timestamp"),
        ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "x" * 21}, f"Invalid SequenceNumber: {'x' * 21}"),
        (
            "AT_SEQUENCE_NUMBER",
            {"SequenceNumber": below},
            f"Invalid SequenceNumber: {below} is not within the shard's range",
        ),
        ("AT_SEQUENCE_NUMBER", {"SequenceNumber": "7"}, LENGTH.format("7", "sequenceNumber", 21)),
        (
            "bulle",
            {},
            "1 validation error detected: Value 'bulle' at 'shardIteratorType' failed to satisfy constraint: Member "
            "must satisfy enum value set: [TRIM_HORIZON, LATEST, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, "
            "AT_TIMESTAMP]",
        ),
    ):
        refused = streams.refusal("get_shard_iterator", **known, ShardIteratorType=kind, **parameters)
        assert refused == invalid(message), kind
    for shard_id in ("semprinidfaasdasfsdvacsdcfsdsvsdvsdvsdvsdvsdv", shard["ShardId"][:-1] + "x"):
        asked = {"StreamArn": arn, "ShardId": shard_id, "ShardIteratorType": "LATEST"}
        assert streams.refusal("get_shard_iterator", **asked) == NO_SHARD
