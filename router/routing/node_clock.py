"""When something began, by the clock of the process that it is sent to: never later than it did."""

from __future__ import annotations

DRIFT_MAX = 0.001
"""How much faster than that clock ours may go; quartz is ten times better."""


class NodeClock:
    """What another process's clock shows, by what it told last and the time since on our own (seconds).

    It was told before it was heard, and our clock is taken to be as fast as it can be: so what this says is behind that
    clock, by the way of the message and by the drift. Then an age that is reckoned from it is too great, which does no
    harm: what is refused for its age is sent again, and what was heard in between is the newer.
    """

    __slots__ = ("_heard_s", "_offset_ms")

    def __init__(self) -> None:
        self._offset_ms = 0.0
        self._heard_s = 0.0

    def heard(self, clock_ms: int, now_s: float) -> None:
        """The process told that its clock shows `clock_ms`; `now_s`: our clock, looked at after that came."""
        self._offset_ms = clock_ms - now_s * 1000
        self._heard_s = now_s

    def at(self, time_s: float, now_s: float) -> int:
        """What its clock showed at `time_s`, or something less; milliseconds."""
        return int(time_s * 1000 + self._offset_ms - max(0.0, now_s - self._heard_s) * 1000 * DRIFT_MAX - 1)
