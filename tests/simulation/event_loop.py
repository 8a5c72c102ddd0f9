"""An event loop on simulated time, for what of a node is written with asyncio."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from tests.simulation.clock import Scheduler

NS = 1_000_000_000

T = TypeVar("T")


class SimulatedLoop:
    """Of one life of a node: with that, all ends that it has to do. What goes wrong goes wrong for who plays the seed.

    Has no more of an event loop (`as_loop`) than futures, tasks and timers need."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.as_loop = cast(asyncio.AbstractEventLoop, self)
        self._scheduler = scheduler
        self._is_over = False

    def end(self) -> None:
        """Nothing is called any more."""
        self._is_over = True

    def inside(self, work: Callable[[], T]) -> T:
        """What `work` returns, for which this is the running loop."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self.as_loop)
        try:
            return work()
        finally:
            asyncio._set_running_loop(outer)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs what goes on for as long as the node lives."""
        self.create_task(coroutine).add_done_callback(asyncio.Task.result)

    # What asyncio asks for

    def time(self) -> float:
        return self._scheduler.now_ns / NS

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_later(0, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        delay_ns = max(0, round(delay * NS))
        handle = asyncio.TimerHandle((self._scheduler.now_ns + delay_ns) / NS, callback, args, self.as_loop, context)
        surroundings = context or contextvars.copy_context()

        def call() -> None:
            if not self._is_over and not handle.cancelled():
                self.inside(lambda: surroundings.run(callback, *args))

        self._scheduler.schedule(delay_ns, call)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is looked at when its time has come."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self.as_loop)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self.as_loop, **options)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Told of tasks that are let go of unfinished, as all are that a life was in the middle of."""
        error = context.get("exception")
        if error is not None and not self._is_over:
            raise error

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._is_over

    def is_closed(self) -> bool:
        return self._is_over
