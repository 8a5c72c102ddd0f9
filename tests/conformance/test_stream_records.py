"""What is recorded of writes, and what is not."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime

import pytest

from tests.conformance.database import Database, Native, key_of, typed, unique
from tests.conformance.streams import VIEW_TYPES, Streams, change_of

pytestmark = pytest.mark.cluster

Item = dict[str, Native]


@pytest.fixture
def streams(database: Database) -> Streams:
    return Streams(database)


def sizes(view_type: str) -> list[int]:
    """Of the records of the test below: a key of 18 and 1 characters under names of 2 each, then `n` and one digit."""
    keys, image = 4 + 19, 4 + 19 + 3
    old, new = ("OLD" in view_type) * image, ("NEW" in view_type) * image
    return [keys + new, keys + old + new, keys + old]


@pytest.mark.parametrize("view_type", VIEW_TYPES)
def test_images(streams: Streams, view_type: str) -> None:
    """An item that is made, changed and deleted: each has the images that the stream's view type names."""
    table, pk = streams.table(view_type), unique()
    first, second = {"pk": pk, "sk": "s", "n": 1}, {"pk": pk, "sk": "s", "n": 2}
    streams.database.put(table, first)
    streams.database.update(table, first, "SET n = :n", n=2)
    streams.database.client.delete_item(TableName=table, Key=typed(key_of(first)))
    records = streams.of_item(table, pk, 3)
    has_old, has_new = "OLD" in view_type, "NEW" in view_type
    assert [change_of(record) for record in records] == [
        ("INSERT", None, first if has_new else None),
        ("MODIFY", first if has_old else None, second if has_new else None),
        ("REMOVE", second if has_old else None, None),
    ]
    for record, size in zip(records, sizes(view_type), strict=True):
        assert record["dynamodb"]["Keys"] == typed(key_of(first))
        assert record["dynamodb"]["StreamViewType"] == view_type
        assert record["dynamodb"]["SizeBytes"] == size


def test_a_record(streams: Streams) -> None:
    """What it has besides."""
    table, pk = streams.table(), unique()
    before = time.time()
    streams.database.put(table, {"pk": pk, "sk": "s"})
    (record,) = streams.of_item(table, pk, 1)
    assert record.keys() == {"eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb"}
    assert (record["eventVersion"], record["eventSource"]) == ("1.1", "aws:dynamodb")
    assert record["awsRegion"] == streams.arn(table).split(":")[3]
    assert len(record["eventID"]) == 32 and int(record["eventID"], 16)
    change = record["dynamodb"]
    created_at = change["ApproximateCreationDateTime"]
    assert created_at.microsecond == 0
    assert -2 < created_at.timestamp() - before < 20
    assert 21 <= len(change["SequenceNumber"]) <= 40 and change["SequenceNumber"].isdecimal()
    assert created_at < datetime.now(UTC)


def test_all_kinds_of_values(streams: Streams) -> None:
    """Come back as they were written."""
    table, pk = streams.table(), unique()
    item: Item = {
        "pk": pk,
        "sk": "s",
        "B": b"\x00\xff",
        "NULL": None,
        "BOOL": False,
        "L": ["a", 1, [b"b"]],
        "M": {"a": {"b": {1, 2}}},
        "SS": {"a", "b"},
        "BS": {b"a"},
    }
    streams.database.put(table, item)
    (record,) = streams.of_item(table, pk, 1)
    assert change_of(record) == ("INSERT", None, item)


