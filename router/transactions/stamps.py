"""Timestamps of transactions."""

from __future__ import annotations


class Stamps:
    """Those that one coordinator gives: each later than the one before, and than all that it has heard of. Microseconds
    since 1970, as far as clocks are right; nothing depends on that but how soon one is late enough."""

    __slots__ = ("_last_us",)

    def __init__(self) -> None:
        self._last_us = 0

    def heard(self, stamp_us: int) -> None:
        """There is such a one."""
        self._last_us = max(self._last_us, stamp_us)

    def take(self, now_us: int) -> int:
        """The next one."""
        self._last_us = max(now_us, self._last_us + 1)
        return self._last_us
