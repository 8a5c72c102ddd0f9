"""`stator import` and `stator export`."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stator.cli.connect import EndpointOption, TimeoutOption, async_client
from stator.cli.exits import INTERRUPTED, REFUSED, UNREACHABLE, UsageError, expected_errors, leave
from stator.cli.items import TableArgument
from stator.cli.output import OutputFormat, print_json

if TYPE_CHECKING:
    from stator.cli.copying import Summary
    from stator.client import AsyncClient

OutputOption = Annotated[OutputFormat, typer.Option("--output", help="How to print the summary.")]
FormatOption = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="json, jsonl or csv; default: by name.")
]
_FAILURES_SHOWN = 10


def import_command(
    table: TableArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help=".json, .jsonl, .csv, each also as .gz; - is the standard input.")
    ],
    file_format: FormatOption = None,
    dynamodb_json: Annotated[
        bool, typer.Option("--dynamodb-json", help='Items are typed, {"pk": {"S": "x"}}. It shows without this, too.')
    ] = False,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="NAME:TYPE",
            help="Type of a CSV column, if not as its header says: S, N, B (base64), BOOL, SS, ... May be repeated.",
        ),
    ] = None,
    infer_types: Annotated[
        bool, typer.Option("--infer-types", help="CSV: what looks like a number, true or false becomes one.")
    ] = False,
    create: Annotated[bool, typer.Option("--create", help="Create the table first, unless it is there.")] = False,
    partition_key: Annotated[str | None, typer.Option(metavar="NAME:TYPE", help="For --create.")] = None,
    sort_key: Annotated[str | None, typer.Option(metavar="NAME:TYPE", help="For --create.")] = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="For --create.")] = None,
    skip: Annotated[
        int, typer.Option(min=0, metavar="ROWS", help="Pass over so many items, as an import that stopped early said.")
    ] = 0,
    concurrency: Annotated[int, typer.Option(help="How many writes are under way at once.", min=1, max=4096)] = 64,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 60.0,
) -> None:
    """Write the items of a file into a table.

    JSON is an array of items, items one behind the other, {"Items": [...]} as `aws dynamodb scan` prints it, or
    {"Item": {...}} as DynamoDB exports it. The header of a CSV file may say types, such as year:N; key columns take
    those of the table's key; empty cells are left out.

    Failures of nodes and throttling are ridden out; what the server refuses is reported item by item, and the rest goes
    on. Ends with 1 if any item failed; what stops it early says how to go on.

    Example: stator import cities cities.csv --create --partition-key id:N --infer-types
    """
    import asyncio

    from stator.cli.table import parse_key

    with expected_errors():
        if create and partition_key is None:
            raise UsageError("--create needs --partition-key NAME:TYPE.")
        keys = (parse_key(partition_key) if partition_key else None, parse_key(sort_key) if sort_key else None)
        by_name = dict(_parse_type(text) for text in types or [])

        async def run() -> "Summary":
            from stator.cli import copying, reading

            # Opened first: a name that is wrong shall not leave a table behind.
            source = copying.ImportSource(file, file_format, skip)
            async with async_client(endpoint, timeout) as client:
                with ExitStack() as opened:
                    opened.callback(source.close)
                    schema = await _table_for_import(client, table, keys if create else (None, None), partitions)
                    opened.pop_all()  # from here on `import_items` closes it
                source.csv_types = reading.CsvTypes({**schema, **by_name}, infer_types)
                source.shape = reading.ItemShape(tuple(schema), True if dynamodb_json else None)
                with _progress(f"importing into {table}") as on_progress:
                    return await copying.import_items(client, table, source, concurrency, on_progress)

        _finish(asyncio.run(run()), "imported", output)


def export_command(
    table: TableArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help=".json (an array), .jsonl, .csv; - is the standard output.")
    ],
    file_format: FormatOption = None,
    dynamodb_json: Annotated[
        bool, typer.Option("--dynamodb-json", help='Typed items, {"pk": {"S": "x"}}: lossless.')
    ] = False,
    no_types: Annotated[
        bool, typer.Option("--no-types", help="CSV: no types in the header, year and not year:N.")
    ] = False,
    consistent: Annotated[bool, typer.Option("--consistent", help="Reflect every write acknowledged before.")] = False,
    output: OutputOption = OutputFormat.TABLE,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = 60.0,
) -> None:
    """Write every item of a table into a file, which appears only when it is complete.

    Plain JSON turns bytes into base64 text and sets into lists; --dynamodb-json keeps every type, and so does CSV,
    whose header says types, such as year:N. `stator import` reads all of them.

    Example: stator export cities cities.jsonl --dynamodb-json
    """
    import asyncio

    with expected_errors():

        async def run() -> "Summary":
            from stator.cli import copying

            async with async_client(endpoint, timeout) as client:
                target = copying.ExportTarget(file, file_format, dynamodb_json, has_types=not no_types)
                with _progress(f"exporting {table}") as on_progress:
                    return await copying.export_items(client, table, target, consistent, on_progress)

        _finish(asyncio.run(run()), "exported", output, is_quiet=file == "-")


def _parse_type(text: str) -> tuple[str, str]:
    from stator.cli.reading import CSV_TYPES

    name, colon, kind = text.rpartition(":")
    if not colon or kind not in CSV_TYPES:
        raise UsageError(
            f"{text!r} is not a column's type: write NAME:TYPE, for example year:N; see `stator import -h`."
        )
    return name, kind


async def _table_for_import(
    client: "AsyncClient",
    name: str,
    keys: tuple[tuple[str, str] | None, tuple[str, str] | None],
    partitions: int | None,
) -> dict[str, str]:
    """Makes the table if that was asked for, and returns the types of its key attributes."""
    from stator.errors import ResourceInUseError

    partition_key, sort_key = keys
    if partition_key is not None:
        try:
            await client.create_table(name, partition_key, sort_key, partitions=partitions)
        except ResourceInUseError:
            print(f"The table {name} is there already.", file=sys.stderr)
        table = await client.wait_until_table_active(name)
        found = tuple((key.name, key.type) if key else None for key in (table.partition_key, table.sort_key))
        if found != keys:
            raise UsageError(f"The table {name} has another key: leave --create out to import into it all the same.")
    else:
        table = await client.describe_table(name)
    return {key.name: key.type for key in (table.partition_key, table.sort_key) if key is not None}


@contextmanager
def _progress(text: str) -> "Iterator[Any]":
    """A progress bar on stderr, if that is a terminal. Yields a function of (items, done, total or None)."""
    from stator.cli.output import console

    target = console(is_error=True)
    if not target.is_terminal:
        yield lambda items, done, total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(text), BarColumn(), TextColumn("{task.fields[items]:,} items"), TimeElapsedColumn())
    with Progress(*columns, console=target, transient=True) as progress:
        task = progress.add_task(text, total=None, items=0)

        def show(items: int, done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total, items=items)

        yield show


def _finish(summary: "Summary", verb: str, output: OutputFormat, *, is_quiet: bool = False) -> None:
    """Prints the summary and ends with the exit code that it deserves."""
    stream = sys.stderr if is_quiet else sys.stdout
    if output is OutputFormat.JSON and not is_quiet:
        print_json(summary.as_document())
    else:
        retries = f", {summary.retries:,} retries" if summary.retries else ""
        failed = f"; {summary.failed:,} failed" if summary.failed else ""
        rate = summary.items / summary.duration_s if summary.duration_s else 0.0
        items = f"{summary.items:,} item{'' if summary.items == 1 else 's'}"
        line = f"{verb} {items} in {summary.duration_s:.1f} s ({rate:,.0f} a second{retries}){failed}"
        print(line, file=stream)
    for failure in summary.failures[:_FAILURES_SHOWN]:
        print(f"  {failure.place}: {failure.reason}", file=sys.stderr)
    if summary.failed > _FAILURES_SHOWN:
        print(f"  ... and {summary.failed - _FAILURES_SHOWN:,} more", file=sys.stderr)
    if summary.stopped_by:
        print(f"error: stopped early: {summary.stopped_by}", file=sys.stderr)
        if verb == "imported":
            print(f"Go on with --skip {summary.rows_done}: what comes before is done with.", file=sys.stderr)
        code = INTERRUPTED if summary.is_interrupted else UNREACHABLE if summary.is_unreachable else REFUSED
        if summary.is_reading:
            leave(code)
        raise SystemExit(code)
    if summary.failed:
        raise SystemExit(REFUSED)
