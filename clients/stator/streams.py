"""The asynchronous client's operations on streams."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any, overload

from statorpb import passthrough_pb2, streams_pb2

from stator.changes import TIMEOUT_S_DEFAULT, AsyncChanges, Source
from stator.checkpoints import CheckpointStore
from stator.descriptions import TableDescription
from stator.errors import ResourceNotFoundError
from stator.shard_reader import STREAMS
from stator.stream_descriptions import (
    RecordsPage,
    ShardDescription,
    ShardIteratorType,
    StreamDescription,
    StreamSummary,
    change,
    shard_description,
    stream_description,
    stream_summary,
    wire_position,
)
from stator.stream_progress import Start
from stator.transport import Transport
from stator.typed_items import ObjectT, reader_of
from stator.values import Item


class StreamOperations(ABC):
    """What a client can do with streams."""

    _changes: "weakref.WeakSet[AsyncChanges[Any]]"

    @abstractmethod
    def _transport(self) -> Transport: ...

    @abstractmethod
    def _limit_s(self, timeout_s: float | None) -> float: ...

    @abstractmethod
    async def describe_table(self, name: str, *, timeout_s: float | None = None) -> TableDescription: ...

    @overload
    def changes(
        self,
        table: str,
        start: Start = "oldest",
        *,
        checkpoint: CheckpointStore | None = None,
        stream: str | None = None,
        follow: bool = True,
        as_type: None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> AsyncChanges[Item]: ...

    @overload
    def changes(
        self,
        table: str,
        start: Start = "oldest",
        *,
        checkpoint: CheckpointStore | None = None,
        stream: str | None = None,
        follow: bool = True,
        as_type: type[ObjectT],
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> AsyncChanges[ObjectT]: ...

    def changes(
        self,
        table: str,
        start: Start = "oldest",
        *,
        checkpoint: CheckpointStore | None = None,
        stream: str | None = None,
        follow: bool = True,
        as_type: Any = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> AsyncChanges[Any]:
        """The changes of a table that has a stream, as they come: see `AsyncChanges`.

        `start`: "oldest", "latest", a datetime (with its time zone), or what `AsyncChanges.checkpoint` returned.
        `checkpoint` is where that is kept, and found again by the next one, which then goes on from there instead: it
        is saved once a second and at the end. A checkpoint belongs to one stream.

        `stream` is the ARN of one that is not the table's newest. Without `follow` it ends when there are no more
        changes for the time being. `timeout_s`: how long nothing may come of a shard before UnavailableError.

        Raises, once it is iterated over, ResourceNotFoundError where the table has no stream, TrimmedDataAccessError
        where changes behind the checkpoint are not kept any more, ValidationError.

            saved = stator.FileCheckpoint("music.checkpoint")
            async with client.changes("music", checkpoint=saved) as changes:
                async for change in changes:
                    print(change.event, change.keys)
        """
        read = None if as_type is None else reader_of(as_type)
        source = Source(table, stream, self._transport, lambda: self._latest_stream(table), self.describe_stream)
        made = AsyncChanges[Any](source, start, checkpoint, read, timeout_s, follow=follow)
        self._changes.add(made)
        return made

    async def list_streams(
        self, table: str | None = None, *, timeout_s: float | None = None
    ) -> AsyncIterator[StreamSummary]:
        """All streams, or those of a table: also ones that were turned off, for a day. `timeout_s` bounds each page.

        arns = [stream.stream_arn async for stream in client.list_streams("music")]
        """
        async for page in self.list_stream_pages(table, timeout_s=timeout_s):
            for summary in page:
                yield summary

    async def list_stream_pages(
        self, table: str | None = None, *, timeout_s: float | None = None
    ) -> AsyncGenerator[list[StreamSummary], None]:
        """As `list_streams`, a list for each page."""
        request = streams_pb2.ListStreamsRequest(table_name=table or "")
        while True:
            response = await self._transport().unary(
                STREAMS + "ListStreams", request, streams_pb2.ListStreamsResponse, self._limit_s(timeout_s)
            )
            yield [stream_summary(wire) for wire in response.streams]
            request.exclusive_start_stream_arn = response.last_evaluated_stream_arn
            if not response.last_evaluated_stream_arn:
                return

    async def describe_stream(self, stream_arn: str, *, timeout_s: float | None = None) -> StreamDescription:
        """A stream and all of its shards. `timeout_s` bounds each page of these. Raises ResourceNotFoundError."""
        request = streams_pb2.DescribeStreamRequest(stream_arn=stream_arn)
        shards: list[ShardDescription] = []
        while True:
            response = await self._transport().unary(
                STREAMS + "DescribeStream", request, streams_pb2.DescribeStreamResponse, self._limit_s(timeout_s)
            )
            shards += map(shard_description, response.stream.shards)
            request.exclusive_start_shard_id = response.stream.last_evaluated_shard_id
            if not response.stream.last_evaluated_shard_id:
                return stream_description(response.stream, tuple(shards))

    async def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: ShardIteratorType,
        *,
        sequence_number: str | None = None,
        timestamp: datetime | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """Where in a shard to begin, for `get_records`; good for 15 minutes. `changes` needs none of this.

        Raises ResourceNotFoundError, TrimmedDataAccessError, ValidationError.
        """
        request = streams_pb2.GetShardIteratorRequest(
            stream_arn=stream_arn,
            shard_id=shard_id,
            position=wire_position(iterator_type, sequence_number, timestamp),
        )
        response = await self._transport().unary(
            STREAMS + "GetShardIterator", request, streams_pb2.GetShardIteratorResponse, self._limit_s(timeout_s)
        )
        return response.shard_iterator

    async def get_records(
        self, shard_iterator: str, *, limit: int | None = None, timeout_s: float | None = None
    ) -> RecordsPage:
        """The next records of a shard: 1,000 or 1 MB at most, or `limit`.

        Raises ExpiredIteratorError, TrimmedDataAccessError, ResourceNotFoundError.
        """
        request = streams_pb2.GetRecordsRequest(shard_iterator=shard_iterator, limit=limit or 0)
        response = await self._transport().unary(
            STREAMS + "GetRecords", request, passthrough_pb2.RawGetRecordsResponse, self._limit_s(timeout_s)
        )
        return RecordsPage([change(wire, "") for wire in response.records], response.next_shard_iterator or None)

    async def _latest_stream(self, table: str) -> str:
        arn = (await self.describe_table(table)).latest_stream_arn
        if arn is None:
            raise ResourceNotFoundError(
                f"table {table} has no stream: make it one with update_table({table!r}, stream='NEW_AND_OLD_IMAGES')"
            )
        return arn
