"""Runs a load at one level of concurrency after the other and puts the figures of all processes together."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stator.bench.histogram import Histogram
from stator.bench.worker import WorkerPlan
from stator.bench.workload import Workload
from stator.local.services import GRPC_EXPERIMENTS

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
_START_S = 30.0


class BenchmarkError(Exception):
    """A load could not be run; `str(error)` says why."""


@dataclass(slots=True)
class Level:
    """The figures at one concurrency. Latencies in seconds; `cpu_s`: processor seconds a process, by name."""

    concurrency: int
    operations: int
    duration_s: float
    latencies: dict[str, float]
    errors: dict[str, int]
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def throughput(self) -> float:
        """Operations a second."""
        return self.operations / self.duration_s

    def as_document(self) -> dict[str, Any]:
        return {
            "concurrency": self.concurrency,
            "operations": self.operations,
            "duration_s": round(self.duration_s, 3),
            "throughput_per_s": round(self.throughput, 1),
            "latency_ms": {name: round(seconds * 1000, 3) for name, seconds in self.latencies.items()},
            "errors": self.errors,
            "cpu_s": {name: round(seconds, 2) for name, seconds in self.cpu_s.items()},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A load at several levels. `pids`: processes whose processor time is reported, by name; `worker_module`: what
    each process of the load runs."""

    door: str
    endpoints: tuple[str, ...]
    workload: Workload
    concurrencies: tuple[int, ...]
    processes: int = 1
    warmup_s: float = 1.0
    duration_s: float = 10.0
    pids: Mapping[str, int] = field(default_factory=dict)
    worker_module: str = "stator.bench.worker"


def run(plan: Plan, on_level: Callable[[Level], None] = lambda level: None) -> list[Level]:
    """Plays every level. Raises BenchmarkError."""
    levels = []
    for concurrency in plan.concurrencies:
        levels.append(_run_level(plan, concurrency))
        on_level(levels[-1])
    return levels


def _run_level(plan: Plan, concurrency: int) -> Level:
    count = min(plan.processes, concurrency)
    workers = []
    for number in range(count):
        lanes = concurrency // count + (number < concurrency % count)
        # Lanes of different processes begin at different routers.
        turn = number % len(plan.endpoints)
        endpoints = plan.endpoints[turn:] + plan.endpoints[:turn]
        seed = concurrency * 1000 + number
        spec = WorkerPlan(plan.door, endpoints, lanes, seed, plan.warmup_s, plan.duration_s, plan.workload)
        workers.append(_Worker(spec, plan.worker_module))
    try:
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            worker.go()
        time.sleep(plan.warmup_s)
        before = _cpu_seconds(plan.pids)
        time.sleep(plan.duration_s)
        after = _cpu_seconds(plan.pids)
        figures = [worker.figures() for worker in workers]
    finally:
        for worker in workers:
            worker.end()
    cpu_s = {name: after[name] - before[name] for name in before if name in after}
    cpu_s["load"] = sum(each["cpu_s"] for each in figures)
    return _combine(concurrency, figures, cpu_s)


def _combine(concurrency: int, figures: Sequence[Mapping[str, Any]], cpu_s: dict[str, float]) -> Level:
    latencies, errors = Histogram(), Counter[str]()
    for each in figures:
        latencies.merge(Histogram({int(bucket): count for bucket, count in each["latencies"].items()}))
        errors.update(each["errors"])
    quantiles = {name: latencies.quantile(fraction) for name, fraction in QUANTILES.items()}
    duration_s = sum(each["duration_s"] for each in figures) / len(figures)
    return Level(concurrency, latencies.total, duration_s, quantiles, dict(errors), cpu_s)


class _Worker:
    """A worker process and the conversation with it."""

    def __init__(self, plan: WorkerPlan, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for the process that started this one, which then ends it
            env={"GRPC_EXPERIMENTS": GRPC_EXPERIMENTS, **os.environ, "GRPC_VERBOSITY": "ERROR"},
        )
        self._say(plan.to_json())

    def wait_ready(self) -> None:
        timer = threading.Timer(_START_S, self._process.kill)
        timer.start()
        line = self._hear()
        timer.cancel()
        if line != "ready\n":
            raise BenchmarkError(f"a load process could not connect (exit code {self._process.wait()}).")

    def go(self) -> None:
        self._say("go")

    def figures(self) -> dict[str, Any]:
        line = self._hear()
        if not line:
            raise BenchmarkError(f"a load process ended early (exit code {self._process.wait()}).")
        figures: dict[str, Any] = json.loads(line)
        return figures

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds that processes have used so far; those that are gone, or not on Linux, are left out."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    found = {}
    for name, pid in pids.items():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[name] = (int(fields[11]) + int(fields[12])) / ticks_per_s
    return found
