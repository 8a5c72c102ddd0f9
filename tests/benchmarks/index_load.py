"""The processes that load a table with an index, and that watch the index: `python -m tests.benchmarks.index_load`.

Each is told on its standard input what to do (a LoadPlan or a ProbePlan as JSON), says "ready" once it is at work, and
answers every further line with what it has seen since the line before, as a line of JSON. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import stator
import uvloop
from stator import key as key_condition
from stator.bench.histogram import Histogram
from stator.bench.workload import Distribution, KeyChooser, key
from stator.transport import Endpoint
from statorpb import items_pb2, passthrough_pb2

INDEX: Final = "by-owner"
ITEMS_EACH: Final = 10
"""Items of a load to a key of the index; those of probes have one each."""

TIMEOUT_S = 10.0
AGAIN_S = 0.01
"""After an error."""

_TOKEN_HEAD = b"\x1a\x10"  # SessionRequest.token, 16 bytes
now = time.monotonic


def owner(index: int) -> str:
    """Of the item `index`, before anybody has given it another."""
    return f"owner{index // ITEMS_EACH:08d}"


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """`clients` put items into a table through the session door, one after the other each: as fast as they are
    answered, or (`rate_per_s`) at a steady rate all together; who is late hurries after. A part of the puts, `moves`,
    gives an item another owner."""

    endpoints: list[str]
    table: str
    clients: int
    rate_per_s: float
    items: int
    item_bytes: int
    moves: float
    seed: int


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """One after the other through each router: an item is put, and the index asked until it has that."""

    endpoints: list[str]
    table: str
    pause_s: float
    seed: int


@dataclass(slots=True)
class Seen:
    """Durations by name, and errors."""

    began: float = field(default_factory=now)
    durations: dict[str, Histogram] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def note(self, name: str, seconds: float) -> None:
        self.durations.setdefault(name, Histogram()).add(seconds)

    def as_document(self) -> dict[str, Any]:
        return {
            "duration_s": now() - self.began,
            "durations": {name: each.counts for name, each in self.durations.items()},
            "errors": self.errors,
        }


class Work:
    """Something that goes on until it is told to `stop`. `seen` since it was last taken."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._is_stopping = False

    def take(self) -> dict[str, Any]:
        seen, self.seen = self.seen, Seen()
        return seen.as_document()

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        self._is_stopping = True


