"""What streams, their shards, records and places in them are called.

A stream is named by its table and its label, the time of its creation. A shard is what one partition records; a record
is named by its sequence number, which only ever grows within a shard.
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import NamedTuple

from server.model.errors import ResourceNotFoundError, ValidationError
from server.model.table import name_in_arn, table_arn

SEQUENCE_DIGITS = 21
SEQUENCE_MAX = 2**64 - 1

_STREAM_ARN = re.compile(r"(arn:.*)/stream/([0-9T:.-]+)")
_SHARD_ID = re.compile(r"shardId-([0-9]{20})-([0-9a-f]{16})")
_SEQUENCE_NUMBER = re.compile(r"[0-9]+")
_EVENT = struct.Struct(">QQQ")
_EVENT_ID_BYTES = 16


class StreamName(NamedTuple):
    """Of the stream of a table that was made at the time that its label tells."""

    table_name: str
    label: str

    @property
    def arn(self) -> str:
        """The Amazon Resource Name."""
        return f"{table_arn(self.table_name)}/stream/{self.label}"


def name_of_stream(arn: str) -> StreamName:
    """The stream that an Amazon Resource Name stands for, whatever its region and account. Raises ValidationError."""
    match = _STREAM_ARN.fullmatch(arn)
    table_name = None if match is None else name_in_arn(match[1])
    if match is None or table_name is None:
        raise ValidationError(f"Invalid StreamArn: {arn}")
    return StreamName(table_name, match[2])


def no_stream(name: StreamName) -> ResourceNotFoundError:
    """What is said where there is no such stream."""
    return ResourceNotFoundError(f"Requested resource not found: Stream: {name.arn} not found")


def no_shard() -> ResourceNotFoundError:
    """What is said where the stream has no such shard."""
    return ResourceNotFoundError("Requested resource not found: Shard does not exist")


def shard_id(created_at_ms: int, partition_id: int) -> str:
    """Of what a partition records of a stream that was made then: 45 characters. Those of one stream are ordered as the
    partitions' ids are."""
    return f"shardId-{created_at_ms:020}-{partition_id:016x}"


def partition_of_shard(text: str, created_at_ms: int) -> int | None:
    """The partition that records a shard of a stream that was made then; None: it has none of that name."""
    match = _SHARD_ID.fullmatch(text)
    return int(match[2], 16) if match is not None and int(match[1]) == created_at_ms else None


def sequence_text(sequence: int) -> str:
    """A sequence number as clients see it: ordered as text, too."""
    return f"{sequence:0{SEQUENCE_DIGITS}}"


def sequence_of(text: str) -> int:
    """The sequence number that a client names. Raises ValidationError for what is none."""
    sequence = int(text) if _SEQUENCE_NUMBER.fullmatch(text) else SEQUENCE_MAX + 1
    if sequence > SEQUENCE_MAX:
        raise ValidationError(f"Invalid SequenceNumber: {text}")
    return sequence


def event_id(stream_number: int, partition_id: int, sequence: int) -> str:
    """The name of a record, which no other has: 32 hexadecimal digits."""
    place = _EVENT.pack(stream_number, partition_id, sequence)
    return hashlib.blake2b(place, digest_size=_EVENT_ID_BYTES).hexdigest()
