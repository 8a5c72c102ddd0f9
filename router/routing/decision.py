"""What a router does with a storage node's answer, and which member it asks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Status(IntEnum):
    """A storage node's answer (proto/statorpb/partition.proto, PartitionStatusCode)."""

    OK = 0
    NOT_FOUND = 1
    NOT_LEADER = 2
    NOT_MINE = 3
    NO_LEASE = 4
    THROTTLED = 5
    STORAGE_FULL = 6
    UNKNOWN_OUTCOME = 7
    CORRUPT = 8
    INVALID = 9
    CONDITION_FAILED = 10
    INVALID_UPDATE = 11
    COLLECTION_FULL = 12
    RESULT_FORGOTTEN = 13
    TOO_OLD = 14
    NOT_FRESH = 15
    TRIMMED = 16
    NO_STREAM = 17
    TRANSACTION_CONFLICT = 18
    CANCELLED = 19
    TOKEN_MISMATCH = 20
    TOO_LARGE = 21


class Step(IntEnum):
    """What comes next, where the request has not been carried out."""

    FOLLOW_HINT = 1  # at once, to the leader that the answer names
    RETRY = 2  # after a back-off, wherever the route then leads
    REFRESH = 3  # ask the metadata service for the route, then retry
    TRY_OTHER = 4  # another member may answer a read
    THROTTLE = 5  # refuse: too much is in flight
    REFUSE_FULL = 6  # refuse: no room on the disk
    REFUSE = 7  # the write is refused, or what it returned is not known: there is nothing to retry
    FAIL = 8  # an error on the servers' side
    SEND_ANEW = 9  # with its age as it is by now: it may only have been long on its way


DONE = frozenset(
    map(
        int,
        (
            Status.OK,
            Status.NOT_FOUND,
            Status.TRIMMED,
            Status.NO_STREAM,
            Status.CANCELLED,
            Status.TOKEN_MISMATCH,
            Status.TOO_LARGE,
        ),
    )
)
"""The answers that are for whoever asked: of a request that has been carried out, also where nothing was found; and why
a transaction was not."""

_STEPS: Mapping[int, Step] = {
    Status.NOT_LEADER: Step.RETRY,
    Status.NOT_MINE: Step.REFRESH,
    Status.NO_LEASE: Step.RETRY,
    Status.THROTTLED: Step.THROTTLE,
    Status.STORAGE_FULL: Step.REFUSE_FULL,
    Status.UNKNOWN_OUTCOME: Step.RETRY,
    Status.CORRUPT: Step.FAIL,
    Status.INVALID: Step.FAIL,
    Status.CONDITION_FAILED: Step.REFUSE,
    Status.INVALID_UPDATE: Step.REFUSE,
    Status.COLLECTION_FULL: Step.REFUSE,
    Status.RESULT_FORGOTTEN: Step.REFUSE,
    Status.TRANSACTION_CONFLICT: Step.REFUSE,
    Status.TOO_OLD: Step.SEND_ANEW,
    Status.NOT_FRESH: Step.TRY_OTHER,
}


def next_step(status: int, *, leader_hint: int, asked_node_id: int, needs_leader: bool) -> Step:
    """What to do with an answer, not one of DONE, of node `asked_node_id`. `leader_hint` 0: it named nobody."""
    step = _STEPS.get(status, Step.FAIL)
    if status == Status.NOT_LEADER and leader_hint not in (0, asked_node_id):
        return Step.FOLLOW_HINT
    if status == Status.CORRUPT and not needs_leader:
        return Step.TRY_OTHER
    return step


@dataclass(frozen=True, slots=True)
class Replica:
    """A member of a partition, as a router knows it."""

    node_id: int
    zone: str
    address: str


def choose_replica(
    replicas: Sequence[Replica], leader_node_id: int, own_zone: str, attempt: int, *, needs_leader: bool
) -> Replica:
    """Whom to ask. For what only the leader answers: the leader, if it is known, else one member after the other. For
    other reads: a member in the router's own zone first, then the others in turn."""
    if needs_leader:
        for replica in replicas:
            if replica.node_id == leader_node_id:
                return replica
        return replicas[attempt % len(replicas)]
    near = [replica for replica in replicas if replica.zone == own_zone]
    far = [replica for replica in replicas if replica.zone != own_zone]
    ordered = near + far
    return ordered[attempt % len(ordered)]


def backoff_ms(attempt: int, chance: float) -> float:
    """How long to wait before another attempt: it doubles from 5 ms to 160 ms; `chance` in [0, 1) spreads it over the
    upper half."""
    return float(min(5 * 2**attempt, 160)) * (0.5 + chance / 2)
