"""Moving many items between a file and a table, with bounded memory."""

import asyncio
import contextlib
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from stator.cli.csv_writer import CsvWriter
from stator.cli.exits import UsageError
from stator.cli.json_values import shown_item
from stator.cli.output import to_json
from stator.cli.reading import GZIP, CsvTypes, ItemShape, Row, format_of, open_input, read_rows
from stator.client import AsyncClient
from stator.errors import (
    DeadlineExceededError,
    InternalServerError,
    ResourceNotFoundError,
    StatorError,
    ThrottledError,
    UnavailableError,
)
from stator.values import Item

FAILURES_KEPT_MAX = 1000
_PROGRESS_S = 0.1
ROWS_READ_AHEAD = 256
# After one of these the next item would fare no better.
_HOPELESS = (UnavailableError, DeadlineExceededError, InternalServerError, ThrottledError, ResourceNotFoundError)

OnProgress = Callable[[int, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that was not written: where it stood in the file, and why."""

    place: str
    reason: str


@dataclass(slots=True)
class Summary:
    """What came of an import or export. `failures` has the first FAILURES_KEPT_MAX; `failed` counts all.

    `rows_done`: so many rows from the file's beginning are done with, written or refused; those that an import skipped
    count. Where it stopped early, the next one can skip them.

    `stopped_by` is empty, or says why the file was not read to its end; `is_interrupted`: Ctrl-C did. `is_reading`: a
    thread is still waiting for more of the file.
    """

    items: int = 0
    failed: int = 0
    retries: int = 0
    duration_s: float = 0.0
    rows_done: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped_by: str = ""
    is_unreachable: bool = False
    is_interrupted: bool = False
    is_reading: bool = False

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        rate = self.items / self.duration_s if self.duration_s else 0.0
        document = {**asdict(self), "duration_s": round(self.duration_s, 3), "items_per_second": round(rate, 1)}
        del document["is_reading"]
        return document

    def note_failure(self, place: str, reason: str) -> None:
        """Counts an item that was not written."""
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT_MAX:
            self.failures.append(Failure(place, reason))


class ImportSource:
    """A file to import. Raises UsageError if it cannot be read.

    `shape` and `csv_types` may be set until `rows` is called. The first `skip` rows are passed over.
    """

    def __init__(self, file: str, file_format: str | None, skip: int = 0) -> None:
        # What comes in a pipe has no name, and shows what it is.
        self._format = "json" if file == "-" and file_format is None else format_of(file, file_format)
        self.skip = skip
        self.shape = ItemShape()
        self.csv_types = CsvTypes({}, infers=False)
        self._file = open_input(file)
        is_sized = file != "-" and Path(file).is_file() and not file.endswith(GZIP)
        self.bytes_total = Path(file).stat().st_size if is_sized else None

    def rows(self) -> Iterator[Row]:
        """Once."""
        return islice(read_rows(self._file, self._format, self.shape, self.csv_types), self.skip, None)

    @property
    def bytes_done(self) -> int:
        """How far the file has been read, roughly."""
        return self._file.buffer.tell() if self.bytes_total is not None else 0  # type: ignore[attr-defined]

    def close(self) -> None:
        """Not the standard input."""
        if self._file is not sys.stdin:
            self._file.close()


async def import_items(
    client: AsyncClient, table: str, source: ImportSource, concurrency: int, on_progress: OnProgress
) -> Summary:
    """Writes every row, `concurrency` at a time, each read only when it can be sent."""
    summary = Summary()
    began = time.monotonic()
    feed = _RowFeed(source.rows())
    done = _Done(source.skip)

    async def work() -> None:
        while (row := await feed.take()) is not None:
            number = done.begin()
            try:
                if row.problem:
                    summary.note_failure(row.place, row.problem)
                else:
                    await client.put_item(table, row.item)
                    summary.items += 1
            except _HOPELESS as error:
                summary.note_failure(row.place, error.message)
                summary.stopped_by = summary.stopped_by or error.message
                summary.is_unreachable = isinstance(error, UnavailableError | DeadlineExceededError)
                feed.stop()
                return
            except (StatorError, TypeError) as error:
                summary.note_failure(row.place, str(error))
            done.end(number)

    async def report() -> None:
        while True:
            on_progress(summary.items, source.bytes_done, source.bytes_total)
            await asyncio.sleep(_PROGRESS_S)

    reporter = asyncio.create_task(report())
    try:
        await _gather_workers([asyncio.create_task(work()) for _ in range(concurrency)])
    except UsageError as error:
        summary.stopped_by = str(error)
    except asyncio.CancelledError:
        # Ctrl-C: how far it got is told before the command ends.
        summary.stopped_by = f"interrupted; up to {concurrency} more writes were under way and may be done"
        summary.is_interrupted = True
    finally:
        reporter.cancel()
        summary.is_reading = feed.is_reading
        if not summary.is_reading:
            source.close()
    summary.rows_done = done.count
    summary.duration_s = time.monotonic() - began
    summary.retries = client.retries
    return summary


class _Done:
    """How many rows are done with, `count`, without a gap: rows end in another order than they began.

    Holds a number for each row that ended while an earlier one had not."""

    def __init__(self, skipped: int) -> None:
        self.count = skipped
        self._begun = skipped
        self._ahead: set[int] = set()

    def begin(self) -> int:
        """The number of the next row."""
        self._begun += 1
        return self._begun - 1

    def end(self, number: int) -> None:
        """This row is done with."""
        self._ahead.add(number)
        while self.count in self._ahead:
            self._ahead.remove(self.count)
            self.count += 1


class _RowFeed:
    """Rows, read in a thread: a slow pipe must not keep replies waiting. Not more of them than ROWS_READ_AHEAD wait.

    The thread is a daemon, since nothing can stop it while it waits for more of a pipe or a terminal."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self.is_reading = False
        self._rows = rows
        self._ready: deque[Row] = deque()
        self._room = threading.Semaphore(ROWS_READ_AHEAD)
        self._loop = asyncio.get_running_loop()
        self._has_news = asyncio.Event()
        self._is_awaited = False
        self._is_at_end = False
        self._is_stopped = False
        self._error: Exception | None = None
        threading.Thread(target=self._read, name="rows", daemon=True).start()

    async def take(self) -> Row | None:
        """The next row; None at the end. Raises UsageError where the file cannot be read on."""
        while not self._ready or self._is_stopped:
            if self._is_stopped:
                return None
            self._has_news.clear()
            self._is_awaited = True  # before a last look: from here on the thread tells
            is_at_end = self._is_at_end
            if self._ready:
                break
            if is_at_end:
                if self._error is not None:
                    raise self._error
                return None
            await self._has_news.wait()
        self._room.release()
        return self._ready.popleft()

    def stop(self) -> None:
        """No more rows are wanted, nor waited for."""
        self._is_stopped = True
        self._has_news.set()
        self._room.release()  # the thread may wait for it

    def _read(self) -> None:
        try:
            self.is_reading = True
            for row in self._rows:
                self.is_reading = False
                self._room.acquire()
                if self._is_stopped:
                    return
                self._ready.append(row)
                if self._is_awaited:
                    self._tell()
                self.is_reading = True
        except Exception as error:  # noqa: BLE001 (raised again by whoever takes the next row)
            self._error = error
        self.is_reading = False
        self._is_at_end = True
        self._tell()

    def _tell(self) -> None:
        self._is_awaited = False
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants to know
            self._loop.call_soon_threadsafe(self._has_news.set)


async def _gather_workers(workers: list[asyncio.Task[None]]) -> None:
    """Waits for all; the first exception is raised once the others have ended what they had begun."""
    results = await asyncio.gather(*workers, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


class ExportTarget:
    """A file to export to. `has_types`: a CSV file's header says the columns' types."""

    def __init__(self, file: str, file_format: str | None, is_dynamodb_json: bool, *, has_types: bool = True) -> None:
        self.format = format_of(file, file_format)
        self.is_dynamodb_json = is_dynamodb_json
        self.has_types = has_types
        self._file = file
        if file.endswith(GZIP):
            raise UsageError("an export is not packed: leave .gz out, or pipe `stator export TABLE -` into gzip.")
        if self.format == "csv" and is_dynamodb_json:
            raise UsageError("CSV has its types in the header: leave --dynamodb-json out.")

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[str]]:
        """Where to write. The file gets its name when the block ends well, and is removed otherwise."""
        if self._file == "-":
            yield sys.stdout
            return
        # Through symbolic links, which stay what they are.
        path = Path(self._file).resolve()
        try:
            if path.exists() and not path.is_file():
                # A device or a pipe is written to, never replaced; a folder is refused here.
                with path.open("w", encoding="utf-8", newline="") as file:
                    yield file
            else:
                with _partial_file(path) as file:
                    yield file
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(f"{self._file} cannot be written: {error.strerror}.") from None


@contextlib.contextmanager
def _partial_file(path: Path) -> Iterator[IO[str]]:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def export_items(
    client: AsyncClient, table: str, target: ExportTarget, consistent_read: bool, on_progress: OnProgress
) -> Summary:
    """Writes every item of the table, a page in memory at a time."""
    summary = Summary()
    began = time.monotonic()
    described = await client.describe_table(table)
    total = max(1, described.items)
    with target.open() as file:
        key = [each.name for each in (described.partition_key, described.sort_key) if each is not None]
        writer = export_writer(
            file, target.format, key, is_dynamodb_json=target.is_dynamodb_json, has_types=target.has_types
        )
        async for page in client.scan_pages(table, consistent_read=consistent_read):
            for item in page:
                writer.write(item)
            summary.items += len(page)
            on_progress(summary.items, summary.items, max(total, summary.items))
        writer.end()
    summary.rows_done = summary.items
    summary.duration_s = time.monotonic() - began
    summary.retries = client.retries
    return summary


def export_writer(
    file: IO[str], file_format: str, key_names: Sequence[str], *, is_dynamodb_json: bool, has_types: bool
) -> "_Lines | CsvWriter":
    """What writes items into a file of this format: `write` each, then `end`."""
    if file_format == "csv":
        return CsvWriter(file, key_names, has_types=has_types)
    return (_Array if file_format == "json" else _Lines)(file, is_dynamodb_json)


class _Lines:
    """One JSON object a line."""

    def __init__(self, file: IO[str], is_dynamodb_json: bool) -> None:
        self._file = file
        self._is_dynamodb_json = is_dynamodb_json

    def write(self, item: Item) -> None:
        self._file.write(self._text(item) + "\n")

    def end(self) -> None:
        pass

    def _text(self, item: Item) -> str:
        return to_json(shown_item(item, is_dynamodb_json=self._is_dynamodb_json))


class _Array(_Lines):
    """A JSON array, an item a line."""

    _separator = "[\n"

    def write(self, item: Item) -> None:
        self._file.write(self._separator + self._text(item))
        self._separator = ",\n"

    def end(self) -> None:
        self._file.write("\n]\n" if self._separator == ",\n" else "[]\n")
