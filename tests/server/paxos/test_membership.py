"""Configuration entries: who may propose which, when they count, and what a member makes of those it finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.paxos.ballot import ABOVE_ALL, ZERO, Ballot
from server.paxos.core import LAG_SLOTS_MAX, PaxosCore
from server.paxos.election import Role
from server.paxos.messages import (
    Accept,
    Accepted,
    CatchUp,
    CatchUpRequest,
    Commit,
    Durable,
    LogStart,
    Message,
    Prepare,
    Promise,
    Reject,
    RejectReason,
    Release,
    Run,
)
from server.paxos.quorum import (
    CONFIGURATION_MARK,
    Configuration,
    Floor,
    Member,
    ReplicaKind,
    decode_configuration,
    encode_configuration,
)
from tests.server.paxos.group import Group
from tests.server.paxos.lone_member import GROUP, OLD, candidate, entries, handle, leader, member, shown
from tests.server.paxos.notation import MS

THIRD_REPLACED = Configuration((Member(1, "a"), Member(2, "b"), Member(4, "c", ReplicaKind.LOG)))
SECOND_REPLACED = Configuration((Member(1, "a"), Member(4, "b", ReplicaKind.LOG), Member(3, "c")))
ENTRY = (OLD, encode_configuration(THIRD_REPLACED))

MEMBERS = st.builds(Member, st.integers(0, 2**64 - 1), st.text(max_size=40), st.sampled_from(ReplicaKind))
CONFIGURATIONS = st.lists(MEMBERS, min_size=1, max_size=5, unique_by=lambda each: each.node_id).map(
    lambda members: Configuration(tuple(members))
)


# As bytes


@given(CONFIGURATIONS)
def test_round_trip(configuration: Configuration) -> None:
    """What is decoded is what was encoded, and its payload is known by its beginning."""
    payload = encode_configuration(configuration)
    assert payload.startswith(CONFIGURATION_MARK)
    assert decode_configuration(payload) == configuration


@given(CONFIGURATIONS, st.data())
def test_a_payload_that_ends_early_or_late_is_refused(configuration: Configuration, data: st.DataObject) -> None:
    """Nothing is made of a part of one, and nothing may follow it."""
    payload = encode_configuration(configuration)
    with pytest.raises(ValueError, match=r"configuration|zone|codec|member"):
        decode_configuration(payload[: data.draw(st.integers(2, len(payload) - 1))])
    with pytest.raises(ValueError, match="should have"):
        decode_configuration(payload + b"x")


# Proposing


def serving_leader(**members: object) -> PaxosCore:
    """Node 2 leads with a lease that nodes 1 and 3 grant, and all that it has is committed."""
    core = member(**members)  # type: ignore[arg-type]
    ballot = leader(core)
    for node_id in (1, 3):
        grant = core.leases.grant(node_id, 0, 0)
        assert grant is not None
        core.leases.granted(node_id, grant._replace(sent_ns=1000 * MS), 1000 * MS)
        assert core.leadership is not None
        core.leadership.progress[node_id].support_epoch = grant.epoch
    last_slot = core.log.last_slot
    core.durable(Durable(ballot, last_slot, is_promise=False), 1000 * MS)
    for node_id in (1, 3):
        core.handle(node_id, Accepted(ballot, last_slot, 1 << 32 | 1), 1000 * MS)
    assert core.is_serving(1000 * MS)
    return core


def grant_of(core: PaxosCore, node_id: int, now_ns: int) -> None:
    """The node's grant is renewed."""
    grant = core.leases.grant(node_id, 0, 0)
    assert grant is not None
    core.leases.granted(node_id, grant._replace(sent_ns=now_ns), now_ns)


