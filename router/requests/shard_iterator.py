"""Shard iterators: a place in a shard, as text that clients hand back and nobody else reads.

`ARN|1|BASE64`: the stream, the version of what follows, and in base64 for URLs, big-endian:

| bytes | what |
| --- | --- |
| 8 | partition id |
| 8 | stream number |
| 1 | 0: at the oldest record; 1: behind the sequence number |
| 8 | sequence number |
| 8 | when it was given out, ms since 1970 |
| 4 | CRC-32C of the ARN and of what comes before |

For example, behind record 9 of partition 10 of stream 7, given out at 0.25 s:
`arn:aws:dynamodb:local:000000000000:table/music/stream/2026-11-26T18:30:00.123|1|AAAAAAAAAAoAAAAAAAAABwEAAAAAAAAACQAAAAAAAAD6_Ruchw==`
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from crc32c import crc32c

from router.requests.stream_names import StreamName, name_of_stream
from server.model.errors import ExpiredIteratorError, ValidationError
from server.model.limits import ITERATOR_AGE_MS_MAX

_VERSION = "1"
_PLACE = struct.Struct(">QQBQQ")
_CRC = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class ShardIterator:
    """A place in the shard that `partition_id` records: behind the record `after`, or at the oldest one (None).
    `issued_ms`: when a client was given it, ms since 1970."""

    stream: StreamName
    stream_number: int
    partition_id: int
    after: int | None
    issued_ms: int

    def text(self) -> str:
        """As clients have it."""
        arn = self.stream.arn
        start = (0, 0) if self.after is None else (1, self.after)
        place = _PLACE.pack(self.partition_id, self.stream_number, *start, self.issued_ms)
        content = base64.urlsafe_b64encode(place + _checksum(arn, place)).decode()
        return f"{arn}|{_VERSION}|{content}"

    def check_age(self, now_ms: int) -> None:
        """Raises ExpiredIteratorError where it was given out too long ago."""
        if now_ms - self.issued_ms > ITERATOR_AGE_MS_MAX:
            raise ExpiredIteratorError(
                f"Iterator expired. The iterator was created at time {_date(self.issued_ms)} while right now it is "
                f"{_date(now_ms)} which is further in the future than the tolerated delay of {ITERATOR_AGE_MS_MAX} "
                "milliseconds."
            )


def iterator_of(text: str) -> ShardIterator:
    """The iterator that a client hands back. Raises ValidationError for what none has been given."""
    arn, version, content = text.rpartition(f"|{_VERSION}|")
    try:
        packed = base64.b64decode(content, altchars=b"-_", validate=True)
    except ValueError:
        packed = b""
    place, checksum = packed[: _PLACE.size], packed[_PLACE.size :]
    if not version or checksum != _checksum(arn, place):
        raise ValidationError("Invalid ShardIterator")
    partition_id, stream_number, is_behind, sequence, issued_ms = _PLACE.unpack(place)
    return ShardIterator(name_of_stream(arn), stream_number, partition_id, sequence if is_behind else None, issued_ms)


def _checksum(arn: str, place: bytes) -> bytes:
    return _CRC.pack(crc32c(place, crc32c(arn.encode(errors="replace"))))


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
