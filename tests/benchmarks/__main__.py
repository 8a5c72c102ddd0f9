"""`make bench`: Stator beside etcd and dynalite, where they are installed, in one run on one machine.

Absolute figures say much about the machine and its other tenants; ratios within a round say something about the
systems. So every round measures every system once, and the ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from stator.bench.runner import Level, Plan, run
from stator.bench.workload import Workload

from tests.benchmarks.peers import System, running_dynalite, running_etcd, running_stator

PROBE_S = 1.5
PROBES = 2
WORKER = "tests.benchmarks.worker"
Figures = dict[tuple[str, str], list[Level]]  # (system, operation) -> a level a round


def main() -> int:
    options = _options()
    workload = Workload("put", "stator-bench", options.items, options.item_bytes)
    with tempfile.TemporaryDirectory(prefix="stator-bench-", dir=options.folder) as name:
        folder = Path(name)
        with contextlib.ExitStack() as stack:
            systems = stack.enter_context(running_stator(folder / "stator", workload, options.partitions))
            systems += stack.enter_context(running_etcd(folder / "etcd", workload))
            if not options.no_dynalite:
                systems += stack.enter_context(running_dynalite(folder / "dynalite", workload))
            figures: Figures = {}
            plans = {}
            for system in systems:
                for operation in ("put", "get"):
                    load = replace(workload, name=operation)
                    plans[system.name, operation] = _best_plan(system, load, options.concurrency, options.duration)
            for number in range(1, options.rounds + 1):
                print(f"round {number} of {options.rounds}", file=sys.stderr)
                for place, plan in plans.items():
                    figures.setdefault(place, []).extend(run(plan))
    text = _report(figures, options, systems) + "\n\n" + _arrangements(plans)
    print(text)
    if options.markdown is not None:
        options.markdown.write_text(text + "\n")
    failed = False
    for (system_name, operation), levels in figures.items():
        for number, level in enumerate(levels, 1):
            if level.errors or not level.operations:
                failed = True
                what = f"{level.operations} done, errors: {level.errors or 'none'}"
                print(f"{system_name}, {operation}, round {number}: {what}", file=sys.stderr)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each system is measured")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds, a measurement")
    parser.add_argument("--concurrency", type=int, default=64, help="requests under way at once")
    parser.add_argument("--items", type=int, default=10_000, help="different items")
    parser.add_argument("--item-bytes", type=int, default=900, help="size of an item")
    parser.add_argument(
        "--partitions", type=int, default=1, help="of Stator's table; etcd keeps all it has in one Raft group"
    )
    parser.add_argument("--folder", type=Path, default=None, help="where the data is kept; the default is the system's")
    parser.add_argument("--no-dynalite", action="store_true", help="leave dynalite out")
    parser.add_argument("--markdown", type=Path, default=None, help="write the report to a file as well")
    return parser.parse_args()


def _best_plan(system: System, workload: Workload, concurrency: int, duration_s: float) -> Plan:
    """The plan with the arrangement of clients that serves this system best. Each is tried for a moment, and once more
    after all others have been: a disturbance does not choose."""
    plans = [
        Plan(system.door, endpoints, workload, (concurrency,), processes, 1.0, PROBE_S, worker_module=WORKER)
        for endpoints in system.arrangements
        for processes in (1, 2)
    ]
    throughputs = [0.0] * len(plans)
    for _ in range(PROBES):
        for index, plan in enumerate(plans):
            (level,) = run(plan)
            throughputs[index] += level.throughput
    return replace(plans[throughputs.index(max(throughputs))], duration_s=duration_s)


def _report(figures: Figures, options: argparse.Namespace, systems: list[System]) -> str:
    lines = [
        f"{options.concurrency} requests in flight, {options.item_bytes} B items, {options.items:,} keys, "
        f"{options.partitions} partition(s); median of {options.rounds} rounds of {options.duration:g} s",
        "",
        "| | put/s | p50 ms | p99 ms | get/s | p50 ms | p99 ms |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for system in systems:
        cells = [system.name]
        for operation in ("put", "get"):
            levels = figures[system.name, operation]
            cells.append(f"{statistics.median(level.throughput for level in levels):,.0f}")
            cells += [
                f"{1000 * statistics.median(level.latencies[name] for level in levels):.1f}" for name in ("p50", "p99")
            ]
        lines.append("| " + " | ".join(cells) + " |")
    ours = [system.name for system in systems if system.name.startswith("Stator")]
    for peer in (system.name for system in systems if system.name not in ours):
        lines += ["", f"| ratio to {peer}, round by round | put | get |", "| --- | --: | --: |"]
        for name in ours:
            lines.append(f"| {name} | {_ratio(figures, name, peer, 'put')} | {_ratio(figures, name, peer, 'get')} |")
    return "\n".join(lines)


def _arrangements(plans: dict[tuple[str, str], Plan]) -> str:
    """By how many processes each system was asked, at how many addresses: those that served it best; and on what."""
    chosen = [
        f"{name} {operation} {plan.processes} to {len(set(plan.endpoints))}"
        for (name, operation), plan in plans.items()
    ]
    python = f"{platform.python_implementation()} {platform.python_version()} ({Path(sys.executable).resolve()})"
    return (
        f"Processes of clients, and addresses that they ask: {'; '.join(chosen)}. Stator and clients ran on {python}."
    )


def _ratio(figures: Figures, name: str, peer: str, operation: str) -> str:
    pairs = zip(figures[name, operation], figures[peer, operation], strict=True)
    ratios = [own.throughput / other.throughput for own, other in pairs if other.throughput]
    if not ratios:
        return "-"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    sys.exit(main())