def joining(core: PaxosCore, node_id: int = 4, configuration: Configuration = THIRD_REPLACED) -> PaxosCore:
    """The leader's node is to have these members, and the new one has begun to follow at 1 s."""
    assert core.leadership is not None
    core.expect_configuration(configuration, 1000 * MS)
    grant_of(core, node_id, 1000 * MS)
    core.handle(node_id, Accepted(core.leadership.ballot, core.log.last_slot, 1 << 32 | 1), 1000 * MS)
    return core


def test_who_leads_and_serves_may_propose_members() -> None:
    """Not a follower, not one without a lease, not one that would leave or have a log only, nor twice at a time."""
    assert not member().may_configure(THIRD_REPLACED, 0)
    core = joining(serving_leader())
    assert core.may_configure(THIRD_REPLACED, 1000 * MS)
    assert not core.may_configure(THIRD_REPLACED, 9000 * MS), "its lease is over"
    assert not core.may_configure(SECOND_REPLACED, 1000 * MS), "it would leave"
    log_only = Configuration((Member(1, "a"), Member(2, "b", ReplicaKind.LOG), Member(3, "c")))
    assert not core.may_configure(log_only, 1000 * MS), "it would have a log only"
    core.propose_configuration(THIRD_REPLACED, 1000 * MS)
    assert not core.can_propose
    assert not core.may_configure(THIRD_REPLACED, 1000 * MS)


def test_who_joins_follows_first() -> None:
    """Unless it has been waited for, and the others can carry the change through alone."""
    core = serving_leader()
    assert not core.may_configure(THIRD_REPLACED, 1000 * MS), "it is not told of them yet"
    assert shown(core.expect_configuration(THIRD_REPLACED, 1000 * MS)) == ["2->4 Commit 1.2 commit 0"]
    for node_id in (1, 3):
        grant_of(core, node_id, 5500 * MS)
    assert core.expect_configuration(THIRD_REPLACED, 5500 * MS) == []
    assert core.leadership is not None
    assert not core.may_configure(THIRD_REPLACED, 6000 * MS), "node 3 is not given up for one that is not there"
    core.leadership.progress[3].support_epoch = -1
    assert not core.may_configure(THIRD_REPLACED, 5999 * MS)
    assert core.may_configure(THIRD_REPLACED, 6000 * MS)
    another = Configuration((Member(1, "a"), Member(2, "b"), Member(5, "c", ReplicaKind.LOG)))
    assert not core.may_configure(another, 6000 * MS), "that one has not been waited for"
    core.leadership.progress[1].support_epoch = -1
    assert not core.may_configure(THIRD_REPLACED, 6000 * MS), "node 1 is needed then"
    assert joining(serving_leader()).may_configure(THIRD_REPLACED, 1000 * MS)


def test_majorities_of_before_and_after_must_follow_closely() -> None:
    """A change that cannot be committed soon would only hold up everything else."""
    core = joining(serving_leader())
    assert core.leadership is not None
    ballot = core.leadership.ballot
    core.propose(tuple(b"x" for _ in range(LAG_SLOTS_MAX + 1)), 1000 * MS)
    last_slot = core.log.last_slot
    core.durable(Durable(ballot, last_slot, is_promise=False), 1000 * MS)
    core.handle(3, Accepted(ballot, last_slot, 1 << 32 | 1), 1000 * MS)
    assert core.log.commit_slot == LAG_SLOTS_MAX + 1
    assert not core.may_configure(THIRD_REPLACED, 1000 * MS), "nodes 1 and 4 are too far behind"
    core.handle(4, Accepted(ballot, last_slot, 1 << 32 | 1), 1000 * MS)
    assert core.may_configure(THIRD_REPLACED, 1000 * MS)
    core.leadership.progress[3].acked_slot = 0
    assert not core.may_configure(THIRD_REPLACED, 1000 * MS), "with node 4 only the new ones could"
    core.handle(1, Accepted(ballot, last_slot, 1 << 32 | 1), 1000 * MS)
    assert core.may_configure(THIRD_REPLACED, 1000 * MS)


