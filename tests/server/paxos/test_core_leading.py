"""A member that stands or leads, in states and with messages that the scenarios do not bring about."""

from __future__ import annotations

import pytest

from server.paxos.ballot import ZERO, Ballot
from server.paxos.core import LAG_SLOTS_MAX
from server.paxos.election import Role
from server.paxos.leader import RUN_BYTES_MAX
from server.paxos.messages import (
    Accept,
    Accepted,
    CatchUp,
    Commit,
    Durable,
    LeadershipQuery,
    PersistRecord,
    Prepare,
    Promise,
    Reject,
    RejectReason,
    Release,
    Run,
)
from server.paxos.quorum import Configuration, Member, ReplicaKind
from tests.server.paxos.lone_member import OLD, candidate, entries, handle, leader, member, promised_by, shown
from tests.server.paxos.notation import EVER_NS, MS


def test_nobody_stands_before_the_wait_is_over() -> None:
    """A tick that comes early puts it off until what the node may have granted has run out."""
    core = member(boot=2)
    core.handle(1, Commit(OLD, 0, 0), 0)
    core.handle(1, Release(OLD), 0)
    assert core.deadline_ns() == 37.5 * MS
    assert core.tick(38 * MS) == []
    assert core.deadline_ns() == 2020 * MS
    assert shown(core.tick(2020 * MS))[0] == "2->1 Prepare 2.2 from 1 released 1.1"


def test_who_can_write_nothing_does_not_stand() -> None:
    """Its own promise would not get to disk. An attempt that is under way ends; it looks again soon."""
    core = member(promised=OLD)
    candidate(core, 1000 * MS)
    core.leases.may_stand = False
    assert core.tick(2000 * MS) == []
    assert core.candidacy is None
    assert core.deadline_ns() >= 2000 * MS + core.election.retry_ns
    core.leases.may_stand = True
    candidate(core, core.deadline_ns())


def test_an_own_ballot_is_on_disk_before_it_is_let_go_of() -> None:
    """It might be taken again in a later life, and whoever has been told would not be bound to that leader."""
    core = member(promised=OLD)
    ballot = candidate(core)
    core.handle(1, Promise(ballot, 1, 1, 0, (), True, 0), 1000 * MS)
    core.leases.may_stand = False
    core.tick(2000 * MS)
    assert core.promised == ballot
    assert shown(core.peer_renewed(1, 2000 * MS)) == ["2 persists promise 2.2, then 2->1 Release 2.2"]


def test_a_candidate_that_is_sent_a_state_stands_no_more() -> None:
    """Its state is gone until that has come: promises that come late do not make it lead."""
    core = member(entries=entries("ab"), commit_slot=1, promised=OLD)
    ballot = candidate(core)
    core.begin_restoring(1000 * MS)
    assert core.handle(1, Promise(ballot, 2, 1, 0, (), True, 0), 1000 * MS) == []
    assert (core.role, core.candidacy) == (Role.FOLLOWER, None)


def test_a_leader_that_has_been_overtaken_lets_go() -> None:
    """What somebody knows to be committed, beyond all that this leader has from its phase 1 and has committed itself,
    others have committed, above its ballot: those that it asks may be gone, and never tell it so."""
    core = member(entries=entries("ab"), commit_slot=1, promised=OLD)
    leader(core)
    assert core.leadership is not None and core.leadership.recovered_slot == 2
    assert handle(core, 3, CatchUp(ZERO, (), 2), 1000 * MS) == []
    assert core.leader_node_id == 2
    assert handle(core, 3, CatchUp(ZERO, (), 3), 1000 * MS)[-1] == "2->3 CatchUpRequest from 2"
    assert core.leader_node_id == 0


@pytest.mark.parametrize(
    ("promised", "expected_ms"), [(ZERO, 150), (Ballot(3, 2), 0), (Ballot(3, 1), 400)], ids=["birth", "own", "other"]
)
def test_when_a_member_stands_first(promised: Ballot, expected_ms: int) -> None:
    """At a group's birth in the order of the configuration; at once, if it led last; later, if somebody else did."""
    assert member(promised=promised).deadline_ns() == expected_ms * MS


def test_a_member_that_is_none_does_not_stand() -> None:
    """A configuration without this node, which has promised before."""
    core = member(promised=OLD, configuration=Configuration((Member(1, "a"), Member(3, "c"))))
    core.tick(5000 * MS)
    assert core.role == Role.FOLLOWER


