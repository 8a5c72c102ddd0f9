"""Plays seeds over processes and reports the ones that fail, with the command that replays each."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

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
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.seeds / self.seconds if self.seconds else 0.0
        speed = self.events / self.seconds if self.seconds else 0.0
        return (
            f"{self.seeds} seeds in {self.seconds:.1f} s ({rate:.0f} seeds/s, {speed:,.0f} events/s), "
            f"{self.committed:,} writes committed, {self.healed} damaged logs healed, "
            f"{self.reconfigured} changes of members, {len(self.failures)} failures"
        )


def chaos_ns(seed: int) -> int:
    """Lengths are mixed: most seeds are short, every eighth is long (some bugs need time to build up)."""
    return (20_000 if seed % 8 == 0 else 4_000) * MS


def play(seed: int) -> tuple[int, int, int, int, str]:
    """(events, committed writes, members healed, changes of members, what went wrong or empty) of one seed; one seed in
    50 is played twice, and the two have to take the same course."""
    world = World(seed, chaos_ns(seed))
    try:
        world.run()
        if seed % 50 == 0:
            again = World(seed, chaos_ns(seed))
            again.run()
            if again.trace != world.trace:
                return world.scheduler.events, 0, 0, 0, "two runs of this seed took different courses"
    except Exception as error:  # noqa: BLE001 (whatever it is, it belongs to this seed and is reported with it)
        return world.scheduler.events, 0, 0, 0, f"{type(error).__name__}: {error}"
    changes = 0 if world.membership is None else world.membership.changes
    return world.scheduler.events, sum(world.outcomes.values()), world.healed, changes, ""


def run_seeds(seeds: Iterable[int], processes: int | None = None, until: float | None = None) -> Report:
    """Plays the seeds over all cores; stops early at time.monotonic() `until`."""
    report = Report()
    began = time.monotonic()
    # Fresh interpreters: a fork would inherit the event loops and threads of whoever runs the tests.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes or os.cpu_count() or 1) as pool:
        seed_list = list(seeds)
        results = pool.imap(play, seed_list, chunksize=4)
        for seed, (events, committed, healed, changes, failure) in zip(seed_list, results, strict=True):
            report.seeds += 1
            report.events += events
            report.committed += committed
            report.healed += healed
            report.reconfigured += changes
            if failure:
                report.failures.append(f"seed {seed}: {failure[:500]}\n  replay: make simulate SEED={seed} N=1")
            if until is not None and time.monotonic() > until:
                pool.terminate()
                break
    report.seconds = time.monotonic() - began
    return report
