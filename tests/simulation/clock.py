"""Simulated time: one queue of events, and clocks whose rates differ from node to node."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Scheduler:
    """Runs callbacks in the order of their times; ties in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.events = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._asked = 0

    def schedule(self, delay_ns: int, callback: Callable[[], None]) -> None:
        self._asked += 1
        heapq.heappush(self._queue, (self.now_ns + delay_ns, self._asked, callback))

    def step(self) -> bool:
        """Runs the next callback; False: there is none."""
        if not self._queue:
            return False
        self.now_ns, _, callback = heapq.heappop(self._queue)
        self.events += 1
        callback()
        return True


class NodeClock:
    """A node's monotonic clock: it starts anywhere and runs fast or slow by `drift_ppm` parts per million."""

    def __init__(self, scheduler: Scheduler, offset_ns: int, drift_ppm: int) -> None:
        self._scheduler = scheduler
        self._offset_ns = offset_ns
        self._drift_ppm = drift_ppm

    def now_ns(self) -> int:
        true_ns = self._scheduler.now_ns
        return self._offset_ns + true_ns + true_ns * self._drift_ppm // 1_000_000
