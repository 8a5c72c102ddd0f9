"""How old a member's state may be at most, which is what eventually consistent reads are answered by.

A leader with a lease says, in each answer to another node's heartbeat, how far each of its groups is committed. All
that was ever acknowledged when the heartbeat was sent lies at or below that slot. So a member that has applied so much
is complete as of the time at which its *own* node sent the heartbeat, on its own clock. When the answer came in says
nothing: it may have waited for as long as the process was halted.
"""

from __future__ import annotations

from dataclasses import dataclass

EVENTUAL_AGE_NS = 4_000_000_000
"""How old the state may be that eventually consistent reads are answered from: a lease, the election after it, and the
time until everybody has heard from the new leader, so that nothing is refused where one leader dies."""


@dataclass(slots=True)
class Freshness:
    """Of one member. Times are this node's monotonic clock in nanoseconds.

    Invariant: everything that was acknowledged before `complete_ns`, and `age_ns_max` before `until_ns`, is applied.
    """

    age_ns_max: int = EVENTUAL_AGE_NS
    complete_ns: int = 0
    until_ns: int = 0
    """Until when the state is at most `age_ns_max` old."""
    told_slot: int = 0
    """What has to be applied to be complete as of `_told_ns`; 0: nothing is waited for."""
    _told_ns: int = 0

    def tell(self, slot: int, asked_ns: int, applied_slot: int) -> None:
        """A leader says that `slot` was the last one committed, at some time after `asked_ns`."""
        if applied_slot >= slot:
            self.complete(asked_ns)
        elif not self.told_slot:  # and not later: what is waited for would otherwise move on with every answer
            self.told_slot, self._told_ns = slot, asked_ns

    def applied(self, slot: int) -> None:
        """Everything up to `slot` is applied."""
        if self.told_slot and slot >= self.told_slot:
            self.told_slot = 0
            self.complete(self._told_ns)

    def complete(self, now_ns: int) -> None:
        """Everything that was acknowledged before `now_ns` is applied."""
        self.complete_ns = max(self.complete_ns, now_ns)
        self.until_ns = self.complete_ns + self.age_ns_max

    def void(self) -> None:
        """The state is gone, and another takes its place."""
        self.complete_ns = self.until_ns = self.told_slot = 0
