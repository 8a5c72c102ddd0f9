"""`stator bench`."""

import asyncio
import importlib.util
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stator.bench.workload import ITEM_BYTES_MIN, QUERY, WORKLOADS, Distribution, Workload
from stator.cli.connect import EndpointOption, async_client, resolve_endpoints
from stator.cli.exits import REFUSED, UsageError, expected_errors, fail
from stator.cli.output import OutputFormat, print_json, print_table

if TYPE_CHECKING:
    from stator.bench.runner import Level, Plan

_ITEM_BYTES_MAX = 400 * 1024
_TABLE = "stator-bench"


class Door(StrEnum):
    """Which of a router's doors the load uses."""

    HTTP = "http"
    SESSION = "session"


def bench(
    workload: Annotated[
        str,
        typer.Option(
            help="put, get, YCSB's a (half reads), b (95 % reads), c (reads only), update (conditional), query "
            "(100 items each)."
        ),
    ] = "a",
    door: Annotated[Door, typer.Option(help="http: DynamoDB's protocol. session: the SDK's gRPC stream.")] = Door.HTTP,
    concurrency: Annotated[
        str, typer.Option(metavar="N[,N...]", help="Requests under way at once; several: one level after the other.")
    ] = "64",
    duration: Annotated[float, typer.Option(help="Seconds measured, a level.", min=0.1)] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds before that, a level.", min=0.0)] = 2.0,
    items: Annotated[int, typer.Option(help="How many different items.", min=1, max=100_000_000)] = 10_000,
    item_bytes: Annotated[int, typer.Option(help="Size of an item.", min=ITEM_BYTES_MIN, max=_ITEM_BYTES_MAX)] = 900,
    distribution: Annotated[Distribution, typer.Option(help="Which items are asked for.")] = Distribution.UNIFORM,
    eventual: Annotated[bool, typer.Option("--eventual", help="Eventually consistent reads.")] = False,
    processes: Annotated[int, typer.Option(help="Processes that make the load.", min=1, max=64)] = 1,
    table: Annotated[str, typer.Option(help="The table; made if it is not there, and then deleted.")] = _TABLE,
    partitions: Annotated[int, typer.Option(help="Partitions of the table, if it is made.", min=1)] = 6,
    skip_fill: Annotated[
        bool, typer.Option("--skip-fill", help="Workloads that read: the items are there from an earlier run.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the table.")] = False,
    http_endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT", help="A router's HTTP address; may be repeated. Default: the local cluster's."
        ),
    ] = None,
    endpoint: EndpointOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Data folder of the local cluster whose processor time is reported.")
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--output", help="How to print the figures.")] = OutputFormat.TABLE,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file as well.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw throughput against latency into a .png or .svg.")] = None,
) -> None:
    """Measure throughput and latency of a cluster.

    A closed loop: each of N clients sends its next request when the last is answered. The load comes from processes of
    its own. `cpu` is the processor time a second that each process used while it was measured, in per cent of a core.

    Example: stator bench --workload put --concurrency 1,4,16,64,256 --plot put.png
    """
    from stator.bench.runner import BenchmarkError, Plan

    with expected_errors():
        if workload not in WORKLOADS:
            raise UsageError(f"{workload!r} is not a workload: choose one of {', '.join(WORKLOADS)}.")
        if workload == QUERY and table == _TABLE:
            table = f"{_TABLE}-{QUERY}"  # it has a sort key
        load = Workload(workload, table, items, item_bytes, distribution, not eventual)
        levels = _concurrencies(concurrency)
        _check_files(json_file, plot)
        try:
            http, grpc, pids = _cluster(endpoint, http_endpoint, data)
            chosen = tuple(http if door is Door.HTTP else grpc)
            plan = Plan(str(door), chosen, load, levels, processes, warmup, duration, pids)
            measured = _measure(plan, grpc, partitions, skip_fill, keep, output)
            if not all(level.operations for level in measured):
                raise BenchmarkError("nothing was answered well at one level or more.")
            _write_figures(_document(plan, measured), output, json_file)
            if plot is not None:
                from stator.bench.plot import write_plot

                write_plot(plot, f"{workload}, {door} door, {item_bytes} B items", measured)
        except BenchmarkError as error:
            fail(str(error), REFUSED)


def _write_figures(document: dict[str, object], output: OutputFormat, json_file: Path | None) -> None:
    if output is OutputFormat.JSON:
        print_json(document)
    if json_file is not None:
        from stator.cli.output import to_json

        json_file.write_text(to_json(document, indent=2) + "\n")


