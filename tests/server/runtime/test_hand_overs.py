"""Hand-overs: what is under way ends first, and requests wait for who serves next."""

from __future__ import annotations

import pytest

from server.paxos.acceptor import Health
from server.paxos.ballot import ABOVE_ALL, Ballot
from server.paxos.lease import Grant
from server.paxos.messages import Accept, Accepted, HandOverRequest, PeerMessage, Prepare, Promise, Release, Run
from server.paxos.quorum import Configuration, Member
from server.runtime.disk_watch import AGAIN_NS, FASTER, SAMPLES, SLOW_NS, Fitness
from server.runtime.hand_overs import ASKED_AGAIN_NS, DRAIN_NS, HELD_BYTES_MAX, HELD_NS
from server.runtime.replica_host import Outcome, OutcomeKind
from tests.server.runtime.test_replica_host import GROUP, LEADER, LEASE, MS, Follower, Lone


class Leader(Lone):
    """Node 1 leads, with node 2's support; `answered` has what was held and was served again."""

    def __init__(self) -> None:
        super().__init__()
        self.ballot = self.lead()
        self.outcomes: list[OutcomeKind] = []
        self.answered: list[str] = []

    def propose(self, payload: bytes = b"x") -> None:
        def done(outcome: Outcome) -> None:
            self.outcomes.append(outcome.kind)

        self.host.propose(GROUP, payload, done)

    def accepted(self) -> None:
        """Node 2 acknowledges all there is."""
        self.receive(2, Accepted(self.ballot, self.core.log.last_slot, 1))

    def hold(self, name: str, size: int = 100) -> bool:
        hand_overs = self.host.hand_overs
        return hand_overs.is_under_way(GROUP) and hand_overs.hold(GROUP, size, lambda: self.answered.append(name))

    @property
    def released(self) -> list[int]:
        """Whom the leadership was given to."""
        return [
            to
            for to, message in self.transport.messages
            if isinstance(message, Release) and message == Release(self.ballot, is_handed_over=True)
        ]

    def is_succeeded(self) -> None:
        """Node 2 stands, is promised, and leads."""
        ballot = Ballot(self.ballot.round + 1, 2)
        self.receive(2, Prepare(ballot, self.core.log.commit_slot + 1, self.ballot))
        assert self.answered == [], "a candidate does not lead yet"
        self.receive(2, Accept(Run(ballot, self.core.log.commit_slot + 1, (b"s",)), self.core.log.commit_slot))


def test_what_was_proposed_is_committed_first() -> None:
    """And nothing is proposed any more; who asks is told that it was not carried out. Reads go on."""
    leader = Leader()
    leader.propose()
    leader.host.hand_over(GROUP)
    assert (leader.released, leader.host.is_serving_leader(GROUP)) == ([], True)
    leader.propose(b"late")
    assert leader.outcomes == [OutcomeKind.NOT_LEADER]
    leader.accepted()
    assert leader.outcomes == [OutcomeKind.NOT_LEADER, OutcomeKind.COMMITTED]
    assert (leader.released, leader.host.is_serving_leader(GROUP)) == ([2], False)


def test_an_idle_leader_hands_over_at_once() -> None:
    leader = Leader()
    leader.host.hand_over(GROUP)
    assert leader.released == [2]


def test_what_cannot_be_committed_is_not_waited_for_long() -> None:
    """The leadership goes although what was proposed hangs, and nobody knows what becomes of that."""
    leader = Leader()
    leader.propose()
    leader.host.hand_over(GROUP)
    leader.now_ns += DRAIN_NS // 2
    leader.host.hand_over(GROUP)
    leader.host.tick()
    assert leader.released == []
    leader.now_ns += DRAIN_NS // 2
    leader.host.tick()
    assert (leader.released, leader.outcomes) == ([2], [OutcomeKind.UNKNOWN])


