"""The beginning of a log replica's log: where the leader says, and never past what may be the only copy."""

from __future__ import annotations

from server.paxos.ballot import Ballot
from server.paxos.core import PaxosCore
from server.paxos.messages import Accept, Accepted, Commit, Durable, LogStart, Run
from server.paxos.quorum import Configuration, Member, ReplicaKind
from tests.server.paxos.lone_member import OLD, entries, handle, leader, member
from tests.server.paxos.notation import MS


def log_replica(**members: object) -> PaxosCore:
    core = member(**members)  # type: ignore[arg-type]
    core.is_restoring = True
    return core


def test_a_log_replica_begins_where_the_leader_says() -> None:
    """What it has is void, and what it acknowledges counts from there on."""
    core = log_replica()
    assert handle(core, 1, LogStart(OLD, 7, True)) == [
        "2 persists promise 1.1",
        "2 persists reset 7",
        "2 persists promise 1.1, then 2->1 Accepted 1.1 up to 7 epoch 1:0",
    ]
    assert (core.log.first_slot, core.log.last_slot, core.log.commit_slot) == (8, 7, 7)
    assert handle(core, 1, Accept(Run(OLD, 8, (b"x",)), 7)) == [
        "2 persists 1.1[8..8] x, then 2->1 Accepted 1.1 up to 8 epoch 1:0"
    ]
    again = ["2 persists promise 1.1, then 2->1 Accepted 1.1 up to 8 epoch 1:0"]
    assert handle(core, 1, LogStart(OLD, 7, True)) == again, "a copy that comes late changes nothing"


def test_only_the_leader_in_force_says_where_a_log_begins() -> None:
    """Somebody else may have trimmed what the leader still has to commit."""
    core = log_replica(promised=Ballot(3, 3))
    assert handle(core, 1, LogStart(OLD, 7, True)) == ["2->1 Reject 1.1 LOWER_BALLOT promised 3.3 last 0"]
    assert handle(core, 1, LogStart(Ballot(4, 3), 7, True)) == ["2->1 Reject 4.3 LOWER_BALLOT promised 3.3 last 0"]


def test_what_may_be_the_only_copy_is_kept() -> None:
    """Beside the leader's: it goes only where others are known to have it, or with a state that stands for it."""
    core = log_replica(entries=entries("abc"), commit_slot=2, promised=OLD)
    assert handle(core, 1, LogStart(OLD, 3, False)) == [
        "2->1 CatchUpRequest from 3",
        "2 persists promise 1.1, then 2->1 Accepted 1.1 up to 2 epoch 1:0",
    ]
    assert (core.log.first_slot, core.log.last_slot) == (1, 3)
    assert "2 persists reset 3" in handle(core, 1, LogStart(OLD, 3, True))
    assert (core.log.first_slot, core.log.last_slot) == (4, 3)


def test_who_has_a_state_wants_a_snapshot_instead() -> None:
    """Its state needs what lies between."""
    core = member(entries=entries("ab"), commit_slot=2, promised=OLD)
    core.handle(1, Commit(OLD, 2, 2), 0)
    assert handle(core, 1, LogStart(OLD, 7, True)) == [
        "2->1 CatchUpRequest from 3",
        "2 persists promise 1.1, then 2->1 Accepted 1.1 up to 2 epoch 1:0",
    ]
    assert handle(core, 1, LogStart(OLD, 2, True))[0].startswith("2 persists promise 1.1")


def test_what_a_snapshot_is_to_bring_is_let_go_of() -> None:
    """Where it is held by others; what lies behind it stays. On disk, so that the segments before it can go."""
    core = log_replica(entries=entries("abcd"), commit_slot=3, promised=OLD)
    for is_held in (False, True):
        effects = handle(core, 1, LogStart(OLD, 2, is_held))
        assert ("2 persists reset 2" in effects) == is_held
        assert (core.log.first_slot, core.log.last_slot) == ((3, 4) if is_held else (1, 4))
    assert "2 persists reset 2" not in handle(core, 1, LogStart(OLD, 2, True)), "there is nothing left to let go of"


WITH_LOG_REPLICA = Configuration((Member(1, "a", ReplicaKind.LOG), Member(2, "b"), Member(3, "c")))
SECOND_LEAVES = Configuration((Member(1, "a", ReplicaKind.LOG), Member(2, "b"), Member(4, "c")))


def test_a_log_replica_need_not_keep_what_others_have() -> None:
    """When a snapshot for it begins: as far as storage replicas that make a majority have it, with the members of now
    and with those that are to come. Nobody else may let go of anything."""
    core = member(entries=entries("abc"), commit_slot=0, configuration=WITH_LOG_REPLICA)
    ballot = leader(core)
    leadership = core.leadership
    assert leadership is not None

    def may(node_id: int, slot: int) -> bool:
        return leadership.may_let_go(node_id, slot, WITH_LOG_REPLICA, core.node_id)

    core.durable(Durable(ballot, 3, is_promise=False), 0)
    core.handle(1, Accepted(ballot, 3, 0), 0)
    assert not may(1, 2), "it may be the only copy beside the leader's"
    core.handle(3, Accepted(ballot, 3, 0), 0)
    assert not may(1, 2), "node 3 has it, and does not know that it is committed"
    leadership.progress[3].known_slot = 2
    assert [may(1, 2), may(1, 3), may(3, 2), may(9, 2)] == [True, False, False, False]
    core.expect_configuration(SECOND_LEAVES, 2000 * MS)
    assert not may(1, 2), "one that has it is about to leave"
