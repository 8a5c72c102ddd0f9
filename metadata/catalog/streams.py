"""Streams of a table, its change records: their life, and the rules for switching them on and off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum

from metadata.catalog.commands import DisableStream, EnableStream, Shard, StreamCommand
from server.model.errors import LimitExceededError, ResourceInUseError, ValidationError
from server.model.limits import STREAMS_MAX

RETENTION_MS = 24 * 3_600_000
"""How long records are kept, and a stream after it was disabled, where nothing else is configured: as DynamoDB does."""


class StreamStatus(IntEnum):
    """A stream's life (proto/statorpb/streams.proto). ENABLING: partitions begin to record. ENABLED: all of them do.
    DISABLING: they cease to. DISABLED: none records any more; what there is can be read until it is removed."""

    ENABLING = 1
    ENABLED = 2
    DISABLING = 3
    DISABLED = 4


@dataclass(frozen=True, slots=True)
class TableStream:
    """A stream. `number`: a table number of its own. `created_at_ms` is its label too, and so later than that of the
    stream before. `disabled_at_ms` 0: it is not.

    Invariant: `shards` are none while it is ENABLING, then one for each of the table's partitions, in the order of
    their ids. First sequence numbers never change; last ones are 0 until it is DISABLED, and never change then."""

    number: int
    view_type: str
    status: StreamStatus
    created_at_ms: int
    disabled_at_ms: int = 0
    shards: tuple[Shard, ...] = ()

    @property
    def label(self) -> str:
        """Its creation, UTC, to the millisecond."""
        seconds, ms = divmod(self.created_at_ms, 1000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}"

    @property
    def is_on(self) -> bool:
        """Whether changes are to be recorded."""
        return self.status in (StreamStatus.ENABLING, StreamStatus.ENABLED)

    @property
    def is_changing(self) -> bool:
        """Whether partitions have yet to do what is wanted of them."""
        return self.status in (StreamStatus.ENABLING, StreamStatus.DISABLING)


def check_at_rest(table_name: str, streams: Iterable[TableStream]) -> None:
    """That a table can be changed now. Raises ResourceInUseError."""
    if any(stream.is_changing for stream in streams):
        raise ResourceInUseError(
            f"Attempt to change a resource which is still in use: Table is being updated: {table_name}"
        )


def check_switch(table_name: str, streams: tuple[TableStream, ...], view_type: str | None) -> None:
    """That a table's stream can be switched so; `view_type` None: it stays as it is, empty: off. Raises
    ValidationError, LimitExceededError."""
    if view_type is None:
        return
    is_on = any(stream.is_on for stream in streams)
    if view_type and is_on:
        raise ValidationError(f"Table already has an enabled stream: TableName: {table_name}")
    if not view_type and not is_on:
        raise ValidationError(f"Table has no stream to disable: TableName: {table_name}")
    if view_type and len(streams) >= STREAMS_MAX:  # our words
        raise LimitExceededError(
            f"Subscriber limit exceeded: a table has at most {STREAMS_MAX} streams, disabled ones that are still kept "
            "among them"
        )


def new_stream(number: int, view_type: str, time_ms: int, former: tuple[TableStream, ...]) -> TableStream:
    """A stream that is asked for at `time_ms`, with a label later than all before it."""
    created_at_ms = max([time_ms, *(each.created_at_ms + 1 for each in former)])
    return TableStream(number, view_type, StreamStatus.ENABLING, created_at_ms)


def switched_off(streams: tuple[TableStream, ...]) -> tuple[TableStream, ...]:
    """The streams, of which none is to go on recording."""
    return tuple(replace(each, status=StreamStatus.DISABLING) if each.is_on else each for each in streams)


def stepped(stream: TableStream, command: StreamCommand, partition_ids: Iterable[int]) -> TableStream | None:
    """The stream after a step of its life (for its removal: as it was); None: the step is not due, or not any more."""
    match command:
        case EnableStream() if stream.status == StreamStatus.ENABLING:
            shards = sorted(command.shards, key=lambda shard: shard.partition_id)
            if [shard.partition_id for shard in shards] != sorted(partition_ids):
                return None
            shards = [replace(shard, last_sequence=0) for shard in shards]
            return replace(stream, status=StreamStatus.ENABLED, shards=tuple(shards))
        case DisableStream() if stream.status == StreamStatus.DISABLING:
            last = {shard.partition_id: shard.last_sequence for shard in command.shards}
            if last.keys() != {shard.partition_id for shard in stream.shards}:
                return None
            closed = tuple(replace(shard, last_sequence=last[shard.partition_id]) for shard in stream.shards)
            return replace(stream, status=StreamStatus.DISABLED, disabled_at_ms=command.time_ms, shards=closed)
        case EnableStream() | DisableStream():
            return None
        case _:
            return stream if stream.status == StreamStatus.DISABLED else None
