"""Members whose log has lost something: they harm nobody, and become whole again."""

from __future__ import annotations

import pytest

from server.paxos.acceptor import HEAL_ROUNDS, Health
from server.paxos.ballot import ABOVE_ALL, ZERO, Ballot
from server.paxos.messages import (
    Accept,
    CatchUp,
    Commit,
    Effect,
    LeadershipQuery,
    LogStart,
    Message,
    Prepare,
    Release,
    Run,
    SendMessage,
)
from server.paxos.quorum import Member
from tests.server.paxos.group import Group
from tests.server.paxos.lone_member import OLD, entries, handle, member, shown
from tests.server.paxos.notation import MS
from tests.server.paxos.test_regressions import elect, pump, stand

THREE = [Member(1, "a"), Member(2, "b"), Member(3, "c")]
HEALED = Ballot(OLD.round + HEAL_ROUNDS, 2)
NEXT = Ballot(HEALED.round + 1, 1)


def damaged_group(committed: bytes = b"") -> Group:
    """Node 1 has led, by node 2's vote, and committed something with it; node 3 knows of nothing, and node 2 has
    forgotten all."""
    group = Group(THREE)
    elect(group, 1, 2)
    pump(group, (1, 2), (2, 1))
    if committed:
        group.carry_out(1, group.core(1).propose((committed,), group.now_ns))
        pump(group, (1, 2))
        group.sync(1)
        group.sync(2)
        pump(group, (2, 1))
        assert group.nodes[1].state == [committed]
    group.in_flight.clear()
    return group


def forget(group: Group, node_id: int) -> None:
    group.crash(node_id)
    group.damage(node_id)
    group.boot(node_id)
    group.now_ns += 3000 * MS


def test_a_damaged_log_replica_supports_nobody_whose_log_it_is_to_follow() -> None:
    """It may have helped to supersede that leader: it refuses, as it refuses entries."""
    core = member(health=Health.DAMAGED)
    core.is_restoring = True
    assert handle(core, 1, LogStart(OLD, 7, True))[0].endswith("Reject 1.1 LOWER_BALLOT promised 4294967297.2 last 0")
    assert core.health == Health.HEALING


def test_a_forgotten_promise_binds() -> None:
    """Node 2 has promised node 3, which leads; node 1 has not heard of it. What node 1 then offers to node 2, which has
    forgotten its promise, must not be accepted: nodes 1 and 2 would be a majority, and so are nodes 2 and 3."""
    group = damaged_group()
    group.now_ns += 3000 * MS
    elect(group, 3, 2)
    group.in_flight.clear()
    forget(group, 2)
    group.carry_out(1, group.core(1).propose((b"one",), group.now_ns))
    group.carry_out(3, group.core(3).propose((b"three",), group.now_ns))
    for node_id in (1, 3):
        group.sync(node_id)
        pump(group, (node_id, 2))
        group.sync(2)
        pump(group, (2, node_id))
    assert [group.nodes[node_id].state for node_id in (1, 2, 3)] == [[], [], []]
    group.live(5000 * MS)
    states = [group.nodes[node_id].state for node_id in (1, 2, 3)]
    assert states[0] == states[1] == states[2]
    assert group.core(2).health == Health.WHOLE


def test_forgotten_entries_are_not_voted_away() -> None:
    """Nodes 1 and 2 have committed something; node 2 has forgotten it, and node 1 is down. The two that are left must
    not elect a leader: it would not know. Once node 1 is back, everybody learns of it."""
    group = damaged_group(b"a")
    group.crash(1)
    forget(group, 2)
    group.live(20_000 * MS)
    assert all(group.core(node_id).leadership is None for node_id in (2, 3))
    group.boot(1)
    group.connect(1, 2)
    group.connect(1, 3)
    group.live(10_000 * MS)
    assert [group.nodes[node_id].state for node_id in (1, 2, 3)] == [[b"a"]] * 3
    assert group.core(2).health == Health.WHOLE


