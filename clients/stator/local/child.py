"""One process of the local cluster: started, watched, signalled."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import grpc
import grpc.aio

from stator.local.layout import LOOPBACK, ProcessPlan

LOG_BYTES_MAX = 64 * 1024 * 1024
LOG_TAIL_LINES = 15
_TAIL_BYTES_MAX = 32 * 1024
_KILL_WAIT_S = 5.0

EXIT_REMOVED = 6
"""Of a storage node that is no part of the cluster any more; see server/runtime/lifecycle.py."""

# The body of grpc.health.v1.HealthCheckResponse with status SERVING: field 1, value 1.
_SERVING = b"\x08\x01"
# The body of grpc.health.v1.HealthCheckRequest for the service "ready": field 1, five bytes. See
# server/runtime/readiness.py.
_IS_READY = b"\x0a\x05ready"
_WATCH = "/grpc.health.v1.Health/Watch"
_WATCH_AGAIN_S = 0.1


class State(StrEnum):
    """What a process is doing. `running`: alive and was ready once, yet does not serve now."""

    STARTING = "starting"
    RUNNING = "running"
    READY = "ready"
    PAUSED = "paused"
    STOPPED = "stopped"  # because it was told to
    EXITED = "exited"  # of its own accord
    REMOVED = "removed"  # so, because it is no part of the cluster any more


ALIVE = frozenset({State.STARTING, State.RUNNING, State.READY, State.PAUSED})


class Child:
    """A process of the plan. `on_change` is called after each change of `state`.

    Invariant: `_process` is not None exactly while `state` is one of ALIVE.
    """

    def __init__(self, plan: ProcessPlan, log_path: Path, on_change: Callable[["Child"], None]) -> None:
        self.plan = plan
        self.log_path = log_path
        self.state = State.STOPPED
        self.exit_code: int | None = None
        self.pid: int | None = None
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._is_stop_asked = False
        self._state_before_pause = State.STARTING
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()

    async def start(
        self, command: Sequence[str], environment: Mapping[str, str], inherited_fds: Sequence[int], cwd: Path
    ) -> None:
        """Starts the process; the first of `inherited_fds` is the pipe that tells it when its parent is gone."""
        assert self._process is None, self.plan.name
        self._is_stop_asked = False
        self.exit_code = None
        self._ended = asyncio.Event()
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(log, f"--- {self.plan.name} started at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode())
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env={**environment, "STATOR_PARENT_FD": str(inherited_fds[0])},
                pass_fds=tuple(inherited_fds),
                # Its own group, our session: Ctrl-C in the terminal reaches the supervisor only, and the kernel wakes a
                # paused process whose supervisor was killed (its group is then orphaned), so that it can end.
                process_group=0,
            )
        finally:
            os.close(log)
        self.pid = self._process.pid
        self._set_state(State.STARTING)
        self._watching = asyncio.create_task(self._watch(self._process), name=f"watch {self.plan.name}")

    async def stop(self, grace_s: float) -> None:
        """Asks the process to end; SIGKILL if it has not after `grace_s`. Returns once it is gone."""
        await self._end(signal.SIGTERM, grace_s)

    async def kill(self) -> None:
        """SIGKILL. Returns once the process is gone."""
        await self._end(signal.SIGKILL, _KILL_WAIT_S)

    def pause(self) -> None:
        """SIGSTOP: the process keeps its connections and does nothing."""
        if self.state in ALIVE and self.state is not State.PAUSED:
            self._state_before_pause = self.state
            self._signal(signal.SIGSTOP)
            self._set_state(State.PAUSED)

    def resume(self) -> None:
        """SIGCONT."""
        if self.state is State.PAUSED:
            self._signal(signal.SIGCONT)
            self._set_state(self._state_before_pause)

    async def wait_settled(self, timeout_s: float) -> bool:
        """Waits until the process is ready, or not alive; False when neither came within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.state is not State.READY and self.state in ALIVE:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def wait_in_step(self, timeout_s: float) -> bool:
        """Waits until the process says that it can be counted on: it votes, and has all that it should have. False when
        that did not come within `timeout_s`, or the process ended."""
        in_step = asyncio.create_task(self._in_step(), name=f"in step {self.plan.name}")
        ended = asyncio.create_task(self._ended.wait(), name=f"end of {self.plan.name}")
        try:
            await asyncio.wait((in_step, ended), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return in_step.done() and not ended.done()
        finally:
            in_step.cancel()
            ended.cancel()
            await asyncio.gather(in_step, ended, return_exceptions=True)

    async def _in_step(self) -> None:
        async with self._health_channel() as channel:
            watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(_WATCH)
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    async for answer in watch(_IS_READY, wait_for_ready=True):
                        if answer == _SERVING:
                            return
                await asyncio.sleep(_WATCH_AGAIN_S)

    def log_tail(self, lines_max: int = LOG_TAIL_LINES) -> list[str]:
        """The last lines that the process wrote."""
        return tail(self.log_path, lines_max)

    async def _end(self, with_signal: signal.Signals, grace_s: float) -> None:
        if self._process is None:
            return
        self._is_stop_asked = True
        self._signal(with_signal)
        self._signal(signal.SIGCONT)  # a paused process takes no SIGTERM
        try:
            async with asyncio.timeout(grace_s):
                await self._ended.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._ended.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            # Not by `send_signal`: before 3.13 it looks first whether the process has ended, and may so take its exit
            # code away from who waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _set_state(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._changed.set()
            self._on_change(self)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Follows the health of the process until it ends."""
        health = asyncio.create_task(self._watch_health(), name=f"health {self.plan.name}")
        try:
            code = await process.wait()
        finally:
            health.cancel()
            await asyncio.gather(health, return_exceptions=True)
        self._process = None
        self.pid = None
        self.exit_code = code
        own = State.REMOVED if code == EXIT_REMOVED else State.EXITED
        self._set_state(State.STOPPED if self._is_stop_asked else own)
        self._ended.set()

    async def _watch_health(self) -> None:
        """One stream on which the process reports each change: costs nothing while nothing changes."""
        async with self._health_channel() as channel:
            watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(_WATCH)
            while True:
                try:
                    async for answer in watch(b"", wait_for_ready=True):
                        self._note_health(bool(answer == _SERVING))
                except grpc.aio.AioRpcError:
                    self._note_health(False)
                await asyncio.sleep(_WATCH_AGAIN_S)

    def _health_channel(self) -> grpc.aio.Channel:
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
        return grpc.aio.insecure_channel(f"{LOOPBACK}:{self.plan.grpc_port}", options=options)

    def _note_health(self, is_serving: bool) -> None:
        if self._is_stop_asked:
            return
        now = State.READY if is_serving else State.RUNNING
        if self.state is State.PAUSED:
            if is_serving or self._state_before_pause is State.READY:
                self._state_before_pause = now
        elif is_serving or self.state is State.READY:
            self._set_state(now)


def tail(path: Path, lines_max: int) -> list[str]:
    """The last lines of a log; none if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES_MAX))
            return list(deque(file.read().decode("utf-8", "replace").splitlines(), maxlen=lines_max))
    except FileNotFoundError:
        return []


def rotate(path: Path) -> None:
    """Keeps one earlier log beside the new one. Only while nothing writes to it."""
    if path.exists() and path.stat().st_size:
        path.replace(path.with_suffix(".log.1"))


def shorten(path: Path) -> None:
    """Moves what a running process has logged to the earlier log once it is longer than LOG_BYTES_MAX.

    Logs are opened for appending, so cutting them is safe; lines written at that very moment may be lost.
    """
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.with_suffix(".log.1").write_bytes(path.read_bytes())
        os.truncate(path, 0)
