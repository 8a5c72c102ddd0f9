"""Timestamps of transactions."""

from __future__ import annotations

from typing import Final

MARGIN_US: Final = 2_000
MARGIN_US_MAX: Final = 256_000
"""By how much a stamp is later than it had to be, where one was late. It doubles: an item that is written all the time
moves on while the next stamp is on its way to it."""


class Stamps:
    """Those that one coordinator gives: each later than the one before. Microseconds since 1970, as far as clocks are
    right; nothing depends on that but how soon one is late enough. Where a partition is ahead of this clock, so are the
    stamps from then on."""

    __slots__ = ("_ahead_us", "_last_us")

    def __init__(self) -> None:
        self._last_us = 0
        self._ahead_us = 0

    def heard(self, stamp_us: int, now_us: int) -> None:
        """A stamp has to be later than that one, now."""
        self._ahead_us = max(self._ahead_us, stamp_us + 1 - now_us)

    def take(self, now_us: int, attempts: int = 0) -> int:
        """The next one. `attempts`: how many stamps before were not late enough."""
        margin_us = min(MARGIN_US << min(attempts - 1, 10), MARGIN_US_MAX) if attempts else 0
        self._last_us = max(now_us + self._ahead_us + margin_us, self._last_us + 1)
        return self._last_us