def test_a_restart_does_not_end_the_healing() -> None:
    """What made it heal is on its disk: after a restart it still does not vote, and promises no other ballot again."""
    group = damaged_group(b"a")
    forget(group, 2)
    group.connect(1, 2)
    pump(group, (1, 2))
    group.sync(2)
    group.crash(1)
    promised = group.core(2).promised
    assert promised.round > HEAL_ROUNDS
    group.crash(2)
    group.boot(2)
    assert (group.core(2).health, group.core(2).promised) == (Health.HEALING, promised)
    group.now_ns += 5000 * MS
    stand(group, 3)
    pump(group, (3, 2))
    assert group.nodes[2].unsynced == []
    group.boot(1)
    group.connect(1, 2)
    group.connect(1, 3)
    group.live(10_000 * MS)
    assert group.core(2).health == Health.WHOLE
    assert group.nodes[2].state == [b"a"]


def test_two_damaged_members_elect_nobody() -> None:
    """The third is no majority, and they tell it nothing."""
    group = damaged_group(b"a")
    forget(group, 2)
    forget(group, 3)
    group.crash(1)
    group.boot(1)
    group.live(20_000 * MS)
    assert group.serving() == []


@pytest.mark.parametrize("first", ["down", "healing"])
def test_a_damaged_member_keeps_nobody_from_leading(first: str) -> None:
    """Nodes 2 and 3 have promised one another a ballot, and neither came to lead. Node 1 is down, or it heals, follows
    an older ballot of node 2's, and asks about that. That must not make node 2 forget what it knows of node 3's."""
    group = Group(THREE)
    if first == "down":
        group.crash(1)
    else:
        group.core(1).promised, group.core(1).health = Ballot(2, 2), Health.HEALING
    for one in (1, 2, 3):
        for two in {1, 2, 3} - {one}:
            group.heartbeat(one, two)
    group.carry_out(2, group.core(2).handle(3, Prepare(Ballot(8, 3), 1, ZERO), group.now_ns))
    group.now_ns += 100 * MS
    group.carry_out(3, group.core(3).handle(2, Prepare(Ballot(8, 2), 1, ZERO), group.now_ns))
    group.sync(2)
    group.sync(3)
    group.in_flight.clear()
    asked: list[Effect] = []
    group.trace = lambda node_id, effect: asked.append(effect) if is_query(effect) else None
    group.live(10_000 * MS, 20 * MS)
    assert group.serving()
    assert len(asked) < 10


def is_query(effect: Effect) -> bool:
    return isinstance(effect, SendMessage) and isinstance(effect.message, LeadershipQuery)


# One member


@pytest.mark.parametrize(
    "message",
    [Accept(Run(OLD, 3, (b"c",)), 2), Commit(OLD, 2, 0), CatchUp(OLD, (Run(OLD, 1, (b"a",)),), 1)],
    ids=["accept", "commit", "catch up"],
)
def test_a_leader_is_refused_at_first(message: Message) -> None:
    """Whatever it says: a promise far above it, on disk before it is told of it, and nothing else."""
    core = member(health=Health.DAMAGED)
    assert handle(core, 1, message) == [
        f"2 persists heal {HEALED.round}.2 after 0, then 2->1 Reject 1.1 LOWER_BALLOT promised {HEALED.round}.2 last 0"
    ]
    assert (core.health, core.promised, core.log.last_slot) == (Health.HEALING, HEALED, 0)


def test_the_promise_is_above_all_that_is_known() -> None:
    """What is left of its log, what candidates have said, and what the leader says."""
    core = member(health=Health.DAMAGED, promised=Ballot(7, 1))
    handle(core, 3, Prepare(Ballot(9, 3), 1, ZERO))
    handle(core, 1, Commit(OLD, 0, 0))
    assert core.promised == Ballot(9 + HEAL_ROUNDS, 2)


def test_entries_of_others_than_the_leader_do_not_begin_it() -> None:
    core = member(health=Health.DAMAGED)
    assert handle(core, 3, CatchUp(ZERO, (Run(OLD, 1, (b"a",)),), 1)) == []
    assert core.health == Health.DAMAGED


def test_a_damaged_member_neither_votes_nor_stands() -> None:
    """Not even for the only candidate there is."""
    for health in (Health.DAMAGED, Health.HEALING):
        core = member(health=health)
        assert handle(core, 3, Prepare(Ballot(9, 3), 1, ZERO)) == ["2->3 Reject 9.3 WAITING promised - last 0"]
        core.tick(60_000 * MS)
        assert core.candidacy is None


