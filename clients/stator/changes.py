"""The changes of a table, as they come: all shards of its stream, in one asynchronous iterator."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self

from statorpb import streams_pb2

from stator.checkpoints import Checkpoint, CheckpointStore, checked_checkpoint
from stator.errors import (
    ClientClosedError,
    DeadlineExceededError,
    InternalServerError,
    ResourceNotFoundError,
    ThrottledError,
    TrimmedDataAccessError,
    UnavailableError,
    ValidationError,
)
from stator.results import ItemT
from stator.shard_reader import Arrival, Batch, ShardReader
from stator.stream_descriptions import Change, StreamDescription, change
from stator.stream_progress import WHAT_TO_DO, Progress, Start
from stator.transport import Transport
from stator.values import Item

TIMEOUT_S_DEFAULT = 60.0
SAVE_S = 1.0
LOOK_S = 10.0
"""How often the stream is described again, for shards that are new."""
LOOK_IDLE_S = 0.25
"""Where nothing is read, since a shard has ended and what follows it is not there yet."""
ARRIVALS_MAX = 1

_PASSING = (UnavailableError, DeadlineExceededError, InternalServerError, ThrottledError)


@dataclass(frozen=True, slots=True)
class Source:
    """Where changes come from: a table, its stream if that is said, a client's transport, and how it finds the table's
    newest stream and describes one."""

    table: str
    stream_arn: str | None
    transport: Callable[[], Transport]
    find_stream: Callable[[], Awaitable[str]]
    describe: Callable[[str], Awaitable[StreamDescription]]


class AsyncChanges(Generic[ItemT]):
    """The changes of a table; made by `changes`. An asynchronous iterator of `Change`.

        async with table.changes("oldest") as changes:
            async for change in changes:
                print(change.event, change.keys, change.old, change.new)

    Every change is told once, those of an item in the order in which they were made. When a router or a leader dies it
    goes on with the next; UnavailableError is raised when nothing has come of a shard for `timeout_s`. It ends when the
    stream was turned off and all of it has been told (or, without `follow`, when there is no more for the time being).

    Whoever asks for the next change has processed the one before: so says `checkpoint`, and a new iterator that is
    given that goes on with the first change that was not. If the process ends in between, that one is told again: at
    least once, over all. `done` says it of the last one without asking for another.

    It asks for more only as changes are taken: what waits here is a message (1 MB at most, or one change) a shard.
    End it, by `async with`, `aclose`, or with its client.
    """

    def __init__(
        self,
        source: Source,
        start: Start,
        store: CheckpointStore | None,
        read: Callable[[Item], Any] | None,
        timeout_s: float,
        *,
        follow: bool,
    ) -> None:
        if start == "latest" and not follow:
            raise ValidationError("behind the latest change there is nothing to read without following")
        self._source = source
        self._start = start
        self._store = store
        self._read = read
        self._timeout_s = timeout_s
        self._follow = follow
        self._progress: Progress | None = None
        self._queue: asyncio.Queue[Arrival] = asyncio.Queue(ARRIVALS_MAX)
        self._readers: list[ShardReader] = []
        self._read_now: set[str] = set()  # shards
        self._watch: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._batch: Batch | None = None
        self._told: tuple[str, str] | None = None  # shard, sequence number: not known to be processed
        self._is_unsaved = False
        self._save_at = 0.0
        self._saving: asyncio.Task[None] | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        try:
            await self.begin()
        except BaseException:
            await self.aclose()  # nobody else would
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Change[ItemT]]:
        return self

    async def __anext__(self) -> Change[ItemT]:
        if self._is_closed:
            raise StopAsyncIteration
        self.done()
        await self.begin()
        while True:
            await self._save_if_due()
            if self._is_closed:
                # By another task: this is not the end of the stream.
                raise ClientClosedError("the changes were closed")
            batch = self._batch
            if batch is not None and batch.records:
                record = batch.records.popleft()
                self._told = batch.shard_id, record.sequence_number
                return change(record, batch.shard_id, self._read)
            if batch is not None:
                self._batch = None
                self._end_batch(batch)
            if self._has_ended():
                break
            arrival = await self._take()
            if isinstance(arrival, StreamDescription):
                self._begin_readers(self._progress_of().learn(arrival))
            elif isinstance(arrival, Exception):
                await self._fail(arrival)
            else:
                self._batch = arrival
        await self.aclose()
        raise StopAsyncIteration

    async def begin(self) -> None:
        """Begins, if it has not: changes that are made when this has returned are told to whoever wants the latest.

        Without it (and `async with`, which does this) the first change that is asked for begins.
        Raises ResourceNotFoundError where the table has no stream, TrimmedDataAccessError, ValidationError.
        """
        if self._progress is not None or self._is_closed:
            return
        start = self._start
        saved = await asyncio.to_thread(self._store.load) if self._store is not None else None
        start = start if saved is None else saved
        named = checked_checkpoint(start)["stream"] if isinstance(start, Mapping) else None
        stream_arn = self._source.stream_arn or named or await self._source.find_stream()
        if f":table/{self._source.table}/stream/" not in stream_arn:
            raise ValidationError(f"{stream_arn} is no stream of table {self._source.table}")
        progress = Progress.beginning(stream_arn, start)
        try:
            positions = progress.learn(await self._source.describe(stream_arn))
        except ResourceNotFoundError as error:
            if named is None:
                raise
            raise TrimmedDataAccessError(f"there is no stream {named} any more. {WHAT_TO_DO}") from error
        self._progress = progress
        self._begin_readers(positions)
        self._watch = asyncio.create_task(self._watch_stream(stream_arn), name=f"stator stream {stream_arn}")
        if start == "latest":
            await self._place()

    def done(self) -> None:
        """The change that was told last has been processed."""
        if self._told is not None:
            self._is_unsaved |= self._progress_of().note(*self._told)
            self._told = None

    def checkpoint(self) -> Checkpoint:
        """Everything that has been processed: all changes that were told but the last one, and that one too once `done`
        says so. Of JSON, and given to `changes` it goes on from there. Raises ValidationError before it has begun."""
        if self._progress is None:
            raise ValidationError("there is no checkpoint before the first change has been asked for")
        return self._progress.checkpoint()

    async def aclose(self) -> None:
        """Ends it, and saves how far it has come where it keeps a checkpoint. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._end_tasks()
        # For whoever is waiting, in another task.
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(ClientClosedError("the changes were closed"))
        if self._is_unsaved:
            await self._save()

    # ---- inside

    def _progress_of(self) -> Progress:
        assert self._progress is not None
        return self._progress

    async def _place(self) -> None:
        """Waits until it is known what is latest in every shard."""
        for reader in self._readers:
            try:
                self._progress_of().note(reader.shard_id, await asyncio.shield(reader.began_at))
            except asyncio.CancelledError:
                if not reader.began_at.cancelled():
                    raise
                # What the reader met is in the queue.
        self._is_unsaved = True

    def _begin_readers(self, positions: dict[str, streams_pb2.StreamPosition]) -> None:
        self._readers = [reader for reader in self._readers if not reader.is_done]
        self._read_now.update(positions)
        stream_arn, transport = self._progress_of().stream_arn, self._source.transport
        for shard_id, position in positions.items():
            self._readers.append(
                ShardReader(
                    *(transport, stream_arn, shard_id, position, self._queue, self._timeout_s), follow=self._follow
                )
            )

    def _end_batch(self, batch: Batch) -> None:
        """All of its records have been processed."""
        progress = self._progress_of()
        if batch.sequence_number:
            self._is_unsaved |= progress.note(batch.shard_id, batch.sequence_number)
        if batch.is_end or batch.is_rest:
            self._read_now.discard(batch.shard_id)
        if batch.is_end:
            self._begin_readers(progress.finish(batch.shard_id))
            self._is_unsaved = True
            self._look.set()

    def _has_ended(self) -> bool:
        progress = self._progress_of()
        return progress.is_over or (not self._follow and not self._read_now)

    async def _take(self) -> Arrival:
        """What has come; saves meanwhile what is due."""
        loop = asyncio.get_running_loop()
        while self._store is not None and self._is_unsaved and self._queue.empty():
            try:
                async with asyncio.timeout(max(0.0, self._save_at - loop.time())):
                    return await self._queue.get()
            except TimeoutError:
                await self._save_if_due()
        return await self._queue.get()

    async def _watch_stream(self, stream_arn: str) -> None:
        """Describes the stream now and then, and at once when a shard has ended."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S if self._read_now else LOOK_IDLE_S):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            try:
                arrival: Arrival = await self._source.describe(stream_arn)
            except ClientClosedError as error:
                arrival = error
            except _PASSING:
                continue
            except Exception as error:  # noqa: BLE001 (whoever waits is told)
                arrival = error
            await self._queue.put(arrival)
            if isinstance(arrival, Exception):
                return

    async def _fail(self, error: Exception) -> None:
        await self.aclose()
        if isinstance(error, TrimmedDataAccessError) and WHAT_TO_DO not in error.message:
            raise TrimmedDataAccessError(f"{error.message.rstrip('.')}. {WHAT_TO_DO}") from error
        raise error

    async def _save_if_due(self) -> None:
        if self._store is not None and self._is_unsaved and asyncio.get_running_loop().time() >= self._save_at:
            await self._save()

    async def _save(self) -> None:
        store, progress = self._store, self._progress_of()
        if store is None or not progress.is_placed:
            return
        if self._saving is not None:
            # Cancelled was only who waited for it.
            await asyncio.wait({self._saving})
        self._saving = asyncio.create_task(asyncio.to_thread(store.save, progress.checkpoint()))
        self._save_at = asyncio.get_running_loop().time() + SAVE_S
        await asyncio.shield(self._saving)
        self._is_unsaved = False

    async def _end_tasks(self) -> None:
        tasks = [reader.task for reader in self._readers]
        if self._watch is not None:
            tasks.append(self._watch)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
