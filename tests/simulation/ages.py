"""How old the states are that eventually consistent reads would be answered from."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from server.paxos.lease import LeaseConfig

if TYPE_CHECKING:
    from tests.simulation.world import Node


class Ages:
    """What was acknowledged by when, in true time; and the rule that a member which would answer has applied all that
    was acknowledged `age_ns_max` ago. Its clock may be slow: by then a little more has passed."""

    def __init__(self, age_ns_max: int, leases: LeaseConfig) -> None:
        self.age_ns_max = age_ns_max
        self.looked_at = 0  # members that would have answered
        self.refused = 0  # ... that would not
        self._true_ns_max = age_ns_max * (1_000_000 + leases.drift_ppm) // 1_000_000
        self._times_ns: list[int] = []
        self._slots: list[int] = []

    def acknowledged(self, slot: int, now_ns: int) -> None:
        """`slot` is the highest that was ever acknowledged."""
        self._times_ns.append(now_ns)
        self._slots.append(slot)

    def flaw(self, node: Node, group_id: int, now_ns: int) -> str:
        """In what a node's member breaks the rule; empty: in nothing."""
        if node.host is None or node.machine is None or node.machine.is_restoring or group_id not in node.host.groups:
            return ""
        if not node.host.is_fresh(group_id):
            self.refused += 1
            return ""
        self.looked_at += 1
        before = bisect_left(self._times_ns, now_ns - self._true_ns_max)
        needed = self._slots[before - 1] if before else 0
        if node.machine.slot >= needed:
            return ""
        return f"node {node.node_id} would answer from slot {node.machine.slot}, {needed} was acknowledged long ago"
