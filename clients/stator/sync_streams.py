"""The synchronous client's operations on streams."""

from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from stator.blocking import Blocking
from stator.changes import TIMEOUT_S_DEFAULT, AsyncChanges
from stator.checkpoints import Checkpoint, CheckpointStore
from stator.results import ItemT
from stator.stream_descriptions import Change, RecordsPage, ShardIteratorType, StreamDescription, StreamSummary
from stator.stream_progress import Start
from stator.typed_items import ObjectT
from stator.values import Item

ResultT = TypeVar("ResultT")
AnswerT = TypeVar("AnswerT")


class _Call(Protocol):
    def __call__(self, work: Coroutine[Any, Any, AnswerT]) -> AnswerT: ...


class Changes(Generic[ItemT]):
    """The changes of a table; made by `changes`. An iterator of `Change`, which blocks: see AsyncChanges.

    with table.changes("oldest") as changes:
        for change in changes:
            print(change.event, change.keys, change.old, change.new)
    """

    def __init__(self, changes: AsyncChanges[ItemT], call: _Call) -> None:
        self._changes = changes
        self._call = call

    def __enter__(self) -> Self:
        self._call(self._changes.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Change[ItemT]]:
        return self

    def __next__(self) -> Change[ItemT]:
        following = self._call(self._next())
        if following is None:
            raise StopIteration
        return following

    def begin(self) -> None:
        """Begins, if it has not. See AsyncChanges.begin."""
        self._call(self._changes.begin())

    def done(self) -> None:
        """The change that was told last has been processed."""
        self._call(_soon(self._changes.done))

    def checkpoint(self) -> Checkpoint:
        """Everything that has been processed. See AsyncChanges.checkpoint."""
        return self._call(_soon(self._changes.checkpoint))

    def close(self) -> None:
        """Ends it. See AsyncChanges.aclose."""
        self._call(self._changes.aclose())

    async def _next(self) -> Change[ItemT] | None:
        return await anext(self._changes, None)


async def _soon(work: Callable[[], ResultT]) -> ResultT:
    """On the loop's thread, where everything else of the changes happens."""
    return work()


class SyncStreamOperations(Blocking):
    """What a client can do with streams; see StreamOperations for what each does."""

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
    ) -> Changes[Item]: ...

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
    ) -> Changes[ObjectT]: ...

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
    ) -> Changes[Any]:
        """The changes of a table that has a stream, as they come. See AsyncClient.changes."""
        changes: AsyncChanges[Any] = self._client.changes(
            table,
            start,
            checkpoint=checkpoint,
            stream=stream,
            follow=follow,
            as_type=as_type,
            timeout_s=timeout_s,
        )
        return Changes(changes, self._call)

    def list_streams(self, table: str | None = None, *, timeout_s: float | None = None) -> Iterator[StreamSummary]:
        """All streams, or those of a table. See AsyncClient.list_streams."""
        return self._iterate(self._client.list_stream_pages(table, timeout_s=timeout_s))

    def list_stream_pages(
        self, table: str | None = None, *, timeout_s: float | None = None
    ) -> Iterator[list[StreamSummary]]:
        """As `list_streams`, a list for each page. See AsyncClient.list_stream_pages."""
        return self._iterate_pages(self._client.list_stream_pages(table, timeout_s=timeout_s))

    def describe_stream(self, stream_arn: str, *, timeout_s: float | None = None) -> StreamDescription:
        """A stream and all of its shards. See AsyncClient.describe_stream."""
        return self._call(self._client.describe_stream(stream_arn, timeout_s=timeout_s))

    def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: ShardIteratorType,
        *,
        sequence_number: str | None = None,
        timestamp: datetime | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """Where in a shard to begin. See AsyncClient.get_shard_iterator."""
        return self._call(
            self._client.get_shard_iterator(
                stream_arn,
                shard_id,
                iterator_type,
                sequence_number=sequence_number,
                timestamp=timestamp,
                timeout_s=timeout_s,
            )
        )

    def get_records(
        self, shard_iterator: str, *, limit: int | None = None, timeout_s: float | None = None
    ) -> RecordsPage:
        """The next records of a shard. See AsyncClient.get_records."""
        return self._call(self._client.get_records(shard_iterator, limit=limit, timeout_s=timeout_s))