def test_every_write_records(streams: Streams) -> None:
    """BatchWriteItem's puts and deletes, and an UpdateItem that makes an item."""
    table, pk = streams.table(), unique()
    items: list[Item] = [{"pk": pk, "sk": str(number)} for number in range(3)]
    puts = [{"PutRequest": {"Item": typed(item)}} for item in items]
    streams.database.client.batch_write_item(RequestItems={table: puts})
    deletes = [{"DeleteRequest": {"Key": typed(item)}} for item in items[1:]]
    streams.database.client.batch_write_item(RequestItems={table: deletes})
    made: Item = {"pk": pk, "sk": "made", "x": "y"}
    streams.database.update(table, made, "SET x = :x", x="y")
    streams.database.put(table, {**items[0], "x": "replaced"})
    records = [change_of(record) for record in streams.of_item(table, pk, 7)]
    by_event = {event: [each for each in records if each[0] == event] for event in ("INSERT", "REMOVE", "MODIFY")}
    inserted = [new for _, _, new in by_event["INSERT"]]
    removed = [old for _, old, _ in by_event["REMOVE"]]
    assert all(item in inserted for item in [*items, made]) and len(inserted) == 4
    assert all(item in removed for item in items[1:]) and len(removed) == 2
    assert by_event["MODIFY"] == [("MODIFY", items[0], {**items[0], "x": "replaced"})]


def test_what_changes_nothing(streams: Streams) -> None:
    """Is not recorded: no consumer has anything to do."""
    table, pk = streams.table(), unique()
    database, client = streams.database, streams.database.client
    item: Item = {"pk": pk, "sk": "s", "n": 1, "set": {"a", "b"}}
    missing: Item = {"pk": pk, "sk": "missing"}
    client.delete_item(TableName=table, Key=typed(missing))
    database.put(table, item)
    database.put(table, item)
    client.put_item(TableName=table, Item={**typed(item), "set": {"SS": ["b", "a"]}})
    client.put_item(TableName=table, Item={**typed(item), "n": {"N": "1.0"}})
    database.update(table, item, "SET n = :n", n=1)
    database.update(table, item, "REMOVE nothing")
    for operation, parameters in (
        ("put_item", {"Item": typed(missing)}),
        ("delete_item", {"Key": typed(key_of(item))}),
        ("update_item", {"Key": typed(key_of(item)), "UpdateExpression": "REMOVE n"}),
    ):
        told = database.refusal(operation, TableName=table, ConditionExpression="attribute_exists(x)", **parameters)
        assert told is not None and told.code == "ConditionalCheckFailedException"
    database.put(table, {**item, "n": 2})
    records = streams.of_item(table, pk, 2)
    assert [change_of(record)[0] for record in records] == ["INSERT", "MODIFY"]


def test_the_order_of_an_items_changes(streams: Streams) -> None:
    """Is the order in which they were made; each is told once, under a number and a name of its own."""
    table, pk = streams.table(), unique()
    for number in range(60):
        streams.database.update(table, {"pk": pk, "sk": "s"}, "SET n = :n", n=number)
    records = streams.of_item(table, pk, 60)
    assert [record["dynamodb"]["NewImage"]["n"]["N"] for record in records] == [str(each) for each in range(60)]
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    assert all(int(one) < int(two) and one < two for one, two in itertools.pairwise(numbers))
    assert len({record["eventID"] for record in records}) == 60


def test_a_record_has_one_name(streams: Streams) -> None:
    """However often it is read."""
    table, pk = streams.table(), unique()
    streams.database.put(table, {"pk": pk, "sk": "s"})
    assert streams.of_item(table, pk, 1) == streams.of_item(table, pk, 1)


def test_large_records(streams: Streams) -> None:
    """A page has about a megabyte, and none is left out; one that is larger than others of a page comes in the next."""
    table, pk = streams.table(), unique()
    (iterator,) = streams.iterators(streams.arn(table), "LATEST")
    items: list[Item] = [{"pk": pk, "sk": str(number), "x": "x" * 390_000} for number in range(4)]
    streams.database.put(table, *items)
    found: list[str] = []
    for records in streams.pages(iterator):
        mine = [each for each in records if each["dynamodb"]["Keys"]["pk"]["S"] == pk]
        assert sum(each["dynamodb"]["SizeBytes"] for each in mine) <= 1_100_000
        found += [each["dynamodb"]["Keys"]["sk"]["S"] for each in mine]
        if len(found) == 4:
            break
    assert found == ["0", "1", "2", "3"]
