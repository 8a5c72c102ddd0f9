"""What once went wrong, found by reading the core: rare orders of messages, crashes and slow disks."""

from __future__ import annotations

import pytest

from server.paxos.acceptor import Health
from server.paxos.ballot import ZERO, Ballot
from server.paxos.leader import RUN_BYTES_MAX
from server.paxos.messages import (
    Accepted,
    CatchUp,
    Durable,
    Effect,
    PersistRecord,
    Prepare,
    Promise,
    Reject,
    RejectReason,
    Run,
    SendMessage,
)
from server.paxos.quorum import Member
from tests.server.paxos.group import Group
from tests.server.paxos.lone_member import OLD, candidate, entries, handle, leader, member, promised_by, shown
from tests.server.paxos.notation import MS

THREE = [Member(1, "a"), Member(2, "b"), Member(3, "c")]


def pump(group: Group, *links: tuple[int, int]) -> None:
    for link in links:
        while group.in_flight.get(link):
            group.deliver(*link)


def stand(group: Group, node_id: int) -> None:
    group.carry_out(node_id, group.core(node_id).tick(group.now_ns))


def elect(group: Group, node_id: int, voter: int) -> None:
    stand(group, node_id)
    pump(group, (node_id, voter))
    group.sync(voter)
    pump(group, (voter, node_id))
    group.sync(node_id)
    assert group.core(node_id).leadership is not None


def test_a_promise_for_a_former_life_does_not_elect() -> None:
    """A ballot is used twice, in two lives; the promise of the first life tells of slots from another one on."""
    group = Group(THREE)
    elect(group, 1, 2)
    group.settle()
    # Node 1 and 2 commit a, b.
    group.carry_out(1, group.core(1).propose((b"a", b"b"), group.now_ns))
    pump(group, (1, 2))
    group.sync(2)
    group.sync(1)
    pump(group, (2, 1))
    assert group.nodes[1].state == [b"a", b"b"]
    group.in_flight[1, 3] = []
    # Node 3 learns of both and that they are committed, its disk hangs.
    group.carry_out(1, group.core(1).peer_renewed(3, group.now_ns))
    for link in ((1, 3), (3, 1), (1, 3)):
        group.deliver(*link)
    assert group.nodes[3].state == [b"a", b"b"]
    group.crash(1)
    group.now_ns += 5000 * MS
    stand(group, 3)  # from slot 3
    pump(group, (3, 2))
    group.sync(2)  # its promise, without any entries, is on its way for long (or node 2's disk hangs)
    assert len(group.in_flight[2, 3]) == 1
    promise = group.in_flight[2, 3][0]
    group.crash(3)  # a, b and its own promise are lost
    group.boot(3)
    group.in_flight[2, 3] = [promise]
    group.now_ns += 5000 * MS
    stand(group, 3)  # from slot 1, at the same ballot
    pump(group, (2, 3))
    group.sync(3)
    if group.core(3).leadership is not None:
        group.carry_out(3, group.core(3).propose((b"LOST", b"LOST"), group.now_ns))
    group.settle()
    for _ in range(6):
        group.live(1000 * MS)
    states = {tuple(node.state) for node in group.nodes.values() if node.core is not None}
    assert all(state[:2] == (b"a", b"b") for state in states), states


def test_a_repeated_promise_ends_a_candidacy() -> None:
    """A candidate that promises the same ballot once more must not go on with its own: it has just vouched for the
    other leader in the epoch of its present grant."""
    core = member()
    prepare = Prepare(Ballot(1, 1), 1, ZERO)
    core.handle(1, prepare, 0)
    own = candidate(core, 1000 * MS)
    core.leases.grant(1, 0, 1000 * MS)
    core.handle(1, prepare, 1000 * MS)  # sent twice, or again in a later life of node 1
    effects = core.handle(3, Promise(own, 1, 1, 0, (), True, 0), 1000 * MS)
    assert effects == [], shown(effects)  # promises itself, and will lead, within its own grant to node 1


def test_two_leaders_hold_a_lease() -> None:
    """The same played to its end: Group.check raises when both serve."""
    group = Group(THREE)
    group.heartbeat(2, 3)
    stand(group, 1)
    prepare = group.in_flight[1, 2][0]
    pump(group, (1, 2))
    group.sync(2)
    group.in_flight[2, 1] = []  # lost
    group.in_flight[1, 3] = []
    group.now_ns += 900 * MS  # node 1's process stalls: it does not tick
    stand(group, 2)
    group.in_flight[2, 1] = []  # lost
    pump(group, (2, 3))
    group.sync(3)  # the promise to node 2 is on its way
    group.heartbeat(1, 2)
    group.in_flight[1, 2] = [prepare]  # repeated (or sent again in a later life of node 1)
    pump(group, (1, 2))
    group.sync(2)
    pump(group, (2, 1))
    group.sync(1)
    assert group.serving() == [1]
    group.deliver(3, 2)
    group.sync(2)


def test_a_candidate_never_asks_itself() -> None:
    """Its own log was trimmed past the slot from which it asked, while it stood."""
    core = member(entries=entries("ab"), promised=OLD)
    ballot = candidate(core)
    core.handle(3, CatchUp(ZERO, (Run(OLD, 1, (b"a",)),), 1), 1000 * MS)
    core.trim(1)
    effects = promised_by(core, 1, ballot)
    assert not [e for e in effects if isinstance(e, SendMessage) and e.to == 2], shown(effects)