def _concurrencies(text: str) -> tuple[int, ...]:
    try:
        levels = tuple(int(part) for part in text.split(","))
    except ValueError:
        levels = (0,)
    if min(levels) < 1:
        raise UsageError(f"{text!r} is no concurrency: write one or more numbers, for example 1,16,64.")
    return levels


def _check_files(json_file: Path | None, plot: Path | None) -> None:
    """Raises UsageError before the measurement, not after it, for what its figures cannot be written to."""
    for path in (json_file, plot):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise UsageError(f"{path} cannot be written: there is no such folder, or it is one itself.")
    if plot is not None:
        if plot.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--plot draws .png and .svg, not {plot.name}.")
        if importlib.util.find_spec("matplotlib") is None:
            raise UsageError("--plot needs matplotlib: pip install 'stator[plot]'.")


def _cluster(
    endpoint: list[str] | None, http_endpoint: list[str] | None, data: Path | None
) -> tuple[list[str], list[str], dict[str, int]]:
    """(HTTP addresses, gRPC addresses, pids by name) of what was named, else of the local cluster."""
    from stator.local.errors import NotRunningError
    from stator.local.folder import DataFolder, default_data_folder
    from stator.local.status import local_endpoints, read_status

    folder = DataFolder(data or default_data_folder(os.environ))
    try:
        is_running, entries = read_status(folder)
    except NotRunningError:
        is_running, entries = False, []
    if data is not None and not is_running:
        raise NotRunningError(f"No cluster runs in {data}: start one with `stator local up --detach --data {data}`.")
    pids = {entry["name"]: entry["pid"] for entry in entries if entry["pid"] is not None}
    ports = folder.read().http_ports if is_running else [8000, 8001, 8002]
    grpc = resolve_endpoints(endpoint or (local_endpoints(folder) if data else None), os.environ)
    return http_endpoint or [f"127.0.0.1:{port}" for port in ports], grpc, pids


def _measure(
    plan: "Plan", endpoints: list[str], partitions: int, skip_fill: bool, keep: bool, output: OutputFormat
) -> "list[Level]":
    from stator.bench import dataset, runner

    is_filled = plan.workload.needs_items and not skip_fill

    async def prepare() -> bool:
        async with async_client(endpoints, 60.0) as client:
            return await dataset.prepare(client, plan.workload, partitions, is_filled=is_filled)

    async def delete() -> None:
        async with async_client(endpoints, 60.0) as client:
            await client.delete_table(plan.workload.table)

    began = time.perf_counter()
    is_made = asyncio.run(prepare())
    if is_filled and output is OutputFormat.TABLE:
        print(f"wrote {plan.workload.items:,} items in {time.perf_counter() - began:.1f} s")
    try:
        levels = runner.run(plan)  # in this thread, where Ctrl-C ends it
    finally:
        if is_made and not keep:
            asyncio.run(delete())
    if output is OutputFormat.TABLE:
        _print(levels)
    return levels


def _print(levels: "list[Level]") -> None:
    from stator.bench.runner import QUANTILES

    rows = [
        [
            level.concurrency,
            f"{level.throughput:,.0f}",
            *(f"{level.latencies[name] * 1000:.2f}" for name in QUANTILES),
            sum(level.errors.values()),
        ]
        for level in levels
    ]
    columns = ["clients", "ops/s", *(f"{name} ms" for name in QUANTILES), "errors"]
    print_table(columns, rows, right=columns)
    for level in levels:
        for name, count in sorted(level.errors.items()):
            print(f"{_clients(level)}: {count:,} x {name}")
    print()
    names = list(levels[0].cpu_s)
    cpu_rows = [
        [name, *(f"{100 * level.cpu_s.get(name, 0.0) / level.duration_s:.0f}" for level in levels)] for name in names
    ]
    headings = ["cpu % of a core", *(_clients(level) for level in levels)]
    print_table(headings, cpu_rows, right=headings[1:])


def _clients(level: "Level") -> str:
    return f"{level.concurrency} client{'s' if level.concurrency > 1 else ''}"


def _document(plan: "Plan", levels: "list[Level]") -> dict[str, object]:
    workload = plan.workload
    return {
        "workload": workload.name,
        "door": plan.door,
        "items": workload.items,
        "item_bytes": workload.item_bytes,
        "distribution": str(workload.distribution),
        "consistent_reads": workload.is_consistent,
        "processes": plan.processes,
        "levels": [level.as_document() for level in levels],
    }