def test_a_release_hurries_followers_only() -> None:
    """A candidate has asked already; it asks again when its time is up."""
    core = member(promised=OLD)
    candidate(core, 1000 * MS)
    deadline_ns = core.deadline_ns()
    assert handle(core, 1, Release(OLD), 1000 * MS) == []
    assert core.deadline_ns() == deadline_ns == 1400 * MS
    assert shown(core.tick(1400 * MS))[0] == "2->1 Prepare 3.2 from 1 released 1.1"


def test_who_is_handed_the_leadership_stands_at_once() -> None:
    """The release goes to one member alone: nobody competes with it. Said again, it changes nothing."""
    core = member(promised=OLD)
    assert handle(core, 1, Release(OLD, is_handed_over=True), 5 * MS) == [
        "2->1 Prepare 2.2 from 1 released 1.1",
        "2->3 Prepare 2.2 from 1 released 1.1",
    ]
    assert handle(core, 1, Release(OLD, is_handed_over=True), 6 * MS) == []
    assert core.deadline_ns() == 405 * MS


def test_a_candidate_that_is_handed_the_leadership_stands_anew() -> None:
    """What it asked for before was refused by those who were bound."""
    core = member(promised=OLD)
    candidate(core, 1000 * MS)
    found = handle(core, 1, Release(OLD, is_handed_over=True), 1001 * MS)
    assert found[0] == "2->1 Prepare 3.2 from 1 released 1.1"


def test_who_cannot_vote_yet_takes_nothing_over() -> None:
    """A node that was restarted a moment ago waits as long as ever."""
    core = member(boot=2, promised=OLD)
    assert handle(core, 1, Release(OLD, is_handed_over=True), 5 * MS) == []
    assert core.deadline_ns() == 2020 * MS


def test_a_leader_is_not_released() -> None:
    """Word of a later ballot that its owner let go of does not touch who leads."""
    core = member()
    leader(core)
    assert handle(core, 3, Release(Ballot(9, 3))) == []
    assert core.role == Role.LEADER


def test_promises_for_a_former_attempt_do_not_count() -> None:
    """Neither another member's nor its own, which gets to disk late."""
    core = member()
    first = candidate(core, 1000 * MS)
    effects = core.handle(1, Promise(first, 1, 1, 0, (), True, 0), 1000 * MS)
    (persist,) = effects
    assert isinstance(persist, PersistRecord) and persist.event is not None
    second = candidate(core, 1400 * MS)
    assert core.durable(persist.event, 1400 * MS) == []
    assert core.handle(3, Promise(first, 1, 1, 0, (), True, 0), 1400 * MS) == []
    effects = core.handle(3, Promise(second, 1, 1, 0, (), True, 0), 1400 * MS)
    assert shown(effects) == [f"2 persists promise {second.round}.2"]
    assert core.role == Role.CANDIDATE, "its own promise at this ballot is not on disk yet"
    assert core.handle(1, Promise(second, 1, 1, 0, (), True, 0), 1400 * MS) == [], "it is on its way already"
    core.durable(Durable(second, 0, is_promise=True), 1400 * MS)
    assert core.leadership is not None and core.leadership.ballot == second
    assert core.handle(1, Promise(second, 1, 1, 0, (), True, 0), 1400 * MS) == [], "it leads already"


def test_its_own_promise_is_void_when_it_follows_by_then() -> None:
    """It was to lead at that ballot, and has taken up somebody else's meanwhile."""
    core = member()
    ballot = candidate(core)
    core.handle(1, Promise(ballot, 1, 1, 0, (), True, 0), 1000 * MS)
    handle(core, 3, Commit(Ballot(5, 3), 0, 0))
    assert core.durable(Durable(ballot, 0, is_promise=True), 1000 * MS) == []
    assert core.role == Role.FOLLOWER


def test_what_is_learnt_while_standing_is_not_proposed_again() -> None:
    """Entries that became known to be committed since the Prepare went out."""
    core = member(entries=entries("ab"), promised=OLD)
    ballot = candidate(core)
    handle(core, 3, CatchUp(ZERO, (Run(OLD, 1, (b"a",)),), 1), 1000 * MS)
    found = shown(promised_by(core, 1, ballot))
    assert "2->1 Accept 2.2[2..2] b commit 1" in found
    assert core.leadership is not None and core.leadership.recovered_slot == 2


