"""Plays seeds over processes and reports the ones that fail, with the command that replays each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from server.runtime.host_surroundings import OutcomeKind
from tests.simulation.world import World

MS = 1_000_000


@dataclass
class Report:
    """What a run of seeds came to."""

    seeds: int = 0
    events: int = 0
    committed: int = 0
    healed: int = 0
    reconfigured: int = 0
    buried: int = 0
    aimed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Takes in what others have played, but for the time that it took."""
        self.seeds += other.seeds
        self.events += other.events
        self.committed += other.committed
        self.healed += other.healed
        self.reconfigured += other.reconfigured
        self.buried += other.buried
        self.aimed += other.aimed
        self.failures += other.failures

    def __str__(self) -> str:
        rate = self.seeds / self.seconds if self.seconds else 0.0
        speed = self.events / self.seconds if self.seconds else 0.0
        return (
            f"{self.seeds} seeds in {self.seconds:.1f} s ({rate:.0f} seeds/s, {speed:,.0f} events/s), "
            f"{self.committed:,} writes committed, {self.healed} damaged logs healed, "
            f"{self.reconfigured} changes of members, {self.aimed} of them struck, "
            f"{self.buried} nodes dead for good, {len(self.failures)} failures"
        )


def chaos_ns(seed: int) -> int:
    """Lengths are mixed: most seeds are short, every eighth is long (some bugs need time to build up)."""
    return (20_000 if seed % 8 == 0 else 4_000) * MS


def keep_quiet() -> None:
    """What the code under test logs is of no use here: a seed is played again to look at it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def play(seed: int) -> Report:
    """What became of one seed. One in 50 is played twice, and the two have to take the same course."""
    world = World(seed, chaos_ns(seed))
    failure = ""
    try:
        world.run()
        if seed % 50 == 0:
            again = World(seed, chaos_ns(seed))
            again.run()
            if again.trace != world.trace:
                failure = "two runs of this seed took different courses"
    except Exception as error:  # noqa: BLE001 (whatever it is, it belongs to this seed and is reported with it)
        failure = f"{type(error).__name__}: {error}"
    report = Report(seeds=1, events=world.scheduler.events)
    if failure:
        told = " ".join(failure.split())[:500]  # on one line: of a failed test often no more than one is shown
        report.failures.append(f"seed {seed}: {told} (replay: make simulate SEED={seed} N=1)")
        return report
    report.committed, report.healed = world.outcomes[OutcomeKind.COMMITTED], world.healed
    report.reconfigured = 0 if world.membership is None else world.membership.changes
    report.aimed = 0 if world.aimed is None else world.aimed.struck
    report.buried = int(world.dead_node_id != 0)
    return report


def run_seeds(seeds: Iterable[int], processes: int | None = None, until: float | None = None) -> Report:
    """Plays the seeds over all cores; stops early at time.monotonic() `until`."""
    report = Report()
    began = time.monotonic()
    # Fresh interpreters: a fork would inherit the event loops and threads of whoever runs the tests.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes or os.cpu_count() or 1, initializer=keep_quiet) as pool:
        for each in pool.imap(play, seeds, chunksize=4):
            report.add(each)
            if until is not None and time.monotonic() > until:
                pool.terminate()
                break
    report.seconds = time.monotonic() - began
    return report
