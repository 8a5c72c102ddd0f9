"""One process of a load: `python -m stator.bench.worker`, a WorkerPlan as JSON on its standard input.

It says "ready" once every lane is connected, begins to count at "go" after the time to warm up, and ends with its
figures as one line of JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from stator.bench.http_load import HttpLoad
from stator.bench.measurement import Measurement
from stator.bench.session_load import SessionLoad
from stator.bench.workload import Distribution, Workload


class Load(Protocol):
    """A closed loop. `start` connects and sends the first requests; `stop` ends it."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


LOADS: dict[str, Callable[[Sequence[str], int, Workload, Measurement, random.Random], Load]] = {
    "http": HttpLoad,
    "session": SessionLoad,
}
"""Door -> what loads it, from (endpoints, lanes, workload, measurement, source of chance)."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a worker does. `lanes` requests are under way at any time; durations in seconds."""

    door: str
    endpoints: tuple[str, ...]
    lanes: int
    seed: int
    warmup_s: float
    duration_s: float
    workload: Workload

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "WorkerPlan":
        document = json.loads(text)
        workload = document["workload"]
        workload["distribution"] = Distribution(workload["distribution"])
        document["workload"] = Workload(**workload)
        document["endpoints"] = tuple(document["endpoints"])
        return cls(**document)


async def run(plan: WorkerPlan) -> dict[str, Any]:
    """Plays the plan and returns the figures."""
    measurement = Measurement()
    load = LOADS[plan.door](plan.endpoints, plan.lanes, plan.workload, measurement, random.Random(plan.seed))
    try:
        await load.start()
    except OSError as error:
        sys.exit(f"error: {error}")
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.sleep(plan.warmup_s)
    measurement.is_on = True
    began, cpu_began = time.perf_counter(), time.process_time()
    await asyncio.sleep(plan.duration_s)
    measurement.is_on = False
    duration_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    await load.stop()
    return {
        "duration_s": duration_s,
        "cpu_s": cpu_s,
        "latencies": measurement.latencies.counts,
        "errors": measurement.errors,
    }


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    plan = WorkerPlan.from_json(sys.stdin.readline())
    try:
        import uvloop  # comes with stator[server]; without it the load costs more processor time
    except ImportError:
        figures = asyncio.run(run(plan))
    else:
        figures = uvloop.run(run(plan))
    _say(json.dumps(figures))


if __name__ == "__main__":
    main()