def test_a_leadership_begins_with_an_entry_of_its_own() -> None:
    """Behind what phase 1 brought, in the same message; nothing is served before it is committed."""
    core = member(entries=entries("ab"), promised=OLD, opening=lambda ballot: b"opens %d" % ballot.round)
    found = shown(promised_by(core, 1, candidate(core)))
    assert "2->1 Accept 2.2[1..3] a b opens 2 commit 0" in found
    assert core.leadership is not None and core.leadership.recovered_slot == 3


def test_whoever_could_not_say_everything_is_asked_for_the_rest() -> None:
    """Unless the third member tells within 150 ms, the candidate lets go, tells everybody, and catches up."""
    core = member(promised=OLD)
    ballot = candidate(core)
    effects = core.handle(3, Promise(ballot, 1, 1, 9, (Run(OLD, 1, (b"x",)),), False, 0), 1000 * MS)
    assert isinstance(effects[0], PersistRecord) and effects[0].event is not None
    assert core.durable(effects[0].event, 1000 * MS) == []
    assert core.deadline_ns() == 1150 * MS
    assert shown(core.tick(1150 * MS)) == [
        "2->1 Release 2.2",
        "2->3 Release 2.2",
        "2->3 CatchUpRequest from 1",
    ]
    assert core.deadline_ns() == 3150 * MS


def test_who_let_go_of_its_ballot_says_so_when_it_stands() -> None:
    """A member that had promised itself a ballot, in a former life perhaps, and is asked about it: those it asks for
    promises need not mind what they granted to it."""
    core = member(promised=Ballot(4, 2))
    handle(core, 3, LeadershipQuery(Ballot(4, 2)))
    assert shown(core.tick(5000 * MS))[0] == "2->1 Prepare 5.2 from 1 released 4.2"


# Leading


def test_a_lagging_follower_gets_more_with_each_acknowledgement() -> None:
    """When the window was full, what is missing follows."""
    core = member()
    ballot = leader(core)
    core.propose((b"x" * RUN_BYTES_MAX * 4,), 1000 * MS)
    assert [effect for effect in shown(core.propose((b"y",), 1000 * MS)) if "->" in effect] == []
    assert handle(core, 1, Accepted(ballot, 1, 0), 1000 * MS) == [f"2->1 Accept {ballot.round}.2[2..2] y commit 0"]


def test_acknowledgements_at_another_ballot_do_not_count() -> None:
    """Nor do those that reach a follower."""
    core = member()
    ballot = leader(core)
    core.propose((b"x",), 1000 * MS)
    core.durable(Durable(ballot, 1, is_promise=False), 1000 * MS)
    assert handle(core, 1, Accepted(Ballot(ballot.round - 1, 2), 1, 0)) == []
    assert core.log.commit_slot == 0
    assert handle(member(), 1, Accepted(ballot, 1, 0)) == []


def test_what_reaches_the_disk_late_does_not_count_for_the_next_ballot() -> None:
    """An entry that was written at a former ballot is not one of the ballot promised since."""
    core = member(promised=OLD)
    (persist,) = core.handle(1, Accept(Run(OLD, 1, (b"x",)), 0), 0)
    assert isinstance(persist, PersistRecord) and persist.event is not None
    core.handle(3, Prepare(Ballot(2, 3), 1, ZERO), 0)
    assert core.durable(persist.event, 0) == []
    assert handle(core, 3, Commit(Ballot(2, 3), 0, 0)) == ["2->3 Accepted 2.3 up to 0 epoch 1:0"]


def test_a_refusal_without_a_higher_promise_ends_no_leadership() -> None:
    """Somebody refused for a reason that has passed; or refused what is not the ballot in force."""
    core = member()
    ballot = leader(core)
    assert handle(core, 1, Reject(ballot, ballot, 0, RejectReason.LOWER_BALLOT)) == []
    assert handle(core, 1, Reject(OLD, Ballot(9, 1), 0, RejectReason.HOLE)) == []
    assert core.role == Role.LEADER
    core.hand_over(1000 * MS)
    assert handle(core, 1, Reject(ballot, Ballot(9, 1), 0, RejectReason.LOWER_BALLOT)) == []
    assert candidate(core, 5000 * MS) == Ballot(10, 2), "what it has heard of is outbid all the same"


