"""What a member answers, in states and to messages that the scenarios do not bring about."""

from __future__ import annotations

import pytest

from server.paxos.ballot import ZERO, Ballot
from server.paxos.election import PROMISE_BYTES_MAX, Role
from server.paxos.leader import RUN_BYTES_MAX
from server.paxos.messages import (
    Accept,
    Accepted,
    CatchUp,
    CatchUpRequest,
    Commit,
    Message,
    PersistRecord,
    Prepare,
    Promise,
    Reject,
    RejectReason,
    Release,
    Run,
    SendMessage,
)
from tests.server.paxos.lone_member import OLD, candidate, entries, handle, leader, member, shown
from tests.server.paxos.notation import MS

FOLLOWERS_WORDS: list[Message] = [
    Promise(Ballot(7, 9), 1, 1, 0, (), True, 0),
    Accepted(Ballot(7, 9), 1, 0),
    Accepted(Ballot(2, 2), 4, 0),
    Reject(Ballot(2, 2), Ballot(1, 9), 0, RejectReason.HOLE),
    CatchUp(Ballot(7, 9), (Run(OLD, 1, (b"x",)),), 1),
]


@pytest.mark.parametrize("message", FOLLOWERS_WORDS, ids=lambda message: type(message).__name__)
def test_strangers_are_not_counted(message: Message) -> None:
    """What a node that is no member says as a follower changes nothing for a leader, and gets no answer."""
    core = member(entries=entries("ab"), commit_slot=2, promised=OLD)
    leader(core)
    before = (core.promised, core.log.commit_slot, core.role)
    assert core.handle(9, message, 0) == []
    assert (core.promised, core.log.commit_slot, core.role) == before


def test_a_stranger_is_not_elected_unless_it_knows_of_later_members() -> None:
    """It may have left, and not have heard so; or it has joined, and this member has not heard so."""
    core = member(entries=entries("ab"), commit_slot=2, promised=OLD)
    assert handle(core, 9, Prepare(Ballot(7, 9), 3, ZERO)) == ["2->9 Reject 7.9 NOT_A_MEMBER promised 1.1 last 2"]
    assert core.promised == OLD
    assert handle(core, 9, Prepare(Ballot(7, 9), 3, ZERO, configuration_slot=2)) == [
        "2 persists promise 7.9, then 2->9 Promise 7.9 from 3: nothing commit 2 epoch 1:0"
    ]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (Prepare(Ballot(7, 3), 1, ZERO), "2->1 Reject 7.3 LOWER_BALLOT promised 1.1 last 0"),
        (Accept(Run(Ballot(7, 3), 1, (b"x",)), 0), "2->1 Reject 7.3 LOWER_BALLOT promised 1.1 last 0"),
        (Commit(Ballot(7, 3), 0, 0), "2->1 Reject 7.3 LOWER_BALLOT promised 1.1 last 0"),
    ],
)
def test_only_its_owner_uses_a_ballot(message: Message, answer: str) -> None:
    """A ballot in somebody else's message is refused, however high it is."""
    core = member(promised=OLD)
    assert handle(core, 1, message) == [answer]
    assert core.promised == OLD
    assert handle(core, 1, Release(Ballot(7, 3))) == []
    assert core.leader_node_id == 1, "nobody else lets go of it either"


# Who leads


def test_who_leads_as_far_as_a_member_knows() -> None:
    """Whom it has promised, unless that one let go; nobody while it is its own ballot that it promised; itself."""
    core = member()
    assert core.leader_node_id == 0
    handle(core, 1, Prepare(OLD, 1, ZERO))
    assert (core.leader_node_id, core.is_led) == (1, False), "it may not win"
    handle(core, 1, Commit(OLD, 0, 0))
    assert (core.leader_node_id, core.is_led) == (1, True)
    handle(core, 1, Release(OLD))
    assert core.leader_node_id == 0
    leader(core)
    assert core.leader_node_id == 2
    core.hand_over(1000 * MS)
    assert core.leader_node_id == 0


def test_who_does_not_lead_has_no_lease() -> None:
    """Whatever was granted to its node."""
    core = member()
    assert core.lease_until_ns() == -1
    assert not core.is_serving(0)


def test_the_next_slot_is_behind_the_log() -> None:
    """That of the first entry that is proposed next."""
    assert member(entries=entries("abc"), first_slot=5, commit_slot=5).next_slot == 8


# Acceptor


def test_a_prepare_that_comes_twice_is_answered_twice() -> None:
    """The second answer has what has been accepted in between, and leaves after the promise is on disk as well."""
    core = member()
    prepare = Prepare(OLD, 1, ZERO)
    first = handle(core, 1, prepare)
    handle(core, 1, Accept(Run(OLD, 1, (b"x",)), 0))
    second = handle(core, 1, prepare)
    assert first == [
        "2 persists promise 1.1, then 2->1 Promise 1.1 from 1: nothing commit 0 epoch 1:0",
    ]
    assert second == [
        "2 persists promise 1.1, then 2->1 Promise 1.1 from 1: 1.1[1..1] x commit 0 epoch 1:0",
    ]


