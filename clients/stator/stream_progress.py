"""How far the shards of a stream have been read and processed: what is read next, and from where. No IO.

A shard is read once those that it came from, as far as the stream still has them, have been processed to their end: so
the changes of an item come in the order in which they were made, also across a split.

Invariant: what a checkpoint says of a shard has been processed; what comes behind has not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from statorpb import streams_pb2

from stator.checkpoints import Checkpoint, checked_checkpoint
from stator.errors import TrimmedDataAccessError, ValidationError
from stator.stream_descriptions import (
    ShardDescription,
    StreamDescription,
    time_of_wire,
    wire_position,
    wire_time_ms,
)

Start: TypeAlias = Literal["oldest", "latest"] | datetime | Checkpoint | Mapping[str, Any]

_OLDEST = "oldest"
_LATEST = "latest"


@dataclass
class Progress:
    """Of one consumer in one stream. `start`: from where shards are read that it has not begun with."""

    stream_arn: str
    start: str | int
    positions: dict[str, str] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    reading: set[str] = field(default_factory=set)
    """Shards that are being read, or have been read to where they end for the time being."""
    _known: dict[str, ShardDescription] = field(default_factory=dict)
    _unplaced: set[str] = field(default_factory=set)
    """Shards that are read from the latest change on, while it is not known which that is."""
    _is_open: bool = True

    @classmethod
    def beginning(cls, stream_arn: str, start: Start) -> "Progress":
        """Raises ValidationError for what is no start, or a checkpoint of another stream."""
        if isinstance(start, datetime):
            return cls(stream_arn, wire_time_ms(start))
        if isinstance(start, Mapping):
            checkpoint = checked_checkpoint(start)
            if checkpoint["stream"] != stream_arn:
                raise ValidationError(f"the checkpoint is of stream {checkpoint['stream']}, not of {stream_arn}")
            finished = set(checkpoint["finished"])
            return cls(stream_arn, checkpoint["start"], dict(checkpoint["shards"]), finished)
        if start not in (_OLDEST, _LATEST):
            raise ValidationError(
                f"changes start with 'oldest', 'latest', a datetime or a checkpoint, not with {start!r}"
            )
        return cls(stream_arn, start)

    def learn(self, stream: StreamDescription) -> dict[str, streams_pb2.StreamPosition]:
        """What is to be read now in addition, as far as the stream is known: from where, by shard.

        Raises TrimmedDataAccessError where a shard that was not finished is not there any more.
        """
        self._is_open = stream.status not in ("DISABLED", "DISABLING")
        described = {shard.shard_id: shard for shard in stream.shards}
        gone = sorted(self.positions.keys() - described.keys())
        if gone:
            raise TrimmedDataAccessError(
                f"shard {gone[0]} is not there any more, and had not been read to its end. " + WHAT_TO_DO
            )
        self._known = described
        self.finished &= described.keys()
        if self.start != _LATEST:
            return self._begin()
        # Those that are closed by now have nothing that is newer; those that will come to be have nothing else.
        self.finished |= {each.shard_id for each in stream.shards if each.ending_sequence_number is not None}
        begun = self._begin()
        self._unplaced = set(begun)
        self.start = _OLDEST
        return begun

    def _begin(self) -> dict[str, streams_pb2.StreamPosition]:
        left = self._known.keys() - self.finished
        ready = [
            shard_id
            for shard_id, shard in self._known.items()
            if shard_id in left - self.reading and shard.parent_shard_id not in left
        ]
        self.reading.update(ready)
        return {shard_id: self.position(shard_id) for shard_id in ready}

    def position(self, shard_id: str) -> streams_pb2.StreamPosition:
        """From where a shard is to be read that is at what has been processed."""
        if shard_id in self.positions:
            return wire_position("AFTER_SEQUENCE_NUMBER", self.positions[shard_id])
        if isinstance(self.start, int):
            return wire_position("AT_TIMESTAMP", timestamp=time_of_wire(self.start))
        return wire_position("LATEST" if self.start == _LATEST else "TRIM_HORIZON")

    def note(self, shard_id: str, sequence_number: str) -> bool:
        """Everything in a shard up to this has been processed. Whether that is news."""
        self._unplaced.discard(shard_id)
        if self.positions.get(shard_id) == sequence_number:
            return False
        self.positions[shard_id] = sequence_number
        return True

    def finish(self, shard_id: str) -> dict[str, streams_pb2.StreamPosition]:
        """A shard has been processed to its end. What is to be read now in addition, as of `learn`."""
        self.finished.add(shard_id)
        self.positions.pop(shard_id, None)
        self._unplaced.discard(shard_id)
        self.reading.discard(shard_id)
        return self._begin()

    @property
    def is_over(self) -> bool:
        """Everything has been processed, and there will be no more."""
        return not self._is_open and self._known.keys() <= self.finished

    @property
    def is_placed(self) -> bool:
        """It is known what "latest" is, or nobody wants to know."""
        return self.start != _LATEST and not self._unplaced

    def checkpoint(self) -> Checkpoint:
        """What has been processed. Raises ValidationError while it is not known what "latest" is."""
        if self.start == _LATEST or not self.is_placed:
            raise ValidationError("there is no checkpoint before it is known what is latest: `await changes.begin()`")
        return Checkpoint(
            stream=self.stream_arn, start=self.start, shards=dict(self.positions), finished=sorted(self.finished)
        )


WHAT_TO_DO = (
    "Changes are kept for 24 hours by default: some are lost to this consumer. Read the table anew, by `scan`, having "
    'begun with "latest" before; or begin with "oldest", if what is lost does not matter.'
)