def test_who_is_not_to_join_after_all_is_not_sent_anything_any_more() -> None:
    """Another is, or nobody; and where nothing can be proposed, nobody is sent anything either."""
    core = joining(serving_leader())
    assert core.leadership is not None
    another = Configuration((Member(1, "a"), Member(2, "b"), Member(5, "c", ReplicaKind.LOG)))
    assert shown(core.expect_configuration(another, 2000 * MS)) == ["2->5 Commit 1.2 commit 0"]
    assert sorted(core.leadership.progress) == [1, 3, 5]
    assert core.expect_configuration(GROUP, 2000 * MS) == []
    assert sorted(core.leadership.progress) == [1, 3]
    joining(core).propose_configuration(THIRD_REPLACED, 1000 * MS)
    assert core.expect_configuration(another, 2000 * MS) == []
    assert core.leadership.successor == THIRD_REPLACED
    of_logs = Configuration((Member(1, "a"), Member(2, "b"), Member(3, "c", ReplicaKind.LOG)))
    core = joining(serving_leader(configuration=of_logs))
    assert core.leadership is not None
    assert [core.leadership.progress[each].is_log_replica for each in (1, 3, 4)] == [False, True, True]
    assert member().expect_configuration(another, 0) == []


def test_it_is_committed_when_majorities_of_before_and_after_have_it() -> None:
    """The majority that the leader makes with the member that leaves is not enough; what is before it, is. Who joins
    counts like those who stay."""
    for second in (1, 4):
        core = joining(serving_leader())
        assert core.leadership is not None
        ballot = core.leadership.ballot
        core.propose((b"x",), 1000 * MS)
        core.propose_configuration(THIRD_REPLACED, 1000 * MS)
        core.durable(Durable(ballot, 2, is_promise=False), 1000 * MS)
        assert shown(core.handle(3, Accepted(ballot, 2, 0), 1000 * MS)) == ["2 applies 1: x"]
        assert core.configuration == GROUP
        assert shown(core.handle(second, Accepted(ballot, 2, 0), 1000 * MS))[0] == "2 applies 2: <1 2 4-log>"
        assert core.configuration == THIRD_REPLACED
        assert core.can_propose
        assert core.handle(3, Accepted(ballot, 2, 0), 1000 * MS) == [], "it is a member no more"
        assert core.handle(3, Reject(ballot, ZERO, 0, RejectReason.HOLE), 1000 * MS) == []
        assert core.peer_renewed(3, 1000 * MS) == []


def test_who_leaves_may_be_the_one_that_makes_it_committed() -> None:
    """It is sent nothing any more, whatever it lacks."""
    core = joining(serving_leader())
    assert core.leadership is not None
    ballot = core.leadership.ballot
    core.propose_configuration(THIRD_REPLACED, 1000 * MS)
    core.durable(Durable(ballot, 1, is_promise=False), 1000 * MS)
    core.handle(4, Accepted(ballot, 1, 0), 1000 * MS)
    effects = shown(core.handle(3, Accepted(ballot, 1, 0), 1000 * MS))
    assert effects[0] == "2 applies 1: <1 2 4-log>"
    assert not [effect for effect in effects if effect.startswith("2->3 Accept")]


def test_what_is_in_force_is_known_with_an_entry_behind_it() -> None:
    """The leader proposes one at once: whoever has it remembers the configuration, though the leader be lost."""
    core = joining(serving_leader())
    assert core.leadership is not None
    known = [core.is_configuration_known]
    ballot = core.leadership.ballot
    core.propose_configuration(THIRD_REPLACED, 1000 * MS)
    core.durable(Durable(ballot, 1, is_promise=False), 1000 * MS)
    effects = shown(core.handle(1, Accepted(ballot, 1, 0), 1000 * MS))
    assert "2->4 Accept 1.2[2..2] (no-op) commit 1" in effects
    known.append(core.is_configuration_known)
    core.durable(Durable(ballot, 2, is_promise=False), 1000 * MS)
    core.handle(4, Accepted(ballot, 2, 0), 1000 * MS)
    assert [*known, core.is_configuration_known] == [True, False, True]


