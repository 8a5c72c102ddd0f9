"""The clock that leases are measured with."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Nanoseconds that always go on, also while the machine is suspended where the system tells (Linux): a leader that
    wakes up must not take its lease for valid. A virtual machine whose clocks its host stops cannot notice that."""
    return time.clock_gettime_ns(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