def test_a_leader_whose_disk_hangs_waits_for_nothing() -> None:
    leader = Leader()
    leader.propose()
    leader.host.hand_over(GROUP)
    leader.host.hand_over(GROUP, at_once=True)
    assert (leader.released, leader.outcomes) == ([2], [OutcomeKind.UNKNOWN])


def test_a_leadership_that_is_lost_meanwhile_is_not_given() -> None:
    """Somebody else was elected while this one waited for what it had proposed."""
    leader = Leader()
    leader.propose()
    leader.host.hand_over(GROUP)
    ballot = Ballot(9, 3)
    leader.receive(3, Accept(Run(ballot, 1, (b"s",)), 0))
    assert (leader.released, leader.outcomes) == ([], [OutcomeKind.UNKNOWN])
    assert leader.host.leader_of(GROUP) == (3, 9)
    leader.now_ns += DRAIN_NS
    leader.host.tick()
    assert leader.released == []


def test_requests_wait_for_the_successor() -> None:
    """From the moment that nothing is proposed any more until the successor has been seen to lead."""
    leader = Leader()
    assert not leader.hold("before")
    leader.propose()
    leader.host.hand_over(GROUP)
    assert leader.hold("while it waits for the rest")
    leader.accepted()
    assert leader.hold("while nobody leads")
    leader.host.tick()
    leader.is_succeeded()
    assert leader.answered == ["while it waits for the rest", "while nobody leads"]
    assert leader.host.leader_of(GROUP)[0] == 2
    assert not leader.hold("after")


def test_nobody_waits_for_long() -> None:
    """Where no successor comes each request is answered after its time, and later ones at once."""
    leader = Leader()
    leader.host.hand_over(GROUP)
    assert leader.hold("first")
    leader.now_ns += HELD_NS - 20 * MS
    assert leader.hold("second")
    leader.host.tick()
    assert leader.answered == []
    leader.now_ns += 20 * MS
    leader.host.tick()
    assert leader.answered == ["first", "second"], "who came later has nothing to wait for any more either"
    assert not leader.hold("third")


def test_the_successor_lets_requests_wait_until_it_serves() -> None:
    """It has won, and what its election brought is not committed yet."""
    lone = Leader()
    lone.propose()
    lone.host.hand_over(GROUP, at_once=True)
    lone.now_ns += 3000 * MS
    lone.host.tick()
    candidacy = lone.core.candidacy
    assert candidacy is not None
    assert not lone.hold("while it only stands")
    lone.ballot = candidacy.ballot
    lone.receive(2, Promise(candidacy.ballot, candidacy.from_slot, 1, 0, (), True, 2))
    lone.host.receive_grant(2, Grant(lone.now_ns, 2), ())
    assert lone.core.leadership is not None
    assert lone.hold("once it has won")
    lone.receive(2, Accepted(lone.ballot, lone.core.log.last_slot, 2))
    assert (lone.answered, lone.host.is_serving_leader(GROUP)) == (["once it has won"], True)
    assert not lone.hold("once it serves")


def test_a_candidate_that_is_about_to_win_lets_requests_wait() -> None:
    """A majority has promised; its own promise is on the way to the disk."""
    lone = Lone(is_instant=False)
    lone.host.tick()
    candidacy = lone.core.candidacy
    assert candidacy is not None
    assert not lone.host.hand_overs.is_under_way(GROUP)
    lone.receive(2, Promise(candidacy.ballot, 1, 1, 0, (), True, 1))
    assert lone.core.leadership is None
    assert lone.host.hand_overs.is_under_way(GROUP)


def test_what_waits_is_bounded() -> None:
    """Who comes beyond the bound is answered at once; there is room again when the others are."""
    leader = Leader()
    leader.propose()
    leader.host.hand_over(GROUP)
    assert leader.hold("large", HELD_BYTES_MAX)
    assert not leader.hold("one more", 1)
    for passed_ns in (DRAIN_NS, HELD_NS - DRAIN_NS):
        leader.now_ns += passed_ns
        leader.host.tick()
    assert leader.answered == ["large"]
    assert leader.hold("as large", HELD_BYTES_MAX)
    leader.host.hand_over(ABOVE_ALL)  # of a group that is not here
    assert not leader.host.hand_overs.is_under_way(ABOVE_ALL)


