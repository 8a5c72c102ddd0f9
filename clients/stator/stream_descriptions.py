"""What there is to say of streams, their shards and their records: plain, frozen values, from the wire and to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Literal, get_args

from statorpb import passthrough_pb2, streams_pb2, tables_pb2

from stator.errors import ValidationError
from stator.indexes import KeyAttribute, key_attribute
from stator.results import ItemT
from stator.values import Item, decode_item

StreamViewType = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
StreamOff = Literal["OFF"]
StreamStatus = Literal["ENABLING", "ENABLED", "DISABLING", "DISABLED", "UNKNOWN"]
Event = Literal["INSERT", "MODIFY", "REMOVE"]
ShardIteratorType = Literal["TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"]

VIEW_TYPES: tuple[StreamViewType, ...] = get_args(StreamViewType)
ITERATOR_TYPES: tuple[ShardIteratorType, ...] = get_args(ShardIteratorType)
OFF: StreamOff = "OFF"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """A stream, as a list of them has it. `label` is when it was made, and unique for its table."""

    stream_arn: str
    table_name: str
    label: str


@dataclass(frozen=True, slots=True)
class ShardDescription:
    """A part of a stream that is in order. It is open while `ending_sequence_number` is None; its records come behind
    those of `parent_shard_id`."""

    shard_id: str
    starting_sequence_number: str
    ending_sequence_number: str | None = None
    parent_shard_id: str | None = None


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """A stream, and all of its shards."""

    stream_arn: str
    label: str
    table_name: str
    status: StreamStatus
    view_type: StreamViewType
    partition_key: KeyAttribute
    sort_key: KeyAttribute | None
    created_at: datetime
    shards: tuple[ShardDescription, ...] = ()


@dataclass(frozen=True, slots=True)
class Change(Generic[ItemT]):
    """What happened to an item: it came to be ("INSERT"), was changed ("MODIFY") or deleted ("REMOVE").

    `old` and `new` are the item as it was and as it is now, None where there was or is none, and where the stream's
    view does not have it. `created_at` is the time at the partition's leader, so it need not rise from shard to shard.
    `by_time_to_live`: it was deleted since its time was over. `event_id` is unique. `shard_id` is empty where
    `get_records` gave it: that does not know.
    """

    event: Event
    keys: Item
    old: ItemT | None
    new: ItemT | None
    created_at: datetime
    sequence_number: str
    shard_id: str
    by_time_to_live: bool
    event_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One answer to `get_records`; iterating over it goes over its records. `next_shard_iterator` is where to go on;
    None: the shard is closed, and that was all of it. A page may be empty and not be the last."""

    records: list[Change[Item]]
    next_shard_iterator: str | None

    def __iter__(self) -> Iterator[Change[Item]]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)


def wire_stream(stream: StreamViewType | StreamOff | None) -> tables_pb2.StreamSpecification | None:
    """None where there is to be none. Raises ValidationError for a view that there is not."""
    if stream is None or stream == OFF:
        return None
    if stream not in VIEW_TYPES:
        raise ValidationError(f"what a stream tells is one of {', '.join(map(repr, VIEW_TYPES))}, not {stream!r}")
    view = tables_pb2.StreamSpecification.ViewType.Value(stream)
    return tables_pb2.StreamSpecification(enabled=True, view_type=view)


def view_type(wire: tables_pb2.StreamSpecification.ViewType.ValueType) -> StreamViewType:
    """From the wire."""
    found: dict[int, StreamViewType] = {
        tables_pb2.StreamSpecification.NEW_IMAGE: "NEW_IMAGE",
        tables_pb2.StreamSpecification.OLD_IMAGE: "OLD_IMAGE",
        tables_pb2.StreamSpecification.NEW_AND_OLD_IMAGES: "NEW_AND_OLD_IMAGES",
    }
    return found.get(wire, "KEYS_ONLY")


