"""How far a consumer is in a stream: small enough to be kept anywhere, as JSON."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypedDict

from stator.errors import ValidationError


class Checkpoint(TypedDict):
    """How far a stream has been processed.

    `shards`: by shard, the sequence number up to which everything is done; `finished`: the shards that have come to
    their end. `start`: from where shards are read that are named in neither, "oldest" or a time in milliseconds since
    1970.
    """

    stream: str
    start: str | int
    shards: dict[str, str]
    finished: list[str]


class CheckpointStore(Protocol):
    """Where `changes` finds its checkpoint, and keeps it. Called in threads, one call at a time."""

    def load(self) -> Mapping[str, Any] | None:
        """What was saved last; None: nothing yet."""
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Returns when it is durable."""
        ...


class FileCheckpoint:
    """A checkpoint in a file, which is there whole, whenever the machine stops: as it was, or as it became.

    changes = table.changes("oldest", checkpoint=stator.FileCheckpoint("music.checkpoint"))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def load(self) -> Checkpoint | None:
        """None: there is no such file. Raises ValidationError for one that holds no checkpoint, OSError."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise ValidationError(f"{self.path} holds no checkpoint: it is no text") from None
        try:
            return checked_checkpoint(json.loads(text))
        except (ValueError, ValidationError) as error:
            raise ValidationError(f"{self.path} holds no checkpoint: {error}") from None

    def save(self, checkpoint: Checkpoint) -> None:
        """Raises OSError."""
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                json.dump(checkpoint, file)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def checked_checkpoint(document: Any) -> Checkpoint:
    """What was read from anywhere, as a checkpoint. Raises ValidationError, which says what is wrong."""
    if not isinstance(document, Mapping):
        raise ValidationError("a checkpoint is a mapping that `changes.checkpoint()` returned")
    stream, start = document.get("stream"), document.get("start")
    shards, finished = document.get("shards"), document.get("finished")
    if not isinstance(stream, str) or not stream:
        raise ValidationError("a checkpoint names its stream under 'stream'")
    if start != "oldest" and (not isinstance(start, int) or isinstance(start, bool)):
        raise ValidationError(f"'start' of a checkpoint is 'oldest' or milliseconds since 1970, not {start!r}")
    if not isinstance(shards, Mapping) or not all(isinstance(each, str) and each.isdigit() for each in shards.values()):
        raise ValidationError("'shards' of a checkpoint are sequence numbers by shard")
    if not isinstance(finished, list) or not all(isinstance(each, str) for each in finished):
        raise ValidationError("'finished' of a checkpoint is a list of shards")
    return Checkpoint(stream=stream, start=start, shards=dict(shards), finished=list(finished))