def test_a_promise_says_when_it_has_more_to_say() -> None:
    """Beyond what a message holds, the candidate has to catch up from this member first."""
    big = b"x" * (PROMISE_BYTES_MAX // 2)
    core = member(entries=[(OLD, big), (OLD, big), (OLD, b"y")], promised=OLD)
    (effect,) = core.handle(3, Prepare(Ballot(2, 3), 1, ZERO), 0)
    assert isinstance(effect, PersistRecord)
    promise = effect.then[0].message
    assert isinstance(promise, Promise)
    assert not promise.is_complete
    assert [run.last_slot for run in promise.runs] == [2]
    (effect,) = core.handle(3, Prepare(Ballot(2, 3), 2, ZERO), 0)
    assert isinstance(effect, PersistRecord)
    promise = effect.then[0].message
    assert isinstance(promise, Promise)
    assert promise.is_complete


def test_what_is_committed_is_not_written_again() -> None:
    """An Accept that comes late, of entries that are committed by now, changes nothing; it is acknowledged."""
    core = member(entries=entries("ab"), commit_slot=2, promised=OLD)
    assert handle(core, 1, Accept(Run(OLD, 1, (b"a",)), 0)) == [
        "2 persists 1.1[1..1] a, then 2->1 Accepted 1.1 up to 2 epoch 1:0"
    ]
    assert handle(core, 1, Accept(Run(OLD, 2, (b"b", b"c")), 0))[-1].endswith("2->1 Accepted 1.1 up to 3 epoch 1:0")
    assert core.log.payloads(1, 3) == (b"a", b"b", b"c")


def test_only_what_agrees_with_the_leader_is_acknowledged() -> None:
    """Entries of an older ballot that lie behind what the new leader has sent are kept, and do not count."""
    core = member(entries=entries("abc"), commit_slot=1, promised=OLD)
    assert handle(core, 3, Accept(Run(Ballot(2, 3), 2, (b"B",)), 0))[-1].endswith("2->3 Accepted 2.3 up to 2 epoch 1:0")
    assert core.log.last_slot == 3
    assert handle(core, 3, Accept(Run(Ballot(2, 3), 4, (b"D",)), 0)) == ["2->3 Reject 2.3 HOLE promised 2.3 last 2"]
    assert handle(core, 3, Commit(Ballot(2, 3), 3, 0)) == ["2 applies 2: B", "2->3 Reject 2.3 HOLE promised 2.3 last 2"]


def test_a_late_release_of_another_ballot_frees_nobody() -> None:
    """It may never have won its election while the leader in force serves on; but it is a reason to ask that leader."""
    core = member()
    core.leases.grant(1, 0, 0)
    handle(core, 1, Commit(OLD, 0, 0))
    assert handle(core, 3, Release(Ballot(2, 3))) == []
    assert core.deadline_ns() == 37.5 * MS
    assert handle(core, 3, Prepare(Ballot(3, 3), 1, Ballot(2, 3))) == [
        "2->3 Reject 3.3 BOUND_BY_GRANT promised 1.1 last 0"
    ]
    assert shown(core.tick(38 * MS)) == ["2->1 LeadershipQuery 1.1"]
    assert handle(core, 1, Release(Ballot(1, 1)), 38 * MS) == []
    assert handle(core, 3, Prepare(Ballot(3, 3), 1, ZERO), 38 * MS)[0].startswith("2 persists promise 3.3")
    deadline_ns = core.deadline_ns()
    assert handle(core, 1, Release(OLD), 38 * MS) == [], "of a ballot below the promise"
    assert (core.leader_node_id, core.deadline_ns()) == (3, deadline_ns)


# Catching up


def test_committed_entries_are_given_to_whoever_asks() -> None:
    """As many as a message holds; the state, where they are trimmed; nothing, where there is nothing new."""
    core = member(entries=[(OLD, b"x" * RUN_BYTES_MAX), *entries("bcd")], first_slot=5, commit_slot=7)
    (effect,) = core.handle(3, CatchUpRequest(5), 0)
    assert isinstance(effect, SendMessage)
    message = effect.message
    assert isinstance(message, CatchUp)
    assert [(run.first_slot, run.last_slot) for run in message.runs] == [(5, 5)]
    assert handle(core, 3, CatchUpRequest(6)) == ["2->3 CatchUp -: 1.1[6..7] b c commit 7"]
    assert handle(core, 3, CatchUpRequest(8)) == []
    assert handle(core, 3, CatchUpRequest(4)) == ["2 has to send 3 a snapshot"]
    assert handle(core, 3, CatchUpRequest(0)) == ["2 has to send 3 a snapshot"]


def test_what_somebody_else_sends_continues_what_is_committed() -> None:
    """Its entries take the place of what was accepted and never chosen; nobody is answered who does not lead."""
    core = member(entries=entries("abx"), commit_slot=1, promised=Ballot(2, 3))
    assert handle(core, 1, CatchUp(ZERO, (Run(OLD, 2, (b"b", b"c")),), 3)) == [
        "2 persists 1.1[2..3] b c",
        "2 applies 2: b c",
    ]
    assert core.promised == Ballot(2, 3)


def test_what_a_leader_sends_is_acknowledged_and_its_ballot_promised() -> None:
    """The answer leaves when everything is on disk; runs that are here already are passed over."""
    core = member(entries=entries("ab"), commit_slot=2, promised=OLD)
    runs = (Run(OLD, 1, (b"a", b"b")), Run(Ballot(2, 3), 3, (b"c",)))
    assert handle(core, 3, CatchUp(Ballot(2, 3), runs, 3)) == [
        "2 persists promise 2.3",
        "2 persists 2.3[3..3] c",
        "2 applies 3: c",
        "2 persists promise 2.3, then 2->3 Accepted 2.3 up to 3 epoch 1:0",
    ]


@pytest.mark.parametrize("ballot", [ZERO, OLD])
def test_nothing_is_taken_over_a_hole(ballot: Ballot) -> None:
    """Entries 2 and 3 are accepted but not known to be chosen: only a leader in force may continue them."""
    core = member(entries=entries("abc"), commit_slot=1, promised=OLD)
    handle(core, 1, Accept(Run(OLD, 2, (b"b", b"c")), 0))
    found = handle(core, 1, CatchUp(ballot, (Run(OLD, 4, (b"d",)), Run(OLD, 6, (b"f",))), 6))
    if ballot == OLD:
        assert found[:2] == ["2 persists 1.1[4..4] d", "2 applies 2: b c d"]
        assert found[2].endswith("2->1 Accepted 1.1 up to 4 epoch 1:0")
    else:
        assert found == []


def test_a_leader_catches_up_from_nobody() -> None:
    """It has everything; and it does not follow."""
    core = member(entries=entries("x"))
    leader(core)
    assert handle(core, 3, CatchUp(Ballot(9, 3), (Run(OLD, 1, (b"x",)),), 1)) == []
    assert core.role == Role.LEADER


def test_a_candidate_takes_up_the_leader_it_hears() -> None:
    """Of the very ballot that it has promised: its acknowledgement supports that leader anew."""
    for message in (Accept(Run(OLD, 1, (b"x",)), 0), Commit(OLD, 0, 0), CatchUp(OLD, (), 0)):
        core = member(promised=OLD)
        candidate(core)
        handle(core, 1, message)
        assert (core.role, core.candidacy) == (Role.FOLLOWER, None)


# Snapshots


def test_a_snapshot_that_is_too_old_is_of_no_use() -> None:
    """The log has been trimmed past it: the member still is without a state."""
    core = member(entries=entries("cd"), first_slot=3, commit_slot=4)
    core.is_restoring = True
    assert core.snapshot_restored(1) == []
    assert core.is_restoring


def test_what_the_log_has_beyond_a_snapshot_is_applied_again() -> None:
    """From the slot behind the snapshot; nothing where it ends at the commit slot."""
    core = member(entries=entries("bcde"), first_slot=2, commit_slot=4)
    core.is_restoring = True
    assert shown(core.snapshot_restored(2)) == ["2 applies 3: c d"]
    assert not core.is_restoring
    assert core.snapshot_restored(4) == []
    assert shown(core.snapshot_restored(1)) == ["2 applies 2: b c d"]


def test_a_snapshot_keeps_what_was_accepted_after_it() -> None:
    """And the promise; only what the snapshot stands for goes. It is on disk before it is acknowledged."""
    core = member(entries=entries("abcd"), commit_slot=1, promised=OLD)
    effects = core.snapshot_restored(3)
    assert shown(effects) == ["2 persists reset 3"]
    assert (core.log.first_slot, core.log.last_slot, core.applied_slot) == (4, 4, 3)
    assert handle(core, 1, Commit(OLD, 3, 0)) == ["2->1 Accepted 1.1 up to 1 epoch 1:0"]
    assert isinstance(effects[0], PersistRecord) and effects[0].event is not None
    core.durable(effects[0].event, 0)
    assert handle(core, 1, Commit(OLD, 3, 0)) == ["2->1 Accepted 1.1 up to 3 epoch 1:0"]


def test_who_is_restoring_votes_and_does_not_stand() -> None:
    """It has no state to serve from."""
    core = member()
    core.is_restoring = True
    offers = ["2->1 CatchUp -: nothing commit 0", "2->3 CatchUp -: nothing commit 0"]
    assert shown(core.tick(1000 * MS)) == offers, "it may be the only one that knows of what is committed"
    assert core.deadline_ns() == 3000 * MS
    assert handle(core, 1, Prepare(OLD, 1, ZERO))[0].startswith("2 persists promise 1.1")


def test_snapshots_and_renewals_of_others_than_followers_mean_nothing() -> None:
    """A member that does not lead, or a node that is none of its followers."""
    core = member()
    assert core.snapshot_sent(1, 5, 0) == []
    assert core.peer_renewed(1, 0) == []
    leader(core)
    assert core.snapshot_sent(9, 5, 0) == []
    assert core.peer_renewed(9, 0) == []