def test_where_the_log_of_one_that_joins_may_begin() -> None:
    """It may be needed at once: what lies before must be on the disks of those who stay, or it gets a snapshot."""
    for is_held in (True, False):
        core = serving_leader(entries=entries("abc"), commit_slot=3)
        assert core.leadership is not None
        core.log.trim(2)
        for node_id in (1, 3):
            core.leadership.progress[node_id].acked_slot = 3
            core.leadership.progress[node_id].known_slot = 3 if is_held or node_id == 3 else 1
        assert bool(core.expect_configuration(THIRD_REPLACED, 1000 * MS)) == is_held
        core.expect_configuration(THIRD_REPLACED, 2000 * MS)
        grant_of(core, 4, 2000 * MS)
        (effect, *_) = handle(core, 4, Reject(core.leadership.ballot, ZERO, 0, RejectReason.HOLE), 2000 * MS)
        assert effect == ("2->4 LogStart 1.2 behind 2, held by others" if is_held else "2 has to send 4 a snapshot")


def test_support_of_a_former_life_is_none() -> None:
    """What a member that joined acknowledges of before may be what it said when it was a member once before: it has
    forgotten what it promised then, and may help to elect somebody else."""
    core = serving_leader()
    assert core.leadership is not None
    ballot = core.leadership.ballot
    core.propose((b"x", b"y"), 1000 * MS)
    core.durable(Durable(ballot, 2, is_promise=False), 1000 * MS)
    core.handle(1, Accepted(ballot, 2, 0), 1000 * MS)
    core.expect_configuration(THIRD_REPLACED, 1000 * MS)
    progress = core.leadership.progress[4]
    core.handle(4, Accepted(ballot, 1, 7), 1000 * MS)
    assert progress.support_epoch == -1
    core.handle(4, Accepted(ballot, 2, 7), 1000 * MS)
    assert progress.support_epoch == 7


# Withdrawing


def stand_again(core: PaxosCore, now_ns: int) -> Ballot:
    """The leader's change of members takes too long, node 3 alone supports it: it stands again; its ballot."""
    grant_of(core, 3, now_ns)
    assert core.deadline_ns() <= now_ns
    core.tick(now_ns)
    assert core.candidacy is not None
    return core.candidacy.ballot


def promised(core: PaxosCore, sender: int, ballot: Ballot, runs: tuple[Run, ...], now_ns: int) -> list[str]:
    """A promise comes, and the member's own gets to disk."""
    assert core.candidacy is not None
    core.handle(sender, Promise(ballot, core.candidacy.from_slot, 1, 0, runs, True, 1 << 32 | 1), now_ns)
    return shown(core.durable(Durable(ballot, 0, is_promise=True), now_ns))


def elected(core: PaxosCore, sender: int, ballot: Ballot, runs: tuple[Run, ...], now_ns: int) -> None:
    """A promise comes, and with it the election."""
    promised(core, sender, ballot, runs, now_ns)
    assert core.leadership is not None


def proposing() -> tuple[PaxosCore, Ballot]:
    """A leader that has proposed members, of whom node 1 or 4 is needed; its ballot. Node 4 is not heard of again."""
    core = joining(serving_leader())
    assert core.leadership is not None
    core.propose_configuration(THIRD_REPLACED, 1000 * MS)
    ballot = core.leadership.ballot
    core.durable(Durable(ballot, 1, is_promise=False), 1000 * MS)
    return core, ballot


