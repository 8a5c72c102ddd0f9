"""What a router does with an answer, whom it asks, and how long it waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statorpb import partition_pb2

from router.routing.decision import DONE, Replica, Status, Step, backoff_ms, choose_replica, next_step

REPLICAS = (
    Replica(1, "zone-1", "one:1"),
    Replica(2, "zone-2", "two:2"),
    Replica(3, "zone-3", "three:3"),
)


def test_every_status_of_the_wire_is_known() -> None:
    """The names and numbers are those of the schema, so that no answer means something else here."""
    assert {status.name: status.value for status in Status} == dict(partition_pb2.PartitionStatusCode.items())


def test_a_request_is_done_when_the_answer_is_its_own() -> None:
    """An item or its absence, records or theirs, or what a transaction came to; any other answer is about the node, or
    an error that a client is told of."""
    assert {
        Status.OK,
        Status.NOT_FOUND,
        Status.TRIMMED,
        Status.NO_STREAM,
        Status.CANCELLED,
        Status.TOKEN_MISMATCH,
        Status.TOO_LARGE,
    } == DONE


@pytest.mark.parametrize(
    ("status", "for_leader", "for_others"),
    [
        (Status.NOT_LEADER, Step.RETRY, Step.RETRY),
        (Status.NOT_MINE, Step.REFRESH, Step.REFRESH),
        (Status.NO_LEASE, Step.RETRY, Step.RETRY),
        (Status.THROTTLED, Step.THROTTLE, Step.THROTTLE),
        (Status.STORAGE_FULL, Step.REFUSE_FULL, Step.REFUSE_FULL),
        (Status.UNKNOWN_OUTCOME, Step.RETRY, Step.RETRY),
        (Status.CORRUPT, Step.FAIL, Step.TRY_OTHER),
        (Status.INVALID, Step.FAIL, Step.FAIL),
        (Status.CONDITION_FAILED, Step.REFUSE, Step.REFUSE),
        (Status.INVALID_UPDATE, Step.REFUSE, Step.REFUSE),
        (Status.COLLECTION_FULL, Step.REFUSE, Step.REFUSE),
        (Status.RESULT_FORGOTTEN, Step.REFUSE, Step.REFUSE),
        (Status.TRANSACTION_CONFLICT, Step.REFUSE, Step.REFUSE),
        (Status.NOT_FRESH, Step.TRY_OTHER, Step.TRY_OTHER),
        (99, Step.FAIL, Step.FAIL),
        (-1, Step.FAIL, Step.FAIL),
    ],
)
def test_the_step_after_an_answer(status: int, for_leader: Step, for_others: Step) -> None:
    """Without a hint: what only the leader answers is not asked of others, a read that anybody may answer is. An answer
    that this version does not know is a failure, not an endless retry."""
    for needs_leader, expected in ((True, for_leader), (False, for_others)):
        assert next_step(status, leader_hint=0, asked_node_id=1, needs_leader=needs_leader) == expected


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("needs_leader", [True, False])
@pytest.mark.parametrize("hint", [0, 1, 2])
def test_a_hint_is_followed_only_from_one_that_does_not_lead(status: Status, needs_leader: bool, hint: int) -> None:
    """And only to somebody else: a node that names itself while it does not lead is asked again after a pause."""
    step = next_step(status, leader_hint=hint, asked_node_id=1, needs_leader=needs_leader)
    assert (step == Step.FOLLOW_HINT) == (status == Status.NOT_LEADER and hint == 2)


@pytest.mark.parametrize("attempt", range(7))
def test_a_known_leader_is_asked(attempt: int) -> None:
    """Each time, until something says that it does not lead any more; in which zone it is makes no difference."""
    for leader in (1, 2, 3):
        for zone in ("zone-1", "zone-9"):
            assert choose_replica(REPLICAS, leader, zone, attempt, needs_leader=True).node_id == leader


@pytest.mark.parametrize("leader", [0, 9])
def test_an_unknown_leader_is_looked_for(leader: int) -> None:
    """By asking one member after the other, also where the one that is said to lead is no member."""
    asked = [choose_replica(REPLICAS, leader, "zone-3", attempt, needs_leader=True).node_id for attempt in range(6)]
    assert asked == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("zone-1", [1, 2, 3, 1]), ("zone-2", [2, 1, 3, 2]), ("zone-3", [3, 1, 2, 3]), ("zone-9", [1, 2, 3, 1])],
)
def test_reads_begin_in_their_own_zone(zone: str, expected: list[int]) -> None:
    """And go on to the others in turn; who leads makes no difference."""
    for leader in (0, 2):
        asked = [choose_replica(REPLICAS, leader, zone, attempt, needs_leader=False).node_id for attempt in range(4)]
        assert asked == expected


@given(st.integers(0, 1000), st.sampled_from(["zone-1", "zone-2", "zone-9"]), st.booleans(), st.integers(0, 4))
def test_within_as_many_attempts_as_members_all_are_asked(
    first: int, zone: str, needs_leader: bool, leader: int
) -> None:
    """None is left out, unless a leader is known."""
    asked = {
        choose_replica(REPLICAS, leader, zone, first + attempt, needs_leader=needs_leader).node_id
        for attempt in range(3)
    }
    assert asked == ({leader} if needs_leader and leader in (1, 2, 3) else {1, 2, 3})


@pytest.mark.parametrize(
    ("attempt", "longest"), [(0, 5), (1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 160), (1000, 160)]
)
def test_pauses_double_to_a_bound(attempt: int, longest: float) -> None:
    """And are spread over their upper half, so that those who failed together do not come back together."""
    assert backoff_ms(attempt, 0.0) == longest / 2
    assert backoff_ms(attempt, 0.5) == longest * 0.75
    assert longest * 0.99 < backoff_ms(attempt, 0.999) < longest
