"""The clock that leases, and the ages of writes, are measured with; and the time of day."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Nanoseconds that always go on, also while the machine is suspended where the system tells (Linux): a leader that
    wakes up must not take its lease for valid. A virtual machine whose clocks its host stops cannot notice that."""
    return time.clock_gettime_ns(_CLOCK)


def now_ms() -> int:
    """`now_ns` in milliseconds: what replies tell those who send requests, to reckon ages by."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


def wall_ms() -> int:
    """Milliseconds since 1970, as this machine has them: for what other machines, or people, are told the time of. It
    may be set, back too, and is nothing to reckon leases by; the other clock began with the machine, and means nothing
    elsewhere."""
    return time.time_ns() // 1_000_000


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
