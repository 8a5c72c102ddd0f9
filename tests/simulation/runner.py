"""Plays seeds over processes and reports the ones that fail, with the command that replays each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog
from statorpb import partition_pb2

from server.runtime.host_surroundings import OutcomeKind
from tests.simulation.index_world import IndexWorld
from tests.simulation.transaction_world import TransactionWorld
from tests.simulation.world import World

MS = 1_000_000


@dataclass
class Report:
    """What a run of seeds came to. `counts`: of what happened, by what is said of it."""

    seeds: int = 0
    events: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Takes in what others have played, but for the time that it took."""
        self.seeds += other.seeds
        self.events += other.events
        self.counts.update(other.counts)
        self.failures += other.failures

    def __str__(self) -> str:
        rate = self.seeds / self.seconds if self.seconds else 0.0
        speed = self.events / self.seconds if self.seconds else 0.0
        counts = "".join(f"{count:,} {name}, " for name, count in self.counts.items())
        return (
            f"{self.seeds} seeds in {self.seconds:.1f} s ({rate:.0f} seeds/s, {speed:,.0f} events/s), "
            f"{counts}{len(self.failures)} failures"
        )


def keep_quiet() -> None:
    """What the code under test logs is of no use here: a seed is played again to look at it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def chaos_ns(seed: int) -> int:
    """Lengths are mixed: most seeds are short, every eighth is long (some bugs need time to build up)."""
    return (20_000 if seed % 8 == 0 else 4_000) * MS


def play_group(seed: int, report: Report) -> int:
    """One replication group: its trace. Raises what is wrong with it."""
    world = World(seed, chaos_ns(seed))
    try:
        world.run()
    finally:
        report.events += world.scheduler.events
    report.counts["writes committed"] = world.outcomes[OutcomeKind.COMMITTED]
    report.counts["damaged logs healed"] = world.healed
    report.counts["changes of members"] = 0 if world.membership is None else world.membership.changes
    report.counts["of them struck"] = 0 if world.aimed is None else world.aimed.struck
    report.counts["disks filled"] = 0 if world.full_disks is None else world.full_disks.filled
    report.counts["nodes dead for good"] = int(world.dead_node_id != 0)
    return world.trace


def empty_directory() -> tempfile.TemporaryDirectory[str]:
    """In memory where the system has such a place: what stores are to survive is simulated."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def play_indexes(seed: int, report: Report) -> int:
    """A table and its global indexes, likewise."""
    with empty_directory() as directory:
        world = IndexWorld(seed, Path(directory), chaos_ns=(8_000 if seed % 8 == 0 else 3_000) * MS)
        try:
            world.run()
        finally:
            world.close()
            report.events += world.scheduler.events
    report.counts["writes committed"] = world.answers[partition_pb2.OK]
    report.counts["items filled in"] = world.filled
    report.counts["crashes"] = world.crashes
    report.counts["replicas rebuilt"] = world.restored
    return world.trace


def play_transactions(seed: int, report: Report) -> int:
    """Tables, the ledger, and routers that coordinate, likewise."""
    with empty_directory() as directory:
        world = TransactionWorld(seed, Path(directory), chaos_ns=(20_000 if seed % 8 == 0 else 6_000) * MS)
        try:
            world.run()
        finally:
            world.close()
            report.events += world.scheduler.events
    report.counts["calls done"] = world.told["done"]
    report.counts["transactions cancelled"] = world.told["TransactionCanceledError"]
    report.counts["audits"] = len(world.record.audits)
    report.counts["crashes of nodes"] = world.crashes
    report.counts["crashes of routers"] = world.router_crashes
    return world.trace


PLAYS: dict[str, Callable[[int, Report], int]] = {
    "group": play_group,
    "indexes": play_indexes,
    "transactions": play_transactions,
}


def play(world: str, seed: int) -> Report:
    """What became of one seed. One in 50 is played twice, and the two have to take the same course."""
    report = Report(seeds=1)
    failure = ""
    try:
        trace = PLAYS[world](seed, report)
        if seed % 50 == 0 and PLAYS[world](seed, Report()) != trace:
            failure = "two runs of this seed took different courses"
    except Exception as error:  # noqa: BLE001 (whatever it is, it belongs to this seed and is reported with it)
        failure = f"{type(error).__name__}: {error}"
    if not failure:
        return report
    told = " ".join(failure.split())[:500]  # on one line: of a failed test often no more than one is shown
    of = "" if world == "group" else f"WORLD={world} "
    report.failures.append(f"seed {seed}: {told} (replay: make simulate {of}SEED={seed} N=1)")
    return report


def run_seeds(
    seeds: Iterable[int], processes: int | None = None, until: float | None = None, world: str = "group"
) -> Report:
    """Plays the seeds over all cores; stops early at time.monotonic() `until`."""
    report = Report()
    began = time.monotonic()
    # Fresh interpreters: a fork would inherit the event loops and threads of whoever runs the tests.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes or os.cpu_count() or 1, initializer=keep_quiet) as pool:
        for each in pool.imap(partial(play, world), seeds, chunksize=4):
            report.add(each)
            if until is not None and time.monotonic() > until:
                pool.terminate()
                break
    report.seconds = time.monotonic() - began
    return report