def test_a_long_uncommitted_tail_does_not_block_elections_for_ever() -> None:
    """12 MB uncommitted on both living members: each election fails for want of a complete promise, and nobody has
    committed entries to catch up with."""
    group = Group(THREE)
    elect(group, 1, 2)
    group.settle()
    for _ in range(5):
        group.carry_out(1, group.core(1).propose((b"x" * (3 * 1024 * 1024),), group.now_ns))
    pump(group, (1, 2))
    group.sync(2)
    group.in_flight[2, 1] = []
    group.sync(1)
    group.crash(3)
    group.crash(1)
    group.crash(2)
    group.boot(1)
    group.boot(2)
    for _ in range(20):
        group.live(1000 * MS)
    assert any(group.core(node_id).leadership for node_id in (1, 2)), "no leader in 20 s"


def test_a_hand_over_goes_to_somebody_who_is_there() -> None:
    """An idle group whose node 3 has died: the leadership goes to node 2, which grants."""
    group = Group(THREE)
    group.live(3000 * MS)
    group.crash(3)
    group.live(5000 * MS)
    assert group.serving() == [1]
    group.carry_out(1, group.core(1).hand_over(group.now_ns))
    group.live(1000 * MS)
    assert group.serving(), "nobody serves 1 s after a planned hand-over"


def test_a_voter_that_has_trimmed_its_log_does_not_decide_alone() -> None:
    """Node 1 has trimmed what nodes 2 and 3 do not know to be committed, and its snapshots cannot be read. Its promise
    comes first: with that of node 3, node 2 leads all the same."""
    group = Group(THREE)
    elect(group, 1, 2)
    group.settle()
    group.carry_out(1, group.core(1).propose((b"a", b"b"), group.now_ns))
    group.settle()
    group.checkpoint(1, 2)
    for node_id in (1, 2, 3):
        group.crash(node_id)
        group.boot(node_id)
    assert [group.core(node_id).log.commit_slot for node_id in (1, 2, 3)] == [2, 0, 0]
    group.now_ns += 5000 * MS
    stand(group, 2)
    pump(group, (2, 1), (2, 3))
    group.sync(1)
    pump(group, (1, 2))
    group.sync(2)
    assert group.core(2).leadership is None
    group.sync(3)
    pump(group, (3, 2))
    assert group.core(2).leadership is not None
    group.live(1000 * MS)
    assert group.serving() == [2]
    assert group.nodes[2].state == group.nodes[3].state == [b"a", b"b"]
    assert group.snapshots_due == []


def test_a_candidate_leaves_out_nothing_of_its_own_log() -> None:
    """What it has accepted and not yet committed may be more than one Promise of another member holds."""
    payload = b"x" * (3 * 1024 * 1024)
    core = member(entries=[(OLD, payload)] * 5, promised=OLD)
    ballot = candidate(core)
    promised_by(core, 1, ballot)
    assert core.leadership is not None
    assert core.leadership.recovered_slot == 5


def test_a_slow_disk_does_not_prevent_elections() -> None:
    """A sync that takes longer than retry_ns (400 ms): each attempt is given up before its own promise is on disk."""
    core = member()
    now_ns = 1000 * MS
    pending: list[tuple[int, Durable]] = []
    for _ in range(60):  # 30 s in steps of 500 ms; a record is on disk 700 ms after it was written
        effects = core.tick(now_ns)
        if core.candidacy is not None and effects:
            effects += core.handle(1, Promise(core.candidacy.ballot, 1, 1, 0, (), True, 0), now_ns)
        pending += [(now_ns + 700 * MS, e.event) for e in effects if isinstance(e, PersistRecord) and e.event]
        now_ns += 500 * MS
        for _, event in [p for p in pending if p[0] <= now_ns]:
            core.durable(event, now_ns)
        pending = [p for p in pending if p[0] > now_ns]
    assert core.leadership is not None


def test_a_window_opens_below_what_was_acknowledged() -> None:
    """A follower restarted and vouches for less than it had acknowledged: acknowledgements of what it gets again must
    make room in the window."""
    core = member()
    ballot = leader(core)
    for _ in range(6):
        core.propose((b"x" * RUN_BYTES_MAX,), 0)
    for slot in range(1, 7):
        core.handle(1, Accepted(ballot, slot, 0), 0)
    core.durable(Durable(ballot, 6, is_promise=False), 0)
    effects = core.handle(1, Reject(ballot, ballot, 0, RejectReason.HOLE), 0)
    assert len(effects) == 4  # 4 MB, the window is full
    sent: list[Effect] = []
    for slot in range(1, 5):
        sent += core.handle(1, Accepted(ballot, slot, 0), 0)
    assert sent, "slots 5 and 6 are never sent: only a retry could, and the group is idle (not behind)"


def test_who_cannot_lead_is_asked_to_let_go() -> None:
    """Who led, has left the members and lives is granted as ever, though it never leads again: those that follow it
    would wait for as long as it lives, unless another is elected."""
    core = member(entries=entries("a"), commit_slot=1, promised=OLD)
    assert handle(core, 1, CatchUp(ZERO, (), 1)) == ["2->1 LeadershipQuery 1.1"]
    assert handle(core, 1, CatchUp(ZERO, (), 2)) == ["2->1 CatchUpRequest from 2", "2->1 LeadershipQuery 1.1"]


@pytest.mark.parametrize("health", list(Health))
def test_who_cannot_lead_offers_what_it_knows(health: Health) -> None:
    """If it can be believed: a member that may have forgotten something tells nobody what is committed."""
    core = member(entries=entries("a"), commit_slot=1, health=health)
    core.is_restoring = True
    offers = ["2->1 CatchUp -: nothing commit 1", "2->3 CatchUp -: nothing commit 1"]
    assert shown(core.tick(1000 * MS)) == (offers if health == Health.WHOLE else [])