def test_a_change_that_cannot_be_carried_through_is_withdrawn() -> None:
    """Whether the member that leaves has accepted it or not: nobody but this leader could have counted it."""
    for has_it in (True, False):
        core, ballot = proposing()
        again = stand_again(core, 4000 * MS)
        runs = (Run(ballot, 1, (ENTRY[1],)),) if has_it else ()
        elected(core, 3, again, runs, 4000 * MS)
        assert core.can_propose
        assert core.log.payloads(1, 1) == (b"",)
        core.durable(Durable(again, 1, is_promise=False), 4000 * MS)
        core.handle(3, Accepted(again, 1, 1 << 32 | 1), 4000 * MS)
        assert (core.log.commit_slot, core.configuration) == (1, GROUP)


def test_a_change_that_another_leader_may_have_counted_is_not_withdrawn() -> None:
    """It has been accepted at that one's ballot since."""
    core, _ = proposing()
    again = stand_again(core, 4000 * MS)
    promised(core, 3, again, (Run(again._replace(node_id=1), 1, (ENTRY[1],)),), 4000 * MS)
    elected(core, 4, again, (), 4000 * MS)
    assert core.leadership is not None
    assert (core.leadership.recovered_slot, core.leadership.configuration_slot) == (ABOVE_ALL, 1)
    assert core.leadership.reconsider_at_ns == 0, "to stand again would not help"


def test_what_was_proposed_in_a_former_life_is_not_withdrawn() -> None:
    """It may have been committed then."""
    core = member(entries=[(Ballot(2, 2), ENTRY[1])], promised=Ballot(2, 2))
    ballot = candidate(core)
    promised(core, 3, ballot, (Run(Ballot(2, 2), 1, (ENTRY[1],)),), 1000 * MS)
    elected(core, 4, ballot, (), 1000 * MS)
    assert core.leadership is not None
    assert core.leadership.configuration_slot == 1


def test_the_new_members_have_to_promise_too() -> None:
    """The configuration may be in force already, and its leader serve with the grants of a majority of its members
    only: the old members' promises say nothing of those."""
    core = member()
    ballot = candidate(core)
    runs = (Run(OLD, 1, (ENTRY[1],)),)
    assert promised(core, 3, ballot, runs, 1000 * MS) == ["2->4 Prepare 1.2 from 1"]
    assert promised(core, 3, ballot, runs, 1000 * MS) == [], "it has been asked"
    handle(core, 4, Reject(ballot, OLD, 0, RejectReason.BOUND_BY_GRANT), 1000 * MS)
    assert core.role == Role.CANDIDATE
    elected(core, 4, ballot, (), 1000 * MS)
    assert core.leadership is not None
    assert core.leadership.recovered_slot == ABOVE_ALL


def test_a_change_that_can_be_carried_through_goes_on() -> None:
    """With the promise of who stays it is proposed again, at the new ballot; and may be withdrawn at that one too."""
    core, ballot = proposing()
    again = stand_again(core, 4000 * MS)
    elected(core, 1, again, (), 4000 * MS)
    assert core.leadership is not None
    assert core.leadership.configuration_slot == 1
    core.leadership.progress[3].support_epoch = 1 << 32 | 1
    core.durable(Durable(again, 1, is_promise=False), 4000 * MS)
    third = stand_again(core, 8000 * MS)
    runs = (Run(again, 1, (ENTRY[1],)),)
    elected(core, 3, third, runs, 8000 * MS)
    assert core.can_propose
    assert (ballot < again < third, core.log.payloads(1, 1)) == (True, (b"",))


def test_a_change_whose_members_live_is_waited_for() -> None:
    """A slow disk is no reason; nor is there any where no majority lives, or when it is over."""
    core, ballot = proposing()
    grant_of(core, 1, 3500 * MS)
    core.tick(4000 * MS)
    assert core.leadership is not None and core.leadership.reconsider_at_ns == 4400 * MS
    core.tick(9000 * MS)
    assert core.leadership is not None, "there is nobody to elect it"
    core.handle(1, Accepted(ballot, 1, 1 << 32 | 1), 9000 * MS)
    assert core.configuration == THIRD_REPLACED
    core.tick(20_000 * MS)
    assert core.leadership is not None and core.leadership.reconsider_at_ns == 0


# Finding


