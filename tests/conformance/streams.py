"""Streams as their consumers read them, through boto3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from tests.conformance.database import Database, Native, Refusal, native, refusal_of

SETTLED_S_MAX = 20.0
"""Until a stream is on, or off, or tells what was written; it takes hundredths of a second."""

VIEW_TYPES = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")

Record = dict[str, Any]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SETTLED_S_MAX
    while not condition():
        assert time.monotonic() < end, f"not so within {SETTLED_S_MAX:g} s"
        time.sleep(0.01)


class Streams:
    """Those of a database's tables."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.client = database.streams

    def table(self, view_type: str = "NEW_AND_OLD_IMAGES", alias: str = "") -> str:
        """A table of this run with a stream, key pk (S), sk (S). Tests share it, unless it has an alias."""
        specification = {"StreamEnabled": True, "StreamViewType": view_type}
        name = alias or f"recorded-{view_type.lower().replace('_', '-')}"
        return self.database.table(name, pk="S", sk="S", StreamSpecification=specification)

    def arn(self, table: str) -> str:
        """Of the table's newest stream."""
        arn: str = self.database.client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        return arn

    def describe(self, arn: str, **parameters: Any) -> Any:
        return self.client.describe_stream(StreamArn=arn, **parameters)["StreamDescription"]

    def wait(self, arn: str, status: str) -> Any:
        """The stream, once it has that status."""
        until(lambda: self.describe(arn)["StreamStatus"] == status)
        return self.describe(arn)

    def switch(self, table: str, view_type: str = "") -> str:
        """Enables a stream, or disables the one there is; its ARN, once it is so."""
        specification: dict[str, Any] = {"StreamEnabled": bool(view_type)}
        if view_type:
            specification["StreamViewType"] = view_type
        described = self.database.client.update_table(TableName=table, StreamSpecification=specification)
        arn: str = described["TableDescription"]["LatestStreamArn"]
        self.wait(arn, "ENABLED" if view_type else "DISABLED")
        return arn

    def iterators(self, arn: str, kind: str = "TRIM_HORIZON", **more: Any) -> list[str]:
        """One of each shard."""
        return [
            self.client.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=kind, **more)[
                "ShardIterator"
            ]
            for shard in self.describe(arn)["Shards"]
        ]

    def pages(self, iterator: str, **parameters: Any) -> Iterator[list[Record]]:
        """What is in a shard from there on, for ever or until its end."""
        following: str | None = iterator
        while following:
            answer = self.client.get_records(ShardIterator=following, **parameters)
            following = answer.get("NextShardIterator")
            yield answer["Records"]

    def read(self, iterators: list[str], count: int, pk: str = "") -> list[Record]:
        """The first `count` records, of one partition key or of all, in the order of each shard."""
        found: list[Record] = []
        pages = [self.pages(iterator) for iterator in iterators]
        end = time.monotonic() + SETTLED_S_MAX
        while len(found) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} records"
            for each in pages:
                found += [record for record in next(each, []) if pk in ("", record["dynamodb"]["Keys"]["pk"]["S"])]
        assert len(found) == count
        return found

    def of_item(self, table: str, pk: str, count: int) -> list[Record]:
        """The records of a partition key, of which there are `count`."""
        return self.read(self.iterators(self.arn(table)), count, pk)

    def refusal(self, operation: str, **parameters: Any) -> Refusal | None:
        """How an operation is refused; None: it is carried out."""
        try:
            getattr(self.client, operation)(**parameters)
        except ClientError as error:
            return refusal_of(error)
        return None


def change_of(record: Record) -> tuple[str, dict[str, Native] | None, dict[str, Native] | None]:
    """(event, old image, new image); None: the record has no such image."""
    change = record["dynamodb"]
    old, new = change.get("OldImage"), change.get("NewImage")
    return record["eventName"], None if old is None else native(old), None if new is None else native(new)
