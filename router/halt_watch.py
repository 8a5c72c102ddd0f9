"""How long what is read from connections may have lain, unread, because this process did not run."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

TICK_S = 0.1
"""How often the event loop shows that it runs."""

HALT_S = 1.0
"""Without such a sign for longer, it did not run."""

BACKLOG_S = 2.0
"""For how long afterwards what is read may have come before: it lies in the kernel's buffers, of many connections."""


def since_boot_s() -> float:
    """A clock that goes on while the machine is suspended, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class HaltWatch:
    """Of one event loop, from `start` on. A process that is halted (SIGSTOP, a suspended machine, a loop that is held
    up) finds afterwards what clients sent meanwhile and have long since sent again elsewhere; nothing in it says how
    old it is. So whatever is read after a halt counts as sent when that began. `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = since_boot_s) -> None:
        self._clock = clock
        self.ticked_s = math.inf  # when the loop has shown that it runs
        self._halted_at_s = 0.0
        self._backlog_until_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to watch this loop."""
        self.tick()
        self._timer = loop.call_later(TICK_S, self.start, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def tick(self) -> None:
        """The loop runs."""
        self.waited_s()
        self.ticked_s = self._clock()

    def waited_s(self) -> float:
        """For how long, at most, what is read now may have lain, beyond a moment that does not matter."""
        now_s = self._clock()
        if now_s - self.ticked_s > HALT_S:
            if self.ticked_s >= self._backlog_until_s:  # else what came before the last halt may be here still
                self._halted_at_s = self.ticked_s
            self._backlog_until_s = now_s + BACKLOG_S
        return now_s - self._halted_at_s if now_s < self._backlog_until_s else 0.0