def test_a_change_that_who_joins_can_carry_is_waited_for() -> None:
    """It lives, and a majority of the new members with it, though node 1 is not heard of any more."""
    core, ballot = proposing()
    for node_id in (3, 4):
        grant_of(core, node_id, 4000 * MS)
    core.tick(4000 * MS)
    assert core.leadership is not None
    core.handle(3, Accepted(ballot, 1, 1 << 32 | 1), 4000 * MS)
    core.handle(4, Accepted(ballot, 1, 1 << 32 | 1), 4000 * MS)
    assert core.configuration == THIRD_REPLACED


def test_a_candidate_that_finds_one_brings_it_into_force_and_stands_again() -> None:
    """What is behind it is not its to propose: others may have promised something about that."""
    log = [*entries("a"), ENTRY, *entries("b")]
    core = member(entries=log, commit_slot=1, promised=OLD)
    ballot = leader(core)
    assert core.leadership is not None
    assert (core.leadership.recovered_slot, core.leadership.end_slot(core.log)) == (ABOVE_ALL, 2)
    assert not core.can_propose
    core.durable(Durable(ballot, 2, is_promise=False), 1000 * MS)
    effects = shown(core.handle(1, Accepted(ballot, 2, 0), 1000 * MS))
    assert effects[0] == "2 applies 2: <1 2 4-log>"
    assert effects[-2:] == [
        "2->1 Prepare 3.2 from 3 released 2.2 members since 2",
        "2->4 Prepare 3.2 from 3 released 2.2 members since 2",
    ]
    assert not core.is_serving(1000 * MS)


def test_who_hears_that_it_is_in_force_brings_it_into_force_no_more() -> None:
    """Its members may have gone on, and those that this leadership asks may never be enough. What lies before it is no
    news."""
    core = member(entries=[*entries("a"), ENTRY], commit_slot=1, promised=OLD)
    leader(core)
    assert handle(core, 4, CatchUp(ZERO, (), 1), 1000 * MS) == []
    assert core.leadership is not None
    assert handle(core, 4, CatchUp(ZERO, (), 2), 1000 * MS)[-1] == "2->4 CatchUpRequest from 2"
    assert core.leader_node_id == 0


def test_one_that_leaves_with_it_lets_go() -> None:
    """It is no member of what it has brought into force."""
    core = member(entries=[(OLD, encode_configuration(SECOND_REPLACED))], promised=OLD)
    ballot = candidate(core)
    promised(core, 1, ballot, (), 1000 * MS)
    elected(core, 3, ballot, (), 1000 * MS)
    core.durable(Durable(ballot, 1, is_promise=False), 1000 * MS)
    core.handle(1, Accepted(ballot, 1, 0), 1000 * MS)
    effects = shown(core.handle(3, Accepted(ballot, 1, 0), 1000 * MS))
    assert effects[0] == "2 applies 1: <1 4-log 3>"
    assert effects[-3:] == ["2->1 Release 2.2", "2->3 Release 2.2", "2->4 Release 2.2"]
    assert core.role == Role.FOLLOWER
    core.tick(9000 * MS)
    assert core.role == Role.FOLLOWER, "it does not stand any more"


def test_a_candidate_asks_those_who_may_have_become_members() -> None:
    """They may know that the entry is in force."""
    core = member(entries=[ENTRY], promised=OLD)
    assert shown(core.tick(1000 * MS))[2] == "2->4 CatchUpRequest from 1"


def test_promises_of_former_members_are_void() -> None:
    """A configuration that comes into force ends a candidacy: the next has a ballot of its own."""
    core = member(entries=entries("a"), promised=OLD)
    ballot = candidate(core)
    core.handle(1, CatchUp(ZERO, (Run(OLD, 1, (b"a", ENTRY[1])),), 2), 1000 * MS)
    assert core.configuration == THIRD_REPLACED
    assert core.role == Role.FOLLOWER
    core.handle(1, Promise(ballot, 1, 1, 0, (), True, 0), 1000 * MS)
    assert candidate(core) > ballot


