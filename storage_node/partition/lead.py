"""How far the writes of a table may get ahead of its indexes before they wait for each other.

Where many clients write at once, all that nodes have to do queues up: for the table as for its indexes, which come
after it. A leader that goes on proposing whenever its log is idle makes many small entries of that queue, before it is
acknowledged, and a long one behind the acknowledgement, of what indexes have yet to take. Held back for that long, the
same writes gather into fewer and larger batches, and the index is closer behind.
"""

from __future__ import annotations

from typing import Final

CHANGES_MAX: Final = 16
"""With so many changes that wait to be taken nothing is proposed for the moment. Fewer clients than that are held only
while an index catches up."""

HOLD_S_MAX: Final = 0.02
"""Nothing is held for longer, also where the index has much to catch up with. What comes after that is held again once
the index has taken something: one that takes nothing is not waited for."""


class Lead:
    """Of one partition."""

    __slots__ = ("_held_since_s", "_is_waited_for", "changes_max")

    def __init__(self) -> None:
        self.changes_max = CHANGES_MAX
        self._held_since_s: float | None = None
        self._is_waited_for = True

    def taken(self) -> None:
        """The index has taken something."""
        self._is_waited_for = True

    def is_too_long(self, waiting: int, now_s: float) -> bool:
        """Whether nothing is to be proposed now, with so many changes that indexes have not taken. `now_s`: seconds
        of one clock."""
        if waiting < self.changes_max:
            self._held_since_s = None
            return False
        if not self._is_waited_for:
            return False
        if self._held_since_s is None:
            self._held_since_s = now_s
        if now_s - self._held_since_s < HOLD_S_MAX:
            return True
        self._held_since_s, self._is_waited_for = None, False
        return False
