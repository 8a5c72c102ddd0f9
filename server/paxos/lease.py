"""Grants between nodes, shared by all groups that the nodes have in common.

Every pair of nodes exchanges one heartbeat an interval. The answer is a grant: "until my clock passes now + T I will
not help to elect anybody else for a group that you lead". Only durations of one clock are compared, never two clocks:
the grantee counts from when it sent the heartbeat and subtracts a margin for the drift between the two clock rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """Durations in nanoseconds; `drift_ppm` bounds how much two clocks' rates differ, in parts per million."""

    duration_ns: int = 2_000_000_000
    heartbeat_ns: int = 500_000_000
    drift_ppm: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat_ns * 2 <= self.duration_ns:
            raise ValueError("a grant must outlast two heartbeats")
        if not 0 <= self.drift_ppm < 500_000:
            raise ValueError("drift_ppm must be at least 0 and below 500000")

    @property
    def held_ns(self) -> int:
        """How long a grantee may rely on a grant, from when it asked."""
        return self.duration_ns * (1_000_000 - self.drift_ppm) // 1_000_000

    @property
    def restart_wait_ns(self) -> int:
        """How long a restarted node must neither grant nor vote: what it granted and forgot has run out then."""
        return self.duration_ns * (1_000_000 + self.drift_ppm) // 1_000_000


class Grant(NamedTuple):
    """The answer to a heartbeat. `sent_ns` is the grantee's own clock, echoed."""

    sent_ns: int
    epoch: int


class NodeLeases:
    """What this node has granted to others and what others have granted to it.

    `boot` distinguishes the node's lives: epochs of a later life are above those of an earlier one. A node that is not
    on its first life waits out `restart_wait_ns` before it grants or votes, since it has forgotten what it granted.
    """

    __slots__ = (
        "_began_ns",
        "_bound_until_ns",
        "_epochs",
        "_first_epoch",
        "_held",
        "config",
        "may_stand",
        "votes_from_ns",
    )

    def __init__(self, config: LeaseConfig, *, boot: int, is_first_boot: bool, now_ns: int) -> None:
        self.config = config
        self.votes_from_ns = now_ns if is_first_boot else now_ns + config.restart_wait_ns
        self.may_stand = True  # not where the log takes nothing: an election is won once the own promise is on disk
        self._began_ns = now_ns
        self._first_epoch = boot << 32
        self._bound_until_ns: dict[int, int] = {}
        self._epochs: dict[int, int] = {}
        self._held: dict[int, tuple[int, int]] = {}  # node -> (until, epoch)

    # As grantor

    def grant(self, to: int, sent_ns: int, now_ns: int) -> Grant | None:
        """Answers a heartbeat of node `to`; None while this node waits after a restart.

        The epoch is raised when the previous grant has lapsed: in between, this node may have helped somebody else."""
        if now_ns < self.votes_from_ns:
            return None
        if now_ns >= self._bound_until_ns.get(to, 0):
            self._epochs[to] = self.epoch_towards(to) + 1
        self._bound_until_ns[to] = now_ns + self.config.duration_ns
        return Grant(sent_ns, self._epochs[to])

    def bound_until_ns(self, to: int) -> int:
        """When this node's grant to `to` runs out; 0 if it never gave one."""
        return self._bound_until_ns.get(to, 0)

    def is_bound_to(self, to: int, now_ns: int) -> bool:
        return now_ns < self._bound_until_ns.get(to, 0)

    def epoch_towards(self, to: int) -> int:
        """The epoch of the latest grant given to `to`."""
        return self._epochs.get(to, self._first_epoch)

    # As grantee

    def granted(self, by: int, grant: Grant, now_ns: int) -> bool:
        """Notes a grant; returns whether its epoch is new, so that groups led here need to be confirmed anew.

        Grants may arrive late or out of order; an older one changes nothing. One that was asked for in a former life,
        when the clock may have been another, counts for nothing."""
        if not self._began_ns <= grant.sent_ns <= now_ns:
            return False
        until_ns = grant.sent_ns + self.config.held_ns
        held_until_ns, epoch = self._held.get(by, (0, -1))
        if grant.epoch < epoch:
            return False
        self._held[by] = (max(until_ns, held_until_ns) if grant.epoch == epoch else until_ns, grant.epoch)
        return grant.epoch > epoch

    def held(self, by: int) -> tuple[int, int]:
        """(until when, at which epoch) node `by` has granted to this one; (0, -1): never."""
        return self._held.get(by, (0, -1))