class Load(Work):
    """Carries out a LoadPlan. Notes `put`: from when it was due until it was answered."""

    def __init__(self, plan: LoadPlan) -> None:
        super().__init__()
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(plan.seed)
        self._keys = KeyChooser(plan.items, Distribution.UNIFORM, self._rng)
        self._owners = [owner(index) for index in range(plan.items)]
        self._endpoints = [Endpoint(address) for address in plan.endpoints]
        self._step_s = plan.clients / plan.rate_per_s if plan.rate_per_s else 0.0
        self._filler = _filler(plan)
        self._parts = _parts(plan)

    async def start(self) -> None:
        began = self._loop.time()
        for client in range(self._plan.clients):
            due = began + self._step_s * client / self._plan.clients
            self._loop.call_at(due, self._send, client, due)

    async def stop(self) -> None:
        await super().stop()
        for endpoint in self._endpoints:
            await endpoint.close()

    def _send(self, client: int, due: float) -> None:
        if self._is_stopping:
            return
        index = self._keys.next()
        if self._rng.random() < self._plan.moves:
            self._owners[index] = owner(self._keys.next())
        filler = os.urandom(len(self._filler) // 2 + 1).hex()[: len(self._filler)]
        values = {key(0): key(index), owner(0): self._owners[index], self._filler: filler}
        body = b"".join(each if isinstance(each, bytes) else values[each].encode() for each in self._parts)
        session = self._endpoints[client % len(self._endpoints)].session
        future = session.send(_TOKEN_HEAD + os.urandom(16) + body, TIMEOUT_S)
        future.add_done_callback(lambda done: self._answered(client, due, done))

    def _answered(self, client: int, due: float, done: asyncio.Future[passthrough_pb2.RawSessionReply]) -> None:
        if self._is_stopping:
            done.exception()
            return
        error, at = done.exception(), self._loop.time()
        name = type(error).__name__ if error is not None else ""
        if not name and done.result().HasField("error"):
            name = done.result().error.code
        if name:
            self.seen.errors[name] += 1
            self._loop.call_later(AGAIN_S, self._send, client + 1, due)
            return
        self.seen.note("put", at - due)
        due = due + self._step_s if self._step_s else at
        if due <= at:
            self._send(client, due)
        else:
            self._loop.call_at(due, self._send, client, due)


class Probe(Work):
    """Carries out a ProbePlan. Notes `lag`: from the acknowledgement of a put until a query of the index has brought
    the item; and `query`: how long each query took."""

    def __init__(self, plan: ProbePlan) -> None:
        super().__init__()
        self._plan = plan
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for number, endpoint in enumerate(self._plan.endpoints):
            self._tasks.append(asyncio.create_task(self._probe(number, endpoint)))

    async def stop(self) -> None:
        await super().stop()
        await asyncio.gather(*self._tasks)

    async def _probe(self, router: int, endpoint: str) -> None:
        async with stator.AsyncClient([endpoint]) as client:
            number = 0
            while not self._is_stopping:
                number += 1
                name = f"probe-{self._plan.seed}-{router}-{number}"
                try:
                    await client.put_item(self._plan.table, {"pk": name, "owner": name})
                    await self._wait_seen(client, name, now())
                except stator.StatorError as error:
                    self.seen.errors[type(error).__name__] += 1
                await asyncio.sleep(self._plan.pause_s)

    async def _wait_seen(self, client: stator.AsyncClient, name: str, acknowledged: float) -> None:
        is_there = False
        while not is_there and not self._is_stopping:
            asked = now()
            condition = key_condition("owner").eq(name)
            is_there = bool([each async for each in client.query(self._plan.table, condition, index=INDEX)])
            self.seen.note("query", now() - asked)
        if is_there:
            self.seen.note("lag", now() - acknowledged)


def _filler(plan: LoadPlan) -> str:
    """What brings an item to about `item_bytes`, names and values."""
    return "f" * max(2, plan.item_bytes - len("pk" + key(0) + "owner" + owner(0) + "filler"))


def _parts(plan: LoadPlan) -> list[bytes | str]:
    """A put as it is sent: bytes that are always the same, and what stands for a value between them."""
    request = items_pb2.SessionRequest()
    request.put_item.table_name = plan.table
    attributes = request.put_item.item.attributes
    values = {"pk": key(0), "owner": owner(0), "filler": _filler(plan)}
    for name, value in values.items():
        attributes[name].s = value
    parts: list[bytes | str] = [request.SerializeToString()]
    for value in values.values():
        for at, part in enumerate(parts):
            if isinstance(part, bytes) and value.encode() in part:
                before, after = part.split(value.encode())
                parts[at : at + 1] = [before, value, after]
    return parts


async def _serve(work: Work) -> None:
    await work.start()
    _say("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        _say(json.dumps(work.take()))
    await work.stop()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


_WORKS: dict[str, Callable[[dict[str, Any]], Work]] = {
    "LoadPlan": lambda document: Load(LoadPlan(**document)),
    "ProbePlan": lambda document: Probe(ProbePlan(**document)),
}


async def _run() -> None:
    name, document = json.loads(sys.stdin.readline())
    await _serve(_WORKS[name](document))


class Child:
    """A process of this module, for those who start it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, plan: LoadPlan | ProbePlan) -> Child:
        """Returns once it is at work."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24
        )
        child = cls(process)
        child._tell(json.dumps([type(plan).__name__, asdict(plan)]))
        assert await child._hear() == "ready", "a process of the load did not start"
        return child

    async def take(self) -> Figures:
        """What it has seen since the last time."""
        self._tell("take")
        return Figures.from_document(json.loads(await self._hear()))

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def _hear(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


@dataclass(frozen=True, slots=True)
class Figures:
    """What a process has seen. Durations in seconds, by name; errors, by name. `storage_cpu_s`: processor seconds of
    the storage nodes, where somebody has looked."""

    duration_s: float
    durations: dict[str, Histogram]
    errors: dict[str, int]
    storage_cpu_s: float = 0.0

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Figures:
        durations = {
            name: Histogram({int(bucket): count for bucket, count in counts.items()})
            for name, counts in document["durations"].items()
        }
        return cls(document["duration_s"], durations, document["errors"])

    def per_s(self, name: str) -> float:
        return self.count(name) / self.duration_s

    def count(self, name: str) -> int:
        return self._of(name).total

    def ms(self, name: str, fraction: float) -> float:
        """The time in milliseconds that this part of all did not exceed; nan: there is none."""
        return 1000 * self._of(name).quantile(fraction)

    def then(self, other: Figures) -> Figures:
        """Of both, one after the other."""
        return replace(self.beside(other), duration_s=self.duration_s + other.duration_s)

    def beside(self, other: Figures) -> Figures:
        """Of both, at the same time."""
        durations = {name: Histogram() for name in (*self.durations, *other.durations)}
        for name, merged in durations.items():
            merged.merge(self._of(name))
            merged.merge(other._of(name))
        errors = Counter(self.errors) + Counter(other.errors)
        return Figures(self.duration_s, durations, dict(errors), self.storage_cpu_s + other.storage_cpu_s)

    def _of(self, name: str) -> Histogram:
        return self.durations.get(name, Histogram())


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor seconds that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    uvloop.run(_run())
