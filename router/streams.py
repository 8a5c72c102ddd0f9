"""Operations on streams: what there are, from the metadata service; what is in them, from the partitions' leaders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from statorpb import cluster_pb2, partition_pb2, streams_pb2, tables_pb2

from router.partition_map_cache import MetadataClient, PartitionMapCache, Table, model_error, patience
from router.requests.shard_iterator import ShardIterator
from router.requests.stream_names import (
    StreamName,
    no_shard,
    no_stream,
    partition_of_shard,
    sequence_text,
    shard_id,
)
from router.requests.stream_requests import (
    DescribeStreamRequest,
    GetRecordsRequest,
    GetShardIteratorRequest,
    ListStreamsRequest,
    StreamPosition,
    StreamRequest,
)
from router.storage_client import READ_STREAM, PartitionCall, StorageClient
from server.model.errors import (
    ResourceNotFoundError,
    ServiceUnavailableError,
    StatorError,
    TrimmedDataAccessError,
    ValidationError,
)
from server.model.limits import PAGE_BYTES_MAX
from server.model.table import KeyAttribute
from server.runtime.clock import wall_ms

_TRIMMED = "The data you are trying to access has been trimmed"
_Details = partition_pb2.StreamDetails


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard of a stream, and where it is read."""

    name: StreamName
    table: Table
    stream: cluster_pb2.StreamRoute
    route: cluster_pb2.ShardRoute
    range_start: bytes

    @property
    def first_behind(self) -> int:
        """The sequence number that its first record comes behind."""
        return self.route.first_sequence - 1


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records of a shard. `next_iterator` empty: it is closed, and all of it has been told. `is_rendered`: they are as
    a door writes them."""

    shard: Shard
    items: Sequence[Any]
    next_iterator: str
    is_rendered: bool = False


class Streams:
    """Carries out requests on streams. `deadline`: loop time, seconds; `clock_ms()`: since 1970, as any
    router has it: iterators go from one to another."""

    def __init__(
        self,
        cache: PartitionMapCache,
        storage: StorageClient,
        metadata: MetadataClient,
        clock_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._cache = cache
        self._storage = storage
        self._metadata = metadata
        self._clock_ms = clock_ms

    async def carry_out(self, request: StreamRequest, deadline: float) -> Any:
        """The answer: a public message, or a RecordPage. Raises StatorError."""
        if isinstance(request, ListStreamsRequest):
            return await self._list(request, deadline)
        if isinstance(request, DescribeStreamRequest):
            return await self._describe(request, deadline)
        if isinstance(request, GetShardIteratorRequest):
            shard, after = await self._place(request, deadline)
            return streams_pb2.GetShardIteratorResponse(shard_iterator=self._iterator(shard, after))
        return await self._records(request, deadline)

    async def begin(self, request: GetShardIteratorRequest, deadline: float) -> tuple[Shard, int]:
        """The shard that is asked for, and the sequence number that what is asked for of it comes behind. Raises
        StatorError."""
        shard, after = await self._place(request, deadline)
        if after is None:
            shard, result = await self.read(shard, _Details(start=_Details.HORIZON), deadline)
            after = max(result.sequence, shard.first_behind)
        return shard, after

    async def read(
        self, shard: Shard, details: partition_pb2.StreamDetails, deadline: float
    ) -> tuple[Shard, partition_pb2.StreamResult]:
        """Records of a shard, and where it was read: elsewhere than was known, it may be. Raises StatorError."""
        details.number = shard.stream.number
        reply = await self._ask(shard, details, deadline)
        if reply.status == partition_pb2.NO_STREAM:
            # The stream, or the table, may be gone since it was looked up.
            found = _find(await self._renewed(shard.name, deadline), shard.name, shard.route.partition_id)
            if found is None:
                raise no_shard()
            shard = found
            details.number = shard.stream.number
            reply = await self._ask(shard, details, deadline)
        if reply.status == partition_pb2.NO_STREAM:
            raise no_stream(shard.name)
        if reply.status == partition_pb2.TRIMMED:
            raise TrimmedDataAccessError(_TRIMMED)
        return shard, reply.stream

    # What there is

    async def _list(self, request: ListStreamsRequest, deadline: float) -> streams_pb2.ListStreamsResponse:
        message = cluster_pb2.LookUpStreamsRequest(
            table_name=request.table_name, limit=request.limit, linearizable=True
        )
        if request.start is not None:
            message.after_table_name, message.after_label = request.start
        found: cluster_pb2.LookUpStreamsResponse = await self._metadata.ask("LookUpStreams", message, deadline)
        if found.unknown:
            raise ResourceNotFoundError(f"Requested resource not found: Table: {request.table_name} not found")
        response = streams_pb2.ListStreamsResponse()
        for each in found.streams:
            name = StreamName(each.table_name, each.label)
            response.streams.add(stream_arn=name.arn, table_name=name.table_name, stream_label=name.label)
        if found.more:
            response.last_evaluated_stream_arn = response.streams[-1].stream_arn
        return response

    async def _describe(self, request: DescribeStreamRequest, deadline: float) -> streams_pb2.DescribeStreamResponse:
        table = await self._renewed(request.stream, deadline)
        return streams_pb2.DescribeStreamResponse(stream=_description(table, request))

    async def _renewed(self, name: StreamName, deadline: float) -> Table:
        """The stream's table, as the metadata service's leader has it: whoever has enabled a stream sees it. Where that
        does not answer, what is known of the stream does, if that has shards. Raises ResourceNotFoundError,
        ServiceUnavailableError."""
        try:
            table = await _looked_up(self._cache.renew(name.table_name, patience(deadline)))
        except ServiceUnavailableError:
            table = self._cache.get(name.table_name)
            known = table.streams.get(name.label) if table is not None else None
            if known is None or not known.shards:
                raise  # it may have begun since
        if table is None or name.label not in table.streams:
            raise no_stream(name)
        return table

    # Where to read

    async def _shard(
        self, name: StreamName, partition_of: Callable[[cluster_pb2.StreamRoute], int | None], deadline: float
    ) -> Shard:
        """The shard that the partition `partition_of` the stream records. Raises ResourceNotFoundError."""
        table = self._cache.get(name.table_name)
        table = table or await _looked_up(self._cache.fetch(name.table_name, patience(deadline)))
        if table is not None and name.label in table.streams:
            shard = _find(table, name, partition_of(table.streams[name.label]))
            if shard is not None:
                return shard
        table = await self._renewed(name, deadline)
        shard = _find(table, name, partition_of(table.streams[name.label]))
        if shard is None:
            raise no_shard()
        return shard

    async def _place(self, request: GetShardIteratorRequest, deadline: float) -> tuple[Shard, int | None]:
        """A shard, and behind which sequence number to read it; None: from the oldest record on. What is trimmed is
        told at once."""

        def partition_of(stream: cluster_pb2.StreamRoute) -> int | None:
            return partition_of_shard(request.shard_id, stream.created_at_ms)

        shard = await self._shard(request.stream, partition_of, deadline)
        details = _details(shard, request.position)
        if details is None:
            return shard, None
        shard, result = await self.read(shard, details, deadline)
        return shard, result.sequence if details.start != _Details.AFTER else details.sequence

    # What is in it

    async def _records(self, request: GetRecordsRequest, deadline: float) -> RecordPage:
        iterator = request.iterator
        iterator.check_age(self._clock_ms())
        shard = await self._shard(iterator.stream, lambda _: iterator.partition_id, deadline)
        if shard.stream.number != iterator.stream_number:
            raise no_stream(iterator.stream)
        details = _Details(start=_Details.HORIZON, records_max=request.limit, bytes_max=PAGE_BYTES_MAX)
        if iterator.after is not None:
            details.start, details.sequence = _Details.AFTER, iterator.after
        shard, result = await self.read(shard, details, deadline)
        next_iterator = "" if result.is_end else self._iterator(shard, result.sequence)
        return RecordPage(shard, result.records, next_iterator)

    def _iterator(self, shard: Shard, after: int | None) -> str:
        number, partition_id = shard.stream.number, shard.route.partition_id
        return ShardIterator(shard.name, number, partition_id, after, self._clock_ms()).text()

    async def _ask(
        self, shard: Shard, details: partition_pb2.StreamDetails, deadline: float
    ) -> partition_pb2.PartitionReply:
        future: asyncio.Future[partition_pb2.PartitionReply] = asyncio.get_running_loop().create_future()

        def done(reply: partition_pb2.PartitionReply | None, error: StatorError | None) -> None:
            if future.done():
                return  # whoever asked has gone
            if reply is not None:
                future.set_result(reply)
            else:
                assert error is not None
                # Of the table, which is gone, and its streams with it.
                is_gone = isinstance(error, ResourceNotFoundError)
                future.set_exception(no_stream(shard.name) if is_gone else error)

        # A subscription outlives what was known of the table when it began: above all, who leads.
        table = self._cache.get(shard.table.name) or shard.table
        self._storage.submit(PartitionCall(table, READ_STREAM, shard.range_start, deadline, done, details=details))
        return await future


async def _looked_up(look_up: Awaitable[Table | None]) -> Table | None:
    """What a look-up finds. Raises StatorError."""
    try:
        return await look_up
    except grpc.aio.AioRpcError as error:
        raise model_error(error) from error


def _find(table: Table, name: StreamName, partition_id: int | None) -> Shard | None:
    """None: there is no such shard, as far as is known here."""
    stream = table.streams[name.label]
    route = next((each for each in stream.shards if each.partition_id == partition_id), None)
    if route is None or route.partition_id not in table.map.partition_ids:
        return None
    index = table.map.partition_ids.index(route.partition_id)
    return Shard(name, table, stream, route, table.map.range_of(index)[0])


def _details(shard: Shard, position: StreamPosition) -> partition_pb2.StreamDetails | None:
    """What to ask for, to learn where a position is; None: it is where the oldest record is. Raises ValidationError for
    a sequence number that is outside the shard."""
    if position.kind == "TRIM_HORIZON":
        return None
    if position.kind == "LATEST":
        return _Details(start=_Details.LATEST)
    if position.kind == "AT_TIMESTAMP":
        return _Details(start=_Details.AT_TIME, time_ms=position.time_ms)
    after = position.sequence - 1 if position.kind == "AT_SEQUENCE_NUMBER" else position.sequence
    last = shard.route.last_sequence if shard.route.closed else position.sequence
    if after < shard.first_behind or position.sequence > max(last, shard.route.first_sequence):
        raise ValidationError(
            f"Invalid SequenceNumber: {sequence_text(position.sequence)} is not within the shard's range"
        )
    return _Details(start=_Details.AFTER, sequence=after)


def _description(table: Table, request: DescribeStreamRequest) -> streams_pb2.StreamDescription:
    name = request.stream
    stream = table.streams[name.label]
    description = streams_pb2.StreamDescription(
        stream_arn=name.arn,
        stream_label=name.label,
        status=stream.status,
        view_type=stream.view_type,
        created_at_ms=stream.created_at_ms,
        table_name=name.table_name,
    )
    _put_attribute(description.key_schema.partition_key, table.schema.partition_key)
    if table.schema.sort_key is not None:
        _put_attribute(description.key_schema.sort_key, table.schema.sort_key)
    shards = [_shard_message(stream, route) for route in stream.shards]
    wanted = [
        shard
        for shard in shards
        if shard.shard_id > request.start_shard_id and request.parent_shard_id in ("", shard.parent_shard_id)
    ]
    description.shards.extend(wanted[: request.limit])
    if len(wanted) > request.limit:
        description.last_evaluated_shard_id = description.shards[-1].shard_id
    return description


def _shard_message(stream: cluster_pb2.StreamRoute, route: cluster_pb2.ShardRoute) -> streams_pb2.Shard:
    shard = streams_pb2.Shard(
        shard_id=shard_id(stream.created_at_ms, route.partition_id),
        starting_sequence_number=sequence_text(route.first_sequence),
    )
    if route.closed:
        shard.ending_sequence_number = sequence_text(route.last_sequence)
    if route.parent_partition_id:
        shard.parent_shard_id = shard_id(stream.created_at_ms, route.parent_partition_id)
    return shard


def _put_attribute(target: tables_pb2.KeyAttribute, attribute: KeyAttribute) -> None:
    target.name, target.type = attribute.name, tables_pb2.AttributeType.Value(attribute.type)