def test_a_hole_below_what_was_acknowledged_is_filled() -> None:
    """A follower that restarted vouches only for what it knows to be committed."""
    core = member()
    ballot = leader(core)
    core.propose((b"a",), 0)
    core.propose((b"b",), 0)
    handle(core, 1, Accepted(ballot, 2, 0))
    core.durable(Durable(ballot, 2, is_promise=False), 0)
    found = handle(core, 1, Reject(ballot, ballot, 0, RejectReason.HOLE))
    assert found == [f"2->1 CatchUp {ballot.round}.2: {ballot.round}.2[1..2] a b commit 2"]


def test_entries_follow_a_snapshot_at_once() -> None:
    """Whoever has the state as of the last slot lacks nothing: what is proposed next goes to it without a question."""
    core = member()
    ballot = leader(core)
    core.propose((b"a",), 0)
    core.durable(Durable(ballot, 1, is_promise=False), 0)
    handle(core, 3, Accepted(ballot, 1, 0))
    core.trim(1)
    assert handle(core, 1, Reject(ballot, ballot, 0, RejectReason.HOLE)) == ["2 has to send 1 a snapshot"]
    assert shown(core.snapshot_sent(1, 1, 0)) == [f"2->1 Commit {ballot.round}.2 commit 1"]
    assert f"2->1 Accept {ballot.round}.2[2..2] b commit 1" in shown(core.propose((b"b",), 0))


def test_a_leader_answers_who_asks_about_an_older_ballot_of_its_own() -> None:
    """It leads, at a higher one: the asker follows."""
    core = member()
    ballot = leader(core)
    assert handle(core, 1, LeadershipQuery(ballot)) == [f"2->1 Commit {ballot.round}.2 commit 0"]
    assert handle(core, 1, LeadershipQuery(Ballot(ballot.round - 1, 2))) == [f"2->1 Commit {ballot.round}.2 commit 0"]


@pytest.mark.parametrize("asked", [Ballot(1, 1), Ballot(9, 3)])
def test_nobody_answers_for_somebody_else(asked: Ballot) -> None:
    """Whether another node leads is not this one's to say."""
    assert handle(member(promised=OLD), 3, LeadershipQuery(asked)) == []


def test_a_candidate_lets_go_of_its_former_attempts() -> None:
    """Not of the one it is making."""
    core = member()
    first = candidate(core, 1000 * MS)
    second = candidate(core, 1400 * MS)
    assert handle(core, 1, LeadershipQuery(second)) == []
    assert handle(core, 1, LeadershipQuery(first)) == ["2 persists promise 1.2, then 2->1 Release 1.2"]


def test_a_ballot_that_was_let_go_of_is_not_taken_again() -> None:
    """It may be one of a former life, which nothing on this member's disk tells of: others are free to elect somebody
    else while the one who let go would lead under it."""
    core = member()
    assert handle(core, 1, LeadershipQuery(Ballot(4, 2))) == ["2 persists promise 4.2, then 2->1 Release 4.2"]
    assert candidate(core) == Ballot(5, 2)


def test_who_begins_to_restore_its_state_does_not_come_to_lead() -> None:
    """A snapshot has begun to arrive while it stood."""
    core = member()
    ballot = candidate(core)
    core.is_restoring = True
    promised_by(core, 1, ballot)
    assert core.role == Role.CANDIDATE
    core.is_restoring = False
    assert core.handle(3, Promise(ballot, 1, 1, 0, (), True, 0), 1000 * MS)
    assert core.leadership is not None


def test_a_hand_over_goes_to_a_storage_replica() -> None:
    """To the one that has most of the log; log replicas cannot lead."""
    members = (Member(1, "a"), Member(2, "b"), Member(3, "c", ReplicaKind.LOG), Member(4, "d"), Member(5, "e"))
    core = member(configuration=Configuration(members))
    ballot = candidate(core)
    core.handle(1, Promise(ballot, 1, 1, 0, (), True, 0), 1000 * MS)
    promised_by(core, 3, ballot)
    core.propose((b"a", b"b", b"c"), 1000 * MS)
    for node_id, slot in ((1, 2), (3, 3), (4, 1)):
        core.handle(node_id, Accepted(ballot, slot, 0), 1000 * MS)
    assert shown(core.hand_over(1000 * MS)) == [
        f"2->1 Commit {ballot.round}.2 commit 1",
        f"2 ceases to lead at {ballot.round}.2",
        f"2->1 Release {ballot.round}.2, handed over",
    ]
    assert core.deadline_ns() == 3000 * MS