def test_who_waits_for_a_group_that_is_closed_is_answered() -> None:
    leader = Leader()
    leader.host.hand_over(GROUP)
    assert leader.hold("one")
    leader.host.close_group(GROUP)
    assert leader.answered == ["one"]
    leader.host.tick()
    assert leader.answered == ["one"]


def beat(leader: Leader) -> None:
    """The time between two heartbeats passes; node 2 grants on."""
    leader.now_ns += LEASE.heartbeat_ns
    leader.host.receive_grant(2, Grant(leader.now_ns, 1), ())
    leader.host.tick()


def test_a_leader_whose_disk_is_slow_lets_another_lead() -> None:
    """One that follows and whose disk is not. The others are told how slow this one is."""
    leader = Leader()
    leader.host.receive_heartbeat(2, 0, Fitness(5 * MS))
    leader.wal.write_ns = SLOW_NS
    for _ in range(SAMPLES - 1):
        beat(leader)
    assert (leader.released, leader.transport.told.write_ns) == ([], SLOW_NS)
    beat(leader)
    assert leader.released == [2]


def test_where_all_disks_are_slow_nobody_hands_over() -> None:
    """Until another is faster. A leadership that came back is kept for a while."""
    leader = Leader()
    leader.wal.write_ns = SLOW_NS
    leader.host.receive_heartbeat(2, 0, Fitness(SLOW_NS // FASTER))
    for _ in range(SAMPLES + 1):
        beat(leader)
    assert leader.released == []
    leader.host.receive_heartbeat(2, 0, Fitness(SLOW_NS // FASTER - 1))
    beat(leader)
    assert leader.released == [2]
    leader.now_ns += LEASE.duration_ns
    leader.ballot = leader.lead()
    beat(leader)
    assert leader.released == [], "what came back is kept for a while"
    leader.now_ns += AGAIN_NS
    leader.host.receive_heartbeat(2, 0, Fitness(SLOW_NS // FASTER - 1))
    beat(leader)
    assert leader.released == [2]


def test_a_leader_whose_disk_is_full_lets_another_lead() -> None:
    """One that has room; it refuses writes itself. The others are told that it is full."""
    leader = Leader()
    leader.host.disk.is_full = True
    leader.host.receive_heartbeat(2, 0, Fitness(is_full=True))
    beat(leader)
    assert (leader.released, leader.transport.told.is_full) == ([], True)
    leader.host.receive_heartbeat(2, 0, Fitness(SLOW_NS))
    beat(leader)
    assert leader.released == [2]
    leader.now_ns += LEASE.duration_ns
    leader.ballot = leader.lead()
    beat(leader)
    assert leader.released == [], "what came back is kept for a while"
    leader.now_ns += AGAIN_NS
    leader.host.receive_heartbeat(2, 0, Fitness())
    beat(leader)
    assert leader.released == [2]


def test_what_was_handed_over_for_another_reason_does_not_stay_on_a_full_disk() -> None:
    """Only what it has given away because of its disk, and got back, stays for a while."""
    leader = Leader()
    leader.host.hand_over(GROUP)
    leader.now_ns += LEASE.duration_ns
    leader.ballot = leader.lead()
    leader.host.disk.is_full = True
    leader.host.receive_heartbeat(2, 0, Fitness())
    beat(leader)
    assert leader.released == [2]


def test_nothing_is_given_to_who_is_silent() -> None:
    """A node that is connected and grants, and has sent no heartbeat for the time of a lease: its log may stand still,
    and then it does not stand."""
    leader = Leader()
    leader.host.disk.is_full = True
    leader.host.receive_heartbeat(2, 0, Fitness())
    leader.now_ns += LEASE.duration_ns
    beat(leader)
    assert leader.released == []
    leader.host.receive_heartbeat(2, 0, Fitness())
    beat(leader)
    assert leader.released == [2]


def test_nobody_is_bound_to_a_node_whose_log_has_no_room() -> None:
    """A member that leads asks for grants nevertheless: others may be no better, and then reads go on here. Who does
    not lead could never let go of a ballot that others have promised to it: that is to be on its disk first."""
    lone = Lone()
    for wait_ns, is_asking in ((LEASE.duration_ns, True), (LEASE.duration_ns + 1, False), (0, True)):
        lone.transport.asked.clear()
        lone.wal.waits_ns = wait_ns
        lone.now_ns += LEASE.heartbeat_ns
        lone.host.tick()
        assert bool(lone.transport.asked) == is_asking
        assert lone.host.leases.may_stand == is_asking
    lone.wal.waits_ns = LEASE.duration_ns + 1
    lone.transport.asked.clear()
    lone.host.peer_connected(2)
    assert lone.transport.asked == set()
    leader = Leader()
    leader.transport.asked.clear()
    leader.wal.waits_ns = LEASE.duration_ns + 1
    beat(leader)
    assert leader.transport.asked == {2, 3}
    assert leader.host.is_serving_leader(GROUP)
    assert not leader.host.leases.may_stand


def supported(leader: Leader) -> None:
    """Node 3 supports this leadership as node 2 does, and has as much of the log."""
    leader.receive(3, Accepted(leader.ballot, 0, 1))
    leader.host.receive_grant(3, Grant(leader.now_ns, 1), ())


def test_a_full_node_is_not_handed_a_leadership() -> None:
    """If there is another."""
    for full_node_id, other in ((2, 3), (3, 2)):
        leader = Leader()
        supported(leader)
        leader.host.receive_heartbeat(full_node_id, 0, Fitness(is_full=True))
        leader.host.hand_over(GROUP)
        assert leader.released == [other]


def test_who_must_not_lead_is_not_handed_a_leadership() -> None:
    """Also where there is nobody else: rather nobody leads, until somebody stands by himself."""
    unfit = Fitness(unfit_group_ids=frozenset({GROUP}))
    for unfit_node_id, other in ((2, 3), (3, 2)):
        leader = Leader()
        supported(leader)
        leader.host.receive_heartbeat(unfit_node_id, 0, unfit)
        leader.host.receive_heartbeat(other, 0, Fitness(10 * SLOW_NS, is_full=True))
        leader.host.hand_over(GROUP)
        assert leader.released == [other]
    leader = Leader()
    leader.host.receive_heartbeat(2, 0, unfit)
    leader.host.receive_heartbeat(3, 0, unfit)
    leader.receive(2, HandOverRequest(leader.ballot))
    leader.host.disk.is_full = True
    beat(leader)
    leader.host.hand_over(GROUP, can_wait=True)
    assert leader.core.leadership is not None
    leader.host.hand_over(GROUP)
    assert leader.released == []
    assert not leader.host.is_serving_leader(GROUP)


@pytest.mark.parametrize("flaw", ["no state", "damaged items", "damaged log", "none"])
def test_a_node_says_which_groups_it_must_not_lead(flaw: str) -> None:
    """Whatever of a replica is not whole."""
    leader = Leader()
    leader.core.is_restoring = flaw == "no state"
    leader.host.groups[GROUP].is_rotten = flaw == "damaged items"
    leader.core.health = Health.DAMAGED if flaw == "damaged log" else Health.WHOLE
    expected = frozenset() if flaw == "none" else frozenset({GROUP})
    assert leader.host.hand_overs.fitness().unfit_group_ids == expected
    leader.host.peer_connected(2)
    assert leader.transport.told.unfit_group_ids == expected


def test_a_slow_node_is_not_handed_a_leadership() -> None:
    """If there is another: node 3 supports this leadership as well, and has as much of the log."""
    for slow_node_id, other in ((2, 3), (3, 2)):
        leader = Leader()
        supported(leader)
        leader.host.receive_heartbeat(slow_node_id, 0, Fitness(SLOW_NS))
        leader.host.hand_over(GROUP)
        assert leader.released == [other]


def test_a_leader_that_is_asked_hands_over() -> None:
    """To the member that asks, once what it has proposed is committed."""
    for sender in (2, 3):
        leader = Leader()
        supported(leader)
        leader.propose()
        leader.receive(sender, HandOverRequest(leader.ballot))
        assert leader.released == []
        leader.accepted()
        assert leader.released == [sender]


def test_leaderships_that_are_asked_for_do_not_go_round() -> None:
    """One that came back is kept for a while."""
    leader = Leader()
    leader.receive(2, HandOverRequest(leader.ballot))
    assert leader.released == [2]
    leader.now_ns += LEASE.duration_ns
    leader.ballot = leader.lead()
    leader.receive(2, HandOverRequest(leader.ballot))
    assert leader.released == []
    leader.now_ns = ASKED_AGAIN_NS
    leader.host.receive_grant(2, Grant(leader.now_ns, 1), ())
    leader.receive(2, HandOverRequest(leader.ballot))
    assert leader.released == [2]


def test_only_a_member_that_follows_is_given_what_it_asks_for() -> None:
    """And nobody who means another leadership, or a leader that is none."""
    leader = Leader()
    leader.receive(3, HandOverRequest(leader.ballot))
    leader.receive(2, HandOverRequest(Ballot(leader.ballot.round - 1, 1)))
    assert leader.released == []
    leader.host.hand_over(GROUP)
    assert leader.released == [2]
    leader.receive(2, HandOverRequest(leader.ballot))
    assert leader.released == [2]


def asks(lone: Lone) -> list[tuple[int, PeerMessage]]:
    return [each for each in lone.transport.messages if isinstance(each[1], HandOverRequest)]


def test_a_member_asks_for_what_routers_cannot_reach() -> None:
    """Once in a while, and lets requests wait meanwhile; once another leads they wait no more."""
    follower = Follower()
    hand_overs = follower.host.hand_overs
    follower.host.leases.may_stand = False
    assert not hand_overs.ask_for(GROUP), "it could not come to lead"
    follower.host.leases.may_stand = True
    assert hand_overs.ask_for(GROUP)
    assert asks(follower) == [(2, HandOverRequest(LEADER))]
    assert hand_overs.is_under_way(GROUP)
    answered: list[str] = []
    assert hand_overs.hold(GROUP, 1, lambda: answered.append("held"))
    assert not hand_overs.ask_for(GROUP)
    follower.receive(3, Accept(Run(Ballot(2, 3), 3, (b"c",)), 2))
    assert (answered, hand_overs.is_under_way(GROUP)) == (["held"], False)
    assert hand_overs.ask_for(GROUP), "that one cannot be reached either"
    follower.now_ns += HELD_NS
    assert not hand_overs.is_under_way(GROUP)
    assert hand_overs.ask_for(GROUP)
    assert len(asks(follower)) == 3


def test_who_may_not_lead_asks_for_nothing() -> None:
    """Nobody is known to lead, or it is this member; it does not vote yet, has lost something, or has no state."""
    assert not Lone().host.hand_overs.ask_for(GROUP)
    assert not Leader().host.hand_overs.ask_for(GROUP)
    others = Configuration((Member(2, "b"), Member(3, "c")))
    for name, value in (("health", Health.HEALING), ("is_restoring", True), ("configuration", others)):
        follower = Follower()
        setattr(follower.core, name, value)
        assert not follower.host.hand_overs.ask_for(GROUP)
    follower = Follower()
    follower.host.leases.votes_from_ns = 1
    assert not follower.host.hand_overs.ask_for(GROUP)
    assert asks(follower) == []