def test_a_damaged_member_says_that_it_leads_nothing() -> None:
    """Its former ballot may be forgotten: a release of a later one makes the others ask about theirs."""
    core = member(health=Health.DAMAGED)
    assert core.peer_renewed(3, 0) == [SendMessage(3, Release(Ballot(ABOVE_ALL, 2)))]
    assert handle(core, 3, LeadershipQuery(Ballot(4, 2))) == ["2 persists promise 4.2, then 2->3 Release 4.2"]


@pytest.mark.parametrize(
    ("health", "promised"), [(Health.DAMAGED, ZERO), (Health.DAMAGED, Ballot(4, 2)), (Health.HEALING, HEALED)]
)
def test_it_says_so_again_while_nobody_leads(health: Health, promised: Ballot) -> None:
    """What it sent in its former life may come later than what it said first, and make it look like a leader again."""
    core = member(health=health, promised=promised)
    told = [f"2->{node_id} Release {ABOVE_ALL}.2" for node_id in (1, 3)]
    assert shown(core.tick(60_000 * MS)) == told
    assert shown(core.tick(120_000 * MS)) == told
    handle(core, 1, Commit(Ballot(5, 1), 5, 5))
    later = Ballot(core.promised.round + 1, 1)
    handle(core, 1, Commit(later, 5, 5))
    assert shown(core.tick(180_000 * MS)) == [f"2->1 LeadershipQuery {later.round}.1"]


def test_healed_with_the_last_entry_that_phase_1_brought() -> None:
    """By whatever message it comes; not before."""
    core = member(health=Health.HEALING, promised=HEALED)
    assert handle(core, 1, Commit(NEXT, 1, 3)) == [
        f"2 persists promise {NEXT.round}.1, then 2->1 Reject {NEXT.round}.1 HOLE promised {NEXT.round}.1 last 0"
    ]
    handle(core, 1, CatchUp(NEXT, (Run(OLD, 1, (b"a",)),), 1))
    handle(core, 1, Accept(Run(NEXT, 2, (b"b",)), 1))
    assert core.health == Health.HEALING
    assert handle(core, 1, Accept(Run(NEXT, 3, (b"c",)), 1))[-1] == "2 persists healed"


def test_healed_by_a_snapshot() -> None:
    core = member(health=Health.HEALING, promised=HEALED)
    handle(core, 1, Commit(NEXT, 9, 9))
    assert shown(core.snapshot_restored(9)) == ["2 persists reset 9", "2 persists healed"]


def test_another_leadership_is_another_measure() -> None:
    """How far the phase 1 of the leader before reached says nothing."""
    core = member(health=Health.HEALING, promised=HEALED)
    handle(core, 1, Commit(NEXT, 1, 1))
    later = Ballot(NEXT.round + 1, 3)
    handle(core, 3, CatchUp(later, (Run(OLD, 1, (b"a",)),), 1))
    assert core.health == Health.HEALING
    asked = shown(core.tick(60_000 * MS))
    assert asked == [f"2->3 LeadershipQuery {later.round}.3"]
    assert handle(core, 3, Commit(later, 1, 1))[-1] == "2 persists healed"


def test_a_release_does_not_hurry_who_cannot_stand() -> None:
    """It would only ask the owner of that ballot again, and be answered with another release."""
    core = member(health=Health.HEALING, promised=NEXT)
    deadline_ns = core.deadline_ns()
    handle(core, 1, Release(NEXT))
    assert core.deadline_ns() == deadline_ns


def test_a_question_about_an_old_ballot_hides_nothing() -> None:
    """Node 2 has promised node 1's ballot, whose owner has let go; then somebody asks about an old one of node 2's."""
    core = member(promised=Ballot(8, 1))
    core.leases.grant(1, 0, 0)
    handle(core, 1, Release(Ballot(8, 1)))
    handle(core, 3, LeadershipQuery(Ballot(2, 2)))
    assert core.leader_node_id == 0
    assert any(line.startswith("2->1 Prepare") for line in shown(core.tick(1000 * MS)))


def test_a_whole_member_has_nothing_to_heal() -> None:
    core = member(entries=entries("a"), promised=OLD)
    assert handle(core, 1, Commit(OLD, 0, 0)) == ["2->1 Accepted 1.1 up to 0 epoch 1:0"]