def test_a_leadership_is_not_given_back() -> None:
    """To the node that it was handed over by, as long as there is another."""
    for giver, other in ((1, 3), (3, 1)):
        core = member(promised=Ballot(1, giver))
        handle(core, giver, Release(Ballot(1, giver), is_handed_over=True), 1000 * MS)
        assert core.candidacy is not None
        ballot = core.candidacy.ballot
        promised_by(core, 1, ballot)
        assert shown(core.hand_over(1000 * MS))[-1] == f"2->{other} Release {ballot.round}.2, handed over"


def test_who_must_not_lead_is_not_handed_a_leadership() -> None:
    """It has no state, say: then nobody is, rather than that one. Who is only to be sent the state is the last choice:
    it may have all that this member cannot send, and wait for it as long as this one leads."""
    for is_in_snapshot, unfit, successor in ((False, (3,), 1), (True, (), 3), (True, (3,), 1), (False, (1, 3), 0)):
        core = member()
        promised_by(core, 3, candidate(core))
        assert core.leadership is not None
        core.leadership.progress[1].is_in_snapshot = is_in_snapshot
        given = [each for each in shown(core.hand_over(1000 * MS, (), unfit)) if "Release" in each]
        assert given == ([f"2->{successor} Release 1.2, handed over"] if successor else [])


def test_who_could_take_over() -> None:
    """A storage replica whose node is heard of and that is not far behind; nobody where this member does not lead."""
    members = (Member(1, "a"), Member(2, "b"), Member(3, "c", ReplicaKind.LOG))
    core = member(configuration=Configuration(members))
    assert not core.has_successor(0)
    ballot = leader(core)
    for node_id in (1, 3):
        grant = core.leases.grant(node_id, 0, 0)
        assert grant is not None
        core.leases.granted(node_id, grant._replace(sent_ns=1000 * MS), 1000 * MS)
    assert not core.has_successor(1000 * MS), "node 1 was restarted since it voted, and has not acknowledged anything"
    core.handle(1, Accepted(ballot, 0, core.leases.held(1)[1]), 1000 * MS)
    assert core.has_successor(1000 * MS)
    assert not core.has_successor(1000 * MS, (1,)), "node 1 is not wanted"
    assert core.leadership is not None
    core.leadership.progress[1].is_in_snapshot = True
    assert not core.has_successor(1000 * MS), "node 1 is being sent the state"
    core.leadership.progress[1].is_in_snapshot = False
    assert not core.has_successor(9000 * MS), "node 1 has not been heard of"
    core.propose((b"x",) * (LAG_SLOTS_MAX + 1), 1000 * MS)
    core.durable(Durable(ballot, LAG_SLOTS_MAX + 1, is_promise=False), 1000 * MS)
    core.handle(3, Accepted(ballot, LAG_SLOTS_MAX + 1, 0), 1000 * MS)
    assert not core.has_successor(1000 * MS), "node 1 is far behind, and node 3 has a log only"


def test_trimming_never_goes_beyond_what_is_applied() -> None:
    """Whatever slot is asked for."""
    core = member(entries=entries("abc"), commit_slot=2)
    core.trim(3)
    assert (core.log.first_slot, core.log.last_slot) == (3, 3)


def test_an_idle_leader_has_nothing_to_do() -> None:
    """Everything is acknowledged and told: no time is set."""
    core = member()
    ballot = leader(core)
    assert core.deadline_ns() == EVER_NS
    core.propose((b"a",), 1000 * MS)
    assert core.deadline_ns() == 1500 * MS
    core.durable(Durable(ballot, 1, is_promise=False), 1000 * MS)
    handle(core, 1, Accepted(ballot, 1, 0), 1000 * MS)
    handle(core, 3, Accepted(ballot, 1, 0), 1000 * MS)
    assert core.deadline_ns() == 1040 * MS
    core.tick(1040 * MS)
    assert core.deadline_ns() == EVER_NS


@pytest.mark.parametrize("payloads", [(), (b"x",)])
def test_only_a_leader_proposes_and_never_nothing(payloads: tuple[bytes, ...]) -> None:
    """Anything else is the caller's mistake."""
    core = member()
    if not payloads:
        leader(core)
    with pytest.raises(AssertionError):
        core.propose(payloads, 0)