def wire_position(
    kind: ShardIteratorType, sequence_number: str | None = None, timestamp: datetime | None = None
) -> streams_pb2.StreamPosition:
    """Raises ValidationError for a kind that there is not, and for one that lacks what it needs."""
    if kind not in ITERATOR_TYPES:
        raise ValidationError(f"where a shard is read from is one of {', '.join(ITERATOR_TYPES)}, not {kind!r}")
    if kind.endswith("SEQUENCE_NUMBER") and sequence_number is None:
        raise ValidationError(f"{kind} needs a sequence_number")
    if kind == "AT_TIMESTAMP" and timestamp is None:
        raise ValidationError(f"{kind} needs a timestamp")
    return streams_pb2.StreamPosition(
        type=streams_pb2.StreamPosition.Type.Value(kind),
        sequence_number=sequence_number or "",
        timestamp_ms=wire_time_ms(timestamp) if timestamp is not None else 0,
    )


def wire_time_ms(time: datetime) -> int:
    """Unix time. Raises ValidationError for a time that does not say of which zone it is."""
    if time.tzinfo is None:
        raise ValidationError(f"{time} may be any time zone's: give it one, as in datetime.now(UTC)")
    return (time - _EPOCH) // timedelta(milliseconds=1)


def time_of_wire(time_ms: int) -> datetime:
    """Exact, which `fromtimestamp` is not."""
    return _EPOCH + timedelta(milliseconds=time_ms)


def stream_summary(wire: streams_pb2.StreamSummary) -> StreamSummary:
    """From the wire."""
    return StreamSummary(wire.stream_arn, wire.table_name, wire.stream_label)


def shard_description(wire: streams_pb2.Shard) -> ShardDescription:
    """From the wire."""
    return ShardDescription(
        wire.shard_id,
        wire.starting_sequence_number,
        wire.ending_sequence_number or None,
        wire.parent_shard_id or None,
    )


def stream_description(wire: streams_pb2.StreamDescription, shards: tuple[ShardDescription, ...]) -> StreamDescription:
    """From the wire, with the shards of all pages."""
    statuses: dict[int, StreamStatus] = {
        streams_pb2.ENABLING: "ENABLING",
        streams_pb2.ENABLED: "ENABLED",
        streams_pb2.DISABLING: "DISABLING",
        streams_pb2.DISABLED: "DISABLED",
    }
    schema = wire.key_schema
    return StreamDescription(
        stream_arn=wire.stream_arn,
        label=wire.stream_label,
        table_name=wire.table_name,
        status=statuses.get(wire.status, "UNKNOWN"),
        view_type=view_type(wire.view_type),
        partition_key=key_attribute(schema.partition_key),
        sort_key=key_attribute(schema.sort_key) if schema.HasField("sort_key") else None,
        created_at=time_of_wire(wire.created_at_ms),
        shards=shards,
    )


def change(
    wire: passthrough_pb2.RawStreamRecord, shard_id: str, read: Callable[[Item], Any] | None = None
) -> Change[Any]:
    """From the wire. `read` makes of items what the caller wants to have."""
    events: dict[int, Event] = {streams_pb2.StreamRecord.INSERT: "INSERT", streams_pb2.StreamRecord.MODIFY: "MODIFY"}
    old = decode_item(wire.old_image) if wire.HasField("old_image") else None
    new = decode_item(wire.new_image) if wire.HasField("new_image") else None
    return Change(
        event=events.get(wire.event, "REMOVE"),
        keys=decode_item(wire.keys),
        old=read(old) if read is not None and old is not None else old,
        new=read(new) if read is not None and new is not None else new,
        created_at=time_of_wire(wire.created_at_ms),
        sequence_number=wire.sequence_number,
        shard_id=shard_id,
        by_time_to_live=wire.by_time_to_live,
        event_id=wire.event_id,
        size_bytes=wire.size_bytes,
    )
