"""Streams of tables, as routers and storage nodes are told of them."""

from __future__ import annotations

from statorpb import cluster_pb2, streams_pb2

from metadata.catalog.catalog import Catalog, Table
from metadata.catalog.streams import StreamStatus
from metadata.settings_codec import view_type_value
from server.model.limits import LIST_STREAMS_MAX


def put_wanted(target: cluster_pb2.PartitionDescriptor, table: Table, retention_ms: int) -> None:
    """Writes what a partition of the table is to record, in the order of the streams' numbers."""
    for stream in table.streams:
        target.streams.add(
            number=stream.number,
            view_type=view_type_value(stream.view_type),
            closed=not stream.is_on,
            retention_ms=retention_ms,
        )


def put_streams(target: cluster_pb2.TableRoute, table: Table) -> None:
    """Writes which streams the table has, and which records each of their shards."""
    for stream in table.streams:
        route = target.streams.add(
            number=stream.number,
            label=stream.label,
            status=streams_pb2.StreamStatus.Value(stream.status.name),
            view_type=view_type_value(stream.view_type),
            created_at_ms=stream.created_at_ms,
        )
        is_closed = stream.status == StreamStatus.DISABLED
        for shard in stream.shards:
            route.shards.add(
                partition_id=shard.partition_id,
                first_sequence=shard.first_sequence,
                closed=is_closed,
                last_sequence=shard.last_sequence,
            )


def look_up_streams(catalog: Catalog, request: cluster_pb2.LookUpStreamsRequest) -> cluster_pb2.LookUpStreamsResponse:
    """A page of the streams of one table, or of all."""
    name = request.table_name
    if name and name not in catalog.tables:
        return cluster_pb2.LookUpStreamsResponse(unknown=True)
    names = [name] if name else sorted(each for each in catalog.tables if each >= request.after_table_name)
    limit = min(request.limit or LIST_STREAMS_MAX, LIST_STREAMS_MAX)
    response = cluster_pb2.LookUpStreamsResponse()
    for table_name in names:
        for stream in catalog.tables[table_name].streams:
            if (table_name, stream.label) <= (request.after_table_name, request.after_label):
                continue
            if len(response.streams) == limit:
                response.more = True
                return response
            response.streams.add(table_name=table_name, label=stream.label)
    return response