def test_the_log_tells_at_the_start_who_the_members_are() -> None:
    """As far as it is known to be committed."""
    assert member(entries=[ENTRY], commit_slot=1).configuration == THIRD_REPLACED
    assert member(entries=[ENTRY], commit_slot=0).configuration == GROUP


def test_a_snapshot_tells_who_the_members_are() -> None:
    """Unless the log knows of later ones."""
    core = member()
    core.snapshot_restored(5, (4, THIRD_REPLACED))
    assert (core.configuration_slot, core.configuration) == (4, THIRD_REPLACED)
    core.snapshot_restored(6, (3, GROUP))
    assert core.configuration == THIRD_REPLACED


def test_who_is_no_member_learns_why_nobody_elects_it() -> None:
    """It asks for what it has missed."""
    core = member()
    ballot = candidate(core)
    answer = Reject(ballot, ZERO, 0, RejectReason.NOT_A_MEMBER)
    assert handle(core, 1, answer, 1000 * MS) == ["2->1 CatchUpRequest from 1"]
    assert core.deadline_ns() >= 3000 * MS


def test_who_is_behind_asks_who_cannot_lead() -> None:
    """A log replica offers what it knows, and is asked for it."""
    core = member(entries=entries("a"), commit_slot=1)
    assert handle(core, 4, CatchUp(ZERO, (), 1)) == []
    assert handle(core, 4, CatchUp(ZERO, (), 2)) == ["2->4 CatchUpRequest from 2"]
    bound = member(promised=OLD)
    bound.is_restoring = True
    bound.leases.grant(1, 0, 0)
    asked = "somebody leads who can tell the others, or no more: then those that elect another may need this vote"
    assert shown(bound.tick(1000 * MS)) == ["2->1 LeadershipQuery 1.1"], asked
    bound.leases.grant(1, 0, 1000 * MS)
    prepare = Prepare(Ballot(9, 3), 1, ZERO)
    assert "BOUND_BY_GRANT" in handle(bound, 3, prepare, 1000 * MS)[0]
    handle(bound, 1, Release(OLD), 1000 * MS)
    assert any("Promise" in each for each in handle(bound, 3, prepare, 1000 * MS))


# A node that may have been a member before


RETURNED = Configuration((Member(1, "a"), Member(2, "b", ReplicaKind.LOG), Member(4, "c")))
FLOOR = Floor(20, Ballot(7, 1))
"""Node 2 was a member, left, was emptied, and is to be one again, in the place of node 5."""


def returned() -> PaxosCore:
    core = member(configuration=RETURNED, floor=FLOOR)
    core.is_restoring = True
    return core


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        # Node 3 was cut off before node 2 left: it knows the members of slot 10 to be in force
        (Prepare(Ballot(9, 3), 11, ZERO, 10), "NOT_A_MEMBER"),
        # So does node 4, which is a member again as well
        (Prepare(Ballot(9, 4), 11, ZERO, 10), "NOT_A_MEMBER"),
        # Node 3 has led since before then, and takes node 2 for a follower
        (Accept(Run(Ballot(6, 3), 1, (b"x",)), 0), "LOWER_BALLOT"),
        (Commit(Ballot(6, 3), 0, 0), "LOWER_BALLOT"),
        (LogStart(Ballot(6, 3), 10, is_held=True), "LOWER_BALLOT"),
    ],
)
def test_who_was_emptied_has_no_part_in_what_it_has_forgotten(message: Message, refused: str) -> None:
    """It may have promised the others of then something else: with its vote, two leaders could have a majority."""
    core, sender = returned(), 4 if "node_id=4" in repr(message) else 3
    answer = handle(core, sender, message, 1000 * MS)
    assert len(answer) == 1
    assert refused in answer[0]
    assert core.promised == FLOOR.ballot


