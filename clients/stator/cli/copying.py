"""Moving many items between a file and a table, with bounded memory."""

import asyncio
import csv
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from stator.cli.exits import UsageError
from stator.cli.json_values import shown_item
from stator.cli.output import to_json
from stator.cli.reading import CsvTypes, Row, format_of, open_input, read_rows
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
_ROWS_READ_AHEAD = 32
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

    `stopped_by` is empty, or says why the file was not read to its end; `is_interrupted`: Ctrl-C did.
    """

    items: int = 0
    failed: int = 0
    retries: int = 0
    duration_s: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    stopped_by: str = ""
    is_unreachable: bool = False
    is_interrupted: bool = False

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        rate = self.items / self.duration_s if self.duration_s else 0.0
        return {**asdict(self), "duration_s": round(self.duration_s, 3), "items_per_second": round(rate, 1)}

    def note_failure(self, place: str, reason: str) -> None:
        """Counts an item that was not written."""
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT_MAX:
            self.failures.append(Failure(place, reason))


class ImportSource:
    """A file to import. `csv_types` may be set until `rows` is called. Raises UsageError if it cannot be read."""

    def __init__(self, file: str, file_format: str | None, is_dynamodb_json: bool) -> None:
        self._format = format_of(file, file_format)
        self._is_dynamodb_json = is_dynamodb_json
        self.csv_types = CsvTypes({}, infers=False)
        self._file = open_input(file)
        is_sized = file != "-" and Path(file).is_file()
        self.bytes_total = Path(file).stat().st_size if is_sized else None

    def rows(self) -> Iterator[Row]:
        """Once."""
        return read_rows(self._file, self._format, is_dynamodb_json=self._is_dynamodb_json, csv_types=self.csv_types)

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

    async def work() -> None:
        while (row := await feed.take()) is not None:
            if row.problem:
                summary.note_failure(row.place, row.problem)
                continue
            try:
                await client.put_item(table, row.item)
            except _HOPELESS as error:
                summary.note_failure(row.place, error.message)
                summary.stopped_by = summary.stopped_by or error.message
                summary.is_unreachable = isinstance(error, UnavailableError | DeadlineExceededError)
            except (StatorError, TypeError) as error:
                summary.note_failure(row.place, str(error))
            else:
                summary.items += 1
            if summary.stopped_by:
                return

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
        source.close()
    summary.duration_s = time.monotonic() - began
    summary.retries = client.retries
    return summary


class _RowFeed:
    """Rows, read a few at a time in a thread: a slow pipe must not keep replies waiting."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._ready: deque[Row] = deque()
        self._reading = asyncio.Lock()
        self._is_at_end = False
        self._error: UsageError | None = None

    async def take(self) -> Row | None:
        """The next row; None at the end. Raises UsageError where the file cannot be read on."""
        while not self._ready:
            async with self._reading:
                if self._ready:
                    continue
                if self._error is not None:
                    raise self._error
                if self._is_at_end:
                    return None
                await asyncio.to_thread(self._read)
        return self._ready.popleft()

    def _read(self) -> None:
        try:
            for row in islice(self._rows, _ROWS_READ_AHEAD):
                self._ready.append(row)
        except UsageError as error:
            # What was read before is given out first.
            self._error = error
        self._is_at_end = not self._ready


async def _gather_workers(workers: list[asyncio.Task[None]]) -> None:
    """Waits for all; the first exception is raised once the others have ended what they had begun."""
    results = await asyncio.gather(*workers, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


class ExportTarget:
    """A file to export to."""

    def __init__(self, file: str, file_format: str | None, is_dynamodb_json: bool) -> None:
        self.format = format_of(file, file_format)
        self.is_dynamodb_json = is_dynamodb_json
        self._file = file
        if self.format == "csv" and is_dynamodb_json:
            raise UsageError("CSV has no typed form: leave --dynamodb-json out, or export to .jsonl.")

    @contextmanager
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


@contextmanager
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
    total = max(1, (await client.describe_table(table)).items)
    with target.open() as file:
        writer: _Lines = _WRITERS[target.format](file, target.is_dynamodb_json)
        async for page in client.scan_pages(table, consistent_read=consistent_read):
            for item in page:
                writer.write(item)
            summary.items += len(page)
            on_progress(summary.items, summary.items, max(total, summary.items))
        writer.end()
    summary.duration_s = time.monotonic() - began
    summary.retries = client.retries
    return summary


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


class _Csv(_Lines):
    """CSV with a column for every attribute that any item has: items wait in a temporary file until all are known."""

    def __init__(self, file: IO[str], is_dynamodb_json: bool) -> None:
        super().__init__(file, is_dynamodb_json)
        self._columns: dict[str, int] = {}
        self._waiting = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 (closed by `end`)
        self._rows = csv.writer(self._waiting)

    def write(self, item: Item) -> None:
        for name in sorted(item):
            self._columns.setdefault(name, len(self._columns))
        self._rows.writerow([_cell(item[name]) if name in item else "" for name in self._columns])

    def end(self) -> None:
        csv.field_size_limit(sys.maxsize)
        rows = csv.writer(self._file)
        rows.writerow(self._columns)
        self._waiting.seek(0)
        for cells in csv.reader(self._waiting):
            rows.writerow(cells + [""] * (len(self._columns) - len(cells)))
        self._waiting.close()


_WRITERS: dict[str, Callable[[IO[str], bool], _Lines]] = {"jsonl": _Lines, "json": _Array, "csv": _Csv}


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value).strip('"')