def test_entries_of_a_leader_of_the_past_are_not_acknowledged() -> None:
    """What it knows to be committed holds; what it proposes has to wait for a majority of its own."""
    core = returned()
    shown_effects = handle(core, 3, CatchUp(Ballot(6, 3), (Run(Ballot(6, 3), 1, (b"x",)),), 1), 1000 * MS)
    assert core.log.commit_slot == 1
    assert not any("Accepted" in effect for effect in shown_effects)


def test_the_group_of_now_is_followed() -> None:
    """The leader that wants it as a member, one after that, and a candidate that knows what was in force then."""
    core = returned()
    assert core.leader_node_id == 0, "it has heard of one, and not from it"
    assert "Accepted" in handle(core, 1, Commit(FLOOR.ballot, 0, 0), 1000 * MS)[0]
    assert core.leader_node_id == 1
    assert "Accepted" in handle(core, 4, Commit(Ballot(8, 4), 0, 0), 1000 * MS)[0]
    assert handle(core, 1, Prepare(Ballot(9, 1), 21, ZERO, 20), 5000 * MS)[0].startswith("2 persists promise 9.1")


def test_who_joins_promises_those_in_force_though_they_are_not_who_is_wanted() -> None:
    """Node 5, whose place it is to take, may have to bring the change into force; not once it has left."""
    core = returned()
    assert handle(core, 5, Prepare(Ballot(9, 5), 21, ZERO, 20), 5000 * MS)[0].startswith("2 persists promise 9.5")
    core = returned()
    core.snapshot_restored(30, (25, RETURNED))
    assert "NOT_A_MEMBER" in handle(core, 5, Prepare(Ballot(9, 5), 31, ZERO, 20), 5000 * MS)[0]


def test_a_floor_rises_in_both_parts() -> None:
    """What is known of either is kept."""
    low, high = Floor(5, Ballot(9, 1)), Floor(7, Ballot(8, 3))
    assert low.raised_to(high) == high.raised_to(low) == Floor(7, Ballot(9, 1))


# All together


def test_a_node_that_comes_back_to_the_group_has_nothing_of_its_former_life() -> None:
    """It left, was emptied and is a member again: what it had promised it may promise otherwise, and nothing breaks."""
    group = Group([Member(1, "a"), Member(2, "b"), Member(3, "c")])
    group.live(3000 * MS)
    for node_id, back in ((4, 3), (3, 4)):
        zone = "c"
        group.crash(back)
        group.live(1000 * MS)
        joining = Configuration((Member(1, "a"), Member(2, "b"), Member(node_id, zone, ReplicaKind.LOG)))
        if node_id in group.nodes and group.is_up(node_id):
            group.crash(node_id)
        group.join(Member(node_id, zone, ReplicaKind.LOG), joining)
        leader_id = group.serving()[0]
        core = group.core(leader_id)
        group.carry_out(leader_id, core.expect_configuration(joining, group.now_ns))
        group.live(3000 * MS)
        group.carry_out(leader_id, core.propose_configuration(joining, group.now_ns))
        group.live(1000 * MS)
        group.carry_out(leader_id, core.propose((b"x",), group.now_ns))
        group.live(1000 * MS)
        assert group.core(node_id).log.commit_slot == core.log.commit_slot
    assert group.core(1).configuration.node_ids == (1, 2, 3)


def test_prepare_says_which_members_the_candidate_knows() -> None:
    """A later configuration makes it heard where it is not known."""
    core = member(entries=[ENTRY], commit_slot=1, promised=OLD)
    assert handle(core, 9, Prepare(Ballot(7, 9), 2, ZERO, 1))[0].endswith("NOT_A_MEMBER promised 1.1 last 1")
    assert handle(core, 9, CatchUpRequest(1))[0].startswith("2->9 CatchUp")
    assert handle(core, 9, Prepare(Ballot(7, 9), 2, ZERO, 2))[0].startswith("2 persists promise 7.9")
